//! What is derived from the master key: the keys that wrap, and those that seal table rows.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ring::aead::LessSafeKey;
use zeroize::Zeroizing;

use super::{
    CryptError, MasterKey, MessageKey, SALT_OCTETS, WRAP_OCTETS, cipher, open, random, seal_into,
};

/// Seals under one derived key before a new salt is drawn; random nonces may go to 2^32.
pub(super) const SEALS_PER_SALT: u32 = 1 << 20;
/// Octets of a master key's name in what a [`Sealer`] seals.
const KEY_NAME_OCTETS: usize = 4;

/// A message's key as it is stored and kept in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WrappedKey([u8; WRAP_OCTETS]);

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappedKey(hidden)")
    }
}

impl WrappedKey {
    /// As stored.
    pub fn as_bytes(&self) -> &[u8; WRAP_OCTETS] {
        &self.0
    }

    /// From what is stored; whether it unwraps is another question.
    pub fn from_bytes(bytes: [u8; WRAP_OCTETS]) -> Self {
        Self(bytes)
    }
}

/// Keys of one purpose, each from the master key and a salt.
pub(super) struct Derived {
    purpose: &'static [u8],
    pub(super) current: Mutex<(Epoch, u32)>,
    seen: Mutex<Epoch>,
}

#[derive(Clone)]
pub(super) struct Epoch {
    pub(super) salt: [u8; SALT_OCTETS],
    cipher: LessSafeKey,
}

impl Derived {
    pub(super) fn new(master: &MasterKey, purpose: &'static [u8]) -> Result<Self, CryptError> {
        let epoch = Self::draw(master, purpose)?;
        Ok(Self {
            purpose,
            current: Mutex::new((epoch.clone(), 0)),
            seen: Mutex::new(epoch),
        })
    }

    fn draw(master: &MasterKey, purpose: &[u8]) -> Result<Epoch, CryptError> {
        let mut salt = [0; SALT_OCTETS];
        random(&mut salt)?;
        Self::epoch(master, purpose, salt)
    }

    fn epoch(
        master: &MasterKey,
        purpose: &[u8],
        salt: [u8; SALT_OCTETS],
    ) -> Result<Epoch, CryptError> {
        let cipher = cipher(&*master.derive(&salt, purpose)?)?;
        Ok(Epoch { salt, cipher })
    }

    /// The one to seal with now.
    pub(super) fn current(&self, master: &MasterKey) -> Result<Epoch, CryptError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1 >= SEALS_PER_SALT {
            *current = (Self::draw(master, self.purpose)?, 0);
        }
        current.1 += 1;
        Ok(current.0.clone())
    }

    /// The one of a salt that was read. Neighbours on the disk share theirs.
    pub(super) fn of(
        &self,
        master: &MasterKey,
        salt: [u8; SALT_OCTETS],
    ) -> Result<Epoch, CryptError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.salt != salt {
            *seen = Self::epoch(master, self.purpose, salt)?;
        }
        Ok(seen.clone())
    }

    fn seal_into(
        &self,
        master: &MasterKey,
        aad: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CryptError> {
        let epoch = self.current(master)?;
        out.extend_from_slice(&epoch.salt);
        seal_into(&epoch.cipher, aad, plain, out)
    }

    fn open(&self, master: &MasterKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
        let (salt, rest) = sealed
            .split_first_chunk::<SALT_OCTETS>()
            .ok_or(CryptError::Unseal)?;
        open(&self.of(master, *salt)?.cipher, aad, rest)
    }
}

/// Everything that is derived from a journal's master key.
pub struct Keyring {
    master: MasterKey,
    spool: [u8; 16],
    key_id: u32,
    wraps: Derived,
    rows: Derived,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({:08x})", self.key_id)
    }
}

impl Keyring {
    /// For the spool of this uuid; `key_id` names the master key in records.
    pub(crate) fn new(master: MasterKey, spool: [u8; 16], key_id: u32) -> Result<Self, CryptError> {
        Ok(Self {
            wraps: Derived::new(&master, b"sealpost message key wrap 1")?,
            rows: Derived::new(&master, b"sealpost table rows 1")?,
            master,
            spool,
            key_id,
        })
    }

    /// The spool's uuid, which every additional data begins with.
    pub fn spool(&self) -> [u8; 16] {
        self.spool
    }

    /// The name of the master key in record headers.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    fn wrap_aad(&self, message: u64) -> Vec<u8> {
        let mut aad = self.spool.to_vec();
        aad.extend_from_slice(&message.to_le_bytes());
        aad.extend_from_slice(&self.key_id.to_le_bytes());
        aad.extend_from_slice(b"wrap");
        aad
    }

    /// Wraps a message's key.
    pub fn wrap(&self, message: u64, key: &MessageKey) -> Result<WrappedKey, CryptError> {
        let mut out = Vec::with_capacity(WRAP_OCTETS);
        self.wraps
            .seal_into(&self.master, &self.wrap_aad(message), &key.0, &mut out)?;
        out.as_slice()
            .try_into()
            .map(WrappedKey)
            .map_err(|_| CryptError::TooLong)
    }

    /// Opens a wrap.
    pub fn unwrap(&self, message: u64, wrapped: &WrappedKey) -> Result<MessageKey, CryptError> {
        let plain = Zeroizing::new(self.wraps.open(
            &self.master,
            &self.wrap_aad(message),
            &wrapped.0,
        )?);
        plain
            .as_slice()
            .try_into()
            .map(MessageKey)
            .map_err(|_| CryptError::Unseal)
    }

    /// Appends a sealed table row to `out`: [`SALT_OCTETS`] + [`SEAL_OCTETS`] longer.
    pub fn seal_row_into(
        &self,
        aad: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CryptError> {
        self.rows.seal_into(&self.master, aad, plain, out)
    }

    /// Opens a sealed table row.
    pub fn open_row(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
        self.rows.open(&self.master, aad, sealed)
    }
}

/// Seals for one purpose outside a journal, under keys derived from the master key. Each seal
/// carries its salt: `salt 16 | nonce 12 | ciphertext | tag 16`.
pub struct Sealer {
    master: MasterKey,
    derived: Derived,
    name: String,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.name)
    }
}

impl Sealer {
    /// For what `purpose` names; no two purposes share a key.
    pub fn new(master: MasterKey, purpose: &'static [u8]) -> Result<Self, CryptError> {
        let told = master.derive(purpose, b"sealpost key name 1")?;
        let name = told.iter().take(KEY_NAME_OCTETS);
        Ok(Self {
            derived: Derived::new(&master, purpose)?,
            master,
            name: name.map(|octet| format!("{octet:02x}")).collect(),
        })
    }

    /// Tells this master key from others, and says nothing about it.
    pub fn key_name(&self) -> &str {
        &self.name
    }

    /// Appends the sealed `plain` to `out`: [`SALT_OCTETS`] + [`super::SEAL_OCTETS`] longer.
    pub fn seal_into(&self, aad: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), CryptError> {
        self.derived.seal_into(&self.master, aad, plain, out)
    }

    /// Opens what [`Sealer::seal_into`] made with the same additional data.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
        self.derived.open(&self.master, aad, sealed)
    }
}
