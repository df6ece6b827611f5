//! The rules for one candidate, as the settings of the moment have them; and what is handed out
//! when it is chosen.

use bytes::Bytes;

use super::choice::Candidate;
use super::examine::{self, Vouching};
use super::pins::Pins;
use super::{Partner, Settings};
use crate::mail::{
    Address, CertificateProblem, Domain, FoundCertificate, RecipientCertificate, Timestamp,
};

/// A candidate that breaks no rule, with its chain if one was demanded.
pub(super) struct Passed<'a> {
    pub candidate: &'a Candidate,
    pub chain: Option<Vec<Bytes>>,
}

/// The rules, for one candidate: everything but its revocation.
pub(super) fn judge<'a>(
    settings: &Settings,
    candidate: &'a Candidate,
    address: &Address,
    now: Timestamp,
    pinned: &Pins,
) -> Result<Passed<'a>, CertificateProblem> {
    let vouching = match candidate.require_chain {
        true => Vouching::Chain,
        false => Vouching::Operator,
    };
    examine::examine(&candidate.parsed, address, now, vouching)?;
    if candidate.waits || !pinned.admits(&candidate.parsed.key_id) {
        return Err(CertificateProblem::NotApproved);
    }
    let chain = match candidate.require_chain {
        true => Some(chain_of(settings, candidate, address.domain(), now)?),
        false => None,
    };
    Ok(Passed { candidate, chain })
}

pub(super) fn chain_of(
    settings: &Settings,
    candidate: &Candidate,
    domain: &Domain,
    now: Timestamp,
) -> Result<Vec<Bytes>, CertificateProblem> {
    let Candidate {
        parsed, issuers, ..
    } = candidate;
    settings.anchors.chain(parsed, issuers, domain, now)
}

/// What the owner of a certificate is known to read: by the configuration for the
/// domain, else by the certificate.
pub(super) fn reads(settings: &Settings, candidate: &Candidate, address: &Address) -> (bool, bool) {
    let mut partners = settings.partners.iter();
    let partner = partners.find(|it| it.domain == *address.domain());
    let by_partner = |what: fn(&Partner) -> Option<bool>| partner.and_then(what);
    let gcm = by_partner(|it| it.gcm);
    let oaep = by_partner(|it| it.oaep);
    (
        gcm.unwrap_or(candidate.parsed.reads_gcm),
        oaep.unwrap_or(candidate.parsed.reads_oaep),
    )
}

pub(super) fn chosen(
    settings: &Settings,
    candidate: &Candidate,
    address: &Address,
) -> FoundCertificate {
    let (gcm, oaep) = reads(settings, candidate, address);
    let parsed = &candidate.parsed;
    FoundCertificate {
        certificate: Some(RecipientCertificate {
            der: parsed.der.clone(),
            fingerprint: parsed.fingerprint,
            expires: parsed.not_after,
            fact: candidate.fact,
            gcm,
            oaep,
        }),
        problem: None,
    }
}
