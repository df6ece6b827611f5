//! A receiver: takes sealed octets as they were sent, decrypts them, verifies the signature, and
//! finds header and body as RFC 9788 §4.2 says. It knows nothing of how they were written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::mail::Sealed;
use crate::mail::message::{Field, Header, split, unfold};
use crate::proto::cms::{self, SealStream};

use super::generator::Rng;

/// The octets as sent, made in pieces of random size.
pub(super) fn sent(sealed: &Sealed, content: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut stream = SealStream::new(sealed).unwrap();
    let mut out = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let most = if rng.one_in(3) { 40 } else { 100_000 };
        let (piece, behind) = rest.split_at(1 + rng.below(rest.len().min(most)));
        stream.push(piece, &mut out).unwrap();
        rest = behind;
    }
    stream.finish(&mut out).unwrap();
    out
}

/// The structure inside the envelope, decoded by the strict reading of what was sent.
pub(super) fn der(sent: &[u8]) -> Vec<u8> {
    let (_, body) = split(sent);
    let lines = body.split(|octet| *octet == b'\n');
    let text: Vec<u8> = lines
        .flat_map(|line| line.trim_ascii_end().to_vec())
        .collect();
    STANDARD.decode(text).unwrap()
}

/// What was found inside.
pub(super) struct Opened {
    /// The root with the protected header fields.
    pub(super) root: Vec<u8>,
    /// The signature over exactly the root, where there is one.
    pub(super) signature: Option<Vec<u8>>,
}

/// Decrypts, and takes a `multipart/signed` apart (RFC 1847 §2.1).
pub(super) fn open(sent: &[u8], certificate: &[u8], key: &[u8]) -> Opened {
    let entity = cms::decrypt(&der(sent), certificate, key).unwrap();
    apart(&entity)
}

/// Takes a decrypted entity apart, if it is one that we sign as.
pub(super) fn apart(entity: &[u8]) -> Opened {
    let (block, body) = split(entity);
    let header = Header::parse_stored(block).unwrap();
    let only_type = header.fields().count() == 1;
    let kind = header.first("Content-Type").unwrap().value();
    if !(only_type && kind.starts_with("multipart/signed;")) {
        return Opened {
            root: entity.to_vec(),
            signature: None,
        };
    }
    assert!(
        kind.contains("protocol=\"application/pkcs7-signature\""),
        "{kind}"
    );
    assert!(kind.contains("micalg=sha-"), "{kind}");
    let boundary = kind.split("boundary=\"").nth(1).unwrap();
    let boundary = boundary.strip_suffix('"').unwrap();
    let body = body
        .strip_prefix(format!("--{boundary}\r\n").as_bytes())
        .unwrap();
    let between = format!("\r\n--{boundary}\r\n");
    let at = memchr::memmem::find(body, between.as_bytes()).unwrap();
    let (root, rest) = body.split_at(at);
    let rest = &rest[between.len()..];
    let end = format!("\r\n--{boundary}--\r\n");
    let part = rest.strip_suffix(end.as_bytes()).unwrap();
    let (block, encoded) = split(part);
    let header = Header::parse(block).unwrap();
    for (name, value) in [
        (
            "Content-Type",
            "application/pkcs7-signature; name=\"smime.p7s\"",
        ),
        ("Content-Transfer-Encoding", "base64"),
        ("Content-Disposition", "attachment; filename=\"smime.p7s\""),
    ] {
        assert_eq!(header.first(name).unwrap().value(), value);
    }
    assert_eq!(header.fields().count(), 3);
    let lines: Vec<&[u8]> = encoded.split(|octet| *octet == b'\n').collect();
    assert!(lines.iter().all(|line| line.trim_ascii_end().len() <= 76));
    let text: Vec<u8> = lines
        .concat()
        .into_iter()
        .filter(|octet| *octet != b'\r')
        .collect();
    Opened {
        root: root.to_vec(),
        signature: Some(STANDARD.decode(text).unwrap()),
    }
}

/// Name and value of a field as readers compare them: unfolded, without white space around.
fn pair(name: &str, body: &[u8]) -> (String, String) {
    let value = String::from_utf8_lossy(&unfold(body)).trim().to_owned();
    (name.to_owned(), value)
}

/// HeaderSetsFromMessage of RFC 9788 §4.2.1: what the outside was said to show, and the protected
/// fields, raw.
pub(super) fn header_sets<'a>(header: &Header<'a>) -> (Vec<(String, String)>, Vec<Field<'a>>) {
    let (outer, protected): (Vec<_>, Vec<_>) = header.fields().partition(|it| it.is("HP-Outer"));
    let outer = outer.iter().map(|field| {
        let value = field.value();
        let (name, value) = value.split_once(':').unwrap();
        pair(name, value.as_bytes())
    });
    (outer.collect(), protected)
}

/// The fields that stand outside, but those of MIME and of the way.
pub(super) fn outside(header: &Header<'_>) -> Vec<(String, String)> {
    header
        .fields()
        .filter(|it| !it.is("Received") && !it.is("MIME-Version"))
        .filter(|it| !it.name().to_ascii_lowercase().starts_with("content-"))
        .map(|it| pair(it.name(), it.body()))
        .collect()
}
