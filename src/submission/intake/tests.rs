//! Tests of the intake: edits, checks, limits, every cut.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::directory::Users;
use crate::mail::message::{Part, decode_text};
use crate::mail::{Language, Level, PhoneNumber, SenderSecret, TlsVersion, VerifiedBy};
use crate::policy::source::SubjectTag;

const HASH: &str =
    "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";
const RECEIVED: &str = "Received: from client.example ([192.0.2.1])\r\n\tby mail.clinic.example with ESMTPSA id 0000000000001\r\n\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 group=X25519MLKEM768);\r\n\tSun, 22 Nov 2026 00:30:07 +0000\r\n";

fn user() -> Arc<User> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "[[user]]\nname = \"jo\"\npassword = \"{HASH}\"\nsenders = [\"jo@clinic.example\", \"*@lab.clinic.example\"]\n"
    );
    std::fs::write(file.path(), text).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    Users::load(file.path()).unwrap().get("jo").unwrap()
}

fn wishes() -> Wishes {
    let tag = |text: &str, raise| SubjectTag {
        text: text.to_owned(),
        raise,
    };
    Wishes {
        subject_tags: SubjectTags::new(&[
            tag("[secure]", Level::Confidential),
            tag("#sealed", Level::Sealed),
        ]),
        overview: true,
    }
}

fn arrival() -> Arrival {
    Arrival {
        id: MessageId::new(1),
        hostname: Domain::parse("mail.clinic.example").unwrap(),
        received: Timestamp::from_secs(1_795_307_407),
        address: Some("192.0.2.1".parse().unwrap()),
        hello: Hello {
            name: "client.example".into(),
            extended: true,
        },
        tls: Some(TlsFacts {
            version: TlsVersion::V1_3,
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            group: "X25519MLKEM768".into(),
            peer_sha256: String::new(),
            verified_by: VerifiedBy::Nothing("no client certificate".into()),
        }),
        authenticated: true,
    }
}

fn take_by(content: &[u8], user: &Arc<User>, chunk: usize) -> Result<(Vec<u8>, Accepted), Refusal> {
    let mut intake = Intake::new(arrival(), Arc::clone(user), wishes());
    let mut out = Vec::new();
    for piece in content.chunks(chunk) {
        intake.write(piece, &mut out)?;
    }
    let accepted = intake.finish(&mut out)?;
    Ok((out, accepted))
}

fn take(content: &str) -> Result<(String, Accepted), Refusal> {
    let (out, accepted) = take_by(content.as_bytes(), &user(), 4096)?;
    Ok((String::from_utf8(out).unwrap(), accepted))
}

#[test]
fn adds_and_removes_what_submission_must_and_nothing_else() {
    let user = user();
    let content = "Return-Path: <x@y.example>\r\nfrom:  Jo\r\n <jo@clinic.example>\r\nBCC: a@b.example,\r\n c@b.example\r\nX-Odd:\tvalue  \r\nresent-bcc: z@b.example\r\nSubject: x\r\n\r\nBcc: body\r\n\r\n.\r\n\u{e4}\r\n";
    let expected = format!(
        "{RECEIVED}from:  Jo\r\n <jo@clinic.example>\r\nX-Odd:\tvalue  \r\nSubject: x\r\nDate: Sun, 22 Nov 2026 00:30:07 +0000\r\nMessage-ID: <0000000000001@mail.clinic.example>\r\n\r\nBcc: body\r\n\r\n.\r\n\u{e4}\r\n"
    );
    for chunk in 1..content.len() {
        let (out, accepted) = take_by(content.as_bytes(), &user, chunk).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "by {chunk}");
        assert_eq!(accepted.author.to_string(), "jo@clinic.example");
        assert_eq!(accepted.message_id, "<0000000000001@mail.clinic.example>");
        assert!(accepted.eight_bit);
    }
}

#[test]
fn keeps_date_and_message_id_that_are_there() {
    let content = "Date: whenever\r\nFrom: jo@clinic.example\r\nMessage-Id:\r\n <a@b>\r\n\r\n\r\n";
    let (out, accepted) = take(content).unwrap();
    assert_eq!(out, format!("{RECEIVED}{content}"));
    assert_eq!(accepted.message_id, "<a@b>");
    assert!(!accepted.eight_bit);
    // Empty ones are none.
    let (out, accepted) = take("Date: \r\nFrom: jo@clinic.example\r\nMessage-ID:\r\n\r\n").unwrap();
    assert!(
        out.contains("\r\nDate: Sun, 22 Nov 2026 00:30:07 +0000\r\n"),
        "{out}"
    );
    assert_eq!(out.matches("Message-ID:").count(), 1);
    assert_eq!(accepted.message_id, "<0000000000001@mail.clinic.example>");
}

#[test]
fn a_message_may_be_all_header() {
    let content = "Date: x\r\nMessage-ID: <a@b>\r\nFrom: jo@clinic.example\r\n";
    assert_eq!(take(content).unwrap().0, format!("{RECEIVED}{content}"));
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn only_permitted_authors() {
    let with = |fields: &str| {
        take(&format!("{fields}\r\n\r\nbody\r\n")).map(|(_, accepted)| accepted.author.to_string())
    };
    assert_eq!(
        with("From: x@lab.clinic.example").as_deref(),
        Ok("x@lab.clinic.example")
    );
    assert_eq!(
        with("From: JO@Clinic.Example\r\nSender: <jo@clinic.example>").as_deref(),
        Ok("JO@clinic.example")
    );
    let other = || Address::parse("ceo@other.example").unwrap();
    for (fields, refusal) in [
        (
            "From: ceo@other.example",
            Refusal::NotPermitted {
                field: "From",
                address: other(),
            },
        ),
        (
            "From: \"jo@clinic.example\" <ceo@other.example>",
            Refusal::NotPermitted {
                field: "From",
                address: other(),
            },
        ),
        (
            "From: jo@clinic.example\r\nSender: ceo@other.example",
            Refusal::NotPermitted {
                field: "Sender",
                address: other(),
            },
        ),
        (
            "From: jo@clinic.example, ceo@other.example",
            Refusal::NotOne {
                field: "From",
                count: 2,
            },
        ),
        (
            "From: jo@clinic.example, jo@clinic.example",
            Refusal::NotOne {
                field: "From",
                count: 2,
            },
        ),
        (
            "From: Nobody:;",
            Refusal::NotOne {
                field: "From",
                count: 0,
            },
        ),
        (
            "From: jo@clinic.example\r\nSender: a@lab.clinic.example, b@lab.clinic.example",
            Refusal::NotOne {
                field: "Sender",
                count: 2,
            },
        ),
        (
            "From: jo@clinic.example\r\nFrom: ceo@other.example",
            Refusal::Duplicate("From"),
        ),
        (
            "From: jo@clinic.example\r\nFROM: jo@clinic.example",
            Refusal::Duplicate("From"),
        ),
        (
            "From: jo@clinic.example\r\nSender: jo@clinic.example\r\nSender: ceo@other.example",
            Refusal::Duplicate("Sender"),
        ),
        (
            "From: <jo@clinic.example> <ceo@other.example>",
            Refusal::Mailboxes {
                field: "From",
                error: MailboxError::Syntax,
            },
        ),
        (
            "From:",
            Refusal::Mailboxes {
                field: "From",
                error: MailboxError::Syntax,
            },
        ),
        ("Subject: x", Refusal::NoFrom),
        (
            "From: jo@clinic.example\r\nSubject: a\r\nSubject: b",
            Refusal::Duplicate("Subject"),
        ),
        (
            "From: jo@clinic.example\r\nSubject: \u{e4}",
            Refusal::EightBitHeader("Subject".into()),
        ),
        (
            "From : jo@clinic.example",
            Refusal::Header(HeaderError::NotAField { line: 1 }),
        ),
    ] {
        assert_eq!(with(fields), Err(refusal), "{fields}");
    }
    assert_eq!(take(""), Err(Refusal::NoFrom));
    assert_eq!(take("\r\nbody\r\n"), Err(Refusal::NoFrom));
    assert_eq!(
        take("just text\r\n"),
        Err(Refusal::Header(HeaderError::NotAField { line: 1 }))
    );
}

#[test]
fn refusals_have_their_codes() {
    let author = Address::parse("ceo@other.example").unwrap();
    for (refusal, code, start) in [
        (
            Refusal::NotPermitted {
                field: "From",
                address: author,
            },
            550,
            "5.7.1 Message refused: this account may not send as ceo@other.example",
        ),
        (
            Refusal::NotOne {
                field: "From",
                count: 2,
            },
            550,
            "5.7.1 Message refused: the From field has 2 addresses",
        ),
        (Refusal::Loop, 554, "5.4.6 "),
        (
            Refusal::Mime(MimeError::TooDeep),
            554,
            "5.6.0 Message refused: MIME parts",
        ),
        (Refusal::Header(HeaderError::TooLong), 554, "5.6.0 "),
    ] {
        let mut line = Vec::new();
        refusal.reply().write(&mut line);
        assert!(
            line.starts_with(format!("{code} {start}").as_bytes()),
            "{}",
            String::from_utf8_lossy(&line)
        );
    }
}

#[test]
fn loops_are_cut() {
    let with =
        |received: &str| take(&format!("{received}From: jo@clinic.example\r\n\r\n")).map(|_| ());
    let other = "Received: from a by b.example; now\r\n";
    let ours = "Received: from by.example\r\n\tBY Mail.Clinic.Example;\r\n now\r\n";
    assert_eq!(with(&other.repeat(49)), Ok(()));
    assert_eq!(with(&other.repeat(50)), Ok(()));
    assert_eq!(with(&other.repeat(51)), Err(Refusal::Loop));
    assert_eq!(with(ours), Ok(()));
    assert_eq!(with(&ours.repeat(2)), Err(Refusal::Loop));
    assert_eq!(
        with(
            "Received: by x.mail.clinic.example; y\r\nReceived: by mail.clinic.example.other.example; y\r\n"
        ),
        Ok(())
    );
}

#[test]
fn limits_hold_just_under_at_and_over() {
    let user = user();
    let header = |octets: usize| {
        let mut header = b"From: jo@clinic.example\r\nX: ".to_vec();
        while header.len() + 900 < octets - 2 {
            header.extend_from_slice(&[b'x'; 898]);
            header.extend_from_slice(b"\r\n ");
        }
        header.resize(octets - 2, b'x');
        header.extend_from_slice(b"\r\n\r\nbody\r\n");
        header
    };
    for (octets, ok) in [
        (MAX_HEADER_OCTETS - 1, true),
        (MAX_HEADER_OCTETS, true),
        (MAX_HEADER_OCTETS + 1, false),
    ] {
        for chunk in [1000, 65_536] {
            assert_eq!(
                take_by(&header(octets), &user, chunk).is_ok(),
                ok,
                "{octets} by {chunk}"
            );
        }
    }
    // An endless header is refused before it is whole, and not kept.
    let mut intake = Intake::new(arrival(), Arc::clone(&user), wishes());
    let mut out = Vec::new();
    let refused = (0..10).find_map(|_| intake.write(&[b'x'; 65_536], &mut out).err());
    assert_eq!(refused, Some(Refusal::Header(HeaderError::TooLong)));
    let fields = |count: usize| {
        format!(
            "From: jo@clinic.example\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    assert!(take(&fields(1000)).is_ok());
    assert_eq!(
        take(&fields(1001)),
        Err(Refusal::Header(HeaderError::TooManyFields))
    );
    let id = |octets: usize| {
        take(&format!(
            "From: jo@clinic.example\r\nMessage-ID:\r\n {}\r\n\r\n",
            "x".repeat(octets)
        ))
    };
    assert!(id(998).is_ok());
    assert_eq!(id(999), Err(Refusal::MessageId));
    let deep = format!(
        "From: jo@clinic.example\r\nContent-Type: message/rfc822\r\n\r\n{}",
        "Content-Type: message/rfc822\r\n\r\n".repeat(50)
    );
    assert_eq!(take(&deep), Err(Refusal::Mime(MimeError::TooDeep)));
}

#[test]
fn received_says_how_it_came() {
    let mut arrival = arrival();
    arrival.address = None;
    arrival.tls = None;
    arrival.authenticated = false;
    assert_eq!(
        received::field(&arrival),
        "Received: from client.example\r\n\tby mail.clinic.example with ESMTP id 0000000000001;\r\n\tSun, 22 Nov 2026 00:30:07 +0000\r\n"
    );
    arrival.hello.extended = false;
    arrival.address = Some("2001:db8::1".parse().unwrap());
    assert!(received::field(&arrival).starts_with(
        "Received: from client.example ([IPv6:2001:db8::1])\r\n\tby mail.clinic.example with SMTP id"
    ));
}

#[test]
fn tags_are_understood_and_taken_out() {
    let content = "x-sealpost-LEVEL: Restricted\r\nFrom: jo@clinic.example\r\nDate: x\r\nMessage-ID: <a@b>\r\nX-Sealpost-Level:\r\n\tprotected\r\nThread-Topic: Results [secure]\r\nSubject: [Secure] Results #SEALED\r\nX-Sealpos: kept\r\n\r\nX-Sealpost-Level: body [secure]\r\n";
    let expected = format!(
        "{RECEIVED}From: jo@clinic.example\r\nDate: x\r\nMessage-ID: <a@b>\r\nThread-Topic: Results\r\nSubject: Results\r\nX-Sealpos: kept\r\n\r\nX-Sealpost-Level: body [secure]\r\n"
    );
    let user = user();
    for chunk in 1..content.len() {
        let (out, accepted) = take_by(content.as_bytes(), &user, chunk).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "by {chunk}");
        let field = |level| Tag { text: None, level };
        let subject = |text: &str, level| Tag {
            text: Some(text.into()),
            level,
        };
        assert_eq!(
            accepted.tags,
            [
                field(Level::Restricted),
                field(Level::Protected),
                subject("[secure]", Level::Confidential),
                subject("#sealed", Level::Sealed),
            ]
        );
    }
}

#[test]
fn what_is_said_for_the_portal_is_kept_apart_and_taken_out() {
    let content = "X-SEALPOST-secret:\r\n\t=?utf-8?q?Gr=C3=BCne_Wiese?=\r\nFrom: jo@clinic.example\r\nDate: x\r\nMessage-ID: <a@b>\r\nX-Sealpost-Phone: +1 (202) 555-0123\r\nx-sealpost-language: de-AT\r\nContent-Language: fr\r\nX-Sealpost-Level: restricted\r\n\r\nbody\r\n";
    let expected = format!(
        "{RECEIVED}From: jo@clinic.example\r\nDate: x\r\nMessage-ID: <a@b>\r\nContent-Language: fr\r\n\r\nbody\r\n"
    );
    let user = user();
    for chunk in [1, 7, content.len()] {
        let (out, accepted) = take_by(content.as_bytes(), &user, chunk).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let pickup = &accepted.pickup;
        let secret = pickup.secret.as_ref().map(SenderSecret::expose);
        assert_eq!(secret, Some("Gr\u{fc}ne Wiese"));
        let phone = pickup.phone.as_ref().map(PhoneNumber::expose);
        assert_eq!(phone, Some("+12025550123"));
        assert_eq!(pickup.language, Some(Language::De));
        assert_eq!(accepted.tags.len(), 1);
        let shown = format!("{accepted:?}");
        assert!(
            !shown.contains("Wiese") && !shown.contains("555"),
            "{shown}"
        );
    }
}

#[test]
fn the_language_of_the_message_stands_in_for_one_that_nobody_named() {
    let of = |fields: &str| {
        let content = format!("From: jo@clinic.example\r\n{fields}\r\nbody\r\n");
        take(&content).unwrap().1.pickup.language
    };
    for (fields, language) in [
        ("", None),
        ("Content-Language: es\r\n", Some(Language::Es)),
        ("Content-Language: nl, zh-Hans, de\r\n", Some(Language::Zh)),
        ("Content-Language: nl\r\n", None),
        ("Content-Language:\r\n", None),
        (
            "Content-Language: es\r\nX-Sealpost-Language: EN-gb\r\n",
            Some(Language::En),
        ),
    ] {
        assert_eq!(of(fields), language, "{fields}");
    }
}

#[test]
fn what_is_not_understood_for_the_portal_refuses_and_is_never_repeated() {
    let with =
        |fields: &str| take(&format!("From: jo@clinic.example\r\n{fields}\r\n\r\n")).map(drop);
    let long = format!("X-Sealpost-Secret: canary{}", "x".repeat(195));
    for (fields, refusal) in [
        ("X-Sealpost-Secret:", Refusal::Secret),
        ("X-Sealpost-Secret: canar", Refusal::Secret),
        ("X-Sealpost-Secret: =?utf-8?q?canary=01?=", Refusal::Secret),
        ("X-Sealpost-Secret: =?utf-8?q?canary=FF?=", Refusal::Secret),
        (&long, Refusal::Secret),
        ("X-Sealpost-Phone: 202 555 0123", Refusal::Phone),
        (
            "X-Sealpost-Phone: +1 202 555 0123, +1 202 555 0124",
            Refusal::Phone,
        ),
        ("X-Sealpost-Phone:", Refusal::Phone),
        ("X-Sealpost-Phone: +canary", Refusal::Phone),
        ("X-Sealpost-Language: canary", Refusal::Language),
        ("X-Sealpost-Language: en, de", Refusal::Language),
        ("X-Sealpost-Language:", Refusal::Language),
        (
            "X-Sealpost-Secret: canary1\r\nX-SEALPOST-SECRET: canary1",
            Refusal::Duplicate("X-Sealpost-Secret"),
        ),
        (
            "X-Sealpost-Phone: +1 202 555 0123\r\nx-sealpost-phone: +1 202 555 0123",
            Refusal::Duplicate("X-Sealpost-Phone"),
        ),
        (
            "X-Sealpost-Language: en\r\nX-Sealpost-Language: en",
            Refusal::Duplicate("X-Sealpost-Language"),
        ),
    ] {
        let refused = with(fields).unwrap_err();
        assert_eq!(refused, refusal, "{fields}");
        let reply = format!("{:?} {refused} {refused:?}", refused.reply());
        assert!(reply.contains("554"), "{reply}");
        let value = ["canar", "202 555 0124", "555-"].map(|value| reply.contains(value));
        assert_eq!(value, [false; 3], "{reply}");
    }
    let eight_bit = "From: jo@clinic.example\r\nX-Sealpost-Secret: Gr\u{fc}ne Wiese\r\n\r\n";
    let refused = take(eight_bit).map(drop).unwrap_err();
    assert_eq!(refused, Refusal::EightBitHeader("X-Sealpost-Secret".into()));
}

#[test]
fn a_mistaken_tag_refuses_the_message() {
    let with = |field: &str| take(&format!("From: jo@clinic.example\r\n{field}\r\n\r\n")).map(drop);
    for level in Level::ALL {
        assert_eq!(with(&format!("X-Sealpost-Level: {level}")), Ok(()));
    }
    for value in [
        "",
        "confidental",
        "restricted!",
        "sealed, restricted",
        "none",
        "=?utf-8?q?sealed?=",
    ] {
        let field = format!("X-Sealpost-Level: {value}");
        assert_eq!(with(&field), Err(Refusal::UnknownLevel), "{value}");
        let both = format!("X-Sealpost-Level: sealed\r\n{field}");
        assert_eq!(with(&both), Err(Refusal::UnknownLevel), "{value}");
    }
    for name in [
        "X-Sealpost-Levl",
        "x-SEALPOST-",
        "X-Sealpost-Level-2",
        "X-Sealpost-Hold",
        "X-Sealpost",
    ] {
        let refused = with(&format!("{name}: sealed")).unwrap_err();
        assert_eq!(refused, Refusal::UnknownField(name.to_owned()));
        let mut line = Vec::new();
        refused.reply().write(&mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            format!(
                "554 5.6.0 Message refused: there is no {name} field; there are X-Sealpost-Level, X-Sealpost-Secret, X-Sealpost-Phone and X-Sealpost-Language\r\n"
            )
        );
    }
    assert_eq!(with("X-Sealposter: other people's"), Ok(()));
    let mut line = Vec::new();
    Refusal::UnknownLevel.reply().write(&mut line);
    assert!(line.starts_with(b"554 5.6.0 Message refused: the X-Sealpost-Level field must be "));
}

#[test]
fn the_overview_is_that_of_what_is_stored() {
    let content = "From: jo@clinic.example\r\nBcc: blind@b.example\r\nTo: a@b.example\r\nCc: g: b@b.example, c@b.example;\r\nSubject: [secure] =?utf-8?q?caf=C3=A9?=\r\nX-Sealpost-Level: sealed\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n%\r\n--b--\r\n";
    let user = user();
    for chunk in [1, 7, 4096] {
        let (out, accepted) = take_by(content.as_bytes(), &user, chunk).unwrap();
        let overview = accepted.overview.unwrap();
        assert_eq!(Overview::of(&out).unwrap(), overview);
        assert_eq!(overview.visible_recipients, 3);
        let names: Vec<_> = overview
            .fields
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "received",
                "from",
                "to",
                "cc",
                "subject",
                "content-type",
                "date",
                "message-id"
            ]
        );
        assert_eq!(overview.fields[4].1, "caf\u{e9}");
        let pdf = Part {
            kind: "application/pdf".to_owned(),
            name: Some("a.pdf".to_owned()),
            other_name: None,
        };
        assert_eq!(overview.parts[2], pdf);
    }
    // Nobody wants to know: nobody looks.
    let mut intake = Intake::new(arrival(), user, Wishes::default());
    let mut out = Vec::new();
    intake
        .write(content.replace("X-S", "Y-S").as_bytes(), &mut out)
        .unwrap();
    let accepted = intake.finish(&mut out).unwrap();
    assert_eq!((accepted.overview, accepted.tags), (None, vec![]));
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("Subject: [secure]")
    );
}

#[test]
fn a_subject_that_grows_past_the_limit_is_refused() {
    // Written anew in UTF-8 it takes more octets than the client sent.
    let words =
        "\r\n =?iso-8859-1?b?5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk?=".repeat(3500);
    let content = format!("From: jo@clinic.example\r\nSubject: [secure]{words}\r\n\r\n");
    assert!(content.len() < MAX_HEADER_OCTETS);
    assert_eq!(take(&content), Err(Refusal::Header(HeaderError::TooLong)));
    let untagged = content.replace("[secure]", "");
    assert!(take(&untagged).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the body, and however it is cut: the same octets come out behind the header.
    #[test]
    fn bodies_are_untouched(body in proptest::collection::vec(
        prop_oneof![Just(b"\r\n".to_vec()), Just(b"--b\r\n".to_vec()), Just(b"Bcc: x\r\n".to_vec()), proptest::collection::vec(any::<u8>(), 0..9)], 0..30),
        chunk in 1_usize..60)
    {
        let user = user();
        let body = body.concat();
        let head = b"From: jo@clinic.example\r\nDate: x\r\nMessage-ID: <x@y>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
        let content = [&head[..], &body].concat();
        let (out, accepted) = take_by(&content, &user, chunk).unwrap();
        prop_assert_eq!(&out[..RECEIVED.len()], RECEIVED.as_bytes());
        prop_assert_eq!(&out[RECEIVED.len()..], &content[..]);
        prop_assert_eq!(accepted.eight_bit, !body.is_ascii());
    }

    /// Whatever the header: no panic, and neither field nor tag of ours is in what is stored.
    #[test]
    fn no_mark_ever_leaves(fields in proptest::collection::vec(prop_oneof![
            Just("X-Sealpost-Level: sealed\r\n"), Just("x-sealpost-level:\r\n RESTRICTED\r\n"),
            Just("X-SEALPOST-Hold: x\r\n"), Just("X-Sealpost-Secret: [secure] x\r\n"),
            Just("X-Sealpost-Phone: +12025550123\r\n"), Just("X-Sealpost-Language: en\r\n"), Just("Subject: [secure] x\r\n"), Just("Subject: [sec\r\n"),
            Just(" #sealed\r\n"), Just("\t[SECURE]\r\n"), Just("Thread-Topic: =?utf-8?q?#sea?=\r\n"),
            Just(" =?utf-8?q?led?= [secure]\r\n"), Just("From: jo@clinic.example\r\n"), Just("X: y\r\n"),
            Just("\r\n"), Just("no field\r\n"),
        ], 0..12), chunk in 1_usize..40)
    {
        let user = user();
        let content = format!("From: jo@clinic.example\r\n{}\r\n[secure]\r\n", fields.concat());
        if let Ok((out, _)) = take_by(content.as_bytes(), &user, chunk) {
            let (block, _) = crate::mail::message::split(&out);
            for field in Header::parse_stored(block).unwrap().fields() {
                prop_assert!(!field.name().to_ascii_lowercase().starts_with("x-sealpost-"));
                if field.is("Subject") || field.is("Thread-Topic") {
                    let seen = decode_text(field.body()).to_lowercase();
                    prop_assert!(!seen.contains("[secure]") && !seen.contains("#sealed"), "{}", seen);
                }
            }
        }
    }
}
