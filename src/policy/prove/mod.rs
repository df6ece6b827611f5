//! `policy prove`: no combination of facts leads content to a channel below its demand.
//!
//! Runs every combination through the engine itself (who asks for a level, the choice, the
//! demand, the terms) and compares what would leave with [`oracle`], which states the tables
//! once more. What it does not do is read rules as a person would: whether a rule says what was
//! meant is for `explain`, `replay` and `diff`. Nor does it run the conditions of rules, or the index
//! that finds the rules to ask: it takes each rule as matching. That the engine matches what a plain
//! reading matches is for the property tests (`tests/policy/properties.rs`).
//!
//! **Why the space is finite, and small.** A decision is a function of: the level; whether a rule
//! holds; the settings of the domain and the account (methods in order, TLS not enough, pins,
//! post-quantum); the entries of the register for the recipient; what is configured; the class;
//! how TLS stands, and whether a downgrade was suspected before; the certificate; what opens the portal
//! (a secret, a number, a registration); the time.
//! `choose` takes these and nothing else, so names of rules, domains and accounts do not matter
//! beyond them, and each distinct value is tried once: 10,000 rules are one space. That names lead
//! to the right values is checked apart, once for each rule, section, account and entry: the
//! engine's look-up against a plain reading of the source. Pins are tried with a host inside and one
//! outside of them. Times matter only by their order: an exception is tried just before its expiry,
//! at it and after, a suspected downgrade just before the end of the hold, at it and after. Who asks
//! for a level matters only by the level: all short sequences, and every set of kinds of askers, are
//! tried.

mod algebra;
mod inherited;
mod oracle;
mod space;

use std::fmt;

use serde::Serialize;

use super::Policy;
use super::judge::{Judge, Standard};
use crate::mail::{ExceptionUse, Level, Timestamp};

/// Most holes that are told. One is enough to stop.
pub const MAX_HOLES: usize = 16;

/// What proving a policy showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Combinations that were tried.
    pub count: u64,
    /// The register, in its order.
    pub exceptions: Vec<Registered>,
    /// Where something would leave that must not; at most [`MAX_HOLES`].
    pub holes: Vec<Witness>,
}

/// An entry of the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// The entry.
    pub entry: ExceptionUse,
    /// Who else answers for it.
    pub second_owner: Option<String>,
    /// Whether it does anything.
    pub state: RegisterState,
}

/// Whether an entry of the register does anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisterState {
    /// It does.
    Active,
    /// Not any more.
    Expired,
    /// Not as the rest of the policy stands; why.
    Inert(String),
}

impl fmt::Display for RegisterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("active"),
            Self::Expired => f.write_str("expired"),
            Self::Inert(why) => write!(f, "inert: {why}"),
        }
    }
}

/// A combination of facts that leads where it must not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// The facts.
    pub facts: String,
    /// What the engine made of them.
    pub decision: String,
    /// Why that must not be.
    pub why: String,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.why, self.facts, self.decision)
    }
}

/// What has been tried and found so far.
#[derive(Debug, Default)]
struct Tally {
    count: u64,
    holes: Vec<Witness>,
}

impl Tally {
    /// Counts a combination; `hole` says what is wrong with it.
    fn tried(&mut self, hole: Option<Witness>) {
        self.count += 1;
        if let Some(hole) = hole
            && self.holes.len() < MAX_HOLES
        {
            self.holes.push(hole);
        }
    }

    fn is_full(&self) -> bool {
        self.holes.len() >= MAX_HOLES
    }
}

/// Proves a policy as the product judges. `now` is for the register's list only.
pub fn prove(policy: &Policy, now: Timestamp) -> Proof {
    prove_by(policy, &Standard, now)
}

/// Proves a policy by another judge's word: a fault planted in one judgement must be found.
pub fn prove_by<J: Judge>(policy: &Policy, judge: &J, now: Timestamp) -> Proof {
    let mut tally = Tally::default();
    algebra::levels(judge, &mut tally);
    algebra::classes(judge, &mut tally);
    inherited::rules(policy, judge, &mut tally);
    inherited::domains(policy, &mut tally);
    inherited::accounts(policy, &mut tally);
    inherited::register(policy, &mut tally);
    space::decisions(policy, judge, &mut tally);
    Proof {
        count: tally.count,
        exceptions: registered(policy, now),
        holes: tally.holes,
    }
}

fn registered(policy: &Policy, now: Timestamp) -> Vec<Registered> {
    let source = policy.source();
    let warnings = policy.warnings(now);
    let state = |index: usize, expires: Timestamp| {
        if expires <= now {
            return RegisterState::Expired;
        }
        let inert = warnings
            .iter()
            .find(|warning| warning.table == "exception" && warning.index == index);
        match inert {
            Some(warning) => RegisterState::Inert(warning.what.clone()),
            None => RegisterState::Active,
        }
    };
    let entries = source.exceptions.iter().enumerate();
    entries
        .map(|(index, exception)| Registered {
            entry: exception.entry(),
            second_owner: exception.second_owner.clone(),
            state: state(index, exception.expires),
        })
        .collect()
}

/// All levels from `base` up.
fn levels_from(base: Level) -> impl Iterator<Item = Level> {
    Level::ALL
        .into_iter()
        .filter(move |level| oracle::rank(*level) >= oracle::rank(base))
}
