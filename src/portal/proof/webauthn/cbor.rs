//! As much of CBOR (RFC 8949) as authenticators write: the canonical form of CTAP2, which has
//! definite lengths only.
//!
//! Reads in place and makes nothing. Bounds: [`MAX_DEPTH`] of nesting, [`MAX_ITEMS`] values
//! in all that are skipped, and every length against what is there.

/// How deep values lie within one another.
const MAX_DEPTH: usize = 8;
/// Values that one reader skips.
const MAX_ITEMS: usize = 1024;

/// Reads from the front.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    skipped: usize,
}

#[derive(Clone, Copy)]
struct Head {
    major: u8,
    value: u64,
}

impl<'a> Reader<'a> {
    /// Of these octets.
    pub fn new(octets: &'a [u8]) -> Self {
        Self {
            rest: octets,
            skipped: 0,
        }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// §3: the major type and the number behind it.
    fn head(&mut self) -> Option<Head> {
        let &[first] = self.take(1)?.first_chunk()?;
        let width = match first & 31 {
            small @ 0..=23 => {
                return Some(Head {
                    major: first >> 5,
                    value: u64::from(small),
                });
            }
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            // Reserved, or of indefinite length.
            _ => return None,
        };
        let octets = self.take(width)?;
        let value = octets
            .iter()
            .fold(0, |value, octet| value << 8 | u64::from(*octet));
        Some(Head {
            major: first >> 5,
            value,
        })
    }

    fn of(&mut self, major: u8) -> Option<u64> {
        let head = self.head()?;
        (head.major == major).then_some(head.value)
    }

    /// How many pairs a map has; they follow.
    pub fn map(&mut self) -> Option<usize> {
        let pairs = usize::try_from(self.of(5)?).ok()?;
        // Each takes two octets at least.
        (pairs <= self.rest.len() / 2).then_some(pairs)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.of(3)?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// Octets.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.of(2)?).ok()?;
        self.take(length)
    }

    /// A whole number.
    pub fn integer(&mut self) -> Option<i64> {
        let head = self.head()?;
        let value = i64::try_from(head.value).ok()?;
        match head.major {
            0 => Some(value),
            1 => Some(-1 - value),
            _ => None,
        }
    }

    /// Passes over a value, whatever it is.
    pub fn skip(&mut self) -> Option<()> {
        self.skip_at(0)
    }

    fn skip_at(&mut self, depth: usize) -> Option<()> {
        self.skipped += 1;
        if depth > MAX_DEPTH || self.skipped > MAX_ITEMS {
            return None;
        }
        let head = self.head()?;
        let inner = match head.major {
            0 | 1 | 7 => return Some(()),
            2 | 3 => {
                self.take(usize::try_from(head.value).ok()?)?;
                return Some(());
            }
            4 => head.value,
            5 => head.value.checked_mul(2)?,
            // A tag has one value.
            _ => 1,
        };
        for _ in 0..inner {
            self.skip_at(depth + 1)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_rfc_shows() {
        // RFC 8949, appendix A.
        for (octets, number) in [
            (&[0x00][..], 0),
            (&[0x17], 23),
            (&[0x18, 0x18], 24),
            (&[0x19, 0x03, 0xe8], 1000),
            (&[0x1a, 0x00, 0x0f, 0x42, 0x40], 1_000_000),
            (&[0x20], -1),
            (&[0x38, 0x63], -100),
            (&[0x39, 0x01, 0x00], -257),
        ] {
            let mut reader = Reader::new(octets);
            assert_eq!(reader.integer(), Some(number));
            assert!(reader.rest().is_empty());
        }
        assert_eq!(Reader::new(b"\x64IETF").text(), Some("IETF"));
        assert_eq!(
            Reader::new(b"\x44\x01\x02\x03\x04").bytes(),
            Some(&[1, 2, 3, 4][..])
        );
        assert_eq!(
            Reader::new(&[0x1b, 255, 255, 255, 255, 255, 255, 255, 255]).integer(),
            None
        );
    }

    #[test]
    fn skips_one_value_and_no_more() {
        for octets in [
            &b"\x83\x01\x02\x03!"[..],
            b"\xa2\x61a\x01\x61b\x82\x02\x03!",
            b"\xc1\x1a\x51\x4b\x67\xb0!",
            b"\xf9\x3c\x00!",
            b"\xf5!",
        ] {
            let mut reader = Reader::new(octets);
            assert_eq!(reader.skip(), Some(()));
            assert_eq!(reader.rest(), b"!");
        }
    }

    #[test]
    fn is_not_led_astray() {
        let nested = [0x81; 100];
        let wide = [&[0x99, 0xff, 0xff][..], &[0; 0xffff]].concat();
        for octets in [
            &b""[..],
            b"\x9f\x01\xff",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\x82\x01",
            b"\x1c",
            &nested,
            &wide,
        ] {
            assert_eq!(Reader::new(octets).skip(), None);
        }
        assert_eq!(Reader::new(b"\xba\xff\xff\xff\xff\x01\x01").map(), None);
        assert_eq!(Reader::new(b"\x62\xff\xff").text(), None);
    }
}
