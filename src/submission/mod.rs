//! Mail comes in: listeners, sessions, authentication.
//!
//! Owns the sockets of submission and everything between them and `flow`: TLS, the limits on
//! connections and memory, the check of credentials, what a message must be to be taken. The
//! dialog itself is decided in `proto::smtp::server`; here its questions are answered.
//!
//! Invariants: an account acts only over TLS and with its password, or on a Unix socket or
//! loopback listener that names it ([`Listener::new`] takes nothing else); 250 is said only after
//! `flow` made the message durable; a panic in a session ends that session and nothing else.

mod auth;
mod caps;
mod delivery;
pub mod intake;
mod listener;
mod lockout;
mod session;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::directory::Authenticator;
use crate::flow;
use crate::mail::{Address, Domain};
use crate::proto::smtp::server::SessionConfig;
use crate::report::DeliveryLog;
use crate::world::clock::Clock;

use auth::Doorkeeper;
use caps::Caps;
use tls::ServerTls;

pub use delivery::wishes;
pub use listener::{Listener, ListenerError, ListenerTls, Socket};
pub use session::{TLS_HANDSHAKE_TIMEOUT, WRITE_TIMEOUT};

/// Bounds and names; checked values.
#[derive(Debug, Clone)]
pub struct SubmissionConfig {
    /// Our name in the greeting, EHLO, Received and made-up Message-IDs.
    pub hostname: Domain,
    /// Where `RCPT TO:<postmaster>` goes.
    pub postmaster: Address,
    /// The largest message, in octets.
    pub message_octets: u64,
    /// The most recipients of a message.
    pub recipients: usize,
    /// Connections at a time.
    pub connections: usize,
    /// The same from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// The same for one account.
    pub connections_per_user: usize,
    /// Memory for messages that are coming in, in octets, all together.
    pub memory_octets: u64,
}

/// Default of [`SubmissionConfig::connections_per_user`].
pub const CONNECTIONS_PER_USER: usize = 200;
/// Default of [`SubmissionConfig::memory_octets`]: 1 GiB.
pub const MEMORY_OCTETS: u64 = 1 << 30;

/// What submission works with.
#[derive(Clone)]
pub struct Services {
    /// Where messages go.
    pub flow: flow::Handle,
    /// For `rejected`, `auth_failed` and `locked_out`.
    pub log: DeliveryLog,
    /// Who may come in.
    pub authenticator: Authenticator,
    /// The time.
    pub clock: Clock,
}

/// Why submission cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// A listener with TLS, and no certificate.
    #[error("a listener uses TLS, and there is no certificate")]
    NoCertificate,
    /// The TLS library refuses its settings.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// The running listeners and their sessions.
pub struct Submission {
    tls: Option<ServerTls>,
    draining: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

/// What every session shares.
struct Shared {
    session: Arc<SessionConfig>,
    services: Services,
    doorkeeper: Doorkeeper,
    caps: Caps,
    tls: Option<ServerTls>,
    draining: watch::Receiver<bool>,
}

impl Submission {
    /// Starts to accept. `certificate` is needed as soon as one listener uses TLS.
    pub fn start(
        config: SubmissionConfig,
        listeners: Vec<Listener>,
        services: Services,
        certificate: Option<Arc<CertifiedKey>>,
    ) -> Result<Self, SubmissionError> {
        let tls = certificate
            .map(ServerTls::new)
            .transpose()
            .map_err(SubmissionError::Tls)?;
        if tls.is_none() && listeners.iter().any(Listener::uses_tls) {
            return Err(SubmissionError::NoCertificate);
        }
        let (draining, drained) = watch::channel(false);
        let shared = Arc::new(Shared {
            caps: Caps::new(&config),
            session: Arc::new(SessionConfig {
                hostname: config.hostname,
                postmaster: config.postmaster,
                message_octets: config.message_octets,
                recipients: config.recipients,
            }),
            doorkeeper: Doorkeeper::new(
                services.authenticator.clone(),
                services.log.clone(),
                services.clock,
            ),
            services,
            tls: tls.clone(),
            draining: drained,
        });
        let mut running = JoinSet::new();
        for listener in listeners {
            running.spawn(listener::run(listener, Arc::clone(&shared)));
        }
        Ok(Self {
            tls,
            draining,
            listeners: running,
        })
    }

    /// Uses another certificate from the next handshake on.
    pub fn reload(&self, certificate: Arc<CertifiedKey>) {
        if let Some(tls) = &self.tls {
            tls.replace(certificate);
        }
    }

    /// Accepts nothing more, lets open transactions end for `limit` at most, then cuts what is
    /// left. Whether nothing had to be cut.
    pub async fn drain(mut self, limit: Duration) -> bool {
        self.draining.send_replace(true);
        let ended = async { while self.listeners.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(limit, ended).await.is_ok();
        // Ends the sessions with their listeners; a message that was not acknowledged is not kept.
        self.listeners.shutdown().await;
        in_time
    }
}

impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submission")
            .field("listeners", &self.listeners.len())
            .finish_non_exhaustive()
    }
}
