//! The daemon: built in order, run, reloaded, drained.
//!
//! Order of the build: configuration (checked by `config`) → spool, which locks
//! its directory → delivery log → all sockets, opened but not answered → the line with what the
//! spool recovered → submission, administration and the portal's door answer → systemd is told. The
//! portal, where it is in the same process, is up before the line moves: [`portal`]. So a second instance
//! fails at the spool before it touches anything, and a port in use is known before mail moves.
//!
//! Order of the stop: nothing more is taken in → sessions end at their next command → attempts in
//! flight settle, for `limits.drain_timeout` at most → the log is flushed → the spool is closed.
//! What did not settle is recovered by the next start.
//!
//! A failed write or sync of the spool or of the record of decisions, or a settlement that broke, ends the process: memory may
//! no longer be what the disk says, and recovery is the tested path.

pub mod build;
mod doors;
pub mod logging;
pub mod notify;
mod pickup;
pub mod portal;
pub mod smime;
mod sockets;
mod start;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

pub use build::BuildError;
pub use start::StartError;

use crate::admin::AdminServer;
use crate::config::{Config, Credentials};
use crate::directory::Authenticator;
use crate::directory::certificates::Certificates;
use crate::flow::{FlowError, Handle};
use crate::relay::Relay;
use crate::report::decisions::DecisionsError;
use crate::report::{Decisions, DeliveryLog};
use crate::spool::{Spool, SpoolError};
use crate::submission::Submission;
use crate::world::clock::Clock;

/// How long a stop waits for the log and the spool, after the drain.
const CLOSING: Duration = Duration::from_secs(10);

/// Why the daemon cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The disk.
    #[error(
        "the spool failed; what was acknowledged is on the disk, and the next start goes on from there"
    )]
    Spool(#[source] Arc<SpoolError>),
    /// The record of decisions.
    #[error("decisions cannot be recorded, so nothing may be sent")]
    Decisions(#[source] Arc<DecisionsError>),
    /// The owner of the queue.
    #[error("the queue stopped")]
    Flow(#[source] FlowError),
    /// A panic in the owner of the queue.
    #[error("the queue's task ended early")]
    Panic(#[source] JoinError),
    /// It ended without being told to.
    #[error("the queue ended unasked")]
    Ended,
    /// The disk of the portal.
    #[error(
        "the portal's store failed; what was acknowledged is on the disk, and the next start goes on from there"
    )]
    Portal,
    /// The portal ended without being told to.
    #[error("the portal ended unasked")]
    PortalEnded,
}

/// What runs in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// The line, and the portal where one is configured.
    Both,
    /// The line alone: the portal, where one is configured, is another process.
    Line,
}

/// A running daemon.
pub struct Daemon {
    config: Config,
    credentials: Credentials,
    clock: Clock,
    flow: Handle,
    office: JoinHandle<Result<(), FlowError>>,
    spool: Spool,
    failure: watch::Receiver<Option<Arc<SpoolError>>>,
    decisions: Decisions,
    log: DeliveryLog,
    authenticator: Authenticator,
    submission: Submission,
    certificates: Certificates,
    /// The one in force, to take leave of its peers.
    relay: Relay,
    addresses: Vec<SocketAddr>,
    unix_sockets: Vec<PathBuf>,
    admin: AdminServer,
    runs: Runs,
    portal: Option<portal::Portal>,
    door: Option<pickup::Door>,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon")
            .field("config", &self.config.file)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Daemon {
    /// Builds and starts everything that `config` names.
    pub async fn start(
        config: Config,
        credentials: Credentials,
        clock: Clock,
    ) -> Result<Self, StartError> {
        start::start(config, credentials, clock, Runs::Both).await
    }

    /// The same without the portal, which is another process.
    pub async fn start_line(
        config: Config,
        credentials: Credentials,
        clock: Clock,
    ) -> Result<Self, StartError> {
        start::start(config, credentials, clock, Runs::Line).await
    }

    /// What runs in this process.
    pub fn runs(&self) -> Runs {
        self.runs
    }

    /// The addresses of the portal, in the order of the configuration; none where it does not run
    /// here.
    pub fn portal_addresses(&self) -> &[SocketAddr] {
        self.portal.as_ref().map_or(&[], portal::Portal::addresses)
    }

    /// The TCP addresses that mail comes in on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The line.
    pub fn flow(&self) -> &Handle {
        &self.flow
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes certificates, accounts, signing keys, routes, policy, name servers and `[smime]` of
    /// another configuration into force, and opens the delivery log anew. All or nothing. What a running
    /// process cannot change (`data_directory`, listeners, limits, retry, the log's path, the
    /// administrative socket) keeps its value until a restart, and the warning says so.
    pub fn reload(&mut self, config: Config) -> Result<(), StartError> {
        let mut rebuilt = start::rebuild(&config, &self.credentials, self.clock)?;
        if let (Some(method), Some(portal)) = (&mut rebuilt.machinery.portal, &self.portal) {
            // The portal sends codes to telephones as it could when it started.
            method.phone_codes &= portal.has_phones();
        }
        let fresh = match (&self.portal, config.portal()) {
            (Some(_), Some(portal)) => {
                let fresh = portal::Fresh::build(&portal, &self.credentials)?;
                Some((portal, fresh))
            }
            _ => None,
        };
        self.authenticator
            .reload(rebuilt.users)
            .map_err(StartError::Authenticator)?;
        let relay = rebuilt.machinery.relay.clone();
        self.certificates.reload(rebuilt.directory);
        let machinery = smime::joined(rebuilt.machinery, &self.certificates, rebuilt.sealer);
        self.flow.reload(machinery);
        std::mem::replace(&mut self.relay, relay).close();
        if let Some(certificate) = rebuilt.certificate {
            self.submission.reload(certificate);
        }
        if let (Some(running), Some((config, fresh))) = (&mut self.portal, fresh) {
            running.take(config, fresh);
        }
        if let Some(door) = &self.door {
            door.reload(&config);
        }
        self.log.reopen();
        if start::needs_restart(&self.config, &config) {
            tracing::warn!("some changed keys take effect at the next start only");
        }
        self.config = config;
        Ok(())
    }

    /// Waits until something breaks that only a restart mends.
    pub async fn broken(&mut self) -> RunError {
        let failed = async {
            match self.failure.wait_for(Option::is_some).await {
                Ok(error) => error.clone(),
                Err(_) => None,
            }
        };
        let mut unrecorded = self.decisions.failure();
        let unrecorded = async {
            match unrecorded.wait_for(Option::is_some).await {
                Ok(error) => error.clone(),
                Err(_) => None,
            }
        };
        let portal = async {
            match &mut self.portal {
                Some(portal) => portal.broken().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = portal => error,
            unrecorded = unrecorded => match unrecorded {
                Some(error) => RunError::Decisions(error),
                None => RunError::Ended,
            },
            failed = failed => match failed {
                Some(error) => RunError::Spool(error),
                None => RunError::Ended,
            },
            ended = &mut self.office => match ended {
                Ok(Ok(())) => RunError::Ended,
                Ok(Err(error)) => RunError::Flow(error),
                Err(error) => RunError::Panic(error),
            },
        }
    }

    /// Whether the owner of the queue still answers: what the watchdog asks.
    pub async fn is_alive(&self) -> bool {
        let portal = self.portal.as_ref().is_none_or(portal::Portal::is_alive);
        portal && self.flow.summary().await.is_some()
    }

    /// Takes nothing more in, lets what is under way settle, and closes. Whether all of it
    /// settled within `limits.drain_timeout`.
    pub async fn stop(mut self) -> bool {
        let limit = self.config.limits.drain_timeout;
        self.flow.refuse();
        let sessions = self.submission.drain(limit);
        let visitors = async {
            match &mut self.portal {
                Some(portal) => portal.drain().await,
                None => true,
            }
        };
        let (_, settled, left) = tokio::join!(sessions, self.flow.drain(limit), visitors);
        self.relay.close();
        drop(self.door);
        drop(self.admin);
        for path in &self.unix_sockets {
            drop(std::fs::remove_file(path));
        }
        let closing = async {
            // Attempts left messages there until now.
            if let Some(portal) = self.portal {
                portal.close().await;
            }
            if let Err(error) = self.log.flush().await {
                tracing::error!(%error, "the delivery log could not be written to its end");
            }
            let decisions = self.decisions;
            drop(tokio::task::spawn_blocking(move || decisions.close()).await);
            self.spool.close().await;
        };
        let closed = tokio::time::timeout(CLOSING, closing).await.is_ok();
        settled && left && closed
    }

    /// Ends at once after a failure: the spool is not written any more.
    pub async fn abandon(self) {
        self.flow.refuse();
        if let Some(portal) = self.portal {
            portal.abandon().await;
        }
        drop(self.door);
        drop(self.admin);
        drop(tokio::time::timeout(CLOSING, self.log.flush()).await);
    }
}
