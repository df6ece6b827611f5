//! `sealpost cert` against a running daemon: what is imported is kept, chosen, pinned, approved and
//! removed, and the folder is read.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealpost::mail::Timestamp;
use sealpost::world::clock::Clock;
use serde_json::Value;

use super::commands::GOOD;
use super::daemon::Served;
use super::mail_certs::{DAY, MailCa, MailCert, Wanted};
use super::support::{Ran, furnish, put, run};

const SMIME: &str = "[smime]\ndirectory = \"certs\"\nanchors = [\"mail-ca.pem\"]\n";

/// A directory with a configuration that has `[smime]` and an empty folder.
fn furnished() -> (tempfile::TempDir, Timestamp) {
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    std::fs::create_dir(scratch.path().join("certs")).unwrap();
    put(
        scratch.path(),
        "sealpost.toml",
        &format!("{GOOD}{SMIME}"),
        0o644,
    );
    (scratch, Clock::system().now())
}

fn cert(directory: &Path, args: &[&str]) -> Ran {
    let mut all = vec!["cert"];
    all.extend_from_slice(args);
    all.extend_from_slice(&["--config", "sealpost.toml"]);
    run(directory, &all)
}

fn good(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

fn issue(ca: &MailCa, address: &str, now: Timestamp) -> MailCert {
    ca.issue(&Wanted::good(&[address], now))
}

fn ca(now: Timestamp) -> MailCa {
    MailCa::new("a partner's CA", now - DAY, now + 3650 * DAY)
}

#[test]
fn what_is_imported_is_listed_shown_found_and_removed() {
    let (scratch, now) = furnished();
    let at = scratch.path();
    let ca = ca(now);
    put(
        at,
        "jo.pem",
        &issue(&ca, "jo@partner.example", now).pem,
        0o644,
    );
    let served = Served::start(at, "sealpost.toml");
    let nothing = cert(at, &["list"]);
    assert_eq!(nothing.out, "no certificate is known\n", "{nothing:?}");
    let imported = cert(at, &["import", "jo.pem", "--reason", "by hand"]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(
        imported
            .out
            .contains("jo.pem, line 1: jo@partner.example: ")
    );
    assert!(imported.out.ends_with("1 imported\n"), "{imported:?}");
    let again = good(&cert(at, &["import", "jo.pem", "--json"]));
    assert_eq!(again["unchanged"], 1, "{again}");
    assert_eq!(
        again["files"][0]["items"][0]["outcome"]["outcome"],
        "unchanged"
    );

    let listed = good(&cert(at, &["list", "--json"]));
    let print = listed[0]["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(print.len(), 64);
    assert_eq!(listed[0]["address"], "jo@partner.example");
    assert_eq!(listed[0]["trust"], "directory");
    assert_eq!(listed[0]["chosen"], true);
    assert_eq!(listed[0]["origin"]["imported"]["by"]["reason"], "by hand");
    for (whose, count) in [
        ("jo@partner.example", 1),
        ("JO@Partner.Example", 1),
        ("partner.example", 1),
        ("clinic.example", 0),
        ("sub.partner.example", 0),
    ] {
        let listed = good(&cert(at, &["list", whose, "--json"]));
        assert_eq!(listed.as_array().unwrap().len(), count, "{whose}");
    }
    let table = cert(at, &["list"]);
    assert!(table.out.starts_with("ADDRESS "), "{table:?}");
    assert!(table.out.contains(&print[..16]), "{table:?}");
    assert!(table.out.contains("  used\n"), "{table:?}");

    for name in [&print[..8], &print[..], "jo@partner.example"] {
        let shown = cert(at, &["show", name]);
        assert_eq!(shown.code, Some(0), "{shown:?}");
        assert!(shown.out.contains(&print), "{shown:?}");
        assert!(shown.out.contains(": by hand\n"), "{shown:?}");
        assert!(shown.out.contains("P-256"), "{shown:?}");
    }
    let looked_up = cert(at, &["lookup", "jo@partner.example"]);
    assert_eq!(looked_up.code, Some(0), "{looked_up:?}");
    assert!(
        looked_up.out.contains("would be sealed to "),
        "{looked_up:?}"
    );
    let nobody = cert(at, &["lookup", "nobody@partner.example"]);
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(
        nobody.out.contains("no certificate is known ("),
        "{nobody:?}"
    );

    let removed = cert(at, &["remove", &print[..12], "--reason", "left"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(
        removed.out,
        format!("jo@partner.example: {print} was removed\n")
    );
    assert_eq!(cert(at, &["show", &print]).code, Some(1));
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_new_key_for_a_pinned_address_waits_for_approval_across_a_restart() {
    let (scratch, now) = furnished();
    let at = scratch.path();
    let ca = ca(now);
    put(
        at,
        "old.pem",
        &issue(&ca, "jo@partner.example", now).pem,
        0o644,
    );
    put(
        at,
        "new.pem",
        &issue(&ca, "jo@partner.example", now).pem,
        0o644,
    );
    let served = Served::start(at, "sealpost.toml");
    let pinned = good(&cert(at, &["import", "old.pem", "--pin", "--json"]));
    let old = pinned["files"][0]["items"][0]["fingerprint"].clone();
    let waits = good(&cert(at, &["import", "new.pem", "--json"]));
    assert_eq!(waits["waiting"], 1, "{waits}");
    let new = waits["files"][0]["items"][0]["fingerprint"].clone();
    assert_ne!(old, new);
    assert_eq!(served.stop(), Some(0));

    let served = Served::start(at, "sealpost.toml");
    let used = |print: &Value| {
        let found = good(&cert(at, &["lookup", "jo@partner.example", "--json"]));
        let certificates = found["certificates"].as_array().unwrap().clone();
        let chosen: Vec<&Value> = certificates
            .iter()
            .filter(|it| it["chosen"] == true)
            .collect();
        assert_eq!(chosen.len(), 1, "{found}");
        assert_eq!(chosen[0]["trust"], "pinned");
        chosen[0]["fingerprint"] == *print
    };
    assert!(used(&old));
    let pending = good(&cert(at, &["list", "--pending", "--json"]));
    assert_eq!(pending.as_array().unwrap().len(), 1);
    assert_eq!(pending[0]["fingerprint"], new);
    let table = cert(at, &["list", "--pending", "partner.example"]);
    assert!(table.out.contains("waits for approval"), "{table:?}");
    let approved = cert(
        at,
        &[
            "approve",
            new.as_str().unwrap(),
            "--reason",
            "read out by phone",
        ],
    );
    assert_eq!(approved.code, Some(0), "{approved:?}");
    assert!(approved.out.ends_with(" is pinned\n"), "{approved:?}");
    assert!(used(&new));
    let shown = cert(at, &["show", "jo@partner.example"]);
    assert!(shown.out.contains(": read out by phone\n"), "{shown:?}");
    assert_eq!(
        cert(at, &["list", "--pending"]).out,
        "nothing waits for approval\n"
    );
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_file_with_many_certificates_comes_in_parts() {
    let (scratch, now) = furnished();
    let at = scratch.path();
    let ca = ca(now);
    let many: String = (0..80)
        .map(|it| issue(&ca, &format!("p{it}@partner.example"), now).pem)
        .collect();
    assert!(many.len() > sealpost::admin::cert::PART_OCTETS);
    put(at, "many.pem", &(many + &ca.pem()), 0o644);
    let served = Served::start(at, "sealpost.toml");
    let imported = good(&cert(at, &["import", "many.pem", "--json"]));
    assert_eq!(imported["imported"], 80, "{imported}");
    assert_eq!(imported["refused"], 0);
    let items = imported["files"][0]["items"].as_array().unwrap();
    let authority = items
        .iter()
        .filter(|it| it["outcome"]["outcome"] == "issuer");
    assert_eq!(authority.count(), 1, "{imported}");
    let listed = good(&cert(at, &["list", "partner.example", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 80);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn what_may_not_be_used_is_refused_one_by_one_and_the_rest_is_taken() {
    let (scratch, now) = furnished();
    let at = scratch.path();
    let ca = ca(now);
    let good_one = issue(&ca, "jo@partner.example", now);
    let other = issue(&ca, "kim@partner.example", now);
    let expired = ca.issue(&Wanted {
        from: now - 30 * DAY,
        until: now - DAY,
        ..Wanted::good(&["lee@partner.example"], now)
    });
    let mixed = format!(
        "{}{}{}",
        expired.pem, good_one.pem, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    );
    put(at, "mixed.pem", &mixed, 0o644);
    put(at, "other.pem", &other.pem, 0o644);
    let ldif = format!(
        "version: 1\n\ndn: cn=kim\nmail: kim@partner.example\nuserCertificate;binary:: {}\n",
        STANDARD.encode(&other.der)
    );
    put(at, "people.ldif", &ldif, 0o644);
    std::fs::write(at.join("kim.der"), &other.der).unwrap();
    let served = Served::start(at, "sealpost.toml");
    let ran = cert(at, &["import", "mixed.pem", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&report["imported"], &report["refused"]),
        (&1.into(), &2.into())
    );
    let human = cert(at, &["import", "mixed.pem"]);
    assert!(
        human.out.contains("refused: the certificate has expired\n"),
        "{human:?}"
    );
    assert!(
        human
            .out
            .contains("unreadable refused: the certificate is malformed\n"),
        "{human:?}"
    );
    assert!(
        human.out.ends_with("0 imported, 1 unchanged, 2 refused\n"),
        "{human:?}"
    );

    let elsewhere = cert(
        at,
        &["import", "other.pem", "--address", "jo@partner.example"],
    );
    assert_eq!(elsewhere.code, Some(1));
    assert!(
        elsewhere.out.contains("for another address"),
        "{elsewhere:?}"
    );
    let chained = cert(at, &["import", "other.pem", "--require-chain"]);
    assert_eq!(chained.code, Some(1), "{chained:?}");
    assert!(
        chained
            .out
            .contains("does not lead to a configured authority"),
        "{chained:?}"
    );
    for (file, count) in [("people.ldif", 1), ("kim.der", 0)] {
        let report = good(&cert(at, &["import", file, "--json"]));
        assert_eq!(report["imported"], count, "{file}: {report}");
    }

    assert_eq!(served.stop(), Some(0));
}

#[test]
fn what_is_no_file_of_certificates_and_no_name_of_one_is_said_so() {
    let (scratch, now) = furnished();
    let at = scratch.path();
    let other = issue(&ca(now), "kim@partner.example", now);
    put(
        at,
        "key.pem",
        &format!("{}{}", other.pem, other.key_pem),
        0o600,
    );
    put(at, "text.pem", "nothing of that kind\n", 0o644);
    let served = Served::start(at, "sealpost.toml");
    let key = cert(at, &["import", "key.pem"]);
    assert_eq!(key.code, Some(2), "{key:?}");
    assert!(
        key.err.contains("key.pem: the file holds a private key"),
        "{key:?}"
    );
    let text = cert(at, &["import", "text.pem"]);
    assert_eq!(text.code, Some(2), "{text:?}");
    assert!(
        text.err.contains("neither PEM, DER, PKCS #7 nor LDIF"),
        "{text:?}"
    );
    // What cannot be read does not keep the others out, and is not forgotten.
    put(at, "other.pem", &other.pem, 0o644);
    let absent = cert(at, &["import", "absent.pem", "other.pem"]);
    assert_eq!(absent.code, Some(2), "{absent:?}");
    assert!(
        absent.err.contains("absent.pem cannot be read"),
        "{absent:?}"
    );
    assert!(
        absent.out.contains("1 imported, 1 unreadable"),
        "{absent:?}"
    );

    for (args, code, says) in [
        (
            ["show", "00000000"],
            1,
            "no certificate whose fingerprint begins with 00000000",
        ),
        (["show", "1234567"], 2, "8 to 64 hexadecimal digits"),
        (
            ["remove", "not-hexadecimal"],
            2,
            "8 to 64 hexadecimal digits",
        ),
        (
            ["show", "nobody@partner.example"],
            1,
            "no certificate of nobody@partner.example",
        ),
        (["show", "@"], 2, "local part"),
        (["list", "not a domain"], 2, "a character that is not"),
    ] {
        let ran = cert(at, &args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.err.contains(says), "{args:?}: {ran:?}");
    }
    let long = "x".repeat(2000);
    let talkative = cert(at, &["remove", "0000000000", "--reason", &long]);
    assert_eq!(talkative.code, Some(2), "{talkative:?}");
    assert_eq!(served.stop(), Some(0));
    let nobody = cert(at, &["list"]);
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(
        nobody.err.contains("is `sealpost serve` running"),
        "{nobody:?}"
    );
}

#[test]
fn the_folder_is_read_at_start_and_at_a_reload() {
    let (scratch, now) = furnished();
    let at = scratch.path();
    let ca = ca(now);
    put(
        at,
        "certs/jo.pem",
        &issue(&ca, "jo@partner.example", now).pem,
        0o644,
    );
    put(
        at,
        "certs/server.pem",
        &std::fs::read_to_string(at.join("server.pem")).unwrap(),
        0o644,
    );
    let checked = run(at, &["check", "--config", "sealpost.toml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let warned = "warning: smime.directory: certs/server.pem, line 1, is not used: the certificate";
    assert!(checked.out.contains(warned), "{checked:?}");
    assert!(!checked.out.contains("jo.pem"), "{checked:?}");
    let mut served = Served::start(at, "sealpost.toml");
    let listed = good(&cert(at, &["list", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["origin"]["file"], "jo.pem");
    let print = listed[0]["fingerprint"].as_str().unwrap();
    let kept = cert(at, &["remove", print]);
    assert_eq!(kept.code, Some(1), "{kept:?}");
    assert!(kept.err.contains("remove its file, and reload"), "{kept:?}");
    put(
        at,
        "certs/kim.pem",
        &issue(&ca, "kim@partner.example", now).pem,
        0o644,
    );
    std::fs::remove_file(at.join("certs/jo.pem")).unwrap();
    served.signal(rustix::process::Signal::HUP);
    served.wait_for("the configuration was reloaded");
    let listed = good(&cert(at, &["list", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["address"], "kim@partner.example");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_partners_web_server_is_asked_and_its_answer_held_to_the_rules() {
    let (scratch, now) = furnished();
    let at = scratch.path();
    let trusted = ca(now);
    let stranger = MailCa::new("nobody's CA", now - DAY, now + 3650 * DAY);
    put(at, "partners.pem", &trusted.pem(), 0o644);
    let kim = issue(&trusted, "kim@partner.example", now);
    let lee = issue(&stranger, "lee@partner.example", now);
    let web = Web::start(
        at,
        [
            ("kim@partner.example", kim.der),
            ("lee@partner.example", lee.der),
        ],
    );
    let smime = format!(
        "[smime]\nanchors = [\"partners.pem\"]\n[[smime.well_known]]\nurl = \"https://127.0.0.1:{}/certs/{{sha256}}\"\ndomains = [\"partner.example\"]\nca_file = \"web-ca.pem\"\n",
        web.port
    );
    put(at, "sealpost.toml", &format!("{GOOD}{smime}"), 0o644);
    let served = Served::start(at, "sealpost.toml");
    let found = good(&cert(at, &["lookup", "Kim@partner.example", "--json"]));
    assert_eq!(found["trust"], "valid", "{found}");
    assert_eq!(found["certificates"][0]["origin"]["origin"], "found");
    assert!(found["took_ms"].is_u64());
    for (address, says) in [
        (
            "lee@partner.example",
            "no certificate to seal to: the certificate does not lead to a configured authority",
        ),
        ("max@partner.example", "no certificate is known ("),
        ("kim@elsewhere.example", "no certificate is known ("),
    ] {
        let ran = cert(at, &["lookup", address]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.contains(says), "{ran:?}");
    }
    // What was looked up is not in the directory.
    assert_eq!(cert(at, &["list"]).out, "no certificate is known\n");
    assert_eq!(served.stop(), Some(0));
    let asked = web.stop();
    assert_eq!(
        asked, 3,
        "nobody is asked about elsewhere.example, and about Kim once"
    );
}

/// A web server with certificates, each under the digest of its address.
struct Web {
    port: u16,
    serving: std::thread::JoinHandle<usize>,
}

impl Web {
    fn start<const N: usize>(directory: &Path, files: [(&str, Vec<u8>); N]) -> Self {
        let ca = sealpost::dev::ca::Ca::new(Clock::system().now()).unwrap();
        put(directory, "web-ca.pem", &ca.pem(), 0o644);
        let config = ca.server(&["127.0.0.1"]).unwrap().server_config().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let files: Vec<(String, Vec<u8>)> = files
            .into_iter()
            .map(|(address, der)| {
                let digest = ring::digest::digest(&ring::digest::SHA256, address.as_bytes());
                let digits: String = digest
                    .as_ref()
                    .iter()
                    .map(|it| format!("{it:02x}"))
                    .collect();
                (format!("/certs/{digits}"), der)
            })
            .collect();
        let serving = std::thread::spawn(move || {
            let mut asked = 0;
            for stream in listener.incoming() {
                match Self::answer(stream.unwrap(), &config, &files) {
                    Some(path) if path == "/stop" => return asked,
                    Some(_) => asked += 1,
                    None => {}
                }
            }
            asked
        });
        Self { port, serving }
    }

    /// Answers a request; the path that was asked for. `None` if the peer went away.
    fn answer(
        mut stream: std::net::TcpStream,
        config: &std::sync::Arc<rustls::ServerConfig>,
        files: &[(String, Vec<u8>)],
    ) -> Option<String> {
        use std::io::{BufRead, BufReader, Write};
        let mut first = [0u8; 5];
        // Told to stop in clear.
        if stream.peek(&mut first).ok()? == 5 && &first == b"/stop" {
            return Some("/stop".to_owned());
        }
        let mut tls = rustls::ServerConnection::new(std::sync::Arc::clone(config)).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut stream);
        let mut path = String::new();
        let mut reader = BufReader::new(&mut stream);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1)?.to_owned();
            }
            if line == "\r\n" {
                break;
            }
        }
        let found = files.iter().find(|(name, _)| *name == path);
        let (status, body) = match found {
            Some((_, der)) => ("200 OK", der.as_slice()),
            None => ("404 Not Found", &b""[..]),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        stream.flush().ok()?;
        Some(path)
    }

    /// How many requests it answered.
    fn stop(self) -> usize {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"/stop").unwrap();
        self.serving.join().unwrap()
    }
}

#[test]
fn explain_knows_what_the_daemon_knows_or_says_what_it_could_not_see() {
    let (scratch, now) = furnished();
    let at = scratch.path();
    let ca = ca(now);
    put(
        at,
        "jo.pem",
        &issue(&ca, "jo@partner.example", now).pem,
        0o644,
    );
    put(
        at,
        "certs/kim.pem",
        &issue(&ca, "kim@partner.example", now).pem,
        0o644,
    );
    let policy = "[policy]\nbase = \"restricted\"\nmethods = [\"smime\", \"tls\"]\n";
    put(
        at,
        "sealpost.toml",
        &format!("{GOOD}{SMIME}{policy}"),
        0o644,
    );
    let explain = |to: &str, more: &[&str]| {
        let mut args = vec![
            "policy",
            "explain",
            "--from",
            "bills@clinic.example",
            "--to",
            to,
        ];
        args.extend_from_slice(more);
        args.extend_from_slice(&["--config", "sealpost.toml"]);
        let ran = run(at, &args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    let unseen = "imported certificates were not seen, only those of smime.directory";
    let served = Served::start(at, "sealpost.toml");
    assert_eq!(cert(at, &["import", "jo.pem"]).code, Some(0));
    for to in ["jo@partner.example", "kim@partner.example"] {
        let said = explain(to, &[]);
        assert!(said.contains("smime accepted"), "{said}");
        assert!(!said.contains(unseen), "{said}");
    }
    assert_eq!(served.stop(), Some(0));
    let jo = explain("jo@partner.example", &[]);
    assert!(
        jo.contains("smime refused: no certificate for this address"),
        "{jo}"
    );
    assert!(jo.contains(unseen), "{jo}");
    let kim = explain("kim@partner.example", &[]);
    assert!(kim.contains("smime accepted"), "{kim}");
    assert!(kim.contains(unseen), "{kim}");
    for (assumed, says) in [
        ("none", "smime refused: no certificate for this address"),
        ("valid", "smime refused: "),
        ("pinned", "smime accepted"),
        ("expired", "the certificate has expired"),
    ] {
        let said = explain("jo@partner.example", &["--certificate", assumed]);
        assert!(said.contains(says), "{assumed}: {said}");
        assert!(!said.contains(unseen), "{said}");
    }
}
