//! What the operator sees of the queue: counts, pages, one message whole.
//!
//! Everything here only looks. Times are RFC 3339, UTC; words are those of the interface. A page
//! and the search for it are bounded, so that looking never stops the queue.

use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mail::{
    Decision, Domain, Envelope, Grade, MessageClass, MessageId, RecipientState, Refusal, Rendition,
    Source, Status, Timestamp, Verdict,
};

use super::core::Queue;
use super::message::{Message, Recipient, Standing};

/// Most messages on one page.
pub const MAX_PAGE: usize = 1000;
/// Most recipients shown of one message on a page; `show` has them all.
pub const MAX_ENTRY_RECIPIENTS: usize = 50;
/// Most recipients looked at for one page; the next page goes on from there.
const MAX_SEARCH: usize = 20_000;

/// Which recipients to list. Every field that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueFilter {
    /// This address (compared without regard to case).
    pub recipient: Option<String>,
    /// This destination domain.
    pub domain: Option<Domain>,
    /// This reverse-path (compared without regard to case; empty for the null one).
    pub sender: Option<String>,
    /// This state: `queued`, `ready`, `attempting`, `deferred`, `held`.
    pub state: Option<String>,
    /// Only bounces of ours.
    pub dsn: bool,
    /// Only messages after this queue id: the `next` of the page before.
    pub after: Option<String>,
    /// Messages wanted, at most [`MAX_PAGE`]; 0 means as many as that.
    pub limit: usize,
}

/// A page of the queue, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePage {
    /// The messages with a matching recipient.
    pub entries: Vec<QueueEntry>,
    /// Give this as `after` to go on; `None` at the end. A page may be empty and yet have a next.
    pub next: Option<String>,
}

/// A message in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// Its queue id.
    pub queue_id: String,
    /// `submitted`, `dsn`, `notice` or `code`.
    pub class: String,
    /// The reverse-path; empty for the null one.
    pub sender: String,
    /// Octets.
    pub size: u64,
    /// When it was accepted.
    pub received: String,
    /// Matching recipients that have not ended, at most [`MAX_ENTRY_RECIPIENTS`].
    pub recipients: Vec<RecipientView>,
    /// How many more match.
    pub more: usize,
}

/// A message whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDetail {
    /// Its queue id.
    pub queue_id: String,
    /// `submitted`, `dsn`, `notice` or `code`.
    pub class: String,
    /// The Message-ID field.
    pub message_id: String,
    /// The reverse-path; empty for the null one.
    pub sender: String,
    /// The account that submitted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The address it was submitted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Octets.
    pub size: u64,
    /// When it was accepted.
    pub received: String,
    /// When its time is up.
    pub expires: String,
    /// Whether every recipient has ended.
    pub done: bool,
    /// Every recipient.
    pub recipients: Vec<RecipientView>,
}

/// Where a recipient stands, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientView {
    /// Its address.
    pub recipient: String,
    /// `queued`, `ready`, `attempting`, `deferred`, `held`, or how it ended.
    pub state: String,
    /// Why it is deferred, or the name of the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    /// Attempts made.
    pub attempts: u32,
    /// The sender was told of the delay.
    pub warned: bool,
    /// The latest that was learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusView>,
    /// What the message needs for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// How it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The grade that a connection must reach to carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<String>,
    /// By S/MIME: the fingerprint of the certificate that it is sealed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// By S/MIME: how it is encrypted, where we did that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// By S/MIME: whose identity signed inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Every method considered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidateView>,
    /// The policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Holds that a person has released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub released: Vec<String>,
    /// Since when its domain offers less than is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspected_since: Option<String>,
    /// What a person ordered and that is done once nobody is busy with it: `hold` or `cancel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered: Option<String>,
}

/// A method that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// Which.
    pub method: String,
    /// Whether it could be taken.
    pub accepted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// A status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// The SMTP reply code, where a reply was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The enhanced code.
    pub enhanced: String,
    /// The text.
    pub text: String,
    /// The host that said it; `None` for our own diagnosis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// The queue in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSummary {
    /// Messages that are not done.
    pub messages: usize,
    /// Recipients that wait for a decision.
    pub queued: usize,
    /// Recipients that are due.
    pub ready: usize,
    /// Recipients in an attempt, or whose outcome is being made durable.
    pub attempting: usize,
    /// Recipients that wait for another attempt.
    pub deferred: usize,
    /// Recipients that wait for a person.
    pub held: usize,
    /// Attempts in flight.
    pub attempts: usize,
    /// Messages being prepared.
    pub preparing: usize,
    /// Destinations with someone due or in an attempt.
    pub destinations: usize,
    /// When the oldest message was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// Nothing new is handed out: the daemon is stopping.
    pub draining: bool,
}

impl Queue {
    /// The queue in figures.
    pub fn summary(&self) -> QueueSummary {
        QueueSummary {
            messages: self.messages.len(),
            queued: self.counts.of(Standing::Queued),
            ready: self.counts.of(Standing::Ready),
            attempting: self.counts.of(Standing::Attempting),
            deferred: self.counts.of(Standing::Deferred),
            held: self.counts.of(Standing::Held),
            attempts: self.ready.in_flight(),
            preparing: self.preparing,
            destinations: self.ready.len(),
            // Ids rise with time.
            oldest: self
                .messages
                .first_key_value()
                .map(|(_, message)| message.envelope.received.to_rfc3339()),
            draining: self.draining,
        }
    }

    /// A page of what matches, oldest first. An `after` that is no queue id matches nothing.
    pub fn list(&self, filter: &QueueFilter) -> QueuePage {
        let mut page = QueuePage::default();
        let start = match &filter.after {
            None => Bound::<MessageId>::Unbounded,
            Some(text) => match text.parse() {
                Ok(id) => Bound::Excluded(id),
                Err(_) => return page,
            },
        };
        let limit = match filter.limit {
            0 => MAX_PAGE,
            limit => limit.min(MAX_PAGE),
        };
        let mut looked_at = 0;
        let mut last: Option<MessageId> = None;
        for (id, message) in self.messages.range((start, Bound::Unbounded)) {
            if page.entries.len() >= limit || looked_at >= MAX_SEARCH {
                page.next = last.map(|id| id.to_string());
                break;
            }
            looked_at += message.recipients.len();
            page.entries.extend(entry(message, filter));
            last = Some(*id);
        }
        page
    }

    /// A message whole: one in the queue, or one that ended lately.
    pub fn show(&self, id: MessageId) -> Option<QueueDetail> {
        let waiting = self.messages.get(&id);
        let message = waiting.or_else(|| self.finished.find(id))?;
        let envelope = &message.envelope;
        let client = envelope.client.as_ref();
        Some(QueueDetail {
            queue_id: id.to_string(),
            class: class(envelope),
            message_id: envelope.message_id.clone(),
            sender: envelope.reverse_path.to_string(),
            user: client.map(|client| client.user.clone()),
            client: client
                .and_then(|client| client.address)
                .map(|address| address.to_string()),
            size: envelope.size,
            received: envelope.received.to_rfc3339(),
            expires: self.expiry(envelope).to_rfc3339(),
            done: waiting.is_none(),
            recipients: message
                .numbered()
                .map(|(at, recipient)| view(message, at, recipient))
                .collect(),
        })
    }
}

pub(super) fn class(envelope: &Envelope) -> String {
    match envelope.class {
        MessageClass::Submitted => "submitted",
        MessageClass::Dsn => "dsn",
        MessageClass::Notice => "notice",
        MessageClass::Code => "code",
    }
    .to_owned()
}

/// The message as an entry, if any of its recipients matches.
fn entry(message: &Message, filter: &QueueFilter) -> Option<QueueEntry> {
    let envelope = &message.envelope;
    if !selects(message, filter) {
        return None;
    }
    let mut recipients = Vec::new();
    let mut more = 0;
    for (at, recipient) in message.numbered() {
        if !matches(envelope, at, recipient, filter) {
            continue;
        }
        if recipients.len() < MAX_ENTRY_RECIPIENTS {
            recipients.push(view(message, at, recipient));
        } else {
            more += 1;
        }
    }
    (!recipients.is_empty()).then(|| QueueEntry {
        queue_id: envelope.id.to_string(),
        class: class(envelope),
        sender: envelope.reverse_path.to_string(),
        size: envelope.size,
        received: envelope.received.to_rfc3339(),
        recipients,
        more,
    })
}

/// Whether a filter is for recipients of this message at all.
pub(super) fn selects(message: &Message, filter: &QueueFilter) -> bool {
    let envelope = &message.envelope;
    let right_class = !filter.dsn || envelope.class == MessageClass::Dsn;
    let sender = || envelope.reverse_path.to_string();
    let right_sender = |wanted: &String| wanted.eq_ignore_ascii_case(&sender());
    right_class && filter.sender.as_ref().is_none_or(right_sender)
}

/// Whether a recipient that has not ended is one that a filter is for.
pub(super) fn matches(
    envelope: &Envelope,
    at: u32,
    recipient: &Recipient,
    filter: &QueueFilter,
) -> bool {
    if recipient.standing() == Standing::Ended {
        return false;
    }
    let index = usize::try_from(at).unwrap_or(usize::MAX);
    let Some(address) = envelope.recipients.get(index) else {
        return false;
    };
    let right_domain = filter.domain.as_ref().is_none_or(|d| d == address.domain());
    let right_state = filter.state.as_ref().is_none_or(|s| s == word(recipient));
    let right_address = |wanted: &String| wanted.eq_ignore_ascii_case(&address.to_string());
    right_domain && right_state && filter.recipient.as_ref().is_none_or(right_address)
}

/// The word for where a recipient stands.
fn word(recipient: &Recipient) -> &'static str {
    match recipient.standing() {
        Standing::Queued => "queued",
        Standing::Ready => "ready",
        Standing::Attempting => "attempting",
        Standing::Deferred | Standing::Held | Standing::Ended => recipient.record.state.as_str(),
    }
}

pub(super) fn view(message: &Message, at: u32, recipient: &Recipient) -> RecipientView {
    let index = usize::try_from(at).unwrap_or(usize::MAX);
    let address = message.envelope.recipients.get(index);
    let prepared = message.prepared.as_deref();
    let decision = message.plan(at).map(|plan| &*plan.decision);
    let rendition = prepared.and_then(|prepared| prepared.rendition(message.plan(at)?));
    let planned = rendition.map(|rendition| rendition.demand().least());
    let required = planned.or_else(|| decision.and_then(fallen_short_of));
    // Reason and time are those of the wait that goes on, not of one that is over.
    let (reason, next_attempt) = match (&recipient.record.state, recipient.standing()) {
        (RecipientState::Deferred { reason, .. }, Standing::Deferred) => (
            Some(reason.as_str().to_owned()),
            recipient.retry_at().map(Timestamp::to_rfc3339),
        ),
        (RecipientState::Held { name }, Standing::Held) => (Some(name.clone()), None),
        _ => (None, None),
    };
    RecipientView {
        recipient: address.map(ToString::to_string).unwrap_or_default(),
        state: word(recipient).to_owned(),
        reason,
        next_attempt,
        attempts: recipient.record.attempts,
        warned: recipient.record.warned,
        status: recipient.record.last.as_ref().map(StatusView::from),
        level: decision.map(|decision| decision.level.to_string()),
        method: decision.and_then(|d| d.method()).map(|m| m.to_string()),
        required: required.map(|grade| grade.to_string()),
        certificate: rendition
            .and_then(Rendition::certificate)
            .map(|name| name.to_string()),
        cipher: rendition
            .and_then(Rendition::cipher)
            .map(|cipher| cipher.as_str().to_owned()),
        signer: rendition.and_then(Rendition::signer).map(str::to_owned),
        candidates: decision.map(candidates).unwrap_or_default(),
        policy: decision.map(|decision| decision.policy.to_string()),
        released: strings(&recipient.record.released),
        suspected_since: recipient.record.suspected_since.map(Timestamp::to_rfc3339),
        ordered: recipient
            .wish
            .as_ref()
            .map(|order| order.operation.to_string()),
    }
}

pub(super) fn strings(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The grade that a connection would have had to reach, where it did not.
fn fallen_short_of(decision: &Decision) -> Option<Grade> {
    decision
        .candidates
        .iter()
        .find_map(|candidate| match candidate.verdict {
            Verdict::Refused(Refusal::Short { required, .. }) => Some(required),
            Verdict::Refused(Refusal::DowngradeSuspected { .. }) => decision.level.least_grade(),
            Verdict::Accepted | Verdict::Refused(_) => None,
        })
}

fn candidates(decision: &Decision) -> Vec<CandidateView> {
    let view = |candidate: &crate::mail::Candidate| CandidateView {
        method: candidate.method.to_string(),
        accepted: candidate.verdict == Verdict::Accepted,
        refusal: match &candidate.verdict {
            Verdict::Accepted => None,
            Verdict::Refused(refusal) => Some(refusal.to_string()),
        },
    };
    decision.candidates.iter().map(view).collect()
}

impl From<&Status> for StatusView {
    fn from(status: &Status) -> Self {
        Self {
            code: status.code,
            enhanced: status.enhanced.to_string(),
            text: status.text.clone(),
            host: match &status.source {
                Source::Local => None,
                Source::Remote(host) => Some(host.clone()),
            },
        }
    }
}
