//! Packs: files of objects, written once. An object is the bytes of a unit or of a node of the tree over units.
//!
//! A publication writes what it adds as one pack; 100,000 zones are one file and not 100,000. Nothing is appended to or
//! changed in a pack, so one that was named by a manifest cannot be harmed by a later write. There is no index to get out of
//! step: each object has a head with its length and hash, and whoever loads reads packs from end to end anyway.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::tree::{Body, Node, take};
use crate::unit::{Hash, Unit, UnitKind};
use crate::units::Units;

/// What a pack begins with.
const MAGIC: &[u8; 16] = b"seawall pack 1\n\0";

/// Length of an object's head: kind, length, hash.
const HEAD_BYTES: usize = 1 + 8 + Hash::BYTES;

/// Bytes read at once.
const BUFFER_BYTES: usize = 1024 * 1024;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Unit,
    Node,
}

/// One object to be written.
pub(crate) enum Item {
    Unit(Arc<Unit>),
    Node(Arc<Node>),
}

/// Writes a pack.
pub(crate) fn write(out: &mut dyn Write, items: &[Item]) -> io::Result<()> {
    out.write_all(MAGIC)?;
    for item in items {
        match item {
            Item::Unit(unit) => write_object(out, Sort::Unit, &unit.hash, &unit.bytes)?,
            Item::Node(node) => write_object(out, Sort::Node, &node.hash(), &node.encode())?,
        }
    }
    Ok(())
}

/// Writes what a pack begins with.
pub(crate) fn write_magic(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(MAGIC)
}

pub(crate) fn write_object(out: &mut dyn Write, sort: Sort, hash: &Hash, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&[match sort {
        Sort::Unit => 1,
        Sort::Node => 2,
    }])?;
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(hash.as_bytes())?;
    out.write_all(bytes)
}

/// One object as it is met.
pub(crate) struct Met {
    pub(crate) sort: Sort,
    pub(crate) hash: Hash,
    /// Bytes in the pack, with its head.
    pub(crate) size: u64,
    /// Its bytes, where they were asked for.
    pub(crate) bytes: Option<Bytes>,
}

/// Reads a pack up to its end or to where it is damaged. Nothing is checked against its hash here.
pub(crate) fn scan(
    path: &Path,
    wanted: impl Fn(Sort, &Hash) -> bool,
    mut met: impl FnMut(Met) -> io::Result<()>,
) -> io::Result<()> {
    let file = File::open(path)?;
    let mut left = file.metadata()?.len();
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut magic = [0; MAGIC.len()];
    if left < MAGIC.len() as u64 {
        return Ok(());
    }
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Ok(());
    }
    left -= MAGIC.len() as u64;
    while left >= HEAD_BYTES as u64 {
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head)?;
        left -= HEAD_BYTES as u64;
        let Some((sort, length, hash)) = parse_head(&head).filter(|(_, length, _)| *length <= left) else {
            return Ok(());
        };
        left -= length;
        let size = HEAD_BYTES as u64 + length;
        let bytes = if wanted(sort, &hash) {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            file.read_exact(&mut bytes)?;
            Some(Bytes::from(bytes))
        } else {
            file.seek_relative(i64::try_from(length).map_err(io::Error::other)?)?;
            None
        };
        met(Met { sort, hash, size, bytes })?;
    }
    Ok(())
}

fn parse_head(mut head: &[u8]) -> Option<(Sort, u64, Hash)> {
    let from = &mut head;
    let sort = match take(from)? {
        [1] => Sort::Unit,
        [2] => Sort::Node,
        [_] => return None,
    };
    Some((sort, u64::from_le_bytes(take(from)?), Hash::from_bytes(take(from)?)))
}

/// What of a set is not on the disk yet, when all of `known` is. Equal parts are not looked into.
pub(crate) fn missing(units: &Units, known: &Units) -> Vec<Item> {
    let mut items = Vec::new();
    for kind in UnitKind::ALL {
        if let Some(root) = units.root(kind) {
            add_missing(root, known.root(kind), &mut items);
        }
    }
    items
}

fn add_missing(node: &Arc<Node>, known: Option<&Arc<Node>>, items: &mut Vec<Item>) {
    if known.is_some_and(|known| Arc::ptr_eq(node, known) || node.hash() == known.hash()) {
        return;
    }
    match &node.body {
        Body::Leaf(units) => {
            let old: &[Arc<Unit>] = match known.map(|known| &known.body) {
                Some(Body::Leaf(old)) => old,
                _ => &[],
            };
            let has = |unit: &Arc<Unit>| {
                let at = old.binary_search_by(|other| other.name.cmp(&unit.name)).ok();
                at.and_then(|at| old.get(at)).is_some_and(|other| other.hash == unit.hash)
            };
            items.extend(units.iter().filter(|unit| !has(unit)).cloned().map(Item::Unit));
        }
        Body::Branch(children) => {
            let old = match known.map(|known| &known.body) {
                Some(Body::Branch(old)) => Some(old),
                _ => None,
            };
            for (at, child) in children.iter().enumerate() {
                if let Some(child) = child {
                    let known = old.and_then(|old| old.get(at)?.as_ref());
                    add_missing(child, known, items);
                }
            }
        }
    }
    items.push(Item::Node(Arc::clone(node)));
}

/// What of a set is not among these objects.
pub(crate) fn missing_of(units: &Units, there: &HashMap<Hash, ()>) -> Vec<Item> {
    let mut items = missing(units, &Units::new());
    items.retain(|item| match item {
        Item::Unit(unit) => !there.contains_key(&unit.hash),
        Item::Node(node) => !there.contains_key(&node.hash()),
    });
    items
}
