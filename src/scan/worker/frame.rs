//! What parent and worker say: one request, then frames of an answer, each with its length.
//!
//! All numbers are little-endian. Neither side trusts the other's lengths.

use std::io::{self, Read, Write};

use bytes::Bytes;

use super::driver::Piece;
use crate::mail::finding::Unreadable;
use crate::scan::limits::Limits;
use crate::scan::parts::{Document, DocumentKind};

/// Opens a request; changes with the format.
const MAGIC: &[u8; 4] = b"SPW1";
/// Octets of a request before the document.
pub const REQUEST_OCTETS: usize = 4 + 1 + 4 + 8 + 4 + 4 + 8 + 8;
/// Octets of a frame before its payload.
pub const FRAME_OCTETS: usize = 5;
/// Longest document.
pub const MAX_DOCUMENT: u64 = 1 << 30;
/// How much of the octets of each member goes to the detectors of first octets.
pub const MAX_HEAD: usize = 4096;
/// Most octets of an answer besides text.
const MAX_EXTRA: u64 = 8 << 20;

const TEXT: u8 = 1;
const OCTETS: u8 = 2;
const UNREADABLE: u8 = 3;
const END: u8 = 4;

/// The head of a request for `document`; its octets follow.
pub fn request(document: &Document, limits: &Limits) -> Vec<u8> {
    let mut head = Vec::with_capacity(REQUEST_OCTETS);
    head.extend_from_slice(MAGIC);
    head.push(match document.kind {
        DocumentKind::Pdf => 1,
        DocumentKind::Zip => 2,
        DocumentKind::Gzip => 3,
    });
    head.extend_from_slice(&document.depth.to_le_bytes());
    head.extend_from_slice(&limits.expanded.to_le_bytes());
    head.extend_from_slice(&limits.depth.to_le_bytes());
    head.extend_from_slice(&limits.entries.to_le_bytes());
    head.extend_from_slice(&limits.text.to_le_bytes());
    let length = u64::try_from(document.octets.len()).unwrap_or(u64::MAX);
    head.extend_from_slice(&length.to_le_bytes());
    head
}

/// Reads a request: the document, and the bounds of reading it.
pub fn read_request(source: &mut impl Read) -> io::Result<(Document, Limits)> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let mut source = source;
    if &take::<4>(&mut source)? != MAGIC {
        return Err(bad());
    }
    let kind = match take::<1>(&mut source)? {
        [1] => DocumentKind::Pdf,
        [2] => DocumentKind::Zip,
        [3] => DocumentKind::Gzip,
        _ => return Err(bad()),
    };
    let depth = u32::from_le_bytes(take(&mut source)?);
    let limits = Limits {
        expanded: u64::from_le_bytes(take(&mut source)?),
        depth: u32::from_le_bytes(take(&mut source)?),
        entries: u32::from_le_bytes(take(&mut source)?),
        text: u64::from_le_bytes(take(&mut source)?),
        ..Limits::default()
    };
    let length = u64::from_le_bytes(take(&mut source)?);
    if length > MAX_DOCUMENT {
        return Err(bad());
    }
    let mut octets = Vec::with_capacity(usize::try_from(length).map_err(|_| bad())?);
    source.take(length).read_to_end(&mut octets)?;
    if u64::try_from(octets.len()).ok() != Some(length) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    let document = Document {
        part: 0,
        kind,
        depth,
        octets: Bytes::from(octets),
    };
    Ok((document, limits))
}

fn take<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    source.read_exact(&mut octets)?;
    Ok(octets)
}

/// Writes `piece` as a frame.
pub fn write_piece(sink: &mut impl Write, piece: &Piece) -> io::Result<()> {
    match piece {
        Piece::Text(text) => write_frame(sink, TEXT, text.as_bytes()),
        Piece::Octets(octets) => write_frame(sink, OCTETS, octets),
        Piece::Unreadable(why) => {
            let place = Unreadable::ALL.iter().position(|one| one == why);
            let code = place
                .and_then(|at| u8::try_from(at).ok())
                .unwrap_or(u8::MAX);
            write_frame(sink, UNREADABLE, &[code])
        }
    }
}

/// Writes the frame that ends an answer.
pub fn write_end(sink: &mut impl Write) -> io::Result<()> {
    write_frame(sink, END, &[])
}

/// Writes a text as a frame.
pub fn write_text(sink: &mut impl Write, text: &str) -> io::Result<()> {
    write_frame(sink, TEXT, text.as_bytes())
}

fn write_frame(sink: &mut impl Write, tag: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut head = [tag, 0, 0, 0, 0];
    if let Some(place) = head.get_mut(1..) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    sink.write_all(&head)?;
    sink.write_all(payload)
}

/// An answer that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer of a document reader is not in its format")]
pub struct Garbage;

/// The pieces of an answer, as its frames come.
#[derive(Debug)]
pub struct Answer {
    pieces: Vec<Piece>,
    room: u64,
    ended: bool,
}

impl Answer {
    /// An answer within `limits`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            pieces: Vec::new(),
            room: limits.text.saturating_add(MAX_EXTRA),
            ended: false,
        }
    }

    /// The length of the payload behind `head`, if there is room for it.
    pub fn length(&mut self, head: [u8; FRAME_OCTETS]) -> Result<usize, Garbage> {
        let [_, length @ ..] = head;
        let length = u64::from(u32::from_le_bytes(length));
        let cost = length + 16;
        if self.ended || cost > self.room {
            return Err(Garbage);
        }
        self.room -= cost;
        usize::try_from(length).map_err(|_| Garbage)
    }

    /// Takes a frame.
    pub fn frame(&mut self, tag: u8, payload: Vec<u8>) -> Result<(), Garbage> {
        match (tag, payload.as_slice()) {
            (TEXT, _) => {
                let text = String::from_utf8(payload).map_err(|_| Garbage)?;
                self.pieces.push(Piece::Text(text));
            }
            (OCTETS, _) => self.pieces.push(Piece::Octets(payload)),
            (UNREADABLE, [code]) => {
                let why = Unreadable::ALL.get(usize::from(*code)).ok_or(Garbage)?;
                self.pieces.push(Piece::Unreadable(*why));
            }
            (END, []) => self.ended = true,
            _ => return Err(Garbage),
        }
        Ok(())
    }

    /// Whether the end was said.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// What came.
    pub fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }

    /// Reads a whole answer.
    pub fn read_all(octets: &[u8], limits: &Limits) -> Result<Vec<Piece>, Garbage> {
        let mut answer = Self::new(limits);
        let mut rest = octets;
        while !answer.ended {
            let (head, behind) = rest.split_first_chunk::<FRAME_OCTETS>().ok_or(Garbage)?;
            let length = answer.length(*head)?;
            let payload = behind.get(..length).ok_or(Garbage)?;
            answer.frame(head[0], payload.to_vec())?;
            rest = behind.get(length..).unwrap_or_default();
        }
        if rest.is_empty() {
            Ok(answer.into_pieces())
        } else {
            Err(Garbage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back() {
        let document = Document {
            part: 0,
            kind: DocumentKind::Zip,
            depth: 2,
            octets: Bytes::from_static(b"PK.."),
        };
        let limits = Limits {
            expanded: 7,
            depth: 8,
            entries: 9,
            text: 10,
            ..Limits::default()
        };
        let mut wire = request(&document, &limits);
        assert_eq!(wire.len(), REQUEST_OCTETS);
        wire.extend_from_slice(&document.octets);
        assert_eq!(
            read_request(&mut wire.as_slice()).unwrap(),
            (document, limits)
        );
        for end in 0..wire.len() {
            assert!(read_request(&mut &wire[..end]).is_err(), "{end}");
        }
        wire[0] = b'X';
        assert!(read_request(&mut wire.as_slice()).is_err());
    }

    #[test]
    fn an_answer_comes_back() {
        let pieces = vec![
            Piece::Text("Grüße".into()),
            Piece::Octets(vec![0, 255]),
            Piece::Unreadable(Unreadable::NoText),
            Piece::Text(String::new()),
        ];
        let mut wire = Vec::new();
        for piece in &pieces {
            write_piece(&mut wire, piece).unwrap();
        }
        assert_eq!(Answer::read_all(&wire, &Limits::default()), Err(Garbage));
        write_end(&mut wire).unwrap();
        assert_eq!(Answer::read_all(&wire, &Limits::default()), Ok(pieces));
        wire.push(0);
        assert_eq!(Answer::read_all(&wire, &Limits::default()), Err(Garbage));
    }

    #[test]
    fn garbage_is_refused() {
        let limits = Limits {
            text: 10,
            ..Limits::default()
        };
        let wires: [&[u8]; 6] = [
            b"",
            b"hello, I am another program",
            &[TEXT, 1, 0, 0, 0, 0xFF, END, 0, 0, 0, 0],
            &[TEXT, 255, 255, 255, 255],
            &[UNREADABLE, 1, 0, 0, 0, 200, END, 0, 0, 0, 0],
            &[END, 1, 0, 0, 0, 1],
        ];
        for wire in wires {
            assert_eq!(Answer::read_all(wire, &limits), Err(Garbage), "{wire:?}");
        }
    }
}
