//! The text of a message: plain text with its line ends and flowed lines put right (RFC 3676), or
//! made from HTML.
//!
//! What is shown is what stands there: no controls but line ends and tabs, nothing that turns the
//! direction of writing over.

use super::entity::Leaf;
use super::from_html;

/// Deepest quotation that is shown as such.
const MAX_QUOTES: usize = 20;

/// A text to be shown, escaped by whoever puts it into a page.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// Lines end with `\n`.
    pub text: String,
    /// There is more than is shown.
    pub cut: bool,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text")
            .field("octets", &self.text.len())
            .field("cut", &self.cut)
            .finish()
    }
}

impl Text {
    /// Puts another text behind this one, with an empty line between.
    pub(super) fn append(&mut self, other: Self) {
        if !self.text.is_empty() && !other.text.is_empty() {
            let end = self.text.trim_end_matches('\n').len();
            self.text.truncate(end);
            self.text.push_str("\n\n");
        }
        self.text.push_str(&other.text);
        self.cut |= other.cut;
    }

    /// No more than `most` octets of it.
    pub(super) fn bounded(mut self, most: usize) -> Self {
        if self.text.len() > most {
            self.text.truncate(self.text.floor_char_boundary(most));
            self.cut = true;
        }
        self
    }
}

/// The text of a plain part.
pub(super) fn from_plain(text: &str, leaf: &Leaf, most: usize) -> Text {
    let lines = clean(text);
    let text = if leaf.flowed {
        unflow(&lines, leaf.delsp)
    } else {
        lines
    };
    let end = text.trim_end().len();
    let text = text.get(..end).unwrap_or_default().to_owned();
    Text { text, cut: false }.bounded(most)
}

/// The text of an HTML part.
pub(super) fn from_html(html: &str, most: usize) -> Text {
    let made = from_html::text(html);
    let text = clean(&made.text);
    Text {
        text,
        cut: made.cut,
    }
    .bounded(most)
}

/// Line ends as `\n`, without controls and overrides of direction.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => {
                if characters.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\n' | '\t' => out.push(character),
            '\u{202d}' | '\u{202e}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}' => {}
            other if other.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// Joins the lines of flowed text that belong together.
fn unflow(text: &str, delsp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open: Option<usize> = None; // the quotation of a line that goes on
    for line in text.lines() {
        let quotes = line.bytes().take_while(|octet| *octet == b'>').count();
        let content = line.get(quotes..).unwrap_or_default();
        let content = content.strip_prefix(' ').unwrap_or(content);
        let signature = content == "-- ";
        if open != Some(quotes) || signature {
            if open.is_some() {
                out.push('\n');
            }
            for _ in 0..quotes.min(MAX_QUOTES) {
                out.push('>');
            }
            if quotes > 0 {
                out.push(' ');
            }
        }
        let flows = content.ends_with(' ') && !signature;
        let kept = match content.strip_suffix(' ') {
            Some(kept) if flows && delsp => kept,
            _ => content,
        };
        out.push_str(kept);
        open = if flows {
            Some(quotes)
        } else {
            out.push('\n');
            None
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_to_be_read() {
        assert_eq!(
            clean("a\r\nb\rc\nd\0\u{7}\te\u{202e}f\u{2028}g"),
            "a\nb\nc\nd\tef\ng"
        );
        assert_eq!(clean("\u{200f}\u{5d0}"), "\u{200f}\u{5d0}");
    }

    #[test]
    fn joins_flowed_lines() {
        let flowed = "This is \none line.\n> quoted \n> too\n>> deeper \nnot quoted\n >no quotation\n-- \nJo \nDoe\n";
        assert_eq!(
            unflow(flowed, false),
            "This is one line.\n> quoted too\n>> deeper \nnot quoted\n>no quotation\n-- \nJo Doe\n"
        );
        assert_eq!(unflow("ab \ncd", true), "abcd\n");
        assert_eq!(unflow("a \n-- \nb", false), "a \n-- \nb\n");
    }

    #[test]
    fn is_put_together_and_cut() {
        let piece = |text: &str| Text {
            text: text.to_owned(),
            cut: false,
        };
        let mut all = piece("a\n");
        all.append(piece(""));
        all.append(piece("b"));
        assert_eq!(all.text, "a\n\nb");
        let cut = piece("a\u{e4}").bounded(2);
        assert_eq!((cut.text.as_str(), cut.cut), ("a", true));
    }
}
