//! The table of errors: one entry a code, in ascending order.

/// Who failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The visitor's request, which was refused.
    Visitor,
    /// The edge itself.
    Edge,
    /// The origin, or the way from the edge to it.
    Origin,
}

impl Party {
    /// `visitor`, `edge` or `origin`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Party::Visitor => "visitor",
            Party::Edge => "edge",
            Party::Origin => "origin",
        }
    }
}

/// What is to be said about one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The code on the page. Below 1000 it is the HTTP status.
    pub code: u16,
    /// HTTP status of the answer.
    pub status: u16,
    /// Name for programs, in `snake_case`.
    pub name: &'static str,
    /// A few words for the heading.
    pub title: &'static str,
    /// What happened, in a sentence or two.
    pub happened: &'static str,
    /// What a visitor can do.
    pub visitor: &'static str,
    /// What the owner of the site can do, one step a line; none where the owner has no part in it.
    pub owner: &'static [&'static str],
    /// Who failed.
    pub failed: Party,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Seconds to wait before that, where there is a usual time; sent as `Retry-After`.
    pub retry_after_secs: Option<u32>,
    /// Whether it stays until the owner changes something.
    pub owner_action: bool,
}

impl Entry {
    /// The kind of error, for programs: `request`, `access`, `rate_limit`, `dns`, `tls`, `origin`, `edge`.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self.code {
            1015 => "rate_limit",
            1003 | 1005..=1011 | 1020 => "access",
            1000 | 1001 | 1016 | 1018 | 530 => "dns",
            525 | 526 | 1013 => "tls",
            _ => match self.failed {
                Party::Visitor => "request",
                Party::Edge => "edge",
                Party::Origin => "origin",
            },
        }
    }

    /// Whether the page is cut to a heading and two sentences: faults of the request's form, seen by programs rather than
    /// people, where a picture of three stations would explain nothing.
    #[must_use]
    pub const fn is_brief(&self) -> bool {
        matches!(self.code, 400..=499 | 501 | 505)
    }
}

/// The entry of a code; that of 500 for a code outside the table.
#[must_use]
pub fn entry(code: u16) -> &'static Entry {
    let at = |code| ENTRIES.binary_search_by_key(&code, |e| e.code).ok().and_then(|i| ENTRIES.get(i));
    at(code).or_else(|| at(500)).unwrap_or(&INTERNAL)
}

const INTERNAL: Entry = Entry {
    code: 500,
    status: 500,
    name: "internal_error",
    title: "Internal error",
    happened: "Something went wrong inside the edge while it worked on this request. Neither your request nor the site behind the edge is to blame.",
    visitor: "Try again in a moment. If it stays, tell the site's owner the ray ID below.",
    owner: &["Look the ray ID up in the edge's access log; the line names the part that failed."],
    failed: Party::Edge,
    retryable: true,
    retry_after_secs: None,
    owner_action: false,
};

const RETRY: &str = "Try again in a minute. If it stays, tell the site's owner the ray ID below.";
const RESEND: &str = "If you typed or followed a link, check it and try again. If a program sent this request, it has a fault.";
const BLOCKED: &str = "If you think this is a mistake, send the owner of the site the ray ID below and say what you were doing.";
const FIND_RULE: &str = "Look the ray ID up in the edge's log to see which rule matched.";
const LET_THROUGH: &str =
    "Make sure that the origin's firewall lets the edge's addresses through and does not rate limit them.";

/// Every error the edge gives, in ascending order of their codes.
pub const ENTRIES: &[Entry] = &[
    Entry {
        code: 400,
        status: 400,
        name: "bad_request",
        title: "Bad request",
        happened: "The edge could not make sense of this request, or it could be read in two ways, which is refused for everyone's safety. Nothing was passed on.",
        visitor: RESEND,
        owner: &[],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 404,
        status: 404,
        name: "not_found",
        title: "Not found",
        happened: "The edge has nothing under this address: no route of the site leads here, or the path is one it keeps for itself.",
        visitor: "Check the address.",
        owner: &[],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 405,
        status: 405,
        name: "method_not_allowed",
        title: "Method not allowed",
        happened: "The edge does not serve requests with this method.",
        visitor: RESEND,
        owner: &[],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 408,
        status: 408,
        name: "request_timeout",
        title: "Request timed out",
        happened: "The rest of the request did not arrive in time.",
        visitor: "Your connection may be slow or broken: check it and try again.",
        owner: &[],
        failed: Party::Visitor,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 413,
        status: 413,
        name: "content_too_large",
        title: "Upload too large",
        happened: "The request carries more data than this site accepts.",
        visitor: "Send a smaller file, or split it.",
        owner: &["Raise `edge.limits.body_bytes` if uploads of this size are meant to pass."],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 414,
        status: 414,
        name: "uri_too_long",
        title: "Address too long",
        happened: "The address of this request is longer than the edge accepts.",
        visitor: RESEND,
        owner: &["Raise `edge.limits.uri_bytes` if addresses of this length are meant to pass."],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 417,
        status: 417,
        name: "expectation_failed",
        title: "Expectation failed",
        happened: "The request expects something of the edge that it does not know how to do.",
        visitor: RESEND,
        owner: &[],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 421,
        status: 421,
        name: "misdirected_request",
        title: "Misdirected request",
        happened: "No site of this name is served here, or the request came over a connection that was made for another site.",
        visitor: "Try again: a browser then opens a connection of its own for this site.",
        owner: &[],
        failed: Party::Visitor,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 431,
        status: 431,
        name: "header_fields_too_large",
        title: "Header fields too large",
        happened: "The request has more header fields, or longer ones, than the edge accepts. Very often these are cookies.",
        visitor: "Delete this site's cookies in your browser and try again.",
        owner: &[
            "Set fewer and smaller cookies.",
            "Raise `edge.limits.header_bytes` or `edge.limits.header_count` if they must stay.",
        ],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    INTERNAL,
    Entry {
        code: 501,
        status: 501,
        name: "not_implemented",
        title: "Not implemented",
        happened: "The request asks for something of the protocol that the edge does not do, such as an unknown transfer coding.",
        visitor: RESEND,
        owner: &[],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 502,
        status: 502,
        name: "bad_gateway",
        title: "Bad gateway",
        happened: "The edge is working, but it got no usable answer from the origin of this site, nor from any server that could stand in for it.",
        visitor: RETRY,
        owner: &[
            "Check that the application behind the origin runs and did not crash or restart just now.",
            "If the origin is itself a proxy, look at its log: it may have failed to reach the application.",
            "Check that the origin answers for this host name.",
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 503,
        status: 503,
        name: "service_unavailable",
        title: "Service unavailable",
        happened: "No server of this site can take a request just now: each is failing its health checks, resting after errors, or taken out of service.",
        visitor: RETRY,
        owner: &[
            "See which origins are out, and why, with `seawall top`.",
            "Check that the health check asks for a page that answers with the status it expects.",
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: Some(10),
        owner_action: false,
    },
    Entry {
        code: 504,
        status: 504,
        name: "gateway_timeout",
        title: "Gateway timed out",
        happened: "The edge is working, but no server of this site answered before the time for this request was over, further tries included.",
        visitor: RETRY,
        owner: &[
            "Look for load, crashes and blocked requests on the origin at this time.",
            "If the origin is itself a proxy, the application behind it may be the slow one.",
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 505,
        status: 505,
        name: "version_not_supported",
        title: "HTTP version not supported",
        happened: "The request is written in a version of HTTP that the edge does not speak.",
        visitor: RESEND,
        owner: &[],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 520,
        status: 520,
        name: "origin_unknown_error",
        title: "The origin sent something unexpected",
        happened: "The edge reached the origin of this site, but what came back was empty, broken off, or no valid HTTP response.",
        visitor: RETRY,
        owner: &[
            "Look for crashes in the origin's error log at the time above.",
            "Check the size of the response's header fields: too many or too large cookies are a common cause.",
            "Check that the port speaks HTTP, and that HTTP/2 works if the origin offers it.",
            LET_THROUGH,
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 521,
        status: 521,
        name: "origin_down",
        title: "The origin is down",
        happened: "The origin of this site refused the edge's connection. Most often its web server is not running.",
        visitor: RETRY,
        owner: &[
            "Check that the web server runs and listens on the address and port the edge is set to use.",
            LET_THROUGH,
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 522,
        status: 522,
        name: "origin_connection_timeout",
        title: "Connection timed out",
        happened: "The edge tried to connect to the origin of this site and heard nothing back in time.",
        visitor: RETRY,
        owner: &[
            LET_THROUGH,
            "Check that the origin's address in the configuration is still the right one.",
            "Check the origin's load: a server that is overwhelmed drops new connections.",
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 523,
        status: 523,
        name: "origin_unreachable",
        title: "The origin is unreachable",
        happened: "There is no way through the network from the edge to the origin of this site.",
        visitor: RETRY,
        owner: &[
            "Check that the origin's address in the configuration is right and routed.",
            "Trace the route from the edge's machine to the origin and ask the network's operator about the last hop.",
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 524,
        status: 524,
        name: "origin_response_timeout",
        title: "A timeout occurred",
        happened: "The edge connected to the origin of this site and sent the request, but the origin did not begin to answer in time.",
        visitor: "Try again in a minute. If you asked for something large, such as an export, ask for less at once.",
        owner: &[
            "Find out what kept the origin busy: a slow query, a lock, or too much load.",
            "Let long work run in the background and have the page ask for its state.",
            "Raise the pool's `timeouts.response` if this request is meant to take so long.",
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 525,
        status: 525,
        name: "origin_tls_handshake_failed",
        title: "TLS handshake failed",
        happened: "The edge connected to the origin of this site, but the two could not agree on an encrypted connection.",
        visitor: RETRY,
        owner: &[
            "Check that the origin speaks TLS on this port and has a certificate.",
            "Check that it offers TLS 1.2 or 1.3 with a current cipher suite.",
            "Check that it knows the name the edge asks for (`sni`).",
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: true,
    },
    Entry {
        code: 526,
        status: 526,
        name: "origin_certificate_invalid",
        title: "Invalid certificate at the origin",
        happened: "The origin of this site showed a certificate the edge does not trust, so nothing was sent to it.",
        visitor: "There is nothing you can do but wait. Tell the site's owner if it stays.",
        owner: &[
            "Check that the certificate has not expired and names the host the edge asks for.",
            "Check that the whole chain is sent, and that its root is public or set as the origin's `ca`.",
            "With a self-signed certificate, set `tls = \"full\"`: encrypted, but unchecked.",
        ],
        failed: Party::Origin,
        retryable: false,
        retry_after_secs: None,
        owner_action: true,
    },
    Entry {
        code: 530,
        status: 530,
        name: "origin_name_error",
        title: "The origin has no address",
        happened: "The edge could not find out where the origin of this site is.",
        visitor: RETRY,
        owner: &["Check the origin's name in the configuration and in the DNS."],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: true,
    },
    Entry {
        code: 1000,
        status: 403,
        name: "request_loop",
        title: "The request goes in a circle",
        happened: "The origin of this site leads back to this edge, so the request would never arrive.",
        visitor: "There is nothing you can do but wait. Tell the site's owner if it stays.",
        owner: &[
            "Set the origin to the address of your server, not to one that leads to the edge.",
            "If a proxy stands at the origin, make sure that it does not send requests back through the edge.",
        ],
        failed: Party::Origin,
        retryable: false,
        retry_after_secs: None,
        owner_action: true,
    },
    Entry {
        code: 1001,
        status: 409,
        name: "site_not_here",
        title: "This site is not served here",
        happened: "The name you asked for leads to this edge, but no site with that name is set up on it.",
        visitor: "Check the spelling of the address. If it is right, tell the site's owner.",
        owner: &[
            "Add the name to the `hosts` of a zone, or point its DNS record elsewhere.",
            "If the zone is in the configuration, run `seawall check`: a zone with a fault is left out.",
        ],
        failed: Party::Edge,
        retryable: false,
        retry_after_secs: None,
        owner_action: true,
    },
    Entry {
        code: 1003,
        status: 403,
        name: "direct_ip_access",
        title: "Direct IP access is not allowed",
        happened: "The request names an IP address where the name of a site belongs.",
        visitor: "Use the site's name in the address instead of numbers.",
        owner: &["Add a zone with the host `*` if requests without a known name are to be served."],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 1005,
        status: 403,
        name: "network_blocked",
        title: "Your network is blocked",
        happened: "The owner of this site lets in no requests from the network you use.",
        visitor: BLOCKED,
        owner: &[FIND_RULE, "Allow the network, or this address, if the visitor is welcome."],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 1006,
        status: 403,
        name: "address_blocked",
        title: "Your address is blocked",
        happened: "The owner of this site lets in no requests from your IP address.",
        visitor: BLOCKED,
        owner: &[FIND_RULE, "Allow the address if the visitor is welcome."],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 1009,
        status: 403,
        name: "country_blocked",
        title: "Your country or region is blocked",
        happened: "The owner of this site lets in no requests from the country or region your address belongs to.",
        visitor: BLOCKED,
        owner: &[
            FIND_RULE,
            "Allow the address if the visitor is welcome; the country of an address is a guess and can be wrong.",
        ],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 1010,
        status: 403,
        name: "browser_signature_blocked",
        title: "Your browser is blocked",
        happened: "The owner of this site refuses programs that look like the one you use.",
        visitor: "Try another browser. If you think this is a mistake, send the owner of the site the ray ID below.",
        owner: &[FIND_RULE, "Turn the browser check off for the paths that programs may use."],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 1011,
        status: 403,
        name: "hotlink_blocked",
        title: "This file is not for use on other sites",
        happened: "Another site showed a file of this one, which its owner does not allow.",
        visitor: "Open the file from a page of the site it belongs to.",
        owner: &[FIND_RULE],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 1013,
        status: 421,
        name: "host_sni_mismatch",
        title: "Two names for one request",
        happened: "The name of the site in the request is not the one the encrypted connection was made for.",
        visitor: "Try again. If it stays, something between you and the edge changes requests: a proxy or a security program.",
        owner: &["Use a certificate that names both hosts if they are meant to share connections."],
        failed: Party::Visitor,
        retryable: true,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 1015,
        status: 429,
        name: "rate_limited",
        title: "Too many requests",
        happened: "You sent more requests in a short time than the owner of this site allows.",
        visitor: "Wait a little, then go on more slowly.",
        owner: &[FIND_RULE, "Raise the limit, or count over a longer time, if ordinary visitors reach it."],
        failed: Party::Visitor,
        retryable: true,
        retry_after_secs: Some(30),
        owner_action: false,
    },
    Entry {
        code: 1016,
        status: 530,
        name: "origin_dns_error",
        title: "The origin's name cannot be resolved",
        happened: "The edge asked the DNS for the address of this site's origin and got none.",
        visitor: RETRY,
        owner: &[
            "Check the origin's name in the configuration and that it has an A or AAAA record.",
            "If the record is a CNAME, check that its target resolves too.",
            "Check that the edge's machine reaches its DNS resolver.",
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: None,
        owner_action: true,
    },
    Entry {
        code: 1018,
        status: 409,
        name: "site_not_ready",
        title: "This site is not ready yet",
        happened: "The site is known, but its settings have not reached this edge, or are held back because of a fault in them.",
        visitor: "Try again in a few minutes.",
        owner: &["Run `seawall check`, and see in the edge's log why the zone is held back."],
        failed: Party::Edge,
        retryable: true,
        retry_after_secs: Some(120),
        owner_action: true,
    },
    Entry {
        code: 1020,
        status: 403,
        name: "access_denied",
        title: "Access denied",
        happened: "A rule set by the owner of this site refused the request.",
        visitor: BLOCKED,
        owner: &[FIND_RULE, "Change the rule, or allow this visitor, if the request is welcome."],
        failed: Party::Visitor,
        retryable: false,
        retry_after_secs: None,
        owner_action: false,
    },
    Entry {
        code: 1200,
        status: 503,
        name: "origin_overloaded",
        title: "The origin has all the work it can do",
        happened: "More requests wait for the origin of this site than it can answer. This one was turned away at once, so that the others are answered in time.",
        visitor: "Wait a moment and try again.",
        owner: &[
            "Make the origin faster, or add another to the pool.",
            "Let the edge cache more, so that fewer requests reach the origin.",
            "Raise `max_connections` or `max_pending` if the origin can take more.",
        ],
        failed: Party::Origin,
        retryable: true,
        retry_after_secs: Some(5),
        owner_action: false,
    },
    Entry {
        code: 9001,
        status: 503,
        name: "module_closed",
        title: "A safety check is not working",
        happened: "A part of the edge that must judge every request to this site has failed, and the owner chose that nothing passes without it.",
        visitor: RETRY,
        owner: &[
            "See which module is out, and why, in the edge's log and at `/readyz`.",
            "Set the module to fail open if the site may be served without it.",
        ],
        failed: Party::Edge,
        retryable: true,
        retry_after_secs: Some(30),
        owner_action: false,
    },
    Entry {
        code: 9002,
        status: 503,
        name: "edge_overloaded",
        title: "The edge has all the work it can do",
        happened: "The edge reached one of its limits and turned this request away at once, so that the others are answered in time.",
        visitor: "Wait a moment and try again.",
        owner: &[
            "See in the edge's log and metrics which limit was reached.",
            "Raise the limit, or add an edge.",
        ],
        failed: Party::Edge,
        retryable: true,
        retry_after_secs: Some(5),
        owner_action: false,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_every_one_is_found() {
        assert!(ENTRIES.windows(2).all(|w| w[0].code < w[1].code));
        for e in ENTRIES {
            assert_eq!(entry(e.code), e);
        }
        assert_eq!(entry(7).code, 500);
    }

    #[test]
    fn codes_below_1000_are_the_status_and_the_promised_ones_are_there() {
        for e in ENTRIES {
            assert!(
                if e.code < 1000 { e.status == e.code } else { (400..600).contains(&e.status) },
                "{}",
                e.code
            );
        }
        let promised = [
            400, 408, 413, 414, 421, 431, 500, 501, 502, 503, 504, 505, 520, 521, 522, 523, 524, 525, 526,
            530,
        ]
        .into_iter()
        .chain([1000, 1001, 1003, 1015, 1016, 1020]);
        for code in promised {
            assert_eq!(entry(code).code, code);
        }
    }

    #[test]
    fn names_are_unique_and_every_text_is_a_sentence() {
        let names: std::collections::BTreeSet<_> = ENTRIES.iter().map(|e| e.name).collect();
        assert_eq!(names.len(), ENTRIES.len());
        for e in ENTRIES {
            assert!(e.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", e.name);
            assert!(!e.title.ends_with('.') && e.title.len() <= 48, "{}", e.title);
            for text in [e.happened, e.visitor].iter().chain(e.owner) {
                assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", e.code);
            }
            assert!(e.retryable || e.retry_after_secs.is_none(), "{}", e.code);
            assert!(
                e.failed == Party::Visitor || !e.owner.is_empty(),
                "{}: the owner must know what to do",
                e.code
            );
        }
    }
}
