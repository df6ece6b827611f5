//! What the portal asks the line: mails that the line composes, replies, and what is to be logged.

use serde::{Deserialize, Serialize};

use crate::mail::{Address, Factor, Language, Level, MessageId, Reference, Timestamp};

/// A request to the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum ToLine {
    /// Mails a code; answered with [`Queued`] once it is durable. How it travelled is told by
    /// [`super::Travelled`].
    Code(AskCode),
    /// Reminds a recipient; answered with [`Queued`].
    Remind(Remind),
    /// Tells an author what became of a message; answered with [`Queued`].
    Report(ReportPickup),
    /// A reply to an author; [`Reply::octets`] of a whole message follow. Answered with [`Queued`]
    /// once it is durable.
    Reply(Reply),
    /// Puts what happened into the delivery log; answered with `null`.
    Event(PickupEvent),
}

impl ToLine {
    /// Octets that follow the line.
    pub fn octets(&self) -> u64 {
        match self {
            Self::Reply(reply) => reply.octets,
            _ => 0,
        }
    }
}

/// A mail is durable in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Its queue id.
    pub queue_id: MessageId,
}

/// A code is to be mailed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskCode {
    /// To whom.
    pub recipient: Address,
    /// The digits.
    pub code: String,
    /// The language of the mail.
    pub language: Language,
    /// Minutes for which the code is good.
    pub minutes: u32,
    /// Whose domain the mail comes from: the author's of the message that it is for. `None`: the
    /// postmaster's.
    pub author: Option<Address>,
}

impl std::fmt::Debug for AskCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AskCode")
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

/// A recipient is to be reminded of what waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remind {
    /// The deposit.
    pub reference: Reference,
    /// The message.
    pub queue_id: MessageId,
    /// Whom.
    pub recipient: Address,
    /// Who wrote it.
    pub author: Address,
    /// The name beside that address.
    pub author_name: Option<String>,
    /// The language of the mail.
    pub language: Language,
    /// When it goes.
    pub expires: Timestamp,
}

/// What an author is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// Not opened yet, and some time has gone by.
    Unread,
    /// Its time was up, and nobody had opened it.
    ExpiredUnread,
}

/// An author is to be told what became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPickup {
    /// What.
    pub kind: ReportKind,
    /// The message.
    pub queue_id: MessageId,
    /// Its Message-ID.
    pub message_id: String,
    /// Whom.
    pub author: Address,
    /// Who did not open it.
    pub recipient: Address,
    /// When it was left there.
    pub deposited: Timestamp,
    /// When it goes, or went.
    pub expires: Timestamp,
}

/// A reply to the author of a message, written in the portal. The line makes its envelope: to the
/// author, from our own address, at `level` at least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The portal's own number of it: the same one again is the same reply.
    pub ticket: u64,
    /// The message that it answers; `None` for one that an outsider began.
    pub queue_id: Option<MessageId>,
    /// Who wrote it: proved to hold that address.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// At least that of what it answers.
    pub level: Level,
    /// Octets of the message that follows: header and body, CRLF.
    pub octets: u64,
}

/// What happened to a deposit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It was opened.
    Opened,
    /// A reply was written.
    Replied,
    /// Its key was overwritten by order.
    Retracted,
    /// Its expiry was moved by order.
    Extended,
    /// Its time was up.
    PortalExpired,
    /// A program looked at its page; nothing changed.
    Probed,
    /// Too many wrong answers: further ones wait.
    LockedOut,
}

/// A line for the delivery log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickupEvent {
    /// What.
    pub event: Happening,
    /// When.
    pub time: Timestamp,
    /// The message.
    pub queue_id: Option<MessageId>,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Who wrote it.
    pub author: Option<Address>,
    /// For whom it is.
    pub recipient: Option<Address>,
    /// By which factors.
    pub factors: Vec<Factor>,
    /// From which address.
    pub client: Option<String>,
    /// Why it counts as a program's doing, or why it was ordered.
    pub reasons: Vec<String>,
    /// Who ordered it.
    pub actor: Option<String>,
    /// Whether it had been opened before it ended.
    pub opened_before: Option<bool>,
}
