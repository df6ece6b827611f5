//! Exceptions: what may go below verified TLS, whom it goes to, and what never follows it.

use sealpost::mail::{Allowance, Demand, ExceptionUse, Grade, Level, Outcome, Timestamp};
use sealpost::relay::{Credentials, Job, Relay, Route, RouteTls};

use crate::support::ca::self_signed;
use crate::support::dns::domain;
use crate::support::mx::{Do, Mx};
use crate::support::world::{
    CONTENT, World, brief, deliver, deliver_one, demanding, expected_content, job, job_of,
};

const PLAIN: &[&str] = &["PIPELINING", "8BITMIME", "SIZE 1000000"];

fn exception(allow: Allowance, max_level: Level) -> ExceptionUse {
    ExceptionUse {
        recipient: "r0@b.example".to_owned(),
        allow,
        max_level,
        owner: "jo@clinic.example".to_owned(),
        reason: "patient-request".to_owned(),
        expires: Timestamp::from_secs(1_900_000_000),
    }
}

fn excepted(allow: Allowance) -> Job {
    let mut job = job("b.example", 1);
    let exception = exception(allow, Level::Protected);
    job.rendition = demanding(Demand::excepted(Level::Protected, &exception).unwrap());
    job
}

async fn try_with(relay: &Relay, allow: Allowance) -> (String, Option<Grade>) {
    let outcome = deliver(relay, excepted(allow)).await.remove(0);
    let grade = outcome.hop.as_ref().map(|hop| hop.grade);
    (brief(&outcome), grade)
}

fn delivered(grade: Grade) -> (String, Option<Grade>) {
    ("delivered: 2.0.0 queued as 1".to_owned(), Some(grade))
}

fn unverified(host: &str) -> Mx {
    Mx::new(self_signed(host).server())
}

fn plain(world: &World, host: &str) -> Mx {
    world.good_mx(host).offering(PLAIN, &[])
}

#[test]
fn an_exception_is_inert_above_its_level() {
    for allow in [Allowance::Any, Allowance::None] {
        let upto = exception(allow, Level::Confidential);
        for (level, good) in [
            (Level::Protected, true),
            (Level::Confidential, true),
            (Level::Restricted, false),
            (Level::Sealed, false),
        ] {
            assert_eq!(Demand::excepted(level, &upto).is_some(), good, "{level}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_takes_a_peer_that_nothing_vouches_for() {
    let world = World::new();
    let mx = unverified("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    let outcome = deliver_one(&relay, "b.example").await;
    assert!(matches!(outcome.outcome, Outcome::Shortfall { .. }));
    mx.heard().assert_nothing_of_the_message();
    assert_eq!(
        try_with(&relay, Allowance::Any).await,
        delivered(Grade::Any)
    );
    let heard = mx.heard();
    assert_eq!(heard.taken[0].content, expected_content(CONTENT));
    assert!(
        !String::from_utf8_lossy(&heard.plain).contains("MAIL"),
        "all of it within TLS"
    );
}

#[tokio::test(start_paused = true)]
async fn any_is_not_none() {
    let world = World::new();
    let mx = plain(&world, "mx.b.example");
    world.only_mx(&mx);
    let (brief, _) = try_with(&world.relay(), Allowance::Any).await;
    assert_eq!(
        brief,
        "shortfall: 4.7.10 mx.b.example offers no STARTTLS; TLS is required"
    );
    mx.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn none_goes_in_clear_where_there_is_no_tls() {
    for refusal in [
        None,
        Some("454 4.7.0 later\r\n"),
        Some("502 5.5.1 what\r\n"),
    ] {
        let world = World::new();
        let mut mx = plain(&world, "mx.b.example");
        if let Some(reply) = refusal {
            mx.ehlo_plain.push("STARTTLS".to_owned());
            mx = mx.saying("STARTTLS", reply);
        }
        world.only_mx(&mx);
        let relay = world.relay();
        assert_eq!(
            try_with(&relay, Allowance::None).await,
            delivered(Grade::None)
        );
        let heard = mx.heard();
        assert_eq!(heard.handshakes, 0);
        assert_eq!(heard.taken[0].content, expected_content(CONTENT));
        // What the server offered in clear counts there.
        let octets = expected_content(CONTENT).len();
        let mail = format!("MAIL FROM:<a@clinic.example> SIZE={octets}");
        assert_eq!(heard.taken[0].mail, mail);
    }
}

#[tokio::test(start_paused = true)]
async fn none_speaks_no_helo() {
    let world = World::new();
    let mx = world
        .good_mx("mx.b.example")
        .saying("EHLO", "502 5.5.1 what\r\n");
    world.only_mx(&mx);
    let (brief, _) = try_with(&world.relay(), Allowance::None).await;
    assert_eq!(
        brief,
        "shortfall: 4.7.10 mx.b.example answered 502 to EHLO and so offers no STARTTLS; a working connection is required"
    );
    mx.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn none_never_passes_over_tls_that_is_offered() {
    for garbage in [Do::Say("HTTP/1.1 400\r\n\r\n".to_owned()), Do::Close] {
        let world = World::new();
        let mx = world
            .good_mx("mx.b.example")
            .when(move |_, step| match step {
                "handshake" => garbage.clone(),
                _ => Do::Default,
            });
        world.only_mx(&mx);
        let (brief, _) = try_with(&world.relay(), Allowance::None).await;
        assert!(
            brief.starts_with("shortfall: 4.7.5 mx.b.example offers TLS that fails"),
            "{brief}"
        );
        mx.heard().assert_nothing_of_the_message();
    }
    // And where it works, it is used, to the highest grade that there is.
    for allow in [Allowance::Any, Allowance::None] {
        let world = World::new();
        let mx = world.good_mx("mx.b.example");
        world.only_mx(&mx);
        assert_eq!(
            try_with(&world.relay(), allow).await,
            delivered(Grade::Pkix)
        );
        assert!(!String::from_utf8_lossy(&mx.heard().plain).contains("MAIL"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_best_host_is_taken_wherever_it_stands() {
    for count in 1..=3 {
        let world = World::new();
        let hosts = [
            ("mx1.b.example", plain(&world, "mx1.b.example"), Grade::None),
            ("mx2.b.example", unverified("mx2.b.example"), Grade::Any),
            ("mx3.b.example", world.good_mx("mx3.b.example"), Grade::Pkix),
        ];
        let present = &hosts[..count];
        let records: Vec<_> = present
            .iter()
            .zip([10, 20, 30])
            .map(|((host, ..), preference)| (preference, *host))
            .collect();
        world.dns.mx("b.example", &records);
        for (n, (host, mx, _)) in present.iter().enumerate() {
            world.host(host, &format!("192.0.2.{}", n + 1), mx);
        }
        let best = present[count - 1].2;
        assert_eq!(
            try_with(&world.relay(), Allowance::None).await,
            delivered(best)
        );
        for (_, mx, _) in &present[..count - 1] {
            mx.heard().assert_nothing_of_the_message();
            assert_eq!(mx.heard().connections, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_that_stall_do_not_use_up_the_time_of_an_excepted_one() {
    let world = World::new();
    let weak = plain(&world, "mx0.b.example");
    world.host("mx0.b.example", "192.0.2.1", &weak);
    let mut records = vec![(10, "mx0.b.example")];
    let slow = ["mx1.b.example", "mx2.b.example", "mx3.b.example"];
    records.extend(slow.map(|host| (20, host)));
    world.dns.mx("b.example", &records);
    // Each takes what a greeting may: together all the time in which hosts are looked for.
    for (n, host) in slow.into_iter().enumerate() {
        let mx = world.good_mx(host).when(|_, step| match step {
            "connect" => Do::Hang,
            _ => Do::Default,
        });
        world.host(host, &format!("192.0.2.{}", n + 11), &mx);
    }
    let started = world.clock.now();
    let outcome = try_with(&world.relay(), Allowance::None).await;
    assert_eq!(outcome, delivered(Grade::None));
    let search = world.config().timeouts.search;
    assert!(world.clock.now().since(started) >= search, "it was used up");
}

#[tokio::test(start_paused = true)]
async fn a_weaker_host_is_not_asked_behind_a_better_ones_back() {
    let world = World::new();
    let weak = plain(&world, "mx1.b.example");
    let good = world
        .good_mx("mx2.b.example")
        .saying("RCPT", "451 4.7.1 greylisted\r\n");
    world
        .dns
        .mx("b.example", &[(10, "mx1.b.example"), (20, "mx2.b.example")]);
    world.host("mx1.b.example", "192.0.2.1", &weak);
    world.host("mx2.b.example", "192.0.2.2", &good);
    let (brief, grade) = try_with(&world.relay(), Allowance::None).await;
    assert_eq!(brief, "deferred(temporary): 4.7.1 greylisted");
    assert_eq!(grade, Some(Grade::Pkix));
    weak.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_clear_serves_nobody_else() {
    let world = World::new();
    let mx = plain(&world, "mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    let mails = || {
        let heard = mx.heard();
        heard
            .commands
            .iter()
            .filter(|c| c.starts_with("MAIL"))
            .count()
    };
    assert_eq!(
        try_with(&relay, Allowance::None).await,
        delivered(Grade::None)
    );
    assert_eq!(relay.idle_connections(), 1);
    for level in [Level::Protected, Level::Confidential] {
        let job = job_of("b.example", 1, level, CONTENT);
        let outcome = deliver(&relay, job).await.remove(0);
        assert!(brief(&outcome).starts_with("shortfall: 4.7.10 mx.b.example offers no STARTTLS"));
        assert_eq!(mails(), 1, "no MAIL for that one");
    }
    let (brief, _) = try_with(&relay, Allowance::Any).await;
    assert!(brief.starts_with("shortfall"), "{brief}");
    assert_eq!(mails(), 1);
    assert_eq!(
        try_with(&relay, Allowance::None).await,
        delivered(Grade::None)
    );
    assert_eq!(mails(), 2);
}

#[tokio::test(start_paused = true)]
async fn tls_is_asked_for_again_before_a_connection_in_clear_is_taken_again() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example").when(|at, step| {
        // The first connection is told of no STARTTLS; the next ones are.
        if at.connection == 0 && step.starts_with("EHLO") {
            Do::Say("250 mx.test\r\n".to_owned())
        } else {
            Do::Default
        }
    });
    world.only_mx(&mx);
    let relay = world.relay();
    let first = try_with(&relay, Allowance::None).await;
    assert_eq!(first, delivered(Grade::None));
    assert_eq!(relay.idle_connections(), 1);
    let second = try_with(&relay, Allowance::None).await;
    assert_eq!(second, delivered(Grade::Pkix));
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    assert_eq!(mx.heard().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn connections_are_judged_anew_for_every_demand() {
    // Nobody vouches for the peer: good for the exception, and for nothing else.
    let world = World::new();
    let mx = unverified("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    for _ in 0..2 {
        assert_eq!(
            try_with(&relay, Allowance::Any).await,
            delivered(Grade::Any)
        );
        let outcome = deliver_one(&relay, "b.example").await;
        assert!(brief(&outcome).starts_with("shortfall: 4.7.5"));
    }
    let heard = mx.heard();
    let mails = heard.commands.iter().filter(|c| c.starts_with("MAIL"));
    assert_eq!(mails.count(), 2);
    assert_eq!(heard.taken.len(), 2);
    // A verified one is good for both.
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let second = try_with(&relay, Allowance::None).await;
    assert_eq!(second, delivered(Grade::Pkix));
    assert_eq!(mx.heard().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn a_password_needs_verified_tls_whatever_the_exception() {
    let world = World::new();
    let identity = self_signed("gw.partner.example");
    for mx in [
        Mx::new(identity.server()),
        Mx::new(identity.server()).offering(&["AUTH PLAIN LOGIN"], &[]),
    ] {
        world.dns.addresses("gw.partner.example", &["192.0.2.7"]);
        world.at("192.0.2.7:587", &mx);
        let mut config = world.config();
        config.routes = vec![Route {
            domain: Some(domain("b.example")),
            host: domain("gw.partner.example"),
            port: 587,
            tls: RouteTls::Starttls,
            credentials: Some(Credentials::new("us", "clinic-secret".to_owned()).unwrap()),
            roots: None,
            max_level: Level::Protected,
        }];
        let (brief, _) = try_with(&world.relay_with(config), Allowance::None).await;
        assert!(
            brief.contains("gw.partner.example has not authenticated us"),
            "{brief}"
        );
        mx.heard().assert_nothing_of_the_message();
    }
}
