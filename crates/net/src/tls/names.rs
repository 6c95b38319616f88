//! Names of protocol versions and cipher suites as Cloudflare's logs write them.

use rustls::{CipherSuite, ProtocolVersion};

/// Version as in the log field `ClientSSLProtocol` and in `/cdn-cgi/trace`: `TLSv1.3`.
#[must_use]
pub fn version(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_1 => "TLSv1.1",
        ProtocolVersion::TLSv1_0 => "TLSv1",
        _ => "unknown",
    }
}

/// Cipher suite as in the log field `ClientSSLCipher`: BoringSSL's name for TLS 1.3, OpenSSL's for TLS 1.2.
#[must_use]
pub fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "AEAD-AES128-GCM-SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "AEAD-AES256-GCM-SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "AEAD-CHACHA20-POLY1305-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_and_version_we_speak_has_a_name() {
        for suite in &crate::tls::provider().cipher_suites {
            assert_ne!(cipher(suite.suite()), "unknown", "{suite:?}");
            assert_ne!(version(suite.version().version), "unknown");
        }
    }
}
