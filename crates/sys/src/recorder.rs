//! What an edge has in hand, in memory that outlives it: when it dies, the supervisor reads here what it was doing.
//!
//! A **recording** is a sealed `memfd` the supervisor makes for each edge and lends to it. The edge maps it and writes
//! into it with relaxed stores, which cost what a store into any memory costs. A process that dies by whatever death
//! leaves the pages as they were, and the supervisor, which never maps them, reads them with `pread`.
//!
//! One cache line holds what the edge as a whole runs; after it comes one line a thread, so that no two threads write to
//! the same. The numbers mean nothing to this crate: units and modules are the edge's.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use crate::ClaimError;

/// Most threads of one recording: 64 KiB of memory an edge. More workers than fit go unrecorded.
pub const SLOTS_MAX: usize = 1023;
/// Says that a file is a recording, and of which layout: the two ends may be of different versions.
const FORMAT: u64 = u64::from_le_bytes(*b"seawall1");
/// Words of eight bytes in a line.
const WORDS: usize = 8;
/// Bytes of a line: a cache line on every processor we know of, so that threads do not disturb each other.
const LINE: usize = WORDS * 8;
/// What the file can never do again once it is made. A file that shrinks under a map kills who touches it (SIGBUS).
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// One line of the file.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Line([AtomicU64; WORDS]);

/// What one thread has in hand. Only that thread writes; anybody may look.
#[derive(Debug)]
pub struct Slot(&'static Line);

/// What a thread had in hand when somebody looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hand {
    /// The unit (the first bytes of its hash), or 0 if none.
    pub unit: u64,
    /// The module that works on it, if one does.
    pub module: Option<usize>,
    /// Grows with everything taken into hand: the same number twice means that nothing has moved between.
    pub turn: u64,
}

/// The numbers of the snapshots an edge runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// The one that serves, or 0 if the edge has not said yet.
    pub current: u64,
    /// The one on trial beside it, or 0 if none.
    pub candidate: u64,
}

/// The edge's end: mapped for as long as the process lives.
#[derive(Debug)]
pub struct Recorder {
    head: &'static Line,
    slots: &'static [Line],
}

/// The supervisor's end.
#[derive(Debug)]
pub struct Recording {
    file: File,
}

/// A recording as it was when it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What the edge ran.
    pub runs: Runs,
    /// What was in hand, by number of the slot; slots with nothing in hand are left out.
    pub hands: Vec<(usize, Hand)>,
}

impl Slot {
    /// A slot that nobody looks at, for a thread beyond the last one.
    #[must_use]
    pub fn unseen() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// Takes a unit into hand; no module works on it yet.
    #[inline]
    pub fn enter(&self, unit: u64) {
        self.put(1, 0);
        self.put(0, unit);
        self.turn();
    }

    /// A module begins to work on what is in hand.
    #[inline]
    pub fn module(&self, index: usize) {
        self.put(1, index as u64 + 1);
        self.turn();
    }

    /// The module has done; the unit stays in hand.
    #[inline]
    pub fn module_done(&self) {
        self.put(1, 0);
    }

    /// Nothing is in hand any more.
    #[inline]
    pub fn leave(&self) {
        self.put(1, 0);
        self.put(0, 0);
    }

    /// What is in hand now. Another thread may see half of a change: what it sees twice with one `turn` is so.
    pub fn look(&self) -> Hand {
        let word = |index: usize| self.0.0.get(index).map_or(0, |word| word.load(Ordering::Relaxed));
        hand(word(0), word(1), word(2))
    }

    #[inline]
    fn turn(&self) {
        // One writer, so this needs no locked instruction.
        let [_, _, turn, ..] = &self.0.0;
        turn.store(turn.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        // The compiler must not move what follows before the note of it: that is what may kill us. The processor may, but
        // a thread that dies has every store before its death done.
        compiler_fence(Ordering::SeqCst);
    }

    #[inline]
    fn put(&self, index: usize, value: u64) {
        if let Some(word) = self.0.0.get(index) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

impl Recorder {
    /// Takes over a recording that was inherited under this number.
    ///
    /// # Errors
    /// As [`crate::claim`], and [`ClaimError::WrongKind`] for anything but a sealed recording of this layout.
    pub fn claim(fd: RawFd) -> Result<Self, ClaimError> {
        let owned = crate::claim(fd)?;
        match Self::map(&owned) {
            Ok(Some(recorder)) => Ok(recorder),
            Ok(None) => Err(ClaimError::WrongKind { fd, wanted: "a recording of this version" }),
            Err(errno) => Err(ClaimError::System { fd, errno }),
        }
    }

    /// Memory of this process alone, for an edge without a supervisor. Nobody reads it after a death.
    #[must_use]
    pub fn private(slots: usize) -> Self {
        let head: &'static Line = Box::leak(Box::default());
        let slots = (0..slots.min(SLOTS_MAX)).map(|_| Line::default()).collect::<Vec<_>>();
        Self { head, slots: slots.leak() }
    }

    /// A thread's own. Give each number to one thread: two would overwrite each other's notes.
    #[must_use]
    pub fn slot(&self, index: usize) -> Option<Slot> {
        self.slots.get(index).map(Slot)
    }

    /// What a slot holds now, seen by another thread than its own.
    #[must_use]
    pub fn look(&self, index: usize) -> Hand {
        self.slot(index).map_or_else(Hand::default, |slot| slot.look())
    }

    /// How many slots there are.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Notes what runs. Call it before it runs.
    pub fn runs(&self, runs: Runs) {
        let [_, _, current, candidate, ..] = &self.head.0;
        candidate.store(runs.candidate, Ordering::Relaxed);
        current.store(runs.current, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst); // as in `Slot::turn`
    }

    /// What was noted last.
    #[must_use]
    pub fn running(&self) -> Runs {
        let [_, _, current, candidate, ..] = &self.head.0;
        Runs { current: current.load(Ordering::Relaxed), candidate: candidate.load(Ordering::Relaxed) }
    }

    /// Maps a file; `None` if it is not a recording.
    fn map(fd: &OwnedFd) -> Result<Option<Self>, Errno> {
        let sealed = match fcntl(fd, FcntlArg::F_GET_SEALS) {
            Ok(bits) => SealFlag::from_bits_truncate(bits).contains(SEALS),
            Err(Errno::EINVAL) => false, // not a memfd
            Err(errno) => return Err(errno),
        };
        let file = File::from(fd.try_clone().map_err(errno)?);
        let bytes = file.metadata().map_err(errno)?.len();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let Some(slots) = slots_of(bytes).filter(|_| sealed && has_format(&file)) else { return Ok(None) };
        let length = NonZeroUsize::new(bytes).ok_or(Errno::EINVAL)?;
        // SAFETY: a new map at an address of the kernel's choice touches no memory that anything else uses.
        let start = unsafe {
            mmap(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, fd, 0)
        }?;
        // SAFETY: the map is page-aligned, which is more than a line asks for, and `bytes` long, which is `1 + slots` whole
        // lines. The file is sealed against shrinking, so every page stays backed. It is never unmapped. Zero bytes and
        // any others are valid for a line, which is nothing but atomics: another process may write to the pages at
        // any time, and atomic accesses are what that is sound with.
        let lines =
            unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<Line>().cast_const(), 1 + slots) };
        Ok(lines.split_first().map(|(head, slots)| Self { head, slots }))
    }
}

impl Recording {
    /// A recording with room for so many threads (at most [`SLOTS_MAX`]), nothing in hand.
    ///
    /// # Errors
    /// No descriptor or memory left, or a kernel without `memfd`.
    pub fn create(slots: usize) -> io::Result<Self> {
        let fd = memfd_create("seawall-recorder", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let file = File::from(fd);
        file.set_len((LINE * (1 + slots.min(SLOTS_MAX))) as u64)?;
        file.write_all_at(&FORMAT.to_ne_bytes(), 0)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
        Ok(Self { file })
    }

    /// Takes over a recording from the program that was here before.
    ///
    /// # Errors
    /// As [`crate::claim_file`], and [`ClaimError::WrongKind`] for a file of another layout.
    pub fn claim(fd: RawFd) -> Result<Self, ClaimError> {
        let file = crate::claim_file(fd)?;
        if has_format(&file) {
            Ok(Self { file })
        } else {
            Err(ClaimError::WrongKind { fd, wanted: "a recording of this version" })
        }
    }

    /// Reads it, while the edge lives or after its death.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read(&self) -> io::Result<Reading> {
        let bytes = usize::try_from(self.file.metadata()?.len()).unwrap_or(0);
        let mut content = vec![0; bytes.min(LINE * (1 + SLOTS_MAX))];
        self.file.read_exact_at(&mut content, 0)?;
        let mut reading = Reading::default();
        for (number, line) in content.chunks_exact(LINE).enumerate() {
            let mut words =
                line.chunks_exact(8).map(|w| u64::from_ne_bytes(w.try_into().unwrap_or_default()));
            let [first, second, third, fourth] = std::array::from_fn(|_| words.next().unwrap_or(0));
            match number.checked_sub(1) {
                None => reading.runs = Runs { current: third, candidate: fourth },
                Some(slot) if first != 0 => reading.hands.push((slot, hand(first, second, third))),
                Some(_) => {}
            }
        }
        Ok(reading)
    }
}

impl AsFd for Recording {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Reading {
    /// The units in hand, each once, in the order of the slots.
    #[must_use]
    pub fn suspects(&self) -> Vec<u64> {
        let mut suspects = Vec::new();
        for (_, hand) in &self.hands {
            if !suspects.contains(&hand.unit) {
                suspects.push(hand.unit);
            }
        }
        suspects
    }
}

fn hand(unit: u64, module: u64, turn: u64) -> Hand {
    Hand { unit, module: module.checked_sub(1).and_then(|index| usize::try_from(index).ok()), turn }
}

fn slots_of(bytes: usize) -> Option<usize> {
    (bytes.is_multiple_of(LINE)).then(|| (bytes / LINE).checked_sub(1)).flatten().filter(|n| *n <= SLOTS_MAX)
}

fn has_format(file: &File) -> bool {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, 0).is_ok() && u64::from_ne_bytes(word) == FORMAT
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::set_close_on_exec;
    use std::os::fd::{AsRawFd, IntoRawFd};

    /// The edge's end of a recording, as if it had been inherited.
    fn lent(recording: &Recording) -> Recorder {
        let copy = recording.file.try_clone().unwrap();
        set_close_on_exec(copy.as_fd(), false).unwrap();
        Recorder::claim(copy.into_raw_fd()).unwrap()
    }

    #[test]
    fn what_the_edge_has_in_hand_is_read_by_the_supervisor() {
        let recording = Recording::create(3).unwrap();
        assert_eq!(recording.read().unwrap(), Reading::default());
        let recorder = lent(&recording);
        assert_eq!(recorder.slots(), 3);
        recorder.runs(Runs { current: 7, candidate: 8 });
        let (first, third) = (recorder.slot(0).unwrap(), recorder.slot(2).unwrap());
        first.enter(0xabcd);
        first.module(3);
        third.enter(0xef);
        let reading = recording.read().unwrap();
        assert_eq!(reading.runs, Runs { current: 7, candidate: 8 });
        assert_eq!(
            reading.hands,
            [
                (0, Hand { unit: 0xabcd, module: Some(3), turn: 2 }),
                (2, Hand { unit: 0xef, module: None, turn: 1 })
            ]
        );
        assert_eq!(reading.suspects(), [0xabcd, 0xef]);
        first.module_done();
        assert_eq!(first.look(), Hand { unit: 0xabcd, module: None, turn: 2 });
        first.leave();
        third.enter(0xabcd);
        assert_eq!(recording.read().unwrap().suspects(), [0xabcd]);
        assert!(recorder.slot(3).is_none());
    }

    #[test]
    fn a_recording_outlives_the_process_that_wrote_it() {
        let recording = Recording::create(1).unwrap();
        let fd = recording.file.as_raw_fd();
        // A shell writes what an edge would: the unit, at the first word of the first slot.
        let mut command = std::process::Command::new("/bin/sh");
        command.arg("-c").arg(format!(
            "printf '\\001\\002\\000\\000\\000\\000\\000\\000' | dd of=/proc/self/fd/{fd} bs=1 seek=64 conv=notrunc 2>/dev/null; kill -9 $$"
        ));
        let mut child =
            crate::spawn(&mut command, &[recording.as_fd()], crate::Lineage::DiesWithParent).unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(recording.read().unwrap().suspects(), [0x0201]);
    }

    #[test]
    fn only_a_sealed_recording_of_this_layout_is_mapped() {
        let left_open = |file: File| {
            set_close_on_exec(file.as_fd(), false).unwrap();
            file.into_raw_fd()
        };
        let refused = |fd| matches!(Recorder::claim(fd), Err(ClaimError::WrongKind { .. }));
        let unsealed = File::from(memfd_create("other", MFdFlags::MFD_CLOEXEC).unwrap());
        unsealed.set_len(128).unwrap();
        unsealed.write_all_at(&FORMAT.to_ne_bytes(), 0).unwrap();
        assert!(refused(left_open(unsealed)));
        let other =
            File::from(memfd_create("other", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap());
        other.set_len(128).unwrap();
        fcntl(&other, FcntlArg::F_ADD_SEALS(SEALS)).unwrap();
        assert!(refused(left_open(other)), "no mark of a recording");
        assert!(refused(left_open(File::open("/proc/self/exe").unwrap())));
        let recording = Recording::create(1).unwrap();
        assert!(recording.file.set_len(0).is_err(), "it cannot shrink under a map");
    }

    #[test]
    fn the_next_supervisor_reads_on() {
        let recording = Recording::create(1).unwrap();
        lent(&recording).slot(0).unwrap().enter(5);
        set_close_on_exec(recording.as_fd(), false).unwrap();
        let again = Recording::claim(recording.file.into_raw_fd()).unwrap();
        assert_eq!(again.read().unwrap().suspects(), [5]);
    }

    #[test]
    fn an_edge_alone_records_into_its_own_memory() {
        let recorder = Recorder::private(2);
        recorder.slot(1).unwrap().enter(9);
        recorder.runs(Runs { current: 1, candidate: 0 });
        assert_eq!(recorder.slot(1).unwrap().look().unit, 9);
        assert_eq!(recorder.running(), Runs { current: 1, candidate: 0 });
        assert_eq!(Recorder::private(usize::MAX).slots(), SLOTS_MAX);
    }
}
