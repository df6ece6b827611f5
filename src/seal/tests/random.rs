//! A thousand random messages to random keys: byte for byte the same after decryption, and nothing
//! of what is inside to be seen outside.

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use memchr::memmem;

use super::generator::{Made, Rng, message};
use super::reader::{der, header_sets, open, outside, sent};
use super::*;
use crate::mail::ContentCipher;
use crate::mail::message::{Field, Header, split};

/// Fields that stand neither inside nor outside. That on top, which is ours, is not inside either.
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

/// Everything that holds of one sealed message.
fn check(made: &Made, rng: &mut Rng, signed: bool, kind: usize, gcm: bool, oaep: bool) {
    let content = made.content.as_slice();
    let keys = &WORLD.recipients[kind];
    let signer = &WORLD.signers[rng.below(SIGNERS.len())];
    let sealer = if signed {
        sealer(signer)
    } else {
        Sealer::default()
    };
    let payload = sealer.payload(content, Some(&author()), NOW).unwrap();
    let to = recipient(keys, gcm, oaep);
    let Sealing {
        sealed,
        body_sha256,
    } = payload.seal(content, &to).unwrap();
    let cipher = if gcm {
        ContentCipher::Aes256Gcm
    } else {
        ContentCipher::Aes256Cbc
    };
    assert_eq!(sealed.cipher, cipher);
    assert_eq!(sealed.shape.signer.as_deref(), signed.then_some(AUTHOR));
    let wire = sent(&sealed, content, rng);
    // Made again, in other pieces, it is the same.
    assert_eq!(wire, sent(&sealed, content, rng));
    assert_eq!(u64::try_from(wire.len()), Ok(sealed.octets));
    assert_eq!(digest(&SHA256, &wire).as_ref(), sealed.sha256);
    let (block, body) = split(&wire);
    assert_eq!(digest(&SHA256, body).as_ref(), body_sha256);
    lines(&wire);

    let opened = open(&wire, &keys.certificate, &keys.pkcs8);
    assert_eq!(opened.signature.is_some(), signed);
    if let Some(signature) = &opened.signature {
        let by = cms::verify_detached(signature, &opened.root).unwrap();
        assert_eq!(by, signer.certificate);
    }
    inside(content, &opened.root, &Header::parse(block).unwrap());
    second_reader(content, &wire, &opened.root);
    let shown = format!("{payload:?} {sealed:?} {sealer:?}");
    let der = der(&wire);
    for canary in &made.canaries {
        for octets in [wire.as_slice(), &der, shown.as_bytes()] {
            assert!(
                memmem::find(octets, canary.as_bytes()).is_none(),
                "{canary}"
            );
        }
        let inner = memmem::find(&opened.root, canary.as_bytes()).is_some();
        // Some stand in texts that turned out empty.
        let there = memmem::find(content, canary.as_bytes()).is_some();
        assert_eq!(inner, there && !is_gone(content, canary), "{canary}");
    }
}

/// CRLF line ends only; the base64 in lines of 76, no line over the limit (RFC 5322 §2.1.1).
fn lines(wire: &[u8]) {
    let (header, body) = split(wire);
    assert!(wire.is_ascii() && wire.ends_with(b"\r\n"));
    let carriage = memchr::memchr_iter(b'\r', wire).count();
    let feeds = memchr::memchr_iter(b'\n', wire).count();
    let both = memmem::find_iter(wire, b"\r\n").count();
    assert_eq!((carriage, feeds), (both, both));
    assert!(
        header
            .split(|octet| *octet == b'\n')
            .all(|line| line.len() <= 999)
    );
    let mut lines: Vec<&[u8]> = body.split(|octet| *octet == b'\n').collect();
    assert_eq!(lines.pop(), Some(&b""[..]));
    let last = lines.pop().unwrap();
    assert!(lines.iter().all(|line| line.len() == 77));
    assert!((2..=77).contains(&last.len()));
}

/// Whether a canary stood only in a field that goes nowhere.
fn is_gone(content: &[u8], canary: &str) -> bool {
    let (block, _) = split(content);
    let header = Header::parse_stored(block).unwrap();
    header
        .fields()
        .any(|field| GONE.iter().any(|name| field.is(name)) && field.value().contains(canary))
}

/// Header fields and body inside are those of the content.
fn inside(content: &[u8], root: &[u8], outer: &Header<'_>) {
    let (block, body) = split(content);
    let (root_block, root_body) = split(root);
    assert!(body == root_body, "the body differs");
    let header = Header::parse_stored(block).unwrap();
    let root_header = Header::parse_stored(root_block).unwrap();
    let (told, protected) = header_sets(&root_header);
    assert_eq!(told, outside(outer), "HP-Outer is not what stands outside");
    let without = |field: &Field<'_>| {
        let raw = String::from_utf8(field.raw().to_vec()).unwrap();
        if field.is("Content-Type") {
            let folded = raw.replacen(";\r\n hp=\"cipher\"", "", 1);
            let plain = folded.replacen("; hp=\"cipher\"", "", 1);
            assert_ne!(raw, plain, "no hp parameter");
            return plain;
        }
        raw
    };
    let found: Vec<String> = protected.iter().map(without).collect();
    assert!(header.fields().next().unwrap().is("Received"));
    let kept = header.fields().skip(1);
    let kept = kept.filter(|it| !GONE.iter().any(|name| it.is(name)));
    let mut wanted: Vec<String> = kept
        .map(|it| String::from_utf8(it.raw().to_vec()).unwrap())
        .collect();
    if header.first("Content-Type").is_none() {
        let charset = if body.is_ascii() {
            "; charset=\"us-ascii\""
        } else {
            ""
        };
        wanted.push(format!("Content-Type: text/plain{charset}\r\n"));
    }
    assert_eq!(found, wanted);
}

/// What `mail-parser` makes of it.
fn second_reader(content: &[u8], wire: &[u8], root: &[u8]) {
    let parser = MessageParser::new();
    let outer = parser.parse(wire).unwrap();
    assert_eq!(outer.subject(), Some("[...]"));
    assert_eq!(outer.parts.len(), 1);
    assert_eq!(outer.attachment_name(), Some("smime.p7m"));
    let kind = outer.content_type().unwrap();
    assert_eq!(
        (kind.ctype(), kind.subtype()),
        ("application", Some("pkcs7-mime"))
    );
    let PartType::Binary(decoded) = &outer.parts[0].body else {
        panic!("no binary part");
    };
    assert!(decoded.as_ref() == der(wire), "another structure");
    // Of messages within messages it loses count, which a check in it tells in this profile.
    let nested = memmem::find(content, b"message/rfc822").is_some();
    let (before, inner) = (read(&parser, content, nested), read(&parser, root, nested));
    assert_eq!(inner.subject(), before.subject());
    assert_eq!(inner.from(), before.from());
    assert_eq!(outer.from(), before.from());
    assert_eq!(outer.to(), before.to());
    assert_eq!(inner.parts.len(), before.parts.len());
    for (part, same) in inner.parts.iter().zip(&before.parts) {
        assert_eq!(part.contents(), same.contents());
        assert_eq!(part.attachment_name(), same.attachment_name());
    }
}

/// Reads it whole, or of a message with messages in it the header alone.
fn read<'a>(parser: &MessageParser, octets: &'a [u8], nested: bool) -> Message<'a> {
    if nested {
        parser.parse_headers(octets).unwrap()
    } else {
        parser.parse(octets).unwrap()
    }
}

#[test]
fn a_thousand_random_messages_are_the_same_after_decryption() {
    let mut rng = Rng(4);
    for round in 0..1000 {
        let octets = match round % 250 {
            249 => 5_000_000,
            100 => 400_000,
            _ => rng.below(10_000),
        };
        let made = message(&mut rng, octets);
        let (signed, gcm, oaep) = (rng.one_in(2), rng.one_in(2), rng.one_in(2));
        check(&made, &mut rng, signed, round % RECIPIENTS.len(), gcm, oaep);
    }
}

/// Slow without optimisation: `cargo test --release -- --ignored fifty_megabytes`.
#[test]
#[ignore = "slow without optimisation"]
fn fifty_megabytes_are_the_same_after_decryption() {
    let mut rng = Rng(50);
    // The size alone decides that it is CBC.
    let made = loop {
        let made = message(&mut rng, 50_000_000);
        if made.content.len() > 40_000_000 {
            break made;
        }
    };
    let to = recipient(&WORLD.recipients[0], true, true);
    let payload = sealer(&WORLD.signers[0]).payload(&made.content, Some(&author()), NOW);
    let sealing = payload.unwrap().seal(&made.content, &to).unwrap();
    assert_eq!(sealing.sealed.cipher, ContentCipher::Aes256Cbc);
    check(&made, &mut rng, true, 0, false, true);
}
