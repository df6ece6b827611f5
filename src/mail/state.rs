//! Where a recipient stands, as the spool keeps it and the operator sees it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Status, Timestamp};

/// Why a recipient waits for another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeferReason {
    /// No channel reached the grade that the content demands.
    Security,
    /// A domain known to offer TLS suddenly lacked it.
    DowngradeSuspected,
    /// The site's limits, or nobody answered there.
    Site,
    /// The remote said 4yz.
    Temporary,
    /// Names could not be resolved.
    Dns,
    /// Something of ours was missing or failed (a key, the spool).
    Local,
}

impl DeferReason {
    /// The word in log lines and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::DowngradeSuspected => "downgrade_suspected",
            Self::Site => "site",
            Self::Temporary => "temporary",
            Self::Dns => "dns",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for DeferReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a recipient ended. Each has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Final {
    /// The next hop took it.
    Delivered,
    /// It waits in the portal, and the notice was accepted.
    Deposited,
    /// Refused for good.
    Bounced,
    /// Its time ran out.
    Expired,
    /// A person ended it.
    Cancelled,
    /// The address is not to be written to.
    Suppressed,
}

impl Final {
    /// The word in log lines and tables; also the event's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deposited => "deposited",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Suppressed => "suppressed",
        }
    }
}

/// The hold of a DSN of ours that could not be delivered: no expiry, never dropped. No rule may have
/// this name.
pub const UNDELIVERABLE_DSN: &str = "undeliverable_dsn";
/// The hold that a person put on; undone by a release. No rule may have this name.
pub const OPERATOR_HOLD: &str = "operator";

/// The durable part of a recipient's state. `attempting` is not here: it exists in memory only,
/// and a process that dies while attempting comes back to the state before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecipientState {
    /// Accepted; policy has not decided yet.
    Queued,
    /// Decided, sealed and signed; due now.
    Ready,
    /// Waits for its next attempt.
    Deferred {
        /// Why.
        reason: DeferReason,
        /// When it is tried again.
        next_attempt: Timestamp,
    },
    /// Waits for a person; keeps its expiry.
    Held {
        /// The name of the hold.
        name: String,
    },
    /// Ended.
    Final(Final),
}

impl RecipientState {
    /// The word in log lines and tables.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ready => "ready",
            Self::Deferred { .. } => "deferred",
            Self::Held { .. } => "held",
            Self::Final(ended) => ended.as_str(),
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Final(_))
    }
}

/// A recipient's durable record: absolute values, so that replaying one twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientRecord {
    /// Where it stands.
    pub state: RecipientState,
    /// Attempts made so far.
    pub attempts: u32,
    /// The latest that was learnt, if anything.
    pub last: Option<Status>,
    /// Whether the sender has been told of a delay.
    pub warned: bool,
    /// The holds that a person has released, by name.
    pub released: Vec<Arc<str>>,
    /// Since when the domain offers less than is known of it.
    pub suspected_since: Option<Timestamp>,
}

impl RecipientRecord {
    /// A recipient that was just accepted.
    pub const fn queued() -> Self {
        Self {
            state: RecipientState::Queued,
            attempts: 0,
            last: None,
            warned: false,
            released: Vec::new(),
            suspected_since: None,
        }
    }

    /// Brings the next attempt forward to `latest` if it lies behind it: it was written under a
    /// clock that ran ahead.
    pub fn wait_until_at_most(&mut self, latest: Timestamp) {
        if let RecipientState::Deferred { next_attempt, .. } = &mut self.state {
            *next_attempt = (*next_attempt).min(latest);
        }
    }
}
