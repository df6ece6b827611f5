//! What was found out of the revocation of certificates, for those who may not ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::mail::{CertificateProblem, Fingerprint, Timestamp};

/// How long a revocation is remembered.
const REVOKED: Duration = Duration::from_secs(60 * 60);
/// How long it is remembered that nothing could be found out.
const UNKNOWN: Duration = Duration::from_secs(60);
/// Certificates that are remembered.
const MAX_VERDICTS: usize = 10_000;

/// The bad news of the last hour.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Mutex<HashMap<Fingerprint, (Timestamp, CertificateProblem)>>);

impl Verdicts {
    /// What is remembered of a certificate.
    pub(super) fn of(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Option<CertificateProblem> {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = verdicts.get(fingerprint);
        verdict
            .filter(|(until, _)| now < *until)
            .map(|(_, problem)| *problem)
    }

    /// Remembers what was found out now; `None`: nothing bad.
    pub(super) fn set(
        &self,
        fingerprint: &Fingerprint,
        verdict: Option<CertificateProblem>,
        now: Timestamp,
    ) {
        let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(problem) = verdict else {
            verdicts.remove(fingerprint);
            return;
        };
        if verdicts.len() >= MAX_VERDICTS {
            verdicts.retain(|_, (until, _)| now < *until);
        }
        if verdicts.len() >= MAX_VERDICTS {
            verdicts.clear(); // each is found out again when it is asked for
        }
        let long = match problem {
            CertificateProblem::Revoked => REVOKED,
            _ => UNKNOWN,
        };
        verdicts.insert(*fingerprint, (now + long, problem));
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.clear();
    }
}
