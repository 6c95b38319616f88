//! Certificates, keys and authorities: whether the files named are there and hold what they should.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use seawall_model::{Certificate, limits};

use crate::context::{Spot, show_path};
use crate::reader::Reader;

/// Largest PEM file looked at: a bundle of all public authorities is a quarter of this.
const PEM_BYTES: u64 = 1024 * 1024;

/// What a PEM file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// A chain of certificates.
    Chain,
    /// A private key.
    Key,
}

/// What is wrong with a PEM file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFault {
    Missing,
    NotFile,
    Denied,
    Unreadable(std::io::ErrorKind),
    TooLarge,
    Swapped,
    Encrypted,
    NotPem,
    /// A key that everybody on the machine may read: usable, and told.
    Public,
}

/// The certificates at `name`, without those whose files cannot be used. Errors of the files alone are counted as such in
/// the context: without that certificate the rest can still be served.
pub(crate) fn certificates(reader: &Reader<'_, '_>, name: &'static str) -> Vec<Certificate> {
    let mut found = Vec::new();
    reader.tables(name, limits::CERTIFICATES, |_, table| {
        for key in ["cert", "key"] {
            if !table.has(key) {
                table.missing(key);
            }
        }
        let (Some(cert), Some(key)) = (table.path("cert"), table.path("key")) else { return };
        let before = table.cx.errors();
        let cert_is_good = check(&table.spot_of("cert"), &cert, Role::Chain);
        let key_is_good = check(&table.spot_of("key"), &key, Role::Key);
        table.cx.spared_since(before);
        if cert_is_good && key_is_good {
            found.push(Certificate { cert, key });
        }
    });
    found
}

/// Reports what is wrong with a PEM file; whether it can be used.
pub(crate) fn check(spot: &Spot<'_, '_>, path: &Path, role: Role) -> bool {
    let known = spot.cx.files.borrow().get(&(path.to_owned(), role)).copied();
    let fault = known.unwrap_or_else(|| {
        let fault = inspect(path, role);
        spot.cx.files.borrow_mut().insert((path.to_owned(), role), fault);
        fault
    });
    let Some(fault) = fault else { return true };
    let what = match role {
        Role::Chain => "certificate",
        Role::Key => "key",
    };
    let shown = show_path(path);
    let (message, suggestion) = match fault {
        FileFault::Public => {
            spot.warn(
                format!("every user of this machine can read the key {shown}"),
                format!("chmod o-r '{shown}'"),
            );
            return true;
        }
        FileFault::Missing => (
            format!("there is no file {shown}"),
            "give the path of a PEM file; a relative one starts from the folder of the configuration file"
                .to_owned(),
        ),
        FileFault::NotFile => {
            (format!("{shown} is no regular file"), "give the path of a PEM file".to_owned())
        }
        FileFault::Denied => (
            format!("{shown} cannot be read: permission denied"),
            "let the user that runs Seawall read it".to_owned(),
        ),
        FileFault::Unreadable(kind) => {
            (format!("{shown} cannot be read: {kind}"), "give the path of a PEM file".to_owned())
        }
        FileFault::TooLarge => (
            format!("{shown} is larger than 1 MiB, which no {what} is"),
            "give the path of a PEM file".to_owned(),
        ),
        FileFault::Swapped if role == Role::Chain => {
            (format!("{shown} holds a key, not a certificate"), "are `cert` and `key` swapped?".to_owned())
        }
        FileFault::Swapped => {
            (format!("{shown} holds a certificate, not a key"), "are `cert` and `key` swapped?".to_owned())
        }
        FileFault::Encrypted => (
            format!("the key {shown} is encrypted, and Seawall has nobody to ask for the passphrase"),
            format!("decrypt it: openssl pkey -in '{shown}' -out key.pem"),
        ),
        FileFault::NotPem => (
            format!("{shown} holds no {what} in PEM form"),
            match role {
                Role::Chain => "it begins with -----BEGIN CERTIFICATE-----".to_owned(),
                Role::Key => "it begins with -----BEGIN PRIVATE KEY-----".to_owned(),
            },
        ),
    };
    spot.error(message, suggestion);
    false
}

fn inspect(path: &Path, role: Role) -> Option<FileFault> {
    let of_error = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => FileFault::Missing,
        std::io::ErrorKind::PermissionDenied => FileFault::Denied,
        kind => FileFault::Unreadable(kind),
    };
    // Asked before opening: opening a pipe would wait for its writer.
    let about = match std::fs::metadata(path) {
        Ok(about) if !about.is_file() => return Some(FileFault::NotFile),
        Ok(about) if about.len() > PEM_BYTES => return Some(FileFault::TooLarge),
        Ok(about) => about,
        Err(error) => return Some(of_error(error)),
    };
    let mut bytes = Vec::new();
    if let Err(error) = File::open(path).and_then(|file| file.take(PEM_BYTES).read_to_end(&mut bytes)) {
        return Some(of_error(error));
    }
    let text = String::from_utf8_lossy(&bytes);
    let chain = text.contains("-----BEGIN CERTIFICATE-----");
    let key = text.contains("PRIVATE KEY-----");
    match role {
        Role::Chain if chain => None,
        Role::Chain if key => Some(FileFault::Swapped),
        Role::Key if key && (text.contains("ENCRYPTED PRIVATE KEY-----") || text.contains("4,ENCRYPTED")) => {
            Some(FileFault::Encrypted)
        }
        Role::Key if key => is_public(&about).then_some(FileFault::Public),
        Role::Key if chain => Some(FileFault::Swapped),
        _ => Some(FileFault::NotPem),
    }
}

#[cfg(unix)]
fn is_public(about: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    about.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_public(_: &std::fs::Metadata) -> bool {
    false
}
