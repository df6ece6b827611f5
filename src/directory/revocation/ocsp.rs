//! OCSP (RFC 6960): the request for one certificate, and what is believed of the answer.
//!
//! The issuer is named by SHA-1, as every responder knows it and RFC 5019 §2.1.1 asks: the digest
//! only picks an issuer and vouches for nothing. No nonce: responders that sign beforehand cannot
//! have it in their answers, and an answer is believed for as long as it says anyway. One that
//! does not say for how long is believed for [`MAX_AGE_WITHOUT_END`].

use std::time::Duration;

use super::SKEW;
use super::asn1::{Der, Element, Malformed, extensions, moment, tag};
use super::certificate::Certificate;
use super::signature::{SignatureError, Signed};
use crate::mail::Timestamp;
use crate::proto::ldap::ber::put;

/// Largest answer that is read, in octets.
pub(super) const MAX_ANSWER_OCTETS: usize = 64 * 1024;
/// Most certificates of an answer that are looked at.
const MAX_CERTIFICATES: usize = 4;
/// Most single answers of an answer that are looked at.
const MAX_SINGLE: usize = 64;
/// How old an answer may be that does not say until when it holds.
pub(super) const MAX_AGE_WITHOUT_END: Duration = Duration::from_secs(600);

/// id-sha1.
const OID_SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
/// id-pkix-ocsp-basic.
const OID_BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// What a responder says of a certificate, verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) revoked: bool,
    /// Until when it may be believed.
    pub(super) until: Timestamp,
}

/// Why an answer says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OcspError {
    /// Not an OCSP answer.
    #[error("it is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The responder will not say.
    #[error("the responder says: {0}")]
    Refused(&'static str),
    /// The responder knows no such certificate.
    #[error("the responder does not know the certificate")]
    UnknownCertificate,
    /// Answers, but to other questions.
    #[error("it is about other certificates")]
    OtherCertificate,
    /// Signed by somebody who may not, or not at all.
    #[error("nobody signed it who may")]
    Signer,
    /// Signed by the right one, but not rightly.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// Too old, or of the future.
    #[error("it is not valid now")]
    NotNow,
    /// An extension that has to be understood.
    #[error("it has a critical extension that is unknown")]
    Critical,
}

/// The two digests that name an issuer.
struct IssuerNames {
    name: [u8; 20],
    key: [u8; 20],
}

fn sha1(octets: &[u8]) -> [u8; 20] {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, octets);
    let mut out = [0; 20];
    out.iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    out
}

impl IssuerNames {
    fn of(issuer: &Certificate<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: sha1(issuer.subject),
            key: sha1(issuer.key_octets()?),
        })
    }
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, tag, &parts.concat());
    out
}

/// The request for `certificate` (RFC 6960 §4.1.1).
pub(super) fn request(
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
) -> Result<Vec<u8>, Malformed> {
    let names = IssuerNames::of(issuer)?;
    let algorithm = element(
        tag::SEQUENCE,
        &[&element(tag::OID, &[OID_SHA1]), &element(tag::NULL, &[])],
    );
    let id = element(
        tag::SEQUENCE,
        &[
            &algorithm,
            &element(tag::OCTETS, &[&names.name]),
            &element(tag::OCTETS, &[&names.key]),
            &element(tag::INTEGER, &[certificate.serial]),
        ],
    );
    // OCSPRequest, TBSRequest, requestList, Request.
    let wrapped = (0..4).fold(id, |inner, _| element(tag::SEQUENCE, &[&inner]));
    Ok(wrapped)
}

/// What an answer says of `certificate`, if it can be believed at `now` (RFC 6960 §3.2).
pub(super) fn verdict(
    answer: &[u8],
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    now: Timestamp,
) -> Result<Verdict, OcspError> {
    let basic = basic_response(answer)?;
    let whole = Der::new(basic).only("something stands behind an answer")?;
    let mut fields = whole.open(tag::SEQUENCE, "an answer is no sequence")?;
    let signed = Signed::parse_fields(&mut fields)?;
    let certificates = fields.optional(tag::explicit(0))?;
    fields.end("an answer has something more")?;

    let mut data = signed.fields()?;
    data.optional(tag::explicit(0))?;
    let responder = data.any()?;
    data.expect(tag::GENERALIZED_TIME, "an answer has no time")?;
    let singles = data.enter(tag::SEQUENCE, "an answer answers nothing")?;
    refuse_critical(data.optional(tag::explicit(1))?)?;
    data.end("an answer has something more")?;

    let names = IssuerNames::of(issuer)?;
    check_signer(&signed, responder, certificates, issuer, &names, now)?;
    choose(singles, certificate, &names, now)
}

/// The octets of the BasicOCSPResponse.
fn basic_response(answer: &[u8]) -> Result<&[u8], OcspError> {
    let whole = Der::new(answer).only("something stands behind an answer")?;
    let mut fields = whole.open(tag::SEQUENCE, "an answer is no sequence")?;
    let status = fields.expect(tag::ENUMERATED, "an answer has no status")?;
    match status.content {
        [0] => {}
        [1] => return Err(OcspError::Refused("malformed request")),
        [2] => return Err(OcspError::Refused("internal error")),
        [3] => return Err(OcspError::Refused("try later")),
        [5] => return Err(OcspError::Refused("a signature is required")),
        [6] => return Err(OcspError::Refused("unauthorized")),
        _ => return Err(OcspError::Refused("a status that is not known")),
    }
    let octets = fields.expect(tag::explicit(0), "an answer has no octets")?;
    let octets = Der::new(octets.content).only("an answer has something more")?;
    let mut octets = octets.open(tag::SEQUENCE, "an answer's octets are no sequence")?;
    let kind = octets.expect(tag::OID, "an answer is of no type")?;
    if kind.content != OID_BASIC {
        return Err(Malformed("an answer is of an unknown type").into());
    }
    let basic = octets.expect(tag::OCTETS, "an answer has no octets")?;
    Ok(basic.content)
}

fn refuse_critical(all: Option<Element<'_>>) -> Result<(), OcspError> {
    let Some(all) = all else {
        return Ok(());
    };
    let all = Der::new(all.content).only("more than extensions")?;
    let all = all.open(tag::SEQUENCE, "extensions are none")?;
    extensions(all, |extension| match extension.critical {
        true => Err(OcspError::Critical),
        false => Ok(()),
    })
}

/// That the issuer signed, or somebody whom it let (RFC 6960 §4.2.2.2).
fn check_signer(
    signed: &Signed<'_>,
    responder: Element<'_>,
    certificates: Option<Element<'_>>,
    issuer: &Certificate<'_>,
    names: &IssuerNames,
    now: Timestamp,
) -> Result<(), OcspError> {
    // Whom the answer names: a name, or the digest of a key.
    let id = Der::new(responder.content).only("a responder has several names")?;
    let by_name = tag::explicit(1);
    let is_named = |subject: &[u8], key: &[u8; 20]| match (responder.tag, id.tag) {
        (tag, _) if tag == by_name => id.whole == subject,
        (tag, tag::OCTETS) if tag == tag::explicit(2) => id.content == key,
        _ => false,
    };
    let mut outcome = Err(OcspError::Signer);
    if is_named(issuer.subject, &names.key) {
        outcome = signed.verify(issuer.key).map_err(OcspError::from);
    }
    let Some(certificates) = certificates else {
        return outcome;
    };
    let all = Der::new(certificates.content).only("more than certificates")?;
    let mut all = all.open(tag::SEQUENCE, "certificates are none")?;
    for _ in 0..MAX_CERTIFICATES {
        if outcome.is_ok() || all.is_empty() {
            break;
        }
        let delegate = Certificate::parse(all.any()?.whole)?;
        let key = sha1(delegate.key_octets()?);
        let valid = delegate.not_before <= now + SKEW && now <= delegate.not_after + SKEW;
        if is_named(delegate.subject, &key)
            && delegate.signs_ocsp
            && delegate.may_sign()
            && delegate.issuer == issuer.subject
            && valid
            && delegate.signed.verify(issuer.key).is_ok()
        {
            outcome = signed.verify(delegate.key).map_err(OcspError::from);
        }
    }
    outcome
}

/// The answer among the single ones that is about `certificate` and valid; of several, the one
/// that says revoked.
fn choose(
    mut singles: Der<'_>,
    certificate: &Certificate<'_>,
    names: &IssuerNames,
    now: Timestamp,
) -> Result<Verdict, OcspError> {
    let mut outcome = Err(OcspError::OtherCertificate);
    for _ in 0..MAX_SINGLE {
        if singles.is_empty() {
            break;
        }
        let single = singles.enter(tag::SEQUENCE, "a single answer is none")?;
        match read_single(single, certificate, names, now) {
            Ok(Some(verdict)) if verdict.revoked => return Ok(verdict),
            Ok(Some(verdict)) => outcome = Ok(verdict),
            Ok(None) => {}
            Err(error) => {
                if outcome.is_err() {
                    outcome = Err(error);
                }
            }
        }
    }
    outcome
}

/// `None` if it is about another certificate.
fn read_single(
    mut single: Der<'_>,
    certificate: &Certificate<'_>,
    names: &IssuerNames,
    now: Timestamp,
) -> Result<Option<Verdict>, OcspError> {
    let mut id = single.enter(tag::SEQUENCE, "a single answer names no certificate")?;
    let mut algorithm = id.enter(tag::SEQUENCE, "a certificate is named by no digest")?;
    let algorithm = algorithm.expect(tag::OID, "a digest has no name")?;
    let name = id.expect(tag::OCTETS, "a certificate's issuer has no name")?;
    let key = id.expect(tag::OCTETS, "a certificate's issuer has no key")?;
    let serial = id.expect(tag::INTEGER, "a certificate has no serial number")?;
    let same = algorithm.content == OID_SHA1
        && name.content == names.name
        && key.content == names.key
        && serial.content == certificate.serial;
    if !same {
        return Ok(None);
    }
    const GOOD: u8 = tag::implicit(0);
    const REVOKED: u8 = tag::explicit(1);
    const UNKNOWN: u8 = tag::implicit(2);
    let status = single.any()?;
    let this_update = moment(&single.any()?)?;
    let next_update = match single.optional(tag::explicit(0))? {
        Some(next) => Some(moment(&Der::new(next.content).only("more than a time")?)?),
        None => None,
    };
    refuse_critical(single.optional(tag::explicit(1))?)?;
    single.end("a single answer has something more")?;
    let revoked = match status.tag {
        GOOD => false,
        REVOKED => true,
        UNKNOWN => return Err(OcspError::UnknownCertificate),
        _ => return Err(Malformed("a status is not known").into()),
    };
    let until = next_update.unwrap_or(this_update + MAX_AGE_WITHOUT_END);
    if this_update > now + SKEW || now > until + SKEW {
        return Err(OcspError::NotNow);
    }
    Ok(Some(Verdict { revoked, until }))
}
