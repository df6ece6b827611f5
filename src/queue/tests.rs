//! The rows of the table in [the module](super), one by one. Whole weeks are in
//! `tests/simulation.rs`.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::mail::{
    Address, Candidate, Decision, DeferReason, Demand, EnhancedCode, Envelope, Final, Grade, Level,
    MessageClass, MessageId, Method, Outcome, Prepared, RecipientOutcome, RecipientPlan,
    RecipientRecord, RecipientState, Refusal, Rendition, ReversePath, Status, Timestamp, Verdict,
};

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
            decision: Decision {
                level: Level::Protected,
                candidates: vec![Candidate {
                    method: Method::Tls,
                    verdict: if has {
                        Verdict::Accepted
                    } else {
                        Verdict::Refused(Refusal::LevelTooHigh)
                    },
                }],
                method: has.then_some(Method::Tls),
                policy: "00".repeat(16),
            },
            rendition: has.then_some(0),
        }
    };
    Arc::new(Prepared {
        renditions: vec![Rendition {
            demand: Demand::content(Level::Protected).unwrap(),
            prefix: Vec::new(),
            signed_by: Vec::new(),
        }],
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
        assert!(matches!(
            self.accept(envelope)[..],
            [Output::Prepare { .. }]
        ));
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

#[test]
fn a_delivery_goes_straight_through() {
    let mut bench = Bench::new();
    let work = attempts(bench.ready(envelope(1, &["a@x.example"])));
    assert_eq!(
        (work.len(), work[0].attempt, &work[0].recipients[..]),
        (1, 1, &[0][..])
    );
    assert_eq!(bench.state(1), ["attempting"]);

    let settlement = bench.attempted(MINUTE, 1, vec![delivered(0)]);
    assert!(settlement.done);
    assert_eq!(
        settlement.changes[0].record.state,
        RecipientState::Final(Final::Delivered)
    );
    // Not true before it is durable.
    assert_eq!(
        (bench.queue.len(), bench.state(1)),
        (1, vec!["attempting".to_owned()])
    );
    assert!(bench.settled(MINUTE, 1).is_empty());
    assert!(bench.queue.is_empty() && bench.queue.is_quiet());
    assert_eq!(bench.queue.poll_timeout(), None, "no timer is left behind");
    // Still to be seen.
    assert_eq!(bench.state(1), ["delivered"]);
    assert!(bench.queue.show(MessageId::new(1)).unwrap().done);
}

#[test]
fn recipients_are_grouped_by_destination_and_bounded() {
    let mut bench = Bench::with(
        Retry::default(),
        Limits {
            recipients_per_attempt: 2,
            ..Limits::default()
        },
    );
    let names = ["a@x.example", "b@y.example", "c@x.example", "d@x.example"];
    let work = attempts(bench.ready(envelope(1, &names)));
    let mut groups: Vec<(String, Vec<u32>)> = work
        .into_iter()
        .map(|a| (a.destination.to_string(), a.recipients))
        .collect();
    groups.sort();
    let expected = [
        ("x.example", vec![0, 2]),
        ("x.example", vec![3]),
        ("y.example", vec![1]),
    ];
    assert_eq!(groups, expected.map(|(d, r)| (d.to_owned(), r)));
}

#[test]
fn a_deferral_is_retried_by_schedule_and_only_once_it_is_durable() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let settlement = bench.attempted(Duration::ZERO, 1, vec![deferred(0)]);
    let due = next_attempt(&settlement);
    assert!(due >= at(MINUTE) && due <= at(MINUTE * 6 / 5));
    assert!(!settlement.done);
    // Nothing happens while the disk is busy, however long that takes.
    assert!(bench.tick(HOUR).is_empty());
    assert!(bench.settled(HOUR, 1).is_empty());
    assert_eq!(
        bench.queue.poll_timeout(),
        Some(due),
        "long past: the caller ticks at once"
    );
    let work = attempts(bench.tick(HOUR));
    assert_eq!(work[0].attempt, 2);
}

#[test]
fn the_schedule_s_last_pause_repeats() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let mut now = Duration::ZERO;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let settlement = bench.attempted(now, 1, vec![deferred(0)]);
        let due = next_attempt(&settlement);
        assert!(bench.settled(now, 1).is_empty());
        pauses.push(due.since(at(now)));
        assert!(
            bench
                .tick(due.since(START) - Duration::from_micros(1))
                .is_empty()
        );
        now = due.since(START);
        assert_eq!(bench.queue.poll_timeout(), Some(at(now)));
        assert_eq!(attempts(bench.tick(now)).len(), 1);
    }
    for (pause, minutes) in pauses.iter().zip([1, 5, 15, 60, 60, 60]) {
        let base = MINUTE * minutes;
        assert!(
            *pause >= base && *pause <= base * 6 / 5,
            "{pause:?} for {base:?}"
        );
    }
}

#[test]
fn a_bounce_and_a_delivery_in_one_attempt_end_both() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example", "b@x.example"]));
    let settlement = bench.attempted(MINUTE, 1, vec![bounced(1), delivered(0)]);
    assert!(settlement.done);
    bench.settled(MINUTE, 1);
    assert_eq!(bench.state(1), ["delivered", "bounced"]);
}

#[test]
fn expiry_counts_from_acceptance_and_is_not_early() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let expiry = Retry::default().expire_after;
    let just_before = expiry - Duration::from_secs(1);
    // Deferred in the last second: its next attempt would be later than its end.
    let first = bench.attempted(just_before, 1, vec![deferred(0)]);
    assert_eq!(first.changes[0].record.state.as_str(), "deferred");
    let warning = settlement(bench.settled(just_before, 1));
    assert_eq!(warning.changes[0].cause, Cause::DelayWarning);
    assert!(bench.settled(just_before, 1).is_empty());
    assert_eq!(bench.queue.poll_timeout(), Some(at(expiry)));
    let last = settlement(bench.tick(expiry));
    assert_eq!(
        last.changes[0].record.state,
        RecipientState::Final(Final::Expired)
    );
    let reason = Some(DeferReason::Temporary);
    let outcome = None;
    assert_eq!(last.changes[0].cause, Cause::Expired { reason, outcome });
    assert!(last.done);
    bench.settled(expiry, 1);
    assert_eq!(bench.state(1), ["expired"]);
    assert_eq!(bench.queue.poll_timeout(), None, "no timer is left behind");
}

#[test]
fn an_attempt_that_ends_after_the_expiry_decides() {
    let expiry = Retry::default().expire_after;
    for (outcome, end) in [
        (delivered(0), Final::Delivered),
        (bounced(0), Final::Bounced),
        (deferred(0), Final::Expired),
    ] {
        let mut bench = Bench::new();
        bench.ready(envelope(1, &["a@x.example"]));
        assert!(bench.tick(expiry).is_empty(), "it is being attempted");
        let settlement = bench.attempted(expiry + MINUTE, 1, vec![outcome]);
        assert_eq!(
            settlement.changes[0].record.state,
            RecipientState::Final(end)
        );
        assert!(settlement.done);
    }
}

#[test]
fn expiry_reaches_those_who_never_had_a_turn() {
    let limits = Limits {
        attempts: 1,
        preparing: 2,
        ..Limits::default()
    };
    let mut bench = Bench::with(Retry::default(), limits);
    bench.ready(envelope(1, &["a@x.example"]));
    // 2 is ready, but the only slot is taken; 3 and 4 are being prepared; 5 waits in line.
    assert!(bench.ready(envelope(2, &["b@y.example"])).is_empty());
    bench.accept(envelope(3, &["c@z.example"]));
    bench.accept(envelope(4, &["d@z.example"]));
    assert!(bench.accept(envelope(5, &["e@z.example"])).is_empty());
    let expiry = Retry::default().expire_after;
    let ended: Vec<u64> = bench
        .tick(expiry)
        .into_iter()
        .map(|output| settlement(vec![output]))
        .map(|settlement| {
            assert!(settlement.done);
            settlement.id.get()
        })
        .collect();
    assert_eq!(ended, [2, 5]);
    // The preparation of 3 ends after its time: no attempt.
    let id = MessageId::new(3);
    let prepared = prepared(1, &[]);
    let late = settlement(bench.tell(expiry + MINUTE, Input::Prepared { id, prepared }));
    assert_eq!(
        late.changes[0].record.state,
        RecipientState::Final(Final::Expired)
    );
    let id = MessageId::new(4);
    let failed = Input::PrepareFailed {
        id,
        status: status(4),
    };
    let late = settlement(bench.tell(expiry + MINUTE, failed));
    assert_eq!(
        late.changes[0].record.state,
        RecipientState::Final(Final::Expired)
    );
}

#[test]
fn the_sender_is_warned_once() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example", "b@y.example"]));
    bench.attempted(HOUR, 1, vec![deferred(0)]);
    bench.settled(HOUR, 1);
    let mut warnings = Vec::new();
    let mut now = HOUR;
    while now < HOUR * 8 {
        now = bench.queue.poll_timeout().unwrap().since(START);
        for output in bench.tick(now) {
            match output {
                Output::Attempt(attempt) => {
                    assert_eq!(attempt.recipients, [0]);
                    bench.attempted(now, 1, vec![deferred(0)]);
                    bench.settled(now, 1);
                }
                Output::Settle(settlement) => {
                    assert_eq!(settlement.changes[0].cause, Cause::DelayWarning);
                    assert!(settlement.changes[0].record.warned);
                    let told: Vec<u32> = settlement.changes.iter().map(|c| c.recipient).collect();
                    warnings.push((now, told));
                    bench.settled(now, 1);
                }
                Output::Prepare { .. } => panic!("it has a plan"),
            }
        }
    }
    assert_eq!(
        warnings,
        [(HOUR * 4, vec![0])],
        "1 is being attempted all the while"
    );
    // It is told of as soon as its attempt has ended, and both records keep it.
    bench.attempted(now, 1, vec![deferred(1)]);
    let warning = settlement(bench.settled(now, 1));
    assert_eq!(warning.changes[0].recipient, 1);
    bench.settled(now, 1);
    let detail = bench.queue.show(MessageId::new(1)).unwrap();
    assert!(detail.recipients.iter().all(|recipient| recipient.warned));
}

#[test]
fn a_warning_under_way_is_not_lost_by_the_next_record() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let settlement_ = bench.attempted(HOUR * 4 - MINUTE, 1, vec![deferred(0)]);
    let due = next_attempt(&settlement_).since(START);
    bench.settled(HOUR * 4 - MINUTE, 1);
    // Warning and retry are due together; the attempt ends before the warning is durable.
    let outputs = bench.tick(due);
    assert!(
        matches!(outputs[..], [Output::Settle(_), Output::Attempt(_)]),
        "{outputs:?}"
    );
    let id = MessageId::new(1);
    let outcomes = vec![deferred(0)];
    let outputs = bench.tell(due, Input::Attempted { id, outcomes });
    assert!(outputs.is_empty(), "one settlement of a message at a time");
    let next = settlement(bench.settled(due, 1));
    assert!(next.changes[0].record.warned);
    assert_eq!(
        bench.state(1),
        ["attempting"],
        "the second record is not durable yet"
    );
    assert!(bench.settled(due, 1).is_empty());
    assert_eq!(bench.state(1), ["deferred"]);
}

#[test]
fn what_comes_up_while_the_disk_is_busy_goes_out_together() {
    let mut bench = Bench::new();
    let names = ["a@x.example", "b@y.example", "c@z.example"];
    assert_eq!(attempts(bench.ready(envelope(1, &names))).len(), 3);
    let first = bench.attempted(MINUTE, 1, vec![delivered(0)]);
    assert!(!first.done);
    let id = MessageId::new(1);
    for recipient in 1..3 {
        let outcomes = vec![delivered(recipient)];
        let outputs = bench.tell(MINUTE, Input::Attempted { id, outcomes });
        assert!(outputs.is_empty());
    }
    let rest = settlement(bench.settled(MINUTE, 1));
    assert!(rest.done && rest.changes.len() == 2);
    bench.settled(MINUTE, 1);
    assert!(bench.queue.is_empty() && bench.queue.is_quiet());
}

#[test]
fn a_record_on_its_way_to_the_disk_is_left_alone() {
    let expiry = Retry::default().expire_after;
    for (outcome, end) in [(delivered(0), "delivered"), (deferred(0), "deferred")] {
        let mut bench = Bench::new();
        bench.ready(envelope(1, &["a@x.example", "b@y.example"]));
        bench.attempted(HOUR, 1, vec![outcome]);
        // The disk is slow: warning and expiry pass meanwhile.
        assert!(bench.tick(HOUR * 5).is_empty());
        assert!(bench.tick(expiry).is_empty());
        assert_eq!(bench.state(1), ["attempting", "attempting"]);
        let outputs = bench.settled(expiry, 1);
        match end {
            "delivered" => assert!(outputs.is_empty()),
            _ => {
                let last = settlement(outputs);
                assert_eq!(
                    last.changes[0].record.state,
                    RecipientState::Final(Final::Expired)
                );
            }
        }
        assert_eq!(bench.state(1)[1], "attempting");
    }
}

#[test]
fn nobody_is_warned_at_the_null_reverse_path() {
    let mut bench = Bench::new();
    let null = Envelope {
        reverse_path: ReversePath::Null,
        ..envelope(1, &["a@x.example"])
    };
    bench.ready(null);
    bench.attempted(Duration::ZERO, 1, vec![deferred(0)]);
    bench.settled(Duration::ZERO, 1);
    assert_eq!(attempts(bench.tick(HOUR * 5)).len(), 1);
}

#[test]
fn without_a_method_it_waits_and_is_prepared_again() {
    let mut bench = Bench::new();
    bench.accept(envelope(1, &["a@x.example", "b@x.example"]));
    let id = MessageId::new(1);
    let outputs = bench.tell(
        Duration::ZERO,
        Input::Prepared {
            id,
            prepared: prepared(2, &[1]),
        },
    );
    let [Output::Settle(waits), Output::Attempt(goes)] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(goes.recipients, [0], "the other one is not kept waiting");
    assert_eq!(waits.changes[0].cause, Cause::NoMethod);
    let record = &waits.changes[0].record;
    assert!(matches!(
        record.state,
        RecipientState::Deferred {
            reason: DeferReason::Security,
            ..
        }
    ));
    let due = next_attempt(waits).since(START);
    bench.settled(Duration::ZERO, 1);
    assert!(matches!(bench.tick(due)[..], [Output::Prepare { .. }]));
    let prepared = prepared(2, &[]);
    let work = attempts(bench.tell(due, Input::Prepared { id, prepared }));
    assert_eq!(work[0].recipients, [1], "0 is in an attempt already");
}

#[test]
fn what_could_not_be_prepared_is_tried_again() {
    let mut bench = Bench::new();
    bench.accept(envelope(1, &["a@x.example"]));
    let id = MessageId::new(1);
    let failed = |status| Input::PrepareFailed { id, status };
    let settlement = settlement(bench.tell(Duration::ZERO, failed(status(4))));
    assert_eq!(settlement.changes[0].cause, Cause::PrepareFailed);
    assert_eq!(settlement.changes[0].record.last, Some(status(4)));
    assert!(matches!(
        settlement.changes[0].record.state,
        RecipientState::Deferred {
            reason: DeferReason::Local,
            ..
        }
    ));
    let due = next_attempt(&settlement).since(START);
    bench.settled(Duration::ZERO, 1);
    assert!(matches!(bench.tick(due)[..], [Output::Prepare { .. }]));
}

#[test]
fn a_shortfall_waits_for_security_and_keeps_its_hosts() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let shortfall = came_to(
        0,
        Outcome::Shortfall {
            required: Grade::Pkix,
            hosts: Vec::new(),
            status: status(4),
        },
    );
    let settlement = bench.attempted(MINUTE, 1, vec![shortfall.clone()]);
    assert_eq!(settlement.changes[0].cause, Cause::Attempted(shortfall));
    assert!(matches!(
        settlement.changes[0].record.state,
        RecipientState::Deferred {
            reason: DeferReason::Security,
            ..
        }
    ));
}

#[test]
fn a_dsn_is_held_and_never_ends_undelivered() {
    let expiry = Retry::default().expire_after;
    for (span, outcome) in [(MINUTE, bounced(0)), (expiry + MINUTE, deferred(0))] {
        let mut bench = Bench::new();
        bench.ready(dsn(1));
        let settlement = bench.attempted(span, 1, vec![outcome]);
        assert!(!settlement.done);
        bench.settled(span, 1);
        assert_eq!(bench.state(1), ["held"]);
        assert!(
            bench.tick(expiry * 3).is_empty(),
            "a hold of this kind has no expiry"
        );
        assert_eq!(bench.queue.poll_timeout(), None);
        let filter = QueueFilter {
            dsn: true,
            ..QueueFilter::default()
        };
        let page = bench.queue.list(&filter);
        assert_eq!(
            page.entries[0].recipients[0].reason.as_deref(),
            Some(UNDELIVERABLE_DSN)
        );
        assert_eq!(bench.queue.summary().held, 1);
    }
    // While it waits, its expiry comes by the timer.
    let mut bench = Bench::new();
    bench.ready(dsn(1));
    bench.attempted(MINUTE, 1, vec![deferred(0)]);
    bench.settled(MINUTE, 1);
    let held = settlement(bench.tick(expiry));
    assert_eq!(held.changes[0].record.state.as_str(), "held");
    assert!(!held.done);
}

#[test]
fn a_recipient_the_relay_forgot_is_deferred_by_us() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example", "b@x.example"]));
    let settlement = bench.attempted(MINUTE, 1, vec![delivered(1)]);
    assert_eq!(settlement.changes.len(), 2);
    assert!(matches!(
        settlement.changes[0].record.state,
        RecipientState::Deferred {
            reason: DeferReason::Local,
            ..
        }
    ));
    // Its slot is free again, and what nobody asked about changes nothing.
    assert!(
        bench
            .tell(
                MINUTE,
                Input::Attempted {
                    id: MessageId::new(1),
                    outcomes: vec![bounced(0), bounced(1), bounced(9)],
                }
            )
            .is_empty()
    );
    assert_eq!(bench.queue.summary().attempts, 0);
}

#[test]
fn recovered_messages_go_on_where_they_were() {
    let mut bench = Bench::new();
    let record = |state| RecipientRecord {
        state,
        attempts: 3,
        last: Some(status(4)),
        warned: true,
    };
    let waits = record(RecipientState::Deferred {
        reason: DeferReason::Dns,
        next_attempt: at(HOUR * 2),
    });
    let recovered = |id, prepared, recipients: Vec<RecipientRecord>| {
        let names = ["a@x.example", "b@y.example", "c@z.example"];
        Input::Recovered {
            envelope: Arc::new(envelope(id, &names[..recipients.len()])),
            prepared,
            recipients,
        }
    };
    // Prepared: ready at once, deferred at its stored time, final left alone.
    let input = recovered(
        1,
        Some(prepared(3, &[])),
        vec![
            RecipientRecord::queued(),
            waits.clone(),
            record(RecipientState::Final(Final::Delivered)),
        ],
    );
    let work = attempts(bench.tell(HOUR, input));
    assert_eq!((work.len(), &work[0].recipients[..]), (1, &[0][..]));
    assert_eq!(bench.state(1), ["attempting", "deferred", "delivered"]);
    let work = attempts(bench.tick(HOUR * 2));
    assert_eq!((&work[0].recipients[..], work[0].attempt), (&[1][..], 4));
    // Not prepared: prepare.
    let input = recovered(2, None, vec![RecipientRecord::queued()]);
    assert!(matches!(
        bench.tell(HOUR * 2, input)[..],
        [Output::Prepare { .. }]
    ));
    // Overdue for long: expires at once.
    let expiry = Retry::default().expire_after;
    let input = recovered(3, Some(prepared(1, &[])), vec![waits]);
    let last = bench.tell(expiry * 2, input);
    let last = last.iter().find_map(|output| match output {
        Output::Settle(settlement) if settlement.id == MessageId::new(3) => Some(settlement),
        _ => None,
    });
    assert!(last.is_some_and(|settlement| settlement.done));
    // All ended, but the process died before DONE: only that is missing.
    let input = recovered(4, None, vec![record(RecipientState::Final(Final::Bounced))]);
    let done = settlement(bench.tell(expiry * 2, input));
    assert!(done.done && done.changes.is_empty());
}

#[test]
fn a_new_plan_counts_for_those_in_line() {
    let limits = Limits {
        attempts: 1,
        ..Limits::default()
    };
    let mut bench = Bench::with(Retry::default(), limits);
    bench.ready(envelope(1, &["a@w.example"]));
    // 0 has no method, 1 is in line.
    bench.accept(envelope(2, &["b@x.example", "c@y.example"]));
    let id = MessageId::new(2);
    let plan = |without: &[u32]| Input::Prepared {
        id,
        prepared: prepared(2, without),
    };
    let waits = settlement(bench.tell(Duration::ZERO, plan(&[0])));
    bench.settled(Duration::ZERO, 2);
    let due = next_attempt(&waits).since(START);
    assert!(matches!(bench.tick(due)[..], [Output::Prepare { .. }]));
    // Now it is the other way round.
    let waits = settlement(bench.tell(due, plan(&[1])));
    assert_eq!(
        (waits.changes[0].recipient, &waits.changes[0].cause),
        (1, &Cause::NoMethod)
    );
    let outcomes = vec![delivered(0)];
    let outputs = bench.tell(
        due,
        Input::Attempted {
            id: MessageId::new(1),
            outcomes,
        },
    );
    let [Output::Settle(_), Output::Attempt(attempt)] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!((attempt.id, &attempt.recipients[..]), (id, &[0][..]));
}

#[test]
fn a_bad_destination_keeps_its_slots_and_no_others() {
    let limits = Limits {
        attempts: 10,
        attempts_per_destination: 2,
        ..Limits::default()
    };
    let mut bench = Bench::with(Retry::default(), limits);
    let mut running = 0;
    for id in 0..50 {
        running += bench.ready(envelope(id, &["a@stuck.example"])).len();
    }
    assert_eq!(running, 2);
    assert_eq!(
        attempts(bench.ready(envelope(50, &["a@quick.example"]))).len(),
        1
    );
    assert_eq!(bench.queue.summary().ready, 48);
}

#[test]
fn a_drain_hands_out_nothing_and_ends_quiet() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    assert!(bench.tell(MINUTE, Input::Drain).is_empty());
    assert!(bench.accept(envelope(2, &["b@x.example"])).is_empty());
    assert_eq!(bench.queue.poll_timeout(), None);
    assert!(!bench.queue.is_quiet());
    bench.attempted(MINUTE, 1, vec![deferred(0)]);
    assert!(!bench.queue.is_quiet(), "the outcome is not durable yet");
    assert!(bench.settled(MINUTE, 1).is_empty());
    assert!(bench.tick(HOUR).is_empty());
    assert!(bench.queue.is_quiet());
    assert_eq!(bench.queue.len(), 2);
}

#[test]
fn the_view_filters_and_pages() {
    let mut bench = Bench::new();
    for id in 1..=5 {
        bench.ready(envelope(id, &["A@x.example", "b@y.example"]));
    }
    bench.ready(dsn(6));
    bench.attempted(Duration::ZERO, 3, vec![deferred(1)]);
    bench.settled(Duration::ZERO, 3);
    let list = |filter: QueueFilter| {
        let page = bench.queue.list(&filter);
        let entries = page.entries.iter().map(|e| {
            (
                e.queue_id.parse::<MessageId>().unwrap().get(),
                e.recipients.len(),
            )
        });
        (entries.collect::<Vec<_>>(), page.next)
    };
    let all = QueueFilter::default;
    assert_eq!(list(all()).0.len(), 6);
    let deferred = list(QueueFilter {
        state: Some("deferred".into()),
        ..all()
    });
    assert_eq!(deferred.0, [(3, 1)]);
    assert_eq!(
        list(QueueFilter {
            recipient: Some("a@X.example".into()),
            ..all()
        })
        .0
        .len(),
        5
    );
    assert_eq!(
        list(QueueFilter {
            domain: Some("y.example".parse().unwrap()),
            ..all()
        })
        .0
        .len(),
        5
    );
    assert_eq!(
        list(QueueFilter {
            sender: Some(String::new()),
            ..all()
        })
        .0,
        [(6, 1)]
    );
    assert_eq!(list(QueueFilter { dsn: true, ..all() }).0, [(6, 1)]);
    assert_eq!(
        list(QueueFilter {
            after: Some("nonsense".into()),
            ..all()
        })
        .0,
        []
    );
    // Pages join without a gap or a repeat.
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let (entries, next) = list(QueueFilter {
            limit: 2,
            after: after.clone(),
            ..all()
        });
        seen.extend(entries.into_iter().map(|(id, _)| id));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
    let summary = bench.queue.summary();
    assert_eq!(
        (summary.messages, summary.attempting, summary.deferred),
        (6, 10, 1)
    );
    let detail = bench.queue.show(MessageId::new(3)).unwrap();
    assert_eq!(detail.recipients[1].reason.as_deref(), Some("temporary"));
    assert_eq!(detail.recipients[1].required.as_deref(), Some("pkix"));
    assert_eq!(detail.recipients[1].method.as_deref(), Some("tls"));
    assert!(detail.recipients[1].next_attempt.is_some());
    assert_eq!(bench.queue.show(MessageId::new(99)), None);
}

#[test]
fn only_so_many_finished_messages_are_kept() {
    let mut bench = Bench::new();
    for id in 0..1500 {
        bench.ready(envelope(id, &["a@x.example"]));
        bench.attempted(Duration::ZERO, id, vec![delivered(0)]);
        bench.settled(Duration::ZERO, id);
    }
    assert!(bench.queue.show(MessageId::new(1499)).is_some());
    assert!(bench.queue.show(MessageId::new(500)).is_some());
    assert!(bench.queue.show(MessageId::new(499)).is_none());
}

#[test]
fn a_waiting_message_stays_small() {
    use super::message::{Message, Recipient};
    // Fixed parts; envelope and plan are shared with whoever else holds them.
    assert!(size_of::<Message>() <= 128, "{}", size_of::<Message>());
    assert!(size_of::<Recipient>() <= 160, "{}", size_of::<Recipient>());
}
