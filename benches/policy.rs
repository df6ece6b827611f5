//! How many decisions a second, by the number of rules.
//!
//! `cargo bench --bench policy`. For each number of rules: rules that are indexed (each names its
//! own recipient) with one that matches; rules that each ask for an expression in the Subject;
//! rules that only ask for the size, which nothing can index; and a message that no rule can
//! match. One decision is one message with one recipient. Last, compiling and `prove`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark measures real time and may stop at the first surprise"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use sealpost::mail::{Address, Findings, Level, MessageClass, Method, ReversePath, Timestamp};
use sealpost::policy::source::{Condition, Rule};
use sealpost::policy::{HeaderFacts, MessageFacts, Policy, PolicySource, RecipientFacts, prove};

const NOW: Timestamp = Timestamp::from_secs(1_795_428_000);
const MEASURED: Duration = Duration::from_millis(500);

fn main() {
    println!(
        "{:>8} {:>14} {:>14} {:>14} {:>14} {:>12} {:>12}",
        "rules", "indexed /s", "subject /s", "residual /s", "no match /s", "compile ms", "prove ms"
    );
    for count in [10, 1_000, 10_000] {
        let indexed = policy(count, |n| {
            Condition::Recipient(vec![format!("p{n}@d{n}.example").parse().unwrap()])
        });
        let subject = policy(count, |n| Condition::Subject(format!("(?i)case {n} of")));
        let residual = policy(count, |n| Condition::SizeOver(10_000 + n as u64));
        let started = Instant::now();
        let again = Policy::compile(indexed.source().clone()).unwrap();
        let compiling = started.elapsed();
        let started = Instant::now();
        let proof = prove(&again, NOW);
        let proving = started.elapsed();
        assert!(proof.holes.is_empty());
        println!(
            "{count:>8} {:>14.0} {:>14.0} {:>14.0} {:>14.0} {:>12.1} {:>12.1}",
            rate(&indexed, "p7@d7.example", "Results"),
            rate(&subject, "pat@home.example", "About case 7 of May"),
            rate(&residual, "pat@home.example", "Results"),
            rate(&indexed, "pat@home.example", "Results"),
            compiling.as_secs_f64() * 1e3,
            proving.as_secs_f64() * 1e3,
        );
    }
}

fn policy(count: usize, condition: impl Fn(usize) -> Condition) -> Policy {
    let rules = (0..count).map(|n| Rule {
        name: format!("rule {n}"),
        when: vec![condition(n)],
        raise: Some(Level::Confidential),
        hold: false,
        reject: None,
        alert: false,
    });
    let source = PolicySource {
        methods: vec![Method::Tls, Method::Smime, Method::Portal],
        rules: rules.collect(),
        ..PolicySource::default()
    };
    Policy::compile(source).unwrap()
}

/// Decisions a second.
fn rate(policy: &Policy, to: &str, subject: &str) -> f64 {
    let sender = Address::parse("ann@clinic.example").unwrap();
    let message = MessageFacts {
        class: MessageClass::Submitted,
        sender: ReversePath::Address(sender.clone()),
        author: Some(sender),
        user: Some("ann".to_owned()),
        listener: Some("0.0.0.0:465".to_owned()),
        client: None,
        received: NOW,
        size: 5_000,
        tags: Vec::new(),
        header: HeaderFacts {
            fields: vec![("subject".to_owned(), subject.to_owned())],
            only: None,
            visible_recipients: 1,
        },
        parts: Some(Vec::new()),
        findings: Some(Findings::default()),
    };
    let recipients = [RecipientFacts::new(Address::parse(to).unwrap(), NOW)];
    let decide = || black_box(policy.decide(black_box(&message), black_box(&recipients)));
    decide();
    let started = Instant::now();
    let mut decisions = 0_u64;
    while started.elapsed() < MEASURED {
        for _ in 0..10 {
            decide();
        }
        decisions += 10;
    }
    decisions as f64 / started.elapsed().as_secs_f64()
}
