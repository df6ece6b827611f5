//! What a TLS handshake showed: facts for the grade, the log and the evidence.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The protocol version that was agreed on. Older ones cannot be: rustls has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[serde(rename = "TLSv1.2")]
    V1_2,
    /// TLS 1.3, RFC 8446.
    #[serde(rename = "TLSv1.3")]
    V1_3,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        })
    }
}

/// What vouches for the peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifiedBy {
    /// Nothing: encrypted to whoever answered; why the check failed.
    Nothing(String),
    /// A chain to a root of the system or the configuration, valid for the host name.
    Pkix,
}

impl fmt::Display for VerifiedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(why) => write!(f, "nothing ({why})"),
            Self::Pkix => f.write_str("pkix"),
        }
    }
}

/// Key exchange groups that a quantum computer does not undo, by their IANA names: ML-KEM
/// (FIPS 203), alone or in a hybrid with an elliptic curve.
pub const POST_QUANTUM_GROUPS: [&str; 6] = [
    "X25519MLKEM768",
    "SecP256r1MLKEM768",
    "SecP384r1MLKEM1024",
    "MLKEM512",
    "MLKEM768",
    "MLKEM1024",
];

/// The facts of one handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    /// Protocol version.
    pub version: TlsVersion,
    /// Cipher suite, IANA name.
    pub cipher: String,
    /// Key exchange group, IANA name.
    pub group: String,
    /// SHA-256 of the peer's end-entity certificate, lower-case hex; empty for a client without one.
    pub peer_sha256: String,
    /// What vouches for the peer.
    pub verified_by: VerifiedBy,
}

impl TlsFacts {
    /// Whether the key exchange withstands a quantum computer ([`POST_QUANTUM_GROUPS`]): what was
    /// recorded today cannot be read later.
    pub fn is_post_quantum(&self) -> bool {
        POST_QUANTUM_GROUPS
            .iter()
            .any(|group| self.group.eq_ignore_ascii_case(group))
    }
}
