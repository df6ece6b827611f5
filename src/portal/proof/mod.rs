//! Who somebody is: factors, codes, accounts, sessions, throttling.
//!
//! Owns the rule of which factors open which message ([`judge`]), the codes ([`codes`]), the
//! accounts ([`accounts`]), the sessions ([`sessions`]) and how often any of it may be tried
//! ([`throttle`], [`guesses`]). [`Desk`] is the one place at which somebody shows a factor.
//!
//! Invariants:
//! - A wrong answer is counted, durably, before it is told. Failures delay; they destroy nothing.
//! - What is known and what is not costs the same and is answered the same.
//! - An address is whose mailbox it names, by [`Address::mailbox_key`]: neither letter case nor quotes
//!   that say nothing make another account, session, code or count. What was typed is never mailed to.
//! - Secrets are kept as hashes, or sealed in the tables; never in a log line, an error or `Debug`.

pub mod accounts;
pub mod codes;
mod desk;
mod ends;
pub mod guesses;
mod judge;
pub mod passwords;
pub mod phone;
mod proofs;
pub mod sessions;
pub mod throttle;
pub mod totp;
pub mod webauthn;

pub use accounts::{AccountError, AccountView, Accounts, PasskeyView, RecoveryCodes, Removed};
pub use codes::{Channel, CodeText, Codes, Issued};
pub use desk::{Asked, Caller, Desk, DeskOptions, Tried, Trying, Typed};
pub use ends::{Ends, Moment};
pub use judge::{Closed, Means, Need, Step, Verdict, judge};
pub use passwords::{Passwords, WeakPassword};
pub use proofs::{AccountFacts, AccountProof, Proof, Proofs};
pub use sessions::{Bounds as SessionBounds, Session, Sessions, Token, Visit};
pub use throttle::{Network, Throttle, TooOften};

use crate::mail::Address;
use crate::tables::TableError;

/// Whether two addresses name one mailbox, however they are written.
pub fn same_mailbox(one: &Address, other: &Address) -> bool {
    one.domain() == other.domain() && one.mailbox_key() == other.mailbox_key()
}

/// What keeps a factor from being looked at, or registered.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The system gave no random octets.
    #[error("the system gave no random octets")]
    Random,
    /// The tables failed.
    #[error("the tables of the portal failed")]
    Tables(#[from] TableError),
    /// Too many passwords wait to be checked.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The session was ended before it was done.
    #[error("the session was ended before it was done")]
    Ended,
    /// A password could not be hashed.
    #[error("a password could not be hashed")]
    Hash,
}

impl From<crate::journal::CryptError> for ProofError {
    fn from(_: crate::journal::CryptError) -> Self {
        Self::Random
    }
}

#[cfg(test)]
pub(super) mod tests_support;
