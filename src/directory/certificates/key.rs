//! Whether mail can be sealed to a key, and well enough.
//!
//! RFC 3279 §2.3.1 (RSA), RFC 5480 (elliptic curves), RFC 8410 (X25519). RSA keys have 2048 to
//! 8192 bits and an odd exponent from 65537 up to 33 bits; curves are P-256, P-384 and X25519, by
//! name, with points that lie on them. Keys that are for one kind of RSA only (OAEP, PSS) are not
//! taken: senders elsewhere could not use them either. The last word has `proto::cms`, which is to
//! seal to them.

use x509_cert::SubjectPublicKeyInfo;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::{self, Reader, SliceReader, Tag, Tagged};

use crate::mail::CertificateProblem;
use crate::proto::cms::{CmsError, RecipientKey};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

const LEAST_RSA_BITS: usize = 2048;
const MOST_RSA_BITS: usize = 8192;
/// Odd, with so many bits: from 65537 on.
const LEAST_EXPONENT_BITS: usize = 17;
const MOST_EXPONENT_BITS: usize = 33;

/// A key that mail can be sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with so many bits.
    Rsa(usize),
    /// The curve P-256.
    P256,
    /// The curve P-384.
    P384,
    /// X25519.
    X25519,
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::P256 => f.write_str("P-256"),
            Self::P384 => f.write_str("P-384"),
            Self::X25519 => f.write_str("X25519"),
        }
    }
}

/// Which key the certificate `der` has; or why it is not used: its kind, its strength, or that it
/// cannot be read.
pub(super) fn examine(
    spki: &SubjectPublicKeyInfo,
    der: &[u8],
) -> Result<(KeyKind, RecipientKey), CertificateProblem> {
    let kind = kind(spki)?;
    let key = RecipientKey::of_certificate(der).map_err(|error| match error {
        CmsError::KeyKind => CertificateProblem::KeyKind,
        CmsError::Malformed => CertificateProblem::Malformed,
        // A point that is not on its curve, or of small order; else what should not happen.
        _ => CertificateProblem::WeakKey,
    })?;
    Ok((kind, key))
}

fn kind(spki: &SubjectPublicKeyInfo) -> Result<KeyKind, CertificateProblem> {
    let parameters = spki.algorithm.parameters.as_ref();
    let key = spki.subject_public_key.as_bytes();
    let key = key.ok_or(CertificateProblem::Malformed)?;
    match spki.algorithm.oid {
        RSA => match parameters {
            Some(null) if AnyRef::from(null).is_null() => rsa(key),
            Some(_) | None => Err(CertificateProblem::KeyKind),
        },
        EC => {
            let curve = parameters.filter(|it| it.tag() == Tag::ObjectIdentifier);
            let curve = curve.and_then(|it| it.decode_as::<ObjectIdentifier>().ok());
            match curve {
                Some(P256) => point(key, 65, KeyKind::P256),
                Some(P384) => point(key, 97, KeyKind::P384),
                Some(_) | None => Err(CertificateProblem::KeyKind),
            }
        }
        X25519 if parameters.is_none() => match key.len() {
            32 => Ok(KeyKind::X25519),
            _ => Err(CertificateProblem::Malformed),
        },
        _ => Err(CertificateProblem::KeyKind),
    }
}

fn rsa(key: &[u8]) -> Result<KeyKind, CertificateProblem> {
    let (modulus, exponent) = rsa_numbers(key).map_err(|_| CertificateProblem::Malformed)?;
    let bits = bits(modulus.as_bytes());
    if bits > MOST_RSA_BITS || self::bits(exponent.as_bytes()) > MOST_EXPONENT_BITS {
        return Err(CertificateProblem::KeyKind);
    }
    let odd = |number: &UintRef<'_>| number.as_bytes().last().is_some_and(|it| it & 1 == 1);
    let small = self::bits(exponent.as_bytes()) < LEAST_EXPONENT_BITS;
    if bits < LEAST_RSA_BITS || !odd(&modulus) || !odd(&exponent) || small {
        return Err(CertificateProblem::WeakKey);
    }
    Ok(KeyKind::Rsa(bits))
}

/// Whether this key, an authority's, is RSA and too short to sign anything.
pub(super) fn is_short_rsa(spki: &SubjectPublicKeyInfo) -> bool {
    let key = spki.subject_public_key.as_bytes().unwrap_or_default();
    let numbers = rsa_numbers(key);
    spki.algorithm.oid == RSA
        && numbers.is_ok_and(|(modulus, _)| bits(modulus.as_bytes()) < LEAST_RSA_BITS)
}

/// RSAPublicKey (RFC 8017 §A.1.1).
fn rsa_numbers(key: &[u8]) -> der::Result<(UintRef<'_>, UintRef<'_>)> {
    let mut reader = SliceReader::new(key)?;
    let numbers = reader.sequence(|reader| {
        let modulus: UintRef<'_> = reader.decode()?;
        let exponent: UintRef<'_> = reader.decode()?;
        Ok::<_, der::Error>((modulus, exponent))
    })?;
    reader.finish()?;
    Ok(numbers)
}

/// Bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|it| **it == 0).count();
    let first = number.get(zeros).map_or(8, |it| it.leading_zeros());
    let octets = number.len() - zeros;
    (octets * 8).saturating_sub(if octets == 0 { 0 } else { first as usize })
}

/// An uncompressed point. A compressed one is of another kind: what other mail programs could use
/// is not known.
fn point(key: &[u8], octets: usize, kind: KeyKind) -> Result<KeyKind, CertificateProblem> {
    match key {
        [2 | 3, ..] => Err(CertificateProblem::KeyKind),
        [4, ..] if key.len() == octets => Ok(kind),
        _ => Err(CertificateProblem::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::bits;

    #[test]
    fn bits_are_counted_without_leading_zeros() {
        for (number, expected) in [
            (&[][..], 0),
            (&[0, 0], 0),
            (&[1], 1),
            (&[0, 0x80], 8),
            (&[3, 0xff], 10),
            (&[1, 0, 1], 17),
        ] {
            assert_eq!(bits(number), expected, "{number:?}");
        }
    }
}
