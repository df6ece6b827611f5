//! Where to find deposits: small sets in memory beside the rows of the table.
//!
//! Owns no record: those stay encoded in the table and are read when they are needed, so that
//! 100,000 of them cost little. Recipients are found by a keyed hash of 64 bits; whoever asks
//! compares the address itself.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;

use crate::mail::{Address, MessageId, Reference, Timestamp};
use crate::proto::link::DepositState;

use super::record::Record;

/// Looks of programs at one deposit that are logged within [`PROBE_SPAN_SECS`].
pub const MAX_PROBES: u8 = 20;
/// See [`MAX_PROBES`].
pub const PROBE_SPAN_SECS: u64 = 24 * 60 * 60;

/// What is known of a deposit without reading its row.
#[derive(Debug, Clone, Copy)]
struct Entry {
    queue_id: MessageId,
    mailbox: u64,
    deposited: Timestamp,
    due: Timestamp,
    state: DepositState,
    probes: u8,
    probes_since: u64,
}

/// The sets.
#[derive(Debug, Default)]
pub(super) struct Index {
    hasher: RandomState,
    entries: HashMap<Reference, Entry>,
    messages: BTreeSet<(MessageId, u64, Reference)>,
    mailboxes: BTreeSet<(u64, Timestamp, Reference)>,
    order: BTreeSet<(Timestamp, Reference)>,
    due: BTreeSet<(Timestamp, Reference)>,
    live: usize,
}

const FIRST: Reference = Reference::new([0; 10]);
const LAST: Reference = Reference::new([255; 10]);
const EVER: Timestamp = Timestamp::from_micros(u64::MAX);

const fn is_live(state: DepositState) -> bool {
    matches!(state, DepositState::Waiting | DepositState::Opened)
}

impl Index {
    pub(super) fn hash(&self, address: &Address) -> u64 {
        self.hasher.hash_one(address.mailbox_key())
    }

    /// Takes a record in as it is now; `due` is when something is next to be done for it.
    pub(super) fn set(&mut self, record: &Record, due: Timestamp) {
        let before = self.remove(record.reference);
        let mailbox = self.hash(&record.recipient);
        let entry = Entry {
            queue_id: record.queue_id,
            mailbox,
            deposited: record.deposited,
            due,
            state: record.state,
            probes: before.map_or(0, |entry| entry.probes),
            probes_since: before.map_or(0, |entry| entry.probes_since),
        };
        let reference = record.reference;
        self.messages.insert((record.queue_id, mailbox, reference));
        self.mailboxes
            .insert((mailbox, record.deposited, reference));
        self.order.insert((record.deposited, reference));
        self.due.insert((due, reference));
        self.live += usize::from(is_live(entry.state));
        self.entries.insert(reference, entry);
    }

    /// Forgets a deposit.
    pub(super) fn forget(&mut self, reference: Reference) {
        self.remove(reference);
    }

    fn remove(&mut self, reference: Reference) -> Option<Entry> {
        let entry = self.entries.remove(&reference)?;
        self.messages
            .remove(&(entry.queue_id, entry.mailbox, reference));
        self.mailboxes
            .remove(&(entry.mailbox, entry.deposited, reference));
        self.order.remove(&(entry.deposited, reference));
        self.due.remove(&(entry.due, reference));
        self.live -= usize::from(is_live(entry.state));
        Some(entry)
    }

    /// Puts off what is due for a deposit.
    pub(super) fn put_off(&mut self, reference: Reference, until: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&reference) {
            self.due.remove(&(entry.due, reference));
            self.due.insert((until, reference));
            entry.due = until;
        }
    }

    pub(super) fn contains(&self, reference: Reference) -> bool {
        self.entries.contains_key(&reference)
    }

    /// Deposits whose keys are there.
    pub(super) const fn live(&self) -> usize {
        self.live
    }

    /// The deposits of a message, or those of it that may be this recipient's.
    pub(super) fn message(&self, id: MessageId, recipient: Option<&Address>) -> Vec<Reference> {
        let (low, high) = match recipient.map(|recipient| self.hash(recipient)) {
            Some(hash) => (hash, hash),
            None => (0, u64::MAX),
        };
        let found = self.messages.range((id, low, FIRST)..=(id, high, LAST));
        found.map(|&(_, _, reference)| reference).collect()
    }

    /// The deposits that may be this mailbox's, newest first.
    pub(super) fn mailbox(&self, owner: &Address) -> Vec<Reference> {
        let hash = self.hash(owner);
        let range = (hash, Timestamp::default(), FIRST)..=(hash, EVER, LAST);
        let found = self.mailboxes.range(range).rev();
        found.map(|&(_, _, reference)| reference).collect()
    }

    /// How many of those have their key.
    pub(super) fn live_in(&self, owner: &Address) -> usize {
        let hash = self.hash(owner);
        let range = (hash, Timestamp::default(), FIRST)..=(hash, EVER, LAST);
        let found = self.mailboxes.range(range);
        let live = |reference| self.entries.get(reference).map(|entry| entry.state);
        found
            .filter(|(_, _, reference)| live(reference).is_some_and(is_live))
            .count()
    }

    /// Up to `most` deposits behind `after`, oldest first, in this state.
    pub(super) fn after(
        &self,
        after: Option<(Timestamp, Reference)>,
        state: Option<DepositState>,
        most: usize,
    ) -> Vec<(Timestamp, Reference)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let wanted = |reference: &Reference| {
            let entry = self.entries.get(reference);
            entry.is_some_and(|entry| state.is_none_or(|state| state == entry.state))
        };
        let found = self.order.range((from, Unbounded));
        found
            .filter(|(_, reference)| wanted(reference))
            .take(most)
            .copied()
            .collect()
    }

    /// Where a deposit stands in the order of [`Index::after`].
    pub(super) fn place(&self, reference: Reference) -> Option<(Timestamp, Reference)> {
        let entry = self.entries.get(&reference)?;
        Some((entry.deposited, reference))
    }

    /// When something is next due, and for which deposit.
    pub(super) fn next_due(&self) -> Option<(Timestamp, Reference)> {
        self.due.first().copied()
    }

    /// Up to `most` deposits for which something is due.
    pub(super) fn due(&self, now: Timestamp, most: usize) -> Vec<Reference> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now);
        due.take(most).map(|&(_, reference)| reference).collect()
    }

    /// Counts a look of a program; whether it is to be logged.
    pub(super) fn probe(&mut self, reference: Reference, now: Timestamp) -> bool {
        let Some(entry) = self.entries.get_mut(&reference) else {
            return false;
        };
        if now.as_secs().saturating_sub(entry.probes_since) >= PROBE_SPAN_SECS {
            entry.probes_since = now.as_secs();
            entry.probes = 0;
        }
        entry.probes = entry.probes.saturating_add(1);
        entry.probes <= MAX_PROBES
    }
}
