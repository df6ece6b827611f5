//! What is guessed, by whom, and how many of it there may be in a day.
//!
//! Owns the numbers; [`super::Guesses`] counts.

use std::time::Duration;

/// What is guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A code to a mailbox.
    MailCode,
    /// A code to a number.
    PhoneCode,
    /// The password of an account.
    Password,
    /// A time-based code.
    Totp,
    /// A recovery code.
    Recovery,
    /// The secret of a message.
    Secret,
}

/// Guesses in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// At a name, from one network.
    pub network: u32,
    /// At a name, from all networks that have not answered right lately.
    pub strangers: u32,
    /// At a name, from those that have.
    pub known: u32,
    /// At a name, in sessions in which the address itself was proved already. Nothing where that
    /// does not occur.
    pub holders: u32,
}

impl Kind {
    /// How many guesses there may be. An app, with six digits, three of them right at a time, and 25
    /// guesses: 7.5 in 10^5 a day, beside another factor. A password: 80. The rest is reckoned in
    /// [`super`].
    pub const fn allowance(self) -> Allowance {
        let (network, strangers, known, holders) = match self {
            // Bound to a browser, whose tries are few: not counted by network.
            Self::MailCode => (0, 400, 80, 0),
            Self::PhoneCode => (0, 60, 20, 0),
            Self::Totp => (5, 10, 5, 10),
            Self::Recovery => (10, 20, 10, 10),
            Self::Secret => (10, 20, 10, 0),
            Self::Password => (10, 50, 10, 20),
        };
        Allowance {
            network,
            strangers,
            known,
            holders,
        }
    }

    /// In a pool: how many are looked at in a day before it is told.
    pub(super) const fn told_at(self, pool: Pool) -> u32 {
        let allowance = self.allowance();
        match pool {
            Pool::Holders => allowance.holders,
            Pool::Known => allowance.known,
            Pool::Few | Pool::Strangers => allowance.strangers,
        }
    }

    /// How long the next guess waits after so many.
    pub(super) const fn pause(self, pool: Pool, used: u32) -> Duration {
        let secs = match (self, pool, used) {
            (Self::Secret, Pool::Few | Pool::Strangers, 0..20) => 0,
            (Self::Secret, Pool::Few, 20..80) => 60,
            (Self::Secret, Pool::Few, _) => 300,
            (Self::Secret, Pool::Strangers, _) => 600,
            _ => 0,
        };
        Duration::from_secs(secs)
    }

    /// How many there may be in a day.
    pub(super) const fn most(self, pool: Pool) -> u32 {
        match (self, pool) {
            (Self::Secret, Pool::Few | Pool::Strangers) => u32::MAX,
            (_, pool) => self.told_at(pool),
        }
    }

    /// Whether it is guessed in the browser only that asked for it.
    pub(super) const fn is_bound(self) -> bool {
        matches!(self, Self::MailCode | Self::PhoneCode)
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::MailCode => "mail-code",
            Self::PhoneCode => "phone-code",
            Self::Password => "password",
            Self::Totp => "totp",
            Self::Recovery => "recovery",
            Self::Secret => "secret",
        }
    }
}

/// Who shares a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// Sessions in which the address itself was proved.
    Holders,
    /// Networks from which a right answer came lately.
    Known,
    /// Of a secret: networks that have hardly tried today.
    Few,
    /// All others.
    Strangers,
}

impl Pool {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Holders => "holders",
            Self::Known => "known",
            Self::Few => "few",
            Self::Strangers => "strangers",
        }
    }
}
