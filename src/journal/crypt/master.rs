//! The master key: read from a file that is for the owner alone, and never shown.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hkdf::{HKDF_SHA256, Salt};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{CryptError, KEY_OCTETS, random};

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

/// The key that everything at rest hangs on.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey(pub(super) [u8; KEY_OCTETS]);

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

    pub(super) fn derive(
        &self,
        salt: &[u8],
        purpose: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, CryptError> {
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
