//! Texts of strangers as one line: names of files and people, subjects.
//!
//! A line shows what it says: no control, no character that turns the direction of writing or
//! that nobody sees, no line end. A file name also names no path and no device.

/// Most characters of a file name, its extension among them.
pub const MAX_NAME_CHARS: usize = 120;
/// Most characters of an extension that a shortened name keeps.
const MAX_EXTENSION_CHARS: usize = 12;

/// Names that Windows takes for devices, whatever extension follows.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Characters that are not shown, or that change how others are shown: line and paragraph
/// separators, marks of direction (Unicode TR 36 §3.1), joiners, fillers, tags, variation selectors
/// apart from those that emoji need.
pub(super) const fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// `text` as one line of at most `most` characters that shows what it says.
pub fn line(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut count = 0_usize;
    let mut gap = false;
    for character in text.chars() {
        if character.is_whitespace()
            || character.is_control()
            || matches!(character, '\u{2028}' | '\u{2029}')
        {
            gap = count > 0;
            continue;
        }
        if is_hidden(character) {
            continue;
        }
        let wide = 1 + usize::from(gap);
        if count + wide > most {
            // The mark takes the place of the last character.
            if count >= most {
                out.pop();
            }
            if most > 0 {
                out.push('\u{2026}');
            }
            return out;
        }
        if gap {
            out.push(' ');
            gap = false;
        }
        out.push(character);
        count += wide;
    }
    out
}

/// A file name that can be shown, saved anywhere and put into an archive: one segment, no
/// character that a file system or a shell takes in another way, and never empty.
pub fn file_name(text: &str) -> String {
    // What stands before a separator is somebody else's folder.
    let last = text.rsplit(['/', '\\']).find(|it| !it.trim().is_empty());
    let shown = line(last.unwrap_or_default(), usize::MAX);
    let safe: String = shown
        .chars()
        .map(|character| match character {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' | '/' | '\\' | '%' | '\u{2044}'
            | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' | '\u{ff3c}' | '\u{fffd}' => '_',
            other => other,
        })
        .collect();
    // Leading dots hide a file, trailing ones and blanks are dropped by Windows.
    let trimmed = safe.trim_matches([' ', '.', '~', '-']).trim();
    let trimmed = trimmed.trim_end_matches(['.', ' ']);
    let bounded = shorten(trimmed);
    if bounded.is_empty() {
        return "file".to_owned();
    }
    let stem = bounded.split('.').next().unwrap_or_default().trim_end();
    if is_device(stem) {
        return format!("_{bounded}");
    }
    bounded
}

fn is_device(stem: &str) -> bool {
    let lower = stem.to_lowercase();
    let numbered = ["com", "lpt"].iter().any(|port| {
        lower.strip_prefix(port).is_some_and(|rest| {
            let mut rest = rest.chars();
            let digit = rest.next().is_some_and(char::is_numeric);
            digit && rest.next().is_none()
        })
    });
    numbered || DEVICES.contains(&lower.as_str())
}

/// At most [`MAX_NAME_CHARS`] characters; a short extension is kept.
fn shorten(name: &str) -> String {
    if name.chars().count() <= MAX_NAME_CHARS {
        return name.to_owned();
    }
    let extension = extension(name)
        .filter(|it| it.chars().count() <= MAX_EXTENSION_CHARS)
        .map(|it| format!(".{it}"))
        .unwrap_or_default();
    let room = MAX_NAME_CHARS.saturating_sub(extension.chars().count());
    let stem: String = name.chars().take(room).collect();
    format!("{}{extension}", stem.trim_end_matches(['.', ' ']))
}

/// What stands behind the last dot, if anything stands before it.
pub(in crate::portal) fn extension(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then_some(extension)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_shows_what_it_says() {
        for (text, shown) in [
            ("Results", "Results"),
            ("  a \r\n\t b\0c  ", "a b c"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("pay\u{200b}pal\u{2066}x\u{2069}", "paypalx"),
            ("a\u{2028}b\u{85}c", "a b c"),
            ("", ""),
            ("\u{feff}\u{ad}", ""),
        ] {
            assert_eq!(line(text, 100), shown, "{text:?}");
        }
        assert_eq!(line("abcdef", 4), "abc\u{2026}");
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("ab cdef", 3), "ab\u{2026}");
        assert_eq!(line("x", 0), "");
    }

    #[test]
    fn a_file_name_is_one_harmless_segment() {
        for (text, name) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Windows\\x.txt", "x.txt"),
            ("a/b/", "b"),
            ("..", "file"),
            ("", "file"),
            ("...", "file"),
            ("/", "file"),
            (".htaccess", "htaccess"),
            ("a.exe.", "a.exe"),
            ("a.exe . .", "a.exe"),
            ("a\0.pdf", "a .pdf"),
            ("a\r\nSet-Cookie: x.pdf", "a Set-Cookie_ x.pdf"),
            ("CON.txt", "_CON.txt"),
            ("lpt1", "_lpt1"),
            ("com12", "com12"),
            ("x\u{202e}fdp.exe", "xfdp.exe"),
            ("a:b$DATA", "a_b$DATA"),
            ("\"; rm -rf", "_; rm -rf"),
            ("%2e%2e%2fx", "_2e_2e_2fx"),
            ("B\u{e4}r.pdf", "B\u{e4}r.pdf"),
        ] {
            assert_eq!(file_name(text), name, "{text:?}");
        }
        let long = file_name(&format!("{}.pdf", "x".repeat(500)));
        assert_eq!(long.chars().count(), MAX_NAME_CHARS);
        assert!(long.ends_with("x.pdf"));
    }

    proptest! {
        #[test]
        fn any_name_is_safe(text in "(\\PC|[\u{0}-\u{20}./\\\\:~]|\u{202e}|\u{2028}){0,200}") {
            let name = file_name(&text);
            prop_assert!(!name.is_empty() && name.chars().count() <= MAX_NAME_CHARS + 1);
            prop_assert!(!name.contains(['/', '\\', ':', '"', '\0', '\r', '\n']));
            prop_assert!(!name.starts_with('.') && !name.ends_with(['.', ' ']));
            prop_assert!(!name.chars().any(|it| it.is_control() || is_hidden(it)));
            prop_assert_eq!(&file_name(&name), &name);
        }
    }
}
