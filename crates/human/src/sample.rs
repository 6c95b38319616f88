//! Recorded request heads in a text that people can read and write.
//!
//! A sample begins with `## human NAME` or `## bot NAME` and its request line, then one header a line, an empty line at
//! the end. `HTTP/2` in the request line makes it an HTTP/2 head: `:authority` is a header then. A `!` before the name
//! says that the client spoke no TLS.

use crate::fault::SelfTestFault;
use crate::model::{Model, Scratch, SelfTest};
use seawall_http::{Method, RequestHead, Version, View};
use std::net::{IpAddr, Ipv4Addr};

/// The heads of the self test.
const RECORDED: &str = include_str!("self-test-heads.txt");

/// A head, and who sent it.
#[derive(Clone, Debug)]
pub struct Sample<'t> {
    /// What sent it.
    pub name: &'t str,
    /// Whether a human sat before it.
    pub human: bool,
    /// Whether it came over TLS.
    pub https: bool,
    /// The head.
    pub head: RequestHead,
}

impl Sample<'_> {
    /// As the stages see it, from an address of documentation (RFC 5737).
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { head: &self.head, address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), https: self.https }
    }
}

/// Reads samples; what is not in their form is left out.
pub fn read(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.split("## ").skip(1).filter_map(|sample| {
        let mut lines = sample.lines();
        let (label, name) = lines.next()?.split_once(' ')?;
        let (name, https) = name.strip_prefix('!').map_or((name, true), |name| (name, false));
        let mut line = lines.next()?.split(' ');
        let (method, target, version) = (line.next()?, line.next()?, line.next()?);
        let mut head = RequestHead {
            version: match version {
                "HTTP/1.0" => Version::H10,
                "HTTP/1.1" => Version::H11,
                _ => Version::H2,
            },
            method: Method::of(method.as_bytes()),
            method_text: method.into(),
            target: target.into(),
            ..RequestHead::default()
        };
        for (field, value) in lines.map_while(|line| line.split_once(": ")) {
            if field.eq_ignore_ascii_case("host") || field == ":authority" {
                head.authority = value.to_ascii_lowercase().into();
            }
            if !field.starts_with(':') && !head.fields.push(field.as_bytes(), value.as_bytes()) {
                return None;
            }
        }
        Some(Sample { name: name.trim(), human: label == "human", https, head })
    })
}

/// The recorded heads of the self test.
pub fn recorded() -> impl Iterator<Item = Sample<'static>> {
    read(RECORDED)
}

pub(crate) fn self_test(model: &Model) -> Result<SelfTest, SelfTestFault> {
    let mut scratch = Scratch::new();
    let (mut humans, mut bots) = (Vec::new(), Vec::new());
    for sample in recorded() {
        let score = model
            .score(&sample.view(), &mut scratch)
            .map_err(|fault| SelfTestFault::NoScore { head: sample.name, fault })?;
        if sample.human { humans.push(score) } else { bots.push(score) }
    }
    let heads = humans.len() + bots.len();
    let (browsers, tools) = (middle(humans), middle(bots));
    match browsers.cmp(&tools) {
        std::cmp::Ordering::Equal => Err(SelfTestFault::AllAlike(browsers)),
        std::cmp::Ordering::Less => Err(SelfTestFault::UpsideDown { browsers, tools }),
        std::cmp::Ordering::Greater => Ok(SelfTest { heads, browsers, tools }),
    }
}

fn middle(mut scores: Vec<u8>) -> u8 {
    scores.sort_unstable();
    scores.get(scores.len() / 2).copied().unwrap_or(0)
}
