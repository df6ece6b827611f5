//! How many decisions a second, by the number of rules.
//!
//! `cargo bench --bench policy`. For each number of rules: rules that are indexed (each names its
//! own recipient) with one that matches; rules that each ask for an expression in the Subject;
//! rules that only ask for the size, which nothing can index; and a message that no rule can
//! match. One decision is one message with one recipient. Then compiling and `prove`, and last how
//! fast a message is scanned: taken apart, and searched by every shipped detector. More about
//! detectors is in `cargo bench --bench detectors`.

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

use bytes::Bytes;
use sealpost::mail::{Address, Findings, Level, MessageClass, Method, ReversePath, Timestamp};
use sealpost::policy::source::{Condition, Rule};
use sealpost::policy::{HeaderFacts, MessageFacts, Policy, PolicySource, RecipientFacts, prove};
use sealpost::scan::detect::{DetectorSource, Detectors};
use sealpost::scan::{Limits, parts};

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
    scanning();
}

/// Octets a second from a stored message to its findings, documents apart.
fn scanning() {
    let detectors = Detectors::compile(&DetectorSource::all_shipped()).unwrap();
    let prose = "the ward round begins at nine and the visitors are asked to wait in the hall\r\n";
    let table = "bed 12, 36.9 C, 118/76, 72 bpm, 2026-11-22 08:15, sample 4711-0815, 3.25 mg\r\n";
    println!("\n{:>28} {:>10}", "scanned", "MB/s");
    for (name, line, octets) in [
        ("a letter of 10 kB", prose, 10_000),
        ("prose of 1 MB", prose, 1_000_000),
        ("readings of 1 MB", table, 1_000_000),
    ] {
        let mut content = String::from("Subject: Minutes\r\nContent-Type: text/plain\r\n\r\n");
        content.push_str(&line.repeat(octets / line.len()));
        let content = Bytes::from(content);
        let limits = Limits::default();
        let scan = || {
            let parts = parts::take_apart(&content, &limits);
            let mut found = Vec::new();
            for (part, text) in &parts.texts {
                detectors.scan_text(*part, text, &mut found);
            }
            assert!(black_box(found).is_empty() && parts.unscannable.is_empty());
        };
        scan();
        let started = Instant::now();
        let mut scanned = 0_u64;
        while started.elapsed() < MEASURED {
            scan();
            scanned += content.len() as u64;
        }
        let rate = scanned as f64 / started.elapsed().as_secs_f64() / 1e6;
        println!("{name:>28} {rate:>10.0}");
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
            visible_recipients: Some(1),
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
