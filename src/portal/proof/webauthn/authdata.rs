//! What an authenticator says (Web Authentication §6.1, §6.5.1): for whom, how sure of the user it
//! is, how often it has signed, and, where a credential was made, its id and key.

use super::cbor::Reader;
use super::key::PublicKey;
use super::{MAX_ID_OCTETS, MAX_OBJECT_OCTETS, WebauthnError};

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;
const EXTENSIONS: u8 = 1 << 7;

/// Authenticator data.
pub(super) struct AuthData<'a> {
    pub rp_id_hash: &'a [u8],
    pub user_present: bool,
    pub user_verified: bool,
    pub counter: u32,
    pub attested: Option<Attested<'a>>,
}

/// A credential that was made.
pub(super) struct Attested<'a> {
    pub id: &'a [u8],
    pub key: PublicKey,
}

impl<'a> AuthData<'a> {
    /// Reads all of it; nothing may follow.
    pub fn read(octets: &'a [u8]) -> Result<Self, WebauthnError> {
        const SHORT: WebauthnError = WebauthnError::Form("authenticator data is short");
        if octets.len() > MAX_OBJECT_OCTETS {
            return Err(WebauthnError::Form("too long"));
        }
        let (rp_id_hash, rest) = octets.split_at_checked(32).ok_or(SHORT)?;
        let (&[flags], rest) = rest.split_first_chunk::<1>().ok_or(SHORT)?;
        let (counter, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        if flags & BACKED_UP != 0 && flags & BACKUP_ELIGIBLE == 0 {
            return Err(WebauthnError::Form("backed up, but not eligible"));
        }
        let mut rest = rest;
        let mut attested = None;
        if flags & ATTESTED != 0 {
            // The model's number.
            let (_, after) = rest.split_at_checked(16).ok_or(SHORT)?;
            let (length, after) = after.split_first_chunk::<2>().ok_or(SHORT)?;
            let length = usize::from(u16::from_be_bytes(*length));
            if length == 0 || length > MAX_ID_OCTETS {
                return Err(WebauthnError::Form("the credential's id"));
            }
            let (id, after) = after.split_at_checked(length).ok_or(SHORT)?;
            let mut reader = Reader::new(after);
            let key = PublicKey::read(&mut reader)?;
            rest = reader.rest();
            attested = Some(Attested { id, key });
        }
        if flags & EXTENSIONS != 0 {
            let mut reader = Reader::new(rest);
            let pairs = reader.map().ok_or(SHORT)?;
            for _ in 0..pairs.saturating_mul(2) {
                reader.skip().ok_or(SHORT)?;
            }
            rest = reader.rest();
        }
        if !rest.is_empty() {
            return Err(WebauthnError::Form("something follows"));
        }
        Ok(Self {
            rp_id_hash,
            user_present: flags & USER_PRESENT != 0,
            user_verified: flags & USER_VERIFIED != 0,
            counter: u32::from_be_bytes(*counter),
            attested,
        })
    }
}

/// The authenticator data within an attestation object; the attestation itself is ignored.
pub(super) fn of_attestation(octets: &[u8]) -> Result<&[u8], WebauthnError> {
    const WRONG: WebauthnError = WebauthnError::Form("attestation object");
    let mut reader = Reader::new(octets);
    let pairs = reader.map().ok_or(WRONG)?;
    let mut found = None;
    for _ in 0..pairs {
        let name = reader.text().ok_or(WRONG)?;
        if name == "authData" {
            let data = reader.bytes().ok_or(WRONG)?;
            if found.replace(data).is_some() {
                return Err(WRONG);
            }
        } else {
            reader.skip().ok_or(WRONG)?;
        }
    }
    match reader.rest().is_empty() {
        true => found.ok_or(WRONG),
        false => Err(WRONG),
    }
}
