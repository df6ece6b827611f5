//! The table of factors, written out once more from the security model, in other words.
//!
//! Owns a second opinion. It shares nothing with the engine: no list of ways, no order of levels,
//! no search. It says whether a message opens, and whether a step could lead on, by writing each
//! row of the table as a sentence.

use super::{Means, Need, Step};
use crate::mail::Level;
use crate::portal::proof::proofs::{AccountFacts, Proofs};

/// Whether the message opens.
pub(super) fn opens(need: &Need, proofs: &Proofs, account: Option<&AccountFacts>) -> bool {
    if need.secret && proofs.has_secret(&need.reference) {
        return true; // in every row
    }
    let Some(account) = account else {
        return false;
    };
    let own = proofs
        .account
        .filter(|it| it.generation == account.generation);
    let own = own.unwrap_or_default();
    let older = account.sees_from.is_some_and(|from| need.deposited < from);
    let number = need.phone && proofs.has_phone(&need.reference) && proofs.mailbox;
    let any = |time: Option<crate::mail::Timestamp>| time.is_some();
    let old =
        |time: Option<crate::mail::Timestamp>| time.is_some_and(|it| it < need.trusted_before);
    match need.factors {
        // "mailbox code (or anything stronger)"
        Level::Protected => !older && (proofs.mailbox || any(own.password) || any(own.passkey)),
        // "mailbox code + password set on the first visit, or a secret the sender gave, or
        // anything stronger"
        Level::Confidential => {
            let two = any(own.password) && proofs.mailbox;
            let app = (any(own.totp) || any(own.recovery)) && (proofs.mailbox || any(own.password));
            number || !older && (two || any(own.passkey) || app)
        }
        // "a factor that does not travel by that mailbox"
        Level::Restricted | Level::Sealed => {
            let two = old(own.password) && proofs.mailbox;
            let app = (old(own.totp) || old(own.recovery)) && (proofs.mailbox || any(own.password));
            number || !older && (two || old(own.passkey) || app)
        }
    }
}

/// Whether a step makes sense at all: there is something to show, and it is not shown yet or must
/// be shown better.
pub(super) fn is_sensible(
    step: Step,
    need: &Need,
    account: Option<&AccountFacts>,
    means: Means,
) -> bool {
    let has = |get: fn(&AccountFacts) -> bool| account.is_none_or(get);
    match step {
        Step::MailboxCode => true,
        Step::SetPassword => {
            let none = account.is_some_and(AccountFacts::is_empty);
            none && need.factors == Level::Confidential
        }
        Step::Password => has(|it| it.password.is_some()),
        Step::Passkey => has(|it| it.passkey.is_some()),
        Step::Totp => has(|it| it.totp.is_some()),
        Step::Recovery => has(|it| it.recovery.is_some()),
        Step::Secret => need.secret,
        Step::PhoneCode => need.phone && means.sms,
    }
}
