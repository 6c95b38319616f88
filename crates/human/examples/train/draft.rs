//! A head as it is made up, and what heads have in common: hosts, paths, cookies, noise on the way.

use super::random::Random;
use std::fmt::Write as _;

/// HTTP versions as they stand in samples.
pub const H1: &str = "HTTP/1.1";
pub const H2: &str = "HTTP/2";

/// A head under construction. Names are written as in HTTP/1.1; HTTP/2 makes them lower case.
pub struct Draft {
    pub name: String,
    pub human: bool,
    pub https: bool,
    pub version: &'static str,
    pub method: &'static str,
    pub target: String,
    pub host: String,
    pub fields: Vec<(String, String)>,
}

impl Draft {
    /// A GET of a page over TLS and HTTP/2.
    pub fn new(name: &str, human: bool, random: &mut Random) -> Draft {
        Draft {
            name: name.to_owned(),
            human,
            https: true,
            version: H2,
            method: "GET",
            target: page(random),
            host: host(random),
            fields: Vec::new(),
        }
    }

    /// Adds a header.
    pub fn add(&mut self, name: &str, value: &str) {
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    /// Adds headers.
    pub fn all(&mut self, fields: &[(&str, &str)]) {
        for (name, value) in fields {
            self.add(name, value);
        }
    }

    /// Removes a header.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// As a sample. Over HTTP/1 a Host that is not placed stands first.
    pub fn text(&self) -> String {
        let mut out = format!(
            "## {} {}{}\n{} {} {}\n",
            if self.human { "human" } else { "bot" },
            if self.https { "" } else { "!" },
            self.name,
            self.method,
            self.target,
            self.version
        );
        let two = self.version == H2;
        if two {
            let _ = writeln!(out, ":authority: {}", self.host);
        } else if !self.fields.iter().any(|(n, _)| n.eq_ignore_ascii_case("host")) {
            let _ = writeln!(out, "Host: {}", self.host);
        }
        for (name, value) in &self.fields {
            match two {
                true if name == "Connection" || name == "Host" => {}
                true => drop(writeln!(out, "{}: {value}", name.to_ascii_lowercase())),
                false => drop(writeln!(out, "{name}: {value}")),
            }
        }
        out.push('\n');
        out
    }
}

/// A host name.
pub fn host(random: &mut Random) -> String {
    let name =
        random.of(&["harbour", "shop", "news", "forum", "library", "museum", "weather", "town", "ferry"]);
    match random.range(0, 4) {
        0 => format!("{name}.test"),
        1 => format!("api.{name}.example"),
        _ => format!("www.{name}.example"),
    }
}

const WORDS: &[&str] = &[
    "articles",
    "boats",
    "prices",
    "about",
    "contact",
    "tag",
    "storm",
    "tide",
    "2026",
    "11",
    "blog",
    "products",
    "item",
    "search",
    "en",
    "de",
    "account",
    "help",
    "category",
    "news",
    "quay",
    "lighthouse",
    "tickets",
];

/// The path of a page, as people follow links to them.
pub fn page(random: &mut Random) -> String {
    let mut path = String::new();
    for _ in 0..random.range(0, 4) {
        let word = random.of(WORDS);
        match random.range(0, 5) {
            0 => drop(write!(path, "/{word}-{}", random.range(1, 9999))),
            1 => drop(write!(path, "/{word}-{}-{}", random.of(WORDS), random.of(WORDS))),
            _ => drop(write!(path, "/{word}")),
        }
    }
    match random.range(0, 12) {
        0..4 => path.push('/'),
        4 => drop(write!(path, "/{}.html", random.of(WORDS))),
        5 => drop(write!(path, "/{}.php", random.of(WORDS))),
        6 => drop(write!(path, "/%C3%BC{}", random.of(WORDS))),
        _ if path.is_empty() => path.push('/'),
        _ => {}
    }
    match random.range(0, 10) {
        0 => drop(write!(path, "?q={}", random.of(WORDS))),
        1 => drop(write!(path, "?utm_source=mail&utm_medium=news&utm_campaign={}", random.range(1, 99))),
        2 => drop(write!(path, "?page={}&sort={}", random.range(1, 40), random.of(WORDS))),
        _ => {}
    }
    path
}

/// The path of something an API answers.
pub fn api(random: &mut Random) -> String {
    let (a, b) = (random.of(WORDS), random.of(WORDS));
    match random.range(0, 5) {
        0 => format!("/api/v{}/{a}/{}", random.range(1, 4), random.range(1, 99_999)),
        1 => format!("/api/{a}?{b}={}&limit={}", random.range(1, 99), random.range(1, 99)),
        2 => format!("/v{}/{a}/{b}", random.range(1, 4)),
        3 => "/graphql".to_owned(),
        _ => format!("/api/{a}"),
    }
}

/// The path of a file that pages load.
pub fn asset(random: &mut Random, endings: &[&str]) -> String {
    let (word, ending) = (random.of(WORDS), random.of(endings));
    match random.range(0, 3) {
        0 => format!("/static/{word}.{}.{ending}", random.hex(8)),
        1 => format!("/assets/{word}/{}.{ending}", random.of(WORDS)),
        _ => format!("/{word}.{ending}?v={}", random.range(1, 400)),
    }
}

/// A cookie that sites set.
pub fn cookie(random: &mut Random) -> String {
    let mut cookie = format!("session={}", random.hex(32));
    if random.percent(50) {
        let _ = write!(cookie, "; _ga=GA1.1.{}.{}", random.range(1, 1 << 31), random.range(1 << 30, 1 << 31));
    }
    if random.percent(30) {
        let _ = write!(cookie, "; consent={}; lang=en", random.hex(12));
    }
    cookie
}

/// Languages of people.
pub fn languages(random: &mut Random) -> &'static str {
    random.of(&[
        "en-US,en;q=0.9",
        "en-GB,en;q=0.9",
        "en-GB,en-US;q=0.9,en;q=0.8",
        "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
        "fr-FR,fr;q=0.9",
        "fr,fr-FR;q=0.8,en-US;q=0.5,en;q=0.3",
        "ja,en-US;q=0.9,en;q=0.8",
        "pt-BR,pt;q=0.9,en-US;q=0.8,en;q=0.7",
        "es-ES,es;q=0.9",
        "zh-CN,zh;q=0.9",
        "en-US,en;q=0.5",
        "ru-RU,ru;q=0.9,en-US;q=0.8",
        "en",
        "nl-NL",
    ])
}

/// What happens to heads on their way and by settings: fields that proxies add or filters remove.
pub fn weather(draft: &mut Draft, random: &mut Random) {
    if random.percent(4) {
        draft.add("Via", "1.1 proxy.example");
        draft.add("X-Forwarded-For", "198.51.100.7");
    }
    if draft.human {
        match random.range(0, 60) {
            0 => draft.remove("Referer"),
            1 => draft.remove("Accept-Language"),
            2 => draft.add("DNT", "1"),
            3 => draft.add("Sec-GPC", "1"),
            4 => ["Sec-CH-UA", "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform"].iter().for_each(|n| draft.remove(n)),
            5 => draft.add("Cache-Control", "max-age=0"),
            6 => draft.fields.retain(|(n, _)| !n.starts_with("Sec-Fetch")),
            7 => {
                draft.remove("User-Agent");
                draft.add("User-Agent", "Mozilla/5.0");
            }
            _ => {}
        }
    }
}
