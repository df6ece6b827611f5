//! The walk through the MIME structure: one pass, iterative (RFC 2046 §5.1, §5.2.1).
//!
//! Reads a structure as `mail::message::MimeWalk` counts it. Where readers of mail are known to
//! differ (a delimiter that is almost one, two Content-Types) the part is also said to be damaged:
//! a recipient's program may see something else than we do.

use bytes::Bytes;

use super::entity::{Entity, Structure};
use super::{Item, Sink, item, kind, read_item};
use crate::mail::finding::Unreadable;
use crate::mail::message::{MAX_HEADER_OCTETS, MAX_MIME_DEPTH, MAX_MIME_PARTS};
use crate::scan::limits::Limits;

/// How much of a delimiter line is looked at; boundaries are at most 70 octets (RFC 2046 §5.1.1).
const MAX_LOOK_OCTETS: usize = 1024;

/// A container that is open.
struct Open {
    index: u32,
    /// `None`: `message/rfc822`, which ends where an outer delimiter stands.
    boundary: Option<Vec<u8>>,
    /// Its parts are messages unless they say otherwise (RFC 2046 §5.1.5).
    digest: bool,
    /// Its boundary appeared.
    parted: bool,
}

/// What the octets since `Walk::start` belong to.
enum Place {
    Header {
        digest: bool,
    },
    Leaf(Box<Entity>, u32),
    /// A preamble or an epilogue of this container.
    Loose(u32),
}

struct Walk<'a> {
    content: &'a Bytes,
    /// All parts count as this one.
    within: Option<u32>,
    depth: u32,
    limits: &'a Limits,
    sink: &'a mut dyn Sink,
    open: Vec<Open>,
    entered: u32,
    start: usize,
    place: Place,
}

/// A line that delimits: how many containers stay open, its own included; whether it closes.
struct Delimiter {
    open: usize,
    closes: bool,
}

/// Walks through `content` and reads every leaf.
pub(super) fn walk(
    content: &Bytes,
    within: Option<u32>,
    depth: u32,
    limits: &Limits,
    sink: &mut dyn Sink,
) {
    Walk {
        content,
        within,
        depth,
        limits,
        sink,
        open: Vec::new(),
        entered: 0,
        start: 0,
        place: Place::Header { digest: false },
    }
    .run();
}

impl Walk<'_> {
    fn run(&mut self) {
        let content = self.content.clone();
        let mut at = 0;
        while at < content.len() {
            match &self.place {
                Place::Header { .. } => match self.header_line(&content, at) {
                    Some(next) => at = next,
                    None => return,
                },
                Place::Leaf(..) | Place::Loose(_) => {
                    let Some(line) = self.candidate(&content, at) else {
                        at = content.len();
                        continue;
                    };
                    let end = line_end(&content, line);
                    let text = content.get(line..end).unwrap_or_default();
                    if let Some(delimiter) = self.delimiter(text)
                        && !self.delimit(&delimiter, line, end)
                    {
                        return;
                    }
                    at = end;
                }
            }
        }
        self.close(content.len());
        self.leave(0);
    }

    /// The next line from `at` (the start of a line) that might be a delimiter.
    fn candidate(&self, content: &[u8], at: usize) -> Option<usize> {
        if self.open.iter().all(|open| open.boundary.is_none()) {
            return None;
        }
        let rest = content.get(at..)?;
        if rest.starts_with(b"--") {
            return Some(at);
        }
        memchr::memmem::find(rest, b"\n--").map(|found| at + found + 1)
    }

    /// Takes the header line at `at`; where the next line starts, or `None` at too many parts.
    fn header_line(&mut self, content: &[u8], at: usize) -> Option<usize> {
        let end = line_end(content, at);
        let line = content.get(at..end).unwrap_or_default();
        if let Some(delimiter) = self.delimiter(line) {
            return self.delimit(&delimiter, at, end).then_some(end);
        }
        let too_long = at - self.start > MAX_HEADER_OCTETS;
        if line.trim_ascii().is_empty() || too_long {
            let odd = too_long || !matches!(line, b"\r\n" | b"\n");
            let header = content.get(self.start..at).unwrap_or_default();
            let body = if too_long { at } else { end };
            return self.enter(header, body, odd).then_some(body);
        }
        Some(end)
    }

    /// Whether `line` is the delimiter of an open multipart; the innermost match counts.
    fn delimiter(&mut self, line: &[u8]) -> Option<Delimiter> {
        let line = line.get(..MAX_LOOK_OCTETS).unwrap_or(line);
        let text = line.strip_prefix(b"--")?.trim_ascii_end();
        let mut almost = None;
        for (at, open) in self.open.iter().enumerate().rev() {
            let Some(boundary) = &open.boundary else {
                continue;
            };
            match text.strip_prefix(boundary.as_slice()) {
                Some(b"") => {
                    return Some(Delimiter {
                        open: at + 1,
                        closes: false,
                    });
                }
                Some(b"--") => {
                    return Some(Delimiter {
                        open: at + 1,
                        closes: true,
                    });
                }
                Some(_) => almost = Some(open.index),
                None => {}
            }
        }
        if let Some(index) = almost {
            self.sink.unscannable(index, Unreadable::Damaged);
        }
        None
    }

    /// Ends what was open at the delimiter in `line..end`; `false` at too many parts.
    fn delimit(&mut self, delimiter: &Delimiter, line: usize, end: usize) -> bool {
        self.close(line);
        self.leave(delimiter.open);
        if let Some(open) = self.open.last_mut() {
            open.parted = true;
        }
        self.start = end;
        self.place = if delimiter.closes {
            let index = self.open.pop().map_or(0, |open| open.index);
            Place::Loose(index)
        } else {
            let digest = self.open.last().is_some_and(|open| open.digest);
            if usize::try_from(self.entered).unwrap_or(usize::MAX) > MAX_MIME_PARTS {
                let part = self.index(self.entered);
                self.sink.unscannable(part, Unreadable::TooDeep);
                return false;
            }
            Place::Header { digest }
        };
        true
    }

    /// Leaves all containers but the outer `left`. One whose boundary never appeared has parts that
    /// were not seen, or none.
    fn leave(&mut self, left: usize) {
        for open in self.open.split_off(left.min(self.open.len())) {
            if open.boundary.is_some() && !open.parted {
                self.sink.unscannable(open.index, Unreadable::Damaged);
            }
        }
    }

    /// Reads what ends before `end`.
    fn close(&mut self, end: usize) {
        let body = self.start..end;
        match std::mem::replace(&mut self.place, Place::Loose(0)) {
            Place::Header { .. } => {
                // A header without a body: it is all there is.
                let header = self.content.slice(body.clone());
                if !header.trim_ascii().is_empty() {
                    self.enter(&header, end, false);
                    self.start = end;
                    if !matches!(self.place, Place::Header { .. }) {
                        self.close(end);
                    }
                }
            }
            Place::Leaf(entity, part) => {
                let octets = self.content.slice(trim_line_end(self.content, body));
                let item = Item {
                    part,
                    depth: self.depth,
                    octets,
                };
                item::read_leaf(&entity, item, self.limits, self.sink);
            }
            Place::Loose(part) => {
                let octets = self.content.slice(body);
                if !octets.trim_ascii().is_empty() {
                    let item = Item {
                        part,
                        depth: self.depth,
                        octets,
                    };
                    read_item(item, &kind::Declared::text(), self.limits, self.sink);
                }
            }
        }
    }

    fn index(&self, own: u32) -> u32 {
        self.within.unwrap_or(own)
    }

    /// Enters the entity with `header`, whose body starts at `body`; `false` at too many parts.
    fn enter(&mut self, header: &[u8], body: usize, odd: bool) -> bool {
        let digest = matches!(self.place, Place::Header { digest: true });
        let part = self.index(self.entered);
        self.entered += 1;
        self.start = body;
        let entity = Entity::read(header, digest);
        if odd || entity.ambiguous {
            self.sink.unscannable(part, Unreadable::Damaged);
        }
        if entity.too_large {
            self.sink.unscannable(part, Unreadable::TooLarge);
        }
        for text in &entity.texts {
            self.sink.text(part, text);
        }
        let container = match &entity.structure {
            Structure::Leaf => None,
            Structure::Multipart { boundary, digest } => Some(Open {
                index: part,
                boundary: Some(boundary.clone()),
                digest: *digest,
                parted: false,
            }),
            Structure::Message => Some(Open {
                index: part,
                boundary: None,
                digest: false,
                parted: false,
            }),
        };
        let Some(container) = container else {
            self.place = Place::Leaf(Box::new(entity), part);
            return true;
        };
        if self.open.len() >= MAX_MIME_DEPTH {
            self.sink.unscannable(part, Unreadable::TooDeep);
            self.place = Place::Loose(part);
            return true;
        }
        self.place = if container.boundary.is_some() {
            Place::Loose(part)
        } else {
            Place::Header { digest: false }
        };
        self.open.push(container);
        if usize::try_from(self.entered).unwrap_or(usize::MAX) > MAX_MIME_PARTS {
            self.sink.unscannable(part, Unreadable::TooDeep);
            return false;
        }
        true
    }
}

/// Where the line that starts at `at` ends, its line feed included.
fn line_end(content: &[u8], at: usize) -> usize {
    content
        .get(at..)
        .and_then(|rest| memchr::memchr(b'\n', rest))
        .map_or(content.len(), |found| at + found + 1)
}

/// `range` without the line end that belongs to the delimiter behind it (RFC 2046 §5.1.1).
fn trim_line_end(content: &[u8], range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let body = content.get(range.clone()).unwrap_or_default();
    let cut = if range.end == content.len() {
        0
    } else if body.ends_with(b"\r\n") {
        2
    } else {
        usize::from(body.ends_with(b"\n"))
    };
    range.start..range.end - cut
}
