//! Heads and clocks for the tables.
#![allow(dead_code)] // each test binary uses its share

use seawall_http::{Fields, Method, RequestHead, ResponseHead};
use seawall_httpcache::{Entry, Exchange, Policy, Refusal, RequestFacts, dates, store};

/// The moment all tables start at, unix milliseconds; a whole second.
pub const T0_MS: u64 = 1_795_000_000_000;

/// Fields from a text: `Name: value` separated by `|`; `{+5}` stands for the date five seconds after [`T0_MS`].
pub fn fields(text: &str) -> Fields {
    let mut fields = Fields::new();
    for line in text.split('|').filter(|l| !l.trim().is_empty()) {
        let (name, value) = line.split_once(':').expect(line);
        let value = match value.find('{').zip(value.find('}')) {
            Some((from, to)) => {
                let delta: i64 = value[from + 1..to].parse().expect(value);
                let date = date(delta);
                format!("{}{date}{}", &value[..from], &value[to + 1..])
            }
            None => value.to_owned(),
        };
        assert!(fields.push(name.trim().as_bytes(), value.trim_matches(' ').as_bytes()));
    }
    fields
}

pub fn date(delta_s: i64) -> String {
    let seconds = (T0_MS / 1000).checked_add_signed(delta_s).unwrap();
    String::from_utf8(dates::format(seconds).to_vec()).unwrap()
}

pub fn response(status: u16, text: &str) -> ResponseHead {
    ResponseHead { fields: fields(text), ..ResponseHead::new(status) }
}

pub fn request(text: &str) -> RequestHead {
    RequestHead { fields: fields(text), ..RequestHead::default() }
}

pub fn facts(text: &str) -> RequestFacts {
    RequestFacts::of(&request(text))
}

pub fn head_facts(text: &str) -> RequestFacts {
    RequestFacts { method: Method::Head, ..facts(text) }
}

/// An exchange that took no time at [`T0_MS`].
pub fn exchange<'a>(request: &'a RequestFacts, path: &'a str, response: &'a ResponseHead) -> Exchange<'a> {
    Exchange { request, path: path.as_bytes(), response, request_time_ms: T0_MS, response_time_ms: T0_MS }
}

/// Stores a 200 to a plain GET for `/`.
pub fn stored(policy: &Policy, text: &str) -> Result<Entry, Refusal> {
    stored_as(policy, "/", 200, "", text)
}

pub fn stored_as(
    policy: &Policy,
    path: &str,
    status: u16,
    asked: &str,
    text: &str,
) -> Result<Entry, Refusal> {
    let (request, response) = (facts(asked), response(status, text));
    store(&exchange(&request, path, &response), policy)
}
