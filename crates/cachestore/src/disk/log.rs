//! Purge marks in a file.
//!
//! 32 bytes of header, then records of 32 bytes, appended as purges come and now and then written anew. A file that
//! cannot be read or written is as good as none, and without it the entries on disk are not used: better to begin
//! with nothing than to bring back what was purged.

use crate::MARKS_MAX;
use crate::codec::Take;
use crate::marks::Mark;
use rapidhash::v3::rapidhash_v3;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// First bytes of the file: name and version.
const MAGIC: [u8; 8] = *b"SWpurge1";

const RECORD: usize = 32;

/// Records after which the file is written anew: twice what can be in use.
const RECORDS_MAX: usize = 2 * MARKS_MAX;

/// Largest file that is read, in bytes; a sound one stays well below.
const FILE_MAX: u64 = (RECORD * (4 * MARKS_MAX + 1)) as u64;

/// Zone of the record that states which sequences may be in use. Such a record has label 0 as the mark of everything
/// has, whose zone is 0.
const RESERVED: u64 = 1;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Which entries the marks belong to.
    pub epoch: u64,
    pub marks: Vec<Mark>,
    /// No sequence above this one was given out, except to the marks.
    pub reserved: u64,
}

/// The file, being appended to.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    epoch: u64,
    /// Not there when the last write failed.
    file: Option<File>,
    records: usize,
}

/// Reads the file. `None` if there is none or it is damaged.
pub(crate) fn load(path: &Path) -> io::Result<Option<Loaded>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > FILE_MAX { None } else { decode(&bytes) })
}

/// Reads the content of a file. A last record that is not complete was being written when the process ended, and is
/// left out; anything else amiss makes the whole unusable.
pub(crate) fn decode(bytes: &[u8]) -> Option<Loaded> {
    let mut take = Take(bytes);
    let (magic, epoch, unused, check) = (take.array::<8>()?, take.u64()?, take.u64()?, take.u64()?);
    if magic != MAGIC || check != sum(&[u64::from_le_bytes(magic), epoch, unused]) {
        return None;
    }
    let mut loaded = Loaded { epoch, ..Loaded::default() };
    while let Some(record) = take.bytes(RECORD) {
        let mut take = Take(record);
        let mark = Mark { label: take.u64()?, zone: take.u64()?, seq: take.u64()? };
        if take.u64()? != sum(&[mark.label, mark.zone, mark.seq ^ epoch]) {
            return None;
        }
        match mark {
            Mark { label: 0, zone: RESERVED, seq } => loaded.reserved = loaded.reserved.max(seq),
            mark => loaded.marks.push(mark),
        }
    }
    Some(loaded)
}

/// The record of a mark.
pub(crate) fn record(epoch: u64, mark: &Mark) -> [u8; RECORD] {
    row([mark.label, mark.zone, mark.seq, sum(&[mark.label, mark.zone, mark.seq ^ epoch])])
}

/// The record that sequences up to this one may be in use.
pub(crate) fn reservation(epoch: u64, seq: u64) -> [u8; RECORD] {
    record(epoch, &Mark { label: 0, zone: RESERVED, seq })
}

impl Log {
    /// Writes a new file in place of the old one.
    pub fn create(path: PathBuf, loaded: &Loaded) -> io::Result<Log> {
        let mut log = Log { path, epoch: loaded.epoch, file: None, records: 0 };
        log.rewrite(&loaded.marks, loaded.reserved)?;
        Ok(log)
    }

    /// Whether to write it anew rather than append: it has grown too long, or is gone.
    pub fn is_due(&self) -> bool {
        self.file.is_none() || self.records > RECORDS_MAX
    }

    /// Appends records. On failure there is no file until it is written anew.
    pub fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        self.records += records.len() / RECORD;
        let written = file.write_all(records);
        if written.is_err() {
            self.forsake();
        }
        written
    }

    /// Writes all of it anew.
    pub fn rewrite(&mut self, marks: &[Mark], reserved: u64) -> io::Result<()> {
        let magic = u64::from_le_bytes(MAGIC);
        let mut bytes = Vec::with_capacity(RECORD * (marks.len() + 2));
        bytes.extend_from_slice(&row([magic, self.epoch, 0, sum(&[magic, self.epoch, 0])]));
        bytes.extend_from_slice(&reservation(self.epoch, reserved));
        marks.iter().for_each(|mark| bytes.extend_from_slice(&record(self.epoch, mark)));
        let temporary = self.path.with_extension("new");
        let written = fs::write(&temporary, &bytes)
            .and_then(|()| fs::rename(&temporary, &self.path))
            .and_then(|()| OpenOptions::new().append(true).open(&self.path));
        match written {
            Ok(file) => {
                (self.file, self.records) = (Some(file), marks.len());
                Ok(())
            }
            Err(error) => {
                drop(fs::remove_file(&temporary));
                self.forsake();
                Err(error)
            }
        }
    }

    /// Deletes the file: what it leaves out must not be brought back by a restart.
    fn forsake(&mut self) {
        self.file = None;
        drop(fs::remove_file(&self.path));
    }
}

fn row(words: [u64; 4]) -> [u8; RECORD] {
    let mut out = [0; RECORD];
    for (place, word) in out.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    out
}

fn sum(words: &[u64; 3]) -> u64 {
    let mut block = [0; 24];
    for (place, word) in block.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    rapidhash_v3(&block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_none());
        }
    }

    #[test]
    fn marks_are_read_back_a_torn_end_is_left_out_and_damage_voids_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purges");
        let mark = |n| Mark { label: n, zone: 9, seq: n };
        let mut log =
            Log::create(path.clone(), &Loaded { epoch: 7, marks: vec![mark(1)], reserved: 10 }).unwrap();
        log.append(&record(7, &mark(2))).unwrap();
        log.append(&reservation(7, 20)).unwrap();
        log.append(&record(7, &Mark { label: 0, zone: 0, seq: 12 })).unwrap();
        let marks = vec![mark(1), mark(2), Mark { label: 0, zone: 0, seq: 12 }];
        let all = Loaded { epoch: 7, marks, reserved: 20 };
        assert_eq!(load(&path).unwrap(), Some(all.clone()));

        let good = fs::read(&path).unwrap();
        let torn = good.get(..good.len() - 5).unwrap();
        assert_eq!(decode(torn).unwrap().marks.len(), 2);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(decode(&bad).is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_log_that_cannot_be_written_is_removed_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purges");
        let mut log = Log::create(path.clone(), &Loaded { epoch: 7, ..Loaded::default() }).unwrap();
        fs::create_dir(path.with_extension("new")).unwrap();
        assert!(log.rewrite(&[], 5).is_err() && log.is_due() && !path.exists());
        fs::remove_dir(path.with_extension("new")).unwrap();
        assert!(log.rewrite(&[], 5).is_ok() && !log.is_due());
        assert_eq!(load(&path).unwrap().unwrap().reserved, 5);
    }
}
