//! What a session is in the middle of, and what it knows of its client.

use std::collections::HashSet;

use super::{Channel, Hello, Transaction};
use crate::mail::{Address, ReversePath, Timestamp};
use crate::proto::smtp::data::DataReader;
use crate::proto::smtp::sasl::Exchange;

/// What is known of the client, whatever the state.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) channel: Channel,
    pub(super) hello: Option<Hello>,
    pub(super) identified: bool,
    pub(super) errors: u32,
    pub(super) refused_recipients: u32,
    pub(super) auth_failures: u32,
}

#[derive(Debug)]
pub(super) enum State {
    Idle,
    Handshaking,
    Sasl(Exchange),
    Verifying,
    Penalty { until: Timestamp },
    AskingSender(Open),
    Open(Open),
    Opening(Open),
    Data(Receiving),
    Committing { reverse_path: ReversePath },
    Closed,
}

/// An open transaction.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) transaction: Transaction,
    /// The recipients again, to find repeats.
    pub(super) seen: HashSet<Address>,
    /// RCPT was tried at least once.
    pub(super) tried: bool,
}

/// A transaction whose content comes in.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) transaction: Transaction,
    pub(super) reader: DataReader,
    pub(super) began: Timestamp,
    /// A fault was found and the driver was told.
    pub(super) abandoned: bool,
}

impl State {
    /// Whether the next move is the client's.
    pub(super) fn waits_for_client(&self) -> bool {
        match self {
            Self::Idle | Self::Sasl(_) | Self::Open(_) | Self::Data(_) => true,
            Self::Handshaking
            | Self::Verifying
            | Self::Penalty { .. }
            | Self::AskingSender(_)
            | Self::Opening(_)
            | Self::Committing { .. }
            | Self::Closed => false,
        }
    }

    /// When it is left by itself; `deadline` is the client's.
    pub(super) fn timeout(&self, deadline: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Penalty { until } => Some(*until),
            state => state.waits_for_client().then_some(deadline),
        }
    }
}

/// The command changed nothing.
pub(super) fn stay(open: Option<Open>) -> State {
    match open {
        Some(open) => State::Open(open),
        None => State::Idle,
    }
}
