//! Forms with files: whole, in pieces, and what browsers do not send.

use super::*;
use proptest::prelude::*;

const BOUNDS: FormBounds = FormBounds {
    octets: 1000,
    files: 2,
    fields: 3,
};

fn read(body: &[u8], at_once: usize) -> Result<Upload, FormError> {
    let mut reader = FormReader::new("XyZ", BOUNDS);
    for piece in body.chunks(at_once) {
        reader.push(piece)?;
    }
    reader.finish()
}

const FORM: &[u8] = b"--XyZ\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n\
    Hello\r\n--Xy\r\n\r\n--XyZ\r\n\
    content-disposition: form-data; name=\"f\"; filename=\"C:\\a\\50%22.txt\"\r\n\
    Content-Type: text/plain\r\n\r\n\r\n-content-\r\r\n--XyZ \r\n\
    Content-Disposition: form-data; name=f; filename=\"\"\r\n\
    Content-Type: application/octet-stream\r\n\r\n\r\n--XyZ--\r\nepilogue";

#[test]
fn a_form_reads_the_same_in_any_pieces() {
    for at_once in 1..FORM.len() {
        let upload = read(FORM, at_once).unwrap();
        assert_eq!(upload.fields.get("text"), Some("Hello\r\n--Xy\r\n"));
        let [file] = upload.files.as_slice() else {
            panic!("{} files", upload.files.len());
        };
        assert_eq!(file.name, "C:\\a\\50\".txt");
        assert_eq!(
            (file.field.as_str(), file.media_type.as_str()),
            ("f", "text/plain")
        );
        assert_eq!(&file.octets[..], b"\r\n-content-\r");
    }
}

fn field(name: &str, file: Option<&str>, content: &str) -> String {
    let file = file.map_or_else(String::new, |name| format!("; filename=\"{name}\""));
    format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n")
}

#[test]
fn bounds_hold() {
    let end = "--XyZ--\r\n";
    let three_files = field("f", Some("a"), "x").repeat(3) + end;
    assert_eq!(
        read(three_files.as_bytes(), 10).unwrap_err(),
        FormError::TooManyFiles
    );
    let four_fields = field("f", None, "x").repeat(4) + end;
    assert_eq!(
        read(four_fields.as_bytes(), 10).unwrap_err(),
        FormError::TooLarge
    );
    let large = field("f", Some("a"), &"x".repeat(1001)) + end;
    assert_eq!(
        read(large.as_bytes(), 4096).unwrap_err(),
        FormError::TooLargeFiles
    );
    let fits = field("f", Some("a"), &"x".repeat(1000)) + end;
    assert!(read(fits.as_bytes(), 4096).is_ok());
    let name = format!("{}.exe", "n".repeat(10_000));
    let long = field("f", Some(&name), "x") + end;
    let upload = read(long.as_bytes(), 4096).unwrap();
    let name = &upload.files[0].name;
    assert_eq!(name.chars().count(), MAX_NAME_CHARS);
    assert!(name.ends_with("nn.exe"));
}

#[test]
fn a_head_in_pieces_takes_no_longer_than_whole() {
    let name = format!("{}.txt", "n".repeat(MAX_PART_HEAD_OCTETS - 100));
    let form = field("f", Some(&name), "x") + "--XyZ--";
    for at_once in [1, 2, 100, 10_000, form.len()] {
        let mut reader = FormReader::new("XyZ", BOUNDS);
        for piece in form.as_bytes().chunks(at_once) {
            reader.push(piece).unwrap();
        }
        // In single octets each is looked at once as each of an end's four.
        let touched = reader.touched;
        assert!(touched <= 4 * form.len(), "{at_once}: {touched}");
        assert_eq!(reader.finish().unwrap().files.len(), 1);
    }
}

#[test]
fn a_head_has_its_bound_in_any_pieces() {
    let start = "--XyZ\r\nContent-Disposition: form-data; name=f\r\nX: ";
    let head = start.len() - "--XyZ\r\n".len();
    for (over, malformed) in [(0, false), (1, true)] {
        let filling = "x".repeat(MAX_PART_HEAD_OCTETS + over - head);
        let form = format!("{start}{filling}\r\n\r\nv\r\n--XyZ--");
        for at_once in [1, 7, form.len()] {
            let read = read(form.as_bytes(), at_once);
            assert_eq!(read.is_err(), malformed, "{over} {at_once}");
        }
    }
}

#[test]
fn empty_file_fields_are_counted() {
    let empty = |count| field("f", Some(""), "").repeat(count) + "--XyZ--";
    assert!(read(empty(MAX_EMPTY_FILES).as_bytes(), 100).is_ok());
    let over = empty(MAX_EMPTY_FILES + 1);
    assert_eq!(
        read(over.as_bytes(), 100).unwrap_err(),
        FormError::Malformed
    );
}

#[test]
fn what_no_browser_sends_is_refused() {
    let long_head = format!("--XyZ\r\nX: {}\r\n\r\n", "x".repeat(MAX_PART_HEAD_OCTETS));
    let no_name = "--XyZ\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XyZ--";
    let no_disposition = "--XyZ\r\nContent-Type: text/plain\r\n\r\nx\r\n--XyZ--";
    let latin: &[u8] = b"--XyZ\r\nContent-Disposition: form-data; name=a\r\n\r\n\xff\r\n--XyZ--";
    for body in [
        b"" as &[u8],
        b"preamble\r\n--XyZ--",
        b"--XyZ",
        b"--XyZ\r\n",
        b"--XyZx\r\n\r\n",
        long_head.as_bytes(),
        no_name.as_bytes(),
        no_disposition.as_bytes(),
        latin,
    ] {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(read(body, 7).unwrap_err(), FormError::Malformed, "{shown}");
    }
    let unfinished = field("f", Some("a"), "x");
    assert_eq!(
        read(unfinished.as_bytes(), 7).unwrap_err(),
        FormError::Malformed
    );
}

#[test]
fn boundaries_are_read() {
    let of = |field: &str| boundary(field);
    assert_eq!(
        of("multipart/form-data; boundary=abc").as_deref(),
        Some("abc")
    );
    let quoted = "Multipart/Form-Data; charset=x; BOUNDARY=\"a b:c\"; x=y";
    assert_eq!(of(quoted).as_deref(), Some("a b:c"));
    for none in [
        "multipart/form-data",
        "multipart/mixed; boundary=a",
        "text/plain; boundary=a",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"a\r\nb\"",
    ] {
        assert_eq!(of(none), None, "{none}");
    }
    let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
    assert_eq!(of(&long), None);
}

proptest! {
    #[test]
    fn no_input_upsets_the_reader(
        body in "(--XyZ|\r\n|--|[ -~]|\\PC|Content-Disposition: form-data; name=\"|\"){0,40}",
        at_once in 1usize..20,
    ) {
        drop(read(body.as_bytes(), at_once));
    }
}
