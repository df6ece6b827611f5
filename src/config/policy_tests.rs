//! What the policy of a file becomes, and what is said of one that is at fault.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::mail::{Allowance, Domain, Level, Method};
use crate::policy::PolicySource;
use crate::policy::source::{Condition, ExceptionScope, Network};

const HEAD: &str = "hostname = \"mail.clinic.example\"\nmaster_key = \"k\"\npostmaster = \"p@clinic.example\"\n[[listener]]\naddress = \"0.0.0.0:465\"\ntls = \"implicit\"\n[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n[auth]\nusers = \"u\"\n";

/// In January 2027.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The policy of a text that has no problem.
fn policy(text: &str) -> PolicySource {
    config(text).policy
}

fn config(text: &str) -> Config {
    let text = format!("{HEAD}{text}");
    let mut sheet = Sheet::new(Path::new("/etc/sealpost/sealpost.toml"), &text);
    let config = parse(&mut sheet);
    assert_eq!(sheet.into_problems().to_string(), "");
    config.unwrap()
}

/// The problems of a text, without file and line.
fn problems(text: &str) -> Vec<String> {
    let text = format!("{HEAD}{text}");
    let mut sheet = Sheet::new(Path::new("s.toml"), &text);
    parse(&mut sheet);
    let problems = sheet.into_problems().0.into_iter();
    problems
        .map(|problem| format!("{}; {}", problem.what, problem.mend))
        .collect()
}

/// A directory with a main file and others; what `load` makes of the policy.
fn loaded(main: &str, others: &[(&str, &str)]) -> (tempfile::TempDir, Result<Loaded, LoadError>) {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::create_dir(scratch.path().join("policy.d")).unwrap();
    let main = format!("{HEAD}{main}");
    for (name, text) in others
        .iter()
        .copied()
        .chain([("sealpost.toml", main.as_str())])
    {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    }
    let read = read_policy(&scratch.path().join("sealpost.toml"), NOW);
    (scratch, read)
}

/// The problems of such a directory, with the names of files relative to it.
fn problems_of(main: &str, others: &[(&str, &str)]) -> String {
    let (scratch, read) = loaded(main, others);
    let Err(LoadError::Problems(problems)) = read else {
        panic!("no problems: {read:?}");
    };
    let directory = format!("{}/", scratch.path().display());
    problems.to_string().replace(&directory, "")
}

#[test]
fn an_empty_policy_has_every_detector_and_the_default_tags() {
    for text in ["", "[policy]\n"] {
        let source = policy(text);
        assert_eq!(source.base, Level::Protected);
        assert_eq!(source.methods, [Method::Tls, Method::Smime, Method::Portal]);
        assert_eq!(source.unscannable, Some(Level::Confidential));
        assert_eq!(source.media, Some(Level::Confidential));
        let tags: Vec<_> = source
            .tags
            .iter()
            .map(|t| (t.text.as_str(), t.raise))
            .collect();
        assert_eq!(
            tags,
            [
                ("[secure]", Level::Confidential),
                ("[restricted]", Level::Restricted)
            ]
        );
        let shipped: BTreeSet<&str> = crate::scan::detect::SHIPPED
            .iter()
            .map(|d| d.name)
            .collect();
        assert_eq!(
            source
                .detectors
                .keys()
                .map(String::as_str)
                .collect::<BTreeSet<_>>(),
            shipped
        );
        assert!(
            source
                .detectors
                .values()
                .all(|level| *level == Level::Confidential)
        );
    }
    assert_eq!(
        config("").record_retention,
        Duration::from_secs(2190 * 86_400)
    );
}

#[test]
fn the_contracts_example_is_read_word_for_word() {
    let source = policy(
        r#"[retry]
downgrade_hold = "2h"
[policy]
base = "protected"
methods = ["tls", "smime", "portal"]
[[policy.rule]]
name = "lab results"
when = { sender_domain = ["lab.clinic.example"], subject = "(?i)result" }
raise = "confidential"
[[policy.domain]]
name = "hospital.example"
methods = ["smime", "portal"]
pin_mx = ["*.mail.hospital.example"]
[[policy.exception]]
recipient = "fax@gateway.example"
allow = "any"                            # or "none"; lowest grade
max_level = "protected"
owner = "jo@clinic.example"
reason = "patient-request"
expires = 2027-01-31
"#,
    );
    assert!(crate::policy::Policy::compile(source.clone()).is_ok());
    assert_eq!(source.downgrade_hold, Duration::from_secs(7200));
    let [rule] = source.rules.as_slice() else {
        panic!("{:?}", source.rules)
    };
    assert_eq!(rule.name, "lab results");
    assert_eq!(rule.raise, Some(Level::Confidential));
    assert_eq!(
        rule.when,
        [
            Condition::SenderDomain(vec!["lab.clinic.example".parse().unwrap()]),
            Condition::Subject("(?i)result".to_owned()),
        ]
    );
    let [domain] = source.domains.as_slice() else {
        panic!("{:?}", source.domains)
    };
    assert_eq!(domain.methods, Some(vec![Method::Smime, Method::Portal]));
    assert_eq!(domain.pin_mx, ["*.mail.hospital.example".parse().unwrap()]);
    let [exception] = source.exceptions.as_slice() else {
        panic!("{:?}", source.exceptions)
    };
    assert_eq!(
        exception.recipient,
        ExceptionScope::Address("fax@gateway.example".parse().unwrap())
    );
    assert_eq!(exception.allow, Allowance::Any);
    assert_eq!(exception.max_level, Level::Protected);
    assert_eq!(
        exception.expires.to_rfc3339(),
        "2027-01-31T00:00:00.000000Z"
    );
}

#[test]
fn every_condition_becomes_what_it_says() {
    let source = policy(
        r#"[[policy.rule]]
name = "all"
alert = true
reject = "No"
[policy.rule.when]
sender = "*@lab.clinic.example"
author_domain = ["a.example", "*.a.example"]
user = "billing"
group = ["research"]
recipient = ["jo@b.example"]
subject = ["a|b", "c"]
header = { X-Project = "", "X-Kind" = ["x", "y"] }
size_over = "10 MiB"
attachment_name = '\.csv$'
attachment_type = ["application/PDF", "image/*"]
listener = "unix:submission.sock"
client = "10.0.0.0/8"
hours = "18:00-06:00"
days = ["sun", "sat", "sun"]
detector = "us-ssn"
unscannable = true
lookalike = true
visible_recipients_over = 20
first_contact = true
volume = { recipients_over = 500, within = "1h" }
level = "confidential"
"#,
    );
    let header = |name: &str, pattern: &str| Condition::Header {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
    };
    assert_eq!(
        source.rules[0].when,
        [
            Condition::Sender(vec!["*@lab.clinic.example".parse().unwrap()]),
            Condition::AuthorDomain(vec![
                "a.example".parse().unwrap(),
                "*.a.example".parse().unwrap()
            ]),
            Condition::User(vec!["billing".to_owned()]),
            Condition::Group(vec!["research".to_owned()]),
            Condition::Recipient(vec!["jo@b.example".parse().unwrap()]),
            Condition::Subject("(?:a|b)|(?:c)".to_owned()),
            header("X-Kind", "(?:x)|(?:y)"),
            header("X-Project", ""),
            Condition::SizeOver(10 << 20),
            Condition::AttachmentName(r"\.csv$".to_owned()),
            Condition::AttachmentType(vec!["application/pdf".to_owned(), "image/*".to_owned()]),
            Condition::Detector(vec!["us-ssn".to_owned()]),
            Condition::Unscannable,
            Condition::Listener(vec!["unix:/etc/sealpost/submission.sock".to_owned()]),
            Condition::Client(vec![Network {
                address: "10.0.0.0".parse().unwrap(),
                prefix: 8
            }]),
            Condition::Hours {
                from: 1080,
                to: 360
            },
            Condition::Days(vec![5, 6]),
            Condition::LookAlike,
            Condition::VisibleRecipientsOver(20),
            Condition::FirstContact,
            Condition::UserVolumeOver {
                recipients: 500,
                within: Duration::from_secs(3600)
            },
            Condition::Level(Level::Confidential),
        ]
    );
}

#[test]
fn detectors_have_levels_and_can_be_off() {
    let config = config(
        r#"[policy]
unscannable = "restricted"
media = "off"
[policy.detectors]
us-ssn = "restricted"
birth-date = "off"
[[policy.dictionary]]
name = "projects"
words = ["Apollo"]
raise = "protected"
[[policy.pattern]]
name = "case-number"
regex = 'CASE-\d+'
"#,
    );
    let source = &config.policy;
    assert_eq!(source.unscannable, Some(Level::Restricted));
    assert_eq!(source.media, None);
    assert_eq!(source.detectors.get("us-ssn"), Some(&Level::Restricted));
    assert_eq!(source.detectors.get("projects"), Some(&Level::Protected));
    assert_eq!(
        source.detectors.get("case-number"),
        Some(&Level::Confidential)
    );
    assert_eq!(source.detectors.get("birth-date"), None);
    assert!(!config.detectors.enabled.contains("birth-date"));
    assert!(config.detectors.enabled.contains("us-ssn"));
    assert_eq!(config.detectors.dictionaries[0].at_least, 1);
    let media = policy("[policy]\nunscannable = \"off\"\n");
    assert_eq!((media.unscannable, media.media), (None, None));
}

#[test]
fn default_tags_stand_only_where_there_is_none_and_they_are_wanted() {
    let none = policy("[policy]\ndefault_tags = false\n");
    assert_eq!(none.tags, []);
    let own = "[[policy.tag]]\ntext = \"[phi]\"\nraise = \"restricted\"\n";
    assert_eq!(policy(own).tags.len(), 1);
    let (_scratch, read) = loaded(
        "[policy]\ninclude = [\"policy.d/*.toml\"]\n",
        &[("policy.d/tags.toml", own)],
    );
    let tags = read.unwrap().config.policy.tags;
    assert_eq!(tags.len(), 1, "{tags:?}");
    assert_eq!(tags[0].text, "[phi]");
}

#[test]
fn included_files_are_read_in_the_order_of_their_names() {
    let rule = |name: &str| {
        format!("[[policy.rule]]\nname = \"{name}\"\nwhen = {{ subject = \"x\" }}\nalert = true\n")
    };
    let own = rule("main");
    let main = format!(
        "[policy]\ninclude = [\"policy.d/*.toml\", \"more.toml\"]\npartners = [\"a.example\"]\n{own}"
    );
    let partners = "[policy]\npartners = [\"b.example\", \"a.example\"]\n";
    let (_scratch, read) = loaded(
        &main,
        &[
            ("policy.d/20.toml", &rule("20")),
            ("policy.d/10.toml", &rule("10")),
            ("policy.d/.hidden.toml", "nonsense"),
            ("policy.d/10.toml.bak", "nonsense"),
            ("more.toml", partners),
        ],
    );
    let source = read.unwrap().config.policy;
    let names: Vec<&str> = source.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["main", "10", "20"]);
    let partners: Vec<&str> = source.partners.iter().map(Domain::as_str).collect();
    assert_eq!(partners, ["a.example", "b.example"]);
}

#[test]
fn problems_of_an_included_file_carry_its_name() {
    let said = problems_of(
        "[policy]\ninclude = [\"policy.d/*.toml\"]\n",
        &[
            (
                "policy.d/a.toml",
                "\n[[policy.rule]]\nname = \"x\"\nwhen = { subject = \"x\" }\n  raise = \"Confidential\"\n",
            ),
            ("policy.d/b.toml", "[policy]\nbase = \"sealed\"\n"),
            ("policy.d/c.toml", "hostname = \"x.example\"\n[policy\n"),
        ],
    );
    assert_eq!(
        said,
        "policy.d/a.toml:5:11: policy.rule.raise has the unknown value \"Confidential\"; did you mean \"confidential\"? It is one of \"protected\", \"confidential\", \"restricted\", \"sealed\"\n\
         policy.d/b.toml:2:1: policy.base stands in an included file, and is said once for all; move it into the main file\n\
         policy.d/c.toml:2:8: not TOML: unclosed table, expected `]`; see toml.io for the syntax"
    );
}

#[test]
fn what_everybody_can_write_is_not_read() {
    let (scratch, read) = loaded(
        "[policy]\ninclude = [\"policy.d/a.toml\"]\n[[policy.dictionary]]\nname = \"d\"\nfile = \"words\"\n",
        &[("policy.d/a.toml", "[policy]\n"), ("words", "Apollo\n")],
    );
    assert_eq!(
        read.unwrap().config.detectors.dictionaries[0].words,
        ["Apollo"]
    );
    let main = scratch.path().join("sealpost.toml");
    for (name, line) in [("policy.d/a.toml", 13), ("words", 16)] {
        let path = scratch.path().join(name);
        let allow = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
        allow(0o666).unwrap();
        let said = read_policy(&main, NOW).unwrap_err().to_string();
        assert!(said.contains(&format!("sealpost.toml:{line}:")), "{said}");
        assert!(
            said.contains("can be written by everybody (mode 0666); chmod o-w"),
            "{said}"
        );
        allow(0o640).unwrap();
    }
    let directory = scratch.path().join("policy.d");
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(read_policy(&main, NOW).is_ok(), "the file itself is named");
    let text = std::fs::read_to_string(&main).unwrap();
    std::fs::write(&main, text.replace("policy.d/a.toml", "policy.d/*.toml")).unwrap();
    let said = read_policy(&main, NOW).unwrap_err().to_string();
    assert!(
        said.contains("the directory of policy.include, can be written"),
        "{said}"
    );
}

#[test]
fn a_link_is_followed_and_a_file_counts_once() {
    let (scratch, read) = loaded(
        "[policy]\ninclude = [\"policy.d/*.toml\"]\n",
        &[
            ("policy.d/a.toml", "[policy]\n"),
            ("elsewhere.toml", "[policy]\npartners = [\"a.example\"]\n"),
        ],
    );
    read.unwrap();
    let main = scratch.path().join("sealpost.toml");
    let link = scratch.path().join("policy.d/b.toml");
    std::os::unix::fs::symlink("../elsewhere.toml", &link).unwrap();
    assert_eq!(
        read_policy(&main, NOW)
            .unwrap()
            .config
            .policy
            .partners
            .len(),
        1
    );
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("../sealpost.toml", &link).unwrap();
    let said = read_policy(&main, NOW).unwrap_err().to_string();
    assert!(
        said.contains("b.toml is read already; name it once"),
        "{said}"
    );
}

#[test]
fn the_digests_follow_the_words_and_not_their_order() {
    let digest = |words: &str| {
        let main = "[[policy.dictionary]]\nname = \"d\"\nfile = \"words\"\n";
        let (_scratch, read) = loaded(main, &[("words", words)]);
        read.unwrap()
            .config
            .policy
            .detector_digests
            .remove("d")
            .unwrap()
    };
    assert_eq!(
        digest("Apollo\nGemini\n"),
        digest("# names\nGemini\n\nApollo\n")
    );
    assert_ne!(digest("Apollo\nGemini\n"), digest("Apollo\n"));
}

#[test]
fn a_detectors_fault_is_told_at_its_key() {
    for (text, expected) in [
        (
            "[[policy.pattern]]\nname = \"p\"\nregex = \"(\"\n",
            "sealpost.toml:14:9: pattern `p`: ",
        ),
        (
            "[[policy.pattern]]\nname = \"p\"\nregex = \"a*\"\n",
            "sealpost.toml:14:9: pattern `p` matches the empty text, and so every mail; let it ask",
        ),
        (
            "[[policy.dictionary]]\nname = \"mrn\"\nwords = [\"x\"]\n",
            "sealpost.toml:13:8: `mrn` names two detectors; give it another name",
        ),
        (
            "[[policy.dictionary]]\nname = \"d\"\nwords = [\"x\"]\nat_least = 2\n",
            "sealpost.toml:15:12: dictionary `d` can never fire: at_least = 2",
        ),
        (
            "[[policy.dictionary]]\nname = \"d\"\nfile = \"empty\"\n",
            "sealpost.toml:14:8: dictionary `d` has no words; write some",
        ),
    ] {
        let said = problems_of(text, &[("empty", "# nothing\n")]);
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn a_list_that_is_not_there_is_missing_and_not_empty() {
    let said = problems_of(
        "[policy]\nicd10_codes = \"codes\"\ninclude = [\"policy.d/*.toml\", \"lost.toml\"]\n[[policy.dictionary]]\nname = \"d\"\nfile = \"lost\"\n",
        &[],
    );
    assert_eq!(
        said,
        "sealpost.toml:13:15: policy.icd10_codes codes does not exist; correct the path\n\
         sealpost.toml:14:12: an entry of policy.include, policy.d/*.toml, matches no file; correct it, or put a file there\n\
         sealpost.toml:14:31: policy.include lost.toml does not exist; correct the path\n\
         sealpost.toml:17:8: policy.dictionary.file lost does not exist; correct the path"
    );
}

#[test]
fn an_exception_ends_at_its_local_midnight_and_says_so_before() {
    let source = policy(
        "[policy]\nutc_offset = \"+01:00\"\n[[policy.domain]]\nname = \"*.c.example\"\nraise = \"confidential\"\n[[policy.exception]]\nrecipient = \"fax@a.example\"\nallow = \"none\"\nowner = \"jo\"\nreason = \"r\"\nexpires = 2027-01-31\n[[policy.exception]]\nrecipient = \"b.c.example\"\nallow = \"any\"\nowner = \"jo\"\nsecond_owner = \"kim\"\nreason = \"r\"\nexpires = 2027-06-30T12:00:00Z\n",
    );
    let ends = Timestamp::from_secs(1_801_350_000);
    let states = |now| {
        let entries = register(&source, now).into_iter();
        entries.map(|entry| entry.state).collect::<Vec<_>>()
    };
    let before = ends - Duration::from_secs(1);
    assert_eq!(
        states(before),
        [RegisterState::Active, RegisterState::Inert]
    );
    assert_eq!(states(ends), [RegisterState::Expired, RegisterState::Inert]);
    let later = Timestamp::from_secs(1_900_000_000);
    assert_eq!(
        states(later),
        [RegisterState::Expired, RegisterState::Expired]
    );
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for (when, expected) in [
        (
            "unscannable = false",
            "policy.rule.when.unscannable is false, and a rule can ask only whether it is so",
        ),
        (
            "user = []",
            "policy.rule.when.user is empty: nothing matches it",
        ),
        (
            "hours = \"25:00-26:00\"",
            "policy.rule.when.hours is not two times of the day",
        ),
        (
            "days = [\"sunday\"]",
            "an entry of policy.rule.when.days has the unknown value \"sunday\"",
        ),
        (
            "client = \"10.0.0.1/8\"",
            "policy.rule.when.client has bits behind its prefix; write 10.0.0.0/8",
        ),
        (
            "header = { \"X Y\" = \"z\" }",
            "policy.rule.when.header.X Y is no name of a header field",
        ),
        (
            "attachment_type = \"pdf\"",
            "policy.rule.when.attachment_type is no media type",
        ),
        (
            "volume = { recipients_over = 1 }",
            "policy.rule.when.volume.within is missing",
        ),
        (
            "sendr = \"a@b.example\"",
            "unknown key policy.rule.when.sendr; did you mean sender?",
        ),
        (
            "",
            "policy.rule.when is empty: the rule would be for all mail",
        ),
    ] {
        let said = problems(&format!(
            "[[policy.rule]]\nname = \"r\"\nwhen = {{ {when} }}\nalert = true\n"
        ));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(expected), "{said:?}");
    }
}

#[test]
fn a_mutated_policy_is_answered_with_problems_and_no_panic() {
    use proptest::prelude::*;
    let documented = include_str!("../../conf/sealpost.toml");
    let text: String = documented
        .lines()
        .map(|line| {
            let example = line.strip_prefix('#').filter(|it| !it.starts_with(' '));
            format!("{}\n", example.unwrap_or(line))
        })
        .collect();
    let start = text.find("[policy]").unwrap();
    let end = text.find("[log]").unwrap();
    let lines: Vec<&str> = text[start..end]
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let change = (
        0..lines.len(),
        0usize..60,
        "\\PC{0,3}|\"|\\[|\\{|true|-1|\"\"|=",
    );
    proptest!(ProptestConfig::with_cases(200), |(changes in proptest::collection::vec(change, 1..6))| {
        let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        for (line, at, with) in changes {
            let line = &mut changed[line];
            let at = (0..=line.len().min(at)).rev().find(|at| line.is_char_boundary(*at)).unwrap();
            line.truncate(at);
            line.push_str(&with);
        }
        let text = format!("{HEAD}{}\n", changed.join("\n"));
        let mut sheet = Sheet::new(Path::new("any.toml"), &text);
        if let Some(mut config) = parse(&mut sheet) {
            config.policy_places.includes.clear();
            compile::policy(&config, NOW, &mut sheet);
            register(&config.policy, NOW);
        }
        for problem in sheet.into_problems().0 {
            prop_assert!(problem.line >= 1 && problem.column >= 1);
        }
    });
}
