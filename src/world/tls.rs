//! TLS as every connection has it: the crypto provider, and what a handshake agreed on.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{CommonState, ProtocolVersion};

use super::clock::Clock;
use crate::mail::{TlsFacts, TlsVersion, VerifiedBy};

/// Our clock, so that certificates expire when the rest of the world does.
#[derive(Debug)]
pub struct ClockTime(pub Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let now = self.0.now();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            now.as_secs(),
        )))
    }
}

/// *ring*, with the post-quantum hybrid X25519MLKEM768 put in front of its key exchange groups:
/// for what we serve, and for the directories and web servers that we ask, which are used to it
/// from browsers.
pub fn server_provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider
        .kx_groups
        .insert(0, rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768);
    Arc::new(provider)
}

/// *ring*: for the mail servers that we connect to. Without the hybrid group, whose large ClientHello some
/// middleboxes drop.
pub fn client_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The same for connections whose key exchange must withstand a quantum computer: hybrid groups
/// and nothing else, so that no peer can choose a weaker one. TLS 1.3 only, which is where they are.
pub fn post_quantum_client_provider() -> Arc<CryptoProvider> {
    use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1MLKEM768, X25519MLKEM768};
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups = vec![X25519MLKEM768, SECP256R1MLKEM768];
    Arc::new(provider)
}

/// What the handshake of a connection agreed on, in IANA's names. `Err` names the fact that the
/// handshake left open.
pub fn negotiated(
    connection: &CommonState,
    verified_by: VerifiedBy,
) -> Result<TlsFacts, &'static str> {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
        _ => return Err("version that we know"),
    };
    let cipher = connection
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str())
        .ok_or("cipher suite")?;
    let group = connection
        .negotiated_key_exchange_group()
        .and_then(|group| group.name().as_str())
        .ok_or("key exchange group")?;
    let peer = connection
        .peer_certificates()
        .and_then(|chain| chain.first());
    Ok(TlsFacts {
        version,
        // IANA's name has no version in it.
        cipher: cipher.replacen("TLS13_", "TLS_", 1),
        group: iana_group(group),
        peer_sha256: peer.map_or_else(String::new, |certificate| {
            hex(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref())
        }),
        verified_by,
    })
}

/// IANA writes the older groups in lower case and the hybrids as they are.
fn iana_group(name: &str) -> String {
    if name.eq_ignore_ascii_case("secp256r1MLKEM768") {
        "SecP256r1MLKEM768".to_owned()
    } else if name.contains("MLKEM") {
        name.to_owned()
    } else {
        name.to_ascii_lowercase()
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
