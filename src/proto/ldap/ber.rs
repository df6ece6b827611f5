//! BER as LDAP restricts it (RFC 4511 §5.1): definite lengths, primitive strings.
//!
//! Owns elements of one-octet tags. Nothing here recurses: who reads an element decides whether to
//! look into it, so nesting is bounded by the grammar that is read.

/// Tags, with class and form.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// OCTET STRING, primitive.
    pub const OCTETS: u8 = 0x04;
    /// ENUMERATED.
    pub const ENUMERATED: u8 = 0x0a;
    /// SEQUENCE.
    pub const SEQUENCE: u8 = 0x30;
    /// SET.
    pub const SET: u8 = 0x31;
}

/// Most octets that a length may take, its first one aside.
const MAX_LENGTH_OCTETS: usize = 4;

/// Octets that are not the BER that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BerError(pub &'static str);

/// The tag of the element that `octets` begin with, the octets of its head, and of its content;
/// `None` if they end within the head. The content may be longer than what is there.
pub fn head(octets: &[u8]) -> Result<Option<(u8, usize, usize)>, BerError> {
    let Some(&tag) = octets.first() else {
        return Ok(None);
    };
    if tag & 0x1f == 0x1f {
        return Err(BerError("a tag of several octets"));
    }
    let Some(&first) = octets.get(1) else {
        return Ok(None);
    };
    if first < 0x80 {
        return Ok(Some((tag, 2, usize::from(first))));
    }
    let more = usize::from(first & 0x7f);
    match more {
        0 => return Err(BerError("an indefinite length")),
        1..=MAX_LENGTH_OCTETS => {}
        _ => return Err(BerError("a length of too many octets")),
    }
    let Some(length) = octets.get(2..2 + more) else {
        return Ok(None);
    };
    // At most four octets: it fits.
    let length = length
        .iter()
        .fold(0_u64, |sum, &octet| sum << 8 | u64::from(octet));
    let length = usize::try_from(length).map_err(|_| BerError("a length that is too large"))?;
    Ok(Some((tag, 2 + more, length)))
}

/// Elements, one behind the other.
#[derive(Debug, Clone)]
pub struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Over the content of an element.
    pub fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// Whether there is no other.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next.
    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next, whatever it is: its tag and content.
    pub fn any(&mut self) -> Result<(u8, &'a [u8]), BerError> {
        const SHORT: BerError = BerError("an element that is cut short");
        let (tag, start, length) = head(self.0)?.ok_or(SHORT)?;
        let end = start.checked_add(length).ok_or(SHORT)?;
        let content = self.0.get(start..end).ok_or(SHORT)?;
        self.0 = self.0.get(end..).unwrap_or_default();
        Ok((tag, content))
    }

    /// The content of the next, which has to have this tag.
    pub fn expect(&mut self, tag: u8, or: &'static str) -> Result<&'a [u8], BerError> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(BerError(or)),
        }
    }

    /// That there is no other.
    pub fn end(&self, or: &'static str) -> Result<(), BerError> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(BerError(or)),
        }
    }
}

/// An INTEGER or ENUMERATED from 0 to 2³¹ - 1 (`maxInt` of RFC 4511 §4.1.1).
pub fn number(content: &[u8]) -> Result<u32, BerError> {
    match content {
        [] => Err(BerError("a number without octets")),
        [first, ..] if first & 0x80 != 0 => Err(BerError("a number below zero")),
        _ if content.len() > 4 => Err(BerError("a number that is too large")),
        _ => Ok(content
            .iter()
            .fold(0, |sum, &octet| sum << 8 | u32::from(octet))),
    }
}

/// Writes an element.
pub fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|&&octet| octet == 0).count();
    let significant = length.get(zeros..).unwrap_or_default();
    match significant {
        [] => out.push(0),
        &[short] if short < 0x80 => out.push(short),
        long => {
            // At most eight octets.
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
}

/// Writes a number as INTEGER or ENUMERATED, in as few octets as it takes.
pub fn put_number(out: &mut Vec<u8>, tag: u8, number: u32) {
    let octets = number.to_be_bytes();
    let zeros = octets
        .iter()
        .take_while(|&&octet| octet == 0)
        .count()
        .min(3);
    let mut content = Vec::with_capacity(5);
    // A sign bit that is none.
    if octets.get(zeros).is_some_and(|&octet| octet >= 0x80) {
        content.push(0);
    }
    content.extend_from_slice(octets.get(zeros..).unwrap_or_default());
    put(out, tag, &content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_form_are_read_and_no_other() {
        assert_eq!(head(&[]), Ok(None));
        assert_eq!(head(&[0x30]), Ok(None));
        assert_eq!(head(&[0x30, 0x82, 1]), Ok(None));
        assert_eq!(head(&[0x30, 5]), Ok(Some((0x30, 2, 5))));
        assert_eq!(head(&[0x30, 0x82, 1, 0]), Ok(Some((0x30, 4, 256))));
        // BER: not the shortest form, as some servers write it.
        assert_eq!(head(&[4, 0x84, 0, 0, 0, 7]), Ok(Some((4, 6, 7))));
        let giant = Ok(Some((0x30, 6, 0xffff_ffff)));
        assert_eq!(head(&[0x30, 0x84, 255, 255, 255, 255]), giant);
        for bad in [&[0x30, 0x80][..], &[0x30, 0x85, 0, 0, 0, 0, 1], &[0x3f, 1]] {
            assert!(head(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let mut out = Vec::new();
            put(&mut out, tag::OCTETS, &content);
            let mut elements = Elements::new(&out);
            assert_eq!(elements.any(), Ok((tag::OCTETS, &content[..])));
            assert!(elements.is_empty());
            let cut = &out[..out.len() - 1];
            assert!(Elements::new(cut).any().is_err());
        }
        for value in [0, 1, 127, 128, 255, 256, 32_768, 0x7fff_ffff] {
            let mut out = Vec::new();
            put_number(&mut out, tag::INTEGER, value);
            let content = Elements::new(&out).expect(tag::INTEGER, "").unwrap();
            assert_eq!(number(content), Ok(value));
        }
        for bad in [&[][..], &[0x80], &[0, 0, 0, 0, 1], &[255]] {
            assert!(number(bad).is_err(), "{bad:?}");
        }
    }
}
