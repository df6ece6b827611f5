//! Signatures are checked by the verifier of `mail-auth`, which parses message and record anew;
//! the judge that shares no line of code with the signer is in the interoperability tests. Key
//! files are checked by what they hold.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::cache::NoCache;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{AuthenticatedMessage, MessageAuthenticator, Parameters, ResolverCache, Txt};
use mail_auth::{DkimResult, MX, RecordSet};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const MESSAGE: &str = concat!(
    "Received: from app by mail.clinic.example; Sun, 22 Nov 2026 00:30:07 +0000\r\n",
    "From: Jo Doe\r\n <jo@clinic.example>\r\n",
    "To: kim@tls.example\r\n",
    "Subject:   Your   visit \r\n",
    "Date: Sun, 22 Nov 2026 00:30:07 +0000\r\n",
    "Message-ID: <1@clinic.example>\r\n",
    "List-Unsubscribe: <https://clinic.example/u>\r\n",
    "X-Colour: blue\r\n",
    "\r\n",
    "Hello  Kim,\t \r\n\r\nsee you.\r\n\r\n\r\n"
);

/// An RSA key of 1024 bits, for nothing but to be refused.
const SMALL: &str = "-----BEGIN PRIVATE KEY-----\n\
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAMgN6y9PU0pR3ul0\n\
B83JXcPTgTfyN0S2FKV8/bHVnzvGdIVfQeKg1gv+G4dqqJ9oNnmel/zyx3yIdNUV\n\
0mG4h3OvGEEIJL+JqvxC/lpGcCzwueFWaepkFE6woxeDaeq4E28QThEF6sNwb8Fv\n\
LLLaE3VgZz25iutJYHV+BmM5gWS/AgMBAAECgYArDAOtXG5ZsaA7r8H2H/xTJPHL\n\
Lg2CdYOf0HNujr8Cx8NO555vu5gTYIxf6S17j5sZNG0T+tG+FEa/i0CH0oMimfFX\n\
5XFfoYUU3F9wssAEkZGT9dTRE+dbEFWFeccKRBf/BsoGvXV02nkQEzg4vbWfFIeW\n\
n87aXSM/1bY9ZXt8kQJBAOw1gEQScNcGIm/d10t8BTad1HNurhrkzoEFKqf4pLiO\n\
lDOWJfmjvJKDnaT98Cp8rpzjDTR1EpS9a/djKez+TqsCQQDY0O3hkOPd317mQVmW\n\
Qv1mkJFYT6s6Caa/49HI8/DyXwC3TZ69fOaOFcYc4mhkUXPDbn5M2v1pfRQuxgWj\n\
ofI9AkAlVCsqFtP4V0LX9PISPs5AHF83wtUG8QPlheCA3R2DAR1Qrbjgo8yoRt6B\n\
9ZOf00ZxCrzKfnnqQakvVl+I0YOzAkEAnrgT7FSM+xdR+W1Nj9pqdnLOc7+esVXv\n\
Y/n60QkDEerKM2X3FvAgN1NpPCviD84w2JhCjTCi4l5WMAd2iVs8YQJBAIkgpYHl\n\
8j2EaNL6Mh2aCucQ4xceryblrfAXSGzqSWInCFVRR01YZI/YrmZDCEB6TG+K6r07\n\
66VUG9BXI/UgOSk=\n\
-----END PRIVATE KEY-----";
/// A key of a kind that DKIM does not know.
const ECDSA: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9Y4rPsWQCs5b+1BE\n\
X9zC+E0bAb1nzagEUvw08FSJ1jWhRANCAARaT6jIO3o9Rl0wsp4voRxqr5/WsbpS\n\
eph/CM5yidx+/fSoOIHm+KNY10jpTXbgcQhA9rVY/e/3oxxt17dbohqb\n\
-----END PRIVATE KEY-----";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// A name server that knows the records it is given.
#[derive(Default)]
struct Records(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }
    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }
    fn insert(&self, _: Box<str>, _: Txt, _: std::time::Instant) {}
}

impl Records {
    fn publish(&mut self, key: &SigningKey, pem: &str) {
        let name = format!("{}._domainkey.{}.", key.selector(), key.domain());
        let record = dns_record(pem).unwrap();
        let record = DomainKey::parse(record.text().as_bytes()).unwrap();
        let key = Txt::DomainKey(Arc::new(record));
        self.0.insert(name.into_boxed_str(), key);
    }

    /// The verifier's result for each signature.
    async fn verify(&self, message: &[u8]) -> Vec<DkimResult> {
        use hickory_resolver::config::{ResolverConfig, ResolverOpts};
        let message = AuthenticatedMessage::parse(message).unwrap();
        let resolver =
            MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default()).unwrap();
        let parameters = Parameters {
            params: &message,
            cache_txt: Some(self),
            cache_mx: None::<&NoCache<Box<str>, RecordSet<MX>>>,
            cache_ptr: None::<&NoCache<IpAddr, RecordSet<Box<str>>>>,
            cache_ipv4: None::<&NoCache<Box<str>, RecordSet<std::net::Ipv4Addr>>>,
            cache_ipv6: None::<&NoCache<Box<str>, RecordSet<std::net::Ipv6Addr>>>,
        };
        let outputs = resolver.verify_dkim(parameters).await;
        outputs
            .iter()
            .map(|output| output.result().clone())
            .collect()
    }
}

/// A signer with an RSA and an Ed25519 key for `clinic.example`, and its records.
fn both() -> (Signer, Records) {
    let mut records = Records::default();
    let mut keys = Vec::new();
    for (algorithm, selector) in [(Algorithm::Rsa, "R2026"), (Algorithm::Ed25519, "e.2026")] {
        let pem = keygen(algorithm).unwrap();
        let key = SigningKey::from_pem(domain("clinic.example"), selector, &pem).unwrap();
        records.publish(&key, &pem);
        keys.push(key);
    }
    (Signer::new(keys), records)
}

fn signed(signer: &Signer, message: &str) -> Vec<u8> {
    let signature = signer
        .sign(NOW, &domain("clinic.example"), message.as_bytes())
        .unwrap();
    let mut signed = signature.prefix;
    signed.extend_from_slice(message.as_bytes());
    signed
}

#[tokio::test]
async fn both_signatures_verify_and_tampering_shows() {
    let (signer, records) = both();
    let message = signed(&signer, MESSAGE);
    let results = records.verify(&message).await;
    assert_eq!(results, [DkimResult::Pass, DkimResult::Pass]);

    let text = String::from_utf8(message).unwrap();
    // Relaxed: refolding and white space are no tampering, and neither is what was not signed.
    for (from, to) in [
        ("Subject:   Your   visit ", "subject: Your visit"),
        ("see you.\r\n\r\n\r\n", "see you.\r\n"),
        ("X-Colour: blue", "X-Colour: red"),
    ] {
        assert!(text.contains(from));
        let results = records.verify(text.replace(from, to).as_bytes()).await;
        assert_eq!(results, [DkimResult::Pass, DkimResult::Pass], "{from}");
    }
    for (from, to) in [
        ("see you", "see me"),
        ("Your   visit", "Your bill"),
        ("kim@tls.example", "eve@tls.example"),
        ("/u>", "/v>"),
        ("X-Colour: blue", "Reply-To: eve@evil.example"),
        ("X-Colour: blue", "From: eve@evil.example"),
        ("X-Colour: blue", "Subject: Send money"),
        ("X-Colour: blue", "Content-Type: text/html"),
        ("X-Colour: blue", "Cc: eve@evil.example"),
    ] {
        assert!(text.contains(from));
        let results = records.verify(text.replace(from, to).as_bytes()).await;
        assert_eq!(results.len(), 2);
        assert!(
            results.iter().all(|result| *result != DkimResult::Pass),
            "{to}"
        );
    }
}

#[tokio::test]
async fn odd_bodies_verify() {
    let (signer, records) = both();
    let head = "From: jo@clinic.example\r\nTo: kim@tls.example\r\n";
    for body in [
        "\r\n",
        "",
        "\r\n\r\n\r\n",
        "\r\nno end",
        "\r\n \t\r\nx \r\n \r\n",
    ] {
        let message = signed(&signer, &format!("{head}{body}"));
        // A message without an empty line cannot be told from one with an empty body.
        let results = records.verify(&message).await;
        assert_eq!(results, [DkimResult::Pass, DkimResult::Pass], "{body:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_only_known_by_its_hash_is_signed_as_if_it_were_there() {
    let (signer, records) = both();
    let header = concat!(
        "From: jo@clinic.example\r\nTo: kim@tls.example\r\nSubject: ...\r\n",
        "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n",
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data;\r\n name=smime.p7m\r\n",
        "\r\n"
    );
    // As many octets as fill a line, one less, one more, and many lines.
    for octets in [1, 56, 57, 58, 114, 5000] {
        let text = STANDARD.encode(vec![0xa5; octets]);
        let lines = text
            .as_bytes()
            .chunks(76)
            .map(|line| [line, b"\r\n"].concat());
        let body: Vec<u8> = lines.flatten().collect();
        let digest = ring::digest::digest(&ring::digest::SHA256, &body);
        let author = domain("clinic.example");
        let hashed = signer
            .sign_hashed(
                NOW,
                &author,
                header.as_bytes(),
                digest.as_ref().try_into().unwrap(),
            )
            .unwrap();
        let whole = [header.as_bytes(), &body].concat();
        let ordinary = signer.sign(NOW, &author, &whole).unwrap();
        // RSA with PKCS #1 v1.5 and Ed25519 are deterministic.
        assert_eq!(hashed, ordinary, "{octets}");
        let message = [&hashed.prefix[..], &whole].concat();
        let results = records.verify(&message).await;
        assert_eq!(results, [DkimResult::Pass, DkimResult::Pass], "{octets}");
    }
}

#[test]
fn the_prefix_is_whole_folded_header_fields() {
    let (signer, _) = both();
    let author = domain("clinic.example");
    let signature = signer.sign(NOW, &author, MESSAGE.as_bytes()).unwrap();
    assert_eq!(signature.domains, ["clinic.example"]);
    let text = String::from_utf8(signature.prefix).unwrap();
    let lines: Vec<&str> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
    assert!(
        lines
            .iter()
            .all(|line| line.len() <= 100 && !line.contains(['\r', '\n']))
    );
    let starts: Vec<&&str> = lines
        .iter()
        .filter(|l| !l.starts_with([' ', '\t']))
        .collect();
    assert_eq!(starts.len(), 2);
    assert!(
        starts
            .iter()
            .all(|line| line.starts_with("DKIM-Signature: v=1; a="))
    );
    assert!(
        text.contains("a=rsa-sha256; s=r2026;") && text.contains("a=ed25519-sha256; s=e.2026;")
    );
    assert!(text.contains("t=1800000000;"));
    let unfolded = text.replace("\r\n\t", "").to_lowercase();
    let listed = unfolded
        .split("h=")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let count = |name| listed.split(':').filter(|n| *n == name).count();
    assert_eq!(count("from"), 2, "{listed}");
    assert_eq!(
        (count("subject"), count("cc"), count("reply-to")),
        (2, 1, 1)
    );
    assert_eq!(
        (
            count("list-unsubscribe"),
            count("list-id"),
            count("x-colour")
        ),
        (1, 0, 0)
    );
    assert_eq!(count("received"), 0);
}

#[tokio::test]
async fn no_layout_leaves_white_space_behind_the_signature() {
    // Every set of signed fields has its own `h=`, so the base64 ends in many columns.
    let rsa = keygen(Algorithm::Rsa).unwrap();
    let ed25519 = keygen(Algorithm::Ed25519).unwrap();
    for pem in [&rsa, &ed25519] {
        let mut records = Records::default();
        let key = SigningKey::from_pem(domain("clinic.example"), "s2026", pem).unwrap();
        records.publish(&key, pem);
        let signer = Signer::new(vec![key]);
        for number in 0..64usize {
            let picked = SIGNED
                .iter()
                .enumerate()
                .filter(|(at, _)| number >> (at % 6) & 1 == 1);
            let extra: String = picked
                .take(number)
                .map(|(_, name)| format!("{name}: x\r\n"))
                .collect();
            let message = signed(&signer, &format!("{extra}{MESSAGE}"));
            assert_eq!(records.verify(&message).await, [DkimResult::Pass]);
            let text = String::from_utf8(message).unwrap();
            let (_, value) = text.split_once(" b=").unwrap();
            let (value, _) = value.split_once(';').unwrap();
            assert_eq!(value.trim_end(), value, "{number}");
        }
    }
}

#[test]
fn the_nearest_configured_domain_signs() {
    let key = |name: &str| {
        SigningKey::from_pem(domain(name), "s", &keygen(Algorithm::Ed25519).unwrap()).unwrap()
    };
    let signer = Signer::new(vec![key("clinic.example"), key("lab.clinic.example")]);
    for (author, signs) in [
        ("clinic.example", Some("clinic.example")),
        ("ward.clinic.example", Some("clinic.example")),
        ("lab.clinic.example", Some("lab.clinic.example")),
        ("x.lab.clinic.example", Some("lab.clinic.example")),
        ("evilclinic.example", None),
        ("example", None),
    ] {
        let found = signer.domain_for(&domain(author));
        assert_eq!(found.map(Domain::as_str), signs, "{author}");
        let signature = signer
            .sign(NOW, &domain(author), MESSAGE.as_bytes())
            .unwrap();
        assert_eq!(signature.domains, signs.into_iter().collect::<Vec<_>>());
        assert_eq!(signature.prefix.is_empty(), signs.is_none());
    }
}

#[test]
fn a_message_without_from_is_not_signed() {
    let (signer, _) = both();
    for message in [
        "",
        "\r\nFrom: in@the.body\r\n",
        "To: x@y.example\r\n\r\nFrom: z\r\n",
    ] {
        let result = signer.sign(NOW, &domain("clinic.example"), message.as_bytes());
        assert!(
            matches!(result, Err(SignError::NoFrom { .. })),
            "{message:?}"
        );
    }
}

fn pem_of(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

fn der_of(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(base64).unwrap()
}

#[test]
fn reads_every_form_of_key() {
    let rsa = keygen(Algorithm::Rsa).unwrap();
    // PKCS#8 wraps PKCS#1: the header of a 2048-bit key has 26 octets.
    let pkcs1 = pem_of("RSA PRIVATE KEY", &der_of(&rsa)[26..]);
    let random = ring::rand::SystemRandom::new();
    let v2 = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let v2 = pem_of("PRIVATE KEY", v2.as_ref());
    let v1 = keygen(Algorithm::Ed25519).unwrap();
    for (pem, kind) in [
        (rsa.as_str(), "k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"),
        (&pkcs1, "k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"),
        (&v1, "k=ed25519; p="),
        (&v2, "k=ed25519; p="),
    ] {
        SigningKey::from_pem(domain("clinic.example"), "s2026", pem).unwrap();
        let record = dns_record(pem).unwrap();
        assert!(record.text().contains(kind), "{}", record.text());
    }
    assert_eq!(dns_record(&rsa).unwrap(), dns_record(&pkcs1).unwrap());
    let ed25519 = dns_record(&v1).unwrap();
    let key = ed25519.text().split("p=").nth(1).unwrap();
    assert_eq!(STANDARD.decode(key).unwrap().len(), 32);
}

#[test]
fn refuses_what_is_no_good_key_and_shows_none_of_it() {
    let load = |selector, pem: &str| SigningKey::from_pem(domain("clinic.example"), selector, pem);
    assert!(matches!(load("s", SMALL), Err(KeyError::TooSmall)));
    assert!(matches!(load("s", ECDSA), Err(KeyError::NotAKey)));
    assert!(matches!(load("s", "nonsense"), Err(KeyError::NotAKey)));
    let good = keygen(Algorithm::Ed25519).unwrap();
    for selector in ["", "a..b", "-a", "a_b", "a b", "a;b", "a\r\nb"] {
        let error = load(selector, &good);
        assert!(
            matches!(error, Err(KeyError::Selector { .. })),
            "{selector:?}"
        );
    }
    let key = load("2026", &good).unwrap();
    let secret = good.lines().nth(1).unwrap();
    assert!(!format!("{key:?}").contains(secret));
    let truncated = good.replace(&secret[20..30], "");
    let error = load("s", &truncated).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(&secret[..10]));
}

#[test]
fn key_files_are_private_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clinic.example.pem");
    let pem = keygen(Algorithm::Ed25519).unwrap();
    write_new(&path, &pem).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    let load = || SigningKey::load(domain("clinic.example"), "s", &path);
    load().unwrap();
    let again = write_new(&path, "other");
    assert!(matches!(again, Err(KeyError::Write { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), *pem);
    for bad in [0o640, 0o604, 0o660, 0o644] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(bad)).unwrap();
        assert!(matches!(load(), Err(KeyError::Mode { mode, .. }) if mode == bad));
    }
    let missing = SigningKey::load(domain("clinic.example"), "s", Path::new("/nonexistent"));
    assert!(matches!(missing, Err(KeyError::Read { .. })));
}

#[test]
fn long_records_are_split_for_the_zone_file() {
    let record = dns_record(&keygen(Algorithm::Rsa).unwrap()).unwrap();
    let zone = record.to_string();
    let strings: Vec<&str> = zone
        .split("\" \"")
        .map(|string| string.trim_matches('"'))
        .collect();
    assert_eq!(strings.len(), 2);
    assert!(strings.iter().all(|string| string.len() <= 255));
    assert_eq!(strings.concat(), record.text());
}
