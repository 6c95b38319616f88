//! TLS towards clients ([`server`]) and origins ([`client`]): rustls over aws-lc-rs and nothing else (DESIGN §7).

pub mod certs;
pub mod client;
#[cfg(test)]
mod cost;
pub mod dev;
pub mod names;
pub mod server;
#[cfg(test)]
mod tests;
pub mod tickets;

use std::sync::{Arc, LazyLock};

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs as aws;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws::default_provider();
    // AES-128 before AES-256, and with it SHA-256 before SHA-384 in the key schedule: as safe here, cheaper per record
    // and per handshake. `sort_by_key` is stable, so the rest of rustls' order (ECDSA before RSA) stays.
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384 => 1,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 2,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 3,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => 4,
        _ => 5,
    });
    // The first group is what an origin is offered and the order is ours; for clients rustls follows the client's
    // order, so one that offers only X25519 gets X25519 and pays no round trip.
    provider.kx_groups = vec![
        aws::kx_group::X25519MLKEM768,
        aws::kx_group::X25519,
        aws::kx_group::SECP256R1,
        aws::kx_group::SECP384R1,
    ];
    Arc::new(provider)
});

/// The one set of algorithms both sides use: TLS 1.3 and 1.2 with forward secrecy and AEAD only, post-quantum key
/// exchange (X25519MLKEM768) first.
#[must_use]
pub fn provider() -> &'static Arc<CryptoProvider> {
    &PROVIDER
}
