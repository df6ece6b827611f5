//! What is refused, where, and why.

use std::time::Duration;

use sealpost::mail::{Allowance, Level, Method};
use sealpost::policy::source::{Condition, Exception, Network, PolicySource, Rule, SubjectTag};
use sealpost::policy::{Bounds, Policy};

use super::support::*;

/// The one problem of a policy: table, index, key, and words of what is wrong.
fn refused(source: PolicySource, table: &str, index: usize, key: &str, words: &str) {
    let problems = match Policy::compile(source) {
        Ok(_) => panic!("accepted: {words}"),
        Err(problems) => problems,
    };
    let found = problems.iter().any(|problem| {
        problem.table == table
            && problem.index == index
            && problem.key == key
            && problem.what.contains(words)
            && !problem.mend.is_empty()
    });
    assert!(found, "{table} {index} {key} {words:?}: {problems:#?}");
    assert_eq!(problems.len(), 1, "{words:?}: {problems:#?}");
}

fn with_rules(rules: Vec<Rule>) -> PolicySource {
    let mut source = all_ways();
    source.groups = vec![group("ward", &["ann", "bob"])];
    source
        .detectors
        .insert("us-ssn".to_owned(), Level::Confidential);
    source.partners = vec!["hospital.example".parse().unwrap()];
    source.rules = rules;
    source
}

fn bad_condition(condition: Condition, key: &str, words: &str) {
    let rules = vec![raising("one", vec![condition], Level::Restricted)];
    refused(with_rules(rules), "rule", 0, key, words);
}

fn bad_pair(one: Condition, other: Condition, key: &str) {
    let rules = vec![raising("one", vec![one, other], Level::Restricted)];
    refused(with_rules(rules), "rule", 0, key, "nothing meets both");
}

fn senders(list: &[&str]) -> Condition {
    Condition::Sender(list.iter().map(|text| text.parse().unwrap()).collect())
}

fn users(list: &[&str]) -> Condition {
    Condition::User(list.iter().map(|&name| name.to_owned()).collect())
}

fn network(text: &str) -> Network {
    let (address, prefix) = text.split_once('/').unwrap();
    Network {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
    }
}

/// A release could not tell such a rule's hold from one of ours, and would not lift it.
#[test]
fn a_rule_with_the_name_of_a_hold_of_ours() {
    for name in ["operator", "undeliverable_dsn"] {
        let rules = vec![holding(name, vec![to("r@b.example")])];
        refused(with_rules(rules), "rule", 0, "name", "a hold of ours");
    }
    let rules = vec![holding("operators", vec![to("r@b.example")])];
    compile(with_rules(rules));
}

#[test]
fn a_rule_that_can_never_match() {
    use Condition as C;
    bad_condition(users(&[]), "user", "empty");
    bad_condition(senders(&[]), "sender", "empty");
    bad_condition(C::Subject("[^\\s\\S]".into()), "subject", "matches nothing");
    bad_condition(
        C::AttachmentName("a[b&&c]".into()),
        "attachment_name",
        "matches nothing",
    );
    bad_condition(C::Group(vec!["lab".into()]), "group", "no group \"lab\"");
    bad_condition(
        C::Detector(vec!["icd10".into()]),
        "detector",
        "switched off",
    );
    bad_condition(C::Hours { from: 60, to: 60 }, "hours", "no length");
    bad_condition(
        C::AttachmentType(vec!["pdf".into()]),
        "attachment_type",
        "not a type",
    );
    bad_condition(C::Client(vec![network("10.0.0.0/33")]), "client", "longer");
    bad_condition(C::Days(vec![7]), "days", "seven days");
    let within = Duration::from_secs(90_000);
    bad_condition(
        C::UserVolumeOver {
            recipients: 5,
            within,
        },
        "volume",
        "over a day",
    );
    let pattern = String::new();
    bad_condition(
        C::Header {
            name: "X Y".into(),
            pattern,
        },
        "header",
        "no field can have",
    );
    let mut alone = with_rules(vec![raising("one", vec![C::LookAlike], Level::Restricted)]);
    alone.partners.clear();
    refused(alone, "rule", 0, "lookalike", "no partner");
    let large = with_rules(vec![raising(
        "one",
        vec![C::SizeOver(1000)],
        Level::Restricted,
    )]);
    let bounds = |message_size| Bounds {
        message_size: Some(message_size),
    };
    assert!(Policy::compile_within(large.clone(), bounds(1001)).is_ok());
    let problems = Policy::compile_within(large, bounds(1000)).unwrap_err();
    assert_eq!(problems[0].key, "size_over");
}

#[test]
fn conditions_that_exclude_each_other() {
    use Condition as C;
    let domains = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    bad_pair(
        senders(&["a@x.example"]),
        C::SenderDomain(domains(&["y.example"])),
        "sender_domain",
    );
    bad_pair(
        to("*@x.example"),
        C::RecipientDomain(domains(&["*.x.example"])),
        "recipient_domain",
    );
    bad_pair(users(&["ann"]), users(&["bob"]), "user");
    bad_pair(users(&["kim"]), C::Group(vec!["ward".into()]), "group");
    bad_pair(C::Days(vec![0, 1]), C::Days(vec![5]), "days");
    bad_pair(
        C::Hours { from: 0, to: 60 },
        C::Hours { from: 60, to: 120 },
        "hours",
    );
    let client = |text| C::Client(vec![network(text)]);
    bad_pair(client("10.0.0.0/8"), client("192.0.2.0/24"), "client");
    // What only looks so is taken.
    for pair in [
        vec![
            senders(&["a@x.example"]),
            C::SenderDomain(domains(&["x.example"])),
        ],
        vec![
            to("*@a.x.example"),
            C::RecipientDomain(domains(&["*.x.example"])),
        ],
        vec![users(&["ann"]), C::Group(vec!["ward".into()])],
        vec![
            C::Hours {
                from: 1320,
                to: 360,
            },
            C::Hours { from: 300, to: 400 },
        ],
        vec![client("10.0.0.0/8"), client("10.1.0.0/16")],
        vec![to("*@x.example"), senders(&["*@y.example"])],
        vec![C::Subject("a".into()), C::Subject("b".into())],
    ] {
        compile(with_rules(vec![raising("one", pair, Level::Restricted)]));
    }
}

#[test]
fn expressions_that_cannot_be() {
    use Condition as C;
    bad_condition(C::Subject("(".into()), "subject", "not valid");
    bad_condition(C::Subject("a(?=b)".into()), "subject", "not valid");
    bad_condition(C::Subject("\\w{500}{500}".into()), "subject", "too large");
    bad_condition(C::Subject("a".repeat(5000)), "subject", "too large");
}

#[test]
fn a_rule_that_lowers_or_does_nothing() {
    let when = || vec![to("a@b.example")];
    let mut source = with_rules(vec![raising("one", when(), Level::Protected)]);
    refused(source.clone(), "rule", 0, "raise", "never has an effect");
    source.base = Level::Confidential;
    refused(source, "rule", 0, "raise", "nothing lowers");
    refused(
        with_rules(vec![rule("one", when())]),
        "rule",
        0,
        "",
        "does nothing",
    );
    refused(
        with_rules(vec![holding("one", vec![])]),
        "rule",
        0,
        "when",
        "no condition",
    );
    refused(
        with_rules(vec![holding(" ", when())]),
        "rule",
        0,
        "name",
        "no name",
    );
    let same = vec![
        holding("one", when()),
        holding("one", vec![to("c@d.example")]),
    ];
    refused(
        with_rules(same),
        "rule",
        1,
        "name",
        "taken by rule number 1",
    );
}

#[test]
fn what_cannot_be_known_in_time() {
    use Condition as C;
    for (condition, key) in [
        (C::Detector(vec!["us-ssn".into()]), "detector"),
        (C::Unscannable, "unscannable"),
        (C::FirstContact, "first_contact"),
        (C::Level(Level::Restricted), "level"),
        (
            C::UserVolumeOver {
                recipients: 5,
                within: Duration::from_secs(60),
            },
            "volume",
        ),
    ] {
        let rules = vec![rejecting("one", vec![condition])];
        refused(
            with_rules(rules),
            "rule",
            0,
            key,
            "not known when a rule rejects",
        );
    }
    let guard = C::Level(Level::Confidential);
    let raises = vec![raising("one", vec![guard], Level::Restricted)];
    refused(
        with_rules(raises),
        "rule",
        0,
        "level",
        "cannot ask for the level",
    );
    let always = vec![holding("one", vec![C::Level(Level::Protected)])];
    refused(with_rules(always), "rule", 0, "level", "always so");
}

#[test]
fn rules_that_contradict() {
    let when = |text| vec![to(text), Condition::Subject("x".into())];
    let same = vec![
        holding("one", when("a@b.example")),
        rejecting("two", when("a@b.example")),
    ];
    refused(
        with_rules(same),
        "rule",
        0,
        "when",
        "contradicts rule \"two\"",
    );
    for wider in ["*@b.example", "A@b.example"] {
        let rules = vec![
            rejecting("no", vec![to(wider)]),
            holding("one", when("a@b.example")),
        ];
        refused(
            with_rules(rules),
            "rule",
            1,
            "when",
            "rejects all that it matches",
        );
    }
    let rejects = vec![
        rejecting("no", vec![to("*@*.example")]),
        rejecting("none", vec![to("*@b.example")]),
    ];
    refused(
        with_rules(rejects),
        "rule",
        1,
        "when",
        "rejects all that it matches",
    );
    let itself = Rule {
        hold: true,
        ..rejecting("one", when("a@b.example"))
    };
    refused(
        with_rules(vec![itself]),
        "rule",
        0,
        "reject",
        "contradicts itself",
    );
    // Narrower than the other, they live together.
    compile(with_rules(vec![
        rejecting("no", when("a@b.example")),
        holding("one", vec![to("*@b.example")]),
        holding(
            "two",
            vec![to("a@b.example"), Condition::Subject("y".into())],
        ),
    ]));
}

#[test]
fn sections_that_lower_or_repeat() {
    let domains = |list: &[(&str, Option<Level>)]| {
        let mut source = all_ways();
        source.domains = list.iter().map(|(name, _)| section(name)).collect();
        for (section, (_, raise)) in source.domains.iter_mut().zip(list) {
            section.raise = *raise;
        }
        source
    };
    let (confidential, restricted) = (Some(Level::Confidential), Some(Level::Restricted));
    refused(
        domains(&[("a.example", Some(Level::Protected))]),
        "domain",
        0,
        "raise",
        "the base",
    );
    refused(
        domains(&[("*.example", restricted), ("a.example", confidential)]),
        "domain",
        1,
        "raise",
        "\"*.example\" already gives",
    );
    refused(
        domains(&[("a.example", None), ("a.example", None)]),
        "domain",
        1,
        "name",
        "already",
    );
    compile(domains(&[
        ("*.example", confidential),
        ("a.example", restricted),
    ]));

    let mut source = all_ways();
    source.groups = vec![group("ward", &[])];
    refused(source.clone(), "group", 0, "members", "no members");
    source.groups = vec![group("ward", &["ann"]), group("ward", &["ann"])];
    refused(source.clone(), "group", 1, "name", "already");
    source.groups = vec![group("ward", &["ann"])];
    source.groups[0].raise = restricted;
    source.users = vec![user("ann")];
    source.users[0].raise = confidential;
    refused(source.clone(), "user", 0, "raise", "the group \"ward\"");
    source.users = vec![user("bob"), user("bob")];
    refused(source, "user", 1, "name", "already");
}

#[test]
fn methods_and_tags() {
    let methods = |methods| PolicySource {
        methods,
        ..all_ways()
    };
    refused(methods(vec![]), "", 0, "methods", "empty");
    refused(
        methods(vec![Method::Tls, Method::Tls]),
        "",
        0,
        "methods",
        "twice",
    );
    let mut source = all_ways();
    source.domains = vec![section("a.example")];
    source.domains[0].methods = Some(vec![]);
    refused(source.clone(), "domain", 0, "methods", "empty");
    source.domains[0].methods = Some(vec![Method::Tls]);
    source.domains[0].tls_not_enough = true;
    refused(source, "domain", 0, "methods", "not to be enough");
    let tag = |text: &str, raise| SubjectTag {
        text: text.to_owned(),
        raise,
    };
    let tags = |tags| PolicySource { tags, ..all_ways() };
    refused(
        tags(vec![tag(" ", Level::Restricted)]),
        "tag",
        0,
        "text",
        "empty",
    );
    let twice = vec![
        tag("[S]", Level::Restricted),
        tag("[s]", Level::Confidential),
    ];
    refused(tags(twice), "tag", 1, "text", "already");
    let idle = compile(tags(vec![tag("[s]", Level::Protected)]));
    assert!(idle.warnings(NOW)[0].what.contains("raises nothing"));
}

#[test]
fn the_register() {
    let with = |exceptions| PolicySource {
        exceptions,
        ..all_ways()
    };
    let one = || exception("fax@gateway.example", Allowance::Any);
    let domain = || domain_exception("gateway.example", Allowance::Any);
    let second = |name: Option<&str>| Exception {
        second_owner: name.map(str::to_owned),
        ..domain()
    };
    refused(
        with(vec![second(None)]),
        "exception",
        0,
        "second_owner",
        "needs a second",
    );
    let same = second(Some("JO@clinic.example"));
    refused(
        with(vec![same]),
        "exception",
        0,
        "second_owner",
        "is the owner",
    );
    refused(
        with(vec![one(), one()]),
        "exception",
        1,
        "recipient",
        "already",
    );
    let nobody = Exception {
        owner: String::new(),
        ..one()
    };
    refused(with(vec![nobody]), "exception", 0, "owner", "nobody");
    let why = Exception {
        reason: " ".to_owned(),
        ..one()
    };
    refused(with(vec![why]), "exception", 0, "reason", "no reason");
    let sealed = Exception {
        max_level: Level::Sealed,
        ..one()
    };
    refused(
        with(vec![sealed]),
        "exception",
        0,
        "max_level",
        "no exception reaches",
    );
    let expired = compile(with(vec![one(), domain()]));
    assert_eq!(expired.warnings(NOW), []);
    let later = expired.warnings(NOW + Duration::from_secs(86400));
    assert_eq!(later.len(), 2);
    assert!(later[0].what.contains("expired"), "{}", later[0]);
    let above = PolicySource {
        base: Level::Confidential,
        ..with(vec![one()])
    };
    assert!(compile(above).warnings(NOW)[0].what.contains("inert"));
}

#[test]
fn all_problems_are_told_at_once() {
    let source = with_rules(vec![
        raising(
            "one",
            vec![Condition::Subject("(".into())],
            Level::Restricted,
        ),
        raising("one", vec![], Level::Restricted),
        holding("two", vec![Condition::Group(vec!["none".into()])]),
    ]);
    assert_eq!(Policy::compile(source).unwrap_err().len(), 4);
}

#[test]
fn too_many_are_told_so() {
    let mut source = all_ways();
    source.tags = (0..101)
        .map(|n| SubjectTag {
            text: format!("[{n}]"),
            raise: Level::Restricted,
        })
        .collect();
    refused(source, "tag", 100, "", "100 is the most");
}
