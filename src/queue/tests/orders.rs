//! What a person orders.

use super::*;

fn filter() -> QueueFilter {
    QueueFilter::default()
}

fn order(operation: Operation, filter: QueueFilter) -> Input {
    let order = Order {
        operation,
        actor: "root".to_owned(),
        reason: "as the test says".to_owned(),
    };
    Input::Operate {
        ticket: 7,
        selection: Selection { id: None, filter },
        order: Arc::new(order),
    }
}

/// Changed, later, unchanged.
fn tally(outputs: &[Output]) -> (usize, usize, usize) {
    let answer = outputs.iter().find_map(|output| match output {
        Output::Operated { ticket: 7, tally } => Some(tally),
        _ => None,
    });
    let tally = answer.unwrap_or_else(|| panic!("no answer in {outputs:?}"));
    (tally.changed, tally.later, tally.unchanged)
}

/// Held by a rule.
fn held_by_rule(bench: &mut Bench) {
    let asked = preparation(bench.accept(envelope(1, &["a@x.example"])));
    assert!(asked.recipients[0].released.is_empty());
    let id = MessageId::new(1);
    let prepared = held_plan();
    let input = Input::Prepared { id, prepared };
    settlement(bench.tell(Duration::ZERO, input));
    bench.settled(Duration::ZERO, 1);
    assert_eq!(bench.state(1), ["held"]);
}

fn held_plan() -> Arc<Prepared> {
    let mut plan = Prepared::clone(&prepared(1, &[0]));
    let mut decision = Decision::clone(&plan.plans[0].decision);
    decision.course = Course::Hold(vec!["volume".into(), "a, b".into()]);
    plan.plans[0].decision = Arc::new(decision);
    Arc::new(plan)
}

#[test]
fn a_release_is_durable_first_and_the_same_rules_do_not_hold_again() {
    let mut bench = Bench::new();
    held_by_rule(&mut bench);
    let released = settlement(bench.tell(MINUTE, order(Operation::Release, filter())));
    let names: Vec<Arc<str>> = vec!["volume".into(), "a, b".into()];
    let change = &released.changes[0];
    assert_eq!(change.record.released, names);
    assert_eq!(change.record.state, RecipientState::Queued);
    assert!(matches!(&change.cause, Cause::Ordered { lifted, .. } if *lifted == names));
    let outputs = bench.settled(MINUTE, 1);
    assert_eq!(tally(&outputs), (1, 0, 0), "answered when it is durable");
    let asked = outputs.into_iter().find_map(|output| match output {
        Output::Prepare(preparation) => Some(preparation),
        _ => None,
    });
    assert_eq!(asked.unwrap().recipients[0].released, names);
    let id = MessageId::new(1);
    let prepared = prepared(1, &[]);
    let input = Input::Prepared { id, prepared };
    assert_eq!(attempts(bench.tell(MINUTE, input)).len(), 1);
}

#[test]
fn a_release_survives_a_crash() {
    let mut bench = Bench::new();
    let record = RecipientRecord {
        released: vec!["volume".into()],
        ..RecipientRecord::queued()
    };
    let input = Input::Recovered {
        envelope: Arc::new(envelope(1, &["a@x.example"])),
        prepared: Some(held_plan()),
        recipients: vec![record],
    };
    let asked = preparation(bench.tell(MINUTE, input));
    assert_eq!(asked.recipients[0].released, ["volume".into()]);
}

#[test]
fn what_is_held_by_order_is_not_attempted_until_released() {
    let limits = Limits {
        attempts: 1,
        ..Limits::default()
    };
    let mut bench = Bench::with(Retry::default(), limits);
    bench.ready(envelope(9, &["z@w.example"]));
    assert!(
        bench.ready(envelope(1, &["a@x.example"])).is_empty(),
        "in line"
    );
    let id = MessageId::new(1);
    let only = QueueFilter {
        recipient: Some("a@x.example".to_owned()),
        ..filter()
    };
    let held = settlement(bench.tell(MINUTE, order(Operation::Hold, only.clone())));
    let name = OPERATOR_HOLD.to_owned();
    assert_eq!(held.changes[0].record.state, RecipientState::Held { name });
    assert_eq!(tally(&bench.settled(MINUTE, 1)), (1, 0, 0));
    let done = vec![delivered(0)];
    let outputs = bench.tell(
        MINUTE,
        Input::Attempted {
            id: MessageId::new(9),
            outcomes: done,
        },
    );
    assert!(
        matches!(outputs[..], [Output::Settle(_)]),
        "the slot is free"
    );
    bench.settled(MINUTE, 9);
    assert!(bench.tick(HOUR).is_empty());
    assert_eq!(
        tally(&bench.tell(HOUR, order(Operation::Hold, only.clone()))),
        (0, 0, 1)
    );
    let input = order(Operation::Release, only);
    let freed = settlement(bench.tell(HOUR, input));
    assert!(
        freed.changes[0].record.released.is_empty(),
        "no rule was involved"
    );
    let outputs = bench.settled(HOUR, 1);
    assert!(
        outputs
            .iter()
            .any(|o| matches!(o, Output::Prepare(p) if p.id == id))
    );
}

#[test]
fn a_cancel_ends_what_waits_and_leaves_no_timer() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example", "b@y.example"]));
    bench.attempted(Duration::ZERO, 1, vec![deferred(0)]);
    bench.settled(Duration::ZERO, 1);
    let second = settlement(bench.tell(
        Duration::ZERO,
        Input::Attempted {
            id: MessageId::new(1),
            outcomes: vec![deferred(1)],
        },
    ));
    assert!(!second.done);
    bench.settled(Duration::ZERO, 1);
    let last = settlement(bench.tell(MINUTE, order(Operation::Cancel, filter())));
    assert!(last.done);
    let ended = |change: &SettledRecipient| change.record.state.clone();
    let states: Vec<RecipientState> = last.changes.iter().map(ended).collect();
    assert_eq!(states, vec![RecipientState::Final(Final::Cancelled); 2]);
    assert_eq!(tally(&bench.settled(MINUTE, 1)), (2, 0, 0));
    assert!(bench.queue.is_empty() && bench.queue.is_quiet());
    assert_eq!(bench.queue.poll_timeout(), None);
}

#[test]
fn who_is_in_an_attempt_is_cancelled_when_it_comes_back_without_success() {
    let names = ["a@x.example", "b@x.example", "c@x.example", "d@x.example"];
    let mut bench = Bench::new();
    bench.ready(envelope(1, &names));
    let asked = bench.tell(MINUTE, order(Operation::Cancel, filter()));
    assert_eq!(tally(&asked), (0, 4, 0));
    let view = bench.queue.show(MessageId::new(1)).unwrap();
    assert_eq!(view.recipients[0].ordered.as_deref(), Some("cancel"));
    let short = Outcome::Shortfall {
        required: Grade::Pkix,
        expected: None,
        hosts: Vec::new(),
        status: status(4),
    };
    let outcomes = vec![delivered(0), bounced(1), deferred(2), came_to(3, short)];
    let last = bench.attempted(MINUTE, 1, outcomes);
    let states: Vec<&str> = last
        .changes
        .iter()
        .map(|change| change.record.state.as_str())
        .collect();
    assert_eq!(states, ["delivered", "bounced", "cancelled", "cancelled"]);
    assert_eq!(last.changes[2].record.attempts, 1);
    assert!(last.done);
}

#[test]
fn an_order_waits_for_the_decision_and_for_the_disk() {
    let mut bench = Bench::new();
    preparation(bench.accept(envelope(1, &["a@x.example"])));
    assert_eq!(
        tally(&bench.tell(MINUTE, order(Operation::Hold, filter()))),
        (0, 1, 0)
    );
    let id = MessageId::new(1);
    let prepared = prepared(1, &[]);
    let held = settlement(bench.tell(MINUTE, Input::Prepared { id, prepared }));
    assert_eq!(held.changes[0].record.state.as_str(), "held");
    // The hold is on its way to the disk: cancelled right after it.
    assert_eq!(
        tally(&bench.tell(MINUTE, order(Operation::Cancel, filter()))),
        (0, 1, 0)
    );
    let last = settlement(bench.settled(MINUTE, 1));
    assert!(last.done);
    bench.settled(MINUTE, 1);
    assert_eq!(bench.state(1), ["cancelled"]);
    assert!(bench.queue.is_empty() && bench.queue.is_quiet());
}

#[test]
fn a_hold_that_was_only_wished_is_taken_back_and_a_cancel_is_not() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    bench.tell(MINUTE, order(Operation::Hold, filter()));
    bench.tell(MINUTE, order(Operation::Release, filter()));
    let waits = bench.attempted(MINUTE, 1, vec![deferred(0)]);
    assert_eq!(waits.changes[0].record.state.as_str(), "deferred");

    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    bench.tell(MINUTE, order(Operation::Cancel, filter()));
    bench.tell(MINUTE, order(Operation::Hold, filter()));
    bench.tell(MINUTE, order(Operation::Release, filter()));
    assert!(bench.attempted(MINUTE, 1, vec![deferred(0)]).done);
}

#[test]
fn a_delivery_that_is_on_its_way_to_the_disk_stays_one() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example", "b@y.example"]));
    bench.attempted(MINUTE, 1, vec![delivered(0)]);
    let only = QueueFilter {
        domain: Some("x.example".parse().unwrap()),
        ..filter()
    };
    assert_eq!(
        tally(&bench.tell(MINUTE, order(Operation::Cancel, only))),
        (0, 1, 0)
    );
    assert!(bench.settled(MINUTE, 1).is_empty());
    assert_eq!(bench.state(1), ["delivered", "attempting"]);
}

#[test]
fn a_warning_that_becomes_durable_does_not_call_an_attempt_back() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let waits = bench.attempted(HOUR * 3, 1, vec![deferred(0)]);
    bench.settled(HOUR * 3, 1);
    let due = next_attempt(&waits).since(START);
    assert!(due < HOUR * 4);
    attempts(bench.tick(due));
    let waits = bench.attempted(HOUR * 4 - MINUTE, 1, vec![deferred(0)]);
    bench.settled(HOUR * 4 - MINUTE, 1);
    let due = next_attempt(&waits).since(START);
    let outputs = bench.tick(due.max(HOUR * 4));
    let [Output::Settle(warning), Output::Attempt(_)] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(warning.changes[0].cause, Cause::DelayWarning);
    bench.tell(HOUR * 5, order(Operation::Cancel, filter()));
    assert!(bench.settled(HOUR * 5, 1).is_empty());
    assert_eq!(bench.state(1), ["attempting"]);
    assert!(bench.attempted(HOUR * 5, 1, vec![deferred(0)]).done);
}

#[test]
fn a_retry_is_due_at_once_and_keeps_the_reason() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    bench.attempted(Duration::ZERO, 1, vec![deferred(0)]);
    bench.settled(Duration::ZERO, 1);
    let moved = settlement(bench.tell(Duration::from_secs(5), order(Operation::Retry, filter())));
    assert_eq!(next_attempt(&moved), at(Duration::from_secs(5)));
    let answer = bench.settled(Duration::from_secs(5), 1);
    assert_eq!(tally(&answer), (1, 0, 0));
    assert_eq!(bench.queue.poll_timeout(), Some(at(Duration::from_secs(5))));
    let work = attempts(bench.tick(Duration::from_secs(5)));
    assert_eq!((work.len(), work[0].attempt), (1, 2));
    // What a rule holds is not retried: it is released.
    let mut bench = Bench::new();
    held_by_rule(&mut bench);
    assert_eq!(
        tally(&bench.tell(MINUTE, order(Operation::Retry, filter()))),
        (0, 0, 1)
    );
}

/// A bounce of ours that is held, long after its time.
fn undeliverable(bench: &mut Bench) -> Duration {
    bench.ready(dsn(1));
    bench.attempted(MINUTE, 1, vec![bounced(0)]);
    bench.settled(MINUTE, 1);
    assert_eq!(bench.state(1), ["held"]);
    Retry::default().expire_after * 2
}

#[test]
fn an_undeliverable_bounce_can_be_tried_again_and_can_be_ended() {
    let bounces = || QueueFilter {
        dsn: true,
        ..filter()
    };
    for operation in [Operation::Retry, Operation::Release] {
        let mut bench = Bench::new();
        let late = undeliverable(&mut bench);
        let again = settlement(bench.tell(late, order(operation, bounces())));
        assert!(again.changes[0].record.released.is_empty());
        let outputs = bench.settled(late, 1);
        assert_eq!(tally(&outputs), (1, 0, 0));
        let id = MessageId::new(1);
        let prepared = prepared(1, &[]);
        let input = Input::Prepared { id, prepared };
        assert_eq!(
            attempts(bench.tell(late, input)).len(),
            1,
            "past its time, once"
        );
        let held = bench.attempted(late, 1, vec![deferred(0)]);
        assert_eq!(
            held.changes[0].record.state.as_str(),
            "held",
            "and stays visible"
        );
    }
    let mut bench = Bench::new();
    let late = undeliverable(&mut bench);
    bench.ready(envelope(2, &["a@x.example"]));
    let last = settlement(bench.tell(late, order(Operation::Cancel, bounces())));
    assert_eq!((last.id, last.done), (MessageId::new(1), true));
    assert_eq!(tally(&bench.settled(late, 1)), (1, 0, 0), "only bounces");
}

#[test]
fn a_large_selection_is_done_in_slices() {
    let mut bench = Bench::new();
    let names: Vec<String> = (0..10).map(|n| format!("a{n}@x.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for id in 0..250 {
        bench.accept(envelope(id, &names));
    }
    let (mut done, mut slices, mut after) = (0, 0, None);
    loop {
        let input = order(
            Operation::Cancel,
            QueueFilter {
                after: after.take(),
                ..filter()
            },
        );
        let before = bench.queue.steps();
        let mut outputs = bench.tell(MINUTE, input);
        assert!(bench.queue.steps() - before < 10_000);
        let mut settled = Vec::new();
        while outputs
            .iter()
            .any(|output| matches!(output, Output::Settle(_)))
        {
            let ids: Vec<u64> = outputs
                .iter()
                .filter_map(|output| match output {
                    Output::Settle(settlement) => Some(settlement.id.get()),
                    _ => None,
                })
                .collect();
            settled.extend(outputs);
            outputs = ids
                .into_iter()
                .flat_map(|id| bench.settled(MINUTE, id))
                .collect();
        }
        settled.extend(outputs);
        let answer = settled.into_iter().find_map(|output| match output {
            Output::Operated { tally, .. } => Some(tally),
            _ => None,
        });
        let tally = answer.unwrap();
        // Those that are being decided are done when that comes back.
        done += tally.changed + tally.later;
        slices += 1;
        after = tally.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((done, slices), (2500, 3));
}

#[test]
fn an_order_for_one_message_leaves_the_others_alone() {
    let mut bench = Bench::new();
    for id in 1..=3 {
        bench.ready(envelope(id, &["a@x.example"]));
        bench.attempted(Duration::ZERO, id, vec![deferred(0)]);
        bench.settled(Duration::ZERO, id);
    }
    let Input::Operate { order, ticket, .. } = order(Operation::Cancel, filter()) else {
        panic!("an order");
    };
    let selection = Selection {
        id: Some(MessageId::new(2)),
        filter: filter(),
    };
    let input = Input::Operate {
        ticket,
        selection: selection.clone(),
        order: Arc::clone(&order),
    };
    assert_eq!(settlement(bench.tell(MINUTE, input)).id, MessageId::new(2));
    bench.settled(MINUTE, 2);
    assert_eq!(bench.queue.len(), 2);
    let input = Input::Operate {
        ticket,
        selection,
        order,
    };
    assert_eq!(tally(&bench.tell(MINUTE, input)), (0, 0, 0), "it has ended");
}
