//! Whether content that comes in is sealed already, so that it may travel as it is.
//!
//! The type in the header is not believed, and neither is the name: the whole body has to be
//! base64 and nothing else, and what it decodes to has to be one CMS structure that is encrypted
//! strongly, to the very certificate that we would seal to. A reader that passes over what is not
//! base64 must find nothing there to pass over. What the sender's program left in the open is the
//! sender's choice, as long as nothing has asked for more: then a Subject or a file name that says
//! something makes the message content like any other, and it is sealed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::content_type::ContentType;
use crate::mail::message::{Header, MAX_LINE_OCTETS, split};
use crate::mail::{AlreadySealed, RecipientCertificate};
use crate::proto::cms;

/// What programs write where they hide a Subject.
const NEUTRAL: [&str; 4] = ["", "...", "[...]", "Encrypted Message"];
/// Fields of text that somebody wrote (RFC 5322 §3.6.5, RFC 2045 §8; Exchange's copy of the
/// Subject).
const TEXTS: [&str; 5] = [
    "Subject",
    "Comments",
    "Keywords",
    "Content-Description",
    "Thread-Topic",
];
/// Names that say nothing.
const NAMES: [&str; 2] = ["", "smime.p7m"];

/// What the header of content that is sealed already may say to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// What its sender chose to show.
    AsChosen,
    /// Nothing: no Subject, no file name.
    Silent,
}

/// Whether the content is sealed already, strongly and to this certificate alone. Memory: the
/// decoded body, three quarters of the content. CPU-bound.
pub fn already_sealed(
    content: &[u8],
    to: &RecipientCertificate,
    outside: Outside,
) -> Option<AlreadySealed> {
    let (block, body) = split(content);
    let header = Header::parse_stored(block).ok()?;
    if !is_sealed_by_name(&header)? || (outside == Outside::Silent && shows_text(&header)?) {
        return None;
    }
    let der = decode(body)?;
    let inspected = cms::inspect(&der).ok()?;
    (inspected.is_strong() && inspected.is_for(&to.der))
        .then(|| AlreadySealed::attested(to.fingerprint))
}

/// Whether the header says base64 of encrypted CMS, once and plainly.
fn is_sealed_by_name(header: &Header<'_>) -> Option<bool> {
    let body = only(header, "Content-Type")??.body();
    let read = ContentType::parse(body).ok()?;
    let encoding = only(header, "Content-Transfer-Encoding")??.value();
    let encrypted = read.values("smime-type").all(|value| {
        let names = ["enveloped-data", "authEnveloped-data"];
        names
            .iter()
            .any(|name| value.eq_ignore_ascii_case(name.as_bytes()))
    });
    Some(read.is_pkcs7() && encrypted && encoding.eq_ignore_ascii_case("base64"))
}

/// Whether a field that anybody reads on the way holds text.
fn shows_text(header: &Header<'_>) -> Option<bool> {
    let told = header.fields().any(|field| {
        TEXTS.iter().any(|name| field.is(name)) && !is_one_of(&NEUTRAL, field.value().as_bytes())
    });
    let typed = only(header, "Content-Type")??.body();
    let typed = names(typed, "name")?;
    let disposition = match only(header, "Content-Disposition")? {
        // As a Content-Type is built, but that it has one word before its parameters.
        Some(field) => names(&[b"x/", field.body().trim_ascii()].concat(), "filename")?,
        None => true,
    };
    Some(told || !typed || !disposition)
}

/// Whether the names in a field say nothing. `None` if that cannot be told.
fn names(body: &[u8], parameter: &str) -> Option<bool> {
    let read = ContentType::parse(body).ok()?;
    let plain = read.values(parameter).all(|name| is_one_of(&NAMES, name));
    // RFC 2231 hides names behind asterisks.
    Some(plain && !read.has_extended(parameter))
}

fn is_one_of(words: &[&str], value: &[u8]) -> bool {
    let mut words = words.iter();
    words.any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// The field of this name. `None` where there are several.
fn only<'a>(header: &Header<'a>, name: &str) -> Option<Option<crate::mail::message::Field<'a>>> {
    let mut found = header.all(name);
    let first = found.next();
    found.next().is_none().then_some(first)
}

/// Decodes lines of base64, with padding at the very end and empty lines behind it; `None` where
/// there is anything else.
pub(super) fn decode(body: &[u8]) -> Option<Vec<u8>> {
    let mut der = Vec::with_capacity(body.len() / 4 * 3);
    // Characters that make no whole group yet.
    let mut carry: Vec<u8> = Vec::new();
    let mut rest = body;
    let mut ended = false;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n");
        let (line, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind.get(2..).unwrap_or_default();
        if line.is_empty() {
            ended = true;
            continue;
        }
        if ended || line.len() > MAX_LINE_OCTETS {
            return None;
        }
        carry.extend_from_slice(line);
        let whole = carry.len() / 4 * 4;
        let groups = carry.get(..whole)?;
        STANDARD.decode_vec(groups, &mut der).ok()?;
        // Padding is refused by the decoder anywhere but at the end of what it gets.
        ended = groups.last() == Some(&b'=');
        carry.drain(..whole);
        if ended && !carry.is_empty() {
            return None;
        }
    }
    (carry.is_empty() && !der.is_empty()).then_some(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base64_to_the_last_octet_is_decoded() {
        for (body, octets) in [
            ("AAEC\r\n", &[0_u8, 1, 2][..]),
            ("AAEC", &[0, 1, 2]),
            ("AAECAw==\r\n", &[0, 1, 2, 3]),
            ("AAECAwQ=\r\n\r\n\r\n", &[0, 1, 2, 3, 4]),
            ("A\r\nAEC\r\nAwQF\r\n", &[0, 1, 2, 3, 4, 5]),
        ] {
            assert_eq!(decode(body.as_bytes()).as_deref(), Some(octets), "{body:?}");
        }
        for body in [
            "",
            "\r\n",
            "AAE",
            "AAECA\r\n",
            "AAECAw\r\n",
            "AAECAx==\r\n",
            "AA==AAEC\r\n",
            "AA==\r\nAAEC\r\n",
            "AA==A\r\n",
            "AAEC\r\n\r\nAAEC\r\n",
            "\r\nAAEC\r\n",
            " AAEC\r\n",
            "AAEC \r\n",
            "AAEC\n",
            "AAEC\r\nsee attached.\r\n",
            "AAEC\r\n--\r\n",
            "AA-_\r\n",
            "AAEC\0AAEC\r\n",
        ] {
            assert_eq!(decode(body.as_bytes()), None, "{body:?}");
        }
        let long = |count| format!("{}\r\n", "A".repeat(count));
        assert!(decode(long(996).as_bytes()).is_some());
        assert_eq!(decode(long(1000).as_bytes()), None);
    }

    #[test]
    fn what_a_header_shows_is_seen() {
        let shows = |fields: &str| {
            let block = format!("Content-Type: application/pkcs7-mime; name=smime.p7m\r\n{fields}");
            shows_text(&Header::parse(block.as_bytes()).unwrap())
        };
        for fields in [
            "",
            "Subject:\r\n",
            "Subject: [...]\r\n",
            "subject: encrypted message\r\n",
            "Content-Disposition: attachment; filename=\"SMIME.p7m\"\r\n",
            "Content-Disposition: inline\r\n",
            "From: Kim <kim@clinic.example>\r\n",
        ] {
            assert_eq!(shows(fields), Some(false), "{fields}");
        }
        for fields in [
            "Subject: Results\r\n",
            "Keywords: results\r\n",
            "Comments: results\r\n",
            "Thread-Topic: Results\r\n",
            "Content-Description: results\r\n",
            "Content-Disposition: attachment; filename=results.p7m\r\n",
            "Content-Disposition: attachment; filename*=utf-8''results.p7m\r\n",
            "Content-Disposition: attachment; filename*0=results\r\n",
        ] {
            assert_eq!(shows(fields), Some(true), "{fields}");
        }
        for fields in [
            "Content-Disposition: attachment; filename=\"x\r\n",
            "Content-Disposition: inline\r\nContent-Disposition: inline\r\n",
            "Content-Type: application/pkcs7-mime\r\n",
        ] {
            assert_eq!(shows(fields), None, "{fields}");
        }
        let named = b"Content-Type: application/pkcs7-mime; name=\"Miller.p7m\"\r\n";
        assert_eq!(shows_text(&Header::parse(named).unwrap()), Some(true));
    }
}
