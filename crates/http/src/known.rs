//! Well-known field names: one table, recognised without allocation in a few nanoseconds.

/// Declares [`Known`] from one table of lower-case names in their usual spelling.
macro_rules! known {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A field name the edge itself reads or writes. Anything else is [`Known::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
            /// A name outside the table.
            Other,
        }

        /// Every well-known name, in the order of the enum.
        const NAMES: &[&str] = &[$($name),+];
        const ALL: &[Known] = &[$(Known::$variant),+];
    };
}

known! {
    Accept = "Accept", AcceptEncoding = "Accept-Encoding", AcceptRanges = "Accept-Ranges", Age = "Age",
    Allow = "Allow", AltSvc = "Alt-Svc", Authorization = "Authorization", CacheControl = "Cache-Control",
    CacheStatus = "Cache-Status", CacheTag = "Cache-Tag", CdnCacheControl = "CDN-Cache-Control",
    CdnLoop = "CDN-Loop", CfBotScore = "CF-Bot-Score", CfCacheStatus = "CF-Cache-Status", CfConnectingIp = "CF-Connecting-IP",
    CfIpCountry = "CF-IPCountry", CfRay = "CF-Ray", CfVisitor = "CF-Visitor",
    CloudflareCdnCacheControl = "Cloudflare-CDN-Cache-Control", Connection = "Connection",
    ContentEncoding = "Content-Encoding", ContentLanguage = "Content-Language",
    ContentLength = "Content-Length", ContentLocation = "Content-Location",
    ContentRange = "Content-Range", ContentType = "Content-Type", Cookie = "Cookie", Date = "Date",
    ETag = "ETag", Expect = "Expect", Expires = "Expires", Forwarded = "Forwarded", Host = "Host",
    Http2Settings = "HTTP2-Settings", IfMatch = "If-Match", IfModifiedSince = "If-Modified-Since",
    IfNoneMatch = "If-None-Match", IfRange = "If-Range", IfUnmodifiedSince = "If-Unmodified-Since",
    KeepAlive = "Keep-Alive", LastModified = "Last-Modified", Link = "Link", Location = "Location",
    MaxForwards = "Max-Forwards", Origin = "Origin", Pragma = "Pragma", Priority = "Priority",
    ProxyAuthenticate = "Proxy-Authenticate", ProxyAuthorization = "Proxy-Authorization",
    ProxyConnection = "Proxy-Connection", Range = "Range", Referer = "Referer",
    RetryAfter = "Retry-After", SeawallCdnCacheControl = "Seawall-CDN-Cache-Control",
    SecWebSocketAccept = "Sec-WebSocket-Accept", SecWebSocketExtensions = "Sec-WebSocket-Extensions",
    SecWebSocketKey = "Sec-WebSocket-Key", SecWebSocketProtocol = "Sec-WebSocket-Protocol",
    SecWebSocketVersion = "Sec-WebSocket-Version", Server = "Server", ServerTiming = "Server-Timing",
    SetCookie = "Set-Cookie", SurrogateCapability = "Surrogate-Capability", SurrogateControl = "Surrogate-Control", StrictTransportSecurity = "Strict-Transport-Security", Te = "TE",
    Trailer = "Trailer", TransferEncoding = "Transfer-Encoding", TrueClientIp = "True-Client-IP",
    Upgrade = "Upgrade", UserAgent = "User-Agent", Vary = "Vary", Via = "Via", Warning = "Warning",
    WwwAuthenticate = "WWW-Authenticate", XAccelBuffering = "X-Accel-Buffering",
    XForwardedFor = "X-Forwarded-For", XForwardedHost = "X-Forwarded-Host",
    XForwardedProto = "X-Forwarded-Proto", XRealIp = "X-Real-IP",
}

/// How many well-known names there are.
pub const KNOWN: usize = ALL.len();

const SLOTS: usize = 1024;
const EMPTY: u8 = u8::MAX;
const TABLE: [u8; SLOTS] = build();

impl Known {
    /// Every well-known name, in the order of the enum.
    #[must_use]
    pub const fn all() -> &'static [Known] {
        ALL
    }

    /// The name in its usual spelling; empty for [`Known::Other`].
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get(self as usize).copied().unwrap_or("")
    }

    /// Recognises a name without regard to case.
    #[must_use]
    #[inline]
    pub fn of(name: &[u8]) -> Known {
        let slot = TABLE.get(hash(name)).copied().unwrap_or(EMPTY);
        match (NAMES.get(slot as usize), ALL.get(slot as usize)) {
            (Some(text), Some(known)) if same(text.as_bytes(), name) => *known,
            _ => Known::Other,
        }
    }
}

/// Whether two names are the same but for case, eight bytes at a time. Folding sets one bit, which also makes control
/// characters look like digits and hyphens; no control character gets into a name.
#[inline]
fn same(known: &[u8], name: &[u8]) -> bool {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let (mut a, mut b) = (known, name);
    if a.len() != b.len() {
        return false;
    }
    while let (Some((x, rest_a)), Some((y, rest_b))) =
        (a.split_first_chunk::<8>(), b.split_first_chunk::<8>())
    {
        if u64::from_le_bytes(*x) | FOLD != u64::from_le_bytes(*y) | FOLD {
            return false;
        }
        (a, b) = (rest_a, rest_b);
    }
    a.iter().zip(b).all(|(x, y)| x | 0x20 == y | 0x20)
}

/// Length and four letters, folded to lower case, tell all names of the table apart ([`build`] proves it).
#[allow(clippy::indexing_slicing)] // every index is below the checked length
const fn hash(name: &[u8]) -> usize {
    let n = name.len();
    if n == 0 {
        return 0;
    }
    let a = (name[0] | 0x20) as usize;
    let b = (name[n - 1] | 0x20) as usize;
    let c = (name[n / 2] | 0x20) as usize;
    let d = (name[n * 3 / 4] | 0x20) as usize;
    (n.wrapping_mul(976)
        ^ a.wrapping_mul(868)
        ^ b.wrapping_mul(592)
        ^ c.wrapping_mul(362)
        ^ d.wrapping_mul(471))
        % SLOTS
}

/// Fills the table at compile time; two names in one slot do not compile.
#[allow(clippy::indexing_slicing, clippy::panic)] // const evaluation: a fault here stops the build, not a request
const fn build() -> [u8; SLOTS] {
    let mut table = [EMPTY; SLOTS];
    let mut i = 0;
    while i < NAMES.len() {
        let slot = hash(NAMES[i].as_bytes());
        assert!(table[slot] == EMPTY, "two well-known names share a slot: change the factors in `hash`");
        table[slot] = i as u8;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_recognised_in_any_case() {
        for (i, name) in NAMES.iter().enumerate() {
            for spelling in [name.to_string(), name.to_lowercase(), name.to_uppercase()] {
                assert_eq!(Known::of(spelling.as_bytes()), ALL[i], "{spelling}");
            }
            assert_eq!(ALL[i].name(), *name);
        }
    }

    #[test]
    fn other_names_are_other() {
        for name in ["", "x", "hos", "hosts", "x-custom", "content-lengths", "\u{0}"] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name:?}");
        }
    }
}
