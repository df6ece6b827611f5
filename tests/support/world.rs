//! A clinic's relay in the simulated world.

use std::sync::Arc;
use std::time::Duration;

use sealpost::mail::{
    Address, Demand, Envelope, Level, MessageClass, MessageId, Outcome, RecipientOutcome,
    Rendition, ReversePath, Terms, Timestamp,
};
use sealpost::relay::{Job, Relay, RelayConfig, Timeouts};
use sealpost::spool::Content;
use sealpost::world::clock::Clock;

use super::ca::Ca;
use super::dns::{FakeDns, domain};
use super::mx::Mx;
use super::net::{FakeNetwork, Place};

/// 22 November 2026.
pub const START: Timestamp = Timestamp::from_secs(1_795_305_600);
/// What the sender wrote. Nobody may hear it who is not good enough.
pub const CONTENT: &[u8] =
    b"From: <a@clinic.example>\r\nSubject: canary\r\n\r\nclinic-secret\r\n.\r\n";
pub const PREFIX: &[u8] = b"DKIM-Signature: v=1\r\n";

pub struct World {
    pub dns: Arc<FakeDns>,
    pub network: Arc<FakeNetwork>,
    pub ca: Ca,
    pub clock: Clock,
}

impl World {
    pub fn new() -> Self {
        Self {
            dns: Arc::default(),
            network: Arc::default(),
            ca: Ca::new("Test Root"),
            clock: Clock::starting_at(START),
        }
    }

    pub fn config(&self) -> RelayConfig {
        RelayConfig {
            hostname: domain("relay.clinic.example"),
            port: 25,
            roots: self.ca.roots(),
            source_addresses: vec![],
            allow_private_addresses: false,
            routes: vec![],
            timeouts: Timeouts::default(),
        }
    }

    pub fn relay(&self) -> Relay {
        self.relay_with(self.config())
    }

    pub fn relay_with(&self, config: RelayConfig) -> Relay {
        Relay::seeded(
            config,
            self.dns.clone(),
            self.network.clone(),
            self.clock,
            1,
        )
    }

    /// A good exchanger for `host`.
    pub fn good_mx(&self, host: &str) -> Mx {
        Mx::new(self.ca.issue(host).server())
    }

    /// Puts `mx` where `host` leads.
    pub fn host(&self, host: &str, address: &str, mx: &Mx) {
        self.dns.addresses(host, &[address]);
        self.at(&format!("{address}:25"), mx);
    }

    /// Puts `mx` at an address.
    pub fn at(&self, address: &str, mx: &Mx) {
        let mx = mx.clone();
        let serve = move |stream| mx.serve(stream);
        self.network.place(address, Place::Server(Arc::new(serve)));
    }

    /// The usual: `b.example` with the one exchanger `mx.b.example`.
    pub fn only_mx(&self, mx: &Mx) {
        self.dns.mx("b.example", &[(10, "mx.b.example")]);
        self.host("mx.b.example", "192.0.2.1", mx);
    }

    pub async fn sleep(&self, span: Duration) {
        self.clock.sleep_until(self.clock.now() + span).await;
    }
}

pub fn job(destination: &str, recipients: usize) -> Job {
    job_of(destination, recipients, Level::Protected, CONTENT)
}

pub fn job_of(destination: &str, recipients: usize, level: Level, content: &[u8]) -> Job {
    let address = |text: String| Address::parse(&text).unwrap();
    let envelope = Envelope {
        id: MessageId::new(1),
        class: MessageClass::Submitted,
        reverse_path: ReversePath::Address(address("a@clinic.example".to_owned())),
        recipients: (0..recipients)
            .map(|n| address(format!("r{n}@{destination}")))
            .collect(),
        author: None,
        message_id: "<1@clinic.example>".to_owned(),
        client: None,
        received: START,
        size: content.len() as u64,
        eight_bit: !content.is_ascii(),
        tags: Vec::new(),
        pickup: Default::default(),
    };
    Job {
        envelope: Arc::new(envelope),
        destination: domain(destination),
        recipients: (0..).take(recipients).collect(),
        rendition: demanding(Demand::content(level).unwrap()),
        content: Content::from_bytes(content.to_vec()),
    }
}

/// The content, demanding this of its connection.
pub fn demanding(demand: Demand) -> Rendition {
    Rendition::content(demand, Terms::default(), PREFIX.to_vec(), vec![]).unwrap()
}

/// What was sent, as the exchanger should have it.
pub fn expected_content(content: &[u8]) -> Vec<u8> {
    [PREFIX, content].concat()
}

/// The outcomes in the order of the recipients.
pub async fn deliver(relay: &Relay, job: Job) -> Vec<RecipientOutcome> {
    let recipients = job.recipients.clone();
    let mut outcomes = relay.deliver(job).await;
    outcomes.sort_by_key(|outcome| outcome.recipient);
    let answered: Vec<_> = outcomes.iter().map(|outcome| outcome.recipient).collect();
    assert_eq!(answered, recipients, "one outcome for each recipient");
    outcomes
}

/// The one outcome of a job with one recipient.
pub async fn deliver_one(relay: &Relay, destination: &str) -> RecipientOutcome {
    deliver(relay, job(destination, 1)).await.remove(0)
}

/// `word: enhanced code, text`, to be compared at a glance.
pub fn brief(outcome: &RecipientOutcome) -> String {
    let (word, status) = match &outcome.outcome {
        Outcome::Replan => return "replan".to_owned(),
        Outcome::Delivered(status) => ("delivered".to_owned(), status),
        Outcome::Deferred { reason, status } => (format!("deferred({reason})"), status),
        Outcome::Bounced(status) => ("bounced".to_owned(), status),
        Outcome::TooLarge(status) => ("too large sealed".to_owned(), status),
        Outcome::NotDeposited(status) => ("not deposited".to_owned(), status),
        Outcome::Shortfall { status, .. } => ("shortfall".to_owned(), status),
    };
    let doubt = if outcome.duplicate_possible {
        " (perhaps taken)"
    } else {
        ""
    };
    format!("{word}: {} {}{doubt}", status.enhanced, status.text)
}
