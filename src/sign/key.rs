//! A DKIM key from its file.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey, Sha256};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::mail::Domain;
use crate::world::file::open_regular;

/// Smallest RSA modulus that signs. Receivers ignore less than 1024 and distrust less than 2048
/// (RFC 8301 §3.2).
pub(super) const MIN_RSA_BITS: usize = 2048;
/// A key file larger than this is not one.
const MAX_FILE_OCTETS: u64 = 64 * 1024;
/// Others than the owner must have no right to it.
const FORBIDDEN_MODE: u32 = 0o077;

/// A key, its domain and its selector.
pub struct SigningKey {
    domain: Domain,
    selector: String,
    key: DkimKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

/// Why a file does not give a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("reading the DKIM key {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("writing the DKIM key {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Group or others have rights to the file.
    #[error(
        "the DKIM key {path} has mode {mode:04o}: take all rights from group and others (chmod 600)"
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Larger than any key.
    #[error("the DKIM key {path} is larger than 64 KiB")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not a PEM private key of a kind that DKIM knows.
    #[error(
        "not a PEM private key for DKIM: it must be RSA (PKCS#1 or PKCS#8) or Ed25519 (PKCS#8)"
    )]
    NotAKey,
    /// Too small an RSA key.
    #[error("the RSA key has fewer than 2048 bits: receivers do not trust such a signature")]
    TooSmall,
    /// Not a selector.
    #[error("{selector:?} is not a DKIM selector: letters, digits and hyphens, parted by dots")]
    Selector {
        /// The text.
        selector: String,
    },
    /// No key could be made.
    #[error("making a DKIM key")]
    Generate,
}

impl SigningKey {
    /// Loads the key in `path`.
    pub fn load(domain: Domain, selector: &str, path: &Path) -> Result<Self, KeyError> {
        let pem = read(path)?;
        Self::from_pem(domain, selector, &pem)
    }

    /// Takes the key in a PEM text.
    pub fn from_pem(domain: Domain, selector: &str, pem: &str) -> Result<Self, KeyError> {
        if !is_selector(selector) {
            return Err(KeyError::Selector {
                selector: selector.to_owned(),
            });
        }
        let key = match parse(pem)? {
            Parsed::Ed25519(der) => Ed25519Key::from_pkcs8_maybe_unchecked_der(&der)
                .map_err(|_| KeyError::NotAKey)?
                .into(),
            Parsed::Rsa { der, .. } => RsaKey::<Sha256>::from_key_der(der)
                .map_err(|_| KeyError::NotAKey)?
                .into(),
        };
        Ok(Self {
            domain,
            selector: selector.to_ascii_lowercase(),
            key,
        })
    }

    /// The domain it signs for.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Where its public half stands: `<selector>._domainkey.<domain>`.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    pub(super) fn dkim_key(&self) -> &DkimKey {
        &self.key
    }
}

/// A private key of a kind that DKIM knows, and large enough.
pub(super) enum Parsed {
    /// PKCS#8, version 1 (without the public key, as OpenSSL writes it) or 2.
    Ed25519(Zeroizing<Vec<u8>>),
    Rsa {
        der: PrivateKeyDer<'static>,
        pair: aws_lc_rs::rsa::KeyPair,
    },
}

pub(super) fn parse(pem: &str) -> Result<Parsed, KeyError> {
    use aws_lc_rs::rsa::KeyPair;
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NotAKey)?;
    let pair = match &der {
        PrivateKeyDer::Pkcs8(pkcs8) => {
            let octets = pkcs8.secret_pkcs8_der();
            if ring::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(octets).is_ok() {
                return Ok(Parsed::Ed25519(Zeroizing::new(octets.to_vec())));
            }
            KeyPair::from_pkcs8(octets)
        }
        PrivateKeyDer::Pkcs1(pkcs1) => KeyPair::from_der(pkcs1.secret_pkcs1_der()),
        _ => return Err(KeyError::NotAKey),
    };
    let pair = pair.map_err(|error| match error.to_string().as_str() {
        "TooSmall" => KeyError::TooSmall, // The library refuses them too.
        _ => KeyError::NotAKey,
    })?;
    if pair.public_modulus_len() * 8 < MIN_RSA_BITS {
        return Err(KeyError::TooSmall);
    }
    Ok(Parsed::Rsa { der, pair })
}

/// RFC 6376 §3.1: sub-domains parted by dots.
fn is_selector(text: &str) -> bool {
    let label = |label: &str| {
        let inner = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let edges = label.starts_with('-') || label.ends_with('-');
        (1..=63).contains(&label.len()) && inner && !edges
    };
    text.len() <= 190 && text.split('.').all(label)
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let error = |source| KeyError::Read {
        path: path.to_owned(),
        source,
    };
    // Everything is asked of the open file, so that it cannot be exchanged in between.
    let file = open_regular(path).map_err(error)?;
    let metadata = file.metadata().map_err(error)?;
    let mode = metadata.mode() & 0o7777;
    if mode & FORBIDDEN_MODE != 0 {
        return Err(KeyError::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    let mut pem = Zeroizing::new(String::with_capacity(8192));
    file.take(MAX_FILE_OCTETS + 1)
        .read_to_string(&mut pem)
        .map_err(error)?;
    if pem.len() as u64 > MAX_FILE_OCTETS {
        return Err(KeyError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(pem)
}
