//! Modules of the edge, as drills use them: what makes a zone use one.

/// A module, how it fails by default, and what a zone says to use it.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Its name.
    pub name: &'static str,
    /// Whether a request is answered 503 while it fails. The others let it go on.
    pub closed: bool,
    /// Keys of the zone.
    pub keys: &'static str,
    /// Tables of the zone.
    pub tables: &'static str,
}

/// Every module, in the order a request meets them.
pub const MODULES: [Module; 6] = [
    Module { name: "redirect", closed: false, keys: "always_https = true", tables: "" },
    Module { name: "bans", closed: true, keys: "bans = \"neighbours\"", tables: "" },
    Module { name: "bot", closed: false, keys: "", tables: "[zone.bot]\nscore = true\nheader = true" },
    Module {
        name: "firewall",
        closed: false,
        keys: "",
        tables: "[[zone.rule]]\nname = \"probe\"\naction = \"block\"\npath = \"^/probe$\"",
    },
    Module {
        name: "request_headers",
        closed: true,
        keys: "",
        tables: "[[zone.route]]\nrequest_headers = { set = { X-Drill-Asked = \"1\" } }",
    },
    Module {
        name: "response_headers",
        closed: true,
        keys: "",
        tables: "[[zone.route]]\nresponse_headers = { set = { X-Drill-Told = \"1\" } }",
    },
];

/// The list that zones ban by. No visitor of a drill is on it but those who say so.
pub const LIST: &str = "[[list]]\nname = \"neighbours\"\naddresses = [\"192.0.2.0/24\"]";
/// An address on it.
pub const BANNED: &str = "192.0.2.7";
