//! Documents made to hurt: bounded, and said.

use sealpost::mail::finding::Unreadable;
use sealpost::scan::Limits;
use sealpost::scan::parts::DocumentKind::{Gzip, Pdf, Zip};

use crate::documents::{deflated, docx, gzip, odf, page, pdf, read, read_with, stream, xlsx, zip};

#[test]
fn bombs_stop_at_the_bound() {
    let zeros = vec![0_u8; 100 << 20];
    let limits = Limits {
        expanded: 8 << 20,
        ..Limits::default()
    };
    let bomb = zip(&[("zeros", &zeros), ("after", b"123-45-6789")]);
    assert!(
        zeros.len() / bomb.len() > 900,
        "ratio {}",
        zeros.len() / bomb.len()
    );
    assert!(
        read_with(Zip, bomb, &limits)
            .unreadable
            .contains(&Unreadable::TooLarge)
    );
    let bomb = gzip(&zeros);
    assert!(
        read_with(Gzip, bomb, &limits)
            .unreadable
            .contains(&Unreadable::TooLarge)
    );
    let bomb = page(deflated("", &zeros), &[]);
    assert!(
        read_with(Pdf, bomb, &limits)
            .unreadable
            .contains(&Unreadable::TooLarge)
    );
    let spaces = vec![b' '; 100 << 20];
    let bomb = docx(
        "<w:p/>",
        &[("word/x.xml", &[b"<a>", spaces.as_slice()].concat())],
    );
    assert!(
        read_with(Zip, bomb, &limits)
            .unreadable
            .contains(&Unreadable::TooLarge)
    );
}

#[test]
fn nesting_stops_at_the_bound() {
    let mut nested = b"123-45-6789".to_vec();
    for depth in 0..6 {
        nested = zip(&[("inner", &nested)]);
        let read = read(Zip, nested.clone());
        if depth < 3 {
            assert!(read.says("123-45-6789"), "{depth}");
            assert_eq!(read.unreadable, []);
        } else {
            assert_eq!(read.unreadable, [Unreadable::TooDeep], "{depth}");
        }
    }
    // Wide and deep: the count of members is one count.
    let wide: Vec<(String, Vec<u8>)> = (0..40)
        .map(|at| (format!("{at}"), zip(&[("x", b"y")])))
        .collect();
    let wide: Vec<(&str, &[u8])> = wide
        .iter()
        .map(|(name, octets)| (name.as_str(), octets.as_slice()))
        .collect();
    let limits = Limits {
        entries: 50,
        ..Limits::default()
    };
    assert!(
        read_with(Zip, zip(&wide), &limits)
            .unreadable
            .contains(&Unreadable::TooDeep)
    );
}

#[test]
fn an_archive_that_holds_itself_ends() {
    // Every member starts at the same local header: the archive's data is counted each time.
    let one = zip(&[("a", &vec![b'a'; 1 << 20])]);
    let start = one
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    let end = one
        .windows(4)
        .position(|four| four == b"PK\x05\x06")
        .unwrap();
    let entry = &one[start..end];
    let count = 200_u16;
    let mut quine = one[..start].to_vec();
    for _ in 0..count {
        quine.extend_from_slice(entry);
    }
    let size = u32::try_from(entry.len()).unwrap() * u32::from(count);
    quine.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    quine.extend_from_slice(&count.to_le_bytes());
    quine.extend_from_slice(&count.to_le_bytes());
    quine.extend_from_slice(&size.to_le_bytes());
    quine.extend_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
    quine.extend_from_slice(&[0, 0]);
    let limits = Limits {
        expanded: 4 << 20,
        ..Limits::default()
    };
    let read = read_with(Zip, quine, &limits);
    let text: usize = read.texts.iter().map(String::len).sum();
    assert!(text <= 5 << 20, "{text}");
}

#[test]
fn entities_do_not_multiply() {
    let mut laughs = String::from("<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY l0 \"ha\">");
    for at in 1..12 {
        laughs.push_str(&format!(
            "<!ENTITY l{at} \"{}\">",
            format!("&l{};", at - 1).repeat(10)
        ));
    }
    laughs.push_str("]><w:document><w:p><w:r><w:t>a&l11;b</w:t></w:r></w:p></w:document>");
    let read = read(
        Zip,
        docx("<w:p/>", &[("word/laughs.xml", laughs.as_bytes())]),
    );
    let text: usize = read.texts.iter().map(String::len).sum();
    assert!(text < 100, "{read:?}");
    // A document with a type definition of its own is none that an office program writes.
    assert_eq!(read.unreadable, [Unreadable::Damaged]);
}

#[test]
fn deep_xml_and_long_rows_are_bounded() {
    let deep = "<a>".repeat(100_000);
    let read_deep = read(Zip, docx("<w:p/>", &[("word/deep.xml", deep.as_bytes())]));
    assert_eq!(read_deep.unreadable, [Unreadable::Damaged]);
    let far = "<row><c r=\"XFD1\"><v>1</v></c></row>".repeat(50_000);
    let limits = Limits {
        text: 1 << 20,
        ..Limits::default()
    };
    let read = read_with(Zip, xlsx(&far, &[]), &limits);
    assert_eq!(read.unreadable, [Unreadable::TooLarge]);
    let text: usize = read.texts.iter().map(String::len).sum();
    assert!(text <= 1 << 20);
}

#[test]
fn what_is_encrypted_is_said_and_the_rest_is_read() {
    // Set the flag that a member is encrypted, in both of its headers.
    let mut archive = zip(&[("secret", b"xxxxxxxxxxxx"), ("open", b"in the open")]);
    let local = archive
        .windows(4)
        .position(|four| four == b"PK\x03\x04")
        .unwrap();
    let central = archive
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    archive[local + 6] |= 1;
    archive[central + 8] |= 1;
    let read_zip = read(Zip, archive);
    assert_eq!(read_zip.unreadable, [Unreadable::Encrypted]);
    assert!(read_zip.says("in the open"), "{read_zip:?}");
    let manifest = b"<manifest><encryption-data/></manifest>";
    let odt = zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("META-INF/manifest.xml", manifest),
    ]);
    assert_eq!(read(Zip, odt).unreadable, [Unreadable::Encrypted]);
    assert_eq!(read(Zip, odf("text", "<text:p>x</text:p>")).unreadable, []);
}

#[test]
fn a_pdf_with_a_password_is_encrypted() {
    use lopdf::{Document, EncryptionState, EncryptionVersion, Permissions};
    for (user, expected) in [("", false), ("secret", true)] {
        let plain = page(stream("", b"BT /F1 9 Tf (behind a lock) Tj ET"), &[]);
        let mut document = Document::load_mem(&plain).unwrap();
        let id = lopdf::Object::string_literal("0123456789abcdef");
        document
            .trailer
            .set("ID", lopdf::Object::Array(vec![id.clone(), id]));
        let version = EncryptionVersion::V2 {
            document: &document,
            owner_password: "owner",
            user_password: user,
            key_length: 128,
            permissions: Permissions::all(),
        };
        let state = EncryptionState::try_from(version).unwrap();
        document.encrypt(&state).unwrap();
        let mut locked = Vec::new();
        document.save_to(&mut locked).unwrap();
        let read = read(Pdf, locked);
        assert_eq!(
            read.unreadable.contains(&Unreadable::Encrypted),
            expected,
            "{user} {read:?}"
        );
        assert_eq!(read.says("behind a lock"), !expected, "{user} {read:?}");
    }
}

#[test]
fn a_damaged_member_costs_itself() {
    let mut archive = crate::documents::zip_with(
        &[("broken", &[b'x'; 100]), ("whole", b"is whole")],
        zip::CompressionMethod::Stored,
    );
    let at = archive
        .windows(9)
        .position(|nine| nine == b"xxxxxxxxx")
        .unwrap();
    archive[at] = b'y';
    let read = read(Zip, archive);
    assert_eq!(read.unreadable, [Unreadable::Damaged]);
    assert!(read.says("is whole") && read.says("yxxx"), "{read:?}");
}

#[test]
fn garbage_behind_every_mark_is_survived() {
    let garbage: Vec<u8> = (0..4000_u32).map(|at| (at * 7919 % 251) as u8).collect();
    let marks: [(&[u8], _); 4] = [
        (b"%PDF-1.7\n", Pdf),
        (b"PK\x03\x04", Zip),
        (b"PK\x05\x06", Zip),
        (b"\x1F\x8B\x08\x00\x00\x00\x00\x00\x00\x03", Gzip),
    ];
    for (mark, kind) in marks {
        let read = read(kind, [mark, &garbage].concat());
        assert!(!read.unreadable.is_empty(), "{mark:?}");
        assert!(
            !read.unreadable.contains(&Unreadable::ReaderDied),
            "{mark:?}"
        );
    }
}

#[test]
fn every_cut_of_a_document_is_read() {
    let whole_pdf = page(deflated("", b"BT /F1 9 Tf (text) Tj ET"), &[]);
    let whole_zip = docx("<w:p><w:r><w:t>text</w:t></w:r></w:p>", &[]);
    for (kind, whole) in [
        (Pdf, whole_pdf),
        (Zip, whole_zip),
        (Gzip, gzip(b"text text text")),
    ] {
        for end in (0..whole.len()).step_by(11) {
            let read = read(kind, whole[..end].to_vec());
            assert!(
                !read.unreadable.contains(&Unreadable::ReaderDied),
                "{kind:?} {end}"
            );
            assert!(
                !read.unreadable.is_empty(),
                "{kind:?} cut at {end} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn a_pdf_that_lies_about_its_sizes_or_holds_itself_ends() {
    let lie = pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [2 0 R 3 0 R] /Count 4000000000 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>".to_vec(),
        b"<< /Length 4000000000 >>\nstream\nx\nendstream".to_vec(),
    ]);
    assert!(!read(Pdf, lie).unreadable.contains(&Unreadable::ReaderDied));
    // A form that draws itself twice.
    let form = stream(
        "/Type /XObject /Subtype /Form /Resources << /XObject << /X1 7 0 R >> >>",
        b"/X1 Do /X1 Do",
    );
    let selfish = page(stream("", b"/X1 Do"), &[b"<< >>".to_vec(), form]);
    assert!(read(Pdf, selfish).unreadable.contains(&Unreadable::TooDeep));
}

#[test]
fn large_hostile_mime_is_linear() {
    use sealpost::scan::parts::take_apart;
    // Fifty open boundaries, and nothing but lines that might be delimiters of each.
    let mut header = String::new();
    for at in 0..49 {
        header.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=b{at:02}\r\n\r\n--b{at:02}\r\n"
        ));
    }
    let lines = "--b\r\n".repeat(1 << 18);
    let parts = take_apart(
        &bytes::Bytes::from(format!("{header}\r\n{lines}")),
        &Limits::default(),
    );
    assert_eq!(parts.unscannable, []);
    let text: usize = parts.texts.iter().map(|(_, text)| text.len()).sum();
    assert!(text >= lines.len(), "{text}");
    for body in [
        "<".repeat(1 << 20),
        "&".repeat(1 << 20),
        "<!--".repeat(1 << 18),
        "<a ".repeat(1 << 18),
        "<a b='".repeat(1 << 18),
    ] {
        let html = format!("Content-Type: text/html\r\n\r\n{body}");
        let parts = take_apart(&bytes::Bytes::from(html), &Limits::default());
        let text: usize = parts.texts.iter().map(|(_, text)| text.len()).sum();
        // Values of attributes that nobody sees are no text.
        assert!(text > 1 << 19 || body.contains('='), "{text}");
    }
}
