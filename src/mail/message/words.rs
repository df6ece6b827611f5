//! Text in header fields: encoded words (RFC 2047), read leniently and written strictly.
//!
//! Owns what an unstructured field says to a person. Reads what mail programs show, strict or
//! not: words without blanks around them, characters split between words, blanks within a word.
//! Never panics; costs time in proportion to the field.

use base64::Engine as _;
use base64::alphabet::STANDARD as STANDARD_ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD as BASE64};
use mail_parser::decoders::charsets::map::charset_decoder;

use super::header::unfold;

/// Longest line of a header that we write, without its CRLF (RFC 5322 §2.1.1).
const MAX_WRITTEN_LINE: usize = 78;
/// Longest encoded word (RFC 2047 §2).
const MAX_WORD_OCTETS: usize = 75;
/// What stands around the text of a word that we write.
const AROUND_TEXT: usize = "=?UTF-8?Q??=".len();
/// Longest name of a character set that is looked at.
const MAX_CHARSET_OCTETS: usize = 60;

/// With or without padding, and whatever the last bits are.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD_ALPHABET,
    NO_PAD
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What the body of an unstructured field says: unfolded, its encoded words decoded, blanks at
/// its ends cut. Octets that are no text become U+FFFD.
pub fn decode(body: &[u8]) -> String {
    let unfolded = unfold(body);
    let mut rest = unfolded.trim_ascii();
    let mut decoder = Decoder::default();
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let (before, from) = rest.split_at(at);
        if let Some((word, behind)) = Word::read(from) {
            decoder.literal(before, true);
            decoder.word(word);
            rest = behind;
        } else {
            let (marker, behind) = rest.split_at(at + 2);
            decoder.literal(marker, false);
            rest = behind;
        }
    }
    decoder.literal(rest, false);
    decoder.finish()
}

struct Word<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
}

impl<'a> Word<'a> {
    /// The word at the beginning of `text`, and what stands behind it.
    fn read(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let text = text.strip_prefix(b"=?")?;
        let end = text
            .iter()
            .take(MAX_CHARSET_OCTETS)
            .position(|&b| b == b'?')?;
        let (charset, text) = text.split_at(end);
        // RFC 2231 §5: a language may follow the character set.
        let charset = charset.split(|&b| b == b'*').next().unwrap_or_default();
        if charset.is_empty() || charset.iter().any(u8::is_ascii_whitespace) {
            return None;
        }
        let [b'?', encoding, b'?', text @ ..] = text else {
            return None;
        };
        let end = memchr::memchr(b'?', text)?;
        let (encoded, behind) = text.split_at(end);
        let behind = behind.strip_prefix(b"?=")?;
        let octets = match encoding {
            b'q' | b'Q' => from_q(encoded),
            b'b' | b'B' => from_b(encoded)?,
            _ => return None,
        };
        Some((Self { charset, octets }, behind))
    }
}

fn from_b(encoded: &[u8]) -> Option<Vec<u8>> {
    let dense: Vec<u8> = encoded
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    LENIENT.decode(dense).ok()
}

/// A `=` without two hexadecimal digits stands for itself.
fn from_q(encoded: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, tail @ ..] = rest {
        rest = tail;
        octets.push(match (first, tail) {
            (b'_', _) => b' ',
            (b'=', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = behind;
                    high << 4 | low
                }
                _ => b'=',
            },
            (&byte, _) => byte,
        });
    }
    octets
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Puts literal text and words together.
#[derive(Default)]
struct Decoder {
    text: String,
    /// Words of one character set that follow one another: a character may be split between them.
    charset: Vec<u8>,
    octets: Vec<u8>,
    behind_word: bool,
}

impl Decoder {
    /// Blanks between two words are not text (RFC 2047 §6.2).
    fn literal(&mut self, text: &[u8], word_follows: bool) {
        let glue = word_follows && self.behind_word && text.iter().all(u8::is_ascii_whitespace);
        if glue || text.is_empty() {
            return;
        }
        self.settle();
        self.behind_word = false;
        self.text.push_str(&String::from_utf8_lossy(text));
    }

    fn word(&mut self, word: Word<'_>) {
        if !self.charset.eq_ignore_ascii_case(word.charset) {
            self.settle();
            self.charset = word.charset.to_vec();
        }
        self.octets.extend_from_slice(&word.octets);
        self.behind_word = true;
    }

    fn settle(&mut self) {
        let octets = std::mem::take(&mut self.octets);
        let charset = std::mem::take(&mut self.charset);
        if octets.is_empty() {
            return;
        }
        match charset_decoder(&charset) {
            Some(decode) if !charset.eq_ignore_ascii_case(b"utf-8") => {
                self.text.push_str(&decode(&octets));
            }
            _ => self.text.push_str(&String::from_utf8_lossy(&octets)),
        }
    }

    fn finish(mut self) -> String {
        self.settle();
        self.text
    }
}

/// A whole unstructured field that says `text`, with its CRLF and no line longer than 78 octets
/// as long as `name` is short: in plain words where they can carry it, else in encoded ones.
pub fn encode(name: &str, text: &str) -> String {
    if text.is_empty() {
        return format!("{name}:\r\n");
    }
    plain(name, text).unwrap_or_else(|| encoded(name, text))
}

/// Folded between words. `None` where that cannot be done, or would be read as something else.
fn plain(name: &str, text: &str) -> Option<String> {
    let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !printable || text.contains("=?") || text.trim() != text {
        return None;
    }
    let mut field = format!("{name}:");
    let mut width = field.len();
    let mut rest = text;
    let mut blanks = 1;
    while !rest.is_empty() {
        let word = rest.find(' ').unwrap_or(rest.len());
        if blanks + word > MAX_WRITTEN_LINE
            || width == name.len() + 1 && width + 1 + word > MAX_WRITTEN_LINE
        {
            return None;
        }
        if width + blanks + word > MAX_WRITTEN_LINE {
            field.push_str("\r\n");
            width = 0;
        }
        field.extend(std::iter::repeat_n(' ', blanks));
        let (this, behind) = rest.split_at(word);
        field.push_str(this);
        width += blanks + word;
        rest = behind.trim_start_matches(' ');
        blanks = behind.len() - rest.len();
    }
    field.push_str("\r\n");
    Some(field)
}

/// In words of UTF-8, one a line, none of which splits a character.
fn encoded(name: &str, text: &str) -> String {
    let q_octets: usize = text.chars().map(q_len).sum();
    let by_q = q_octets <= text.len() * 2;
    let width = |c: char| if by_q { q_len(c) } else { c.len_utf8() };
    let mut field = format!("{name}:");
    let mut line = field.len();
    let mut word = String::new();
    let mut used = 0;
    for c in text.chars() {
        let beside = (line + 1 + AROUND_TEXT).max(MAX_WRITTEN_LINE - MAX_WORD_OCTETS + AROUND_TEXT);
        let room = MAX_WRITTEN_LINE.saturating_sub(beside);
        let room = if by_q { room } else { room / 4 * 3 };
        if used + width(c) > room && !word.is_empty() {
            push_word(&mut field, &word, by_q);
            field.push_str("\r\n");
            line = 0;
            word.clear();
            used = 0;
        }
        used += width(c);
        word.push(c);
    }
    push_word(&mut field, &word, by_q);
    field.push_str("\r\n");
    field
}

fn push_word(field: &mut String, text: &str, by_q: bool) {
    if by_q {
        field.push_str(" =?UTF-8?Q?");
        for &byte in text.as_bytes() {
            match byte {
                b' ' => field.push('_'),
                _ if is_bare(byte) => field.push(char::from(byte)),
                _ => field.push_str(&format!("={byte:02X}")),
            }
        }
    } else {
        field.push_str(" =?UTF-8?B?");
        field.push_str(&BASE64.encode(text));
    }
    field.push_str("?=");
}

/// Octets of a character in a Q word.
fn q_len(c: char) -> usize {
    if c == ' ' || u8::try_from(c).is_ok_and(is_bare) {
        1
    } else {
        3 * c.len_utf8()
    }
}

/// What stands for itself in a Q word wherever it is put (RFC 2047 §5 rule 3).
const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'*' | b'+' | b'-' | b'/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_see() {
        for (body, text) in [
            (" plain", "plain"),
            (" two\r\n\twords ", "two\twords"),
            (" =?utf-8?q?caf=C3=A9?=", "caf\u{e9}"),
            (" =?iso-8859-1?Q?caf=E9?= au  lait", "caf\u{e9} au  lait"),
            (" =?UTF-8*de?B?w6Q=?=", "\u{e4}"),
            (" =?UTF-8?B?w6Q?=", "\u{e4}"),
            // Blanks between words are glue; a character may be split.
            (" =?utf-8?q?=C3?=\r\n =?utf-8?q?=A4?=x", "\u{e4}x"),
            (" =?utf-8?q?a?=  =?iso-8859-1?q?b?= c", "ab c"),
            // Words without blanks around them, and blanks in a word.
            (" [=?utf-8?q?sec?=ure]", "[secure]"),
            (" =?utf-8?q?a b?=", "a b"),
            (" =?utf-8?q?a_b=20c?=", "a b c"),
            (" =?utf-8?q?a=ZZ=4?=", "a=ZZ=4"),
            // Not words.
            (" =?utf-8?x?a?=", "=?utf-8?x?a?="),
            (" =?utf-8?q?a", "=?utf-8?q?a"),
            (" =??q?a?=", "=??q?a?="),
            (" =?utf-8?b?!?=", "=?utf-8?b?!?="),
            (" =?=?utf-8?q?a?=", "=?a"),
            (" =?no-such?q?a=FF?=", "a\u{fffd}"),
            ("", ""),
        ] {
            assert_eq!(decode(body.as_bytes()), text, "{body:?}");
        }
        assert_eq!(decode(b" \xff"), "\u{fffd}");
    }

    #[test]
    fn writes_plain_words_where_they_can_carry_it() {
        assert_eq!(
            encode("Subject", "Results  of today"),
            "Subject: Results  of today\r\n"
        );
        assert_eq!(encode("Subject", ""), "Subject:\r\n");
        let long = "word ".repeat(40);
        let field = encode("Subject", long.trim());
        assert!(!field.contains("=?"));
        assert_eq!(decode(&field.as_bytes()[8..]), long.trim());
        for text in ["=?x", " a", "a ", "\t", "\u{e4}", &"x".repeat(80)] {
            let field = encode("Subject", text);
            assert!(field.contains("=?UTF-8?"), "{field}");
        }
        assert!(encode("Subject", &"\u{4e00}".repeat(50)).contains("?B?"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "(\\PC|[ a-z=?_\r\n\t]|\u{4e00}){0,200}") {
            let field = encode("Thread-Topic", &text);
            let block = field.as_bytes();
            prop_assert_eq!(decode(&block["Thread-Topic:".len()..]), text);
            prop_assert!(field.is_ascii() && field.ends_with("\r\n"));
            for line in field.split_terminator("\r\n") {
                prop_assert!(line.len() <= MAX_WRITTEN_LINE, "{}", line);
                prop_assert!(!line.trim().is_empty());
            }
            for word in field.split_ascii_whitespace().filter(|word| word.starts_with("=?")) {
                prop_assert!(word.len() <= MAX_WORD_OCTETS);
            }
        }

        #[test]
        fn never_panics(body in proptest::collection::vec(
            prop_oneof![Just(b"=?".to_vec()), Just(b"utf-8?q?".to_vec()), Just(b"?=".to_vec()),
                Just(b"?b?".to_vec()), Just(b"\r\n ".to_vec()), Just(b"iso-2022-jp".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..6)], 0..30))
        {
            drop(decode(&body.concat()));
        }
    }
}
