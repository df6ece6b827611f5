//! The delivery log's lines, made from the words of mail.
//!
//! Owns which fields an event carries. One call per recipient and fact; which fact is known from
//! the recipient's new record, so the log cannot say other than the spool.

use std::sync::Arc;

use crate::mail::{
    Asker, Candidate, Course, Decision, Envelope, Final, Hop, MessageClass, MessageId, Method,
    Outcome, Reason, RecipientOutcome, RecipientPlan, RecipientRecord, RecipientState, Rendition,
    Timestamp, Verdict,
};

use super::event::{Event, EventKind, Timestamp3339};
use crate::proto::link::{Happening, PickupEvent};

/// Reasons told on one line, highest first; the decision record has them all.
const MAX_REASONS: usize = 32;

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
    let decision = &*plan.decision;
    let mut event = of(time, EventKind::Decided, envelope);
    event.policy = Some(decision.policy.to_string());
    event.rule = match &decision.course {
        Course::Hold(rules) => Some(rules.join(", ")),
        Course::Send(_) | Course::Wait { .. } | Course::NoMethod => raised_by(decision),
    };
    let text = |reason: &Reason| format!("{}: {}", reason.level, reason.asker);
    event.reasons = decision
        .reasons
        .iter()
        .map(text)
        .take(MAX_REASONS)
        .collect();
    event.alerts = decision.alerts.iter().map(ToString::to_string).collect();
    event.exception = decision.exception.as_ref().map(Into::into);
    event.factors = (decision.factors > decision.level).then_some(decision.factors);
    // What is held could go: its rules are named above.
    if matches!(decision.course, Course::Wait { .. } | Course::NoMethod) {
        let refusal = |candidate: &Candidate| match &candidate.verdict {
            Verdict::Accepted => None,
            Verdict::Refused(refusal) => Some(format!("{}: {refusal}", candidate.method)),
        };
        let refusals: Vec<String> = decision.candidates.iter().filter_map(refusal).collect();
        event.reason = (!refusals.is_empty()).then(|| refusals.join("; "));
    }
    to(event, envelope, plan.recipient).planned(plan, rendition)
}

/// The rules that set the level, by name.
fn raised_by(decision: &Decision) -> Option<String> {
    let name = |reason: &Reason| match &reason.asker {
        Asker::Rule(name) if reason.level == decision.level => Some(name.to_string()),
        _ => None,
    };
    let names: Vec<String> = decision.reasons.iter().filter_map(name).collect();
    (!names.is_empty()).then(|| names.join(", "))
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
        RecipientState::Final(Final::Deposited) => EventKind::Deposited,
        RecipientState::Final(Final::Bounced) => EventKind::Bounced,
        RecipientState::Final(Final::Expired) => EventKind::Expired,
        RecipientState::Final(Final::Cancelled) => EventKind::Cancelled,
        // Nothing makes these yet.
        RecipientState::Final(Final::Suppressed) => return None,
    };
    Some(changed(time, kind, envelope, recipient, record, outcome))
}

/// The next hop took the notice of what waits in the portal.
pub fn notified(
    time: Timestamp,
    envelope: &Envelope,
    recipient: u32,
    record: &RecipientRecord,
    outcome: Option<&RecipientOutcome>,
) -> Event {
    let kind = EventKind::Notified;
    changed(time, kind, envelope, recipient, record, outcome)
}

/// What happened in the portal, as it says.
pub fn picked_up(told: &PickupEvent) -> Event {
    let kind = match told.event {
        Happening::Opened => EventKind::Opened,
        Happening::Replied => EventKind::Replied,
        Happening::Retracted => EventKind::Retracted,
        Happening::Extended => EventKind::Extended,
        Happening::PortalExpired => EventKind::PortalExpired,
        Happening::Probed => EventKind::Probed,
        Happening::LockedOut => EventKind::LockedOut,
    };
    let mut event = Event::new(told.time, kind);
    event.queue_id = told.queue_id.map(|id| id.to_string());
    event.message_id.clone_from(&told.message_id);
    event.sender = told.author.as_ref().map(ToString::to_string);
    event.recipient = told.recipient.as_ref().map(ToString::to_string);
    event.method = Some(Method::Portal);
    event.proofs.clone_from(&told.factors);
    event.client.clone_from(&told.client);
    event.actor.clone_from(&told.actor);
    let reasons = told.reasons.iter().take(MAX_REASONS);
    event.reasons = reasons.cloned().collect();
    event.opened_before = told.opened_before;
    event
}

/// What a person ordered is durable: `kind` is `held`, `released`, `retried` or `cancelled`.
pub fn ordered(
    time: Timestamp,
    kind: EventKind,
    envelope: &Envelope,
    recipient: u32,
    record: &RecipientRecord,
    outcome: Option<&RecipientOutcome>,
    order: &Ordered<'_>,
) -> Event {
    let mut event = changed(time, kind, envelope, recipient, record, outcome);
    event.reason = (!order.reason.is_empty()).then(|| order.reason.to_owned());
    event.actor = Some(order.actor.to_owned());
    event.rule = (!order.lifted.is_empty()).then(|| order.lifted.join(", "));
    event
}

/// What a person ordered, as the log tells it.
#[derive(Debug, Clone, Copy)]
pub struct Ordered<'a> {
    /// Who.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
    /// The holds that end with it, by name.
    pub lifted: &'a [Arc<str>],
}

/// It is durable that a downgrade is suspected.
pub fn downgrade_suspected(
    time: Timestamp,
    envelope: &Envelope,
    recipient: u32,
    record: &RecipientRecord,
    outcome: Option<&RecipientOutcome>,
) -> Event {
    let kind = EventKind::DowngradeSuspected;
    let mut event = changed(time, kind, envelope, recipient, record, outcome);
    event.reason = Some("less is offered than is known of the domain".to_owned());
    event.next_attempt = None;
    event
}

fn changed(
    time: Timestamp,
    kind: EventKind,
    envelope: &Envelope,
    recipient: u32,
    record: &RecipientRecord,
    outcome: Option<&RecipientOutcome>,
) -> Event {
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
            required,
            expected,
            hosts,
            ..
        } = &learnt.outcome
        {
            event.required = Some(*required);
            event.expected = *expected;
            hop = hop.or_else(|| hosts.first().map(|host| &host.hop));
        }
        if let Some(hop) = hop {
            event = event.learnt_on(hop);
        }
    }
    event
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
        MessageClass::Notice => Some("notice"),
        MessageClass::Code => Some("code"),
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
    /// Held by these rules.
    pub fn held_by(mut self, rules: &[Arc<str>]) -> Self {
        self.rule = Some(rules.join(", "));
        self
    }

    /// As decided: level, method, the grade demanded, who signed, what it is sealed to and how.
    pub fn planned(mut self, plan: &RecipientPlan, rendition: Option<&Rendition>) -> Self {
        self.level = Some(plan.decision.level);
        self.method = plan.decision.method();
        if let Some(rendition) = rendition {
            // What an attempt was refused for stands; the policy may have been raised since.
            self.required = self.required.or(Some(rendition.demand().least()));
            self.dkim.clone_from(&rendition.signed_by);
            self.certificate = rendition.certificate().map(|name| name.to_string());
            self.cipher = rendition.cipher();
            self.signer = rendition.signer().map(str::to_owned);
            if let Some(notice) = rendition.deposit() {
                self.factors = Some(plan.decision.factors);
                self.reference = Some(notice.reference().to_string());
            }
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
        Address, Allowance, Client, DeferReason, Domain, EnhancedCode, ExceptionUse, Factor, Grade,
        Level, ReversePath, ShortHost, Status,
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
            pickup: Default::default(),
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
            (Final::Deposited, EventKind::Deposited),
            (Final::Bounced, EventKind::Bounced),
            (Final::Expired, EventKind::Expired),
            (Final::Cancelled, EventKind::Cancelled),
        ] {
            assert_eq!(kind(RecipientState::Final(ended)), Some(event));
        }
    }

    #[test]
    fn decided_says_who_asked_who_alarms_and_which_exception() {
        let reason = |level, asker| Reason { level, asker };
        let decision = Decision {
            level: Level::Confidential,
            reasons: vec![
                reason(Level::Confidential, Asker::Rule("lab".into())),
                reason(Level::Protected, Asker::Base),
                reason(Level::Protected, Asker::Rule("low".into())),
            ],
            factors: Level::Restricted,
            alerts: vec!["look".into()],
            exception: Some(ExceptionUse {
                recipient: "fax@gateway.example".into(),
                allow: Allowance::Any,
                max_level: Level::Protected,
                owner: "jo@clinic.example".into(),
                reason: "patient-request".into(),
                expires: Timestamp::from_secs(2000),
            }),
            ..Decision::base(Level::Protected, Vec::new(), Course::NoMethod, "p".into())
        };
        let plan = |decision| RecipientPlan {
            recipient: 0,
            decision: Arc::new(decision),
            rendition: None,
        };
        let time = Timestamp::from_secs(1001);
        let line = json(&decided(time, &envelope(), &plan(decision.clone()), None));
        assert_eq!(
            line["rule"], "lab",
            "who set the level, not who asked for less"
        );
        assert_eq!(line["reasons"][0], "confidential: rule \"lab\"");
        assert_eq!(line["reasons"][2], "protected: rule \"low\"");
        assert_eq!(line["alerts"], serde_json::json!(["look"]));
        assert_eq!(line["exception"]["owner"], "jo@clinic.example");
        assert_eq!(line["factors"], "restricted");
        let held = Decision {
            course: Course::Hold(vec!["first".into(), "second".into()]),
            factors: Level::Confidential,
            ..decision
        };
        let line = json(&decided(time, &envelope(), &plan(held), None));
        assert_eq!(line["rule"], "first, second");
        assert!(line.get("factors").is_none() && line.get("reason").is_none());
    }

    #[test]
    fn what_happens_in_the_portal_is_told_with_who_by_what_and_why() {
        let told = PickupEvent {
            event: Happening::Retracted,
            time: Timestamp::from_secs(1001),
            queue_id: Some(MessageId::new(7)),
            message_id: Some("<1@clinic.example>".to_owned()),
            author: Some(Address::parse("jo@clinic.example").unwrap()),
            recipient: Some(Address::parse("kim@portal.example").unwrap()),
            factors: vec![Factor::Mailbox, Factor::Password],
            client: Some("192.0.2.7".to_owned()),
            reasons: vec!["r".to_owned(); MAX_REASONS + 1],
            actor: Some("root".to_owned()),
            opened_before: Some(false),
        };
        let line = json(&picked_up(&told));
        assert_eq!(line["event"], "retracted");
        assert_eq!(line["time"], "1970-01-01T00:16:41.000000Z");
        assert_eq!(line["queue_id"], MessageId::new(7).to_string());
        assert_eq!(line["sender"], "jo@clinic.example");
        assert_eq!(line["recipient"], "kim@portal.example");
        assert_eq!(line["proofs"], serde_json::json!(["mailbox", "password"]));
        assert_eq!(line["reasons"].as_array().unwrap().len(), MAX_REASONS);
        assert_eq!(
            (&line["client"], &line["actor"]),
            (&"192.0.2.7".into(), &"root".into())
        );
        assert_eq!(
            (&line["method"], &line["opened_before"]),
            (&"portal".into(), &false.into())
        );
        let bare = PickupEvent {
            event: Happening::PortalExpired,
            queue_id: None,
            message_id: None,
            author: None,
            recipient: None,
            factors: Vec::new(),
            client: None,
            reasons: Vec::new(),
            actor: None,
            opened_before: None,
            ..told
        };
        let line = json(&picked_up(&bare));
        assert_eq!(line.as_object().unwrap().len(), 3, "{line}");
        assert_eq!(line["event"], "portal_expired");
    }

    #[test]
    fn an_order_says_who_and_why() {
        let order = Ordered {
            actor: "root",
            reason: "asked by phone",
            lifted: &["lab".into()],
        };
        let time = Timestamp::from_secs(1001);
        let record = RecipientRecord::queued();
        let kind = EventKind::Released;
        let line = json(&ordered(time, kind, &envelope(), 0, &record, None, &order));
        assert_eq!(line["event"], "released");
        assert_eq!(line["recipient"], "kim@tls.example");
        assert_eq!(
            (&line["actor"], &line["reason"], &line["rule"]),
            (&"root".into(), &"asked by phone".into(), &"lab".into())
        );
    }
}
