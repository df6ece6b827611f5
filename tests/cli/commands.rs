//! Commands that need no daemon.

use std::os::unix::fs::PermissionsExt;

use super::support::{furnish, put, run};

/// A configuration that is as it should be.
pub const GOOD: &str = r#"hostname = "mail.clinic.example"
data_directory = "data"
master_key = "master.key"
postmaster = "postmaster@clinic.example"
[[listener]]
address = "127.0.0.1:0"
tls = "implicit"
[tls]
certificate = "server.pem"
private_key = "server.key"
[auth]
users = "users.toml"
[relay]
ca_file = "ca.pem"
[log]
delivery = "delivery.jsonl"
[admin]
socket = "admin.sock"
"#;

#[test]
fn a_good_configuration_is_good() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(scratch.path(), "sealpost.toml", GOOD, 0o644);
    let ran = run(scratch.path(), &["check", "--config", "sealpost.toml"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "sealpost.toml: good\n")
    );
    let json = run(
        scratch.path(),
        &["check", "--json", "--config", "sealpost.toml"],
    );
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(report["ok"], true);
}

#[test]
fn json_says_the_same_as_the_table() {
    let scratch = tempfile::tempdir().unwrap();
    put(scratch.path(), "sealpost.toml", "hostnam = 1\n", 0o644);
    let ran = run(
        scratch.path(),
        &["check", "--json", "--config", "sealpost.toml"],
    );
    assert_eq!(ran.code, Some(2));
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["ok"], false);
    let problems = report["problems"].as_array().unwrap();
    let unknown = problems
        .iter()
        .find(|problem| problem["what"] == "unknown key hostnam")
        .unwrap();
    assert_eq!(unknown["line"], 1);
    assert_eq!(unknown["mend"], "did you mean hostname?");
}

#[test]
fn usage_errors_are_2_and_say_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    for args in [
        &[][..],
        &["serf"],
        &["check", "--colour"],
        &["key", "generate"],
    ] {
        let ran = run(scratch.path(), args);
        assert_eq!(ran.code, Some(2), "{args:?}");
        assert!(ran.err.contains("sealpost"), "{args:?}: {}", ran.err);
    }
    let missing = run(scratch.path(), &["check", "--config", "nowhere.toml"]);
    assert_eq!(missing.code, Some(2));
    assert!(
        missing
            .err
            .contains("nowhere.toml does not exist; name the file with --config")
    );
    for args in [&["--help"][..], &["--version"], &["help", "key"]] {
        assert_eq!(run(scratch.path(), args).code, Some(0), "{args:?}");
    }
}

#[test]
fn a_master_key_is_private_and_never_overwritten() {
    let scratch = tempfile::tempdir().unwrap();
    let ran = run(scratch.path(), &["key", "generate", "new.key"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let path = scratch.path().join("new.key");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim_end().len(), 44, "base64 of 32 octets");
    assert!(!ran.out.contains(text.trim_end()), "shown to nobody");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = run(scratch.path(), &["key", "generate", "new.key"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("not overwritten"), "{}", again.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn completions_and_manual_pages_come_out() {
    let scratch = tempfile::tempdir().unwrap();
    let completions = run(scratch.path(), &["completions", "bash"]);
    assert!(completions.out.contains("_sealpost"));
    assert!(run(scratch.path(), &["man"]).out.contains(".TH sealpost"));
    assert_eq!(run(scratch.path(), &["man", "pages"]).code, Some(0));
    assert!(scratch.path().join("pages/sealpost.1").exists());
    assert!(scratch.path().join("pages/sealpost-check.1").exists());
}
