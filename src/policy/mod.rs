//! How each recipient is protected, and why. Pure.
//!
//! Owns the choice of the level and of the method. Never looks anything up: facts come in, a
//! decision with its reasons goes out, the same for the same facts. What a method must reach for
//! a level stands in [`Level::least_grade`]; nothing here can lower it.

pub mod facts;
pub mod source;

use std::sync::Arc;

use ring::digest;

use crate::mail::{
    Address, Candidate, Course, Decision, Level, MessageClass, Method, Refusal, Verdict,
};
pub use facts::{CertificateFact, HeaderFacts, MessageFacts, PartFacts, RecipientFacts};
pub use source::PolicySource;

/// Octets of the policy's hash that a decision keeps.
const HASH_OCTETS: usize = 16;

/// The policy in force, compiled once.
#[derive(Debug, Clone)]
pub struct Policy {
    source: Arc<PolicySource>,
    hash: Arc<str>,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {mend}")]
pub struct PolicyProblem {
    /// The table: `rule`, `domain`, `group`, `user`, `tag`, `exception`, or `` for `[policy]`.
    pub table: &'static str,
    /// Its number among those of its kind, from 0.
    pub index: usize,
    /// The key of it that is at fault; `` for the table as a whole.
    pub key: &'static str,
    /// What is wrong, to follow the place.
    pub what: String,
    /// What to do.
    pub mend: String,
}

/// What a policy wants to know of a message: what it does not need is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Header fields.
    pub header: bool,
    /// MIME parts.
    pub parts: bool,
    /// What the detectors find.
    pub findings: bool,
    /// Whether sender and recipient have met.
    pub first_contact: bool,
    /// How much the account writes.
    pub volume: bool,
}

/// A rule says that a message is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What the client is told.
    pub text: String,
}

impl Policy {
    /// Compiles a policy; all problems at once.
    pub fn compile(source: PolicySource) -> Result<Self, Vec<PolicyProblem>> {
        let text = format!("{source:?}");
        Ok(Self {
            hash: hash(&text).into(),
            source: Arc::new(source),
        })
    }

    /// What it was compiled from.
    pub fn source(&self) -> &PolicySource {
        &self.source
    }

    /// What it wants to know.
    pub fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Whether the message may be taken in at all; asked at the end of DATA, for all its
    /// recipients. Looks at envelope, header and MIME facts only.
    pub fn refuse(&self, _facts: &MessageFacts, _recipients: &[Address]) -> Option<Rejection> {
        None
    }

    /// Decides for recipients of one message, in their order.
    pub fn decide(
        &self,
        message: &MessageFacts,
        recipients: &[RecipientFacts],
    ) -> Vec<Arc<Decision>> {
        let decision = Arc::new(self.decide_one(message));
        vec![decision; recipients.len()]
    }

    fn decide_one(&self, facts: &MessageFacts) -> Decision {
        let base = self.source.base;
        let (level, candidates): (_, Vec<Candidate>) = match facts.class {
            MessageClass::Submitted => {
                let consider = |&method| Candidate {
                    method,
                    verdict: verdict(method, base),
                };
                (base, self.source.methods.iter().map(consider).collect())
            }
            // A bounce of ours carries headers of a kept message, never its content, and goes
            // one way only, whatever the methods for content are.
            MessageClass::Dsn => {
                let verdict = verdict(Method::Tls, Level::Protected);
                let tls = Candidate {
                    method: Method::Tls,
                    verdict,
                };
                (Level::Protected, vec![tls])
            }
        };
        let accepted = |candidate: &&Candidate| candidate.verdict == Verdict::Accepted;
        let course = match candidates.iter().find(accepted) {
            Some(taken) => Course::Send(taken.method),
            None => Course::NoMethod,
        };
        Decision::base(level, candidates, course, Arc::clone(&self.hash))
    }

    /// The first 16 octets of SHA-256 over the policy's canonical text, as hex.
    pub fn hash(&self) -> &Arc<str> {
        &self.hash
    }
}

/// Whether a method can carry a level here. Exhaustive, so that a new method must be judged.
fn verdict(method: Method, level: Level) -> Verdict {
    match method {
        Method::Tls if level.least_grade().is_some() => Verdict::Accepted,
        Method::Tls => Verdict::Refused(Refusal::LevelTooHigh),
        Method::Smime | Method::Portal => Verdict::Refused(Refusal::NotConfigured),
    }
}

fn hash(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(HASH_OCTETS)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}
