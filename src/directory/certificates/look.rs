//! The certificate for an address when others may be asked: [`Certificates::look_up`],
//! [`Certificates::stands`].
//!
//! Owns the order: what is known here, each with its revocation, then what the sources have, source
//! by source, each with its revocation too. Every wait has a bound, and what cannot be found out in
//! time is told as such.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::choice::{Candidate, more_telling};
use super::examine::{self, Vouching};
use super::found::{self, Accept, Answer, Found, Judge};
use super::issuers::{Way, way_up};
use super::judge::{Passed, chosen, judge};
use super::parse::Parsed;
use super::pins::Pins;
use super::verdicts::Finding;
use super::{ASKING_REVOCATION, Certificates, InForce, RevocationMode, Settings};
use crate::directory::revocation::RevocationStatus;
use crate::mail::{Address, CertificateProblem, Fingerprint, FoundCertificate, Timestamp};
use crate::world::BoxFuture;

/// Certificates of one place whose revocation is asked for, for one message.
const MAX_ASKED: usize = 4;
/// What asking all sources may take, the revocation of what they have included.
const ASKING_SOURCES: Duration = found::ASKING.saturating_add(ASKING_REVOCATION);
/// What waiting for another's question may take besides.
const SLACK: Duration = Duration::from_secs(1);

impl Certificates {
    /// The certificate to use for an address: of those known here, then of the sources, in order;
    /// its revocation is asked about. Takes no longer than [`found::ASKING`] and four times
    /// [`ASKING_REVOCATION`].
    pub async fn look_up(&self, address: &Address, now: Timestamp) -> FoundCertificate {
        let settings = self.settings();
        let local = self.local(&settings, address);
        let (candidates, deadline) = (&local.candidates, Instant::now() + ASKING_REVOCATION);
        let choice = self
            .choose(&settings, candidates, address, now, &local.pinned, deadline)
            .await;
        let local_problem = match choice {
            Ok(candidate) => return chosen(&settings, candidate, address),
            Err(problem) => more_telling(local.problem, problem),
        };
        if local.pinned.any() {
            // Nothing that is found elsewhere could be used.
            return FoundCertificate {
                certificate: None,
                problem: local_problem,
            };
        }
        let begun = Instant::now();
        let answer = self.ask(&settings, address, now).await;
        // What took no time was remembered.
        let remembered = begun.elapsed() < SLACK;
        let (mut problem, fell) = match self.of_answer(&settings, &answer, address, now).await {
            Ok(found) => return found,
            Err(problem) => (problem, answer.had_one),
        };
        if fell && remembered {
            // It was good when it was found. Since then the owner may have got another one.
            settings.answers.forget(address, &answer);
            let answer = self.ask(&settings, address, now).await;
            problem = match self.of_answer(&settings, &answer, address, now).await {
                Ok(found) => return found,
                Err(problem) => problem,
            };
        }
        FoundCertificate {
            certificate: None,
            problem: more_telling(local_problem, problem),
        }
    }

    /// The certificate to use of an answer.
    async fn of_answer(
        &self,
        settings: &Settings,
        answer: &Answer,
        address: &Address,
        now: Timestamp,
    ) -> Result<FoundCertificate, Option<CertificateProblem>> {
        let candidates = found_candidates(answer);
        let (pins, deadline) = (Pins::default(), Instant::now() + ASKING_REVOCATION);
        let choice = self.choose(settings, &candidates, address, now, &pins, deadline);
        match choice.await {
            Ok(candidate) => Ok(chosen(settings, candidate, address)),
            Err(problem) => Err(more_telling(answer.problem, problem)),
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
        if local.pinned.any() {
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
        let passed = judge(&settings, candidate, address, now, &Pins::default())?;
        let deadline = Instant::now() + ASKING_REVOCATION;
        self.revocation(&settings, passed, now, deadline).await
    }

    /// What the sources have, from memory or asked now.
    pub(super) async fn ask(
        &self,
        in_force: &Arc<InForce>,
        address: &Address,
        now: Timestamp,
    ) -> Arc<Answer> {
        let judge = Judging {
            certificates: self,
            settings: in_force,
            address,
            now,
        };
        let asking = in_force
            .answers
            .get(&in_force.sources, address, now, &judge);
        // Who waits for another's question waits no longer than for their own.
        match timeout(ASKING_SOURCES + SLACK, asking).await {
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
        pinned: &Pins,
        deadline: Instant,
    ) -> Result<&'a Candidate, Option<CertificateProblem>> {
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
        let way = chain.map_or_else(|| way_up(settings, candidate), Way::Up);
        let parsed = &candidate.parsed;
        let fingerprint = &parsed.fingerprint;
        let finding = match status(settings, &way, now, deadline).await {
            // No issuer is known: there is nobody to ask.
            None => Finding::Nothing,
            Some(RevocationStatus::Good) => Finding::Good,
            Some(RevocationStatus::Revoked) => Finding::Revoked(parsed.not_after),
            Some(RevocationStatus::Unknown(why)) => match settings.revocation {
                RevocationMode::Require => {
                    tracing::warn!(%fingerprint, why, "a certificate is not used: its revocation is not known");
                    Finding::Doubt
                }
                RevocationMode::Prefer | RevocationMode::Off => {
                    tracing::info!(%fingerprint, why, "the revocation of a certificate is not known");
                    Finding::Nothing
                }
            },
        };
        let verdict = self.0.verdicts.note(fingerprint, finding, now);
        verdict.map_or(Ok(()), Err)
    }
}

/// How what sources answer for an address is judged, under settings of one moment.
struct Judging<'a> {
    certificates: &'a Certificates,
    settings: &'a Arc<InForce>,
    address: &'a Address,
    now: Timestamp,
}

impl Judge for Judging<'_> {
    fn accept(&self) -> Accept {
        let (by, whose, now) = (Arc::clone(self.settings), self.address.clone(), self.now);
        Arc::new(move |parsed: &Parsed, issuers: &[Bytes]| {
            examine::examine(parsed, &whose, now, Vouching::Chain)?;
            let chain = by.anchors.chain(parsed, issuers, whose.domain(), now);
            chain.map(drop)
        })
    }

    fn has_one<'a>(&'a self, found: &'a [Found], deadline: Instant) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let candidates: Vec<Candidate> = found.iter().map(candidate).collect();
            let (address, pins) = (self.address, Pins::default());
            let choice = self.certificates.choose(
                self.settings,
                &candidates,
                address,
                self.now,
                &pins,
                deadline,
            );
            choice.await.is_ok()
        })
    }
}

/// Whether something on the way up was revoked, asked until `deadline`; `None`: no issuer is known.
pub(super) async fn status(
    settings: &Settings,
    way: &Way,
    now: Timestamp,
    deadline: Instant,
) -> Option<RevocationStatus> {
    let unknown = |why: &str| Some(RevocationStatus::Unknown(why.to_owned()));
    let chain = match way {
        Way::NoIssuer => return None,
        Way::Unproven => return unknown("no authority of the issuer's name has signed it"),
        Way::Up(chain) => chain,
    };
    let Some(checker) = &settings.checker else {
        return unknown("nothing can be asked");
    };
    match timeout_at(deadline, checker.status(chain, now)).await {
        Ok(status) => Some(status),
        Err(_) => unknown("no answer in time"),
    }
}

pub(super) fn found_candidates(answer: &Answer) -> Vec<Candidate> {
    answer.found.iter().map(candidate).collect()
}

fn candidate(found: &Found) -> Candidate {
    Candidate::of_found(&found.parsed, &found.issuers)
}
