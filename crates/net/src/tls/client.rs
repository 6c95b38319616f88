//! TLS towards origins: encrypted (`full`) or encrypted and verified (`strict`).

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, HandshakeKind, PeerMisbehaved,
    RootCertStore, SignatureScheme,
};
use seawall_model::Origin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certs::Stamp;
use super::names;

/// Origins whose sessions one configuration remembers. rustls keeps up to 8 tickets for each, about 2 KiB together.
pub const SESSIONS_MAX: usize = 1024;

/// Largest file of roots read, in bytes. Debian's whole bundle is 220 KiB.
pub const CA_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How far an origin's certificate is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Encrypt, accept any certificate. The origin must still prove that it holds the certificate's key.
    Full,
    /// The chain must lead to a root of this system and the name must match.
    #[default]
    Strict,
    /// As strict, with the roots in this PEM file instead.
    StrictWith(PathBuf),
}

/// An origin's TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientSetupError {
    /// The file of roots cannot be read.
    #[error("cannot read the origin CA file {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no certificate that can be a root.
    #[error("{} holds no usable PEM certificate of a certification authority", .path.display())]
    NoRoots {
        /// The file.
        path: PathBuf,
    },
    /// Neither a host name nor an address.
    #[error("`{0}` cannot be the name of a TLS server")]
    BadName(String),
    /// Refused by rustls.
    #[error("origin TLS settings: {0}")]
    Tls(#[from] TlsError),
}

/// Why the TLS handshake with an origin failed, told apart as Cloudflare's error pages do.
#[derive(Debug, thiserror::Error)]
pub enum OriginTlsError {
    /// No common protocol, a broken or refused handshake, a connection closed in its middle: status 525.
    #[error("TLS handshake with the origin failed: {0}")]
    Handshake(io::Error),
    /// The certificate is expired, for another name, from an unknown issuer, revoked or damaged: status 526.
    #[error("the origin's certificate is not valid: {0}")]
    Certificate(CertificateError),
}

impl OriginTlsError {
    /// 525 or 526.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            OriginTlsError::Handshake(_) => 525,
            OriginTlsError::Certificate(_) => 526,
        }
    }
}

/// What the handshake with an origin agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginTlsInfo {
    /// Whether to speak HTTP/2.
    pub http2: bool,
    /// `TLSv1.3`, as in the log field `OriginSSLProtocol`.
    pub version: &'static str,
    /// The cipher suite's name as in logs.
    pub cipher: &'static str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// The configurations of all origins, one for each kind of settings: kept from snapshot to snapshot, so that reloading
/// the configuration forgets no session.
#[derive(Debug, Default)]
pub struct OriginConfigs(HashMap<(Verify, bool), (Stamp, Arc<ClientConfig>)>);

impl OriginConfigs {
    /// The configuration for these settings; a CA file is read again if it changed.
    ///
    /// # Errors
    /// The CA file is unusable. Connections in use keep what they have.
    pub fn get(&mut self, verify: &Verify, http2: bool) -> Result<Arc<ClientConfig>, ClientSetupError> {
        let stamp = match verify {
            Verify::StrictWith(path) => Stamp::of(path),
            Verify::Full | Verify::Strict => Stamp::default(),
        };
        match self.0.get(&(verify.clone(), http2)) {
            Some((seen, config)) if *seen == stamp => Ok(Arc::clone(config)),
            _ => {
                let config = client_config(verify, http2)?;
                self.0.insert((verify.clone(), http2), (stamp, Arc::clone(&config)));
                Ok(config)
            }
        }
    }

    /// TLS as an origin's settings ask for it; nothing for cleartext.
    ///
    /// # Errors
    /// The CA file or the server's name is unusable.
    pub fn origin(&mut self, origin: &Origin) -> Result<Option<OriginTls>, ClientSetupError> {
        let verify = match (origin.tls, &origin.ca) {
            (seawall_model::OriginTls::Off, _) => return Ok(None),
            (seawall_model::OriginTls::Full, _) => Verify::Full,
            (seawall_model::OriginTls::Strict, None) => Verify::Strict,
            (seawall_model::OriginTls::Strict, Some(path)) => Verify::StrictWith(path.clone()),
        };
        OriginTls::new(self.get(&verify, origin.http2)?, origin.server_name()).map(Some)
    }
}

/// Opens TLS to one origin.
#[derive(Clone)]
pub struct OriginTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl OriginTls {
    /// TLS to the server called `name` (host or address; the SNI and, if strict, what the certificate must carry), over a
    /// configuration from [`client_config`] that several origins may share.
    ///
    /// # Errors
    /// The name cannot be one.
    pub fn new(config: Arc<ClientConfig>, name: &str) -> Result<OriginTls, ClientSetupError> {
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let name =
            ServerName::try_from(bare.to_owned()).map_err(|_| ClientSetupError::BadName(name.to_owned()))?;
        Ok(OriginTls { connector: TlsConnector::from(config), name })
    }

    /// Completes the handshake. The caller sets the time limit; the future may be dropped at any point.
    ///
    /// # Errors
    /// See [`OriginTlsError`].
    pub async fn connect<IO>(&self, stream: IO) -> Result<(TlsStream<IO>, OriginTlsInfo), OriginTlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.connector.connect(self.name.clone(), stream).await.map_err(classify)?;
        let connection = stream.get_ref().1;
        let info = OriginTlsInfo {
            http2: connection.alpn_protocol() == Some(b"h2"),
            version: connection.protocol_version().map_or("none", names::version),
            cipher: connection.negotiated_cipher_suite().map_or("none", |suite| names::cipher(suite.suite())),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        };
        Ok((stream, info))
    }
}

/// A configuration for origins. Origins with equal settings should share one: sessions are remembered in it.
///
/// Reads the roots from disk, the system's once per process; call it while a snapshot is built, not per request.
/// [`OriginConfigs`] does the sharing.
///
/// # Errors
/// The CA file is unusable.
pub fn client_config(verify: &Verify, http2: bool) -> Result<Arc<ClientConfig>, ClientSetupError> {
    let provider = super::provider();
    let verifier: Arc<dyn ServerCertVerifier> = match verify {
        Verify::Full => any_certificate(),
        Verify::Strict => webpki(system_roots(), Path::new("system roots"))?,
        Verify::StrictWith(path) => webpki(read_roots(path)?, path)?,
    };
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous() // the strict verifiers are rustls' own; `full` is what its name promises and no more
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

/// The verifier of [`Verify::Full`].
pub(super) fn any_certificate() -> Arc<dyn ServerCertVerifier> {
    Arc::new(AnyCertificate(super::provider().signature_verification_algorithms))
}

fn webpki(roots: Arc<RootCertStore>, path: &Path) -> Result<Arc<WebPkiServerVerifier>, ClientSetupError> {
    WebPkiServerVerifier::builder_with_provider(roots, super::provider().clone())
        .build()
        .map_err(|_| ClientSetupError::NoRoots { path: path.to_owned() })
}

/// The roots of this machine; Mozilla's, built in, where it has none (slim containers).
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    });
    Arc::clone(&ROOTS)
}

fn read_roots(path: &Path) -> Result<Arc<RootCertStore>, ClientSetupError> {
    let unreadable = |source| ClientSetupError::Unreadable { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > CA_BYTES_MAX {
        return Err(unreadable(io::Error::other(format!("it is larger than {CA_BYTES_MAX} bytes"))));
    }
    let text = fs::read(path).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).flatten());
    match roots.is_empty() {
        true => Err(ClientSetupError::NoRoots { path: path.to_owned() }),
        false => Ok(Arc::new(roots)),
    }
}

fn classify(error: io::Error) -> OriginTlsError {
    match error.get_ref().and_then(|e| e.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(fault)) => OriginTlsError::Certificate(fault.clone()),
        _ => OriginTlsError::Handshake(error),
    }
}

/// The verifier of mode `full`: any certificate, but the handshake must be signed by its key.
///
/// Takes certificates the web's rules refuse (version 1, no names, odd extensions): small origins have such.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl AnyCertificate {
    fn check(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        // Not `InvalidCertificate`: in this mode no certificate is invalid, so the fault is the handshake's (525).
        let (_, parsed) = X509Certificate::from_der(cert)
            .map_err(|e| TlsError::General(format!("the origin's certificate cannot be read: {e}")))?;
        let key = &parsed.public_key().subject_public_key.data;
        let fitting = self.0.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        for algorithm in fitting.flat_map(|(_, algorithms)| algorithms.iter()) {
            if algorithm.verify_signature(key, message, signed.signature()).is_ok() {
                return Ok(HandshakeSignatureValid::assertion());
            }
        }
        Err(TlsError::PeerMisbehaved(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme))
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.check(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.check(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
