//! DER (X.690 §10), as much of it as CMS and certificates need: written by joining, read strictly.
//!
//! The reader takes slices apart and copies nothing. Lengths are definite and in their shortest
//! form, tag numbers below 31, and whoever reads a structure to its end says so with
//! [`Reader::finish`]: a trailing octet is an error, not a remark. Nesting is bounded by the code
//! that reads, for nothing here recurses.

/// The tags that occur.
pub mod tag {
    /// BOOLEAN
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER
    pub const OID: u8 = 0x06;
    /// `UTCTime`
    pub const UTC_TIME: u8 = 0x17;
    /// `GeneralizedTime`
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// SEQUENCE, SEQUENCE OF
    pub const SEQUENCE: u8 = 0x30;
    /// SET, SET OF
    pub const SET: u8 = 0x31;

    /// `[number]`, primitive. Numbers end at 30.
    pub const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[number]`, constructed. Numbers end at 30.
    pub const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// Octets are not the DER that should stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the DER of what it should be")]
pub struct DerError;

/// Appends tag and length of an element whose content of `octets` follows.
pub fn header(out: &mut Vec<u8>, tag: u8, octets: u64) {
    out.push(tag);
    let length = octets.to_be_bytes();
    match octets {
        0..=0x7f => out.extend_from_slice(&length[7..]),
        _ => {
            let length = length.iter().copied().skip_while(|&octet| octet == 0);
            let at = out.len();
            out.push(0x80);
            out.extend(length);
            let count = out.len() - at - 1;
            if let (Some(first), Ok(count)) = (out.get_mut(at), u8::try_from(count)) {
                *first |= count;
            }
        }
    }
}

/// Octets that [`header`] writes for content of so many.
pub const fn header_octets(octets: u64) -> u64 {
    match octets {
        0..=0x7f => 2,
        _ => 2 + (64 - octets.leading_zeros() as u64).div_ceil(8),
    }
}

/// One element of these parts, joined.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let octets: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(octets.saturating_add(10));
    header(&mut out, tag, octets as u64);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// SEQUENCE of these elements.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// SET OF these elements, in the order that DER demands (X.690 §11.6).
pub fn set_of(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    let parts: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
    element(tag::SET, &parts)
}

/// OBJECT IDENTIFIER.
pub fn oid(oid: &[u8]) -> Vec<u8> {
    element(tag::OID, &[oid])
}

/// OCTET STRING.
pub fn octet_string(octets: &[u8]) -> Vec<u8> {
    element(tag::OCTET_STRING, &[octets])
}

/// BIT STRING of whole octets.
pub fn bit_string(octets: &[u8]) -> Vec<u8> {
    element(tag::BIT_STRING, &[&[0], octets])
}

/// INTEGER of a small number that is not negative.
pub fn small(number: u8) -> Vec<u8> {
    match number {
        0..=0x7f => element(tag::INTEGER, &[&[number]]),
        _ => element(tag::INTEGER, &[&[0, number]]),
    }
}

/// `AlgorithmIdentifier`; `parameters` is an element, or nothing.
pub fn algorithm(name: &[u8], parameters: &[u8]) -> Vec<u8> {
    sequence(&[&oid(name), parameters])
}

/// What an `AlgorithmIdentifier` or a capability says: its name, and its parameters as they stand.
pub type Algorithm<'a> = (&'a [u8], &'a [u8]);

/// One element, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The content.
    pub value: &'a [u8],
    /// Identifier, length and content.
    pub whole: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over elements side by side.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// The elements in the one SEQUENCE that `octets` are, to the last octet.
    pub fn of_sequence(octets: &'a [u8]) -> Result<Self, DerError> {
        let mut whole = Self::new(octets);
        let inside = whole.nested(tag::SEQUENCE)?;
        whole.finish()?;
        Ok(inside)
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Tag and length alone: for content that is not all here. The rest is the content then.
    pub fn open(&mut self) -> Result<(u8, u64), DerError> {
        let (&tag, rest) = self.rest.split_first().ok_or(DerError)?;
        // A tag number of 31 says that it goes on; 0 with class universal is BER's end of contents.
        if tag & 0x1f == 0x1f || tag == 0 {
            return Err(DerError);
        }
        let (&first, rest) = rest.split_first().ok_or(DerError)?;
        let (octets, rest) = match first {
            0..=0x7f => (u64::from(first), rest),
            0x81..=0x88 => {
                let (length, rest) = rest
                    .split_at_checked(usize::from(first & 0x7f))
                    .ok_or(DerError)?;
                let octets = length
                    .iter()
                    .fold(0, |sum: u64, &octet| sum << 8 | u64::from(octet));
                if length.first() == Some(&0) || octets < 0x80 {
                    return Err(DerError);
                }
                (octets, rest)
            }
            _ => return Err(DerError),
        };
        self.rest = rest;
        Ok((tag, octets))
    }

    /// The next element.
    #[allow(
        clippy::should_implement_trait,
        reason = "no iterator: there may be no next element, or none that is DER"
    )]
    pub fn next(&mut self) -> Result<Element<'a>, DerError> {
        let mut inside = *self;
        let (tag, octets) = inside.open()?;
        let octets = usize::try_from(octets).map_err(|_| DerError)?;
        let (value, rest) = inside.rest.split_at_checked(octets).ok_or(DerError)?;
        let whole = self.rest.len() - rest.len();
        let whole = self.rest.get(..whole).ok_or(DerError)?;
        self.rest = rest;
        Ok(Element { tag, value, whole })
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<Element<'a>, DerError> {
        match self.optional(tag)? {
            Some(element) => Ok(element),
            None => Err(DerError),
        }
    }

    /// The next element, if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        match self.peek() {
            Some(next) if next == tag => self.next().map(Some),
            _ => Ok(None),
        }
    }

    /// The elements in the next one, which must have this tag.
    pub fn nested(&mut self, tag: u8) -> Result<Self, DerError> {
        self.expect(tag).map(|element| Self::new(element.value))
    }

    /// The next element as an object identifier: its content.
    pub fn oid(&mut self) -> Result<&'a [u8], DerError> {
        match self.expect(tag::OID)?.value {
            [] => Err(DerError),
            oid if oid.last().is_some_and(|last| last & 0x80 != 0) => Err(DerError),
            oid => Ok(oid),
        }
    }

    /// The next element as an INTEGER in its shortest form: its content.
    pub fn integer(&mut self) -> Result<&'a [u8], DerError> {
        match self.expect(tag::INTEGER)?.value {
            [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(DerError),
            value => Ok(value),
        }
    }

    /// The next element as an INTEGER of 0 to 127.
    pub fn small(&mut self) -> Result<u8, DerError> {
        match self.integer()? {
            &[number @ 0..=0x7f] => Ok(number),
            _ => Err(DerError),
        }
    }

    /// The next element as a BIT STRING of whole octets.
    pub fn bit_string(&mut self) -> Result<&'a [u8], DerError> {
        match self.expect(tag::BIT_STRING)?.value {
            [0, octets @ ..] => Ok(octets),
            _ => Err(DerError),
        }
    }

    /// The next element as an `AlgorithmIdentifier`: its name, and its parameters as they stand.
    pub fn algorithm(&mut self) -> Result<Algorithm<'a>, DerError> {
        let mut inside = self.nested(tag::SEQUENCE)?;
        let name = inside.oid()?;
        let parameters = inside.rest();
        if !inside.is_empty() {
            inside.next()?;
            inside.finish()?;
        }
        Ok((name, parameters))
    }

    /// Nothing may be left.
    pub const fn finish(self) -> Result<(), DerError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DerError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_shortest_and_read_back() {
        for octets in [
            0_u64,
            1,
            0x7f,
            0x80,
            0xff,
            0x100,
            0xffff,
            0x1_0000,
            0x0100_0000,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            header(&mut out, tag::OCTET_STRING, octets);
            assert_eq!(out.len() as u64, header_octets(octets), "{octets}");
            assert_eq!(Reader::new(&out).open(), Ok((tag::OCTET_STRING, octets)));
        }
        assert_eq!(octet_string(&[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(octet_string(&[7; 256])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn what_is_not_der_is_refused() {
        let bad: [&[u8]; 11] = [
            &[],
            &[4],
            &[4, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x81, 0x7f],
            &[4, 0x82, 0, 0x80],
            &[4, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[4, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[4, 0xff],
            &[0x1f, 0x81, 0],
            &[0, 0],
        ];
        for octets in bad {
            assert_eq!(Reader::new(octets).next(), Err(DerError), "{octets:02x?}");
        }
        for integer in [&[2_u8, 0][..], &[2, 2, 0, 0x7f], &[2, 2, 0xff, 0x80]] {
            assert_eq!(Reader::new(integer).integer(), Err(DerError));
        }
        assert_eq!(Reader::new(&[2, 2, 0, 0x80]).integer(), Ok(&[0, 0x80][..]));
        assert_eq!(Reader::new(&[6, 1, 0x80]).oid(), Err(DerError));
        assert_eq!(Reader::new(&[3, 2, 1, 0]).bit_string(), Err(DerError));
        assert!(Reader::of_sequence(&[0x30, 0, 0]).is_err());
        assert!(
            Reader::new(&[0x30, 7, 6, 1, 42, 5, 0, 5, 0])
                .algorithm()
                .is_err()
        );
    }

    #[test]
    fn elements_keep_what_they_were() {
        let der = sequence(&[&small(5), &small(200), &octet_string(b"abc")]);
        let mut inside = Reader::of_sequence(&der).unwrap();
        assert_eq!(inside.small(), Ok(5));
        assert_eq!(inside.peek(), Some(tag::INTEGER));
        assert_eq!(inside.integer(), Ok(&[0, 200][..]));
        assert_eq!(inside.optional(tag::NULL), Ok(None));
        let text = inside.next().unwrap();
        assert_eq!(
            (text.tag, text.value, text.whole),
            (4, &b"abc"[..], &b"\x04\x03abc"[..])
        );
        assert_eq!(inside.finish(), Ok(()));
    }

    #[test]
    fn sets_are_sorted() {
        let set = set_of(vec![small(9), octet_string(b""), small(1), sequence(&[])]);
        assert_eq!(set, [0x31, 10, 2, 1, 1, 2, 1, 9, 4, 0, 0x30, 0]);
    }
}
