//! Heads of browsers and apps that people use, in the order and case in which those send them.

use super::draft::{Draft, H1, api, asset, cookie, languages, page};
use super::random::Random;

/// What a browser asks for.
#[derive(Clone, Copy, PartialEq)]
enum Want {
    Page,
    Image,
    Script,
    Style,
    Call,
}

fn want(random: &mut Random) -> Want {
    match random.range(0, 10) {
        0..4 => Want::Page,
        4..6 => Want::Image,
        6 => Want::Style,
        7 => Want::Script,
        _ => Want::Call,
    }
}

fn target(want: Want, random: &mut Random) -> String {
    match want {
        Want::Page => page(random),
        Want::Image => asset(random, &["png", "jpg", "webp", "avif", "svg"]),
        Want::Script => asset(random, &["js", "mjs"]),
        Want::Style => asset(random, &["css"]),
        Want::Call => api(random),
    }
}

/// Site, mode, destination, and whether a click or a typed address did it.
fn metadata(want: Want, random: &mut Random) -> (&'static str, &'static str, &'static str, bool) {
    let near = random.of(&["same-origin", "same-origin", "same-site", "cross-site"]);
    match want {
        Want::Page => (random.of(&["none", "same-origin", "cross-site"]), "navigate", "document", true),
        Want::Image => (near, "no-cors", "image", false),
        Want::Script => (near, random.of(&["no-cors", "cors"]), "script", false),
        Want::Style => (near, "no-cors", "style", false),
        Want::Call => (near, "cors", "empty", false),
    }
}

fn referer(draft: &mut Draft, site: &str, random: &mut Random) {
    match site {
        "none" => {}
        "cross-site" if random.percent(70) => draft.add("Referer", "https://search.example/"),
        _ => {
            let url = format!("https://{}{}", draft.host, page(random));
            draft.add("Referer", &url);
        }
    }
}

const CHROME_PAGE: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";
const CHROME_IMAGE: &str = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";

/// A Chromium of some brand.
pub fn chromium(name: &str, brand: &str, agent_tail: &str, random: &mut Random) -> Draft {
    let mut draft = Draft::new(name, true, random);
    let want = want(random);
    let version = random.range(100, 142);
    let (system, platform, mobile) = *[
        ("Windows NT 10.0; Win64; x64", "Windows", false),
        ("Windows NT 10.0; Win64; x64", "Windows", false),
        ("Macintosh; Intel Mac OS X 10_15_7", "macOS", false),
        ("X11; Linux x86_64", "Linux", false),
        ("X11; CrOS x86_64 14541.0.0", "Chrome OS", false),
        ("Linux; Android 10; K", "Android", true),
        ("Linux; Android 14; SM-S921B", "Android", true),
        ("Linux; Android 13; Pixel 7", "Android", true),
    ]
    .get(random.range(0, 8) as usize)
    .unwrap_or(&("", "", false));
    let kind = if mobile { " Mobile" } else { "" };
    let tail = agent_tail.replace('#', &version.to_string());
    let agent = format!(
        "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0{kind} Safari/537.36{tail}"
    );
    let hints = match random.range(0, 3) {
        0 => format!("\"Chromium\";v=\"{version}\", \"{brand}\";v=\"{version}\", \"Not_A Brand\";v=\"24\""),
        1 => format!("\"{brand}\";v=\"{version}\", \"Not;A=Brand\";v=\"8\", \"Chromium\";v=\"{version}\""),
        _ => format!("\"Not/A)Brand\";v=\"99\", \"{brand}\";v=\"{version}\", \"Chromium\";v=\"{version}\""),
    };
    draft.target = target(want, random);
    draft.https = !random.percent(8);
    if !draft.https || random.percent(15) {
        draft.version = H1;
        draft.add("Connection", "keep-alive");
    }
    let secure = draft.https;
    let (site, mode, dest, user) = metadata(want, random);
    let (mobile, platform) = (if mobile { "?1" } else { "?0" }, format!("\"{platform}\""));
    if secure {
        draft.all(&[("sec-ch-ua", &hints), ("sec-ch-ua-mobile", mobile), ("sec-ch-ua-platform", &platform)]);
    }
    if want == Want::Page {
        draft.add("Upgrade-Insecure-Requests", "1");
    }
    if want == Want::Call && random.percent(40) {
        draft.method = "POST";
        draft.all(&[("Content-Length", "81"), ("Content-Type", "application/json")]);
    }
    draft.add("User-Agent", &agent);
    draft.add(
        "Accept",
        match want {
            Want::Page => CHROME_PAGE,
            Want::Image => CHROME_IMAGE,
            Want::Style => "text/css,*/*;q=0.1",
            Want::Script => "*/*",
            Want::Call => random.of(&["*/*", "application/json", "application/json, text/plain, */*"]),
        },
    );
    if secure {
        draft.all(&[("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode)]);
        if user {
            draft.add("Sec-Fetch-User", "?1");
        }
        draft.add("Sec-Fetch-Dest", dest);
    }
    if want == Want::Call && draft.method == "POST" {
        let origin = format!("https://{}", draft.host);
        draft.add("Origin", &origin);
    }
    referer(&mut draft, site, random);
    draft.add(
        "Accept-Encoding",
        match (secure, version >= 123) {
            (true, true) => "gzip, deflate, br, zstd",
            (true, false) => "gzip, deflate, br",
            (false, _) => "gzip, deflate",
        },
    );
    draft.add("Accept-Language", languages(random));
    if random.percent(55) {
        let cookie = cookie(random);
        draft.add("Cookie", &cookie);
    }
    if secure && version >= 124 {
        draft.add("Priority", random.of(&["u=0, i", "u=1, i", "u=2", "u=1"]));
    }
    draft
}

/// A Firefox, also as Tor Browser and its kin.
pub fn firefox(name: &str, random: &mut Random) -> Draft {
    let mut draft = Draft::new(name, true, random);
    let want = want(random);
    let version = random.range(91, 145);
    let system = random.of(&[
        "Windows NT 10.0; Win64; x64",
        "X11; Linux x86_64",
        "X11; Ubuntu; Linux x86_64",
        "Macintosh; Intel Mac OS X 10.15",
        "Android 14; Mobile",
    ]);
    let engine = if system.starts_with("Android") { format!("{version}.0") } else { "20100101".to_owned() };
    let agent = format!("Mozilla/5.0 ({system}; rv:{version}.0) Gecko/{engine} Firefox/{version}.0");
    draft.target = target(want, random);
    draft.https = !random.percent(8);
    let secure = draft.https;
    let one = !secure || random.percent(12);
    draft.add("User-Agent", &agent);
    draft.add(
        "Accept",
        match want {
            Want::Page if version < 128 => {
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
            }
            Want::Page => "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            Want::Image => "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
            Want::Style => "text/css,*/*;q=0.1",
            _ => "*/*",
        },
    );
    draft.add("Accept-Language", languages(random));
    draft.add(
        "Accept-Encoding",
        match (secure, version >= 126) {
            (true, true) => "gzip, deflate, br, zstd",
            (true, false) => "gzip, deflate, br",
            (false, _) => "gzip, deflate",
        },
    );
    let (site, mode, dest, user) = metadata(want, random);
    referer(&mut draft, site, random);
    if one {
        draft.version = H1;
        draft.add("Connection", "keep-alive");
    }
    if random.percent(55) {
        let cookie = cookie(random);
        draft.add("Cookie", &cookie);
    }
    if want == Want::Page {
        draft.add("Upgrade-Insecure-Requests", "1");
    }
    if secure {
        draft.all(&[("Sec-Fetch-Dest", dest), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Site", site)]);
        if user {
            draft.add("Sec-Fetch-User", "?1");
        }
        if version >= 128 {
            draft.add("Priority", random.of(&["u=0, i", "u=4", "u=5, i", "u=2"]));
        }
        if !one {
            draft.add("TE", "trailers");
        }
    }
    draft
}

/// A Safari, with fetch metadata from 16.4 on.
pub fn safari(random: &mut Random) -> Draft {
    let mut draft = Draft::new("Safari", true, random);
    let want = want(random);
    let (major, minor) = (random.range(14, 19), random.range(0, 6));
    let agent = match random.range(0, 3) {
        0 => format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{major}.{minor} Safari/605.1.15"
        ),
        1 => format!(
            "Mozilla/5.0 (iPad; CPU OS {major}_{minor} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{major}.{minor} Mobile/15E148 Safari/604.1"
        ),
        _ => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS {major}_{minor} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{major}.{minor} Mobile/15E148 Safari/604.1"
        ),
    };
    draft.target = target(want, random);
    draft.https = !random.percent(8);
    let (site, mode, dest, _) = metadata(want, random);
    let tells = draft.https && (major > 16 || (major == 16 && minor >= 4));
    if !draft.https || random.percent(10) {
        draft.version = H1;
    }
    let accept = match want {
        Want::Page => "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        Want::Image => {
            "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
        }
        Want::Style => "text/css,*/*;q=0.1",
        _ => "*/*",
    };
    if draft.version == H1 {
        if want == Want::Page {
            draft.add("Upgrade-Insecure-Requests", "1");
        }
        draft.all(&[("Accept", accept), ("User-Agent", &agent), ("Accept-Language", languages(random))]);
        draft.all(&[("Accept-Encoding", "gzip, deflate"), ("Connection", "keep-alive")]);
        return draft;
    }
    if tells {
        draft.add("Sec-Fetch-Dest", dest);
    }
    draft.all(&[("User-Agent", &agent), ("Accept", accept)]);
    referer(&mut draft, site, random);
    if tells {
        draft.all(&[("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode)]);
    }
    draft.add("Accept-Language", languages(random));
    if major >= 17 {
        draft.add("Priority", random.of(&["u=0, i", "u=3, i", "u=1, i"]));
    }
    draft.add("Accept-Encoding", "gzip, deflate, br");
    if random.percent(55) {
        let cookie = cookie(random);
        draft.add("Cookie", &cookie);
    }
    draft
}

/// A page within an app.
pub fn in_app(random: &mut Random) -> Draft {
    let mut draft = chromium("a page within an app", "Android WebView", "", random);
    let version = random.range(100, 142);
    let agent = match random.range(0, 3) {
        0 => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_{} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/{version}.0.0;FBDV/iPhone14,5]",
            random.range(0, 7)
        ),
        1 => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_{} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram {version}.0.0.20",
            random.range(0, 7)
        ),
        _ => format!(
            "Mozilla/5.0 (Linux; Android 14; SM-A546B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/{version}.0.0.0 Mobile Safari/537.36"
        ),
    };
    for name in ["sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "User-Agent"] {
        draft.remove(name);
    }
    draft.fields.insert(0, ("User-Agent".to_owned(), agent));
    if random.percent(50) {
        draft.add("X-Requested-With", "com.example.reader");
    }
    draft
}

/// A program on a telephone that a person uses.
pub fn app(random: &mut Random) -> Draft {
    let mut draft = Draft::new("an app", true, random);
    draft.target = if random.percent(70) { api(random) } else { asset(random, &["jpg", "png", "json"]) };
    match random.range(0, 3) {
        0 => {
            let agent = format!(
                "Harbour/{} CFNetwork/{} Darwin/23.{}.0",
                random.range(100, 900),
                random.range(1400, 1500),
                random.range(0, 6)
            );
            draft.all(&[("Accept", random.of(&["*/*", "application/json"])), ("User-Agent", &agent)]);
            draft.all(&[("Accept-Language", languages(random)), ("Accept-Encoding", "gzip, deflate, br")]);
            if random.percent(50) {
                draft.add("Priority", "u=3");
            }
        }
        1 => {
            let agent = format!(
                "Ferry/{}.{} (Android {}; Pixel {}) okhttp/4.{}.0",
                random.range(1, 9),
                random.range(0, 30),
                random.range(11, 16),
                random.range(5, 10),
                random.range(9, 13)
            );
            if random.percent(50) {
                draft.add("Accept-Language", languages(random));
            }
            draft.add("User-Agent", &agent);
            draft.add("Accept-Encoding", "gzip");
        }
        _ => {
            draft.all(&[("User-Agent", "Dart/3.4 (dart:io)"), ("Accept-Encoding", "gzip")]);
            draft.all(&[("Content-Type", "application/json"), ("Accept-Language", languages(random))]);
            draft.version = H1;
        }
    }
    if random.percent(60) {
        let token = format!("Bearer {}", random.hex(40));
        draft.add("Authorization", &token);
    }
    draft
}

/// A browser from before fetch metadata and client hints.
pub fn old(random: &mut Random) -> Draft {
    let mut draft = Draft::new("an old browser", true, random);
    draft.version = H1;
    draft.https = random.percent(60);
    let (agent, accept) = match random.range(0, 4) {
        0 => (
            "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko".to_owned(),
            "text/html, application/xhtml+xml, image/jxr, */*",
        ),
        1 => (
            format!(
                "Mozilla/5.0 (Windows NT 6.1; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.2623.112 Safari/537.36",
                random.range(49, 76)
            ),
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
        ),
        2 => (
            format!("Mozilla/5.0 (Windows NT 6.1; rv:{0}.0) Gecko/20100101 Firefox/{0}.0", random.range(45, 79)),
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        _ => (
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/5.0 TV Safari/537.36"
                .to_owned(),
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
    };
    draft.all(&[("Accept", accept), ("Accept-Language", languages(random)), ("User-Agent", &agent)]);
    draft.all(&[("Accept-Encoding", "gzip, deflate"), ("Connection", "Keep-Alive")]);
    if random.percent(50) {
        let (cookie, url) = (cookie(random), format!("https://{}/", draft.host));
        draft.all(&[("Referer", &url), ("Cookie", &cookie)]);
    }
    draft
}
