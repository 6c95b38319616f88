//! Session ticket keys: rotated, shared by every worker, kept over restarts.
//!
//! rustls' own ticketer makes its keys in memory, so a restarted edge (or a second edge process on the same port) could
//! not resume a session and every client would pay a full handshake at once, just when the edge is busiest (DESIGN R11).
//! Here the keys live in one file of the data directory, mode 0600, and each has a time from which it encrypts. The next
//! key is written one period ahead, so a process that has not read the file for a while knows it already.
//!
//! Keys are random, not derived from a lasting secret: whoever steals the file can read what was recorded from TLS 1.2
//! sessions resumed under the keys in it and no others. TLS 1.3 resumption always adds a fresh key exchange, so there
//! the stolen key reveals nothing of the traffic.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use nix::fcntl::{Flock, FlockArg};
use rustls::server::ProducesTickets;

/// How long a key encrypts, in seconds.
pub const PERIOD_SECS: u64 = 6 * 3600;

/// How long a ticket is good for, in seconds, as told to clients.
pub const LIFETIME_SECS: u64 = 12 * 3600;

/// Most keys held: one to come, one in use, and those whose tickets may still live.
pub const KEYS_MAX: usize = 2 + (LIFETIME_SECS / PERIOD_SECS) as usize;

/// Longest ticket looked at, in bytes. Ours are about 150; without client certificates none comes near this.
pub const TICKET_BYTES_MAX: usize = 1024;

const ID_LEN: usize = 8;
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// One line of the file: start time, identifier and key.
const RECORD_LEN: usize = 8 + ID_LEN + KEY_LEN;
const MAGIC: &[u8; 8] = b"swtkts01";

/// Why the key file could not be used; keys in memory go on.
#[derive(Debug, thiserror::Error)]
#[error("ticket keys in {} cannot be {what}: {source}; sessions will not resume after a restart", .path.display())]
pub struct TicketFault {
    /// The file.
    pub path: PathBuf,
    /// `read` or `written`.
    pub what: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// The keys of this installation; the same object serves every worker.
pub struct TicketKeys {
    ring: ArcSwap<Ring>,
    path: Option<PathBuf>,
    random: SystemRandom,
}

#[derive(Clone, Default)]
struct Ring {
    /// By start time, oldest first.
    keys: Vec<TicketKey>,
    /// Which one encrypts.
    current: usize,
}

#[derive(Clone)]
struct TicketKey {
    from: u64,
    id: [u8; ID_LEN],
    secret: [u8; KEY_LEN],
    aead: Arc<LessSafeKey>,
}

impl TicketKeys {
    /// Keys in memory only. `now` is Unix time in seconds, here and below.
    #[must_use]
    pub fn ephemeral(now: u64) -> Arc<TicketKeys> {
        let keys = TicketKeys { ring: ArcSwap::default(), path: None, random: SystemRandom::new() };
        keys.publish(Vec::new(), now);
        Arc::new(keys)
    }

    /// Keys in a file, which is made, with its folder, if it is missing. A file that cannot be used is reported and
    /// replaced by keys in memory: TLS works without.
    #[must_use]
    pub fn open(path: &Path, now: u64) -> (Arc<TicketKeys>, Option<TicketFault>) {
        let keys =
            TicketKeys { ring: ArcSwap::default(), path: Some(path.to_owned()), random: SystemRandom::new() };
        let fault = keys.rotate(now).err();
        (Arc::new(keys), fault)
    }

    /// Brings the keys up to date: reads what other processes wrote, adds the key to come, drops the outlived. Call it
    /// about once a minute, off the workers' threads.
    ///
    /// # Errors
    /// The file cannot be read or written. The keys in memory are up to date even so.
    pub fn rotate(&self, now: u64) -> Result<(), TicketFault> {
        let Some(path) = &self.path else {
            self.publish(Vec::new(), now);
            return Ok(());
        };
        let fault = |what| move |source| TicketFault { path: path.clone(), what, source };
        let result = (|| {
            if let Some(folder) = path.parent() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault("written"))?;
            }
            let _lock = lock(path).map_err(fault("written"))?;
            let (found, damaged) = match read(path) {
                Ok(found) => (found, None),
                Err(e) if e.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
                // Replaced by fresh keys below.
                Err(e) if e.kind() == io::ErrorKind::InvalidData => (Vec::new(), Some(e)),
                Err(e) => return Err(fault("read")(e)),
            };
            let known = found.len();
            if self.publish(found, now) || known == 0 {
                write(path, &self.ring.load().keys).map_err(fault("written"))?;
            }
            damaged.map_or(Ok(()), |e| Err(fault("read")(e)))
        })();
        if result.is_err() {
            self.publish(Vec::new(), now);
        }
        result
    }

    /// Merges `found` with what is held and makes what is missing. Returns whether the outcome differs from `found`.
    fn publish(&self, found: Vec<TicketKey>, now: u64) -> bool {
        let held = self.ring.load();
        let before: Vec<_> = found.iter().map(|k| k.id).collect();
        let mut keys = found;
        for key in &held.keys {
            if !keys.iter().any(|k| k.id == key.id) {
                keys.push(key.clone());
            }
        }
        // Starts lie on multiples of the period, so processes with clocks a little apart agree. A key far in the future
        // was written by a clock that was wrong.
        let start = now - now % PERIOD_SECS;
        keys.retain(|k| k.from + PERIOD_SECS + LIFETIME_SECS > now && k.from <= start + 2 * PERIOD_SECS);
        for from in [start, start + PERIOD_SECS] {
            if !keys.iter().any(|k| k.from == from) {
                keys.extend(self.make(from));
            }
        }
        keys.sort_by_key(|k| (k.from, k.id));
        let excess = keys.len().saturating_sub(KEYS_MAX);
        keys.drain(..excess);
        let current = keys.iter().rposition(|k| k.from <= now).unwrap_or(0);
        let differs = !keys.iter().map(|k| k.id).eq(before);
        self.ring.store(Arc::new(Ring { keys, current }));
        differs
    }

    fn make(&self, from: u64) -> Option<TicketKey> {
        let (mut id, mut secret) = ([0; ID_LEN], [0; KEY_LEN]);
        self.random.fill(&mut id).ok()?;
        self.random.fill(&mut secret).ok()?;
        TicketKey::new(from, id, secret)
    }
}

impl TicketKey {
    fn new(from: u64, id: [u8; ID_LEN], secret: [u8; KEY_LEN]) -> Option<TicketKey> {
        // GCM-SIV: nonces are random and many processes draw them; a repeated one reveals no more than equality.
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &secret).ok()?);
        Some(TicketKey { from, id, secret, aead: Arc::new(aead) })
    }
}

/// A ticket is the key's identifier, the nonce, the sealed state and its tag; the identifier is authenticated too.
impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECS as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ring = self.ring.load();
        let key = ring.keys.get(ring.current)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(ID_LEN + NONCE_LEN + plain.len() + TAG_LEN);
        ticket.extend_from_slice(&key.id);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let sealed = ticket.get_mut(ID_LEN + NONCE_LEN..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.aead.seal_in_place_separate_tag(nonce, Aad::from(key.id), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        (ticket.len() <= TICKET_BYTES_MAX).then_some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let (id, rest) = ticket.split_first_chunk::<ID_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let ring = self.ring.load();
        let key = ring.keys.iter().find(|k| k.id == *id)?;
        let mut state = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.aead.open_in_place(nonce, Aad::from(*id), &mut state).ok()?.len();
        state.truncate(length);
        Some(state)
    }
}

impl fmt::Debug for TicketKeys {
    /// Never the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("keys", &self.ring.load().keys.len()).finish_non_exhaustive()
    }
}

/// One process at a time reads and writes; the lock file stays, as removing it would race.
fn lock(path: &Path) -> io::Result<Flock<File>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(name)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

fn read(path: &Path) -> io::Result<Vec<TicketKey>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file is damaged; new keys replace it");
    let mut bytes = Vec::new();
    let most = MAGIC.len() + KEYS_MAX * RECORD_LEN;
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    let records = bytes.strip_prefix(MAGIC).filter(|_| bytes.len() <= most).ok_or_else(damaged)?;
    if records.len() % RECORD_LEN != 0 {
        return Err(damaged());
    }
    records
        .chunks_exact(RECORD_LEN)
        .map(|record| {
            let (from, rest) = record.split_first_chunk::<8>()?;
            let (id, rest) = rest.split_first_chunk::<ID_LEN>()?;
            TicketKey::new(u64::from_be_bytes(*from), *id, rest.try_into().ok()?)
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(damaged)
}

/// Written beside and renamed over: a reader sees the old file or the new one, a full disk leaves the old one.
fn write(path: &Path, keys: &[TicketKey]) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    for key in keys {
        bytes.extend_from_slice(&key.from.to_be_bytes());
        bytes.extend_from_slice(&key.id);
        bytes.extend_from_slice(&key.secret);
    }
    super::dev::write_private(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_ticket_opens_until_its_lifetime_ends_and_no_longer() {
        let keys = TicketKeys::ephemeral(NOW);
        let ticket = keys.encrypt(b"state").unwrap();
        for later in (0..=LIFETIME_SECS).step_by(60) {
            keys.rotate(NOW + later).unwrap();
            assert_eq!(keys.decrypt(&ticket).as_deref(), Some(&b"state"[..]), "after {later} s");
            assert!(keys.ring.load().keys.len() <= KEYS_MAX);
        }
        keys.rotate(NOW + LIFETIME_SECS + 2 * PERIOD_SECS).unwrap();
        assert_eq!(keys.decrypt(&ticket), None);
    }

    #[test]
    fn the_key_in_use_changes_every_period() {
        let keys = TicketKeys::ephemeral(NOW);
        let id = |keys: &TicketKeys| keys.encrypt(b"").unwrap()[..ID_LEN].to_vec();
        let first = id(&keys);
        keys.rotate(NOW + 60).unwrap();
        assert_eq!(id(&keys), first);
        keys.rotate(NOW + PERIOD_SECS).unwrap();
        assert_ne!(id(&keys), first);
    }

    #[test]
    fn a_restart_and_a_second_process_open_the_same_tickets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls/tickets.keys");
        let (first, fault) = TicketKeys::open(&path, NOW);
        assert!(fault.is_none(), "{fault:?}");
        let ticket = first.encrypt(b"one").unwrap();
        let (second, _) = TicketKeys::open(&path, NOW + 10);
        assert_eq!(second.decrypt(&ticket).as_deref(), Some(&b"one"[..]));
        // The second rotates; the first has not looked since and knows the key in use all the same.
        second.rotate(NOW + PERIOD_SECS).unwrap();
        assert_eq!(first.decrypt(&second.encrypt(b"two").unwrap()).as_deref(), Some(&b"two"[..]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_reported_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tickets.keys");
        for damage in [&b""[..], b"swtkts01 and then something", &[0; 4096]] {
            fs::write(&path, damage).unwrap();
            let (keys, fault) = TicketKeys::open(&path, NOW);
            assert!(fault.unwrap().to_string().contains("damaged"));
            let ticket = keys.encrypt(b"x").unwrap();
            let (again, fault) = TicketKeys::open(&path, NOW);
            assert!(fault.is_none() && again.decrypt(&ticket).is_some());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_leaves_keys_in_memory() {
        let (keys, fault) = TicketKeys::open(Path::new("/proc/none/tickets.keys"), NOW);
        assert!(fault.is_some());
        assert!(keys.decrypt(&keys.encrypt(b"x").unwrap()).is_some());
        assert!(keys.rotate(NOW + 5 * PERIOD_SECS).is_err());
        assert!(keys.decrypt(&keys.encrypt(b"x").unwrap()).is_some());
    }

    #[test]
    fn altered_cut_and_foreign_tickets_do_not_open() {
        let keys = TicketKeys::ephemeral(NOW);
        let ticket = keys.encrypt(b"some state").unwrap();
        for at in 0..ticket.len() {
            let mut altered = ticket.clone();
            altered[at] ^= 1;
            assert_eq!(keys.decrypt(&altered), None);
            assert_eq!(keys.decrypt(&ticket[..at]), None);
        }
        assert_eq!(keys.decrypt(&[0; TICKET_BYTES_MAX + 1]), None);
        assert_eq!(TicketKeys::ephemeral(NOW).decrypt(&ticket), None);
        assert!(!format!("{keys:?}").contains("secret"));
    }

    #[test]
    fn a_clock_that_was_far_ahead_does_no_harm() {
        let keys = TicketKeys::ephemeral(NOW + 365 * 86_400);
        keys.rotate(NOW).unwrap();
        let ring = keys.ring.load();
        assert_eq!(ring.keys[ring.current].from, NOW - NOW % PERIOD_SECS);
        assert_eq!(ring.keys.len(), 2);
    }
}
