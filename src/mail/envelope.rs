//! The envelope of an accepted message: what SMTP said around the content.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Address, Level, MessageId, PickupWishes, RenditionClass, ReversePath, Timestamp, TlsFacts,
};

/// How long a code for the portal is tried to be delivered.
pub const CODE_LIFE: Duration = Duration::from_secs(15 * 60);

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageClass {
    /// An application submitted it.
    Submitted,
    /// We made it: a bounce, or another report to a sender.
    Dsn,
    /// We made it: a reminder of what waits in the portal.
    Notice,
    /// We made it: a code for the portal. It is worth nothing after [`CODE_LIFE`].
    Code,
}

impl MessageClass {
    /// The class of its plain rendition.
    pub const fn rendition_class(self) -> RenditionClass {
        match self {
            Self::Submitted => RenditionClass::Content,
            Self::Dsn => RenditionClass::Dsn,
            Self::Notice => RenditionClass::Notice,
            Self::Code => RenditionClass::Code,
        }
    }

    /// Whether an application submitted it; else it is ours.
    pub const fn is_submitted(self) -> bool {
        matches!(self, Self::Submitted)
    }
}

/// Who handed the message in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The peer's address; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// What it called itself in EHLO or HELO: a claim, never a fact.
    pub helo: String,
    /// The account it acts as.
    pub user: String,
    /// The listener that it came in by, as the configuration names its address.
    pub listener: String,
    /// TLS, where there was.
    pub tls: Option<TlsFacts>,
}

/// The envelope, as the spool keeps it. Recipients are referred to by their index in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Our id of the message.
    pub id: MessageId,
    /// Submitted or made by us.
    pub class: MessageClass,
    /// Where bounces go.
    pub reverse_path: ReversePath,
    /// To whom it goes, in the order given, without repeats. Never empty.
    pub recipients: Vec<Address>,
    /// The address in From: whose domain signs. `None` on a bounce of ours.
    pub author: Option<Address>,
    /// The Message-ID field, as it stands in the content.
    pub message_id: String,
    /// Who handed it in; `None` on a bounce of ours.
    pub client: Option<Client>,
    /// When it was accepted.
    pub received: Timestamp,
    /// Octets of the content as stored (with the Received we added).
    pub size: u64,
    /// Whether the content has octets above 127: the next hop must then offer 8BITMIME.
    pub eight_bit: bool,
    /// What the sender asked for by tags, which were taken out of the content.
    pub tags: Vec<Tag>,
    /// What the sender said for the portal, which was taken out of the content.
    pub pickup: PickupWishes,
}

/// A level that the sender asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The subject tag as the policy writes it; `None` for the `X-Sealpost-Level` field.
    pub text: Option<Arc<str>>,
    /// The level.
    pub level: Level,
}
