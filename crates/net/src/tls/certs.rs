//! Certificates of the edge: read from files, checked, chosen by SNI, swapped without a lock.
//!
//! The table handshakes read is immutable and built beside the old one (DESIGN R3). A pair of files that cannot be read
//! or does not fit together leaves its last good version in place and is named in the [`Report`]; the others advance.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use seawall_model::Site;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Largest certificate or key file read, in bytes. A long chain of RSA-4096 certificates is under 20 KiB.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Most certificates in one file. Public chains have two to four; every one is sent in each full handshake.
pub const CHAIN_MAX: usize = 16;

/// Time before a certificate's end at which reports begin to mention it, in seconds: three weeks, by when automatic
/// renewal (at one third of 90 days) has failed for a week.
pub const EXPIRY_WARNING_SECS: i64 = 21 * 86_400;

/// Pairs below which another thread is not worth starting.
const SHARE_MIN: usize = 64;

/// A certificate chain and its key in PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
    /// Hosts to answer with it besides the names it carries, unless a certificate carries them; `*.` for one label.
    pub hosts: Vec<String>,
    /// May answer clients that name no host. The first such pair that loaded does.
    pub default: bool,
}

/// A certificate in use, for metrics and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertInfo {
    /// The file, or nothing for the self-signed one held in memory.
    pub cert: Option<PathBuf>,
    /// Names it carries, lower case; addresses as text.
    pub names: Vec<String>,
    /// First second of validity, Unix time.
    pub not_before: i64,
    /// Last second of validity, Unix time.
    pub not_after: i64,
}

/// What is wrong with a pair of files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// A file cannot be read.
    #[error("cannot read {}: {why}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A file is larger than [`FILE_BYTES_MAX`].
    #[error("{} is larger than {FILE_BYTES_MAX} bytes and cannot be a certificate or key", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// No certificate in the file.
    #[error("{} holds no PEM certificate (-----BEGIN CERTIFICATE-----)", .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// More than [`CHAIN_MAX`] certificates: a bundle of roots, not a chain.
    #[error("{} holds more than {CHAIN_MAX} certificates: give the leaf and its intermediates only", .path.display())]
    LongChain {
        /// The file.
        path: PathBuf,
    },
    /// The leaf cannot be read as X.509 version 3.
    #[error("{}: the first certificate is damaged: {why}", .path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: String,
    },
    /// No usable key in the file.
    #[error("{} holds no usable private key: {why}", .path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error("the key in {} does not belong to the first certificate in {}", .key.display(), .cert.display())]
    Mismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The certificate ended earlier than the one in use.
    #[error("{} has expired, the one in use has not", .path.display())]
    Expired {
        /// The certificate file.
        path: PathBuf,
    },
}

/// A pair that did not load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertProblem {
    /// The certificate file of the pair.
    pub cert: PathBuf,
    /// What is wrong.
    pub error: CertError,
    /// Whether an earlier version of the pair goes on serving.
    pub kept: bool,
}

/// What a load or reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Pairs read and put in use.
    pub loaded: usize,
    /// Pairs whose files had not changed.
    pub unchanged: usize,
    /// Pairs that did not load.
    pub problems: Vec<CertProblem>,
    /// Certificates that end within [`EXPIRY_WARNING_SECS`], or have ended.
    pub expiring: Vec<CertInfo>,
}

/// All certificates, shared by every worker. Cheap to read, slow to change.
#[derive(Debug)]
pub struct CertStore {
    table: ArcSwap<Table>,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    list: Vec<Slot>,
    fallback: Option<Arc<Pair>>,
}

#[derive(Debug)]
struct Slot {
    files: CertFiles,
    stamps: [Stamp; 2],
    pair: Option<Arc<Pair>>,
    error: Option<CertError>,
}

/// A checked certificate and key.
#[derive(Debug)]
pub struct Pair {
    pub(crate) info: CertInfo,
    pub(crate) key: Arc<CertifiedKey>,
    rank: u8,
}

/// What tells that a file was changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Stamp(Option<(u64, u64, i64, i64, i64, i64)>);

type Choices = Vec<Arc<Pair>>;

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<String, Choices>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<String, Choices>,
    /// For clients that name no host.
    nameless: Choices,
    /// For hosts nobody has a certificate for.
    unknown: Choices,
}

impl CertFiles {
    /// Every pair of a configuration: those of the edge, which also answer clients that name no host, then each zone's
    /// for its hosts.
    #[must_use]
    pub fn of(site: &Site) -> Vec<CertFiles> {
        let edge = site.edge.tls.certificates.iter().map(|c| CertFiles {
            cert: c.cert.clone(),
            key: c.key.clone(),
            hosts: Vec::new(),
            default: true,
        });
        let zones = site.zones.iter().flat_map(|zone| {
            zone.certificates.iter().map(|c| CertFiles {
                cert: c.cert.clone(),
                key: c.key.clone(),
                hosts: zone.hosts.iter().map(ToString::to_string).collect(),
                default: false,
            })
        });
        edge.chain(zones).collect()
    }

    fn stamps(&self) -> [Stamp; 2] {
        [Stamp::of(&self.cert), Stamp::of(&self.key)]
    }
}

impl CertStore {
    /// An empty store. `fallback` (the self-signed certificate) answers for hosts that no certificate covers, and for
    /// clients that name no host while no other pair is a default; without it such hosts get a default, if there is one.
    #[must_use]
    pub fn new(fallback: Option<Arc<Pair>>) -> Arc<CertStore> {
        let slots = Slots { list: Vec::new(), fallback };
        let table = ArcSwap::from_pointee(Table::build(&slots));
        Arc::new(CertStore { table, slots: Mutex::new(slots) })
    }

    /// Makes `wanted` the list of pairs and `fallback` the last resort: reads new and changed files, keeps the rest.
    ///
    /// `now` is Unix time in seconds. Blocks on the disk: not for a worker's thread.
    pub fn replace(&self, wanted: &[CertFiles], fallback: Option<Arc<Pair>>, now: i64) -> Report {
        let mut slots = self.slots.lock();
        let mut old: HashMap<(PathBuf, PathBuf), Slot> = std::mem::take(&mut slots.list)
            .into_iter()
            .map(|slot| ((slot.files.cert.clone(), slot.files.key.clone()), slot))
            .collect();
        // One pair named by many zones is read once and its key shared.
        let mut places: HashMap<(PathBuf, PathBuf), usize> = HashMap::new();
        let mut list: Vec<Slot> = Vec::with_capacity(wanted.len());
        for files in wanted {
            let id = (files.cert.clone(), files.key.clone());
            if let Some(slot) = places.get(&id).and_then(|at| list.get_mut(*at)) {
                slot.files.hosts.extend_from_slice(&files.hosts);
                slot.files.default |= files.default;
                continue;
            }
            let slot = match old.remove(&id) {
                Some(slot) => Slot { files: files.clone(), ..slot },
                None => Slot { files: files.clone(), stamps: Default::default(), pair: None, error: None },
            };
            places.insert(id, list.len());
            list.push(slot);
        }
        slots.list = list;
        slots.fallback = fallback;
        self.refresh(&mut slots, now)
    }

    /// Reads the pairs whose files changed and swaps the table; a pair that fails keeps its old version.
    ///
    /// `now` is Unix time in seconds. Blocks on the disk: not for a worker's thread.
    pub fn reload(&self, now: i64) -> Report {
        self.refresh(&mut self.slots.lock(), now)
    }

    /// Whether a file is another one than when it was last read, well or badly. Costs two `stat` calls a pair.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.slots.lock().list.iter().any(|slot| slot.stamps != slot.files.stamps())
    }

    /// Every certificate in use, the fallback last.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertInfo> {
        let slots = self.slots.lock();
        let pairs = slots.list.iter().filter_map(|slot| slot.pair.as_ref()).chain(&slots.fallback);
        pairs.map(|pair| pair.info.clone()).collect()
    }

    /// Whether some certificate carries the host (in any case), or was configured for it.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.table.load().find(host).is_some()
    }

    fn refresh(&self, slots: &mut Slots, now: i64) -> Report {
        // Reading and checking a pair takes about 50 µs, ten thousand half a second: shared by the cores.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = slots.list.len().div_ceil(cores).max(SHARE_MIN);
        let mut loaded = 0;
        std::thread::scope(|scope| {
            let mut shares = slots.list.chunks_mut(share);
            let own = shares.next();
            let others: Vec<_> = shares.map(|share| scope.spawn(move || refresh_all(share, now))).collect();
            loaded = own.map_or(0, |share| refresh_all(share, now));
            loaded += others.into_iter().map(|other| other.join().unwrap_or(0)).sum::<usize>();
        });
        let mut report = Report { loaded, ..Report::default() };
        for slot in &slots.list {
            if let Some(error) = &slot.error {
                let (cert, error, kept) = (slot.files.cert.clone(), error.clone(), slot.pair.is_some());
                report.problems.push(CertProblem { cert, error, kept });
            }
            if let Some(pair) = slot.pair.as_ref().filter(|p| p.info.not_after < now + EXPIRY_WARNING_SECS) {
                report.expiring.push(pair.info.clone());
            }
        }
        report.unchanged = slots.list.len() - report.loaded - report.problems.len();
        self.table.store(Arc::new(Table::build(slots)));
        report
    }
}

/// Reads those of the pairs whose files changed. Returns how many were put in use.
fn refresh_all(slots: &mut [Slot], now: i64) -> usize {
    let mut loaded = 0;
    for slot in slots {
        // Stamps come before the reading: a change in between is seen by the next look.
        let stamps = slot.files.stamps();
        if stamps == slot.stamps && (slot.pair.is_some() || slot.error.is_some()) {
            continue;
        }
        slot.stamps = stamps;
        slot.error = match read(&slot.files, slot.pair.as_deref(), now) {
            Ok(pair) => {
                slot.pair = Some(Arc::new(pair));
                loaded += 1;
                None
            }
            Err(error) => Some(error),
        };
    }
    loaded
}

impl ResolvesServerCert for CertStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let choices = match hello.server_name() {
            Some(host) => table.find(host).unwrap_or(&table.unknown),
            None => &table.nameless,
        };
        let first = choices.first()?;
        let fitting = match choices.len() {
            1 => first, // rustls itself refuses a client that cannot verify it
            _ => {
                let schemes = hello.signature_schemes();
                choices.iter().find(|pair| pair.key.key.choose_scheme(schemes).is_some()).unwrap_or(first)
            }
        };
        Some(Arc::clone(&fitting.key))
    }
}

impl Table {
    /// Names in certificates come first, hosts that were only configured fill what they leave, the fallback the rest.
    fn build(slots: &Slots) -> Table {
        let mut table = Table::default();
        let loaded = || slots.list.iter().filter_map(|s| s.pair.as_ref().map(|p| (&s.files, p)));
        for (_, pair) in loaded() {
            for name in &pair.info.names {
                table.choices(name).push(Arc::clone(pair));
            }
        }
        let carried = |table: &Table, host: &str| match host.strip_prefix("*.") {
            Some(rest) => table.wildcard.contains_key(rest),
            None => table.find(host).is_some(),
        };
        let mut extra: Vec<(String, &Arc<Pair>)> = Vec::new();
        for (files, pair) in loaded() {
            let hosts = files.hosts.iter().map(|h| h.to_ascii_lowercase()).filter(|h| h != "*");
            extra.extend(hosts.filter(|h| !carried(&table, h)).map(|h| (h, pair)));
        }
        for (host, pair) in extra {
            table.choices(&host).push(Arc::clone(pair));
        }
        if let Some(pair) = &slots.fallback {
            for name in pair.info.names.iter().filter(|n| !carried(&table, n)).collect::<Vec<_>>() {
                table.choices(name).push(Arc::clone(pair));
            }
        }
        // A stable sort: among equals the order of the configuration decides.
        for choices in table.exact.values_mut().chain(table.wildcard.values_mut()) {
            choices.sort_by_key(|pair| pair.rank);
            choices.dedup_by(|a, b| Arc::ptr_eq(a, b));
        }
        let default = loaded().find(|(files, _)| files.default).map(|(_, pair)| pair);
        let fallback = slots.fallback.as_ref();
        table.nameless = default.or(fallback).into_iter().cloned().collect();
        table.unknown = fallback.or(default).into_iter().cloned().collect();
        table
    }

    fn choices(&mut self, name: &str) -> &mut Choices {
        match name.strip_prefix("*.") {
            Some(rest) => self.wildcard.entry(rest.to_owned()).or_default(),
            None => self.exact.entry(name.to_owned()).or_default(),
        }
    }

    /// Exact name, then the wildcard one label up (RFC 6125 §6.4.3).
    fn find(&self, host: &str) -> Option<&Choices> {
        if host.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.find(&host.to_ascii_lowercase());
        }
        if let Some(choices) = self.exact.get(host) {
            return Some(choices);
        }
        let (_, parent) = host.split_once('.')?;
        self.wildcard.get(parent)
    }
}

impl Stamp {
    /// Follows symbolic links, as certbot's `live` folder is made of them. A missing file has an empty stamp.
    pub(super) fn of(path: &Path) -> Stamp {
        let all = |m: Metadata| (m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
        Stamp(fs::metadata(path).ok().map(all))
    }
}

impl Pair {
    /// Checks a chain and its key, in memory. `cert` and `key` name them in errors.
    ///
    /// # Errors
    /// The certificate is damaged, the key unusable, or they do not belong together.
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        private: PrivateKeyDer<'static>,
        files: Option<&CertFiles>,
    ) -> Result<Pair, CertError> {
        let path = |pick: fn(&CertFiles) -> &PathBuf| files.map(pick).cloned().unwrap_or_default();
        let (cert_path, key_path) = (path(|f| &f.cert), path(|f| &f.key));
        let leaf = chain.first().ok_or_else(|| CertError::NoCertificate { path: cert_path.clone() })?;
        let (info, rank) =
            inspect(leaf).map_err(|why| CertError::BadCertificate { path: cert_path.clone(), why })?;
        let key = super::provider()
            .key_provider
            .load_private_key(private)
            .map_err(|e| CertError::BadKey { path: key_path.clone(), why: e.to_string() })?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| CertError::Mismatch { cert: cert_path, key: key_path })?;
        let info = CertInfo { cert: files.map(|f| f.cert.clone()), ..info };
        Ok(Pair { info, key: Arc::new(key), rank })
    }

    /// The certificate's names and dates.
    #[must_use]
    pub fn info(&self) -> &CertInfo {
        &self.info
    }
}

fn read(files: &CertFiles, old: Option<&Pair>, now: i64) -> Result<Pair, CertError> {
    let text = read_file(&files.cert)?;
    let mut chain = Vec::new();
    for cert in CertificateDer::pem_slice_iter(&text) {
        let cert =
            cert.map_err(|e| CertError::BadCertificate { path: files.cert.clone(), why: e.to_string() })?;
        chain.push(cert);
        if chain.len() > CHAIN_MAX {
            return Err(CertError::LongChain { path: files.cert.clone() });
        }
    }
    let text = read_file(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|e| CertError::BadKey { path: files.key.clone(), why: key_hint(&text, &e) })?;
    let pair = Pair::new(chain, key, Some(files))?;
    if pair.info.not_after < now && old.is_some_and(|o| o.info.not_after >= now) {
        return Err(CertError::Expired { path: files.cert.clone() });
    }
    Ok(pair)
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertError> {
    let unreadable = |e: io::Error| CertError::Unreadable { path: path.to_owned(), why: e.to_string() };
    let mut text = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(CertError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

fn key_hint(text: &[u8], error: &rustls::pki_types::pem::Error) -> String {
    let text = String::from_utf8_lossy(text);
    if text.contains("ENCRYPTED") {
        "it is encrypted; decrypt it with `openssl pkey -in KEY -out KEY.plain`".to_owned()
    } else if text.contains("BEGIN CERTIFICATE") {
        "it holds a certificate; are cert and key swapped?".to_owned()
    } else {
        error.to_string()
    }
}

/// Names, dates and the order of preference of a leaf certificate.
fn inspect(leaf: &CertificateDer<'_>) -> Result<(CertInfo, u8), String> {
    let (_, cert) = X509Certificate::from_der(leaf).map_err(|e| e.to_string())?;
    let mut names = Vec::new();
    if let Some(san) = cert.subject_alternative_name().map_err(|e| e.to_string())? {
        for name in &san.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                _ => {}
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    // What a signature costs us, cheapest first; a client that cannot verify one gets the next.
    let rank = match cert.public_key().parsed() {
        Ok(PublicKey::EC(point)) if point.key_size() <= 256 => 0,
        Ok(PublicKey::RSA(_)) => 2,
        Ok(PublicKey::EC(_)) => 3,
        _ => 1,
    };
    let validity = cert.validity();
    let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Ok((CertInfo { cert: None, names, not_before, not_after }, rank))
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or_else(|_| v6()).ok().map(|ip| ip.to_string())
}
