//! The rules of acceptance: one certificate, one address, one moment.
//!
//! Never a chain or a revocation: those are asked where an issuer is known (`super::chain`,
//! `directory::revocation`). The rules are applied in the order below and the first that is broken
//! is the one that is told, so that the same certificate always gets the same answer.

use super::key::KeyKind;
use super::parse::Parsed;
use crate::mail::{Address, CertificateProblem, Timestamp, has_expired};

/// Who vouches for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouching {
    /// The operator, who imported it.
    Operator,
    /// Nobody here: it was found elsewhere, and only a chain can vouch for it.
    Chain,
}

/// Whether mail for `address` may be sealed to this certificate at `now`.
///
/// # Errors
/// The first rule that is broken.
pub fn examine(
    certificate: &Parsed,
    address: &Address,
    now: Timestamp,
    vouching: Vouching,
) -> Result<(), CertificateProblem> {
    names(certificate, address, vouching)?;
    timeless(certificate)?;
    validity(certificate, now)
}

/// The names: no hostile one, and one that is the address.
fn names(
    certificate: &Parsed,
    address: &Address,
    vouching: Vouching,
) -> Result<(), CertificateProblem> {
    let names = &certificate.names;
    let count = !names.legacy || vouching == Vouching::Operator;
    if count && names.hostile {
        return Err(CertificateProblem::HostileAddress);
    }
    if !(count && names.contains(address)) {
        return Err(CertificateProblem::OtherAddress);
    }
    Ok(())
}

/// What neither address nor time changes.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn timeless(certificate: &Parsed) -> Result<(), CertificateProblem> {
    if certificate.authority {
        return Err(CertificateProblem::Authority);
    }
    if certificate.unknown_critical {
        return Err(CertificateProblem::CriticalExtension);
    }
    let key = certificate.key?;
    let may_be_sealed_to = certificate.usages.is_none_or(|usages| {
        let kind = match key {
            KeyKind::Rsa(_) => usages.key_encipherment,
            KeyKind::P256 | KeyKind::P384 | KeyKind::X25519 => usages.key_agreement,
        };
        kind && !usages.one_way
    });
    if !may_be_sealed_to {
        return Err(CertificateProblem::KeyUsage);
    }
    if !certificate.for_mail {
        return Err(CertificateProblem::ExtendedKeyUsage);
    }
    if certificate.weak_signature {
        return Err(CertificateProblem::WeakSignature);
    }
    Ok(())
}

/// Both ends are part of the validity (RFC 5280 §4.1.2.5), the last one with its whole second.
pub(super) fn validity(certificate: &Parsed, now: Timestamp) -> Result<(), CertificateProblem> {
    if now < certificate.not_before {
        return Err(CertificateProblem::NotYetValid);
    }
    if has_expired(certificate.not_after, now) {
        return Err(CertificateProblem::Expired);
    }
    Ok(())
}
