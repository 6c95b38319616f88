//! Putting packs together: what no snapshot names any more goes, so that the disk holds a bounded multiple of what is named.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use crate::pack::{self, Sort};
use crate::store::Store;
use crate::store_fault::StoreFault;
use crate::tree::Written;
use crate::unit::Hash;

/// Packs from which on they are put together: each is opened at every load.
pub(crate) const PACKS_MAX: usize = 64;

/// Packs larger than this are left alone while at least half of them is in use: moving it costs more than it yields.
const LARGE_BYTES: u64 = 1024 * 1024;

/// Bytes of packs beyond twice those of the newest snapshot from which on they are put together.
const SLACK_BYTES: u64 = 64 * 1024 * 1024;

/// One pack, looked at.
struct Pack {
    path: PathBuf,
    size: u64,
    /// Bytes of objects that a snapshot names and that no pack before this one has.
    live: u64,
}

impl Store {
    /// Puts packs together when it is worth while, or in any case. Under the lock of the store.
    pub(crate) fn collect(&self, in_any_case: bool) -> Result<(), StoreFault> {
        let sizes = self.packs()?;
        let total: u64 = sizes.values().sum();
        let cannot = |error| StoreFault::io("cannot put packs together in", &self.pack_folder())(error);
        let (manifests, numbers) = self.manifests().map_err(cannot)?;
        let newest = manifests.last().map_or(0, |manifest| manifest.bytes);
        let due = sizes.len() > PACKS_MAX || total > newest.saturating_mul(2).saturating_add(SLACK_BYTES);
        // A manifest that cannot be read may be readable to somebody else, or again: what it names is not known.
        if !(in_any_case || due) || manifests.len() != numbers.len() {
            return Ok(());
        }
        let mut nodes = HashMap::new();
        // Large ones first, so that of two copies the one is kept that would be dearer to move.
        let mut packs: Vec<Pack> =
            sizes.into_iter().map(|(path, size)| Pack { path, size, live: 0 }).collect();
        packs.sort_by_key(|pack| std::cmp::Reverse(pack.size));
        for pack in &packs {
            let wanted = |sort, _: &Hash| sort == Sort::Node;
            pack::scan(&pack.path, wanted, |met| {
                if let Some(bytes) = met.bytes.filter(|bytes| Hash::of(bytes) == met.hash) {
                    nodes.insert(met.hash, bytes);
                }
                Ok(())
            })
            .map_err(cannot)?;
        }
        let mut live: HashSet<Hash> = HashSet::new();
        let mut open: Vec<Hash> =
            manifests.iter().flat_map(|manifest| manifest.trees.values().map(|(_, hash)| *hash)).collect();
        while let Some(hash) = open.pop() {
            if !live.insert(hash) {
                continue;
            }
            match nodes.get(&hash).and_then(|bytes| Written::decode(bytes)) {
                Some(Written::Leaf(rows)) => live.extend(rows.iter().map(|row| row.hash)),
                Some(Written::Branch(children)) => open.extend(children.iter().map(|(_, hash)| *hash)),
                None => {}
            }
        }
        drop(nodes);
        // Which pack each object is kept in.
        let mut place: HashMap<Hash, usize> = HashMap::new();
        for (at, pack) in packs.iter_mut().enumerate() {
            pack::scan(
                &pack.path,
                |_, _| false,
                |met| {
                    if live.contains(&met.hash) && !place.contains_key(&met.hash) {
                        place.insert(met.hash, at);
                        pack.live += met.size;
                    }
                    Ok(())
                },
            )
            .map_err(cannot)?;
        }
        let stays = |pack: &Pack| pack.size >= LARGE_BYTES && pack.live * 2 >= pack.size;
        let (gone, moved): (Vec<&Pack>, Vec<&Pack>) =
            packs.iter().filter(|pack| !stays(pack)).partition(|pack| pack.live == 0);
        if moved.len() > 1 || moved.iter().any(|pack| pack.live * 2 < pack.size) {
            let target = self.fresh_pack(numbers.last().copied().unwrap_or(0));
            self.disk
                .replace(&target, 0o640, |out| {
                    pack::write_magic(out)?;
                    for (at, pack) in packs.iter().enumerate().filter(|(_, pack)| !stays(pack)) {
                        let wanted = |_, hash: &Hash| place.get(hash) == Some(&at);
                        pack::scan(&pack.path, wanted, |met| match met.bytes {
                            Some(bytes) => pack::write_object(out, met.sort, &met.hash, &bytes),
                            None => Ok(()),
                        })?;
                    }
                    Ok(())
                })
                .map_err(cannot)?;
            self.remove(moved).map_err(cannot)?;
        }
        self.remove(gone).map_err(cannot)?;
        self.repacked();
        Ok(())
    }

    fn remove(&self, packs: Vec<&Pack>) -> io::Result<()> {
        packs.iter().try_for_each(|pack| self.disk.remove(&pack.path))
    }

    /// A name that no pack has.
    fn fresh_pack(&self, number: u64) -> PathBuf {
        let name = |round: u32| self.pack_folder().join(format!("{number:010}-{round}.pack"));
        (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
    }
}
