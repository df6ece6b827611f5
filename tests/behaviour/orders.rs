//! The whole line under a person's orders, and what is decided again.

use std::time::Duration;

use sealpost::mail::MessageId;
use sealpost::policy::source::{Condition, Rule};
use sealpost::policy::{Policy, PolicySource};
use sealpost::queue::{Operation, Order, QueueFilter, Retry, Selection, Tally};

use crate::support::line::{Line, short_retry};
use crate::support::world::World;

const CONTENT: &[u8] = b"From: <a@clinic.example>\r\nTo: <r@b.example>\r\nSubject: canary-subject\r\nMessage-ID: <1@clinic.example>\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\n\r\ncanary-body\r\n";

/// A policy that holds what goes to this domain.
fn holding(domain: &str) -> Policy {
    let rule = Rule {
        name: "four eyes".to_owned(),
        when: vec![Condition::RecipientDomain(vec![domain.parse().unwrap()])],
        raise: None,
        hold: true,
        reject: None,
        alert: false,
    };
    let source = PolicySource {
        rules: vec![rule],
        ..PolicySource::default()
    };
    Policy::compile(source).unwrap()
}

async fn order(line: &Line, operation: Operation, id: Option<MessageId>) -> Tally {
    let order = Order {
        operation,
        actor: "root".to_owned(),
        reason: "checked by phone".to_owned(),
    };
    let filter = QueueFilter {
        dsn: id.is_none(),
        ..QueueFilter::default()
    };
    line.handle
        .operate(Selection { id, filter }, order)
        .await
        .unwrap()
}

async fn names(line: &Line, id: MessageId) -> Vec<String> {
    // The log is written behind what it tells, by a thread of its own.
    line.log.flush().await.unwrap();
    line.events()
        .iter()
        .filter(|event| event["queue_id"] == id.to_string())
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_a_rule_holds_is_sent_once_a_person_releases_it() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let directory = tempfile::tempdir().unwrap();
    let line = Line::start(&world, directory.path(), short_retry());
    line.set_policy(&world, holding("b.example"));
    let id = line.submit(&["r@b.example"], CONTENT).await;
    let held = line.event(|line| line["event"] == "held").await;
    assert_eq!(
        (&held["rule"], &held["reason"]),
        (&"four eyes".into(), &"four eyes".into())
    );
    line.stop().await;

    // The hold is durable.
    let line = Line::start(&world, directory.path(), short_retry());
    line.set_policy(&world, holding("b.example"));
    let explained = line.handle.explain(id).await.unwrap();
    let recipient = &explained.recipients[0];
    assert_eq!(recipient.standing.state, "held");
    assert_eq!(recipient.course.as_deref(), Some("hold"));
    assert_eq!(recipient.rules, ["four eyes"]);
    assert!(mx.heard().taken.is_empty());
    let tally = order(&line, Operation::Release, Some(id)).await;
    assert_eq!((tally.changed, tally.later, tally.unchanged), (1, 0, 0));
    line.event(|line| line["event"] == "delivered").await;
    let released = line.event(|line| line["event"] == "released").await;
    assert_eq!(released["actor"], "root");
    assert_eq!(released["reason"], "checked by phone");
    assert_eq!(released["rule"], "four eyes");
    assert_eq!(released["recipient"], "r@b.example");
    let expected = [
        "received",
        "decided",
        "held",
        "released",
        "decided",
        "delivered",
    ];
    assert_eq!(names(&line, id).await, expected);
    line.stop().await;
    assert_eq!(mx.heard().taken.len(), 1);
}

#[tokio::test]
async fn what_is_cancelled_is_gone_for_good_and_nobody_is_told_but_the_log() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let senders_mx = world.good_mx("mx.clinic.example");
    world.dns.mx("clinic.example", &[(10, "mx.clinic.example")]);
    world.host("mx.clinic.example", "192.0.2.99", &senders_mx);
    let directory = tempfile::tempdir().unwrap();
    let line = Line::start(&world, directory.path(), short_retry());
    line.set_policy(&world, holding("b.example"));
    let id = line.submit(&["r@b.example", "s@b.example"], CONTENT).await;
    line.event(|line| line["event"] == "held" && line["recipient"] == "s@b.example")
        .await;
    let tally = order(&line, Operation::Cancel, Some(id)).await;
    // The log may be ahead of the queue by a moment.
    assert_eq!(tally.changed + tally.later, 2);
    let last = |line: &serde_json::Value| {
        line["event"] == "cancelled" && line["recipient"] == "s@b.example"
    };
    let cancelled = line.event(last).await;
    assert_eq!(cancelled["reason"], "checked by phone");
    line.stop().await;
    let line = Line::start(&world, directory.path(), short_retry());
    let page = line.handle.list(QueueFilter::default()).await.unwrap();
    assert!(page.entries.is_empty(), "{page:?}");
    line.stop().await;
    assert!(mx.heard().taken.is_empty() && senders_mx.heard().taken.is_empty());
}

#[tokio::test]
async fn a_bounce_that_cannot_be_delivered_is_tried_again_or_ended_by_order() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    let mx = mx.saying("RCPT", "550 5.1.1 no such user\r\n");
    world.only_mx(&mx);
    let senders_mx = world.good_mx("mx.clinic.example");
    world.dns.mx("clinic.example", &[(10, "mx.clinic.example")]);
    let refusing = senders_mx.saying("RCPT", "550 5.1.1 nor here\r\n");
    world.host("mx.clinic.example", "192.0.2.99", &refusing);
    let directory = tempfile::tempdir().unwrap();
    let line = Line::start(&world, directory.path(), short_retry());
    line.submit(&["r@b.example"], CONTENT).await;
    let held = line.event(|line| line["event"] == "held").await;
    assert_eq!(held["class"], "dsn");
    let id: MessageId = held["queue_id"].as_str().unwrap().parse().unwrap();
    let tally = order(&line, Operation::Retry, None).await;
    assert_eq!(
        tally.changed + tally.later,
        1,
        "the log may be ahead by a moment"
    );
    let again = |line: &serde_json::Value| line["event"] == "held" && line["attempt"] == 2;
    line.event(again).await;
    assert_eq!(order(&line, Operation::Cancel, None).await.changed, 1);
    let expected = [
        "received",
        "decided",
        "held",
        "retried",
        "decided",
        "held",
        "cancelled",
    ];
    let told = names(&line, id).await;
    let told: Vec<&str> = told
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "received")
        .collect();
    assert_eq!(told, expected[1..]);
    line.stop().await;
    let line = Line::start(&world, directory.path(), short_retry());
    let page = line.handle.list(QueueFilter::default()).await.unwrap();
    assert!(page.entries.is_empty(), "{page:?}");
    line.stop().await;
}

#[tokio::test]
async fn a_host_that_falls_short_is_decided_about_again_with_a_full_record() {
    let world = World::new();
    let weak = world.good_mx("mx.b.example").offering(&["PIPELINING"], &[]);
    world.only_mx(&weak);
    let directory = tempfile::tempdir().unwrap();
    let patient = Retry {
        schedule: vec![Duration::from_secs(3600)],
        ..short_retry()
    };
    let line = Line::start(&world, directory.path(), patient);
    let id = line.submit(&["r@b.example"], CONTENT).await;
    let deferred = line.event(|line| line["event"] == "deferred").await;
    assert_eq!(deferred["reason"], "security");
    assert_eq!(deferred["mx"], "mx.b.example");
    assert_eq!(
        (&deferred["grade"], &deferred["required"]),
        (&"none".into(), &"pkix".into())
    );
    assert_eq!(deferred["attempt"], 1);
    assert_eq!(
        names(&line, id).await,
        ["received", "decided", "decided", "deferred"]
    );
    let second = &line.events()[2];
    assert_eq!(
        second["reason"],
        "tls: the connection reached none, and pkix is needed"
    );
    let shown = line.handle.show(id).await.unwrap();
    assert_eq!(shown.recipients[0].required.as_deref(), Some("pkix"));
    line.stop().await;
    weak.heard().assert_nothing_of_the_message();
}
