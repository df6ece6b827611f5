//! What somebody has proved in a session, and what is registered for an address.
//!
//! Plain values. A proof of an account carries the time at which the factor that was used had been
//! registered, and the account's generation: after a recovery the proofs of before are worth
//! nothing.

use std::collections::BTreeSet;

use super::ends::Moment;
use crate::mail::{Reference, Timestamp};

/// Messages for which one session keeps the proof of a secret or a number.
pub const MAX_MESSAGES: usize = 100;

/// What was proved by an account. Each factor with the time at which it was registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountProof {
    /// The generation of the account.
    pub generation: u32,
    /// The password.
    pub password: Option<Timestamp>,
    /// A time-based code.
    pub totp: Option<Timestamp>,
    /// A passkey.
    pub passkey: Option<Timestamp>,
    /// A recovery code.
    pub recovery: Option<Timestamp>,
}

impl AccountProof {
    /// Both together, where they are of one generation; else the later one. Of two registration
    /// times of one factor the earlier one stays: it was proved.
    fn and(self, later: Self) -> Self {
        if self.generation != later.generation {
            return later;
        }
        let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self {
            generation: self.generation,
            password: earlier(self.password, later.password),
            totp: earlier(self.totp, later.totp),
            passkey: earlier(self.passkey, later.passkey),
            recovery: earlier(self.recovery, later.recovery),
        }
    }

    /// Whether it shows a way of its own into the account: more than a second factor alone.
    pub const fn signs_in(&self) -> bool {
        self.password.is_some() || self.passkey.is_some()
    }
}

/// What somebody has proved in one session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proofs {
    /// A code to the mailbox, which travelled well enough to count.
    pub mailbox: bool,
    /// What the account's factors showed.
    pub account: Option<AccountProof>,
    secrets: BTreeSet<Reference>,
    phones: BTreeSet<Reference>,
    /// When they were looked up in their session, which may have ended since.
    pub(super) seen: Option<Moment>,
}

/// One thing that was just proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A code to the mailbox.
    Mailbox,
    /// The secret of a message.
    Secret(Reference),
    /// A code to the number of a message.
    Phone(Reference),
    /// A factor of the account.
    Account(AccountProof),
}

impl Proofs {
    /// Adds what was proved.
    pub fn add(&mut self, proof: Proof) {
        let keep = |set: &mut BTreeSet<Reference>, reference| {
            if set.len() >= MAX_MESSAGES && !set.contains(&reference) {
                set.pop_first();
            }
            set.insert(reference);
        };
        match proof {
            Proof::Mailbox => self.mailbox = true,
            Proof::Secret(reference) => keep(&mut self.secrets, reference),
            Proof::Phone(reference) => keep(&mut self.phones, reference),
            Proof::Account(proof) => {
                self.account = Some(self.account.map_or(proof, |earlier| earlier.and(proof)));
            }
        }
    }

    /// Whether the secret of a message was proved.
    pub fn has_secret(&self, reference: &Reference) -> bool {
        self.secrets.contains(reference)
    }

    /// Whether a code to the number of a message was proved.
    pub fn has_phone(&self, reference: &Reference) -> bool {
        self.phones.contains(reference)
    }

    /// Whether the address itself was proved: by its mailbox, or by an account's password or
    /// passkey. Only then may its list of messages and the state of its account be shown.
    pub fn holds_address(&self) -> bool {
        self.mailbox || self.account.is_some_and(|proof| proof.signs_in())
    }

    /// Whether factors of an account of this generation may be registered, changed or removed:
    /// by a factor of the account itself, or by the mailbox where it has none yet.
    pub fn may_change(&self, account: &AccountFacts) -> bool {
        let own = self
            .account
            .filter(|it| it.generation == account.generation);
        let factor = own.is_some_and(|it| {
            it.signs_in() || self.mailbox && (it.totp.is_some() || it.recovery.is_some())
        });
        factor || self.mailbox && account.is_empty()
    }
}

/// What is registered for an address. Each factor with the time of its (earliest) registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountFacts {
    /// Counts the beginnings of the account.
    pub generation: u32,
    /// Messages that were left before this time are not its own; `None`: all are.
    pub sees_from: Option<Timestamp>,
    /// The password.
    pub password: Option<Timestamp>,
    /// The authenticator app.
    pub totp: Option<Timestamp>,
    /// The oldest passkey.
    pub passkey: Option<Timestamp>,
    /// Recovery codes that are left.
    pub recovery: Option<Timestamp>,
}

impl AccountFacts {
    /// Whether nothing is registered.
    pub const fn is_empty(&self) -> bool {
        self.password.is_none()
            && self.totp.is_none()
            && self.passkey.is_none()
            && self.recovery.is_none()
    }

    /// Since when there is a factor that could open what is `restricted`.
    pub fn standing(&self) -> Option<Timestamp> {
        let factors = [self.password, self.totp, self.passkey];
        factors.into_iter().flatten().min()
    }
}
