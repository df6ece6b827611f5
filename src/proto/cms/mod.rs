//! Cryptographic Message Syntax for S/MIME: sealing to a certificate, signing, reading back.
//!
//! What is written: `EnvelopedData` with AES-256-CBC (RFC 5652 §6) and `AuthEnvelopedData` with
//! AES-256-GCM (RFC 5083, RFC 5084) for one recipient by RSA PKCS #1 v1.5 (RFC 3370), RSAES-OAEP
//! with SHA-256 (RFC 3560), ECDH on P-256 and P-384 (RFC 5753) or X25519 (RFC 8418); and detached
//! `SignedData` by RSA, ECDSA and Ed25519 (RFC 8419). All lengths are definite.
//!
//! Pure: octets and time in, octets out; random numbers are the only thing from outside. No error
//! holds content or keys, and every failure to decrypt is the same error.

mod agreement;
mod bundle;
mod certificate;
pub mod der;
mod envelope;
mod inspect;
mod oid;
mod open;
mod recipient;
mod sign;
mod stream;
mod verify;

#[cfg(test)]
#[path = "../../../tests/support/made_certificates.rs"]
pub(crate) mod made;
#[cfg(test)]
mod reading_tests;
#[cfg(test)]
mod recipient_tests;
#[cfg(test)]
mod sign_tests;
#[cfg(test)]
mod tests;

pub use bundle::certificates_of;
pub use envelope::{Beginning, begin};
pub use inspect::{Inspected, inspect};
pub use open::decrypt;
pub use recipient::RecipientKey;
pub use sign::{ContentDigest, Identity, sign_detached};
pub use stream::{SealStream, measure};
pub use verify::verify_detached;

/// Most octets of content that are sealed with AES-GCM: they stand in one buffer, and whoever
/// reads them must hold them all before the first may be used.
pub const MAX_GCM_OCTETS: u64 = 16 << 20;
/// Most octets of content that are sealed with AES-CBC.
pub const MAX_CBC_OCTETS: u64 = 1 << 30;
/// Most octets of a certificate.
pub const MAX_CERTIFICATE_OCTETS: usize = 64 << 10;
/// Most certificates of a chain, the signer's own among them.
pub const MAX_CHAIN: usize = 10;
/// Most certificates that are taken out of a bundle.
pub const MAX_BUNDLE: usize = 1000;
/// Most octets of a bundle.
pub const MAX_BUNDLE_OCTETS: usize = 16 << 20;
/// Most `recipientInfos` of what is inspected.
pub const MAX_RECIPIENTS: usize = 100;

/// Why something could not be sealed, signed or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CmsError {
    /// It is not DER of what it should be, or over a bound.
    #[error("malformed DER")]
    Malformed,
    /// It is CMS, but of another content type than is asked for.
    #[error("another CMS content type")]
    ContentType,
    /// A key is of a kind that is not used here.
    #[error("a key of this kind is not used")]
    KeyKind,
    /// A key is too short or too long, has a bad exponent, or is no point of its curve.
    #[error("the key is too weak or invalid")]
    WeakKey,
    /// A certificate's key usage does not let it sign.
    #[error("the certificate's key may not sign")]
    KeyUsage,
    /// The private key is not the one of the certificate, or not readable PKCS #8.
    #[error("the private key does not belong to the certificate")]
    OtherKey,
    /// There is more content than the cipher may be used for.
    #[error("too large to be sealed this way")]
    TooLarge,
    /// What is sealed differs from what the recipe says: it must not be sent.
    #[error("the content is not the one that was sealed before")]
    Differs,
    /// Nothing readable comes out with this key. There is no finer answer.
    #[error("cannot be decrypted")]
    Undecryptable,
    /// A signature does not hold for this content.
    #[error("the signature does not hold")]
    BadSignature,
    /// The library refused what should always work, such as a random number.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<der::DerError> for CmsError {
    fn from(_: der::DerError) -> Self {
        Self::Malformed
    }
}
