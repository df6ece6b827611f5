//! What waits because of who writes to whom, and what waits because it could not be put on record.

use std::time::Duration;

use sealpost::mail::Level;
use sealpost::policy::source::{Condition, Rule};
use sealpost::policy::{Policy, PolicySource};

use crate::support::line::{Line, eventually, short_retry};
use crate::support::mx::Mx;
use crate::support::world::World;

const CONTENT: &[u8] = b"From: <a@clinic.example>\r\nSubject: Minutes\r\nMessage-ID: <1@clinic.example>\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\n\r\nHello\r\n";

fn world() -> (World, Mx, tempfile::TempDir) {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    (world, mx, tempfile::tempdir().unwrap())
}

fn holding(when: Vec<Condition>) -> Policy {
    let rule = Rule {
        name: "look twice".to_owned(),
        when,
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

/// How a message ended up, once it is decided and settled.
async fn came_to(line: &Line, recipients: &[&str]) -> String {
    let id = line.submit(recipients, CONTENT).await.to_string();
    let settled = line
        .event(|line| {
            line["queue_id"] == id && line["event"] != "received" && line["event"] != "decided"
        })
        .await;
    settled["event"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_first_contact_is_held_and_a_later_one_is_not_across_restarts() {
    let (world, _mx, directory) = world();
    let line = Line::start(&world, directory.path(), short_retry());
    line.set_policy(&world, holding(vec![Condition::FirstContact]));
    assert_eq!(came_to(&line, &["r@b.example"]).await, "held");
    assert_eq!(
        came_to(&line, &["r@b.example"]).await,
        "held",
        "nothing was delivered yet"
    );
    // A policy under which it is delivered, and that still asks for contacts.
    let met = holding(vec![
        Condition::FirstContact,
        Condition::SizeOver(1_000_000),
    ]);
    line.set_policy(&world, met);
    assert_eq!(came_to(&line, &["r@b.example"]).await, "delivered");
    line.stop().await;

    let line = Line::start(&world, directory.path(), short_retry());
    line.set_policy(&world, holding(vec![Condition::FirstContact]));
    assert_eq!(
        came_to(&line, &["R@b.example"]).await,
        "delivered",
        "case is no matter"
    );
    assert_eq!(came_to(&line, &["other@b.example"]).await, "held");
    line.stop().await;
}

#[tokio::test]
async fn an_account_that_writes_to_too_many_is_held_from_there_on() {
    let (world, _mx, directory) = world();
    let line = Line::start(&world, directory.path(), short_retry());
    line.set_policy(
        &world,
        holding(vec![Condition::UserVolumeOver {
            recipients: 3,
            within: Duration::from_secs(3600),
        }]),
    );
    assert_eq!(
        came_to(&line, &["r1@b.example", "r2@b.example"]).await,
        "delivered"
    );
    assert_eq!(came_to(&line, &["r3@b.example"]).await, "delivered");
    assert_eq!(came_to(&line, &["r4@b.example"]).await, "held");
    line.stop().await;
}

#[tokio::test]
async fn a_level_and_a_first_contact_together_are_held() {
    let (world, _mx, directory) = world();
    let line = Line::start(&world, directory.path(), short_retry());
    let when = vec![
        Condition::FirstContact,
        Condition::Level(Level::Confidential),
    ];
    line.set_policy(&world, holding(when));
    assert_eq!(
        came_to(&line, &["r@b.example"]).await,
        "delivered",
        "the level is not high"
    );
    line.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_that_could_not_be_put_on_record() {
    let (world, mx, directory) = world();
    let line = Line::start(&world, directory.path(), short_retry());
    let decisions = line.decisions.clone();
    tokio::task::spawn_blocking(move || decisions.close())
        .await
        .unwrap();
    assert_eq!(came_to(&line, &["r@b.example"]).await, "deferred");
    let deferred = line.event(|line| line["event"] == "deferred").await;
    assert_eq!(deferred["reason"], "local");
    assert_eq!(mx.heard().connections, 0);
    line.kill().await;

    let line = Line::start(&world, directory.path(), short_retry());
    line.event(|line| line["event"] == "delivered").await;
    let sent = eventually(|| (mx.heard().taken.len() == 1).then_some(())).await;
    assert!(sent.is_some());
    line.stop().await;
}
