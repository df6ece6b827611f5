//! What revocation needs of a certificate (RFC 5280 §4): who, by whom, and where to ask.
//!
//! Never judges a certificate for anything else: the caller has checked the chain.

use super::asn1::{Der, Element, Malformed, boolean, extensions, moment, tag};
use super::signature::Signed;
use crate::mail::Timestamp;
use crate::world::url::Url;

/// Most places that are read of a certificate, of each kind.
const MAX_PLACES: usize = 4;

const OID_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const OID_BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const OID_CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
const OID_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// id-pe-authorityInfoAccess.
const OID_AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
/// id-ad-ocsp.
const OID_AD_OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1];
/// id-kp-OCSPSigning.
const OID_OCSP_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];

/// Bits of KeyUsage in its first octet.
const DIGITAL_SIGNATURE: u8 = 0x80;
const CRL_SIGN: u8 = 0x02;

/// A certificate, borrowed.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    pub(super) signed: Signed<'a>,
    /// Content of the serial number.
    pub(super) serial: &'a [u8],
    /// Issuer, subject: whole names.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// SubjectPublicKeyInfo, whole.
    pub(super) key: &'a [u8],
    pub(super) is_ca: bool,
    /// The first octet of KeyUsage, if there is one.
    key_usage: Option<u8>,
    /// May sign OCSP answers of its issuer (RFC 6960 §4.2.2.2).
    pub(super) signs_ocsp: bool,
    /// Whether it names an OCSP responder at all, and the ones that we can ask.
    pub(super) names_responder: bool,
    pub(super) responders: Vec<Url>,
    /// Whether it names a list at all, and the full ones that we can fetch.
    pub(super) names_list: bool,
    pub(super) lists: Vec<Url>,
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let signed = Signed::parse(der)?;
        let mut fields = signed.fields()?;
        let version = fields.optional(tag::explicit(0))?;
        let serial = fields.expect(tag::INTEGER, "a certificate has no serial number")?;
        fields.expect(tag::SEQUENCE, "a certificate has no algorithm")?;
        let issuer = fields.expect(tag::SEQUENCE, "a certificate has no issuer")?;
        let mut validity = fields.enter(tag::SEQUENCE, "a certificate has no validity")?;
        let not_before = moment(&validity.any()?)?;
        let not_after = moment(&validity.any()?)?;
        let subject = fields.expect(tag::SEQUENCE, "a certificate has no subject")?;
        let key = fields.expect(tag::SEQUENCE, "a certificate has no key")?;
        let mut certificate = Self {
            signed,
            serial: serial.content,
            issuer: issuer.whole,
            subject: subject.whole,
            not_before,
            not_after,
            key: key.whole,
            is_ca: false,
            key_usage: None,
            signs_ocsp: false,
            names_responder: false,
            responders: Vec::new(),
            names_list: false,
            lists: Vec::new(),
        };
        // issuerUniqueID, subjectUniqueID.
        fields.optional(tag::implicit(1))?;
        fields.optional(tag::implicit(2))?;
        if let Some(all) = fields.optional(tag::explicit(3))? {
            let all = Der::new(all.content).only("more than extensions")?;
            let all = all.open(tag::SEQUENCE, "extensions are none")?;
            extensions(all, |extension| {
                certificate.read_extension(extension.oid, extension.value)
            })?;
        }
        fields.end("a certificate has more than extensions")?;
        match version {
            _ if certificate.serial.is_empty() => Err(Malformed("a serial number is empty")),
            _ => Ok(certificate),
        }
    }

    fn read_extension(&mut self, oid: &[u8], value: &'a [u8]) -> Result<(), Malformed> {
        let value = Der::new(value);
        let sequence = |value: Der<'a>| {
            let element = value.only("an extension holds more than one value")?;
            element.open(tag::SEQUENCE, "an extension is no sequence")
        };
        match oid {
            OID_KEY_USAGE => {
                let usage = value.only("a key usage is more than one")?;
                self.key_usage = match (usage.tag, usage.content) {
                    (tag::BITS, [_, first, ..]) => Some(*first),
                    (tag::BITS, [_]) => Some(0),
                    _ => return Err(Malformed("a key usage is no bit string")),
                };
            }
            OID_BASIC_CONSTRAINTS => {
                let mut fields = sequence(value)?;
                if let Some(is_ca) = fields.optional(tag::BOOLEAN)? {
                    self.is_ca = boolean(is_ca.content)?;
                }
            }
            OID_EXTENDED_KEY_USAGE => {
                let mut purposes = sequence(value)?;
                while !purposes.is_empty() {
                    let purpose = purposes.expect(tag::OID, "a purpose is none")?;
                    self.signs_ocsp |= purpose.content == OID_OCSP_SIGNING;
                }
            }
            OID_AUTHORITY_INFO_ACCESS => self.read_access(sequence(value)?)?,
            OID_CRL_DISTRIBUTION_POINTS => self.read_points(sequence(value)?)?,
            _ => {}
        }
        Ok(())
    }

    fn read_access(&mut self, mut all: Der<'a>) -> Result<(), Malformed> {
        while !all.is_empty() {
            let mut fields = all.enter(tag::SEQUENCE, "an access description is none")?;
            let method = fields.expect(tag::OID, "an access description has no method")?;
            let place = fields.any()?;
            if method.content == OID_AD_OCSP {
                self.names_responder = true;
                add_place(&mut self.responders, &place);
            }
        }
        Ok(())
    }

    /// A point whose list is another's, or holds some reasons only, is not one that we fetch.
    fn read_points(&mut self, mut all: Der<'a>) -> Result<(), Malformed> {
        self.names_list = true;
        while !all.is_empty() {
            let mut fields = all.enter(tag::SEQUENCE, "a distribution point is none")?;
            let name = fields.optional(tag::explicit(0))?;
            let reasons = fields.optional(tag::implicit(1))?;
            let issuer = fields.optional(tag::explicit(2))?;
            fields.end("a distribution point has something more")?;
            if let (Some(name), None, None) = (name, reasons, issuer) {
                for place in full_name(name)? {
                    add_place(&mut self.lists, &place);
                }
            }
        }
        Ok(())
    }

    /// Whether its key may sign lists (RFC 5280 §4.2.1.3).
    pub(super) fn may_sign_lists(&self) -> bool {
        self.key_usage.is_none_or(|usage| usage & CRL_SIGN != 0)
    }

    /// Whether its key may sign other things.
    pub(super) fn may_sign(&self) -> bool {
        self.key_usage
            .is_none_or(|usage| usage & DIGITAL_SIGNATURE != 0)
    }

    /// The octets of its public key, without the algorithm: what names of keys are made over.
    pub(super) fn key_octets(&self) -> Result<&'a [u8], Malformed> {
        super::signature::key_octets(self.key)
    }
}

/// The names of `DistributionPointName` if it is a `fullName`; none of a name that is relative to
/// an issuer's.
pub(super) fn full_name(name: Element<'_>) -> Result<Vec<Element<'_>>, Malformed> {
    let choice = Der::new(name.content).only("a point's name is more than one")?;
    let mut names = Vec::new();
    if choice.tag == tag::explicit(0) {
        let mut all = Der::new(choice.content);
        while !all.is_empty() && names.len() < MAX_PLACES {
            names.push(all.any()?);
        }
    }
    Ok(names)
}

/// The text of a `uniformResourceIdentifier`.
pub(super) fn uri<'a>(name: &Element<'a>) -> Option<&'a str> {
    match name.tag == tag::implicit(6) {
        true => std::str::from_utf8(name.content).ok(),
        false => None,
    }
}

/// Adds a GeneralName to `places` if we can ask there.
fn add_place(places: &mut Vec<Url>, name: &Element<'_>) {
    use crate::world::url::Scheme;
    let url = uri(name).and_then(|text| Url::parse(text).ok());
    if let Some(url) = url
        && matches!(url.scheme(), Scheme::Http | Scheme::Https)
        && places.len() < MAX_PLACES
        && !places.contains(&url)
    {
        places.push(url);
    }
}
