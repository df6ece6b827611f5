//! Policies and facts in few words.

use std::time::Duration;

use sealpost::mail::{
    Address, Allowance, Findings, Level, MessageClass, Method, ReversePath, Timestamp,
};
use sealpost::policy::source::{
    Condition, DomainSection, Exception, ExceptionScope, GroupSection, Rule, UserSection,
};
use sealpost::policy::{HeaderFacts, MessageFacts, Policy, PolicySource, RecipientFacts};

/// Monday, 23 November 2026, 10:00 UTC.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_428_000);

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub fn message() -> MessageFacts {
    MessageFacts {
        class: MessageClass::Submitted,
        sender: ReversePath::Address(address("ann@clinic.example")),
        author: Some(address("ann@clinic.example")),
        user: Some("ann".to_owned()),
        listener: Some("0.0.0.0:465".to_owned()),
        client: Some("192.0.2.7".parse().unwrap()),
        received: NOW,
        size: 1000,
        tags: Vec::new(),
        header: HeaderFacts {
            visible_recipients: Some(1),
            ..HeaderFacts::default()
        },
        parts: Some(Vec::new()),
        findings: Some(Findings::default()),
    }
}

pub fn recipient(text: &str) -> RecipientFacts {
    RecipientFacts::new(address(text), NOW)
}

pub fn rule(name: &str, when: Vec<Condition>) -> Rule {
    Rule {
        name: name.to_owned(),
        when,
        raise: None,
        hold: false,
        reject: None,
        alert: false,
    }
}

pub fn raising(name: &str, when: Vec<Condition>, level: Level) -> Rule {
    Rule {
        raise: Some(level),
        ..rule(name, when)
    }
}

pub fn holding(name: &str, when: Vec<Condition>) -> Rule {
    Rule {
        hold: true,
        ..rule(name, when)
    }
}

pub fn rejecting(name: &str, when: Vec<Condition>) -> Rule {
    Rule {
        reject: Some("not here".to_owned()),
        ..rule(name, when)
    }
}

pub fn to(text: &str) -> Condition {
    Condition::Recipient(vec![text.parse().unwrap()])
}

pub fn section(name: &str) -> DomainSection {
    DomainSection {
        name: name.parse().unwrap(),
        raise: None,
        methods: None,
        tls_not_enough: false,
        pin_mx: Vec::new(),
        require_pq: false,
    }
}

pub fn group(name: &str, members: &[&str]) -> GroupSection {
    GroupSection {
        name: name.to_owned(),
        members: members.iter().map(|&member| member.to_owned()).collect(),
        raise: None,
        tls_not_enough: false,
        require_pq: false,
    }
}

pub fn user(name: &str) -> UserSection {
    UserSection {
        name: name.to_owned(),
        raise: None,
        tls_not_enough: false,
        require_pq: false,
    }
}

pub fn exception(recipient: &str, allow: Allowance) -> Exception {
    Exception {
        recipient: ExceptionScope::Address(address(recipient)),
        allow,
        max_level: Level::Protected,
        owner: "jo@clinic.example".to_owned(),
        second_owner: None,
        reason: "patient-request".to_owned(),
        warning: None,
        expires: NOW + Duration::from_secs(86400),
    }
}

pub fn domain_exception(domain: &str, allow: Allowance) -> Exception {
    Exception {
        recipient: ExceptionScope::Domain(domain.parse().unwrap()),
        second_owner: Some("kim@clinic.example".to_owned()),
        ..exception("x@clinic.example", allow)
    }
}

pub fn all_ways() -> PolicySource {
    PolicySource {
        methods: vec![Method::Tls, Method::Smime, Method::Portal],
        smime: true,
        portal: true,
        ..PolicySource::default()
    }
}

pub fn compile(source: PolicySource) -> Policy {
    Policy::compile(source).unwrap_or_else(|problems| panic!("{problems:#?}"))
}
