//! Taking messages apart, ordinary and hostile.

use super::*;
use crate::scan::limits::Limits;

fn apart(message: &str) -> Parts {
    take_apart(
        &Bytes::from(message.replace('\n', "\r\n")),
        &Limits::default(),
    )
}

fn texts(parts: &Parts) -> Vec<(u32, &str)> {
    parts
        .texts
        .iter()
        .map(|(part, text)| (*part, text.trim_end()))
        .collect()
}

fn reasons(parts: &Parts) -> Vec<(u32, Unreadable)> {
    parts
        .unscannable
        .iter()
        .map(|one| (one.part, one.why))
        .collect()
}

const NESTED: &str = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Content-Type: multipart/mixed; boundary=a

before
--a

one
--a
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/alternative; boundary=\"b c\"

--b c
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9 123-45=
-6789
--b c
Content-Type: text/html

<p>12<b></b>3</p>
--b c--
--a
Content-Type: application/pdf; name=\"Doe 1234.pdf\"
Content-Transfer-Encoding: base64

JVBERi0xLjcK
--a--
after
";

#[test]
fn every_octet_ends_somewhere_in_its_order() {
    let parts = apart(NESTED);
    assert_eq!(
        texts(&parts),
        [
            (0, "Grüße"),
            (0, "before"),
            (1, "one"),
            (3, "inner"),
            (4, "café 123-45-6789"),
            (5, "\n123"),
            (6, "Doe 1234.pdf"),
            (0, "after"),
        ]
    );
    let [pdf] = parts.documents.as_slice() else {
        panic!("{:?}", parts.documents);
    };
    assert_eq!((pdf.part, pdf.kind), (6, DocumentKind::Pdf));
    assert_eq!(pdf.octets, "%PDF-1.7\n");
    assert_eq!(reasons(&parts), []);
}

#[test]
fn a_message_that_is_text_alone_is_not_copied() {
    struct Same<'a>(&'a [u8], usize);
    impl Sink for Same<'_> {
        fn text(&mut self, _part: u32, text: &str) {
            assert!(self.0.as_ptr_range().contains(&text.as_ptr()), "copied");
            self.1 += 1;
        }
        fn octets(&mut self, _part: u32, _octets: &[u8]) {}
        fn document(&mut self, document: Document) {
            panic!("{document:?}");
        }
        fn unscannable(&mut self, part: u32, why: Unreadable) {
            panic!("{part} {why}");
        }
    }
    for kind in ["", "Content-Type: text/plain; charset=utf-8\r\n"] {
        let message = Bytes::from(format!("X: 1\r\n{kind}\r\nGrüße 123-45-6789\r\n"));
        let mut same = Same(&message, 0);
        take_apart_into(&message, &Limits::default(), &mut same);
        assert_eq!(same.1, 1);
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    use Unreadable::{Damaged, Encoding, Encrypted, Media, UnknownKind};
    let cases: &[(&str, &str, &[Unreadable])] = &[
        ("Content-Type: image/png\n", "\u{89}PNG", &[]),
        (
            "Content-Type: image/png\nContent-Transfer-Encoding: base64\n",
            "iVBORw0KGgoAAAANSUhEUg==",
            &[Media],
        ),
        (
            "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n",
            "AAECAwQFBgc=",
            &[UnknownKind],
        ),
        (
            "Content-Transfer-Encoding: base64\n",
            "MTIz!NDU2",
            &[Encoding],
        ),
        (
            "Content-Transfer-Encoding: x-uuencode\n",
            "abc",
            &[Encoding],
        ),
        (
            "Content-Type: text/plain; charset=x-none\n",
            "abc",
            &[Encoding],
        ),
        (
            "Content-Type: text/plain\nContent-Type: text/html\n",
            "abc",
            &[Damaged],
        ),
        ("Content-Type: multipart/mixed\n", "abc", &[Damaged]),
        (
            "Content-Type: text/plain\n",
            "-----BEGIN PGP MESSAGE-----\n",
            &[Encrypted],
        ),
        (
            "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n",
            "MIIB",
            &[Encrypted],
        ),
        (
            "Content-Type: application/pgp-signature\n",
            "-----BEGIN PGP SIGNATURE-----\n",
            &[],
        ),
        (
            "Content-Type: message/delivery-status\n",
            "Action: failed\n",
            &[],
        ),
        ("Content-Type: text/calendar\n", "BEGIN:VCALENDAR\n", &[]),
        ("", "", &[]),
        ("Content-Transfer-Encoding: 8bit\n", "Gr\u{FC}\u{DF}e", &[]),
        (
            "Content-Type: image/svg+xml\n",
            "<svg><text>1</text></svg>",
            &[Media],
        ),
        (
            "Content-Type: application/rtf\n",
            "{\\rtf1 {\\pict 00}}",
            &[Media],
        ),
    ];
    for (header, body, expected) in cases {
        let parts = apart(&format!("{header}\n{body}"));
        let found: Vec<_> = parts.unscannable.iter().map(|one| one.why).collect();
        assert_eq!(&found, expected, "{header}{body}");
    }
}

#[test]
fn a_broken_encoding_is_read_as_far_as_it_goes() {
    let parts = apart("Content-Transfer-Encoding: base64\n\nMTIzLTQ1LTY3ODk\n*\n");
    assert_eq!(reasons(&parts), [(0, Unreadable::Encoding)]);
    assert!(
        texts(&parts).contains(&(0, "123-45-6789")),
        "{:?}",
        texts(&parts)
    );
}

#[test]
fn text_is_read_whatever_it_is_called() {
    let hl7 = "MSH|^~\\&|A|B\rPID|1||123\r";
    let message = format!("Content-Type: image/jpeg; name=x.jpg\r\n\r\n{hl7}");
    let parts = take_apart(&Bytes::from(message), &Limits::default());
    assert!(parts.texts.iter().any(|(_, text)| text == hl7));
    let wide: Vec<u8> = "123-45-6789"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let message = [
        &b"Content-Type: application/octet-stream\r\n\r\n\xFF\xFE"[..],
        &wide,
    ]
    .concat();
    let parts = take_apart(&Bytes::from(message), &Limits::default());
    assert_eq!(parts.texts, [(0, "123-45-6789".to_owned())]);
    let parts = apart("Content-Type: text/calendar\n\nDESCRIPTION:123-\n 45-6789\n");
    assert_eq!(texts(&parts), [(0, "DESCRIPTION:123-45-6789")]);
}

#[test]
fn what_is_called_text_is_read_as_text_whatever_it_begins_with() {
    for (kind, begin) in [
        ("text/plain", "GIF89a"),
        ("text/plain", "RIFFabcdWEBP"),
        ("text/csv", "GIF89a"),
        ("text/html", "GIF89a"),
        ("text/plain", "<html a=1 x"),
        ("text/plain", "{\\rtf1\\"),
        ("text/html", "{\\rtf1\\*\\"),
        ("text/plain", "BEGIN:VCARD"),
        ("text/plain", "%PDF-"),
        ("text/plain", "PK\u{3}\u{4}"),
    ] {
        let parts = apart(&format!("Content-Type: {kind}\n\n{begin} 123-45-6789"));
        let said = texts(&parts);
        let seen = said.iter().filter(|(_, text)| text.contains("123-45-6789"));
        assert!(seen.count() > 0, "{kind} {begin}: {said:?}");
    }
    // Names of attributes, and attributes without a value.
    let parts = apart("Content-Type: text/plain\n\n<html 123-45-6789 >\n");
    assert!(
        texts(&parts).contains(&(0, "<html 123-45-6789 >")),
        "{:?}",
        texts(&parts)
    );
}

#[test]
fn encoded_messages_nest_to_a_depth() {
    let mut message = "Subject: core\r\n\r\n123-45-6789\r\n".to_owned();
    for _ in 0..3 {
        let body = base64_of(message.as_bytes());
        message = format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}\r\n"
        );
    }
    let parts = take_apart(&Bytes::from(message.clone()), &Limits::default());
    assert_eq!(texts(&parts), [(0, "core"), (0, "123-45-6789")]);
    assert_eq!(reasons(&parts), []);
    let shallow = Limits {
        depth: 2,
        ..Limits::default()
    };
    let parts = take_apart(&Bytes::from(message), &shallow);
    assert_eq!(reasons(&parts), [(0, Unreadable::TooDeep)]);
}

fn base64_of(octets: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(octets)
}

#[test]
fn nesting_without_end_costs_little() {
    // Delimiters at the start of a line, within a line, and messages in messages.
    let mut multiparts = String::new();
    for at in 0..10_000 {
        multiparts.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=b{at}\r\n\r\n--b{at}\r\n"
        ));
    }
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
    let glued = format!(
        "Content-Type: multipart/mixed; boundary=B\r\n\r\n{}",
        "x--B\r\nContent-Type: message/rfc822\r\n\r\n".repeat(10_000)
    );
    let many = format!(
        "Content-Type: multipart/mixed; boundary=B\r\n\r\n{}",
        "--B\r\n\r\nx\r\n".repeat(100_000)
    );
    for message in [multiparts, messages, many] {
        let inner = base64_of(message.as_bytes());
        let parts = take_apart(&Bytes::from(message), &Limits::default());
        assert!(
            parts
                .unscannable
                .iter()
                .any(|one| one.why == Unreadable::TooDeep)
        );
        // The same within an encoding, where submission does not see it.
        let outer = format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{inner}"
        );
        let parts = take_apart(&Bytes::from(outer), &Limits::default());
        assert!(
            parts
                .unscannable
                .iter()
                .any(|one| one.why == Unreadable::TooDeep)
        );
    }
    let parts = take_apart(&Bytes::from(glued), &Limits::default());
    assert!(parts.texts.len() < 10, "{}", parts.texts.len());
}

#[test]
fn what_readers_may_see_differently_is_damaged() {
    let almost = "Content-Type: multipart/mixed; boundary=B\n\n--B\n\none\n--Bx\n\ntwo\n--B--\n";
    assert_eq!(reasons(&apart(almost)), [(0, Unreadable::Damaged)]);
    let blank = "Content-Type: text/plain\n \nContent-Transfer-Encoding: base64\n\nMTIz\n";
    assert_eq!(reasons(&apart(blank)), [(0, Unreadable::Damaged)]);
    // Boundaries that begin alike are no doubt.
    let alike = "Content-Type: multipart/mixed; boundary=B\n\n--B\n\
        Content-Type: multipart/mixed; boundary=B1\n\n--B1\n\none\n--B1--\n--B--\n";
    assert_eq!(reasons(&apart(alike)), []);
}

#[test]
fn both_names_of_a_part_are_read() {
    for (first, second, seen) in [
        ("", "patients.html", vec!["patients.html"]),
        ("a.txt", "patients.html", vec!["a.txt", "patients.html"]),
        ("same.html", "same.html", vec!["same.html"]),
    ] {
        let parts = apart(&format!(
            "Content-Type: application/octet-stream; name=\"{second}\"\n\
             Content-Disposition: attachment; filename=\"{first}\"\n\n<p>12<b></b>3</p>\n"
        ));
        let said: Vec<&str> = texts(&parts).into_iter().map(|(_, text)| text).collect();
        assert!(said.starts_with(&seen), "{said:?}");
        assert!(said.contains(&"123") || said.contains(&"\n123"), "{said:?}");
    }
}

#[test]
fn a_header_text_beyond_its_bound_is_said() {
    let long = "word ".repeat(60_000);
    let parts = apart(&format!("Subject: {long}\n\nbody\n"));
    let said = reasons(&parts);
    assert!(said.contains(&(0, Unreadable::TooLarge)), "{said:?}");
    let beginning = texts(&parts)
        .iter()
        .any(|(_, text)| text.starts_with("word word"));
    assert!(beginning, "what fits is read");
}

#[test]
fn headers_without_end_are_bounded() {
    for header in [
        "X: y\r\n".repeat(200_000),
        "X".repeat(5_000_000),
        "\r\n".repeat(100_000),
    ] {
        let parts = take_apart(&Bytes::from(header), &Limits::default());
        assert!(parts.texts.len() <= 2);
    }
}

#[test]
fn any_cut_of_a_message_is_read() {
    let message = NESTED.replace('\n', "\r\n");
    for end in 0..message.len() {
        let cut = message.as_bytes().get(..end).unwrap().to_vec();
        take_apart(&Bytes::from(cut), &Limits::default());
    }
}
