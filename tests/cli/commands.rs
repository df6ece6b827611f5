//! Commands that need no daemon.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use super::support::{Ran, furnish, put, ran, run, sealpost};

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
fn a_signing_certificate_that_ends_soon_is_a_warning() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    let smime = "[smime]\nanchors = [\"mail-ca.pem\"]\nsigning_certificate = \"mail-soon.pem\"\nsigning_key = \"mail-soon.key\"\n";
    put(
        scratch.path(),
        "sealpost.toml",
        &format!("{GOOD}{smime}"),
        0o644,
    );
    let ran = run(scratch.path(), &["check", "--config", "sealpost.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let place = "sealpost.toml:21:23: warning: smime.signing_certificate expires at 2";
    assert!(ran.out.starts_with(place), "{ran:?}");
    assert_eq!(ran.out.lines().count(), 2, "{ran:?}");
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

fn with_password(directory: &Path, args: &[&str], password: &str) -> Ran {
    let mut child = sealpost(directory)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(password.as_bytes())
        .unwrap();
    ran(child.wait_with_output().unwrap())
}

#[test]
fn accounts_are_added_listed_changed_and_removed() {
    let scratch = tempfile::tempdir().unwrap();
    put(scratch.path(), "sealpost.toml", GOOD, 0o644);
    let config = ["--config", "sealpost.toml"];
    let add = [
        &[
            "user",
            "add",
            "lab",
            "--sender",
            "*@lab.clinic.example",
            "--sender",
            "jo@clinic.example",
            "--password-stdin",
        ][..],
        &config,
    ]
    .concat();
    let added = with_password(scratch.path(), &add, "a long password\n");
    assert_eq!(added.code, Some(0), "{added:?}");
    let file = std::fs::read_to_string(scratch.path().join("users.toml")).unwrap();
    assert!(file.contains("$argon2id$"), "{file}");
    assert!(!file.contains("a long password"));
    let twice = with_password(scratch.path(), &add, "a long password\n");
    assert_eq!(twice.code, Some(1), "{twice:?}");
    let list = run(
        scratch.path(),
        &[&["user", "list", "--json"][..], &config].concat(),
    );
    let users: serde_json::Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(users[0]["name"], "lab");
    assert_eq!(users[0]["senders"][0], "*@lab.clinic.example");
    let passwd = [&["user", "passwd", "lab", "--password-stdin"][..], &config].concat();
    assert_eq!(
        with_password(scratch.path(), &passwd, "another long one").code,
        Some(0)
    );
    let changed = std::fs::read_to_string(scratch.path().join("users.toml")).unwrap();
    assert_ne!(changed, file);
    let remove = [&["user", "remove", "lab"][..], &config].concat();
    assert_eq!(run(scratch.path(), &remove).code, Some(0));
    let gone = run(scratch.path(), &remove);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    // A password never comes from the command line, and there is no terminal to ask on.
    let asked = run(
        scratch.path(),
        &[
            &["user", "add", "x", "--sender", "x@y.example"][..],
            &config,
        ]
        .concat(),
    );
    assert_eq!(asked.code, Some(2));
    assert!(asked.err.contains("--password-stdin"), "{asked:?}");
    let argv = run(
        scratch.path(),
        &[
            "user",
            "add",
            "x",
            "--sender",
            "x@y.example",
            "--password",
            "p",
        ],
    );
    assert_eq!(argv.code, Some(2));
}

#[test]
fn signing_keys_and_their_records() {
    let scratch = tempfile::tempdir().unwrap();
    for algorithm in ["rsa", "ed25519"] {
        let file = format!("{algorithm}.pem");
        let keygen = [
            "dkim",
            "keygen",
            "--domain",
            "clinic.example",
            "--selector",
            "s2026",
            "--algorithm",
            algorithm,
            "--out",
            &file,
        ];
        let made = run(scratch.path(), &keygen);
        assert_eq!(made.code, Some(0), "{made:?}");
        assert!(
            made.out
                .starts_with("s2026._domainkey.clinic.example. IN TXT \"v=DKIM1;"),
            "{made:?}"
        );
        let mode = std::fs::metadata(scratch.path().join(&file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let record = run(scratch.path(), &["dkim", "record", &file]);
        assert!(made.out.ends_with(&record.out), "{made:?} {record:?}");
        let plain = run(scratch.path(), &["dkim", "record", "--plain", &file]);
        assert!(
            plain
                .out
                .starts_with(&format!("v=DKIM1; h=sha256; k={algorithm}; p=")),
            "{plain:?}"
        );
        let again = run(scratch.path(), &keygen);
        assert_eq!(again.code, Some(1));
        assert!(again.err.contains("not overwritten"), "{again:?}");
    }
    put(scratch.path(), "none.pem", "no key", 0o600);
    assert_eq!(
        run(scratch.path(), &["dkim", "record", "none.pem"]).code,
        Some(1)
    );
    assert_eq!(
        run(scratch.path(), &["dkim", "record", "nowhere.pem"]).code,
        Some(1)
    );
}

#[test]
fn a_systemd_credential_is_a_master_key() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    let credentials = scratch.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let key = std::fs::read_to_string(scratch.path().join("master.key")).unwrap();
    // As systemd leaves it: readable by ACL, which shows as group permission.
    put(&credentials, "seal", &key, 0o440);
    let config = GOOD.replace("\"master.key\"", "\"credential:seal\"");
    put(scratch.path(), "sealpost.toml", &config, 0o644);
    let check = || {
        let mut command = sealpost(scratch.path());
        command.args(["check", "--config", "sealpost.toml"]);
        command.env("CREDENTIALS_DIRECTORY", &credentials);
        ran(command.output().unwrap())
    };
    assert_eq!(check().code, Some(0));
    std::fs::remove_file(credentials.join("seal")).unwrap();
    let missing = check();
    assert_eq!(missing.code, Some(2));
    assert!(
        missing.out.contains("LoadCredential=seal:FILE"),
        "{missing:?}"
    );
}

#[test]
fn a_directory_of_somebody_else_is_not_furnished() {
    let scratch = tempfile::tempdir().unwrap();
    put(scratch.path(), "sealpost.toml", GOOD, 0o600);
    for command in [["serve", "--dev", "."], ["demo", "--once", "--dir=."]] {
        let ran = run(scratch.path(), &command);
        assert_eq!(ran.code, Some(2), "{command:?}: {}", ran.err);
        assert!(ran.err.contains("not of an earlier run"), "{}", ran.err);
    }
    let kept = std::fs::read_to_string(scratch.path().join("sealpost.toml")).unwrap();
    assert_eq!(kept, GOOD);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn a_signing_certificate_that_has_expired_does_not_stop_the_start() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    let smime = "[smime]\n[[smime.identity]]\nfor = \"mail.example\"\ncertificate = \"mail-expired.pem\"\nkey = \"mail-expired.key\"\n";
    put(
        scratch.path(),
        "sealpost.toml",
        &format!("{GOOD}{smime}"),
        0o644,
    );
    let ran = run(scratch.path(), &["check", "--config", "sealpost.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out
            .contains("warning: smime.identity.certificate expired at "),
        "{ran:?}"
    );
}
