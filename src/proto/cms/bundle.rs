//! Certificates in a PKCS #7 bundle: `SignedData` with certificates and perhaps nothing else
//! (RFC 5652 §5, RFC 8551 §3.8), as `.p7b` and `.p7c` files hold them.

use super::der::{Reader, tag};
use super::{CmsError, MAX_BUNDLE, MAX_BUNDLE_OCTETS, MAX_CERTIFICATE_OCTETS, oid};

/// The DER of every certificate in it, in its order. Signatures are not looked at: a bundle is a
/// box, and each certificate is judged by itself. Lengths must be definite.
pub fn certificates_of(der: &[u8]) -> Result<Vec<Vec<u8>>, CmsError> {
    if der.len() > MAX_BUNDLE_OCTETS {
        return Err(CmsError::TooLarge);
    }
    let mut info = Reader::of_sequence(der)?;
    if info.oid()? != oid::SIGNED_DATA {
        return Err(CmsError::ContentType);
    }
    let mut tagged = info.nested(tag::context_constructed(0))?;
    info.finish()?;
    let mut signed = tagged.nested(tag::SEQUENCE)?;
    tagged.finish()?;
    signed.small()?;
    signed.expect(tag::SET)?;
    signed.expect(tag::SEQUENCE)?;
    let certificates = signed.optional(tag::context_constructed(0))?;
    signed.optional(tag::context_constructed(1))?;
    signed.expect(tag::SET)?;
    signed.finish()?;

    let mut found = Vec::new();
    let mut certificates = Reader::new(certificates.map_or(&[], |element| element.value));
    while !certificates.is_empty() {
        let certificate = certificates.next()?;
        // Other choices of the set are old kinds of certificates, which nothing here reads.
        if certificate.tag != tag::SEQUENCE {
            continue;
        }
        if found.len() == MAX_BUNDLE || certificate.whole.len() > MAX_CERTIFICATE_OCTETS {
            return Err(CmsError::TooLarge);
        }
        found.push(certificate.whole.to_vec());
    }
    Ok(found)
}
