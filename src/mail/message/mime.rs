//! A walk over the MIME structure of a message while it streams past (RFC 2046 §5.1, §5.2.1):
//! counts parts and depth and says when there are too many. Iterative, in bounded memory: the
//! open boundaries, one line, and one part's header.

use mail_parser::{MessageParser, MimeHeaders};

use super::{MAX_MIME_DEPTH, MAX_MIME_PARTS};

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

/// The walk. Made from the message's own header, then fed its body in chunks of any size.
#[derive(Debug)]
pub struct MimeWalk {
    open: Vec<Container>,
    parts: usize,
    place: Place,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
}

#[derive(Debug)]
enum Container {
    /// Ends where an outer boundary stands, or its own with a trailing `--`.
    Multipart { boundary: Vec<u8> },
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
            place: Place::Body,
            line: Vec::new(),
        };
        walk.place = walk.enter(header)?;
        Ok(walk)
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
            let Container::Multipart { boundary } = container else {
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

    /// Goes into the part that begins behind `header`.
    fn enter(&mut self, header: &[u8]) -> Result<Place, MimeError> {
        let (container, place) = match content(header) {
            Content::Multipart { boundary } => (Container::Multipart { boundary }, Place::Body),
            Content::Message => (Container::Message, Place::Header(Vec::new())),
            Content::Leaf => return Ok(Place::Body),
        };
        if self.open.len() == MAX_MIME_DEPTH {
            return Err(MimeError::TooDeep);
        }
        self.open.push(container);
        Ok(place)
    }
}

enum Content {
    Multipart { boundary: Vec<u8> },
    Message,
    Leaf,
}

/// What a part's header says that it is. A multipart without a boundary has no parts.
fn content(header: &[u8]) -> Content {
    let mut block = header.to_vec();
    block.extend_from_slice(b"\r\n");
    let parsed = MessageParser::new()
        .with_mime_headers()
        .parse_headers(&block);
    let Some(kind) = parsed.as_ref().and_then(MimeHeaders::content_type) else {
        return Content::Leaf;
    };
    let subtype = kind.subtype().unwrap_or_default();
    if kind.ctype().eq_ignore_ascii_case("multipart") {
        // Transport may add white space behind a boundary, so it never ends with any.
        let boundary = kind
            .attribute("boundary")
            .unwrap_or_default()
            .trim_ascii_end();
        if boundary.is_empty() {
            return Content::Leaf;
        }
        return Content::Multipart {
            boundary: boundary.as_bytes().to_vec(),
        };
    }
    let message = kind.ctype().eq_ignore_ascii_case("message")
        && (subtype.eq_ignore_ascii_case("rfc822") || subtype.eq_ignore_ascii_case("global"));
    if message {
        Content::Message
    } else {
        Content::Leaf
    }
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
