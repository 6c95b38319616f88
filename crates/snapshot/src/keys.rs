//! The key snapshots are signed with, and the keys that are trusted.
//!
//! `snapshot.key` holds the private key (PEM, PKCS #8, mode 0600), made at the first publication. `snapshot.pub` lists the
//! public keys whose snapshots are taken, one a line in hexadecimal digits: its own, and those of others that are added by
//! hand. A lost private key is replaced by a new one, and what was signed before stays valid.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::disk::Disk;
use crate::manifest::{hex, unhex};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Digits of a public key.
const KEY_DIGITS: usize = 64;

/// A private key.
pub(crate) struct Key(Ed25519KeyPair);

impl Key {
    pub(crate) fn public_hex(&self) -> String {
        hex(self.0.public_key().as_ref())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }

    /// The key of this folder, which is made if there is none that can be read.
    pub(crate) fn of_folder(folder: &Path, disk: &Disk) -> io::Result<Self> {
        let path = folder.join("snapshot.key");
        let found = match fs::read_to_string(&path) {
            Ok(text) => Key::from_pem(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // One that is there and may not be read is not to be thrown away.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
            Err(_) => None,
        };
        let key = match found {
            Some(key) => key,
            None => {
                let pair =
                    Ed25519KeyPair::generate().map_err(|_| io::Error::other("no key could be made"))?;
                let der = pair.to_pkcs8v1().map_err(|_| io::Error::other("no key could be made"))?;
                let pem = format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(der.as_ref()));
                disk.replace(&path, 0o600, |out| out.write_all(pem.as_bytes()))?;
                Key(pair)
            }
        };
        let mut trusted = Trusted::of_folder(folder)?;
        if !trusted.listed || !trusted.keys.contains(&key.public_hex()) {
            trusted.keys.retain(|known| *known != key.public_hex());
            trusted.keys.push(key.public_hex());
            trusted.save(folder, disk)?;
        }
        Ok(key)
    }

    fn from_pem(text: &str) -> Option<Self> {
        let text = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
        let digits: String = text.split_whitespace().collect();
        Ed25519KeyPair::from_pkcs8(&BASE64_STANDARD.decode(digits).ok()?).ok().map(Key)
    }
}

/// Public keys whose signatures count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted {
    keys: Vec<String>,
    /// Whether the list said so.
    listed: bool,
}

impl Trusted {
    pub(crate) const fn of(keys: Vec<String>) -> Self {
        Trusted { keys, listed: true }
    }

    /// The keys listed in this folder. Where the list is lost, they are those the snapshots of the folder are signed with:
    /// who can take the list away could as well have changed it, and an edge must start.
    pub(crate) fn of_folder(folder: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(list(folder)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(error),
        };
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim().to_ascii_lowercase());
        let keys: Vec<String> =
            lines.filter(|line| line.len() == KEY_DIGITS && unhex(line).is_some()).collect();
        if !keys.is_empty() {
            return Ok(Trusted::of(keys));
        }
        let mut keys = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if crate::store::number_of(&path).is_some()
                && let Ok(file) = fs::read(&path)
                && let Some(key) = crate::manifest::Manifest::signer(&file)
                && !keys.contains(&key)
            {
                keys.push(key);
            }
        }
        Ok(Trusted { keys, listed: false })
    }

    pub(crate) fn verify(&self, key: &str, message: &[u8], signature: &[u8]) -> bool {
        let Some(bytes) = self.keys.iter().find(|trusted| *trusted == key).and_then(|key| unhex(key)) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, bytes).verify(message, signature).is_ok()
    }

    fn save(&self, folder: &Path, disk: &Disk) -> io::Result<()> {
        let mut text = String::from("# Keys whose snapshots are taken here, one a line.\n");
        for key in &self.keys {
            text.push_str(key);
            text.push('\n');
        }
        disk.replace(&list(folder), 0o644, |out| out.write_all(text.as_bytes()))
    }
}

fn list(folder: &Path) -> PathBuf {
    folder.join("snapshot.pub")
}
