//! The certificate for an address when others may be asked: [`Certificates::look_up`],
//! [`Certificates::stands`].
//!
//! Owns the order: what is known here, each with its revocation, then what the sources have. Every
//! wait has a bound, and what cannot be found out in time is told as such.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::choice::{Candidate, more_telling};
use super::examine::{self, Vouching};
use super::found::{self, Accept, Answer};
use super::judge::{Passed, chain_of, chosen, judge};
use super::parse::{KeyId, Parsed};
use super::{ASKING_REVOCATION, Certificates, RevocationMode, Settings};
use crate::directory::revocation::RevocationStatus;
use crate::mail::{Address, CertificateProblem, Fingerprint, FoundCertificate, Timestamp};

/// Certificates of one place whose revocation is asked for, for one message.
const MAX_ASKED: usize = 4;

impl Certificates {
    /// The certificate to use for an address: of those known here, then of the sources, in order;
    /// its revocation is asked about. Takes no longer than [`found::ASKING`] and twice
    /// [`ASKING_REVOCATION`].
    pub async fn look_up(&self, address: &Address, now: Timestamp) -> FoundCertificate {
        let settings = self.settings();
        let local = self.local(&settings, address);
        let choice = self
            .choose(&settings, &local.candidates, address, now, &local.pinned)
            .await;
        let local_problem = match choice {
            Ok(candidate) => return chosen(&settings, candidate, address),
            Err(problem) => more_telling(local.problem, problem),
        };
        if !local.pinned.is_empty() {
            // Nothing that is found elsewhere could be used.
            return FoundCertificate {
                certificate: None,
                problem: local_problem,
            };
        }
        let answer = self.ask(&settings, address, now).await;
        let candidates = found_candidates(&answer);
        match self.choose(&settings, &candidates, address, now, &[]).await {
            Ok(candidate) => chosen(&settings, candidate, address),
            Err(problem) => FoundCertificate {
                certificate: None,
                problem: more_telling(local_problem, more_telling(answer.problem, problem)),
            },
        }
    }

    /// Whether a certificate that was chosen earlier may still be used: to be asked right before
    /// something that was sealed to it is sent.
    ///
    /// # Errors
    /// What speaks against it now. One that is known nowhere any more has
    /// [`CertificateProblem::NoChain`]: nobody vouches for it.
    pub async fn stands(
        &self,
        address: &Address,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<(), CertificateProblem> {
        let settings = self.settings();
        let local = self.local(&settings, address);
        let is_it = |it: &&Candidate| it.parsed.fingerprint == *fingerprint;
        if let Some(candidate) = local.candidates.iter().find(is_it) {
            let passed = judge(&settings, candidate, address, now, &local.pinned)?;
            let deadline = Instant::now() + ASKING_REVOCATION;
            return self.revocation(&settings, passed, now, deadline).await;
        }
        if !local.pinned.is_empty() {
            return Err(CertificateProblem::NotApproved);
        }
        let answer = self.ask(&settings, address, now).await;
        let candidates = found_candidates(&answer);
        let Some(candidate) = candidates.iter().find(is_it) else {
            let failed = answer.problem == Some(CertificateProblem::LookupFailed);
            return Err(match failed {
                true => CertificateProblem::LookupFailed,
                false => CertificateProblem::NoChain,
            });
        };
        let passed = judge(&settings, candidate, address, now, &[])?;
        let deadline = Instant::now() + ASKING_REVOCATION;
        self.revocation(&settings, passed, now, deadline).await
    }

    /// What the sources have, from memory or asked now.
    pub(super) async fn ask(
        &self,
        settings: &Arc<Settings>,
        address: &Address,
        now: Timestamp,
    ) -> Arc<Answer> {
        let (by, whose) = (Arc::clone(settings), address.clone());
        let accept: Accept = Arc::new(move |parsed: &Parsed, issuers: &[Bytes]| {
            examine::examine(parsed, &whose, now, Vouching::Chain)?;
            by.anchors.chain(parsed, issuers, now).map(drop)
        });
        let asking = self.0.answers.get(&settings.sources, address, now, &accept);
        // Who waits for another's question waits no longer than for their own.
        match timeout(found::ASKING + found::ASKING / 10, asking).await {
            Ok(answer) => answer,
            Err(_) => Arc::new(Answer::failed()),
        }
    }

    /// The first candidate that breaks no rule and was not revoked.
    async fn choose<'a>(
        &self,
        settings: &Settings,
        candidates: &'a [Candidate],
        address: &Address,
        now: Timestamp,
        pinned: &[KeyId],
    ) -> Result<&'a Candidate, Option<CertificateProblem>> {
        let deadline = Instant::now() + ASKING_REVOCATION;
        let mut problem = None;
        let mut asked = 0;
        for candidate in candidates {
            let broken = match judge(settings, candidate, address, now, pinned) {
                Ok(passed) if asked < MAX_ASKED => {
                    asked += 1;
                    match self.revocation(settings, passed, now, deadline).await {
                        Ok(()) => return Ok(candidate),
                        Err(broken) => broken,
                    }
                }
                Ok(_) => CertificateProblem::RevocationUnknown,
                Err(broken) => broken,
            };
            problem = more_telling(problem, Some(broken));
        }
        Err(problem)
    }

    /// Whether a candidate was revoked, as far as anybody can be asked.
    async fn revocation(
        &self,
        settings: &Settings,
        passed: Passed<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<(), CertificateProblem> {
        if settings.revocation == RevocationMode::Off {
            return Ok(());
        }
        let Passed { candidate, chain } = passed;
        let chain = chain.or_else(|| chain_of(settings, candidate, now).ok());
        let Some(chain) = chain else {
            // No issuer is known: there is nobody to ask.
            return Ok(());
        };
        let fingerprint = &candidate.parsed.fingerprint;
        let status = status(settings, &chain, now, deadline).await;
        let verdict = match (status, settings.revocation) {
            (RevocationStatus::Good, _) => None,
            (RevocationStatus::Revoked, _) => Some(CertificateProblem::Revoked),
            (RevocationStatus::Unknown(why), RevocationMode::Require) => {
                tracing::warn!(%fingerprint, why, "a certificate is not used: its revocation is not known");
                Some(CertificateProblem::RevocationUnknown)
            }
            (RevocationStatus::Unknown(why), RevocationMode::Prefer | RevocationMode::Off) => {
                tracing::info!(%fingerprint, why, "the revocation of a certificate is not known");
                None
            }
        };
        self.0.verdicts.set(fingerprint, verdict, now);
        verdict.map_or(Ok(()), Err)
    }
}

/// Whether a chain was revoked, asked until `deadline`.
pub(super) async fn status(
    settings: &Settings,
    chain: &[Bytes],
    now: Timestamp,
    deadline: Instant,
) -> RevocationStatus {
    let Some(checker) = &settings.checker else {
        return RevocationStatus::Unknown("nothing can be asked".to_owned());
    };
    match timeout_at(deadline, checker.status(chain, now)).await {
        Ok(status) => status,
        Err(_) => RevocationStatus::Unknown("no answer in time".to_owned()),
    }
}

pub(super) fn found_candidates(answer: &Answer) -> Vec<Candidate> {
    let found = answer.found.iter();
    found
        .map(|it| Candidate::of_found(&it.parsed, &it.issuers))
        .collect()
}
