//! What the line and the portal say to each other, over a Unix socket each way.
//!
//! Owns the requests, their answers, and the framing: a request is one line of JSON, followed by
//! as many raw octets as its `octets` says, if it has any; an answer is one line of JSON. One
//! answer a request, in order, any number of requests on a connection. Pure: octets in, values out.
//! Bounds: [`MAX_LINE_OCTETS`], and the octets that whoever reads allows.
//!
//! Neither end trusts the other further than it must: the line composes every mail itself, from
//! its own texts, and the portal can have nothing sent but those, and replies to the author of a
//! message that was left there.

mod frame;
mod to_line;
mod to_portal;

use serde::{Deserialize, Serialize};

pub use frame::{Decoder, FrameError, MAX_LINE_OCTETS, encode};
pub use to_line::{
    AskCode, Happening, PickupEvent, Queued, Remind, Reply, ReportKind, ReportPickup, ToLine,
};
pub use to_portal::{
    Access, DepositState, Deposited, Lease, Ordered, PickupDetail, PickupFilter, PickupItem,
    PickupOrder, PickupPage, Standing, ToPortal, Travelled,
};

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// What was asked for.
    Ok(T),
    /// It was not to be had.
    Error(Refusal),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: no address, no subject, no secret.
    pub text: String,
}

/// Why there is no answer, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is not understood.
    BadRequest,
    /// There is no such thing.
    NotFound,
    /// It is against a rule or over a bound, and will be tomorrow.
    Refused,
    /// What it is about was retracted by order of the sender's side: it is not to go any other way.
    Retracted,
    /// It cannot be done now.
    Temporary,
    /// The other end is stopping.
    Stopping,
}

impl Refusal {
    /// A refusal with its text for people.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}
