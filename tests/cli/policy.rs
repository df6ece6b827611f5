//! `sealpost policy`: explanations, records and what is asked of them.

use std::path::Path;
use std::time::Duration;

use sealpost::config;
use sealpost::flow::recorded::Recorder;
use sealpost::journal::MasterKey;
use sealpost::mail::{
    Address, Envelope, Findings, MessageClass, MessageId, ReversePath, Timestamp,
};
use sealpost::policy::{HeaderFacts, MessageFacts, Policy, RecipientFacts};
use sealpost::report::Decisions;
use sealpost::report::decisions::Options;
use serde_json::Value;

use super::commands::GOOD;
use super::daemon::{Served, client, world};
use super::support::{Ran, furnish, put, run};

/// Noon of 2026-11-22.
const NOON: Timestamp = Timestamp::from_secs(1_795_348_800);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SUBJECT: &str = "Biopsy result";

/// A rule, a domain, an exception, a rejection.
const POLICY: &str = r#"
[[policy.rule]]
name = "lab results"
when = { subject = "(?i)result" }
raise = "confidential"
[[policy.rule]]
name = "no spreadsheets"
when = { attachment_name = "(?i)\\.xlsx$" }
reject = "Send spreadsheets through the portal"
[[policy.rule]]
name = "look at secrets"
when = { recipient_domain = ["secret.example"] }
raise = "sealed"
hold = true
[[policy.domain]]
name = "hospital.example"
pin_mx = ["*.mail.hospital.example"]
[[policy.exception]]
recipient = "fax@gateway.example"
allow = "any"
owner = "jo@clinic.example"
reason = "patient-request"
expires = 2036-01-31
"#;

/// A directory with this policy in `sealpost.toml`.
fn scene(policy: &str) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(scratch.path(), "sealpost.toml", &with(policy), 0o644);
    scratch
}

fn with(policy: &str) -> String {
    format!("{GOOD}{policy}")
}

fn policy(directory: &Path, args: &[&str]) -> Ran {
    let mut all = vec!["--config", "sealpost.toml", "policy"];
    all.extend(args);
    run(directory, &all)
}

fn json(directory: &Path, args: &[&str]) -> (Option<i32>, Value) {
    let mut all = args.to_vec();
    all.push("--json");
    let ran = policy(directory, &all);
    let value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    (ran.code, value)
}

#[test]
fn explain_says_every_reason_every_candidate_and_what_helps() {
    let scratch = scene(POLICY);
    let message = format!(
        "From: lab@clinic.example\nTo: a@hospital.example\nSubject: {SUBJECT}\n\nSSN 536-90-4399\n"
    );
    put(scratch.path(), "message.eml", &message, 0o600);
    let args = [
        "explain",
        "--from",
        "lab@clinic.example",
        "--to",
        "a@hospital.example",
        "--to",
        "b@partner.example",
        "--to",
        "c@secret.example",
        "--message",
        "message.eml",
    ];
    let ran = policy(scratch.path(), &args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for wanted in [
        "account       billing (assumed)",
        "listener      127.0.0.1:0",
        "recipient     a@hospital.example",
        "rule \"lab results\"",
        "detector us-ssn (part 0, offset ",
        "candidate   tls accepted",
        "candidate   smime refused: not configured",
        "candidate   portal refused: not configured",
        "goes by tls, over a connection of grade pinned or better",
        "MX hosts      only *.mail.hospital.example",
        "pin the domain's MX hosts",
        "tls refused: its assurance does not reach the level",
        "held by rule \"look at secrets\"",
    ] {
        assert!(ran.out.contains(wanted), "{wanted}\n{}", ran.out);
    }
    assert!(!ran.out.contains("536-90"), "content is never shown");
    assert!(!ran.out.contains(SUBJECT), "nor a subject");
    let (code, report) = json(scratch.path(), &args);
    assert_eq!(code, Some(0));
    let levels: Vec<&str> = report["recipients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["decision"]["level"].as_str().unwrap())
        .collect();
    assert_eq!(levels, ["confidential", "confidential", "sealed"]);
    assert_eq!(report["recipients"][0]["decision"]["demands"], "pinned");
    assert_eq!(
        report["recipients"][2]["decision"]["course"]["course"],
        "hold"
    );
}

#[test]
fn explain_shows_exceptions_refusals_and_what_comes_after_a_short_attempt() {
    let scratch = scene(POLICY);
    let explain = |more: &[&str]| {
        let mut args = vec!["explain", "--from", "a@clinic.example"];
        args.extend(more);
        json(scratch.path(), &args).1
    };
    let fax = explain(&["--to", "fax@gateway.example"]);
    let decision = &fax["recipients"][0]["decision"];
    assert_eq!(decision["exception"]["owner"], "jo@clinic.example");
    assert_eq!(decision["demands"], "any");
    // The exception has ended by then.
    let late = explain(&[
        "--to",
        "fax@gateway.example",
        "--at",
        "2036-02-01T00:00:00Z",
    ]);
    assert_eq!(late["recipients"][0]["decision"]["demands"], "pkix");
    // A host without a valid certificate: nothing else is left.
    let short = explain(&["--to", "a@partner.example", "--reached", "any"]);
    let decision = &short["recipients"][0]["decision"];
    assert_eq!(decision["course"]["course"], "no_method");
    assert!(
        decision["candidates"][0]["refusal"]
            .as_str()
            .unwrap()
            .contains("reached any, and pkix is needed"),
        "{decision}"
    );
    let message = "From: a@clinic.example\r\nSubject: s\r\nContent-Type: text/csv; name=\"x.xlsx\"\r\nContent-Disposition: attachment; filename=\"x.xlsx\"\r\n\r\n1,2\r\n";
    put(scratch.path(), "sheet.eml", message, 0o600);
    let refused = explain(&["--to", "a@partner.example", "--message", "sheet.eml"]);
    assert_eq!(refused["refused"]["rule"], "no spreadsheets", "{refused}");
    // A tag raises, and a level that is none is no guess.
    let tagged = "From: a@clinic.example\r\nSubject: [restricted] s\r\n\r\nx\r\n";
    put(scratch.path(), "tagged.eml", tagged, 0o600);
    let raised = explain(&["--to", "a@partner.example", "--message", "tagged.eml"]);
    let decision = &raised["recipients"][0]["decision"];
    assert_eq!(decision["level"], "restricted", "{raised}");
    assert_eq!(decision["reasons"][0]["asker"], "tag");
    let foreign = "From: somebody@else.example\r\n\r\nx\r\n";
    put(scratch.path(), "foreign.eml", foreign, 0o600);
    let refused = explain(&["--to", "a@partner.example", "--message", "foreign.eml"]);
    let text = refused["refused"]["text"].as_str().unwrap();
    assert!(
        text.contains("may not send as somebody@else.example"),
        "{text}"
    );
}

#[test]
fn explain_says_what_is_missing() {
    let scratch = scene("");
    let explain = |more: &[&str]| {
        let mut args = vec!["explain", "--to", "a@partner.example"];
        args.extend(more);
        policy(scratch.path(), &args)
    };
    for (args, code, wanted) in [
        (
            &["--from", "a@else.example"][..],
            1,
            "no account may send as",
        ),
        (
            &["--from", "a@clinic.example", "--user", "nobody"],
            1,
            "no account is named nobody",
        ),
        (
            &["--from", "a@else.example", "--user", "billing"],
            1,
            "may not send as",
        ),
        (&["--from", "nothing"], 2, "the address has no domain"),
        (
            &["--from", "a@clinic.example", "--at", "noon"],
            2,
            "write it as in",
        ),
        (
            &["--from", "a@clinic.example", "--message", "lost.eml"],
            2,
            "lost.eml cannot be read",
        ),
        (
            &["--from", "a@clinic.example", "--listener", "[::1]:25"],
            2,
            "there are 127.0.0.1:0",
        ),
    ] {
        let ran = explain(args);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.err.contains(wanted), "{wanted}: {ran:?}");
    }
}

/// Records as the daemon makes them: one message a day to each of `recipients`.
fn record(directory: &Path, days: u32, recipients: &[&str]) -> Vec<MessageId> {
    let loaded = config::read_policy(&directory.join("sealpost.toml"), NOON).unwrap();
    let policy = Policy::compile(loaded.config.policy).unwrap();
    let recorder = Recorder::new(&policy).unwrap();
    let options = Options {
        directory: directory.join("data/decisions"),
        master_key: MasterKey::load(&directory.join("master.key")).unwrap(),
        retention: 1000 * DAY,
    };
    let (decisions, _) = Decisions::open(options, NOON).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let sender = ReversePath::Address(Address::parse("lab@clinic.example").unwrap());
    let mut ids = Vec::new();
    for day in 0..days {
        let now = NOON + day * DAY;
        let id = MessageId::new(u64::from(day) + 1000);
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let message = MessageFacts {
            class: MessageClass::Submitted,
            sender: sender.clone(),
            author: None,
            user: Some("billing".to_owned()),
            listener: None,
            client: None,
            received: now,
            size: 1000,
            tags: Vec::new(),
            header: HeaderFacts {
                fields: vec![field("subject", SUBJECT), field("x-project", "apollo")],
                only: None,
                visible_recipients: Some(1),
            },
            parts: Some(Vec::new()),
            findings: Some(Findings::default()),
        };
        let address = |to: &&str| Address::parse(to).unwrap();
        let facts: Vec<RecipientFacts> = recipients
            .iter()
            .map(|to| RecipientFacts::new(address(to), now))
            .collect();
        let envelope = Envelope {
            id,
            class: MessageClass::Submitted,
            reverse_path: sender.clone(),
            recipients: recipients.iter().map(address).collect(),
            author: None,
            message_id: String::new(),
            client: None,
            received: now,
            size: 1000,
            eight_bit: false,
            tags: Vec::new(),
            pickup: Default::default(),
        };
        let decided = policy.decide(&message, &facts);
        let record = recorder
            .record(now, &envelope, &message, &facts, &decided)
            .unwrap();
        runtime.block_on(decisions.record(record)).unwrap();
        ids.push(id);
    }
    decisions.close();
    ids
}

#[test]
fn replay_says_what_would_have_moved_and_what_cannot_be_told() {
    let scratch = scene("");
    record(
        scratch.path(),
        3,
        &["a@partner.example", "b@hospital.example"],
    );
    let (code, same) = json(scratch.path(), &["replay"]);
    assert_eq!(code, Some(0));
    let counts = |report: &Value| {
        [
            "records",
            "recipients",
            "same",
            "moved",
            "raised",
            "lowered",
            "unknown",
        ]
        .map(|name| report[name].as_u64().unwrap())
    };
    assert_eq!(counts(&same), [3, 6, 6, 0, 0, 0, 0], "{same}");
    // The subject is always kept, so this can be told.
    put(scratch.path(), "strict.toml", &with(POLICY), 0o644);
    let (code, moved) = json(scratch.path(), &["replay", "--policy", "strict.toml"]);
    assert_eq!(code, Some(0));
    assert_eq!(counts(&moved), [3, 6, 0, 6, 6, 0, 0], "{moved}");
    let first = &moved["moves"][0];
    assert_eq!(first["recipients"], 3);
    assert_eq!(first["from"]["level"], "protected");
    assert_eq!(first["to"]["level"], "confidential");
    // Nobody looked at this field then, so this cannot, but for whom it makes no difference.
    let project = "[[policy.rule]]\nname = \"apollo\"\nwhen = { header = { X-Project = \"apollo\" }, recipient_domain = \"partner.example\" }\nraise = \"restricted\"\n";
    put(scratch.path(), "project.toml", &with(project), 0o644);
    let (_, unknown) = json(scratch.path(), &["replay", "--policy", "project.toml"]);
    assert_eq!(counts(&unknown), [3, 6, 3, 0, 0, 0, 3], "{unknown}");
    // A detector that did not look then might have fired.
    let words = "[[policy.dictionary]]\nname = \"projects\"\nwords = [\"Apollo\"]\n";
    put(scratch.path(), "words.toml", &with(words), 0o644);
    let (_, unknown) = json(scratch.path(), &["replay", "--policy", "words.toml"]);
    assert_eq!(counts(&unknown), [3, 6, 0, 0, 0, 0, 6], "{unknown}");
    // One day of three.
    let (_, one) = json(
        scratch.path(),
        &["replay", "--since", "2026-11-23", "--until", "2026-11-23"],
    );
    assert_eq!(counts(&one), [1, 2, 2, 0, 0, 0, 0], "{one}");
    let ran = policy(scratch.path(), &["replay", "--policy", "strict.toml"]);
    assert!(ran.out.contains("confidential, tls"), "{ran:?}");
}

#[test]
fn diff_exits_as_diff_does() {
    let scratch = scene("");
    put(
        scratch.path(),
        "same.toml",
        &with("[policy]\nbase = \"protected\"\n"),
        0o644,
    );
    put(scratch.path(), "other.toml", &with(POLICY), 0o644);
    let same = policy(scratch.path(), &["diff", "same.toml"]);
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.out.contains("the same policy"), "{same:?}");
    let other = policy(scratch.path(), &["diff", "other.toml"]);
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.out.contains("strengthens"), "{other:?}");
    assert!(other.out.contains("weakens"), "the exception: {other:?}");
    let (code, report) = json(scratch.path(), &["diff", "other.toml"]);
    assert_eq!((code, &report["same"]), (Some(1), &Value::Bool(false)));
    assert!(!report["changes"].as_array().unwrap().is_empty());
    assert_eq!(policy(scratch.path(), &["diff", "lost.toml"]).code, Some(2));
}

#[test]
fn prove_counts_what_it_tried_and_lists_the_register() {
    let ended = "[[policy.exception]]\nrecipient = \"old@gateway.example\"\nallow = \"any\"\nowner = \"jo@clinic.example\"\nreason = \"patient-request\"\nexpires = 2020-01-31\n";
    let scratch = scene(&format!("{POLICY}{ended}"));
    let ran = policy(scratch.path(), &["prove"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for wanted in [
        "nothing leaves below its demand",
        "content  restricted    mta-sts",
        "content  sealed        never by TLS",
        "dsn      -             pkix",
    ] {
        assert!(ran.out.contains(wanted), "{wanted}\n{}", ran.out);
    }
    let (code, report) = json(scratch.path(), &["prove"]);
    assert_eq!((code, &report["proved"]), (Some(0), &Value::Bool(true)));
    assert!(report["combinations"].as_u64().unwrap() > 1000, "{report}");
    let states: Vec<&str> = report["exceptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["active", "expired"], "{report}");
}

#[test]
fn records_are_listed_shown_and_verified() {
    let scratch = scene(POLICY);
    let ids = record(
        scratch.path(),
        2,
        &["a@partner.example", "fax@gateway.example"],
    );
    let list = policy(scratch.path(), &["records", "list"]);
    assert_eq!(list.out.lines().count(), 5, "{list:?}");
    let (_, page) = json(
        scratch.path(),
        &[
            "records",
            "list",
            "--domain",
            "gateway.example",
            "--since",
            "2026-11-23",
        ],
    );
    let rows = page["records"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{page}");
    assert_eq!(rows[0]["recipient"], "fax@gateway.example");
    assert_eq!(rows[0]["queue_id"], ids[1].to_string());
    let id = ids[0].to_string();
    let shown = policy(scratch.path(), &["records", "show", &id]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.out.contains("rule \"lab results\""), "{shown:?}");
    assert!(shown.out.contains("subject: (hidden)"), "{shown:?}");
    assert!(!shown.out.contains(SUBJECT), "{shown:?}");
    let shown = policy(scratch.path(), &["records", "show", &id, "--facts"]);
    assert!(shown.out.contains(SUBJECT), "{shown:?}");
    let (_, shown) = json(scratch.path(), &["records", "show", &id]);
    assert_eq!(shown[0]["facts"]["message"]["user"], "billing");
    assert!(!shown.to_string().contains(SUBJECT), "{shown}");
    let (code, verdict) = json(scratch.path(), &["records", "verify"]);
    assert_eq!((code, &verdict["ok"]), (Some(0), &Value::Bool(true)));
    assert_eq!(verdict["recipients"], 4);
    let unknown = policy(scratch.path(), &["records", "show", "0000000000001"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("nothing is recorded"), "{unknown:?}");
}

#[test]
fn a_changed_record_is_named_by_file_and_line() {
    let scratch = scene("");
    record(scratch.path(), 2, &["a@partner.example"]);
    let path = scratch.path().join("data/decisions/2026-11-22.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("a@partner.example", "z@partner.example"),
    )
    .unwrap();
    let ran = policy(scratch.path(), &["records", "verify"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let wanted = "2026-11-22.jsonl:3: the line was changed after it was written";
    assert!(ran.out.contains(wanted), "{ran:?}");
    // Without the key the chain shows it at the line behind.
    let ran = policy(scratch.path(), &["records", "verify", "--chain-only"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("2026-11-23.jsonl:1: "), "{ran:?}");
    let ran = policy(scratch.path(), &["replay"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("not whole"), "{ran:?}");
}

/// Who is root and has the key can write a chain anew that is whole in itself. A head that was kept
/// elsewhere is not in it.
#[test]
fn records_that_were_written_anew_lack_the_head_that_was_noted() {
    let scratch = scene("");
    record(scratch.path(), 2, &["a@partner.example"]);
    let (_, verdict) = json(scratch.path(), &["records", "verify"]);
    let head = verdict["head"].as_str().unwrap().to_owned();
    let with_head = ["records", "verify", "--noted", &head];
    let (code, verdict) = json(scratch.path(), &with_head);
    assert_eq!((code, &verdict["noted"]), (Some(0), &Value::Bool(true)));
    std::fs::remove_dir_all(scratch.path().join("data/decisions")).unwrap();
    record(scratch.path(), 2, &["z@partner.example"]);
    let ran = policy(scratch.path(), &["records", "verify"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = policy(scratch.path(), &with_head);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("not in the chain"), "{ran:?}");
}

#[test]
fn what_keeps_records_from_being_read_is_said_with_the_mend() {
    let scratch = scene("");
    let ran = policy(scratch.path(), &["records", "verify"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("no decision was recorded there yet"),
        "{ran:?}"
    );
    record(scratch.path(), 1, &["a@partner.example"]);
    let other = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=\n";
    put(scratch.path(), "master.key", other, 0o600);
    for args in [&["records", "verify"][..], &["replay"]] {
        let ran = policy(scratch.path(), args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("another master key"), "{ran:?}");
    }
    std::fs::remove_file(scratch.path().join("master.key")).unwrap();
    let ran = policy(scratch.path(), &["records", "verify"]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    let ran = policy(scratch.path(), &["records", "verify", "--chain-only"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_forecast_of_the_small_world_is_what_becomes_of_its_mail() {
    let scratch = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let home = world(scratch.path(), &runtime);
    let list = "# ours\ntls.test\n\nsmime.test\nweak.test\nnowhere.test\n";
    put(scratch.path(), "domains", list, 0o600);
    let (code, report) = json(scratch.path(), &["forecast", "--domains", "domains"]);
    assert_eq!(code, Some(0));
    let seen: Vec<(&str, &str, &str)> = report["domains"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let grade = row["grade"].as_str().unwrap_or("-");
            let way = row["ways"]["protected"].as_str().unwrap();
            (row["domain"].as_str().unwrap(), grade, way)
        })
        .collect();
    let expected = [
        ("tls.test", "pkix", "tls"),
        ("smime.test", "any", "portal"),
        ("weak.test", "none", "no method"),
        ("nowhere.test", "-", "unknown"),
    ];
    assert_eq!(seen, expected, "{report}");
    assert_eq!(report["mix"]["protected"]["tls"], 1);
    assert_eq!(report["mix"]["sealed"]["no method"], 4, "{report}");
    let ran = policy(
        scratch.path(),
        &["forecast", "--domains", "domains", "--level", "protected"],
    );
    assert!(ran.out.contains("25 %"), "{ran:?}");
    put(scratch.path(), "domains", "tls.test\nnot a domain\n", 0o600);
    let ran = policy(scratch.path(), &["forecast", "--domains", "domains"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("domains:2: "), "{ran:?}");
    drop(home);
}

#[test]
fn what_explain_says_is_what_the_daemon_puts_on_record() {
    let scratch = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let home = world(scratch.path(), &runtime);
    let config = std::fs::read_to_string(scratch.path().join("sealpost.toml")).unwrap();
    let rule = "\n[[policy.rule]]\nname = \"results\"\nwhen = { subject = \"(?i)result\" }\nraise = \"confidential\"\n";
    put(
        scratch.path(),
        "sealpost.toml",
        &format!("{config}{rule}"),
        0o600,
    );
    let content = "From: you@dev.test\r\nTo: friend@weak.test\r\nSubject: Your result\r\n\r\nSSN 536-90-4399\r\n";
    put(scratch.path(), "message.eml", content, 0o600);
    let served = Served::start(scratch.path(), "sealpost.toml");
    let sender = client(&home, &served, home.password());
    let sent = sender.send("you@dev.test", &["friend@weak.test"], content.as_bytes());
    let id = runtime.block_on(sent).unwrap().to_string();
    let explained = || {
        json(
            scratch.path(),
            &[
                "explain",
                "--from",
                "you@dev.test",
                "--to",
                "friend@weak.test",
                "--message",
                "message.eml",
            ],
        )
        .1
    };
    let decision = explained()["recipients"][0]["decision"].clone();
    assert_eq!(decision["level"], "confidential", "{decision}");
    assert_eq!(served.stop(), Some(0));
    let (_, shown) = json(scratch.path(), &["records", "show", &id]);
    assert_eq!(shown[0]["decided"][0]["decision"], decision, "{shown}");
    let (code, verdict) = json(scratch.path(), &["records", "verify"]);
    assert_eq!(code, Some(0), "{verdict}");
    assert!(verdict["recipients"].as_u64().unwrap() >= 1);
}
