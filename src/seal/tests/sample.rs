//! A sample of RFC 9788 (appendix C.3.1, for Bob of RFC 9216), opened by the same receiver that
//! opens ours: the same structure is found in both.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::generator::Rng;
use super::reader::{Opened, der, header_sets, open, outside, sent};
use super::*;
use crate::mail::message::{Header, split};
use crate::proto::cms::der::{Reader, tag};

const SAMPLE: &str = include_str!("../../../tests/data/rfc9788/c.3.1.eml");
const CERTIFICATE: &str = include_str!("../../../tests/data/rfc9216/bob.encrypt.crt");
const KEY: &str = include_str!("../../../tests/data/rfc9216/bob.encrypt.key");

pub(super) fn unpem(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('-'));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

/// The content of an opaque `SignedData` (RFC 5652 §5.1), which the sample has and we do not write.
fn signed_content(signed: &[u8]) -> Vec<u8> {
    let mut info = Reader::of_sequence(signed).unwrap();
    info.oid().unwrap();
    let mut tagged = info.nested(tag::context_constructed(0)).unwrap();
    let mut signed = tagged.nested(tag::SEQUENCE).unwrap();
    signed.small().unwrap();
    signed.expect(tag::SET).unwrap();
    let mut encapsulated = signed.nested(tag::SEQUENCE).unwrap();
    encapsulated.oid().unwrap();
    let mut content = encapsulated.nested(tag::context_constructed(0)).unwrap();
    content.expect(tag::OCTET_STRING).unwrap().value.to_vec()
}

/// What a program that knows RFC 9788 reads off a message.
#[derive(Debug, PartialEq, Eq)]
struct Structure {
    hp: Vec<String>,
    /// Whether HP-Outer says what stands outside, field by field.
    told: bool,
    /// The protected fields that stand outside with another value or not at all.
    hidden: Vec<(String, String)>,
    outer_subject: String,
    body: Vec<u8>,
}

fn structure(wire: &[u8], root: &[u8]) -> Structure {
    let (block, _) = split(wire);
    let outer = Header::parse(block).unwrap();
    let (block, body) = split(root);
    let header = Header::parse(block).unwrap();
    let (told, protected) = header_sets(&header);
    let kind = header.first("Content-Type").unwrap().value();
    let hp = kind
        .split(';')
        .filter_map(|part| part.trim().strip_prefix("hp="));
    let structural = |name: &str| {
        let name = name.to_ascii_lowercase();
        name == "mime-version" || name.starts_with("content-")
    };
    let pairs = protected
        .iter()
        .map(|it| (it.name().to_owned(), it.value()));
    Structure {
        hp: hp.map(|it| it.trim_matches('"').to_owned()).collect(),
        told: told == outside(&outer),
        hidden: pairs
            .filter(|it| !structural(&it.0) && !told.contains(it))
            .collect(),
        outer_subject: outer.first("Subject").unwrap().value(),
        body: body.to_vec(),
    }
}

#[test]
fn the_sample_of_the_rfc_and_ours_have_one_structure() {
    let wire = SAMPLE.replace('\n', "\r\n").into_bytes();
    let (certificate, key) = (unpem(CERTIFICATE), unpem(KEY));
    assert!(cms::inspect(&der(&wire)).is_ok());
    let entity = cms::decrypt(&der(&wire), &certificate, &key).unwrap();
    let root = signed_content(&der(&entity));
    let theirs = structure(&wire, &root);
    assert_eq!(theirs.hp, ["cipher"]);
    assert!(theirs.told);
    assert_eq!(theirs.outer_subject, "[...]");
    let subject = ("Subject", "smime-signed-enc-hp-baseline");
    assert_eq!(
        theirs.hidden,
        [(subject.0.to_owned(), subject.1.to_owned())]
    );
    assert!(theirs.body.starts_with(b"This is the\r\n"));

    // The message as it was before, through our own hands, to the same Bob.
    let plain = String::from_utf8(root).unwrap();
    let lines = plain.split_inclusive("\r\n");
    let lines = lines.filter(|line| !line.starts_with("HP-Outer:"));
    let content = lines.collect::<String>().replacen("; hp=\"cipher\"", "", 1);
    let bob = Made {
        certificate,
        pkcs8: key,
    };
    let alice = Address::parse("alice@smime.example").unwrap();
    let signer = identity(&WORLD.signers[0], "smime.example", LATER);
    let payload = Sealer::new(vec![signer]);
    let payload = payload
        .payload(content.as_bytes(), Some(&alice), NOW)
        .unwrap();
    let sealing = payload
        .seal(content.as_bytes(), &recipient(&bob, false, false))
        .unwrap();
    let wire = sent(&sealing.sealed, content.as_bytes(), &mut Rng(1));
    let Opened { root, signature } = open(&wire, &bob.certificate, &bob.pkcs8);
    assert!(cms::verify_detached(&signature.unwrap(), &root).is_ok());
    let mut ours = structure(&wire, &root);
    // Our policy is the stricter one: a program's name stays inside.
    let agent = ("User-Agent".to_owned(), "Sample MUA Version 1.0".to_owned());
    assert_eq!(ours.hidden.pop(), Some(agent));
    assert_eq!(ours, theirs);
}
