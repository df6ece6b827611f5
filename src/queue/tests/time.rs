//! Schedule, expiry, warnings, and the disk that is slower than any of them.

use super::*;

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
                Output::Prepare(_) => panic!("it has a plan"),
                Output::Operated { .. } => panic!("nobody ordered anything"),
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
