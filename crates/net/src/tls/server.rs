//! TLS towards clients: the handshake, and what it agreed on.
//!
//! Full handshakes are the dearest thing a client can ask for, so their cost is kept down: suites on SHA-256 first, one
//! ticket instead of two, no table of sessions, P-256 keys preferred when a name has several certificates.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Acceptor as HelloAcceptor, NoServerSessionStorage};
use rustls::{CipherSuite, HandshakeKind, InvalidMessage, NamedGroup, ServerConfig};
use seawall_model::TlsVersion;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::certs::CertStore;
use super::names;
use super::tickets::TicketKeys;

/// TLS 1.3 tickets sent after a full handshake. One resumes one connection, and each resumption brings the next. Two
/// (rustls' default) serve clients that open several connections at once, which HTTP/2 made rare.
pub const TICKETS: usize = 1;

/// Most tickets a client can ask for (RFC 9149): browsers that open several connections say so.
pub const TICKETS_MAX: usize = 4;

/// The application protocol agreed on (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`, also where the client offered nothing.
    Http1,
    /// `h2`
    Http2,
}

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The host the client named, lower case.
    pub sni: Option<Box<str>>,
    /// Protocol to speak.
    pub alpn: Alpn,
    /// `TLSv1.3`, as in the log field `ClientSSLProtocol`.
    pub version: &'static str,
    /// `AEAD-AES128-GCM-SHA256`, as in the log field `ClientSSLCipher`.
    pub cipher: &'static str,
    /// Its IANA number; 0 for none.
    pub cipher_id: u16,
    /// Key exchange group; none for resumption in TLS 1.2.
    pub group: Option<NamedGroup>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The client took longer than it was given.
    #[error("the client did not finish the TLS handshake in time")]
    Timeout,
    /// The client closed or reset the connection.
    #[error("the client left during the TLS handshake: {0}")]
    Gone(io::Error),
    /// What came is no TLS; most often plain HTTP on the HTTPS port.
    #[error("the client does not speak TLS")]
    NotTls,
    /// The client offered nothing we accept, or broke the protocol; or there is no certificate for it.
    #[error("TLS handshake: {0}")]
    Protocol(rustls::Error),
    /// Anything else of the socket.
    #[error("TLS handshake: {0}")]
    Io(io::Error),
}

/// Accepts TLS connections. Shared by all workers; made anew when the settings change.
#[derive(Clone, Debug)]
pub struct Acceptor {
    with_h2: Order,
    only_h1: Order,
}

/// One set of protocols under two orders of cipher suites.
#[derive(Clone, Debug)]
struct Order {
    /// AES-128-GCM before all else: a third less server time in a handshake than the AES-256 that OpenSSL's clients
    /// put first.
    ours: Arc<ServerConfig>,
    /// The client's own order, for those who put ChaCha20 first: they have no AES in hardware.
    theirs: Arc<ServerConfig>,
}

impl Acceptor {
    /// An acceptor over the store and the ticket keys.
    ///
    /// # Errors
    /// The algorithms built in do not fit the versions; cannot happen with [`super::provider`].
    pub fn new(
        certs: Arc<CertStore>,
        tickets: Arc<TicketKeys>,
        min_version: TlsVersion,
    ) -> Result<Acceptor, rustls::Error> {
        let config = config(certs, tickets, min_version)?;
        let with = |protocols: &[&[u8]]| {
            let mut ours = config.clone();
            ours.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
            let mut theirs = ours.clone();
            theirs.ignore_client_order = false;
            Order { ours: Arc::new(ours), theirs: Arc::new(theirs) }
        };
        Ok(Acceptor { with_h2: with(&[b"h2", b"http/1.1"]), only_h1: with(&[b"http/1.1"]) })
    }

    /// Completes the handshake within `limit`; otherwise as [`Acceptor::handshake`].
    ///
    /// # Errors
    /// The client's fault nearly always; nothing to log above debug level.
    pub async fn accept<IO>(
        &self,
        stream: IO,
        limit: Duration,
        http2: impl FnOnce(Option<&str>) -> bool,
    ) -> Result<(TlsStream<IO>, TlsInfo), AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        timeout(limit, self.handshake(stream, http2)).await.unwrap_or(Err(AcceptError::Timeout))
    }

    /// Completes the handshake; the caller sets the time limit, for which tokio's own timers are dear (each may wake
    /// the worker by a system call). `http2` says whether the host (lower case) may be spoken to in HTTP/2. May be
    /// dropped at any point, which closes the connection.
    ///
    /// # Errors
    /// The client's fault nearly always; nothing to log above debug level.
    pub async fn handshake<IO>(
        &self,
        stream: IO,
        http2: impl FnOnce(Option<&str>) -> bool,
    ) -> Result<(TlsStream<IO>, TlsInfo), AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(HelloAcceptor::default(), stream).await?;
        let hello = start.client_hello();
        let h2 = match hello.server_name() {
            Some(host) if host.bytes().any(|b| b.is_ascii_uppercase()) => {
                http2(Some(&host.to_ascii_lowercase()))
            }
            host => http2(host),
        };
        let order = if h2 { &self.with_h2 } else { &self.only_h1 };
        // GREASE values (RFC 8701) and the renegotiation marker are no suites.
        let first = hello.cipher_suites().iter().find_map(|suite| match suite {
            CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV => None,
            CipherSuite::Unknown(n) if n & 0x0F0F == 0x0A0A => None,
            suite => Some(is_chacha(*suite)),
        });
        let config = if first == Some(true) { &order.theirs } else { &order.ours };
        let stream = start.into_stream(Arc::clone(config)).await?;
        let info = TlsInfo::of(stream.get_ref().1);
        Ok((stream, info))
    }
}

/// The settings of both configurations, without ALPN.
pub(super) fn config(
    certs: Arc<CertStore>,
    tickets: Arc<TicketKeys>,
    min_version: TlsVersion,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&rustls::SupportedProtocolVersion] = match min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(super::provider().clone())
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certs);
    config.ignore_client_order = true;
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    config.max_tls13_tickets = TICKETS_MAX;
    config.max_early_data_size = 0; // 0-RTT can be replayed
    Ok(config)
}

fn is_chacha(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

impl TlsInfo {
    /// What a finished handshake agreed on.
    #[must_use]
    pub fn of(connection: &rustls::ServerConnection) -> TlsInfo {
        let alpn = match connection.alpn_protocol() {
            Some(b"h2") => Alpn::Http2,
            _ => Alpn::Http1,
        };
        TlsInfo {
            sni: connection.server_name().map(|host| host.to_ascii_lowercase().into_boxed_str()),
            alpn,
            version: connection.protocol_version().map_or("none", names::version),
            cipher: connection.negotiated_cipher_suite().map_or("none", |suite| names::cipher(suite.suite())),
            cipher_id: connection.negotiated_cipher_suite().map_or(0, |suite| suite.suite().into()),
            group: connection.negotiated_key_exchange_group().map(|group| group.name()),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> AcceptError {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        if let Some(fault) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return match fault {
                rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => AcceptError::NotTls,
                fault => AcceptError::Protocol(fault.clone()),
            };
        }
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => AcceptError::Gone(error),
            _ => AcceptError::Io(error),
        }
    }
}
