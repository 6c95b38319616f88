//! `[[list]]`: lists of addresses, written out or in files.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use seawall_model::{List, limits};

use crate::codec::check_bytes;
use crate::context::{Spot, short, show_path};
use crate::listen::{net, range};
use crate::names::{plain_name, reported};
use crate::reader::Reader;
use crate::unit::UnitKind;
use crate::unit_fault::Checked;
use crate::valid;

/// Faulty lines of one file that are told: a file of something else is faulty in every line.
const LINES_TOLD: usize = 20;

/// The lists read, those that cannot be used left out.
#[derive(Default)]
pub(crate) struct Lists {
    pub(crate) sound: Vec<List>,
    /// Names of those with an error.
    pub(crate) refused: Vec<String>,
    /// The files named, those that cannot be read too.
    pub(crate) files: Vec<PathBuf>,
    /// Whether `list` is no list of tables, or too long a one: an error of the whole file.
    pub(crate) unreadable: bool,
}

/// Reads every list, and tells the context their names.
pub(crate) fn read(root: &Reader<'_, '_>) -> Lists {
    let cx = root.cx;
    let mut lists = Lists::default();
    let mut names = HashSet::new();
    let mut nameless = false;
    let before_all = cx.errors();
    let before = Cell::new(before_all);
    let entered = |_, _: &_| before.set(cx.errors());
    let count = root.tables_entered("list", limits::LISTS, entered, |_, table| {
        let name = table.required("name").and_then(|text| plain_name(&table.spot_of("name"), text));
        nameless |= name.is_none();
        let name = name.unwrap_or_default();
        if !name.is_empty() && !names.insert(name.clone()) {
            table.spot_of("name").error(
                format!("another list is named `{}`", short(&name)),
                "give each list its own name".to_owned(),
            );
        }
        let list = List { name: name.clone(), addresses: addresses(table, &mut lists.files) };
        if cx.errors() == before.get() {
            check_bytes(&table.spot(), UnitKind::List, &list.name, &list);
        }
        if cx.errors() == before.get() {
            lists.sound.push(list);
        } else if !name.is_empty() && !lists.refused.contains(&name) {
            lists.refused.push(name);
        }
    });
    lists.unreadable = count == 0 && root.has("list") && !root.is_empty_list("list");
    // Of two lists with one name neither is known to be meant.
    lists.sound.retain(|list| !lists.refused.contains(&list.name));
    if !lists.unreadable {
        cx.of_list_since(before_all);
    }
    cx.set_lists((!nameless).then_some(names));
    lists
}

fn addresses(table: &Reader<'_, '_>, files: &mut Vec<PathBuf>) -> Vec<IpNet> {
    let before = table.cx.errors();
    let mut addresses = Vec::new();
    table.texts("addresses", limits::LIST_ROWS, |spot, text| {
        let found = range(spot, text).filter(|net| reported(spot, valid::check_list_net(*net)).is_some());
        addresses.extend(found);
    });
    if let Some(path) = table.path("file") {
        from_file(&table.spot_of("file"), &path, &mut addresses);
        files.push(path);
    }
    if table.cx.errors() > before {
        return addresses;
    }
    if !table.has("addresses") && !table.has("file") {
        table.spot().error(
            "the list has neither `addresses` nor a `file`",
            "add addresses = [\"…\"], or write addresses = [] to mean an empty one".to_owned(),
        );
    } else if addresses.is_empty() {
        table.spot().warn("the list is empty, so nothing matches it", None);
    }
    if table.spot().within(addresses.len(), limits::LIST_ROWS) {
        twice(&table.spot(), &addresses);
    }
    addresses
}

/// Warns of networks that stand in a list more than once: often the first sign of a generator gone wrong.
fn twice(spot: &Spot<'_, '_>, addresses: &[IpNet]) {
    let mut seen = HashSet::with_capacity(addresses.len());
    let mut again = addresses.iter().filter(|net| !seen.insert(**net));
    if let Some(first) = again.next() {
        let count = again.count() + 1;
        spot.warn(
            format!("{count} of {} networks stand in the list already, the first {first}", addresses.len()),
            "remove what stands twice".to_owned(),
        );
    }
}

/// Adds the networks of a file, one a line; `#` begins a comment.
fn from_file(spot: &Spot<'_, '_>, path: &Path, addresses: &mut Vec<IpNet>) {
    let shown = show_path(path);
    let text = match read_file(path) {
        Ok(Some(text)) => text,
        Ok(None) => {
            let limit = limits::LIST_FILE_BYTES;
            spot.error(
                format!("{shown} has more than the limit of {} bytes: {}", limit.value, limit.reason),
                "make several lists of it".to_owned(),
            );
            return;
        }
        Err(error) => {
            let fix = "give the path of a text file; a relative one starts from the folder of the configuration file";
            let told = match error.kind() {
                ErrorKind::NotFound => format!("there is no file {shown}"),
                ErrorKind::InvalidInput => format!("{shown} is no regular file"),
                _ => format!("{shown} cannot be read: {}", error.kind()),
            };
            spot.error(told, fix.to_owned());
            return;
        }
    };
    let (mut faulty, mut beyond, before) = (0_usize, 0_usize, addresses.len());
    let most = usize::try_from(limits::LIST_ROWS.value).unwrap_or(usize::MAX);
    for (index, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(row, _)| row).trim();
        if line.is_empty() {
            continue;
        }
        match row(line) {
            // Counted on and not kept, so that the report can say how many there are.
            Ok(_) if addresses.len() >= most => beyond += 1,
            Ok(net) => addresses.push(net),
            Err(fault) => {
                faulty += 1;
                if faulty <= LINES_TOLD {
                    let (_, message, fix) = fault.into_parts();
                    spot.error(format!("line {} of {shown}: {message}", index + 1), fix);
                }
            }
        }
    }
    if faulty > LINES_TOLD {
        spot.error(format!("{} more lines of {shown} are faulty", faulty - LINES_TOLD), None);
    }
    if beyond > 0 {
        spot.within(addresses.len() + beyond, limits::LIST_ROWS);
    }
    if addresses.len() == before && faulty == 0 {
        // A file cut short by whoever writes it must not open what the list closes (DESIGN R8).
        spot.error(
            format!("{shown} holds no address"),
            "write one network a line, or leave `file` out for an empty list".to_owned(),
        );
    }
}

fn row(line: &str) -> Checked<IpNet> {
    let net = net(line)?.trunc();
    valid::check_list_net(net)?;
    Ok(net)
}

/// The text of a file; `None` where it is larger than a list may be. What is no UTF-8 stands for a character that no
/// network has.
fn read_file(path: &Path) -> std::io::Result<Option<String>> {
    // Asked before opening: opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let limit = limits::LIST_FILE_BYTES.value;
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Ok(None);
    }
    Ok(Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(odd) => String::from_utf8_lossy(odd.as_bytes()).into_owned(),
    }))
}
