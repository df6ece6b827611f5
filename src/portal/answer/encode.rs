//! Header fields and bodies that nothing from outside can break out of: every text is encoded
//! here, octet by octet, before it stands in a message.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest line of text and of base64 (RFC 2045 §6.7, §6.8).
const LINE: usize = 76;
/// Octets in one encoded word: 45 are 60 digits, 72 with what stands around them.
const WORD_OCTETS: usize = 45;
/// Most octets of a file name in one piece of a parameter.
const PIECE: usize = 54;

/// A display name: a quoted string where it is ASCII and fits on a line, encoded words otherwise.
/// Behind the folding stands a blank.
pub(super) fn phrase(text: &str) -> String {
    let plain = text.len() <= 60 && text.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    // A text that looks like an encoded word would be decoded.
    if plain && !text.contains("=?") {
        let mut out = String::from("\"");
        for character in text.chars() {
            if matches!(character, '"' | '\\') {
                out.push('\\');
            }
            out.push(character);
        }
        out.push('"');
        return out;
    }
    let words: Vec<String> = pieces(text, WORD_OCTETS)
        .into_iter()
        .map(|piece| format!("=?UTF-8?B?{}?=", STANDARD.encode(piece)))
        .collect();
    words.join("\r\n ")
}

/// `text` in pieces of at most `most` octets, no character divided.
fn pieces(text: &str, most: usize) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.floor_char_boundary(most.max(4));
        let (piece, tail) = rest.split_at(end);
        found.push(piece);
        rest = tail;
    }
    found
}

/// The parameter `filename` with its leading fold: quoted where it is plain, else by RFC 2231 in
/// pieces.
pub(super) fn filename(name: &str) -> String {
    let token = |octet: u8| octet.is_ascii_alphanumeric() || b" ._-()+,@".contains(&octet);
    if name.len() <= PIECE && name.bytes().all(token) {
        return format!(";\r\n filename=\"{name}\"");
    }
    let mut encoded: Vec<String> = Vec::new();
    let mut piece = String::new();
    for octet in name.bytes() {
        if octet.is_ascii_alphanumeric() || b"._-".contains(&octet) {
            piece.push(char::from(octet));
        } else {
            let written = write!(piece, "%{octet:02X}");
            debug_assert!(written.is_ok(), "a String takes everything");
        }
        if piece.len() >= PIECE {
            encoded.push(std::mem::take(&mut piece));
        }
    }
    if !piece.is_empty() {
        encoded.push(piece);
    }
    let mut out = String::new();
    for (at, piece) in encoded.iter().enumerate() {
        let charset = if at == 0 { "UTF-8''" } else { "" };
        out.push_str(&format!(";\r\n filename*{at}*={charset}{piece}"));
    }
    out
}

/// A text as the body of a part, with the name of its encoding. Line ends of any kind become CRLF,
/// other controls than tabs go.
pub(super) fn text(text: &str) -> (&'static str, String) {
    let mut lines = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\n' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => lines.push('\n'),
            '\t' => lines.push('\t'),
            other if other.is_control() => {}
            other => lines.push(other),
        }
    }
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    let wide = lines.bytes().filter(|octet| !octet.is_ascii()).count();
    if wide * 5 > lines.len() {
        let crlf = lines.replace('\n', "\r\n");
        return ("base64", base64_lines(crlf.as_bytes()));
    }
    ("quoted-printable", quoted_printable(&lines))
}

/// Base64 in lines, each with its CRLF.
pub(super) fn base64_lines(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() / 3 * 4 + octets.len() / 28 + 8);
    for line in octets.chunks(LINE / 4 * 3) {
        STANDARD.encode_string(line, &mut out);
        out.push_str("\r\n");
    }
    out
}

/// Lines that end with `\n` as quoted-printable.
fn quoted_printable(lines: &str) -> String {
    let mut out = String::with_capacity(lines.len() + lines.len() / 8);
    for line in lines.split_terminator('\n') {
        let mut column = 0;
        let octets = line.as_bytes();
        for (at, octet) in octets.iter().enumerate() {
            let last = at + 1 == octets.len();
            let plain = matches!(octet, b'!'..=b'<' | b'>'..=b'~')
                || matches!(octet, b' ' | b'\t') && !last;
            // A dot or a `From ` at the beginning of a line is changed by some on the way, and two
            // hyphens are what boundaries begin with.
            let plain = plain && !(column == 0 && matches!(octet, b'.' | b'F' | b'-'));
            let width = if plain { 1 } else { 3 };
            if column + width > LINE - 1 {
                out.push_str("=\r\n");
                column = 0;
            }
            // A soft break may have brought it to the beginning.
            let plain = plain && !(column == 0 && matches!(octet, b'.' | b'F' | b'-'));
            if plain {
                out.push(char::from(*octet));
            } else {
                let written = write!(out, "={octet:02X}");
                debug_assert!(written.is_ok(), "a String takes everything");
            }
            column += if plain { 1 } else { 3 };
        }
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_quoted_or_encoded() {
        assert_eq!(
            phrase("kim@example.org via Clinic"),
            "\"kim@example.org via Clinic\""
        );
        assert_eq!(phrase("a\"b\\c"), "\"a\\\"b\\\\c\"");
        assert!(phrase("B\u{e4}r").starts_with("=?UTF-8?B?"));
        assert!(phrase("=?utf-8?q?x?=").starts_with("=?UTF-8?B?"));
        assert_eq!(filename("a b.pdf"), ";\r\n filename=\"a b.pdf\"");
        assert_eq!(
            filename("\u{e4}\".pdf"),
            ";\r\n filename*0*=UTF-8''%C3%A4%22.pdf"
        );
    }

    #[test]
    fn texts_are_carried_in_seven_bits() {
        assert_eq!(text("a\rb\0\n.c").1, "a\r\nb\r\n=2Ec\r\n");
        assert_eq!(text("a \n--x").1, "a=20\r\n=2D-x\r\n");
        assert_eq!(text("").1, "\r\n");
        assert_eq!(text("\u{4e00}\u{4e01}").0, "base64");
    }

    proptest! {
        #[test]
        fn lines_are_short(it in "(\\PC|[\r\n\t .F-]){0,300}") {
            let (_, body) = text(&it);
            prop_assert!(body.is_ascii() && body.ends_with("\r\n"));
            for line in body.split("\r\n") {
                prop_assert!(line.len() <= LINE);
                prop_assert!(!line.contains(['\r', '\n']));
                prop_assert!(!line.starts_with("--") && !line.starts_with('.'));
            }
        }
    }
}
