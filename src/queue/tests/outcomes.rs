//! Work handed out and what it comes to: grouping, limits, outcomes, the drain.

use super::*;

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
fn a_bounce_and_a_delivery_in_one_attempt_end_both() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example", "b@x.example"]));
    let settlement = bench.attempted(MINUTE, 1, vec![bounced(1), delivered(0)]);
    assert!(settlement.done);
    bench.settled(MINUTE, 1);
    assert_eq!(bench.state(1), ["delivered", "bounced"]);
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
