//! What the operator sees.

use super::*;

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
    use super::super::message::{Message, Recipient};
    // Fixed parts; envelope and plan are shared with whoever else holds them.
    assert!(size_of::<Message>() <= 128, "{}", size_of::<Message>());
    assert!(size_of::<Recipient>() <= 176, "{}", size_of::<Recipient>());
}

#[test]
fn pages_join_without_a_gap_or_a_repeat() {
    let mut bench = Bench::new();
    for id in 1..=6 {
        bench.ready(envelope(id, &["a@x.example"]));
    }
    let mut seen = Vec::new();
    let mut filter = QueueFilter {
        limit: 2,
        ..QueueFilter::default()
    };
    loop {
        let page = bench.queue.list(&filter);
        assert!(page.entries.len() <= 2);
        seen.extend(page.entries.into_iter().map(|entry| entry.queue_id));
        filter.after = page.next;
        if filter.after.is_none() {
            break;
        }
    }
    let all: Vec<String> = (1..=6).map(|id| MessageId::new(id).to_string()).collect();
    assert_eq!(seen, all);
}
