//! The self-signed certificate that lets a fresh installation speak TLS before it has a real one.
//!
//! Kept in the data directory and reused, so that a browser's exception for it lasts. Made anew when it nears its end
//! or does not carry a name now wanted.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use seawall_model::Site;

use super::certs::Pair;

/// Names every such certificate carries.
pub const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How long it lasts, in days. Browsers refuse certificates that last longer than 398.
pub const DAYS: i64 = 397;

/// It is made anew when fewer days than this are left.
pub const RENEW_DAYS: i64 = 30;

/// Most names it carries; further ones are left out. A larger certificate would burden every handshake.
pub const NAMES_MAX: usize = 100;

const CERT_FILE: &str = "self-signed.pem";
const KEY_FILE: &str = "self-signed.key";
const DAY_SECS: i64 = 86_400;

/// The self-signed certificate, and what kept it from being saved.
#[derive(Debug)]
pub struct SelfSigned {
    /// Ready for [`super::certs::CertStore`].
    pub pair: Arc<Pair>,
    /// Whether it was made now rather than read.
    pub fresh: bool,
    /// Why it could not be kept; it serves from memory and a restart makes another.
    pub unsaved: Option<io::Error>,
}

/// No certificate could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a self-signed certificate: {0}")]
pub struct SelfSignedError(String);

/// Reads the self-signed certificate from `folder`, or makes it there for [`ALWAYS`] and `names` (hosts, `*.host`,
/// addresses; what cannot stand in a certificate, such as `*`, is left out). `now` is Unix time in seconds.
///
/// # Errors
/// Key generation failed. Trouble with files is not an error, see [`SelfSigned::unsaved`].
pub fn self_signed(folder: &Path, names: &[String], now: i64) -> Result<SelfSigned, SelfSignedError> {
    let names = wanted(names);
    if let Some(pair) = read(folder) {
        let info = pair.info();
        let lasting = info.not_before <= now && info.not_after > now + RENEW_DAYS * DAY_SECS;
        if lasting && names.iter().all(|name| info.names.contains(name)) {
            return Ok(SelfSigned { pair: Arc::new(pair), fresh: false, unsaved: None });
        }
    }
    let (cert, key) = make(names, now).map_err(|e| SelfSignedError(e.to_string()))?;
    let pair =
        pair(cert.as_bytes(), key.as_bytes()).ok_or_else(|| SelfSignedError("it does not load".into()))?;
    let unsaved = save(folder, &cert, &key).err();
    Ok(SelfSigned { pair: Arc::new(pair), fresh: true, unsaved })
}

/// The hosts of a configuration's zones, as [`self_signed`] takes them.
#[must_use]
pub fn names_of(site: &Site) -> Vec<String> {
    // Twice the limit leaves room for those that cannot stand in a certificate, and bounds the work for many zones.
    site.zones.iter().flat_map(|z| &z.hosts).take(2 * NAMES_MAX).map(ToString::to_string).collect()
}

/// Writes a file only its owner can read: beside, then renamed over, so no reader sees half of it.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let result = (|| {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&name)?;
        // The mode above holds only for a new file; this one may be left from a crash.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&name, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&name);
    }
    result
}

fn save(folder: &Path, cert: &str, key: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    write_private(&folder.join(KEY_FILE), key.as_bytes())?;
    let cert_path = folder.join(CERT_FILE);
    write_private(&cert_path, cert.as_bytes())?;
    // The certificate is no secret; other users may want to trust it.
    fs::set_permissions(&cert_path, fs::Permissions::from_mode(0o644))
}

fn read(folder: &Path) -> Option<Pair> {
    let (cert, key) = (fs::read(folder.join(CERT_FILE)).ok()?, fs::read(folder.join(KEY_FILE)).ok()?);
    pair(&cert, &key)
}

fn pair(cert: &[u8], key: &[u8]) -> Option<Pair> {
    let cert = CertificateDer::from_pem_slice(cert).ok()?;
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    Pair::new(vec![cert], key, None).ok()
}

fn wanted(names: &[String]) -> Vec<String> {
    let mut all: Vec<String> = ALWAYS.iter().map(|n| (*n).to_owned()).collect();
    for name in names {
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        if fits(&name) && !all.contains(&name) && all.len() < NAMES_MAX {
            all.push(name);
        }
    }
    all
}

/// A name as certificates carry them: letters, digits, hyphens and dots, a star only as the first whole label.
fn fits(name: &str) -> bool {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= 253 && host.split('.').all(label)
}

fn make(names: Vec<String>, now: i64) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names)?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let first_day = (now.div_euclid(DAY_SECS) - 1).max(0); // clocks a little behind accept it too
    let at = |day: i64| epoch + Duration::from_secs((day * DAY_SECS).unsigned_abs());
    params.not_before = at(first_day);
    params.not_after = at(first_day + DAYS);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Seawall self-signed");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}
