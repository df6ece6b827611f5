//! The front of a sealed message: everything up to the first octet of encrypted content.
//!
//! Its lengths are definite, so the content's length must be known before the first octet is
//! written; in return the content can be sent while it is being encrypted. [`Layout`] reads such a
//! front again and finds what must follow it.

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::der::{self, DerError, Reader, header_octets, tag};
use super::{CmsError, MAX_CBC_OCTETS, MAX_GCM_OCTETS, RecipientKey, oid};
use crate::mail::sealed::CONTENT_KEY_OCTETS;
use crate::mail::{ContentCipher, ContentKey};

/// Octets of an AES block.
pub(super) const BLOCK: usize = 16;
/// Octets of a GCM tag.
pub(super) const TAG: u64 = 16;
/// Octets of a CBC initialisation vector.
pub(super) const CBC_IV: usize = 16;
/// Octets of a GCM nonce.
pub(super) const GCM_NONCE: usize = 12;

/// What stands before the encrypted content, and what it is encrypted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// The DER up to the first octet of encrypted content.
    pub envelope: Vec<u8>,
    /// The content-encryption key: a new one each time.
    pub key: ContentKey,
    /// The initialisation vector (16 octets) or nonce (12).
    pub iv: Vec<u8>,
}

/// Makes the front of content of `plain_octets` sealed to `to`, with a new key. `oaep` chooses
/// RSAES-OAEP with SHA-256 over PKCS #1 v1.5; it is of no meaning for other keys.
pub fn begin(
    to: &RecipientKey,
    oaep: bool,
    cipher: ContentCipher,
    plain_octets: u64,
) -> Result<Beginning, CmsError> {
    let random = SystemRandom::new();
    let mut key = Zeroizing::new([0; CONTENT_KEY_OCTETS]);
    let mut iv = match cipher {
        ContentCipher::Aes256Cbc => vec![0; CBC_IV],
        ContentCipher::Aes256Gcm => vec![0; GCM_NONCE],
    };
    let encrypted = encrypted_octets(cipher, plain_octets)?;
    random
        .fill(key.as_mut())
        .and_then(|()| random.fill(&mut iv))
        .map_err(|_| CmsError::Library)?;
    let recipients = der::set_of(vec![to.recipient_info(key.as_ref(), oaep)?]);

    // From the inside out: every length is the sum of what it encloses.
    let data = der::oid(oid::DATA);
    let algorithm = content_algorithm(cipher, &iv);
    let inner = data.len() as u64 + algorithm.len() as u64 + header_octets(encrypted) + encrypted;
    let (name, version, trailer) = match cipher {
        ContentCipher::Aes256Cbc => (oid::ENVELOPED_DATA, to.enveloped_version(), 0),
        ContentCipher::Aes256Gcm => (oid::AUTH_ENVELOPED_DATA, 0, header_octets(TAG) + TAG),
    };
    let (name, version) = (der::oid(name), der::small(version));
    let enveloped =
        version.len() as u64 + recipients.len() as u64 + header_octets(inner) + inner + trailer;
    let tagged = header_octets(enveloped) + enveloped;

    let mut envelope = Vec::with_capacity(recipients.len().saturating_add(128));
    der::header(
        &mut envelope,
        tag::SEQUENCE,
        name.len() as u64 + header_octets(tagged) + tagged,
    );
    envelope.extend_from_slice(&name);
    der::header(&mut envelope, tag::context_constructed(0), tagged);
    der::header(&mut envelope, tag::SEQUENCE, enveloped);
    envelope.extend_from_slice(&version);
    envelope.extend_from_slice(&recipients);
    der::header(&mut envelope, tag::SEQUENCE, inner);
    envelope.extend_from_slice(&data);
    envelope.extend_from_slice(&algorithm);
    der::header(&mut envelope, tag::context(0), encrypted);
    Ok(Beginning {
        envelope,
        key: ContentKey::new(*key),
        iv,
    })
}

/// Octets that so much content has when it is encrypted, the tag aside.
fn encrypted_octets(cipher: ContentCipher, plain: u64) -> Result<u64, CmsError> {
    match cipher {
        ContentCipher::Aes256Cbc if plain <= MAX_CBC_OCTETS => Ok(padded_octets(plain)),
        ContentCipher::Aes256Gcm if plain <= MAX_GCM_OCTETS => Ok(plain),
        _ => Err(CmsError::TooLarge),
    }
}

/// Octets of so much content with its padding: always some (RFC 5652 §6.3).
pub(super) const fn padded_octets(plain: u64) -> u64 {
    (plain / BLOCK as u64 + 1) * BLOCK as u64
}

/// The content encryption's AlgorithmIdentifier (RFC 3565 §2.3, RFC 5084 §3.2).
fn content_algorithm(cipher: ContentCipher, iv: &[u8]) -> Vec<u8> {
    let iv = der::octet_string(iv);
    match cipher {
        ContentCipher::Aes256Cbc => der::algorithm(oid::AES256_CBC, &iv),
        ContentCipher::Aes256Gcm => {
            let parameters = der::sequence(&[&iv, &der::small(16)]);
            der::algorithm(oid::AES256_GCM, &parameters)
        }
    }
}

/// What must follow a front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Octets of encrypted content.
    pub encrypted: u64,
    /// Octets of the whole, front and tag with it.
    pub total: u64,
}

impl Layout {
    /// Reads the front; it must be one of this cipher with this vector, end where the encrypted
    /// content begins, and all its lengths must end where the whole ends.
    pub fn of(envelope: &[u8], cipher: ContentCipher, iv: &[u8]) -> Result<Self, CmsError> {
        let (name, trailer) = match cipher {
            ContentCipher::Aes256Cbc => (oid::ENVELOPED_DATA, 0),
            ContentCipher::Aes256Gcm => (oid::AUTH_ENVELOPED_DATA, header_octets(TAG) + TAG),
        };
        let mut front = Front {
            envelope,
            reader: Reader::new(envelope),
        };
        let total = front.open(tag::SEQUENCE)?;
        if front.reader.oid()? != name {
            return Err(CmsError::Malformed);
        }
        let tagged = front.open(tag::context_constructed(0))?;
        let enveloped = front.open(tag::SEQUENCE)?;
        front.reader.small()?;
        front.reader.expect(tag::SET)?;
        let inner = front.open(tag::SEQUENCE)?;
        let data = front.reader.oid()? == oid::DATA;
        let algorithm = front.reader.expect(tag::SEQUENCE)?.whole;
        let content = front.open(tag::context(0))?;
        front.reader.finish()?;
        let ends = tagged == total
            && enveloped == total
            && inner == content
            && content.checked_add(trailer) == Some(total);
        let octets = content.saturating_sub(envelope.len() as u64);
        let fits = match cipher {
            ContentCipher::Aes256Cbc => {
                octets > 0
                    && octets.is_multiple_of(BLOCK as u64)
                    && octets <= MAX_CBC_OCTETS + BLOCK as u64
                    && iv.len() == CBC_IV
            }
            ContentCipher::Aes256Gcm => octets <= MAX_GCM_OCTETS && iv.len() == GCM_NONCE,
        };
        if ends && fits && data && algorithm == content_algorithm(cipher, iv) {
            Ok(Self {
                encrypted: octets,
                total,
            })
        } else {
            Err(CmsError::Malformed)
        }
    }

    /// Octets of the whole in base64, lines and all.
    pub const fn base64_octets(&self) -> u64 {
        let lines = self.total.div_ceil(super::stream::LINE_OCTETS as u64);
        self.total.div_ceil(3) * 4 + lines * 2
    }
}

/// Reads a front and counts.
struct Front<'a> {
    envelope: &'a [u8],
    reader: Reader<'a>,
}

impl Front<'_> {
    /// Goes into an element of this tag; says where it ends, counted from the first octet.
    fn open(&mut self, tag: u8) -> Result<u64, DerError> {
        let (found, octets) = self.reader.open()?;
        let read = self.envelope.len() - self.reader.rest().len();
        match octets.checked_add(read as u64) {
            Some(end) if found == tag => Ok(end),
            _ => Err(DerError),
        }
    }
}
