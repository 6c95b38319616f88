//! Heads of programs: tools, libraries, crawlers, monitors, scanners, browsers without a person, and impostors.

use super::draft::{Draft, H1, api, cookie, languages, page};
use super::people::{chromium, firefox};
use super::random::Random;

fn program(name: &str, random: &mut Random) -> Draft {
    let mut draft = Draft::new(name, false, random);
    draft.version = H1;
    draft.https = random.percent(75);
    draft
}

/// curl, wget and their kin on a command line or in a script.
pub fn tool(random: &mut Random) -> Draft {
    let mut draft = program("a tool", random);
    match random.range(0, 4) {
        0 | 1 => {
            let agent = format!("curl/{}.{}.{}", random.range(7, 9), random.range(0, 90), random.range(0, 4));
            if draft.https {
                draft.version = random.of(&["HTTP/2", "HTTP/1.1"]);
            }
            draft.all(&[("User-Agent", &agent), ("Accept", "*/*")]);
            if random.percent(25) {
                draft.add("Accept-Encoding", "deflate, gzip, br, zstd");
            }
        }
        2 => {
            draft.all(&[("User-Agent", "Wget/1.21.3"), ("Accept", "*/*"), ("Accept-Encoding", "identity")]);
            draft.add("Connection", "Keep-Alive");
        }
        _ => {
            draft.all(&[
                ("Accept-Encoding", "gzip, deflate"),
                ("Accept", "*/*"),
                ("Connection", "keep-alive"),
            ]);
            draft.add("User-Agent", "HTTPie/3.2.2");
        }
    }
    if random.percent(30) {
        draft.target = api(random);
        draft.all(&[("Content-Type", "application/json")]);
        draft.method = random.of(&["GET", "POST", "PUT", "DELETE"]);
    }
    draft
}

/// HTTP libraries of languages, as they come.
pub fn library(random: &mut Random) -> Draft {
    let mut draft = program("a library", random);
    if random.percent(65) {
        draft.target = api(random);
    }
    match random.range(0, 10) {
        0 | 1 => {
            let agent = format!("python-requests/2.{}.{}", random.range(18, 33), random.range(0, 4));
            draft.all(&[
                ("User-Agent", &agent),
                ("Accept-Encoding", random.of(&["gzip, deflate", "gzip, deflate, br"])),
            ]);
            draft.all(&[("Accept", "*/*"), ("Connection", "keep-alive")]);
        }
        2 => {
            draft.add("Accept-Encoding", "identity");
            let agent = format!("Python-urllib/3.{}", random.range(6, 14));
            draft.all(&[("Host", &draft.host.clone()), ("User-Agent", &agent), ("Connection", "close")]);
        }
        3 => {
            let agent = format!("python-httpx/0.{}.0", random.range(20, 29));
            draft.all(&[
                ("Accept", "*/*"),
                ("Accept-Encoding", "gzip, deflate, br, zstd"),
                ("Connection", "keep-alive"),
            ]);
            draft.add("User-Agent", &agent);
        }
        4 | 5 => {
            if draft.https && random.percent(50) {
                draft.version = "HTTP/2";
                draft.all(&[("Accept-Encoding", "gzip"), ("User-Agent", "Go-http-client/2.0")]);
            } else {
                draft.all(&[("User-Agent", "Go-http-client/1.1"), ("Accept-Encoding", "gzip")]);
            }
        }
        6 => {
            let agent = format!("axios/1.{}.{}", random.range(1, 9), random.range(0, 9));
            draft.all(&[("Accept", "application/json, text/plain, */*"), ("User-Agent", &agent)]);
            draft.all(&[("Accept-Encoding", "gzip, compress, deflate, br"), ("Connection", "close")]);
        }
        7 => {
            draft.all(&[("accept", "*/*"), ("accept-language", "*"), ("sec-fetch-mode", "cors")]);
            draft
                .all(&[("user-agent", random.of(&["node", "undici"])), ("accept-encoding", "gzip, deflate")]);
        }
        8 => {
            let agent = format!("Java/{}.0.{}", random.range(8, 22), random.range(1, 20));
            draft.all(&[
                ("User-Agent", &agent),
                ("Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"),
            ]);
            draft.add("Connection", "keep-alive");
        }
        _ => {
            let agent = random.of(&[
                "GuzzleHttp/7",
                "libwww-perl/6.72",
                "Ruby",
                "okhttp/4.12.0",
                "okhttp/3.14.9",
                "Apache-HttpClient/4.5.14 (Java/17.0.9)",
                "PostmanRuntime/7.39.0",
                "Scrapy/2.11.2 (+https://scrapy.org)",
            ]);
            draft.add("User-Agent", agent);
            if random.percent(50) {
                draft.all(&[("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate")]);
            }
        }
    }
    if random.percent(30) {
        let token = format!("Bearer {}", random.hex(40));
        draft.add("Authorization", &token);
    }
    if random.percent(25) {
        draft.method = "POST";
        draft.all(&[("Content-Type", "application/json"), ("Content-Length", "118")]);
    }
    draft
}

/// Crawlers that say what they are.
pub fn crawler(random: &mut Random) -> Draft {
    let mut draft = program("a crawler", random);
    draft.https = random.percent(90);
    if random.percent(20) {
        draft.target = random.of(&["/robots.txt", "/sitemap.xml", "/feed.xml", "/ads.txt"]).to_owned();
    }
    let version = random.range(100, 142);
    let agent = match random.range(0, 8) {
        0 | 1 => format!(
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.6998.165 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
        ),
        2 => format!(
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/{version}.0.0.0 Safari/537.36"
        ),
        _ => random
            .of(&[
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
                "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
                "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
                "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
                "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
                "CCBot/2.0 (https://commoncrawl.org/faq/)",
                "Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)",
            ])
            .to_owned(),
    };
    if random.percent(60) {
        draft.add("Connection", random.of(&["keep-alive", "close"]));
    }
    draft.add(
        "Accept",
        random.of(&["*/*", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"]),
    );
    if random.percent(25) {
        draft.add("From", "crawler(at)example.com");
    }
    draft.add("User-Agent", &agent);
    draft.add("Accept-Encoding", random.of(&["gzip, deflate, br", "gzip, deflate", "gzip"]));
    if random.percent(20) {
        draft.add("Accept-Language", "en");
    }
    draft
}

/// Monitors and probes.
pub fn monitor(random: &mut Random) -> Draft {
    let mut draft = program("a monitor", random);
    draft.method = random.of(&["GET", "HEAD"]);
    draft.target = random.of(&["/", "/health", "/status", "/livez", "/login"]).to_owned();
    draft.add(
        "User-Agent",
        random.of(&[
            "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
            "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
            "kube-probe/1.29",
            "Prometheus/2.51.0",
            "Blackbox Exporter/0.24.0",
            "Site24x7",
        ]),
    );
    match random.range(0, 3) {
        0 => draft.all(&[("Accept", "*/*"), ("Connection", "close")]),
        1 => draft.all(&[("Accept-Encoding", "gzip"), ("Cache-Control", "no-cache")]),
        _ => {}
    }
    draft
}

/// What looks for holes.
pub fn scanner(random: &mut Random) -> Draft {
    let mut draft = program("a scanner", random);
    draft.https = random.percent(50);
    draft.target = match random.range(0, 12) {
        0 => "/.env".to_owned(),
        1 => "/.git/config".to_owned(),
        2 => "/wp-login.php".to_owned(),
        3 => "/phpmyadmin/index.php?lang=en".to_owned(),
        4 => "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php".to_owned(),
        5 => "/cgi-bin/luci/;stok=/locale?form=country&operation=write".to_owned(),
        6 => "/?id=1%27%20OR%20%271%27=%271".to_owned(),
        7 => "/..%2f..%2f..%2fetc/passwd".to_owned(),
        8 => format!("/{}.php", random.hex(6)),
        9 => "/actuator/env".to_owned(),
        10 => "/xmlrpc.php".to_owned(),
        _ => "/".to_owned(),
    };
    if random.percent(45) {
        draft.host = format!("198.51.100.{}", random.range(1, 255));
    }
    if random.percent(10) {
        draft.version = "HTTP/1.0";
    }
    let agent = random.of(&[
        "Mozilla/5.0 zgrab/0.x",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
        "Mozilla/5.0",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/88.0.4324.150 Safari/537.36",
        "Mozilla/5.0 (Windows NT 6.1; Win64; x64; rv:58.0) Gecko/20100101 Firefox/58.0",
        "masscan/1.3 (https://github.com/robertdavidgraham/masscan)",
        "sqlmap/1.7.2#stable (https://sqlmap.org)",
        "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:000045)",
        "Mozilla/5.0 (compatible; CensysInspect/1.1; +https://about.censys.io/)",
        "l9explore/1.2.2",
        "Mozilla/5.0 (l9scan/2.0; +https://leakix.net)",
        "-",
    ]);
    if agent != "-" {
        draft.add("User-Agent", agent);
    }
    match random.range(0, 4) {
        0 => draft.all(&[("Accept", "*/*"), ("Accept-Encoding", "gzip")]),
        1 => draft.all(&[("Accept", "*/*"), ("Connection", "close")]),
        2 => draft.all(&[
            ("Accept-Encoding", "gzip, deflate"),
            ("Accept", "*/*"),
            ("Connection", "keep-alive"),
        ]),
        _ => draft.all(&[("Connection", "close")]),
    }
    if random.percent(15) {
        draft.method = random.of(&["POST", "OPTIONS", "HEAD", "PROPFIND"]);
    }
    draft
}

/// A browser that nobody sits before: all is right but for small things.
pub fn headless(random: &mut Random) -> Draft {
    let mut draft = chromium("a headless browser", "HeadlessChrome", "", random);
    draft.human = false;
    draft.https = true;
    let says = random.percent(60);
    for (name, value) in &mut draft.fields {
        if name == "User-Agent" && says {
            *value = value.replace("Chrome/", "HeadlessChrome/");
        }
        if name == "sec-ch-ua" && !says {
            *value = value.replace("HeadlessChrome", "Google Chrome");
        }
    }
    if random.percent(60) || !says {
        draft.remove("Accept-Language");
    }
    draft.remove("Cookie");
    if random.percent(40) {
        draft.remove("Referer");
    }
    if !says && random.percent(60) {
        // The user agent was set by hand; the hints still say what the browser is.
        for (name, value) in &mut draft.fields {
            if name == "User-Agent" {
                *value = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.4844.51 Safari/537.36".to_owned();
            }
        }
    }
    draft
}

/// A script with the user agent of a browser, and as much of its head as its author thought of.
pub fn impostor(random: &mut Random) -> Draft {
    let browser = match random.percent(70) {
        true => chromium("an impostor", "Google Chrome", "", random),
        false => firefox("an impostor", random),
    };
    let mut draft = program("an impostor", random);
    draft.https = random.percent(90);
    draft.target = if random.percent(70) { page(random) } else { api(random) };
    let get = |name: &str| {
        browser.fields.iter().find(|(n, _)| n == name).map_or(String::new(), |(_, value)| value.clone())
    };
    let agent = get("User-Agent");
    match random.range(0, 4) {
        // requests with a dictionary of headers
        0 => {
            draft.all(&[("User-Agent", &agent), ("Accept-Encoding", "gzip, deflate"), ("Accept", "*/*")]);
            draft.add("Connection", "keep-alive");
            if random.percent(30) {
                draft.add("Accept-Language", languages(random));
            }
        }
        // Go with a user agent
        1 => {
            draft.version = random.of(&["HTTP/2", "HTTP/1.1"]);
            draft.all(&[("Accept", "text/html"), ("Accept-Encoding", "gzip"), ("User-Agent", &agent)]);
        }
        // curl with -A and some -H
        2 => {
            draft.version = random.of(&["HTTP/2", "HTTP/1.1"]);
            draft.all(&[("User-Agent", &agent), ("Accept", "*/*")]);
            if random.percent(50) {
                draft.add("Accept-Language", "en-US,en;q=0.5");
            }
            if random.percent(30) {
                draft.add("Referer", "https://www.google.com/");
            }
        }
        // copied from a browser's console, to another address, in an order and case of their own
        _ => {
            draft.all(&[
                ("user-agent", &agent),
                ("accept", &get("Accept")),
                ("Accept-language", languages(random)),
            ]);
            draft.all(&[("accept-encoding", "gzip, deflate, br"), ("connection", "keep-alive")]);
            if random.percent(50) {
                draft.all(&[
                    ("upgrade-insecure-requests", "1"),
                    ("Cache-control", "no-cache"),
                    ("pragma", "no-cache"),
                ]);
            }
            if random.percent(30) {
                draft.add("sec-fetch-mode", "navigate");
            }
            if random.percent(25) {
                let cookie = cookie(random);
                draft.add("cookie", &cookie);
            }
        }
    }
    draft
}

/// A program that sends exactly what a browser sends. Nothing in its head gives it away; it stands for what stays
/// unknown, so that the model is certain of nobody.
pub fn perfect(random: &mut Random) -> Draft {
    let mut draft = chromium("a perfect impostor", "Google Chrome", "", random);
    draft.human = false;
    draft
}
