//! The table of factors: whether what somebody has proved opens a message, and if not, what would.
//!
//! Owns the rule, as a pure function over [`Need`], [`Proofs`] and [`AccountFacts`]. `oracle.rs`
//! writes the table down a second time, and the tests compare both over every combination.
//!
//! Invariants:
//! - While it is not known whose account would be asked (`None`), nothing of it is told and only
//!   the sender's secret opens.
//! - Where `factors` is `restricted` or above, a registration counts only if it is older than
//!   `trusted_before`: somebody who holds nothing but the mailbox never opens such a message,
//!   whatever they register.
//! - A new generation of an account does not open what was deposited before it began; what the
//!   sender gave (secret, number) still does.

use super::proofs::{AccountFacts, AccountProof, Proofs};
use crate::mail::{Factor, Level, Reference, Timestamp};

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Which message: a secret and a number belong to one.
    pub reference: Reference,
    /// The row of the table.
    pub factors: Level,
    /// From when on a registration does not count in the last two rows.
    pub trusted_before: Timestamp,
    /// When it was left here.
    pub deposited: Timestamp,
    /// Whether the sender gave a secret.
    pub secret: bool,
    /// Whether the sender gave a number.
    pub phone: bool,
}

/// What this portal can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Means {
    /// Codes can be sent to numbers.
    pub sms: bool,
}

/// What somebody may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Have a code mailed, and type it.
    MailboxCode,
    /// Set a password: there is no account yet.
    SetPassword,
    /// Type the password of the account.
    Password,
    /// Use a passkey of the account.
    Passkey,
    /// Type the code that the authenticator app shows.
    Totp,
    /// Type the secret that the sender gave.
    Secret,
    /// Have a code sent to the number that the sender gave, and type it.
    PhoneCode,
    /// Type one of the account's recovery codes.
    Recovery,
}

/// Why nothing that somebody could do here would open a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Closed {
    /// It needs what was registered before it came, or what the sender gives.
    #[error(
        "this message can be opened only with a password, an authenticator app or a passkey that \
         was registered before it was sent; ask the sender to send it again with a secret that \
         they tell you by telephone"
    )]
    NothingRegistered,
    /// The account began anew after the message came.
    #[error(
        "this message came before your account was set up anew, and can no longer be opened with \
         it; ask the sender to send it again"
    )]
    OlderThanAccount,
}

/// What follows from what was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It opens; by these factors.
    Open(Vec<Factor>),
    /// Any one of these leads on; the one of least friction first. Never empty.
    Wants(Vec<Step>),
    /// Nothing leads on.
    CannotBeOpened(Closed),
}

/// One way of opening a message: what has to be proved, in the order in which it is asked for.
type Way = &'static [Factor];

const PROTECTED: &[Way] = &[
    &[Factor::Mailbox],
    &[Factor::Passkey],
    &[Factor::Password],
    &[Factor::Secret],
];

const CONFIDENTIAL: &[Way] = &[
    &[Factor::Passkey],
    &[Factor::Secret],
    &[Factor::Mailbox, Factor::Password],
    &[Factor::Mailbox, Factor::Totp],
    &[Factor::Password, Factor::Totp],
    &[Factor::Mailbox, Factor::Phone],
    &[Factor::Mailbox, Factor::Recovery],
    &[Factor::Password, Factor::Recovery],
];

/// Also of what is sealed. The same ways, but registrations have to be old enough.
const RESTRICTED: &[Way] = &[
    &[Factor::Passkey],
    &[Factor::Secret],
    &[Factor::Mailbox, Factor::Phone],
    &[Factor::Mailbox, Factor::Password],
    &[Factor::Mailbox, Factor::Totp],
    &[Factor::Password, Factor::Totp],
    &[Factor::Mailbox, Factor::Recovery],
    &[Factor::Password, Factor::Recovery],
];

/// Judges. `account` is what is registered for the recipient's address, to be given as soon as
/// somebody has proved to hold that address; [`AccountFacts::default`] where nothing is.
pub fn judge(
    need: &Need,
    proofs: &Proofs,
    account: Option<&AccountFacts>,
    means: Means,
) -> Verdict {
    let table = match need.factors {
        Level::Protected => PROTECTED,
        Level::Confidential => CONFIDENTIAL,
        Level::Restricted | Level::Sealed => RESTRICTED,
    };
    let case = Case {
        need,
        proofs,
        account,
        means,
    };
    let open = table
        .iter()
        .find(|way| case.may_go(way) && way.iter().all(|&factor| case.proved(way, factor)));
    if let Some(way) = open {
        return Verdict::Open(way.to_vec());
    }
    let mut ways: Vec<(usize, Step)> = table
        .iter()
        .filter(|way| case.may_go(way))
        .filter_map(|way| case.missing(way))
        .collect();
    // Few steps before many; the sort keeps the order of the table otherwise.
    ways.sort_by_key(|(steps, _)| *steps);
    let mut steps: Vec<Step> = Vec::new();
    for (_, step) in ways {
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    match steps.is_empty() {
        false => Verdict::Wants(steps),
        true if case.is_older() => Verdict::CannotBeOpened(Closed::OlderThanAccount),
        true => Verdict::CannotBeOpened(Closed::NothingRegistered),
    }
}

struct Case<'a> {
    need: &'a Need,
    proofs: &'a Proofs,
    account: Option<&'a AccountFacts>,
    means: Means,
}

impl Case<'_> {
    fn is_older(&self) -> bool {
        let begun = self.account.and_then(|account| account.sees_from);
        begun.is_some_and(|begun| self.need.deposited < begun)
    }

    /// Whether a way may be gone at all by this person for this message.
    fn may_go(&self, way: Way) -> bool {
        let given = way.contains(&Factor::Secret) || way.contains(&Factor::Phone);
        given || !self.is_older()
    }

    fn strict(&self) -> bool {
        self.need.factors >= Level::Restricted
    }

    /// Whether the age of a registration is good enough. Of two factors of an account the second
    /// is the one that does not travel by the mailbox; a password in front of it may be younger.
    fn old_enough(&self, way: Way, factor: Factor, since: Timestamp) -> bool {
        let in_front = way.len() > 1 && way.first() == Some(&factor);
        !self.strict() || in_front || since < self.need.trusted_before
    }

    fn proved(&self, way: Way, factor: Factor) -> bool {
        let registered = |get: fn(&AccountProof) -> Option<Timestamp>| {
            let generation = self.account.map(|account| account.generation);
            let proof = self.proofs.account.as_ref();
            proof
                .filter(|proof| Some(proof.generation) == generation)
                .and_then(get)
                .is_some_and(|since| self.old_enough(way, factor, since))
        };
        match factor {
            Factor::Mailbox => self.proofs.mailbox && self.account.is_some(),
            Factor::Secret => self.need.secret && self.proofs.has_secret(&self.need.reference),
            Factor::Phone => self.need.phone && self.proofs.has_phone(&self.need.reference),
            Factor::Password => registered(|proof| proof.password),
            Factor::Totp => registered(|proof| proof.totp),
            Factor::Passkey => registered(|proof| proof.passkey),
            Factor::Recovery => registered(|proof| proof.recovery),
        }
    }

    /// How many steps a way is from here, and the first of them; `None` where it leads nowhere.
    fn missing(&self, way: Way) -> Option<(usize, Step)> {
        let mut first = None;
        let mut count = 0;
        for &factor in way {
            if self.proved(way, factor) {
                continue;
            }
            let step = self.step(way, factor)?;
            first = first.or(Some(step));
            count += 1;
        }
        first.map(|step| (count, step))
    }

    fn step(&self, way: Way, factor: Factor) -> Option<Step> {
        let registered = |get: fn(&AccountFacts) -> Option<Timestamp>| match self.account {
            // Nothing is told of an account before the address is proved.
            None => true,
            Some(account) => get(account).is_some_and(|since| self.old_enough(way, factor, since)),
        };
        match factor {
            Factor::Mailbox => Some(Step::MailboxCode),
            Factor::Secret => self.need.secret.then_some(Step::Secret),
            Factor::Phone => (self.need.phone && self.means.sms).then_some(Step::PhoneCode),
            Factor::Passkey => registered(|it| it.passkey).then_some(Step::Passkey),
            Factor::Totp => registered(|it| it.totp).then_some(Step::Totp),
            Factor::Recovery => registered(|it| it.recovery).then_some(Step::Recovery),
            Factor::Password if registered(|it| it.password) => Some(Step::Password),
            // The password of the first visit: only beside a mailbox code, only where the row takes
            // what is registered now, and only where there is nothing that it would go around.
            Factor::Password => {
                let first_visit = self.account.is_some_and(AccountFacts::is_empty);
                let beside = way.first() == Some(&Factor::Mailbox);
                (first_visit && beside && !self.strict()).then_some(Step::SetPassword)
            }
        }
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
