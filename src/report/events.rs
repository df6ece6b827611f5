//! The delivery log's lines, made from the words of mail.
//!
//! Owns which fields an event carries. One call per recipient and fact; which fact is known from
//! the recipient's new record, so the log cannot say other than the spool.

use crate::mail::{
    Envelope, Final, Hop, MessageClass, MessageId, Outcome, RecipientOutcome, RecipientPlan,
    RecipientRecord, RecipientState, Rendition, Timestamp, Verdict,
};

use super::event::{Event, EventKind, Timestamp3339};

/// A message was accepted and is durable.
pub fn received(time: Timestamp, envelope: &Envelope) -> Event {
    let mut event = of(time, EventKind::Received, envelope);
    event.size = Some(envelope.size);
    if let Some(client) = &envelope.client {
        event.user = Some(client.user.clone());
        event.client = client.address.map(|address| address.to_string());
        event.tls = client.tls.as_ref().map(Into::into);
    }
    event
}

/// Policy decided for a recipient, and the message was sealed and signed accordingly.
pub fn decided(
    time: Timestamp,
    envelope: &Envelope,
    plan: &RecipientPlan,
    rendition: Option<&Rendition>,
) -> Event {
    let mut event = of(time, EventKind::Decided, envelope);
    event.policy = Some(plan.decision.policy.to_string());
    if plan.decision.method().is_none() {
        let refusal = |candidate: &crate::mail::Candidate| match &candidate.verdict {
            Verdict::Accepted => None,
            Verdict::Refused(refusal) => Some(format!("{}: {refusal}", candidate.method)),
        };
        let refusals: Vec<String> = plan
            .decision
            .candidates
            .iter()
            .filter_map(refusal)
            .collect();
        event.reason = Some(refusals.join("; "));
    }
    to(event, envelope, plan.recipient).planned(plan, rendition)
}

/// A recipient's new record is durable: delivered, deferred, bounced, expired or held. `None`
/// for a record that is no news (queued, ready).
pub fn settled(
    time: Timestamp,
    envelope: &Envelope,
    recipient: u32,
    record: &RecipientRecord,
    outcome: Option<&RecipientOutcome>,
) -> Option<Event> {
    let kind = match &record.state {
        RecipientState::Queued | RecipientState::Ready => return None,
        RecipientState::Deferred { .. } => EventKind::Deferred,
        RecipientState::Held { .. } => EventKind::Held,
        RecipientState::Final(Final::Delivered) => EventKind::Delivered,
        RecipientState::Final(Final::Bounced) => EventKind::Bounced,
        RecipientState::Final(Final::Expired) => EventKind::Expired,
        // Nothing makes these yet.
        RecipientState::Final(Final::Deposited | Final::Cancelled | Final::Suppressed) => {
            return None;
        }
    };
    let mut event = to(of(time, kind, envelope), envelope, recipient);
    event.attempt = Some(record.attempts);
    event.reply = record.last.as_ref().map(Into::into);
    match &record.state {
        RecipientState::Deferred {
            reason,
            next_attempt,
        } => event = event.until(*reason, *next_attempt),
        RecipientState::Held { name } => event.reason = Some(name.clone()),
        RecipientState::Queued | RecipientState::Ready | RecipientState::Final(_) => {}
    }
    if let Some(learnt) = outcome {
        event.duplicate_possible = learnt.duplicate_possible;
        let mut hop = learnt.hop.as_ref();
        if let Outcome::Shortfall {
            required, hosts, ..
        } = &learnt.outcome
        {
            event.required = Some(*required);
            hop = hop.or_else(|| hosts.first().map(|host| &host.hop));
        }
        if let Some(hop) = hop {
            event = event.learnt_on(hop);
        }
    }
    Some(event)
}

/// A DSN about `envelope` was put on its way to the sender. `what` is `failed` or `delayed`.
pub fn dsn_sent(time: Timestamp, envelope: &Envelope, what: &'static str, dsn: MessageId) -> Event {
    let mut event = of(time, EventKind::DsnSent, envelope);
    event.reason = Some(what.to_owned());
    event.dsn = Some(dsn.to_string());
    event
}

fn of(time: Timestamp, kind: EventKind, envelope: &Envelope) -> Event {
    let mut event = Event::new(time, kind)
        .of(envelope.id)
        .from(&envelope.reverse_path);
    event.message_id = Some(envelope.message_id.clone());
    event.class = match envelope.class {
        MessageClass::Submitted => None,
        MessageClass::Dsn => Some("dsn"),
    };
    let since = time.since(envelope.received).as_millis();
    event.delay_ms = Some(u64::try_from(since).unwrap_or(u64::MAX));
    event
}

fn to(event: Event, envelope: &Envelope, recipient: u32) -> Event {
    let index = usize::try_from(recipient).unwrap_or(usize::MAX);
    match envelope.recipients.get(index) {
        Some(address) => event.to(address),
        None => event,
    }
}

impl Event {
    /// As decided: level, method, the grade demanded, who signed.
    pub fn planned(mut self, plan: &RecipientPlan, rendition: Option<&Rendition>) -> Self {
        self.level = Some(plan.decision.level);
        self.method = plan.decision.method();
        if let Some(rendition) = rendition {
            // What an attempt was refused for stands; the policy may have been raised since.
            self.required = self.required.or(Some(rendition.demand.least()));
            self.dkim.clone_from(&rendition.signed_by);
        }
        self
    }

    /// Learnt on this connection.
    pub fn learnt_on(mut self, hop: &Hop) -> Self {
        self.next_hop = Some(hop.next_hop.clone());
        self.mx = Some(hop.mx.clone());
        self.address = hop.address.map(|address| address.to_string());
        self.grade = Some(hop.grade);
        self.tls = hop.tls.as_ref().map(Into::into);
        self
    }

    /// The time of the event.
    pub fn time(&self) -> Timestamp {
        let Timestamp3339(time) = self.time;
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{
        Address, Client, DeferReason, Domain, EnhancedCode, Grade, ReversePath, ShortHost, Status,
    };

    fn envelope() -> Envelope {
        Envelope {
            id: MessageId::new(7),
            class: MessageClass::Submitted,
            reverse_path: ReversePath::Address(Address::parse("jo@clinic.example").unwrap()),
            recipients: vec![Address::parse("kim@tls.example").unwrap()],
            author: None,
            message_id: "<1@clinic.example>".into(),
            client: Some(Client {
                address: Some([192, 0, 2, 1].into()),
                helo: "app".into(),
                user: "billing".into(),
                tls: None,
                listener: "127.0.0.1:465".to_owned(),
            }),
            received: Timestamp::from_secs(1000),
            size: 42,
            eight_bit: false,
            tags: Vec::new(),
        }
    }

    fn json(event: &Event) -> serde_json::Value {
        serde_json::to_value(event).unwrap()
    }

    #[test]
    fn received_says_who_and_how_much() {
        let line = json(&received(Timestamp::from_secs(1000), &envelope()));
        assert_eq!(line["event"], "received");
        assert_eq!(line["queue_id"], MessageId::new(7).to_string());
        assert_eq!(line["sender"], "jo@clinic.example");
        assert_eq!(line["user"], "billing");
        assert_eq!(line["client"], "192.0.2.1");
        assert_eq!(line["size"], 42);
        assert_eq!(line["time"], "1970-01-01T00:16:40.000000Z");
    }

    #[test]
    fn a_shortfall_shows_the_best_host_and_what_was_demanded() {
        let status = Status::local(EnhancedCode::new(4, 7, 10), "no STARTTLS");
        let hop = Hop {
            next_hop: Domain::parse("tls.example").unwrap(),
            mx: Domain::parse("mx.tls.example").unwrap(),
            address: Some(([198, 51, 100, 1], 25).into()),
            grade: Grade::None,
            tls: None,
        };
        let outcome = RecipientOutcome {
            recipient: 0,
            outcome: Outcome::Shortfall {
                required: Grade::Pkix,
                hosts: vec![ShortHost {
                    hop,
                    why: "no STARTTLS".into(),
                }],
                status: status.clone(),
                expected: None,
            },
            hop: None,
            duplicate_possible: false,
        };
        let record = RecipientRecord {
            state: RecipientState::Deferred {
                reason: DeferReason::Security,
                next_attempt: Timestamp::from_secs(1060),
            },
            attempts: 1,
            last: Some(status),
            warned: false,
            released: Vec::new(),
            suspected_since: None,
        };
        let time = Timestamp::from_secs(1001);
        let event = settled(time, &envelope(), 0, &record, Some(&outcome)).unwrap();
        let line = json(&event);
        assert_eq!(line["event"], "deferred");
        assert_eq!(line["reason"], "security");
        assert_eq!(line["next_attempt"], "1970-01-01T00:17:40.000000Z");
        assert_eq!(line["recipient"], "kim@tls.example");
        assert_eq!(
            (&line["grade"], &line["required"]),
            (&"none".into(), &"pkix".into())
        );
        assert_eq!(line["mx"], "mx.tls.example");
        assert_eq!(line["attempt"], 1);
        assert_eq!(line["delay_ms"], 1000);
        assert_eq!(line["reply"]["enhanced"], "4.7.10");
        assert_eq!(line["reply"]["text"], "sealpost: no STARTTLS");
        assert!(line.get("duplicate_possible").is_none());
    }

    #[test]
    fn every_kind_of_record_has_its_event() {
        let record = |state| RecipientRecord {
            state,
            ..RecipientRecord::queued()
        };
        let kind = |state| {
            let time = Timestamp::from_secs(1001);
            settled(time, &envelope(), 0, &record(state), None).map(|event| event.event)
        };
        let held = RecipientState::Held {
            name: "undeliverable_dsn".into(),
        };
        assert_eq!(kind(RecipientState::Queued), None);
        assert_eq!(kind(RecipientState::Ready), None);
        assert_eq!(kind(held), Some(EventKind::Held));
        for (ended, event) in [
            (Final::Delivered, EventKind::Delivered),
            (Final::Bounced, EventKind::Bounced),
            (Final::Expired, EventKind::Expired),
        ] {
            assert_eq!(kind(RecipientState::Final(ended)), Some(event));
        }
    }
}
