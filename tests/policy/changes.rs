//! What is the same policy, and what is said of a change.

use std::time::Duration;

use sealpost::mail::{Allowance, Level, Method};
use sealpost::policy::source::{Condition, Exception, PolicySource, SubjectTag};
use sealpost::policy::{Effect, canonical, diff};

use super::support::*;

fn large() -> PolicySource {
    let mut source = all_ways();
    source.rules = vec![
        raising(
            "lab",
            vec![
                Condition::Subject("(?i)result".to_owned()),
                Condition::User(vec!["ann".to_owned(), "bob".to_owned()]),
            ],
            Level::Confidential,
        ),
        holding("press", vec![to("*@press.example")]),
    ];
    source.domains = vec![section("a.example"), section("*.a.example")];
    source.domains[0].pin_mx = vec![
        "mx1.a.example".parse().unwrap(),
        "mx2.a.example".parse().unwrap(),
    ];
    source.groups = vec![group("one", &["ann", "bob"]), group("two", &["kim"])];
    source.users = vec![user("ann"), user("bob")];
    source.exceptions = vec![
        exception("a@x.example", Allowance::Any),
        exception("b@x.example", Allowance::None),
    ];
    source.partners = vec!["p.example".parse().unwrap(), "q.example".parse().unwrap()];
    source
}

#[test]
fn the_hash_of_a_policy_is_what_it_always_was() {
    let default = "7ae020e792ece5ddfe2f721ed8a998e8";
    assert_eq!(canonical::hash(&PolicySource::default()), default);
    assert_eq!(compile(PolicySource::default()).hash().as_ref(), default);
}

#[test]
fn order_does_not_change_the_hash() {
    let source = large();
    let hash = canonical::hash(&source);
    let mut other = source.clone();
    other.rules.reverse();
    other.rules[1].when.reverse();
    if let Condition::User(list) = &mut other.rules[1].when[0] {
        list.reverse();
        list.push("ann".to_owned());
    } else {
        panic!("the conditions stand otherwise");
    }
    other.domains.reverse();
    other.domains[1].pin_mx.reverse();
    other.groups.reverse();
    other.groups[1].members.reverse();
    other.users.reverse();
    other.exceptions.reverse();
    other.partners.reverse();
    assert_ne!(source, other);
    assert_eq!(canonical::hash(&other), hash);
    assert_eq!(
        diff(&source, &other)
            .iter()
            .filter(|c| c.effect != Effect::Neutral)
            .count(),
        0
    );
}

#[test]
fn whatever_means_something_else_changes_the_hash() {
    let source = large();
    let changes: [fn(&mut PolicySource); 12] = [
        |s| s.base = Level::Confidential,
        |s| s.methods.reverse(),
        |s| s.portal = false,
        |s| s.downgrade_hold += Duration::from_secs(1),
        |s| s.utc_offset_minutes = 60,
        |s| s.rules[0].raise = Some(Level::Restricted),
        |s| s.rules[1].alert = true,
        |s| s.domains[0].require_pq = true,
        |s| s.groups[0].members.truncate(1),
        |s| s.exceptions[0].expires = NOW,
        |s| s.unscannable = Some(Level::Confidential),
        |s| {
            s.detector_digests.insert("own".to_owned(), "1".to_owned());
        },
    ];
    let mut hashes = vec![canonical::hash(&source)];
    for change in changes {
        let mut other = source.clone();
        change(&mut other);
        hashes.push(canonical::hash(&other));
    }
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 13);
}

/// One change, its words, and which way it goes; the other way round it goes the other way.
fn changed(change: fn(&mut PolicySource), words: &str, effect: Effect) {
    let before = large();
    let mut after = before.clone();
    change(&mut after);
    let changes = diff(&before, &after);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].what, words);
    assert_eq!(changes[0].effect, effect, "{words}");
    let back = diff(&after, &before);
    let reversed = match effect {
        Effect::Weakens => Effect::Strengthens,
        Effect::Strengthens => Effect::Weakens,
        other => other,
    };
    assert_eq!(back[0].effect, reversed, "back: {words}");
}

#[test]
fn changes_of_settings_and_rules_are_told_with_their_effect() {
    use Effect::{Either, Neutral, Strengthens, Weakens};
    assert_eq!(diff(&large(), &large()), []);
    changed(
        |s| s.base = Level::Restricted,
        "base protected → restricted",
        Strengthens,
    );
    changed(
        |s| s.methods = vec![Method::Portal],
        "methods tls, smime, portal → portal",
        Neutral,
    );
    changed(
        |s| s.portal = false,
        "the portal no longer configured",
        Neutral,
    );
    changed(
        |s| s.downgrade_hold = Duration::from_secs(60),
        "downgrade_hold 14400 s → 60 s",
        Weakens,
    );
    changed(|s| drop(s.rules.remove(0)), "rule \"lab\" removed", Weakens);
    changed(
        |s| drop(s.rules.remove(1)),
        "rule \"press\" removed",
        Weakens,
    );
    changed(
        |s| s.rules[0].raise = Some(Level::Sealed),
        "rule \"lab\" changed: raise confidential → sealed",
        Strengthens,
    );
    changed(
        |s| s.rules[0].when = vec![to("x@y.example")],
        "rule \"lab\" changed: its conditions",
        Either,
    );
    changed(
        |s| s.rules[0].alert = true,
        "rule \"lab\" changed: alert added",
        Neutral,
    );
}

#[test]
fn changes_of_sections_and_the_register_are_told_with_their_effect() {
    use Effect::{Either, Strengthens, Weakens};
    changed(
        |s| s.domains[0].tls_not_enough = true,
        "domain a.example changed: tls_not_enough",
        Strengthens,
    );
    changed(
        |s| s.domains[0].pin_mx.clear(),
        "domain a.example changed: pin_mx",
        Weakens,
    );
    changed(
        |s| s.groups[0].members.push("eve".to_owned()),
        "group one changed",
        Strengthens,
    );
    changed(
        |s| s.users[0].raise = Some(Level::Confidential),
        "account ann changed",
        Strengthens,
    );
    changed(
        |s| s.exceptions.push(exception("c@x.example", Allowance::Any)),
        "exception c@x.example added",
        Weakens,
    );
    changed(
        |s| s.exceptions[0].allow = Allowance::None,
        "exception a@x.example changed: allow",
        Weakens,
    );
    changed(
        |s| {
            s.exceptions[0] = Exception {
                expires: NOW,
                ..s.exceptions[0].clone()
            }
        },
        "exception a@x.example changed: expires",
        Strengthens,
    );
    changed(
        |s| {
            s.detectors.insert("us-ssn".to_owned(), Level::Confidential);
        },
        "detector us-ssn off → confidential",
        Strengthens,
    );
    changed(
        |s| s.media = Some(Level::Restricted),
        "media off → restricted",
        Strengthens,
    );
    changed(
        |s| {
            let text = "[secure]".to_owned();
            s.tags.push(SubjectTag {
                text,
                raise: Level::Restricted,
            });
        },
        "tag [secure] added",
        Strengthens,
    );
    changed(
        |s| drop(s.partners.remove(0)),
        "partner p.example removed",
        Either,
    );
}
