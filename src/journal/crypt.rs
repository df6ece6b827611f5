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
//!   again after [`SEALS_PER_SALT`] uses, so that random nonces stay far from their birthday bound.
//! - Table rows are sealed directly under a key derived so for that purpose.
//! - Long bodies are cut in chunks sealed as STREAM does: nonce = random prefix 7 | counter 4 |
//!   last flag 1. A chunk left out, repeated, moved or a cut end is noticed.
//! - What a ciphertext belongs to is in its additional data: spool, message, kind, flags, lengths,
//!   part. Never its place, so that it can be copied.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

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
/// Seals under one derived key before a new salt is drawn; random nonces may go to 2^32.
const SEALS_PER_SALT: u32 = 1 << 20;
/// A master key file is one line of base64; whatever is longer is something else.
const MAX_KEY_FILE_OCTETS: u64 = 4096;

/// A master key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read.
    #[error("cannot read the master key {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others may read it.
    #[error("the master key {} must not be readable by group or others (mode {mode:04o}; use 0600)", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not base64 of 32 octets.
    #[error("a master key is the base64 text of 32 octets (44 characters)")]
    Format,
    /// The system has no randomness.
    #[error(transparent)]
    Random(#[from] CryptError),
}

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

/// The key that everything at rest hangs on.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; KEY_OCTETS]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(hidden)")
    }
}

impl MasterKey {
    /// From the base64 text of 32 octets; white space around it is ignored.
    pub fn from_base64(text: &str) -> Result<Self, MasterKeyError> {
        let bytes = Zeroizing::new(
            STANDARD
                .decode(text.trim())
                .map_err(|_| MasterKeyError::Format)?,
        );
        bytes
            .as_slice()
            .try_into()
            .map(Self)
            .map_err(|_| MasterKeyError::Format)
    }

    /// Reads a file that holds [`MasterKey::generate`]'s text. Refuses one that group or others
    /// may touch.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |source| MasterKeyError::Read {
            path: path.to_path_buf(),
            source,
        };
        let file = fs::File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let mode = about.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Exposed {
                path: path.to_path_buf(),
                mode,
            });
        }
        let mut text = Zeroizing::new(String::new());
        io::Read::read_to_string(&mut io::Read::take(file, MAX_KEY_FILE_OCTETS), &mut text)
            .map_err(failed)?;
        Self::from_base64(&text)
    }

    /// The text of a new random key.
    pub fn generate() -> Result<String, MasterKeyError> {
        let mut key = Zeroizing::new([0; KEY_OCTETS]);
        random(key.as_mut())?;
        Ok(STANDARD.encode(key.as_slice()))
    }

    fn derive(&self, salt: &[u8], purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>, CryptError> {
        let mut out = Zeroizing::new([0; KEY_OCTETS]);
        Salt::new(HKDF_SHA256, salt)
            .extract(&self.0)
            .expand(&[purpose], HKDF_SHA256)
            .and_then(|material| material.fill(out.as_mut()))
            .map_err(|_| CryptError::TooLong)?;
        Ok(out)
    }

    /// A value that tells this key from others and says nothing about it.
    pub(crate) fn check(&self, salt: &[u8]) -> Result<[u8; KEY_OCTETS], CryptError> {
        Ok(*self.derive(salt, b"sealpost journal key check 1")?)
    }
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
struct Derived {
    purpose: &'static [u8],
    current: Mutex<(Epoch, u32)>,
    seen: Mutex<Epoch>,
}

#[derive(Clone)]
struct Epoch {
    salt: [u8; SALT_OCTETS],
    cipher: LessSafeKey,
}

impl Derived {
    fn new(master: &MasterKey, purpose: &'static [u8]) -> Result<Self, CryptError> {
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
    fn current(&self, master: &MasterKey) -> Result<Epoch, CryptError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1 >= SEALS_PER_SALT {
            *current = (Self::draw(master, self.purpose)?, 0);
        }
        current.1 += 1;
        Ok(current.0.clone())
    }

    /// The one of a salt that was read. Neighbours on the disk share theirs.
    fn of(&self, master: &MasterKey, salt: [u8; SALT_OCTETS]) -> Result<Epoch, CryptError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn master(seed: u8) -> MasterKey {
        MasterKey([seed; KEY_OCTETS])
    }

    #[test]
    fn master_keys_are_read_strictly() {
        let text = MasterKey::generate().unwrap();
        assert_eq!(text.len(), 44);
        assert!(MasterKey::from_base64(&format!(" {text}\n")).is_ok());
        assert_ne!(text, MasterKey::generate().unwrap());
        for text in ["", "AAAA", &text[1..], &format!("{text}AAAA")] {
            let error = MasterKey::from_base64(text).unwrap_err();
            assert!(matches!(error, MasterKeyError::Format));
        }
        assert_eq!(format!("{:?}", master(7)), "MasterKey(hidden)");
    }

    #[test]
    fn a_key_file_that_others_may_touch_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        fs::write(&path, MasterKey::generate().unwrap()).unwrap();
        for (mode, accepted) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o620, false),
        ] {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, permissions).unwrap();
            let loaded = MasterKey::load(&path);
            assert_eq!(loaded.is_ok(), accepted, "{mode:o}");
            if !accepted {
                let error = loaded.unwrap_err();
                assert!(matches!(error, MasterKeyError::Exposed { mode: it, .. } if it == mode));
            }
        }
        let absent = MasterKey::load(&directory.path().join("absent"));
        assert!(matches!(absent, Err(MasterKeyError::Read { .. })));
    }

    #[test]
    fn parts_unseal_with_their_key_and_their_place_only() {
        let key = MessageKey::generate().unwrap();
        let mut sealed = Vec::new();
        key.seal_into(b"here", b"content", &mut sealed).unwrap();
        assert_eq!(sealed.len(), 7 + SEAL_OCTETS);
        assert_eq!(key.open(b"here", &sealed).unwrap(), b"content");
        assert_eq!(key.open(b"there", &sealed), Err(CryptError::Unseal));
        let other = MessageKey::generate().unwrap();
        assert_eq!(other.open(b"here", &sealed), Err(CryptError::Unseal));
        for at in 0..sealed.len() {
            let mut sealed = sealed.clone();
            sealed[at] ^= 1;
            assert_eq!(key.open(b"here", &sealed), Err(CryptError::Unseal));
            assert_eq!(key.open(b"here", &sealed[..at]), Err(CryptError::Unseal));
        }
    }

    #[test]
    fn a_wrap_is_good_for_its_message_spool_and_master_key() {
        let keys = Keyring::new(master(1), [1; 16], 9).unwrap();
        let key = MessageKey::generate().unwrap();
        let wrapped = keys.wrap(5, &key).unwrap();
        assert_eq!(keys.unwrap(5, &wrapped).unwrap().0, key.0);
        // Another run draws another salt, and still opens it.
        let again = Keyring::new(master(1), [1; 16], 9).unwrap();
        assert_eq!(again.unwrap(5, &wrapped).unwrap().0, key.0);
        assert_ne!(again.wrap(5, &key).unwrap(), wrapped);
        assert!(keys.unwrap(6, &wrapped).is_err());
        for other in [
            Keyring::new(master(2), [1; 16], 9),
            Keyring::new(master(1), [2; 16], 9),
            Keyring::new(master(1), [1; 16], 8),
        ] {
            assert!(other.unwrap().unwrap(5, &wrapped).is_err());
        }
    }

    #[test]
    fn a_new_salt_is_drawn_in_time() {
        let master = master(1);
        let derived = Derived::new(&master, b"test").unwrap();
        let first = derived.current(&master).unwrap().salt;
        assert_eq!(derived.current(&master).unwrap().salt, first);
        derived.current.lock().unwrap().1 = SEALS_PER_SALT;
        let second = derived.current(&master).unwrap().salt;
        assert_ne!(second, first);
        assert_eq!(derived.of(&master, first).unwrap().salt, first);
    }

    #[test]
    fn chunks_can_not_be_cut_moved_or_repeated() {
        let key = MessageKey::generate().unwrap();
        let chunks = || key.chunks([3; PREFIX_OCTETS], b"body".to_vec()).unwrap();
        let mut sealer = chunks();
        let sealed: Vec<Vec<u8>> = [("one", false), ("two", false), ("end", true)]
            .map(|(plain, last)| {
                let mut out = Vec::new();
                sealer.seal_into(plain.as_bytes(), last, &mut out).unwrap();
                out
            })
            .to_vec();
        let nothing = sealer.seal_into(b"more", false, &mut Vec::new());
        assert_eq!(nothing, Err(CryptError::TooLong));

        let open = |order: &[(usize, bool)]| {
            let mut opener = chunks();
            order
                .iter()
                .map(|&(at, last)| opener.open(sealed[at].clone(), last))
                .collect::<Result<Vec<_>, _>>()
        };
        let whole = open(&[(0, false), (1, false), (2, true)]).unwrap();
        assert_eq!(whole.concat(), b"onetwoend");
        for wrong in [
            &[(1, false)][..],
            &[(0, true)],
            &[(0, false), (0, false)],
            &[(0, false), (2, true)],
            &[(0, false), (1, true)],
            &[(0, false), (1, false), (2, false)],
        ] {
            assert_eq!(open(wrong), Err(CryptError::Unseal), "{wrong:?}");
        }
    }
}
