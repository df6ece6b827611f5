//! A deposit as it is kept: everything but its content, its key, and the sender's secret.
//!
//! Pure: what a record says and when something is due for it; nothing here is durable by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mail::{
    Address, Deposit, Language, Level, MessageId, PhoneNumber, Reference, Timestamp,
};
use crate::proto::link::{Access, DepositState, Lease, PickupDetail, PickupItem};

use super::Reminders;
use super::slots::Slot;

/// Openings that are kept from the first on.
pub const FIRST_ACCESSES: usize = 10;
/// Openings that are kept of the last ones.
pub const LAST_ACCESSES: usize = 10;
/// How long a deposit that has ended is listed.
pub const KEPT_AFTER_END: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Octets of what an access or an order says of itself.
pub const MAX_NOTE_OCTETS: usize = 256;
/// When news that was not owed to the line is owed again.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// A deposit. `Debug` shows its reference alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the notice calls it.
    pub reference: Reference,
    /// The message.
    pub queue_id: MessageId,
    /// For whom.
    pub recipient: Address,
    /// Who wrote it.
    pub author: Address,
    /// Whether a reply can go there.
    pub answerable: bool,
    /// The name beside that address.
    pub author_name: Option<String>,
    /// Its Message-ID.
    pub message_id: String,
    /// When it was accepted from the sender.
    pub accepted: Timestamp,
    /// Octets of the content.
    pub octets: u64,
    /// What it needs.
    pub level: Level,
    /// The level whose row of factors applies.
    pub factors: Level,
    /// What was registered then or later does not count from `restricted` on.
    pub trusted_before: Timestamp,
    /// The argon2id hash of the sender's secret ([`super::secret::matches`]).
    pub secret: Option<String>,
    /// Where a code may be sent.
    pub phone: Option<PhoneNumber>,
    /// The language that the notice was written in.
    pub language: Language,
    /// When it goes, or went.
    pub expires: Timestamp,
    /// When it came to be here.
    pub deposited: Timestamp,
    /// Where it stands. See [`Record::state_at`].
    pub state: DepositState,
    /// When it was first opened.
    pub opened: Option<Timestamp>,
    /// How often it was opened.
    pub openings: u32,
    /// When its key was overwritten.
    pub ended: Option<Timestamp>,
    /// Who retracted or extended it last, and why.
    pub order: Option<Lease>,
    pub(super) first: Vec<Access>,
    pub(super) last: Vec<Access>,
    /// The subject, sealed under the content's key.
    pub(super) subject: Vec<u8>,
    pub(super) slot: Slot,
    pub(super) reminded: bool,
    pub(super) unread_told: bool,
    /// The last opening is durable here, and the line has yet to be owed the news.
    pub(super) open_untold: bool,
    /// Somebody ordered an earlier expiry: leaving it again does not undo that.
    pub(super) shortened: bool,
    /// The end is durable here, and the line has yet to be owed the news.
    pub(super) end_untold: bool,
    /// The order that gave it another expiry, while the line has yet to be owed the news.
    pub(super) extended: Option<Lease>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({}, {})", self.reference, self.state.as_str())
    }
}

impl Record {
    /// A new one, of a deposit whose secret was hashed.
    pub(super) fn new(
        deposit: Deposit,
        secret: Option<String>,
        now: Timestamp,
        slot: Slot,
    ) -> Self {
        Self {
            reference: deposit.reference,
            queue_id: deposit.queue_id,
            recipient: deposit.recipient,
            author: deposit.author,
            answerable: deposit.answerable,
            author_name: deposit.author_name,
            message_id: deposit.message_id,
            accepted: deposit.accepted,
            octets: deposit.octets,
            level: deposit.level,
            factors: deposit.factors,
            trusted_before: deposit.trusted_before,
            secret,
            phone: deposit.wishes.phone,
            language: deposit.language,
            expires: deposit.expires,
            deposited: now,
            state: DepositState::Waiting,
            opened: None,
            openings: 0,
            ended: None,
            order: None,
            first: Vec::new(),
            last: Vec::new(),
            subject: Vec::new(),
            slot,
            reminded: false,
            unread_told: false,
            open_untold: false,
            shortened: false,
            end_untold: false,
            extended: None,
        }
    }

    /// Whether its key is still there.
    pub const fn is_live(&self) -> bool {
        matches!(self.state, DepositState::Waiting | DepositState::Opened)
    }

    /// Where it stands at `now`: what is past its expiry counts as expired before its key is gone.
    pub fn state_at(&self, now: Timestamp) -> DepositState {
        match self.is_live() && now >= self.expires {
            true => DepositState::Expired,
            false => self.state,
        }
    }

    /// The openings that are kept, oldest first.
    pub fn accesses(&self) -> impl Iterator<Item = &Access> {
        self.first.iter().chain(&self.last)
    }

    /// The last of them.
    pub(super) fn last_access(&self) -> Option<&Access> {
        self.last.last().or(self.first.last())
    }

    /// Whether it was ever opened.
    pub const fn was_opened(&self) -> bool {
        self.opened.is_some()
    }

    /// Whether the line has yet to be owed news of it.
    pub(super) const fn is_untold(&self) -> bool {
        self.end_untold || self.open_untold || self.extended.is_some()
    }

    pub(super) fn note(&mut self, mut access: Access) {
        for text in [&mut access.client, &mut access.what] {
            cut(text);
        }
        access.automated.truncate(8);
        access.automated.iter_mut().for_each(cut);
        self.state = DepositState::Opened;
        self.opened.get_or_insert(access.time);
        self.openings = self.openings.saturating_add(1);
        self.open_untold = true;
        if self.first.len() < FIRST_ACCESSES {
            self.first.push(access);
            return;
        }
        if self.last.len() >= LAST_ACCESSES {
            self.last.remove(0);
        }
        self.last.push(access);
    }

    pub(super) fn end(&mut self, state: DepositState, now: Timestamp) {
        self.state = state;
        self.ended = Some(now);
        self.end_untold = true;
        // Nothing of what the sender gave is needed any more.
        self.secret = None;
        self.phone = None;
        self.subject = Vec::new();
    }

    /// The next thing that time alone brings about.
    pub(super) fn due(&self, reminders: &Reminders) -> (Timestamp, Chore) {
        let ended = self.ended.unwrap_or(self.deposited);
        let opened = || self.last_access().map_or(self.deposited, |it| it.time);
        let extended = self.extended.as_ref().map(|order| order.time);
        let untold = match (self.end_untold, self.open_untold) {
            (true, _) => Some(ended),
            (false, true) => Some(opened()),
            (false, false) => extended,
        };
        let tell = untold.map(|since| (since + TELL_AGAIN, Chore::Tell));
        if !self.is_live() {
            // Not forgotten before it is told.
            return tell.unwrap_or((ended + KEPT_AFTER_END, Chore::Forget));
        }
        let mut next = (self.expires, Chore::Expire);
        next = tell.map_or(next, |tell| tell.min(next));
        let unopened = self.state == DepositState::Waiting;
        // Who wrote a reply is not of ours: there is nobody to be told.
        let nobody = self.unread_told || !self.answerable;
        for (after, done, chore) in [
            (reminders.remind_after, self.reminded, Chore::Remind),
            (reminders.unread_after, nobody, Chore::TellUnread),
        ] {
            if let Some(after) = after.filter(|_| unopened && !done) {
                next = next.min((self.deposited + after, chore));
            }
        }
        next
    }

    /// As in a list.
    pub fn item(&self) -> PickupItem {
        PickupItem {
            reference: self.reference,
            queue_id: self.queue_id,
            author: self.author.clone(),
            recipient: self.recipient.clone(),
            level: self.level,
            factors: self.factors,
            state: self.state,
            deposited: self.deposited,
            opened: self.opened,
            expires: self.expires,
            octets: self.octets,
        }
    }

    /// With all that is known.
    pub fn detail(&self, replies: u32) -> PickupDetail {
        PickupDetail {
            item: self.item(),
            accesses: self.accesses().cloned().collect(),
            openings: self.openings,
            replies,
            ended: self.ended,
            order: self.order.clone(),
            opened_before_end: self.ended.map(|_| self.was_opened()),
        }
    }
}

/// What time brings about. In this order where two are due at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chore {
    /// Owe the line news that it was not owed.
    Tell,
    /// Overwrite the key.
    Expire,
    /// Remind the recipient.
    Remind,
    /// Tell the author that nobody has opened it.
    TellUnread,
    /// Stop listing it.
    Forget,
}

/// Cuts a text to [`MAX_NOTE_OCTETS`].
pub(super) fn cut(text: &mut String) {
    let mut end = text.len().min(MAX_NOTE_OCTETS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}
