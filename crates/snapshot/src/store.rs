//! Snapshots on disk: `<data_dir>/snapshots`.
//!
//! | file | holds |
//! |---|---|
//! | `0000000007.json` | the manifest of snapshot 7, signed |
//! | `packs/0000000007.pack` | the units and tree nodes that came with snapshot 7 |
//! | `history.json`, `history.old.json` | states, deaths, what serves; and the version before |
//! | `snapshot.key`, `snapshot.pub` | the signing key, and the keys that are trusted |
//! | `store.lock`, `history.lock` | locks; the first is taken before the second |
//! | `reserve` | room for the history on a full disk |
//!
//! A snapshot is there as soon as its manifest is; whatever it names was brought to the disk before. Several processes and
//! threads may use one folder at once.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::clock::unix_ms;
use crate::disk::{Disk, UNFINISHED};
use crate::history::{CHANGED_MAX, Cause, Entry, History, State, UnitPrefix};
use crate::keys::{Key, Trusted};
use crate::ledger::{Ledger, lock};
use crate::manifest::{MANIFEST_BYTES, Manifest};
use crate::objects::{Objects, Repair};
use crate::pack::{self, Item};
use crate::store_fault::StoreFault;
use crate::unit::{Measured, UnitKind};
use crate::units::Units;

/// The snapshots of one data folder.
#[derive(Debug)]
pub struct Store {
    pub(crate) root: PathBuf,
    pub(crate) disk: Disk,
    /// The set last read or written: what it has need not be written again.
    pub(crate) known: Mutex<Option<Known>>,
}

/// A set of units that is on the disk wholly.
#[derive(Debug)]
pub(crate) struct Known {
    number: u64,
    units: Units,
    /// The packs as they were then, with their lengths: if others meddled with them, nothing is known.
    packs: BTreeMap<PathBuf, u64>,
}

impl Store {
    /// Opens the store of a data folder and makes what is missing. Works also on a disk that is full or not to be written,
    /// as long as there is something to read.
    ///
    /// # Errors
    /// When there is no such folder and none can be made.
    pub fn open(data_dir: &Path) -> Result<Self, StoreFault> {
        let root = data_dir.join("snapshots");
        let packs = root.join("packs");
        if !packs.is_dir() {
            fs::create_dir_all(&packs).map_err(StoreFault::io("cannot make", &packs))?;
        }
        Ok(Store { root, disk: Disk::default(), known: Mutex::new(None) })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// Makes a snapshot of these units, on trial, and brings it to the disk.
    ///
    /// `base`: the number of the snapshot the change was made from; refused when something newer is on its way or serves.
    /// `None` where the units are not made from another snapshot, such as those of a configuration file. Units that are those
    /// of the newest snapshot make no new one; its manifest is given back.
    ///
    /// # Errors
    /// [`StoreFault::Empty`], [`StoreFault::StaleBase`], [`StoreFault::Quarantined`], [`StoreFault::Limit`], or what the disk
    /// said. Nothing has changed then.
    pub fn publish(&self, units: &Units, base: Option<u64>, cause: &Cause) -> Result<Manifest, StoreFault> {
        if units.is_empty() {
            return Err(StoreFault::Empty);
        }
        let content = units.hash();
        let _lock = lock(&self.root, "store.lock", true)?;
        let history = self.history()?;
        let (head, newest) = (history.head(), history.newest());
        if let Some(base) = base
            && head != Some(base)
            && newest.map(|entry| entry.number) != Some(base)
        {
            return Err(StoreFault::StaleBase { base, head });
        }
        if let Some((number, reason)) = history.refusal(&content) {
            return Err(StoreFault::Quarantined { number, reason: reason.to_owned() });
        }
        let same = newest.filter(|entry| entry.content == content && !entry.spoiled);
        if let Some(manifest) = same.and_then(|entry| self.manifest(entry.number).ok()) {
            return Ok(manifest);
        }
        self.sweep();
        let number = history.newest_number + 1;
        let (items, changed) = self.additions(units)?;
        check_limits(units, &items)?;
        let mut entry = Entry::new(number, content, unix_ms(), cause.clone());
        entry.changed = changed;
        let manifest = Manifest::new(&entry, base.or(head), units);
        self.write_snapshot(&manifest, &items)?;
        let recorded = self.update(|history| history.record(manifest.entry()));
        if let Err(fault) = recorded {
            // Not there without its entry: whoever asked is told that nothing has changed.
            let _ = self.disk.remove(&self.manifest_path(number));
            return Err(fault);
        }
        Ledger::new(&self.root, &self.disk).set_aside();
        self.remember(number, units);
        Ok(manifest)
    }

    /// The units of a snapshot, each checked against its hash, under a manifest whose signature was checked.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], [`StoreFault::Damaged`], or what the disk said.
    pub fn load(&self, number: u64) -> Result<(Manifest, Units), StoreFault> {
        let _lock = self.reading();
        let manifest = self.manifest(number)?;
        let mut objects = self.objects()?;
        let units = self.build(&manifest, &mut objects, Repair::Refuse)?;
        drop(objects);
        self.remember(number, &units);
        Ok((manifest, units))
    }

    /// The manifest of a snapshot, its signature checked.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], [`StoreFault::Damaged`], or what the disk said.
    pub fn manifest(&self, number: u64) -> Result<Manifest, StoreFault> {
        let trusted = Trusted::of_folder(&self.root).map_err(StoreFault::io("cannot read", &self.root))?;
        self.open_manifest(number, &trusted)
    }

    /// What is known of all snapshots. A damaged file is made up for from the one before it and from the manifests.
    ///
    /// # Errors
    /// What the disk said.
    pub fn history(&self) -> Result<History, StoreFault> {
        Ok(self.read_history()?.0)
    }

    /// Reads the history, lets it be changed, and writes it, while no other process does.
    ///
    /// # Errors
    /// What the disk said. The history on disk is as it was then.
    pub fn update<R>(&self, change: impl FnOnce(&mut History) -> R) -> Result<R, StoreFault> {
        let _lock = lock(&self.root, "history.lock", true)?;
        let (mut history, intact) = self.read_history()?;
        let before = history.clone();
        let result = change(&mut history);
        if history != before || !intact {
            let path = self.root.join("history.json");
            Ledger::new(&self.root, &self.disk)
                .write(&history, intact)
                .map_err(StoreFault::io("cannot write", &path))?;
        }
        Ok(result)
    }

    /// Deletes a snapshot, by order. If it was quarantined, its content may be tried again.
    ///
    /// # Errors
    /// [`StoreFault::Needed`] for the one that serves, the one on its way, the newest good one, and the last one an edge could
    /// start with; or what the disk said.
    pub fn delete(&self, number: u64) -> Result<(), StoreFault> {
        let _lock = lock(&self.root, "store.lock", true)?;
        self.update(|history| {
            history.may_delete(number)?;
            let path = self.manifest_path(number);
            self.disk.remove(&path).map_err(StoreFault::io("cannot delete", &path))?;
            self.disk.sync_folder(&path).map_err(StoreFault::io("cannot delete", &path))?;
            history.deleted(number);
            Ok(())
        })?
    }

    /// Deletes the oldest snapshots beyond `keep`, and what only they held. Never fewer than
    /// [`HISTORY_LEAST`](crate::HISTORY_LEAST) stay, and never one goes that [`Store::delete`] would refuse.
    /// Gives the numbers that are gone.
    ///
    /// # Errors
    /// What the disk said. What is not deleted then is deleted the next time.
    pub fn prune(&self, keep: u32) -> Result<Vec<u64>, StoreFault> {
        let _lock = lock(&self.root, "store.lock", true)?;
        let gone = self.update(|history| {
            let excess = history.excess(keep as usize);
            let mut gone = Vec::new();
            for number in excess {
                let path = self.manifest_path(number);
                self.disk.remove(&path).map_err(StoreFault::io("cannot delete", &path))?;
                history.pruned(number);
                gone.push(number);
            }
            Ok::<_, StoreFault>(gone)
        })??;
        self.collect(false)?;
        Ok(gone)
    }

    /// The units to add to the disk, and the hashes of those that are new.
    fn additions(&self, units: &Units) -> Result<(Vec<Item>, Vec<UnitPrefix>), StoreFault> {
        let known = self.known.lock();
        let packs = self.packs()?;
        let items = match known
            .as_ref()
            .filter(|known| known.packs == packs && self.manifest_path(known.number).exists())
        {
            Some(known) => pack::missing(units, &known.units),
            None => {
                let mut there = HashMap::new();
                for path in packs.keys() {
                    pack::scan(
                        path,
                        |_, _| false,
                        |met| {
                            there.insert(met.hash, ());
                            Ok(())
                        },
                    )
                    .map_err(StoreFault::io("cannot read", path))?;
                }
                pack::missing_of(units, &there)
            }
        };
        drop(known);
        let new = |item: &Item| match item {
            Item::Unit(unit) => Some(UnitPrefix(unit.hash.prefix())),
            Item::Node(_) => None,
        };
        let mut changed: Vec<UnitPrefix> = items.iter().filter_map(new).take(CHANGED_MAX + 1).collect();
        if changed.len() > CHANGED_MAX {
            changed.clear();
        }
        Ok((items, changed))
    }

    fn write_snapshot(&self, manifest: &Manifest, items: &[Item]) -> Result<(), StoreFault> {
        let key = Key::of_folder(&self.root, &self.disk)
            .map_err(StoreFault::io("cannot keep a key in", &self.root))?;
        let sealed = manifest
            .seal(&key)
            .ok_or_else(|| StoreFault::io("cannot sign", &self.root)(io::Error::other("no JSON")))?;
        if !items.is_empty() {
            let path = self.pack_folder().join(format!("{:010}.pack", manifest.number));
            self.disk
                .replace(&path, 0o640, |out| pack::write(out, items))
                .map_err(StoreFault::io("cannot write", &path))?;
        }
        let path = self.manifest_path(manifest.number);
        self.disk
            .replace(&path, 0o640, |out| out.write_all(&sealed))
            .map_err(StoreFault::io("cannot write", &path))
    }

    pub(crate) fn build(
        &self,
        manifest: &Manifest,
        objects: &mut Objects,
        repair: Repair<'_>,
    ) -> Result<Units, StoreFault> {
        let known = self.known.lock().as_ref().map(|known| known.units.clone()).unwrap_or_default();
        objects
            .units(manifest, &known, repair)
            .map_err(|what| StoreFault::Damaged { number: manifest.number, what })
    }

    /// Keeps a set in mind that is on the disk wholly.
    pub(crate) fn remember(&self, number: u64, units: &Units) {
        let packs = self.packs().ok();
        *self.known.lock() = packs.map(|packs| Known { number, units: units.clone(), packs });
    }

    /// The packs were put together anew by this store: what is known stays known.
    pub(crate) fn repacked(&self) {
        if let (Some(known), Ok(packs)) = (self.known.lock().as_mut(), self.packs()) {
            known.packs = packs;
        }
    }

    /// A lock against packs being put together while they are read. Without it (a disk not to be written) reading goes on.
    pub(crate) fn reading(&self) -> Option<File> {
        lock(&self.root, "store.lock", false).ok()
    }

    pub(crate) fn objects(&self) -> Result<Objects, StoreFault> {
        let packs: Vec<PathBuf> = self.packs()?.into_keys().rev().collect();
        Objects::read(&packs).map_err(StoreFault::io("cannot read", &self.pack_folder()))
    }

    pub(crate) fn open_manifest(&self, number: u64, trusted: &Trusted) -> Result<Manifest, StoreFault> {
        let path = self.manifest_path(number);
        let damaged = |what: String| StoreFault::Damaged { number, what };
        let file = match read_bounded(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreFault::NoSuch(number)),
            Err(error) => return Err(StoreFault::io("cannot read", &path)(error)),
        };
        let manifest = Manifest::open(&file, trusted).map_err(|unfit| damaged(unfit.words()))?;
        if manifest.number != number {
            return Err(damaged(format!("its manifest is that of snapshot {}", manifest.number)));
        }
        Ok(manifest)
    }

    /// The manifests that can be read, and the numbers of all that are there.
    pub(crate) fn manifests(&self) -> io::Result<(Vec<Manifest>, Vec<u64>)> {
        let trusted = Trusted::of_folder(&self.root)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            numbers.extend(number_of(&entry?.path()));
        }
        numbers.sort_unstable();
        let manifests = numbers.iter().filter_map(|number| self.open_manifest(*number, &trusted).ok());
        Ok((manifests.collect(), numbers))
    }

    fn read_history(&self) -> Result<(History, bool), StoreFault> {
        let read = || {
            let (manifests, numbers) = self.manifests()?;
            Ledger::new(&self.root, &self.disk).read(&manifests, &numbers)
        };
        read().map_err(StoreFault::io("cannot read the history in", &self.root))
    }

    pub(crate) fn packs(&self) -> Result<BTreeMap<PathBuf, u64>, StoreFault> {
        let folder = self.pack_folder();
        let read = || {
            let mut packs = BTreeMap::new();
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.path().extension().is_some_and(|extension| extension == "pack") {
                    packs.insert(entry.path(), entry.metadata()?.len());
                }
            }
            Ok(packs)
        };
        read().map_err(StoreFault::io("cannot read", &folder))
    }

    pub(crate) fn pack_folder(&self) -> PathBuf {
        self.root.join("packs")
    }

    pub(crate) fn manifest_path(&self, number: u64) -> PathBuf {
        self.root.join(format!("{number:010}.json"))
    }

    /// Removes what a process left that died while it wrote. Under the lock, so that nobody writes.
    fn sweep(&self) {
        for entry in fs::read_dir(self.pack_folder()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                let _ = self.disk.remove(&entry.path());
            }
        }
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // That of a history may be of a process that writes just now, under the other lock.
            if name.ends_with(UNFINISHED) && !name.starts_with("history") {
                let _ = self.disk.remove(&entry.path());
            }
        }
    }
}

/// The number of the snapshot whose manifest has this path.
pub(crate) fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    (name.len() >= 10 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok()).flatten()
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    File::open(path)?.take(MANIFEST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks what is new against the limits of its kind, and the number of units of each kind.
fn check_limits(units: &Units, items: &[Item]) -> Result<(), StoreFault> {
    for kind in UnitKind::ALL {
        if let Measured::Beyond(fault) = kind.measure("*", "count", units.count(kind) as u64) {
            return Err(fault.into());
        }
    }
    for item in items {
        if let Item::Unit(unit) = item
            && let Measured::Beyond(fault) = unit.kind.measure(&unit.name, "bytes", unit.bytes.len() as u64)
        {
            return Err(fault.into());
        }
    }
    Ok(())
}

/// Whether a state lets a snapshot be loaded to serve.
pub(crate) const fn serves(state: State) -> bool {
    matches!(state, State::Trial | State::Good)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
