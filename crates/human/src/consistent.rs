//! Headers that must go together: what a client claims in one and gives away in another.

use crate::extract::{ABSENT, yes};
use crate::search::number;

/// Whether a URL has this host.
pub(crate) fn same_host(url: &[u8], host: &[u8]) -> bool {
    let Some(at) = places(url, b"://").next() else { return false };
    let rest = url.get(at + 3..).unwrap_or(&[]);
    let authority = rest.split(|b| matches!(b, b'/' | b'?' | b'#')).next().unwrap_or(&[]);
    let authority = authority.rsplit(|b| *b == b'@').next().unwrap_or(&[]);
    let name = match memchr::memrchr2(b':', b']', authority) {
        Some(i) if authority.get(i) == Some(&b':') => authority.get(..i).unwrap_or(authority),
        _ => authority,
    };
    !name.is_empty() && name.eq_ignore_ascii_case(host)
}

/// Whether a host is an address.
pub(crate) fn is_address(host: &[u8]) -> bool {
    host.starts_with(b"[") || (!host.is_empty() && host.iter().all(|b| b.is_ascii_digit() || *b == b'.'))
}

/// `Sec-CH-UA` (W3C User-Agent Client Hints) beside the user agent.
pub(crate) fn hints(agent: Option<&[u8]>, hints: Option<&[u8]>) -> f32 {
    let agent = agent.unwrap_or(&[]);
    let claimed = places(agent, b"Chrome/").next().and_then(|at| number(agent.get(at + 7..).unwrap_or(&[])));
    match (claimed, hints) {
        (None, None) => ABSENT,
        (Some(_), None) => 1.0,
        (None, Some(_)) => 0.0,
        (Some(version), Some(hints)) => {
            // "Chromium";v="131", "Google Chrome";v="131", "Not_A Brand";v="24"
            let mut versions = places(hints, b"v=\"").filter_map(|at| number(hints.get(at + 3..)?));
            if versions.any(|v| v == version) { 2.0 } else { 0.0 }
        }
    }
}

/// `Sec-CH-UA-Platform` beside the user agent.
pub(crate) fn platform(agent: Option<&[u8]>, platform: Option<&[u8]>) -> f32 {
    let Some(platform) = platform else { return ABSENT };
    let agent = agent.unwrap_or(&[]);
    let has = |text: &str| places(agent, text.as_bytes()).next().is_some();
    yes(match platform {
        b"\"Windows\"" => has("Windows NT"),
        b"\"macOS\"" => has("Mac OS X") && !has("like Mac OS X"),
        b"\"Linux\"" => has("Linux") && !has("Android"),
        b"\"Android\"" => has("Android"),
        b"\"Chrome OS\"" | b"\"Chromium OS\"" => has("CrOS"),
        b"\"iOS\"" => has("like Mac OS X"),
        _ => false,
    })
}

/// `Sec-CH-UA-Mobile` beside the user agent.
pub(crate) fn mobile(agent: Option<&[u8]>, mobile: Option<&[u8]>) -> f32 {
    let Some(mobile) = mobile else { return ABSENT };
    let claims = places(agent.unwrap_or(&[]), b"Mobile").next().is_some();
    yes(matches!((mobile, claims), (b"?1", true) | (b"?0", false)))
}

/// Fetch metadata (W3C Fetch Metadata Request Headers): complete, of known words, and possible together.
pub(crate) fn fetch(
    site: Option<&[u8]>,
    mode: Option<&[u8]>,
    dest: Option<&[u8]>,
    user: Option<&[u8]>,
) -> f32 {
    let (site, mode, dest) = match (site, mode, dest) {
        (None, None, None) => return ABSENT,
        (Some(site), Some(mode), Some(dest)) => (site, mode, dest),
        _ => return 0.0,
    };
    let navigates = mode == b"navigate";
    let site_known = matches!(site, b"none" | b"same-origin" | b"same-site" | b"cross-site");
    let mode_known = navigates || matches!(mode, b"cors" | b"no-cors" | b"same-origin" | b"websocket");
    let into_page =
        matches!(dest, b"document" | b"iframe" | b"frame" | b"embed" | b"object" | b"fencedframe");
    // Embeds and objects are fetched either way, all else as its mode says.
    let dest_fits = if navigates { into_page } else { !into_page || matches!(dest, b"embed" | b"object") };
    // Only a person who types an address comes from nowhere, and only a person's click is marked.
    let user_fits = user.is_none_or(|user| user == b"?1" && navigates);
    yes(site_known && mode_known && dest_fits && user_fits && (site != b"none" || navigates))
}

/// Where a short word stands. By its first letter, which is rare in what is looked through here: preparing a real search
/// would take longer than the search.
fn places<'a>(text: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = word.first().copied().unwrap_or(0);
    memchr::memchr_iter(first, text)
        .filter(move |at| text.get(*at..).is_some_and(|rest| rest.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<&[u8]> {
        (text != "-").then_some(text.as_bytes())
    }

    #[test]
    fn a_url_has_the_host_or_not() {
        for (url, host, want) in [
            ("https://a.test/x", "a.test", true),
            ("https://A.test", "a.test", true),
            ("http://a.test:8080/", "a.test", true),
            ("http://u:p@a.test/", "a.test", true),
            ("http://[::1]:80/", "[::1]", true),
            ("http://[::1]/", "[::1]", true),
            ("https://b.test/?https://a.test", "a.test", false),
            ("https://a.test.evil.test/", "a.test", false),
            ("a.test", "a.test", false),
            ("://", "", false),
            ("", "", false),
        ] {
            assert_eq!(same_host(url.as_bytes(), host.as_bytes()), want, "{url}");
        }
        for (host, want) in
            [("[::1]", true), ("10.0.0.1", true), ("a.test", false), ("", false), ("1a", false)]
        {
            assert_eq!(is_address(host.as_bytes()), want, "{host}");
        }
    }

    #[test]
    fn hints_agree_by_version() {
        let chrome = "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0.0.0 Safari/537.36";
        for (agent, sent, want) in [
            (chrome, "\"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\"", 2.0),
            (chrome, "\"Chromium\";v=\"120\", \"Not_A Brand\";v=\"24\"", 0.0),
            (chrome, "-", 1.0),
            (chrome, "v=\"", 0.0),
            ("curl/8.5.0", "-", -1.0),
            ("-", "-", -1.0),
            ("curl/8.5.0", "\"Chromium\";v=\"131\"", 0.0),
            ("Chrome/", "-", -1.0),
        ] {
            assert_eq!(hints(some(agent), some(sent)), want, "{agent} {sent}");
        }
    }

    #[test]
    fn platform_and_mobile_agree_with_the_agent() {
        let (windows, mac, phone) =
            ("(Windows NT 10.0)", "(Macintosh; Intel Mac OS X)", "(Linux; Android 10; K) Mobile");
        for (agent, sent, want) in [
            (windows, "\"Windows\"", 1.0),
            (windows, "\"macOS\"", 0.0),
            (mac, "\"macOS\"", 1.0),
            ("(iPhone; CPU iPhone OS 17 like Mac OS X)", "\"macOS\"", 0.0),
            (phone, "\"Android\"", 1.0),
            (phone, "\"Linux\"", 0.0),
            (windows, "-", -1.0),
            ("-", "\"Windows\"", 0.0),
            (windows, "Windows", 0.0),
        ] {
            assert_eq!(platform(some(agent), some(sent)), want, "{agent} {sent}");
        }
        for (agent, sent, want) in [
            (phone, "?1", 1.0),
            (phone, "?0", 0.0),
            (windows, "?0", 1.0),
            (windows, "?1", 0.0),
            (windows, "-", -1.0),
        ] {
            assert_eq!(mobile(some(agent), some(sent)), want, "{agent} {sent}");
        }
    }

    #[test]
    fn fetch_metadata_is_whole_and_possible() {
        for (site, mode, dest, user, want) in [
            ("-", "-", "-", "-", -1.0),
            ("none", "navigate", "document", "?1", 1.0),
            ("same-origin", "navigate", "iframe", "-", 1.0),
            ("same-origin", "cors", "empty", "-", 1.0),
            ("cross-site", "no-cors", "image", "-", 1.0),
            ("same-origin", "cors", "empty", "?1", 0.0),
            ("none", "cors", "empty", "-", 0.0),
            ("same-origin", "navigate", "empty", "-", 0.0),
            ("same-origin", "cors", "document", "-", 0.0),
            ("everywhere", "navigate", "document", "-", 0.0),
            ("none", "navigate", "-", "-", 0.0),
            ("none", "-", "-", "-", 0.0),
        ] {
            assert_eq!(
                fetch(some(site), some(mode), some(dest), some(user)),
                want,
                "{site} {mode} {dest} {user}"
            );
        }
    }
}
