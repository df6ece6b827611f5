//! The listener: accepts, counts, hands over, ends in order.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::Site;
use super::assets::Assets;
use super::connection::{self, drained};
use super::limits::{Counter, Slot, network};
use super::log::AccessLog;
use super::options::Options;
use super::service::Shared;
use super::tls::PortalTls;
use crate::world::clock::Clock;

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);
/// Failed accepts between two reports of the same trouble.
const FAILURES_PER_REPORT: u64 = 600;

/// The portal's server. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    tls: PortalTls,
    connections: Arc<Semaphore>,
    by_network: Counter,
}

/// A connection's places.
struct Places {
    _one: OwnedSemaphorePermit,
    _of_network: Slot,
}

impl Server {
    /// A server that shows this certificate and asks this site.
    pub fn new(
        options: Options,
        certificate: Arc<CertifiedKey>,
        site: Arc<dyn Site>,
        log: AccessLog,
        clock: Clock,
    ) -> Result<Self, rustls::Error> {
        let connections = options.limits.connections.min(Semaphore::MAX_PERMITS);
        Ok(Self(Arc::new(Inner {
            tls: PortalTls::new(certificate, clock)?,
            connections: Arc::new(Semaphore::new(connections)),
            by_network: Counter::new(options.limits.connections_per_network),
            shared: Arc::new(Shared::new(options, site, log, clock)),
        })))
    }

    /// Shows another certificate from the next handshake on.
    pub fn replace_certificate(&self, certificate: Arc<CertifiedKey>) {
        self.0.tls.replace(certificate);
    }

    /// Has other assets from now on.
    pub fn replace_assets(&self, assets: Assets) {
        self.0.shared.replace_assets(assets);
    }

    /// Opens the access log anew, after it was moved away.
    pub fn reopen_log(&self) {
        self.0.shared.log.reopen();
    }

    /// Serves, over TLS only, until the order to drain; then lets every connection end what it
    /// has begun, within [`super::Limits::drain`].
    pub async fn run(&self, listeners: Vec<TcpListener>, draining: watch::Receiver<bool>) {
        let mut loops = JoinSet::new();
        for listener in listeners {
            loops.spawn(self.clone().accept(listener, draining.clone()));
        }
        while loops.join_next().await.is_some() {}
    }

    async fn accept(self, listener: TcpListener, mut draining: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let mut failures: u64 = 0;
        loop {
            tokio::select! {
                biased;
                () = drained(&mut draining) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        failures = 0;
                        self.admit(&mut connections, stream, peer, &draining);
                    }
                    Err(error) if is_the_peers(&error) => {}
                    Err(error) => {
                        if failures.is_multiple_of(FAILURES_PER_REPORT) {
                            tracing::warn!(%error, "the portal cannot accept connections");
                        }
                        failures += 1;
                        tokio::time::sleep(ACCEPT_BACK_OFF).await;
                    }
                },
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// A connection for which there is no place is closed: to say why would need a handshake.
    fn admit(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        draining: &watch::Receiver<bool>,
    ) {
        let client = peer.ip().to_canonical();
        let Some(places) = self.places(client) else {
            tracing::debug!(%client, "a connection to the portal was closed: too many");
            return;
        };
        // Answers are written whole; keepalive finds clients that went away without a word.
        // Neither is worth a connection.
        drop(stream.set_nodelay(true));
        drop(socket2::SockRef::from(&stream).set_keepalive(true));
        let (tls, shared) = (self.0.tls.clone(), Arc::clone(&self.0.shared));
        let draining = draining.clone();
        connections.spawn(async move {
            connection::run(stream, client, tls, shared, draining).await;
            drop(places);
        });
    }

    fn places(&self, client: IpAddr) -> Option<Places> {
        let of_network = self.0.by_network.take(network(client))?;
        let one = Arc::clone(&self.0.connections).try_acquire_owned().ok()?;
        Some(Places {
            _one: one,
            _of_network: of_network,
        })
    }
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
