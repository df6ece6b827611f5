//! Octets to characters, and marked-up text to text as it is read.

pub(super) mod html;
pub(super) mod rtf;

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

use crate::mail::finding::Unreadable;

/// How much of a text is looked at to see whether its characters are wide.
const WIDE_SAMPLE: usize = 4096;

/// The characters of `octets` in `charset` (lower case), and whether the encoding is unknown or
/// broken. UTF-8 and ASCII are not copied. Eight-bit text that names no charset is ordinary mail.
/// UTF-16 shows itself and is read as that whatever `charset` says.
pub(super) fn decode<'a>(octets: &'a [u8], charset: Option<&str>) -> (Cow<'a, str>, bool) {
    if let Some(text) = marked(octets) {
        return text;
    }
    let charset = charset.unwrap_or_default();
    if charset.starts_with("utf-32") {
        return (Cow::Owned(utf32(octets, !charset.ends_with("le"))), false);
    }
    if let Some(big) = wide(octets) {
        return (
            Cow::Owned(utf16(octets, big)),
            !(charset.is_empty() || names_wide(charset)),
        );
    }
    let utf8 = std::str::from_utf8(octets);
    match (charset, utf8) {
        ("" | "utf-8" | "utf8" | "us-ascii" | "ascii", Ok(text)) => {
            return (Cow::Borrowed(text), false);
        }
        ("utf-8" | "utf8", Err(_)) => return (String::from_utf8_lossy(octets), true),
        ("" | "us-ascii" | "ascii", _) => return (western(octets), false),
        _ => {}
    }
    let Some(decoder) = charset_decoder(charset.as_bytes()) else {
        return (western(octets), true);
    };
    // A decoder that leaves all of ASCII but NUL alone, and a shift of UTF-7, leaves ASCII alone.
    let probe: Vec<u8> = (1..=127).chain(*b"+AMQ-").collect();
    let ascii = decoder(&probe);
    match utf8 {
        // A name that browsers refuse: its decoder reads nothing at all (WHATWG Encoding §4.2).
        _ if ascii.chars().all(|one| one == char::REPLACEMENT_CHARACTER) => (western(octets), true),
        Ok(text) if octets.is_ascii() && ascii.as_bytes() == probe => (Cow::Borrowed(text), false),
        _ => (Cow::Owned(decoder(octets)), false),
    }
}

/// What `octets` show to a program that does not go by the charset or a byte order mark: ASCII as
/// it stands, without NUL. `None` where that is what `decoded` shows too.
pub(super) fn otherwise<'a>(octets: &'a [u8], decoded: &str) -> Option<Cow<'a, str>> {
    let shown = |octet: &&u8| octet.is_ascii() && **octet != 0;
    if octets == decoded.as_bytes() && memchr::memchr(0, octets).is_none() {
        return None;
    }
    if octets
        .iter()
        .filter(shown)
        .eq(decoded.as_bytes().iter().filter(shown))
        && memchr::memchr(0, decoded.as_bytes()).is_none()
    {
        return None;
    }
    if memchr::memchr(0, octets).is_none() {
        return Some(western(octets));
    }
    let kept: Vec<u8> = octets.iter().copied().filter(|octet| *octet != 0).collect();
    Some(Cow::Owned(western(&kept).into_owned()))
}

/// Whether it is a message as mail programs save them: at its very start fields, among them one
/// that says how its content is encoded, or the line that begins a message in a mailbox file.
pub(super) fn is_saved_mail(octets: &[u8]) -> bool {
    const MAX_FIELDS: usize = 200;
    if octets.starts_with(b"From ") {
        return true;
    }
    for (at, line) in octets.split(|octet| *octet == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || at > MAX_FIELDS {
            return false;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            continue;
        }
        let Some(colon) = memchr::memchr(b':', line.get(..80).unwrap_or(line)) else {
            return false;
        };
        let name = line.get(..colon).unwrap_or_default();
        if name.is_empty()
            || !name
                .iter()
                .all(|one| one.is_ascii_alphanumeric() || *one == b'-')
        {
            return false;
        }
        let tells = [
            &b"content-type"[..],
            b"content-transfer-encoding",
            b"mime-version",
        ];
        if tells.iter().any(|tell| name.eq_ignore_ascii_case(tell)) {
            return true;
        }
    }
    false
}

/// Whether `charset` says that characters have two octets.
fn names_wide(charset: &str) -> bool {
    [
        "utf-16",
        "utf16",
        "csutf16",
        "ucs",
        "iso-10646-ucs-2",
        "iso_10646_ucs_2",
        "csunicode",
    ]
    .iter()
    .any(|begin| charset.starts_with(begin))
        || matches!(charset, "unicode" | "unicodefeff" | "unicodefffe")
}

/// Text that begins with a byte order mark.
fn marked(octets: &[u8]) -> Option<(Cow<'_, str>, bool)> {
    if let Some(rest) = octets.strip_prefix(b"\xEF\xBB\xBF") {
        let text = String::from_utf8_lossy(rest);
        let broken = matches!(text, Cow::Owned(_));
        return Some((text, broken));
    }
    let text = if let Some(rest) = octets.strip_prefix(b"\xFF\xFE\x00\x00") {
        utf32(rest, false)
    } else if let Some(rest) = octets.strip_prefix(b"\x00\x00\xFE\xFF") {
        utf32(rest, true)
    } else if let Some(rest) = octets.strip_prefix(b"\xFF\xFE") {
        utf16(rest, false)
    } else {
        utf16(octets.strip_prefix(b"\xFE\xFF")?, true)
    };
    Some((Cow::Owned(text), false))
}

/// Whether someone could read it: no NUL, hardly any control characters.
pub(super) fn looks_like_text(octets: &[u8]) -> bool {
    if memchr::memchr(0, octets).is_some() {
        return false;
    }
    let sample = octets.get(..64 * 1024).unwrap_or(octets);
    // HL7 and X12 frame and separate with VT, FS, GS, RS and US.
    let odd = sample
        .iter()
        .filter(|octet| matches!(octet, 0x01..=0x08 | 0x0E..=0x1A | 0x7F))
        .count();
    let wide = sample.iter().filter(|octet| **octet >= 0x80).count();
    if odd * 100 > sample.len() {
        return false;
    }
    // Mostly 8-bit octets are text only if they spell characters.
    wide * 3 < sample.len() || spells_utf8(sample) || odd == 0
}

/// Whether it is UTF-8, a character that is cut off at its end aside.
fn spells_utf8(sample: &[u8]) -> bool {
    match std::str::from_utf8(sample) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

/// Whether it is UTF-16: every other octet of it is a zero, or it has a byte order mark.
pub(super) fn is_wide(octets: &[u8]) -> bool {
    octets.starts_with(b"\xFF\xFE") || octets.starts_with(b"\xFE\xFF") || wide(octets).is_some()
}

/// Whether every other octet is a zero, and if so whether the high ones come first.
fn wide(octets: &[u8]) -> Option<bool> {
    let sample = octets.get(..WIDE_SAMPLE).unwrap_or(octets);
    let (mut even, mut odd, mut pairs) = (0_usize, 0_usize, 0_usize);
    for pair in sample.chunks_exact(2) {
        if let [first, second] = pair {
            pairs += 1;
            even += usize::from(*first == 0 && (*second >= 0x20 || matches!(second, 9 | 10 | 13)));
            odd += usize::from(*second == 0 && (*first >= 0x20 || matches!(first, 9 | 10 | 13)));
        }
    }
    if pairs < 4 {
        None
    } else if even * 10 > pairs * 9 {
        Some(true)
    } else {
        (odd * 10 > pairs * 9).then_some(false)
    }
}

fn utf16(octets: &[u8], big: bool) -> String {
    let units = octets.chunks_exact(2).map(|pair| match pair {
        [high, low] if big => u16::from_be_bytes([*high, *low]),
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn utf32(octets: &[u8], big: bool) -> String {
    octets
        .chunks_exact(4)
        .map(|four| {
            let four: [u8; 4] = four.try_into().unwrap_or_default();
            let value = if big {
                u32::from_be_bytes(four)
            } else {
                u32::from_le_bytes(four)
            };
            char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)
        })
        .collect()
}

fn western(octets: &[u8]) -> Cow<'_, str> {
    match charset_decoder(b"windows-1252") {
        Some(decoder) => Cow::Owned(decoder(octets)),
        None => String::from_utf8_lossy(octets),
    }
}

/// Joins folded lines (RFC 5545 §3.1, RFC 6350 §3.2).
pub(super) fn unfold(text: &str) -> String {
    text.replace("\r\n ", "")
        .replace("\r\n\t", "")
        .replace("\n ", "")
        .replace("\n\t", "")
}

/// What stands encrypted or encoded within a text (RFC 9580 §6.2; uuencode).
pub(super) fn armoured(text: &str) -> Option<Unreadable> {
    let octets = text.as_bytes();
    if memchr::memmem::find(octets, b"-----BEGIN PGP MESSAGE").is_some() {
        return Some(Unreadable::Encrypted);
    }
    let mut from = 0;
    while let Some(found) = octets
        .get(from..)
        .and_then(|rest| memchr::memmem::find(rest, b"begin "))
    {
        let at = from + found;
        let line_start = at == 0 || octets.get(at - 1) == Some(&b'\n');
        let mode = octets.get(at + 6..at + 10).unwrap_or_default();
        let is_mode =
            matches!(mode, [a, b, c, b' '] if [a, b, c].iter().all(|d| (b'0'..=b'7').contains(d)));
        if line_start && is_mode {
            return Some(Unreadable::UnknownKind);
        }
        from = at + 6;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_charsets() {
        let cases: [(&[u8], Option<&str>, &str, bool); 14] = [
            (b"plain", None, "plain", false),
            (b"plain", Some("us-ascii"), "plain", false),
            (b"plain", Some("iso-8859-1"), "plain", false),
            (b"plain", Some("x-nobody-knows"), "plain", true),
            ("Grüße".as_bytes(), None, "Grüße", false),
            ("Grüße".as_bytes(), Some("utf-8"), "Grüße", false),
            (b"Gr\xFC\xDFe", None, "Grüße", false),
            (b"Gr\xFC\xDFe", Some("iso-8859-1"), "Grüße", false),
            (b"Gr\xFC\xDFe", Some("utf-8"), "Gr\u{FFFD}\u{FFFD}e", true),
            (b"Gr\xFC", Some("x-nobody-knows"), "Grü", true),
            (b"\xFF\xFE1\x002\x00", None, "12", false),
            (b"\xFE\xFF\x001\x002", Some("utf-8"), "12", false),
            (b"\xFF\xFE\x00\x001\x00\x00\x00", None, "1", false),
            (b"1\x002\x003\x004\x005\x00", None, "12345", false),
        ];
        for (octets, charset, text, broken) in cases {
            assert_eq!(
                decode(octets, charset),
                (Cow::Borrowed(text), broken),
                "{octets:?}"
            );
        }
        assert_eq!(decode(b"+AMQ-", Some("utf-7")).0, "Ä");
        assert_eq!(decode(b"+AMQ-", Some("csutf7")).0, "Ä");
        assert_eq!(decode(b"\x1B$B$\"\x1B(B", Some("iso-2022-jp")).0, "あ");
    }

    #[test]
    fn wide_text_is_read_whatever_is_said() {
        let little: Vec<u8> = "\u{2013} 123-45-6789"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let big: Vec<u8> = "\u{2013} 123-45-6789"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        for (charset, broken) in [
            ("", false),
            ("utf-16", false),
            ("unicode", false),
            ("ucs-2", false),
            ("iso-10646-ucs-2", false),
            ("csutf16", false),
            ("utf-8", true),
            ("us-ascii", true),
            ("windows-1252", true),
            ("utf-7", true),
            ("x-nobody-knows", true),
        ] {
            for octets in [&little, &big] {
                let (text, bad) = decode(octets, Some(charset));
                assert_eq!((&*text, bad), ("\u{2013} 123-45-6789", broken), "{charset}");
            }
        }
    }

    #[test]
    fn a_charset_that_cannot_be_read_hides_nothing() {
        for charset in [
            "hz-gb-2312",
            "iso-2022-kr",
            "iso-2022-cn",
            "csiso2022kr",
            "replacement",
        ] {
            let (text, broken) = decode(b"SSN 123-45-6789", Some(charset));
            assert_eq!((&*text, broken), ("SSN 123-45-6789", true), "{charset}");
        }
    }

    #[test]
    fn ascii_and_utf8_are_not_copied() {
        for charset in [
            None,
            Some("utf-8"),
            Some("us-ascii"),
            Some("iso-8859-15"),
            Some("windows-1252"),
            Some("shift_jis"),
            Some("gb18030"),
        ] {
            assert!(
                matches!(decode(b"plain", charset).0, Cow::Borrowed(_)),
                "{charset:?}"
            );
        }
    }

    #[test]
    fn sees_what_is_armoured() {
        for (text, why) in [
            ("-----BEGIN PGP MESSAGE-----\n", Some(Unreadable::Encrypted)),
            ("x\nbegin 644 a.doc\nM", Some(Unreadable::UnknownKind)),
            ("we begin 644 more", None),
            ("to begin with", None),
        ] {
            assert_eq!(armoured(text), why, "{text}");
        }
    }
}
