//! Firewall rules: what a request must be like, and what becomes of it.

use std::fmt;

use ipnet::IpNet;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::module::Module;
use crate::text;

/// One `[[zone.rule]]`. Rules are tried in their order; the first that blocks or skips ends the trying.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, unique in the zone: what logs say.
    pub name: String,
    /// Whether it is tried at all. Default true.
    #[serde(default = "text::yes", skip_serializing_if = "text::is_yes")]
    pub enabled: bool,
    /// What a request must be like.
    pub when: When,
    /// What becomes of it.
    pub action: Action,
}

/// What a request must be like: all that is set must hold. One with nothing set is refused (DESIGN R8: empty is never
/// "all").
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// One of these methods, upper case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// A regular expression found in the path, without the query.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A regular expression found in the query, without the question mark.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A regular expression found in `User-Agent`.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The name of a header field, and a regular expression found in a value of it.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub header: Option<(String, String)>,
    /// The client's address is in one of these networks, each without bits beyond its prefix.
    #[serde(with = "text::nets", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<IpNet>,
    /// The client's address is in the list of this name.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The bot score is below this, 2 to 99. A request without a score never matches (DESIGN R5).
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub score_below: Option<u8>,
}

impl When {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == When::default()
    }

    /// The regular expressions, each with the name of its key.
    pub fn patterns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let header = self.header.as_ref().map(|(_, pattern)| pattern);
        [
            ("path", self.path.as_ref()),
            ("query", self.query.as_ref()),
            ("user_agent", self.user_agent.as_ref()),
            ("header", header),
        ]
        .into_iter()
        .filter_map(|(key, pattern)| Some((key, pattern?.as_str())))
    }
}

/// What becomes of a request that a rule matches. Written as `"block"`, `"log"` or `{"skip": ["bot"]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is answered 403.
    Block,
    /// It is noted, and the next rule is tried.
    Log,
    /// No later rule is tried, and these modules leave it alone.
    Skip(Vec<Module>),
}

impl Action {
    /// `block`, `log` or `skip`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Action::Block => "block",
            Action::Log => "log",
            Action::Skip(_) => "skip",
        }
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        match self {
            Action::Block | Action::Log => into.serialize_str(self.name()),
            Action::Skip(modules) => {
                let mut map = into.serialize_map(Some(1))?;
                map.serialize_entry(self.name(), modules)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyAction)
    }
}

struct AnyAction;

impl<'de> Visitor<'de> for AnyAction {
    type Value = Action;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"block\", \"log\" or {\"skip\": [modules]}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Action, E> {
        match text {
            "block" => Ok(Action::Block),
            "log" => Ok(Action::Log),
            _ => Err(text::refused(text, "an action is \"block\", \"log\" or {\"skip\": [modules]}")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Action, A::Error> {
        let mut action = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "skip" {
                return Err(A::Error::unknown_field(&key, &["skip"]));
            }
            if action.replace(Action::Skip(map.next_value()?)).is_some() {
                return Err(A::Error::duplicate_field("skip"));
            }
        }
        action.ok_or_else(|| A::Error::missing_field("skip"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_a_word_or_what_to_skip() {
        for (action, text) in [
            (Action::Block, r#""block""#),
            (Action::Log, r#""log""#),
            (Action::Skip(Vec::new()), r#"{"skip":[]}"#),
            (
                Action::Skip(vec![Module::Bot, Module::ResponseHeaders]),
                r#"{"skip":["bot","response_headers"]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&action).unwrap(), text);
            assert_eq!(serde_json::from_str::<Action>(text).unwrap(), action);
        }
        for text in [
            "null",
            "\"\"",
            "\"skip\"",
            "{}",
            r#"{"skip":null}"#,
            r#"{"block":null}"#,
            r#"{"skip":["x"]}"#,
            r#"{"skip":[],"skip":[]}"#,
            "[]",
            "1",
        ] {
            assert!(serde_json::from_str::<Action>(text).is_err(), "{text}");
        }
    }
}
