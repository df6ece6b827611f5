//! Public keys of passkeys: COSE keys (RFC 9052 §7, RFC 9053 §7, RFC 8230 §4), of three kinds.

use ring::signature::{
    self, ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};

use super::WebauthnError;
use super::cbor::Reader;

/// Octets of an RSA modulus: 2048 to 4096 bits.
const MODULUS_OCTETS: std::ops::RangeInclusive<usize> = 256..=512;
/// Octets of an RSA exponent.
const MAX_EXPONENT_OCTETS: usize = 4;
/// Parameters of a key.
const MAX_PARAMETERS: usize = 16;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicKey {
    /// ES256: a point on P-256.
    Es256 {
        /// Its first coordinate.
        x: [u8; 32],
        /// Its second one.
        y: [u8; 32],
    },
    /// EdDSA with Ed25519.
    EdDsa([u8; 32]),
    /// RS256.
    Rs256 {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

/// The parameters that matter; -1 to -3 mean different things in different kinds.
#[derive(Default)]
struct Parameters<'a> {
    kind: Option<i64>,
    algorithm: Option<i64>,
    curve: Option<i64>,
    first: Option<&'a [u8]>,
    second: Option<&'a [u8]>,
}

impl PublicKey {
    /// Reads a COSE key.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WebauthnError> {
        const WRONG: WebauthnError = WebauthnError::Form("the credential's key");
        let pairs = reader.map().filter(|pairs| *pairs <= MAX_PARAMETERS);
        let mut found = Parameters::default();
        let mut seen = Vec::new();
        for _ in 0..pairs.ok_or(WRONG)? {
            let label = reader.integer().ok_or(WRONG)?;
            if seen.contains(&label) {
                return Err(WRONG);
            }
            seen.push(label);
            match (label, found.kind) {
                (1, _) => found.kind = reader.integer(),
                (3, _) => found.algorithm = reader.integer(),
                (-1, Some(3)) => found.first = reader.bytes(),
                (-1, _) => found.curve = reader.integer(),
                (-2, Some(3)) => found.second = reader.bytes(),
                (-2, _) => found.first = reader.bytes(),
                (-3, _) => found.second = reader.bytes(),
                _ => reader.skip().ok_or(WRONG)?,
            }
        }
        let thirty_two = |octets: Option<&[u8]>| <[u8; 32]>::try_from(octets?).ok();
        match (found.kind, found.algorithm, found.curve) {
            (Some(2), Some(-7), Some(1)) => {
                let (x, y) = (thirty_two(found.first), thirty_two(found.second));
                x.zip(y).map(|(x, y)| Self::Es256 { x, y }).ok_or(WRONG)
            }
            (Some(1), Some(-8), Some(6)) => thirty_two(found.first).map(Self::EdDsa).ok_or(WRONG),
            (Some(3), Some(-257), None) => {
                let n = found.first.filter(|n| MODULUS_OCTETS.contains(&n.len()));
                let e = found
                    .second
                    .filter(|e| !e.is_empty() && e.len() <= MAX_EXPONENT_OCTETS);
                let (n, e) = n.zip(e).ok_or(WRONG)?;
                let (n, e) = (n.to_vec(), e.to_vec());
                Ok(Self::Rs256 { n, e })
            }
            (Some(_), Some(_), _) => Err(WebauthnError::Algorithm),
            _ => Err(WRONG),
        }
    }

    /// Verifies a signature.
    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), WebauthnError> {
        let verified = match self {
            Self::Es256 { x, y } => {
                let point = [&[4][..], x, y].concat();
                verify(&ECDSA_P256_SHA256_ASN1, &point, signed, signature)
            }
            Self::EdDsa(key) => verify(&ED25519, key, signed, signature),
            Self::Rs256 { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
        };
        verified.map_err(|_| WebauthnError::Signature)
    }
}

fn verify(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    signed: &[u8],
    signature: &[u8],
) -> Result<(), ring::error::Unspecified> {
    UnparsedPublicKey::new(algorithm, key).verify(signed, signature)
}
