//! Delivery to next hops: route or MX, TLS, grade, transaction, outcome per recipient.
//!
//! [`Relay::deliver`] is the way in; [`Relay::probe`] looks without a message. `resolve` finds hosts
//! and addresses, `attempt` goes through them, `pool` and `connection` hold sessions, `outgoing`
//! gives the octets, sealed where they are to be, `tls` shakes hands and writes down what it saw,
//! `proto::smtp::client` speaks and checks the grade before every MAIL.
//!
//! Never: content, MAIL, RCPT, DATA or AUTH on a connection below the demand; a second host after
//! content may have been accepted; a bounce because of one DNS answer. A remote's refusal is a
//! value; nothing in here fails.

mod address;
mod attempt;
mod config;
mod connection;
mod mx;
mod outgoing;
mod pool;
mod probe;
mod resolve;
mod shuffle;
mod sightings;
mod status;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ring::rand::SecureRandom as _;

pub use address::MAX_ADDRESSES_PER_HOST;
pub use attempt::{MAX_LEGS, MAX_SESSIONS};
pub use config::{Credentials, CredentialsError, RelayConfig, Route, RouteTls, Timeouts};
pub use mx::MAX_HOSTS;
pub use pool::{MAX_IDLE, MAX_IDLE_CONNECTIONS, MAX_IDLE_PER_KEY, MAX_TRANSACTIONS};
pub use probe::{
    MAX_PROBED_ADDRESSES, MAX_PROBED_HOSTS, PROBE_CONNECTION_TIME, PROBE_TIME, ProbeReport,
    ProbedHost,
};
pub use sightings::{CONFIRM_AFTER, MAX_SIGHTINGS};

use self::pool::Pool;
use self::shuffle::Shuffle;
use self::sightings::Sightings;
use self::tls::TlsClient;
use crate::mail::{
    DeferReason, Domain, EnhancedCode, Envelope, Outcome, RecipientOutcome, Rendition, Status,
};
use crate::spool::Content;
use crate::world::clock::Clock;
use crate::world::dns::Dns;
use crate::world::net::Network;

/// One attempt's worth of work: one rendition of one message, for recipients of one destination.
#[derive(Debug, Clone)]
pub struct Job {
    /// The envelope.
    pub envelope: Arc<Envelope>,
    /// The domain of all `recipients`.
    pub destination: Domain,
    /// Indices into the envelope's recipients.
    pub recipients: Vec<u32>,
    /// What goes in front of the content or is made of it, and what it all demands.
    pub rendition: Rendition,
    /// The content.
    pub content: Content,
}

/// The relay. Cheap to clone; all clones share their idle connections and their memory.
#[derive(Clone)]
pub struct Relay {
    shared: Arc<Shared>,
}

struct Shared {
    config: RelayConfig,
    dns: Arc<dyn Dns>,
    network: Arc<dyn Network>,
    clock: Clock,
    tls: TlsClient,
    pool: Pool,
    sightings: Mutex<Sightings>,
    /// Makes each attempt's order of hosts different.
    seed: AtomicU64,
    injections: AtomicU64,
    /// Room for what is sealed whole.
    sealing: outgoing::Memory,
}

impl Relay {
    /// A relay that finds hosts through `dns` and reaches them through `network`.
    pub fn new(
        config: RelayConfig,
        dns: Arc<dyn Dns>,
        network: Arc<dyn Network>,
        clock: Clock,
    ) -> Self {
        let mut octets = [0; 8];
        // Without randomness the order among equal hosts is the same after every start.
        if ring::rand::SystemRandom::new().fill(&mut octets).is_err() {
            octets = clock.now().as_micros().to_le_bytes();
        }
        Self::seeded(config, dns, network, clock, u64::from_le_bytes(octets))
    }

    /// The same, with a given order among equal hosts: for tests that repeat.
    pub fn seeded(
        config: RelayConfig,
        dns: Arc<dyn Dns>,
        network: Arc<dyn Network>,
        clock: Clock,
        seed: u64,
    ) -> Self {
        let route_roots = config.routes.iter().map(|route| route.roots.as_ref());
        let tls = TlsClient::new(&config.roots, route_roots, clock);
        Self {
            shared: Arc::new(Shared {
                config,
                dns,
                network,
                clock,
                tls,
                pool: Pool::new(clock),
                sightings: Mutex::default(),
                seed: AtomicU64::new(seed),
                injections: AtomicU64::new(0),
                sealing: outgoing::Memory::new(),
            }),
        }
    }

    /// Makes one attempt. One outcome for each of the job's recipients, in no particular order.
    pub async fn deliver(&self, job: Job) -> Vec<RecipientOutcome> {
        let shared = &*self.shared;
        let mut job = job;
        let unknown = job.take_unknown_recipients();
        let mut outcomes = for_all(
            unknown,
            &Outcome::Deferred {
                reason: DeferReason::Local,
                status: Status::local(
                    EnhancedCode::new(4, 3, 0),
                    "the recipient is not in the envelope",
                ),
            },
        );
        if job.recipients.is_empty() {
            return outcomes;
        }
        let started = shared.clock.now();
        let mut shuffle = shared.next_shuffle();
        outcomes.extend(match shared.way(&job.destination, &mut shuffle).await {
            Ok(way) => attempt::run(shared, &job, &way, started, &mut shuffle).await,
            Err(outcome) => for_all(job.recipients, &outcome),
        });
        outcomes
    }

    /// Says QUIT on all idle connections.
    pub fn close(&self) {
        self.shared.pool.close();
    }

    /// Connections that idle in the pool.
    pub fn idle_connections(&self) -> usize {
        self.shared.pool.len()
    }

    /// Sessions that ended because plaintext was injected behind the reply to STARTTLS.
    pub fn injections(&self) -> u64 {
        self.shared.injections.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn next_shuffle(&self) -> Shuffle {
        Shuffle::new(self.seed.fetch_add(1, Ordering::Relaxed))
    }

    fn count_injection(&self, host: &Domain, address: SocketAddr) {
        self.injections.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%host, %address, "plaintext was injected behind the reply to STARTTLS: connection aborted");
    }
}

impl Job {
    /// Takes out what the envelope has no recipient for. Transactions can then rely on it.
    fn take_unknown_recipients(&mut self) -> Vec<u32> {
        let count = self.envelope.recipients.len();
        let known = |&recipient: &u32| usize::try_from(recipient).is_ok_and(|at| at < count);
        let (known, unknown) = self.recipients.iter().copied().partition(known);
        self.recipients = known;
        unknown
    }
}

fn for_all(recipients: Vec<u32>, outcome: &Outcome) -> Vec<RecipientOutcome> {
    recipients
        .into_iter()
        .map(|recipient| RecipientOutcome {
            recipient,
            outcome: outcome.clone(),
            hop: None,
            duplicate_possible: false,
        })
        .collect()
}
