//! Connections that are used again, and judged again.

use std::time::Duration;

use sealpost::mail::{Level, Outcome};
use sealpost::relay::{MAX_IDLE_PER_KEY, MAX_TRANSACTIONS};

use crate::support::mx::Do;
use crate::support::world::{World, brief, deliver, deliver_one, job_of};

#[tokio::test(start_paused = true)]
async fn the_next_message_takes_the_same_connection() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    for _ in 0..5 {
        let outcome = deliver_one(&relay, "b.example").await;
        assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
        assert!(outcome.hop.unwrap().tls.is_some());
    }
    let heard = mx.heard();
    assert_eq!((heard.connections, heard.taken.len()), (1, 5));
    relay.close();
    world.sleep(Duration::from_secs(1)).await;
    assert_eq!(mx.heard().commands.last().unwrap(), "QUIT");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_ended_after_half_a_minute() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    deliver_one(&relay, "b.example").await;
    world.sleep(Duration::from_secs(29)).await;
    assert_eq!(relay.idle_connections(), 1);
    world.sleep(Duration::from_secs(2)).await;
    assert_eq!(relay.idle_connections(), 0);
    assert_eq!(mx.heard().commands.last().unwrap(), "QUIT");
    // And the sweeper comes back for the next one.
    deliver_one(&relay, "b.example").await;
    assert_eq!(relay.idle_connections(), 1);
    world.sleep(Duration::from_secs(31)).await;
    assert_eq!(relay.idle_connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_carries_a_hundred_messages() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    for _ in 0..=MAX_TRANSACTIONS {
        deliver_one(&relay, "b.example").await;
    }
    assert_eq!(mx.heard().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_peer_ended_is_no_failure() {
    for farewell in [Do::Close, Do::SayAndClose("421 4.4.2 idle\r\n".to_owned())] {
        let world = World::new();
        let goodbye = farewell.clone();
        let mx = world.good_mx("mx.b.example").when(move |at, step| {
            match (at.connection, step) {
                // Closes behind its reply, when nobody asks any more.
                (0, ".") => match &goodbye {
                    Do::SayAndClose(text) => {
                        Do::SayAndClose(format!("250 2.0.0 queued as 1\r\n{text}"))
                    }
                    _ => Do::SayAndClose("250 2.0.0 queued as 1\r\n".to_owned()),
                },
                _ => Do::Default,
            }
        });
        world.only_mx(&mx);
        let relay = world.relay();
        for _ in 0..2 {
            let outcome = deliver_one(&relay, "b.example").await;
            assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
        }
        assert_eq!(mx.heard().connections, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reused_connection_that_breaks_before_the_end_is_replaced() {
    for phase in ["MAIL", "RCPT", "DATA", "content"] {
        for end in [Do::Close, Do::SayAndClose("421 4.3.2 bye\r\n".to_owned())] {
            let world = World::new();
            let ending = end.clone();
            let mails = std::sync::atomic::AtomicUsize::new(0);
            let mx = world.good_mx("mx.b.example").when(move |at, step| {
                use std::sync::atomic::Ordering::SeqCst;
                if at.connection == 0 && step.starts_with("MAIL") {
                    mails.fetch_add(1, SeqCst);
                }
                let second = at.connection == 0 && mails.load(SeqCst) == 2;
                if second && step.starts_with(phase) {
                    ending.clone()
                } else {
                    Do::Default
                }
            });
            world.only_mx(&mx);
            let relay = world.relay();
            for _ in 0..2 {
                let job = job_of("b.example", 1, Level::Protected, &b"x\r\n".repeat(100_000));
                let outcome = deliver(&relay, job).await.remove(0);
                assert_eq!(
                    brief(&outcome),
                    "delivered: 2.0.0 queued as 1",
                    "{phase} {end:?}"
                );
            }
            let heard = mx.heard();
            assert_eq!((heard.connections, heard.taken.len()), (2, 2));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reused_connection_that_breaks_after_the_end_is_a_doubt() {
    let world = World::new();
    let ends = std::sync::atomic::AtomicUsize::new(0);
    let mx = world.good_mx("mx.b.example").when(move |_, step| {
        use std::sync::atomic::Ordering::SeqCst;
        if step == "." && ends.fetch_add(1, SeqCst) == 1 {
            Do::Close
        } else {
            Do::Default
        }
    });
    world.only_mx(&mx);
    let relay = world.relay();
    deliver_one(&relay, "b.example").await;
    let outcome = deliver_one(&relay, "b.example").await;
    assert!(outcome.duplicate_possible);
    assert!(matches!(outcome.outcome, Outcome::Deferred { .. }));
    assert_eq!(mx.heard().connections, 1, "no other connection was tried");
}

#[tokio::test(start_paused = true)]
async fn two_domains_share_a_connection_to_the_same_host() {
    let world = World::new();
    let mx = world.good_mx("mx.host.example");
    world.dns.mx("b.example", &[(10, "mx.host.example")]);
    world.dns.mx("c.example", &[(10, "mx.host.example")]);
    world.host("mx.host.example", "192.0.2.1", &mx);
    let relay = world.relay();
    for name in ["b.example", "c.example"] {
        let outcome = deliver_one(&relay, name).await;
        assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
        assert_eq!(outcome.hop.unwrap().next_hop.as_str(), name);
    }
    let heard = mx.heard();
    assert_eq!(heard.connections, 1);
    assert_eq!(heard.taken.len(), 2, "one transaction for each domain");
}

#[tokio::test(start_paused = true)]
async fn two_names_of_one_address_do_not_share() {
    let world = World::new();
    // The certificate is for the first name only.
    let mx = world.good_mx("mx.b.example");
    world.dns.mx("b.example", &[(10, "mx.b.example")]);
    world.dns.mx("c.example", &[(10, "mx.c.example")]);
    world.host("mx.b.example", "192.0.2.1", &mx);
    world.dns.addresses("mx.c.example", &["192.0.2.1"]);
    let relay = world.relay();
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let outcome = deliver_one(&relay, "c.example").await;
    assert!(
        brief(&outcome).contains("its certificate is not for the name mx.c.example"),
        "{}",
        brief(&outcome)
    );
    let heard = mx.heard();
    assert_eq!((heard.connections, heard.taken.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_expires_while_the_connection_idles_counts_no_more() {
    let world = World::new();
    // Valid for one more day.
    let identity = world.ca.issue_with("mx.b.example", |params| {
        params.not_after = rcgen::date_time_ymd(2026, 11, 23);
    });
    let mx = crate::support::mx::Mx::new(identity.server());
    world.only_mx(&mx);
    // Until ten seconds before its end.
    let end = sealpost::mail::Timestamp::from_secs(1_795_392_000);
    world.clock.sleep_until(end - Duration::from_secs(10)).await;
    let relay = world.relay();
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    world.sleep(Duration::from_secs(20)).await;
    assert_eq!(relay.idle_connections(), 1);
    let outcome = deliver_one(&relay, "b.example").await;
    assert!(
        brief(&outcome).contains("has a certificate that expired meanwhile"),
        "{}",
        brief(&outcome)
    );
    assert_eq!(mx.heard().taken.len(), 1);
    assert_eq!(mx.heard().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn the_pool_is_bounded() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example").when(|_, step| match step {
        // All deliveries are under way at once before the first one ends.
        "." => Do::Drip(
            "250 2.0.0 queued as 1\r\n".to_owned(),
            Duration::from_secs(1),
        ),
        _ => Do::Default,
    });
    world.only_mx(&mx);
    let relay = world.relay();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..MAX_IDLE_PER_KEY + 5 {
        let relay = relay.clone();
        tasks.spawn(async move { deliver_one(&relay, "b.example").await });
    }
    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(brief(&outcome.unwrap()), "delivered: 2.0.0 queued as 1");
    }
    assert_eq!(mx.heard().connections, MAX_IDLE_PER_KEY + 5);
    assert_eq!(relay.idle_connections(), MAX_IDLE_PER_KEY);
}
