//! What was found out of the revocation of certificates: for those who may not ask, and for when
//! nobody answers.
//!
//! A revocation is remembered until the certificate expires or an authority says that it is good:
//! that nobody answers later on takes nothing back, or who can keep answers away could.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::mail::{CertificateProblem, Fingerprint, Timestamp};

/// How long it is remembered that nothing could be found out.
const UNKNOWN: Duration = Duration::from_secs(60);
/// Certificates that are remembered.
const MAX_VERDICTS: usize = 50_000;

/// What was found out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// An authority says that it is good.
    Good,
    /// An authority says that it is revoked; the certificate expires then.
    Revoked(Timestamp),
    /// Nothing, and it may not be used for that.
    Doubt,
    /// Nothing, and it may be used all the same.
    Nothing,
}

type Remembered = HashMap<Fingerprint, (Timestamp, CertificateProblem)>;

/// The bad news.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Mutex<Remembered>);

impl Verdicts {
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of a certificate.
    pub(super) fn of(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Option<CertificateProblem> {
        let verdicts = self.lock();
        let verdict = verdicts.get(fingerprint);
        verdict
            .filter(|(until, _)| now < *until)
            .map(|(_, problem)| *problem)
    }

    /// Remembers what was found out now, and says what that makes of what was known.
    pub(super) fn note(
        &self,
        fingerprint: &Fingerprint,
        finding: Finding,
        now: Timestamp,
    ) -> Option<CertificateProblem> {
        let mut verdicts = self.lock();
        let revoked = verdicts.get(fingerprint).is_some_and(|(until, problem)| {
            now < *until && *problem == CertificateProblem::Revoked
        });
        let verdict = match finding {
            Finding::Good => None,
            Finding::Revoked(expires) => Some((
                // The last second counts.
                expires + Duration::from_secs(1),
                CertificateProblem::Revoked,
            )),
            Finding::Doubt | Finding::Nothing if revoked => {
                return Some(CertificateProblem::Revoked);
            }
            Finding::Doubt => Some((now + UNKNOWN, CertificateProblem::RevocationUnknown)),
            Finding::Nothing => None,
        };
        let Some((until, problem)) = verdict else {
            verdicts.remove(fingerprint);
            return None;
        };
        if verdicts.len() >= MAX_VERDICTS && !verdicts.contains_key(fingerprint) {
            make_room(&mut verdicts, now);
        }
        verdicts.insert(*fingerprint, (until, problem));
        Some(problem)
    }

    /// Forgets of whom nothing could be found out.
    pub(super) fn forget_doubts(&self) {
        let mut verdicts = self.lock();
        verdicts.retain(|_, (_, problem)| *problem == CertificateProblem::Revoked);
    }
}

/// Forgets what is over; then doubts, and if there are none, the revoked certificate that is the
/// next to expire.
fn make_room(verdicts: &mut Remembered, now: Timestamp) {
    verdicts.retain(|_, (until, _)| now < *until);
    if verdicts.len() < MAX_VERDICTS {
        return;
    }
    verdicts.retain(|_, (_, problem)| *problem == CertificateProblem::Revoked);
    if verdicts.len() < MAX_VERDICTS {
        return;
    }
    let next = verdicts
        .iter()
        .min_by_key(|(fingerprint, (until, _))| (*until, **fingerprint))
        .map(|(fingerprint, _)| *fingerprint);
    if let Some(next) = next {
        verdicts.remove(&next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn print(at: u32) -> Fingerprint {
        let mut octets = [0; 32];
        octets[..4].copy_from_slice(&at.to_be_bytes());
        Fingerprint::new(octets)
    }

    #[test]
    fn a_revocation_ends_by_a_good_answer_or_with_the_certificate() {
        let now = Timestamp::from_secs(1_000_000);
        let (verdicts, one) = (Verdicts::default(), print(1));
        let revoked = Some(CertificateProblem::Revoked);
        let until = now + 30 * DAY;
        assert_eq!(verdicts.note(&one, Finding::Revoked(until), now), revoked);
        for finding in [Finding::Nothing, Finding::Doubt] {
            assert_eq!(verdicts.note(&one, finding, now + 8 * DAY), revoked);
        }
        verdicts.forget_doubts();
        assert_eq!(verdicts.of(&one, until), revoked);
        assert_eq!(verdicts.of(&one, until + DAY), None);
        assert_eq!(verdicts.note(&one, Finding::Good, now), None);
        assert_eq!(verdicts.of(&one, now), None);
        let doubt = Some(CertificateProblem::RevocationUnknown);
        assert_eq!(verdicts.note(&one, Finding::Doubt, now), doubt);
        assert_eq!(verdicts.of(&one, now + UNKNOWN), None);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_doubts_go_first() {
        let now = Timestamp::from_secs(1_000_000);
        let verdicts = Verdicts::default();
        let most = u32::try_from(MAX_VERDICTS).unwrap();
        let revoked = Finding::Revoked(now + DAY);
        verdicts.note(&print(0), revoked, now);
        for at in 1..most {
            verdicts.note(&print(at), Finding::Doubt, now);
        }
        verdicts.note(&print(most), revoked, now);
        let known = |at| verdicts.of(&print(at), now);
        assert_eq!(known(0), Some(CertificateProblem::Revoked));
        assert_eq!((known(1), known(most).is_some()), (None, true));
        for at in 0..=most {
            verdicts.note(&print(at), revoked, now);
        }
        assert_eq!(verdicts.lock().len(), MAX_VERDICTS);
    }
}
