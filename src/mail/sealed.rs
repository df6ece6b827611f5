//! What is kept of a message that was sealed to a certificate (RFC 8551).
//!
//! Not the sealed octets, which are as many as the content again for every recipient, but all that
//! they are made from together with the accepted content: the same octets come out every time, and
//! their digest is kept so that nothing else can. `proto::cms` has the code that makes them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Fingerprint, Timestamp};

/// Octets of a content-encryption key.
pub const CONTENT_KEY_OCTETS: usize = 32;

/// Octets that a recipe takes beside its envelope and IV: key, digests, lengths.
const KEPT_OCTETS: usize = 256;

/// A content-encryption key. Wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct ContentKey([u8; CONTENT_KEY_OCTETS]);

impl ContentKey {
    /// Takes over the octets.
    pub const fn new(octets: [u8; CONTENT_KEY_OCTETS]) -> Self {
        Self(octets)
    }

    /// The octets, for the cipher.
    pub const fn expose(&self) -> &[u8; CONTENT_KEY_OCTETS] {
        &self.0
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

/// How content is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ContentCipher {
    /// EnvelopedData with AES-256-CBC (RFC 3565, RFC 5652 §6): every client reads it.
    #[serde(rename = "aes-256-cbc")]
    Aes256Cbc,
    /// AuthEnvelopedData with AES-256-GCM (RFC 5083, RFC 5084): where the recipient reads it.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
}

impl ContentCipher {
    /// The word in log and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Cbc => "aes-256-cbc",
            Self::Aes256Gcm => "aes-256-gcm",
        }
    }
}

/// What a message's sealed renditions have in common: one for each cipher, shared by its recipients
/// in memory and in the spool. What was inside is wiped when dropped.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Shape {
    /// The outer header, up to and with the empty line.
    pub header: Vec<u8>,
    /// What is encrypted before the content: header fields and, where it is signed, the head of
    /// the `multipart/signed`.
    pub head: Vec<u8>,
    /// Octets at the front of the accepted content that are left out: its own header.
    pub skip: u64,
    /// What is encrypted behind the content: the signature, where there is one.
    pub tail: Vec<u8>,
    /// The address or domain of the identity that signed inside, if one did.
    pub signer: Option<String>,
}

impl Shape {
    /// Octets that it takes in memory and in the spool.
    pub const fn kept_octets(&self) -> usize {
        self.header.len() + self.head.len() + self.tail.len()
    }
}

impl fmt::Debug for Shape {
    /// Says nothing of what is inside.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shape")
            .field("octets", &self.kept_octets())
            .finish_non_exhaustive()
    }
}

/// A message sealed to one recipient. As sent: the shape's `header`, then, in base64 lines of 76
/// characters (the last one shorter, each ended by CRLF), `envelope` followed by the encryption of
/// the shape's `head`, the accepted content from `skip` on, and `tail`; for GCM, then the tag.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sealed {
    /// What it has in common with those of other recipients.
    pub shape: Arc<Shape>,
    /// The DER of the CMS structure up to the first octet of encrypted content.
    pub envelope: Vec<u8>,
    /// How the content is encrypted.
    pub cipher: ContentCipher,
    /// With which key.
    pub key: ContentKey,
    /// The cipher's initialisation vector (16 octets) or nonce (12).
    pub iv: Vec<u8>,
    /// Octets in all, as sent.
    pub octets: u64,
    /// SHA-256 over all octets as sent. Whoever makes them compares before the end is sent.
    pub sha256: [u8; 32],
    /// To whose certificate.
    pub certificate: Fingerprint,
    /// When that certificate expires.
    pub expires: Timestamp,
}

impl Sealed {
    /// Octets that it takes in memory and in the spool, without its shape: no fewer than that.
    pub const fn kept_octets(&self) -> usize {
        self.envelope.len() + self.iv.len() + KEPT_OCTETS
    }
}

/// The word of `seal` that accepted content is sealed already, strongly and to this very recipient's
/// acceptable certificate: such content may travel as it is. Made nowhere else; a test reads the
/// sources for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadySealed {
    certificate: Fingerprint,
}

impl AlreadySealed {
    /// Only for the code of `seal` that has looked at every octet.
    pub const fn attested(certificate: Fingerprint) -> Self {
        Self { certificate }
    }

    /// To whose certificate.
    pub const fn certificate(self) -> Fingerprint {
        self.certificate
    }
}

impl fmt::Debug for Sealed {
    /// Says nothing of what is inside: `head` holds the protected Subject.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("cipher", &self.cipher)
            .field("octets", &self.octets)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// A recipe of which nothing can be made: for tests that only carry it about.
#[cfg(test)]
pub(crate) fn sample() -> Sealed {
    let shape = Shape {
        header: Vec::new(),
        head: b"Subject: canary".to_vec(),
        skip: 0,
        tail: b"canary".to_vec(),
        signer: None,
    };
    Sealed {
        shape: Arc::new(shape),
        envelope: Vec::new(),
        cipher: ContentCipher::Aes256Cbc,
        key: ContentKey::new([b'k'; CONTENT_KEY_OCTETS]),
        iv: vec![b'i'; 16],
        octets: 7,
        sha256: [0; 32],
        certificate: Fingerprint::new([0; 32]),
        expires: Timestamp::from_secs(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_neither_key_nor_content() {
        let sealed = sample();
        let shown = format!("{sealed:?} {:?}", sealed.shape);
        assert!(
            !shown.contains("canary") && !shown.contains("107"),
            "{shown}"
        );
    }
}
