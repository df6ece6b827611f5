//! The table of decisions: what is decided for which facts, case by case, in words.
//!
//! `tests/decisions/*.txt`. A file begins with the policy that its cases share; a line
//! `case: …` begins a case, which may add to the policy, states the facts, and ends with what must
//! be decided, the lines behind `=>`. Everything that is decided stands there, so a case fails
//! whenever anything about it changes. What a case does not state is the ordinary: a submitted
//! message of Monday, 23 November 2026, 10:00 UTC from ann@clinic.example, account ann, 1000
//! octets, scanned with nothing found; TLS not tried yet, no certificate.
//!
//! Policy: `base`, `methods`, `configured` (smime, portal), `downgrade_hold`, `utc_offset`,
//! `partners`, `unscannable`, `media`, `detector: NAME LEVEL`, `tag: TEXT LEVEL`,
//! `rule: NAME when CONDITION & CONDITION then ACTION, ACTION`, `domain: NAME SETTING, SETTING`,
//! `group: NAME of MEMBERS SETTING`, `account: NAME SETTING`,
//! `exception: RECIPIENT allow any|none up to LEVEL until DATE`; a recipient `@domain` has two
//! owners.
//!
//! Facts: `class`, `from`, `author`, `account`, `listener`, `client`, `at`, `size`, `subject`,
//! `field: NAME = VALUE`, `known fields`, `visible`, `part: TYPE NAME`, `not looked at`, `found`,
//! `unreadable`, `asked: TAG LEVEL`, `to`, `now`, `tls`, `certificate`, `unsealable`,
//! `secret`, `phone`, `registered`, `undepositable`, `suspected before`, `released`,
//! `first contact`, `volume: RECIPIENTS in SECONDS`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use sealpost::mail::{
    Address, Allowance, Course, Decision, Finding, Findings, Grade, Level, MessageClass, Method,
    PickupBy, ReversePath, Tag, Timestamp, TlsStanding, Unreadable, Unscannable, Verdict,
};
use sealpost::policy::source::{
    Condition, DomainSection, Exception, ExceptionScope, GroupSection, Network, Rule, SubjectTag,
    UserSection,
};
use sealpost::policy::{
    CertificateFact, HeaderFacts, MessageFacts, PartFacts, Policy, PolicySource, RecipientFacts,
    Wanted, asks_portal, wanted,
};
use time::macros::format_description;

/// Fewest cases that the table must have.
const LEAST_CASES: usize = 150;

#[test]
fn every_case_is_decided_as_the_table_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decisions");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let mut names = Vec::new();
    let mut wrong = String::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut blocks = text.split("\ncase: ");
        let head = blocks.next().unwrap();
        for block in blocks {
            let (name, body) = block.split_once('\n').unwrap();
            let body = format!("\n{body}");
            let (given, expected) = body.split_once("\n=> ").unwrap_or((&body, ""));
            let mut case = Case::default();
            for line in head.lines().chain(given.lines()) {
                case.line(line);
            }
            let decided = case.decided();
            let expected = format!("=> {}", expected.trim_end());
            let expected: Vec<&str> = expected.lines().collect();
            if expected != decided {
                let decided = decided.join("\n");
                writeln!(wrong, "{file}: {name}\n{decided}\n").unwrap();
            }
            names.push(name.to_owned());
        }
    }
    assert!(wrong.is_empty(), "decided otherwise:\n{wrong}");
    let count = names.len();
    assert!(count >= LEAST_CASES, "only {count} cases");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two cases have one name");
}

struct Case {
    source: PolicySource,
    message: MessageFacts,
    recipient: RecipientFacts,
}

impl Default for Case {
    fn default() -> Self {
        let ann = address("ann@clinic.example");
        let now = moment("2026-11-23 10:00");
        Self {
            source: PolicySource::default(),
            message: MessageFacts {
                class: MessageClass::Submitted,
                sender: ReversePath::Address(ann.clone()),
                author: Some(ann),
                user: Some("ann".to_owned()),
                listener: Some("0.0.0.0:465".to_owned()),
                client: Some("192.0.2.7".parse().unwrap()),
                received: now,
                size: 1000,
                tags: Vec::new(),
                header: HeaderFacts {
                    visible_recipients: Some(1),
                    ..HeaderFacts::default()
                },
                parts: Some(Vec::new()),
                findings: Some(Findings::default()),
            },
            recipient: RecipientFacts::new(address("pat@home.example"), now),
        }
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn level(word: &str) -> Level {
    let found = Level::ALL.into_iter().find(|level| level.as_str() == word);
    found.unwrap_or_else(|| panic!("{word} is no level"))
}

fn optional_level(word: &str) -> Option<Level> {
    (word != "off").then(|| level(word))
}

fn grade(word: &str) -> Grade {
    let found = Grade::ALL.into_iter().find(|grade| grade.as_str() == word);
    found.unwrap_or_else(|| panic!("{word} is no grade"))
}

/// A part by its type and, behind a blank, its name.
fn part(value: &str) -> PartFacts {
    let (kind, name) = value.split_once(' ').unwrap_or((value, ""));
    PartFacts {
        kind: kind.to_owned(),
        name: (!name.is_empty()).then(|| name.to_owned()),
        other_name: None,
    }
}

fn moment(text: &str) -> Timestamp {
    let text = match text.contains(':') {
        true => text.to_owned(),
        false => format!("{text} 00:00"),
    };
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    let moment = time::PrimitiveDateTime::parse(&text, format)
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    Timestamp::from_secs(u64::try_from(moment.assume_utc().unix_timestamp()).unwrap())
}

fn method(word: &str) -> Method {
    let all = [Method::Tls, Method::Smime, Method::Portal];
    let found = all.into_iter().find(|method| method.as_str() == word);
    found.unwrap_or_else(|| panic!("{word} is no method"))
}

fn list<T>(text: &str, make: impl Fn(&str) -> T) -> Vec<T> {
    text.split_whitespace()
        .map(|word| make(word.trim_end_matches(',')))
        .collect()
}

fn patterns<T: std::str::FromStr>(text: &str) -> Vec<T> {
    list(text, |word| {
        word.parse()
            .unwrap_or_else(|_| panic!("{word} is no pattern"))
    })
}

fn words(text: &str) -> Vec<String> {
    list(text, str::to_owned)
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "m" => 60,
        "h" => 3600,
        other => panic!("{other} is no unit"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * unit)
}

fn minutes(text: &str) -> u16 {
    let (hours, minutes) = text.split_once(':').unwrap();
    hours.parse::<u16>().unwrap() * 60 + minutes.parse::<u16>().unwrap()
}

impl Case {
    fn line(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
        let value = value.trim();
        if !self.policy(key, value) && !self.of_message(key, value) {
            self.of_recipient(key, value);
        }
    }

    fn policy(&mut self, key: &str, value: &str) -> bool {
        let source = &mut self.source;
        match key {
            "base" => source.base = level(value),
            "methods" => source.methods = list(value, method),
            "configured" => {
                source.smime = value.contains("smime");
                source.portal = value.contains("portal");
            }
            "downgrade_hold" => source.downgrade_hold = duration(value),
            "utc_offset" => source.utc_offset_minutes = value.parse().unwrap(),
            "partners" => source.partners = list(value, |name| name.parse().unwrap()),
            "unscannable" => source.unscannable = optional_level(value),
            "media" => source.media = optional_level(value),
            "detector" => {
                let (name, asked) = value.split_once(' ').unwrap();
                source.detectors.insert(name.to_owned(), level(asked));
            }
            "tag" => {
                let (text, raise) = value.rsplit_once(' ').unwrap();
                let (text, raise) = (text.to_owned(), level(raise));
                source.tags.push(SubjectTag { text, raise });
            }
            "rule" => source.rules.push(rule(value)),
            "domain" => source.domains.push(domain(value)),
            "group" => {
                let (name, rest) = value.split_once(" of ").unwrap();
                let (members, settings) = rest.split_once(" with ").unwrap_or((rest, ""));
                source.groups.push(GroupSection {
                    name: name.to_owned(),
                    members: words(members),
                    raise: setting(settings, "raise").map(level),
                    tls_not_enough: settings.contains("tls_not_enough"),
                    require_pq: settings.contains("require_pq"),
                });
            }
            "section of account" => {
                let (name, settings) = value.split_once(" with ").unwrap();
                source.users.push(UserSection {
                    name: name.to_owned(),
                    raise: setting(settings, "raise").map(level),
                    tls_not_enough: settings.contains("tls_not_enough"),
                    require_pq: settings.contains("require_pq"),
                });
            }
            "exception" => source.exceptions.push(exception(value)),
            _ => return false,
        }
        true
    }

    fn of_message(&mut self, key: &str, value: &str) -> bool {
        let facts = &mut self.message;
        match key {
            "class" => {
                assert_eq!(value, "bounce");
                facts.class = MessageClass::Dsn;
                facts.sender = ReversePath::Null;
                (facts.author, facts.user, facts.client) = (None, None, None);
                facts.listener = None;
            }
            "from" if value == "<>" => facts.sender = ReversePath::Null,
            "from" => facts.sender = ReversePath::Address(address(value)),
            "author" => facts.author = Some(address(value)),
            "account" => facts.user = Some(value.to_owned()),
            "listener" => facts.listener = Some(value.to_owned()),
            "client" => facts.client = (value != "none").then(|| value.parse().unwrap()),
            "at" => {
                facts.received = moment(value);
                self.recipient.now = moment(value);
            }
            "size" => facts.size = value.parse().unwrap(),
            "subject" => facts
                .header
                .fields
                .push(("subject".to_owned(), value.to_owned())),
            "field" => {
                let (name, text) = value.split_once(" = ").unwrap();
                facts
                    .header
                    .fields
                    .push((name.to_lowercase(), text.to_owned()));
            }
            "known fields" => facts.header.only = Some(words(value)),
            "visible" => facts.header.visible_recipients = Some(value.parse().unwrap()),
            "part" => facts.parts.as_mut().unwrap().push(part(value)),
            "part's other name" => {
                let part = facts.parts.as_mut().unwrap().last_mut().unwrap();
                part.other_name = Some(value.to_owned());
            }
            "not looked at" if value == "parts" => facts.parts = None,
            "not looked at" => facts.findings = None,
            "found" => facts
                .findings
                .as_mut()
                .unwrap()
                .found
                .extend(list(value, |name| Finding {
                    detector: name.into(),
                    part: 1,
                    offset: 40,
                })),
            "unreadable" => {
                let why = Unreadable::ALL
                    .into_iter()
                    .find(|why| why.as_str() == value);
                let unscannable = Unscannable {
                    part: 2,
                    why: why.unwrap(),
                };
                facts
                    .findings
                    .as_mut()
                    .unwrap()
                    .unscannable
                    .push(unscannable);
            }
            "asked" => {
                let (text, asked) = value.rsplit_once(' ').unwrap();
                let text = (text != "field").then(|| text.into());
                facts.tags.push(Tag {
                    text,
                    level: level(asked),
                });
            }
            _ => return false,
        }
        true
    }

    fn of_recipient(&mut self, key: &str, value: &str) {
        let facts = &mut self.recipient;
        match key {
            "to" => facts.address = address(value),
            "now" => facts.now = moment(value),
            "tls" => facts.tls = standing(value),
            "unsealable" => facts.unsealable = value == "yes",
            "secret" => facts.pickup.secret = value == "yes",
            "phone" => facts.pickup.phone = value == "yes",
            "registered" => facts.pickup.registered = Some(value == "yes"),
            "undepositable" => facts.undepositable = value == "yes",
            "suspected before" => facts.suspected = value == "yes",
            "certificate" => {
                facts.certificate = match value {
                    "valid" => CertificateFact::Valid,
                    "directory" => CertificateFact::Directory,
                    "pinned" => CertificateFact::Pinned,
                    // `problem revoked`: there is one, and it cannot be used.
                    other => {
                        let word = other.strip_prefix("problem ").map(str::to_owned);
                        let word = word.unwrap_or_else(|| panic!("{other} is no certificate"));
                        let problem = serde_json::from_value(word.into()).unwrap();
                        facts.certificate_problem = Some(problem);
                        CertificateFact::None
                    }
                }
            }
            "released" => facts.released = value.split(", ").map(Into::into).collect(),
            "first contact" => facts.first_contact = Some(value == "yes"),
            "volume" => {
                let (count, within) = value.split_once(" in ").unwrap();
                let window = within.parse().unwrap();
                facts.volume.retain(|(other, _)| *other != window);
                facts.volume.push((window, count.parse().unwrap()));
            }
            other => panic!("{other}: not known"),
        }
    }

    fn decided(&self) -> Vec<String> {
        let policy = match Policy::compile(self.source.clone()) {
            Ok(policy) => policy,
            Err(problems) => panic!("{problems:#?}"),
        };
        let to = [self.recipient.address.clone()];
        if let Some(refused) = policy.refuse(&self.message, &to) {
            return vec![format!(
                "=> refused by rule \"{}\": {}",
                refused.rule, refused.text
            )];
        }
        let recipient = std::slice::from_ref(&self.recipient);
        let judged = policy.judge(&self.message, recipient).remove(0);
        let mut lines = told(&judged.if_all_match, self.message.class);
        if asks_portal(&judged.if_all_match, self.recipient.pickup) {
            lines.push("=> asks the portal".to_owned());
        }
        if judged.certain().is_none() {
            lines.push("=> hangs on what is not known".to_owned());
        }
        lines
    }
}

/// `short REACHED for REQUIRED`, `suspected REACHED, known EXPECTED, since TIME`.
fn standing(text: &str) -> TlsStanding {
    if let Some(rest) = text.strip_prefix("short ") {
        let (reached, required) = rest.split_once(" for ").unwrap();
        return TlsStanding::Short {
            reached: grade(reached),
            required: grade(required),
        };
    }
    let rest = text.strip_prefix("suspected ").unwrap();
    let (reached, rest) = rest.split_once(", known ").unwrap();
    let (expected, since) = rest.split_once(", since ").unwrap();
    TlsStanding::Suspected {
        reached: grade(reached),
        required: Grade::Pkix,
        expected: grade(expected),
        since: moment(since),
    }
}

fn rule(text: &str) -> Rule {
    let (name, rest) = text.split_once(" when ").unwrap();
    let (when, then) = rest.rsplit_once(" then ").unwrap();
    let mut rule = Rule {
        name: name.to_owned(),
        when: when.split(" & ").map(condition).collect(),
        raise: None,
        hold: false,
        reject: None,
        alert: false,
    };
    for action in then.split(", ") {
        match action.split_once(' ').unwrap_or((action, "")) {
            ("raise", word) => rule.raise = Some(level(word)),
            ("hold", _) => rule.hold = true,
            ("alert", _) => rule.alert = true,
            ("reject", text) => rule.reject = Some(text.to_owned()),
            other => panic!("{other:?} is no action"),
        }
    }
    rule
}

fn condition(text: &str) -> Condition {
    let (key, value) = text.split_once(' ').unwrap_or((text, ""));
    match key {
        "sender" => Condition::Sender(patterns(value)),
        "sender_domain" => Condition::SenderDomain(patterns(value)),
        "author" => Condition::Author(patterns(value)),
        "author_domain" => Condition::AuthorDomain(patterns(value)),
        "account" => Condition::User(words(value)),
        "group" => Condition::Group(words(value)),
        "recipient" => Condition::Recipient(patterns(value)),
        "recipient_domain" => Condition::RecipientDomain(patterns(value)),
        "subject" => Condition::Subject(value.to_owned()),
        "header" => {
            let (name, pattern) = value.split_once(" = ").unwrap_or((value, ""));
            let (name, pattern) = (name.to_owned(), pattern.to_owned());
            Condition::Header { name, pattern }
        }
        "size_over" => Condition::SizeOver(value.parse().unwrap()),
        "attachment_name" => Condition::AttachmentName(value.to_owned()),
        "attachment_type" => Condition::AttachmentType(words(value)),
        "listener" => Condition::Listener(words(value)),
        "client" => Condition::Client(list(value, |text| {
            let (address, prefix) = text.split_once('/').unwrap();
            let (address, prefix) = (address.parse().unwrap(), prefix.parse().unwrap());
            Network { address, prefix }
        })),
        "hours" => {
            let (from, to) = value.split_once('-').unwrap();
            let (from, to) = (minutes(from), minutes(to));
            Condition::Hours { from, to }
        }
        "days" => Condition::Days(list(value, |day| {
            let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let found = days.iter().position(|name| *name == day).unwrap();
            u8::try_from(found).unwrap()
        })),
        "detector" => Condition::Detector(words(value)),
        "unscannable" => Condition::Unscannable,
        "lookalike" => Condition::LookAlike,
        "visible_recipients_over" => Condition::VisibleRecipientsOver(value.parse().unwrap()),
        "first_contact" => Condition::FirstContact,
        "volume_over" => {
            let (recipients, within) = value.split_once(" in ").unwrap();
            let recipients = recipients.parse().unwrap();
            let within = duration(within);
            Condition::UserVolumeOver { recipients, within }
        }
        "level" => Condition::Level(level(value)),
        other => panic!("{other} is no condition"),
    }
}

/// The value of a setting such as `raise restricted` among others.
fn setting<'a>(settings: &'a str, name: &str) -> Option<&'a str> {
    let mut all = settings.split(", ");
    all.find_map(|one| one.strip_prefix(name)).map(str::trim)
}

fn domain(text: &str) -> DomainSection {
    let (name, settings) = text.split_once(" with ").unwrap_or((text, ""));
    DomainSection {
        name: name.parse().unwrap(),
        raise: setting(settings, "raise").map(level),
        methods: setting(settings, "methods").map(|text| list(text, method)),
        tls_not_enough: settings.contains("tls_not_enough"),
        pin_mx: setting(settings, "pin_mx")
            .map(patterns)
            .unwrap_or_default(),
        require_pq: settings.contains("require_pq"),
    }
}

/// `RECIPIENT allow any up to LEVEL until DATE`.
fn exception(text: &str) -> Exception {
    let (recipient, rest) = text.split_once(" allow ").unwrap();
    let (allow, rest) = rest.split_once(" up to ").unwrap();
    let (max_level, expires) = rest.split_once(" until ").unwrap();
    let (recipient, second_owner) = match recipient.strip_prefix('@') {
        Some(domain) => {
            let second = Some("kim@clinic.example".to_owned());
            (ExceptionScope::Domain(domain.parse().unwrap()), second)
        }
        None => (ExceptionScope::Address(address(recipient)), None),
    };
    Exception {
        recipient,
        allow: match allow {
            "any" => Allowance::Any,
            "none" => Allowance::None,
            other => panic!("{other}"),
        },
        max_level: level(max_level),
        owner: "jo@clinic.example".to_owned(),
        second_owner,
        reason: "patient-request".to_owned(),
        warning: None,
        expires: moment(expires),
    }
}

/// A decision in words: all of it.
fn told(decision: &Decision, class: MessageClass) -> Vec<String> {
    let reasons: Vec<String> = decision
        .reasons
        .iter()
        .map(|reason| format!("{} ({})", reason.asker, reason.level))
        .collect();
    let candidates: Vec<String> = decision
        .candidates
        .iter()
        .map(|candidate| match &candidate.verdict {
            Verdict::Accepted => format!("{} accepted", candidate.method),
            Verdict::Refused(why) => format!("{} refused: {why}", candidate.method),
        })
        .collect();
    let wanted = wanted(decision, class);
    let course = match (&decision.course, wanted.demand()) {
        (Course::Send(Method::Portal), None) => {
            let Wanted::Notice(by) = wanted else {
                panic!("{wanted:?}")
            };
            assert_eq!(decision.pickup, Some(by));
            let by = match by {
                PickupBy::Mailbox => "a code to the mailbox",
                PickupBy::Apart => "what is apart from the mailbox",
            };
            format!("goes by portal, opened by {by}")
        }
        (Course::Send(Method::Tls), Some(demand)) => {
            format!("goes by tls at {} or better", demand.least())
        }
        (Course::Send(method), None) => format!("goes by {method}"),
        (Course::Wait { until }, None) => format!("waits until {until}"),
        (Course::Hold(names), None) => format!("is held by {}", names.join(", ")),
        (Course::NoMethod, None) => "waits: no method is left".to_owned(),
        other => panic!("{other:?}"),
    };
    let mut lines = vec![
        format!("=> {}: {}", decision.level, reasons.join("; ")),
        format!("=> {}", candidates.join("; ")),
        format!("=> {course}"),
    ];
    if decision.factors != decision.level {
        lines.push(format!(
            "=> with the portal's factors of {}",
            decision.factors
        ));
    }
    let terms = &decision.terms;
    if !terms.pin_mx.is_empty() {
        let pins: Vec<String> = terms.pin_mx.iter().map(ToString::to_string).collect();
        lines.push(format!("=> only to {}", pins.join(", ")));
    }
    if terms.require_pq {
        lines.push("=> only with a post-quantum key exchange".to_owned());
    }
    if let Some(used) = &decision.exception {
        lines.push(format!(
            "=> by the exception for {} of {}",
            used.recipient, used.owner
        ));
    }
    if !decision.alerts.is_empty() {
        lines.push(format!("=> alerts: {}", decision.alerts.join(", ")));
    }
    lines
}
