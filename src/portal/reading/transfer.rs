//! From the octets of a part to what they stand for: transfer encodings and character sets.
//!
//! Forgiving where that cannot mislead: what is no base64 digit is passed over, a lone `=` stays.
//! The output is never longer than the input, but for character sets: three times.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

/// A Content-Transfer-Encoding (RFC 2045 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Transfer {
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

impl Transfer {
    /// The encoding of that name; one that nobody knows leaves the octets as they are.
    pub(super) fn named(name: &str) -> Self {
        let name = name.trim();
        if name.eq_ignore_ascii_case("base64") {
            Self::Base64
        } else if name.eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }

    /// What `octets` stand for.
    pub(super) fn decode(self, octets: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Identity => Cow::Borrowed(octets),
            Self::Base64 => Cow::Owned(base64(octets)),
            Self::QuotedPrintable => Cow::Owned(quoted_printable(octets)),
        }
    }
}

fn base64(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() / 4 * 3);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for octet in octets {
        let digit = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                // Padding ends a group; there are writers that begin another one behind it.
                (held, bits) = (0, 0);
                continue;
            }
            _ => continue,
        };
        held = (held << 6 | u32::from(digit)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            let [.., low] = (held >> bits).to_be_bytes();
            out.push(low);
        }
    }
    out
}

fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = memchr::memchr2(b'=', b'\n', rest) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        match from {
            [b'\n', tail @ ..] => {
                // White space at the end of a line was added on the way (RFC 2045 §6.7 rule 3).
                let cr = out.ends_with(b"\r");
                if cr {
                    out.pop();
                }
                while matches!(out.last(), Some(b' ' | b'\t')) {
                    out.pop();
                }
                out.extend_from_slice(if cr { b"\r\n" } else { b"\n" });
                rest = tail;
            }
            [b'=', high, low, tail @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                let (high, low) = (hex(*high).unwrap_or(0), hex(*low).unwrap_or(0));
                out.push(high << 4 | low);
                rest = tail;
            }
            [b'=', tail @ ..] => {
                let blanks = tail.iter().take_while(|it| matches!(it, b' ' | b'\t'));
                let behind = tail.get(blanks.count()..).unwrap_or_default();
                let soft = behind
                    .strip_prefix(b"\r\n")
                    .or_else(|| behind.strip_prefix(b"\n"));
                match soft {
                    Some(behind) => rest = behind,
                    None => {
                        out.push(b'=');
                        rest = tail;
                    }
                }
            }
            _ => break,
        }
    }
    if memchr::memchr2(b'=', b'\n', rest).is_none() {
        out.extend_from_slice(rest);
    }
    out
}

const fn hex(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    }
}

/// `octets` as text. Where nothing is declared, or nothing that is known: UTF-8, or else the
/// character set that undeclared mail most often has.
pub(super) fn decode_text(octets: &[u8], charset: Option<&str>) -> String {
    let declared = charset.map(str::trim).filter(|it| !it.is_empty());
    let utf8 = declared
        .is_none_or(|it| it.eq_ignore_ascii_case("utf-8") || it.eq_ignore_ascii_case("us-ascii"));
    let decoder = declared.and_then(|it| charset_decoder(it.as_bytes()));
    match (utf8, decoder) {
        (false, Some(decoder)) => decoder(octets),
        _ => match std::str::from_utf8(octets) {
            Ok(text) => text.to_owned(),
            Err(_) if declared.is_some_and(|it| it.eq_ignore_ascii_case("utf-8")) => {
                String::from_utf8_lossy(octets).into_owned()
            }
            Err(_) => match charset_decoder(b"windows-1252") {
                Some(decoder) => decoder(octets),
                None => String::from_utf8_lossy(octets).into_owned(),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_and_forgives() {
        let base64 = |text: &str| Transfer::Base64.decode(text.as_bytes()).into_owned();
        assert_eq!(base64("aGVs\r\nbG8="), b"hello");
        assert_eq!(base64("aGVs!bG8=aGVsbG8="), b"hellohello");
        assert_eq!(base64("aGVsbG8"), b"hello");
        assert_eq!(base64("===="), b"");
        let quoted = |text: &str| {
            Transfer::QuotedPrintable
                .decode(text.as_bytes())
                .into_owned()
        };
        assert_eq!(quoted("a=3Db=\r\nc =\nd  \r\ne=e4"), b"a=bc d\r\ne\xe4");
        assert_eq!(quoted("a=zz=3"), b"a=zz=3");
        assert_eq!(quoted("="), b"=");
        assert_eq!(Transfer::named(" BASE64 "), Transfer::Base64);
        assert_eq!(Transfer::named("x-uue").decode(b"abc").as_ref(), b"abc");
    }

    #[test]
    fn reads_character_sets() {
        for (octets, charset, text) in [
            (&b"caf\xe9"[..], Some("iso-8859-1"), "caf\u{e9}"),
            (b"caf\xc3\xa9", None, "caf\u{e9}"),
            (b"caf\xe9", None, "caf\u{e9}"),
            (b"caf\xe9", Some("nothing"), "caf\u{e9}"),
            (b"caf\xe9", Some("utf-8"), "caf\u{fffd}"),
            (b"+ADw-script+AD4-", None, "+ADw-script+AD4-"),
            (b"a\xc3\xa9", Some("us-ascii"), "a\u{e9}"),
        ] {
            assert_eq!(decode_text(octets, charset), text);
        }
    }

    proptest! {
        #[test]
        fn never_grows(octets in proptest::collection::vec(
            prop_oneof![Just(b'='), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'3'), any::<u8>()], 0..200))
        {
            for transfer in [Transfer::Base64, Transfer::QuotedPrintable, Transfer::Identity] {
                prop_assert!(transfer.decode(&octets).len() <= octets.len());
            }
        }
    }
}
