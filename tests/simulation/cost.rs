//! What a message costs the queue, counted in steps, not in time.

use super::*;

/// A queue with `waiting` messages that wait for a retry, and as many in line for a destination
/// whose slots are all taken.
fn crowded(waiting: u64) -> Queue {
    let mut queue = Queue::new(Retry::default(), Limits::default(), 1);
    for id in 0..waiting {
        submit(&mut queue, id, "later.example");
        let outcome = Outcome::Deferred {
            reason: DeferReason::Site,
            status: status(4, 4),
        };
        finish(&mut queue, id, outcome);
        submit(&mut queue, waiting + id, "stuck.example");
    }
    queue
}

fn outputs(queue: &mut Queue) -> Vec<Output> {
    std::iter::from_fn(|| queue.poll_output()).collect()
}

/// Takes a message as far as its attempt; says whether it got one.
fn submit(queue: &mut Queue, number: u64, domain: &str) -> bool {
    let to = vec![Address::parse(&format!("kim@{domain}")).unwrap()];
    let from = ReversePath::Address(Address::parse(&format!("jo@{HOME}")).unwrap());
    let envelope = envelope(number, MessageClass::Submitted, from, to, START);
    let id = envelope.id;
    queue.handle(START, Input::Accepted { envelope });
    assert!(matches!(outputs(queue)[..], [Output::Prepare(_)]));
    let prepared = Arc::new(plans(&[Some(0)]));
    queue.handle(START, Input::Prepared { id, prepared });
    let attempted = matches!(outputs(queue)[..], [Output::Attempt(_)]);
    attempted
}

/// Ends the attempt of a message.
fn finish(queue: &mut Queue, number: u64, outcome: Outcome) {
    let id = MessageId::new(number);
    let outcomes = vec![RecipientOutcome {
        recipient: 0,
        outcome,
        hop: None,
        duplicate_possible: false,
    }];
    queue.handle(START, Input::Attempted { id, outcomes });
    assert!(matches!(outputs(queue)[..], [Output::Settle(_)]));
    queue.handle(START, Input::Settled { id });
    assert!(outputs(queue).is_empty());
}

/// Ends the attempt of a message with a shortfall; another way is found at once.
fn fall_short(queue: &mut Queue, number: u64) {
    let id = MessageId::new(number);
    let outcome = Outcome::Shortfall {
        required: Grade::Pkix,
        expected: None,
        hosts: Vec::new(),
        status: status(4, 7),
    };
    let outcomes = vec![RecipientOutcome {
        recipient: 0,
        outcome,
        hop: None,
        duplicate_possible: false,
    }];
    queue.handle(START, Input::Attempted { id, outcomes });
    assert!(matches!(outputs(queue)[..], [Output::Prepare(_)]));
    let prepared = Arc::new(plans(&[Some(0)]));
    queue.handle(START, Input::Prepared { id, prepared });
    assert!(matches!(outputs(queue)[..], [Output::Attempt(_)]));
}

#[test]
fn a_message_costs_the_same_however_many_wait() {
    let cost = |waiting: u64| {
        let mut queue = crowded(waiting);
        assert_eq!(queue.len() as u64, 2 * waiting);
        let before = queue.steps();
        for number in 0..100 {
            let number = 10_000_000 + number;
            // One bad destination delays no other.
            assert!(submit(&mut queue, number, "quick.example"));
            fall_short(&mut queue, number);
            finish(&mut queue, number, Outcome::Delivered(status(2, 0)));
        }
        queue.steps() - before
    };
    let (few, many) = (cost(50), cost(50_000));
    assert_eq!(
        few, many,
        "steps for 100 messages, with 100 and with 100,000 in the queue"
    );
    assert!(few <= 100 * 30, "{few}");
}

#[test]
fn a_restart_with_everything_due_is_taken_in_portions() {
    let mut queue = Queue::new(Retry::default(), Limits::default(), 1);
    for number in 0..5000 {
        let to = vec![Address::parse(&format!("kim@d{}.example", number % 10)).unwrap()];
        let from = ReversePath::Address(Address::parse(&format!("jo@{HOME}")).unwrap());
        let input = Input::Recovered {
            envelope: envelope(number, MessageClass::Submitted, from, to, START),
            prepared: Some(Arc::new(plans(&[Some(0)]))),
            recipients: vec![RecipientRecord {
                state: RecipientState::Deferred {
                    reason: DeferReason::Site,
                    next_attempt: START + MINUTE,
                },
                attempts: 1,
                last: None,
                warned: false,
                released: Vec::new(),
                suspected_since: None,
            }],
        };
        queue.handle(START, input);
    }
    assert!(outputs(&mut queue).is_empty());
    let late = START + HOUR;
    let mut most = 0;
    while queue.poll_timeout().is_some_and(|due| due <= late) {
        let before = queue.steps();
        queue.handle(late, Input::Tick);
        most = most.max(queue.steps() - before);
        outputs(&mut queue);
    }
    assert!(most < 10_000, "{most} steps in one go");
    let summary = queue.summary();
    assert_eq!((summary.attempts, summary.ready), (200, 4800));
    assert_eq!(queue.list(&QueueFilter::default()).entries.len(), 1000);
}
