//! CMS (RFC 5652), as far as telling apart what is encrypted, what holds its content in clear and
//! what is a signature over something else. BER, since programs write indefinite lengths.

use super::kind::{Declared, Kind};
use crate::mail::finding::Unreadable;

/// Longest detached signature; what is longer holds something else.
const MAX_SIGNATURE_OCTETS: usize = 64 * 1024;
/// Deepest nesting of values without a length.
const MAX_NESTING: u32 = 16;

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xA0;

/// CMS content (RFC 5652 §3) by its object identifier.
pub(super) fn pkcs7(declared: &Declared, octets: &[u8]) -> Option<Kind> {
    const PKCS7: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07";
    const AUTH_ENVELOPED: &[u8] = b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x09\x10\x01\x17";
    let encrypted = Kind::Unreadable(Unreadable::Encrypted);
    let head = octets.get(..64).unwrap_or(octets);
    if head.first() == Some(&0x30) {
        let oid = memchr::memmem::find(head, PKCS7)
            .and_then(|at| head.get(at + PKCS7.len()))
            .copied();
        match oid {
            Some(3 | 6) => return Some(encrypted),
            Some(2)
                if declared.is_signature()
                    && octets.len() <= MAX_SIGNATURE_OCTETS
                    && is_detached(octets) == Some(true) =>
            {
                return Some(Kind::Nothing);
            }
            Some(2) => return Some(Kind::NotText), // signed: its content is in clear in there
            _ => {}
        }
        if memchr::memmem::find(head, AUTH_ENVELOPED).is_some() {
            return Some(encrypted);
        }
    }
    if declared.names_pkcs7() && declared.says_enveloped() {
        return Some(encrypted);
    }
    None
}

/// Whether signed data (RFC 5652 §5.1) is without the content that it signs; `None` where it is
/// not signed data.
fn is_detached(octets: &[u8]) -> Option<bool> {
    let mut at = Ber(octets);
    at.enter(SEQUENCE)?;
    at.skip(OBJECT_IDENTIFIER)?;
    at.enter(CONTEXT_0)?;
    at.enter(SEQUENCE)?;
    at.skip(INTEGER)?;
    at.skip(SET)?;
    at.enter(SEQUENCE)?;
    at.skip(OBJECT_IDENTIFIER)?;
    // The end of a sequence with a length, or of one without.
    Some(at.0.is_empty() || at.0.starts_with(&[0, 0]))
}

/// What is left of a value.
struct Ber<'a>(&'a [u8]);

impl<'a> Ber<'a> {
    /// The tag, and the length where there is one (X.690 §8.1).
    fn head(&mut self) -> Option<(u8, Option<usize>)> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let length = match first {
            0x80 => None,
            0..=0x7F => Some(usize::from(*first)),
            _ => {
                let count = usize::from(first & 0x7F);
                let digits = rest.get(..count).filter(|_| count <= 4)?;
                rest = rest.get(count..)?;
                Some(
                    digits
                        .iter()
                        .fold(0, |sum, digit| sum << 8 | usize::from(*digit)),
                )
            }
        };
        self.0 = rest;
        Some((*tag, length))
    }

    /// Goes into a value.
    fn enter(&mut self, expected: u8) -> Option<()> {
        let (tag, length) = self.head()?;
        if tag != expected {
            return None;
        }
        if let Some(length) = length {
            self.0 = self.0.get(..length)?;
        }
        Some(())
    }

    /// Goes behind a value.
    fn skip(&mut self, expected: u8) -> Option<()> {
        (self.0.first() == Some(&expected)).then_some(())?;
        self.skip_any(MAX_NESTING)
    }

    fn skip_any(&mut self, nesting: u32) -> Option<()> {
        let nesting = nesting.checked_sub(1)?;
        let (_, length) = self.head()?;
        if let Some(length) = length {
            self.0 = self.0.get(length..)?;
            return Some(());
        }
        while !self.0.starts_with(&[0, 0]) {
            self.skip_any(nesting)?;
        }
        self.0 = self.0.get(2..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02";
    const DATA: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01";

    fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let inner = parts.concat();
        [&[tag, u8::try_from(inner.len()).unwrap()][..], &inner].concat()
    }

    fn open(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        [&[tag, 0x80][..], &parts.concat(), &[0, 0]].concat()
    }

    fn signed(make: fn(u8, &[&[u8]]) -> Vec<u8>, content: &[u8]) -> Vec<u8> {
        let digests = make(SET, &[&make(SEQUENCE, &[DATA, b"\x05\x00"])]);
        let content = make(SEQUENCE, &[DATA, content]);
        let data = make(
            SEQUENCE,
            &[b"\x02\x01\x01", &digests, &content, b"\x31\x00"],
        );
        make(SEQUENCE, &[SIGNED, &make(CONTEXT_0, &[&data])])
    }

    #[test]
    fn a_signature_that_holds_its_content_is_no_signature() {
        let mut declared = Declared::default();
        declared.set_type("application", "pkcs7-signature", None);
        for make in [value, open] {
            let detached = signed(make, b"");
            assert_eq!(pkcs7(&declared, &detached), Some(Kind::Nothing));
            let holds = signed(make, &make(CONTEXT_0, &[b"\x04\x0BSSN 123-456"]));
            assert_eq!(pkcs7(&declared, &holds), Some(Kind::NotText));
            for end in 0..detached.len() {
                let cut = detached.get(..end).unwrap();
                let _answer = is_detached(cut); // never a panic
            }
        }
        let broken = [&b"\x30\x80"[..], SIGNED, b"\xA0\x80"].concat();
        assert_eq!(pkcs7(&declared, &broken), Some(Kind::NotText));
    }
}
