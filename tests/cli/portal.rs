//! The portal as a process of its own, and what an operator orders of it.

use std::os::unix::fs::PermissionsExt;

use super::commands::GOOD;
use super::daemon::Served;
use super::support::{furnish, put, run};

/// What a portal reads that runs alone; the line's files are not even there.
const ALONE: &str = r#"hostname = "mail.clinic.example"
master_key = "nothing.key"
postmaster = "postmaster@clinic.example"
[[listener]]
address = "127.0.0.1:0"
tls = "implicit"
[tls]
certificate = "nothing.pem"
private_key = "nothing.key"
[auth]
users = "nothing.toml"
[[dkim]]
domain = "clinic.example"
selector = "s"
private_key = "nothing.pem"
[portal]
master_key = "portal.key"
address = "127.0.0.1:0"
url = "https://mail.clinic.example"
name = "Example Clinic"
certificate = "server.pem"
private_key = "server.key"
directory = "waiting"
socket = "portal.sock"
mail_socket = "mail.sock"
"#;
const KEY: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=\n";
const ONLY: [&str; 4] = ["--only", "portal", "--config", "sealpost.toml"];
const LIST: [&str; 4] = ["pickup", "list", "--config", "sealpost.toml"];

#[test]
fn the_portal_runs_without_a_file_of_the_line() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(scratch.path(), "portal.key", KEY, 0o600);
    put(scratch.path(), "sealpost.toml", ALONE, 0o644);
    let ran = run(scratch.path(), &LIST);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("no portal answers on"), "{ran:?}");
    let mut served = Served::start_with(scratch.path(), &ONLY, "ready portal=[");
    assert_eq!(served.addresses.len(), 1);
    std::net::TcpStream::connect(served.addresses[0]).unwrap();
    for file in ["data", "delivery.jsonl", "admin.sock", "mail.sock"] {
        assert!(!scratch.path().join(file).exists(), "{file} is the line's");
    }
    let mode = |name: &str| {
        let metadata = std::fs::metadata(scratch.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("portal.sock"), 0o660);
    assert_eq!(mode("waiting"), 0o700);

    let ran = run(scratch.path(), &LIST);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "nothing lies in the portal\n")
    );
    let ran = run(scratch.path(), &[&LIST[..], &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let page: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 0);
    for (command, code) in [
        (vec!["show", "0123456789ABCDEF"], 1),
        (vec!["retract", "0123456789ABCDEF", "--reason", "x"], 1),
        (vec!["extend", "0123456789ABCDEF", "--for", "1d"], 1),
        (vec!["extend", "0123456789ABCDEF"], 2),
        (vec!["extend", "0123456789ABCDEF", "--until", "tomorrow"], 2),
        (vec!["list", "--state", "gone"], 2),
    ] {
        let args = [&["pickup"], &command[..], &["--config", "sealpost.toml"]].concat();
        let ran = run(scratch.path(), &args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{ran:?}");
    }

    let second = run(scratch.path(), &[&["serve"], &ONLY[..]].concat());
    assert_eq!(second.code, Some(75), "{second:?}");
    assert!(
        second.err.contains("is another portal running?"),
        "{second:?}"
    );

    put(
        scratch.path(),
        "sealpost.toml",
        &ALONE.replace("Example", "Other"),
        0o644,
    );
    served.signal(rustix::process::Signal::HUP);
    served.wait_for("the configuration was reloaded");
    put(
        scratch.path(),
        "sealpost.toml",
        &ALONE.replace("name =", "nmae ="),
        0o644,
    );
    served.signal(rustix::process::Signal::HUP);
    served.wait_for("not reloaded, the old configuration stays in force");
    put(scratch.path(), "sealpost.toml", ALONE, 0o644);
    assert_eq!(served.stop(), Some(0));
    assert!(!scratch.path().join("portal.sock").exists());
}

#[test]
fn a_portal_that_cannot_start_says_why() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(scratch.path(), "portal.key", KEY, 0o600);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (text, code, says) in [
        (GOOD.to_owned(), 2, "there is no [portal]"),
        (
            ALONE.replace("portal.key", "gone.key"),
            78,
            "gone.key does not exist",
        ),
        (
            ALONE.replace(
                "address = \"127.0.0.1:0\"\nurl",
                &format!("address = \"{address}\"\nurl"),
            ),
            75,
            "cannot listen on",
        ),
    ] {
        put(scratch.path(), "sealpost.toml", &text, 0o644);
        let ran = run(scratch.path(), &[&["serve"], &ONLY[..]].concat());
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.err.contains(says), "{says}: {ran:?}");
    }
}

#[test]
fn the_line_runs_without_a_file_of_the_portal() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    let section = ALONE.split_once("[portal]").unwrap().1;
    let section = section.replace("server.", "gone.");
    let text = format!("{GOOD}[portal]{section}");
    put(scratch.path(), "sealpost.toml", &text, 0o644);
    let everything = run(scratch.path(), &["serve", "--config", "sealpost.toml"]);
    assert_eq!(everything.code, Some(78), "{everything:?}");
    let args = ["--only", "mta", "--config", "sealpost.toml"];
    let served = Served::start_with(scratch.path(), &args, "ready listeners=[");
    assert!(scratch.path().join("mail.sock").exists());
    for file in ["portal.sock", "waiting"] {
        assert!(
            !scratch.path().join(file).exists(),
            "{file} is the portal's"
        );
    }
    assert_eq!(served.stop(), Some(0));
}
