//! The fields of a certificate (RFC 5280 §4.1) that CMS needs, as they stand in it.
//!
//! Names and serial numbers are compared and copied octet by octet, never decoded and encoded
//! again: what names a certificate in a message is what stands in the certificate. Whether it may
//! be used is not decided here.

use super::der::{Algorithm, DerError, Element, Reader, tag};
use super::{CmsError, MAX_CERTIFICATE_OCTETS, oid};

/// Most octets of a serial number: 20 (RFC 5280 §4.1.2.2), and the one that makes it positive.
const MAX_SERIAL: usize = 21;
/// Most extensions of a certificate.
const MAX_EXTENSIONS: usize = 64;
/// Bits of an RSA modulus.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Octets of an RSA public exponent: from 65537 on, below 2^33.
const MIN_RSA_EXPONENT: u64 = 65537;
const MAX_RSA_EXPONENT: u64 = (1 << 33) - 1;

/// A certificate, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// The issuer's Name, tag and all.
    pub issuer: &'a [u8],
    /// The serial number's content.
    pub serial: &'a [u8],
    /// The SubjectPublicKeyInfo, tag and all.
    pub spki: &'a [u8],
    extensions: Reader<'a>,
}

impl<'a> View<'a> {
    /// Takes a certificate apart, to its last octet.
    pub fn of(der: &'a [u8]) -> Result<Self, CmsError> {
        if der.len() > MAX_CERTIFICATE_OCTETS {
            return Err(CmsError::Malformed);
        }
        let mut certificate = Reader::of_sequence(der)?;
        let mut tbs = certificate.nested(tag::SEQUENCE)?;
        certificate.algorithm()?;
        certificate.bit_string()?;
        certificate.finish()?;

        if let Some(version) = tbs.optional(tag::context_constructed(0))? {
            let mut version = Reader::new(version.value);
            version.small()?;
            version.finish()?;
        }
        let serial = tbs.integer()?;
        if serial.len() > MAX_SERIAL {
            return Err(CmsError::Malformed);
        }
        tbs.algorithm()?;
        let issuer = tbs.expect(tag::SEQUENCE)?.whole;
        tbs.expect(tag::SEQUENCE)?;
        tbs.expect(tag::SEQUENCE)?;
        let spki = tbs.expect(tag::SEQUENCE)?.whole;
        tbs.optional(tag::context(1))?;
        tbs.optional(tag::context(2))?;
        let extensions = match tbs.optional(tag::context_constructed(3))? {
            None => Reader::new(&[]),
            Some(Element { value, .. }) => Reader::of_sequence(value)?,
        };
        tbs.finish()?;
        let view = Self {
            issuer,
            serial,
            spki,
            extensions,
        };
        // Reads every extension, so that a malformed one is found now.
        view.extension(&[])?;
        Ok(view)
    }

    /// What stands in the extension of this name. Two of one name are an error.
    pub fn extension(&self, name: &[u8]) -> Result<Option<&'a [u8]>, CmsError> {
        let mut extensions = self.extensions;
        let mut found = None;
        for _ in 0..MAX_EXTENSIONS {
            if extensions.is_empty() {
                return Ok(found);
            }
            let mut extension = extensions.nested(tag::SEQUENCE)?;
            let this = extension.oid()?;
            extension.optional(tag::BOOLEAN)?;
            let value = extension.expect(tag::OCTET_STRING)?.value;
            extension.finish()?;
            if this == name && found.replace(value).is_some() {
                return Err(CmsError::Malformed);
            }
        }
        extensions.finish()?;
        Ok(found)
    }

    /// The subject key identifier, if it has one.
    pub fn key_identifier(&self) -> Result<Option<&'a [u8]>, CmsError> {
        let Some(value) = self.extension(oid::SUBJECT_KEY_IDENTIFIER)? else {
            return Ok(None);
        };
        let mut value = Reader::new(value);
        let identifier = value.expect(tag::OCTET_STRING)?.value;
        value.finish()?;
        Ok(Some(identifier))
    }

    /// The first octet of the key usage, if it has one: bit 0 (digitalSignature) is the highest.
    pub fn key_usage(&self) -> Result<Option<u8>, CmsError> {
        let Some(value) = self.extension(oid::KEY_USAGE)? else {
            return Ok(None);
        };
        let mut value = Reader::new(value);
        let bits = value.expect(tag::BIT_STRING)?.value;
        value.finish()?;
        match bits {
            [0..=7, first, ..] => Ok(Some(*first)),
            _ => Err(CmsError::Malformed),
        }
    }

    /// Its S/MIME capabilities (RFC 4262): name and parameters of each.
    pub fn capabilities(&self) -> Result<Vec<Algorithm<'a>>, CmsError> {
        let Some(value) = self.extension(oid::SMIME_CAPABILITIES)? else {
            return Ok(Vec::new());
        };
        let mut capabilities = Reader::of_sequence(value)?;
        let mut found = Vec::new();
        while !capabilities.is_empty() {
            if found.len() == MAX_EXTENSIONS {
                return Err(CmsError::Malformed);
            }
            found.push(capabilities.algorithm()?);
        }
        Ok(found)
    }

    /// Its public key.
    pub fn public_key(&self) -> Result<PublicKey<'a>, CmsError> {
        PublicKey::of_spki(self.spki)
    }
}

/// A public key of a kind that is used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublicKey<'a> {
    /// Its RSAPublicKey (RFC 8017), and the octets of its modulus.
    Rsa {
        /// The DER of modulus and exponent.
        pkcs1: &'a [u8],
        /// Octets of the modulus.
        octets: usize,
    },
    /// An uncompressed point; that it lies on the curve is not looked at here.
    P256(&'a [u8]),
    /// The same, of P-384.
    P384(&'a [u8]),
    /// 32 octets.
    X25519(&'a [u8]),
    /// 32 octets.
    Ed25519(&'a [u8]),
}

impl<'a> PublicKey<'a> {
    /// Reads a SubjectPublicKeyInfo. A key that is restricted to PSS, explicit parameters of a
    /// curve and compressed points are refused.
    fn of_spki(spki: &'a [u8]) -> Result<Self, CmsError> {
        let mut info = Reader::of_sequence(spki)?;
        let (name, parameters) = info.algorithm()?;
        let key = info.bit_string()?;
        info.finish()?;
        let point = |octets: usize| match key {
            [4, ..] if key.len() == 1 + 2 * octets => Ok(key),
            _ => Err(CmsError::WeakKey),
        };
        let plain = match (key.len(), parameters) {
            (32, []) => Ok(key),
            (_, []) => Err(CmsError::WeakKey),
            _ => Err(CmsError::KeyKind),
        };
        match name {
            oid::RSA_ENCRYPTION if parameters == [tag::NULL, 0] => Self::rsa(key),
            oid::EC_PUBLIC_KEY => match Reader::new(parameters).oid() {
                Ok(oid::P256) => point(32).map(Self::P256),
                Ok(oid::P384) => point(48).map(Self::P384),
                _ => Err(CmsError::KeyKind),
            },
            oid::X25519 => plain.map(Self::X25519),
            oid::ED25519 => plain.map(Self::Ed25519),
            _ => Err(CmsError::KeyKind),
        }
    }

    fn rsa(pkcs1: &'a [u8]) -> Result<Self, CmsError> {
        let mut key = Reader::of_sequence(pkcs1)?;
        let modulus = positive(key.integer()?)?;
        let exponent = positive(key.integer()?)?;
        key.finish()?;
        let leading = modulus.first().map_or(0, |first| first.leading_zeros());
        let bits = (modulus.len() * 8).saturating_sub(leading as usize);
        let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        let value = (exponent.len() <= 8).then(|| {
            let shifted = |sum: u64, octet: &u8| sum << 8 | u64::from(*octet);
            exponent.iter().fold(0, shifted)
        });
        let exponents = MIN_RSA_EXPONENT..=MAX_RSA_EXPONENT;
        if RSA_BITS.contains(&bits)
            && odd(modulus)
            && odd(exponent)
            && value.is_some_and(|value| exponents.contains(&value))
        {
            let octets = modulus.len();
            Ok(Self::Rsa { pkcs1, octets })
        } else {
            Err(CmsError::WeakKey)
        }
    }
}

/// The octets of a number above 0, without the one that holds only its sign.
fn positive(integer: &[u8]) -> Result<&[u8], DerError> {
    match integer {
        [0, rest @ ..] if !rest.is_empty() => Ok(rest),
        [0x01..=0x7f, ..] => Ok(integer),
        _ => Err(DerError),
    }
}
