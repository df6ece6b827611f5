//! Every shape that is written is opened again; whatever is changed is refused.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::inspect::InspectedCipher;
use super::made::{self, Authority, Kind, Made, Subject};
use super::*;
use crate::mail::{ContentCipher, ContentKey, Fingerprint, Sealed, Shape, Timestamp};

const HEADER: &[u8] = b"Subject: [...]\r\nContent-Transfer-Encoding: base64\r\n\r\n";

/// A recipient of every kind, made once.
fn recipients() -> &'static [(Kind, Made)] {
    static MADE: OnceLock<Vec<(Kind, Made)>> = OnceLock::new();
    MADE.get_or_init(|| {
        let authority = Authority::new("Test CA");
        let kinds = [Kind::Rsa2048, Kind::P256, Kind::P384, Kind::X25519];
        kinds
            .iter()
            .enumerate()
            .map(|(at, &kind)| {
                let serial = u8::try_from(at).unwrap();
                let subject = Subject::new("Pat", "pat@home.example", serial);
                (kind, authority.issue(kind, &subject))
            })
            .collect()
    })
}

fn recipient(kind: Kind) -> &'static Made {
    &recipients().iter().find(|(it, _)| *it == kind).unwrap().1
}

/// Every shape: recipient, OAEP or not, cipher.
fn shapes() -> Vec<(&'static Made, bool, ContentCipher)> {
    let mut shapes = Vec::new();
    for (kind, made) in recipients() {
        for cipher in [ContentCipher::Aes256Cbc, ContentCipher::Aes256Gcm] {
            shapes.push((made, false, cipher));
            if *kind == Kind::Rsa2048 {
                shapes.push((made, true, cipher));
            }
        }
    }
    shapes
}

fn recipe(made: &Made, oaep: bool, cipher: ContentCipher, head: &[u8], content: &[u8]) -> Sealed {
    let key = RecipientKey::of_certificate(&made.certificate).unwrap();
    let tail = b"--tail--\r\n";
    let skip = content.len().min(5);
    let plain = (head.len() + content.len() - skip + tail.len()) as u64;
    let Beginning { envelope, key, iv } = begin(&key, oaep, cipher, plain).unwrap();
    let shape = Shape {
        header: HEADER.to_vec(),
        head: head.to_vec(),
        skip: skip as u64,
        tail: tail.to_vec(),
        signer: None,
    };
    let mut sealed = Sealed {
        shape: Arc::new(shape),
        envelope,
        cipher,
        key,
        iv,
        octets: 0,
        sha256: [0; 32],
        certificate: Fingerprint::new([0; 32]),
        expires: Timestamp::from_secs(0),
    };
    measure(&mut sealed, content).unwrap();
    sealed
}

fn sent(sealed: &Sealed, content: &[u8]) -> Result<Vec<u8>, CmsError> {
    let mut out = Vec::new();
    let mut stream = SealStream::new(sealed)?;
    stream.push(content, &mut out)?;
    stream.finish(&mut out)?;
    Ok(out)
}

/// The DER in a sealed message; its lines are as they should be.
fn der_of(message: &[u8]) -> Vec<u8> {
    let body = message.strip_prefix(HEADER).unwrap();
    let body = std::str::from_utf8(body).unwrap();
    let lines: Vec<&str> = body.strip_suffix("\r\n").unwrap().split("\r\n").collect();
    let (last, full) = lines.split_last().unwrap();
    assert!(full.iter().all(|line| line.len() == 76));
    assert!((1..=76).contains(&last.len()));
    STANDARD.decode(lines.concat()).unwrap()
}

#[test]
fn every_shape_is_opened_again() {
    for (made, oaep, cipher) in shapes() {
        let content = b"XXXXXcontent that is sealed\r\n";
        let sealed = recipe(made, oaep, cipher, b"head\r\n", content);
        let message = sent(&sealed, content).unwrap();
        assert_eq!(message.len() as u64, sealed.octets);
        let der = der_of(&message);
        let plain = decrypt(&der, &made.certificate, &made.pkcs8).unwrap();
        assert_eq!(plain, b"head\r\ncontent that is sealed\r\n--tail--\r\n");
        let inspected = inspect(&der).unwrap();
        assert!(inspected.is_strong() && inspected.recipients() == 1);
        for (_, other) in recipients() {
            let same = other.certificate == made.certificate;
            assert_eq!(inspected.is_for(&other.certificate), same);
            if !same {
                let opened = decrypt(&der, &other.certificate, &other.pkcs8);
                assert_eq!(opened, Err(CmsError::Undecryptable));
            }
        }
        let expected = match cipher {
            ContentCipher::Aes256Cbc => InspectedCipher::Aes256Cbc,
            ContentCipher::Aes256Gcm => InspectedCipher::Aes256Gcm,
        };
        assert_eq!(inspected.cipher(), expected);
    }
}

#[test]
fn every_length_where_der_or_blocks_change_is_right() {
    let lengths = [
        0,
        1,
        14,
        15,
        16,
        17,
        31,
        32,
        110,
        111,
        112,
        127,
        128,
        255,
        256,
        4095,
        65_530,
        65_535,
        65_536,
        1 << 20,
    ];
    let made = recipient(Kind::P256);
    for cipher in [ContentCipher::Aes256Cbc, ContentCipher::Aes256Gcm] {
        for length in lengths {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            let sealed = recipe(made, false, cipher, b"", &content);
            let der = der_of(&sent(&sealed, &content).unwrap());
            let plain = decrypt(&der, &made.certificate, &made.pkcs8).unwrap();
            let kept = &content[content.len().min(5)..];
            assert!(plain == [kept, b"--tail--\r\n"].concat(), "{length}");
            assert!(inspect(&der).unwrap().is_strong());
        }
    }
}

#[test]
fn other_content_is_never_completed() {
    for cipher in [ContentCipher::Aes256Cbc, ContentCipher::Aes256Gcm] {
        let content = vec![b'a'; 10_000];
        let sealed = recipe(recipient(Kind::P256), false, cipher, b"head", &content);
        let whole = sent(&sealed, &content).unwrap();
        let mut changed = content.clone();
        changed[9_999] = b'b';
        let longer = [&content[..], b"a"].concat();
        let double = content.repeat(2);
        for other in [
            &changed[..],
            &longer,
            &content[..9_999],
            &double,
            b"",
            b"abc",
        ] {
            let mut out = Vec::new();
            let mut stream = SealStream::new(&sealed).unwrap();
            let pushed = stream.push(other, &mut out);
            let before = out.len();
            let finished = pushed.and_then(|()| stream.finish(&mut out));
            assert_eq!(finished, Err(CmsError::Differs));
            assert_eq!(out.len(), before);
            assert!(out.len() < whole.len());
        }
        // The end is held back even when all of the content has been pushed.
        let mut out = Vec::new();
        let mut stream = SealStream::new(&sealed).unwrap();
        stream.push(&content, &mut out).unwrap();
        assert!(whole.starts_with(&out) && out.len() < whole.len());
        assert_eq!(sent(&sealed, &content).unwrap(), whole);
    }
}

#[test]
fn a_recipe_that_does_not_fit_itself_is_refused() {
    let content = [b'a'; 100];
    let good = recipe(
        recipient(Kind::P256),
        false,
        ContentCipher::Aes256Cbc,
        b"",
        &content,
    );
    let changes: [fn(&mut Sealed); 9] = [
        |sealed| sealed.octets += 1,
        |sealed| sealed.iv.push(0),
        |sealed| sealed.iv[0] ^= 1,
        |sealed| sealed.cipher = ContentCipher::Aes256Gcm,
        |sealed| sealed.envelope.clear(),
        |sealed| sealed.envelope.truncate(sealed.envelope.len() - 1),
        |sealed| sealed.envelope.push(0),
        |sealed| sealed.envelope[1] ^= 1,
        |sealed| Arc::make_mut(&mut sealed.shape).header.clear(),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(SealStream::new(&bad).is_err(), "{at}");
    }
    let later: [fn(&mut Sealed); 5] = [
        |sealed| sealed.sha256[0] ^= 1,
        |sealed| Arc::make_mut(&mut sealed.shape).header[0] ^= 1,
        |sealed| sealed.key = ContentKey::new([0; 32]),
        |sealed| Arc::make_mut(&mut sealed.shape).skip = 101,
        |sealed| Arc::make_mut(&mut sealed.shape).tail[0] ^= 1,
    ];
    for (at, change) in later.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(sent(&bad, &content), Err(CmsError::Differs), "{at}");
    }
    // One octet fewer fits the same blocks; it must not fit the digest.
    let mut bad = good.clone();
    Arc::make_mut(&mut bad.shape).skip = 6;
    assert_eq!(sent(&bad, &content), Err(CmsError::Differs));
}

#[test]
fn too_much_is_refused_before_a_key_is_made() {
    let key = RecipientKey::of_certificate(&recipient(Kind::P256).certificate).unwrap();
    let gcm = |octets| begin(&key, false, ContentCipher::Aes256Gcm, octets);
    assert!(gcm(MAX_GCM_OCTETS).is_ok());
    assert_eq!(gcm(MAX_GCM_OCTETS + 1), Err(CmsError::TooLarge));
    let cbc = |octets| begin(&key, false, ContentCipher::Aes256Cbc, octets);
    assert!(cbc(MAX_CBC_OCTETS).is_ok());
    assert_eq!(cbc(MAX_CBC_OCTETS + 1), Err(CmsError::TooLarge));
    assert_eq!(cbc(u64::MAX), Err(CmsError::TooLarge));
}

#[test]
fn no_changed_octet_goes_unnoticed_in_gcm_and_none_breaks_the_reader() {
    for (made, oaep, cipher) in shapes() {
        let content = b"XXXXXcontent";
        let sealed = recipe(made, oaep, cipher, b"head\r\n", content);
        let der = der_of(&sent(&sealed, content).unwrap());
        let front = sealed.envelope.len();
        // Every octet of the front and of the end, and each cut.
        let step = if oaep || der.len() > 600 { 7 } else { 3 };
        for at in (0..der.len()).step_by(step) {
            let mut bad = der.clone();
            bad[at] ^= 1;
            let opened = decrypt(&bad, &made.certificate, &made.pkcs8);
            if cipher == ContentCipher::Aes256Gcm && at >= front {
                assert!(opened.is_err(), "{at}");
            }
            assert!(opened.as_deref() != Ok(b"head\r\ncontent--tail--\r\n") || at < front);
            assert!(inspect(&der[..at]).is_err(), "{at}");
        }
        let longer = [&der[..], b"\0"].concat();
        assert_eq!(inspect(&longer).map(drop), Err(CmsError::Malformed));
    }
}

#[test]
fn a_wrong_key_is_the_same_error_as_a_wrong_padding() {
    let made = recipient(Kind::Rsa2048);
    let content = [b'a'; 64];
    let sealed = recipe(made, false, ContentCipher::Aes256Cbc, b"", &content);
    let der = der_of(&sent(&sealed, &content).unwrap());
    let front = sealed.envelope.len();
    let encrypted = front - 100;
    for at in [encrypted, der.len() - 17, der.len() - 1] {
        let mut bad = der.clone();
        bad[at] ^= 0x55;
        match decrypt(&bad, &made.certificate, &made.pkcs8) {
            Err(error) => assert_eq!(error, CmsError::Undecryptable, "{at}"),
            // A changed block may by chance end in padding; then the content has changed.
            Ok(plain) => assert!(at > front && plain != content),
        }
    }
    let other = made::Key::new(Kind::Rsa2048);
    for key in [&other.pkcs8[..], &recipient(Kind::P256).pkcs8, b"", b"junk"] {
        let opened = decrypt(&der, &made.certificate, key);
        assert_eq!(opened, Err(CmsError::Undecryptable));
    }
}

/// A recipe and its octets as they were when the format was written down. If this fails, messages
/// that wait in a spool would go out with other octets than they were signed for.
#[test]
fn the_octets_of_a_recipe_stay_what_they_are() {
    for (cipher, envelope, expected) in PINNED {
        let shape = Shape {
            header: HEADER.to_vec(),
            head: b"Subject: inside\r\n".to_vec(),
            skip: 3,
            tail: b"tail".to_vec(),
            signer: None,
        };
        let mut sealed = Sealed {
            shape: Arc::new(shape),
            envelope: STANDARD.decode(envelope).unwrap(),
            cipher: *cipher,
            key: ContentKey::new(std::array::from_fn(|at| u8::try_from(at).unwrap())),
            iv: match cipher {
                ContentCipher::Aes256Cbc => (0..16).collect(),
                ContentCipher::Aes256Gcm => (0..12).collect(),
            },
            octets: 0,
            sha256: [0; 32],
            certificate: Fingerprint::new([0; 32]),
            expires: Timestamp::from_secs(0),
        };
        let body = measure(&mut sealed, b"...content\r\n").unwrap();
        let message = sent(&sealed, b"...content\r\n").unwrap();
        assert_eq!(String::from_utf8_lossy(&message[HEADER.len()..]), *expected);
        let digest = ring::digest::digest(&ring::digest::SHA256, &message[HEADER.len()..]);
        assert_eq!(digest.as_ref(), body);
        let digest = ring::digest::digest(&ring::digest::SHA256, &message);
        assert_eq!(digest.as_ref(), sealed.sha256);
    }
}

/// Fronts for 30 octets of content, and what stands behind the header then. Both were worked out
/// with another program.
const PINNED: &[(ContentCipher, &str, &str)] = &[
    (
        ContentCipher::Aes256Cbc,
        "MG8GCSqGSIb3DQEHA6BiMGACAQIxDTALBAlyZWNpcGllbnQwTAYJKoZIhvcNAQcBMB0GCWCGSAFlAwQBKgQQAAEC\
         AwQFBgcICQoLDA0OD4Ag",
        "MG8GCSqGSIb3DQEHA6BiMGACAQIxDTALBAlyZWNpcGllbnQwTAYJKoZIhvcNAQcBMB0GCWCGSAFl\r\n\
         AwQBKgQQAAECAwQFBgcICQoLDA0OD4Ag10HyaPYEG0EBqaOCDinpsGv68hujcCtY1lyFG53ruks=\r\n",
    ),
    (
        ContentCipher::Aes256Gcm,
        "MIGCBgsqhkiG9w0BCRABF6BzMHECAQAxDTALBAlyZWNpcGllbnQwSwYJKoZIhvcNAQcBMB4GCWCGSAFlAwQBLjAR\
         BAwAAQIDBAUGBwgJCgsCARCAHg==",
        "MIGCBgsqhkiG9w0BCRABF6BzMHECAQAxDTALBAlyZWNpcGllbnQwSwYJKoZIhvcNAQcBMB4GCWCG\r\n\
         SAFlAwQBLjARBAwAAQIDBAUGBwgJCgsCARCAHhR3tHGghrYhrSj5+NiNHWCJtehahB4xCDVtkeR0\r\n\
         BQQQMUfOIXYu5v+xemUInuLnRw==\r\n",
    ),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn how_content_is_cut_does_not_matter(
        content in proptest::collection::vec(any::<u8>(), 0..5_000),
        cuts in proptest::collection::vec(0_usize..5_000, 0..8),
        head in proptest::collection::vec(any::<u8>(), 0..100),
        gcm: bool,
    ) {
        let cipher = match gcm {
            true => ContentCipher::Aes256Gcm,
            false => ContentCipher::Aes256Cbc,
        };
        let made = recipient(Kind::X25519);
        let sealed = recipe(made, false, cipher, &head, &content);
        let whole = sent(&sealed, &content).unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(content.len())).collect();
        cuts.extend([0, content.len()]);
        cuts.sort_unstable();
        let mut stream = SealStream::new(&sealed).unwrap();
        let mut out = Vec::new();
        for pair in cuts.windows(2) {
            stream.push(&content[pair[0]..pair[1]], &mut out).unwrap();
            prop_assert!(out.len() < whole.len());
        }
        stream.finish(&mut out).unwrap();
        prop_assert!(out == whole);
        let plain = decrypt(&der_of(&out), &made.certificate, &made.pkcs8).unwrap();
        let kept = &content[content.len().min(5)..];
        prop_assert!(plain == [&head, kept, b"--tail--\r\n"].concat());
    }

    #[test]
    fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let made = recipient(Kind::P256);
        prop_assert!(inspect(&octets).is_err());
        prop_assert!(decrypt(&octets, &made.certificate, &made.pkcs8).is_err());
        prop_assert!(certificates_of(&octets).is_err());
        prop_assert!(RecipientKey::of_certificate(&octets).is_err());
    }
}
