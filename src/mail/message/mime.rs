//! A walk over the MIME structure of a message while it streams past (RFC 2046 §5.1, §5.2.1):
//! counts parts and depth and says when there are too many, and notes what each part claims to be.
//! Iterative, in bounded memory: the open boundaries, one line, one part's header, and type and
//! name of the parts.

use mail_parser::{MessageParser, MimeHeaders};

use super::{MAX_MIME_DEPTH, MAX_MIME_PARTS, MAX_PART_KIND_OCTETS, MAX_PART_NAME_OCTETS};

/// Longest header of a part, in octets.
const MAX_PART_HEADER_OCTETS: usize = 64 * 1024;
/// How much of a line is looked at; boundaries are at most 70 octets (RFC 2046 §5.1.1), lines 998.
const MAX_LOOK_OCTETS: usize = 1024;

/// Why the structure is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// Over [`MAX_MIME_DEPTH`].
    #[error("MIME parts are nested more than {MAX_MIME_DEPTH} deep")]
    TooDeep,
    /// Over [`MAX_MIME_PARTS`].
    #[error("the message has more than {MAX_MIME_PARTS} MIME parts")]
    TooManyParts,
    /// Over [`MAX_PART_HEADER_OCTETS`].
    #[error("the header of a MIME part is longer than {MAX_PART_HEADER_OCTETS} octets")]
    PartHeader,
}

/// What a part claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The declared type in lower case, `application/pdf`; where none is declared, what RFC 2045
    /// §5.2 and RFC 2046 §5.1.5 assume.
    pub kind: String,
    /// The decoded file name (RFC 2183 §2.3, RFC 2231, RFC 2047), where it has one.
    pub name: Option<String>,
    /// The other name: the type's own `name` (RFC 2045 §5.1) where it is not the same. Programs
    /// differ in which of the two they use.
    pub other_name: Option<String>,
}

/// The walk. Made from the message's own header, then fed its body in chunks of any size.
#[derive(Debug)]
pub struct MimeWalk {
    open: Vec<Container>,
    parts: usize,
    /// In the order of the message; as many as the bounds on parts and depth allow.
    found: Vec<Part>,
    place: Place,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
}

#[derive(Debug)]
enum Container {
    /// Ends where an outer boundary stands, or its own with a trailing `--`.
    Multipart {
        boundary: Vec<u8>,
        /// `multipart/digest`, whose parts are messages (RFC 2046 §5.1.5).
        digest: bool,
    },
    /// `message/rfc822`: ends where an outer boundary stands.
    Message,
}

#[derive(Debug)]
enum Place {
    /// In a part's header: what was read of it.
    Header(Vec<u8>),
    /// In a part's body, a preamble or an epilogue.
    Body,
}

impl MimeWalk {
    /// Starts behind `header`, the message's own.
    pub fn new(header: &[u8]) -> Result<Self, MimeError> {
        let mut walk = Self {
            open: Vec::new(),
            parts: 0,
            found: Vec::new(),
            place: Place::Body,
            line: Vec::new(),
        };
        walk.place = walk.enter(header)?;
        Ok(walk)
    }

    /// The body is whole: what its parts claim to be, the message itself first.
    pub fn finish(mut self) -> Vec<Part> {
        // A last line without a line end, and a part that is all header.
        let line = std::mem::take(&mut self.line);
        // One part too many by this very line is one that nothing stands in.
        let within = line.is_empty() || self.line(&line).is_ok();
        if within {
            self.abandon_header();
        }
        self.found
    }

    /// Takes the next octets of the body.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), MimeError> {
        let mut rest = chunk;
        while !rest.is_empty() && !self.open.is_empty() {
            let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
            let (part, tail) = rest.split_at(end.unwrap_or(rest.len()));
            rest = tail;
            let whole = self.line.is_empty() && end.is_some();
            if whole && matches!(self.place, Place::Body) && !part.starts_with(b"--") {
                continue; // most lines of most messages
            }
            let room = MAX_LOOK_OCTETS.saturating_sub(self.line.len());
            self.line
                .extend_from_slice(part.get(..room).unwrap_or(part));
            if end.is_some() {
                let mut line = std::mem::take(&mut self.line);
                self.line(&line)?;
                line.clear();
                self.line = line;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), MimeError> {
        if let Some((depth, closes)) = self.boundary(line) {
            self.abandon_header();
            self.open.truncate(depth);
            self.place = if closes {
                self.open.pop();
                Place::Body
            } else {
                self.parts += 1;
                if self.parts > MAX_MIME_PARTS {
                    return Err(MimeError::TooManyParts);
                }
                Place::Header(Vec::new())
            };
            return Ok(());
        }
        match std::mem::replace(&mut self.place, Place::Body) {
            Place::Body => {}
            Place::Header(header) if line.trim_ascii().is_empty() => {
                self.place = self.enter(&header)?;
            }
            Place::Header(mut header) => {
                if header.len() + line.len() > MAX_PART_HEADER_OCTETS {
                    return Err(MimeError::PartHeader);
                }
                header.extend_from_slice(line);
                self.place = Place::Header(header);
            }
        }
        Ok(())
    }

    /// Whether `line` is the delimiter of an open multipart: how many containers stay open, its
    /// own included, and whether it closes that one. The innermost match counts.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let text = line.strip_prefix(b"--")?.trim_ascii_end();
        for (at, container) in self.open.iter().enumerate().rev() {
            let Container::Multipart { boundary, .. } = container else {
                continue;
            };
            match text.strip_prefix(boundary.as_slice()) {
                Some(b"") => return Some((at + 1, false)),
                Some(b"--") => return Some((at + 1, true)),
                Some(_) | None => {}
            }
        }
        None
    }

    /// A part that ended within its header is a part, whatever it claims to hold.
    fn abandon_header(&mut self) {
        if let Place::Header(header) = std::mem::replace(&mut self.place, Place::Body) {
            let (part, _) = claims(&header, self.in_digest());
            self.found.push(part);
        }
    }

    /// Goes into the part that begins behind `header`.
    fn enter(&mut self, header: &[u8]) -> Result<Place, MimeError> {
        let (part, content) = claims(header, self.in_digest());
        self.found.push(part);
        let (container, place) = match content {
            Content::Multipart { boundary, digest } => {
                (Container::Multipart { boundary, digest }, Place::Body)
            }
            Content::Message => (Container::Message, Place::Header(Vec::new())),
            Content::Leaf => return Ok(Place::Body),
        };
        if self.open.len() == MAX_MIME_DEPTH {
            return Err(MimeError::TooDeep);
        }
        self.open.push(container);
        Ok(place)
    }

    fn in_digest(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Container::Multipart { digest: true, .. })
        )
    }
}

enum Content {
    Multipart { boundary: Vec<u8>, digest: bool },
    Message,
    Leaf,
}

/// What a part's header says that it is. A multipart without a boundary has no parts.
fn claims(header: &[u8], in_digest: bool) -> (Part, Content) {
    let mut block = header.to_vec();
    block.extend_from_slice(b"\r\n");
    let parsed = MessageParser::new()
        .with_mime_headers()
        .parse_headers(&block);
    let parsed = parsed.as_ref();
    let filename = parsed
        .and_then(MimeHeaders::content_disposition)
        .and_then(|one| one.attribute("filename"));
    let typed = parsed
        .and_then(MimeHeaders::content_type)
        .and_then(|one| one.attribute("name"));
    let names = [filename, typed].into_iter().flatten();
    let mut names = names.filter(|name| !name.is_empty());
    let (name, other_name) = (names.next(), names.next());
    let other_name = other_name.filter(|other| name != Some(other)).map(tail);
    let name = name.map(tail);
    let Some(kind) = parsed.and_then(MimeHeaders::content_type) else {
        let (kind, content) = match in_digest {
            true => ("message/rfc822", Content::Message),
            false => ("text/plain", Content::Leaf),
        };
        let kind = kind.to_owned();
        let part = Part {
            kind,
            name,
            other_name,
        };
        return (part, content);
    };
    let mut words = vec![kind.ctype().trim().to_ascii_lowercase()];
    words.extend(kind.subtype().map(|text| text.trim().to_ascii_lowercase()));
    let content = match (words.first().map(String::as_str), kind.subtype()) {
        (Some("multipart"), subtype) => {
            // Transport may add white space behind a boundary, so it never ends with any.
            let boundary = kind.attribute("boundary").unwrap_or_default();
            match boundary.trim_ascii_end() {
                "" => Content::Leaf,
                boundary => Content::Multipart {
                    boundary: boundary.as_bytes().to_vec(),
                    digest: subtype.is_some_and(|word| word.eq_ignore_ascii_case("digest")),
                },
            }
        }
        (Some("message"), Some(subtype))
            if subtype.eq_ignore_ascii_case("rfc822") || subtype.eq_ignore_ascii_case("global") =>
        {
            Content::Message
        }
        _ => Content::Leaf,
    };
    let mut kind = words.join("/");
    kind.truncate(kind.floor_char_boundary(MAX_PART_KIND_OCTETS));
    let part = Part {
        kind,
        name,
        other_name,
    };
    (part, content)
}

/// The end of a name.
fn tail(name: &str) -> String {
    let from = name.len().saturating_sub(MAX_PART_NAME_OCTETS);
    let from = name.ceil_char_boundary(from);
    name.get(from..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(header: &str, body: &[u8], chunk: usize) -> Result<MimeWalk, MimeError> {
        let mut walk = MimeWalk::new(header.as_bytes())?;
        for part in body.chunks(chunk.max(1)) {
            walk.feed(part)?;
        }
        Ok(walk)
    }

    fn parts(header: &str, body: &str) -> Vec<(String, Option<String>)> {
        let found = |chunk| {
            let walk = walk(header, body.as_bytes(), chunk).unwrap();
            let rows = walk.finish().into_iter().map(|part| (part.kind, part.name));
            rows.collect::<Vec<_>>()
        };
        let whole = found(body.len());
        for chunk in 1..body.len().min(80) {
            assert_eq!(found(chunk), whole, "by {chunk}");
        }
        whole
    }

    #[test]
    fn notes_what_parts_claim_to_be() {
        let named = |kind: &str, name: &str| (kind.to_owned(), Some(name.to_owned()));
        let bare = |kind: &str| (kind.to_owned(), None);
        assert_eq!(parts("Subject: x\r\n", "text\r\n"), [bare("text/plain")]);
        assert_eq!(
            parts("Content-Type: Application/PDF; name=\"a.pdf\"\r\n", "x"),
            [named("application/pdf", "a.pdf")]
        );
        let body = "--b0\r\nContent-Type: text/HTML\r\n\r\nx\r\n\
            --b0\r\nContent-Type: application/zip; name=z\r\nContent-Disposition: attachment;\r\n filename*0*=UTF-8''%e2%82%ac%20; filename*1=rates.zip\r\n\r\nx\r\n\
            --b0\r\nContent-Type: image/png; name=\"=?utf-8?q?caf=C3=A9.png?=\"\r\n\r\nx\r\n\
            --b0\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/digest; boundary=in\r\n\r\n\
            --in\r\n\r\nSubject: inner\r\n\r\nx\r\n--in--\r\n\
            --b0\r\nContent-Type: odd\r\n--b0\r\nContent-Type: application/x-last; name=l";
        assert_eq!(
            parts(MIXED, body),
            [
                bare("multipart/mixed"),
                bare("text/html"),
                named("application/zip", "\u{20ac} rates.zip"),
                named("image/png", "caf\u{e9}.png"),
                bare("message/rfc822"),
                bare("multipart/digest"),
                bare("message/rfc822"),
                bare("text/plain"),
                bare("odd"),
                named("application/x-last", "l"),
            ]
        );
    }

    #[test]
    fn both_names_of_a_part_are_noted() {
        let of = |header: &str| {
            let part = MimeWalk::new(header.as_bytes()).unwrap().finish().remove(0);
            (part.name, part.other_name)
        };
        let named = |name: &str| Some(name.to_owned());
        for (first, second, expected) in [
            ("", "patients.xls", (named("patients.xls"), None)),
            (
                "a.txt",
                "patients.xls",
                (named("a.txt"), named("patients.xls")),
            ),
            ("a.txt", "a.txt", (named("a.txt"), None)),
            ("a.txt", "", (named("a.txt"), None)),
            ("", "", (None, None)),
        ] {
            let header = format!(
                "Content-Type: text/plain; name=\"{second}\"\r\nContent-Disposition: attachment; filename=\"{first}\"\r\n"
            );
            assert_eq!(of(&header), expected, "{first} {second}");
        }
    }

    #[test]
    fn names_and_types_are_bounded() {
        let long = format!("{}.exe", "\u{e4}".repeat(600));
        let header = format!("Content-Type: a/{}; name=\"{long}\"\r\n", "b".repeat(600));
        let found = parts(&header, "");
        assert!(found[0].0.len() <= MAX_PART_KIND_OCTETS);
        let name = found[0].1.clone().unwrap();
        assert!(name.len() <= MAX_PART_NAME_OCTETS && name.ends_with(".exe"));
        let many = walk(
            MIXED,
            "--b0\r\n\r\n".repeat(MAX_MIME_PARTS).as_bytes(),
            4096,
        );
        assert_eq!(many.unwrap().finish().len(), MAX_MIME_PARTS + 1);
    }

    fn nested(depth: usize) -> String {
        let mut body = String::new();
        for level in 1..depth {
            body += &format!(
                "--b{}\r\nContent-Type: multipart/mixed;\r\n boundary=b{level}\r\n\r\n",
                level - 1
            );
        }
        body
    }

    const MIXED: &str = "MIME-Version: 1.0\r\nContent-Type: Multipart/Mixed; boundary=\"b0\"\r\n";

    #[test]
    fn counts_parts_wherever_the_chunks_are_cut() {
        let body = b"preamble\r\n--b0\r\n\r\ntext\r\n--b0x\r\n --b0\r\n--b0 \t\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\n\r\na\r\n--in--\r\n--in\r\n--b0--\r\nepilogue\r\n--b0\r\n";
        for chunk in 1..body.len() {
            let walk = walk(MIXED, body, chunk).unwrap();
            assert_eq!((walk.parts, walk.open.len()), (3, 0), "{chunk}");
        }
    }

    #[test]
    fn limits_hold_just_under_at_and_far_over() {
        for (depth, ok) in [(49, true), (50, true), (51, false), (10_000, false)] {
            let result = walk(MIXED, nested(depth).as_bytes(), 4096);
            assert_eq!(result.is_ok(), ok, "depth {depth}");
            assert!(ok || matches!(result, Err(MimeError::TooDeep)));
        }
        for (parts, ok) in [(999, true), (1000, true), (1001, false), (1_000_000, false)] {
            let result = walk(MIXED, "--b0\r\n\r\n".repeat(parts).as_bytes(), 4096);
            assert_eq!(result.is_ok(), ok, "parts {parts}");
            assert!(ok || matches!(result, Err(MimeError::TooManyParts)));
        }
        let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(60);
        assert!(matches!(
            walk("Content-Type: message/rfc822\r\n", messages.as_bytes(), 100),
            Err(MimeError::TooDeep)
        ));
        let header = |octets: usize| format!("--b0\r\nX: {}\r\n\r\n", "x\r\n y".repeat(octets / 5));
        assert!(walk(MIXED, header(60_000).as_bytes(), 4096).is_ok());
        assert!(matches!(
            walk(MIXED, header(70_000).as_bytes(), 4096),
            Err(MimeError::PartHeader)
        ));
    }

    #[test]
    fn one_line_without_end_stays_in_bounds() {
        let mut walk = MimeWalk::new(MIXED.as_bytes()).unwrap();
        for _ in 0..1000 {
            walk.feed(&[b'-'; 4096]).unwrap();
        }
        assert!(walk.line.len() <= MAX_LOOK_OCTETS);
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(
            prop_oneof![Just("--b0".to_owned()), Just("--".to_owned()), Just("\r\n".to_owned()),
                Just("Content-Type: multipart/x; boundary=b0\r\n\r\n".to_owned()), ".{0,5}"], 0..60),
            chunk in 1_usize..40)
        {
            drop(walk(MIXED, body.concat().as_bytes(), chunk));
        }
    }
}
