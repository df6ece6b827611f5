//! The text of a message, cut so that addresses of web pages can be followed, and so that it fits.

use super::pages::Piece;

/// Most links that are made in a text.
pub const MAX_LINKS: usize = 200;
/// Longest address that is made a link.
pub const MAX_LINK_OCTETS: usize = 2000;
/// Octets of a link, beside its target and its text, which are the same.
const AROUND_LINK: usize = 80;
/// Octets of what the templates escape: `&#38;`.
const ESCAPED_OCTETS: usize = 5;

const fn escaped_char(character: char) -> usize {
    match character {
        '&' | '<' | '>' | '"' | '\'' => ESCAPED_OCTETS,
        other => other.len_utf8(),
    }
}

/// Octets that a text takes in a page.
pub fn escaped(text: &str) -> usize {
    text.chars().map(escaped_char).sum()
}

/// The longest beginning of a text that takes no more than `most` octets in a page.
fn fitting(text: &str, most: usize) -> &str {
    let mut room = most;
    let end = text.char_indices().find(|(_, character)| {
        let octets = escaped_char(*character);
        let fits = octets <= room;
        room = room.saturating_sub(octets);
        !fits
    });
    let end = end.map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

/// A text that takes no more than `most` octets in a page; where it was cut, that is shown.
pub fn cut(text: &str, most: usize) -> String {
    let kept = fitting(text, most);
    match kept.len() == text.len() {
        true => text.to_owned(),
        false => {
            let kept = fitting(text, most.saturating_sub('…'.len_utf8()));
            format!("{}…", kept.trim_end())
        }
    }
}

/// As much of the pieces as takes no more than `most` octets in a page, and whether there is more.
/// A link is there whole, or not at all.
pub fn beginning(pieces: Vec<Piece>, most: usize) -> (Vec<Piece>, bool) {
    let mut kept = Vec::new();
    let mut room = most;
    for piece in pieces {
        let octets = match piece.link {
            true => 2 * escaped(&piece.text) + AROUND_LINK,
            false => escaped(&piece.text),
        };
        if octets <= room {
            room -= octets;
            kept.push(piece);
            continue;
        }
        if !piece.link {
            push(&mut kept, Some(fitting(&piece.text, room)), false);
        }
        return (kept, true);
    }
    (kept, false)
}

/// Cuts a text at the `https://` and `http://` addresses in it. A link shows exactly where it
/// leads: its text is its target.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut plain = 0;
    let mut from = 0;
    while found.len() < 2 * MAX_LINKS {
        let Some(at) = next_link(text, from) else {
            break;
        };
        let rest = text.get(at..).unwrap_or_default();
        let end = link_end(rest);
        let target = rest.get(..end).unwrap_or_default();
        let host = target.split_once("://").map_or("", |(_, host)| host);
        if end <= MAX_LINK_OCTETS && host.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            push(&mut found, text.get(plain..at), false);
            push(&mut found, Some(target), true);
            plain = at + end;
        }
        from = at + end.max(1);
    }
    push(&mut found, text.get(plain..), false);
    found
}

fn push(found: &mut Vec<Piece>, text: Option<&str>, link: bool) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        let text = text.to_owned();
        found.push(Piece { text, link });
    }
}

/// Where the next address begins: at the beginning of a word.
fn next_link(text: &str, from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.find("http")?;
        let behind = text.get(at..)?;
        let before = text.get(..at)?.chars().next_back();
        let fresh = before.is_none_or(|c| !c.is_alphanumeric());
        if fresh && (behind.starts_with("https://") || behind.starts_with("http://")) {
            return Some(at);
        }
        from = at + "http".len();
    }
}

/// How long an address is: up to a blank or a bracket, without the punctuation of its sentence.
/// Only visible ASCII: what looks like something else is left as text.
fn link_end(text: &str) -> usize {
    let end = text
        .find(|c: char| !c.is_ascii_graphic() || matches!(c, '<' | '>' | '"' | '`' | '\\'))
        .unwrap_or(text.len());
    let word = text.get(..end).unwrap_or_default();
    let shorn = word.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', ')', ']', '}', '*']);
    shorn.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, bool)> {
        pieces(text)
            .into_iter()
            .map(|piece| (piece.text, piece.link))
            .collect()
    }

    #[test]
    fn addresses_are_links_without_the_punctuation_of_the_sentence() {
        let text = "See https://a.example/x?y=1&z=(2). Or <http://b.example>!";
        let links: Vec<String> = shown(text)
            .into_iter()
            .filter_map(|(text, link)| link.then_some(text))
            .collect();
        assert_eq!(links, ["https://a.example/x?y=1&z=(2", "http://b.example"]);
        let whole: String = shown(text).into_iter().map(|(text, _)| text).collect();
        assert_eq!(whole, text);
    }

    fn whole(pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| piece.text.as_str()).collect()
    }

    #[test]
    fn a_long_text_is_cut_between_characters_by_what_it_takes_in_the_page() {
        let text = "é".repeat(100);
        let (kept, more) = beginning(pieces(&text), 101);
        assert!(more);
        assert_eq!(whole(&kept), "é".repeat(50));
        assert_eq!(beginning(pieces(&text), 200), (pieces(&text), false));
        let (kept, more) = beginning(pieces(&"\"".repeat(100)), 101);
        assert!(more);
        assert_eq!(whole(&kept), "\"".repeat(20));
        assert_eq!(beginning(pieces(""), 0), (Vec::new(), false));
        assert_eq!((cut("a&b", 7), cut("a&b", 6)), ("a&b".into(), "a…".into()));
    }

    #[test]
    fn a_link_is_not_cut() {
        let text = format!("See https://a.example/{}", "x".repeat(500));
        let (kept, more) = beginning(pieces(&text), 600);
        assert!(more && kept.iter().all(|piece| !piece.link));
        assert_eq!(whole(&kept), "See ");
        assert_eq!(beginning(pieces(&text), 1200), (pieces(&text), false));
    }

    #[test]
    fn what_is_no_address_stays_text() {
        for text in [
            "",
            "https",
            "https://",
            "xhttps://a.example",
            "javascript:alert(1)",
            "https://\u{202e}evil.example",
            "http://\"onclick",
        ] {
            assert!(shown(text).iter().all(|(_, link)| !link), "{text}");
        }
        let many = "http://a ".repeat(5000);
        assert!(shown(&many).len() <= 2 * MAX_LINKS + 2);
        let whole: String = shown(&many).into_iter().map(|(text, _)| text).collect();
        assert_eq!(whole, many);
    }
}
