//! What must hold of a document by itself, whoever wrote it: bounds, names, and references within it.
//!
//! The reader of the file reports the same things with their lines, and then asks here, so that there is one answer to
//! whether a document can be used. Ranges come from the table of keys ([`crate::schema`]), other bounds from
//! [`seawall_model::limits`].

mod edge;
mod pool;
mod route;
mod rule;
mod zone;

pub(crate) use edge::{
    check_endpoint, check_list_net, check_log_field, check_query_key, check_stages, clash, edge,
    edge_with_modules, list,
};
pub(crate) use pool::{check_expects_body, check_monitor_path};
pub(crate) use rule::{bans, check_field, check_pattern, lists_of_zone, names_no_list, nothing_asked};
pub(crate) use zone::zone;

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::path::Path;
use std::time::Duration;

use seawall_model::limits;
use seawall_model::quantity::{show_bytes, show_ms};

use crate::context::short;
use crate::schema::{Kind, Table};
use crate::unit_fault::{At as _, Checked, Fault};

/// Whether a number lies in the range that the table of keys has for it.
pub(crate) fn number(table: &'static Table, key: &'static str, field: &'static str, value: u64) -> Checked {
    let Some(Key { low, high, show }) = range(table, key) else { return Ok(()) };
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let limit = if value > high { high } else { low };
    let fault = Fault::new(format!("{} lies outside {} to {}", show(value), show(low), show(high)), None);
    Err(fault.beyond(limit, value)).at(field)
}

/// The same of a duration.
pub(crate) fn duration(table: &'static Table, key: &'static str, value: Duration) -> Checked {
    number(table, key, key, u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
}

/// The same of a duration that may be left to others.
pub(crate) fn some_duration(table: &'static Table, key: &'static str, value: Option<Duration>) -> Checked {
    value.map_or(Ok(()), |value| duration(table, key, value))
}

/// The same of a number whose field has the name of its key.
pub(crate) fn count(table: &'static Table, key: &'static str, value: impl Into<u64>) -> Checked {
    number(table, key, key, value.into())
}

struct Key {
    low: u64,
    high: u64,
    show: fn(u64) -> String,
}

fn range(table: &'static Table, key: &'static str) -> Option<Key> {
    let key = table.key(key);
    debug_assert!(key.is_some(), "{} has no such key", table.header);
    match key?.kind {
        Kind::Count(low, high) => Some(Key { low, high, show: |n| n.to_string() }),
        Kind::Size(low, high) => Some(Key { low, high, show: show_bytes }),
        Kind::Duration(low, high) => Some(Key { low, high, show: show_ms }),
        _ => {
            debug_assert!(false, "{} `{}` has no range", table.header, key?.name);
            None
        }
    }
}

/// Whether a path is one: never empty, and without the character that ends one.
fn path(path: &Path) -> Checked {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Fault::new("this is no path", "name a file or folder".to_owned()));
    }
    crate::unit_fault::within(bytes.len(), limits::TEXT_BYTES)
}

/// Longest list compared each with each: below it that is quicker than to make a set.
const FEW: usize = 8;

/// Whether no two are the same.
fn nothing_twice<T: Copy + Eq + Hash + fmt::Display>(
    all: impl IntoIterator<Item = T, IntoIter: Clone + ExactSizeIterator>,
    what: &str,
) -> Checked {
    let all = all.into_iter();
    let twice = if all.len() <= FEW {
        all.clone().enumerate().find(|(at, one)| all.clone().take(*at).any(|other| other == *one))
    } else {
        let mut seen = HashSet::with_capacity(all.len());
        all.enumerate().find(|(_, one)| !seen.insert(*one))
    };
    match twice {
        None => Ok(()),
        Some((index, one)) => {
            let shown = short(&one.to_string());
            let fault =
                Fault::new(format!("the {what} `{shown}` stands here twice"), "remove one".to_owned());
            Err(fault).at_item("", index)
        }
    }
}
