//! The policy of the configuration as an operator meets it: what `check` lists, and a reload.

use std::path::Path;

use super::commands::GOOD;
use super::daemon::{Served, client, send, world};
use super::support::{Ran, furnish, put, run};

fn check(directory: &Path, more: &[&str]) -> Ran {
    run(
        directory,
        &[&["check", "--config", "sealpost.toml"], more].concat(),
    )
}

const REGISTER: &str = r#"
[[policy.exception]]
recipient = "fax@gateway.example"
allow = "none"
owner = "jo@clinic.example"
reason = "patient-request"
warning = "Anybody on the way can read it."
expires = 2999-01-31
[[policy.exception]]
recipient = "gateway.example"
allow = "any"
owner = "jo@clinic.example"
second_owner = "kim@clinic.example"
reason = "contract"
expires = 2020-01-31T12:00:00Z
[[policy.exception]]
recipient = "fax@hospital.example"
allow = "any"
owner = "jo@clinic.example"
reason = "contract"
expires = 2999-01-31
[[policy.domain]]
name = "hospital.example"
raise = "confidential"
pin_mx = ["mx.hospital.example"]
"#;

#[test]
fn check_lists_the_register_of_exceptions() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(
        scratch.path(),
        "sealpost.toml",
        &format!("{GOOD}{REGISTER}"),
        0o644,
    );
    let ran = check(scratch.path(), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in [
        "fax@gateway.example   none   protected  jo@clinic.example                      patient-request  2999-01-31T00:00  active",
        "gateway.example       any    protected  jo@clinic.example, kim@clinic.example  contract         2020-01-31T12:00  expired",
        "fax@hospital.example  any    protected  jo@clinic.example                      contract         2999-01-31T00:00  inert",
    ] {
        assert!(
            ran.out.lines().any(|said| said == line),
            "{line}\n{}",
            ran.out
        );
    }
    assert!(
        ran.out.contains("sealpost.toml:32:11: warning: "),
        "{}",
        ran.out
    );
    assert!(ran.out.ends_with("sealpost.toml: good\n"), "{}", ran.out);
    let json = check(scratch.path(), &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let entries = report["exceptions"].as_array().unwrap();
    let states: Vec<_> = entries.iter().map(|entry| &entry["state"]).collect();
    assert_eq!(states, ["active", "expired", "inert"]);
    assert_eq!(entries[0]["allow"], "none");
    assert_eq!(entries[0]["expires"], "2999-01-31T00:00:00.000000Z");
    assert_eq!(entries[1]["second_owner"], "kim@clinic.example");
    assert!(report["problems"].as_array().unwrap().len() >= 2);
}

#[test]
fn a_policy_at_fault_is_not_reloaded_and_the_running_one_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let home = world(scratch.path(), &runtime);
    let main = std::fs::read_to_string(home.config_file()).unwrap();
    std::fs::create_dir(scratch.path().join("policy.d")).unwrap();
    let rule = |level: &str| {
        let text = format!(
            "[[policy.rule]]\nname = \"reports\"\nwhen = {{ recipient_domain = \"tls.test\" }}\nraise = \"{level}\"\n"
        );
        put(scratch.path(), "policy.d/rules.toml", &text, 0o600);
    };
    rule("confidential");
    let main = format!("{main}[policy]\ninclude = [\"policy.d/*.toml\"]\n");
    put(scratch.path(), "sealpost.toml", &main, 0o600);
    let mut served = Served::start(scratch.path(), "sealpost.toml");
    let client = client(&home, &served, home.password());
    let send = || {
        runtime
            .block_on(send(&client, "friend@tls.test"))
            .unwrap()
            .to_string()
    };
    let first = send();
    // One word that is none, and one that contradicts the base.
    for (level, complaint) in [
        (
            "secret",
            "rules.toml:4:9: policy.rule.raise has the unknown value \"secret\"",
        ),
        ("protected", "rules.toml:4:9: policy.rule.raise: "),
    ] {
        rule(level);
        served.signal(rustix::process::Signal::HUP);
        served.wait_for("the old configuration stays in force");
        served.wait_for(complaint);
    }
    let second = send();
    rule("restricted");
    served.signal(rustix::process::Signal::HUP);
    served.wait_for("the configuration was reloaded");
    let third = send();
    assert_eq!(served.stop(), Some(0));
    let log = std::fs::read_to_string(scratch.path().join("delivery.jsonl")).unwrap();
    let decided = |id: &str| {
        let lines = log
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut decided = lines.filter(|line| line["event"] == "decided" && line["queue_id"] == id);
        let line = decided.next().unwrap();
        (line["level"].clone(), line["policy"].clone())
    };
    let (level, policy) = decided(&first);
    assert_eq!(level, "confidential");
    assert_eq!(decided(&second), (level, policy.clone()));
    let (level, changed) = decided(&third);
    assert_eq!(level, "restricted");
    assert_ne!(changed, policy);
}
