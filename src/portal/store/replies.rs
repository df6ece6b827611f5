//! Replies, and messages that outsiders began: content sealed as a deposit's is, and a row that says
//! where it stands. The key is overwritten as soon as the line has the message, or refuses it.
//!
//! Owns the table `replies`. To whom a reply goes is not for its writer to say: it is the author of
//! what it answers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;

use crate::journal::MessageKey;
use crate::journal::crypt::random;
use crate::mail::{Address, Final, Level, MessageId, Reference, Timestamp};
use crate::proto::link::{Happening, Reply, Travelled};
use crate::tables::{Table, Tables};

use super::ends::{Ends, MAX_ENDS};
use super::outbox::{Lane, Owed};
use super::shared::{Shared, blocking, to_the_end};
use super::slots::Slot;
use super::{Store, StoreError};

/// Replies to one deposit.
pub const MAX_REPLIES: usize = 100;
/// Replies that wait to be taken by the line.
pub const MAX_WAITING_REPLIES: usize = 10_000;
/// Octets that are sealed at once.
const PIECE_OCTETS: usize = 1024 * 1024;

/// A reply to be kept and sent.
#[derive(Clone)]
pub struct NewReply {
    /// The deposit that it answers: from its recipient, to its author.
    pub answers: Reference,
    /// The level that it is given; that of the deposit at least.
    pub level: Level,
    /// The whole message, with CRLF.
    pub content: Bytes,
}

impl std::fmt::Debug for NewReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewReply({})", self.answers)
    }
}

/// Where a reply stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReplyState {
    /// The line has not taken it yet.
    Waiting,
    /// The line has it, and has not said that it failed.
    Sent,
    /// The line will not take it, or could not deliver it.
    Failed,
}

/// A reply as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyView {
    /// Its number.
    pub ticket: u64,
    /// When it was written.
    pub time: Timestamp,
    /// Octets of the message.
    pub octets: u64,
    /// Where it stands.
    pub state: ReplyState,
}

/// A reply as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) answers: Option<Reference>,
    pub(super) reply: Reply,
    /// What its content's file is called.
    pub(super) name: Reference,
    pub(super) slot: Slot,
    pub(super) time: Timestamp,
    pub(super) state: ReplyState,
    /// That it was written has yet to be owed to the line.
    pub(super) untold: bool,
    /// What the line calls it, since it has it.
    pub(super) queue_id: Option<MessageId>,
}

#[derive(Debug, Default)]
struct Sets {
    by_deposit: BTreeSet<(Reference, u64)>,
    waiting: BTreeSet<u64>,
    by_message: HashMap<MessageId, u64>,
}

/// The rows, and where to find them.
#[derive(Debug)]
pub(super) struct Replies {
    table: Table<Row>,
    sets: Mutex<Sets>,
    pub(super) ends: Ends,
    /// For whoever changes a row that is there.
    changing: AsyncMutex<()>,
}

impl Replies {
    /// Takes over the rows; shows each to `see`.
    pub(super) fn open(tables: &Tables, see: &mut dyn FnMut(&Row)) -> Result<Self, StoreError> {
        let table: Table<Row> = tables.table("replies")?;
        let replies = Self {
            table,
            sets: Mutex::default(),
            ends: Ends::open(tables)?,
            changing: AsyncMutex::default(),
        };
        for (_, row) in replies.table.rows()? {
            replies.show(&row);
            see(&row);
        }
        Ok(replies)
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, row: &Row) {
        let ticket = row.reply.ticket;
        let mut sets = self.sets();
        if let Some(answers) = row.answers {
            sets.by_deposit.insert((answers, ticket));
        }
        if let Some(id) = row.queue_id {
            sets.by_message.insert(id, ticket);
        }
        match row.state {
            ReplyState::Waiting => sets.waiting.insert(ticket),
            ReplyState::Sent | ReplyState::Failed => sets.waiting.remove(&ticket),
        };
    }

    fn of(&self, deposit: Reference) -> Vec<u64> {
        let sets = self.sets();
        let range = sets.by_deposit.range((deposit, 0)..=(deposit, u64::MAX));
        range.map(|&(_, ticket)| ticket).collect()
    }

    /// How many replies a deposit has.
    pub(super) fn count(&self, deposit: Reference) -> u32 {
        u32::try_from(self.of(deposit).len()).unwrap_or(u32::MAX)
    }

    fn get(&self, ticket: u64) -> Result<Option<Row>, StoreError> {
        Ok(self.table.get(&ticket.to_be_bytes())?)
    }

    async fn put(&self, row: &Row) -> Result<(), StoreError> {
        self.table.put(&row.reply.ticket.to_be_bytes(), row).await?;
        self.show(row);
        Ok(())
    }

    async fn delete(&self, row: &Row) -> Result<(), StoreError> {
        let ticket = row.reply.ticket;
        self.table.delete(&ticket.to_be_bytes()).await?;
        let mut sets = self.sets();
        sets.waiting.remove(&ticket);
        if let Some(answers) = row.answers {
            sets.by_deposit.remove(&(answers, ticket));
        }
        if let Some(id) = row.queue_id {
            sets.by_message.remove(&id);
        }
        Ok(())
    }

    /// Rows whose news is not owed yet.
    pub(super) fn untold(&self) -> Result<Vec<Row>, StoreError> {
        let rows = self.table.rows()?.into_iter().map(|(_, row)| row);
        Ok(rows.filter(|row| row.untold).collect())
    }
}

impl Store {
    /// Keeps a reply to the author of a deposit; durable when this returns its number, and sent as
    /// soon as the line takes it.
    pub async fn reply(&self, reply: NewReply) -> Result<u64, StoreError> {
        let record = self.shared.known(reply.answers)?;
        if self.shared.replies.of(reply.answers).len() >= MAX_REPLIES {
            return Err(StoreError::Backlog);
        }
        let facts = Reply {
            ticket: self.shared.outbox.ticket(),
            queue_id: Some(record.queue_id),
            from: record.recipient,
            to: record.author,
            level: reply.level.max(record.level),
            octets: reply.content.len() as u64,
        };
        self.keep_reply(Some(reply.answers), facts, reply.content)
            .await
    }

    /// The same for a message that answers nothing: whoever calls has judged that `from` may write
    /// to `to`.
    pub async fn begin(
        &self,
        from: Address,
        to: Address,
        level: Level,
        content: Bytes,
    ) -> Result<u64, StoreError> {
        let facts = Reply {
            ticket: self.shared.outbox.ticket(),
            queue_id: None,
            from,
            to,
            level,
            octets: content.len() as u64,
        };
        self.keep_reply(None, facts, content).await
    }

    async fn keep_reply(
        &self,
        answers: Option<Reference>,
        reply: Reply,
        content: Bytes,
    ) -> Result<u64, StoreError> {
        let shared = Arc::clone(&self.shared);
        to_the_end(async move { shared.keep_reply(answers, reply, content).await }).await
    }

    /// Replies to a deposit, oldest first.
    pub fn replies(&self, deposit: &Reference) -> Vec<ReplyView> {
        let replies = &self.shared.replies;
        let rows = replies.of(*deposit).into_iter();
        rows.filter_map(|ticket| replies.get(ticket).ok().flatten())
            .map(|row| ReplyView {
                ticket: row.reply.ticket,
                time: row.time,
                octets: row.reply.octets,
                state: row.state,
            })
            .collect()
    }

    /// The next reply that the line is to take.
    pub fn next_reply(&self) -> Result<Option<Reply>, StoreError> {
        self.next_reply_but(&HashSet::new())
    }

    /// The same, without some.
    pub fn next_reply_but(&self, aside: &HashSet<u64>) -> Result<Option<Reply>, StoreError> {
        let ticket = {
            let sets = self.shared.replies.sets();
            let mut waiting = sets.waiting.iter().copied();
            waiting.find(|ticket| !aside.contains(ticket))
        };
        let row = match ticket {
            Some(ticket) => self.shared.replies.get(ticket)?,
            None => None,
        };
        Ok(row.map(|row| row.reply))
    }

    /// When a reply was written.
    pub fn reply_written(&self, ticket: u64) -> Option<Timestamp> {
        let row = self.shared.replies.get(ticket).ok().flatten()?;
        Some(row.time)
    }

    /// The content of a reply that waits.
    pub async fn reply_content(&self, ticket: u64) -> Result<Bytes, StoreError> {
        let shared = Arc::clone(&self.shared);
        let row = shared.replies.get(ticket)?.ok_or(StoreError::Unknown)?;
        let memory = shared.contents.reserve(row.reply.octets).await?;
        blocking(move || {
            let key = shared.slots.key(row.slot, row.name)?;
            let (owner, octets) = (&row.reply.to, row.reply.octets);
            shared.contents.read(row.name, owner, &key, octets, memory)
        })
        .await
    }

    /// The line has taken a reply, or will not: its key is overwritten.
    pub async fn settle_reply(&self, ticket: u64, state: ReplyState) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        to_the_end(async move { shared.settle_reply(ticket, state, None).await }).await
    }

    /// The line has taken a reply, and calls it so from now on: its key is overwritten.
    pub async fn reply_taken(&self, ticket: u64, id: MessageId) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let taken = async move {
            let settled = shared.settle_reply(ticket, ReplyState::Sent, Some(id));
            settled.await
        };
        to_the_end(taken).await
    }

    /// How a mail of ours ended; durable when this returns whether it was a reply. One that the line
    /// has taken while we do not know it yet takes its end up when we do.
    pub async fn reply_travelled(&self, travelled: &Travelled) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        let (id, reply) = (travelled.queue_id, travelled.reply);
        let state = match travelled.ended {
            Final::Delivered | Final::Deposited => ReplyState::Sent,
            Final::Bounced | Final::Expired | Final::Cancelled | Final::Suppressed => {
                ReplyState::Failed
            }
        };
        to_the_end(async move { shared.reply_travelled(id, state, reply).await }).await
    }
}

impl Shared {
    async fn keep_reply(
        self: &Arc<Self>,
        answers: Option<Reference>,
        reply: Reply,
        content: Bytes,
    ) -> Result<u64, StoreError> {
        self.failing.check()?;
        if reply.octets > self.bounds.message_octets {
            let most = self.bounds.message_octets;
            return Err(StoreError::TooLarge { most });
        }
        if self.replies.sets().waiting.len() >= MAX_WAITING_REPLIES {
            return Err(StoreError::Backlog);
        }
        let mut name = [0; 10];
        random(&mut name)?;
        let name = Reference::new(name);
        let key = MessageKey::generate()?;
        let (contents, to) = (self.contents.clone(), reply.to.clone());
        let (sink, key) = blocking(move || {
            contents.room_for(content.len() as u64)?;
            let mut sink = contents.create(name, &to, &key)?;
            for piece in content.chunks(PIECE_OCTETS) {
                sink.write(piece)?;
            }
            Ok((sink, key))
        })
        .await?;
        let slot = self.store_content(name, key, sink).await?;
        let row = Row {
            answers,
            reply,
            name,
            slot,
            time: self.now(),
            state: ReplyState::Waiting,
            untold: answers.is_some(),
            queue_id: None,
        };
        let ticket = row.reply.ticket;
        if let Err(error) = self.add_reply(row).await {
            self.discard(name, slot).await;
            return Err(error);
        }
        self.outbox.wake(Lane::Replies);
        // The reply is on its way, whatever becomes of the news of it.
        if let Err(error) = self.tell_reply_later(ticket).await {
            tracing::error!(%error, ticket, "the line is not told that a reply was written");
        }
        Ok(ticket)
    }

    async fn add_reply(&self, mut row: Row) -> Result<(), StoreError> {
        let _changing = self.replies.changing.lock().await;
        if let Some(answers) = row.answers {
            row.answers = Some(self.answered(answers, &row.reply)?);
        }
        self.replies.put(&row).await
    }

    /// The same as [`Shared::tell_reply`]; where too much is owed, later.
    pub(super) async fn tell_reply_later(&self, ticket: u64) -> Result<(), StoreError> {
        match self.tell_reply(ticket).await {
            Err(error @ StoreError::Backlog) => {
                tracing::warn!(%error, ticket, "the line is told later that a reply was written");
                Ok(())
            }
            told => told,
        }
    }

    /// Owes the line the news of a reply, then notes that it is owed.
    async fn tell_reply(&self, ticket: u64) -> Result<(), StoreError> {
        let _changing = self.replies.changing.lock().await;
        let Some(mut row) = self.replies.get(ticket)?.filter(|row| row.untold) else {
            return Ok(());
        };
        let record = match row.answers {
            Some(answers) => self.record(answers)?,
            None => None,
        };
        if let Some(record) = record {
            let event = record.event(Happening::Replied, row.time);
            self.owe(Owed::Event(event)).await?;
        }
        row.untold = false;
        self.replies.put(&row).await
    }

    async fn settle_reply(
        self: &Arc<Self>,
        ticket: u64,
        state: ReplyState,
        id: Option<MessageId>,
    ) -> Result<(), StoreError> {
        if state == ReplyState::Waiting {
            return Ok(());
        }
        self.tell_reply_later(ticket).await?;
        let changing = self.replies.changing.lock().await;
        let mut row = self.replies.get(ticket)?.ok_or(StoreError::Unknown)?;
        if row.state == ReplyState::Waiting {
            let has_failed = id.map_or(Ok(false), |id| self.replies.ends.has_failed(id))?;
            row.state = match has_failed {
                true => ReplyState::Failed,
                false => state,
            };
            row.queue_id = id;
        }
        match row.answers {
            Some(_) => self.replies.put(&row).await?,
            // Nobody can ask for it any more.
            None => self.replies.delete(&row).await?,
        }
        let tidied = self.forget_ends(id).await;
        drop(changing);
        self.shred(row.name, row.slot).await?;
        tidied
    }

    /// A reply waits no longer, or is called `id` from now on.
    async fn forget_ends(&self, id: Option<MessageId>) -> Result<(), StoreError> {
        let ends = &self.replies.ends;
        if self.replies.sets().waiting.is_empty() {
            return ends.clear().await;
        }
        match id {
            Some(id) => ends.forget(id).await,
            None => Ok(()),
        }
    }

    async fn reply_travelled(
        &self,
        id: MessageId,
        state: ReplyState,
        reply: bool,
    ) -> Result<bool, StoreError> {
        let _changing = self.replies.changing.lock().await;
        let (ticket, waiting) = {
            let sets = self.replies.sets();
            (sets.by_message.get(&id).copied(), !sets.waiting.is_empty())
        };
        let Some(ticket) = ticket else {
            // Its row is gone, and nobody can ask for it any more; or it is none. Or it is one of
            // those that wait: the line has it, and its answer is not noted yet.
            if reply && waiting {
                self.failing.check()?;
                self.replies.ends.note(id, state, MAX_ENDS).await?;
            }
            return Ok(reply);
        };
        if let Some(mut row) = self.replies.get(ticket)?.filter(|row| row.state != state) {
            self.failing.check()?;
            row.state = state;
            self.replies.put(&row).await?;
        }
        Ok(true)
    }

    /// What answers a deposit answers `to` from now on, which has taken its place; then its row goes.
    /// Both under one lock, so that nobody writes a reply to what is gone.
    pub(super) async fn give_way(
        &self,
        before: Reference,
        to: Reference,
    ) -> Result<(), StoreError> {
        let _changing = self.replies.changing.lock().await;
        for ticket in self.replies.of(before) {
            let Some(mut row) = self.replies.get(ticket)? else {
                continue;
            };
            row.answers = Some(to);
            self.replies.put(&row).await?;
            self.replies.sets().by_deposit.remove(&(before, ticket));
        }
        self.records.delete(before.as_bytes()).await?;
        self.index().forget(before);
        Ok(())
    }

    /// The deposit that a reply answers: another one may have taken its place while it was written.
    fn answered(&self, answers: Reference, reply: &Reply) -> Result<Reference, StoreError> {
        if self.record(answers)?.is_some() {
            return Ok(answers);
        }
        let id = reply.queue_id.ok_or(StoreError::Unknown)?;
        let references = self.index().message(id, Some(&reply.from));
        let mut records = self.records_of(references);
        let now = records.find(|record| record.is_live() && record.recipient == reply.from);
        now.map(|record| record.reference)
            .ok_or(StoreError::Unknown)
    }

    /// Forgets the replies to a deposit that is forgotten; those that still wait are sent.
    pub(super) async fn forget_replies(&self, deposit: Reference) -> Result<(), StoreError> {
        let _changing = self.replies.changing.lock().await;
        for ticket in self.replies.of(deposit) {
            let Some(mut row) = self.replies.get(ticket)? else {
                continue;
            };
            match row.state {
                ReplyState::Sent | ReplyState::Failed => self.replies.delete(&row).await?,
                ReplyState::Waiting => {
                    row.answers = None;
                    self.replies.put(&row).await?;
                    self.replies.sets().by_deposit.remove(&(deposit, ticket));
                }
            }
        }
        Ok(())
    }
}
