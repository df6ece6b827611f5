//! What every step of the line works with.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::certificates::Smime;
use super::contacts::{Contacts, Volumes};
use super::crowd::Crowd;
use super::known::Known;
use super::office::Message;
use super::portal::Portal;
use super::portal::news::News;
use super::portal::withdraw::Withdrawals;
use super::recorded::Recorder;
use crate::mail::{Address, Domain};
use crate::policy::Policy;
use crate::queue::{Input, Order, Selection, Tally};
use crate::relay::Relay;
use crate::report::{Decisions, DeliveryLog};
use crate::scan::Scanner;
use crate::sign::Signer;
use crate::spool::Spool;
use crate::world::clock::Clock;

/// Memory for contents that are being scanned and signed, in KiB, all messages together.
const PREPARE_BUDGET_KIB: u32 = 256 * 1024;
/// Messages that are being sealed at a time: each may hold one more copy of its content.
const MAX_SEALING: usize = 4;
/// Look-ups of certificates under way, all messages together.
const MAX_LOOK_UPS: usize = 64;
/// Messages that wait for look-ups at a time: half of those that are prepared at a time, so that
/// mail which asks nobody goes on when nobody answers.
const MAX_ASKING: usize = 32;
/// Attempts that wait at a time to hear whether a certificate still stands: less than a third of
/// all attempts.
const MAX_CHECKING: usize = 64;
/// Attempts that wait for their turn at the portal, or leave a message in it, at a time: less than
/// a third of all attempts.
const MAX_DEPOSITING: usize = 64;
/// Codes of which the portal is being told how they travelled.
const MAX_TELLING: usize = 1024;
/// Settlements that are worked on at a time; each may hold a bounce.
const MAX_SETTLEMENTS: usize = 256;

/// What a reload replaces, all at once.
pub struct Machinery {
    /// Decides how each recipient is protected.
    pub policy: Policy,
    /// Keeps its decisions on record.
    pub recorder: Recorder,
    /// Reads what messages hold.
    pub scanner: Scanner,
    /// Signs.
    pub signer: Signer,
    /// Carries.
    pub relay: Relay,
    /// What S/MIME works with; `None` where it is not configured.
    pub smime: Option<Smime>,
    /// What the portal works with; `None` where it is not configured.
    pub portal: Option<Portal>,
}

/// What every step of the line works with.
pub(super) struct Line {
    pub(super) clock: Clock,
    pub(super) spool: Spool,
    pub(super) log: DeliveryLog,
    pub(super) hostname: Domain,
    pub(super) postmaster: Address,
    pub(super) decisions: Decisions,
    pub(super) contacts: Contacts,
    pub(super) volumes: Arc<Volumes>,
    pub(super) known: Known,
    pub(super) withdrawals: Withdrawals,
    pub(super) news: News,
    machinery: RwLock<Arc<Machinery>>,
    inbox: mpsc::Sender<Message>,
    budget: Arc<Semaphore>,
    settlements: Semaphore,
    sealing: Semaphore,
    look_ups: Arc<Semaphore>,
    /// Turns of messages to look certificates up.
    pub(super) asking: Crowd,
    /// Turns of attempts to ask whether certificates still stand.
    pub(super) checking: Crowd,
    /// Turns of attempts to leave something in the portal. Never closed.
    pub(super) depositing: Semaphore,
    /// Turns to tell the portal how a code travelled.
    pub(super) telling: Arc<Semaphore>,
}

impl Line {
    pub(super) fn new(parts: super::Parts, inbox: mpsc::Sender<Message>) -> Self {
        Self {
            clock: parts.clock,
            spool: parts.spool,
            log: parts.log,
            hostname: parts.hostname,
            postmaster: parts.postmaster,
            decisions: parts.decisions,
            contacts: parts.contacts,
            volumes: Arc::default(),
            known: Known::default(),
            withdrawals: parts.withdrawals,
            news: parts.news,
            machinery: RwLock::new(Arc::new(parts.machinery)),
            inbox,
            budget: Arc::new(Semaphore::new(PREPARE_BUDGET_KIB as usize)),
            settlements: Semaphore::new(MAX_SETTLEMENTS),
            sealing: Semaphore::new(MAX_SEALING),
            look_ups: Arc::new(Semaphore::new(MAX_LOOK_UPS)),
            asking: Crowd::new(MAX_ASKING),
            checking: Crowd::new(MAX_CHECKING),
            depositing: Semaphore::new(MAX_DEPOSITING),
            telling: Arc::new(Semaphore::new(MAX_TELLING)),
        }
    }

    /// The machinery in force; work that has begun keeps what it began with.
    pub(super) fn machinery(&self) -> Arc<Machinery> {
        let current = self
            .machinery
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    pub(super) fn replace(&self, machinery: Machinery) {
        let mut current = self
            .machinery
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(machinery);
        drop(current);
        self.withdrawals.nudge();
        self.news.nudge();
    }

    /// Waits until `octets` of content may be held in memory. A message larger than the whole
    /// budget waits for all of it.
    pub(super) async fn reserve(&self, octets: u64) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let kib = u32::try_from(octets / 1024 + 1).unwrap_or(u32::MAX);
        let kib = kib.min(PREPARE_BUDGET_KIB);
        Arc::clone(&self.budget).acquire_many_owned(kib).await.ok()
    }

    /// Waits for its turn to settle. The semaphore is never closed.
    pub(super) async fn turn_to_settle(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.settlements.acquire().await.ok()
    }

    /// Waits for its turn to seal. The semaphore is never closed.
    pub(super) async fn turn_to_seal(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.sealing.acquire().await.ok()
    }

    /// Turns to look certificates up. The semaphore is never closed.
    pub(super) fn look_ups(&self) -> Arc<Semaphore> {
        Arc::clone(&self.look_ups)
    }

    /// Tells the queue's owner. If it is gone the process is going down, and what matters is on
    /// disk.
    pub(super) async fn tell(&self, input: Input) {
        drop(self.inbox.send(Message::Queue(input)).await);
    }

    /// Carries an order out; `None` once the line has ended.
    pub(super) async fn operate(&self, selection: Selection, order: Order) -> Option<Tally> {
        let (asker, answer) = oneshot::channel();
        let order = Message::Operate(selection, Arc::new(order), asker);
        self.inbox.send(order).await.ok()?;
        answer.await.ok()
    }

    pub(super) async fn broken(&self) {
        drop(self.inbox.send(Message::Broken).await);
    }
}
