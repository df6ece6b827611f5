//! Chains: from a certificate to an authority that the operator configured.
//!
//! RFC 5280 §6, by `rustls-webpki` with ring: SHA-256 and better, RSA of 2048 bits and more, P-256
//! and P-384, Ed25519; paths of at most six authorities, a bounded number of signatures. What
//! webpki leaves open is closed here: an authority with a key usage must have keyCertSign in it.
//!
//! A limit that fails closed: webpki knows no constraints on mail addresses (rfc822Name in
//! nameConstraints), and refuses a chain with one as soon as the certificate has such a name:
//! [`CertificateProblem::Constrained`]. A SmtpUTF8Mailbox, which webpki would let through although
//! the same constraints hold for it (RFC 9598 §6), is refused under any constraint. The operator
//! may import what it is about.
//!
//! An anchor vouches for everybody, or for the domains that the configuration names: then a chain
//! that ends at it is none for an address of another domain.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage,
    RequiredEkuNotFoundContext, VerifiedPath, anchor_from_trusted_cert, ring as algs,
};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix;

use super::parse::{MAX_CERTIFICATE_OCTETS, Parsed};
use super::{algorithms, key};
use crate::mail::{CertificateProblem, Domain, DomainPattern, Timestamp};

/// Authorities that may be configured.
pub const MAX_ANCHORS: usize = 1000;
/// Authorities that may come with a certificate.
pub const MAX_ISSUERS: usize = 16;

static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algs::RSA_PKCS1_2048_8192_SHA256,
    algs::RSA_PKCS1_2048_8192_SHA384,
    algs::RSA_PKCS1_2048_8192_SHA512,
    algs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algs::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    algs::ECDSA_P256_SHA256,
    algs::ECDSA_P256_SHA384,
    algs::ECDSA_P384_SHA256,
    algs::ECDSA_P384_SHA384,
    algs::ED25519,
];

const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
/// id-kp-emailProtection, 1.3.6.1.5.5.7.3.4.
const EMAIL_PROTECTION: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 4];
/// anyExtendedKeyUsage, 2.5.29.37.0.
const ANY_PURPOSE: &[u8] = &[85, 29, 37, 0];

/// The authorities that chains may end at.
#[derive(Debug, Default)]
pub struct Anchors {
    list: Vec<Anchor>,
    /// The first of each subject, read once: many certificates may fail.
    steps: HashMap<Vec<u8>, Step>,
    anchors: Vec<TrustAnchor<'static>>,
}

#[derive(Debug)]
struct Anchor {
    der: Bytes,
    /// As it is compared with the issuers of others; empty if it cannot be read that far.
    subject_der: Vec<u8>,
    vouches: Vouches,
}

/// Whom an anchor vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vouches {
    /// Addresses of any domain.
    ForAll,
    /// Those of these domains.
    For(Vec<DomainPattern>),
}

impl Vouches {
    fn has(&self, domain: &Domain) -> bool {
        match self {
            Self::ForAll => true,
            Self::For(sets) => sets.iter().any(|set| set.matches(domain)),
        }
    }
}

/// A certificate cannot be an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// It cannot be read.
    #[error("authority {0} is no certificate")]
    Malformed(usize),
    /// There are more than [`MAX_ANCHORS`].
    #[error("more than {MAX_ANCHORS} authorities")]
    TooMany,
}

impl Anchors {
    /// From their certificates, DER each; all of them vouch for everybody.
    ///
    /// # Errors
    /// As for [`Self::narrowed`].
    pub fn new(certificates: impl IntoIterator<Item = Bytes>) -> Result<Self, AnchorError> {
        Self::narrowed(certificates.into_iter().map(|der| (der, Vouches::ForAll)))
    }

    /// From their certificates, DER each, and whom each vouches for.
    ///
    /// # Errors
    /// If one cannot be read, counted from 1, or there are too many.
    pub fn narrowed(
        certificates: impl IntoIterator<Item = (Bytes, Vouches)>,
    ) -> Result<Self, AnchorError> {
        let mut anchors = Self::default();
        for (at, (der, vouches)) in certificates.into_iter().enumerate() {
            if at >= MAX_ANCHORS {
                return Err(AnchorError::TooMany);
            }
            let certificate = CertificateDer::from(&der[..]);
            let anchor = anchor_from_trusted_cert(&certificate)
                .map_err(|_| AnchorError::Malformed(at + 1))?
                .to_owned();
            if let Some(step) = Step::read(&der) {
                let steps = &mut anchors.steps;
                steps.entry(step.subject.clone()).or_insert(step);
            }
            anchors.anchors.push(anchor);
            let subject_der = subject_of(&der).unwrap_or_default();
            anchors.list.push(Anchor {
                der,
                subject_der,
                vouches,
            });
        }
        Ok(anchors)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those with this subject.
    pub(super) fn named<'a>(&'a self, subject_der: &'a [u8]) -> impl Iterator<Item = &'a Bytes> {
        let named = move |it: &&Anchor| it.subject_der == subject_der;
        self.list.iter().filter(named).map(|it| &it.der)
    }

    /// A chain from `leaf` over some of `issuers` to one of these that vouches for addresses of
    /// `domain`: DER, the leaf first, the anchor last. Only the first [`MAX_ISSUERS`] are looked
    /// at.
    ///
    /// # Errors
    /// [`CertificateProblem::Constrained`] if the chain there is ends at an anchor for others,
    /// [`CertificateProblem::NoChain`], or what is wrong with the chain that there is.
    pub(super) fn chain(
        &self,
        leaf: &Parsed,
        issuers: &[Bytes],
        domain: &Domain,
        now: Timestamp,
    ) -> Result<Vec<Bytes>, CertificateProblem> {
        if self.list.iter().all(|it| it.vouches.has(domain)) {
            return self.chain_to(&self.anchors, leaf, issuers, now);
        }
        let both = self.list.iter().zip(&self.anchors);
        let vouching: Vec<TrustAnchor<'static>> = both
            .filter(|(it, _)| it.vouches.has(domain))
            .map(|(_, anchor)| anchor.clone())
            .collect();
        let chain = self.chain_to(&vouching, leaf, issuers, now);
        if chain == Err(CertificateProblem::NoChain)
            && self.chain_to(&self.anchors, leaf, issuers, now).is_ok()
        {
            return Err(CertificateProblem::Constrained);
        }
        chain
    }

    /// A chain to one of `anchors`, which are some of these.
    fn chain_to(
        &self,
        anchors: &[TrustAnchor<'_>],
        leaf: &Parsed,
        issuers: &[Bytes],
        now: Timestamp,
    ) -> Result<Vec<Bytes>, CertificateProblem> {
        let end = CertificateDer::from(&leaf.der[..]);
        let end = EndEntityCert::try_from(&end).map_err(|error| problem(&error))?;
        let issuers: Vec<CertificateDer<'_>> = issuers
            .iter()
            .take(MAX_ISSUERS)
            .filter(|der| der.len() <= MAX_CERTIFICATE_OCTETS)
            .map(|der| CertificateDer::from(&der[..]))
            .collect();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()));
        let signs = |path: &VerifiedPath<'_>| -> Result<(), Error> {
            let mut constrained = path.anchor().name_constraints.is_some();
            for issuer in path.intermediate_certificates() {
                let said = said_of_issuer(&issuer.der()).ok_or(Error::EndEntityUsedAsCa)?;
                constrained |= said.constrained;
                if !said.may_sign {
                    return Err(Error::EndEntityUsedAsCa);
                }
            }
            match constrained && leaf.names.unicode {
                true => Err(Error::NameConstraintViolation),
                false => Ok(()),
            }
        };
        let path = end.verify_for_usage(
            ALGORITHMS,
            anchors,
            &issuers,
            time,
            ForMail,
            None,
            Some(&signs),
        );
        let path = path.map_err(|error| self.problem(&error, leaf, &issuers))?;
        let at = self.anchors.iter().position(|it| it == path.anchor());
        let anchor = at.and_then(|at| self.list.get(at));
        let anchor = anchor.ok_or(CertificateProblem::NoChain)?;
        let between = path
            .intermediate_certificates()
            .map(|it| Bytes::copy_from_slice(&it.der()));
        Ok(std::iter::once(leaf.der.clone())
            .chain(between)
            .chain([anchor.der.clone()])
            .collect())
    }

    /// What `error` means. webpki does not say of a signature that is wrong and one that nobody
    /// can rely on which it is: so it is looked whether an authority on the way is weak.
    fn problem(
        &self,
        error: &Error,
        leaf: &Parsed,
        issuers: &[CertificateDer<'_>],
    ) -> CertificateProblem {
        match problem(error) {
            CertificateProblem::NoChain if self.has_weak_issuer(leaf, issuers) => {
                CertificateProblem::WeakSignature
            }
            problem => problem,
        }
    }

    /// Whether the way up from `leaf`, by names, meets a weak authority.
    fn has_weak_issuer(&self, leaf: &Parsed, issuers: &[CertificateDer<'_>]) -> bool {
        let between: Vec<Step> = issuers.iter().filter_map(|der| Step::read(der)).collect();
        let mut wanted = &leaf.issuer_der;
        for _ in 0..MAX_ISSUERS {
            let known = between.iter().find(|it| it.subject == *wanted);
            let Some(step) = known.or_else(|| self.steps.get(wanted)) else {
                return false;
            };
            if step.weak || step.issuer == *wanted {
                return step.weak;
            }
            wanted = &step.issuer;
        }
        false
    }
}

/// The subject of a certificate, written as [`Parsed`] writes names.
pub(super) fn subject_of(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(der).ok()?;
    certificate.tbs_certificate().subject().to_der().ok()
}

/// An authority on the way up: whose name it has, and whose comes next.
#[derive(Debug)]
struct Step {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    /// Nobody can rely on its key or, unless it is its own, on its signature.
    weak: bool,
}

impl Step {
    fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        let subject = tbs.subject().to_der().ok()?;
        let issuer = tbs.issuer().to_der().ok()?;
        let weak_signature =
            issuer != subject && algorithms::is_weak(certificate.signature_algorithm());
        Some(Self {
            weak: weak_signature || key::is_short_rsa(tbs.subject_public_key_info()),
            subject,
            issuer,
        })
    }
}

/// Mail, anything, or nothing said.
struct ForMail;

impl ExtendedKeyUsageValidator for ForMail {
    fn validate(&self, said: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        let mail = [
            KeyPurposeId::new(EMAIL_PROTECTION),
            KeyPurposeId::new(ANY_PURPOSE),
        ];
        let mut present = Vec::new();
        for purpose in said {
            let purpose = purpose?;
            if mail.contains(&purpose) {
                return Ok(());
            }
            present.push(purpose.to_decoded_oid());
        }
        if present.is_empty() {
            return Ok(());
        }
        Err(Error::RequiredEkuNotFoundContext(
            RequiredEkuNotFoundContext {
                required: KeyUsage::required_if_present(EMAIL_PROTECTION),
                present,
            },
        ))
    }
}

struct SaidOfIssuer {
    /// RFC 5280 §6.1.4 (n).
    may_sign: bool,
    constrained: bool,
}

fn said_of_issuer(der: &[u8]) -> Option<SaidOfIssuer> {
    let certificate = Certificate::from_der(der).ok()?;
    let tbs = certificate.tbs_certificate();
    let usage = tbs.get_extension::<pkix::KeyUsage>().ok()?;
    let mut extensions = tbs.extensions().into_iter().flatten();
    Some(SaidOfIssuer {
        may_sign: usage.is_none_or(|(_, usage)| usage.key_cert_sign()),
        constrained: extensions.any(|it| it.extn_id == NAME_CONSTRAINTS),
    })
}

fn problem(error: &Error) -> CertificateProblem {
    match error {
        Error::CertExpired { .. } => CertificateProblem::Expired,
        Error::CertNotValidYet { .. } => CertificateProblem::NotYetValid,
        Error::NameConstraintViolation
        | Error::MalformedNameConstraint
        | Error::InvalidNetworkMaskConstraint => CertificateProblem::Constrained,
        Error::UnsupportedCriticalExtension => CertificateProblem::CriticalExtension,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            CertificateProblem::ExtendedKeyUsage
        }
        _ => CertificateProblem::NoChain,
    }
}
