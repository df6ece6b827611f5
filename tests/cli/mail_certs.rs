//! Certificates for mail, and their authority: good ones, and some with a fault each.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use sealpost::mail::Timestamp;
use time::OffsetDateTime;

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority for mail.
pub struct MailCa(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct MailCert {
    pub pem: String,
    pub der: Vec<u8>,
    pub key_pem: String,
}

/// What a certificate is like.
pub struct Wanted<'w> {
    pub addresses: &'w [&'w str],
    pub from: Timestamp,
    pub until: Timestamp,
    pub usages: &'w [KeyUsagePurpose],
}

impl<'w> Wanted<'w> {
    /// For signing and sealing, valid around `now`.
    pub fn good(addresses: &'w [&'w str], now: Timestamp) -> Self {
        Self {
            addresses,
            from: now - DAY,
            until: now + 365 * DAY,
            usages: &[
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::KeyAgreement,
            ],
        }
    }
}

fn moment(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_secs().try_into().unwrap()).unwrap()
}

impl MailCa {
    pub fn new(name: &str, from: Timestamp, until: Timestamp) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (moment(from), moment(until));
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self, wanted: &Wanted<'_>) -> MailCert {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "somebody");
        let names = wanted.addresses.iter();
        params.subject_alt_names = names
            .map(|name| SanType::Rfc822Name((*name).try_into().unwrap()))
            .collect();
        params.key_usages = wanted.usages.to_vec();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (moment(wanted.from), moment(wanted.until));
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.0).unwrap();
        MailCert {
            pem: made.pem(),
            der: made.der().to_vec(),
            key_pem: key.serialize_pem(),
        }
    }
}
