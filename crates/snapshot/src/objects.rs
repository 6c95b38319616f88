//! What the packs of a folder hold, read into memory to build sets of units from. Everything is checked against its hash.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::manifest::Manifest;
use crate::pack::{self, Sort};
use crate::tree::{self, FANOUT, Node, Row, Written};
use crate::unit::{Hash, Unit, UnitKind};
use crate::units::Units;

/// Levels of a tree that are followed: one more than there can be.
const DEPTH_MAX: u32 = 17;

/// Objects by hash.
#[derive(Default)]
pub(crate) struct Objects {
    nodes: HashMap<Hash, Bytes>,
    units: HashMap<Hash, Bytes>,
}

/// What is wrong with the objects of a snapshot, in words.
pub(crate) type Damage = String;

/// What is done about a unit whose bytes are missing or wrong.
pub(crate) enum Repair<'a> {
    /// The snapshot cannot be used.
    Refuse,
    /// It is left out and noted.
    LeaveOut(&'a mut Vec<(UnitKind, Box<str>)>),
}

impl Objects {
    /// Reads packs. With several objects of one hash, those of an earlier path of the list count.
    pub(crate) fn read(packs: &[PathBuf]) -> io::Result<Self> {
        let mut objects = Objects::default();
        for path in packs {
            pack::scan(
                path,
                |_, _| true,
                |met| {
                    let Some(bytes) = met.bytes else { return Ok(()) };
                    // A node is as good as its hash; a unit cannot be judged before its name is known. Of two copies of a
                    // unit the first is kept, and a pack that was cut off ends before a torn one.
                    match met.sort {
                        Sort::Node if Hash::of(&bytes) == met.hash => {
                            objects.nodes.entry(met.hash).or_insert(bytes);
                        }
                        Sort::Node => {}
                        Sort::Unit => {
                            objects.units.entry(met.hash).or_insert(bytes);
                        }
                    }
                    Ok(())
                },
            )?;
        }
        Ok(objects)
    }

    /// The units of a snapshot. What `known` has already is taken from there, and memory holds it once.
    pub(crate) fn units(
        &mut self,
        manifest: &Manifest,
        known: &Units,
        mut repair: Repair<'_>,
    ) -> Result<Units, Damage> {
        let mut units = Units::new();
        for (kind, (count, hash)) in &manifest.trees {
            let node = self.node(*kind, hash, 0, known.root(*kind), &mut repair)?;
            if matches!(repair, Repair::Refuse) && node.count() as u64 != *count {
                return Err(format!("it has {} units of kind {kind} in place of {count}", node.count()));
            }
            units.set_root(*kind, Some(node).filter(|node| node.count() > 0));
        }
        if matches!(repair, Repair::Refuse) && units.hash() != manifest.content {
            return Err("its content has another hash than its manifest says".to_owned());
        }
        Ok(units)
    }

    fn node(
        &mut self,
        kind: UnitKind,
        hash: &Hash,
        depth: u32,
        known: Option<&Arc<Node>>,
        repair: &mut Repair<'_>,
    ) -> Result<Arc<Node>, Damage> {
        if let Some(known) = known.filter(|known| known.hash() == *hash) {
            return Ok(Arc::clone(known));
        }
        match self.written(kind, hash, depth)? {
            Written::Leaf(rows) => {
                let mut units = Vec::with_capacity(rows.len());
                for row in rows {
                    match self.unit(kind, &row, known) {
                        Ok(unit) => units.push(unit),
                        Err(damage) => match repair {
                            Repair::Refuse => return Err(damage),
                            Repair::LeaveOut(left_out) => left_out.push((kind, row.name)),
                        },
                    }
                }
                let node = Node::leaf(units);
                Ok(Arc::new(if matches!(repair, Repair::Refuse) { node.with_hash(*hash) } else { node }))
            }
            Written::Branch(written) => {
                let mut children: Box<[Option<Arc<Node>>; FANOUT]> = Box::default();
                for (at, hash) in written {
                    let known = known.and_then(|known| known.child(at));
                    let child = self.node(kind, &hash, depth + 1, known, repair)?;
                    if let Some(place) = children.get_mut(at) {
                        *place = Some(child).filter(|child| child.count() > 0);
                    }
                }
                let node = Node::branch(children);
                Ok(Arc::new(if matches!(repair, Repair::Refuse) { node.with_hash(*hash) } else { node }))
            }
        }
    }

    fn written(&self, kind: UnitKind, hash: &Hash, depth: u32) -> Result<Written, Damage> {
        let missing = || format!("a part of its list of units of kind {kind} ({}) is missing", hash.short());
        let bytes = self.nodes.get(hash).filter(|_| depth <= DEPTH_MAX).ok_or_else(missing)?;
        Written::decode(bytes).ok_or_else(|| {
            format!("a part of its list of units of kind {kind} ({}) cannot be read", hash.short())
        })
    }

    fn unit(&mut self, kind: UnitKind, row: &Row, known: Option<&Arc<Node>>) -> Result<Arc<Unit>, Damage> {
        if let Some(unit) =
            known.and_then(|known| known.in_leaf(&row.name)).filter(|unit| unit.hash == row.hash)
        {
            return Ok(Arc::clone(unit));
        }
        let name = &row.name;
        let Some(bytes) = self.units.get(&row.hash) else {
            return Err(format!("{kind} {name:?} ({}) is missing", row.hash.short()));
        };
        if Hash::of_unit(kind, name, bytes) != row.hash {
            return Err(format!(
                "{kind} {name:?} is damaged: its bytes have another hash than {}",
                row.hash.short()
            ));
        }
        // A clone of bytes that were never shared costs an allocation; each is taken once as a rule.
        let bytes = bytes.clone();
        Ok(Arc::new(Unit { kind, name: name.clone(), hash: row.hash, bytes }))
    }

    /// One unit of a snapshot, without reading the others.
    pub(crate) fn find(&mut self, manifest: &Manifest, kind: UnitKind, name: &str) -> Option<Arc<Unit>> {
        let (key, mut depth) = (tree::key(name), 0);
        let (_, mut hash) = *manifest.trees.get(&kind)?;
        loop {
            match self.written(kind, &hash, depth).ok()? {
                Written::Leaf(rows) => {
                    let row = rows.into_iter().find(|row| *row.name == *name)?;
                    return self.unit(kind, &row, None).ok();
                }
                Written::Branch(children) => hash = tree::child_of(&children, key, depth)?,
            }
            depth += 1;
        }
    }
}
