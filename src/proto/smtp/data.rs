//! The content behind DATA, as a stream (RFC 5321 §4.5.2): where it ends, and the dots undone.
//!
//! There is one end of data: CRLF "." CRLF, the first CRLF being the one of the DATA line if
//! nothing else stands before. A CR or LF that stands alone, wherever, never ends a line here, so
//! that no two servers can see two ends; the message is read to its true end and refused
//! ("SMTP smuggling"). Invariant: what comes out holds CR and LF only as CRLF, no NUL, and no
//! line over 998 octets; after a fault nothing more comes out. Works wherever the input is cut.

use crate::mail::message::MAX_LINE_OCTETS;

/// What makes a content unacceptable. The rest of it is read and thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DataFault {
    /// A CR or LF alone. Wins over every other fault.
    #[error("line {line} has a bare CR or LF")]
    BareLineEnd {
        /// Counted from 1.
        line: u64,
    },
    /// An octet that no text has.
    #[error("line {line} has a NUL octet")]
    Nul {
        /// Counted from 1.
        line: u64,
    },
    /// Over [`MAX_LINE_OCTETS`].
    #[error(
        "line {line} is longer than {MAX_LINE_OCTETS} octets; encode the part as base64 or quoted-printable"
    )]
    LineTooLong {
        /// Counted from 1.
        line: u64,
    },
    /// Over the limit given.
    #[error("the message is longer than {limit} octets")]
    TooLarge {
        /// In octets.
        limit: u64,
    },
}

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Octets of the input that belong to the content and were taken.
    pub consumed: usize,
    /// Whether the end of data was among them; what follows is the next command.
    pub ended: bool,
}

/// Reads the content of one message.
#[derive(Debug)]
pub struct DataReader {
    place: Place,
    limit: u64,
    /// Content octets so far, thrown away ones included.
    octets: u64,
    line: u64,
    line_octets: usize,
    fault: Option<DataFault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind a CRLF.
    LineStart,
    /// Behind CRLF "."
    Dot,
    /// Behind CRLF "." CR
    DotCr,
    /// In a line.
    Line,
    /// Behind a CR in a line.
    Cr,
    /// Behind CRLF "." CRLF.
    End,
}

impl DataReader {
    /// A reader for one content of at most `limit` octets (RFC 1870: CRLFs count, stuffed dots
    /// and the final dot do not).
    pub fn new(limit: u64) -> Self {
        Self {
            place: Place::LineStart,
            limit,
            octets: 0,
            line: 1,
            line_octets: 0,
            fault: None,
        }
    }

    /// Why the content must be refused, if so.
    pub fn fault(&self) -> Option<DataFault> {
        self.fault
    }

    /// Octets of content read so far, refused ones included.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Reads on: appends content, with the dots undone, to `content`.
    pub fn read(&mut self, input: &[u8], content: &mut Vec<u8>) -> Progress {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if self.place == Place::End {
                break;
            }
            if matches!(self.place, Place::Line | Place::LineStart) {
                let rest = input.get(at..).unwrap_or_default();
                let run = plain_run(rest, self.place);
                if !run.is_empty() {
                    self.text(run, content);
                    self.place = Place::Line;
                    at += run.len();
                    continue;
                }
            }
            self.step(byte, content);
            at += 1;
        }
        Progress {
            consumed: at,
            ended: self.place == Place::End,
        }
    }

    /// One octet that may matter to the line structure. Table: place × octet → place.
    ///
    /// | place | CR | LF | "." | other |
    /// |---|---|---|---|---|
    /// | LineStart | Cr | fault, Line | Dot | Line |
    /// | Dot (undone) | DotCr | fault, Line | Line | Line |
    /// | DotCr | fault, Cr | **End** | fault, Line | fault, Line |
    /// | Line | Cr | fault, Line | Line | Line |
    /// | Cr | fault, Cr | LineStart | fault, Line | fault, Line |
    fn step(&mut self, byte: u8, content: &mut Vec<u8>) {
        self.place = match (self.place, byte) {
            (Place::LineStart, b'.') => Place::Dot,
            (Place::LineStart | Place::Line, b'\r') => Place::Cr,
            (Place::Dot, b'\r') => Place::DotCr,
            (Place::DotCr, b'\n') => Place::End,
            (Place::Cr, b'\n') => {
                self.end_line(content);
                Place::LineStart
            }
            (Place::Cr | Place::DotCr, b'\r') => {
                self.bare();
                Place::Cr
            }
            (Place::Cr | Place::DotCr, other) => {
                self.bare();
                self.text(&[other], content);
                Place::Line
            }
            (Place::LineStart | Place::Dot | Place::Line, b'\n') => {
                self.bare();
                Place::Line
            }
            (Place::LineStart | Place::Dot | Place::Line, other) => {
                self.text(&[other], content);
                Place::Line
            }
            (Place::End, _) => Place::End,
        };
    }

    /// Octets of a line, without any CR or LF.
    fn text(&mut self, octets: &[u8], content: &mut Vec<u8>) {
        self.line_octets = self.line_octets.saturating_add(octets.len());
        if memchr::memchr(0, octets).is_some() {
            self.found(DataFault::Nul { line: self.line });
        }
        if self.line_octets > MAX_LINE_OCTETS {
            self.found(DataFault::LineTooLong { line: self.line });
        }
        self.append(octets, content);
    }

    fn end_line(&mut self, content: &mut Vec<u8>) {
        self.line_octets = 0;
        self.append(b"\r\n", content);
        self.line = self.line.saturating_add(1);
    }

    fn append(&mut self, octets: &[u8], content: &mut Vec<u8>) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        if self.octets > self.limit {
            self.found(DataFault::TooLarge { limit: self.limit });
        }
        if self.fault.is_none() {
            content.extend_from_slice(octets);
        }
    }

    fn bare(&mut self) {
        // The octet counts: a content of line feeds alone must reach the limit too.
        self.octets = self.octets.saturating_add(1);
        if !matches!(self.fault, Some(DataFault::BareLineEnd { .. })) {
            self.fault = Some(DataFault::BareLineEnd { line: self.line });
        }
    }

    fn found(&mut self, fault: DataFault) {
        self.fault.get_or_insert(fault);
    }
}

/// The octets before the next one that [`DataReader::step`] must see.
fn plain_run(rest: &[u8], place: Place) -> &[u8] {
    if place == Place::LineStart && rest.first() == Some(&b'.') {
        return &[];
    }
    let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
