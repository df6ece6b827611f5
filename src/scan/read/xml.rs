//! XML parts of office documents to text (ECMA-376, ISO/IEC 26300). No DTD is read and no entity
//! is expanded but the five of XML and character references.
//!
//! Runs within a paragraph are joined, since word processors cut words and numbers into runs; a
//! paragraph ends the line, a table cell ends with a tab and keeps its paragraphs on one line, so
//! that a cell stays below its heading.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader as XmlReader, XmlVersion};

use crate::scan::text;

/// Deepest nesting of elements that is followed.
const MAX_ELEMENTS: usize = 10_000;
/// Most spaces or columns that one attribute stands for.
const MAX_REPEATED: usize = 256;

/// How text stands in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Text in a paragraph stands in `t` elements, and white space between elements is none.
    Ooxml,
    /// All that stands in a paragraph is text.
    Odf,
}

/// What an open element means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Paragraph,
    /// Holds characters.
    Text,
    /// Holds texts, tabs and breaks.
    Run,
    Cell,
    Row,
    Other,
}

/// The local name of an element, and of an attribute.
pub(super) fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// The value of the attribute with this local name.
pub(super) fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    start
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|one| local(one.key.as_ref()) == name)
        .and_then(|one| {
            one.normalized_value(XmlVersion::Implicit1_0)
                .ok()
                .map(std::borrow::Cow::into_owned)
        })
}

/// A reader that takes XML as it comes.
pub(super) fn lenient(xml: &str) -> XmlReader<&[u8]> {
    let mut reader = XmlReader::from_str(xml);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    reader
}

/// What a reference within text stands for.
pub(super) fn reference(name: &str, character: Option<char>) -> Option<char> {
    match (name, character) {
        (_, Some(character)) => Some(character),
        ("amp", None) => Some('&'),
        ("lt", None) => Some('<'),
        ("gt", None) => Some('>'),
        ("quot", None) => Some('"'),
        ("apos", None) => Some('\''),
        _ => None,
    }
}

/// The first element's local name.
pub(super) fn root(xml: &str) -> Option<String> {
    let mut reader = lenient(xml);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start) | Event::Empty(start)) => {
                return Some(local(start.name().as_ref()).to_owned());
            }
            Ok(Event::Eof) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// The text of `octets`; whether it was read to its end.
pub(super) fn read(octets: &[u8], dialect: Dialect) -> (String, bool) {
    let (decoded, _) = text::decode(octets, None);
    let mut flow = Flow {
        dialect,
        out: String::new(),
        aside: String::new(),
        open: Vec::new(),
        paragraphs: 0,
        cells: 0,
    };
    let whole = flow.run(&decoded);
    flow.line();
    flow.out.push_str(&flow.aside);
    (flow.out, whole)
}

struct Flow {
    dialect: Dialect,
    out: String,
    aside: String,
    open: Vec<Element>,
    paragraphs: usize,
    cells: usize,
}

impl Flow {
    fn run(&mut self, xml: &str) -> bool {
        let mut reader = lenient(xml);
        loop {
            match reader.read_event() {
                Ok(Event::Start(start)) => {
                    if self.open.len() >= MAX_ELEMENTS {
                        return false;
                    }
                    self.point(&start);
                    self.start(local(start.name().as_ref()));
                }
                Ok(Event::Empty(start)) => {
                    self.point(&start);
                    let element = element(local(start.name().as_ref()));
                    self.leave(element);
                }
                Ok(Event::End(_)) => self.end(),
                Ok(Event::Text(text)) => self.text(&text.into_inner()),
                Ok(Event::CData(text)) => self.text(&text.into_inner()),
                Ok(Event::GeneralRef(name)) => {
                    let character = name.resolve_char_ref().ok().flatten();
                    let mut buffer = [0; 4];
                    if let Some(character) = reference(&name.into_inner(), character) {
                        let text = character.encode_utf8(&mut buffer);
                        self.text_within(text);
                    }
                }
                Ok(Event::Eof) => return self.open.is_empty(),
                Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
                // Entities of its own could spell anything, and office documents have none.
                Ok(Event::DocType(_)) | Err(_) => return false,
            }
        }
    }

    fn start(&mut self, name: &str) {
        let element = element(name);
        match element {
            Element::Paragraph => self.paragraphs += 1,
            Element::Cell => self.cells += 1,
            _ => {}
        }
        self.open.push(element);
    }

    fn end(&mut self) {
        let Some(element) = self.open.pop() else {
            return;
        };
        match element {
            Element::Paragraph => self.paragraphs -= 1,
            Element::Cell => self.cells -= 1,
            _ => {}
        }
        self.leave(element);
        // Text that stands in no paragraph ends with its element.
        if element == Element::Other && self.paragraphs == 0 && self.cells == 0 {
            self.line();
        }
    }

    fn leave(&mut self, element: Element) {
        match element {
            Element::Paragraph if self.cells > 0 => self.space(),
            Element::Paragraph | Element::Row => self.line(),
            Element::Cell => {
                while self.out.ends_with(' ') {
                    self.out.pop();
                }
                self.out.push('\t');
            }
            Element::Text | Element::Run | Element::Other => {}
        }
    }

    fn line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn space(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with(char::is_whitespace) {
            self.out.push(' ');
        }
    }

    /// Elements that stand for characters, and attributes that are text.
    fn point(&mut self, start: &BytesStart<'_>) {
        let repeated = |name: &str| {
            attribute(start, name)
                .and_then(|count| count.parse::<usize>().ok())
                .unwrap_or(1)
                .min(MAX_REPEATED)
        };
        match local(start.name().as_ref()) {
            "tab" | "ptab" if self.paragraphs > 0 && self.in_text_place() => self.out.push('\t'),
            "br" | "cr" | "line-break" => self.out.push('\n'),
            "noBreakHyphen" => self.out.push('-'),
            "s" if self.dialect == Dialect::Odf => {
                for _ in 0..repeated("c") {
                    self.out.push(' ');
                }
            }
            "table-cell" | "covered-table-cell" => {
                for _ in 1..repeated("number-columns-repeated") {
                    self.out.push('\t');
                }
            }
            "docPr" | "cNvPr" => {
                for name in ["descr", "title"] {
                    if let Some(text) = attribute(start, name).filter(|text| !text.is_empty()) {
                        // Said of a picture that may stand within a word: apart from it.
                        self.aside.push_str(&text);
                        self.aside.push('\n');
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a `tab` here is a character: in properties it is a tab stop.
    fn in_text_place(&self) -> bool {
        self.dialect == Dialect::Odf || self.open.last() == Some(&Element::Run)
    }

    fn text(&mut self, text: &str) {
        if self.paragraphs == 0 && text.trim().is_empty() {
            return;
        }
        self.text_within(text);
    }

    fn text_within(&mut self, text: &str) {
        match self.dialect {
            Dialect::Ooxml if self.open.last() == Some(&Element::Text) => self.out.push_str(text),
            Dialect::Ooxml if self.paragraphs > 0 => {
                // Fields and the like: kept apart from the runs around them.
                if !text.trim().is_empty() {
                    self.out.push_str(text);
                }
            }
            Dialect::Odf if self.paragraphs > 0 => {
                for character in text.chars() {
                    if character.is_ascii_whitespace() {
                        self.space();
                    } else {
                        self.out.push(character);
                    }
                }
            }
            Dialect::Ooxml | Dialect::Odf => self.out.push_str(text),
        }
    }
}

fn element(name: &str) -> Element {
    match name {
        "p" | "h" | "si" => Element::Paragraph,
        "t" | "delText" | "instrText" | "delInstrText" => Element::Text,
        "r" => Element::Run,
        "tc" | "table-cell" | "covered-table-cell" => Element::Cell,
        "tr" | "table-row" => Element::Row,
        _ => Element::Other,
    }
}
