//! Recipients of one message, each with an answer of its own.

use sealpost::mail::{DeferReason, Outcome};

use crate::support::mx::{At, Do};
use crate::support::world::{World, brief, deliver, job};

/// The number in `RCPT TO:<r17@b.example>`.
fn number(step: &str) -> Option<usize> {
    let rest = step.strip_prefix("RCPT TO:<r")?;
    rest.split('@').next()?.parse().ok()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_recipients_have_a_hundred_answers() {
    for pipelining in [&["PIPELINING"][..], &[]] {
        let world = World::new();
        let mx = world
            .good_mx("mx.b.example")
            .offering(&["STARTTLS"], pipelining)
            .when(|_, step| match number(step).map(|n| n % 4) {
                Some(1) => Do::Say("550 5.1.1 no such user\r\n".to_owned()),
                Some(2) => Do::Say("450 4.2.1 busy\r\n".to_owned()),
                Some(3) => Do::Say("251 2.1.5 will forward\r\n".to_owned()),
                _ => Do::Default,
            });
        world.only_mx(&mx);
        let outcomes = deliver(&world.relay(), job("b.example", 100)).await;
        for (n, outcome) in outcomes.iter().enumerate() {
            let expected = match n % 4 {
                1 => "bounced: 5.1.1 no such user",
                2 => "deferred(temporary): 4.2.1 busy",
                _ => "delivered: 2.0.0 queued as 1",
            };
            assert_eq!(brief(outcome), expected, "{n}");
        }
        let heard = mx.heard();
        assert_eq!(heard.taken.len(), 1);
        assert_eq!(heard.taken[0].recipients.len(), 50);
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_were_put_off_are_tried_at_the_next_exchanger() {
    let world = World::new();
    let first = world
        .good_mx("mx1.b.example")
        .when(|_, step| match number(step) {
            Some(0) => Do::Say("450 4.2.1 busy\r\n".to_owned()),
            Some(1) => Do::Say("550 5.1.1 no\r\n".to_owned()),
            _ => Do::Default,
        });
    let second = world.good_mx("mx2.b.example");
    world
        .dns
        .mx("b.example", &[(10, "mx1.b.example"), (20, "mx2.b.example")]);
    world.host("mx1.b.example", "192.0.2.1", &first);
    world.host("mx2.b.example", "192.0.2.2", &second);
    let outcomes = deliver(&world.relay(), job("b.example", 3)).await;
    assert_eq!(brief(&outcomes[0]), "delivered: 2.0.0 queued as 1");
    assert_eq!(brief(&outcomes[1]), "bounced: 5.1.1 no");
    assert_eq!(brief(&outcomes[2]), "delivered: 2.0.0 queued as 1");
    assert_eq!(
        second.heard().taken[0].recipients,
        ["RCPT TO:<r0@b.example>"]
    );
}

/// Says 452 4.5.3 to everyone past the tenth of a transaction.
fn ten_at_a_time() -> impl Fn(At, &str) -> Do + Send + Sync {
    let count = std::sync::atomic::AtomicUsize::new(0);
    move |_, step| {
        use std::sync::atomic::Ordering::SeqCst;
        if step.starts_with("MAIL") {
            count.store(0, SeqCst);
        }
        if step.starts_with("RCPT") && count.fetch_add(1, SeqCst) >= 10 {
            return Do::Say("452 4.5.3 too many recipients\r\n".to_owned());
        }
        Do::Default
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_recipients_go_in_several_transactions_on_the_same_connection() {
    for pipelining in [&["PIPELINING"][..], &[]] {
        let world = World::new();
        let mx = world
            .good_mx("mx.b.example")
            .offering(&["STARTTLS"], pipelining)
            .when(ten_at_a_time());
        world.only_mx(&mx);
        let outcomes = deliver(&world.relay(), job("b.example", 35)).await;
        for outcome in outcomes {
            assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
        }
        let heard = mx.heard();
        assert_eq!(heard.connections, 1);
        let sizes: Vec<_> = heard.taken.iter().map(|t| t.recipients.len()).collect();
        assert_eq!(sizes, [10, 10, 10, 5]);
        let mut all: Vec<_> = heard.taken.iter().flat_map(|t| &t.recipients).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 35, "nobody twice");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_accepted_means_no_content() {
    for (pipelining, code) in [
        (&["PIPELINING"][..], "354"),
        (&["PIPELINING"], "503"),
        (&[], ""),
    ] {
        let world = World::new();
        let mx = world
            .good_mx("mx.b.example")
            .offering(&["STARTTLS"], pipelining)
            .when(move |_, step| {
                if step.starts_with("RCPT") {
                    Do::Say("550 5.1.1 no\r\n".to_owned())
                } else if step == "DATA" && code == "503" {
                    Do::Say("503 5.5.1 no recipients\r\n".to_owned())
                } else {
                    Do::Default
                }
            });
        world.only_mx(&mx);
        let relay = world.relay();
        let outcomes = deliver(&relay, job("b.example", 2)).await;
        for outcome in outcomes {
            assert_eq!(brief(&outcome), "bounced: 5.1.1 no");
        }
        let heard = mx.heard();
        assert!(!heard.everything().contains("canary"));
        for taken in &heard.taken {
            assert_eq!(taken.content, b"", "a lone dot");
        }
        assert_eq!(relay.idle_connections(), 1, "the connection is good");
    }
}

#[tokio::test(start_paused = true)]
async fn a_verdict_on_the_content_is_for_all_who_were_accepted() {
    let world = World::new();
    let mx = world
        .good_mx("mx.b.example")
        .when(|_, step| match (step, number(step)) {
            (".", _) => Do::Say("554 5.7.1 spam\r\n".to_owned()),
            (_, Some(0)) => Do::Say("450 4.2.1 busy\r\n".to_owned()),
            _ => Do::Default,
        });
    world.only_mx(&mx);
    let outcomes = deliver(&world.relay(), job("b.example", 3)).await;
    let Outcome::Deferred { reason, .. } = outcomes[0].outcome else {
        panic!("{outcomes:?}");
    };
    assert_eq!(reason, DeferReason::Temporary);
    assert_eq!(brief(&outcomes[1]), "bounced: 5.7.1 spam");
    assert_eq!(brief(&outcomes[2]), "bounced: 5.7.1 spam");
}

#[tokio::test(start_paused = true)]
async fn an_early_no_to_the_content_is_an_answer() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example").when(|_, step| match step {
        "content" => Do::Say("552 5.3.4 enough\r\n".to_owned()),
        _ => Do::Default,
    });
    world.only_mx(&mx);
    let content = b"x\r\n".repeat(400_000);
    let job =
        crate::support::world::job_of("b.example", 1, sealpost::mail::Level::Protected, &content);
    let outcomes = deliver(&world.relay(), job).await;
    assert_eq!(brief(&outcomes[0]), "bounced: 5.3.4 enough");
}
