//! What goes in and out of a session: its settings, inputs and outputs, and the shape that a
//! driver drives.

use std::fmt;

use zeroize::Zeroizing;

use super::{Credentials, Failure, HandshakeFacts, Reference, Report, Timeouts};
use crate::mail::{Domain, Timestamp};

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opening {
    /// With STARTTLS, after a plaintext EHLO (RFC 3207).
    Starttls,
    /// At once (RFC 8314 §3.3).
    Implicit,
}

/// What a session needs to know from its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What we call ourselves in EHLO.
    pub hostname: Domain,
    /// How TLS begins.
    pub opening: Opening,
    /// Whom the peer's certificate has to vouch for before we authenticate to it.
    pub reference: Reference,
    /// What we authenticate with, if the next hop asks for it.
    pub credentials: Option<Credentials>,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// What a session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the peer; in TLS, decrypted.
    Received(&'a [u8]),
    /// The peer's end of stream, or a broken connection.
    Closed,
    /// The moment of [`Session::poll_timeout`] has come.
    TimedOut,
    /// The handshake that [`Output::StartTls`] asked for has ended well.
    Secured(HandshakeFacts),
}

/// What a session wants or tells.
#[derive(PartialEq, Eq)]
pub enum Output {
    /// Octets for the peer. Wiped when dropped: they may be credentials or content.
    Write(Zeroizing<Vec<u8>>),
    /// Begin the TLS handshake on the connection as it is, then give [`Input::Secured`].
    StartTls,
    /// Ready for [`Client::permit`](super::Client::permit).
    Established,
    /// Ready for [`Transfer::content`](super::Transfer::content).
    SendContent,
    /// The transaction is over. If the report says `broken`, so is the session.
    Finished(Report),
    /// The session is over, outside a transaction.
    Failed(Failure),
    /// The session ended in good order.
    Closed,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(octets) => write!(f, "Write({} octets)", octets.len()),
            Self::StartTls => f.write_str("StartTls"),
            Self::Established => f.write_str("Established"),
            Self::SendContent => f.write_str("SendContent"),
            Self::Finished(report) => f.debug_tuple("Finished").field(report).finish(),
            Self::Failed(failure) => f.debug_tuple("Failed").field(failure).finish(),
            Self::Closed => f.write_str("Closed"),
        }
    }
}

/// What a driver drives: a [`Client`](super::Client) between transactions, a [`Transfer`](super::Transfer) within
/// one.
pub trait Session {
    /// Takes an input at the moment `now`.
    fn handle(&mut self, now: Timestamp, input: Input<'_>);
    /// The next thing to do; `None` until there is more input.
    fn poll_output(&mut self) -> Option<Output>;
    /// By when [`Input::TimedOut`] is due unless something else comes before.
    fn poll_timeout(&self) -> Option<Timestamp>;
}
