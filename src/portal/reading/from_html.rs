//! HTML as text, for those who read the text view.
//!
//! Works on what [`super::clean`] has made, so it meets well-formed HTML of few elements. Links are
//! shown with where they lead, quotations with `>`, lists with their marks.

use std::collections::HashMap;
use std::sync::Arc;

use super::budget::affordable;
use super::clean::{Tally, scrub};
use super::text::Text;

/// Deepest quotation that is shown as such.
const MAX_QUOTES: usize = 20;

/// The text of `html`.
pub(super) fn text(html: &str) -> Text {
    let kept = affordable(html);
    let cut = kept.len() < html.len();
    let clean = scrub(kept, &Arc::new(HashMap::new()), &Arc::new(Tally::default()));
    let mut writer = Writer::default();
    let mut rest = clean.as_str();
    while !rest.is_empty() {
        match rest.strip_prefix('<') {
            Some(tag) => {
                let end = tag_end(tag);
                writer.tag(tag.get(..end).unwrap_or_default());
                rest = tag.get(end + 1..).unwrap_or_default();
            }
            None => {
                let end = rest.find('<').unwrap_or(rest.len());
                let (text, tail) = rest.split_at(end);
                writer.text(&unescape(text));
                rest = tail;
            }
        }
    }
    Text {
        text: writer.finish(),
        cut,
    }
}

/// Where the `>` is that ends a tag: none within quotes.
fn tag_end(tag: &str) -> usize {
    let mut quoted = false;
    for (at, octet) in tag.bytes().enumerate() {
        match octet {
            b'"' => quoted = !quoted,
            b'>' if !quoted => return at,
            _ => {}
        }
    }
    tag.len()
}

/// The few references that a serialiser writes.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&nbsp;", "\u{a0}")
        .replace("&amp;", "&")
}

/// The value of an attribute of a serialised tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let mut rest = tag;
    loop {
        let (before, behind) = rest.split_once("=\"")?;
        let (value, tail) = behind.split_once('"')?;
        let last = before.rsplit(char::is_whitespace).next();
        if last == Some(name) {
            return Some(unescape(value));
        }
        rest = tail;
    }
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Line ends to be written before the next text.
    breaks: usize,
    /// A blank is to be written before the next text.
    gap: bool,
    /// The mark of a list item stands there, and its text goes on the same line.
    marked: bool,
    quotes: usize,
    preformatted: usize,
    /// Numbers of the lists that are open; `None` for one without.
    lists: Vec<Option<u64>>,
    /// Where the text of a link begins, and where it leads.
    link: Option<(usize, String)>,
}

impl Writer {
    fn tag(&mut self, tag: &str) {
        let (closing, tag) = match tag.strip_prefix('/') {
            Some(tag) => (true, tag),
            None => (false, tag),
        };
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        match name {
            "br" if !closing => {
                // An empty line that somebody wrote stays.
                self.breaks += 1;
                self.gap = false;
            }
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" | "dl" | "figure" => {
                self.part(2);
            }
            "ul" | "ol" => {
                if closing {
                    self.lists.pop();
                }
                self.part(if self.lists.is_empty() { 2 } else { 1 });
                if !closing {
                    self.lists.push((name == "ol").then_some(1));
                }
            }
            "pre" => {
                self.part(2);
                self.preformatted = counted(self.preformatted, closing);
            }
            "blockquote" => {
                self.part(2);
                self.quotes = counted(self.quotes, closing);
            }
            "div" | "tr" | "li" | "dt" | "dd" | "address" | "article" | "aside" | "section"
            | "header" | "footer" | "main" | "center" | "caption" | "figcaption" | "details"
            | "summary" | "thead" | "tbody" | "tfoot" => {
                if name == "li" {
                    self.marked = false;
                }
                self.part(1);
                if name == "li" && !closing {
                    self.item();
                }
            }
            "td" | "th" if closing => self.cell(),
            "hr" if !closing => {
                self.part(2);
                self.word("----------");
                self.part(2);
            }
            "img" => {
                let alt = attribute(tag, "alt").unwrap_or_default();
                if !alt.trim().is_empty() {
                    self.text(&format!("[{}]", alt.trim()));
                }
            }
            "a" if closing => self.end_link(),
            "a" => {
                self.end_link();
                if let Some(target) = attribute(tag, "href") {
                    self.link = Some((self.out.len(), target));
                }
            }
            _ => {}
        }
    }

    /// At least so many line ends stand between what was and what comes.
    fn part(&mut self, breaks: usize) {
        if !self.out.is_empty() && !self.marked {
            self.breaks = self.breaks.max(breaks);
        }
        self.gap = false;
    }

    fn cell(&mut self) {
        self.gap = !self.out.is_empty();
    }

    fn item(&mut self) {
        let depth = self.lists.len().saturating_sub(1);
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number += 1;
                mark
            }
            Some(None) | None => "- ".to_owned(),
        };
        let indent = "  ".repeat(depth.min(MAX_QUOTES));
        self.marked = false;
        self.word(&format!("{indent}{mark}"));
        self.marked = true;
    }

    fn end_link(&mut self) {
        let Some((start, target)) = self.link.take() else {
            return;
        };
        let shown = self.out.get(start..).unwrap_or_default().trim();
        let bare = |url: &str| {
            let url = url.strip_prefix("mailto:").unwrap_or(url);
            url.trim_end_matches('/').to_owned()
        };
        if bare(shown) == bare(&target) {
            return;
        }
        let target = format!("<{}>", target.strip_prefix("mailto:").unwrap_or(&target));
        self.gap = !shown.is_empty();
        self.word(&target);
    }

    fn text(&mut self, text: &str) {
        if self.preformatted > 0 {
            let mut lines = text.split('\n');
            lines.next().into_iter().for_each(|line| self.word(line));
            for line in lines {
                self.breaks += 1;
                self.word(line);
            }
            return;
        }
        // A no-break space is one that was meant.
        let blank = |it: char| it.is_whitespace() && it != '\u{a0}';
        if text.starts_with(blank) {
            self.gap = true;
        }
        let mut words = text.split(blank).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            self.word(&word.replace('\u{a0}', " "));
            self.gap = words.peek().is_some() || text.ends_with(blank);
        }
    }

    /// Writes `word` as it is, behind what is due before it.
    fn word(&mut self, word: &str) {
        if word.is_empty() {
            return;
        }
        let starts = self.out.is_empty();
        if !starts && self.breaks > 0 {
            // The end of the line before, without its blanks.
            let end = self.out.trim_end_matches([' ', '\t']).len();
            self.out.truncate(end);
        }
        for at in 0..self.breaks.min(3) {
            if !starts {
                self.out.push('\n');
                if at + 1 < self.breaks.min(3) {
                    self.quote();
                }
            }
        }
        if starts || self.breaks > 0 {
            self.quote();
        } else if self.gap && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
        self.breaks = 0;
        self.gap = false;
        self.marked = false;
        if let Some((start, _)) = &mut self.link
            && self.out.get(*start..).unwrap_or_default().trim().is_empty()
        {
            *start = self.out.len();
        }
        self.out.push_str(word);
    }

    fn quote(&mut self) {
        let depth = self.quotes.min(MAX_QUOTES);
        if depth > 0 {
            self.out.push_str(&">".repeat(depth));
            self.out.push(' ');
        }
    }

    fn finish(mut self) -> String {
        self.end_link();
        let end = self.out.trim_end().len();
        self.out.truncate(end);
        self.out
    }
}

const fn counted(depth: usize, closing: bool) -> usize {
    if closing {
        depth.saturating_sub(1)
    } else {
        depth.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_the_page() {
        for (html, expected) in [
            ("", ""),
            (
                "<p>Dear Jo,</p><p>your  results\nare <b>here</b>.</p>",
                "Dear Jo,\n\nyour results are here.",
            ),
            ("a<br>b<br><br>c", "a\nb\n\nc"),
            ("<div>a</div><div>b</div>", "a\nb"),
            ("<ul><li>a<li>b<ul><li>c</ul></ul>x", "- a\n- b\n  - c\n\nx"),
            ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
            (
                "<ul><li><p>a</p></li><li><div>b</div></li></ul>",
                "- a\n\n- b",
            ),
            (
                "<a href=\"https://x.example/a?b=1&amp;c=2\">here</a>.",
                "here <https://x.example/a?b=1&c=2>.",
            ),
            (
                "<a href=\"https://x.example/\">https://x.example</a>",
                "https://x.example",
            ),
            (
                "<a href=\"https://evil.example/\">https://bank.example/</a>",
                "https://bank.example/ <https://evil.example/>",
            ),
            (
                "<a href=\"mailto:jo@x.example\">jo@x.example</a>",
                "jo@x.example",
            ),
            ("<a href=\"javascript:x\">a</a>", "a"),
            (
                "<blockquote>a<p>b</p><blockquote>c</blockquote></blockquote>d",
                "> a\n> \n> b\n>> \n>> c\n\nd",
            ),
            ("<pre>a\n  b</pre>c", "a\n  b\n\nc"),
            (
                "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
                "a b\nc",
            ),
            (
                "<style>p{}</style><script>x</script>a&lt;b&gt; &amp;amp; c",
                "a<b> &amp; c",
            ),
            ("a<hr>b", "a\n\n----------\n\nb"),
            ("<img src=x alt=\"a chart\">", "[a chart]"),
            ("a&nbsp;b", "a b"),
            ("<p title=\"a > b\">x", "x"),
        ] {
            assert_eq!(
                text(html).text.replace("> \n", ">\n"),
                expected.replace("> \n", ">\n"),
                "{html}"
            );
        }
    }
}
