//! The parts of a message: a tree by their boundaries, each with what its header claims.
//!
//! Top down: the boundaries of a part are looked for within what its own parent gave it, so that
//! no part can reach out of its parent. Messages within messages stay closed. Bounds: those of
//! [`crate::mail::message`] for parts and depth, so what was accepted can be read.

use std::ops::Range;

use mail_parser::{HeaderName, HeaderValue, MessageParser, MimeHeaders};

use super::letter::ReadError;
use super::transfer::Transfer;
use crate::mail::message::{MAX_MIME_DEPTH, MAX_MIME_PARTS};

/// Most octets of a part's header that are looked at.
const MAX_PART_HEADER_OCTETS: usize = 64 * 1024;
/// Most characters of a type, a parameter or a Content-ID that are kept.
const MAX_WORD_CHARS: usize = 255;

/// What is said of where a part is shown (RFC 2183).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    Unsaid,
    Inline,
    Attachment,
}

/// A part that holds no parts.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// `type/subtype`, lower case.
    pub kind: String,
    pub charset: Option<String>,
    /// `format=flowed`, and `delsp=yes` with it (RFC 3676).
    pub flowed: bool,
    pub delsp: bool,
    /// The name it claims, as it is.
    pub name: Option<String>,
    /// Its Content-ID without brackets.
    pub content_id: Option<String>,
    pub disposition: Disposition,
    pub transfer: Transfer,
    /// Where its octets lie.
    pub body: Range<usize>,
}

/// What holds parts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grouping {
    Alternative,
    Related,
    Signed,
    Encrypted,
    /// Anything else: one after the other.
    Mixed,
}

/// A part.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Leaf(Leaf),
    Group(Grouping, Vec<Node>),
}

/// Reads the parts of `message`.
pub(super) fn read(message: &[u8]) -> Result<Node, ReadError> {
    let mut reader = Reader { message, parts: 0 };
    reader.entity(0..message.len(), 0, false)
}

struct Reader<'a> {
    message: &'a [u8],
    parts: usize,
}

impl Reader<'_> {
    fn entity(&mut self, all: Range<usize>, depth: usize, digest: bool) -> Result<Node, ReadError> {
        self.parts += 1;
        // The message itself is not one of its parts.
        if self.parts > MAX_MIME_PARTS + 1 {
            return Err(ReadError::TooManyParts);
        }
        let octets = self.message.get(all.clone()).unwrap_or_default();
        let (header, behind) = split(octets);
        let body = all.start + behind..all.end;
        let claims = Claims::read(header, digest);
        let Some((grouping, boundary)) = claims.group else {
            return Ok(Node::Leaf(Leaf {
                body,
                ..claims.leaf
            }));
        };
        if depth == MAX_MIME_DEPTH {
            return Err(ReadError::TooDeep);
        }
        let digest = claims.leaf.kind == "multipart/digest";
        let mut children = Vec::new();
        for part in pieces(self.message, body, &boundary) {
            children.push(self.entity(part, depth + 1, digest)?);
        }
        Ok(Node::Group(grouping, children))
    }
}

/// The header of an entity, and where its body begins.
fn split(octets: &[u8]) -> (&[u8], usize) {
    let mut from = 0;
    loop {
        let rest = octets.get(from..).unwrap_or_default();
        for empty in [&b"\r\n"[..], b"\n"] {
            if rest.starts_with(empty) {
                return (octets.get(..from).unwrap_or_default(), from + empty.len());
            }
        }
        match memchr::memchr(b'\n', rest) {
            Some(at) => from += at + 1,
            None => return (octets, octets.len()),
        }
    }
}

/// What stands between the lines of `boundary` (RFC 2046 §5.1.1): the line end before a boundary
/// belongs to it. One that is never closed ends with its parent.
fn pieces(message: &[u8], body: Range<usize>, boundary: &[u8]) -> Vec<Range<usize>> {
    let octets = message.get(body.clone()).unwrap_or_default();
    let mut found = Vec::new();
    let mut open: Option<usize> = None;
    let mut line = 0; // where the line begins that is looked at
    while line < octets.len() {
        let rest = octets.get(line..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).map_or(octets.len(), |at| line + at + 1);
        if rest.starts_with(b"--") {
            let text = octets.get(line + 2..end).unwrap_or_default();
            let text = text.trim_ascii_end();
            let closes = match text.strip_prefix(boundary) {
                Some(b"") => Some(false),
                Some(b"--") => Some(true),
                Some(_) | None => None,
            };
            if let Some(closes) = closes {
                if let Some(start) = open {
                    let before = octets.get(start..line).unwrap_or_default();
                    let cut = before.strip_suffix(b"\n").unwrap_or(before);
                    let cut = cut.strip_suffix(b"\r").unwrap_or(cut);
                    found.push(body.start + start..body.start + start + cut.len());
                }
                if closes || found.len() > MAX_MIME_PARTS {
                    return found;
                }
                open = Some(end);
            }
        }
        line = end;
    }
    if let Some(start) = open.filter(|start| *start < octets.len()) {
        found.push(body.start + start..body.end);
    }
    found
}

/// What a header says of its body.
struct Claims {
    leaf: Leaf,
    group: Option<(Grouping, Vec<u8>)>,
}

impl Claims {
    /// In a digest a part is a message unless it says otherwise (RFC 2046 §5.1.5).
    fn read(header: &[u8], digest: bool) -> Self {
        let most = header.len().min(MAX_PART_HEADER_OCTETS);
        let mut block = header.get(..most).unwrap_or_default().to_vec();
        block.extend_from_slice(b"\r\n\r\n");
        let parsed = MessageParser::new()
            .with_mime_headers()
            .parse_headers(&block);
        let mut leaf = Leaf {
            kind: if digest {
                "message/rfc822"
            } else {
                "text/plain"
            }
            .to_owned(),
            charset: None,
            flowed: false,
            delsp: false,
            name: None,
            content_id: None,
            disposition: Disposition::Unsaid,
            transfer: Transfer::Identity,
            body: 0..0,
        };
        let Some(parsed) = parsed else {
            return Self { leaf, group: None };
        };
        leaf.transfer = match parsed.header(HeaderName::ContentTransferEncoding) {
            Some(HeaderValue::Text(name)) => Transfer::named(name),
            _ => Transfer::Identity,
        };
        leaf.content_id = parsed
            .content_id()
            .map(|id| word(id.trim_matches(['<', '>'])));
        leaf.name = parsed
            .attachment_name()
            .filter(|name| !name.trim().is_empty())
            .map(str::to_owned);
        leaf.disposition = match parsed.content_disposition() {
            Some(one) if one.ctype().trim().eq_ignore_ascii_case("inline") => Disposition::Inline,
            Some(_) => Disposition::Attachment,
            None => Disposition::Unsaid,
        };
        let Some(kind) = parsed.content_type() else {
            return Self { leaf, group: None };
        };
        let subtype = kind.subtype().unwrap_or_default().trim();
        leaf.kind = word(&format!("{}/{subtype}", kind.ctype().trim())).to_ascii_lowercase();
        leaf.charset = kind.attribute("charset").map(word);
        let says = |name: &str, value: &str| {
            let said = kind.attribute(name);
            said.is_some_and(|said| said.trim().eq_ignore_ascii_case(value))
        };
        leaf.flowed = says("format", "flowed");
        leaf.delsp = says("delsp", "yes");
        let boundary = kind.attribute("boundary").unwrap_or_default();
        let boundary = boundary.trim_ascii_end().as_bytes().to_vec();
        let grouping = match leaf.kind.as_str() {
            _ if boundary.is_empty() => None,
            "multipart/alternative" => Some(Grouping::Alternative),
            "multipart/related" => Some(Grouping::Related),
            "multipart/signed" => Some(Grouping::Signed),
            "multipart/encrypted" => Some(Grouping::Encrypted),
            other => other.starts_with("multipart/").then_some(Grouping::Mixed),
        };
        let group = grouping.map(|grouping| (grouping, boundary));
        Self { leaf, group }
    }
}

fn word(text: &str) -> String {
    text.chars().take(MAX_WORD_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(node: &Node, message: &str) -> String {
        match node {
            Node::Leaf(leaf) => format!("{}={:?}", leaf.kind, &message[leaf.body.clone()]),
            Node::Group(grouping, parts) => {
                let parts: Vec<String> = parts.iter().map(|it| shape(it, message)).collect();
                format!("{grouping:?}[{}]", parts.join(" "))
            }
        }
    }

    fn of(message: &str) -> String {
        shape(&read(message.as_bytes()).unwrap(), message)
    }

    #[test]
    fn parts_stay_within_their_parents() {
        let inner = "Content-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\n\r\na\r\n--in\r\nContent-Type: text/html\r\n\r\nb\r\n";
        let message = format!(
            "Subject: x\r\nContent-Type: multipart/mixed; boundary=\"out\"\r\n\r\npre\r\n--out\r\n{inner}--out \t\r\n\r\nc\r\n--outer\r\n--out--\r\n--in\r\n\r\nno"
        );
        assert_eq!(
            of(&message),
            "Mixed[Alternative[text/plain=\"a\" text/html=\"b\"] text/plain=\"c\\r\\n--outer\"]"
        );
    }

    #[test]
    fn reads_what_is_hardly_a_message() {
        for (message, found) in [
            ("", "text/plain=\"\""),
            ("text", "text/plain=\"\""),
            ("\r\nbody", "text/plain=\"body\""),
            ("A: b\n\nbody", "text/plain=\"body\""),
            (
                "Content-Type: multipart/mixed\r\n\r\nx",
                "multipart/mixed=\"x\"",
            ),
            (
                "Content-Type: multipart/mixed; boundary=b\r\n\r\nx",
                "Mixed[]",
            ),
            (
                "Content-Type: multipart/x; boundary=b\r\n\r\n--b",
                "Mixed[]",
            ),
            (
                "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n",
                "Mixed[message/rfc822=\"Subject: x\\r\\n\"]",
            ),
        ] {
            assert_eq!(of(message), found, "{message:?}");
        }
    }

    #[test]
    fn bounds_hold() {
        let mut deep = String::from("Content-Type: multipart/mixed; boundary=b0\r\n\r\n");
        for level in 1..60 {
            deep += &format!(
                "--b{}\r\nContent-Type: multipart/mixed; boundary=b{level}\r\n\r\n",
                level - 1
            );
        }
        assert_eq!(read(deep.as_bytes()).unwrap_err(), ReadError::TooDeep);
        for (parts, sound) in [(1000, true), (1001, false), (100_000, false)] {
            let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
            let wide = format!("{head}{}", "--b\r\n\r\nx\r\n".repeat(parts));
            let found = read(wide.as_bytes());
            assert_eq!(found.is_ok(), sound, "{parts}");
        }
        // Messages within messages are not gone into.
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
        assert!(matches!(read(nested.as_bytes()), Ok(Node::Leaf(_))));
    }
}
