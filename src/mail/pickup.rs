//! Picking a message up in the portal: what is left there, and by which proof it is opened.
//!
//! Owns the words that both ends speak: the line, which leaves messages in the portal, and the
//! portal, which hands them out. Secrets here have no `Display` and a `Debug` that hides.

mod language;
mod notice;
mod reference;
mod secret;

use serde::{Deserialize, Serialize};

use super::{Address, Level, MessageId, Timestamp};

pub use language::{Language, LanguageError};
pub use notice::Notice;
pub use reference::{REFERENCE_OCTETS, Reference, ReferenceError};
pub use secret::{PhoneError, PhoneNumber, SecretError, SenderSecret};

/// What a sender said of how a recipient proves who they are, in fields that were taken out of the
/// message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PickupWishes {
    /// A secret that the sender tells the recipients by another way: `X-Sealpost-Secret`.
    pub secret: Option<SenderSecret>,
    /// Where a code may be sent: `X-Sealpost-Phone`.
    pub phone: Option<PhoneNumber>,
    /// The language of the recipients: `X-Sealpost-Language`.
    pub language: Option<Language>,
}

/// Something by which a person proves who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// A code that was mailed to the address, on a connection of the grade `any` at least.
    Mailbox,
    /// The password of the account.
    Password,
    /// The secret that the sender gave for this message.
    Secret,
    /// A time-based code of the account (RFC 6238).
    Totp,
    /// A passkey of the account (WebAuthn).
    Passkey,
    /// A code that was sent to the number that the sender gave for this message.
    Phone,
    /// One of the account's recovery codes.
    Recovery,
}

impl Factor {
    /// The word in log lines and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Password => "password",
            Self::Secret => "secret",
            Self::Totp => "totp",
            Self::Passkey => "passkey",
            Self::Phone => "phone",
            Self::Recovery => "recovery",
        }
    }
}

/// What is known, when a message is decided, of the ways in which a recipient could open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PickupFacts {
    /// The sender gave a secret.
    #[serde(default)]
    pub secret: bool,
    /// The sender gave a number, and codes can be sent to numbers.
    #[serde(default)]
    pub phone: bool,
    /// The address has an account whose factors were registered before the message was accepted
    /// and before a downgrade was suspected; `None` if nobody asked, or the portal did not answer.
    #[serde(default)]
    pub registered: Option<bool>,
}

/// What a recipient will open a message by, which settles what its notice demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PickupBy {
    /// A code to the mailbox: it travels the way that the notice does, and counts only where that
    /// is the grade `any` or better. So the notice demands it too.
    Mailbox,
    /// Something that does not travel by that mailbox: a secret, a number, an earlier registration.
    Apart,
}

/// What is left in the portal beside the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// What the notice calls it. Not a secret.
    pub reference: Reference,
    /// The message; with the recipient this names the deposit: another one is the same one.
    pub queue_id: MessageId,
    /// For whom.
    pub recipient: Address,
    /// Who wrote it.
    pub author: Address,
    /// Whether a reply can go there: not where the author is who replied in the portal.
    #[serde(default = "yes")]
    pub answerable: bool,
    /// The name beside that address, where it is fit to be shown.
    pub author_name: Option<String>,
    /// Its Message-ID, for replies.
    pub message_id: String,
    /// When it was accepted from the sender.
    pub accepted: Timestamp,
    /// Octets of the content, which follows.
    pub octets: u64,
    /// What it needs.
    pub level: Level,
    /// The level whose row of factors applies: at least `level`.
    pub factors: Level,
    /// What was registered at this time or later does not count where `factors` is `restricted` or
    /// above: whoever caused the fallback may have registered it.
    pub trusted_before: Timestamp,
    /// What the sender said.
    pub wishes: PickupWishes,
    /// The language that the notice was written in.
    pub language: Language,
    /// When it goes.
    pub expires: Timestamp,
}

const fn yes() -> bool {
    true
}
