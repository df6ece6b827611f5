//! Detached signatures: `SignedData` (RFC 5652 §5) without content, for `multipart/signed`.
//!
//! The signed attributes are content type, digest, time, the signer's certificate (RFC 5035) and
//! what the signer's program is sure to read (RFC 8551 §2.5.2); what is signed is their SET, what is
//! written carries the tag `[0]` in its place. The digest goes with the key: SHA-256 for RSA and
//! P-256, SHA-384 for P-384, SHA-512 for Ed25519 (RFC 8419 §3).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::digest::{Context, SHA256, digest};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::agreement::Hash;
use super::certificate::{PublicKey, View};
use super::der::{self, tag};
use super::{CmsError, MAX_CHAIN, oid};
use crate::mail::Timestamp;

/// digitalSignature or contentCommitment (RFC 5280 §4.2.1.3), of which one must be there.
const MAY_SIGN: u8 = 0b1100_0000;
/// The first second that is no UTCTime (RFC 5652 §11.3).
const YEAR_2050: u64 = 2_524_608_000;
const UTC_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year repr:last_two][month][day][hour][minute][second]Z");
const GENERALIZED_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day][hour][minute][second]Z");

/// A certificate with its chain and its private key. A clone is the same one.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    chain: Vec<Vec<u8>>,
    issuer: Vec<u8>,
    serial: Vec<u8>,
    key: SigningKey,
}

enum SigningKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Identity {
    /// From the DER of a chain, the signer's certificate first, and the PKCS #8 DER of its key: RSA
    /// from 2048 bits on, P-256, P-384 or Ed25519. Key and certificate must belong together, and
    /// the certificate's key usage must let it sign.
    pub fn new(chain: Vec<Vec<u8>>, key_pkcs8_der: &[u8]) -> Result<Self, CmsError> {
        if chain.len() > MAX_CHAIN {
            return Err(CmsError::TooLarge);
        }
        for authority in chain.iter().skip(1) {
            View::of(authority)?;
        }
        let view = View::of(chain.first().ok_or(CmsError::Malformed)?)?;
        if view.key_usage()?.is_some_and(|usage| usage & MAY_SIGN == 0) {
            return Err(CmsError::KeyUsage);
        }
        let key = SigningKey::new(view.public_key()?, key_pkcs8_der)?;
        let (issuer, serial) = (view.issuer.to_vec(), view.serial.to_vec());
        Ok(Self(Arc::new(Inner {
            chain,
            issuer,
            serial,
            key,
        })))
    }

    /// The signer's certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        self.0.chain.first().map_or(&[], Vec::as_slice)
    }

    /// The `micalg` of `multipart/signed` (RFC 8551 §3.5.3.2).
    pub fn micalg(&self) -> &'static str {
        match self.0.key.hash() {
            Hash::Sha256 => "sha-256",
            Hash::Sha384 => "sha-384",
            Hash::Sha512 => "sha-512",
        }
    }

    /// An empty digest, of the kind that this identity signs.
    pub fn digest(&self) -> ContentDigest {
        let hash = self.0.key.hash();
        ContentDigest {
            hash,
            context: Context::new(hash.algorithm()),
        }
    }
}

impl SigningKey {
    fn new(public: PublicKey<'_>, pkcs8: &[u8]) -> Result<Self, CmsError> {
        let other = |_| CmsError::OtherKey;
        let (key, same) = match public {
            PublicKey::Rsa { pkcs1, .. } => {
                let key = RsaKeyPair::from_pkcs8(pkcs8).map_err(other)?;
                let same = key.public_key().as_ref() == pkcs1;
                (Self::Rsa(key), same)
            }
            PublicKey::P256(point) => {
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8);
                let key = key.map_err(other)?;
                let same = key.public_key().as_ref() == point;
                (Self::P256(key), same)
            }
            PublicKey::P384(point) => {
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8);
                let key = key.map_err(other)?;
                let same = key.public_key().as_ref() == point;
                (Self::P384(key), same)
            }
            PublicKey::Ed25519(public) => {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(other)?;
                let same = key.public_key().as_ref() == public;
                (Self::Ed25519(key), same)
            }
            PublicKey::X25519(_) => return Err(CmsError::KeyKind),
        };
        same.then_some(key).ok_or(CmsError::OtherKey)
    }

    const fn hash(&self) -> Hash {
        match self {
            Self::Rsa(_) | Self::P256(_) => Hash::Sha256,
            Self::P384(_) => Hash::Sha384,
            Self::Ed25519(_) => Hash::Sha512,
        }
    }

    /// The signature's AlgorithmIdentifier. `rsaEncryption` is what every program reads (RFC 3370
    /// §3.2); the digest stands beside it.
    fn algorithm(&self) -> Vec<u8> {
        match self {
            Self::Rsa(_) => der::algorithm(oid::RSA_ENCRYPTION, &[tag::NULL, 0]),
            Self::P256(_) => der::algorithm(oid::ECDSA_WITH_SHA256, &[]),
            Self::P384(_) => der::algorithm(oid::ECDSA_WITH_SHA384, &[]),
            Self::Ed25519(_) => der::algorithm(oid::ED25519, &[]),
        }
    }

    fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, CmsError> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, octets, &mut signature)
                    .map(|()| signature)
            }
            Self::P256(key) | Self::P384(key) => {
                let signature = key.sign(&random, octets);
                signature.map(|signature| signature.as_ref().to_vec())
            }
            Self::Ed25519(key) => Ok(key.sign(octets).as_ref().to_vec()),
        }
        .map_err(|_| CmsError::Library)
    }
}

/// The digest of content that is being signed.
#[derive(Clone)]
pub struct ContentDigest {
    hash: Hash,
    context: Context,
}

impl ContentDigest {
    /// Takes the next octets, as they are sent: lines end with CRLF (RFC 8551 §3.1.1).
    pub fn update(&mut self, octets: &[u8]) {
        self.context.update(octets);
    }
}

/// The DER of a detached signature over what was digested. The digest must be of this identity's
/// kind.
pub fn sign_detached(
    identity: &Identity,
    digest: ContentDigest,
    now: Timestamp,
) -> Result<Vec<u8>, CmsError> {
    let Inner {
        chain,
        issuer,
        serial,
        key,
    } = &*identity.0;
    if digest.hash != key.hash() {
        return Err(CmsError::KeyKind);
    }
    let digest_algorithm = der::algorithm(digest.hash.oid(), &[]);
    let digest = digest.context.finish();
    let certificate = identity.certificate();
    let serial = der::element(tag::INTEGER, &[serial]);
    let attributes = der::set_of(vec![
        attribute(oid::CONTENT_TYPE, &der::oid(oid::DATA)),
        attribute(oid::MESSAGE_DIGEST, &der::octet_string(digest.as_ref())),
        attribute(oid::SIGNING_TIME, &signing_time(now)?),
        attribute(
            oid::SIGNING_CERTIFICATE_V2,
            &signing_certificate(certificate, issuer, &serial),
        ),
        attribute(oid::SMIME_CAPABILITIES, &capabilities()),
    ]);
    let signature = key.sign(&attributes)?;
    let name = der::sequence(&[issuer, &serial]);
    let signer = der::sequence(&[
        &der::small(1),
        &name,
        &digest_algorithm,
        &retagged(&attributes, tag::context_constructed(0)),
        &key.algorithm(),
        &der::octet_string(&signature),
    ]);
    let certificates = der::set_of(chain.clone());
    let signed = der::sequence(&[
        &der::small(1),
        &der::set_of(vec![digest_algorithm]),
        &der::sequence(&[&der::oid(oid::DATA)]),
        &retagged(&certificates, tag::context_constructed(0)),
        &der::set_of(vec![signer]),
    ]);
    Ok(der::sequence(&[
        &der::oid(oid::SIGNED_DATA),
        &der::element(tag::context_constructed(0), &[&signed]),
    ]))
}

/// An attribute of one value (RFC 5652 §5.3).
fn attribute(name: &[u8], value: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::oid(name), &der::set_of(vec![value.to_vec()])])
}

/// The same element under another tag: IMPLICIT.
fn retagged(element: &[u8], tag: u8) -> Vec<u8> {
    let mut element = element.to_vec();
    if let Some(first) = element.first_mut() {
        *first = tag;
    }
    element
}

fn signing_time(now: Timestamp) -> Result<Vec<u8>, CmsError> {
    let seconds = now.as_secs();
    let (tag, format) = match seconds {
        0..YEAR_2050 => (tag::UTC_TIME, UTC_TIME),
        _ => (tag::GENERALIZED_TIME, GENERALIZED_TIME),
    };
    let text = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(format).ok())
        .ok_or(CmsError::Malformed)?;
    Ok(der::element(tag, &[text.as_bytes()]))
}

/// SigningCertificateV2 with the one certificate and the default digest, SHA-256 (RFC 5035 §3).
fn signing_certificate(certificate: &[u8], issuer: &[u8], serial: &[u8]) -> Vec<u8> {
    let digest = digest(&SHA256, certificate);
    let directory_name = der::element(tag::context_constructed(4), &[issuer]);
    let issuer_serial = der::sequence(&[&der::sequence(&[&directory_name]), serial]);
    let id = der::sequence(&[&der::octet_string(digest.as_ref()), &issuer_serial]);
    der::sequence(&[&der::sequence(&[&id])])
}

/// What every program of these years reads, best first. It says nothing of the signer's own
/// program, which is not known here; so AES-GCM is not promised.
fn capabilities() -> Vec<u8> {
    der::sequence(&[
        &der::algorithm(oid::AES256_CBC, &[]),
        &der::algorithm(oid::AES128_CBC, &[]),
    ])
}

impl fmt::Debug for Identity {
    /// Shows no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.0.chain.len())
            .field("micalg", &self.micalg())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ContentDigest {
    /// Shows no state: it depends on the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentDigest")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
