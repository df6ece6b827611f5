//! What the line and the operator ask the portal.

use serde::{Deserialize, Serialize};

use crate::mail::{Address, Deposit, Factor, Final, Grade, Level, MessageId, Reference, Timestamp};

/// A request to the portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum ToPortal {
    /// Leaves a message; [`Deposit::octets`] of content follow. Answered with [`Deposited`] once it
    /// is durable. The same queue id and recipient again is the same deposit, whose reference and
    /// expiry become those of this request; the content must be sent all the same.
    Deposit(Box<Deposit>),
    /// Takes a deposit back because its notice failed for good, or another way was taken: its key
    /// is overwritten when this is answered with `null`. One that is not there is no error; one that
    /// was retracted is refused as such, its key overwritten all the same.
    Withdraw {
        /// The message.
        queue_id: MessageId,
        /// For whom it was.
        recipient: Address,
    },
    /// Whether what was left was retracted; answered with `true` or `false`. Asked before content
    /// goes another way.
    WasRetracted {
        /// The message.
        queue_id: MessageId,
        /// For whom it was.
        recipient: Address,
    },
    /// Answered with a [`Standing`].
    Standing {
        /// Whose.
        recipient: Address,
    },
    /// How a mail of ours for the portal travelled; answered with `null`.
    Travelled(Travelled),
    /// Deposits; answered with a [`PickupPage`].
    PickupList(PickupFilter),
    /// One message's deposits; answered with a list of [`PickupDetail`].
    PickupShow {
        /// A reference, or a queue id.
        name: String,
    },
    /// Overwrites the keys of deposits; answered with a list of [`Ordered`].
    PickupRetract(PickupOrder),
    /// Gives deposits another expiry; answered with a list of [`Ordered`].
    PickupExtend(PickupOrder),
}

impl ToPortal {
    /// Octets that follow the line.
    pub fn octets(&self) -> u64 {
        match self {
            Self::Deposit(deposit) => deposit.octets,
            _ => 0,
        }
    }
}

/// A message is in the portal, durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposited {
    /// What it is called there.
    pub reference: Reference,
    /// Whether it was there before.
    pub again: bool,
}

/// What the portal knows of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Since when its account has a factor that could open what is `restricted`; `None` where it has
    /// none.
    pub registered: Option<Timestamp>,
}

/// How a mail of ours travelled, once it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Travelled {
    /// As the line answered when it took the mail.
    pub queue_id: MessageId,
    /// How it ended.
    pub ended: Final,
    /// The grade of the connection that it was delivered on.
    pub grade: Option<Grade>,
    /// It was a reply, or a message that somebody began in the portal; else a code. A reply is told
    /// until the portal has answered: where it does not know yet whose mail this is, it refuses
    /// for now.
    #[serde(default)]
    pub reply: bool,
}

/// Which deposits are meant. Every part that is given must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PickupFilter {
    /// For this recipient.
    pub recipient: Option<String>,
    /// From this author.
    pub author: Option<String>,
    /// For recipients of this domain.
    pub domain: Option<String>,
    /// In this state.
    pub state: Option<DepositState>,
    /// Behind this one, in the order of the page before.
    pub after: Option<Reference>,
    /// How many at most; 0 for as many as a page has.
    pub limit: u32,
}

/// Where a deposit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DepositState {
    /// Nobody has opened it.
    Waiting,
    /// It was opened, and can be again.
    Opened,
    /// Its key was overwritten by order of the sender's side.
    Retracted,
    /// Its time was up, and its key was overwritten.
    Expired,
    /// Its notice failed, or it went another way, and its key was overwritten.
    Withdrawn,
}

impl DepositState {
    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Opened => "opened",
            Self::Retracted => "retracted",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A page of deposits, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickupPage {
    /// The deposits.
    pub items: Vec<PickupItem>,
    /// Ask again with this as `after`, if there may be more.
    pub next: Option<Reference>,
}

/// A deposit in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickupItem {
    /// Its name.
    pub reference: Reference,
    /// The message.
    pub queue_id: MessageId,
    /// Who wrote it.
    pub author: Address,
    /// For whom it is.
    pub recipient: Address,
    /// What it needs.
    pub level: Level,
    /// The level whose row of factors applies.
    pub factors: Level,
    /// Where it stands.
    pub state: DepositState,
    /// When it came to be there.
    pub deposited: Timestamp,
    /// When it was first opened.
    pub opened: Option<Timestamp>,
    /// When it goes, or went.
    pub expires: Timestamp,
    /// Octets of the content.
    pub octets: u64,
}

/// All that is known of a deposit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickupDetail {
    /// As in a list.
    #[serde(flatten)]
    pub item: PickupItem,
    /// The openings, oldest first; the first and the last ones where there were many.
    pub accesses: Vec<Access>,
    /// How often it was opened.
    pub openings: u32,
    /// Replies that were sent to it.
    pub replies: u32,
    /// When its key was overwritten.
    pub ended: Option<Timestamp>,
    /// Who retracted or extended it last, and why.
    pub order: Option<Lease>,
    /// Whether it was ever opened before its key was overwritten: the proof of a retraction.
    pub opened_before_end: Option<bool>,
}

/// An opening of a deposit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// When.
    pub time: Timestamp,
    /// By which factors.
    pub factors: Vec<Factor>,
    /// From which address.
    pub client: String,
    /// Whether it looks like a person; with the reasons where it does not.
    pub automated: Vec<String>,
    /// What was done: `read`, `attachment`, `download`, `print`.
    pub what: String,
}

/// An order that a deposit carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// An order about deposits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PickupOrder {
    /// A reference, or a queue id: all recipients of that message, or the one below.
    pub name: String,
    /// Only this recipient's.
    #[serde(default)]
    pub recipient: Option<String>,
    /// The new expiry, where they are extended.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// That expiry counts also where it is earlier than the present one.
    #[serde(default)]
    pub may_shorten: bool,
    /// Who orders it: told by the system where it can be.
    #[serde(default)]
    pub actor: String,
    /// Why, for the record.
    #[serde(default)]
    pub reason: String,
}

/// What an order came to for a deposit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The deposit as it stands now.
    pub item: PickupItem,
    /// Whether the order changed it.
    pub changed: bool,
    /// Whether it had been opened before that.
    pub opened_before: bool,
}
