//! The portal, in the daemon or as a process of its own: built in order, run, reloaded, drained.
//!
//! Order of the start: store, which locks its directory → the portal's socket → the ports, opened and
//! answered → what the store owes goes to the line. Order of the stop: requests under way end → the
//! socket closes → the store is closed. Knows nothing of the line but the path of its socket, and
//! opens none of its files.
//!
//! A failed write of the store ends the process: memory may no longer be what the disk says, and
//! recovery is the tested path.

pub(super) mod build;
mod reach;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::RunError;
use super::sockets::{self, ListenError};
use crate::config::certificate::CertificateError;
use crate::config::{Credentials, LogTarget, LogoError, PortalConfig, SecretError, TextsProblem};
use crate::journal::MasterKeyError;
use crate::mail::{Address, MessageId};
use crate::portal::courier::Courier;
use crate::portal::http::{
    AccessLog, Answer, Assets, Head, Options, OriginError, Problem, Request, Route, Server, Site,
};
use crate::portal::proof::{Desk, ProofError};
use crate::portal::site::{Mailer, Memory, Portal as Pages, SiteOptions};
use crate::portal::socket::{Hears, PortalSocket};
use crate::portal::store::{Store, StoreError};
use crate::proto::link::{AskCode, Standing, Travelled};
use crate::world::BoxFuture;
use crate::world::clock::Clock;
use crate::world::dns_hickory::DnsSetupError;
use crate::world::unix::SocketError;
use reach::Reach;

/// Why the portal did not start, or was not reloaded.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// The master key.
    #[error("the portal's master key cannot be read")]
    MasterKeySecret(#[source] SecretError),
    /// The master key.
    #[error("the portal's master key cannot be used")]
    MasterKey(#[source] MasterKeyError),
    /// The token of the service for telephones.
    #[error("the token of portal.sms cannot be read")]
    SmsToken(#[source] SecretError),
    /// The key of its certificate.
    #[error("portal.private_key cannot be found")]
    PrivateKey(#[source] SecretError),
    /// Certificates or roots.
    #[error("{what} {source}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// Why not.
        source: CertificateError,
    },
    /// Its address.
    #[error("portal.url cannot be used")]
    Origin(#[source] OriginError),
    /// The logo.
    #[error("portal.logo {0}")]
    Logo(LogoError),
    /// The texts.
    #[error("portal.texts cannot be used")]
    Texts(#[source] TextsProblem),
    /// The resolver.
    #[error(transparent)]
    Dns(#[from] DnsSetupError),
    /// A directory.
    #[error("cannot make the directory {}", path.display())]
    Directory {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The access log.
    #[error("the portal's access log cannot be opened")]
    Log(#[source] io::Error),
    /// The store.
    #[error("the portal's store cannot be opened")]
    Store(#[source] StoreError),
    /// Accounts and codes.
    #[error("the portal's accounts cannot be opened")]
    Proof(#[source] ProofError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS.
    #[error("TLS is not available to the portal")]
    Tls(#[source] rustls::Error),
    /// A task was ended.
    #[error("opening the portal was interrupted")]
    Interrupted,
}

/// A running portal.
pub struct Portal {
    config: PortalConfig,
    credentials: Credentials,
    clock: Clock,
    store: Store,
    failure: watch::Receiver<bool>,
    desk: Arc<Desk>,
    courier: Courier,
    memory: Arc<Memory>,
    socket: PortalSocket,
    site: Arc<InForce>,
    server: Server,
    draining: watch::Sender<bool>,
    /// Whether it could send codes to telephones when it started.
    has_phones: bool,
    serving: JoinHandle<()>,
    addresses: Vec<SocketAddr>,
}

impl std::fmt::Debug for Portal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Portal")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Portal {
    /// Builds and starts it.
    pub async fn start(
        config: PortalConfig,
        credentials: Credentials,
        clock: Clock,
    ) -> Result<Self, PortalError> {
        let certificate = build::certificate(&config, &credentials)?;
        let (pages, assets) = build::site(&config)?;
        let desk = build::desk(&config, &credentials, clock)?;
        let origin = build::origin(&config)?;
        directories(&config)?;
        let store = Store::open(build::store(&config, &credentials)?, clock).await;
        let store = store.map_err(PortalError::Store)?;
        tell_found(&store);
        let tables = store.tables().clone();
        // Hashes once, to know what a hash costs here.
        let opened = tokio::task::spawn_blocking(move || Desk::open(&tables, desk, clock)).await;
        let desk = opened.map_err(|_| PortalError::Interrupted)?;
        let desk = Arc::new(desk.map_err(PortalError::Proof)?);
        let hears = Arc::new(Ears(Arc::clone(&desk)));
        let section = &config.portal;
        let socket = PortalSocket::start(&section.socket, store.clone(), hears, clock)?;
        let (listeners, addresses) = listen(&config)?;
        let log = AccessLog::open(build::access_log(&config)).map_err(PortalError::Log)?;
        let courier = Courier::start(&store, section.mail_socket.value.clone(), clock);
        let options = Options {
            origin,
            hsts_subdomains: false,
            limits: build::limits(&config),
            assets,
        };
        let memory = Arc::default();
        let parts = Parts {
            store: &store,
            desk: &desk,
            courier: &courier,
            memory: &memory,
            clock,
        };
        let site = Arc::new(InForce {
            pages: RwLock::new(parts.pages(pages)),
            line: Reach::watch(section.mail_socket.value.clone(), clock),
        });
        let has_phones = section.sms.is_some();
        let server = Server::new(
            options,
            certificate,
            Arc::clone(&site) as Arc<dyn Site>,
            log,
            clock,
        )
        .map_err(PortalError::Tls)?;
        let (draining, order) = watch::channel(false);
        let serving = tokio::spawn({
            let server = server.clone();
            async move { server.run(listeners, order).await }
        });
        Ok(Self {
            failure: store.failure(),
            config,
            credentials,
            clock,
            store,
            desk,
            courier,
            memory,
            socket,
            site,
            server,
            draining,
            has_phones,
            serving,
            addresses,
        })
    }

    /// The addresses that it listens on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The configuration in force.
    pub fn config(&self) -> &PortalConfig {
        &self.config
    }

    /// Whether it can send codes to telephones: that is settled at its start.
    pub(super) const fn has_phones(&self) -> bool {
        self.has_phones
    }

    /// Takes certificate, logo, colour, imprint, texts and what may be replied into force, and opens
    /// the access log anew. All or nothing; the rest keeps its value until a restart.
    pub fn reload(&mut self, config: PortalConfig) -> Result<(), PortalError> {
        let fresh = Fresh::build(&config, &self.credentials)?;
        self.take(config, fresh);
        Ok(())
    }

    /// Takes into force what was built beforehand.
    pub(super) fn take(&mut self, config: PortalConfig, fresh: Fresh) {
        let parts = Parts {
            store: &self.store,
            desk: &self.desk,
            courier: &self.courier,
            memory: &self.memory,
            clock: self.clock,
        };
        // First what pages name, then the pages.
        self.server.replace_assets(fresh.assets);
        self.site.replace(parts.pages(fresh.pages));
        self.server.replace_certificate(fresh.certificate);
        self.server.reopen_log();
        let waiting = build::needs_restart(&self.config, &config);
        if !waiting.is_empty() {
            tracing::warn!(
                keys = waiting.join(", "),
                "changed keys take effect in the portal at the next start only"
            );
        }
        self.config = config;
    }

    /// Waits until something breaks that only a restart mends.
    pub async fn broken(&mut self) -> RunError {
        tokio::select! {
            failed = self.failure.wait_for(|failed| *failed) => match failed {
                Ok(_) => RunError::Portal,
                Err(_) => RunError::PortalEnded,
            },
            _ = &mut self.serving => RunError::PortalEnded,
        }
    }

    /// Whether it can still take and hand out: what the watchdog asks.
    pub fn is_alive(&self) -> bool {
        !*self.failure.borrow() && !self.serving.is_finished()
    }

    /// Lets nobody in any more, and waits for the requests under way, for `limits.drain_timeout`
    /// at most; whether that was enough. The socket goes on.
    pub async fn drain(&mut self) -> bool {
        self.draining.send_replace(true);
        let limit = self.config.drain_timeout + super::CLOSING;
        let ended = tokio::time::timeout(limit, &mut self.serving).await;
        if ended.is_err() {
            self.serving.abort();
        }
        ended.is_ok()
    }

    /// Closes it after [`Portal::drain`].
    pub async fn close(self) {
        drop(self.socket);
        drop(self.courier);
        self.store.close().await;
    }

    /// Ends at once after a failure.
    pub async fn abandon(self) {
        self.serving.abort();
        drop(self.socket);
    }
}

/// What a reload of the portal replaces.
pub(super) struct Fresh {
    pages: SiteOptions,
    assets: Assets,
    certificate: Arc<rustls::sign::CertifiedKey>,
}

impl Fresh {
    pub(super) fn build(
        config: &PortalConfig,
        credentials: &Credentials,
    ) -> Result<Self, PortalError> {
        let (pages, assets) = build::site(config)?;
        Ok(Self {
            pages,
            assets,
            certificate: build::certificate(config, credentials)?,
        })
    }
}

/// What pages are made on.
struct Parts<'p> {
    store: &'p Store,
    desk: &'p Arc<Desk>,
    courier: &'p Courier,
    memory: &'p Arc<Memory>,
    clock: Clock,
}

impl Parts<'_> {
    fn pages(&self, options: SiteOptions) -> Arc<Pages> {
        let mailer = Arc::new(ByCourier(self.courier.clone()));
        let (store, desk) = (self.store.clone(), Arc::clone(self.desk));
        // The same memory: a reload lets nobody send or hold more than before.
        let memory = Arc::clone(self.memory);
        let pages = Pages::new(store, desk, mailer, memory, options, self.clock);
        Arc::new(pages)
    }
}

/// The pages in force: a reload puts others in their place, requests under way end with theirs.
struct InForce {
    pages: RwLock<Arc<Pages>>,
    line: Reach,
}

impl InForce {
    fn now(&self) -> Arc<Pages> {
        Arc::clone(&self.pages.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, pages: Arc<Pages>) {
        *self.pages.write().unwrap_or_else(PoisonError::into_inner) = pages;
    }
}

impl Site for InForce {
    fn route(&self, head: &Head) -> Route {
        self.now().route(head)
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Answer> {
        let pages = self.now();
        Box::pin(async move { pages.answer(request).await })
    }

    fn ready(&self) -> bool {
        self.now().ready() && self.line.is_there()
    }

    fn problem_page(&self, problem: Problem, head: Option<&Head>) -> Option<String> {
        self.now().problem_page(problem, head)
    }
}

/// What the line tells goes to the desk.
struct Ears(Arc<Desk>);

impl Hears for Ears {
    fn travelled(&self, travelled: &Travelled) {
        self.0.travelled(travelled);
    }

    fn standing(&self, address: &Address) -> Standing {
        self.0.standing(address)
    }
}

/// Codes are mailed by the line.
struct ByCourier(Courier);

impl Mailer for ByCourier {
    fn send(&self, ask: AskCode) -> BoxFuture<'_, Option<MessageId>> {
        Box::pin(async move {
            match self.0.code(ask).await {
                Ok(queued) => Some(queued.queue_id),
                Err(error) => {
                    tracing::warn!(%error, "a code cannot be mailed now");
                    None
                }
            }
        })
    }
}

/// Makes the directories that are not there yet: the store's for us alone, others for whoever the
/// umask allows.
fn directories(config: &PortalConfig) -> Result<(), PortalError> {
    let section = &config.portal;
    make(&section.directory, 0o700)?;
    let mut others: Vec<Option<&Path>> = vec![section.socket.parent()];
    if let Some(LogTarget::File(path)) = &section.access_log {
        others.push(path.parent());
    }
    let others = others.into_iter().flatten();
    others
        .filter(|directory| !directory.as_os_str().is_empty())
        .try_for_each(|directory| make(directory, 0o755))
}

fn make(path: &Path, mode: u32) -> Result<(), PortalError> {
    super::start::made(path, mode).map_err(|source| PortalError::Directory {
        path: path.to_owned(),
        source,
    })
}

fn listen(config: &PortalConfig) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), PortalError> {
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for address in &config.portal.addresses {
        let (listener, address) = sockets::listen(address.value)?;
        listeners.push(listener);
        addresses.push(address);
    }
    Ok((listeners, addresses))
}

fn tell_found(store: &Store) {
    let found = store.found();
    tracing::info!(
        deposits = store.len(),
        slots_cleared = found.slots_cleared,
        "the portal was read back"
    );
    if !found.damaged.is_empty() || !found.journal_sound {
        tracing::error!(
            damaged = ?found.damaged,
            journal_sound = found.journal_sound,
            "the disk has lost data of the portal; compare with a backup"
        );
    }
}
