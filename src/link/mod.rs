//! The door for the portal: what it may have the line do, over a Unix socket.
//!
//! Owns the server of `proto::link::ToLine`. Mails are composed by the line from its own texts
//! (`flow::ours`); a reply is taken in like any submission, checked here: it goes to one address of
//! ours, from the address that notices come from in that domain, names its writer as the one to reply
//! to, and has the level of what it answers at least. What happened in the portal goes to the
//! delivery log. Let in are root, our own user and our own group.
//!
//! Bounds: [`MAX_CONNECTIONS`], [`PATIENCE`], a line by `MAX_LINE_OCTETS`, a reply by
//! [`LinkOptions::reply_octets`]. Never: content in memory beyond its header.

mod reply;
mod server;
mod tickets;

use std::time::Duration;

use crate::mail::{Address, Domain};
use crate::world::unix::SocketError;

pub use reply::Refused;
pub use server::{LinkServer, LinkServices};
pub use tickets::{MAX_TICKETS, Tickets};

/// Connections at a time; more wait.
pub const MAX_CONNECTIONS: usize = 32;
/// How long a client may be silent, or leave an answer unread.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The daemon's account and its group, which the portal's account is in.
pub const SOCKET_MODE: u32 = 0o660;

/// The socket could not be opened.
pub type LinkError = SocketError;

/// What the door goes by.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// Our name, in trace fields.
    pub hostname: Domain,
    /// Octets of a reply. A larger one waits: it may be another number tomorrow.
    pub reply_octets: u64,
    /// Whether an address belongs to those whom this system sends for: replies go to nobody else.
    pub ours: Ours,
}

/// Knows the addresses that this system sends for.
#[derive(Clone)]
pub struct Ours(std::sync::Arc<dyn Fn(&Address) -> bool + Send + Sync>);

impl Ours {
    /// By this judgement.
    pub fn new(is_ours: impl Fn(&Address) -> bool + Send + Sync + 'static) -> Self {
        Self(std::sync::Arc::new(is_ours))
    }

    fn has(&self, address: &Address) -> bool {
        (self.0)(address)
    }
}

impl std::fmt::Debug for Ours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ours(..)")
    }
}
