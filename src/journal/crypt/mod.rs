//! Sealing at rest: AES-256-GCM under a key of each message, wrapped under the master key.
//!
//! Owns every key, nonce and salt of journal and spool. Keys never appear in an error, a log line
//! or a `Debug` text.
//!
//! - Each message has a random 256-bit key; each sealed part of a record a fresh random 96-bit
//!   nonce, stored in front of it: `nonce 12 | ciphertext | tag 16`.
//! - A message's key is stored wrapped: `salt 16 | nonce 12 | key 32 | tag 16`, sealed under
//!   HKDF-SHA256(master key, salt, purpose). The salt stands in the wrap itself and not in the
//!   segment's header, because a producer wraps before it is known in which segment the record
//!   will lie, and so that a record can move without its master key. A salt is drawn at start and
//!   again after `SEALS_PER_SALT` uses, so that random nonces stay far from their birthday bound.
//! - Table rows are sealed directly under a key derived so for that purpose.
//! - Long bodies are cut in chunks sealed as STREAM does: nonce = random prefix 7 | counter 4 |
//!   last flag 1. A chunk left out, repeated, moved or a cut end is noticed.
//! - What a ciphertext belongs to is in its additional data: spool, message, kind, flags, lengths,
//!   part. Never its place, so that it can be copied.

mod keyring;
mod master;
#[cfg(test)]
mod tests;

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use keyring::{Keyring, Sealer, WrappedKey};
pub use master::{MasterKey, MasterKeyError};

/// Octets of every key.
pub const KEY_OCTETS: usize = 32;
/// Octets of a nonce (RFC 5116 §5.2).
pub const NONCE_OCTETS: usize = 12;
/// Octets of an authentication tag.
pub const TAG_OCTETS: usize = 16;
/// What sealing adds to a part of a record.
pub const SEAL_OCTETS: usize = NONCE_OCTETS + TAG_OCTETS;
/// Octets of a salt.
pub const SALT_OCTETS: usize = 16;
/// Octets of a wrapped message key.
pub const WRAP_OCTETS: usize = SALT_OCTETS + SEAL_OCTETS + KEY_OCTETS;
/// Octets of the random prefix of a long body's nonces.
pub const PREFIX_OCTETS: usize = 7;

/// Sealing or unsealing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptError {
    /// The operating system gave no random octets.
    #[error("the operating system gave no random octets")]
    Random,
    /// A ciphertext is not what was sealed, or not where it belongs.
    #[error("what is stored does not unseal")]
    Unseal,
    /// Something is longer than can be sealed.
    #[error("too long to be sealed")]
    TooLong,
}

/// Fills `out` with random octets of the operating system.
pub(crate) fn random(out: &mut [u8]) -> Result<(), CryptError> {
    SystemRandom::new()
        .fill(out)
        .map_err(|_| CryptError::Random)
}

fn cipher(key: &[u8; KEY_OCTETS]) -> Result<LessSafeKey, CryptError> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| CryptError::TooLong)
}

/// Appends `nonce | ciphertext | tag` to `out`.
fn seal_into(
    cipher: &LessSafeKey,
    aad: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CryptError> {
    let mut nonce = [0; NONCE_OCTETS];
    random(&mut nonce)?;
    out.extend_from_slice(&nonce);
    seal_with(cipher, nonce, aad, plain, out)
}

/// Appends `ciphertext | tag` to `out`.
fn seal_with(
    cipher: &LessSafeKey,
    nonce: [u8; NONCE_OCTETS],
    aad: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CryptError> {
    let start = out.len();
    out.extend_from_slice(plain);
    let tag = cipher
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            out.get_mut(start..).unwrap_or_default(),
        )
        .map_err(|_| CryptError::TooLong)?;
    out.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Opens `nonce | ciphertext | tag`.
fn open(cipher: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
    let (nonce, rest) = sealed
        .split_first_chunk::<NONCE_OCTETS>()
        .ok_or(CryptError::Unseal)?;
    open_with(cipher, *nonce, aad, rest.to_vec())
}

fn open_with(
    cipher: &LessSafeKey,
    nonce: [u8; NONCE_OCTETS],
    aad: &[u8],
    mut bytes: Vec<u8>,
) -> Result<Vec<u8>, CryptError> {
    let len = cipher
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut bytes,
        )
        .map_err(|_| CryptError::Unseal)?
        .len();
    bytes.truncate(len);
    Ok(bytes)
}

/// The key of one message.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MessageKey([u8; KEY_OCTETS]);

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey(hidden)")
    }
}

impl MessageKey {
    /// A random one.
    pub fn generate() -> Result<Self, CryptError> {
        let mut key = [0; KEY_OCTETS];
        random(&mut key)?;
        Ok(Self(key))
    }

    /// Appends the sealed `plain` to `out`: [`SEAL_OCTETS`] longer.
    pub fn seal_into(&self, aad: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), CryptError> {
        seal_into(&cipher(&self.0)?, aad, plain, out)
    }

    /// Opens what [`MessageKey::seal_into`] made.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
        open(&cipher(&self.0)?, aad, sealed)
    }

    /// Starts to seal or unseal a long body.
    pub fn chunks(&self, prefix: [u8; PREFIX_OCTETS], aad: Vec<u8>) -> Result<Chunks, CryptError> {
        Ok(Chunks {
            cipher: cipher(&self.0)?,
            prefix,
            counter: 0,
            ended: false,
            aad,
        })
    }
}

/// Seals or unseals the chunks of a long body, front to back.
pub struct Chunks {
    cipher: LessSafeKey,
    prefix: [u8; PREFIX_OCTETS],
    counter: u32,
    ended: bool,
    aad: Vec<u8>,
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunks(at {})", self.counter)
    }
}

impl Chunks {
    fn nonce(&mut self, last: bool) -> Result<[u8; NONCE_OCTETS], CryptError> {
        if self.ended {
            return Err(CryptError::TooLong);
        }
        self.ended = last;
        let counter = self.counter;
        self.counter = counter.checked_add(1).ok_or(CryptError::TooLong)?;
        let mut nonce = [0; NONCE_OCTETS];
        let (prefix, rest) = nonce.split_at_mut(PREFIX_OCTETS);
        prefix.copy_from_slice(&self.prefix);
        let (middle, end) = rest.split_at_mut(4);
        middle.copy_from_slice(&counter.to_be_bytes());
        end.fill(u8::from(last));
        Ok(nonce)
    }

    /// Appends the next chunk, sealed: [`TAG_OCTETS`] longer. Nothing may follow the last.
    pub fn seal_into(
        &mut self,
        plain: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), CryptError> {
        let nonce = self.nonce(last)?;
        seal_with(&self.cipher, nonce, &self.aad, plain, out)
    }

    /// Opens the next chunk in place.
    pub fn open(&mut self, sealed: Vec<u8>, last: bool) -> Result<Vec<u8>, CryptError> {
        let nonce = self.nonce(last)?;
        open_with(&self.cipher, nonce, &self.aad, sealed)
    }
}
