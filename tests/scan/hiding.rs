//! Where a message can hide what a recipient still reads: the detectors find it, or the part counts
//! as unreadable.

use base64::Engine;
use bytes::Bytes;
use sealpost::mail::Findings;
use sealpost::scan::detect::{DetectorSource, Detectors};
use sealpost::scan::{Limits, parts};

const PHI: &str = "Patient: Erika Muster, DOB: 03/14/1961, SSN: 219-47-8136\r\n";

/// What is found in a message of texts alone.
fn scan(message: &[u8]) -> Findings {
    let detectors = Detectors::compile(&DetectorSource::all_shipped()).unwrap();
    let taken = parts::take_apart(&Bytes::copy_from_slice(message), &Limits::default());
    let mut found = Vec::new();
    for (part, text) in &taken.texts {
        detectors.scan_text(*part, text, &mut found);
    }
    Findings {
        found,
        unscannable: taken.unscannable,
    }
}

fn raises(message: &[u8]) -> bool {
    let findings = scan(message);
    !findings.found.is_empty() || !findings.unscannable.is_empty()
}

fn body(kind: &str, octets: &[u8]) -> Vec<u8> {
    let mut message = format!("Subject: x\r\nContent-Type: {kind}\r\n\r\n").into_bytes();
    message.extend_from_slice(octets);
    message
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_charset_or_a_mark_does_not_hide_plain_octets() {
    for mark in [
        &b"\xFF\xFE"[..],
        b"\xFE\xFF",
        b"\xFF\xFE\0\0",
        b"\0\0\xFE\xFF",
        b"\xEF\xBB\xBF",
    ] {
        for kind in ["text/plain; charset=iso-8859-1", "text/html", "text/csv"] {
            let octets = [mark, PHI.as_bytes()].concat();
            assert!(
                !scan(&body(kind, &octets)).found.is_empty(),
                "{kind} {mark:?}"
            );
        }
    }
    for charset in [
        "hz-gb-2312",
        "iso-2022-kr",
        "iso-2022-cn",
        "iso-2022-cn-ext",
        "csiso2022kr",
        "utf-16",
        "utf-16le",
        "utf-16be",
        "utf-32",
        "utf-7",
        "x-nobody-knows",
    ] {
        let kind = format!("text/plain; charset={charset}");
        assert!(
            !scan(&body(&kind, PHI.as_bytes())).found.is_empty(),
            "{charset}"
        );
    }
}

#[test]
fn wide_characters_are_read_whatever_they_are_called() {
    for kind in [
        "text/plain; charset=utf-8",
        "text/plain; charset=us-ascii",
        "text/plain",
        "text/plain; charset=\"utf-8\"; charset=\"utf-16be\"",
    ] {
        assert!(!scan(&body(kind, &wide(PHI))).found.is_empty(), "{kind}");
    }
    let mixed = [wide(&"hello ".repeat(800)), PHI.as_bytes().to_vec()].concat();
    assert!(!scan(&body("text/plain", &mixed)).found.is_empty());
}

#[test]
fn saved_mail_is_read_whatever_it_is_called() {
    let inner = format!(
        "From: a@clinic.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        base64::engine::general_purpose::STANDARD.encode(PHI)
    );
    let mailbox = format!(
        "From a Sun Nov 22\r\nSubject: 1\r\n\r\nnothing\r\n\r\nFrom b Sun Nov 22\r\n{inner}"
    );
    for text in [&inner, &mailbox] {
        for kind in [
            "text/plain",
            "text/plain; name=\"x.eml\"",
            "application/octet-stream",
        ] {
            assert!(raises(&body(kind, text.as_bytes())), "{kind}: {text}");
        }
        assert!(!scan(&body("text/plain", text.as_bytes())).found.is_empty());
    }
    assert!(!raises(&body(
        "text/plain",
        b"Note: the meeting is at nine\r\nPlace: the hall\r\n\r\nBye\r\n"
    )));
}

#[test]
fn names_of_people_are_read() {
    for field in ["To", "From", "Cc", "Reply-To"] {
        let message = format!(
            "{field}: \"Muster, Erika, SSN 219-47-8136\" <e@home.example>\r\nSubject: x\r\n\r\nHello\r\n"
        );
        assert!(!scan(message.as_bytes()).found.is_empty(), "{field}");
    }
}

#[test]
fn parts_that_nobody_can_tell_apart_are_damaged() {
    let coded = base64::engine::general_purpose::STANDARD.encode(PHI);
    let part =
        format!("Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n{coded}\r\n");
    for kind in [
        "multipart/mixed; boundary=bb",
        "multipart/mixed; boundary=\"zz\"; boundary=\"bb\"",
        "multipart/mixed; boundary='bb'",
    ] {
        for delimiter in ["zz", "bb"] {
            let octets = format!("--{delimiter}\r\n{part}--{delimiter}--\r\n");
            assert!(raises(&body(kind, octets.as_bytes())), "{kind} {delimiter}");
        }
    }
    let honest = "--bb\r\n\r\nHello\r\n--bb--\r\n";
    assert!(!raises(&body(
        "multipart/mixed; boundary=bb",
        honest.as_bytes()
    )));
}

#[test]
fn a_small_picture_in_its_place_is_an_ornament_and_any_other_is_not() {
    let picture = |octets: usize, field: &str| {
        let png = [b"\x89PNG\r\n\x1A\n".to_vec(), vec![0x55; octets]].concat();
        let coded = base64::engine::general_purpose::STANDARD.encode(png);
        let octets = format!(
            "--bb\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n--bb\r\nContent-Type: image/png\r\n{field}Content-Transfer-Encoding: base64\r\n\r\n{coded}\r\n--bb--\r\n"
        );
        raises(&body("multipart/related; boundary=bb", octets.as_bytes()))
    };
    assert!(!picture(8_000, "Content-ID: <logo@clinic.example>\r\n"));
    assert!(picture(40_000, "Content-ID: <logo@clinic.example>\r\n"));
    assert!(picture(8_000, ""), "an attachment");
}
