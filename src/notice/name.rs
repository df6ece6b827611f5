//! Names that senders give themselves, where they are fit to be shown in a mail of ours.
//!
//! Owns the judgement. Never repairs a name: one that could be taken for an address, a link or
//! another text than it is gives way to the address, which was proved.

use crate::mail::message::{Header, decode_text, unfold};

/// Longest name that is shown, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// The name beside the address in the From field of a header block, if it is fit to be shown.
pub fn author_name(block: &[u8]) -> Option<String> {
    let header = Header::parse(block).ok()?;
    let body = unfold(header.first("From")?.body());
    let end = body.iter().rposition(|&octet| octet == b'<')?;
    let name = decode_text(body.get(..end)?);
    fit(&unquoted(name.trim()))
}

/// A quoted string as what it stands for (RFC 5322 §3.2.4).
fn unquoted(text: &str) -> String {
    let inside = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let Some(inside) = inside else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inside.len());
    let mut escaped = false;
    for c in inside.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            c => {
                out.push(c);
                escaped = false;
            }
        }
    }
    out
}

/// The name with single blanks, if it can be taken for nothing but a name.
pub fn fit(name: &str) -> Option<String> {
    let words: Vec<&str> = name
        .split([' ', '\t'])
        .filter(|it| !it.is_empty())
        .collect();
    let name = words.join(" ");
    let sound = !name.is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && name.chars().any(char::is_alphanumeric)
        && !name.chars().any(is_unfit)
        && !name.contains("//")
        && !has_inner_dot(&name);
    sound.then_some(name)
}

/// What could stand for part of an address or a link, or change how what is around it reads.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '@' | '<' | '>' | '"' | '\\' | ':' | ';' | '`' | '\u{ff20}' | '\u{fe6b}'
            | '\u{ff1a}' | '\u{ff0f}' | '\u{fffd}'
            // Dots of other scripts, which browsers take for one (UTS #46).
            | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | '\u{2024}'
            // Blanks that are none, directions, separators, what nobody sees.
            | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A dot between two characters makes a domain of them; one behind a title does not.
fn has_inner_dot(name: &str) -> bool {
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '.' && rest.peek().is_some_and(|&next| next != ' ') {
            return true;
        }
    }
    name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_what_is_no_name_is_not() {
        for name in [
            "Jo Doe",
            "Dr. med. Käthe O'Neil-Süß",
            "李小龍",
            "Lab (ward 7) & co",
            "Ann Roe, MD",
        ] {
            assert_eq!(fit(name).as_deref(), Some(name));
        }
        assert_eq!(fit("  Jo \t Doe ").as_deref(), Some("Jo Doe"));
        for name in [
            "",
            " ",
            "...",
            "-",
            "jo@bank.example",
            "Jo \u{ff20} bank",
            "bank.example",
            "Go to bank.example now",
            ".example",
            "bank\u{3002}example",
            "https://bank",
            "//bank",
            "Jo\r\nBcc: all",
            "Jo\u{0}",
            "Jo\u{202e}eoD",
            "Jo\u{200b}",
            "Jo\u{2028}Doe",
            "Jo <b>",
            "Jo \"x\"",
            "Jo\u{85}",
        ] {
            assert_eq!(fit(name), None, "{name:?}");
        }
        assert!(fit(&"x".repeat(MAX_NAME_CHARS)).is_some());
        assert!(fit(&"x".repeat(MAX_NAME_CHARS + 1)).is_none());
    }

    #[test]
    fn the_name_is_read_from_the_header() {
        for (from, name) in [
            ("Jo Doe <jo@clinic.example>", Some("Jo Doe")),
            ("\"Doe, Jo\" <jo@clinic.example>", Some("Doe, Jo")),
            ("\"Jo \\\"x\\\" Doe\" <jo@clinic.example>", None),
            ("=?utf-8?q?K=C3=A4the?= <jo@clinic.example>", Some("Käthe")),
            ("=?utf-8?q?a=40b?= <jo@clinic.example>", None),
            ("=?utf-8?q?a=0D=0AX:_y?= <jo@clinic.example>", None),
            ("Jo\r\n Doe <jo@clinic.example>", Some("Jo Doe")),
            ("jo@clinic.example", None),
            ("<jo@clinic.example>", None),
            ("\"<\" <jo@clinic.example>", None),
        ] {
            let block = format!("Subject: x\r\nFrom: {from}\r\n");
            assert_eq!(author_name(block.as_bytes()).as_deref(), name, "{from}");
        }
        assert_eq!(author_name(b"Subject: x\r\n"), None);
    }
}
