//! Signature algorithms that are known to be weak.
//!
//! A list of what is weak, not of what is strong: a signature that nothing here can verify never
//! makes a chain (`super::chain` has its own list), and what the operator imports may be signed
//! with an algorithm of tomorrow.

use x509_cert::AlgorithmIdentifier;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{self, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

/// RSA, ECDSA and DSA over MD2, MD4, MD5 or SHA-1.
const WEAK: [ObjectIdentifier; 9] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.2"), // md2WithRSAEncryption
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.3"), // md4WithRSAEncryption
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"), // md5WithRSAEncryption
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"), // sha1WithRSAEncryption
    ObjectIdentifier::new_unwrap("1.3.14.3.2.29"),        // sha1WithRSASignature
    ObjectIdentifier::new_unwrap("1.3.14.3.2.3"),         // md5WithRSA
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"),    // ecdsa-with-SHA1
    ObjectIdentifier::new_unwrap("1.2.840.10040.4.3"),    // dsa-with-sha1
    ObjectIdentifier::new_unwrap("1.3.14.3.2.27"),        // dsaWithSHA1
];
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
/// SHA-256, SHA-384, SHA-512.
const STRONG_DIGESTS: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
];

/// Whether signatures of this kind prove nothing any more.
pub(super) fn is_weak(algorithm: &AlgorithmIdentifier) -> bool {
    match algorithm.oid {
        // RFC 4055 §3.1: without parameters, or without a digest in them, it is SHA-1.
        RSA_PSS => {
            let parameters = algorithm.parameters.as_ref().map(AnyRef::from);
            let digest = parameters.map(pss_digest);
            !matches!(digest, Some(Ok(Some(it))) if STRONG_DIGESTS.contains(&it))
        }
        oid => WEAK.contains(&oid),
    }
}

/// hashAlgorithm of RSASSA-PSS-params.
fn pss_digest(parameters: AnyRef<'_>) -> der::Result<Option<ObjectIdentifier>> {
    const HASH_ALGORITHM: Tag = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(0),
    };
    let mut reader = SliceReader::new(parameters.value())?;
    if reader.is_finished() {
        return Ok(None);
    }
    let first = AnyRef::decode(&mut reader)?;
    if first.tag() != HASH_ALGORITHM {
        return Ok(None);
    }
    let algorithm = AnyRef::from_der(first.value())?;
    let mut reader = SliceReader::new(algorithm.value())?;
    ObjectIdentifier::decode(&mut reader).map(Some)
}
