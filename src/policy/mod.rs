//! How each recipient is protected, and why. Pure.
//!
//! Owns the choice of the level and of the method. Never looks anything up: facts come in, a
//! decision with its reasons goes out, the same for the same facts. What a method must reach for
//! a level stands in [`Level::least_grade`]; nothing here can lower it.

use ring::digest;

use crate::mail::{Candidate, Decision, Level, MessageClass, Method, Refusal, Verdict};

/// Octets of the policy's hash that a decision keeps.
const HASH_OCTETS: usize = 16;

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    base: Level,
    methods: Vec<Method>,
    hash: String,
}

/// What is known when a recipient is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Submitted, or a bounce of ours.
    pub class: MessageClass,
}

impl Policy {
    /// Every message needs at least `base`; `methods` are tried in their order. A method named
    /// twice counts once.
    pub fn new(base: Level, methods: Vec<Method>) -> Self {
        let mut unique: Vec<Method> = Vec::with_capacity(methods.len());
        for method in methods {
            if !unique.contains(&method) {
                unique.push(method);
            }
        }
        let hash = hash(&canonical(base, &unique));
        Self {
            base,
            methods: unique,
            hash,
        }
    }

    /// Decides for one recipient.
    pub fn decide(&self, facts: &Facts) -> Decision {
        let (level, candidates) = match facts.class {
            MessageClass::Submitted => {
                let consider = |&method| Candidate {
                    method,
                    verdict: verdict(method, self.base),
                };
                (self.base, self.methods.iter().map(consider).collect())
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
        Decision {
            level,
            method: candidates.iter().find(accepted).map(|taken| taken.method),
            candidates,
            policy: self.hash.clone(),
        }
    }

    /// The first 16 octets of SHA-256 over the policy's canonical text, as hex.
    pub fn hash(&self) -> &str {
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

/// The policy as text: the same for the same policy, and different for a different one.
fn canonical(base: Level, methods: &[Method]) -> String {
    let methods: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    format!("policy 1\nbase={base}\nmethods={}\n", methods.join(","))
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Method; 3] = [Method::Tls, Method::Smime, Method::Portal];

    fn decide(base: Level, methods: &[Method], class: MessageClass) -> Decision {
        Policy::new(base, methods.to_vec()).decide(&Facts { class })
    }

    #[test]
    fn content_by_level_and_order() {
        use Level::{Confidential, Protected, Restricted, Sealed};
        use Method::{Portal, Smime, Tls};
        let accepted = Verdict::Accepted;
        let absent = Verdict::Refused(Refusal::NotConfigured);
        let too_high = Verdict::Refused(Refusal::LevelTooHigh);
        for (base, methods, method, verdicts) in [
            (
                Protected,
                &ALL[..],
                Some(Tls),
                vec![&accepted, &absent, &absent],
            ),
            (
                Confidential,
                &ALL[..],
                Some(Tls),
                vec![&accepted, &absent, &absent],
            ),
            (
                Restricted,
                &ALL[..],
                Some(Tls),
                vec![&accepted, &absent, &absent],
            ),
            (Sealed, &ALL[..], None, vec![&too_high, &absent, &absent]),
            (
                Protected,
                &[Smime, Tls][..],
                Some(Tls),
                vec![&absent, &accepted],
            ),
            (Protected, &[Portal][..], None, vec![&absent]),
            (Protected, &[][..], None, vec![]),
            (Protected, &[Tls, Tls][..], Some(Tls), vec![&accepted]),
        ] {
            let decision = decide(base, methods, MessageClass::Submitted);
            assert_eq!(decision.level, base);
            assert_eq!(decision.method, method, "{base} {methods:?}");
            let found: Vec<&Verdict> = decision.candidates.iter().map(|c| &c.verdict).collect();
            assert_eq!(found, verdicts, "{base} {methods:?}");
        }
    }

    #[test]
    fn a_dsn_goes_by_tls_at_protected_whatever_the_methods() {
        for base in [Level::Protected, Level::Sealed] {
            for methods in [&ALL[..], &[Method::Portal][..]] {
                let decision = decide(base, methods, MessageClass::Dsn);
                assert_eq!(decision.level, Level::Protected);
                assert_eq!(decision.method, Some(Method::Tls));
                assert_eq!(decision.candidates.len(), 1);
            }
        }
    }

    #[test]
    fn a_policy_never_decides_below_its_base() {
        for base in [
            Level::Protected,
            Level::Confidential,
            Level::Restricted,
            Level::Sealed,
        ] {
            let decision = decide(base, &ALL, MessageClass::Submitted);
            assert!(decision.level >= base);
            if decision.method == Some(Method::Tls) {
                assert!(base.least_grade().is_some());
            }
        }
    }

    #[test]
    fn the_hash_names_the_policy() {
        let hash = |base, methods: &[Method]| Policy::new(base, methods.to_vec()).hash().to_owned();
        let one = hash(Level::Protected, &ALL);
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(one, hash(Level::Protected, &ALL));
        assert_ne!(one, hash(Level::Confidential, &ALL));
        assert_ne!(
            one,
            hash(
                Level::Protected,
                &[Method::Smime, Method::Tls, Method::Portal]
            )
        );
        assert_ne!(one, hash(Level::Protected, &ALL[..2]));
        let decision = decide(Level::Protected, &ALL, MessageClass::Submitted);
        assert_eq!(decision.policy, one);
    }
}
