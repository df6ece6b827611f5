//! HTML (and other text with tags) to text: what is shown, and apart from it what is hidden in
//! comments, scripts, styles and attributes. One pass, no stack.
//!
//! A tag within a line joins what stands around it, as on a screen: `12<b></b>3` is 123. A block
//! ends the line, a table cell ends with a tab.

use mail_parser::decoders::html::add_html_token;

/// Longest entity name with its `&` and `;`.
const MAX_ENTITY_OCTETS: usize = 40;

/// Attributes whose value is text.
const TEXT_ATTRIBUTES: [&str; 8] = [
    "alt",
    "title",
    "value",
    "placeholder",
    "content",
    "summary",
    "label",
    "aria-label",
];

/// The texts of a page.
#[derive(Debug, Default)]
pub(in crate::scan) struct Html {
    /// What a person sees.
    pub shown: String,
    /// What stands in comments, scripts, styles and attributes.
    pub hidden: String,
    /// A picture or a file is embedded (`data:`, RFC 2397).
    pub embeds: bool,
}

/// Reads `input`.
pub(in crate::scan) fn read(input: &str) -> Html {
    let mut html = Html {
        shown: String::with_capacity(input.len()),
        ..Html::default()
    };
    html.take(input, true);
    html
}

impl Html {
    fn take(&mut self, input: &str, comments: bool) {
        let mut rest = input;
        while let Some(at) = memchr::memchr2(b'<', b'&', rest.as_bytes()) {
            let (text, behind) = rest.split_at(at);
            self.text(text);
            rest = if behind.starts_with('&') {
                self.entity(behind)
            } else if let Some(comment) = behind.strip_prefix("<!--") {
                let (inner, after) = cut(comment, "-->");
                self.comment(inner, comments);
                after
            } else if let Some(data) = behind.strip_prefix("<![CDATA[") {
                let (inner, after) = cut(data, "]]>");
                self.text(inner);
                after
            } else {
                self.tag(behind)
            };
        }
        self.text(rest);
    }

    /// Text without the characters that nobody sees.
    fn text(&mut self, text: &str) {
        if text.is_ascii() {
            self.shown.push_str(text);
            return;
        }
        for character in text.chars() {
            self.character(character);
        }
    }

    fn character(&mut self, character: char) {
        match character {
            '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' => {}
            '\u{A0}' => self.shown.push(' '),
            other => self.shown.push(other),
        }
    }

    fn entity<'a>(&mut self, behind: &'a str) -> &'a str {
        let name = behind
            .bytes()
            .skip(1)
            .take(MAX_ENTITY_OCTETS)
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'#')
            .count();
        let end = name + 1;
        let closed = behind.as_bytes().get(end) == Some(&b';');
        let (token, rest) = behind.split_at(end + usize::from(closed));
        // Numbers and the old names count without their semicolon as well.
        let open = token.starts_with("&#") || matches!(token, "&nbsp" | "&amp" | "&lt" | "&gt");
        if name == 0 || !(closed || open) {
            self.shown.push_str(token);
            return rest;
        }
        let mut decoded = String::new();
        if closed {
            add_html_token(&mut decoded, token.as_bytes(), false);
        } else {
            add_html_token(&mut decoded, format!("{token};").as_bytes(), false);
        }
        self.text(&decoded);
        rest
    }

    /// A comment may hold a page for one program only, so it is read as one.
    fn comment(&mut self, inner: &str, comments: bool) {
        if !comments {
            self.hide(inner);
            return;
        }
        let mut page = Self::default();
        page.take(inner, false);
        self.hide(&page.shown);
        self.hide(&page.hidden);
        self.embeds |= page.embeds;
    }

    fn hide(&mut self, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.hidden.push_str(text);
            self.hidden.push('\n');
        }
    }

    /// Reads the tag at the start of `behind`; what follows it.
    fn tag<'a>(&mut self, behind: &'a str) -> &'a str {
        let inside = behind.get(1..).unwrap_or_default();
        let begins = inside.bytes().next();
        if !begins.is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'/' | b'!' | b'?')) {
            self.shown.push('<');
            return inside;
        }
        let closing = begins == Some(b'/');
        let named = inside.strip_prefix('/').unwrap_or(inside);
        let length = named
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_' | b'.'))
            .count();
        let (name, attributes) = named.split_at(length);
        let name = name
            .get(..name.len().min(24))
            .unwrap_or(name)
            .to_ascii_lowercase();
        let rest = self.attributes(attributes);
        self.lay_out(&name, closing);
        if !closing && matches!(name.as_str(), "script" | "style") {
            let (hidden, after) = cut_at_closing(rest, &name);
            self.hide(hidden);
            return after;
        }
        rest
    }

    fn lay_out(&mut self, name: &str, closing: bool) {
        match name {
            "td" | "th" if closing => self.shown.push('\t'),
            name if is_block(name) && !self.shown.ends_with('\n') => self.shown.push('\n'),
            _ => {}
        }
    }

    /// Reads the attributes up to the end of the tag; what follows it.
    fn attributes<'a>(&mut self, from: &'a str) -> &'a str {
        let mut rest = from;
        loop {
            let Some(at) = rest.bytes().position(|b| matches!(b, b'>' | b'=')) else {
                self.hide(rest); // never closed: some programs show it
                return "";
            };
            let (before, behind) = rest.split_at(at);
            if behind.starts_with('>') {
                return behind.get(1..).unwrap_or_default();
            }
            let name = before
                .trim_end()
                .rsplit(|c: char| c.is_ascii_whitespace() || c == '/')
                .next()
                .unwrap_or_default();
            let value = behind.get(1..).unwrap_or_default().trim_start();
            let (value, after) = match value.bytes().next() {
                Some(quote @ (b'"' | b'\'')) => self.quoted(value, char::from(quote)),
                _ => {
                    let end = value
                        .bytes()
                        .position(|b| b.is_ascii_whitespace() || b == b'>')
                        .unwrap_or(value.len());
                    value.split_at(end)
                }
            };
            self.value(name, value);
            rest = after;
        }
    }

    /// A value in quotes, and what follows. Without its end nobody knows what is shown.
    fn quoted<'a>(&mut self, value: &'a str, quote: char) -> (&'a str, &'a str) {
        let inside = value.get(1..).unwrap_or_default();
        inside.split_once(quote).unwrap_or_else(|| {
            self.hide(inside);
            ("", "")
        })
    }

    fn value(&mut self, name: &str, value: &str) {
        if TEXT_ATTRIBUTES
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        {
            let mut page = Self::default();
            page.text_with_entities(value);
            self.hide(&page.shown);
        }
        let start = value.trim_start().as_bytes();
        let data = start
            .get(..5)
            .is_some_and(|begin| begin.eq_ignore_ascii_case(b"data:"));
        self.embeds |= data && start.len() > 5;
        self.embeds |= name.eq_ignore_ascii_case("style")
            && memchr::memmem::find(value.as_bytes(), b"data:image").is_some();
    }

    fn text_with_entities(&mut self, value: &str) {
        let mut rest = value;
        while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
            let (text, behind) = rest.split_at(at);
            self.text(text);
            rest = self.entity(behind);
        }
        self.text(rest);
    }
}

/// Whether an element with this name begins a line of its own.
fn is_block(name: &str) -> bool {
    const BLOCKS: [&str; 39] = [
        "br",
        "hr",
        "p",
        "div",
        "tr",
        "table",
        "li",
        "ul",
        "ol",
        "dl",
        "dt",
        "dd",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "title",
        "head",
        "body",
        "html",
        "section",
        "article",
        "header",
        "footer",
        "blockquote",
        "pre",
        "form",
        "option",
        "select",
        "textarea",
        "center",
        "caption",
        "address",
        "thead",
        "tbody",
        "main",
        "aside",
    ];
    BLOCKS.contains(&name)
}

/// What stands before `end` and behind it; without it all stands before.
fn cut<'a>(text: &'a str, end: &str) -> (&'a str, &'a str) {
    text.split_once(end).unwrap_or((text, ""))
}

/// Cuts at `</name`, whatever its case.
fn cut_at_closing<'a>(text: &'a str, name: &str) -> (&'a str, &'a str) {
    let mut from = 0;
    while let Some(found) = text
        .as_bytes()
        .get(from..)
        .and_then(|rest| memchr::memmem::find(rest, b"</"))
    {
        let at = from + found;
        let end = at + 2 + name.len();
        let closes = text
            .as_bytes()
            .get(at + 2..end)
            .is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()));
        if closes {
            return text.split_at(at);
        }
        from = at + 2;
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_a_person_sees() {
        for (page, shown) in [
            ("12<b></b>3-45-6789", "123-45-6789"),
            ("12<!-- x -->3", "123"),
            ("12<span style='display:none'>9</span>3", "1293"),
            ("a<br>b<p>c", "a\nb\nc"),
            ("<td>Name</td><td>SSN</td>", "Name\tSSN\t"),
            ("1&#50;&#x33;&ndash;4&amp;5&nbsp;6", "123–4&5 6"),
            ("1&#502", "1\u{1F6}"),
            ("1\u{200B}2\u{AD}3&zwnj;4&shy;5", "12345"),
            ("AT&T a < b &unknown; &", "AT&T a < b &unknown; &"),
            ("<a title=\"x>y\">z</a>", "z"),
            ("1<b", "1"),
            ("<script>var a = 1 < 2;</script>z", "z"),
            ("<STYLE>p{}</StYlE>z", "z"),
            ("<![CDATA[1 < 2]]>3", "1 < 23"),
        ] {
            assert_eq!(read(page).shown, shown, "{page}");
        }
    }

    #[test]
    fn keeps_what_is_hidden() {
        for (page, hidden) in [
            ("<!-- 123-45-6789 -->", "123-45-6789\n"),
            (
                "<!--[if mso]><p>12<b>3</b></p><![endif]-->",
                "[if mso]>\n123\n![endif]\n",
            ),
            ("<script>let ssn = 1;</script>", "let ssn = 1;\n"),
            ("<style>/* 12 */</style>", "/* 12 */\n"),
            ("<img alt='A &amp; B' src=x>", "A & B\n"),
            ("<input value=12>", "12\n"),
            ("<!-- never closed", "never closed\n"),
            ("<!-- <!-- 123 --> -->", "123\n"),
            ("<b x=\"123 <p>y", "123 <p>y\n"),
            ("<b 123 never closed", "123 never closed\n"),
        ] {
            assert_eq!(read(page).hidden, hidden, "{page}");
        }
    }

    #[test]
    fn embedded_pictures_are_noticed() {
        assert!(read("<img src='data:image/png;base64,AAAA'>").embeds);
        assert!(read("<p style='background:url(data:image/png;base64,AAAA)'>").embeds);
        assert!(!read("<img src='cid:1'>").embeds);
    }
}
