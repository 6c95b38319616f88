//! Reads one table against its keys: types, ranges, unknown keys and the environment in one place.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use seawall_model::limits;
use seawall_model::quantity::{QuantityFault, duration_ms, show_bytes, show_ms, size_bytes};
use toml::de::{DeTable, DeValue};

use crate::context::{At, Context, Place, Spot, short};
use crate::schema::{Key, Kind, Table, tables, variable};
use crate::suggest::{did_you_mean, nearest};

const SIZE_EXAMPLE: &str = "write a size such as \"64KiB\", \"256MiB\" or \"2GiB\"";
const DURATION_EXAMPLE: &str = "write a duration such as \"500ms\", \"30s\", \"5m\", \"1h\" or \"7d\"";

/// One table being read.
pub(crate) struct Reader<'c, 't> {
    pub(crate) cx: &'c Context<'t>,
    pub(crate) place: Place<'c>,
    /// Where the table begins.
    pub(crate) at: At<'t>,
    schema: &'static Table,
    table: Option<&'t DeTable<'t>>,
    /// Prefix of the environment variables that override its keys.
    env: Option<String>,
    /// Keys asked for, to prove in debug builds that the schema lists nothing that is never read.
    #[cfg(debug_assertions)]
    asked: std::cell::RefCell<Vec<&'static str>>,
}

/// A value as found.
#[derive(Clone, Copy)]
enum Raw<'t> {
    File(&'t DeValue<'t>),
    Env(&'t str),
}

impl<'c, 't> Reader<'c, 't> {
    /// Begins to read `table`, and reports its unknown keys.
    pub(crate) fn new(
        cx: &'c Context<'t>,
        schema: &'static Table,
        table: Option<&'t DeTable<'t>>,
        place: Place<'c>,
        at: At<'t>,
        env: Option<String>,
    ) -> Self {
        let reader = Reader {
            cx,
            place,
            at,
            schema,
            table,
            env,
            #[cfg(debug_assertions)]
            asked: std::cell::RefCell::default(),
        };
        for (key, _) in table.into_iter().flat_map(DeTable::iter) {
            let name: &str = key.get_ref();
            if schema.key(name).is_none() {
                reader.unknown(name, At::Byte(key.span().start));
            }
        }
        reader
    }

    fn unknown(&self, name: &str, at: At<'_>) {
        let message = match self.schema.header {
            "" => format!("`{}` is no key at the top of the file", short(name)),
            header => format!("`{}` is no key of `{header}`", short(name)),
        };
        let suggestion = if self.cx.may_suggest() { self.suggest(name) } else { None };
        self.cx.report(seawall_model::Severity::Error, &self.place.key(name), at, message, suggestion);
    }

    fn suggest(&self, name: &str) -> Option<String> {
        if let Some(near) = did_you_mean(name, self.schema.keys.iter().map(|key| key.name)) {
            return Some(near);
        }
        let elsewhere = tables().into_iter().find(|(table, _)| table.key(name).is_some());
        if let Some((table, _)) = elsewhere {
            return Some(match table.header {
                "" => format!("`{name}` stands at the top of the file, before any table"),
                header => format!("`{name}` is a key of `{header}`"),
            });
        }
        let mut known = String::new();
        for key in self.schema.keys {
            let _ = write!(known, "{}`{}`", if known.is_empty() { "" } else { ", " }, key.name);
        }
        Some(if known.is_empty() { "remove it".to_owned() } else { format!("the keys here are {known}") })
    }

    /// The table itself as a place to report at.
    pub(crate) fn spot(&self) -> Spot<'_, 't> {
        Spot { cx: self.cx, place: self.place, at: self.at }
    }

    /// A key as a place to report at: where it stands, or else where its table begins.
    pub(crate) fn spot_of(&self, name: &'static str) -> Spot<'_, 't> {
        let at = self.raw(name).map_or(self.at, |(at, _)| at);
        Spot { cx: self.cx, place: self.place.key(name), at }
    }

    /// Whether the key stands in the file or the environment.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.raw(name).is_some()
    }

    /// Whether the key holds a list without items.
    pub(crate) fn is_empty_list(&self, name: &'static str) -> bool {
        matches!(self.raw(name), Some((_, Raw::File(DeValue::Array(items)))) if items.is_empty())
    }

    fn raw(&self, name: &'static str) -> Option<(At<'t>, Raw<'t>)> {
        if let Some(prefix) = &self.env
            && !self.cx.env.is_empty()
            && self.schema.key(name).is_some_and(|key| key.kind.fits_environment())
            && let Some((variable, text)) = self.cx.env.get_key_value(variable(prefix, name).as_str())
        {
            return Some((At::Env(variable), Raw::Env(text)));
        }
        self.table
            .and_then(|table| table.get(name))
            .map(|value| (At::Byte(value.span().start), Raw::File(value.get_ref())))
    }

    /// The key's entry in the schema and its value.
    fn find(&self, name: &'static str) -> Option<(&'static Key, At<'t>, Raw<'t>)> {
        #[cfg(debug_assertions)]
        self.asked.borrow_mut().push(name);
        let key = self.schema.key(name);
        debug_assert!(key.is_some(), "{} has no key {name}", self.schema.header);
        let (at, raw) = self.raw(name)?;
        Some((key?, at, raw))
    }

    /// The string at `name`.
    pub(crate) fn text(&self, name: &'static str) -> Option<&'t str> {
        let (key, at, raw) = self.find(name)?;
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        let text = match raw {
            Raw::Env(text) => text,
            Raw::File(DeValue::String(text)) => text,
            Raw::File(other) => return wrong_type(&spot, key, other),
        };
        within_text(&spot, text).then_some(text)
    }

    /// The string at `name`, which must stand.
    pub(crate) fn required(&self, name: &'static str) -> Option<&'t str> {
        if !self.has(name) {
            self.missing(name);
        }
        self.text(name)
    }

    /// Reports that `name` does not stand.
    pub(crate) fn missing(&self, name: &'static str) {
        #[cfg(debug_assertions)]
        self.asked.borrow_mut().push(name);
        let doc = self.schema.key(name).and_then(|key| key.doc.split('.').next()).unwrap_or_default();
        let spot = Spot { cx: self.cx, place: self.place.key(name), at: self.at };
        // Documentation begins with a capital, and goes on after a colon here.
        let doc = match doc.split_at_checked(1) {
            Some((first, rest)) => first.to_ascii_lowercase() + rest,
            None => doc.to_owned(),
        };
        spot.error(format!("`{name}` is missing"), format!("add it: {doc}"));
    }

    /// One of the strings of a [`Kind::Choice`].
    pub(crate) fn choice(&self, name: &'static str) -> Option<&'static str> {
        let (key, at, raw) = self.find(name)?;
        let Kind::Choice(words) = key.kind else { return None };
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        let text: &str = match raw {
            Raw::Env(text) => text,
            Raw::File(DeValue::String(text)) => text,
            Raw::File(other) => return wrong_type(&spot, key, other),
        };
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
        if found.is_none() {
            wrong_word(&spot, key, words, text);
        }
        found
    }

    /// Sets `into` where the key stands.
    pub(crate) fn flag(&self, name: &'static str, into: &mut bool) {
        let Some((key, at, raw)) = self.find(name) else { return };
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        match raw {
            Raw::File(DeValue::Boolean(flag)) => *into = *flag,
            Raw::File(other) => wrong_type(&spot, key, other).unwrap_or_default(),
            Raw::Env("true" | "1") => *into = true,
            Raw::Env("false" | "0") => *into = false,
            Raw::Env(text) => wrong_text(&spot, key, text),
        }
    }

    /// Sets `into` to the whole number at `name`, where it stands and lies in range.
    pub(crate) fn count<N: TryFrom<u64>>(&self, name: &'static str, into: &mut N) {
        let Some((key, at, raw)) = self.find(name) else { return };
        let Kind::Count(low, high) = key.kind else { return };
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        let number = match raw {
            Raw::File(DeValue::Integer(number)) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            Raw::File(other) => return wrong_type(&spot, key, other).unwrap_or_default(),
            Raw::Env(text) => match text.trim().parse::<i128>() {
                Ok(number) => Some(number),
                Err(_) => return wrong_text(&spot, key, text),
            },
        };
        let inside = number.and_then(|n| u64::try_from(n).ok()).filter(|n| (low..=high).contains(n));
        match inside.and_then(|n| N::try_from(n).ok()) {
            Some(value) => *into = value,
            None => spot.error(
                match number {
                    Some(number) => format!("`{name}` cannot be {number}"),
                    None => format!("the number at `{name}` is too large"),
                },
                format!("write a {}", key.kind.describe()),
            ),
        }
    }

    /// Calls `each` with every whole number of the list at `name`; whether the key stands. The environment separates them by
    /// commas.
    pub(crate) fn counts(
        &self,
        name: &'static str,
        limit: limits::Limit,
        mut each: impl FnMut(&Spot<'_, 't>, u64),
    ) -> bool {
        let Some((key, at, raw)) = self.find(name) else { return false };
        let Kind::Counts(low, high) = key.kind else { return false };
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        let mut one = |spot: &Spot<'_, 't>, text: &str, number: Option<i128>| match number
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| (low..=high).contains(n))
        {
            Some(number) => each(spot, number),
            None => spot.error(
                format!("`{name}` cannot hold {}", short(text)),
                format!("write whole numbers from {low} to {high}"),
            ),
        };
        match raw {
            Raw::Env(list) => {
                let items: Vec<&str> =
                    list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
                if spot.within(items.len(), limit) {
                    items.into_iter().for_each(|text| one(&spot, text, text.parse().ok()));
                }
            }
            Raw::File(DeValue::Array(items)) => {
                if !spot.within(items.len(), limit) {
                    return true;
                }
                for (index, item) in items.iter().enumerate() {
                    let place = self.place.item(name, index);
                    let spot = Spot { cx: self.cx, place, at: At::Byte(item.span().start) };
                    match item.get_ref() {
                        DeValue::Integer(number) => {
                            let read = i128::from_str_radix(number.as_str(), number.radix()).ok();
                            one(&spot, number.as_str(), read);
                        }
                        other => spot.error(
                            format!("an item of `{name}` is {}, and must be a whole number", article(other)),
                            format!("write whole numbers from {low} to {high}"),
                        ),
                    }
                }
            }
            Raw::File(other) => wrong_type(&spot, key, other).unwrap_or_default(),
        }
        true
    }

    /// Sets `into` to the share of a hundred at `name`, where it stands and lies in range.
    pub(crate) fn percent(&self, name: &'static str, into: &mut f64) {
        let Some((key, at, raw)) = self.find(name) else { return };
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        let text: &str = match raw {
            Raw::Env(text) => text.trim(),
            Raw::File(DeValue::Integer(number)) if number.radix() == 10 => number.as_str(),
            Raw::File(DeValue::Float(number)) => number.as_str(),
            Raw::File(other) => return wrong_type(&spot, key, other).unwrap_or_default(),
        };
        // Of what is no number only `nan` and `inf` come this far from a file; neither lies in range.
        match text.parse::<f64>() {
            Ok(value) if (0.0..=100.0).contains(&value) => *into = value,
            _ => spot.error(
                format!("`{name}` cannot be {}", short(text)),
                format!("write a {}", key.kind.describe()),
            ),
        }
    }

    /// Sets `into` to the size in bytes at `name`, where it stands and lies in range.
    pub(crate) fn size(&self, name: &'static str, into: &mut u64) {
        if let Some(bytes) = self.quantity(name, size_bytes, show_bytes) {
            *into = bytes;
        }
    }

    /// Sets `into` to the duration at `name`, where it stands and lies in range.
    pub(crate) fn duration(&self, name: &'static str, into: &mut Duration) {
        if let Some(duration) = self.some_duration(name) {
            *into = duration;
        }
    }

    /// The duration at `name`.
    pub(crate) fn some_duration(&self, name: &'static str) -> Option<Duration> {
        self.quantity(name, duration_ms, show_ms).map(Duration::from_millis)
    }

    fn quantity(
        &self,
        name: &'static str,
        read: fn(&str) -> Result<u64, QuantityFault>,
        show: fn(u64) -> String,
    ) -> Option<u64> {
        let (key, at, raw) = self.find(name)?;
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        let (low, high, example) = match key.kind {
            Kind::Size(low, high) => (low, high, SIZE_EXAMPLE),
            Kind::Duration(low, high) => (low, high, DURATION_EXAMPLE),
            _ => return None,
        };
        let text: &str = match raw {
            Raw::Env(text) => text,
            Raw::File(DeValue::String(text)) => text,
            // A bare number counts seconds or bytes, as it does in a string.
            Raw::File(DeValue::Integer(number)) if number.radix() == 10 => number.as_str(),
            Raw::File(other) => return wrong_type(&spot, key, other),
        };
        match read(text.strip_prefix('+').unwrap_or(text)) {
            Ok(value) if (low..=high).contains(&value) => Some(value),
            Ok(_) | Err(QuantityFault::TooLarge) => {
                spot.error(
                    format!("`{name}` cannot be {}", short(text)),
                    format!("write from {} to {}", show(low), show(high)),
                );
                None
            }
            Err(QuantityFault::NoNumber) => {
                spot.error(format!("`{}` is no {}", short(text), kind_word(key)), example.to_owned());
                None
            }
            Err(QuantityFault::Unit) => {
                spot.error(format!("`{}` has no unit known here", short(text)), example.to_owned());
                None
            }
        }
    }

    /// The path at `name`: from the file it starts at the file's folder, from the environment at the working directory.
    pub(crate) fn path(&self, name: &'static str) -> Option<PathBuf> {
        let text = self.text(name)?;
        let spot = self.spot_of(name);
        if text.is_empty() || text.contains('\0') {
            spot.error(format!("`{name}` is no path"), "name a file or folder".to_owned());
            return None;
        }
        Some(match spot.at {
            At::Env(_) => PathBuf::from(text),
            _ => self.cx.base_dir.join(text),
        })
    }

    /// Calls `each` with every string at `name`; whether the key stands. One string may stand without brackets, and the
    /// environment separates them by commas.
    pub(crate) fn texts(
        &self,
        name: &'static str,
        limit: limits::Limit,
        mut each: impl FnMut(&Spot<'_, 't>, &'t str),
    ) -> bool {
        let Some((key, at, raw)) = self.find(name) else { return false };
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        match raw {
            Raw::Env(list) => {
                let items: Vec<&str> =
                    list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
                if spot.within(items.len(), limit) {
                    items
                        .into_iter()
                        .filter(|text| within_text(&spot, text))
                        .for_each(|text| each(&spot, text));
                }
            }
            Raw::File(DeValue::String(text)) => {
                if within_text(&spot, text) {
                    each(&spot, text);
                }
            }
            Raw::File(DeValue::Array(items)) => {
                if !spot.within(items.len(), limit) {
                    return true;
                }
                for (index, item) in items.iter().enumerate() {
                    let spot = Spot {
                        cx: self.cx,
                        place: self.place.item(name, index),
                        at: At::Byte(item.span().start),
                    };
                    match item.get_ref() {
                        DeValue::String(text) => {
                            if within_text(&spot, text) {
                                each(&spot, text);
                            }
                        }
                        other => spot.error(
                            format!("an item of `{name}` is {}, and must be a string", article(other)),
                            "put it in quotes".to_owned(),
                        ),
                    }
                }
            }
            Raw::File(other) => wrong_type(&spot, key, other).unwrap_or_default(),
        }
        true
    }

    /// The value of a [`Kind::FlagOr`] or [`Kind::FlagOrTexts`] when it is `true` or `false`.
    pub(crate) fn flag_alone(&self, name: &'static str) -> Option<bool> {
        match self.find(name)?.2 {
            Raw::File(DeValue::Boolean(flag)) => Some(*flag),
            Raw::Env("true") => Some(true),
            Raw::Env("false") => Some(false),
            _ => None,
        }
    }

    /// The value of a [`Kind::FlagOr`] when it is a string.
    pub(crate) fn word(&self, name: &'static str) -> Option<&'static str> {
        let (key, at, raw) = self.find(name)?;
        let Kind::FlagOr(words) = key.kind else { return None };
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        let text: &str = match raw {
            Raw::Env(text) => text,
            Raw::File(DeValue::String(text)) => text,
            Raw::File(DeValue::Boolean(_)) => return None,
            Raw::File(other) => return wrong_type(&spot, key, other),
        };
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
        if found.is_none() {
            wrong_word(&spot, key, words, text);
        }
        found
    }

    /// Calls `each` with every name and string of the table at `name`, in the order of the file.
    pub(crate) fn map(
        &self,
        name: &'static str,
        limit: limits::Limit,
        mut each: impl FnMut(&Spot<'_, 't>, &'t str, &'t str),
    ) {
        let Some((key, at, raw)) = self.find(name) else { return };
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        let Raw::File(value) = raw else { return };
        let DeValue::Table(table) = value else { return wrong_type(&spot, key, value).unwrap_or_default() };
        if !spot.within(table.len(), limit) {
            return;
        }
        // The tree is sorted by name; the file's order is in the spans.
        let mut fields: Vec<_> = table.iter().collect();
        fields.sort_by_key(|(field, _)| field.span().start);
        for (field, value) in fields {
            let field_name: &'t str = field.get_ref();
            let spot =
                Spot { cx: self.cx, place: spot.place.key(field_name), at: At::Byte(value.span().start) };
            match value.get_ref() {
                DeValue::String(text) => {
                    if within_text(&spot, text) {
                        each(&spot, field_name, text);
                    }
                }
                other => spot.error(
                    format!("`{}` is {}, and must be a string", short(field_name), article(other)),
                    "put it in quotes".to_owned(),
                ),
            }
        }
    }

    /// Calls `each` with a reader of the table at `name`. It is called too where only the environment may have values, and
    /// then `present` ([`Reader::has`]) is false.
    pub(crate) fn table(&self, name: &'static str, each: impl FnOnce(&Reader<'_, 't>)) {
        let found = self.find(name);
        let env = self.env.as_deref().map(|prefix| variable(prefix, name));
        let Some(key) = self.schema.key(name) else { return };
        let Kind::Table(schema) = key.kind else { return };
        let (at, table) = match found {
            None if env.is_none() => return,
            None => (At::Nowhere, None),
            Some((_, at, Raw::File(DeValue::Table(table)))) => (at, Some(table)),
            Some((_, at, Raw::File(other))) => {
                let spot = Spot { cx: self.cx, place: self.place.key(name), at };
                return wrong_type(&spot, key, other).unwrap_or_default();
            }
            Some((_, _, Raw::Env(_))) => return,
        };
        let reader = Reader::new(self.cx, schema, table, self.place.key(name), at, env);
        each(&reader);
        reader.close();
    }

    /// Calls `each` with the index and a reader of every table of the list at `name`; how many there are.
    pub(crate) fn tables(
        &self,
        name: &'static str,
        limit: limits::Limit,
        each: impl FnMut(usize, &Reader<'_, 't>),
    ) -> usize {
        self.tables_entered(name, limit, |_, _| {}, each)
    }

    /// As [`Reader::tables`], with `enter` called before anything of an item is looked at.
    pub(crate) fn tables_entered(
        &self,
        name: &'static str,
        limit: limits::Limit,
        mut enter: impl FnMut(usize, &'t DeValue<'t>),
        mut each: impl FnMut(usize, &Reader<'_, 't>),
    ) -> usize {
        let Some((key, at, raw)) = self.find(name) else { return 0 };
        let Kind::Tables(schema) = key.kind else { return 0 };
        let Raw::File(value) = raw else { return 0 };
        let spot = Spot { cx: self.cx, place: self.place.key(name), at };
        let DeValue::Array(items) = value else {
            // One table where a list of them belongs, such as [zone] for [[zone]].
            if matches!(value, DeValue::Table(_)) {
                let fix = match schema.header.strip_prefix("[[") {
                    Some(_) => format!("write `{}`, with two brackets", schema.header),
                    None => format!("put it in brackets: {name} = [{{ … }}]"),
                };
                spot.error(format!("`{name}` is one table, and must be a list of tables"), fix);
            } else {
                let _: Option<()> = wrong_type(&spot, key, value);
            }
            return 0;
        };
        if !spot.within(items.len(), limit) {
            return 0;
        }
        for (index, item) in items.iter().enumerate() {
            let place = self.place.item(name, index);
            let at = At::Byte(item.span().start);
            enter(index, item.get_ref());
            match item.get_ref() {
                DeValue::Table(table) => {
                    let reader = Reader::new(self.cx, schema, Some(table), place, at, None);
                    each(index, &reader);
                    reader.close();
                }
                other => Spot { cx: self.cx, place, at }.error(
                    format!("an item of `{name}` is {}, and must be a table", article(other)),
                    schema.keys.first().map(|first| format!("write {{ {} = … }}", first.name)),
                ),
            }
        }
        items.len()
    }

    /// In debug builds, checks that every key of the schema was asked for.
    pub(crate) fn close(&self) {
        #[cfg(debug_assertions)]
        for key in self.schema.keys {
            debug_assert!(
                self.asked.borrow().contains(&key.name),
                "{} lists `{}`, which is never read",
                self.schema.header,
                key.name
            );
        }
    }
}

fn within_text(spot: &Spot<'_, '_>, text: &str) -> bool {
    spot.within(text.len(), limits::TEXT_BYTES)
}

/// Reports a value of the wrong type.
fn wrong_type<T>(spot: &Spot<'_, '_>, key: &Key, found: &DeValue<'_>) -> Option<T> {
    let quoted = |text: &str| format!("write it in quotes: {} = \"{}\"", key.name, short(text));
    let suggestion = match (key.kind, found) {
        (Kind::Count(..), DeValue::String(text))
            if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Some(format!("write it without quotes: {} = {}", key.name, short(text)))
        }
        (Kind::Flag | Kind::FlagOr(_) | Kind::FlagOrTexts, DeValue::String(text))
            if matches!(&**text, "true" | "false") =>
        {
            Some(format!("write it without quotes: {} = {text}", key.name))
        }
        (Kind::Text | Kind::Choice(_) | Kind::Path, DeValue::Integer(number)) => {
            Some(quoted(number.as_str()))
        }
        (Kind::Text | Kind::Choice(_) | Kind::Path, DeValue::Float(number)) => Some(quoted(number.as_str())),
        (Kind::Texts, _) => Some(format!("write strings in quotes: {} = [\"…\"]", key.name)),
        (Kind::Counts(..), DeValue::Integer(number)) => {
            Some(format!("put it in brackets: {} = [{}]", key.name, short(number.as_str())))
        }
        (Kind::Size(..), _) => Some(SIZE_EXAMPLE.to_owned()),
        (Kind::Duration(..), _) => Some(DURATION_EXAMPLE.to_owned()),
        _ => None,
    };
    spot.error(format!("`{}` is {}, and must be {}", key.name, article(found), kind_phrase(key)), suggestion);
    None
}

/// Reports a text from the environment that does not fit.
fn wrong_text(spot: &Spot<'_, '_>, key: &Key, text: &str) {
    spot.error(format!("`{}` is not {}", short(text), kind_phrase(key)), None);
}

/// Reports a string that is none of those allowed.
fn wrong_word(spot: &Spot<'_, '_>, key: &Key, words: &'static [&'static str], text: &str) {
    let near = if spot.cx.may_suggest() { nearest(text, words.iter().copied()) } else { None };
    let suggestion = match near {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write {}", key.kind.describe()),
    };
    spot.error(format!("`{}` cannot be \"{}\"", key.name, short(text)), suggestion);
}

fn kind_word(key: &Key) -> &'static str {
    match key.kind {
        Kind::Size(..) => "size",
        Kind::Duration(..) => "duration",
        _ => "value",
    }
}

fn kind_phrase(key: &Key) -> String {
    match key.kind {
        Kind::Flag => "true or false".to_owned(),
        Kind::Count(..) => "a whole number".to_owned(),
        Kind::FlagOr(_) | Kind::FlagOrTexts | Kind::Choice(_) => key.kind.describe(),
        Kind::Texts => "a list of strings".to_owned(),
        Kind::Counts(..) => "a list of whole numbers".to_owned(),
        Kind::Size(..) | Kind::Duration(..) => format!("a {}", kind_word(key)),
        _ => format!("a {}", key.kind.describe()),
    }
}

/// What a value is, for people.
fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
