//! Entries as files: one each, in 256 folders, and an index of them in memory.

use crate::codec::ENTRY_MAX;
use crate::key::{Key, Slot};
use crate::stats::{Counters, add, read};
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const FOLDERS: u64 = 256;

/// What a file is reckoned to take, in bytes: file systems hand out blocks.
const BLOCK: u64 = 4096;

/// Least bytes of a shard of the index, which must hold several of the largest files.
const SHARD_BYTES: u64 = 32 << 20;

/// Assumed size of a file, from which the index reckons how many evicted names it remembers.
const FILE_BYTES: u64 = 64 << 10;

/// Start of the names of files that are being written.
const TEMPORARY: &str = "new-";

/// The files and their index. The index takes about 80 bytes of memory for a file.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    index: Cache<Slot, Known, Weigh, DefaultHashBuilder, Evict>,
    counters: Arc<Counters>,
    /// Tells the temporary files of this process from those another left behind.
    run: u64,
    written: AtomicU64,
    /// Whether all files found at the start are in the index.
    scanned: AtomicBool,
}

/// What the index knows of a file.
#[derive(Clone, Copy, Debug)]
struct Known {
    blocks: u32,
    /// Sequence of the object it holds; 0 if it was found by the scan.
    seq: u64,
}

impl Files {
    /// Makes the folders. `run` is to differ from that of any earlier process.
    pub fn open(folder: PathBuf, capacity: u64, run: u64, counters: Arc<Counters>) -> io::Result<Files> {
        for number in 0..FOLDERS {
            fs::create_dir_all(folder.join(format!("{number:02x}")))?;
        }
        let shards = (capacity / SHARD_BYTES).clamp(1, 16);
        let entries = usize::try_from(capacity / FILE_BYTES).unwrap_or(usize::MAX).max(32 * 16);
        let mut options = OptionsBuilder::new();
        options.shards(1 << shards.ilog2()).estimated_items_capacity(entries).weight_capacity(capacity);
        let hash = DefaultHashBuilder::default();
        let index = match options.build() {
            Ok(options) => Cache::with_options(options, Weigh, hash, Evict),
            Err(_) => Cache::with(entries, capacity, Weigh, hash, Evict),
        };
        let (written, scanned) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Files { folder, index, counters, run, written, scanned })
    }

    /// Whether the file may be there. Counts as a use of it.
    pub fn may_have(&self, slot: &Slot) -> bool {
        self.index.get(slot).is_some() || !self.is_scanned()
    }

    /// Whether what is there, if anything, is not newer than this sequence.
    pub fn is_at_most(&self, slot: &Slot, seq: u64) -> bool {
        self.index.peek(slot).is_none_or(|known| known.seq <= seq)
    }

    /// Reads a file. `None` if it is not there.
    pub fn read(&self, slot: &Slot) -> io::Result<Option<Bytes>> {
        let mut bytes = Vec::new();
        let result = File::open(self.path(slot)).and_then(|file| {
            let len = file.metadata()?.len();
            // One more, so that the read that finds the end does not double the buffer.
            bytes.reserve_exact(len.min(ENTRY_MAX) as usize + 1);
            file.take(ENTRY_MAX + 1).read_to_end(&mut bytes)
        });
        match result {
            Ok(_) => {
                // Found before the scan came to it.
                if !self.index.contains_key(slot) {
                    self.note(*slot, bytes.len() as u64, 0);
                }
                Ok(Some(Bytes::from(bytes)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.index.remove(slot);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a file in place of the one that may be there, and deletes others to make room.
    pub fn write(&self, slot: Slot, seq: u64, prefix: &[u8], body: &[u8]) -> io::Result<()> {
        let path = self.path(&slot);
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!("{TEMPORARY}{:x}-{number:x}", self.run));
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(prefix)?;
            file.write_all(body)?;
            drop(file);
            fs::rename(&temporary, &path)
        });
        if let Err(error) = written {
            drop(fs::remove_file(&temporary));
            return Err(error);
        }
        let len = (prefix.len() + body.len()) as u64;
        add(&self.counters.disk_written, len);
        self.note(slot, len, seq);
        Ok(())
    }

    /// Deletes a file.
    pub fn delete(&self, slot: &Slot) {
        self.index.remove(slot);
        self.unlink(slot);
    }

    /// Finds the files an earlier process left, until `stop`. Deletes what does not belong here.
    pub fn scan(&self, stop: &AtomicBool) {
        let mut strays = 0u64;
        for number in 0..FOLDERS {
            let folder = self.folder.join(format!("{number:02x}"));
            let Ok(entries) = fs::read_dir(&folder) else {
                add(&self.counters.disk_errors, 1);
                continue;
            };
            for entry in entries.flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let name = entry.file_name();
                let name = name.to_str().unwrap_or_default();
                let Ok(metadata) = entry.metadata() else { continue };
                match parse(name) {
                    Some(slot) if folder_of(&slot) == number && metadata.len() <= ENTRY_MAX => {
                        if !self.index.contains_key(&slot) {
                            self.note(slot, metadata.len(), 0);
                        }
                    }
                    None if name.starts_with(&format!("{TEMPORARY}{:x}-", self.run)) => {}
                    _ => {
                        strays += 1;
                        drop(fs::remove_file(entry.path()));
                    }
                }
            }
        }
        self.scanned.store(true, Ordering::Relaxed);
        tracing::info!(
            files = self.index.len(),
            bytes = self.index.weight(),
            strays,
            "cache on disk is indexed"
        );
    }

    pub fn is_scanned(&self) -> bool {
        self.scanned.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.index.weight()
    }

    pub fn capacity(&self) -> u64 {
        self.index.capacity()
    }

    pub fn entries(&self) -> u64 {
        self.index.len() as u64
    }

    fn note(&self, slot: Slot, len: u64, seq: u64) {
        let mut evicted = Vec::new();
        let blocks = u32::try_from(len.div_ceil(BLOCK)).unwrap_or(u32::MAX);
        self.index.insert_with_lifecycle(slot, Known { blocks, seq }, &mut evicted);
        // The table hands out what was replaced as well (0.7.0, though its documentation says otherwise), and what it
        // does not take: of the same slot, the file goes only in the second case.
        for out in evicted.iter().filter(|out| **out != slot || !self.index.contains_key(*out)) {
            add(&self.counters.disk_evictions, 1);
            self.unlink(out);
        }
    }

    fn unlink(&self, slot: &Slot) {
        match fs::remove_file(self.path(slot)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let errors = read(&self.counters.disk_errors);
                add(&self.counters.disk_errors, 1);
                if errors.is_power_of_two() || errors == 0 {
                    tracing::warn!(%error, "a file of the cache cannot be deleted");
                }
            }
            _ => {}
        }
    }

    fn path(&self, slot: &Slot) -> PathBuf {
        let mut path = self.folder.join(format!("{:02x}", folder_of(slot)));
        path.push(name(slot));
        path
    }
}

/// Deletes the folders of other epochs.
pub(crate) fn sweep(root: &Path, keep: &str) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with("objects-") && name != keep {
            tracing::warn!(folder = name, "deleting cached files whose purges are not known");
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn folder_of(slot: &Slot) -> u64 {
    slot.fold().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56
}

fn name(slot: &Slot) -> String {
    let Slot { key, generation, index } = slot;
    if slot.is_head() {
        format!("{:032x}", key.0)
    } else {
        format!("{:032x}-{generation:x}-{index:x}", key.0)
    }
}

fn parse(name: &str) -> Option<Slot> {
    let mut parts = name.split('-');
    let key = Key(u128::from_str_radix(parts.next()?, 16).ok()?);
    let slot = match (parts.next(), parts.next()) {
        (None, None) => Slot::head(key),
        (Some(generation), Some(index)) => Slot::slice(
            key,
            u64::from_str_radix(generation, 16).ok()?,
            u32::from_str_radix(index, 16).ok().filter(|i| *i != Slot::HEAD)?,
        ),
        _ => return None,
    };
    // Only names as we write them: no capitals, no signs, no parts to spare.
    (self::name(&slot) == name).then_some(slot)
}

#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Slot, Known> for Weigh {
    fn weight(&self, _: &Slot, known: &Known) -> u64 {
        u64::from(known.blocks).max(1) * BLOCK
    }
}

#[derive(Clone, Debug)]
struct Evict;

impl Lifecycle<Slot, Known> for Evict {
    type RequestState = Vec<Slot>;

    fn on_evict(&self, evicted: &mut Vec<Slot>, slot: Slot, _: Known) {
        evicted.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_not_taken_for_ours() {
        for slot in [
            Slot::head(Key(0)),
            Slot::head(Key(u128::MAX)),
            Slot::slice(Key(7), 0, 0),
            Slot::slice(Key(7), u64::MAX, 5),
        ] {
            assert_eq!(parse(&name(&slot)), Some(slot));
        }
        for other in ["", "x", "new-1-1", "00", "+0000000000000000000000000000001", "purges"] {
            assert_eq!(parse(other), None, "{other}");
        }
        assert_eq!(parse(&format!("{}-1-2-3", name(&Slot::head(Key(1))))), None);
        assert_eq!(parse(&format!("{:032X}", 0xabcu128)), None);
    }
}
