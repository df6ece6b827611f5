//! What an attempt came to, recipient by recipient: the relay says it, the queue and the report
//! act on it.

use std::net::SocketAddr;

use super::{DeferReason, Domain, Grade, Status, TlsFacts};

/// The connection that an outcome was learnt on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The domain, or the route's host, that we were heading for.
    pub next_hop: Domain,
    /// The MX host.
    pub mx: Domain,
    /// Its address; `None` if none was reached.
    pub address: Option<SocketAddr>,
    /// The grade that this connection reached for the domain.
    pub grade: Grade,
    /// The handshake's facts, where there was one.
    pub tls: Option<TlsFacts>,
}

/// An MX host that did not reach what the rendition demands. No MAIL was sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortHost {
    /// The host.
    pub hop: Hop,
    /// What it lacked, in plain words.
    pub why: String,
}

/// What an attempt came to for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop answered 250 to the content.
    Delivered(Status),
    /// Not now.
    Deferred {
        /// Why.
        reason: DeferReason,
        /// What was learnt.
        status: Status,
    },
    /// Never.
    Bounced(Status),
    /// Sealed it is larger than the server takes: policy looks again for another method. Where there
    /// is none, it is the end.
    TooLarge(Status),
    /// The portal does not take the message, and would not tomorrow: policy looks again for another
    /// method. Where there is none, it is the end.
    NotDeposited(Status),
    /// The policy has changed since the message was prepared: nothing was tried.
    Replan,
    /// No reachable host was good enough: policy looks again.
    Shortfall {
        /// The grade demanded.
        required: Grade,
        /// What the domain is known to offer; `None` where nothing is known. A domain that falls
        /// short of what is known of it may be under attack.
        expected: Option<Grade>,
        /// What each host lacked, best first. Never empty.
        hosts: Vec<ShortHost>,
        /// The same for log and DSN.
        status: Status,
    },
}

/// A recipient's outcome and the connection it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientOutcome {
    /// Its index in the envelope.
    pub recipient: u32,
    /// What it came to.
    pub outcome: Outcome,
    /// Where it was learnt; `None` if no host was found.
    pub hop: Option<Hop>,
    /// The content was sent whole and the reply never came: the peer may have it (RFC 1047).
    pub duplicate_possible: bool,
}

impl RecipientOutcome {
    /// The same where no other method is left: what is too large when sealed is bounced, and so is
    /// what the portal does not take.
    pub fn ended(self) -> Self {
        let outcome = match self.outcome {
            Outcome::TooLarge(status) | Outcome::NotDeposited(status) => Outcome::Bounced(status),
            other => other,
        };
        Self { outcome, ..self }
    }
}
