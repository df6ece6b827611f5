//! Listening sockets: what they are allowed to be, and the loop that accepts.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::Shared;
use super::caps::Crowded;
use super::session::{self, Connection, Mode};
use crate::world::net::Stream;

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);
/// Failed accepts between two reports of the same trouble.
const FAILURES_PER_REPORT: u64 = 600;

/// A bound socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// How a listener is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerTls {
    /// TLS from the first octet (RFC 8314).
    Implicit,
    /// STARTTLS, without which nothing is taken.
    Starttls,
    /// None: acts for this account, without AUTH. Unix sockets and loopback addresses only.
    None {
        /// The account.
        user: String,
    },
}

/// A listener as it may be.
#[derive(Debug)]
pub struct Listener {
    name: Arc<str>,
    socket: Socket,
    mode: Mode,
}

/// Why a listener may not be.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// Others could send in the account's name.
    #[error("tls = \"none\" is for Unix sockets and loopback addresses, not for {0}")]
    NotLocal(SocketAddr),
    /// Nobody to act for.
    #[error("tls = \"none\" needs the account that the listener acts for")]
    NoAccount,
    /// The socket does not say where it is bound.
    #[error("the address of a listening socket is not known")]
    Address(#[source] io::Error),
}

impl Listener {
    /// A listener on a bound socket. `name` is its address as the configuration writes it, which
    /// rules refer to. Without TLS it must be a Unix socket or loopback address and name its
    /// account.
    pub fn new(name: &str, socket: Socket, tls: ListenerTls) -> Result<Self, ListenerError> {
        let mode = match tls {
            ListenerTls::Implicit => Mode::Implicit,
            ListenerTls::Starttls => Mode::StartTls,
            ListenerTls::None { user } if user.is_empty() => return Err(ListenerError::NoAccount),
            ListenerTls::None { user } => {
                if let Socket::Tcp(listener) = &socket {
                    let address = listener.local_addr().map_err(ListenerError::Address)?;
                    if !address.ip().to_canonical().is_loopback() {
                        return Err(ListenerError::NotLocal(address));
                    }
                }
                Mode::Local(user)
            }
        };
        let name = Arc::from(name);
        Ok(Self { name, socket, mode })
    }

    pub(super) fn uses_tls(&self) -> bool {
        match self.mode {
            Mode::Implicit | Mode::StartTls => true,
            Mode::Local(_) => false,
        }
    }

    async fn accept(&self) -> io::Result<(Box<dyn Stream>, Option<IpAddr>)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Replies are written whole; nothing is gained by waiting. Keepalive finds peers
                // that went away without a word. Neither is worth a connection.
                drop(stream.set_nodelay(true));
                drop(socket2::SockRef::from(&stream).set_keepalive(true));
                Ok((Box::new(stream), Some(peer.ip().to_canonical())))
            }
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), None))
            }
        }
    }
}

/// Accepts until told to drain, then waits for the sessions that are left.
pub(super) async fn run(listener: Listener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    let mut draining = shared.draining.clone();
    let mut failures: u64 = 0;
    loop {
        tokio::select! {
            () = drained(&mut draining) => break,
            Some(ended) = sessions.join_next() => tell(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    failures = 0;
                    let mode = listener.mode.clone();
                    let listener = Arc::clone(&listener.name);
                    let connection = Connection { stream, address, listener, mode };
                    admit(&mut sessions, connection, &shared);
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    if failures.is_multiple_of(FAILURES_PER_REPORT) {
                        tracing::warn!(%error, "connections cannot be accepted");
                    }
                    failures += 1;
                    tokio::time::sleep(ACCEPT_BACK_OFF).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = sessions.join_next().await {
        tell(ended);
    }
}

/// Ready when the order to drain was given, or nobody is left to give it.
async fn drained(draining: &mut watch::Receiver<bool>) {
    drop(draining.wait_for(|draining| *draining).await);
}

/// The connection was gone before it was accepted; the next one is not affected.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn admit(sessions: &mut JoinSet<()>, connection: Connection, shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let why = match shared.caps.connection(connection.address) {
        Ok(slot) => {
            sessions.spawn(session::run(connection, shared, slot));
            return;
        }
        Err(Crowded::Server) => "has too many connections",
        Err(Crowded::Address) => "has too many connections from your address",
    };
    if let Some(place) = shared.caps.turned_away() {
        sessions.spawn(async move {
            session::turn_away(connection, shared, why).await;
            drop(place);
        });
    }
}

/// A panic ends its session, and is told.
fn tell(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(
            "a submission session ended by a panic; its message, if any, was not taken"
        );
    }
}
