//! What is decided for recipients, and from which certificates.
//!
//! What is at hand is always looked at; whoever else knows certificates, and whoever knows which
//! were revoked, is asked only where the answer could change what is decided. So a message that
//! goes by another method tells no directory of its recipients.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::certificates::Smime;
use super::super::line::{Line, Machinery};
use crate::mail::{
    CertificateProblem, Course, Decision, FoundCertificate, MessageClass, Method,
    RecipientCertificate, Timestamp,
};
use crate::policy::{MessageFacts, Policy, RecipientFacts, could_seal};

/// Look-ups under way for one message.
const MAX_LOOK_UPS: usize = 16;
/// How long a message waits for its look-ups. Who has no answer by then has no certificate in this
/// turn.
const LOOK_UP_TIME: Duration = Duration::from_secs(60);

/// Recipients, what is known of each, and what is decided from that. All lists go by the same
/// numbers.
pub(super) struct Considered {
    pub(super) recipients: Vec<RecipientFacts>,
    pub(super) decisions: Vec<Arc<Decision>>,
    found: Vec<FoundCertificate>,
}

impl Considered {
    /// Decides by what is at hand.
    pub(super) fn new(
        machinery: &Machinery,
        message: &MessageFacts,
        mut recipients: Vec<RecipientFacts>,
        now: Timestamp,
    ) -> Self {
        let mut found = vec![FoundCertificate::default(); recipients.len()];
        if let Some(smime) = in_use(machinery, message.class) {
            for (facts, found) in recipients.iter_mut().zip(&mut found) {
                *found = smime.certificates.known(&facts.address, now);
                facts.find(found);
            }
        }
        let decisions = machinery.policy.decide(message, &recipients);
        Self {
            recipients,
            decisions,
            found,
        }
    }

    /// Those for whom somebody has to be asked: S/MIME is refused for want of a certificate and no
    /// method before it is taken, or S/MIME is taken and nobody was asked about revocation.
    pub(super) fn open_questions(
        &self,
        machinery: &Machinery,
        message: &MessageFacts,
    ) -> Vec<usize> {
        if in_use(machinery, message.class).is_none() {
            return Vec::new();
        }
        let asks = |decision: &Decision| {
            decision.course == Course::Send(Method::Smime) || could_seal(decision)
        };
        let all = self.decisions.iter().enumerate();
        all.filter(|(_, decision)| asks(decision))
            .map(|(at, _)| at)
            .collect()
    }

    /// Asks for those, and decides again by the answers.
    pub(super) async fn look_up(
        &mut self,
        line: &Line,
        machinery: &Machinery,
        message: &MessageFacts,
        open: Vec<usize>,
        now: Timestamp,
    ) {
        let Some(smime) = in_use(machinery, message.class) else {
            return;
        };
        let mut unanswered = open.clone();
        for (at, answer) in self.ask(line, smime, open, now).await {
            unanswered.retain(|&other| other != at);
            self.take(at, answer);
        }
        for at in unanswered {
            self.give_up(at);
        }
        self.decide(&machinery.policy, message);
    }

    async fn ask(
        &self,
        line: &Line,
        smime: &Smime,
        open: Vec<usize>,
        now: Timestamp,
    ) -> Vec<(usize, FoundCertificate)> {
        let mut waiting = open.into_iter();
        let mut asked = JoinSet::new();
        let mut answers = Vec::new();
        let limit = line.clock.now() + LOOK_UP_TIME;
        loop {
            while asked.len() < MAX_LOOK_UPS
                && let Some(at) = waiting.next()
            {
                let Some(facts) = self.recipients.get(at) else {
                    continue;
                };
                let (certificates, turns) = (Arc::clone(&smime.certificates), line.look_ups());
                let address = facts.address.clone();
                asked.spawn(async move {
                    let _turn = turns.acquire_owned().await.ok();
                    (at, certificates.look_up(&address, now).await)
                });
            }
            let next = tokio::select! {
                biased;
                next = asked.join_next() => next,
                () = line.clock.sleep_until(limit) => None,
            };
            match next {
                Some(Ok(answer)) => answers.push(answer),
                // It died: no answer is an answer.
                Some(Err(_)) => {}
                // All have answered, or the time is up; those under way end with the set.
                None => return answers,
            }
        }
    }

    fn take(&mut self, at: usize, answer: FoundCertificate) {
        if let (Some(facts), Some(found)) = (self.recipients.get_mut(at), self.found.get_mut(at)) {
            facts.find(&answer);
            *found = answer;
        }
    }

    /// No answer came in time. A certificate that is at hand is not used then: nobody has said
    /// that it was not revoked.
    fn give_up(&mut self, at: usize) {
        let at_hand = self.certificate(at).is_some();
        let problem = match at_hand {
            true => CertificateProblem::RevocationUnknown,
            false => CertificateProblem::LookupFailed,
        };
        self.refuse_certificate(at, problem);
    }

    /// The certificate to seal to.
    pub(super) fn certificate(&self, at: usize) -> Option<&RecipientCertificate> {
        self.found.get(at)?.certificate.as_ref()
    }

    /// The certificate cannot be used after all.
    pub(super) fn refuse_certificate(&mut self, at: usize, problem: CertificateProblem) {
        let answer = FoundCertificate {
            certificate: None,
            problem: Some(problem),
        };
        self.take(at, answer);
    }

    /// The message cannot be sealed to it.
    pub(super) fn refuse_sealing(&mut self, at: usize) {
        if let Some(facts) = self.recipients.get_mut(at) {
            facts.unsealable = true;
        }
    }

    /// Decides by what is known now. What is known as before is decided as before.
    pub(super) fn decide(&mut self, policy: &Policy, message: &MessageFacts) {
        self.decisions = policy.decide(message, &self.recipients);
    }
}

/// What S/MIME works with, where it may be used for messages of this class.
fn in_use(machinery: &Machinery, class: MessageClass) -> Option<&Smime> {
    let smime = machinery.smime.as_ref()?;
    (machinery.policy.source().smime && class == MessageClass::Submitted).then_some(smime)
}
