//! Sealed records: parts under a message's key, bound to what they belong to.
//!
//! Owns the additional data of every part: spool uuid 16, message id 8, kind 1, part 1, flags 2,
//! envelope part's octets 4, body part's octets 8; not the place and not the master key, so that
//! ciphertext can be copied elsewhere and keys can be wrapped anew.

use super::crypt::{CryptError, Keyring, MessageKey, SALT_OCTETS, SEAL_OCTETS};
use super::error::JournalError;
use super::record::{Frame, HEADER_OCTETS, Header, Kind, Position};

const ENVELOPE_PART: u8 = 0;
const BODY_PART: u8 = 1;

fn aad(spool: [u8; 16], header: &Header, part: u8) -> [u8; 40] {
    let mut out = [0; 40];
    out[..16].copy_from_slice(&spool);
    out[16..24].copy_from_slice(&header.message.to_le_bytes());
    out[24] = header.kind as u8;
    out[25] = part;
    out[26..28].copy_from_slice(&header.flags.to_le_bytes());
    out[28..32].copy_from_slice(&header.envelope_octets.to_le_bytes());
    out[32..].copy_from_slice(&header.body_octets.to_le_bytes());
    out
}

/// What is to become a sealed record.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// What it says.
    pub kind: Kind,
    /// `FLAG_…`.
    pub flags: u16,
    /// The message.
    pub message: u64,
    /// Stored as it is, in front of the sealed envelope part: a wrapped key.
    pub clear: &'a [u8],
    /// Sealed.
    pub envelope: &'a [u8],
    /// Sealed; `None`: the record has no body part.
    pub body: Option<&'a [u8]>,
}

impl Draft<'_> {
    fn header(&self, key_id: u32, envelope_octets: usize) -> Result<Header, JournalError> {
        Ok(Header {
            kind: self.kind,
            flags: self.flags,
            segment: 0,
            message: self.message,
            envelope_octets: u32::try_from(envelope_octets).map_err(|_| CryptError::TooLong)?,
            key_id,
            body_octets: self
                .body
                .map_or(0, |body| body.len() as u64 + SEAL_OCTETS as u64),
            batch: 0,
            batch_start: 0,
            payload_crc: 0,
        })
    }

    /// Seals it under `key`.
    pub fn seal(&self, keys: &Keyring, key: &MessageKey) -> Result<Frame, JournalError> {
        let envelope_octets = self.clear.len() + SEAL_OCTETS + self.envelope.len();
        let header = self.header(keys.key_id(), envelope_octets)?;
        let body_octets = self.body.map_or(0, |body| body.len() + SEAL_OCTETS);
        let mut out = Vec::with_capacity(HEADER_OCTETS + envelope_octets + body_octets + 8);
        out.resize(HEADER_OCTETS, 0);
        out.extend_from_slice(self.clear);
        let spool = keys.spool();
        key.seal_into(&aad(spool, &header, ENVELOPE_PART), self.envelope, &mut out)?;
        if let Some(body) = self.body {
            key.seal_into(&aad(spool, &header, BODY_PART), body, &mut out)?;
        }
        Ok(Frame::new(header, out))
    }

    /// Seals a table's row, which belongs to no message, under the key of that purpose.
    pub fn seal_row(&self, keys: &Keyring) -> Result<Frame, JournalError> {
        let octets = SALT_OCTETS + SEAL_OCTETS + self.envelope.len();
        let header = self.header(keys.key_id(), octets)?;
        let mut out = Vec::with_capacity(HEADER_OCTETS + octets + 8);
        out.resize(HEADER_OCTETS, 0);
        let aad = aad(keys.spool(), &header, ENVELOPE_PART);
        keys.seal_row_into(&aad, self.envelope, &mut out)?;
        Ok(Frame::new(header, out))
    }
}

impl Frame {
    /// A record that says everything with its kind: `DONE`.
    pub fn plain(kind: Kind, message: u64, keys: &Keyring) -> Self {
        Self::bare(kind, message, keys.key_id())
    }
}

/// A record that was read and whose checksums are right.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Where it lies.
    pub position: Position,
    pub(super) payload: &'a [u8],
}

impl<'a> Stored<'a> {
    /// The first `octets` of the envelope part, which are not sealed, and the rest.
    fn envelope(&self, clear: usize) -> Result<(&'a [u8], &'a [u8]), CryptError> {
        usize::try_from(self.header.envelope_octets)
            .ok()
            .and_then(|octets| self.payload.get(..octets))
            .and_then(|part| part.split_at_checked(clear))
            .ok_or(CryptError::Unseal)
    }

    /// What stands unsealed at the beginning of the envelope part.
    pub fn clear<const N: usize>(&self) -> Result<[u8; N], CryptError> {
        let (clear, _) = self.envelope(N)?;
        clear.try_into().map_err(|_| CryptError::Unseal)
    }

    /// Opens the envelope part behind its `clear` octets.
    pub fn open_envelope(
        &self,
        keys: &Keyring,
        key: &MessageKey,
        clear: usize,
    ) -> Result<Vec<u8>, CryptError> {
        let (_, sealed) = self.envelope(clear)?;
        key.open(&aad(keys.spool(), self.header, ENVELOPE_PART), sealed)
    }

    /// Opens the body part.
    pub fn open_body(&self, keys: &Keyring, key: &MessageKey) -> Result<Vec<u8>, CryptError> {
        let sealed = usize::try_from(self.header.envelope_octets)
            .ok()
            .and_then(|octets| self.payload.get(octets..))
            .ok_or(CryptError::Unseal)?;
        key.open(&aad(keys.spool(), self.header, BODY_PART), sealed)
    }

    /// Opens a table's row.
    pub fn open_row(&self, keys: &Keyring) -> Result<Vec<u8>, CryptError> {
        let (_, sealed) = self.envelope(0)?;
        keys.open_row(&aad(keys.spool(), self.header, ENVELOPE_PART), sealed)
    }
}
