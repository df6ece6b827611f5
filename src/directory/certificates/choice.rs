//! Which certificate of several is used, and what is told when none is.
//!
//! Pinned ones come before those of the operator's directory, and those before what was found
//! elsewhere; among equals the newest, by the begin of its validity, then by fingerprint, so that
//! the same certificates always give the same choice.

use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;

use super::folder::Filed;
use super::parse::Parsed;
use super::store::{Entry, State};
use crate::mail::{CertificateFact, CertificateProblem};

/// A certificate that may be the one, with what is known of it besides itself.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub parsed: Arc<Parsed>,
    pub issuers: Vec<Bytes>,
    pub fact: CertificateFact,
    /// It is of the table, and waits.
    pub waits: bool,
    /// A chain is demanded of it.
    pub require_chain: bool,
}

impl Candidate {
    /// A row of the table; `None` if it cannot be read any more.
    pub(super) fn of_entry(entry: &Entry) -> Option<Self> {
        Some(Self {
            parsed: Arc::clone(entry.parsed.as_ref()?),
            issuers: entry.row.issuers.clone(),
            fact: match entry.row.pinned {
                true => CertificateFact::Pinned,
                false => CertificateFact::Directory,
            },
            waits: entry.row.state == State::WaitsForApproval,
            require_chain: entry.row.require_chain,
        })
    }

    /// A certificate of the operator's folder.
    pub(super) fn of_filed(filed: &Filed) -> Self {
        Self {
            parsed: Arc::clone(&filed.parsed),
            issuers: filed.issuers.clone(),
            fact: CertificateFact::Directory,
            waits: false,
            require_chain: false,
        }
    }

    /// One that was found elsewhere.
    pub(super) fn of_found(parsed: &Arc<Parsed>, issuers: &[Bytes]) -> Self {
        Self {
            parsed: Arc::clone(parsed),
            issuers: issuers.to_vec(),
            fact: CertificateFact::Valid,
            waits: false,
            require_chain: true,
        }
    }
}

/// The best first. One certificate from two places counts once, at its better place.
pub(super) fn order(candidates: &mut Vec<Candidate>) {
    candidates.sort_by_key(|it| {
        let newest = Reverse(it.parsed.not_before);
        (Reverse(it.fact), it.waits, newest, it.parsed.fingerprint)
    });
    let mut seen = Vec::with_capacity(candidates.len());
    candidates.retain(|it| {
        let new = !seen.contains(&it.parsed.fingerprint);
        seen.push(it.parsed.fingerprint);
        new
    });
}

/// The problem that is told of two: the one that somebody can do most about.
pub(super) fn more_telling(
    one: Option<CertificateProblem>,
    other: Option<CertificateProblem>,
) -> Option<CertificateProblem> {
    match (one, other) {
        (Some(one), Some(other)) if rank(other) > rank(one) => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

/// First what a person here can settle, then what may be otherwise in an hour, then what the
/// owner must renew, then what was never of use.
const fn rank(problem: CertificateProblem) -> u8 {
    match problem {
        CertificateProblem::NotApproved => 19,
        CertificateProblem::LookupFailed => 18,
        CertificateProblem::Revoked => 17,
        CertificateProblem::RevocationUnknown => 16,
        CertificateProblem::Expired => 15,
        CertificateProblem::NotYetValid => 14,
        CertificateProblem::Constrained => 13,
        CertificateProblem::NoChain => 12,
        CertificateProblem::WeakSignature => 11,
        CertificateProblem::WeakKey => 10,
        CertificateProblem::KeyKind => 9,
        CertificateProblem::KeyUsage => 8,
        CertificateProblem::ExtendedKeyUsage => 7,
        CertificateProblem::CriticalExtension => 6,
        CertificateProblem::Authority => 5,
        CertificateProblem::HostileAddress => 4,
        CertificateProblem::LookupRefused => 3,
        CertificateProblem::Malformed => 2,
        CertificateProblem::OtherAddress => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_rank_of_its_own() {
        let mut ranks = CertificateProblem::ALL.map(rank).to_vec();
        ranks.sort_unstable();
        ranks.dedup();
        assert_eq!(ranks.len(), CertificateProblem::ALL.len());
        let told = |one, other| more_telling(Some(one), Some(other));
        let (expired, other) = (
            CertificateProblem::Expired,
            CertificateProblem::OtherAddress,
        );
        assert_eq!(told(expired, other), Some(expired));
        assert_eq!(told(other, expired), Some(expired));
        assert_eq!(more_telling(None, Some(other)), Some(other));
        assert_eq!(more_telling(None, None), None);
    }
}
