//! From records back to messages, at start.
//!
//! Owns what a start tells ([`Recovery`]). Stops for nothing that concerns single messages: what
//! cannot be read is named in the report.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::journal::crypt::WRAP_OCTETS;
use crate::journal::{
    FLAG_BODY_FILE, Keyring, Kind, MessageKey, Position, Quarantined, Report, Stored, TornTail,
    WrappedKey,
};
use crate::mail::{Envelope, MessageId, Prepared, RecipientRecord};

use super::big::{BigFiles, BigRef};
use super::change::StoredHead;
use super::index::Index;

/// What was found when the spool was opened.
#[derive(Debug)]
pub struct Recovery {
    /// The messages that are not done, by rising id.
    pub messages: Vec<Recovered>,
    /// What is to be told about it.
    pub report: RecoveryReport,
}

/// A message that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// What was prepared last.
    pub prepared: Option<Arc<Prepared>>,
    /// Where its recipients stand, by index; as many as the envelope has.
    pub recipients: Vec<RecipientRecord>,
}

/// What was read, and what could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments read.
    pub segments: u64,
    /// Valid records.
    pub records: u64,
    /// Messages that are not done.
    pub messages: u64,
    /// The last batch, if it did not reach the disk whole. Nothing of it was acknowledged.
    pub torn_tail: Option<TornTail>,
    /// Octets that were durable and are not valid any more; the first thousand.
    pub quarantined: Vec<Quarantined>,
    /// How many such ranges there are in all.
    pub quarantined_ranges: u64,
    /// Messages without a `DONE` whose acceptance cannot be read: lost, but for what a person
    /// finds in `quarantine/`.
    pub lost: Vec<MessageId>,
    /// Messages that are there but lack something later: a rendition, a state, the body's file.
    pub damaged: Vec<MessageId>,
    /// Table rows that do not unseal.
    pub unreadable_rows: u64,
}

impl RecoveryReport {
    /// Whether everything that was ever acknowledged was read back. A torn tail is no loss.
    pub fn is_sound(&self) -> bool {
        self.quarantined_ranges == 0
            && self.lost.is_empty()
            && self.damaged.is_empty()
            && self.unreadable_rows == 0
    }
}

struct Live {
    message: Recovered,
    key: MessageKey,
    wrapped: WrappedKey,
    position: Position,
    file: Option<BigRef>,
}

/// The messages as the records so far tell them.
#[derive(Default)]
pub(super) struct Replayed {
    live: BTreeMap<MessageId, Live>,
    done: HashSet<MessageId>,
    /// Spoken of, and no acceptance was read.
    lost: BTreeSet<MessageId>,
    damaged: BTreeSet<MessageId>,
}

impl Replayed {
    /// Applies the next record.
    pub(super) fn apply(&mut self, keys: &Keyring, stored: Stored<'_>) {
        let id = MessageId::new(stored.header.message);
        match stored.header.kind {
            Kind::Accept => self.accept(keys, id, stored),
            Kind::Rendition => self.with_live(id, |live| {
                let text = stored.open_envelope(keys, &live.key, 0).ok()?;
                live.message.prepared = Some(Arc::new(postcard::from_bytes(&text).ok()?));
                Some(())
            }),
            Kind::State => self.with_live(id, |live| {
                let text = stored.open_envelope(keys, &live.key, 0).ok()?;
                let recipients: Vec<(u32, RecipientRecord)> = postcard::from_bytes(&text).ok()?;
                for (index, record) in recipients {
                    *live
                        .message
                        .recipients
                        .get_mut(usize::try_from(index).ok()?)? = record;
                }
                Some(())
            }),
            Kind::Done => {
                self.live.remove(&id);
                self.lost.remove(&id);
                self.damaged.remove(&id);
                self.done.insert(id);
            }
            Kind::Key | Kind::Admin | Kind::Moved => {
                // Never written by this version: about a message we may have misread, then.
                self.damaged.insert(id);
            }
            Kind::Table | Kind::Seal | Kind::Pad => {}
        }
    }

    fn accept(&mut self, keys: &Keyring, id: MessageId, stored: Stored<'_>) {
        if self.live.contains_key(&id) {
            return; // the first one is what was acknowledged
        }
        match read_accept(keys, id, &stored) {
            Some(live) => {
                self.live.insert(id, live);
            }
            None => {
                self.lost.insert(id);
            }
        }
    }

    fn with_live(&mut self, id: MessageId, apply: impl FnOnce(&mut Live) -> Option<()>) {
        match self.live.get_mut(&id) {
            Some(live) => {
                if apply(live).is_none() {
                    self.damaged.insert(id);
                }
            }
            None if self.done.contains(&id) => {}
            None => {
                self.lost.insert(id);
            }
        }
    }

    /// All records were read.
    pub(super) fn finish(mut self, report: Report, files: &BigFiles, index: &Index) -> Recovery {
        for (kind, message) in report.quarantined.iter().filter_map(|gap| gap.record) {
            let id = MessageId::new(message);
            match kind {
                _ if self.done.contains(&id) => {}
                Kind::Accept if !self.live.contains_key(&id) => {
                    self.lost.insert(id);
                }
                Kind::Rendition | Kind::State if self.live.contains_key(&id) => {
                    self.damaged.insert(id);
                }
                _ => {}
            }
        }
        let mut messages = Vec::with_capacity(self.live.len());
        for (id, live) in self.live {
            index.announce(id, live.wrapped);
            index.accepted(id, live.position, live.file);
            if live.file.is_some() && !files.exists(id) {
                self.damaged.insert(id);
            }
            messages.push(live.message);
        }
        let report = RecoveryReport {
            segments: report.segments,
            records: report.records,
            messages: messages.len() as u64,
            torn_tail: report.torn_tail,
            quarantined: report.quarantined,
            quarantined_ranges: report.quarantined_ranges,
            lost: self.lost.into_iter().collect(),
            damaged: self.damaged.into_iter().collect(),
            unreadable_rows: report.unreadable_rows,
        };
        Recovery { messages, report }
    }
}

fn read_accept(keys: &Keyring, id: MessageId, stored: &Stored<'_>) -> Option<Live> {
    let wrapped = WrappedKey::from_bytes(stored.clear().ok()?);
    let key = keys.unwrap(id.get(), &wrapped).ok()?;
    let text = stored.open_envelope(keys, &key, WRAP_OCTETS).ok()?;
    let head: StoredHead = postcard::from_bytes(&text).ok()?;
    if head.envelope.id != id {
        return None;
    }
    let in_file = stored.header.flags & FLAG_BODY_FILE != 0;
    let len = head.body_octets;
    Some(Live {
        message: Recovered {
            recipients: vec![RecipientRecord::queued(); head.envelope.recipients.len()],
            envelope: Arc::new(head.envelope),
            prepared: None,
        },
        key,
        wrapped,
        position: stored.position,
        file: in_file.then_some(BigRef { len }),
    })
}
