//! What a message shows without its text being read: header fields, addresses, parts. For rules.
//!
//! The same octets give the same overview, at the door while they stream past and later from the
//! spool.

use mail_parser::{Address, HeaderName, HeaderValue, MessageParser};

use super::{Header, HeaderError, MimeError, MimeWalk, Part, split, words};

/// What a message shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// Field names in lower case with their decoded values, in the order of the message.
    pub fields: Vec<(String, String)>,
    /// Addresses in To and Cc, those in groups too.
    pub visible_recipients: u32,
    /// The parts in the order of the message, containers included; the message itself is the
    /// first.
    pub parts: Vec<Part>,
}

/// Content that was not taken in by us: it breaks a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverviewError {
    /// In the header.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// In the parts.
    #[error("{0}")]
    Mime(#[from] MimeError),
}

impl Overview {
    /// Of a whole content as it is stored.
    pub fn of(content: &[u8]) -> Result<Self, OverviewError> {
        let (block, body) = split(content);
        let mut walk = MimeWalk::new(block)?;
        walk.feed(body)?;
        Ok(Self::of_parts(block, walk.finish())?)
    }

    /// Of a stored header block, with the parts that a walk over the body found.
    pub fn of_parts(block: &[u8], parts: Vec<Part>) -> Result<Self, HeaderError> {
        let header = Header::parse_stored(block)?;
        let decoded = |field: super::Field<'_>| {
            let name = field.name().to_ascii_lowercase();
            (name, words::decode(field.body()))
        };
        Ok(Self {
            fields: header.fields().map(decoded).collect(),
            visible_recipients: visible_recipients(block),
            parts,
        })
    }
}

fn visible_recipients(block: &[u8]) -> u32 {
    let mut whole = block.to_vec();
    whole.extend_from_slice(b"\r\n");
    let parsed = MessageParser::new()
        .with_address_headers()
        .parse_headers(&whole);
    let count = parsed
        .iter()
        .flat_map(|message| message.headers())
        .map(|header| match (&header.name, &header.value) {
            (HeaderName::To | HeaderName::Cc, HeaderValue::Address(address)) => count(address),
            _ => 0,
        });
    u32::try_from(count.sum::<usize>()).unwrap_or(u32::MAX)
}

fn count(address: &Address<'_>) -> usize {
    address
        .iter()
        .filter(|address| address.address.is_some())
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(content: &str) -> Overview {
        Overview::of(content.as_bytes()).unwrap()
    }

    fn part(kind: &str, name: Option<&str>) -> Part {
        Part {
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            other_name: None,
        }
    }

    #[test]
    fn shows_fields_recipients_and_parts() {
        let found = of(
            "SUBJECT: =?utf-8?q?caf=C3=A9?=\r\n folded\r\nTo: a@b.example, \"x, y\" <c@b.example>\r\nCC: Team: d@b.example, e@b.example;, F <f@b.example>\r\nX-Odd:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: Application/PDF\r\nContent-Disposition: attachment; filename=\"x.pdf\"\r\n\r\n%\r\n--b--\r\n",
        );
        assert_eq!(found.visible_recipients, 5);
        assert_eq!(
            found.fields[..2],
            [
                ("subject".to_owned(), "caf\u{e9} folded".to_owned()),
                (
                    "to".to_owned(),
                    "a@b.example, \"x, y\" <c@b.example>".to_owned()
                ),
            ]
        );
        assert_eq!(found.fields[3], ("x-odd".to_owned(), String::new()));
        assert_eq!(
            found.parts,
            [
                part("multipart/mixed", None),
                part("text/plain", None),
                part("application/pdf", Some("x.pdf")),
            ]
        );
    }

    #[test]
    fn counts_nobody_where_there_is_nobody() {
        for header in [
            "",
            "To:\r\n",
            "To: undisclosed-recipients:;\r\n",
            "Bcc: a@b.example\r\n",
        ] {
            assert_eq!(
                of(&format!("{header}\r\n")).visible_recipients,
                0,
                "{header}"
            );
        }
        let many = vec!["a@b.example"; 300].join(",\r\n ");
        let found = of(&format!("To: {many}\r\nCc: {many}\r\n\r\n"));
        assert_eq!(found.visible_recipients, 600);
    }

    #[test]
    fn a_message_without_body_is_one_part_of_text() {
        let found = of("Subject: x\r\n");
        assert_eq!(found.parts, [part("text/plain", None)]);
        assert!(Overview::of(b"no header").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(content in proptest::collection::vec(
            prop_oneof![Just("To: a@b\r\n".to_owned()), Just("\r\n".to_owned()), Just("--b\r\n".to_owned()),
                Just("Content-Type: multipart/x; boundary=b\r\n".to_owned()),
                Just("Content-Disposition: a; filename*0*=utf-8''%\r\n".to_owned()), ".{0,5}"], 0..40))
        {
            drop(Overview::of(content.concat().as_bytes()));
        }
    }
}
