//! The whole line: accepted, kept, decided, delivered or bounced, and told.

use std::time::Duration;

use sealpost::mail::{Allowance, Level, ReversePath};
use sealpost::policy::source::{Exception, ExceptionScope};
use sealpost::policy::{Policy, PolicySource};
use sealpost::queue::{QueueFilter, Retry};
use sealpost::world::clock::Clock;

use crate::support::ca::self_signed;
use crate::support::line::{Line, eventually, short_retry};
use crate::support::mx::Mx;
use crate::support::world::World;

const CONTENT: &[u8] = b"From: <a@clinic.example>\r\nTo: <r@b.example>\r\nSubject: canary-subject\r\nMessage-ID: <1@clinic.example>\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\n\r\ncanary-body\r\n";

/// A world with a good exchanger for the recipient's domain and one for the sender's.
fn good() -> (World, Mx, Mx, tempfile::TempDir) {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let senders_mx = world.good_mx("mx.clinic.example");
    world.dns.mx("clinic.example", &[(10, "mx.clinic.example")]);
    world.host("mx.clinic.example", "192.0.2.99", &senders_mx);
    (world, mx, senders_mx, tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn a_message_is_delivered_and_every_step_is_logged_in_order() {
    let (world, mx, _, directory) = good();
    let line = Line::start(&world, directory.path(), short_retry());
    let id = line.submit(&["r@b.example"], CONTENT).await;
    let delivered = line.event(|line| line["event"] == "delivered").await;
    assert_eq!(delivered["queue_id"], id.to_string());
    assert_eq!(delivered["recipient"], "r@b.example");
    assert_eq!(delivered["grade"], "pkix");
    assert_eq!(delivered["tls"]["verified_by"], "pkix");
    assert_eq!(mx.heard().taken[0].content, CONTENT);
    let order: Vec<_> = line.events().iter().map(|l| l["event"].clone()).collect();
    assert_eq!(order, ["received", "decided", "delivered"]);
    line.stop().await;
}

#[tokio::test]
async fn nothing_is_left_in_the_spool_of_what_was_delivered() {
    let (world, mx, _, directory) = good();
    let line = Line::start(&world, directory.path(), short_retry());
    line.submit(&["r@b.example"], CONTENT).await;
    line.event(|line| line["event"] == "delivered").await;
    line.stop().await;
    let line = Line::start(&world, directory.path(), short_retry());
    let page = line.handle.list(QueueFilter::default()).await.unwrap();
    assert!(page.entries.is_empty(), "{page:?}");
    line.stop().await;
    assert_eq!(mx.heard().taken.len(), 1);
}

#[tokio::test]
async fn a_queued_message_survives_a_crash_and_is_delivered_once() {
    let (world, mx, _, directory) = good();
    // Nobody is home yet.
    world.dns.addresses("mx.b.example", &["192.0.2.50"]);
    let patient = Retry {
        schedule: vec![Duration::from_millis(300)],
        ..short_retry()
    };
    let line = Line::start(&world, directory.path(), patient);
    let id = line.submit(&["r@b.example"], CONTENT).await;
    let deferred = line.event(|line| line["event"] == "deferred").await;
    assert_eq!(deferred["reason"], "site");
    line.kill().await;

    world.dns.addresses("mx.b.example", &["192.0.2.1"]);
    let line = Line::start(&world, directory.path(), short_retry());
    let delivered = line.event(|line| line["event"] == "delivered").await;
    assert_eq!(delivered["queue_id"], id.to_string());
    line.stop().await;
    assert_eq!(mx.heard().taken.len(), 1);
}

#[tokio::test]
async fn an_exchanger_without_tls_hears_nothing_and_the_sender_learns_why_at_expiry() {
    let (world, weak, senders_mx, directory) = good();
    let weak = weak.offering(&["PIPELINING", "8BITMIME"], &[]);
    world.only_mx(&weak);
    let retry = Retry {
        expire_after: Duration::from_millis(400),
        warn_after: Duration::from_secs(3600),
        ..short_retry()
    };
    let line = Line::start(&world, directory.path(), retry);
    let id = line.submit(&["r@b.example"], CONTENT).await;
    let deferred = line.event(|line| line["event"] == "deferred").await;
    assert_eq!(deferred["reason"], "security");
    assert_eq!(deferred["grade"], "none");
    assert_eq!(deferred["required"], "pkix");
    let expired = line.event(|line| line["event"] == "expired").await;
    assert_eq!(expired["queue_id"], id.to_string());
    line.event(|line| line["event"] == "dsn_sent").await;
    line.event(|line| line["event"] == "delivered" && line["class"] == "dsn")
        .await;
    weak.heard().assert_nothing_of_the_message();
    let bounce = senders_mx.heard().taken.remove(0);
    assert_eq!(
        bounce.mail.to_ascii_uppercase().find("FROM:<>"),
        Some(5),
        "{}",
        bounce.mail
    );
    let text = String::from_utf8(bounce.content).unwrap();
    assert!(text.contains("Action: failed"), "{text}");
    assert!(text.contains("Status: 5.7.10"), "{text}");
    assert!(text.contains("STARTTLS"), "{text}");
    assert!(text.contains("Message-ID: <1@clinic.example>"), "{text}");
    assert!(!text.contains("canary-body"), "{text}");
    line.stop().await;
}

#[tokio::test]
async fn a_refused_recipient_is_bounced_and_the_others_are_not() {
    let (world, mx, senders_mx, directory) = good();
    let mx = mx.when(|_, command| {
        if command.contains("<gone@") {
            crate::support::mx::Do::Say("550 5.1.1 no such user\r\n".into())
        } else {
            crate::support::mx::Do::Default
        }
    });
    world.only_mx(&mx);
    let line = Line::start(&world, directory.path(), short_retry());
    line.submit(&["r@b.example", "gone@b.example"], CONTENT)
        .await;
    line.event(|line| line["event"] == "delivered" && line["recipient"] == "r@b.example")
        .await;
    let bounced = line.event(|line| line["event"] == "bounced").await;
    assert_eq!(bounced["recipient"], "gone@b.example");
    assert_eq!(bounced["reply"]["code"], 550);
    let taken = eventually(|| senders_mx.heard().taken.pop()).await.unwrap();
    let text = String::from_utf8(taken.content).unwrap();
    assert!(text.contains("gone@b.example"), "{text}");
    assert!(
        !text.contains("Final-Recipient: rfc822; r@b.example"),
        "{text}"
    );
    line.stop().await;
}

#[tokio::test]
async fn mail_from_nobody_is_never_bounced() {
    let (world, mx, senders_mx, directory) = good();
    let mx = mx.saying("RCPT", "550 5.1.1 no such user\r\n");
    world.only_mx(&mx);
    let line = Line::start(&world, directory.path(), short_retry());
    line.submit_from(ReversePath::Null, &["r@b.example"], CONTENT)
        .await;
    line.event(|line| line["event"] == "bounced").await;
    line.stop().await;
    assert_eq!(senders_mx.heard().connections, 0);
}

#[tokio::test]
async fn a_bounce_that_cannot_be_delivered_is_kept_for_a_person() {
    let (world, mx, senders_mx, directory) = good();
    let mx = mx.saying("RCPT", "550 5.1.1 no such user\r\n");
    world.only_mx(&mx);
    let refusing = senders_mx.saying("RCPT", "550 5.1.1 nor here\r\n");
    world.host("mx.clinic.example", "192.0.2.99", &refusing);
    let line = Line::start(&world, directory.path(), short_retry());
    line.submit(&["r@b.example"], CONTENT).await;
    let held = line.event(|line| line["event"] == "held").await;
    assert_eq!(held["class"], "dsn");
    assert_eq!(held["reason"], "undeliverable_dsn");
    line.stop().await;

    let line = Line::start(&world, directory.path(), short_retry());
    let page = line.handle.list(QueueFilter::default()).await.unwrap();
    assert_eq!(page.entries.len(), 1, "{page:?}");
    // A pipelined DATA that was let through is ended without a word of the message.
    assert!(
        refusing
            .heard()
            .taken
            .iter()
            .all(|taken| taken.content.is_empty())
    );
    line.stop().await;
}

#[tokio::test]
async fn a_drained_line_takes_nothing_more_in() {
    let (world, _, _, directory) = good();
    let line = Line::start(&world, directory.path(), short_retry());
    line.handle.refuse();
    assert_eq!(line.handle.admits(), Err(sealpost::flow::NotNow::Draining));
    line.stop().await;
}

#[tokio::test]
async fn mail_that_waits_is_raised_with_the_policy() {
    let (world, mx, _, directory) = good();
    world.dns.addresses("mx.b.example", &["192.0.2.50"]);
    let line = Line::start(&world, directory.path(), short_retry());
    line.submit(&["r@b.example"], CONTENT).await;
    line.event(|line| line["event"] == "deferred").await;
    // From now on pkix is not enough, and somebody is at home.
    line.set_base(&world, Level::Confidential);
    world.dns.addresses("mx.b.example", &["192.0.2.1"]);
    let raised = line.event(|line| line["reason"] == "security").await;
    assert_eq!(raised["required"], "pinned");
    line.stop().await;
    mx.heard().assert_nothing_of_the_message();
}

#[tokio::test]
async fn an_exception_that_expired_while_mail_waited_is_used_no_more() {
    let mut world = World::new();
    let mx =
        Mx::new(self_signed("mx.b.example").server()).saying("RCPT", "451 4.7.1 greylisted\r\n");
    world.only_mx(&mx);
    let directory = tempfile::tempdir().unwrap();
    let expires = world.clock.now() + Duration::from_secs(3600);
    let policy = || {
        let exception = Exception {
            recipient: ExceptionScope::Address("r@b.example".parse().unwrap()),
            allow: Allowance::Any,
            max_level: Level::Protected,
            owner: "jo@clinic.example".to_owned(),
            second_owner: None,
            reason: "patient-request".to_owned(),
            warning: None,
            expires,
        };
        let source = PolicySource {
            exceptions: vec![exception],
            ..PolicySource::default()
        };
        Policy::compile(source).unwrap()
    };
    let retry = Retry {
        expire_after: Duration::from_secs(24 * 3600),
        warn_after: Duration::from_secs(24 * 3600),
        ..short_retry()
    };
    let line = Line::start_under(&world, directory.path(), retry.clone(), policy());
    line.submit(&["r@b.example"], CONTENT).await;
    let greylisted = line.event(|line| line["event"] == "deferred").await;
    assert_eq!(
        (&greylisted["reason"], &greylisted["grade"]),
        (&"temporary".into(), &"any".into())
    );
    line.stop().await;

    let transactions = || {
        let commands = mx.heard().commands;
        commands.iter().filter(|c| c.starts_with("MAIL")).count()
    };
    let before = transactions();
    world.clock = Clock::starting_at(expires);
    let line = Line::start_under(&world, directory.path(), retry, policy());
    let refused = line.event(|line| line["reason"] == "security").await;
    assert_eq!(refused["required"], "pkix");
    line.stop().await;
    assert_eq!(
        transactions(),
        before,
        "nothing of the message was said again"
    );
}

#[tokio::test]
async fn a_long_stop_does_not_expire_what_was_not_tried_since() {
    let (mut world, mx, _, directory) = good();
    world.dns.addresses("mx.b.example", &["192.0.2.50"]);
    let line = Line::start(&world, directory.path(), short_retry());
    line.submit(&["r@b.example"], CONTENT).await;
    line.event(|line| line["event"] == "deferred").await;
    line.stop().await;

    world.clock = Clock::starting_at(world.clock.now() + 2 * short_retry().expire_after);
    world.dns.addresses("mx.b.example", &["192.0.2.1"]);
    let line = Line::start(&world, directory.path(), short_retry());
    line.event(|line| line["event"] == "delivered").await;
    line.stop().await;
    assert_eq!(mx.heard().taken.len(), 1);
}
