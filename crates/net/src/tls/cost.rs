//! What a full handshake costs the server, and what each choice saves: a measurement, not a test.
//!
//! `cargo nextest run -p seawall-net --run-ignored only cost --no-capture`; client and server pass records in memory and
//! only the server's share is timed.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::ServerCertVerifier;
use rustls::server::Acceptor as HelloAcceptor;
use rustls::server::ProducesTickets;
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore, ServerConfig, ServerConnection};

use super::certs::CertStore;
use super::tickets::TicketKeys;
use super::{client, dev, provider};

/// Handshakes of one round; the fastest round is printed, as others on the machine only ever add.
const HANDSHAKES: u32 = 25;
const ROUNDS: usize = 60;

fn server() -> ServerConfig {
    let folder = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let pair = dev::self_signed(folder.path(), &[], now as i64).unwrap().pair;
    let tickets = TicketKeys::ephemeral(now);
    super::server::config(CertStore::new(Some(pair)), tickets, seawall_model::TlsVersion::Tls12).unwrap()
}

fn client(groups: &[NamedGroup], shuffle: bool, resume: bool) -> Arc<ClientConfig> {
    let mut crypto = (**provider()).clone();
    crypto.kx_groups =
        groups.iter().map(|g| *provider().kx_groups.iter().find(|k| k.name() == *g).unwrap()).collect();
    if shuffle {
        // As OpenSSL offers them: AES-256 first.
        crypto.cipher_suites = rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES.to_vec();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let verifier: Arc<dyn ServerCertVerifier> = client::any_certificate();
    config.dangerous().set_certificate_verifier(verifier);
    if !resume {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Arc::new(config)
}

/// One handshake through buffers; the time the server's calls took.
fn handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, lazily: bool) -> Duration {
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut wire = Vec::new();
    let mut spent = Duration::ZERO;
    client.write_tls(&mut wire).unwrap();
    let started = Instant::now();
    let mut server = if lazily {
        let mut acceptor = HelloAcceptor::default();
        acceptor.read_tls(&mut wire.as_slice()).unwrap();
        acceptor.accept().unwrap().unwrap().into_connection(Arc::clone(server)).unwrap()
    } else {
        let mut connection = ServerConnection::new(Arc::clone(server)).unwrap();
        connection.read_tls(&mut wire.as_slice()).unwrap();
        connection.process_new_packets().unwrap();
        connection
    };
    let mut flight = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut flight).unwrap();
    }
    spent += started.elapsed();
    let mut rest = flight.as_slice();
    while !rest.is_empty() {
        client.read_tls(&mut rest).unwrap();
        client.process_new_packets().unwrap();
    }
    wire.clear();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    let started = Instant::now();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    flight.clear();
    server.writer().write_all(b"x").unwrap();
    while server.wants_write() {
        server.write_tls(&mut flight).unwrap();
    }
    spent += started.elapsed();
    assert!(!server.is_handshaking());
    let mut rest = flight.as_slice();
    while !rest.is_empty() {
        client.read_tls(&mut rest).unwrap();
        client.process_new_packets().unwrap();
    }
    let mut byte = [0];
    client.reader().read_exact(&mut byte).unwrap();
    spent
}

fn cost(what: &str, server: &ServerConfig, client: &Arc<ClientConfig>, lazily: bool) {
    let server = Arc::new(server.clone());
    let best = (0..ROUNDS)
        .map(|_| (0..HANDSHAKES).map(|_| handshake(&server, client, lazily)).sum::<Duration>() / HANDSHAKES)
        .min();
    println!("{:8.1} µs  {what}", best.unwrap_or_default().as_secs_f64() * 1e6);
}

#[test]
#[ignore = "a measurement"]
fn cost_of_a_full_handshake() {
    let ours = server();
    let x25519 = client(&[NamedGroup::X25519], false, false);
    cost("ours, X25519", &ours, &x25519, true);
    cost("without looking at the hello first", &ours, &x25519, false);
    cost("P-256", &ours, &client(&[NamedGroup::secp256r1], false, false), true);
    let hybrid = client(&[NamedGroup::X25519MLKEM768, NamedGroup::X25519], false, false);
    cost("post-quantum (X25519MLKEM768)", &ours, &hybrid, true);
    let openssl = client(&[NamedGroup::X25519], true, false);
    cost("client prefers AES-256", &ours, &openssl, true);
    let mut other = ours.clone();
    other.ignore_client_order = false;
    cost("client prefers AES-256 and gets it", &other, &openssl, true);
    for tickets in [0, 2, 4] {
        let mut other = ours.clone();
        other.send_tls13_tickets = tickets;
        cost(&format!("{tickets} tickets"), &other, &x25519, true);
    }
    let mut other = ours.clone();
    other.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    cost("rustls' ticketer", &other, &x25519, true);
    cost("resumed, X25519", &ours, &client(&[NamedGroup::X25519], false, true), true);
    cost("resumed, post-quantum", &ours, &client(&[NamedGroup::X25519MLKEM768], false, true), true);
}

/// The whole of a connection with one short exchange: what a worker's thread spends on it, kernel included.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_connection_on_a_socket() {
    use nix::sys::resource::{UsageWho, getrusage};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    const CONNECTIONS: usize = 2000;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let pair = dev::self_signed(folder.path(), &[], now as i64).unwrap().pair;
    let certs = CertStore::new(Some(pair));
    let acceptor =
        super::server::Acceptor::new(certs, TicketKeys::ephemeral(now), seawall_model::TlsVersion::Tls12)
            .unwrap();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut best = f64::MAX;
            for _ in 0..5 {
                let spent = || {
                    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
                    let us = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 * 1e6 + t.tv_usec() as f64;
                    (us(usage.user_time()), us(usage.system_time()))
                };
                let (user, system) = spent();
                for _ in 0..CONNECTIONS {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (mut stream, _) = acceptor.handshake(stream, |_| true).await.unwrap();
                    let mut byte = [0];
                    stream.read_exact(&mut byte).await.unwrap();
                    stream.write_all(&byte).await.unwrap();
                    stream.shutdown().await.unwrap();
                }
                let after = spent();
                let (user, system) =
                    ((after.0 - user) / CONNECTIONS as f64, (after.1 - system) / CONNECTIONS as f64);
                println!("{:8.1} µs  user {user:.1} system {system:.1}", user + system);
                best = best.min(user + system);
            }
            println!("{best:8.1} µs  best round");
        });
    });
    let config = client(&[NamedGroup::X25519], false, false);
    for _ in 0..5 * CONNECTIONS {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), "localhost".try_into().unwrap()).unwrap();
        let mut stream = rustls::Stream::new(&mut client, &mut socket);
        stream.write_all(b"x").unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
    }
    server.join().unwrap();
}

#[test]
#[ignore = "a measurement"]
fn cost_of_the_parts() {
    fn time<T>(what: &str, mut run: impl FnMut() -> T) {
        const TIMES: u32 = 50;
        let round = |run: &mut dyn FnMut() -> T| {
            let started = Instant::now();
            for _ in 0..TIMES {
                std::hint::black_box(run());
            }
            started.elapsed() / TIMES
        };
        let best = (0..ROUNDS).map(|_| round(&mut run)).min();
        println!("{:8.2} µs  {what}", best.unwrap_or_default().as_secs_f64() * 1e6);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let der = || rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der()).unwrap();
    let scheme = rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
    time("P-256 signature", || signing.choose_scheme(&[scheme]).unwrap().sign(&[7; 130]).unwrap());
    time("P-256 key loaded", || rustls::crypto::aws_lc_rs::sign::any_supported_type(&der()).unwrap());
    for group in &provider().kx_groups {
        let mut share = group.start().unwrap().pub_key().to_vec();
        time(&format!("{:?}: our share and the secret", group.name()), || {
            group.start_and_complete(&share).unwrap()
        });
        share.clear();
    }
    let keys = TicketKeys::ephemeral(1_800_000_000);
    time("ticket sealed", || keys.encrypt(&[1; 120]).unwrap());
    let ticket = keys.encrypt(&[1; 120]).unwrap();
    time("ticket opened", || keys.decrypt(&ticket).unwrap());
    let theirs = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    time("ticket sealed by rustls' ticketer", || theirs.encrypt(&[1; 120]).unwrap());
    let mut bytes = [0; 32];
    time("32 random bytes", || provider().secure_random.fill(&mut bytes));
}

#[test]
#[ignore = "a measurement"]
fn cost_of_loading_ten_thousand_certificates() {
    use super::certs::CertFiles;
    const COUNT: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let wanted: Vec<_> = (0..COUNT)
        .map(|n| {
            let params = rcgen::CertificateParams::new(vec![format!("h{n}.test")]).unwrap();
            let path = |end: &str| folder.path().join(format!("{n}.{end}"));
            std::fs::write(path("pem"), params.self_signed(&key).unwrap().pem()).unwrap();
            std::fs::write(path("key"), key.serialize_pem()).unwrap();
            CertFiles { cert: path("pem"), key: path("key"), ..CertFiles::default() }
        })
        .collect();
    let store = CertStore::new(None);
    for what in ["first load", "again, nothing changed"] {
        let started = Instant::now();
        let report = store.replace(&wanted, None, 0);
        println!("{:8.0} ms  {what}: {} loaded", started.elapsed().as_secs_f64() * 1e3, report.loaded);
    }
    let started = Instant::now();
    assert!(!store.changed());
    println!("{:8.0} ms  looking for changes", started.elapsed().as_secs_f64() * 1e3);
}
