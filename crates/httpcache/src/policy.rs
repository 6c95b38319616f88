//! What a route wants of the cache, and what it takes for cacheable when the origin says nothing.

/// Longest time an operator's window or override is honoured, in seconds: a year, more than any cache keeps an object.
pub const POLICY_SECONDS_MAX: u32 = 366 * 86_400;

/// Which responses a route caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// None (`cache = false`).
    Off,
    /// Those the origin gives explicit freshness, and the usual static extensions (`cache = true`).
    #[default]
    Standard,
    /// As if every path had a static extension (`cache = "everything"`).
    Everything,
}

/// What a response that sets cookies must say before it is stored.
///
/// RFC 9111 §7.3 leaves such responses cacheable; a shared cache that hands one visitor's session to the next is the
/// classic accident. Never stored without explicit freshness, and stored without its Set-Cookie under an edge TTL
/// (as Cloudflare does).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// Explicit freshness of any kind (what RFC 9111 says).
    #[default]
    WhenExplicit,
    /// A word meant for shared caches: `public`, `s-maxage` or a targeted field (RFC 9213).
    WhenShared,
    /// Not at all.
    Never,
}

/// Heuristic freshness (RFC 9111 §4.2.2): a share of the time since Last-Modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heuristic {
    /// Share of the age of the representation, in percent.
    pub percent: u8,
    /// Longest lifetime it yields, in seconds.
    pub max_s: u32,
}

impl Default for Heuristic {
    /// A tenth, at most a day, as the RFC suggests.
    fn default() -> Self {
        Heuristic { percent: 10, max_s: 86_400 }
    }
}

/// The cache settings of one route. Durations in seconds; values above [`POLICY_SECONDS_MAX`] count as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which responses are cached.
    pub mode: Mode,
    /// Zone in development mode: nothing is served from the cache or stored.
    pub development_mode: bool,
    /// Lifetime at this edge whatever the origin says, `private` and `no-store` included; 0 stores nothing. Responses
    /// to requests with Authorization and `Vary: *` stay out. Applies to 2xx, 301 and 308; other statuses get the
    /// shorter of it and [`default_ttl_s`].
    pub edge_ttl_s: Option<u32>,
    /// `max-age` shown to clients, counted from the moment they get it; see [`Policy::client_max_age_s`].
    pub browser_ttl_s: Option<u32>,
    /// Whether static extensions without explicit freshness get [`default_ttl_s`].
    pub static_defaults: bool,
    /// Heuristic freshness where nothing else gives any; off by default.
    pub heuristic: Option<Heuristic>,
    /// Stale-while-revalidate window for responses that name none.
    pub stale_while_revalidate_s: u32,
    /// Stale-if-error window for responses that name none.
    pub stale_if_error_s: u32,
    /// Window in which stale is served when the origin cannot be reached at all (RFC 9111 §4.2.4 "disconnected").
    pub stale_if_unreachable_s: u32,
    /// Ignores Cache-Control and Pragma of requests, as Cloudflare does. Off by default: RFC 9111 §5.2.1 is honoured.
    pub ignore_client_directives: bool,
    /// What responses with Set-Cookie must say.
    pub set_cookie: SetCookie,
    /// Whether Surrogate-Control counts, after the targeted fields of RFC 9213.
    pub surrogate_control: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            mode: Mode::Standard,
            development_mode: false,
            edge_ttl_s: None,
            browser_ttl_s: None,
            static_defaults: true,
            heuristic: None,
            stale_while_revalidate_s: 0,
            stale_if_error_s: 0,
            stale_if_unreachable_s: 3600,
            ignore_client_directives: false,
            set_cookie: SetCookie::WhenExplicit,
            surrogate_control: true,
        }
    }
}

impl Policy {
    /// The `max-age` to write for a client when the route overrides the browser's TTL. The age is added because the
    /// browser subtracts the Age field we must send beside it (RFC 9111 §5.1).
    #[must_use]
    pub fn client_max_age_s(&self, age_s: u32) -> Option<u32> {
        self.browser_ttl_s.map(|ttl| ttl.min(POLICY_SECONDS_MAX).saturating_add(age_s))
    }
}

/// Lifetime in seconds of a cacheable response without explicit freshness, by status; `None`: not cached.
///
/// RFC 9111 §3 would have 302 and 303 stored only when they say so themselves; here the operator does, whose choice it
/// is to have static extensions cached.
///
/// Source: developers.cloudflare.com/cache/how-to/configure-cache-status-code, "Edge TTL". Its 206 is left out, as
/// partial responses are never stored.
#[must_use]
pub fn default_ttl_s(status: u16) -> Option<u32> {
    match status {
        200 | 301 => Some(7200),
        302 | 303 => Some(1200),
        404 | 410 => Some(180),
        _ => None,
    }
}

/// File extensions cached without explicit freshness, sorted.
/// Source: developers.cloudflare.com/cache/concepts/default-cache-behavior, "Default cached file extensions".
pub const STATIC_EXTENSIONS: &[&str] = &[
    "7z", "apk", "avi", "avif", "bin", "bmp", "bz2", "class", "css", "csv", "dmg", "doc", "docx", "ejs",
    "eot", "eps", "exe", "flac", "gif", "gz", "ico", "iso", "jar", "jpeg", "jpg", "js", "mid", "midi", "mkv",
    "mp3", "mp4", "ogg", "otf", "pdf", "pict", "pls", "png", "ppt", "pptx", "ps", "rar", "svg", "svgz",
    "swf", "tar", "tif", "tiff", "ttf", "webm", "webp", "woff", "woff2", "xls", "xlsx", "zip", "zst",
];

/// Whether a path (without query) is cached without explicit freshness: by its extension, in any case, or because it
/// is `/robots.txt`.
#[must_use]
pub fn is_static(path: &[u8]) -> bool {
    const LONGEST: usize = 5;
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or(&[]);
    let Some(dot) = name.iter().rposition(|b| *b == b'.') else { return false };
    let extension = name.get(dot + 1..).unwrap_or(&[]);
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..extension.len()) else { return false };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    STATIC_EXTENSIONS.binary_search_by(|e| e.as_bytes().cmp(lower)).is_ok() || path == b"/robots.txt"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_extension_is_found() {
        assert!(STATIC_EXTENSIONS.is_sorted());
        for extension in STATIC_EXTENSIONS {
            assert!(is_static(format!("/a.b/c.{}", extension.to_uppercase()).as_bytes()), "{extension}");
        }
    }

    #[test]
    fn pages_and_folders_are_not_static() {
        for path in
            ["", "/", "/a", "/a.html", "/a.js/", "/js", "/.", "/a.js.map", "/x/robots.txt", "/a.jsonlines"]
        {
            assert!(!is_static(path.as_bytes()), "{path}");
        }
        assert!(is_static(b"/robots.txt"));
    }

    #[test]
    fn the_browser_gets_its_ttl_on_top_of_the_age() {
        let policy = Policy { browser_ttl_s: Some(300), ..Policy::default() };
        assert_eq!(policy.client_max_age_s(1000), Some(1300));
        assert_eq!(Policy::default().client_max_age_s(1), None);
    }
}
