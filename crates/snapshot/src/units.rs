//! The units of one snapshot: a persistent set, addressed by content.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::tree::{self, Node, Walk};
use crate::unit::{Hash, Unit, UnitKind};

/// All units of a snapshot.
///
/// A clone and a change cost little and share everything else, so that versions that differ by one zone of 100,000 are held
/// at the price of one and a few KiB. Two sets with the same units have the same hash, whatever their history.
#[derive(Clone, Debug, Default)]
pub struct Units {
    roots: [Option<Arc<Node>>; UnitKind::ALL.len()],
}

/// One unit that is not the same in two sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its kind.
    pub kind: UnitKind,
    /// Its name.
    pub name: Box<str>,
    /// What it was; `None` where it was not.
    pub before: Option<Arc<Unit>>,
    /// What it is; `None` where it is gone.
    pub after: Option<Arc<Unit>>,
}

impl Units {
    /// No units.
    #[must_use]
    pub fn new() -> Self {
        Units::default()
    }

    /// The unit of that kind and name.
    #[must_use]
    pub fn get(&self, kind: UnitKind, name: &str) -> Option<&Arc<Unit>> {
        self.root(kind)?.get(tree::key(name), name)
    }

    /// Puts a unit in, in place of the one of its name. One that is there already with the same bytes is left as it is.
    pub fn insert(&mut self, kind: UnitKind, name: &str, bytes: Bytes) -> Arc<Unit> {
        self.put(Unit::shared(kind, name, bytes))
    }

    /// Puts a unit in that perhaps stands in other sets too.
    pub fn put(&mut self, unit: Arc<Unit>) -> Arc<Unit> {
        let key = tree::key(&unit.name);
        if let Some(same) = self.root(unit.kind).and_then(|root| root.get(key, &unit.name))
            && same.hash == unit.hash
        {
            return Arc::clone(same);
        }
        match self.root_mut(unit.kind) {
            Some(root) => Node::insert(root, 0, key, Arc::clone(&unit)),
            empty => *empty = Some(Arc::new(Node::leaf(vec![Arc::clone(&unit)]))),
        }
        unit
    }

    /// Takes a unit out; false where there is none.
    pub fn remove(&mut self, kind: UnitKind, name: &str) -> bool {
        if self.get(kind, name).is_none() {
            return false;
        }
        let root = self.root_mut(kind);
        if let Some(node) = root {
            Node::remove(node, 0, tree::key(name), name);
            if node.count() == 0 {
                *root = None;
            }
        }
        true
    }

    /// Every unit: by kind, and within a kind in an order that says nothing.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Unit>> {
        self.roots.iter().flat_map(|root| Walk::of(root.as_ref()))
    }

    /// Every unit of one kind, in an order that says nothing.
    pub fn of_kind(&self, kind: UnitKind) -> impl Iterator<Item = &Arc<Unit>> {
        Walk::of(self.root(kind))
    }

    /// How many there are of one kind.
    #[must_use]
    pub fn count(&self, kind: UnitKind) -> usize {
        self.root(kind).map_or(0, |root| root.count())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roots.iter().flatten().map(|root| root.count()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.iter().all(Option::is_none)
    }

    /// Bytes of all units together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.roots.iter().flatten().map(|root| root.bytes()).sum()
    }

    /// The hash of the whole content. What was not changed since the last call costs nothing.
    #[must_use]
    pub fn hash(&self) -> Hash {
        content(&self.trees())
    }

    /// What is different in `after`. Costs as much as what is different, and little of what is equal.
    #[must_use]
    pub fn changes(&self, after: &Units) -> Vec<Change> {
        let mut found = Vec::new();
        for (before, after) in self.roots.iter().zip(&after.roots) {
            tree::changes(before.as_ref(), after.as_ref(), &mut found);
        }
        found
    }

    /// Takes over from `known` what is equal to it, so that memory holds it once. The content stays what it is.
    ///
    /// For a set that was built anew from a file, beside one that runs.
    pub fn share(&mut self, known: &Units) {
        for (mine, theirs) in self.roots.iter_mut().zip(&known.roots) {
            if let (Some(mine), Some(theirs)) = (mine, theirs) {
                Node::share(mine, theirs);
            }
        }
    }

    /// The tree over each kind: how many units, and its hash.
    pub(crate) fn trees(&self) -> BTreeMap<UnitKind, (u64, Hash)> {
        let root = |kind| self.root(kind).map(|root| (kind, (root.count() as u64, root.hash())));
        UnitKind::ALL.into_iter().filter_map(root).collect()
    }

    pub(crate) fn root(&self, kind: UnitKind) -> Option<&Arc<Node>> {
        self.roots.get(place(kind))?.as_ref()
    }

    /// Puts a whole tree in.
    pub(crate) fn set_root(&mut self, kind: UnitKind, node: Option<Arc<Node>>) {
        *self.root_mut(kind) = node;
    }

    fn root_mut(&mut self, kind: UnitKind) -> &mut Option<Arc<Node>> {
        let [edge, zone, list, data, module] = &mut self.roots;
        match kind {
            UnitKind::Edge => edge,
            UnitKind::Zone => zone,
            UnitKind::List => list,
            UnitKind::Data => data,
            UnitKind::Module => module,
        }
    }
}

const fn place(kind: UnitKind) -> usize {
    kind as usize
}

impl PartialEq for Units {
    /// By content.
    fn eq(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}

impl Eq for Units {}

impl FromIterator<Arc<Unit>> for Units {
    fn from_iter<T: IntoIterator<Item = Arc<Unit>>>(units: T) -> Self {
        let mut set = Units::new();
        for unit in units {
            set.put(unit);
        }
        set
    }
}

/// The hash of a content: of how many units of which kind there are under which hash.
pub(crate) fn content(trees: &BTreeMap<UnitKind, (u64, Hash)>) -> Hash {
    let mut out = b"seawall units\0".to_vec();
    for (kind, (count, hash)) in trees {
        out.push(kind.tag());
        out.extend(count.to_le_bytes());
        out.extend(hash.as_bytes());
    }
    Hash::of(&out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::Written;

    fn zone(units: &mut Units, name: &str, text: &str) {
        units.insert(UnitKind::Zone, name, Bytes::copy_from_slice(text.as_bytes()));
    }

    fn many(count: usize) -> Units {
        let mut units = Units::new();
        for i in 0..count {
            zone(&mut units, &format!("site{i}.test"), &format!("{{\"n\":{i}}}"));
        }
        units
    }

    #[test]
    fn what_is_put_in_is_found_counted_and_taken_out() {
        let mut units = many(1_000);
        assert_eq!(
            (units.len(), units.count(UnitKind::Zone), units.count(UnitKind::List)),
            (1_000, 1_000, 0)
        );
        assert_eq!(&units.get(UnitKind::Zone, "site7.test").unwrap().bytes[..], b"{\"n\":7}");
        assert!(units.get(UnitKind::List, "site7.test").is_none());
        assert!(!units.remove(UnitKind::Zone, "other.test"));
        for i in 0..1_000 {
            assert!(units.remove(UnitKind::Zone, &format!("site{i}.test")));
        }
        assert!(units.is_empty() && units.bytes() == 0);
        assert_eq!(units.hash(), Units::new().hash());
    }

    #[test]
    fn a_change_copies_a_leaf_and_its_branches_and_shares_the_rest() {
        let before = many(20_000);
        let mut after = before.clone();
        zone(&mut after, "site7.test", "{}");
        let shared = before
            .of_kind(UnitKind::Zone)
            .zip(after.of_kind(UnitKind::Zone))
            .filter(|(a, b)| Arc::ptr_eq(a, b))
            .count();
        assert_eq!(shared, 19_999);
        let found = before.changes(&after);
        assert_eq!(found.len(), 1);
        assert_eq!(&*found[0].name, "site7.test");
        assert_eq!(&found[0].after.as_ref().unwrap().bytes[..], b"{}");
    }

    #[test]
    fn a_unit_put_in_unchanged_changes_nothing() {
        let before = many(500);
        let mut after = before.clone();
        zone(&mut after, "site7.test", "{\"n\":7}");
        let (a, b) = (before.root(UnitKind::Zone).unwrap(), after.root(UnitKind::Zone).unwrap());
        assert!(Arc::ptr_eq(a, b));
    }

    #[test]
    fn a_set_built_anew_shares_what_is_equal_and_keeps_its_hash() {
        let running = many(3_000);
        let mut built = many(3_000);
        zone(&mut built, "site7.test", "{}");
        let hash = built.hash();
        built.share(&running);
        let shared = running
            .of_kind(UnitKind::Zone)
            .zip(built.of_kind(UnitKind::Zone))
            .filter(|(a, b)| Arc::ptr_eq(a, b))
            .count();
        assert_eq!(shared, 2_999);
        assert_eq!(built.hash(), hash);
        let mut anew = many(3_000);
        zone(&mut anew, "site7.test", "{}");
        assert_eq!(anew.hash(), hash);
    }

    #[test]
    fn a_node_is_read_as_it_is_written() {
        for units in [many(3), many(100)] {
            let root = units.root(UnitKind::Zone).unwrap();
            let bytes = root.encode();
            match Written::decode(&bytes).unwrap() {
                Written::Leaf(rows) => assert_eq!(rows.len(), 3),
                Written::Branch(children) => assert_eq!(children.len(), 16),
            }
            for length in 0..bytes.len() {
                assert_eq!(Written::decode(&bytes[..length]), None);
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, u8),
        Remove(u8),
    }

    proptest! {
        /// The hash and the changes are those of the content, however it came about.
        #[test]
        fn the_hash_is_a_function_of_the_content(
            steps in prop::collection::vec(
                prop_oneof![
                    3 => (any::<u8>(), 0..3_u8).prop_map(|(name, text)| Step::Put(name, text)),
                    2 => any::<u8>().prop_map(Step::Remove),
                ],
                0..400,
            ),
            cut in 0..400_usize,
        ) {
            let mut units = Units::new();
            let mut model: BTreeMap<String, u8> = BTreeMap::new();
            let mut kept = (Units::new(), BTreeMap::new());
            for (at, step) in steps.iter().enumerate() {
                match step {
                    Step::Put(name, text) => {
                        zone(&mut units, &format!("{name}.test"), &text.to_string());
                        model.insert(format!("{name}.test"), *text);
                    }
                    Step::Remove(name) => {
                        let there = model.remove(&format!("{name}.test")).is_some();
                        prop_assert_eq!(units.remove(UnitKind::Zone, &format!("{name}.test")), there);
                    }
                }
                if at == cut {
                    let _ = units.hash();
                    kept = (units.clone(), model.clone());
                }
            }
            prop_assert_eq!(units.len(), model.len());
            let mut anew = Units::new();
            for (name, text) in model.iter().rev() {
                zone(&mut anew, name, &text.to_string());
            }
            prop_assert_eq!(units.hash(), anew.hash());
            prop_assert_eq!(units.bytes(), anew.bytes());
            let names: std::collections::BTreeSet<&str> = units.iter().map(|unit| &*unit.name).collect();
            prop_assert!(names.iter().copied().eq(model.keys().map(String::as_str)));
            // What was kept is as it was, and the changes lead from it to what is now.
            let (mut old, old_model) = kept;
            prop_assert_eq!(old.len(), old_model.len());
            let changes = old.changes(&units);
            let different = old_model.iter().filter(|(name, text)| model.get(*name) != Some(text)).count()
                + model.keys().filter(|name| !old_model.contains_key(*name)).count();
            prop_assert_eq!(changes.len(), different);
            for change in changes {
                match change.after {
                    Some(unit) => { old.put(unit); }
                    None => prop_assert!(old.remove(change.kind, &change.name)),
                }
            }
            prop_assert_eq!(old.hash(), units.hash());
        }
    }
}
