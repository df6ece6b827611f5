//! Signatures hold for what was signed, and for nothing else.

use super::der::{Reader, tag};
use super::made::{self, Authority, Key, Kind, Made, Subject};
use super::{CmsError, Identity, MAX_CHAIN, certificates_of, oid, sign_detached, verify_detached};
use crate::mail::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_795_428_000);
const KINDS: [(Kind, &str); 4] = [
    (Kind::Rsa2048, "sha-256"),
    (Kind::P256, "sha-256"),
    (Kind::P384, "sha-384"),
    (Kind::Ed25519, "sha-512"),
];

fn signer(kind: Kind) -> Made {
    Authority::new("CA").issue(kind, &Subject::new("Jo", "jo@clinic.example", 3))
}

fn signed(identity: &Identity, content: &[u8], now: Timestamp) -> Vec<u8> {
    let mut digest = identity.digest();
    digest.update(content);
    sign_detached(identity, digest, now).unwrap()
}

#[test]
fn each_kind_signs_with_its_digest() {
    let authority = Authority::new("CA");
    for (kind, micalg) in KINDS {
        let made = authority.issue(kind, &Subject::new("Jo", "jo@clinic.example", 3));
        let chain = vec![made.certificate.clone(), authority.certificate.clone()];
        let identity = Identity::new(chain, &made.pkcs8).unwrap();
        assert_eq!(identity.micalg(), micalg);
        assert_eq!(identity.certificate(), made.certificate);
        let der = signed(&identity, b"content\r\n", NOW);
        assert_eq!(
            verify_detached(&der, b"content\r\n"),
            Ok(made.certificate.clone())
        );
        assert_eq!(
            verify_detached(&der, b"content\n"),
            Err(CmsError::BadSignature)
        );
        assert_eq!(certificates_of(&der).unwrap().len(), 2);
        // In pieces it is the same digest.
        let mut digest = identity.digest();
        b"content\r\n"
            .iter()
            .for_each(|octet| digest.update(&[*octet]));
        let pieces = sign_detached(&identity, digest, NOW).unwrap();
        assert!(verify_detached(&pieces, b"content\r\n").is_ok());
    }
}

#[test]
fn no_octet_of_a_signature_can_be_changed() {
    let made = signer(Kind::P256);
    let identity = Identity::new(vec![made.certificate], &made.pkcs8).unwrap();
    let der = signed(&identity, b"content", NOW);
    for at in 0..der.len() {
        let mut bad = der.clone();
        bad[at] ^= 1;
        // What is not signed is only the frame: versions, the parameters of a digest, and the
        // certificate's own signature, which nobody looks at here.
        match verify_detached(&bad, b"content") {
            Err(_) => {}
            Ok(by) => assert_eq!(by, identity.certificate(), "{at}"),
        }
    }
    for end in 0..der.len() {
        assert!(verify_detached(&der[..end], b"content").is_err());
    }
}

#[test]
fn the_attributes_are_sorted_and_the_time_is_written_as_its_year_demands() {
    let made = signer(Kind::Ed25519);
    let identity = Identity::new(vec![made.certificate], &made.pkcs8).unwrap();
    let y2050 = Timestamp::from_rfc3339("2050-01-01T00:00:00Z").unwrap();
    for (now, kind, text) in [
        (NOW, tag::UTC_TIME, "261123T"),
        (
            Timestamp::from_secs(y2050.as_secs() - 1),
            tag::UTC_TIME,
            "491231235959Z",
        ),
        (y2050, tag::GENERALIZED_TIME, "20500101000000Z"),
        (Timestamp::from_secs(0), tag::UTC_TIME, "700101000000Z"),
    ] {
        let der = signed(&identity, b"content", now);
        let text = text.strip_suffix('T').unwrap_or(text);
        let names = attributes(&der);
        let sorted = names.windows(2).all(|pair| pair[0].1 < pair[1].1);
        assert!(sorted && names.len() == 5);
        let time = names.iter().find(|(name, _)| name == oid::SIGNING_TIME);
        let value = &time.unwrap().1;
        let at = value.len() - text.len();
        if now != NOW {
            assert_eq!(&value[at..], text.as_bytes());
            assert_eq!(value[at - 2], kind);
        }
    }
}

/// Name and octets of each signed attribute.
fn attributes(der: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut info = Reader::of_sequence(der).unwrap();
    info.oid().unwrap();
    let mut tagged = info.nested(tag::context_constructed(0)).unwrap();
    let mut data = tagged.nested(tag::SEQUENCE).unwrap();
    for _ in 0..4 {
        data.next().unwrap();
    }
    let mut signers = data.nested(tag::SET).unwrap();
    let mut signer = signers.nested(tag::SEQUENCE).unwrap();
    for _ in 0..3 {
        signer.next().unwrap();
    }
    let mut attributes = signer.nested(tag::context_constructed(0)).unwrap();
    let mut found = Vec::new();
    while !attributes.is_empty() {
        let whole = attributes.next().unwrap();
        let name = Reader::new(whole.value).oid().unwrap();
        found.push((name.to_vec(), whole.whole.to_vec()));
    }
    found
}

#[test]
fn key_and_certificate_belong_together() {
    let made: Vec<Made> = KINDS.iter().map(|(kind, _)| signer(*kind)).collect();
    let again: Vec<Made> = KINDS.iter().map(|(kind, _)| signer(*kind)).collect();
    for (at, one) in made.iter().enumerate() {
        let with = |key: &[u8]| Identity::new(vec![one.certificate.clone()], key).map(drop);
        assert_eq!(with(&one.pkcs8), Ok(()));
        for (other, two) in again.iter().enumerate() {
            assert_eq!(with(&two.pkcs8), Err(CmsError::OtherKey), "{at} {other}");
        }
        for junk in [&b""[..], b"junk", &one.certificate, &one.pkcs8[..20]] {
            assert_eq!(with(junk), Err(CmsError::OtherKey));
        }
    }
}

#[test]
fn a_certificate_must_let_its_key_sign() {
    let authority = Authority::new("CA");
    let key = Key::new(Kind::P256);
    let with = |usage: u8| {
        let mut subject = Subject::new("Jo", "jo@clinic.example", 3);
        subject.usage = usage;
        let certificate = authority.certify(&key.spki, &subject);
        Identity::new(vec![certificate], &key.pkcs8).map(drop)
    };
    assert_eq!(with(0b1000_0000), Ok(()));
    assert_eq!(with(0b0100_0000), Ok(()));
    assert_eq!(with(made::SIGN_AND_AGREE), Ok(()));
    assert_eq!(with(made::ENCIPHER), Err(CmsError::KeyUsage));
    let agreed = authority.issue(Kind::X25519, &Subject::new("Jo", "jo@clinic.example", 3));
    let identity = Identity::new(vec![agreed.certificate], &agreed.pkcs8);
    assert_eq!(identity.map(drop), Err(CmsError::KeyKind));
}

#[test]
fn a_chain_is_short_and_all_certificates() {
    let made = signer(Kind::P256);
    let chain = |length: usize| vec![made.certificate.clone(); length];
    let with = |chain| Identity::new(chain, &made.pkcs8).map(drop);
    assert_eq!(with(chain(0)), Err(CmsError::Malformed));
    assert_eq!(with(chain(MAX_CHAIN)), Ok(()));
    assert_eq!(with(chain(MAX_CHAIN + 1)), Err(CmsError::TooLarge));
    let junk = vec![made.certificate.clone(), b"junk".to_vec()];
    assert_eq!(with(junk), Err(CmsError::Malformed));
}

#[test]
fn a_digest_of_another_kind_is_not_signed() {
    let p384 = signer(Kind::P384);
    let ed = signer(Kind::Ed25519);
    let p384 = Identity::new(vec![p384.certificate], &p384.pkcs8).unwrap();
    let ed = Identity::new(vec![ed.certificate], &ed.pkcs8).unwrap();
    assert_eq!(
        sign_detached(&p384, ed.digest(), NOW),
        Err(CmsError::KeyKind)
    );
}

#[test]
fn debug_shows_neither_key_nor_content() {
    let made = signer(Kind::Ed25519);
    let identity = Identity::new(vec![made.certificate], &made.pkcs8).unwrap();
    let mut digest = identity.digest();
    digest.update(b"canary");
    let shown = format!("{identity:?} {digest:?}");
    assert_eq!(
        shown,
        "Identity { certificates: 1, micalg: \"sha-512\", .. } ContentDigest { hash: Sha512, .. }"
    );
}
