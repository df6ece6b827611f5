//! The queue itself: inputs, timers, lines, and handing out attempts.
//!
//! Decisions are in `prepare.rs`, what attempts come to in `outcome.rs`, expiry, warnings and the
//! disk in `settle.rs`, a person's orders in `order.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::mail::envelope::CODE_LIFE;
use crate::mail::{
    Domain, Envelope, MessageClass, MessageId, Prepared, RecipientRecord, Timestamp,
};

use super::counts::{Counts, Finished};
use super::destinations::{Destinations, Unit};
use super::interface::{Attempt, Input, Output};
use super::message::{Message, Phase, Recipient};
use super::order::Tickets;
use super::retry::{Jitter, Limits, Retry};

/// Timers that one input fires at most; the rest are due at once ([`Queue::poll_timeout`] says
/// so), so that a queue full of overdue mail at start does not stop its owner.
const MAX_TIMERS_PER_INPUT: usize = 1024;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// Warn the sender, or expire.
    Message,
    /// Try this recipient again.
    Retry(u32),
}

/// An attempt that was handed out.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) destination: Domain,
    pub(super) recipients: Vec<u32>,
}

/// The queue. See the [module](super) for its contract.
#[derive(Debug)]
pub struct Queue {
    pub(super) retry: Retry,
    pub(super) limits: Limits,
    pub(super) jitter: Jitter,
    pub(super) messages: BTreeMap<MessageId, Message>,
    pub(super) due: BTreeSet<(Timestamp, MessageId, Alarm)>,
    pub(super) to_prepare: VecDeque<MessageId>,
    pub(super) preparing: usize,
    pub(super) ready: Destinations,
    pub(super) attempts: HashMap<u64, InFlight>,
    pub(super) attempts_made: u64,
    pub(super) outputs: VecDeque<Output>,
    pub(super) outstanding: usize,
    pub(super) tickets: Tickets,
    pub(super) finished: Finished,
    pub(super) counts: Counts,
    pub(super) draining: bool,
    pub(super) steps: u64,
}

impl Queue {
    /// An empty queue. `seed` drives the jitter alone: the same seed and inputs give the same
    /// outputs.
    pub fn new(retry: Retry, limits: Limits, seed: u64) -> Self {
        Self {
            jitter: Jitter::new(seed),
            ready: Destinations::new(limits.attempts, limits.attempts_per_destination),
            retry,
            limits,
            messages: BTreeMap::new(),
            due: BTreeSet::new(),
            to_prepare: VecDeque::new(),
            preparing: 0,
            attempts: HashMap::new(),
            attempts_made: 0,
            outputs: VecDeque::new(),
            outstanding: 0,
            tickets: Tickets::default(),
            finished: Finished::default(),
            counts: Counts::default(),
            draining: false,
            steps: 0,
        }
    }

    /// Takes an input at `now`. `now` never goes back.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.steps += 1;
        self.fire_timers(now);
        match input {
            Input::Accepted { envelope } => {
                let records = vec![RecipientRecord::queued(); envelope.recipients.len()];
                self.enter(now, envelope, None, records, false);
            }
            Input::Recovered {
                envelope,
                prepared,
                mut recipients,
            } => {
                // One record per recipient is the spool's promise; a missing one starts anew.
                recipients.resize(envelope.recipients.len(), RecipientRecord::queued());
                for record in &mut recipients {
                    let longest = self.retry.longest_delay(envelope.class, record.attempts);
                    record.wait_until_at_most(now + longest);
                }
                self.enter(now, envelope, prepared, recipients, true);
            }
            Input::Prepared { id, prepared } => self.prepared(now, id, prepared),
            Input::PrepareFailed { id, status } => self.prepare_failed(now, id, &status),
            Input::Attempted { id, outcomes } => self.attempted(now, id, outcomes),
            Input::Settled { id } => self.settled(now, id),
            Input::Operate {
                ticket,
                selection,
                order,
            } => self.operate(now, ticket, &selection, &order),
            Input::Tick => {}
            Input::Drain => self.draining = true,
        }
        self.hand_out(now);
    }

    /// The next thing to do; call until `None` after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is wanted if nothing comes before; may be in the past.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.draining {
            return None;
        }
        self.due.first().map(|(moment, ..)| *moment)
    }

    /// Messages that are not done.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether nothing is being prepared, attempted or made durable: a drain is complete.
    pub fn is_quiet(&self) -> bool {
        self.preparing == 0 && self.ready.in_flight() == 0 && self.outstanding == 0
    }

    /// Steps of work done since the start: timers, turns and recipients looked at. What a message
    /// costs must not depend on how many others wait; this is how that is measured.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// When a message's time is up.
    pub(super) fn expiry(&self, envelope: &Envelope) -> Timestamp {
        let life = match envelope.class {
            MessageClass::Code => CODE_LIFE.min(self.retry.expire_after),
            MessageClass::Submitted | MessageClass::Dsn | MessageClass::Notice => {
                self.retry.expire_after
            }
        };
        envelope.received + life
    }

    /// When the sender of a message is told of a delay, if there is one to tell.
    pub(super) fn warning(&self, envelope: &Envelope) -> Option<Timestamp> {
        // RFC 5321 §4.5.5: nothing is sent to the null reverse-path.
        let told =
            envelope.class == MessageClass::Submitted && envelope.reverse_path.address().is_some();
        let moment = envelope.received + self.retry.warn_after;
        (told && moment < self.expiry(envelope)).then_some(moment)
    }

    /// Changes the phase of a recipient and keeps the counts.
    pub(super) fn set_phase(&mut self, id: MessageId, at: u32, phase: Phase) {
        self.steps += 1;
        let message = self.messages.get_mut(&id);
        if let Some(recipient) = message.and_then(|message| message.recipient_mut(at)) {
            self.counts.leave(recipient.standing());
            recipient.phase = phase;
            if phase == Phase::Settling {
                recipient.owed_a_try = false;
                recipient.turn = None;
            }
            self.counts.enter(recipient.standing());
        }
    }

    fn enter(
        &mut self,
        now: Timestamp,
        envelope: Arc<Envelope>,
        prepared: Option<Arc<Prepared>>,
        records: Vec<RecipientRecord>,
        recovered: bool,
    ) {
        let id = envelope.id;
        if self.messages.contains_key(&id) {
            return; // Told twice: the first time counts.
        }
        let message = Message::new(envelope, prepared, records, recovered);
        for (at, recipient) in message.numbered() {
            self.counts.enter(recipient.standing());
            if let Some(moment) = recipient.retry_at() {
                self.due.insert((moment, id, Alarm::Retry(at)));
            }
        }
        let everyone = message.everyone();
        let (open, envelope) = (message.open, Arc::clone(&message.envelope));
        self.messages.insert(id, message);
        if open == 0 {
            self.settle(id, Vec::new());
            return;
        }
        let warning = self.warning(&envelope).filter(|moment| *moment > now);
        self.set_alarm(id, warning.unwrap_or_else(|| self.expiry(&envelope)));
        self.call_time(now, id, &everyone);
        let waiting = self.messages.get(&id).map(|m| m.in_phase(Phase::Queued));
        self.line_up(id, waiting.unwrap_or_default());
    }

    /// Puts recipients whose turn it is in line: for their destination, or, where something has to
    /// be decided first, for preparation.
    pub(super) fn line_up(&mut self, id: MessageId, recipients: Vec<u32>) {
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        let (ready, undecided) = recipients
            .into_iter()
            .partition(|at| message.fresh_rendition(*at).is_some());
        self.line_up_for_destination(id, ready);
        self.line_up_for_preparation(id, undecided);
    }

    /// Puts recipients that have a rendition in line for their destination.
    pub(super) fn line_up_for_destination(&mut self, id: MessageId, recipients: Vec<u32>) {
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        let mut ready: BTreeMap<(&Domain, u32), Vec<u32>> = BTreeMap::new();
        for at in recipients {
            self.steps += 1;
            let address = usize::try_from(at)
                .ok()
                .and_then(|index| message.envelope.recipients.get(index));
            if let (Some(address), Some(rendition)) = (address, message.rendition(at)) {
                let unit = ready.entry((address.domain(), rendition)).or_default();
                unit.push(at);
            }
        }
        let size = self.limits.recipients_per_attempt.max(1);
        let mut lined_up = Vec::new();
        for ((domain, rendition), recipients) in ready {
            for chunk in recipients.chunks(size) {
                let unit = Unit {
                    id,
                    rendition,
                    recipients: chunk.into(),
                };
                self.ready.line_up(domain, unit);
                lined_up.extend_from_slice(chunk);
            }
        }
        for at in lined_up {
            self.set_phase(id, at, Phase::Ready);
        }
    }

    pub(super) fn set_alarm(&mut self, id: MessageId, moment: Timestamp) {
        self.clear_alarm(id);
        if let Some(message) = self.messages.get_mut(&id) {
            message.alarm = Some(moment);
            self.due.insert((moment, id, Alarm::Message));
        }
    }

    pub(super) fn clear_alarm(&mut self, id: MessageId) {
        let message = self.messages.get_mut(&id);
        if let Some(moment) = message.and_then(|message| message.alarm.take()) {
            self.due.remove(&(moment, id, Alarm::Message));
        }
    }

    /// Fires what is due, a bounded number at a time.
    fn fire_timers(&mut self, now: Timestamp) {
        if self.draining {
            return;
        }
        let mut retries: BTreeMap<MessageId, Vec<u32>> = BTreeMap::new();
        let mut called: Vec<MessageId> = Vec::new();
        for _ in 0..MAX_TIMERS_PER_INPUT {
            let Some(&(moment, id, alarm)) = self.due.first() else {
                break;
            };
            if moment > now {
                break;
            }
            self.due.pop_first();
            self.steps += 1;
            match alarm {
                Alarm::Retry(at) => retries.entry(id).or_default().push(at),
                Alarm::Message => called.push(id),
            }
        }
        // Retries of one message go together, so that they can share an attempt.
        for (id, mut recipients) in retries {
            self.call_time(now, id, &recipients);
            if let Some(message) = self.messages.get(&id) {
                let waits = |at: &u32| message.recipient(*at).and_then(Recipient::retry_at);
                recipients.retain(|at| waits(at).is_some());
                self.line_up(id, recipients);
            }
        }
        for id in called {
            let Some(message) = self.messages.get_mut(&id) else {
                continue;
            };
            message.alarm = None;
            let everyone = message.everyone();
            let envelope = Arc::clone(&message.envelope);
            let expiry = self.expiry(&envelope);
            if expiry > now {
                self.set_alarm(id, expiry);
            }
            self.call_time(now, id, &everyone);
        }
    }

    /// Hands out what the limits allow.
    fn hand_out(&mut self, now: Timestamp) {
        if self.draining {
            return;
        }
        self.hand_out_preparations(now);
        while let Some((destination, unit)) = self.ready.take() {
            self.steps += 1;
            // Its timer may stand behind others that are due.
            self.call_time(now, unit.id, &unit.recipients);
            match self.start(&destination, &unit) {
                Some(attempt) => self.outputs.push_back(Output::Attempt(attempt)),
                None => self.ready.release(&destination),
            }
        }
    }

    /// Makes an attempt of those in a unit that are still ready.
    fn start(&mut self, destination: &Domain, unit: &Unit) -> Option<Attempt> {
        let message = self.messages.get(&unit.id)?;
        // Others were lined up anew since, by another plan.
        let still_ready = |at: &u32| {
            let recipient = message.recipient(*at);
            recipient.is_some_and(|recipient| recipient.phase == Phase::Ready)
                && message.rendition(*at) == Some(unit.rendition)
        };
        let recipients: Vec<u32> = unit
            .recipients
            .iter()
            .copied()
            .filter(still_ready)
            .collect();
        let records = || {
            let found = recipients.iter().filter_map(|at| message.recipient(*at));
            found.map(|recipient| &recipient.record)
        };
        let made = records().map(|record| record.attempts).max()?;
        let suspected_since = records().filter_map(|record| record.suspected_since).min();
        let attempt = Attempt {
            id: unit.id,
            envelope: Arc::clone(&message.envelope),
            prepared: Arc::clone(message.prepared.as_ref()?),
            rendition: unit.rendition,
            destination: destination.clone(),
            suspected_since,
            attempt: made.saturating_add(1),
            recipients,
        };
        self.attempts_made += 1;
        for at in &attempt.recipients {
            self.set_phase(unit.id, *at, Phase::Attempting(self.attempts_made));
        }
        let in_flight = InFlight {
            destination: destination.clone(),
            recipients: attempt.recipients.clone(),
        };
        self.attempts.insert(self.attempts_made, in_flight);
        Some(attempt)
    }
}
