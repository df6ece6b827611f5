//! Exchangers that fail, stall and lie.

use std::time::Duration;

use sealpost::mail::{Level, Outcome};

use crate::support::mx::{Do, Mx};
use crate::support::net::Place;
use crate::support::world::{START, World, brief, deliver, deliver_one, job, job_of};

/// Two exchangers for b.example, the first of them `first`.
fn two(world: &World, first: &Mx) -> Mx {
    let second = world.good_mx("mx2.b.example");
    world
        .dns
        .mx("b.example", &[(10, "mx1.b.example"), (20, "mx2.b.example")]);
    world.host("mx1.b.example", "192.0.2.1", first);
    world.host("mx2.b.example", "192.0.2.2", &second);
    second
}

#[tokio::test(start_paused = true)]
async fn nobody_there() {
    let world = World::new();
    world.dns.mx("b.example", &[(10, "mx.b.example")]);
    world.dns.addresses("mx.b.example", &["192.0.2.1"]);
    let relay = world.relay();
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(
        brief(&outcome),
        "deferred(site): 4.4.1 mx.b.example [192.0.2.1:25] could not be reached: connection refused"
    );
    assert_eq!(outcome.hop.unwrap().mx.as_str(), "mx.b.example");
    world.network.place("192.0.2.1:25", Place::BlackHole);
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(
        brief(&outcome),
        "deferred(site): 4.4.1 mx.b.example [192.0.2.1:25] could not be reached: no answer in time"
    );
    assert_eq!(world.clock.now().since(START).as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn every_address_of_a_host_is_tried() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.dns.mx("b.example", &[(10, "mx.b.example")]);
    world
        .dns
        .addresses("mx.b.example", &["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    world.at("192.0.2.2:25", &mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let dialled = world.network.dialled();
    assert!(dialled[0].0.is_ipv6(), "the families by turns");
}

#[tokio::test(start_paused = true)]
async fn a_drop_before_the_end_of_data_goes_to_the_next_exchanger() {
    for phase in [
        "connect", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "content",
    ] {
        for end in [Do::Close, Do::SayAndClose("421 4.3.2 bye\r\n".to_owned())] {
            let world = World::new();
            let ending = end.clone();
            let first = world.good_mx("mx1.b.example").when(move |_, step| {
                if step.starts_with(phase) {
                    ending.clone()
                } else {
                    Do::Default
                }
            });
            let second = two(&world, &first);
            // More than the network holds, so that the end is not under way before the drop.
            let job = job_of("b.example", 1, Level::Protected, &b"x\r\n".repeat(100_000));
            let outcome = deliver(&world.relay(), job).await.remove(0);
            assert_eq!(
                brief(&outcome),
                "delivered: 2.0.0 queued as 1",
                "{phase} {end:?}"
            );
            assert!(!outcome.duplicate_possible);
            assert_eq!(first.heard().taken.len(), 0);
            assert_eq!(second.heard().taken.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_in_the_second_ehlo_goes_to_the_next_exchanger() {
    let world = World::new();
    let first = world.good_mx("mx1.b.example").when(|at, step| {
        if at.tls && step.starts_with("EHLO") {
            Do::Close
        } else {
            Do::Default
        }
    });
    let second = two(&world, &first);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    assert_eq!(second.heard().taken.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drop_after_the_end_of_data_is_a_doubt_and_no_second_exchanger_is_asked() {
    for end in [
        Do::Close,
        Do::Hang,
        Do::SayAndClose("garbage\r\n".to_owned()),
    ] {
        let world = World::new();
        let ending = end.clone();
        let first = world
            .good_mx("mx1.b.example")
            .when(move |_, step| match step {
                "." => ending.clone(),
                _ => Do::Default,
            });
        let second = two(&world, &first);
        let outcome = deliver_one(&world.relay(), "b.example").await;
        assert!(outcome.duplicate_possible, "{end:?}");
        assert!(matches!(outcome.outcome, Outcome::Deferred { .. }));
        assert_eq!(second.heard().connections, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_last_reply_is_long_and_ends() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example").when(|_, step| match step {
        "." => Do::Hang,
        _ => Do::Default,
    });
    world.only_mx(&mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(
        brief(&outcome),
        "deferred(site): 4.4.2 mx.b.example took too long while we were waiting for the reply to the end of data (perhaps taken)"
    );
    assert_eq!(world.clock.now().since(START).as_secs(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_421_to_the_end_of_data_is_an_answer() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example").when(|_, step| match step {
        "." => Do::SayAndClose("421 4.3.2 not now\r\n".to_owned()),
        _ => Do::Default,
    });
    world.only_mx(&mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "deferred(temporary): 4.3.2 not now");
}

#[tokio::test(start_paused = true)]
async fn greetings_that_refuse_us_send_us_on() {
    for greeting in [
        "554 5.3.2 no mail here\r\n",
        "421 4.3.2 busy\r\n",
        "450 busy\r\n",
    ] {
        let world = World::new();
        let first = world.good_mx("mx1.b.example").saying("connect", greeting);
        let second = two(&world, &first);
        let outcome = deliver_one(&world.relay(), "b.example").await;
        assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
        assert_eq!(second.heard().taken.len(), 1);
        first.heard().assert_nothing_of_the_message();
    }
    let world = World::new();
    let mx = world
        .good_mx("mx.b.example")
        .saying("connect", "554 5.3.2 no mail here\r\n");
    world.only_mx(&mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "deferred(site): 4.3.2 no mail here");
}

#[tokio::test(start_paused = true)]
async fn a_dripping_server_is_given_up_at_the_deadline_of_the_whole_reply() {
    // Slow enough to outlast each phase, quick enough that no single read is late.
    let slowly = |text: String| Do::Drip(text, Duration::from_secs(1));
    let long = format!("250 {}\r\n", "x".repeat(900));
    for (phase, seconds) in [("connect", 300), ("MAIL", 300), ("DATA", 120)] {
        let world = World::new();
        let reply = long.replace("250", if phase == "connect" { "220" } else { "250" });
        let mx = world.good_mx("mx.b.example").when(move |_, step| {
            if step.starts_with(phase) {
                slowly(reply.clone())
            } else {
                Do::Default
            }
        });
        world.only_mx(&mx);
        let outcome = deliver_one(&world.relay(), "b.example").await;
        let brief = brief(&outcome);
        assert!(
            brief.starts_with("deferred(site): 4.4.2 mx.b.example took too long"),
            "{phase}: {brief}"
        );
        assert_eq!(world.clock.now().since(START).as_secs(), seconds, "{phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_reading_is_given_up() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example").when(|_, step| match step {
        "content" => Do::Hang,
        _ => Do::Default,
    });
    world.only_mx(&mx);
    let content = b"x\r\n".repeat(100_000);
    let job = job_of("b.example", 1, Level::Protected, &content);
    let outcome = deliver(&world.relay(), job).await.remove(0);
    assert_eq!(
        brief(&outcome),
        "deferred(site): 4.4.2 mx.b.example took too long while we were sending the content"
    );
    assert!(!outcome.duplicate_possible);
    assert_eq!(world.clock.now().since(START).as_secs(), 180);
}

#[tokio::test(start_paused = true)]
async fn replies_outside_the_protocol_end_the_session() {
    for (reply, told) in [
        ("250 ok\n", "a bare CR, a bare LF or a NUL"),
        ("250 o\0k\r\n", "a bare CR, a bare LF or a NUL"),
        ("999 ok\r\n", "does not begin with a reply code"),
        ("250-a\r\n251 b\r\n", "different codes"),
        ("354 go on\r\n", "out of place: 354"),
    ] {
        let world = World::new();
        let mx = world.good_mx("mx.b.example").saying("MAIL", reply);
        world.only_mx(&mx);
        let outcome = deliver_one(&world.relay(), "b.example").await;
        let brief = brief(&outcome);
        assert!(
            brief.starts_with("deferred(site): 4.5.0 mx.b.example "),
            "{brief}"
        );
        assert!(brief.contains(told), "{brief}");
        assert!(mx.heard().taken.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn endless_replies_are_cut() {
    for (step, line) in [("connect", "220-x\r\n"), ("EHLO", "250-x\r\n")] {
        let world = World::new();
        let mx = world.good_mx("mx.b.example").when(move |_, at| {
            if at.starts_with(step) {
                Do::Say(line.repeat(200_000))
            } else {
                Do::Default
            }
        });
        world.only_mx(&mx);
        let outcome = deliver_one(&world.relay(), "b.example").await;
        let brief = brief(&outcome);
        assert!(brief.contains("more than 200 lines"), "{brief}");
        mx.heard().assert_nothing_of_the_message();
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_whoever_drags_it_out() {
    let world = World::new();
    let names: Vec<String> = (0..30).map(|n| format!("mx{n}.b.example")).collect();
    let records: Vec<(u16, &str)> = (0..).zip(names.iter().map(String::as_str)).collect();
    world.dns.mx("b.example", &records);
    for (n, name) in names.iter().enumerate() {
        let address = format!("192.0.2.{}", n + 1);
        world.dns.addresses(name, &[&address]);
        world
            .network
            .place(&format!("{address}:25"), Place::BlackHole);
    }
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert!(brief(&outcome).contains("4.4.1"), "{}", brief(&outcome));
    assert_eq!(world.network.dialled().len(), 20);
    assert!(world.clock.now().since(START) <= Duration::from_secs(15 * 60));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_leaves_the_rest_for_later_after_three_sessions() {
    let world = World::new();
    let records = [
        (1, "mx1.b.example"),
        (2, "mx2.b.example"),
        (3, "mx3.b.example"),
        (4, "mx4.b.example"),
    ];
    world.dns.mx("b.example", &records);
    let mut exchangers = Vec::new();
    for (n, name) in records {
        let mx = world.good_mx(name).saying("RCPT", "451 4.7.1 grey\r\n");
        world.host(name, &format!("192.0.2.{n}"), &mx);
        exchangers.push(mx);
    }
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "deferred(temporary): 4.7.1 grey");
    let asked: Vec<_> = exchangers.iter().map(|mx| mx.heard().connections).collect();
    assert_eq!(asked, [1, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_bounced_unsaid() {
    let world = World::new();
    let mx = world
        .good_mx("mx.b.example")
        .offering(&["STARTTLS"], &["SIZE 40"]);
    world.only_mx(&mx);
    let relay = world.relay();
    let outcome = deliver_one(&relay, "b.example").await;
    assert!(
        brief(&outcome).starts_with("bounced: 5.3.4 mx.b.example: the message has"),
        "{}",
        brief(&outcome)
    );
    let eight_bit = job_of("b.example", 1, Level::Protected, "\u{e9}".as_bytes());
    let outcome = deliver(&relay, eight_bit).await.remove(0);
    assert!(
        brief(&outcome).starts_with("bounced: 5.6.3 mx.b.example: the message has 8-bit"),
        "{}",
        brief(&outcome)
    );
    mx.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn content_with_bare_line_ends_never_gets_an_end() {
    for content in [&b"a\n.\nb\r\n"[..], b"a\r.\rb\r\n", b"a\r\n\n.\n", b"a\r"] {
        let world = World::new();
        let mx = world.good_mx("mx.b.example");
        world.only_mx(&mx);
        let job = job_of("b.example", 1, Level::Protected, content);
        let outcome = deliver(&world.relay(), job).await.remove(0);
        assert_eq!(
            brief(&outcome),
            "deferred(local): 4.3.0 the content has a bare CR or a bare LF"
        );
        tokio::task::yield_now().await;
        assert!(mx.heard().taken.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_no_to_mail_goes_to_the_next_exchanger_and_a_permanent_one_does_not() {
    let world = World::new();
    let first = world
        .good_mx("mx1.b.example")
        .saying("MAIL", "451 4.3.0 later\r\n");
    let second = two(&world, &first);
    let outcomes = deliver(&world.relay(), job("b.example", 3)).await;
    for outcome in outcomes {
        assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    }
    assert_eq!(second.heard().taken.len(), 1);

    let world = World::new();
    let first = world
        .good_mx("mx1.b.example")
        .saying("MAIL", "550 5.7.1 never\r\n");
    let second = two(&world, &first);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "bounced: 5.7.1 never");
    assert_eq!(second.heard().connections, 0);
}
