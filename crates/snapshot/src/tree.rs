//! The tree beneath [`Units`](crate::Units): persistent, Merkle, and of one shape for one content.
//!
//! A node is a leaf of up to [`LEAF_MAX`] units or a branch of up to sixteen nodes, chosen by the next four bits of the hash
//! of a unit's name. Whether it is one or the other depends on the number of units beneath it alone, so the shape, and with
//! it the hash, is a function of the content and of nothing else: not of the order of changes, not of the process.
//! Nodes are shared between versions; a change copies one leaf and the branches above it, four or five for 100,000 units.

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use crate::unit::{Hash, Unit};
use crate::units::Change;

/// Units of a leaf. A leaf is read and written whole: this many names and hashes are about 2 KiB.
pub(crate) const LEAF_MAX: usize = 32;

/// Children of a branch.
pub(crate) const FANOUT: usize = 16;

/// Levels of branches: the bits of a key, four a level. Below the last a leaf may hold more than [`LEAF_MAX`].
const DEPTH_MAX: u32 = 16;

/// What stands at the front of a node's bytes.
const TAG_LEAF: u8 = 1;
const TAG_BRANCH: u8 = 2;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    hash: OnceLock<Hash>,
    /// Units beneath.
    count: usize,
    /// Their bytes.
    bytes: u64,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Ordered by name.
    Leaf(Vec<Arc<Unit>>),
    Branch(Box<[Option<Arc<Node>>; FANOUT]>),
}

/// Where a name stands in the tree. Not a hash that people choose names against.
pub(crate) fn key(name: &str) -> u64 {
    Hash::of(name.as_bytes()).prefix()
}

fn digit(key: u64, depth: u32) -> usize {
    (key >> (60 - 4 * depth.min(DEPTH_MAX - 1)) & 15) as usize
}

impl Node {
    pub(crate) fn leaf(units: Vec<Arc<Unit>>) -> Self {
        let bytes = units.iter().map(|unit| unit.bytes.len() as u64).sum();
        Node { hash: OnceLock::new(), count: units.len(), bytes, body: Body::Leaf(units) }
    }

    pub(crate) fn branch(children: Box<[Option<Arc<Node>>; FANOUT]>) -> Self {
        let (mut count, mut bytes) = (0, 0);
        for child in children.iter().flatten() {
            count += child.count;
            bytes += child.bytes;
        }
        Node { hash: OnceLock::new(), count, bytes, body: Body::Branch(children) }
    }

    /// A node that was read and found to have this hash.
    pub(crate) fn with_hash(self, hash: Hash) -> Self {
        Node { hash: OnceLock::from(hash), ..self }
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn hash(&self) -> Hash {
        *self.hash.get_or_init(|| Hash::of(&self.encode()))
    }

    /// What its hash is taken of, and what is written to disk.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match &self.body {
            Body::Leaf(units) => {
                out.push(TAG_LEAF);
                out.extend((units.len() as u32).to_le_bytes());
                for unit in units {
                    out.extend(unit.hash.as_bytes());
                    out.extend((unit.bytes.len() as u64).to_le_bytes());
                    out.extend((unit.name.len() as u32).to_le_bytes());
                    out.extend(unit.name.as_bytes());
                }
            }
            Body::Branch(children) => {
                out.push(TAG_BRANCH);
                let mut mask = 0_u16;
                for (at, child) in children.iter().enumerate() {
                    mask |= u16::from(child.is_some()) << at;
                }
                out.extend(mask.to_le_bytes());
                for child in children.iter().flatten() {
                    out.extend(child.hash().as_bytes());
                }
            }
        }
        out
    }

    pub(crate) fn get(&self, key: u64, name: &str) -> Option<&Arc<Unit>> {
        let (mut node, mut depth) = (self, 0);
        loop {
            match &node.body {
                Body::Leaf(units) => {
                    let at = units.binary_search_by(|unit| (*unit.name).cmp(name)).ok()?;
                    return units.get(at);
                }
                Body::Branch(children) => node = children.get(digit(key, depth))?.as_ref()?,
            }
            depth += 1;
        }
    }

    /// The child at that place of a branch.
    pub(crate) fn child(&self, at: usize) -> Option<&Arc<Node>> {
        match &self.body {
            Body::Branch(children) => children.get(at)?.as_ref(),
            Body::Leaf(_) => None,
        }
    }

    /// The unit of that name, if this is a leaf and has it.
    pub(crate) fn in_leaf(&self, name: &str) -> Option<&Arc<Unit>> {
        match &self.body {
            Body::Leaf(units) => units.get(units.binary_search_by(|unit| (*unit.name).cmp(name)).ok()?),
            Body::Branch(_) => None,
        }
    }

    /// Puts a unit in, in place of the one of its name.
    pub(crate) fn insert(this: &mut Arc<Node>, depth: u32, key: u64, unit: Arc<Unit>) {
        let node = Arc::make_mut(this);
        node.hash = OnceLock::new();
        match &mut node.body {
            Body::Leaf(units) => {
                match units.binary_search_by(|other| other.name.cmp(&unit.name)) {
                    Ok(at) => {
                        if let Some(place) = units.get_mut(at) {
                            *place = unit;
                        }
                    }
                    Err(at) => units.insert(at, unit),
                }
                *node = Node::shaped(std::mem::take(units), depth);
            }
            Body::Branch(children) => {
                if let Some(place) = children.get_mut(digit(key, depth)) {
                    let had = place.as_ref().map_or((0, 0), |child| (child.count, child.bytes));
                    match place {
                        Some(child) => Node::insert(child, depth + 1, key, unit),
                        None => *place = Some(Arc::new(Node::leaf(vec![unit]))),
                    }
                    let has = place.as_ref().map_or((0, 0), |child| (child.count, child.bytes));
                    node.count = node.count + has.0 - had.0;
                    node.bytes = node.bytes + has.1 - had.1;
                }
            }
        }
    }

    /// Takes the unit of that name out, which must be there.
    pub(crate) fn remove(this: &mut Arc<Node>, depth: u32, key: u64, name: &str) {
        let node = Arc::make_mut(this);
        node.hash = OnceLock::new();
        match &mut node.body {
            Body::Leaf(units) => {
                units.retain(|unit| *unit.name != *name);
                *node = Node::leaf(std::mem::take(units));
            }
            Body::Branch(children) => {
                let Some(place) = children.get_mut(digit(key, depth)) else { return };
                let Some(child) = place else { return };
                let had = (child.count, child.bytes);
                Node::remove(child, depth + 1, key, name);
                let has = (child.count, child.bytes);
                if has.0 == 0 {
                    *place = None;
                }
                node.count = node.count + has.0 - had.0;
                node.bytes = node.bytes + has.1 - had.1;
                if node.count <= LEAF_MAX {
                    let mut units = Vec::with_capacity(node.count);
                    node.gather(&mut units);
                    units.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                    *node = Node::leaf(units);
                }
            }
        }
    }

    /// A leaf of these, or branches where they are too many.
    fn shaped(units: Vec<Arc<Unit>>, depth: u32) -> Self {
        if units.len() <= LEAF_MAX || depth >= DEPTH_MAX {
            return Node::leaf(units);
        }
        let mut parts: [Vec<Arc<Unit>>; FANOUT] = Default::default();
        for unit in units {
            if let Some(part) = parts.get_mut(digit(key(&unit.name), depth)) {
                part.push(unit);
            }
        }
        Node::branch(Box::new(parts.map(|part| match part.is_empty() {
            true => None,
            false => Some(Arc::new(Node::shaped(part, depth + 1))),
        })))
    }

    fn gather(&self, into: &mut Vec<Arc<Unit>>) {
        match &self.body {
            Body::Leaf(units) => into.extend(units.iter().cloned()),
            Body::Branch(children) => children.iter().flatten().for_each(|child| child.gather(into)),
        }
    }

    /// Takes over from `known` what is equal to it, so that it is held once.
    pub(crate) fn share(this: &mut Arc<Node>, known: &Arc<Node>) {
        if Arc::ptr_eq(this, known) {
            return;
        }
        if this.hash() == known.hash() {
            *this = Arc::clone(known);
            return;
        }
        // The hash stays: what is put in place of a part is equal to it.
        match (&mut Arc::make_mut(this).body, &known.body) {
            (Body::Branch(mine), Body::Branch(theirs)) => {
                for (mine, theirs) in mine.iter_mut().zip(theirs.iter()) {
                    if let (Some(mine), Some(theirs)) = (mine, theirs) {
                        Node::share(mine, theirs);
                    }
                }
            }
            (Body::Leaf(mine), Body::Leaf(theirs)) => {
                for mine in mine {
                    if let Ok(at) = theirs.binary_search_by(|unit| unit.name.cmp(&mine.name))
                        && let Some(unit) = theirs.get(at).filter(|unit| unit.hash == mine.hash)
                    {
                        *mine = Arc::clone(unit);
                    }
                }
            }
            // A set that has just grown or shrunk past the size of a leaf: little, and soon right again.
            _ => {}
        }
    }
}

/// What is different. Parts with one hash are not looked into.
pub(crate) fn changes(before: Option<&Arc<Node>>, after: Option<&Arc<Node>>, found: &mut Vec<Change>) {
    match (before, after) {
        (None, None) => {}
        (Some(before), Some(after)) if Arc::ptr_eq(before, after) || before.hash() == after.hash() => {}
        (Some(before), Some(after)) => match (&before.body, &after.body) {
            (Body::Branch(old), Body::Branch(new)) => {
                for (old, new) in old.iter().zip(new.iter()) {
                    changes(old.as_ref(), new.as_ref(), found);
                }
            }
            _ => merge(&gathered(Some(before)), &gathered(Some(after)), found),
        },
        _ => merge(&gathered(before), &gathered(after), found),
    }
}

fn gathered(node: Option<&Arc<Node>>) -> Vec<Arc<Unit>> {
    let mut units = Vec::new();
    if let Some(node) = node {
        node.gather(&mut units);
        units.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }
    units
}

/// Compares two lists ordered by name.
fn merge(before: &[Arc<Unit>], after: &[Arc<Unit>], found: &mut Vec<Change>) {
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        let a = if order.is_le() { old.next() } else { None };
        let b = if order.is_ge() { new.next() } else { None };
        if a.map(|unit| unit.hash) != b.map(|unit| unit.hash)
            && let Some(unit) = b.or(a)
        {
            found.push(Change {
                kind: unit.kind,
                name: unit.name.clone(),
                before: a.cloned(),
                after: b.cloned(),
            });
        }
    }
}

/// Every unit beneath, in the order of the tree.
#[derive(Default)]
pub(crate) struct Walk<'a> {
    branches: Vec<std::slice::Iter<'a, Option<Arc<Node>>>>,
    leaf: std::slice::Iter<'a, Arc<Unit>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn of(node: Option<&'a Arc<Node>>) -> Self {
        let mut walk = Walk::default();
        if let Some(node) = node {
            walk.enter(node);
        }
        walk
    }

    fn enter(&mut self, node: &'a Node) {
        match &node.body {
            Body::Leaf(units) => self.leaf = units.iter(),
            Body::Branch(children) => self.branches.push(children.iter()),
        }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = &'a Arc<Unit>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(unit) = self.leaf.next() {
                return Some(unit);
            }
            match self.branches.last_mut()?.next() {
                Some(Some(node)) => self.enter(node),
                Some(None) => {}
                None => {
                    self.branches.pop();
                }
            }
        }
    }
}

/// A node as it stands on disk: its parts are named by hash.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Leaf(Vec<Row>),
    /// The position of each child and its hash.
    Branch(Vec<(usize, Hash)>),
}

/// A unit as a leaf names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) hash: Hash,
    pub(crate) bytes: u64,
    pub(crate) name: Box<str>,
}

impl Written {
    /// Reads what [`Node::encode`] wrote. `None` for anything else.
    pub(crate) fn decode(mut from: &[u8]) -> Option<Self> {
        let from = &mut from;
        let node = match take::<1>(from)? {
            [TAG_LEAF] => {
                let count = u32::from_le_bytes(take(from)?);
                let mut rows: Vec<Row> = Vec::new();
                for _ in 0..count {
                    let hash = Hash::from_bytes(take(from)?);
                    let bytes = u64::from_le_bytes(take(from)?);
                    let length = u32::from_le_bytes(take(from)?);
                    let (name, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
                    *from = rest;
                    let name = std::str::from_utf8(name).ok()?;
                    if rows.last().is_some_and(|last| *last.name >= *name) {
                        return None;
                    }
                    rows.push(Row { hash, bytes, name: name.into() });
                }
                Written::Leaf(rows)
            }
            [TAG_BRANCH] => {
                let mask = u16::from_le_bytes(take(from)?);
                let mut children = Vec::new();
                for at in (0..FANOUT).filter(|at| mask >> at & 1 == 1) {
                    children.push((at, Hash::from_bytes(take(from)?)));
                }
                Written::Branch(children)
            }
            _ => return None,
        };
        from.is_empty().then_some(node)
    }
}

/// The next `N` bytes, if there are so many.
pub(crate) fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

/// The child of a branch on the way to a key.
pub(crate) fn child_of(children: &[(usize, Hash)], key: u64, depth: u32) -> Option<Hash> {
    let at = digit(key, depth);
    children.iter().find(|(place, _)| *place == at).map(|(_, hash)| *hash)
}
