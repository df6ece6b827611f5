//! Terms of a decision: the hosts that the operator pinned, and a key exchange that withstands a
//! quantum computer.

use sealpost::mail::{Demand, DomainPattern, Grade, Level, Terms};
use sealpost::relay::{Job, Relay, Route, RouteTls};

use crate::support::ca::self_signed;
use crate::support::dns::domain;
use crate::support::mx::{Do, Mx};
use crate::support::world::{CONTENT, World, brief, deliver, deliver_one, demanding, job_of};

fn pinned(patterns: &[&str]) -> Terms {
    let pattern = |text: &&str| text.parse::<DomainPattern>().unwrap();
    Terms {
        pin_mx: patterns.iter().map(pattern).collect(),
        require_pq: false,
    }
}

const PQ: Terms = Terms {
    pin_mx: Vec::new(),
    require_pq: true,
};

fn under(terms: &Terms, level: Level) -> Job {
    let mut job = job_of("b.example", 1, level, CONTENT);
    job.rendition.terms = terms.clone();
    job
}

async fn try_under(relay: &Relay, terms: &Terms, level: Level) -> (String, Option<Grade>) {
    let outcome = deliver(relay, under(terms, level)).await.remove(0);
    let grade = outcome.hop.as_ref().map(|hop| hop.grade);
    (brief(&outcome), grade)
}

fn delivered(grade: Grade) -> (String, Option<Grade>) {
    ("delivered: 2.0.0 queued as 1".to_owned(), Some(grade))
}

#[tokio::test(start_paused = true)]
async fn a_pinned_host_has_the_grade_pinned() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    for pins in [&["mx.b.example"][..], &["*.other.example", "*.b.example"]] {
        for level in [Level::Protected, Level::Confidential] {
            let found = try_under(&relay, &pinned(pins), level).await;
            assert_eq!(found, delivered(Grade::Pinned), "{pins:?} {level}");
        }
    }
    let (brief, _) = try_under(&relay, &pinned(&["mx.b.example"]), Level::Restricted).await;
    assert_eq!(
        brief,
        "shortfall: 4.7.10 mx.b.example reaches only the grade pinned; TLS of grade mta-sts to a pinned host is required"
    );
    // Without the pins the same connection is `pkix` again.
    let (brief, grade) = try_under(&relay, &Terms::default(), Level::Confidential).await;
    assert!(brief.contains("reaches only the grade pkix"), "{brief}");
    assert_eq!(grade, Some(Grade::Pkix));
    assert_eq!(mx.heard().taken.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_not_pinned_hears_nothing() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    for pins in ["mx.c.example", "*.mx.b.example", "b.example"] {
        let (brief, _) = try_under(&relay, &pinned(&[pins]), Level::Protected).await;
        assert_eq!(
            brief,
            "shortfall: 4.7.5 mx.b.example is none of the hosts that the policy pins for this domain; verified TLS (pkix) to a pinned host is required"
        );
    }
    mx.heard().assert_nothing_of_the_message();
    // Terms are said of a sender's message, not of a bounce of ours.
    let mut bounce = under(&pinned(&["mx.c.example"]), Level::Protected);
    bounce.rendition = demanding(Demand::dsn());
    bounce.rendition.terms = pinned(&["mx.c.example"]);
    let outcome = deliver(&relay, bounce).await.remove(0);
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    assert_eq!(outcome.hop.unwrap().grade, Grade::Pkix);
}

#[tokio::test(start_paused = true)]
async fn a_pin_vouches_for_nobody() {
    let world = World::new();
    let mx = Mx::new(self_signed("mx.b.example").server());
    world.only_mx(&mx);
    let (brief, grade) = try_under(
        &world.relay(),
        &pinned(&["mx.b.example"]),
        Level::Confidential,
    )
    .await;
    assert!(
        brief.contains("mx.b.example cannot be verified: its certificate is self-signed"),
        "{brief}"
    );
    assert_eq!(grade, Some(Grade::Any));
    mx.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn swapped_mx_records_lead_past_the_pins_and_nowhere() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    // Somebody with a good certificate, for a name of their own.
    let thief = world.good_mx("mx.thief.example");
    world.host("mx.thief.example", "192.0.2.66", &thief);
    let relay = world.relay();
    let pins = pinned(&["mx.b.example"]);
    let first = try_under(&relay, &pins, Level::Confidential).await;
    assert_eq!(first, delivered(Grade::Pinned));
    world.dns.mx("b.example", &[(10, "mx.thief.example")]);
    let (brief, _) = try_under(&relay, &pins, Level::Protected).await;
    assert!(
        brief.contains("mx.thief.example is none of the hosts"),
        "{brief}"
    );
    thief.heard().assert_nothing_of_the_message();
    // Both: the pinned one is found behind the other.
    world.dns.mx(
        "b.example",
        &[(1, "mx.thief.example"), (10, "mx.b.example")],
    );
    let found = try_under(&relay, &pins, Level::Confidential).await;
    assert_eq!(found, delivered(Grade::Pinned));
    thief.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_held_to_the_pins_of_the_domain_at_hand() {
    let world = World::new();
    let mx = world.good_mx("mx.host.example");
    world.dns.mx("b.example", &[(10, "mx.host.example")]);
    world.dns.mx("c.example", &[(10, "mx.host.example")]);
    world.host("mx.host.example", "192.0.2.1", &mx);
    let relay = world.relay();
    let outcome = deliver_one(&relay, "c.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let (brief, _) = try_under(&relay, &pinned(&["*.b.example"]), Level::Protected).await;
    assert!(brief.starts_with("shortfall"), "{brief}");
    assert_eq!(mx.heard().taken.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_route_is_pinned_only_by_its_own_host() {
    let world = World::new();
    let mx = world.good_mx("gw.partner.example");
    world.dns.addresses("gw.partner.example", &["192.0.2.7"]);
    world.at("192.0.2.7:587", &mx);
    let mut config = world.config();
    config.routes = vec![Route {
        domain: Some(domain("b.example")),
        host: domain("gw.partner.example"),
        port: 587,
        tls: RouteTls::Starttls,
        credentials: None,
        roots: None,
        max_level: Level::Confidential,
    }];
    let relay = world.relay_with(config);
    let (brief, _) = try_under(&relay, &pinned(&["mx.b.example"]), Level::Protected).await;
    assert!(
        brief.contains("gw.partner.example is none of the hosts"),
        "{brief}"
    );
    mx.heard().assert_nothing_of_the_message();
    let plain = try_under(&relay, &Terms::default(), Level::Protected).await;
    assert_eq!(plain, delivered(Grade::Pkix));
    let gateway = pinned(&["gw.partner.example"]);
    let found = try_under(&relay, &gateway, Level::Confidential).await;
    assert_eq!(found, delivered(Grade::Pinned));
}

#[tokio::test(start_paused = true)]
async fn a_post_quantum_key_exchange_is_had_where_the_peer_has_it() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    let outcome = deliver(&relay, under(&PQ, Level::Protected))
        .await
        .remove(0);
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let tls = outcome.hop.unwrap().tls.unwrap();
    assert_eq!(tls.group, "X25519MLKEM768");
    assert!(tls.is_post_quantum());
}

#[tokio::test(start_paused = true)]
async fn without_a_post_quantum_key_exchange_nothing_is_said() {
    let world = World::new();
    let mx = Mx::new(world.ca.issue("mx.b.example").classic_server());
    world.only_mx(&mx);
    let relay = world.relay();
    let (brief, grade) = try_under(&relay, &PQ, Level::Protected).await;
    assert!(
        brief.starts_with(
            "shortfall: 4.7.10 mx.b.example offers too little TLS: no post-quantum key exchange could be agreed on: "
        ),
        "{brief}"
    );
    assert!(
        brief.ends_with("; verified TLS (pkix) with a post-quantum key exchange is required"),
        "{brief}"
    );
    assert_eq!(grade, Some(Grade::None));
    mx.heard().assert_nothing_of_the_message();
    assert_eq!(mx.heard().handshakes, 0);
    let plain = try_under(&relay, &Terms::default(), Level::Protected).await;
    assert_eq!(plain, delivered(Grade::Pkix));
}

#[tokio::test(start_paused = true)]
async fn idle_connections_of_the_other_key_exchange_are_left_alone() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    let mut groups = Vec::new();
    for terms in [&Terms::default(), &PQ, &Terms::default(), &PQ] {
        let outcome = deliver(&relay, under(terms, Level::Protected))
            .await
            .remove(0);
        assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
        let tls = outcome.hop.unwrap().tls.unwrap();
        assert_eq!(tls.is_post_quantum(), terms.require_pq, "{}", tls.group);
        groups.push(tls.group);
    }
    assert_eq!(mx.heard().connections, 2);
    let by_connection: Vec<_> = mx.heard().taken.iter().map(|t| t.connection).collect();
    assert_eq!(by_connection, [0, 1, 0, 1]);
    assert_eq!(groups[0], groups[2]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_breaks_for_other_reasons_is_not_blamed_on_the_key_exchange() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example").when(|_, step| match step {
        "handshake" => Do::Close,
        _ => Do::Default,
    });
    world.only_mx(&mx);
    let (brief, _) = try_under(&world.relay(), &PQ, Level::Protected).await;
    assert!(
        brief.starts_with("shortfall: 4.7.5 mx.b.example offers TLS that fails"),
        "{brief}"
    );
}
