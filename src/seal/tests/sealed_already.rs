//! Content that its sender has sealed already, and what only looks like it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::generator::Rng;
use super::reader::{der, open, sent};
use super::sample::unpem;
use super::*;

const HEADER: &str = "From: jo@clinic.example\r\nTo: kim@smime.example\r\nSubject: ...\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\
    Content-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename=smime.p7m\r\n";

/// The structure of something sealed to this recipient.
fn structure(kind: usize, gcm: bool) -> Vec<u8> {
    let body = "body\r\n".repeat(500);
    let content = format!("From: jo@clinic.example\r\nSubject: x\r\n\r\n{body}").into_bytes();
    let payload = Sealer::default().payload(&content, None, NOW).unwrap();
    let to = recipient(&WORLD.recipients[kind], gcm, false);
    let sealing = payload.seal(&content, &to).unwrap();
    der(&sent(&sealing.sealed, &content, &mut Rng(3)))
}

fn lines(der: &[u8], octets: usize) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(octets);
    lines
        .map(|line| format!("{}\r\n", std::str::from_utf8(line).unwrap()))
        .collect()
}

fn is_sealed(content: &str, kind: usize) -> bool {
    let to = recipient(&WORLD.recipients[kind], false, false);
    let sealed = already_sealed(content.as_bytes(), &to);
    if let Some(sealed) = sealed {
        assert_eq!(sealed.certificate(), to.fingerprint);
    }
    sealed.is_some()
}

#[test]
fn what_is_sealed_to_this_certificate_is() {
    for kind in 0..RECIPIENTS.len() {
        for gcm in [false, true] {
            let body = lines(&structure(kind, gcm), 76);
            assert!(
                is_sealed(&format!("{HEADER}\r\n{body}"), kind),
                "{kind} {gcm}"
            );
            // To nobody else's.
            for other in (0..RECIPIENTS.len()).filter(|other| *other != kind) {
                assert!(
                    !is_sealed(&format!("{HEADER}\r\n{body}"), other),
                    "{kind} {other}"
                );
            }
        }
    }
    let body = lines(&structure(1, false), 60);
    for header in [
        HEADER.replace("; smime-type=enveloped-data", ""),
        HEADER.replace("application/pkcs7-mime", "application/x-pkcs7-mime"),
        HEADER.replace("enveloped-data", "AuthEnveloped-Data"),
        HEADER.replace("base64", "Base64"),
        HEADER.replace("Subject: ...\r\n", ""),
        HEADER.replace("; name=smime.p7m", ";\r\n name=\"smime.p7m\""),
        HEADER.replace("To: ", "Message-ID: <1@clinic.example>\r\nTo: "),
    ] {
        assert!(is_sealed(&format!("{header}\r\n{body}\r\n"), 1), "{header}");
    }
}

#[test]
fn a_header_that_speaks_makes_it_content_that_is_sealed_whole() {
    let to = recipient(&WORLD.recipients[1], false, false);
    let body = lines(&structure(1, false), 76);
    for header in [
        HEADER.replace("Subject: ...", "Subject: your results"),
        HEADER.replace("smime.p7m", "results.p7m"),
        HEADER.replace("To: ", "Message-ID: results <x@y>\r\nTo: "),
        format!("{HEADER}X-Matter: results\r\n"),
    ] {
        let content = format!("{header}\r\n{body}");
        assert!(
            already_sealed(content.as_bytes(), &to).is_none(),
            "{header}"
        );
        let payload = sealer(&WORLD.signers[0])
            .payload(content.as_bytes(), Some(&author()), NOW)
            .unwrap();
        assert_eq!(payload.unsigned(), Some(&Unsigned::Protected));
        let sealing = payload.seal(content.as_bytes(), &to).unwrap();
        let wire = sent(&sealing.sealed, content.as_bytes(), &mut Rng(3));
        assert!(
            memchr::memmem::find(&wire, b"results").is_none(),
            "{header}"
        );
        let keys = &WORLD.recipients[1];
        let opened = open(&wire, &keys.certificate, &keys.pkcs8);
        assert_eq!(String::from_utf8(opened.root).unwrap(), content);
    }
}

#[test]
fn what_we_sealed_is() {
    let content = b"From: jo@clinic.example\r\nSubject: x\r\n\r\nbody\r\n";
    let payload = sealer(&WORLD.signers[0])
        .payload(content, Some(&author()), NOW)
        .unwrap();
    let to = recipient(&WORLD.recipients[0], false, true);
    let wire = sent(
        &payload.seal(content, &to).unwrap().sealed,
        content,
        &mut Rng(3),
    );
    assert!(already_sealed(&wire, &to).is_some());
}

#[test]
fn anything_else_is_content() {
    let body = lines(&structure(1, false), 76);
    for header in [
        HEADER.replace("application/pkcs7-mime", "application/octet-stream"),
        HEADER.replace("application/pkcs7-mime", "multipart/mixed; boundary=b; x"),
        HEADER.replace("enveloped-data", "signed-data"),
        HEADER.replace("enveloped-data", "enveloped-data; smime-type=signed-data"),
        HEADER.replace("Content-Transfer-Encoding: base64\r\n", ""),
        HEADER.replace("base64", "7bit"),
        HEADER.replace("base64", "base64 (x)"),
        format!("{HEADER}Content-Type: text/plain\r\n"),
        format!("{HEADER}Content-Transfer-Encoding: base64\r\n"),
        // Text in the open.
        HEADER.replace("Subject: ...", "Subject: Results of Kim"),
        HEADER.replace("name=smime.p7m", "name=kim.p7m"),
        format!("{HEADER}Keywords: Kim\r\n"),
        HEADER.replace("From: ", "From "),
    ] {
        assert!(!is_sealed(&format!("{header}\r\n{body}"), 1), "{header}");
    }
    let good = structure(1, false);
    let mut longer = good.clone();
    longer.push(0);
    let mut shorter = good.clone();
    shorter.pop();
    for (what, body) in [
        ("nothing", String::new()),
        ("text", "hello\r\n".to_owned()),
        ("text behind it", format!("{body}Kim is ill.\r\n")),
        (
            "words in base64's letters behind it",
            format!("{body}\r\nKimIsIll\r\n"),
        ),
        ("text before it", format!("Kim is ill.\r\n{body}")),
        ("an octet more", lines(&longer, 76)),
        ("an octet less", lines(&shorter, 76)),
        ("a certificate", lines(&WORLD.recipients[1].certificate, 76)),
        (
            "two structures",
            lines(&[good.as_slice(), &good].concat(), 76),
        ),
        ("long lines", lines(&good, 2000)),
    ] {
        assert!(!is_sealed(&format!("{HEADER}\r\n{body}"), 1), "{what}");
    }
    // As binary, which is nothing that is passed on unseen.
    let content = [
        HEADER.replace("base64", "binary").as_bytes(),
        b"\r\n",
        &good,
    ]
    .concat();
    let to = recipient(&WORLD.recipients[1], false, false);
    assert!(already_sealed(&content, &to).is_none());
    // A signature is no seal.
    let signer = &WORLD.signers[1];
    let identity = identity(signer, AUTHOR, LATER).identity;
    let signed = cms::sign_detached(&identity, identity.digest(), NOW).unwrap();
    assert!(!is_sealed(
        &format!("{HEADER}\r\n{}", lines(&signed, 76)),
        1
    ));
}

#[test]
fn the_sample_of_the_rfc_is_content() {
    // To two recipients, and with AES-128.
    let sample = include_str!("../../../tests/data/rfc9788/c.3.1.eml");
    let bob = Made {
        certificate: unpem(include_str!("../../../tests/data/rfc9216/bob.encrypt.crt")),
        pkcs8: Vec::new(),
    };
    let to = recipient(&bob, true, true);
    assert!(already_sealed(sample.replace('\n', "\r\n").as_bytes(), &to).is_none());
}
