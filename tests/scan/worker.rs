//! The worker process: with the real program, and with programs that behave badly.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;

use sealpost::mail::finding::{Finding, Findings, Unreadable, Unscannable};
use sealpost::scan::{Limits, ScanConfig, Scanner, Sight};

use crate::documents::{docx, page, stream, xlsx, zip};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");
const SECRET: &str = "123-45-6789";

/// Sees [`SECRET`] in texts and DICOM in octets.
struct Eyes;

impl Sight for Eyes {
    fn scan_text(&self, part: u32, text: &str, out: &mut Vec<Finding>) {
        assert!(!text.contains("make the detectors panic"));
        out.extend(text.match_indices(SECRET).map(|(at, _)| Finding {
            detector: "secret".into(),
            part,
            offset: at as u64,
        }));
    }
    fn scan_bytes(&self, part: u32, bytes: &[u8], out: &mut Vec<Finding>) {
        if bytes.get(128..132) == Some(b"DICM") {
            out.push(Finding {
                detector: "dicom".into(),
                part,
                offset: 128,
            });
        }
    }
}

fn scanner(program: impl Into<PathBuf>, limits: Limits) -> Scanner {
    let config = ScanConfig {
        limits,
        ..ScanConfig::new(program.into())
    };
    Scanner::new(config, Arc::new(Eyes))
}

fn message(attachments: &[(&str, &[u8])]) -> Bytes {
    use base64::Engine;
    let mut message =
        String::from("Subject: s\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n");
    message.push_str("--B\r\n\r\nsee the attachment\r\n");
    for (kind, octets) in attachments {
        let body = base64::engine::general_purpose::STANDARD.encode(octets);
        message.push_str(&format!(
            "--B\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}\r\n"
        ));
    }
    message.push_str("--B--\r\n");
    Bytes::from(message)
}

fn word() -> Vec<u8> {
    docx(&format!("<w:p><w:r><w:t>{SECRET}</w:t></w:r></w:p>"), &[])
}

fn places(findings: &Findings) -> Vec<(&str, u32)> {
    findings
        .found
        .iter()
        .map(|one| (one.detector.as_ref(), one.part))
        .collect()
}

fn unscannable(part: u32, why: Unreadable) -> Vec<Unscannable> {
    vec![Unscannable { part, why }]
}

#[tokio::test]
async fn documents_are_read_by_workers() {
    let pdf = page(
        stream("", format!("BT /F1 9 Tf ({SECRET}) Tj ET").as_bytes()),
        &[],
    );
    let dicom = [&[0; 128][..], b"DICM"].concat();
    let archive = zip(&[("a.dcm", &dicom), ("b.txt", SECRET.as_bytes())]);
    let message = message(&[
        ("application/pdf", &pdf),
        ("application/octet-stream", &word()),
        ("application/zip", &archive),
    ]);
    let findings = scanner(PROGRAM, Limits::default()).scan(message).await;
    assert_eq!(
        places(&findings),
        [("secret", 2), ("secret", 3), ("secret", 4), ("dicom", 4)]
    );
    assert_eq!(
        findings.unscannable,
        unscannable(4, Unreadable::UnknownKind)
    );
}

#[tokio::test]
async fn text_needs_no_worker() {
    let message = Bytes::from(format!("Subject: s\r\n\r\n{SECRET}\r\n"));
    let findings = scanner("/nonexistent", Limits::default())
        .scan(message)
        .await;
    assert_eq!(places(&findings), [("secret", 0)]);
    assert_eq!(findings.found[0].offset, 1, "behind the subject");
    assert_eq!(findings.unscannable, []);
}

#[tokio::test]
async fn a_program_that_is_missing_or_another_is_no_reader() {
    for program in [
        "/nonexistent",
        "/etc/passwd",
        "/bin/true",
        "/bin/cat",
        "/usr/bin/yes",
    ] {
        let findings = scanner(program, Limits::default())
            .scan(message(&[("application/zip", &word())]))
            .await;
        assert_eq!(
            findings.unscannable,
            unscannable(2, Unreadable::ReaderDied),
            "{program}"
        );
        assert_eq!(findings.found, [], "{program}");
    }
}

fn script(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("worker");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_worker_that_dies_is_an_answer_and_what_it_said_counts() {
    let directory = TempDir::new().unwrap();
    let text = format!("printf '\\001\\013\\000\\000\\000{SECRET}'; kill -9 $$");
    let findings = scanner(script(&directory, &text), Limits::default())
        .scan(message(&[("application/zip", &word())]))
        .await;
    assert_eq!(places(&findings), [("secret", 2)]);
    assert_eq!(findings.unscannable, unscannable(2, Unreadable::ReaderDied));
}

#[tokio::test]
async fn a_worker_that_hangs_is_ended() {
    let directory = TempDir::new().unwrap();
    let pid = directory.path().join("pid");
    let text = format!("echo $$ > {}; exec /bin/sleep 1000", pid.display());
    let limits = Limits {
        time: Duration::from_secs(2),
        message_time: Duration::from_secs(3),
        ..Limits::default()
    };
    // More than a pipe holds: the parent is writing when the time is over. The third finds no
    // time left.
    let large = [b"PK\x03\x04".to_vec(), vec![0; 1 << 20]].concat();
    let documents: Vec<(&str, &[u8])> = vec![("application/zip", &large); 3];
    let findings = scanner(script(&directory, &text), limits)
        .scan(message(&documents))
        .await;
    let why = Unreadable::Timeout;
    assert_eq!(
        findings.unscannable,
        [2, 3, 4].map(|part| Unscannable { part, why })
    );
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "still there");
}

#[tokio::test]
async fn a_worker_without_memory_dies_alone() {
    let bomb = zip(&[("zeros", &vec![b'0'; 60 << 20])]);
    let limits = Limits {
        memory: 32 << 20,
        ..Limits::default()
    };
    let scanner = scanner(PROGRAM, limits);
    let findings = scanner.scan(message(&[("application/zip", &bomb)])).await;
    assert_eq!(findings.unscannable, unscannable(2, Unreadable::TooLarge));
    // What a library needs for itself is not asked for politely.
    let cells = "<c><v>1</v></c>".repeat(400_000);
    let strings = format!("<sst>{}</sst>", "<si/>".repeat(4_000_000));
    let hungry = xlsx(&cells, &[("xl/sharedStrings.xml", strings.as_bytes())]);
    let findings = scanner.scan(message(&[("application/zip", &hungry)])).await;
    let died = Unscannable {
        part: 2,
        why: Unreadable::ReaderDied,
    };
    assert!(findings.unscannable.contains(&died), "{findings:?}");
    let findings = scanner.scan(message(&[("application/zip", &word())])).await;
    assert_eq!(places(&findings), [("secret", 2)]);
}

#[tokio::test]
async fn a_detector_that_panics_makes_the_message_unscannable() {
    let message = Bytes::from_static(b"X: 1\r\n\r\nmake the detectors panic\r\n");
    let findings = scanner(PROGRAM, Limits::default()).scan(message).await;
    assert_eq!(findings.unscannable, unscannable(0, Unreadable::ReaderDied));
}

#[tokio::test]
async fn text_beyond_the_bound_of_a_message_is_too_large() {
    let limits = Limits {
        message_text: 1000,
        ..Limits::default()
    };
    let text = format!("X: 1\r\n\r\n{}", "x".repeat(2000));
    let findings = scanner(PROGRAM, limits).scan(Bytes::from(text)).await;
    assert_eq!(findings.unscannable, unscannable(0, Unreadable::TooLarge));
}

#[test]
fn a_confined_process_can_only_compute() {
    let output = Command::new(PROGRAM)
        .args(["scan-worker", "--self-check"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.lines().count() >= 9, "{said}");
    assert!(said.lines().all(|line| line.starts_with("ok ")), "{said}");
}

#[test]
fn a_worker_says_nothing_to_who_makes_no_request() {
    let mut child = Command::new(PROGRAM)
        .args(["scan-worker", "536870912", "5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"what is this?")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!((output.stdout, output.stderr), (vec![], vec![]));
}

#[test]
fn the_worker_is_in_no_help() {
    for args in [&["--help"][..], &["completions", "bash"], &["man"]] {
        let output = Command::new(PROGRAM).args(args).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            !said.is_empty() && !said.contains("scan-worker"),
            "{args:?}"
        );
    }
}

/// Prints what a document costs beside its reading; a bound that only a hang exceeds.
#[tokio::test]
async fn a_worker_is_started_quickly() {
    let scanner = scanner(PROGRAM, Limits::default());
    let message = message(&[("application/zip", &word())]);
    #[allow(clippy::disallowed_methods, reason = "a test that measures")]
    let started = Instant::now();
    let count = 20;
    for _ in 0..count {
        assert_eq!(
            places(&scanner.scan(message.clone()).await),
            [("secret", 2)]
        );
    }
    let each = started.elapsed() / count;
    println!("{each:?} a document");
    assert!(each < Duration::from_secs(5), "{each:?}");
}
