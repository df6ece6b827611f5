//! What sealing costs: messages a second and octets a second, for every shape.
//!
//! `cargo bench --bench seal_smime`. For each kind of recipient and cipher: messages of 10 KB a
//! second on one core, all of it (the key carried to the recipient, the octets counted and digested
//! when they are accepted, and made again when they are sent); and how fast a large message is made
//! once, 50 MB with CBC, as much as is allowed with GCM. Then signatures; the memory that sending
//! takes by size, which for CBC must not grow; and, as a baseline, `openssl cms -encrypt` from file
//! to base64, in the same run on the same 50 MB, the start of the program subtracted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark measures real time and may stop at the first surprise"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost::mail::{ContentCipher, Fingerprint, Sealed, Shape, Timestamp};
use sealpost::proto::cms::{
    Identity, MAX_GCM_OCTETS, RecipientKey, SealStream, begin, der, measure, sign_detached,
};

#[path = "../tests/support/made_certificates.rs"]
mod made;

use made::{Authority, Kind, Made, Subject};

const NOW: Timestamp = Timestamp::from_secs(1_795_428_000);
const MEASURED: Duration = Duration::from_millis(500);
const SMALL: usize = 10_000;
const LARGE: usize = 50_000_000;
/// Octets that are pushed at a time, as the spool reads them.
const PIECE: usize = 65_536;
const RUNS: usize = 3;

/// Octets of a line of content.
const LINE: usize = 74;
/// The argument of a process that only sends.
const SENDER: &str = "send";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, what, recipe, size] = arguments.as_slice()
        && what == SENDER
    {
        return sender(recipe, size);
    }
    let authority = Authority::new("Bench CA");
    let issue = |kind| authority.issue(kind, &Subject::new("Pat", "pat@home.example", 7));
    let rsa = issue(Kind::Rsa2048);
    let recipients = [
        ("RSA 2048 v1.5", rsa.clone(), false),
        ("RSA 2048 OAEP", rsa.clone(), true),
        ("RSA 3072 OAEP", issue(Kind::Rsa3072), true),
        ("P-256", issue(Kind::P256), false),
        ("P-384", issue(Kind::P384), false),
        ("X25519", issue(Kind::X25519), false),
    ];
    let large = content(LARGE);
    println!(
        "{:<16} {:<12} {:>16} {:>14} {:>14}",
        "recipient", "cipher", "10 KB sealed /s", "once, MB/s", "of"
    );
    for (name, made, oaep) in &recipients {
        for cipher in [ContentCipher::Aes256Cbc, ContentCipher::Aes256Gcm] {
            let octets = match cipher {
                ContentCipher::Aes256Cbc => LARGE,
                ContentCipher::Aes256Gcm => usize::try_from(MAX_GCM_OCTETS).unwrap(),
            };
            let rate = sealed_a_second(made, *oaep, cipher, &large[..SMALL]);
            let speed = speed(made, *oaep, cipher, &large[..octets]);
            println!(
                "{name:<16} {:<12} {rate:>16.0} {speed:>14.0} {:>11} MB",
                cipher.as_str(),
                octets / 1_000_000
            );
        }
    }
    signing(&authority, &large[..SMALL]);
    memory(&rsa, &large);
    baseline(&rsa);
}

fn content(octets: usize) -> Vec<u8> {
    let line = b"The quick brown fox jumps over the lazy dog; forty-two of them, in fact.\r\n";
    assert_eq!(line.len(), LINE);
    line.iter().copied().cycle().take(octets).collect()
}

fn recipe(made: &Made, oaep: bool, cipher: ContentCipher, content: &[u8]) -> Sealed {
    let to = RecipientKey::of_certificate(&made.certificate).unwrap();
    let beginning = begin(&to, oaep, cipher, content.len() as u64).unwrap();
    let shape = Shape {
        header: b"Subject: [...]\r\n\r\n".to_vec(),
        head: Vec::new(),
        skip: 0,
        tail: Vec::new(),
        signer: None,
    };
    let mut sealed = Sealed {
        shape: Arc::new(shape),
        envelope: beginning.envelope,
        cipher,
        key: beginning.key,
        iv: beginning.iv,
        octets: 0,
        sha256: [0; 32],
        certificate: Fingerprint::new([0; 32]),
        expires: NOW,
    };
    measure(&mut sealed, content).unwrap();
    sealed
}

/// Makes the octets, piece by piece; they go nowhere.
fn send<'a>(sealed: &Sealed, pieces: impl Iterator<Item = &'a [u8]>) {
    let mut stream = SealStream::new(sealed).unwrap();
    let mut out = Vec::new();
    for piece in pieces {
        stream.push(piece, &mut out).unwrap();
        black_box(&out);
        out.clear();
    }
    stream.finish(&mut out).unwrap();
    black_box(&out);
}

fn sealed_a_second(made: &Made, oaep: bool, cipher: ContentCipher, content: &[u8]) -> f64 {
    a_second(|| {
        let sealed = recipe(made, oaep, cipher, content);
        send(&sealed, content.chunks(PIECE));
    })
}

fn a_second(mut one: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < MEASURED {
        one();
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

/// MB/s of content, the best of several runs.
fn speed(made: &Made, oaep: bool, cipher: ContentCipher, content: &[u8]) -> f64 {
    let sealed = recipe(made, oaep, cipher, content);
    let best = best(|| send(&sealed, content.chunks(PIECE)));
    content.len() as f64 / 1e6 / best.as_secs_f64()
}

fn best(mut one: impl FnMut()) -> Duration {
    let mut run = || {
        let started = Instant::now();
        one();
        started.elapsed()
    };
    (0..RUNS).map(|_| run()).min().unwrap()
}

fn signing(authority: &Authority, content: &[u8]) {
    println!("\n{:<16} {:>16}", "signer", "10 KB signed /s");
    for (name, kind) in [
        ("RSA 2048", Kind::Rsa2048),
        ("RSA 3072", Kind::Rsa3072),
        ("P-256", Kind::P256),
        ("P-384", Kind::P384),
        ("Ed25519", Kind::Ed25519),
    ] {
        let made = authority.issue(kind, &Subject::new("Jo", "jo@clinic.example", 8));
        let chain = vec![made.certificate, authority.certificate.clone()];
        let identity = Identity::new(chain, &made.pkcs8).unwrap();
        let rate = a_second(|| {
            let mut digest = identity.digest();
            digest.update(content);
            black_box(sign_detached(&identity, digest, NOW).unwrap());
        });
        println!("{name:<16} {rate:>16.0}");
    }
}

/// What sending takes, by the size of the message: each in a process of its own, which is given the
/// recipe and makes the message of content that comes piece by piece and is not held.
fn memory(made: &Made, large: &[u8]) {
    println!("\n{:<16} {:>8} {:>16}", "cipher", "MB", "memory, KB");
    let directory = tempfile::tempdir().unwrap();
    let gcm = usize::try_from(MAX_GCM_OCTETS).unwrap();
    for (cipher, sizes) in [
        (ContentCipher::Aes256Cbc, [1_000_000, 10_000_000, LARGE]),
        (ContentCipher::Aes256Gcm, [1_000_000, 10_000_000, gcm]),
    ] {
        for size in sizes {
            let sealed = recipe(made, false, cipher, &large[..size]);
            let file = directory.path().join("recipe");
            fs::write(&file, serde_json::to_vec(&sealed).unwrap()).unwrap();
            let sender = Command::new(std::env::current_exe().unwrap())
                .args([SENDER, file.to_str().unwrap(), &size.to_string()])
                .output()
                .unwrap();
            assert!(sender.status.success(), "{sender:?}");
            let taken = String::from_utf8_lossy(&sender.stdout).into_owned();
            let taken = taken.trim();
            println!(
                "{:<16} {:>8} {taken:>16}",
                cipher.as_str(),
                size / 1_000_000
            );
        }
    }
}

/// The process that sends: says by how much its memory grew at most.
fn sender(recipe: &str, size: &str) {
    let sealed: Sealed = serde_json::from_slice(&fs::read(recipe).unwrap()).unwrap();
    let size: usize = size.parse().unwrap();
    let piece = content(PIECE / LINE * LINE);
    let before = status("VmRSS:");
    let pieces = (0..size / piece.len()).map(|_| piece.as_slice());
    send(&sealed, pieces.chain([&piece[..size % piece.len()]]));
    match (before, status("VmHWM:")) {
        (Some(before), Some(peak)) => println!("{}", peak.saturating_sub(before)),
        _ => println!("unknown"),
    }
}

/// A number of `/proc/self/status`, in KB.
fn status(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn baseline(made: &Made) {
    let present = Command::new("openssl").arg("version").output();
    let Ok(version) = present else {
        println!("\nopenssl is not installed: no baseline");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let certificate = directory.path().join("certificate.pem");
    fs::write(&certificate, made::pem("CERTIFICATE", &made.certificate)).unwrap();
    let run = |octets: usize| {
        let file = directory.path().join("content");
        fs::write(&file, content(octets)).unwrap();
        best(|| encrypt(&file, &certificate))
    };
    let (whole, start) = (run(LARGE), run(1));
    let rate = LARGE as f64 / 1e6 / whole.saturating_sub(start).as_secs_f64();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    println!(
        "\nbaseline: openssl cms -encrypt -aes-256-cbc, RSA 2048 v1.5, 50 MB: {rate:.0} MB/s (its start of \
         {:.0} ms subtracted) with {}",
        start.as_secs_f64() * 1e3,
        version.trim()
    );
}

fn encrypt(file: &Path, certificate: &Path) {
    let status = Command::new("openssl")
        .args([
            "cms",
            "-encrypt",
            "-binary",
            "-aes-256-cbc",
            "-outform",
            "SMIME",
        ])
        .arg("-in")
        .arg(file)
        .arg(certificate)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
