//! `Content-Disposition: attachment` (RFC 6266, RFC 8187), and the media type that a download is
//! given. Pure.
//!
//! A name is a stranger's: it comes out as one name without directories, control or reshaping
//! characters, twice: in plain ASCII, and as it was in UTF-8. Nothing of it can end the field.

use std::fmt::Write as _;

/// Characters of a name.
const MAX_NAME_CHARS: usize = 120;
/// What a file without a usable name is called.
const NAMELESS: &str = "attachment";
/// What a download is whose type would be run or shown as a page.
const OPAQUE: &str = "application/octet-stream";

/// The field's value.
pub fn attachment(name: &str) -> String {
    let name = tidy(name);
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '%' => '_',
            c if c.is_ascii() => c,
            _ => '_',
        })
        .collect();
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        for octet in name.bytes() {
            if octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_') {
                value.push(char::from(octet));
            } else {
                // Writing to a String cannot fail.
                write!(value, "%{octet:02X}").ok();
            }
        }
    }
    value
}

/// One name: what follows the last separator, without what would hide its ending or leave the field.
fn tidy(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: Vec<char> = last
        .chars()
        .map(|c| match c {
            '<' | '>' | ':' | '|' | '?' | '*' => '_',
            c => c,
        })
        .filter(|c| !c.is_control() && !reshapes(*c))
        .collect();
    let clean: String = clean.into_iter().collect();
    let clean = clean.trim_matches([' ', '.']);
    if clean.is_empty() {
        return NAMELESS.to_owned();
    }
    let count = clean.chars().count();
    if count <= MAX_NAME_CHARS {
        return clean.to_owned();
    }
    // The ending says what opens it: it stays.
    let ending: String = match clean.rsplit_once('.') {
        Some((_, ending)) if ending.chars().count() <= 10 => format!(".{ending}"),
        _ => String::new(),
    };
    let keep = MAX_NAME_CHARS.saturating_sub(ending.chars().count());
    clean.chars().take(keep).collect::<String>() + &ending
}

/// Characters that change the order or vanish: `txt.exe` written backwards.
fn reshapes(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// The type a download is sent with: the stranger's, unless a browser would run or render it.
pub fn media_type(given: &str) -> String {
    let given = given.to_ascii_lowercase();
    let Some((kind, rest)) = given.split_once('/') else {
        return OPAQUE.to_owned();
    };
    let is_token = |part: &str| {
        !part.is_empty()
            && part.len() <= 80
            && part
                .bytes()
                .all(|o| o.is_ascii_alphanumeric() || matches!(o, b'.' | b'+' | b'-' | b'_'))
    };
    let active = matches!(kind, "multipart" | "message")
        || [
            "html",
            "svg",
            "xml",
            "javascript",
            "ecmascript",
            "script",
            "flash",
            "wasm",
        ]
        .iter()
        .any(|word| rest.contains(word))
            && !rest.contains("openxmlformats");
    if is_token(kind) && is_token(rest) && !active {
        given
    } else {
        OPAQUE.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_written_twice_where_they_must_be() {
        assert_eq!(attachment("a b.pdf"), "attachment; filename=\"a b.pdf\"");
        assert_eq!(
            attachment("Befund Ähre.pdf"),
            "attachment; filename=\"Befund _hre.pdf\"; filename*=UTF-8''Befund%20%C3%84hre.pdf"
        );
        assert_eq!(
            attachment("50%\".txt"),
            "attachment; filename=\"50__.txt\"; filename*=UTF-8''50%25%22.txt"
        );
    }

    #[test]
    fn hostile_names_stay_names() {
        for (name, tidied) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\boot.ini", "boot.ini"),
            ("..", NAMELESS),
            ("", NAMELESS),
            (".htaccess", "htaccess"),
            ("a\r\nSet-Cookie: x=1", "aSet-Cookie_ x=1"),
            ("nul\0.txt", "nul.txt"),
            ("invoice\u{202E}fdp.exe", "invoicefdp.exe"),
            ("CON:stream", "CON_stream"),
        ] {
            assert_eq!(tidy(name), tidied, "{name:?}");
        }
        let long = format!("{}.pdf", "a".repeat(400));
        assert_eq!(tidy(&long).chars().count(), MAX_NAME_CHARS);
        assert!(tidy(&long).ends_with(".pdf"));
    }

    #[test]
    fn nothing_that_a_browser_runs_keeps_its_type() {
        for given in [
            "text/html",
            "TEXT/HTML",
            "image/svg+xml",
            "application/xhtml+xml",
            "text/xml",
            "application/javascript",
            "text/html; charset=x",
            "x",
            "a/b/c",
            "text/\r\nhtml",
            "",
            "message/rfc822",
            "multipart/x-mixed-replace",
        ] {
            assert_eq!(media_type(given), OPAQUE, "{given:?}");
        }
        assert_eq!(media_type("Application/PDF"), "application/pdf");
        let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        assert_eq!(media_type(word), word);
    }

    proptest! {
        #[test]
        fn a_name_never_leaves_its_field(name in "\\PC{0,300}|[\\x00-\\x7f]{0,50}") {
            let value = attachment(&name);
            prop_assert!(value.bytes().all(|o| (0x20..0x7f).contains(&o)));
            prop_assert_eq!(value.matches('"').count(), 2);
            let plain = value.split('"').nth(1).unwrap();
            prop_assert!(!plain.is_empty() && !plain.contains(['/', '\\']));
        }
    }
}
