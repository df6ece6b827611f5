//! The whole line, from acceptance to delivery, on a spool of its own in the simulated network.
//!
//! The spool has threads of its own, so these tests run on the real clock with short schedules,
//! and wait for what happens, never for a time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealpost::flow::recorded::Recorder;
use sealpost::flow::{self, Contacts, FlowError, Handle, Machinery, News, Parts, Withdrawals};
use sealpost::journal::{MasterKey, SEGMENT_OCTETS};
use sealpost::link::Tickets;
use sealpost::mail::{
    Address, Client, Envelope, Level, MessageClass, MessageId, PickupWishes, ReversePath,
};
use sealpost::policy::{Policy, PolicySource};
use sealpost::queue::{Limits, Queue, Retry};
use sealpost::report::{Decisions, DeliveryLog, Target, decisions};
use sealpost::scan::detect::{DetectorSource, Detectors};
use sealpost::scan::{ScanConfig, Scanner};
use sealpost::sign::{Signer, SigningKey};
use sealpost::spool::{Spool, SpoolOptions};
use sealpost::tables::Tables;
use tokio::task::JoinHandle;

use super::dns::domain;
use super::world::World;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// 32 octets, as base64.
const KEY: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

pub fn short_retry() -> Retry {
    Retry {
        schedule: vec![Duration::from_millis(50)],
        expire_after: Duration::from_secs(60),
        warn_after: Duration::from_secs(30),
    }
}

/// Everything at least `base`, by TLS.
fn policy(base: Level) -> Policy {
    let source = PolicySource {
        base,
        ..PolicySource::default()
    };
    Policy::compile(source).unwrap()
}

/// A policy with what carries it out. Documents are read by the program under test.
pub fn machinery(world: &World, policy: Policy, keys: Vec<SigningKey>) -> Machinery {
    let enabled = policy.source().detectors.keys().cloned().collect();
    let detectors = Detectors::compile(&DetectorSource {
        enabled,
        ..DetectorSource::default()
    });
    let program = env!("CARGO_BIN_EXE_sealpost").into();
    Machinery {
        recorder: Recorder::new(&policy).unwrap(),
        policy,
        scanner: Scanner::new(ScanConfig::new(program), Arc::new(detectors.unwrap())),
        signer: Signer::new(keys),
        relay: world.relay(),
        smime: None,
        portal: None,
    }
}

/// A running line.
pub struct Line {
    pub handle: Handle,
    spool: Spool,
    pub log: DeliveryLog,
    pub decisions: Decisions,
    log_file: std::path::PathBuf,
    tables: Tables,
    task: JoinHandle<Result<(), FlowError>>,
}

impl Line {
    /// Starts on what `directory` holds.
    pub fn start(world: &World, directory: &Path, retry: Retry) -> Self {
        Self::start_signing(world, directory, retry, Vec::new())
    }

    pub fn start_under(world: &World, directory: &Path, retry: Retry, policy: Policy) -> Self {
        Self::start_with(
            world,
            directory,
            retry,
            machinery(world, policy, Vec::new()),
        )
    }

    pub fn start_signing(
        world: &World,
        directory: &Path,
        retry: Retry,
        keys: Vec<SigningKey>,
    ) -> Self {
        let machinery = machinery(world, policy(Level::Protected), keys);
        Self::start_with(world, directory, retry, machinery)
    }

    pub fn start_with(world: &World, directory: &Path, retry: Retry, machinery: Machinery) -> Self {
        let options = SpoolOptions {
            directory: directory.join("spool"),
            master_key: MasterKey::from_base64(KEY).unwrap(),
            segment_octets: SEGMENT_OCTETS / 64,
        };
        let (spool, recovery) = Spool::open(options, world.clock).unwrap();
        let log_file = directory.join("delivery.jsonl");
        let log = DeliveryLog::open(Target::File(log_file.clone())).unwrap();
        let tables = Tables::open(spool.journal()).unwrap();
        let contacts = Contacts::open(&tables).unwrap();
        let options = decisions::Options {
            directory: directory.join("decisions"),
            master_key: MasterKey::from_base64(KEY).unwrap(),
            retention: Duration::from_secs(24 * 60 * 60),
        };
        let (decisions, _) = Decisions::open(options, world.clock.now()).unwrap();
        let parts = Parts {
            decisions: decisions.clone(),
            contacts,
            withdrawals: Withdrawals::open(&tables).unwrap(),
            news: News::open(&tables).unwrap(),
            clock: world.clock,
            spool: spool.clone(),
            log: log.clone(),
            hostname: domain("mail.clinic.example"),
            postmaster: Address::parse("postmaster@clinic.example").unwrap(),
            machinery,
        };
        let queue = Queue::new(retry, Limits::default(), 1);
        let (handle, task) = flow::start(parts, queue, recovery.messages);
        Self {
            handle,
            spool,
            log,
            decisions,
            log_file,
            tables,
            task,
        }
    }

    /// Reloads with another base level.
    pub fn set_base(&self, world: &World, base: Level) {
        self.set_policy(world, policy(base));
    }

    /// Reloads with another policy.
    pub fn set_policy(&self, world: &World, policy: Policy) {
        self.handle.reload(machinery(world, policy, Vec::new()));
    }

    /// Submits `content` from a@clinic.example.
    pub async fn submit(&self, recipients: &[&str], content: &[u8]) -> MessageId {
        let sender = ReversePath::Address(Address::parse("a@clinic.example").unwrap());
        self.submit_from(sender, recipients, content).await
    }

    pub async fn submit_from(
        &self,
        reverse_path: ReversePath,
        recipients: &[&str],
        content: &[u8],
    ) -> MessageId {
        let wishes = PickupWishes::default();
        self.submit_all(reverse_path, recipients, content, wishes)
            .await
    }

    /// Submits what its sender says something of for the portal.
    pub async fn submit_wishing(
        &self,
        recipients: &[&str],
        content: &[u8],
        wishes: PickupWishes,
    ) -> MessageId {
        let sender = ReversePath::Address(Address::parse("a@clinic.example").unwrap());
        self.submit_all(sender, recipients, content, wishes).await
    }

    async fn submit_all(
        &self,
        reverse_path: ReversePath,
        recipients: &[&str],
        content: &[u8],
        pickup: PickupWishes,
    ) -> MessageId {
        let (id, mut writer) = self.handle.begin();
        writer.write(content).await.unwrap();
        let body = writer.finish().await.unwrap();
        let client = Client {
            address: None,
            helo: "app.clinic.example".to_owned(),
            user: "app".to_owned(),
            listener: "127.0.0.1:465".to_owned(),
            tls: None,
        };
        let envelope = Envelope {
            id,
            class: MessageClass::Submitted,
            reverse_path,
            recipients: recipients
                .iter()
                .map(|text| Address::parse(text).unwrap())
                .collect(),
            author: Some(Address::parse("a@clinic.example").unwrap()),
            message_id: "<1@clinic.example>".to_owned(),
            client: Some(client),
            received: self.handle.now(),
            size: content.len() as u64,
            eight_bit: false,
            tags: Vec::new(),
            pickup,
        };
        self.handle.accept(envelope, body).await.unwrap();
        id
    }

    /// The replies from the portal that were taken in.
    pub fn tickets(&self) -> Tickets {
        Tickets::open(&self.tables).unwrap()
    }

    /// What lies in the portal behind its plans.
    pub fn withdrawals(&self) -> Withdrawals {
        Withdrawals::open(&self.tables).unwrap()
    }

    /// Waits for a line of the delivery log that `wanted` likes.
    pub async fn event(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let found = eventually(|| self.events().into_iter().find(|line| wanted(line))).await;
        found.unwrap_or_else(|| panic!("no such event in {:#?}", self.events()))
    }

    /// Every line of the delivery log so far.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.log_file).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Lets what is in flight settle and closes the spool.
    pub async fn stop(self) {
        assert!(self.handle.drain(PATIENCE).await, "drained");
        self.task.await.unwrap().unwrap();
        self.log.flush().await.unwrap();
        drop((self.handle, self.tables));
        self.spool.close().await;
    }

    /// Ends at once, as a crash would: nothing in flight is waited for.
    pub async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
        drop((self.handle, self.tables));
        self.spool.close().await;
    }
}

/// What `look` finds, once it finds something.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let search = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, search).await.ok()
}
