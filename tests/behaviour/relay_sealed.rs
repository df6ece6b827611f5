//! What is sealed: made anew at each attempt, the same each time, ended only when it is right.

use std::sync::Arc;

use sealpost::mail::{ContentCipher, DeferReason, Grade, Level, Outcome, Rendition, Sealed, Terms};
use sealpost::relay::{Job, Route, RouteTls};

use crate::support::ca::self_signed;
use crate::support::dns::domain;
use crate::support::mx::{Do, Mx};
use crate::support::sealed::{Owner, inside};
use crate::support::world::{CONTENT, PREFIX, World, brief, deliver, job_of};

const CIPHERS: [ContentCipher; 2] = [ContentCipher::Aes256Cbc, ContentCipher::Aes256Gcm];
/// In content; nobody on the way may read it.
const CANARY: &str = "canary";

fn unverified() -> Mx {
    Mx::new(self_signed("mx.b.example").server())
}

fn sealed_job(recipe: Arc<Sealed>, content: &[u8], terms: Terms) -> Job {
    let mut job = job_of("b.example", 1, Level::Protected, content);
    job.rendition =
        Rendition::sealed(Level::Sealed, terms, recipe).with_signature(PREFIX.to_vec(), Vec::new());
    job
}

/// Content with a canary in every line, of about so many octets; 8-bit.
fn long(octets: usize) -> Vec<u8> {
    let line = "a canary's day: 20 °C\r\n.\r\n".as_bytes();
    line.repeat(octets / line.len() + 1)
}

#[tokio::test(start_paused = true)]
async fn it_arrives_whole_over_any_tls_and_only_its_owner_reads_it() {
    let owner = Owner::new("r0@b.example");
    // Small ones are sealed on the spot; large ones on a thread for that.
    for content in [CONTENT.to_vec(), long(300_000)] {
        for cipher in CIPHERS {
            let world = World::new();
            let mx = unverified();
            world.only_mx(&mx);
            let recipe = owner.recipe(cipher, &content);
            let job = sealed_job(Arc::clone(&recipe), &content, Terms::default());
            let relay = world.relay();
            for _ in 0..2 {
                let outcome = deliver(&relay, job.clone()).await.remove(0);
                assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
                assert_eq!(outcome.hop.unwrap().grade, Grade::Any);
            }
            let heard = mx.heard();
            assert!(!heard.everything().contains(CANARY));
            let octets = PREFIX.len() as u64 + recipe.octets;
            let mail = format!("MAIL FROM:<a@clinic.example> SIZE={octets}");
            for taken in &heard.taken {
                assert_eq!(taken.mail, mail, "base64, whatever is inside");
                let message = taken.content.strip_prefix(PREFIX).unwrap();
                assert_eq!(message.len() as u64, recipe.octets);
                assert_eq!(owner.open(message), Some(inside(&content)));
                assert_eq!(Owner::new("r0@b.example").open(message), None);
            }
            assert_eq!(heard.taken.len(), 2);
            assert_eq!(heard.taken[0].content, heard.taken[1].content);
        }
    }
}

/// What goes wrong with it, and what the peer has heard of it then.
async fn spoilt(recipe: Sealed, content: &[u8]) -> (String, Mx, Mx) {
    let world = World::new();
    let (first, second) = (unverified(), unverified());
    world
        .dns
        .mx("b.example", &[(1, "mx.b.example"), (2, "mx2.b.example")]);
    world.host("mx.b.example", "192.0.2.1", &first);
    world.host("mx2.b.example", "192.0.2.2", &second);
    let job = sealed_job(Arc::new(recipe), content, Terms::default());
    let outcome = deliver(&world.relay(), job).await.remove(0);
    assert!(!outcome.duplicate_possible);
    assert!(matches!(
        outcome.outcome,
        Outcome::Deferred {
            reason: DeferReason::Local,
            ..
        }
    ));
    (brief(&outcome), first, second)
}

#[tokio::test(start_paused = true)]
async fn what_is_not_what_was_sealed_is_never_ended() {
    let owner = Owner::new("r0@b.example");
    let content = long(200_000);
    for cipher in CIPHERS {
        let good = Sealed::clone(&owner.recipe(cipher, &content));
        let other_digest = Sealed {
            sha256: [7; 32],
            ..good.clone()
        };
        let mut changed = content.clone();
        changed[150_000] ^= 1;
        let cases = [
            (other_digest, &content[..]),
            (good.clone(), &changed[..]),
            (good.clone(), &content[..content.len() - 1]),
            (good.clone(), &[&content[..], b"x"].concat()),
        ];
        for (recipe, content) in cases {
            let (brief, first, second) = spoilt(recipe, content).await;
            assert_eq!(
                brief,
                "deferred(local): 4.3.0 the stored content could not be sealed: the content is not the one that was sealed before"
            );
            let heard = first.heard();
            assert!(heard.taken.is_empty());
            assert!(!heard.everything().contains("\r\n.\r\n"));
            assert_eq!(second.heard().connections, 0, "no other host is tried");
        }
    }
    // A recipe that cannot be right is not begun with.
    let short = Sealed {
        octets: 1,
        ..Sealed::clone(&owner.recipe(ContentCipher::Aes256Cbc, CONTENT))
    };
    let (brief, first, _) = spoilt(short, CONTENT).await;
    assert!(brief.contains("could not be sealed"), "{brief}");
    first.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn without_tls_nothing_is_said() {
    let world = World::new();
    let mx = unverified().offering(&["PIPELINING"], &[]);
    world.only_mx(&mx);
    let recipe = Owner::new("r0@b.example").recipe(ContentCipher::Aes256Cbc, CONTENT);
    let job = sealed_job(recipe, CONTENT, Terms::default());
    let outcome = deliver(&world.relay(), job).await.remove(0);
    assert_eq!(
        brief(&outcome),
        "shortfall: 4.7.10 mx.b.example offers no STARTTLS; TLS is required"
    );
    assert!(matches!(
        outcome.outcome,
        Outcome::Shortfall {
            required: Grade::Any,
            ..
        }
    ));
    mx.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn the_terms_of_the_policy_bind_it() {
    let owner = Owner::new("r0@b.example");
    let recipe = owner.recipe(ContentCipher::Aes256Cbc, CONTENT);
    let world = World::new();
    let mx = Mx::new(world.ca.issue("mx.b.example").classic_server());
    world.only_mx(&mx);
    let pinned = Terms {
        pin_mx: vec!["*.c.example".parse().unwrap()],
        require_pq: false,
    };
    let quantum = Terms {
        pin_mx: Vec::new(),
        require_pq: true,
    };
    for (terms, wanted) in [
        (pinned, "TLS to a pinned host is required"),
        (quantum, "TLS with a post-quantum key exchange is required"),
    ] {
        let job = sealed_job(Arc::clone(&recipe), CONTENT, terms);
        let outcome = deliver(&world.relay(), job).await.remove(0);
        assert!(brief(&outcome).ends_with(wanted), "{}", brief(&outcome));
    }
    mx.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn the_first_host_with_tls_will_do() {
    let world = World::new();
    let (first, second) = (unverified(), world.good_mx("mx2.b.example"));
    world
        .dns
        .mx("b.example", &[(1, "mx.b.example"), (2, "mx2.b.example")]);
    world.host("mx.b.example", "192.0.2.1", &first);
    world.host("mx2.b.example", "192.0.2.2", &second);
    let recipe = Owner::new("r0@b.example").recipe(ContentCipher::Aes256Gcm, CONTENT);
    let job = sealed_job(recipe, CONTENT, Terms::default());
    let outcome = deliver(&world.relay(), job).await.remove(0);
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    assert_eq!(first.heard().taken.len(), 1);
    assert_eq!(second.heard().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn a_route_carries_it_whatever_its_level() {
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
        max_level: Level::Protected,
    }];
    let recipe = Owner::new("r0@b.example").recipe(ContentCipher::Aes256Cbc, CONTENT);
    let job = sealed_job(recipe, CONTENT, Terms::default());
    let outcome = deliver(&world.relay_with(config), job).await.remove(0);
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
}

#[tokio::test(start_paused = true)]
async fn it_is_too_large_by_what_it_is_when_sealed() {
    let world = World::new();
    let content = long(3000);
    let mx = unverified().offering(
        &["PIPELINING", "STARTTLS"],
        // The content would fit; what is sealed is a third larger.
        &["PIPELINING", "SIZE 4000"],
    );
    world.only_mx(&mx);
    let recipe = Owner::new("r0@b.example").recipe(ContentCipher::Aes256Cbc, &content);
    let job = sealed_job(recipe, &content, Terms::default());
    let outcome = deliver(&world.relay(), job).await.remove(0);
    assert!(
        brief(&outcome).starts_with("too large sealed: 5.3.4"),
        "{}",
        brief(&outcome)
    );
    mx.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_at_the_end_the_next_host_gets_the_same() {
    let world = World::new();
    let first = unverified().when(|_, step| match step {
        "." => Do::Say("451 4.3.0 later\r\n".to_owned()),
        _ => Do::Default,
    });
    let second = unverified();
    world
        .dns
        .mx("b.example", &[(1, "mx.b.example"), (2, "mx2.b.example")]);
    world.host("mx.b.example", "192.0.2.1", &first);
    world.host("mx2.b.example", "192.0.2.2", &second);
    let owner = Owner::new("r0@b.example");
    let job = sealed_job(
        owner.recipe(ContentCipher::Aes256Cbc, CONTENT),
        CONTENT,
        Terms::default(),
    );
    let outcome = deliver(&world.relay(), job).await.remove(0);
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let taken = second.heard().taken.remove(0).content;
    assert_eq!(owner.open(&taken[PREFIX.len()..]), Some(inside(CONTENT)));
    let again = String::from_utf8(taken).unwrap();
    assert!(first.heard().everything().contains(&again));
}
