//! Transfer encodings (RFC 2045 §6), decoded leniently: what can be read is read, and what is
//! broken is said.

use std::borrow::Cow;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// 7bit, 8bit, binary, or not said.
    Identity,
    Base64,
    QuotedPrintable,
    /// Some other name, such as `x-uuencode`.
    Unknown,
}

impl Transfer {
    pub(super) fn named(name: &str) -> Self {
        let name = name.trim();
        let is = |word: &str| name.eq_ignore_ascii_case(word);
        if is("base64") {
            Self::Base64
        } else if is("quoted-printable") {
            Self::QuotedPrintable
        } else if name.is_empty() || is("7bit") || is("8bit") || is("binary") {
            Self::Identity
        } else {
            Self::Unknown
        }
    }

    /// Whether the body says something else than its octets.
    pub(super) fn encodes(self) -> bool {
        self != Self::Identity
    }

    /// The decoded octets, and whether the encoding was broken.
    pub(super) fn decode(self, octets: &[u8]) -> (Cow<'_, [u8]>, bool) {
        match self {
            Self::Identity => (Cow::Borrowed(octets), false),
            Self::Unknown => (Cow::Borrowed(octets), true),
            Self::Base64 => {
                let (decoded, broken) = base64(octets);
                (Cow::Owned(decoded), broken)
            }
            Self::QuotedPrintable => {
                let (decoded, broken) = quoted_printable(octets);
                (Cow::Owned(decoded), broken)
            }
        }
    }
}

/// RFC 4648 §4. Octets outside the alphabet are passed over, padding ends a group, and more may
/// follow, as mail programs read it; white space alone is not broken.
fn base64(octets: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(octets.len() / 4 * 3 + 3);
    let (mut group, mut bits, mut broken, mut padded) = (0_u32, 0_u32, false, 0_u32);
    for &octet in octets {
        let value = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padded += 1;
                broken |= padded > 2 || (padded == 1 && !matches!(bits, 2 | 4));
                (group, bits) = (0, 0);
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            _ => {
                broken = true;
                continue;
            }
        };
        if padded > 0 {
            // Something behind the padding: read on, but not every program does.
            broken = true;
            padded = 0;
        }
        group = group << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            let octet = (group >> bits) & 0xFF;
            out.push(u8::try_from(octet).unwrap_or_default());
            group &= (1 << bits) - 1;
        }
    }
    // Without padding the last group may be cut short, but never to six bits.
    broken |= bits == 6 || (bits > 0 && padded == 0);
    (out, broken)
}

/// RFC 2045 §6.7. An equals sign that starts nothing stands for itself.
fn quoted_printable(octets: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(octets.len());
    let mut broken = false;
    let mut rest = octets;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (plain, behind) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = behind.get(1..).unwrap_or_default();
        let line = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        let after = rest.get(line..).unwrap_or_default();
        if let Some(next) = after.strip_prefix(b"\r\n").or(after.strip_prefix(b"\n")) {
            rest = next; // a soft line break
        } else if let [high, low, next @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = next;
        } else if after.is_empty() {
            // A soft line break at the very end, where the delimiter took its line end.
            rest = after;
        } else {
            broken = true;
            out.push(b'=');
        }
    }
    out.extend_from_slice(rest);
    (out, broken)
}

fn hex(octet: u8) -> Option<u8> {
    char::from(octet)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_base64_as_mail_programs_do() {
        let cases: [(&[u8], &[u8], bool); 9] = [
            (b"MTIz", b"123", false),
            (b"MT\r\nIz\r\n", b"123", false),
            (b"MTI=", b"12", false),
            (b"MQ==", b"1", false),
            (b"MQ==MTIz", b"1123", true),
            (b"MT!Iz", b"123", true),
            (b"MTIzM", b"123", true),
            (b"MTI", b"12", true),
            (b"", b"", false),
        ];
        for (encoded, decoded, broken) in cases {
            assert_eq!(base64(encoded), (decoded.to_vec(), broken), "{encoded:?}");
        }
    }

    #[test]
    fn reads_quoted_printable_as_mail_programs_do() {
        let cases: [(&[u8], &[u8], bool); 7] = [
            (b"123-45=\r\n-6789", b"123-45-6789", false),
            (b"123=  \r\n4", b"1234", false),
            (b"=3D=e4", b"=\xE4", false),
            (b"1=", b"1", false),
            (b"1=G0", b"1=G0", true),
            (b"1=3", b"1=3", true),
            (b"plain", b"plain", false),
        ];
        for (encoded, decoded, broken) in cases {
            let (out, bad) = quoted_printable(encoded);
            assert_eq!((out, bad), (decoded.to_vec(), broken), "{encoded:?}");
        }
    }

    #[test]
    fn knows_the_names() {
        for (name, transfer) in [
            ("BASE64", Transfer::Base64),
            (" quoted-printable", Transfer::QuotedPrintable),
            ("8Bit", Transfer::Identity),
            ("x-uuencode", Transfer::Unknown),
        ] {
            assert_eq!(Transfer::named(name), transfer, "{name}");
        }
    }
}
