//! How each recipient is protected, and why. Pure.
use crate::mail::{Candidate, Decision, Level, Method, Refusal, RenditionClass, Verdict};
pub struct Facts {
    pub class: RenditionClass,
}
pub struct Policy {
    base: Level,
    methods: Vec<Method>,
    hash: String,
}
impl Policy {
    pub fn new(base: Level, methods: Vec<Method>) -> Self {
        Self {
            base,
            methods,
            hash: String::new(),
        }
    }
    pub fn decide(&self, _facts: &Facts) -> Decision {
        Decision {
            level: self.base,
            candidates: vec![Candidate {
                method: Method::Tls,
                verdict: Verdict::Accepted,
            }],
            method: Some(Method::Tls),
            policy: self.hash.clone(),
        }
    }
    pub fn hash(&self) -> &str {
        &self.hash
    }
}
