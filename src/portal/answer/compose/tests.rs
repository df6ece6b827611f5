//! What an answer looks like, and that nothing from outside adds to its header.

use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;
use crate::mail::message::{Header, MAX_LINE_OCTETS, split};

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn file(name: &str, octets: &[u8]) -> File {
    File {
        name: name.to_owned(),
        media_type: "application/pdf",
        octets: Bytes::copy_from_slice(octets),
    }
}

fn answered() -> Identifiers {
    Identifiers {
        message_id: Some("<1@clinic.example>".to_owned()),
        in_reply_to: None,
        references: vec!["<0@clinic.example>".to_owned()],
    }
}

/// A message made of texts that anybody could have written.
fn made(text: &str, to_name: &str, files: &[File], answers: Option<&Identifiers>) -> Vec<u8> {
    compose(&Compose {
        author: &address("secure-mail@clinic.example"),
        via: text,
        replier: &address("kim@example.org"),
        to: &address("jo@clinic.example"),
        to_name: Some(to_name),
        subject: text,
        answers,
        text,
        files,
        date: Timestamp::from_secs(1_795_307_407),
        id: text,
        boundary: [7; 16],
    })
}

#[test]
fn says_who_wrote_it_and_goes_to_one_person() {
    let answers = answered();
    let octets = compose(&Compose {
        author: &address("secure-mail@clinic.example"),
        via: "Example Clinic",
        replier: &address("kim@example.org"),
        to: &address("jo@clinic.example"),
        to_name: None,
        subject: "AW: Re: Results",
        answers: Some(&answers),
        text: "Thank you.\nKim",
        files: &[],
        date: Timestamp::from_secs(1_795_307_407),
        id: "abc123",
        boundary: [0; 16],
    });
    let expected = "From: \"kim@example.org via Example Clinic\"\r\n <secure-mail@clinic.example>\r\n\
        Reply-To: kim@example.org\r\n\
        To: jo@clinic.example\r\n\
        Subject: Re: Results\r\n\
        Date: Sun, 22 Nov 2026 00:30:07 +0000\r\n\
        Message-ID: <abc123@clinic.example>\r\n\
        In-Reply-To: <1@clinic.example>\r\n\
        References: <0@clinic.example>\r\n <1@clinic.example>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\
        \r\n\
        Thank you.\r\n\
        Kim\r\n";
    assert_eq!(String::from_utf8(octets).unwrap(), expected);
}

#[test]
fn files_come_back_as_they_were() {
    let long = format!("{}\u{e4}.pdf", "Befund ".repeat(14));
    let files = [
        file("a.pdf", b"\0\xff octets \r\n--=_07\r\n"),
        file(&long, &[7; 5000]),
        file("../\"x\r\ny.pdf", b""),
    ];
    let octets = made("Gr\u{fc}\u{df}e", "Jo", &files, None);
    let message = MessageParser::default().parse(&octets).unwrap();
    assert_eq!(message.body_text(0).unwrap().trim_end(), "Gr\u{fc}\u{df}e");
    let found: Vec<(String, Vec<u8>)> = message
        .attachments()
        .map(|it| {
            (
                it.attachment_name().unwrap().to_owned(),
                it.contents().to_vec(),
            )
        })
        .collect();
    let expected: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|it| (file_name(&it.name), it.octets.to_vec()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(message.subject(), Some("Gr\u{fc}\u{df}e"));
}

/// Octets that end lines somewhere, and texts that look like fields.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\r".to_owned()),
        Just("\n".to_owned()),
        Just("\0".to_owned()),
        Just("\u{85}".to_owned()),
        Just("\u{2028}".to_owned()),
        Just("\u{2029}".to_owned()),
        Just("\u{c}".to_owned()),
        Just("Bcc: eve@evil.example".to_owned()),
        Just("\r\n\r\n<script>".to_owned()),
        Just("=?utf-8?q?=0d=0aBcc:_x?=".to_owned()),
        Just("\", <eve@evil.example>, \"".to_owned()),
        Just("--=_07070707070707070707070707070707".to_owned()),
        Just("Re: ".to_owned()),
        Just("\u{202e}".to_owned()),
        "\\PC{0,40}",
    ];
    proptest::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(Config::with_cases(10_000))]

    #[test]
    fn no_text_adds_a_field(
        text in hostile(), to_name in hostile(), name in hostile(), id in hostile(),
        answers in any::<bool>(), attach in any::<bool>(),
    ) {
        let identifiers = Identifiers {
            message_id: Some(id.clone()),
            in_reply_to: Some(id.clone()),
            references: vec![id],
        };
        let files = [file(&name, b"x")];
        let files = if attach { &files[..] } else { &[] };
        let octets = made(&text, &to_name, files, answers.then_some(&identifiers));
        prop_assert!(octets.is_ascii());
        for line in octets.split(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            prop_assert!(line.len() <= MAX_LINE_OCTETS);
            prop_assert!(!line.contains(&b'\r') && !line.contains(&0));
        }
        let (header, _) = split(&octets);
        let header = Header::parse(header).unwrap();
        let names: Vec<&str> = header.fields().map(|it| it.name()).collect();
        let mut expected = vec!["From", "Reply-To", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"];
        if !attach {
            expected.push("Content-Transfer-Encoding");
        }
        // An id that is none is left out; no hostile one is an id.
        prop_assert_eq!(names, expected);
        let message = MessageParser::default().parse(&octets).unwrap();
        let one = |field: Option<&mail_parser::Address<'_>>| {
            let all: Vec<_> = field.unwrap().iter().map(|it| it.address.clone().unwrap_or_default().into_owned()).collect();
            all
        };
        prop_assert_eq!(one(message.to()), ["jo@clinic.example"]);
        prop_assert_eq!(one(message.from()), ["secure-mail@clinic.example"]);
        prop_assert_eq!(one(message.reply_to()), ["kim@example.org"]);
        prop_assert!(message.subject().unwrap_or_default().chars().count() <= MAX_SUBJECT_CHARS + 4);
        prop_assert_eq!(message.attachment_count(), files.len());
        prop_assert_eq!(message.parts.len(), if attach { 3 } else { 1 });
    }
}
