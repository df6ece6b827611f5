//! Preparation, preparation again, and recovery.

use super::*;

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
    assert!(matches!(bench.tick(due)[..], [Output::Prepare(_)]));
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
    assert!(matches!(bench.tick(due)[..], [Output::Prepare(_)]));
}

#[test]
fn recovered_messages_go_on_where_they_were() {
    let mut bench = Bench::new();
    let record = |state| RecipientRecord {
        state,
        attempts: 3,
        last: Some(status(4)),
        warned: true,
        released: Vec::new(),
        suspected_since: None,
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
        [Output::Prepare(_)]
    ));
    // Overdue for long: one more try, then it expires.
    let expiry = Retry::default().expire_after;
    let input = recovered(3, Some(prepared(1, &[])), vec![waits]);
    let work = bench.tell(expiry * 2, input);
    let tried = |output: &Output| matches!(output, Output::Attempt(attempt) if attempt.id == MessageId::new(3));
    let ended =
        |output: &Output| matches!(output, Output::Settle(last) if last.id == MessageId::new(3));
    let later = bench.tick(expiry * 2 + HOUR);
    assert!(work.iter().chain(&later).any(tried));
    assert!(!work.iter().chain(&later).any(ended));
    let last = bench.attempted(expiry * 2 + HOUR, 3, vec![deferred(0)]);
    assert!(last.done);
    // All ended, but the process died before DONE: only that is missing.
    let input = recovered(4, None, vec![record(RecipientState::Final(Final::Bounced))]);
    let done = settlement(bench.tell(expiry * 2, input));
    assert!(done.done && done.changes.is_empty());
}

#[test]
fn who_stands_in_line_goes_by_the_new_number_of_its_rendition() {
    let limits = Limits {
        attempts: 1,
        ..Limits::default()
    };
    let mut bench = Bench::with(Retry::default(), limits);
    bench.ready(envelope(1, &["a@w.example"]));
    // 0 has no method, 1 is in line.
    bench.accept(envelope(2, &["b@x.example", "c@y.example"]));
    let id = MessageId::new(2);
    let input = Input::Prepared {
        id,
        prepared: prepared(2, &[0]),
    };
    let waits = settlement(bench.tell(Duration::ZERO, input));
    bench.settled(Duration::ZERO, 2);
    let due = next_attempt(&waits).since(START);
    let asked = preparation(bench.tick(due));
    let whom: Vec<u32> = asked.recipients.iter().map(|r| r.recipient).collect();
    assert_eq!(whom, [0], "only who needs a decision");
    assert_eq!(asked.previous.unwrap().plans.len(), 2);
    // What was made for 1 has another number now.
    let mut moved = Prepared::clone(&prepared(2, &[]));
    moved.renditions.push(moved.renditions[0].clone());
    moved.plans[1].rendition = Some(1);
    let prepared = Arc::new(moved);
    assert!(bench.tell(due, Input::Prepared { id, prepared }).is_empty());
    let mut seen = Vec::new();
    let (mut busy, mut outcome) = (MessageId::new(1), delivered(0));
    for _ in 0..2 {
        let outputs = bench.tell(
            due,
            Input::Attempted {
                id: busy,
                outcomes: vec![outcome],
            },
        );
        let [.., Output::Attempt(attempt)] = &outputs[..] else {
            panic!("{outputs:?}");
        };
        seen.push((attempt.recipients.clone(), attempt.rendition));
        (busy, outcome) = (attempt.id, delivered(attempt.recipients[0]));
    }
    seen.sort();
    assert_eq!(seen, [(vec![0], 0), (vec![1], 1)]);
}
