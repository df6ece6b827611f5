//! What always holds, over made-up policies and messages.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sealpost::mail::{
    Allowance, Asker, Course, Decision, Finding, Findings, Grade, Level, Method, Tag, TlsStanding,
    Unreadable, Unscannable,
};
use sealpost::policy::source::{Condition, DomainSection, PolicySource, Rule};
use sealpost::policy::{
    CertificateFact, HeaderFacts, MAX_REASONS, MessageFacts, PartFacts, Policy, RecipientFacts,
    wanted,
};

use super::support::*;

const DOMAINS: [&str; 5] = [
    "a.example",
    "x.a.example",
    "y.x.a.example",
    "b.example",
    "c.test",
];
const PEOPLE: [&str; 3] = ["ann", "Bob", "kim"];
const DETECTORS: [&str; 3] = ["us-ssn", "mrn", "own"];

fn level() -> impl Strategy<Value = Level> {
    (0..4_usize).prop_map(|n| Level::ALL[n])
}

fn raised() -> impl Strategy<Value = Level> {
    (1..4_usize).prop_map(|n| Level::ALL[n])
}

fn domain() -> impl Strategy<Value = &'static str> {
    (0..DOMAINS.len()).prop_map(|n| DOMAINS[n])
}

fn mailbox() -> impl Strategy<Value = String> {
    (0..PEOPLE.len(), domain()).prop_map(|(n, domain)| format!("{}@{domain}", PEOPLE[n]))
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        mailbox(),
        domain().prop_map(|domain| format!("*@{domain}")),
        domain().prop_map(|domain| format!("*@*.{domain}")),
    ]
}

fn patterns() -> impl Strategy<Value = Vec<sealpost::mail::AddressPattern>> {
    prop::collection::vec(pattern(), 1..3)
        .prop_map(|list| list.iter().map(|text| text.parse().unwrap()).collect())
}

fn condition() -> impl Strategy<Value = Condition> {
    let word = || prop::sample::select(vec!["result", "(?i)RESULT", "plan", "^x", "o"]);
    prop_oneof![
        3 => patterns().prop_map(Condition::Recipient),
        2 => patterns().prop_map(Condition::Sender),
        1 => patterns().prop_map(Condition::Author),
        1 => (0..3_usize).prop_map(|n| Condition::User(vec![PEOPLE[n].to_owned()])),
        1 => Just(Condition::Group(vec!["ward".to_owned()])),
        2 => word().prop_map(|text| Condition::Subject(text.to_owned())),
        1 => word().prop_map(|text| Condition::Header {
            name: "X-Project".to_owned(),
            pattern: text.to_owned(),
        }),
        1 => Just(Condition::AttachmentName("pdf$".to_owned())),
        1 => Just(Condition::AttachmentType(vec!["image/*".to_owned(), "application/pdf".to_owned()])),
        1 => (0..2000_u64).prop_map(Condition::SizeOver),
        1 => (0..1440_u16, 0..1440_u16).prop_map(|(from, to)| Condition::Hours { from, to }),
        1 => prop::collection::vec(0..7_u8, 1..4).prop_map(Condition::Days),
        2 => (0..3_usize).prop_map(|n| Condition::Detector(vec![DETECTORS[n].to_owned()])),
        1 => Just(Condition::Unscannable),
        1 => Just(Condition::LookAlike),
        1 => Just(Condition::FirstContact),
        1 => (0..30_u64).prop_map(|recipients| Condition::UserVolumeOver {
            recipients,
            within: Duration::from_secs(3600),
        }),
    ]
}

prop_compose! {
    fn made_rule()(
        when in prop::collection::vec(condition(), 1..4),
        raise in raised(),
        kind in 0..4_u8,
        least in prop::option::of(raised()),
    ) -> Rule {
        let mut made = rule("", when);
        match kind {
            0 | 1 => made.raise = Some(raise),
            2 => {
                made.hold = true;
                made.when.extend(least.map(Condition::Level));
            }
            _ => made.alert = true,
        }
        made
    }
}

prop_compose! {
    fn made_section()(
        name in domain(),
        below in any::<bool>(),
        raise in prop::option::of(raised()),
        tls_not_enough in any::<bool>(),
        require_pq in any::<bool>(),
        pinned in any::<bool>(),
    ) -> DomainSection {
        let mut made = section(&format!("{}{name}", if below { "*." } else { "" }));
        made.raise = raise;
        made.tls_not_enough = tls_not_enough;
        made.require_pq = require_pq;
        if pinned {
            made.pin_mx = vec!["mx.example".parse().unwrap()];
        }
        made
    }
}

prop_compose! {
    fn made_policy()(
        rules in prop::collection::vec(made_rule(), 0..12),
        sections in prop::collection::vec(made_section(), 0..4),
        ways in any::<(bool, bool)>(),
        levels in prop::collection::vec(prop::option::of(raised()), 6),
        excepted in prop::option::of((mailbox(), any::<bool>(), 0..3_usize)),
    ) -> PolicySource {
        let mut source = PolicySource { smime: ways.0, portal: ways.1, ..all_ways() };
        source.domains = sections;
        source.rules = rules;
        for (number, rule) in source.rules.iter_mut().enumerate() {
            rule.name = format!("rule {number}");
        }
        source.groups = vec![group("ward", &["ann", "kim"])];
        source.groups[0].raise = levels[0];
        source.unscannable = levels[1];
        source.media = levels[2];
        for (name, level) in DETECTORS.iter().zip(&levels[3..]) {
            source.detectors.insert((*name).to_owned(), level.unwrap_or(Level::Protected));
        }
        source.partners = vec!["b.example".parse().unwrap()];
        source.exceptions = excepted.into_iter().map(|(to, none, max)| {
            let allow = if none { Allowance::None } else { Allowance::Any };
            let mut entry = exception(&to, allow);
            entry.max_level = Level::ALL[max];
            entry
        }).collect();
        source
    }
}

prop_compose! {
    fn made_message()(
        sender in mailbox(),
        user in 0..3_usize,
        subject in prop::sample::select(vec!["", "Result of Monday", "a plan", "xylophone"]),
        project in prop::option::of(Just("plan o".to_owned())),
        part in prop::option::of(prop::sample::select(vec![("image/png", "a.png"), ("application/pdf", "b.pdf")])),
        size in 0..2000_u64,
        found in prop::collection::vec(0..3_usize, 0..3),
        unreadable in prop::option::of(0..10_usize),
        scanned in any::<bool>(),
        tag in prop::option::of(level()),
        seconds in 0..604_800_u64,
    ) -> MessageFacts {
        let mut facts = message();
        facts.sender = sealpost::mail::ReversePath::Address(address(&sender));
        facts.author = Some(address(&sender));
        facts.user = Some(PEOPLE[user].to_owned());
        let project = project.map(|value| ("x-project".to_owned(), value));
        facts.header = HeaderFacts {
            fields: std::iter::once(("subject".to_owned(), subject.to_owned())).chain(project).collect(),
            only: None,
            visible_recipients: Some(1),
        };
        facts.parts = Some(part.into_iter().map(|(kind, name)| PartFacts {
            kind: kind.to_owned(),
            name: Some(name.to_owned()),
            other_name: None,
        }).collect());
        facts.size = size;
        facts.received = NOW + Duration::from_secs(seconds);
        let found = found.into_iter().map(|n| Finding {
            detector: DETECTORS[n].into(), part: 1, offset: 7,
        }).collect();
        let unscannable = unreadable.into_iter().map(|n| Unscannable { part: 2, why: Unreadable::ALL[n] }).collect();
        facts.findings = scanned.then_some(Findings { found, unscannable });
        facts.tags = tag.into_iter().map(|level| Tag { text: None, level }).collect();
        facts
    }
}

prop_compose! {
    fn made_recipient()(
        to in mailbox(),
        standing in 0..4_u8,
        grades in (0..6_usize, 0..6_usize),
        certificate in 0..4_u8,
        first_contact in any::<Option<bool>>(),
        volume in prop::option::of(0..40_u64),
        since in 0..30_000_u64,
        suspected in any::<bool>(),
    ) -> RecipientFacts {
        let mut facts = recipient(&to);
        facts.suspected = suspected;
        let (reached, required) = (Grade::ALL[grades.0], Grade::ALL[grades.1]);
        facts.tls = match standing {
            0 | 1 => TlsStanding::Untried,
            2 => TlsStanding::Short { reached, required },
            _ => TlsStanding::Suspected {
                reached, required, expected: Grade::Pkix, since: NOW - Duration::from_secs(since),
            },
        };
        facts.certificate = match certificate {
            0 => CertificateFact::None,
            1 => CertificateFact::Valid,
            2 => CertificateFact::Directory,
            _ => CertificateFact::Pinned,
        };
        facts.first_contact = first_contact;
        facts.volume = volume.into_iter().map(|count| (3600, count)).collect();
        facts
    }
}

/// A made-up policy may have a fault of its own; then it is no case.
fn compiled(source: &PolicySource) -> Option<Policy> {
    Policy::compile(source.clone()).ok()
}

fn one(policy: &Policy, message: &MessageFacts, recipient: &RecipientFacts) -> Arc<Decision> {
    policy
        .decide(message, std::slice::from_ref(recipient))
        .remove(0)
}

/// Makes a policy pass: rules and sections that are at fault go.
fn mended(mut source: PolicySource) -> PolicySource {
    for _ in 0..20 {
        let Err(problems) = Policy::compile(source.clone()) else {
            return source;
        };
        let mut of_rules: Vec<usize> = Vec::new();
        let mut of_domains: Vec<usize> = Vec::new();
        for problem in &problems {
            match problem.table {
                "rule" => of_rules.push(problem.index),
                "domain" => of_domains.push(problem.index),
                other => panic!("{other}: {problem}"),
            }
        }
        let keep = |gone: &[usize], index: usize| !gone.contains(&index);
        let mut at = 0..;
        source.rules.retain(|_| keep(&of_rules, at.next().unwrap()));
        let mut at = 0..;
        source
            .domains
            .retain(|_| keep(&of_domains, at.next().unwrap()));
    }
    panic!("still at fault");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_added_lowers(
        source in made_policy().prop_map(mended),
        extra in made_rule(),
        detector in level(),
        tag in level(),
        message in made_message(),
        to in made_recipient(),
    ) {
        let policy = compile(source.clone());
        let before = one(&policy, &message, &to);
        let mut more = source.clone();
        more.rules.push(Rule { name: "extra".to_owned(), ..extra });
        if let Some(policy) = compiled(&more) {
            let after = one(&policy, &message, &to);
            prop_assert!(after.level >= before.level);
            for reason in &before.reasons {
                prop_assert!(after.reasons.contains(reason));
            }
            if matches!(before.course, Course::Hold(_)) {
                prop_assert!(matches!(after.course, Course::Hold(_)));
            }
        }
        let mut more = source;
        more.detectors.insert("extra".to_owned(), detector);
        let policy_more = compile(more);
        let mut found = message.clone();
        if let Some(findings) = &mut found.findings {
            findings.found.push(Finding { detector: "extra".into(), part: 0, offset: 0 });
        }
        prop_assert!(one(&policy_more, &found, &to).level >= before.level);
        let mut tagged = message.clone();
        tagged.tags.push(Tag { text: Some("[t]".into()), level: tag });
        prop_assert!(one(&policy, &tagged, &to).level >= before.level.max(tag));
    }

    #[test]
    fn order_never_matters(
        source in made_policy().prop_map(mended),
        message in made_message(),
        to in prop::collection::vec(made_recipient(), 1..6),
        turn in 0..12_usize,
    ) {
        let policy = compile(source.clone());
        let mut other = source;
        other.rules.reverse();
        let by = turn % other.rules.len().max(1);
        other.rules.rotate_left(by);
        for rule in &mut other.rules {
            rule.when.reverse();
        }
        other.domains.reverse();
        let turned = compile(other);
        prop_assert_eq!(policy.hash(), turned.hash());
        prop_assert_eq!(policy.decide(&message, &to), turned.decide(&message, &to));
    }

    #[test]
    fn each_recipient_is_decided_as_if_alone(
        source in made_policy().prop_map(mended),
        message in made_message(),
        to in prop::collection::vec(made_recipient(), 1..12),
    ) {
        let policy = compile(source);
        let together = policy.decide(&message, &to);
        prop_assert_eq!(together.len(), to.len());
        for (recipient, decision) in to.iter().zip(&together) {
            prop_assert_eq!(&one(&policy, &message, recipient), decision);
        }
        for a in &together {
            for b in &together {
                prop_assert_eq!(a == b, Arc::ptr_eq(a, b));
            }
        }
    }

    #[test]
    fn the_index_finds_what_a_plain_reading_finds(
        source in made_policy().prop_map(mended),
        message in made_message(),
        to in made_recipient(),
    ) {
        let policy = compile(source.clone());
        let decision = one(&policy, &message, &to);
        for rule in source.rules.iter().filter(|rule| rule.raise.is_some()) {
            let name: Arc<str> = rule.name.as_str().into();
            let named = decision.reasons.iter().any(|reason| reason.asker == Asker::Rule(Arc::clone(&name)));
            prop_assert_eq!(named, plainly_matches(&source, rule, &message, &to), "{:?}", rule);
        }
    }

    #[test]
    fn what_is_decided_hangs_together(
        source in made_policy().prop_map(mended),
        message in made_message(),
        to in made_recipient(),
    ) {
        let policy = compile(source);
        let decision = one(&policy, &message, &to);
        let highest = decision.reasons.iter().map(|reason| reason.level).max();
        prop_assert_eq!(highest, Some(decision.level));
        prop_assert!(decision.reasons.iter().any(|reason| reason.asker == Asker::Base));
        prop_assert!(decision.reasons.is_sorted_by(|a, b| a.level >= b.level));
        prop_assert!(decision.reasons.len() <= MAX_REASONS);
        let demand = wanted(&decision, message.class).demand();
        prop_assert_eq!(demand.is_some(), decision.course == Course::Send(Method::Tls));
        prop_assert!(decision.exception.is_none() || decision.course == Course::Send(Method::Tls));
        if let Some(demand) = demand {
            prop_assert_eq!(demand.is_met_by(Grade::Any), decision.exception.is_some());
        }
        let judged = policy.judge(&message, std::slice::from_ref(&to)).remove(0);
        prop_assert_eq!(&judged.if_all_match, &decision);
        prop_assert!(judged.if_none_match.level <= decision.level);
        let all_known = message.findings.is_some() && to.first_contact.is_some() && !to.volume.is_empty();
        if all_known {
            prop_assert_eq!(judged.certain(), Some(&decision));
        }
    }

    #[test]
    fn a_released_hold_no_longer_holds(
        source in made_policy().prop_map(mended),
        message in made_message(),
        to in made_recipient(),
    ) {
        let policy = compile(source);
        let decision = one(&policy, &message, &to);
        if let Course::Hold(names) = &decision.course {
            let mut released = to.clone();
            released.released = names[1..].to_vec();
            prop_assert_eq!(&one(&policy, &message, &released).course, &Course::Hold(names[..1].to_vec()));
            released.released = names.clone();
            let after = one(&policy, &message, &released);
            prop_assert!(!matches!(after.course, Course::Hold(_)));
            prop_assert_eq!(after.level, decision.level);
        }
    }
}

/// A condition read as it is written, without index, sets or memory; unknown counts as so.
fn plainly_matches(
    source: &PolicySource,
    rule: &Rule,
    message: &MessageFacts,
    to: &RecipientFacts,
) -> bool {
    let field = |name: &str, pattern: &str| {
        let regex = regex::Regex::new(pattern).unwrap();
        let mut fields = message.header.fields.iter();
        fields.any(|(n, value)| n == name && regex.is_match(value))
    };
    let minutes = message.received.as_secs() / 60;
    let parts = message.parts.as_ref().unwrap();
    rule.when.iter().all(|condition| match condition {
        Condition::Recipient(list) => list.iter().any(|pattern| pattern.matches(&to.address)),
        Condition::Sender(list) => {
            let sender = message.sender.address().unwrap();
            list.iter().any(|pattern| pattern.matches(sender))
        }
        Condition::Author(list) => {
            let author = message.author.as_ref().unwrap();
            list.iter().any(|pattern| pattern.matches(author))
        }
        Condition::User(list) => list.contains(message.user.as_ref().unwrap()),
        Condition::Group(_) => source.groups[0]
            .members
            .contains(message.user.as_ref().unwrap()),
        Condition::Subject(pattern) => field("subject", pattern),
        Condition::Header { pattern, .. } => field("x-project", pattern),
        Condition::AttachmentName(_) => parts
            .iter()
            .any(|part| part.name.as_ref().unwrap().ends_with("pdf")),
        Condition::AttachmentType(_) => !parts.is_empty(),
        Condition::SizeOver(size) => message.size > *size,
        Condition::Hours { from, to } => {
            let minute = u16::try_from(minutes % 1440).unwrap();
            match from < to {
                true => minute >= *from && minute < *to,
                false => minute >= *from || minute < *to,
            }
        }
        Condition::Days(days) => days.contains(&u8::try_from((minutes / 1440 + 3) % 7).unwrap()),
        Condition::Detector(names) => message.findings.as_ref().is_none_or(|findings| {
            let mut found = findings.found.iter();
            found.any(|finding| *finding.detector == *names[0])
        }),
        Condition::Unscannable => message
            .findings
            .as_ref()
            .is_none_or(|findings| !findings.unscannable.is_empty()),
        // Partners: b.example, and the exact sections.
        Condition::LookAlike => {
            let sections = source
                .domains
                .iter()
                .filter_map(|section| match &section.name {
                    sealpost::mail::DomainPattern::Exact(domain) => Some(domain),
                    sealpost::mail::DomainPattern::Below(_) => None,
                });
            sealpost::policy::lookalike(to.address.domain(), source.partners.iter().chain(sections))
                .is_some()
        }
        Condition::FirstContact => to.first_contact.unwrap_or(true),
        Condition::UserVolumeOver { recipients, .. } => to
            .volume
            .first()
            .is_none_or(|(_, count)| count > recipients),
        other => panic!("{other:?} is not made"),
    })
}

#[test]
fn a_thousand_recipients_share_one_decision() {
    let mut source = all_ways();
    source.rules = vec![raising("x", vec![to("*@a.example")], Level::Confidential)];
    let policy = compile(source);
    let recipients: Vec<_> = (0..1000)
        .map(|n| recipient(&format!("p{n}@a.example")))
        .collect();
    let decisions = policy.decide(&message(), &recipients);
    assert!(decisions.iter().all(|d| Arc::ptr_eq(d, &decisions[0])));
    assert_eq!(decisions[0].level, Level::Confidential);
}

#[test]
fn reasons_are_bounded_and_the_base_stays() {
    let mut source = all_ways();
    for n in 0..100 {
        let level = if n == 70 {
            Level::Sealed
        } else {
            Level::Restricted
        };
        let when = vec![to("*@a.example")];
        source
            .rules
            .push(raising(&format!("rule {n}"), when, level));
    }
    let decision = one(&compile(source), &message(), &recipient("x@a.example"));
    assert_eq!(decision.reasons.len(), MAX_REASONS);
    assert_eq!(decision.reasons[0].asker, Asker::Rule("rule 70".into()));
    assert_eq!(decision.reasons[MAX_REASONS - 1].asker, Asker::Base);
}
