//! DER as answers about revocation are written in (X.690 §10): elements of one-octet tags, in the
//! shortest form, over borrowed octets.
//!
//! Nothing here recurses or allocates: a list of 16 MiB is walked where it lies.

use time::{Date, Month, PrimitiveDateTime, Time};

use crate::mail::Timestamp;

/// Tags, with class and form.
pub(super) mod tag {
    pub(in super::super) const BOOLEAN: u8 = 0x01;
    pub(in super::super) const INTEGER: u8 = 0x02;
    pub(in super::super) const BITS: u8 = 0x03;
    pub(in super::super) const OCTETS: u8 = 0x04;
    pub(in super::super) const NULL: u8 = 0x05;
    pub(in super::super) const OID: u8 = 0x06;
    pub(in super::super) const ENUMERATED: u8 = 0x0a;
    pub(in super::super) const UTC_TIME: u8 = 0x17;
    pub(in super::super) const GENERALIZED_TIME: u8 = 0x18;
    pub(in super::super) const SEQUENCE: u8 = 0x30;

    /// `[number]` of a primitive.
    pub(in super::super) const fn implicit(number: u8) -> u8 {
        0x80 | number
    }

    /// `[number]` around another element, or of a constructed one.
    pub(in super::super) const fn explicit(number: u8) -> u8 {
        0xa0 | number
    }
}

/// Octets that are not what they should be; what is wrong, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// An element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With its tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// Its elements, if it has this tag.
    pub(super) fn open(self, tag: u8, or: &'static str) -> Result<Der<'a>, Malformed> {
        match self.tag == tag {
            true => Ok(Der(self.content)),
            false => Err(Malformed(or)),
        }
    }
}

/// Elements, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next, whatever it is.
    pub(super) fn any(&mut self) -> Result<Element<'a>, Malformed> {
        const SHORT: Malformed = Malformed("an element is cut short");
        let (&tag, rest) = self.0.split_first().ok_or(SHORT)?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed("a tag has several octets"));
        }
        let (&first, rest) = rest.split_first().ok_or(SHORT)?;
        let (length, rest) = match usize::from(first) {
            length @ 0..=0x7f => (length, rest),
            first @ 0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(first - 0x80).ok_or(SHORT)?;
                let length = octets
                    .iter()
                    .fold(0_u64, |sum, &octet| sum << 8 | u64::from(octet));
                if octets.first() == Some(&0) || length < 0x80 {
                    return Err(Malformed("a length is not in its shortest form"));
                }
                (usize::try_from(length).map_err(|_| SHORT)?, rest)
            }
            _ => return Err(Malformed("a length is indefinite or too large")),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
        let whole = self.0.len() - rest.len();
        let whole = self.0.get(..whole).ok_or(SHORT)?;
        self.0 = rest;
        Ok(Element {
            tag,
            content,
            whole,
        })
    }

    /// The next, which has to have this tag.
    pub(super) fn expect(&mut self, tag: u8, or: &'static str) -> Result<Element<'a>, Malformed> {
        match self.any()? {
            element if element.tag == tag => Ok(element),
            _ => Err(Malformed(or)),
        }
    }

    /// The next, if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Malformed> {
        match self.0.first() == Some(&tag) {
            true => self.any().map(Some),
            false => Ok(None),
        }
    }

    /// The elements of the next, which has to have this tag.
    pub(super) fn enter(&mut self, tag: u8, or: &'static str) -> Result<Der<'a>, Malformed> {
        Ok(Der(self.expect(tag, or)?.content))
    }

    /// The one element that there is.
    pub(super) fn only(mut self, or: &'static str) -> Result<Element<'a>, Malformed> {
        let element = self.any()?;
        self.end(or)?;
        Ok(element)
    }

    /// That there is no other.
    pub(super) fn end(&self, or: &'static str) -> Result<(), Malformed> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(Malformed(or)),
        }
    }
}

/// The octets of a BIT STRING without unused bits.
pub(super) fn bits<'a>(element: &Element<'a>) -> Result<&'a [u8], Malformed> {
    match (element.tag, element.content.split_first()) {
        (tag::BITS, Some((0, octets))) => Ok(octets),
        _ => Err(Malformed("a bit string is not one of whole octets")),
    }
}

/// A BOOLEAN.
pub(super) fn boolean(content: &[u8]) -> Result<bool, Malformed> {
    match content {
        [0] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(Malformed("a truth value is neither")),
    }
}

/// UTCTime or GeneralizedTime in the forms of RFC 5280 §4.1.2.5: to the second, in UTC.
pub(super) fn moment(element: &Element<'_>) -> Result<Timestamp, Malformed> {
    const WRONG: Malformed = Malformed("a time is not one");
    let text = match (element.tag, element.content.len()) {
        (tag::UTC_TIME, 13) | (tag::GENERALIZED_TIME, 15) => element.content,
        _ => return Err(WRONG),
    };
    let (b'Z', digits) = text.split_last().ok_or(WRONG)? else {
        return Err(WRONG);
    };
    let mut pairs = digits.chunks_exact(2).map(|pair| match pair {
        &[tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    });
    let mut pair = || pairs.next().flatten().ok_or(WRONG);
    let year = match element.tag {
        tag::UTC_TIME => match i32::from(pair()?) {
            year @ 50.. => 1900 + year,
            year => 2000 + year,
        },
        _ => i32::from(pair()?) * 100 + i32::from(pair()?),
    };
    let month = Month::try_from(pair()?).map_err(|_| WRONG)?;
    let date = Date::from_calendar_date(year, month, pair()?).map_err(|_| WRONG)?;
    let time = Time::from_hms(pair()?, pair()?, pair()?).map_err(|_| WRONG)?;
    let seconds = PrimitiveDateTime::new(date, time)
        .assume_utc()
        .unix_timestamp();
    // Before 1970 is as long ago as can be.
    Ok(Timestamp::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// An extension (RFC 5280 §4.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Extension<'a> {
    pub(super) oid: &'a [u8],
    pub(super) critical: bool,
    pub(super) value: &'a [u8],
}

/// Gives each of `Extensions` to `take`; one that stands there twice is an error.
pub(super) fn extensions<'a, E: From<Malformed>>(
    mut all: Der<'a>,
    mut take: impl FnMut(Extension<'a>) -> Result<(), E>,
) -> Result<(), E> {
    /// More of them has no certificate and no list.
    const MAX_EXTENSIONS: usize = 64;
    let mut seen: Vec<&[u8]> = Vec::new();
    while !all.is_empty() {
        let mut fields = all.enter(tag::SEQUENCE, "an extension is none")?;
        let oid = fields.expect(tag::OID, "an extension has no name")?.content;
        let critical = match fields.optional(tag::BOOLEAN)? {
            Some(critical) => boolean(critical.content)?,
            None => false,
        };
        let value = fields
            .expect(tag::OCTETS, "an extension has no value")?
            .content;
        fields.end("an extension has more than a value")?;
        if seen.contains(&oid) || seen.len() == MAX_EXTENSIONS {
            return Err(Malformed("an extension stands there twice, or too many do").into());
        }
        seen.push(oid);
        take(Extension {
            oid,
            critical,
            value,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(octets: &[u8]) -> Result<Element<'_>, Malformed> {
        Der::new(octets).only("more")
    }

    #[test]
    fn only_the_shortest_form_is_read() {
        assert_eq!(parse(&[4, 1, 7]).unwrap().content, [7]);
        let long = [&[4, 0x81, 0x80][..], &[1; 128]].concat();
        assert_eq!(parse(&long).unwrap().content.len(), 128);
        assert_eq!(parse(&long).unwrap().whole, long);
        for bad in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x81, 1, 7],
            &[4, 0x82, 0, 0x80],
            &[4, 0x80, 0, 0],
            &[4, 0x84, 255, 255, 255, 255],
            &[4, 0x85, 1, 1, 1, 1, 1],
            &[0x1f, 1, 1],
            &[4, 1, 7, 0],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_are_read_to_the_second() {
        let at = |text: &str| {
            let tag = if text.len() == 13 { 0x17 } else { 0x18 };
            let length = u8::try_from(text.len()).unwrap();
            let octets = [&[tag, length], text.as_bytes()].concat();
            moment(&parse(&octets).unwrap()).map(Timestamp::as_secs)
        };
        assert_eq!(at("261122000000Z"), Ok(1_795_305_600));
        assert_eq!(at("20261122000000Z"), Ok(1_795_305_600));
        assert_eq!(at("20240229235959Z"), Ok(1_709_251_199));
        assert_eq!(at("500101000000Z"), Ok(0));
        assert_eq!(at("491231235959Z"), Ok(2_524_607_999));
        for bad in [
            "261322000000Z",
            "260230000000Z",
            "261122240000Z",
            "261122000060Z",
            "2611220000+0Z",
            "26112200000Z0",
            "20261122000000+",
        ] {
            assert!(at(bad).is_err(), "{bad}");
        }
        let fraction = [&[0x18, 17][..], b"20261122000000.5Z"].concat();
        assert!(moment(&parse(&fraction).unwrap()).is_err());
    }
}
