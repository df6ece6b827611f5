//! What must hold for any octets as a message: they are refused, or they are sealed so that exactly
//! they come out again and nothing that is not allowed stands outside.

use std::sync::OnceLock;

use sealpost::mail::message::{Field, Header, split};
use sealpost::mail::{
    Address, CertificateFact, Domain, Fingerprint, RecipientCertificate, Sealed, Timestamp,
};
use sealpost::proto::cms::{self, SealStream};
use sealpost::seal::{Owner, Sealer, SigningIdentity, already_sealed};

use crate::cms::{CARLOS, carlos_key};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: Timestamp = Timestamp::from_secs(1_900_000_000);
const AUTHOR: &str = "jo@clinic.example";
/// His certificate for signing (RFC 9216).
const SIGNS: &str = include_str!("../../tests/data/rfc9216/carlos.sign.crt");
const SIGNS_KEY: &str = include_str!("../../tests/data/rfc9216/carlos.sign.key");
/// Never outside, whatever an allow-list says.
const INSIDE: [&str; 9] = [
    "Keywords",
    "Comments",
    "Thread-Topic",
    "Bcc",
    "Resent-Bcc",
    "Return-Path",
    "DKIM-Signature",
    "HP-Outer",
    "Content-Description",
];
/// Not inside either.
const GONE: [&str; 11] = [
    "DKIM-Signature",
    "DomainKey-Signature",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
    "Authentication-Results",
    "Received-SPF",
    "Bcc",
    "Resent-Bcc",
    "Return-Path",
    "HP-Outer",
];
/// A Subject that says nothing.
const NEUTRAL: [&str; 4] = ["", "...", "[...]", "encrypted message"];

/// Keys for both ends.
struct Keys {
    to: RecipientCertificate,
    pkcs8: Vec<u8>,
    signs: Sealer,
    author: Address,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let chain = vec![unpem(SIGNS)];
        let key = unpem(SIGNS_KEY);
        let identity = SigningIdentity {
            owner: Owner::Domain(Domain::parse("clinic.example").unwrap()),
            identity: cms::Identity::new(chain, &key).unwrap(),
            expires: LATER,
        };
        Keys {
            to: RecipientCertificate {
                der: CARLOS.to_vec().into(),
                fingerprint: Fingerprint::new([7; 32]),
                expires: LATER,
                fact: CertificateFact::Directory,
                gcm: false,
                oaep: false,
            },
            pkcs8: carlos_key(),
            signs: Sealer::new(vec![identity]),
            author: Address::parse(AUTHOR).unwrap(),
        }
    })
}

/// Takes the octets as a message, as they are and with an author in front, and as something sealed
/// already.
pub fn seal(octets: &[u8]) {
    let keys = keys();
    if already_sealed(octets, &keys.to).is_some() {
        let (block, body) = split(octets);
        assert!(unbase64(body).is_some(), "something stands beside it");
        let header = Header::parse_stored(block).unwrap();
        for field in header.all("Subject") {
            let subject = field.value().to_ascii_lowercase();
            assert!(
                NEUTRAL.contains(&subject.as_str()),
                "a Subject stands outside"
            );
        }
    }
    round(keys, octets, octets.len().is_multiple_of(2));
    let authored = [b"From: jo@clinic.example\r\n", octets].concat();
    round(keys, &authored, octets.len().is_multiple_of(3));
}

/// Seals and opens.
fn round(keys: &Keys, content: &[u8], signed: bool) {
    let unsigning = Sealer::default();
    let sealer = if signed { &keys.signs } else { &unsigning };
    let Ok(payload) = sealer.payload(content, Some(&keys.author), NOW) else {
        return; // refused
    };
    let to = RecipientCertificate {
        gcm: content.len().is_multiple_of(5),
        ..keys.to.clone()
    };
    let sealing = payload.seal(content, &to).unwrap();
    let sealed = &sealing.sealed;
    let wire = stream(sealed, content);
    let (outer, body) = split(&wire);
    let der = unbase64(body).expect("base64");
    let entity = cms::decrypt(&der, &to.der, &keys.pkcs8).unwrap();
    let inside = entity.strip_prefix(sealed.shape.head.as_slice());
    let inside = inside.and_then(|rest| rest.strip_suffix(sealed.shape.tail.as_slice()));
    let (block, body) = split(content);
    assert_eq!(inside, Some(body));
    assert_eq!(sealed.shape.signer.is_some(), !sealed.shape.tail.is_empty());
    assert_eq!(sealed.shape.signer.is_none(), payload.unsigned().is_some());
    // The root: behind the first empty line and the boundary where it is signed.
    let root = match sealed.shape.signer {
        Some(_) => {
            let (_, rest) = split(&sealed.shape.head);
            let line = rest.iter().position(|octet| *octet == b'\n').unwrap();
            &rest[line + 1..]
        }
        None => sealed.shape.head.as_slice(),
    };
    headers(outer, split(root).0, block);
}

fn stream(sealed: &Sealed, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut stream = SealStream::new(sealed).unwrap();
    for piece in content.chunks(7) {
        stream.push(piece, &mut out).unwrap();
    }
    stream.finish(&mut out).unwrap();
    out
}

/// What holds of the three headers: outside, inside, and as it was.
fn headers(outer: &[u8], inner: &[u8], before: &[u8]) {
    let outer = Header::parse_stored(outer).unwrap();
    // HP-Outer makes the inner one longer than what comes in may be.
    let (told, kept): (Vec<Field<'_>>, Vec<Field<'_>>) = match Header::parse_stored(inner) {
        Ok(inner) => inner.fields().partition(|field| field.is("HP-Outer")),
        Err(error) => {
            assert!(inner.len() > before.len(), "{error}");
            return;
        }
    };
    let before = Header::parse_stored(before).unwrap();
    for field in outer.fields() {
        assert!(
            !INSIDE.iter().any(|name| field.is(name)),
            "{}",
            field.name()
        );
    }
    assert!(outer.first("Subject").is_some());
    assert!(outer.all("Subject").all(|it| it.value() == "[...]"));
    let trace = outer.all("Received").count();
    let ours = before.fields().next().is_some_and(|it| it.is("Received"));
    assert_eq!(
        trace,
        usize::from(ours),
        "a Received field that is not ours"
    );
    let shown = outer.fields().filter(|it| {
        !it.is("Received") && !it.is("MIME-Version") && !it.name().starts_with("Content-")
    });
    let shown: Vec<String> = shown
        .map(|it| spaced(&format!("{}: {}", it.name(), it.value())))
        .collect();
    let told: Vec<String> = told.iter().map(|it| spaced(&it.value())).collect();
    assert!(
        told.is_empty() || told == shown,
        "HP-Outer tells something else"
    );
    let mut kept = kept.iter();
    for (at, field) in before.fields().enumerate() {
        let gone = GONE.iter().any(|name| field.is(name)) || at == 0 && ours;
        if !gone && !field.is("Content-Type") {
            let found = kept.any(|it| it.raw() == field.raw());
            assert!(found, "{} is not inside, or not in its place", field.name());
        }
    }
}

/// `name: value` with the white space behind the colon as one space.
fn spaced(line: &str) -> String {
    match line.split_once(':') {
        Some((name, value)) => format!("{name}: {}", value.trim_matches([' ', '\t'])),
        None => line.to_owned(),
    }
}

fn unpem(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('-'));
    unbase64(lines.collect::<String>().as_bytes()).expect("base64")
}

/// What lines of base64 stand for; `None` where anything else is in them.
fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for octet in text.iter().filter(|octet| !b"\r\n=".contains(octet)) {
        let digit = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push((bits >> held & 0xff) as u8);
        }
    }
    Some(octets)
}
