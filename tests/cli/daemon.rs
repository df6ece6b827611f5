//! The daemon as its service manager sees it: start, refusals, reload, stop, and the questions
//! that an operator asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::Arc;

use rustls_pki_types::ServerName;
use sealpost::dev::client::{Client, ClientError};
use sealpost::dev::home::{Home, Ports, USER};
use sealpost::mail::MessageId;
use sealpost::world::clock::Clock;
use zeroize::Zeroizing;

use super::commands::GOOD;
use super::support::{Ran, furnish, put, run, sealpost};

/// A daemon; killed when dropped.
pub struct Served {
    child: Child,
    said: BufReader<ChildStderr>,
    pub addresses: Vec<SocketAddr>,
}

impl Served {
    /// Starts one and waits until it takes mail.
    pub fn start(directory: &Path, config: &str) -> Self {
        Self::start_with(directory, &["--config", config], "ready listeners=[")
    }

    /// Starts one with these arguments, and waits until it says that it is ready on these
    /// addresses.
    pub fn start_with(directory: &Path, args: &[&str], says: &str) -> Self {
        let mut child = sealpost(directory)
            .arg("serve")
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let mut served = Self {
            child,
            said,
            addresses: Vec::new(),
        };
        let ready = served.wait_for(says);
        let list = ready.split_once('[').unwrap().1;
        let list = list.split_once(']').unwrap().0;
        served.addresses = list.split(", ").map(|a| a.parse().unwrap()).collect();
        served
    }

    /// Reads what it says until a line has `text`.
    pub fn wait_for(&mut self, text: &str) -> String {
        let mut before = String::new();
        loop {
            let mut line = String::new();
            let read = self.said.read_line(&mut line).unwrap();
            assert!(
                read > 0,
                "it ended without saying {text:?}; it said:\n{before}"
            );
            if line.contains(text) {
                return line;
            }
            before.push_str(&line);
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Tells it to stop; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn serve(directory: &Path) -> Ran {
    run(directory, &["serve", "--config", "sealpost.toml"])
}

#[test]
fn what_is_missing_at_start_is_78_and_what_is_wrong_is_2() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    let nothing = serve(scratch.path());
    assert_eq!(nothing.code, Some(78), "{nothing:?}");
    assert!(nothing.err.contains("sealpost.toml does not exist"));
    let lost = GOOD.replace("master.key", "lost.key");
    put(scratch.path(), "sealpost.toml", &lost, 0o644);
    let missing = serve(scratch.path());
    assert_eq!(missing.code, Some(78), "{missing:?}");
    assert!(missing.err.contains("sealpost key generate"), "{missing:?}");
    put(scratch.path(), "sealpost.toml", "hostnam = 1", 0o644);
    assert_eq!(serve(scratch.path()).code, Some(2));
}

#[test]
fn a_port_in_use_is_75_and_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = GOOD.replace("127.0.0.1:0", &address);
    put(scratch.path(), "sealpost.toml", &config, 0o644);
    let ran = serve(scratch.path());
    assert_eq!(ran.code, Some(75), "{ran:?}");
    assert!(
        ran.err.contains(&format!("cannot listen on {address}")),
        "{ran:?}"
    );
    assert!(
        ran.err.contains("is another server using the port"),
        "{ran:?}"
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_75() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    // Below a file: nobody, not even root, can make a directory there.
    let config = GOOD.replace("\"data\"", "\"users.toml/data\"");
    put(scratch.path(), "sealpost.toml", &config, 0o644);
    let ran = serve(scratch.path());
    assert_eq!(ran.code, Some(75), "{ran:?}");
    assert!(ran.err.contains("users.toml/data"), "{ran:?}");
    assert!(ran.err.contains("make the directory writable"), "{ran:?}");
}

#[test]
fn a_second_instance_is_refused_and_the_first_lives_on() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(scratch.path(), "sealpost.toml", GOOD, 0o644);
    let first = Served::start(scratch.path(), "sealpost.toml");
    let second = serve(scratch.path());
    assert_eq!(second.code, Some(75), "{second:?}");
    assert!(
        second.err.contains("is another sealpost running?"),
        "{second:?}"
    );
    let list = run(
        scratch.path(),
        &["queue", "list", "--config", "sealpost.toml"],
    );
    assert_eq!(
        (list.code, list.out.as_str()),
        (Some(0), "nothing waits\n"),
        "{list:?}"
    );
    assert_eq!(first.stop(), Some(0));
    assert!(
        !scratch.path().join("admin.sock").exists(),
        "taken away at the end"
    );
    let nobody = run(
        scratch.path(),
        &["queue", "list", "--config", "sealpost.toml"],
    );
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.err.contains("is `sealpost serve` running"),
        "{nobody:?}"
    );
}

#[test]
fn another_key_than_the_spools_is_refused_and_nothing_is_lost() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(scratch.path(), "sealpost.toml", GOOD, 0o644);
    assert_eq!(
        Served::start(scratch.path(), "sealpost.toml").stop(),
        Some(0)
    );
    std::fs::rename(
        scratch.path().join("master.key"),
        scratch.path().join("kept.key"),
    )
    .unwrap();
    assert_eq!(
        run(scratch.path(), &["key", "generate", "master.key"]).code,
        Some(0)
    );
    let ran = serve(scratch.path());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("put back the key"), "{ran:?}");
    std::fs::rename(
        scratch.path().join("kept.key"),
        scratch.path().join("master.key"),
    )
    .unwrap();
    assert_eq!(
        Served::start(scratch.path(), "sealpost.toml").stop(),
        Some(0)
    );
}

#[test]
fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(scratch.path(), "sealpost.toml", GOOD, 0o644);
    let socket = scratch.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "left behind, as by kill -9");
    assert_eq!(
        Served::start(scratch.path(), "sealpost.toml").stop(),
        Some(0)
    );
    std::fs::write(&socket, "somebody's file").unwrap();
    let ran = serve(scratch.path());
    assert_eq!(ran.code, Some(75), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "somebody's file");
}

pub fn world(directory: &Path, runtime: &tokio::runtime::Runtime) -> Home {
    let now = Clock::system().now();
    let home = runtime.block_on(Home::furnish(directory, Ports::FREE, now));
    let home = home.unwrap();
    let config = std::fs::read_to_string(home.config_file()).unwrap();
    put(
        directory,
        "sealpost.toml",
        &config.replace("level = \"warn\"", "level = \"info\""),
        0o600,
    );
    home
}

pub fn client(home: &Home, served: &Served, password: &str) -> Client {
    Client {
        server: served.addresses[0],
        name: ServerName::IpAddress(served.addresses[0].ip().into()),
        roots: Arc::new(home.world().ca().roots()),
        user: USER.to_owned(),
        password: Zeroizing::new(password.to_owned()),
    }
}

pub async fn send(client: &Client, to: &str) -> Result<MessageId, ClientError> {
    let content = b"From: you@dev.test\r\nSubject: s\r\n\r\nbody\r\n";
    client.send("you@dev.test", &[to], content).await
}

#[test]
fn what_waits_can_be_seen_and_survives_a_kill() {
    let scratch = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let home = world(scratch.path(), &runtime);
    let mut served = Served::start(scratch.path(), "sealpost.toml");
    let client = client(&home, &served, home.password());
    let id = runtime.block_on(send(&client, "friend@weak.test")).unwrap();
    let show = |id: &str| {
        run(
            scratch.path(),
            &["queue", "show", id, "--json", "--config", "sealpost.toml"],
        )
    };
    let id = id.to_string();
    let state = |ran: &Ran| -> serde_json::Value {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let detail: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(detail["queue_id"], id);
        detail["recipients"][0].clone()
    };
    // The first attempt has to come back; each look is a process of its own, so it has the time.
    let waiting = (0..500)
        .map(|_| state(&show(&id)))
        .find(|r| r["state"] == "deferred");
    let waiting = waiting.expect("it never was deferred");
    assert_eq!(waiting["reason"], "security");
    assert_eq!(waiting["required"], "pkix");
    let list = run(
        scratch.path(),
        &[
            "queue",
            "list",
            "--domain",
            "weak.test",
            "--config",
            "sealpost.toml",
        ],
    );
    assert!(list.out.contains("deferred(security)"), "{list:?}");
    assert!(list.out.contains("friend@weak.test"), "{list:?}");
    let human = run(
        scratch.path(),
        &["queue", "show", &id, "--config", "sealpost.toml"],
    );
    assert!(human.out.contains("offers no STARTTLS"), "{human:?}");
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    let again = Served::start(scratch.path(), "sealpost.toml");
    let after = state(&show(&id));
    assert_eq!(after["recipient"], "friend@weak.test");
    let unknown = show("0000000000001");
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("delivery log"), "{unknown:?}");
    assert_eq!(show("nonsense").code, Some(2));
    assert_eq!(again.stop(), Some(0));
    let octets: u64 = home
        .world()
        .sessions_of("weak.test")
        .iter()
        .map(|session| session.envelope_octets + session.content_octets)
        .sum();
    assert_eq!(octets, 0);
}

#[test]
fn a_reload_takes_what_is_good_and_leaves_what_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let home = world(scratch.path(), &runtime);
    let mut served = Served::start(scratch.path(), "sealpost.toml");
    let old = client(&home, &served, home.password());
    runtime.block_on(send(&old, "friend@tls.test")).unwrap();
    // Another password, another certificate (of the same CA), and the log moved away.
    let mut passwd = sealpost(scratch.path())
        .args([
            "user",
            "passwd",
            "dev",
            "--password-stdin",
            "--config",
            "sealpost.toml",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    passwd
        .stdin
        .take()
        .unwrap()
        .write_all(b"another password\n")
        .unwrap();
    assert!(passwd.wait().unwrap().success());
    let fresh = home.world().ca().server(&["127.0.0.1"]).unwrap();
    put(
        scratch.path(),
        "tls/fullchain.pem",
        fresh.certificate_pem(),
        0o600,
    );
    put(scratch.path(), "tls/privkey.pem", &fresh.key_pem(), 0o600);
    std::fs::rename(
        scratch.path().join("delivery.jsonl"),
        scratch.path().join("old.jsonl"),
    )
    .unwrap();
    served.signal(rustix::process::Signal::HUP);
    served.wait_for("the configuration was reloaded");
    let refused = runtime.block_on(send(&old, "friend@tls.test")).unwrap_err();
    assert!(
        matches!(refused, ClientError::Refused { to: "AUTH", .. }),
        "{refused}"
    );
    let new = client(&home, &served, "another password");
    let id = runtime.block_on(send(&new, "friend@tls.test")).unwrap();
    // With a fault in it the old one stays in force.
    let good = std::fs::read_to_string(home.config_file()).unwrap();
    put(
        scratch.path(),
        "sealpost.toml",
        &good.replace("hostname", "hostnam"),
        0o600,
    );
    served.signal(rustix::process::Signal::HUP);
    served.wait_for("the old configuration stays in force");
    served.wait_for("unknown key hostnam");
    runtime.block_on(send(&new, "friend@tls.test")).unwrap();
    assert_eq!(served.stop(), Some(0));
    let log = std::fs::read_to_string(scratch.path().join("delivery.jsonl")).unwrap();
    assert!(log.contains(&id.to_string()), "the log was opened anew");
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(scratch.path(), "sealpost.toml", GOOD, 0o644);
    let path = scratch.path().join("notify.sock");
    let notify = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    notify
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .unwrap();
    let mut child = sealpost(scratch.path())
        .args(["serve", "--config", "sealpost.toml"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wait_for = |word: &str| {
        let mut buffer = [0u8; 4096];
        loop {
            let length = notify.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == word) {
                return;
            }
        }
    };
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    wait_for("RELOADING=1");
    wait_for("READY=1");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    wait_for("STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_demo_ends_well() {
    let scratch = tempfile::tempdir().unwrap();
    let ran = run(scratch.path(), &["demo", "--once", "--dir", "demo"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told: Vec<&str> = ran.out.split_whitespace().collect();
    let told = told.join(" ");
    for words in [
        "friend@tls.test: DELIVERED",
        "friend@smime.test: DELIVERED",
        "outside Subject: [...]",
        "opened Subject: sealpost demo",
        "> this was sent by `sealpost demo`.",
        "friend@portal.test: DEPOSITED",
        "read with a mailed code",
        "friend@weak.test: DEFERRED",
        "0 octets of envelope, 0 octets of content",
        "signature of dev.test verifies against the key in the DNS",
    ] {
        assert!(told.contains(words), "{words}: {}", ran.out);
    }
    let inbox = scratch.path().join("demo/inbox");
    let domains: Vec<_> = std::fs::read_dir(&inbox).unwrap().collect();
    assert_eq!(domains.len(), 3, "weak.test got no mail");
    // To portal.test went a notice and a code.
    for (domain, mails) in [("tls.test", 1), ("smime.test", 1), ("portal.test", 2)] {
        let found = std::fs::read_dir(inbox.join(domain)).unwrap().count();
        assert_eq!(found, mails, "{domain}");
    }
    let notices = inbox.join("portal.test");
    for mail in std::fs::read_dir(notices).unwrap() {
        let mail = std::fs::read_to_string(mail.unwrap().path()).unwrap();
        assert!(!mail.contains("sealpost demo") && !mail.contains("Dear friend"));
    }
}

#[test]
fn the_administrative_socket_answers_every_line_and_is_ours_alone() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    put(scratch.path(), "sealpost.toml", GOOD, 0o644);
    let served = Served::start(scratch.path(), "sealpost.toml");
    let path = scratch.path().join("admin.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |line: &str| -> serde_json::Value {
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    };
    for line in [
        "",
        "nonsense",
        "{}",
        r#"{"request":"shutdown"}"#,
        r#"{"request":"queue_list","colour":"blue"}"#,
        r#"{"request":"queue_show","queue_id":"../../etc/passwd"}"#,
        r#"{"request":"queue_order","operation":"cancel","reason":"nobody is named"}"#,
        r#"{"request":"queue_order","operation":"cancel","filter":{"limit":5}}"#,
        r#"{"request":"queue_order","operation":"shred","all":true}"#,
        r#"{"request":"queue_order","operation":"cancel","all":true,"reason":"a\nb"}"#,
        r#"{"request":"cert_import","source":"nothing was uploaded"}"#,
        r#"{"request":"cert_upload","part":"!"}"#,
        r#"{"request":"cert_upload"}"#,
        r#"{"request":"cert_list","colour":"blue"}"#,
        r#"{"request":"cert_show","name":"../../etc/passwd"}"#,
        r#"{"request":"cert_remove","fingerprint":"1234567"}"#,
        r#"{"request":"cert_approve","fingerprint":"12345678","reason":"a\nb"}"#,
        r#"{"request":"cert_lookup","address":"nobody"}"#,
    ] {
        assert_eq!(ask(line)["error"]["code"], "bad_request", "{line}");
    }
    let unknown = ask(r#"{"request":"queue_show","queue_id":"0000000000001"}"#);
    assert_eq!(unknown["error"]["code"], "not_found");
    let list = ask(r#"{"request":"queue_list"}"#);
    assert_eq!(list["ok"]["entries"], serde_json::json!([]));
    let order = ask(r#"{"request":"queue_order","operation":"cancel","all":true}"#);
    let nothing = serde_json::json!({"changed": 0, "later": 0, "unchanged": 0});
    assert_eq!(order["ok"], nothing);
    // Too long a line is answered, and then the connection ends: where the next one begins is
    // unknown.
    let endless = ask(&"x".repeat(70_000));
    assert_eq!(endless["error"]["code"], "bad_request");
    let mut rest = Vec::new();
    drop(answers.read_to_end(&mut rest));
    assert!(rest.is_empty());
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_unix_listener_acts_for_its_account() {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    let config = GOOD.replace(
        "[tls]",
        "[[listener]]\naddress = \"unix:submission.sock\"\ntls = \"none\"\nuser = \"billing\"\n[tls]",
    );
    put(scratch.path(), "sealpost.toml", &config, 0o644);
    let served = Served::start(scratch.path(), "sealpost.toml");
    let mut stream = UnixStream::connect(scratch.path().join("submission.sock")).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap());
    let mut say = |line: &str| -> String {
        stream.write_all(line.as_bytes()).unwrap();
        loop {
            let mut reply = String::new();
            replies.read_line(&mut reply).unwrap();
            if reply.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    };
    assert!(say("").starts_with("220 "));
    assert!(say("EHLO app\r\n").starts_with("250 "));
    let stranger = say("MAIL FROM:<jo@elsewhere.example>\r\n");
    assert!(stranger.starts_with("550 5.7.1 "), "{stranger}");
    assert!(say("MAIL FROM:<bills@clinic.example>\r\n").starts_with("250 "));
    assert!(say("RCPT TO:<friend@tls.test>\r\n").starts_with("250 "));
    assert!(say("DATA\r\n").starts_with("354 "));
    let taken = say("From: bills@clinic.example\r\n\r\nbody\r\n.\r\n");
    assert!(taken.starts_with("250 2.0.0 Ok: queued as "), "{taken}");
    assert!(say("QUIT\r\n").starts_with("221 "));
    assert_eq!(served.stop(), Some(0));
    assert!(!scratch.path().join("submission.sock").exists());
}

#[test]
fn two_daemons_cannot_live_in_one_dev_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let home = world(&scratch.path().join("dev"), &runtime);
    let before = std::fs::read(home.path("ca.pem")).unwrap();
    let ran = run(scratch.path(), &["demo", "--once", "--dir", "dev"]);
    assert_eq!(ran.code, Some(75), "{ran:?}");
    assert!(ran.err.contains("another sealpost runs in dev"), "{ran:?}");
    assert_eq!(
        std::fs::read(home.path("ca.pem")).unwrap(),
        before,
        "nothing was changed"
    );
}
