//! One certificate, read once and strictly; nothing here knows an address or a time.
//!
//! Owns the bounds of what is read. Never repairs: what is not DER of a version 3 certificate
//! (RFC 5280 §4.1) is malformed, and so is what says a thing twice or in two ways. Two liberties,
//! both harmless to what is asked here: a `critical` that is written out as FALSE, and a SET whose
//! members are out of order; many certificates have them, and signatures are checked over the
//! octets as they stand. Serial numbers may be zero or negative (RFC 5280 §4.1.2.2 asks users to
//! bear with those), but not longer than 21 octets: they only go back to their owner, in the
//! RecipientInfo, octet by octet.

use bytes::Bytes;
use ring::digest;
use x509_cert::certificate::{Certificate, Version};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{self, Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::name::Name;
use x509_cert::time::Time;

use super::algorithms;
use super::key::{self, KeyKind};
use super::names::{self, MailNames};
use crate::mail::{CertificateProblem, Fingerprint, Timestamp};

/// Octets of a certificate.
pub const MAX_CERTIFICATE_OCTETS: usize = 16 * 1024;
/// Extensions of a certificate.
const MAX_EXTENSIONS: usize = 64;
/// Octets of a subject's or an issuer's name.
const MAX_NAME_OCTETS: usize = 4096;
/// Octets of one attribute in such a name. X.520 allows 64 characters for most.
const MAX_ATTRIBUTE_OCTETS: usize = 1024;
/// Characters of a name when it is shown.
const MAX_SHOWN_CHARS: usize = 256;

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const EMAIL_PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4");
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// Extensions that may be critical: those that are looked at here, and those that say nothing of
/// who may use the key for what. Policies are of the second kind, for no policy is asked for
/// (RFC 5280 §6.1.1 (c): any-policy). Critical name constraints belong to authorities.
const UNDERSTOOD: [ObjectIdentifier; 9] = [
    SUBJECT_ALT_NAME,
    KEY_USAGE,
    BASIC_CONSTRAINTS,
    EXTENDED_KEY_USAGE,
    ObjectIdentifier::new_unwrap("2.5.29.14"), // subjectKeyIdentifier
    ObjectIdentifier::new_unwrap("2.5.29.31"), // cRLDistributionPoints
    ObjectIdentifier::new_unwrap("2.5.29.32"), // certificatePolicies
    ObjectIdentifier::new_unwrap("2.5.29.35"), // authorityKeyIdentifier
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1"), // authorityInfoAccess
];

/// SHA-256 over a SubjectPublicKeyInfo: two certificates with the same one have the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 32]);

/// What a key may be used for (RFC 5280 §4.2.1.3), as far as sealing asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usages {
    /// Keys may be enciphered with it: RSA.
    pub key_encipherment: bool,
    /// Keys may be agreed on with it: ECDH, X25519.
    pub key_agreement: bool,
    /// Certificates are signed with it.
    pub certificate_signing: bool,
    /// It is bound to one direction of an agreement.
    pub one_way: bool,
}

/// What a certificate says, as far as it matters for sealing mail.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Its DER.
    pub der: Bytes,
    /// Its name.
    pub fingerprint: Fingerprint,
    /// Its key's name.
    pub key_id: KeyId,
    /// Its subject, for people.
    pub subject: String,
    /// Its issuer, for people.
    pub issuer: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// The mail addresses in it.
    pub names: MailNames,
    /// It is an authority's.
    pub authority: bool,
    /// An extension is critical and not understood.
    pub unknown_critical: bool,
    /// Its key; or what is wrong with it.
    pub key: Result<KeyKind, CertificateProblem>,
    /// What its key may be used for; `None`: anything.
    pub usages: Option<Usages>,
    /// It may be used for mail, as far as its extended key usage goes.
    pub for_mail: bool,
    /// It is signed with a weak digest, by somebody else.
    pub weak_signature: bool,
    /// Its owner reads AES-256-GCM, it says (RFC 8551 §2.5.2, RFC 4262).
    pub reads_gcm: bool,
    /// Its owner reads RSAES-OAEP with SHA-256, it says.
    pub reads_oaep: bool,
    /// Subject, as DER: what a chain is followed by.
    pub(super) subject_der: Vec<u8>,
    /// Issuer, as DER.
    pub(super) issuer_der: Vec<u8>,
}

/// It cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl From<der::Error> for Malformed {
    fn from(_: der::Error) -> Self {
        Self
    }
}

impl Parsed {
    /// Reads DER: exactly one certificate, nothing behind it.
    ///
    /// # Errors
    /// [`CertificateProblem::Malformed`]; what else may be wrong is said by [`super::examine`].
    pub fn read(der: &Bytes) -> Result<Self, CertificateProblem> {
        read(der).map_err(|Malformed| CertificateProblem::Malformed)
    }

    /// Whether its subject is its issuer.
    pub fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }
}

/// SHA-256.
pub(super) fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out
        .iter_mut()
        .zip(digest::digest(&digest::SHA256, octets).as_ref())
    {
        *to = *from;
    }
    out
}

/// The name a certificate goes by.
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint::new(sha256(der))
}

/// What the extensions say.
struct Extensions {
    alternative_names: Option<MailNames>,
    usages: Option<Usages>,
    authority: bool,
    for_mail: bool,
    unknown_critical: bool,
}

fn read(der: &Bytes) -> Result<Parsed, Malformed> {
    if der.len() > MAX_CERTIFICATE_OCTETS {
        return Err(Malformed);
    }
    let certificate = Certificate::from_der(der)?;
    let tbs = certificate.tbs_certificate();
    // RFC 5280 §4.1.1.2: what is signed says the same algorithm.
    if tbs.version() != Version::V3 || tbs.signature() != certificate.signature_algorithm() {
        return Err(Malformed);
    }
    let (subject_der, issuer_der) = (bounded(tbs.subject())?, bounded(tbs.issuer())?);
    let not_before = moment(tbs.validity().not_before);
    let not_after = moment(tbs.validity().not_after);
    if not_after < not_before {
        return Err(Malformed);
    }
    let extensions = extensions(&certificate)?;
    let names = match extensions.alternative_names {
        Some(names) => names,
        None => names::of_subject(tbs.subject()),
    };
    let spki = tbs.subject_public_key_info();
    let key = key::examine(spki, der);
    let self_issued = subject_der == issuer_der;
    Ok(Parsed {
        fingerprint: fingerprint(der),
        key_id: KeyId(sha256(&spki.to_der()?)),
        subject: shown(tbs.subject()),
        issuer: shown(tbs.issuer()),
        serial: hex(tbs.serial_number().as_bytes()),
        not_before,
        not_after,
        names,
        authority: extensions.authority,
        unknown_critical: extensions.unknown_critical,
        key: key.as_ref().map(|(kind, _)| *kind).map_err(|it| *it),
        usages: extensions.usages,
        for_mail: extensions.for_mail,
        weak_signature: !self_issued && algorithms::is_weak(certificate.signature_algorithm()),
        reads_gcm: key.as_ref().is_ok_and(|(_, key)| key.reads_gcm()),
        reads_oaep: key.as_ref().is_ok_and(|(_, key)| key.reads_oaep()),
        subject_der,
        issuer_der,
        der: der.clone(),
    })
}

fn extensions(certificate: &Certificate) -> Result<Extensions, Malformed> {
    let mut found = Extensions {
        alternative_names: None,
        usages: None,
        authority: false,
        for_mail: true,
        unknown_critical: false,
    };
    let list = certificate.tbs_certificate().extensions();
    let list = list.map_or(&[][..], Vec::as_slice);
    if list.len() > MAX_EXTENSIONS {
        return Err(Malformed);
    }
    for (at, extension) in list.iter().enumerate() {
        let id = extension.extn_id;
        // RFC 5280 §4.2: no extension twice.
        if list.iter().take(at).any(|earlier| earlier.extn_id == id) {
            return Err(Malformed);
        }
        let value = extension.extn_value.as_bytes();
        match id {
            SUBJECT_ALT_NAME => found.alternative_names = Some(names::of_extension(value)?),
            KEY_USAGE => found.usages = Some(usages(&KeyUsage::from_der(value)?)),
            BASIC_CONSTRAINTS => found.authority |= BasicConstraints::from_der(value)?.ca,
            EXTENDED_KEY_USAGE => {
                let purposes = ExtendedKeyUsage::from_der(value)?.0;
                found.for_mail = purposes
                    .iter()
                    .any(|it| [EMAIL_PROTECTION, ANY_PURPOSE].contains(it));
            }
            _ => found.unknown_critical |= extension.critical && !UNDERSTOOD.contains(&id),
        }
    }
    // RFC 5280 §4.2.1.3: only an authority signs certificates.
    found.authority |= found.usages.is_some_and(|it| it.certificate_signing);
    Ok(found)
}

fn usages(said: &KeyUsage) -> Usages {
    Usages {
        key_encipherment: said.key_encipherment(),
        key_agreement: said.key_agreement(),
        certificate_signing: said.key_cert_sign(),
        one_way: said.encipher_only() || said.decipher_only(),
    }
}

fn bounded(name: &Name) -> Result<Vec<u8>, Malformed> {
    let der = name.to_der()?;
    let within = name
        .iter()
        .all(|attribute| attribute.value.value().len() <= MAX_ATTRIBUTE_OCTETS);
    (within && der.len() <= MAX_NAME_OCTETS)
        .then_some(der)
        .ok_or(Malformed)
}

fn moment(time: Time) -> Timestamp {
    Timestamp::default() + time.to_unix_duration()
}

/// A name as one line of bounded length, without what could move a cursor or turn a line around.
pub(super) fn shown(name: &Name) -> String {
    let clean = |character: char| match character {
        it if it.is_control() || names::is_invisible(it) => '\u{fffd}',
        it => it,
    };
    let text = name.to_string();
    text.chars().take(MAX_SHOWN_CHARS).map(clean).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
