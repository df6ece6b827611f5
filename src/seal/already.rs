//! Whether content that comes in is sealed already, so that it may travel as it is.
//!
//! The type in the header is not believed, and neither is the name: the whole body has to be
//! base64 and nothing else, and what it decodes to has to be one CMS structure that is encrypted
//! strongly, to the very certificate that we would seal to. A reader that passes over what is not
//! base64 must find nothing there to pass over. And the header has to be silent: every field one
//! that our own sealing would show outside just as it is, the Subject and the file names ones that
//! say nothing, without parameters and comments that nobody knows. What says more is content like
//! any other, and is sealed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fields;
use crate::mail::message::{Field, Header, MAX_LINE_OCTETS, split};
use crate::mail::{AlreadySealed, RecipientCertificate};
use crate::proto::cms;

/// What programs write where they hide a Subject.
const NEUTRAL: [&str; 4] = ["", "...", "[...]", "Encrypted Message"];
/// What a program calls the one part there is (Content-Description).
const DESCRIPTION: &str = "S/MIME Encrypted Message";
/// The types (RFC 8551 §3.2; the older name too).
const KINDS: [&str; 2] = ["application/pkcs7-mime", "application/x-pkcs7-mime"];
/// Their parameters.
const PARAMETERS: [(&str, &str); 4] = [
    ("smime-type", "enveloped-data"),
    ("smime-type", "authEnveloped-data"),
    ("name", "smime.p7m"),
    ("name", ""),
];
const DISPOSITIONS: [&str; 2] = ["attachment", "inline"];
/// Their parameters.
const FILE_NAMES: [(&str, &str); 2] = [("filename", "smime.p7m"), ("filename", "")];

/// Whether the content is sealed already, strongly and to this certificate alone, and its header
/// says nothing that ours would not. Memory: the decoded body, three quarters of the content.
/// CPU-bound.
pub fn already_sealed(content: &[u8], to: &RecipientCertificate) -> Option<AlreadySealed> {
    let (block, body) = split(content);
    let header = Header::parse_stored(block).ok()?;
    if !is_sealed_by_name(&header) || !is_silent(&header) {
        return None;
    }
    let der = decode(body)?;
    let inspected = cms::inspect(&der).ok()?;
    (inspected.is_strong() && inspected.is_for(&to.der))
        .then(|| AlreadySealed::attested(to.fingerprint))
}

/// Whether the header says once what the body is, and how it is encoded; [`is_silent`] looks at
/// the values.
fn is_sealed_by_name(header: &Header<'_>) -> bool {
    let mut names = ["Content-Type", "Content-Transfer-Encoding"].into_iter();
    names.all(|name| header.all(name).count() == 1)
}

/// Whether no field tells anybody on the way more than our own sealing would.
fn is_silent(header: &Header<'_>) -> bool {
    header.fields().enumerate().all(|(at, field)| {
        let says = |value: &str| field.value().eq_ignore_ascii_case(value);
        match field.name().to_ascii_lowercase().as_str() {
            "subject" => NEUTRAL.into_iter().any(says),
            "mime-version" => says("1.0"),
            "content-type" => is_plain(field, &KINDS, &PARAMETERS),
            "content-transfer-encoding" => says("base64"),
            "content-disposition" => is_plain(field, &DISPOSITIONS, &FILE_NAMES),
            "content-description" => says(DESCRIPTION),
            _ => fields::leaves_as_it_is(at, field),
        }
    })
}

/// Whether a field holds one of these words and nothing but these parameters behind it.
fn is_plain(field: Field<'_>, words: &[&str], parameters: &[(&str, &str)]) -> bool {
    let value = field.value();
    let mut parts = value.split(';').map(|part| part.trim_matches([' ', '\t']));
    let is_word = |part: &str| words.iter().any(|word| part.eq_ignore_ascii_case(word));
    parts.next().is_some_and(is_word)
        && parts.all(|part| part.is_empty() || knows(parameters, part))
}

fn knows(parameters: &[(&str, &str)], part: &str) -> bool {
    let Some((name, value)) = part.split_once('=') else {
        return false;
    };
    let unquoted = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let value = unquoted.unwrap_or(value);
    parameters
        .iter()
        .any(|it| name.eq_ignore_ascii_case(it.0) && value.eq_ignore_ascii_case(it.1))
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
        let silent = |fields: &str| {
            let block = format!(
                "Received: from a\r\nContent-Type: application/pkcs7-mime; name=smime.p7m\r\n{fields}"
            );
            is_silent(&Header::parse(block.as_bytes()).unwrap())
        };
        for fields in [
            "",
            "Subject:\r\n",
            "Subject: [...]\r\n",
            "subject: encrypted message\r\n",
            "Content-Disposition: attachment; filename=\"SMIME.p7m\"\r\n",
            "Content-Disposition: inline;\r\n filename=\"\";\r\n",
            "Content-Description: S/MIME Encrypted Message\r\n",
            "Mime-Version: 1.0\r\n",
            "From: Kim <kim@clinic.example>\r\nTo: jo@clinic.example\r\n",
            "Message-ID: <1@clinic.example>\r\nReferences: <2@a> <3@b>\r\n",
            "Date: Sun, 22 Nov 2026 00:30:07 +0000\r\n",
            "Importance: high\r\nAuto-Submitted: no\r\n",
        ] {
            assert!(silent(fields), "{fields}");
        }
        for fields in [
            "Subject: Results\r\n",
            "Subject: ...\r\nSubject: Results\r\n",
            "Keywords: results\r\n",
            "Comments: results\r\n",
            "Thread-Topic: Results\r\n",
            "X-Patient: Miller\r\n",
            "X-Mailer: x\r\n",
            "Organization: Clinic\r\n",
            "Received: from results\r\n",
            "Bcc: lab@clinic.example\r\n",
            "DKIM-Signature: v=1; bh=x\r\n",
            "HP-Outer: Subject: Results\r\n",
            "Message-ID: results <1@clinic.example>\r\n",
            "References: results <2@a>\r\n",
            "Date: Sun, 22 Nov 2026 00:30:07 +0000 (results)\r\n",
            "Date: results\r\n",
            "Importance: high (results)\r\n",
            "Precedence: results\r\n",
            "From: K\u{ef}m <kim@clinic.example>\r\n",
            "MIME-Version: 1.0 (results)\r\n",
            "Content-ID: <results>\r\n",
            "Content-Description: results\r\n",
            "Content-Disposition: attachment; filename=results.p7m\r\n",
            "Content-Disposition: attachment; filename*=utf-8''results.p7m\r\n",
            "Content-Disposition: attachment; filename*0=results\r\n",
            "Content-Disposition: attachment; filename=smime.p7m; results=yes\r\n",
            "Content-Disposition: attachment; filename=smime.p7m results\r\n",
            "Content-Disposition: attachment; filename=\"smime.p7m\" (results)\r\n",
            "Content-Disposition: attachment; filename=\"smime.p7m;results\"\r\n",
            "Content-Disposition: attachment (results)\r\n",
            "Content-Disposition: results\r\n",
        ] {
            assert!(!silent(fields), "{fields}");
        }
        for kind in [
            "application/pkcs7-mime; name=\"Miller.p7m\"",
            "application/pkcs7-mime; name=smime.p7m (results)",
            "application/pkcs7-mime; x=results",
            "application/pkcs7-mime; smime-type=signed-data",
            "application/pkcs7-mime (results)",
            "multipart/mixed",
        ] {
            let block = format!("Content-Type: {kind}\r\n");
            assert!(
                !is_silent(&Header::parse(block.as_bytes()).unwrap()),
                "{kind}"
            );
        }
    }
}
