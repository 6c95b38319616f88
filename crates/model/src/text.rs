//! How documents are written down (serde): words for choices, readable text for what has a syntax of its own, and no
//! `null` anywhere. A field that is absent has its default; a field that is there has its type.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::quantity::{duration_ms, show_ms};

/// Characters of a refused text that are quoted back.
const QUOTED: usize = 80;

/// A refusal that quotes the text and says what is wrong with it. A text with an @ is not quoted: what stands in front of
/// it may be a password.
pub(crate) fn refused<E: Error>(text: &str, fault: impl fmt::Display) -> E {
    if text.contains('@') {
        return E::custom(fault);
    }
    let short: String = text.chars().take(QUOTED).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    E::custom(format_args!("{short:?}{more}: {fault}"))
}

/// Reads a value of one type only: for options, whose own reading takes `null` for an absence.
pub(crate) fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Whether a field has the default of its type, and is left out.
pub(crate) fn plain<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(crate) const fn yes() -> bool {
    true
}

pub(crate) const fn is_yes(flag: &bool) -> bool {
    *flag
}

pub(crate) const fn is_no(flag: &bool) -> bool {
    !*flag
}

/// Reads a string by a function that may refuse it.
pub(crate) struct Text<F, T> {
    expected: &'static str,
    read: F,
    of: PhantomData<T>,
}

impl<T, X: fmt::Display, F: FnOnce(&str) -> Result<T, X>> Text<F, T> {
    /// Reads a string from `from`.
    pub(crate) fn read<'de, D: Deserializer<'de>>(
        from: D,
        expected: &'static str,
        read: F,
    ) -> Result<T, D::Error> {
        from.deserialize_str(Text { expected, read, of: PhantomData })
    }
}

impl<T, X: fmt::Display, F: FnOnce(&str) -> Result<T, X>> Visitor<'_> for Text<F, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(|fault| refused(text, fault))
    }
}

/// A type written as its `Display` and read by its `parse`.
macro_rules! as_text {
    ($($type:ty, $expected:literal;)*) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
                into.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                crate::text::Text::read(from, $expected, <$type>::parse)
            }
        }
    )*};
}

/// A choice written as a word. Only the word is taken, not the other forms serde has for a variant.
macro_rules! as_word {
    ($type:ident, $expected:literal, $($variant:ident = $word:literal),+ $(,)?) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
                into.serialize_str(match self { $($type::$variant => $word),+ })
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                crate::text::Text::read(from, $expected, |text| match text {
                    $($word => Ok($type::$variant),)+
                    _ => Err(concat!("this is not ", $expected)),
                })
            }
        }
    };
}

pub(crate) use as_word;

as_text! {
    crate::HostPattern, "a host, *.name or *";
    crate::PathPattern, "a path pattern";
    crate::NamePattern, "a pattern of names";
    crate::OriginUrl, "the address of an origin";
    crate::StatusRange, "a status, a class of statuses or a range";
    crate::Policy, "a policy";
}

/// Durations as `500ms`, `30s`, `1h`: in the largest unit that divides them.
pub(crate) mod duration {
    use super::{Deserializer, Duration, Serializer, Text, duration_ms, show_ms};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, into: S) -> Result<S::Ok, S::Error> {
        into.serialize_str(&show_ms(u64::try_from(value.as_millis()).unwrap_or(u64::MAX)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Text::read(from, "a duration such as \"30s\"", |text| duration_ms(text).map(Duration::from_millis))
    }
}

/// The same, or absent.
pub(crate) mod some_duration {
    use super::{Deserializer, Duration, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, into: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, into),
            None => into.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        super::duration::deserialize(from).map(Some)
    }
}

/// Paths as strings; one that is no UTF-8 as the list of its bytes, so that it is told apart from every other.
pub(crate) mod path {
    use super::{Deserializer, Error, Path, PathBuf, SeqAccess, Serializer, Visitor, fmt};

    pub(crate) fn serialize<S: Serializer>(value: &Path, into: S) -> Result<S::Ok, S::Error> {
        match value.to_str() {
            Some(text) => into.serialize_str(text),
            None => into.collect_seq(value.as_os_str().as_encoded_bytes()),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        from.deserialize_any(AnyPath)
    }

    struct AnyPath;

    impl<'de> Visitor<'de> for AnyPath {
        type Value = PathBuf;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<PathBuf, E> {
            Ok(PathBuf::from(text))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<PathBuf, A::Error> {
            let mut found = Vec::new();
            while let Some(byte) = bytes.next_element::<u8>()? {
                found.push(byte);
            }
            match String::from_utf8(found) {
                Ok(_) => Err(A::Error::custom("a path of UTF-8 is written as a string")),
                Err(odd) => {
                    of_bytes(odd.into_bytes()).ok_or_else(|| A::Error::custom("this is no path here"))
                }
            }
        }
    }

    #[cfg(unix)]
    fn of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStringExt as _;
        Some(std::ffi::OsString::from_vec(bytes).into())
    }

    #[cfg(not(unix))]
    fn of_bytes(_: Vec<u8>) -> Option<PathBuf> {
        None
    }
}

/// The same, or absent.
pub(crate) mod some_path {
    use super::{Deserializer, PathBuf, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<PathBuf>, into: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::path::serialize(value, into),
            None => into.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        super::path::deserialize(from).map(Some)
    }
}

/// An address or `off`.
pub(crate) mod address_or_off {
    use std::net::SocketAddr;

    use super::{Deserializer, Serializer, Text};

    pub(crate) fn serialize<S: Serializer>(value: &Option<SocketAddr>, into: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(address) => into.collect_str(address),
            None => into.serialize_str("off"),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
        Text::read(from, "an address with a port, or \"off\"", |text| match text {
            "off" => Ok(None),
            _ => text.parse().map(Some),
        })
    }
}

/// Networks: `10.0.0.0/8`, or an address alone for the network of that one address.
pub(crate) mod nets {
    use super::{Deserialize as _, Deserializer, IpNet, Net, Serializer};

    pub(crate) fn serialize<S: Serializer>(nets: &[IpNet], into: S) -> Result<S::Ok, S::Error> {
        into.collect_seq(nets.iter().copied().map(Net))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
        Ok(Vec::<Net>::deserialize(from)?.into_iter().map(|net| net.0).collect())
    }
}

struct Net(IpNet);

impl Serialize for Net {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            into.collect_str(&self.0.addr())
        } else {
            into.collect_str(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Net {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Text::read(from, "an address or a range of addresses", |text| {
            let net = match text.parse::<IpAddr>() {
                Ok(address) => IpNet::from(address),
                Err(_) => text.parse().map_err(|_| "this is no address or range of addresses")?,
            };
            // Two spellings of one range would be two contents.
            if net == net.trunc() { Ok(Net(net)) } else { Err("the address has bits beyond its prefix") }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::{Edge, HostPattern, List, Origin, OriginUrl, Pool, Rollout, Route, Site, Zone};

    fn round<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
        text
    }

    #[test]
    fn what_has_its_default_is_left_out_of_zones() {
        let zone = Zone::single("http://127.0.0.1:3000").unwrap();
        assert_eq!(
            round(&zone),
            r#"{"name":"default","hosts":["*"],"pools":[{"name":"origin","origins":[{"url":"http://127.0.0.1:3000","name":"127.0.0.1:3000","tls":"off"}]}],"routes":[{"pool":"origin"}]}"#
        );
        round(&Pool::new("a", vec![Origin::new(OriginUrl::parse("https://[::1]:8443").unwrap())]));
        round(&Route::to("a"));
        round(&Site::single("http://a.test").unwrap());
        round(&Edge::default());
        round(&Rollout::default());
        round(&HostPattern::parse("*.a.test").unwrap());
    }

    #[test]
    fn networks_have_one_spelling() {
        let list: List =
            serde_json::from_str(r#"{"name":"a","addresses":["10.0.0.1","10.0.0.0/8","::1/128"]}"#).unwrap();
        assert_eq!(round(&list), r#"{"name":"a","addresses":["10.0.0.1","10.0.0.0/8","::1"]}"#);
        for odd in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0", "a.test", "", "10.0.0.1 "] {
            let text = format!(r#"{{"name":"a","addresses":["{odd}"]}}"#);
            assert!(serde_json::from_str::<List>(&text).is_err(), "{odd}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_kept_byte_by_byte() {
        use std::os::unix::ffi::OsStringExt as _;
        let odd = std::path::PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', 0xff, b'a']));
        let site = Site { data_dir: odd, ..Site::default() };
        assert!(round(&site).starts_with(r#"{"data_dir":[47,255,97]"#));
    }
}
