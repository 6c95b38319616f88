//! TLS on real sockets: against rustls clients and `openssl`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use seawall_model::{TlsVersion, Zone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::certs::{CertFiles, CertStore, Report};
use super::client::{OriginTls, OriginTlsError, Verify, client_config};
use super::server::{AcceptError, Acceptor, Alpn, TlsInfo};
use super::tickets::TicketKeys;
use super::{dev, provider};

const LIMIT: Duration = Duration::from_secs(5);

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A folder with a certification authority that signs what is asked.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "The authority");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), cert.pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `<file>.pem` and `<file>.key` for the names, ending in that many seconds.
    fn sign_until(&self, file: &str, names: &[&str], ends_in: i64) -> CertFiles {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_after = epoch + Duration::from_secs((now() + ends_in) as u64);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let files = CertFiles {
            cert: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
            ..CertFiles::default()
        };
        fs::write(&files.cert, cert.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn sign(&self, file: &str, names: &[&str]) -> CertFiles {
        self.sign_until(file, names, 90 * 86_400)
    }

    fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let pem = fs::read(self.path("ca.pem")).unwrap();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        ClientConfig::builder_with_provider(provider().clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

fn store(wanted: &[CertFiles]) -> (Arc<CertStore>, Report) {
    let store = CertStore::new(None);
    let report = store.replace(wanted, None, now());
    (store, report)
}

fn acceptor(store: Arc<CertStore>) -> Acceptor {
    Acceptor::new(store, TicketKeys::ephemeral(now() as u64), TlsVersion::Tls12).unwrap()
}

/// Serves until the test ends: says what was agreed on, then closes. Hosts beginning with `h1.` get no HTTP/2.
async fn serve(acceptor: Acceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let allows = |host: Option<&str>| !host.unwrap_or("").starts_with("h1.");
                if let Ok((mut stream, info)) = acceptor.accept(stream, LIMIT, allows).await {
                    let _ = stream.write_all(format!("{info:?}").as_bytes()).await;
                    let _ = stream.shutdown().await;
                    // Reading to the client's end keeps a reset from overtaking what was written.
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
            });
        }
    });
    address
}

/// What `openssl s_client` prints, both streams together.
async fn openssl(address: SocketAddr, args: &[&str]) -> String {
    let Output { stdout, stderr, .. } = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
}

/// One handshake and what the server said of it.
async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    host: &str,
) -> std::io::Result<(String, bool)> {
    let tls = OriginTls::new(Arc::clone(config), host).unwrap();
    let stream = TcpStream::connect(address).await?;
    let (mut stream, info) = match tls.connect(stream).await {
        Ok(done) => done,
        Err(OriginTlsError::Handshake(error)) => return Err(error),
        Err(error) => return Err(std::io::Error::other(error)),
    };
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok((said, info.resumed))
}

#[tokio::test]
async fn openssl_gets_the_certificate_of_the_host_it_names() {
    let ca = Authority::new();
    let mut first = ca.sign("first", &["first.test"]);
    first.default = true;
    let exact = ca.sign("exact", &["www.wild.test"]);
    let (store, report) = store(&[first, ca.sign("wild", &["*.wild.test"]), exact]);
    assert_eq!((report.loaded, report.problems.len()), (3, 0));
    let address = serve(acceptor(store)).await;
    let ca_file = ca.path("ca.pem");
    let ca_file = ca_file.to_str().unwrap();
    for (host, verified) in [
        ("first.test", true),
        ("FIRST.test", true),
        ("www.wild.test", true),
        ("other.wild.test", true),
        ("two.deep.wild.test", false),
        ("wild.test", false),
        ("unknown.test", false), // gets first.test's
    ] {
        let args =
            ["-servername", host, "-verify_hostname", host, "-CAfile", ca_file, "-verify_return_error"];
        let said = openssl(address, &args).await;
        assert_eq!(said.contains("Verify return code: 0 (ok)"), verified, "{host}: {said}");
    }
    let said =
        openssl(address, &["-noservername", "-CAfile", ca_file, "-verify_hostname", "first.test"]).await;
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
}

#[tokio::test]
async fn versions_suites_and_protocols_are_agreed_on_and_named() {
    let ca = Authority::new();
    let address = serve(acceptor(store(&[ca.sign("a", &["a.test", "h1.a.test"])]).0)).await;
    for (args, want) in [
        (
            &["-servername", "a.test", "-alpn", "h2,http/1.1"][..],
            &["TLSv1.3", "alpn: Http2", "AEAD-AES128-GCM-SHA256", "X25519", "resumed: false"][..],
        ),
        (&["-servername", "a.test", "-alpn", "http/1.1"], &["alpn: Http1"]),
        (&["-servername", "a.test"], &["alpn: Http1"]),
        (&["-servername", "h1.a.test", "-alpn", "h2,http/1.1"], &["alpn: Http1", "h1.a.test"]),
        (&["-servername", "a.test", "-tls1_2"], &["TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
        // Who puts ChaCha20 first has no AES in hardware; any other order is ours to choose from.
        (
            &[
                "-servername",
                "a.test",
                "-ciphersuites",
                "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
            ],
            &["AEAD-CHACHA20"],
        ),
        (
            &["-servername", "a.test", "-ciphersuites", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"],
            &["AEAD-AES128"],
        ),
        (&["-servername", "a.test", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], &["AEAD-AES256-GCM-SHA384"]),
        (&["-servername", "a.test", "-groups", "P-256"], &["secp256r1"]),
    ] {
        let said = openssl(address, &[args, &["-quiet", "-ign_eof"]].concat()).await;
        assert!(want.iter().all(|w| said.contains(w)), "{args:?}: {said}");
    }
    let said = openssl(address, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).await;
    assert!(said.contains("alert") && said.contains("Cipher is (NONE)"), "{said}");
}

#[tokio::test]
async fn tls_1_2_can_be_turned_off() {
    let ca = Authority::new();
    let (store, _) = store(&[ca.sign("a", &["a.test"])]);
    let acceptor = Acceptor::new(store, TicketKeys::ephemeral(0), TlsVersion::Tls13).unwrap();
    let address = serve(acceptor).await;
    let said = openssl(address, &["-servername", "a.test", "-tls1_2"]).await;
    assert!(said.contains("alert protocol version"), "{said}");
    let said = openssl(address, &["-servername", "a.test"]).await;
    assert!(said.contains("Protocol version: TLSv1.3") || said.contains("New, TLSv1.3"), "{said}");
}

#[tokio::test]
async fn key_exchange_is_post_quantum_where_the_client_can_and_x25519_where_it_cannot() {
    let ca = Authority::new();
    let address = serve(acceptor(store(&[ca.sign("a", &["a.test"])]).0)).await;
    let (said, _) = connect(address, &Arc::new(ca.client()), "a.test").await.unwrap();
    assert!(said.contains("X25519MLKEM768"), "{said}");
    let mut old = (**provider()).clone();
    old.kx_groups.retain(|g| g.name() == NamedGroup::X25519);
    let mut config = ClientConfig::builder_with_provider(Arc::new(old))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.dangerous().set_certificate_verifier(super::client::any_certificate());
    let (said, _) = connect(address, &Arc::new(config), "a.test").await.unwrap();
    assert!(said.contains("Some(X25519)"), "{said}");
}

#[tokio::test]
async fn sessions_resume_across_workers_restarts_and_both_versions() {
    let ca = Authority::new();
    let (store, _) = store(&[ca.sign("a", &["a.test"])]);
    let path = ca.path("tickets.keys");
    let open = || {
        let (keys, fault) = TicketKeys::open(&path, now() as u64);
        assert!(fault.is_none());
        Acceptor::new(store.clone(), keys, TlsVersion::Tls12).unwrap()
    };
    let one = serve(open()).await;
    let two = serve(open()).await;
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let config = ClientConfig::builder_with_provider(provider().clone()).with_protocol_versions(versions);
        let mut config = config.unwrap().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        config.dangerous().set_certificate_verifier(super::client::any_certificate());
        let config = Arc::new(config);
        let (said, resumed) = connect(one, &config, "a.test").await.unwrap();
        assert!(!resumed && said.contains("resumed: false"), "{said}");
        for _ in 0..3 {
            let (said, resumed) = connect(two, &config, "a.test").await.unwrap();
            assert!(resumed && said.contains("resumed: true"), "{versions:?}: {said}");
        }
    }
    // openssl agrees, and gets one ticket.
    let session = ca.path("session.pem");
    let session = session.to_str().unwrap();
    let common = ["-servername", "a.test", "-ign_eof"];
    let said = openssl(one, &[&common[..], &["-sess_out", session]].concat()).await;
    assert_eq!(
        said.matches("Post-Handshake New Session Ticket arrived").count(),
        super::server::TICKETS,
        "{said}"
    );
    let said = openssl(two, &[&common[..], &["-sess_in", session]].concat()).await;
    assert!(said.contains("Reused, TLSv1.3"), "{said}");
}

#[tokio::test]
async fn handshakes_that_stall_break_or_speak_http_fail_with_the_reason() {
    let ca = Authority::new();
    let acceptor = acceptor(store(&[ca.sign("a", &["a.test"])]).0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let short = Duration::from_millis(30);

    let client = TcpStream::connect(address).await.unwrap();
    let stream = listener.accept().await.unwrap().0;
    assert!(matches!(acceptor.accept(stream, short, |_| true).await, Err(AcceptError::Timeout)));
    drop(client);

    drop(TcpStream::connect(address).await.unwrap());
    let stream = listener.accept().await.unwrap().0;
    assert!(matches!(acceptor.accept(stream, LIMIT, |_| true).await, Err(AcceptError::Gone(_))));

    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let stream = listener.accept().await.unwrap().0;
    let error = acceptor.accept(stream, LIMIT, |_| true).await.unwrap_err();
    assert!(matches!(error, AcceptError::NotTls), "{error}");

    // No certificate at all.
    let empty = Acceptor::new(CertStore::new(None), TicketKeys::ephemeral(0), TlsVersion::Tls12).unwrap();
    let mut config = ca.client();
    config.alpn_protocols = vec![];
    let config = Arc::new(config);
    let client = tokio::spawn(async move { connect(address, &config, "a.test").await });
    let stream = listener.accept().await.unwrap().0;
    let error = empty.accept(stream, LIMIT, |_| true).await.unwrap_err();
    assert!(matches!(error, AcceptError::Protocol(_)), "{error}");
    assert!(client.await.unwrap().is_err());
}

#[tokio::test]
async fn the_cheapest_certificate_the_client_can_verify_is_chosen() {
    let ca = Authority::new();
    // An RSA certificate listed first; openssl makes it, as rcgen makes no RSA keys with these features.
    let rsa = CertFiles { cert: ca.path("rsa.pem"), key: ca.path("rsa.key"), ..CertFiles::default() };
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.test", "-days", "2"])
        .args(["-addext", "subjectAltName=DNS:a.test", "-keyout"])
        .arg(&rsa.key)
        .arg("-out")
        .arg(&rsa.cert)
        .output()
        .unwrap();
    assert!(made.status.success());
    let (store, report) = store(&[rsa, ca.sign("ec", &["a.test"])]);
    assert_eq!(report.loaded, 2, "{report:?}");
    let address = serve(acceptor(store)).await;
    let said = openssl(address, &["-servername", "a.test"]).await;
    assert!(said.contains("id-ecPublicKey") || said.contains("Peer signature type: ECDSA"), "{said}");
    let said = openssl(address, &["-servername", "a.test", "-sigalgs", "RSA-PSS+SHA256"]).await;
    assert!(said.contains("Peer signature type: RSA-PSS"), "{said}");
    let said =
        openssl(address, &["-servername", "a.test", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"])
            .await;
    assert!(said.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{said}");
}

#[test]
fn a_bad_pair_keeps_its_old_version_while_the_others_advance() {
    let ca = Authority::new();
    let (a, b) = (ca.sign_until("a", &["a.test"], 40 * 86_400), ca.sign("b", &["b.test"]));
    let (store, report) = store(&[a.clone(), b.clone()]);
    assert_eq!((report.loaded, report.unchanged, report.expiring.len()), (2, 0, 0));
    assert!(!store.changed());
    let end = |name: &str| {
        let all = store.certificates();
        all.iter().find(|c| c.names == [name]).unwrap().not_after
    };
    let (a_end, b_end) = (end("a.test"), end("b.test"));

    // b is renewed; a gets a new certificate whose key has not come yet.
    ca.sign_until("b", &["b.test"], 200 * 86_400);
    ca.sign_until("other", &["a.test"], 200 * 86_400);
    fs::copy(ca.path("other.pem"), &a.cert).unwrap();
    assert!(store.changed());
    let report = store.reload(now());
    assert_eq!((report.loaded, report.problems.len()), (1, 1), "{report:?}");
    assert!(report.problems[0].kept && report.problems[0].error.to_string().contains("does not belong"));
    assert_eq!(end("a.test"), a_end);
    assert!(end("b.test") > b_end);
    assert!(!store.changed(), "what failed is not tried again until a file changes");
    assert_eq!(store.reload(now()).problems.len(), 1, "but it goes on being reported");

    // The key comes.
    fs::copy(ca.path("other.key"), &a.key).unwrap();
    assert!(store.changed());
    let report = store.reload(now());
    assert_eq!((report.loaded, report.unchanged, report.problems.len()), (1, 1, 0), "{report:?}");
    assert!(end("a.test") > a_end);

    // Damage of every kind.
    let good = fs::read(&a.cert).unwrap();
    for (bytes, want) in [
        (&b""[..], "no PEM certificate"),
        (b"-----BEGIN CERTIFICATE-----\nMTIz\n-----END CERTIFICATE-----\n", "damaged"),
        (&good.repeat(20), "more than 16"),
        (&vec![b'x'; 300_000], "larger than"),
    ] {
        fs::write(&a.cert, bytes).unwrap();
        let report = store.reload(now());
        let problem = &report.problems[0];
        assert!(problem.kept && problem.error.to_string().contains(want), "{want}: {problem:?}");
    }
    fs::remove_file(&a.cert).unwrap();
    assert!(store.changed());
    assert!(store.reload(now()).problems[0].error.to_string().contains("cannot read"));
    assert!(store.covers("a.test"));

    // A certificate that has ended does not replace one that has not.
    ca.sign_until("a", &["a.test"], -86_400);
    let report = store.reload(now());
    assert!(report.problems[0].error.to_string().contains("expired"), "{report:?}");

    // Left out of the configuration it goes.
    let report = store.replace(&[b], None, now());
    assert_eq!((report.loaded, report.unchanged, report.problems.len()), (0, 1, 0));
    assert!(!store.covers("a.test") && store.covers("b.test"));
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let ca = Authority::new();
    let files = ca.sign("a", &["a.test"]);
    let key = fs::read_to_string(&files.key).unwrap();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMTIz\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cert = fs::read_to_string(&files.cert).unwrap();
    let broken = "-----BEGIN PRIVATE KEY-----\nMTIz\n-----END PRIVATE KEY-----\n";
    for (text, want) in [
        (encrypted, "openssl pkey"),
        (&cert, "swapped"),
        (broken, "failed to parse private key"),
        ("", "no usable private key"),
    ] {
        fs::write(&files.key, text).unwrap();
        let (_, report) = store(std::slice::from_ref(&files));
        let error = &report.problems[0].error;
        assert!(!report.problems[0].kept && error.to_string().contains(want), "{want}: {error}");
        assert!(error.to_string().contains("a.key"));
    }
    fs::write(&files.key, key).unwrap();
    assert_eq!(store(&[files]).1.loaded, 1);
}

#[test]
fn one_pair_of_many_zones_is_read_once_and_answers_their_hosts() {
    let ca = Authority::new();
    let mut one = ca.sign("a", &["a.test"]);
    one.hosts = vec!["b.test".into(), "*.c.test".into()];
    let two = CertFiles { hosts: vec!["D.test".into(), "*".into()], ..one.clone() };
    let (store, report) = store(&[one, two]);
    assert_eq!(report.loaded, 1);
    for (host, covered) in
        [("a.test", true), ("b.test", true), ("x.c.test", true), ("d.test", true), ("e.test", false)]
    {
        assert_eq!(store.covers(host), covered, "{host}");
    }
    assert_eq!(store.certificates().len(), 1);
}

#[test]
fn a_certificate_near_its_end_is_mentioned() {
    let ca = Authority::new();
    let (_, report) = store(&[ca.sign_until("a", &["a.test"], 86_400), ca.sign("b", &["b.test"])]);
    assert_eq!(report.expiring.len(), 1);
    assert_eq!(report.expiring[0].names, ["a.test"]);
}

#[test]
fn files_of_a_configuration_are_listed_the_edges_first() {
    let mut site = seawall_model::Site::single("http://127.0.0.1:3000").unwrap();
    let pair =
        |name: &str| seawall_model::Certificate { cert: name.into(), key: format!("{name}.key").into() };
    site.edge.tls.certificates.push(pair("edge"));
    let mut zone: Zone = site.zones[0].clone();
    zone.hosts = ["z.test", "*.z.test"].map(|h| seawall_model::HostPattern::parse(h).unwrap()).to_vec();
    zone.certificates.push(pair("zone"));
    site.zones.push(zone);
    let files = CertFiles::of(&site);
    assert_eq!(files.len(), 2);
    assert!(files[0].default && files[0].hosts.is_empty() && files[0].cert == Path::new("edge"));
    assert!(!files[1].default && files[1].hosts == ["z.test", "*.z.test"]);
    assert_eq!(dev::names_of(&site), ["*", "z.test", "*.z.test"]);
}

#[tokio::test]
async fn the_self_signed_certificate_is_kept_private_reused_and_carries_the_names() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let tls = folder.path().join("tls");
    let names =
        ["*".to_owned(), "Shop.test".to_owned(), "*.shop.test".to_owned(), "[2001:db8::1]".to_owned()];
    let first = dev::self_signed(&tls, &names, now()).unwrap();
    assert!(first.fresh && first.unsaved.is_none());
    let mut carried = first.pair.info().names.clone();
    carried.sort();
    assert_eq!(carried, ["*.shop.test", "127.0.0.1", "2001:db8::1", "::1", "localhost", "shop.test"]);
    let mode = |file: &str| fs::metadata(tls.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("self-signed.key"), mode("self-signed.pem")), (0o600, 0o644));

    let again = dev::self_signed(&tls, &names[..2], now()).unwrap();
    assert!(!again.fresh);
    assert_eq!(again.pair.info(), first.pair.info());
    assert!(dev::self_signed(&tls, &["new.test".into()], now()).unwrap().fresh);
    let late = now() + (dev::DAYS - dev::RENEW_DAYS) * 86_400;
    assert!(dev::self_signed(&tls, &[], late).unwrap().fresh);
    let unsaved = dev::self_signed(Path::new("/proc/none"), &[], now()).unwrap();
    assert!(unsaved.fresh && unsaved.unsaved.is_some());

    // Trusted as its own root it verifies, for the host and the address.
    let made = dev::self_signed(&tls, &names, now()).unwrap();
    let address = serve(acceptor(CertStore::new(Some(made.pair)))).await;
    let pem = tls.join("self-signed.pem");
    for host in ["localhost", "shop.test", "www.shop.test"] {
        let said = openssl(
            address,
            &["-servername", host, "-verify_hostname", host, "-CAfile", pem.to_str().unwrap()],
        )
        .await;
        assert!(said.contains("Verify return code: 0 (ok)"), "{host}: {said}");
    }
    let strict = client_config(&Verify::StrictWith(pem), false).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let said = connect(address, &strict, host).await;
        assert!(said.is_ok(), "{host}: {said:?}");
    }
}

/// Connects to the address with the mode and gives the status an error stands for, 200 without one.
async fn origin_status(address: SocketAddr, verify: &Verify, host: &str) -> u16 {
    let tls = OriginTls::new(client_config(verify, false).unwrap(), host).unwrap();
    match tls.connect(TcpStream::connect(address).await.unwrap()).await {
        Ok(_) => 200,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            error.status()
        }
    }
}

#[tokio::test]
async fn origins_are_verified_as_their_mode_says() {
    let ca = Authority::new();
    let good = serve(acceptor(store(&[CertFiles { default: true, ..ca.sign("a", &["a.test"]) }]).0)).await;
    let old = ca.sign_until("old", &["a.test"], -86_400);
    let expired = serve(acceptor(store(&[old]).0)).await;
    let none = serve(acceptor(CertStore::new(None))).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = plain.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let own_ca = Verify::StrictWith(ca.path("ca.pem"));
    for (what, address, verify, host, status) in [
        ("good", good, &own_ca, "a.test", 200),
        ("good, name with a final dot", good, &own_ca, "a.test.", 200),
        ("another name", good, &own_ca, "b.test", 526),
        ("expired", expired, &own_ca, "a.test", 526),
        ("unknown issuer", good, &Verify::Strict, "a.test", 526),
        ("full takes another name", good, &Verify::Full, "b.test", 200),
        ("full takes an expired one", expired, &Verify::Full, "a.test", 200),
        ("full takes an unknown issuer", good, &Verify::Full, "a.test", 200),
        ("the origin has no certificate", none, &Verify::Full, "a.test", 525),
        ("the origin speaks no TLS", plain_address, &own_ca, "a.test", 525),
    ] {
        assert_eq!(origin_status(address, verify, host).await, status, "{what}");
    }
}

/// `openssl s_server` with the given certificate, until dropped.
struct OpensslServer(tokio::process::Child, SocketAddr);

impl OpensslServer {
    async fn new(cert: &Path, key: &Path, args: &[&str]) -> OpensslServer {
        // s_server does not tell the port the kernel chose, so one is found first.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let child = Command::new("openssl")
            .args(["s_server", "-accept", &address.to_string(), "-quiet", "-cert"])
            .arg(cert)
            .arg("-key")
            .arg(key)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        OpensslServer(child, address)
    }
}

#[tokio::test]
async fn odd_certificates_of_openssl_origins_pass_in_full_and_not_in_strict() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (kind, new_key) in
        [("rsa", &["rsa:2048"][..]), ("ec", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"])]
    {
        let (cert, key) = (path(&format!("{kind}.pem")), path(&format!("{kind}.key")));
        // `req` and `x509` without extensions make a version 1 certificate without names.
        let run = |args: &[&std::ffi::OsStr]| {
            let out = std::process::Command::new("openssl").args(args).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        };
        let csr = path("csr.pem");
        let mut args: Vec<&std::ffi::OsStr> =
            ["req", "-new", "-nodes", "-subj", "/CN=old", "-newkey"].iter().map(|a| a.as_ref()).collect();
        args.extend(new_key.iter().map(|a| -> &std::ffi::OsStr { a.as_ref() }));
        args.extend(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), csr.as_os_str()]);
        run(&args);
        run(&[
            "x509".as_ref(),
            "-req".as_ref(),
            "-in".as_ref(),
            csr.as_os_str(),
            "-signkey".as_ref(),
            key.as_os_str(),
            "-out".as_ref(),
            cert.as_os_str(),
        ]);
        for version in ["-tls1_3", "-tls1_2"] {
            let server = OpensslServer::new(&cert, &key, &[version]).await;
            assert_eq!(origin_status(server.1, &Verify::Full, "a.test").await, 200, "{kind} {version}");
            assert_eq!(origin_status(server.1, &Verify::Strict, "a.test").await, 526, "{kind} {version}");
            drop(server.0);
        }
        let server = OpensslServer::new(&cert, &key, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).await;
        assert_eq!(origin_status(server.1, &Verify::Full, "a.test").await, 525, "{kind}, TLS 1.1");
    }
}

#[test]
fn origin_settings_that_cannot_work_are_named() {
    let ca = Authority::new();
    let config = client_config(&Verify::Full, true).unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    for name in ["", "a b", "*.test", "-"] {
        assert!(OriginTls::new(config.clone(), name).is_err(), "{name:?}");
    }
    for name in ["a.test", "a.test.", "127.0.0.1", "::1", "[::1]"] {
        assert!(OriginTls::new(config.clone(), name).is_ok(), "{name:?}");
    }
    let missing = Verify::StrictWith(ca.path("missing.pem"));
    assert!(client_config(&missing, false).unwrap_err().to_string().contains("missing.pem"));
    fs::write(ca.path("empty.pem"), "").unwrap();
    let empty = Verify::StrictWith(ca.path("empty.pem"));
    assert!(client_config(&empty, false).unwrap_err().to_string().contains("no usable PEM certificate"));
}

#[test]
fn origins_with_equal_settings_share_a_configuration_until_their_ca_file_changes() {
    let ca = Authority::new();
    let mut configs = super::client::OriginConfigs::default();
    let verify = Verify::StrictWith(ca.path("ca.pem"));
    let first = configs.get(&verify, true).unwrap();
    assert!(Arc::ptr_eq(&first, &configs.get(&verify, true).unwrap()));
    assert!(!Arc::ptr_eq(&first, &configs.get(&verify, false).unwrap()));
    fs::copy(Authority::new().path("ca.pem"), ca.path("ca.pem")).unwrap();
    assert!(!Arc::ptr_eq(&first, &configs.get(&verify, true).unwrap()));

    let origin = |url: &str| seawall_model::Origin::new(seawall_model::OriginUrl::parse(url).unwrap());
    assert!(configs.origin(&origin("http://a.test")).unwrap().is_none());
    assert!(configs.origin(&origin("https://a.test")).unwrap().is_some());
    let mut full = origin("https://127.0.0.1:8443");
    full.tls = seawall_model::OriginTls::Full;
    assert!(configs.origin(&full).unwrap().is_some());
    let missing = seawall_model::Origin { ca: Some("/none.pem".into()), ..origin("https://a.test") };
    assert!(configs.origin(&missing).is_err());
}

#[test]
fn what_was_agreed_on_is_small() {
    assert!(size_of::<TlsInfo>() <= 64, "{}", size_of::<TlsInfo>());
    assert_ne!(Alpn::Http1, Alpn::Http2);
}
