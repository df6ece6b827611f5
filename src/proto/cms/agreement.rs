//! Key agreement for CMS: a shared secret becomes the key that wraps the content's key.
//!
//! ECDH on P-256 and P-384 with the X9.63 function (RFC 5753 §7.2, SEC 1 §3.6.1), X25519 with HKDF
//! (RFC 8418 §2.2). The function's input holds the wrapping algorithm and its key's length, so that
//! neither can be exchanged.

use aws_lc_rs::agreement;
use aws_lc_rs::key_wrap::{AES_128, AES_256, AesBlockCipher, AesKek, KeyWrap as _};
use ring::{digest, hkdf};
use zeroize::Zeroizing;

use super::der::{self, tag};
use super::{CmsError, oid};

/// A group that keys are agreed on in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    P256,
    P384,
    X25519,
}

impl Group {
    /// As the library names it.
    pub fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
            Self::X25519 => &agreement::X25519,
        }
    }

    /// The function that is used with it in what is written here.
    pub fn derivation(self) -> Derivation {
        match self {
            Self::P256 => Derivation::X963(Hash::Sha256),
            Self::P384 => Derivation::X963(Hash::Sha384),
            Self::X25519 => Derivation::Hkdf(Hash::Sha256),
        }
    }

    /// The algorithm of a key in it: without parameters, for the recipient's key has them.
    pub fn key_algorithm(self) -> &'static [u8] {
        match self {
            Self::P256 | Self::P384 => oid::EC_PUBLIC_KEY,
            Self::X25519 => oid::X25519,
        }
    }
}

/// A digest of the SHA-2 family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// The one of this name.
    pub fn of(name: &[u8]) -> Option<Self> {
        match name {
            oid::SHA256 => Some(Self::Sha256),
            oid::SHA384 => Some(Self::Sha384),
            oid::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Its name.
    pub fn oid(self) -> &'static [u8] {
        match self {
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
        }
    }

    /// As the library names it.
    pub fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// The function that makes a wrapping key of a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Derivation {
    X963(Hash),
    Hkdf(Hash),
}

impl Derivation {
    /// The one of this scheme.
    pub fn of(scheme: &[u8]) -> Option<Self> {
        match scheme {
            oid::ECDH_SHA256_KDF => Some(Self::X963(Hash::Sha256)),
            oid::ECDH_SHA384_KDF => Some(Self::X963(Hash::Sha384)),
            oid::ECDH_SHA512_KDF => Some(Self::X963(Hash::Sha512)),
            oid::ECDH_HKDF_SHA256 => Some(Self::Hkdf(Hash::Sha256)),
            oid::ECDH_HKDF_SHA384 => Some(Self::Hkdf(Hash::Sha384)),
            oid::ECDH_HKDF_SHA512 => Some(Self::Hkdf(Hash::Sha512)),
            _ => None,
        }
    }

    /// The name of its scheme.
    pub fn scheme(self) -> &'static [u8] {
        match self {
            Self::X963(Hash::Sha256) => oid::ECDH_SHA256_KDF,
            Self::X963(Hash::Sha384) => oid::ECDH_SHA384_KDF,
            Self::X963(Hash::Sha512) => oid::ECDH_SHA512_KDF,
            Self::Hkdf(Hash::Sha256) => oid::ECDH_HKDF_SHA256,
            Self::Hkdf(Hash::Sha384) => oid::ECDH_HKDF_SHA384,
            Self::Hkdf(Hash::Sha512) => oid::ECDH_HKDF_SHA512,
        }
    }

    /// The wrapping key, of the shared secret and the sender's own material, if there is some.
    pub fn wrapping_key(
        self,
        wrap: Wrap,
        secret: &[u8],
        material: Option<&[u8]>,
    ) -> Result<AesKek, CmsError> {
        let info = wrap.shared_info(material);
        // No wrapping key is longer than the shortest of the digests.
        let mut key = Zeroizing::new([0_u8; 32]);
        let key = key.get_mut(..wrap.key_octets()).ok_or(CmsError::Library)?;
        match self {
            Self::X963(hash) => {
                let mut context = digest::Context::new(hash.algorithm());
                context.update(secret);
                context.update(&1_u32.to_be_bytes());
                context.update(&info);
                let digest = context.finish();
                let first = digest.as_ref().get(..key.len()).ok_or(CmsError::Library)?;
                key.copy_from_slice(first);
            }
            Self::Hkdf(hash) => {
                let algorithm = match hash {
                    Hash::Sha256 => hkdf::HKDF_SHA256,
                    Hash::Sha384 => hkdf::HKDF_SHA384,
                    Hash::Sha512 => hkdf::HKDF_SHA512,
                };
                hkdf::Salt::new(algorithm, material.unwrap_or_default())
                    .extract(secret)
                    .expand(&[&info], Octets(key.len()))
                    .and_then(|okm| okm.fill(key))
                    .map_err(|_| CmsError::Library)?;
            }
        }
        AesKek::new(wrap.cipher(), key).map_err(|_| CmsError::Library)
    }
}

struct Octets(usize);

impl hkdf::KeyType for Octets {
    fn len(&self) -> usize {
        self.0
    }
}

/// AES key wrap (RFC 3394).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    Aes128,
    Aes256,
}

impl Wrap {
    /// The one of this name.
    pub fn of(name: &[u8]) -> Option<Self> {
        match name {
            oid::AES128_WRAP => Some(Self::Aes128),
            oid::AES256_WRAP => Some(Self::Aes256),
            _ => None,
        }
    }

    fn oid(self) -> &'static [u8] {
        match self {
            Self::Aes128 => oid::AES128_WRAP,
            Self::Aes256 => oid::AES256_WRAP,
        }
    }

    fn cipher(self) -> &'static AesBlockCipher {
        match self {
            Self::Aes128 => &AES_128,
            Self::Aes256 => &AES_256,
        }
    }

    const fn key_octets(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }

    /// Its AlgorithmIdentifier: no parameters (RFC 3565 §2.3.2).
    pub fn algorithm(self) -> Vec<u8> {
        der::algorithm(self.oid(), &[])
    }

    /// ECC-CMS-SharedInfo (RFC 5753 §7.2).
    fn shared_info(self, material: Option<&[u8]>) -> Vec<u8> {
        let bits = u32::try_from(self.key_octets() * 8).unwrap_or_default();
        let bits = der::octet_string(&bits.to_be_bytes());
        let party = material.map(|material| {
            let material = der::octet_string(material);
            der::element(tag::context_constructed(0), &[&material])
        });
        der::sequence(&[
            &self.algorithm(),
            &party.unwrap_or_default(),
            &der::element(tag::context_constructed(2), &[&bits]),
        ])
    }
}

/// Wraps a content-encryption key.
pub(super) fn wrap(kek: AesKek, key: &[u8]) -> Result<Vec<u8>, CmsError> {
    let mut wrapped = vec![0; key.len().saturating_add(8)];
    let octets = kek
        .wrap(key, &mut wrapped)
        .map_err(|_| CmsError::Library)?
        .len();
    wrapped.truncate(octets);
    Ok(wrapped)
}

/// Unwraps one, if its check holds.
pub(super) fn unwrap(kek: AesKek, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut key = Zeroizing::new(vec![0; wrapped.len()]);
    let octets = kek.unwrap(wrapped, &mut key).ok()?.len();
    key.truncate(octets);
    Some(key)
}
