//! Inspecting sealed content that others might send, and taking bundles apart.

use super::der::{self, tag};
use super::inspect::InspectedCipher;
use super::made::{Authority, Kind, Made, Subject};
use super::{CmsError, MAX_BUNDLE, MAX_RECIPIENTS, certificates_of, inspect, oid};

const NULL: &[u8] = &[tag::NULL, 0];
const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
const DES_EDE3_CBC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7];
/// dhSinglePass-stdDH-sha1kdf-scheme.
const ECDH_SHA1_KDF: &[u8] = &[0x2b, 0x81, 5, 0x10, 0x86, 0x48, 0x3f, 0, 2];

/// The name of a certificate: issuer and serial number.
fn name(certificate: &[u8]) -> Vec<u8> {
    let view = super::certificate::View::of(certificate).unwrap();
    let serial = der::element(tag::INTEGER, &[view.serial]);
    der::sequence(&[view.issuer, &serial])
}

fn transport(version: u8, name: &[u8], algorithm: &[u8], octets: usize) -> Vec<u8> {
    let key = der::octet_string(&vec![7; octets]);
    der::sequence(&[&der::small(version), name, algorithm, &key])
}

fn agreement(name: &[u8], scheme: &[u8], wrap: &[u8], octets: usize) -> Vec<u8> {
    let originator = der::element(
        tag::context_constructed(1),
        &[
            &der::algorithm(oid::EC_PUBLIC_KEY, &[]),
            &der::bit_string(&[4; 65]),
        ],
    );
    let key = der::sequence(&[name, &der::octet_string(&vec![7; octets])]);
    der::element(
        tag::context_constructed(1),
        &[
            &der::small(3),
            &der::element(tag::context_constructed(0), &[&originator]),
            &der::algorithm(scheme, wrap),
            &der::sequence(&[&key]),
        ],
    )
}

/// EnvelopedData of these recipients.
fn enveloped(recipients: &[Vec<u8>], algorithm: &[u8], content: &[u8], more: &[u8]) -> Vec<u8> {
    let inner = der::sequence(&[
        &der::oid(oid::DATA),
        algorithm,
        &der::element(tag::context(0), &[content]),
    ]);
    let set = der::set_of(recipients.to_vec());
    let data = der::sequence(&[&der::small(2), &set, &inner, more]);
    wrapped(oid::ENVELOPED_DATA, &data)
}

fn wrapped(name: &[u8], data: &[u8]) -> Vec<u8> {
    let tagged = der::element(tag::context_constructed(0), &[data]);
    der::sequence(&[&der::oid(name), &tagged])
}

fn cbc(name: &[u8], octets: usize) -> Vec<u8> {
    der::algorithm(name, &der::octet_string(&vec![1; octets]))
}

fn recipient(kind: Kind) -> Made {
    Authority::new("CA").issue(kind, &Subject::new("Pat", "pat@home.example", 9))
}

/// What it is, its octets, whether it is strong.
fn strong_or_not() -> Vec<(&'static str, Vec<u8>, bool)> {
    let rsa = recipient(Kind::Rsa2048);
    let to = name(&rsa.certificate);
    let v15 = der::algorithm(oid::RSA_ENCRYPTION, NULL);
    let aes = cbc(oid::AES256_CBC, 16);
    let good = transport(0, &to, &v15, 256);
    let wrap = |name: &[u8]| der::algorithm(name, &[]);
    let sha1_oaep = der::algorithm(oid::RSAES_OAEP, &der::sequence(&[]));
    let kdf = oid::ECDH_SHA256_KDF;
    let with = |recipient: Vec<u8>| enveloped(&[recipient], &aes, &[0; 32], &[]);
    let sealed = |algorithm: &[u8], content: &[u8]| {
        enveloped(std::slice::from_ref(&good), algorithm, content, &[])
    };
    let beside = der::element(tag::context_constructed(1), &[b"clear"]);
    let beside = enveloped(std::slice::from_ref(&good), &aes, &[0; 16], &beside);
    vec![
        ("RSA and AES-256", with(good.clone()), true),
        ("AES-128", sealed(&cbc(oid::AES128_CBC, 16), &[0; 16]), true),
        ("AES-192", sealed(&cbc(oid::AES192_CBC, 16), &[0; 16]), true),
        ("3DES", sealed(&cbc(DES_EDE3_CBC, 8), &[0; 16]), false),
        ("no content", sealed(&aes, &[]), false),
        ("half a block", sealed(&aes, &[0; 24]), false),
        ("RSA 1024", with(transport(0, &to, &v15, 128)), false),
        ("RSA 16384", with(transport(0, &to, &v15, 2048)), false),
        (
            "OAEP with SHA-1",
            with(transport(0, &to, &sha1_oaep, 256)),
            false,
        ),
        (
            "raw RSA",
            with(transport(0, &to, &der::algorithm(SHA1, NULL), 256)),
            false,
        ),
        (
            "ECDH",
            with(agreement(&to, kdf, &wrap(oid::AES256_WRAP), 40)),
            true,
        ),
        (
            "ECDH, AES-128",
            with(agreement(&to, kdf, &wrap(oid::AES128_WRAP), 40)),
            true,
        ),
        (
            "ECDH, SHA-1",
            with(agreement(&to, ECDH_SHA1_KDF, &wrap(oid::AES256_WRAP), 40)),
            false,
        ),
        (
            "ECDH, 3DES",
            with(agreement(&to, kdf, &wrap(DES_EDE3_CBC), 40)),
            false,
        ),
        (
            "ECDH, no wrapped key",
            with(agreement(&to, kdf, &wrap(oid::AES256_WRAP), 0)),
            false,
        ),
        (
            "a password",
            with(der::element(tag::context_constructed(3), &[])),
            false,
        ),
        (
            "a known key",
            with(der::element(tag::context_constructed(2), &[])),
            false,
        ),
        ("nobody", enveloped(&[], &aes, &[0; 16], &[]), false),
        ("attributes in the clear", beside, false),
    ]
}

#[test]
fn what_is_strong_and_what_is_not() {
    for (what, octets, strong) in strong_or_not() {
        let inspected = inspect(&octets).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(inspected.is_strong(), strong, "{what}");
    }
    let (_, des, _) = &strong_or_not()[3];
    let inspected = inspect(des).unwrap();
    assert_eq!(inspected.cipher(), InspectedCipher::Other);
}

#[test]
fn for_this_certificate_and_for_nobody_else() {
    let rsa = recipient(Kind::Rsa2048);
    let other = recipient(Kind::Rsa2048);
    let ec = recipient(Kind::P256);
    let v15 = der::algorithm(oid::RSA_ENCRYPTION, NULL);
    let aes = cbc(oid::AES256_CBC, 16);
    let by_name = transport(0, &name(&rsa.certificate), &v15, 256);
    let view = super::certificate::View::of(&rsa.certificate).unwrap();
    let key_id = view.key_identifier().unwrap().unwrap();
    let by_key = transport(2, &der::element(tag::context(0), &[key_id]), &v15, 256);
    let stranger = transport(0, &name(&recipient(Kind::Rsa3072).certificate), &v15, 384);
    let sealed = |recipients: &[Vec<u8>]| enveloped(recipients, &aes, &[0; 16], &[]);

    let one = sealed(std::slice::from_ref(&by_name));
    assert!(inspect(&one).unwrap().is_for(&rsa.certificate));
    // The same issuer's name and serial number, and the same length of key: another authority of
    // the same name. Only the key tells them apart, and the message does not show it.
    assert!(inspect(&one).unwrap().is_for(&other.certificate));
    assert!(!inspect(&one).unwrap().is_for(&ec.certificate));
    assert!(!inspect(&one).unwrap().is_for(b"no certificate"));
    let one = sealed(&[by_key]);
    assert!(inspect(&one).unwrap().is_for(&rsa.certificate));
    assert!(!inspect(&one).unwrap().is_for(&other.certificate));
    let short = sealed(&[transport(0, &name(&rsa.certificate), &v15, 384)]);
    assert!(!inspect(&short).unwrap().is_for(&rsa.certificate));
    let two = sealed(&[by_name.clone(), stranger]);
    let two = inspect(&two).unwrap();
    assert!(two.is_strong() && two.recipients() == 2 && !two.is_for(&rsa.certificate));
    let twice = sealed(&[by_name.clone(), by_name.clone()]);
    assert!(!inspect(&twice).unwrap().is_for(&rsa.certificate));
    let wrap = der::algorithm(oid::AES256_WRAP, &[]);
    let agreed = sealed(&[agreement(
        &name(&ec.certificate),
        oid::ECDH_SHA256_KDF,
        &wrap,
        40,
    )]);
    assert!(inspect(&agreed).unwrap().is_for(&ec.certificate));
    assert!(!inspect(&agreed).unwrap().is_for(&rsa.certificate));
    let many = sealed(&vec![by_name; MAX_RECIPIENTS + 1]);
    assert_eq!(inspect(&many).map(drop), Err(CmsError::Malformed));
}

#[test]
fn what_is_not_der_of_sealed_content_is_refused() {
    let to = name(&recipient(Kind::P256).certificate);
    let v15 = der::algorithm(oid::RSA_ENCRYPTION, NULL);
    let good = transport(0, &to, &v15, 256);
    let aes = cbc(oid::AES256_CBC, 16);
    let whole = enveloped(std::slice::from_ref(&good), &aes, &[0; 16], &[]);
    assert!(inspect(&whole).is_ok());
    let refused = |octets: &[u8]| inspect(octets).map(drop).unwrap_err();
    for end in 0..whole.len() {
        assert_eq!(refused(&whole[..end]), CmsError::Malformed, "{end}");
    }
    assert_eq!(refused(&[&whole[..], &[0]].concat()), CmsError::Malformed);
    // BER: a length that is not said, and one that is not the shortest.
    let mut endless = vec![0x30, 0x80];
    endless.extend_from_slice(&whole[4..]);
    endless.extend_from_slice(&[0, 0]);
    assert_eq!(refused(&endless), CmsError::Malformed);
    let mut long = vec![0x30, 0x83, 0];
    long.extend_from_slice(&whole[2..]);
    assert_eq!(refused(&long), CmsError::Malformed);
    let versions = [transport(2, &to, &v15, 256), transport(1, &to, &v15, 256)];
    for bad in versions {
        assert_eq!(
            refused(&enveloped(&[bad], &aes, &[0; 16], &[])),
            CmsError::Malformed
        );
    }
    for vector in [0, 8, 15, 17] {
        let algorithm = cbc(oid::AES256_CBC, vector);
        let bad = enveloped(std::slice::from_ref(&good), &algorithm, &[0; 16], &[]);
        assert_eq!(refused(&bad), CmsError::Malformed, "{vector}");
    }
    for other in [oid::SIGNED_DATA, oid::DATA, SHA1] {
        assert_eq!(
            refused(&wrapped(other, &der::sequence(&[]))),
            CmsError::ContentType
        );
    }
}

#[test]
fn a_bundle_is_a_box_of_certificates() {
    let authority = Authority::new("CA");
    let made = recipient(Kind::P256);
    let bundle = |certificates: &[&[u8]]| {
        let data = der::sequence(&[
            &der::small(1),
            &der::set_of(Vec::new()),
            &der::sequence(&[&der::oid(oid::DATA)]),
            &der::element(tag::context_constructed(0), certificates),
            &der::set_of(Vec::new()),
        ]);
        wrapped(oid::SIGNED_DATA, &data)
    };
    let both = bundle(&[&authority.certificate, &made.certificate]);
    let found = certificates_of(&both).unwrap();
    assert_eq!(
        found,
        [authority.certificate.clone(), made.certificate.clone()]
    );
    assert_eq!(certificates_of(&bundle(&[])), Ok(Vec::new()));
    for end in 0..both.len() {
        assert_eq!(certificates_of(&both[..end]), Err(CmsError::Malformed));
    }
    assert_eq!(
        certificates_of(&[&both[..], b"x"].concat()),
        Err(CmsError::Malformed)
    );
    let old = der::element(tag::context_constructed(0), &[]);
    assert_eq!(
        certificates_of(&bundle(&[&old, &made.certificate])),
        Ok(vec![made.certificate])
    );
    let tiny = der::sequence(&[]);
    let full: Vec<&[u8]> = vec![&tiny; MAX_BUNDLE];
    assert_eq!(
        certificates_of(&bundle(&full)).map(|found| found.len()),
        Ok(MAX_BUNDLE)
    );
    let over: Vec<&[u8]> = vec![&tiny; MAX_BUNDLE + 1];
    assert_eq!(certificates_of(&bundle(&over)), Err(CmsError::TooLarge));
    let huge = der::sequence(&[&vec![0; 70_000]]);
    assert_eq!(certificates_of(&bundle(&[&huge])), Err(CmsError::TooLarge));
    let sealed = wrapped(oid::ENVELOPED_DATA, &der::sequence(&[]));
    assert_eq!(certificates_of(&sealed), Err(CmsError::ContentType));
}
