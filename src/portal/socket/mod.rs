//! The Unix socket on which the line and the operator ask.
//!
//! Owns the server of [`ToPortal`]: one answer a request, in order; content that follows a request is
//! streamed to the store. Let in are root, our own user and our own group; who orders something is
//! what the system says of the other end, not what that end says. Never decides anything: the store
//! does, and [`Hears`] for what concerns accounts.
//!
//! Bounds: [`MAX_CONNECTIONS`] at a time, a line as [`crate::proto::link`] has it, content as it was
//! announced, and silence of [`PATIENCE`].

mod serve;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::mail::Address;
use crate::portal::store::Store;
use crate::proto::link::{Standing, Travelled};
use crate::world::clock::Clock;
use crate::world::unix::{Peer, Socket, SocketError};

/// Connections at a time; more wait.
pub const MAX_CONNECTIONS: usize = 64;
/// How long a client may be silent, or leave an answer unread.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The portal's own user and group: the line may be another user of that group.
pub const SOCKET_MODE: u32 = 0o660;
/// How long to wait when no connection can be taken.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// Who is told what concerns codes and accounts.
pub trait Hears: Send + Sync {
    /// A mail of ours has ended.
    fn travelled(&self, travelled: &Travelled);
    /// What is known of an address.
    fn standing(&self, address: &Address) -> Standing;
}

/// Answers on the socket until dropped, which removes it and ends all connections.
pub struct PortalSocket {
    _task: JoinSet<()>,
}

impl fmt::Debug for PortalSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortalSocket")
    }
}

impl PortalSocket {
    /// Opens the socket and begins to answer.
    pub fn start(
        path: &Path,
        store: Store,
        hears: Arc<dyn Hears>,
        clock: Clock,
    ) -> Result<Self, SocketError> {
        let socket = Socket::open(path, SOCKET_MODE)?;
        let mut task = JoinSet::new();
        task.spawn(accept(socket, serve::Resources { store, hears }, clock));
        Ok(Self { _task: task })
    }
}

async fn accept(socket: Socket, resources: serve::Resources, clock: Clock) {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else {
            return;
        };
        let stream = match socket.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: others need a moment to give some back.
                tracing::warn!(%error, "the portal's socket cannot accept");
                clock.sleep_until(clock.now() + OUT_OF_FILES).await;
                continue;
            }
        };
        let peer = match Peer::of(&stream) {
            Ok(peer) if peer.is_ours() => peer,
            Ok(peer) => {
                tracing::warn!(uid = peer.uid, "the portal's socket lets this user not in");
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "the portal's socket cannot tell who connects");
                continue;
            }
        };
        let resources = resources.clone();
        connections.spawn(async move {
            serve::serve(stream, peer, &resources).await;
            drop(permit);
        });
    }
}
