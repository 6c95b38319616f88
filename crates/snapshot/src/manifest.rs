//! Manifests: what a snapshot holds, signed.
//!
//! A file of two lines: the manifest as JSON, and the signature over exactly these bytes. Small whatever the number of units:
//! it names the tree over each kind by its hash.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::{Cause, Entry, UnitPrefix};
use crate::keys::{Key, Trusted};
use crate::unit::{Hash, UnitKind};

/// Version of the format. One that is higher is of a newer Seawall.
const FORMAT: u32 = 1;

/// Bytes of a manifest file that are read: a few hundred are usual, and the words of its cause are of people.
pub(crate) const MANIFEST_BYTES: u64 = 256 * 1024;

/// What the signature is taken over begins with this, so that it means nothing elsewhere.
const PURPOSE: &[u8] = b"seawall snapshot manifest\0";

/// One snapshot: number, content, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Its number.
    pub number: u64,
    /// The hash of its units: [`Units::hash`](crate::Units::hash).
    pub content: Hash,
    /// When it was made, by the clock of the machine that made it.
    pub created_unix_ms: u64,
    /// The number of the snapshot it was made from.
    pub base: Option<u64>,
    /// Why it was made.
    pub cause: Cause,
    /// Bytes of its units together.
    pub bytes: u64,
    /// The tree over the units of each kind: how many there are, and its hash.
    pub(crate) trees: BTreeMap<UnitKind, (u64, Hash)>,
    /// The units that came with it: see [`Entry::changed`].
    pub changed: Vec<UnitPrefix>,
}

/// Why a manifest is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Damaged(&'static str),
    Unsigned,
    Newer(u32),
}

impl Unfit {
    pub(crate) fn words(&self) -> String {
        match self {
            Unfit::Damaged(what) => format!("its manifest is damaged: {what}"),
            Unfit::Unsigned => "its manifest is not signed by a key that is trusted here".to_owned(),
            Unfit::Newer(format) => {
                format!("its manifest has format {format}, of a newer Seawall; this one knows {FORMAT}")
            }
        }
    }
}

impl Manifest {
    pub(crate) fn new(entry: &Entry, base: Option<u64>, units: &crate::Units) -> Self {
        Manifest {
            format: FORMAT,
            number: entry.number,
            content: entry.content,
            created_unix_ms: entry.created_unix_ms,
            base,
            cause: entry.cause.clone(),
            bytes: units.bytes(),
            trees: units.trees(),
            changed: entry.changed.clone(),
        }
    }

    /// How many units there are of a kind.
    #[must_use]
    pub fn count(&self, kind: UnitKind) -> u64 {
        self.trees.get(&kind).map_or(0, |(count, _)| *count)
    }

    /// What a history knows of a snapshot of which nothing but the manifest is left.
    #[must_use]
    pub fn entry(&self) -> Entry {
        let mut entry = Entry::new(self.number, self.content, self.created_unix_ms, self.cause.clone());
        entry.changed.clone_from(&self.changed);
        entry
    }

    pub(crate) fn seal(&self, key: &Key) -> Option<Vec<u8>> {
        let mut file = serde_json::to_vec(self).ok()?;
        let seal = Seal { key: key.public_hex(), ed25519: hex(&key.sign(&message(&file))) };
        file.push(b'\n');
        serde_json::to_writer(&mut file, &seal).ok()?;
        file.push(b'\n');
        Some(file)
    }

    /// Reads a manifest and checks its signature.
    pub(crate) fn open(file: &[u8], trusted: &Trusted) -> Result<Self, Unfit> {
        let torn = Unfit::Damaged("it is cut off");
        let text = file.strip_suffix(b"\n").ok_or_else(|| torn.clone())?;
        let at = text.iter().position(|byte| *byte == b'\n').ok_or(torn)?;
        let (payload, seal) = text.split_at(at);
        let seal: Seal =
            serde_json::from_slice(seal).map_err(|_| Unfit::Damaged("its signature cannot be read"))?;
        let signature = unhex(&seal.ed25519).ok_or(Unfit::Damaged("its signature cannot be read"))?;
        if !trusted.verify(&seal.key, &message(payload), &signature) {
            return Err(Unfit::Unsigned);
        }
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let version: Version =
            serde_json::from_slice(payload).map_err(|_| Unfit::Damaged("it is no manifest"))?;
        if version.format > FORMAT {
            return Err(Unfit::Newer(version.format));
        }
        let manifest: Manifest =
            serde_json::from_slice(payload).map_err(|_| Unfit::Damaged("it is no manifest"))?;
        if crate::units::content(&manifest.trees) != manifest.content {
            return Err(Unfit::Damaged("its content is not that of its trees"));
        }
        Ok(manifest)
    }

    /// The key a manifest names and has a valid signature of, trusted or not.
    pub(crate) fn signer(file: &[u8]) -> Option<String> {
        let text = file.strip_suffix(b"\n")?;
        let (payload, seal) = text.split_at(text.iter().position(|byte| *byte == b'\n')?);
        let seal: Seal = serde_json::from_slice(seal).ok()?;
        let only = Trusted::of(vec![seal.key.clone()]);
        only.verify(&seal.key, &message(payload), &unhex(&seal.ed25519)?).then_some(seal.key)
    }
}

/// The second line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    key: String,
    ed25519: String,
}

fn message(payload: &[u8]) -> Vec<u8> {
    [PURPOSE, payload].concat()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .bytes()
        .map(|digit| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
