//! Whether a detached signature holds for its content: for the demo and the tests.
//!
//! Says who signed, by the certificate that comes with the signature; whether that certificate is
//! anybody's is not decided here.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use ring::digest::{SHA256, digest};

use super::agreement::Hash;
use super::certificate::{PublicKey, View};
use super::der::{self, Reader, tag};
use super::inspect::issuer_serial;
use super::{CmsError, certificates_of, oid};

/// Most signed attributes.
const MAX_ATTRIBUTES: usize = 32;

/// Checks a detached `SignedData` (DER) with one signer, as [`super::sign_detached`] writes it,
/// against `content`: the digest, the signature over the attributes, and that the attributes name
/// the very certificate. Gives that certificate.
pub fn verify_detached(der: &[u8], content: &[u8]) -> Result<Vec<u8>, CmsError> {
    let certificates = certificates_of(der)?;
    let mut info = Reader::of_sequence(der)?;
    info.oid()?;
    let mut tagged = info.nested(tag::context_constructed(0))?;
    let mut signed = tagged.nested(tag::SEQUENCE)?;
    signed.small()?;
    signed.expect(tag::SET)?;
    let mut encapsulated = signed.nested(tag::SEQUENCE)?;
    if encapsulated.oid()? != oid::DATA || !encapsulated.is_empty() {
        return Err(CmsError::ContentType);
    }
    signed.optional(tag::context_constructed(0))?;
    signed.optional(tag::context_constructed(1))?;
    let mut signers = signed.nested(tag::SET)?;
    let mut signer = signers.nested(tag::SEQUENCE)?;
    signers.finish()?;

    signer.small()?;
    let id = issuer_serial(signer.nested(tag::SEQUENCE)?)?;
    let (digest_name, _) = signer.algorithm()?;
    let attributes = signer.expect(tag::context_constructed(0))?.value;
    let (signature_name, _) = signer.algorithm()?;
    let signature = signer.expect(tag::OCTET_STRING)?.value;
    signer.finish()?;

    let named = |certificate: &&Vec<u8>| View::of(certificate).is_ok_and(|view| id.names(&view));
    let certificate = certificates.iter().find(named);
    let certificate = certificate.ok_or(CmsError::BadSignature)?;
    let hash = Hash::of(digest_name).ok_or(CmsError::KeyKind)?;
    let signed_digest = attribute(attributes, oid::MESSAGE_DIGEST)?;
    let whole = digest(hash.algorithm(), content);
    if signed_digest != der::octet_string(whole.as_ref())
        || attribute(attributes, oid::CONTENT_TYPE)? != der::oid(oid::DATA)
        || !names_certificate(
            attribute(attributes, oid::SIGNING_CERTIFICATE_V2)?,
            certificate,
        )?
    {
        return Err(CmsError::BadSignature);
    }

    let view = View::of(certificate)?;
    let (algorithm, key): (&dyn VerificationAlgorithm, _) =
        match (view.public_key()?, hash, signature_name) {
            (
                PublicKey::Rsa { pkcs1, .. },
                Hash::Sha256,
                oid::RSA_ENCRYPTION | oid::RSA_WITH_SHA256,
            ) => (&RSA_PKCS1_2048_8192_SHA256, pkcs1),
            (PublicKey::P256(point), Hash::Sha256, oid::ECDSA_WITH_SHA256) => {
                (&ECDSA_P256_SHA256_ASN1, point)
            }
            (PublicKey::P384(point), Hash::Sha384, oid::ECDSA_WITH_SHA384) => {
                (&ECDSA_P384_SHA384_ASN1, point)
            }
            (PublicKey::Ed25519(key), Hash::Sha512, oid::ED25519) => (&ED25519, key),
            _ => return Err(CmsError::KeyKind),
        };
    // The attributes are signed as the SET that they are, not under the tag they are sent with.
    UnparsedPublicKey::new(algorithm, key)
        .verify(&der::element(tag::SET, &[attributes]), signature)
        .map_err(|_| CmsError::BadSignature)?;
    Ok(certificate.clone())
}

/// The one value of a signed attribute that must be there once.
fn attribute<'a>(attributes: &'a [u8], name: &[u8]) -> Result<&'a [u8], CmsError> {
    let mut reader = Reader::new(attributes);
    let mut found = None;
    for _ in 0..MAX_ATTRIBUTES {
        if reader.is_empty() {
            break;
        }
        let mut attribute = reader.nested(tag::SEQUENCE)?;
        let this = attribute.oid()?;
        let mut values = attribute.nested(tag::SET)?;
        attribute.finish()?;
        if this == name {
            let value = values.next()?.whole;
            values.finish()?;
            if found.replace(value).is_some() {
                return Err(CmsError::Malformed);
            }
        }
    }
    reader.finish()?;
    found.ok_or(CmsError::BadSignature)
}

/// Whether SigningCertificateV2 with SHA-256 is of this certificate.
fn names_certificate(attribute: &[u8], certificate: &[u8]) -> Result<bool, CmsError> {
    let mut attribute = Reader::of_sequence(attribute)?;
    let mut ids = attribute.nested(tag::SEQUENCE)?;
    let mut id = ids.nested(tag::SEQUENCE)?;
    let named = id.expect(tag::OCTET_STRING)?.value;
    Ok(named == digest(&SHA256, certificate).as_ref())
}
