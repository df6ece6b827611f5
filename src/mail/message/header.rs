//! A header block, field by field, every octet kept (RFC 5322 §2.2).

use super::{MAX_ADDED_FIELDS, MAX_ADDED_OCTETS, MAX_HEADER_FIELDS, MAX_HEADER_OCTETS};

/// Why a block is not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Over [`MAX_HEADER_OCTETS`].
    #[error("the header is longer than {MAX_HEADER_OCTETS} octets")]
    TooLong,
    /// Over [`MAX_HEADER_FIELDS`].
    #[error("the header has more than {MAX_HEADER_FIELDS} fields")]
    TooManyFields,
    /// A line that is neither `Name: value` nor the continuation of one.
    #[error("line {line} of the header is neither a field (Name: value) nor a folded line")]
    NotAField {
        /// Counted from 1.
        line: usize,
    },
    /// The last line has no CRLF, or a CR or LF stands alone.
    #[error("line {line} of the header does not end with CRLF")]
    LineEnd {
        /// Counted from 1.
        line: usize,
    },
}

/// A header block that was read whole. Byte-exact: the fields' [`Field::raw`] joined are the block.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    fields: Vec<Field<'a>>,
}

/// One header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    name: &'a str,
    raw: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads a header block: what [`super::split`] gives first. Never panics, whatever the bytes.
    pub fn parse(block: &'a [u8]) -> Result<Self, HeaderError> {
        Self::within(block, MAX_HEADER_OCTETS, MAX_HEADER_FIELDS)
    }

    /// Reads the header block of a message that was taken in: what came in was within the limits
    /// of [`Header::parse`], and then our own fields were added.
    pub fn parse_stored(block: &'a [u8]) -> Result<Self, HeaderError> {
        let octets = MAX_HEADER_OCTETS + MAX_ADDED_OCTETS;
        Self::within(block, octets, MAX_HEADER_FIELDS + MAX_ADDED_FIELDS)
    }

    fn within(
        block: &'a [u8],
        most_octets: usize,
        most_fields: usize,
    ) -> Result<Self, HeaderError> {
        if block.len() > most_octets {
            return Err(HeaderError::TooLong);
        }
        let mut fields: Vec<Field<'a>> = Vec::new();
        let mut start = 0; // of the field that is being read
        let mut at = 0;
        let mut line = 0;
        while at < block.len() {
            line += 1;
            let text = line_at(block, at).ok_or(HeaderError::LineEnd { line })?;
            let end = at + text.len() + 2;
            if text.first().is_some_and(|&byte| is_wsp(byte)) {
                let field = fields.last_mut().ok_or(HeaderError::NotAField { line })?;
                field.raw = block.get(start..end).unwrap_or_default();
            } else {
                if fields.len() == most_fields {
                    return Err(HeaderError::TooManyFields);
                }
                let name = field_name(text).ok_or(HeaderError::NotAField { line })?;
                let raw = block.get(at..end).unwrap_or_default();
                fields.push(Field { name, raw });
                start = at;
            }
            at = end;
        }
        Ok(Self { fields })
    }

    /// The fields, top to bottom.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + '_ {
        self.fields.iter().copied()
    }

    /// The topmost field of this name, in any case.
    pub fn first(&self, name: &str) -> Option<Field<'a>> {
        self.all(name).next()
    }

    /// All fields of this name, in any case, top to bottom.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Field<'a>> + 's {
        self.fields().filter(move |field| field.is(name))
    }
}

impl<'a> Field<'a> {
    /// The name as written.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Whether this is its name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The whole field, with its folding and its final CRLF.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// What stands behind the colon, folding and all, without the final CRLF.
    pub fn body(&self) -> &'a [u8] {
        let body = self.raw.get(self.name.len() + 1..).unwrap_or_default();
        body.strip_suffix(b"\r\n").unwrap_or(body)
    }

    /// The value unfolded and trimmed; octets that are not UTF-8 become U+FFFD.
    pub fn value(&self) -> String {
        String::from_utf8_lossy(&unfold(self.body()))
            .trim_matches([' ', '\t'])
            .to_owned()
    }
}

/// Removes the CRLF of every fold (RFC 5322 §2.2.3); nothing else changes.
pub fn unfold(body: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        let (line, tail) = rest.split_at(at);
        unfolded.extend_from_slice(line);
        rest = tail.get(2..).unwrap_or_default();
    }
    unfolded.extend_from_slice(rest);
    unfolded
}

/// The line that begins at `at`, without its CRLF; `None` if it has none, or a CR or LF alone.
fn line_at(block: &[u8], at: usize) -> Option<&[u8]> {
    let rest = block.get(at..)?;
    let end = memchr::memchr2(b'\r', b'\n', rest)?;
    let (line, tail) = rest.split_at(end);
    tail.starts_with(b"\r\n").then_some(line)
}

/// `ftext` 1* ":" (RFC 5322 §2.2). White space before the colon is obsolete and refused: readers
/// disagree about what such a field is.
fn field_name(line: &[u8]) -> Option<&str> {
    let colon = memchr::memchr(b':', line)?;
    let name = line.get(..colon)?;
    if name.is_empty() || !name.iter().all(|byte| matches!(byte, b'!'..=b'~')) {
        return None;
    }
    std::str::from_utf8(name).ok()
}

const fn is_wsp(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_every_octet() {
        let block = b"Received: from a\r\n\tby b;\r\n  now\r\nFROM:Jo <jo@clinic.example>\r\nX: \xff\r\nEmpty:\r\n";
        let header = Header::parse(block).unwrap();
        let fields: Vec<_> = header.fields().collect();
        assert_eq!(fields.len(), 4);
        let joined: Vec<u8> = fields.iter().flat_map(|f| f.raw().to_vec()).collect();
        assert_eq!(joined, block);
        assert_eq!(fields[0].value(), "from a\tby b;  now");
        assert_eq!(
            header.first("from").unwrap().value(),
            "Jo <jo@clinic.example>"
        );
        assert_eq!(header.first("from").unwrap().name(), "FROM");
        assert_eq!(header.first("x").unwrap().value(), "\u{fffd}");
        assert_eq!(header.first("empty").unwrap().value(), "");
        assert_eq!(header.first("subject"), None);
    }

    #[test]
    fn refuses_what_is_no_header() {
        for (block, error) in [
            (&b" folded\r\n"[..], HeaderError::NotAField { line: 1 }),
            (
                b"A: 1\r\nFrom jo Mon\r\n",
                HeaderError::NotAField { line: 2 },
            ),
            (b"A: 1\r\nhello\r\n", HeaderError::NotAField { line: 2 }),
            (
                b"From : jo@clinic.example\r\n",
                HeaderError::NotAField { line: 1 },
            ),
            (b": x\r\n", HeaderError::NotAField { line: 1 }),
            (b"\r\n", HeaderError::NotAField { line: 1 }),
            (b"A\xc3\xa4: x\r\n", HeaderError::NotAField { line: 1 }),
            (b"A: x", HeaderError::LineEnd { line: 1 }),
            (b"A: x\nB: y\r\n", HeaderError::LineEnd { line: 1 }),
            (b"A: x\r\nB: y\rz\r\n", HeaderError::LineEnd { line: 2 }),
        ] {
            assert_eq!(Header::parse(block).unwrap_err(), error, "{block:?}");
        }
    }

    #[test]
    fn limits_hold_just_under_at_and_over() {
        for (count, ok) in [
            (999, true),
            (1000, true),
            (1001, false),
            (1_000_000 / 6, false),
        ] {
            let block = b"A: 1\r\n".repeat(count);
            assert_eq!(Header::parse(&block).is_ok(), ok, "{count}");
        }
        for (octets, ok) in [(MAX_HEADER_OCTETS, true), (MAX_HEADER_OCTETS + 1, false)] {
            let mut block = b"A: ".to_vec();
            block.resize(octets - 2, b'x');
            block.extend_from_slice(b"\r\n");
            assert_eq!(Header::parse(&block).is_ok(), ok, "{octets}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_what_it_reads(block in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'a'), any::<u8>()], 0..200))
        {
            if let Ok(header) = Header::parse(&block) {
                let joined: Vec<u8> = header.fields().flat_map(|f| f.raw().to_vec()).collect();
                prop_assert_eq!(&joined, &block);
                for field in header.fields() {
                    drop(field.value());
                }
            }
        }
    }

    #[test]
    fn a_header_at_the_limits_is_still_read_with_our_fields_added() {
        let mut block = b"A: b\r\n".repeat(MAX_HEADER_FIELDS);
        assert!(Header::parse(&block).is_ok());
        block.extend_from_slice(b"Received: x\r\nDate: x\r\nMessage-ID: x\r\n");
        assert!(Header::parse(&block).is_err());
        assert!(Header::parse_stored(&block).is_ok());
        let long = [
            b"A: ".to_vec(),
            vec![b'x'; MAX_HEADER_OCTETS],
            b"\r\n".to_vec(),
        ]
        .concat();
        assert!(Header::parse(&long).is_err());
        assert!(Header::parse_stored(&long).is_ok());
        assert!(Header::parse_stored(&long.repeat(2)).is_err());
    }
}
