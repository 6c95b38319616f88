//! JSON with the place of everything in it: a value tree that keeps repeated keys, so that they can be refused, and
//! readers that name the field they fail on.

use crate::fault::{FeatureFault, Wrong, clipped};
use crate::limits::NAME_BYTES_MAX;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool,
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads bytes. Depth is bounded by serde_json (128 levels).
    pub(crate) fn read(bytes: &[u8]) -> Result<Json, FeatureFault> {
        serde_json::from_slice(bytes).map_err(|e| FeatureFault::new("file", Wrong::NotJson(e.to_string())))
    }

    /// The type in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool => "true or false",
            Json::Number(_) => "a number",
            Json::Text(_) => "a text",
            Json::List(_) => "a list",
            Json::Object(_) => "an object",
        }
    }

    /// The value of a key, without complaints.
    pub(crate) fn lookup(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The elements of a list, or none.
    pub(crate) fn elements(&self) -> &[Json] {
        match self {
            Json::List(list) => list,
            _ => &[],
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<'a> {
    pub(crate) field: String,
    pub(crate) value: &'a Json,
}

impl<'a> At<'a> {
    pub(crate) fn root(value: &'a Json) -> At<'a> {
        At { field: String::new(), value }
    }

    pub(crate) fn fault(&self, wrong: Wrong) -> FeatureFault {
        FeatureFault::new(if self.field.is_empty() { "file" } else { &self.field }, wrong)
    }

    fn mistyped(&self, expected: &'static str) -> FeatureFault {
        match self.value {
            Json::Null => self.fault(Wrong::Null),
            found => self.fault(Wrong::Type { expected, found: found.kind() }),
        }
    }

    fn under(&self, key: &str) -> String {
        // A key can be as long as the file, empty, or hold anything.
        let plain =
            !key.is_empty() && key.len() <= NAME_BYTES_MAX && key.bytes().all(|b| b.is_ascii_graphic());
        let key = if plain { key.to_owned() } else { format!("{:?}", clipped(key)) };
        if self.field.is_empty() { key } else { format!("{}.{key}", self.field) }
    }

    /// That it is an object with these keys and no others, none twice.
    pub(crate) fn object(&self, known: &'static [&'static str]) -> Result<(), FeatureFault> {
        let Json::Object(entries) = self.value else { return Err(self.mistyped("an object")) };
        for (i, (key, _)) in entries.iter().enumerate() {
            let at = || self.under(key);
            if !known.contains(&key.as_str()) {
                return Err(FeatureFault::new(at(), Wrong::Extra { known }));
            }
            if entries.iter().take(i).any(|(k, _)| k == key) {
                return Err(FeatureFault::new(at(), Wrong::Twice));
            }
        }
        Ok(())
    }

    /// The value of a key, if it is there.
    pub(crate) fn optional(&self, key: &str) -> Option<At<'a>> {
        self.value.lookup(key).map(|value| At { field: self.under(key), value })
    }

    /// The value of a key that must be there.
    pub(crate) fn required(&self, key: &str) -> Result<At<'a>, FeatureFault> {
        self.optional(key).ok_or_else(|| FeatureFault::new(self.under(key), Wrong::Missing))
    }

    pub(crate) fn list(&self) -> Result<impl ExactSizeIterator<Item = At<'a>> + use<'a>, FeatureFault> {
        let Json::List(list) = self.value else { return Err(self.mistyped("a list")) };
        let field = self.field.clone();
        Ok(list.iter().enumerate().map(move |(i, value)| At { field: format!("{field}[{i}]"), value }))
    }

    pub(crate) fn text(&self) -> Result<&'a str, FeatureFault> {
        match self.value {
            Json::Text(text) => Ok(text),
            _ => Err(self.mistyped("a text")),
        }
    }

    /// A number that fits what scores are computed with.
    pub(crate) fn number(&self) -> Result<f32, FeatureFault> {
        let Json::Number(number) = *self.value else { return Err(self.mistyped("a number")) };
        let small = number as f32;
        if small.is_finite() {
            Ok(small)
        } else {
            Err(self.outside(number, f32::MIN.into(), f32::MAX.into()))
        }
    }

    /// A whole number from 0 to `most`.
    pub(crate) fn whole(&self, most: u32) -> Result<u32, FeatureFault> {
        let Json::Number(number) = *self.value else { return Err(self.mistyped("a number")) };
        if number.fract() != 0.0 {
            return Err(self.fault(Wrong::Type { expected: "a whole number", found: "a fraction" }));
        }
        if !(0.0..=f64::from(most)).contains(&number) {
            return Err(self.outside(number, 0.0, most.into()));
        }
        Ok(number as u32)
    }

    fn outside(&self, value: f64, least: f64, most: f64) -> FeatureFault {
        self.fault(Wrong::Range { value, least, most })
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Json::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }
}
