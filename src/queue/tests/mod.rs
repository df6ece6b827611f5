//! The rows of the table in [the module](super), one by one: the bench they run on. Whole weeks are in
//! `tests/simulation.rs`.

mod orders;
mod outcomes;
mod plans;
mod replan;
mod time;
mod view;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::mail::{
    Address, Candidate, Course, Decision, DeferReason, Demand, EnhancedCode, Envelope, Final,
    Grade, Level, MessageClass, MessageId, Method, Outcome, Prepared, RecipientOutcome,
    RecipientPlan, RecipientRecord, RecipientState, Refusal, Rendition, ReversePath, Status,
    Timestamp, Verdict,
};

fn rendition() -> Rendition {
    let demand = Demand::content(Level::Protected).unwrap();
    let terms = crate::mail::Terms::default();
    Rendition::content(demand, terms, Vec::new(), Vec::new()).unwrap()
}

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn at(span: Duration) -> Timestamp {
    START + span
}

fn envelope(id: u64, recipients: &[&str]) -> Envelope {
    Envelope {
        id: MessageId::new(id),
        class: MessageClass::Submitted,
        reverse_path: ReversePath::Address(Address::parse("jo@clinic.example").unwrap()),
        recipients: recipients.iter().map(|r| r.parse().unwrap()).collect(),
        author: Some("jo@clinic.example".parse().unwrap()),
        message_id: format!("<{id}@clinic.example>"),
        client: None,
        received: START,
        size: 1000,
        eight_bit: false,
        tags: Vec::new(),
        pickup: Default::default(),
    }
}

fn dsn(id: u64) -> Envelope {
    Envelope {
        class: MessageClass::Dsn,
        reverse_path: ReversePath::Null,
        ..envelope(id, &["jo@clinic.example"])
    }
}

/// A plan for every recipient; those in `without` have no method.
fn prepared(recipients: u32, without: &[u32]) -> Arc<Prepared> {
    let plan = |recipient| {
        let has = !without.contains(&recipient);
        RecipientPlan {
            recipient,
            decision: Arc::new(Decision::base(
                Level::Protected,
                vec![Candidate {
                    method: Method::Tls,
                    verdict: if has {
                        Verdict::Accepted
                    } else {
                        Verdict::Refused(Refusal::LevelTooHigh)
                    },
                }],
                if has {
                    Course::Send(Method::Tls)
                } else {
                    Course::NoMethod
                },
                "00".repeat(16).into(),
            )),
            rendition: has.then_some(0),
        }
    };
    Arc::new(Prepared {
        renditions: vec![rendition()],
        plans: (0..recipients).map(plan).collect(),
    })
}

fn status(class: u8) -> Status {
    Status::local(EnhancedCode::new(class, 0, 0), "as the test says")
}

fn came_to(recipient: u32, outcome: Outcome) -> RecipientOutcome {
    RecipientOutcome {
        recipient,
        outcome,
        hop: None,
        duplicate_possible: false,
    }
}

fn delivered(recipient: u32) -> RecipientOutcome {
    came_to(recipient, Outcome::Delivered(status(2)))
}

fn bounced(recipient: u32) -> RecipientOutcome {
    came_to(recipient, Outcome::Bounced(status(5)))
}

fn deferred(recipient: u32) -> RecipientOutcome {
    let reason = DeferReason::Temporary;
    came_to(
        recipient,
        Outcome::Deferred {
            reason,
            status: status(4),
        },
    )
}

/// The queue and what came out of it.
struct Bench {
    queue: Queue,
}

impl Bench {
    fn new() -> Self {
        Self::with(Retry::default(), Limits::default())
    }

    fn with(retry: Retry, limits: Limits) -> Self {
        Self {
            queue: Queue::new(retry, limits, 1),
        }
    }

    fn tell(&mut self, span: Duration, input: Input) -> Vec<Output> {
        self.queue.handle(at(span), input);
        std::iter::from_fn(|| self.queue.poll_output()).collect()
    }

    fn tick(&mut self, span: Duration) -> Vec<Output> {
        self.tell(span, Input::Tick)
    }

    fn settled(&mut self, span: Duration, id: u64) -> Vec<Output> {
        let id = MessageId::new(id);
        self.tell(span, Input::Settled { id })
    }

    fn attempted(
        &mut self,
        span: Duration,
        id: u64,
        outcomes: Vec<RecipientOutcome>,
    ) -> Settlement {
        let id = MessageId::new(id);
        settlement(self.tell(span, Input::Attempted { id, outcomes }))
    }

    fn accept(&mut self, envelope: Envelope) -> Vec<Output> {
        let envelope = Arc::new(envelope);
        self.tell(Duration::ZERO, Input::Accepted { envelope })
    }

    /// Accepts and prepares with a plan for everyone.
    fn ready(&mut self, envelope: Envelope) -> Vec<Output> {
        let (id, recipients) = (envelope.id, envelope.recipients.len());
        let prepared = prepared(u32::try_from(recipients).unwrap(), &[]);
        assert!(matches!(self.accept(envelope)[..], [Output::Prepare(_)]));
        self.tell(Duration::ZERO, Input::Prepared { id, prepared })
    }

    fn state(&self, id: u64) -> Vec<String> {
        let detail = self.queue.show(MessageId::new(id)).unwrap();
        detail.recipients.into_iter().map(|r| r.state).collect()
    }
}

fn settlement(outputs: Vec<Output>) -> Settlement {
    match <[Output; 1]>::try_from(outputs) {
        Ok([Output::Settle(settlement)]) => settlement,
        other => panic!("one settlement, not {other:?}"),
    }
}

fn preparation(outputs: Vec<Output>) -> Preparation {
    match <[Output; 1]>::try_from(outputs) {
        Ok([Output::Prepare(preparation)]) => preparation,
        other => panic!("one preparation, not {other:?}"),
    }
}

fn attempts(outputs: Vec<Output>) -> Vec<Attempt> {
    let attempt = |output| match output {
        Output::Attempt(attempt) => attempt,
        other => panic!("an attempt, not {other:?}"),
    };
    outputs.into_iter().map(attempt).collect()
}

fn next_attempt(settlement: &Settlement) -> Timestamp {
    match settlement.changes[0].record.state {
        RecipientState::Deferred { next_attempt, .. } => next_attempt,
        ref other => panic!("deferred, not {other:?}"),
    }
}
