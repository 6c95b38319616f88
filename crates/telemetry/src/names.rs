//! The words logs and metrics share, so that both spell them alike.

/// A word of a closed list, as a label.
pub trait Name: Copy + std::fmt::Debug + 'static {
    /// Position in the list.
    fn index(self) -> usize;
    /// As written in logs and labels.
    fn name(self) -> &'static str;
    /// The whole list, in the order of positions.
    fn all() -> &'static [Self];
}

/// Declares an enum with a name for each member, a dense index and the list of all.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$member_doc:meta])* $member:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$member_doc])* $member,)+
        }

        impl $type {
            /// Every member, in the order of [`Self::index`].
            pub const ALL: &'static [$type] = &[$($type::$member,)+];
            /// How many members there are.
            pub const COUNT: usize = Self::ALL.len();

            /// As written in logs and labels.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$member => $name,)+
                }
            }

            /// Position in [`Self::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl Name for $type {
            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                self.name()
            }

            fn all() -> &'static [$type] {
                Self::ALL
            }
        }
    };
}

names! {
    /// What the cache did for a request, in the words of Logpush's `CacheCacheStatus`.
    CacheStatus {
        /// The request never reached the cache.
        Unknown = "unknown",
        /// Not stored; fetched from the origin.
        Miss = "miss",
        /// Stored but too old; fetched anew.
        Expired = "expired",
        /// Served stale while another request fetches it anew (RFC 5861 §3).
        Updating = "updating",
        /// Served stale because the origin failed (RFC 5861 §4).
        Stale = "stale",
        /// Served from the store.
        Hit = "hit",
        /// Storing was forbidden by configuration.
        Ignored = "ignored",
        /// The cache was passed by: a cookie, `no-store`, development mode.
        Bypass = "bypass",
        /// Stored, too old, and confirmed by the origin with a 304.
        Revalidated = "revalidated",
        /// Not of a kind that is cached.
        Dynamic = "dynamic",
        /// Served from a fill another request had begun.
        StreamHit = "stream_hit",
    }
}

impl CacheStatus {
    /// Whether the body came from the store, fresh or not.
    #[must_use]
    pub const fn served_from_cache(self) -> bool {
        matches!(
            self,
            CacheStatus::Hit
                | CacheStatus::Stale
                | CacheStatus::Updating
                | CacheStatus::Revalidated
                | CacheStatus::StreamHit
        )
    }
}

names! {
    /// HTTP version of a request as the client sent it.
    HttpVersion {
        /// HTTP/1.0
        H10 = "HTTP/1.0",
        /// HTTP/1.1
        H11 = "HTTP/1.1",
        /// HTTP/2
        H2 = "HTTP/2",
        /// HTTP/3
        H3 = "HTTP/3",
    }
}

names! {
    /// TLS version of a connection.
    TlsVersion {
        /// TLS 1.2 (RFC 5246)
        V12 = "TLSv1.2",
        /// TLS 1.3 (RFC 8446)
        V13 = "TLSv1.3",
    }
}

names! {
    /// What a client connection is being used for now; a connection moves when it is upgraded.
    ConnectionKind {
        /// Accepted, handshake or preface not finished.
        Opening = "opening",
        /// HTTP/1 without TLS.
        Http1 = "http1",
        /// HTTP/1 over TLS.
        Http1Tls = "http1_tls",
        /// HTTP/2.
        Http2 = "http2",
        /// A tunnel after an upgrade or extended CONNECT: WebSocket and its kind.
        Tunnel = "tunnel",
    }
}

names! {
    /// Phases in which a client can be too slow.
    ClientTimeout {
        /// TLS handshake.
        Handshake = "tls_handshake",
        /// Request head.
        Header = "header",
        /// Between reads of a request body.
        Body = "body",
        /// Response not taken.
        Write = "write",
        /// Nothing asked on a kept connection; not a fault.
        Idle = "idle",
    }
}

names! {
    /// Why a connection or request was turned away before any zone saw it.
    Refusal {
        /// The head could not be read or its framing was in doubt.
        BadRequest = "bad_request",
        /// A limit of `[edge.limits]` on heads.
        HeadTooLarge = "head_too_large",
        /// More connections than `edge.limits.connections`.
        ConnectionLimit = "connection_limit",
        /// The TLS handshake failed.
        TlsHandshake = "tls_handshake",
        /// The PROXY protocol header was missing, malformed, or from a peer not trusted.
        ProxyProtocol = "proxy_protocol",
        /// HTTP/2 used against us: resets, floods of CONTINUATION, PING or SETTINGS.
        Http2Abuse = "http2_abuse",
        /// `accept` failed, mostly for want of file descriptors.
        Accept = "accept",
    }
}

names! {
    /// How an attempt at an origin ended when no usable response came of it.
    OriginFault {
        /// The name did not resolve.
        Resolve = "resolve",
        /// No connection: refused, unreachable.
        Connect = "connect",
        /// No connection in time.
        ConnectTimeout = "connect_timeout",
        /// TLS to the origin failed.
        Tls = "tls",
        /// No response head in time.
        ResponseTimeout = "response_timeout",
        /// The connection broke before or within the response.
        Broken = "broken",
        /// The response was not HTTP, or too large a head.
        Malformed = "malformed",
        /// Limits of the pool: connections, pending, adaptive concurrency.
        Overload = "overload",
    }
}

names! {
    /// Content codings applied on the fly.
    Coding {
        /// gzip (RFC 1952)
        Gzip = "gzip",
        /// Brotli (RFC 7932)
        Brotli = "br",
        /// Zstandard (RFC 8878)
        Zstd = "zstd",
    }
}

names! {
    /// A guarded stage (`seawall_model::Module`, in the same order; a test of the program compares the two).
    Module {
        /// Redirects to HTTPS and the like.
        Redirect = "redirect",
        /// Lists of banned addresses.
        Bans = "bans",
        /// The bot score.
        Bot = "bot",
        /// Firewall rules.
        Firewall = "firewall",
        /// Edits of request headers.
        RequestHeaders = "request_headers",
        /// Edits of response headers.
        ResponseHeaders = "response_headers",
    }
}

names! {
    /// How a module failed.
    ModuleFault {
        /// It panicked.
        Panic = "panic",
        /// It returned an error.
        Error = "error",
        /// It took longer than its time budget.
        Time = "time",
        /// It asked for more memory than its budget.
        Memory = "memory",
    }
}

names! {
    /// What a security module did to a request, in the words of Logpush's `SecurityAction`.
    SecurityAction {
        /// Answered with an error page.
        Block = "block",
        /// Asked the client to prove itself.
        Challenge = "challenge",
        /// Written down only.
        Log = "log",
        /// Later rules or modules were skipped.
        Skip = "skip",
    }
}

names! {
    /// Bot scores by tens: a band for each.
    ScoreBand {
        /// 1 to 9: surely a program.
        S1 = "1-9",
        /// 10 to 19.
        S10 = "10-19",
        /// 20 to 29.
        S20 = "20-29",
        /// 30 to 39.
        S30 = "30-39",
        /// 40 to 49.
        S40 = "40-49",
        /// 50 to 59.
        S50 = "50-59",
        /// 60 to 69.
        S60 = "60-69",
        /// 70 to 79.
        S70 = "70-79",
        /// 80 to 89.
        S80 = "80-89",
        /// 90 to 99: surely a person.
        S90 = "90-99",
    }
}

impl ScoreBand {
    /// The band of a score. None for what is no score (0, or above 99): it is not counted as one.
    #[must_use]
    pub fn of(score: u8) -> Option<ScoreBand> {
        if score == 0 {
            return None;
        }
        Self::ALL.get(usize::from(score / 10)).copied()
    }
}

names! {
    /// Which configuration ran a request while two are compared.
    Cohort {
        /// The one that serves.
        Current = "current",
        /// The one on its way.
        Candidate = "candidate",
    }
}

/// OpenSSL-style name of a TLS cipher suite by its IANA number, as Logpush writes it; `"unknown"` for any other.
///
/// Only the suites rustls with aws-lc-rs offers are listed.
#[must_use]
pub const fn cipher_name(suite: u16) -> &'static str {
    match suite {
        0x1301 => "AEAD-AES128-GCM-SHA256",
        0x1302 => "AEAD-AES256-GCM-SHA384",
        0x1303 => "AEAD-CHACHA20-POLY1305-SHA256",
        0xC02B => "ECDHE-ECDSA-AES128-GCM-SHA256",
        0xC02C => "ECDHE-ECDSA-AES256-GCM-SHA384",
        0xC02F => "ECDHE-RSA-AES128-GCM-SHA256",
        0xC030 => "ECDHE-RSA-AES256-GCM-SHA384",
        0xCCA8 => "ECDHE-RSA-CHACHA20-POLY1305",
        0xCCA9 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_leads_back_to_its_member() {
        for (position, status) in CacheStatus::ALL.iter().enumerate() {
            assert_eq!(status.index(), position);
        }
        assert_eq!(ConnectionKind::COUNT, ConnectionKind::ALL.len());
    }

    #[test]
    fn every_score_has_the_band_that_names_it_and_nothing_else_has_one() {
        for score in 1..=99u8 {
            let (low, high) = ScoreBand::of(score).unwrap().name().split_once('-').unwrap();
            assert!((low.parse().unwrap()..=high.parse().unwrap()).contains(&score), "{score}");
        }
        for odd in [0, 100, 255] {
            assert_eq!(ScoreBand::of(odd), None);
        }
    }
}
