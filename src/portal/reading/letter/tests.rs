//! Messages of many shapes.

use proptest::prelude::*;

use super::*;

fn letter(message: &str) -> Letter {
    Letter::read(&Bytes::copy_from_slice(message.as_bytes())).unwrap()
}

const HEAD: &str = "From: Jo <jo@clinic.example>\r\nTo: kim@example.org\r\nSubject: =?utf-8?q?R=C3=A9sultats?=\r\n\
    Date: Sun, 22 Nov 2026 01:30:07 +0100\r\nMessage-ID: <2@clinic.example>\r\nReferences: <0@x.example> <1@x.example>\r\n\
    MIME-Version: 1.0\r\n";

fn names(letter: &Letter) -> Vec<(&str, Option<Note>)> {
    let all = letter.attachments().iter();
    all.map(|it| (it.name.as_str(), it.note)).collect()
}

fn text(message: &str) -> String {
    letter(message).text().text
}

#[test]
fn the_header_is_shown() {
    let letter = letter(&format!("{HEAD}\r\nDear Kim\r\n"));
    assert_eq!(letter.from()[0].address, "jo@clinic.example");
    assert_eq!(letter.from()[0].name.as_deref(), Some("Jo"));
    assert_eq!(letter.to()[0].address, "kim@example.org");
    assert!(letter.cc().is_empty());
    assert_eq!(letter.subject(), "R\u{e9}sultats");
    assert_eq!(letter.date(), Some(Timestamp::from_secs(1_795_307_407)));
    let identifiers = letter.identifiers();
    assert_eq!(
        identifiers.message_id.as_deref(),
        Some("<2@clinic.example>")
    );
    assert_eq!(identifiers.conversation(), Some("<0@x.example>"));
    assert_eq!(letter.text().text, "Dear Kim");
    assert!(!letter.has_html() && letter.html(&|_| String::new()).is_none());
    assert!(letter.original().ends_with(b"Dear Kim\r\n"));
}

#[test]
fn what_hides_in_a_header_is_not_shown() {
    let hostile = letter(
        "Subject: a\u{202e}b =?utf-8?q?=0D=0ABcc:_x?=\r\nDate: Mon, 99 Foo 99999\r\nMessage-ID: <a b>\r\n\r\nx",
    );
    assert!(!hostile.subject().contains(['\r', '\n', '\u{202e}']));
    assert_eq!(
        (hostile.date(), &hostile.identifiers().message_id),
        (None, &None)
    );
    let empty = letter("");
    assert_eq!((empty.subject(), empty.text().text.as_str()), ("", ""));
    assert!(empty.from().is_empty() && empty.attachments().is_empty());
}

#[test]
fn alternatives_are_one_text() {
    let both = "Content-Type: multipart/alternative; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nplain =C3=A4\r\n\
        --b\r\nContent-Type: text/html\r\n\r\n<p>rich</p>\r\n\
        --b\r\nContent-Type: text/calendar; name=invite.ics\r\n\r\nBEGIN:VCALENDAR\r\n--b--\r\n";
    let letter = letter(&format!("{HEAD}{both}"));
    assert_eq!(letter.text().text, "plain \u{e4}");
    assert_eq!(
        letter.html(&|_| String::new()).unwrap().body(),
        "<p>rich</p>"
    );
    assert_eq!(names(&letter), [("invite.ics", None)]);
    let empty = both.replace("plain =C3=A4", " =20");
    assert_eq!(text(&empty), "rich");
    let only = "Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+5Dwvj24=\r\n";
    assert!(text(only).starts_with('\u{e4}'));
}

#[test]
fn images_in_the_html_come_from_the_message_only() {
    let message = "Content-Type: multipart/related; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/html\r\n\r\n<img src=cid:logo@x><img src=cid:fake@x><img src=cid:none><img src=https://x.example/i>\r\n\
        --b\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n\
        --b\r\nContent-Type: image/png; name=fake.png\r\nContent-ID: <fake@x>\r\n\r\n<svg onload=x>\r\n--b--\r\n";
    let letter = letter(message);
    let html = letter.html(&|index| format!("/m/1/image/{index}")).unwrap();
    assert_eq!(html.body(), "<img src=\"/m/1/image/0\"><img><img><img>");
    assert_eq!(html.blocked(), 1);
    assert_eq!(letter.inline_image(0).unwrap().0, "image/png");
    assert_eq!(
        letter.inline_image(0).unwrap().1.as_ref(),
        b"\x89PNG\r\n\x1a\n"
    );
    assert_eq!(
        (letter.inline_image(1), letter.inline_image(9)),
        (None, None)
    );
    let [logo, fake] = letter.attachments() else {
        panic!("two attachments");
    };
    assert_eq!(
        (logo.name.as_str(), logo.inline),
        ("attachment-1.png", Some(Raster::Png))
    );
    assert_eq!(
        (fake.inline, fake.danger, fake.media_type),
        (None, Some(Danger::Markup), "application/octet-stream")
    );
}

#[test]
fn parts_for_other_programs_stay_attachments() {
    let signed = "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nsigned text\r\n\
        --b\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\nx\r\n--b--\r\n";
    let read = letter(signed);
    assert_eq!(read.text().text, "signed text");
    assert_eq!(names(&read), [("smime.p7s", Some(Note::Signature))]);
    let encrypted = "Content-Type: multipart/encrypted; boundary=b\r\n\r\n\
        --b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n";
    let read = letter(encrypted);
    assert_eq!(read.text().text, "");
    assert!(
        names(&read)
            .iter()
            .all(|(_, note)| *note == Some(Note::Encrypted))
    );
    let smime =
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\r\nx";
    assert_eq!(
        names(&letter(smime)),
        [("smime.p7m", Some(Note::Encrypted))]
    );
    let tnef = "Content-Type: application/ms-tnef; name=winmail.dat\r\n\r\nx";
    assert_eq!(names(&letter(tnef)), [("winmail.dat", Some(Note::Tnef))]);
    let nested = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: Old: results?\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\ninner\r\n--c--\r\n\r\n--b--\r\n";
    let read = letter(nested);
    assert_eq!(names(&read), [("Old_ results_.eml", Some(Note::Message))]);
    assert_eq!(read.text().text, "");
    assert!(read.attachment(0).unwrap().starts_with(b"Subject: Old"));
}

#[test]
fn attachments_have_safe_names_and_their_octets() {
    let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n\
        --b\r\nContent-Type: application/pdf; name=x\r\nContent-Disposition: attachment; filename=\"../../a\u{202e}fdp.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n\
        --b\r\nContent-Disposition: attachment; filename*=UTF-8''%2e%2e%2fn%C3%B6.txt\r\n\r\nnote\r\n\
        --b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nunnamed\r\n\
        --b\r\n\r\nsecond\r\n--b--\r\n";
    let read = letter(message);
    assert_eq!(read.text().text, "first\n\nsecond");
    let found: Vec<(usize, &str, Option<Danger>)> = (read.attachments().iter())
        .map(|it| (it.index, it.name.as_str(), it.danger))
        .collect();
    assert_eq!(
        found,
        [
            (0, "afdp.exe", Some(Danger::Program)),
            (1, "n\u{f6}.txt", None),
            (2, "attachment-3.txt", None)
        ]
    );
    assert_eq!(read.attachment(0).unwrap().as_ref(), b"hello");
    assert_eq!(read.attachment(1).unwrap().as_ref(), b"note");
    assert_eq!(read.attachment(3), None);
    assert_eq!(read.attachments()[0].octets, 5);
    let archive = zip::ZipArchive::new(std::io::Cursor::new(read.zip().unwrap())).unwrap();
    assert_eq!(archive.len(), 3);
    let said = format!("{read:?} {:?} {:?}", read.attachments(), read.text());
    assert!(!said.contains("first") && !said.contains("afdp"), "{said}");
}

#[test]
fn the_text_is_bounded() {
    let long = format!("Subject: x\r\n\r\n{}", "line\r\n".repeat(200_000));
    let text = letter(&long).text();
    assert!(text.cut && text.text.len() <= MAX_TEXT_OCTETS);
    let html = format!(
        "Content-Type: text/html\r\n\r\n{}",
        "<p>x</p>".repeat(500_000)
    );
    let read = letter(&html);
    assert!(read.text().cut && read.html(&|_| String::new()).unwrap().cut());
    let header = format!("{}\r\nx", "X: y\r\n".repeat(60_000));
    let read = Letter::read(&Bytes::from(header));
    assert_eq!(read.err(), Some(ReadError::Header));
}

/// What has to hold of any octets.
fn hold(octets: &[u8]) {
    let Ok(letter) = Letter::read(&Bytes::copy_from_slice(octets)) else {
        return;
    };
    assert!(letter.text().text.len() <= MAX_TEXT_OCTETS);
    assert!(!letter.text().text.contains(['\0', '\r', '\u{202e}']));
    drop(letter.html(&|index| format!("/{index}")));
    for attachment in letter.attachments() {
        let octets = letter.attachment(attachment.index).unwrap();
        assert_eq!(octets.len() as u64, attachment.octets);
        assert_eq!(file_name(&attachment.name), attachment.name);
        assert_eq!(
            letter.inline_image(attachment.index).is_some(),
            attachment.inline.is_some()
        );
    }
    letter.zip().unwrap();
}

proptest! {
    #[test]
    fn never_panics(pieces in proptest::collection::vec(prop_oneof![
        Just(b"Content-Type: multipart/mixed; boundary=b\r\n".to_vec()),
        Just(b"Content-Type: multipart/alternative; boundary=c\r\n\r\n".to_vec()),
        Just(b"Content-Type: multipart/related; boundary=b\r\n\r\n".to_vec()),
        Just(b"Content-Type: text/html; charset=utf-7\r\n".to_vec()),
        Just(b"Content-Type: message/rfc822\r\n\r\n".to_vec()),
        Just(b"Content-Type: text/plain; format=flowed; delsp=yes\r\n".to_vec()),
        Just(b"Content-Transfer-Encoding: base64\r\n".to_vec()),
        Just(b"Content-Transfer-Encoding: quoted-printable\r\n".to_vec()),
        Just(b"Content-Disposition: attachment; filename=\"".to_vec()),
        Just(b"Content-ID: <x>\r\n".to_vec()), Just(b"Date: Mon, 31 Feb 0 99:99:99 -9999\r\n".to_vec()),
        Just(b"Message-ID: <".to_vec()), Just(b"References: <a@b> <c@d>\r\n".to_vec()),
        Just(b"From: \"".to_vec()), Just(b"Subject: =?utf-8?b?".to_vec()),
        Just(b"\r\n".to_vec()), Just(b"\n".to_vec()), Just(b"--b\r\n".to_vec()), Just(b"\r\n--c\r\n".to_vec()),
        Just(b"--b--\r\n".to_vec()), Just(b"<p><svg><img src=cid:x>".to_vec()), Just(b">> quoted \r\n".to_vec()),
        Just(b"\x89PNG\r\n\x1a\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ], 0..40)) {
        hold(&pieces.concat());
    }
}
