//! Which keys content is sealed to, and which not.

use super::certificate::View;
use super::der::{self, tag};
use super::made::{self, Authority, Key, Kind, Subject};
use super::{CmsError, MAX_CERTIFICATE_OCTETS, RecipientKey, oid};

fn of(spki: &[u8]) -> Result<RecipientKey, CmsError> {
    let subject = Subject::new("Pat", "pat@home.example", 1);
    let certificate = Authority::new("CA").certify(spki, &subject);
    RecipientKey::of_certificate(&certificate)
}

/// An RSA key with a modulus of so many bits, which is odd and nothing more.
fn rsa(bits: usize, exponent: &[u8], parameters: &[u8]) -> Vec<u8> {
    let mut modulus = vec![0xff; bits / 8];
    modulus.insert(0, 0);
    let key = der::sequence(&[
        &der::element(tag::INTEGER, &[&modulus]),
        &der::element(tag::INTEGER, &[exponent]),
    ]);
    made::spki(oid::RSA_ENCRYPTION, parameters, &key)
}

#[test]
fn rsa_keys_are_long_and_have_a_sound_exponent() {
    const F4: &[u8] = &[1, 0, 1];
    const NULL: &[u8] = &[tag::NULL, 0];
    for bits in [2048, 3072, 4096, 8192] {
        assert!(of(&rsa(bits, F4, NULL)).is_ok(), "{bits}");
    }
    for bits in [512, 1024, 2040, 8200] {
        assert_eq!(of(&rsa(bits, F4, NULL)), Err(CmsError::WeakKey), "{bits}");
    }
    let exponents: [&[u8]; 6] = [
        &[1],
        &[3],
        &[1, 0, 0],
        &[0, 0xff, 0xff],
        &[2, 0, 0, 0, 1],
        &[1, 0, 0, 0, 0, 0, 0, 0, 1],
    ];
    for exponent in exponents {
        let refused = of(&rsa(2048, exponent, NULL));
        assert_eq!(refused, Err(CmsError::WeakKey), "{exponent:?}");
    }
    assert_eq!(of(&rsa(2048, &[0xff], NULL)), Err(CmsError::Malformed));
    assert_eq!(of(&rsa(2048, F4, &[])), Err(CmsError::KeyKind));
    let mut even = rsa(2048, F4, NULL);
    let last = even.len() - 6;
    even[last] = 0xfe;
    assert_eq!(of(&even), Err(CmsError::WeakKey));
    // id-RSASSA-PSS: a key for signatures.
    let pss = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    assert_eq!(of(&made::spki(pss, &[], &[0; 270])), Err(CmsError::KeyKind));
}

#[test]
fn points_are_whole_named_and_on_their_curve() {
    let named =
        |curve: &[u8], point: &[u8]| of(&made::spki(oid::EC_PUBLIC_KEY, &der::oid(curve), point));
    for (kind, curve, octets) in [(Kind::P256, oid::P256, 65), (Kind::P384, oid::P384, 97)] {
        let key = Key::new(kind);
        let point = &key.spki[key.spki.len() - octets..];
        assert!(named(curve, point).is_ok());
        let mut off = point.to_vec();
        off[octets - 1] ^= 1;
        assert_eq!(named(curve, &off), Err(CmsError::WeakKey));
        let mut compressed = point[..=octets / 2].to_vec();
        compressed[0] = 2 | (point[octets - 1] & 1);
        assert_eq!(named(curve, &compressed), Err(CmsError::WeakKey));
        assert_eq!(named(curve, &[0]), Err(CmsError::WeakKey));
        assert_eq!(named(curve, &[]), Err(CmsError::WeakKey));
        // secp521r1 and a curve described by its parameters.
        assert_eq!(
            named(&[0x2b, 0x81, 4, 0, 0x23], point),
            Err(CmsError::KeyKind)
        );
        let explicit = der::sequence(&[&der::small(1)]);
        let key = made::spki(oid::EC_PUBLIC_KEY, &explicit, point);
        assert_eq!(of(&key), Err(CmsError::KeyKind));
    }
    assert_eq!(named(oid::P384, &[4; 65]), Err(CmsError::WeakKey));
}

#[test]
fn x25519_keys_are_not_of_small_order() {
    let key = |octets: &[u8], parameters: &[u8]| of(&made::spki(oid::X25519, parameters, octets));
    assert!(of(&Key::new(Kind::X25519).spki).is_ok());
    for small in [[0; 32], std::array::from_fn(|at| u8::from(at == 0))] {
        assert_eq!(key(&small, &[]), Err(CmsError::WeakKey));
    }
    assert_eq!(key(&[9; 31], &[]), Err(CmsError::WeakKey));
    assert_eq!(key(&[9; 32], &[tag::NULL, 0]), Err(CmsError::KeyKind));
    assert_eq!(of(&Key::new(Kind::Ed25519).spki), Err(CmsError::KeyKind));
}

#[test]
fn capabilities_are_read_from_the_certificate() {
    let authority = Authority::new("CA");
    let key = Key::new(Kind::Rsa2048);
    let sha256 = der::algorithm(oid::SHA256, &[]);
    let sha1 = der::algorithm(&[0x2b, 0x0e, 3, 2, 0x1a], &[tag::NULL, 0]);
    let oaep = |digest: &[u8], mask: &[u8]| {
        let parameters = der::sequence(&[
            &der::element(tag::context_constructed(0), &[digest]),
            &der::element(
                tag::context_constructed(1),
                &[&der::algorithm(oid::MGF1, mask)],
            ),
        ]);
        der::algorithm(oid::RSAES_OAEP, &parameters)
    };
    let gcm = der::algorithm(oid::AES256_GCM, &[]);
    let cases: [(Vec<u8>, bool, bool); 7] = [
        (der::sequence(&[]), false, false),
        (
            der::sequence(&[&der::algorithm(oid::AES256_CBC, &[])]),
            false,
            false,
        ),
        (der::sequence(&[&gcm]), true, false),
        (der::sequence(&[&gcm, &oaep(&sha256, &sha256)]), true, true),
        (der::sequence(&[&oaep(&sha256, &sha1)]), false, false),
        (der::sequence(&[&oaep(&sha1, &sha1)]), false, false),
        (
            der::sequence(&[&der::algorithm(oid::RSAES_OAEP, &der::sequence(&[]))]),
            false,
            false,
        ),
    ];
    for (at, (capabilities, gcm, oaep)) in cases.into_iter().enumerate() {
        let mut subject = Subject::new("Pat", "pat@home.example", 1);
        subject
            .more
            .push((made::CAPABILITIES.to_vec(), capabilities));
        let certificate = authority.certify(&key.spki, &subject);
        let key = RecipientKey::of_certificate(&certificate).unwrap();
        assert_eq!((key.reads_gcm(), key.reads_oaep()), (gcm, oaep), "{at}");
    }
    let mut subject = Subject::new("Pat", "pat@home.example", 1);
    subject.more.push((made::CAPABILITIES.to_vec(), vec![5, 0]));
    let certificate = authority.certify(&key.spki, &subject);
    assert_eq!(
        RecipientKey::of_certificate(&certificate),
        Err(CmsError::Malformed)
    );
}

#[test]
fn a_certificate_is_der_to_its_last_octet() {
    let authority = Authority::new("CA");
    let key = Key::new(Kind::P256);
    let subject = Subject::new("Pat", "pat@home.example", 1);
    let good = authority.certify(&key.spki, &subject);
    let read = |der: &[u8]| RecipientKey::of_certificate(der).map(drop);
    assert_eq!(read(&good), Ok(()));
    assert_eq!(read(&[&good[..], &[0]].concat()), Err(CmsError::Malformed));
    for end in 0..good.len() {
        assert_eq!(read(&good[..end]), Err(CmsError::Malformed), "{end}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x80;
        // Read or refused, and never more than that.
        let key = RecipientKey::of_certificate(&bad);
        assert!(key.is_ok() || key.is_err());
    }
    // A second key identifier: neither of them is the one.
    let mut twice = subject.clone();
    let identifier = (vec![0x55, 0x1d, 0x0e], der::octet_string(&[1; 20]));
    twice.more.push(identifier);
    let twice = authority.certify(&key.spki, &twice);
    let identifier = |der: &[u8]| {
        View::of(der)
            .unwrap()
            .key_identifier()
            .map(|it| it.is_some())
    };
    assert_eq!(identifier(&good), Ok(true));
    assert_eq!(identifier(&twice), Err(CmsError::Malformed));
    let mut long = subject.clone();
    long.serial = vec![1; 22];
    assert_eq!(
        read(&authority.certify(&key.spki, &long)),
        Err(CmsError::Malformed)
    );
    long.serial = vec![0, 1];
    assert_eq!(
        read(&authority.certify(&key.spki, &long)),
        Err(CmsError::Malformed)
    );
    let mut huge = subject.clone();
    huge.more
        .push((vec![0x2a, 3], vec![0; MAX_CERTIFICATE_OCTETS]));
    assert_eq!(
        read(&authority.certify(&key.spki, &huge)),
        Err(CmsError::Malformed)
    );
    let mut many = subject;
    many.more = (0..100).map(|at| (vec![0x2a, at], vec![5, 0])).collect();
    assert_eq!(
        read(&authority.certify(&key.spki, &many)),
        Err(CmsError::Malformed)
    );
}

#[test]
fn debug_says_the_kind_and_not_the_key() {
    let key = Key::new(Kind::X25519);
    let shown = format!("{:?}", of(&key.spki).unwrap());
    assert!(shown.contains("X25519") && shown.len() < 80, "{shown}");
}
