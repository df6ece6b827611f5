//! Reads documents: PDF, office documents, archives. Runs in the worker process only.
//!
//! Owns the bounds of expansion: octets, members, depth and text are counted over all that a
//! document holds, while it is inflated, whatever its headers say.

mod archive;
mod office;
mod pdf;
mod pivot;
mod sheet;
mod xml;

use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use super::limits::Limits;
use super::parts::{Document, DocumentKind, Item, Sink, read_item};
use crate::mail::finding::Unreadable;
use crate::scan::parts::Declared;

/// Reads `document` and gives what is in it to `out`, as of part 0. No document is left unread.
pub fn read(document: Document, limits: &Limits, out: &mut dyn Sink) {
    let mut reader = Reader {
        limits,
        out,
        expanded: limits.expanded,
        entries: limits.entries,
        text: limits.text,
        said: false,
    };
    reader.document(Document {
        part: 0,
        ..document
    });
}

/// The budget of a document, and where its texts go.
struct Reader<'a> {
    limits: &'a Limits,
    out: &'a mut dyn Sink,
    expanded: u64,
    entries: u32,
    text: u64,
    /// Whether any text came since this was last cleared.
    said: bool,
}

impl Sink for Reader<'_> {
    fn text(&mut self, _part: u32, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        self.said = true;
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if length <= self.text {
            self.text -= length;
            self.out.text(0, text);
            return;
        }
        self.unscannable(0, Unreadable::TooLarge);
        let mut end = usize::try_from(self.text)
            .unwrap_or(usize::MAX)
            .min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text = 0;
        if let Some(begin) = text.get(..end).filter(|begin| !begin.is_empty()) {
            self.out.text(0, begin);
        }
    }

    fn octets(&mut self, _part: u32, octets: &[u8]) {
        self.out.octets(0, octets);
    }

    fn document(&mut self, document: Document) {
        // A library that panics on hostile octets costs this document, not its neighbours.
        let read = catch_unwind(AssertUnwindSafe(|| match document.kind {
            DocumentKind::Pdf => self.pdf(&document),
            DocumentKind::Zip => self.zip(&document),
            DocumentKind::Gzip => self.gzip(&document),
        }));
        if read.is_err() {
            self.unscannable(0, Unreadable::ReaderDied);
        }
    }

    fn unscannable(&mut self, _part: u32, why: Unreadable) {
        self.out.unscannable(0, why);
    }
}

impl Reader<'_> {
    /// Reads something that stands within a document.
    fn member(&mut self, name: &str, depth: u32, octets: Vec<u8>) {
        let item = Item {
            part: 0,
            depth,
            octets: Bytes::from(octets),
        };
        let limits = self.limits;
        read_item(item, &Declared::file(name), limits, self);
    }

    /// Counts a member; `false` when there were too many.
    fn entry(&mut self) -> bool {
        if self.entries == 0 {
            self.unscannable(0, Unreadable::TooDeep);
            return false;
        }
        self.entries -= 1;
        true
    }

    /// Takes `octets` out of the budget of expansion; `false` when it is used up.
    fn expand(&mut self, octets: usize) -> bool {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        if octets > self.expanded {
            self.expanded = 0;
            self.unscannable(0, Unreadable::TooLarge);
            return false;
        }
        self.expanded -= octets;
        true
    }

    /// All that `source` gives within the budget. What came before an error counts too.
    fn inflate(&mut self, source: &mut dyn Read) -> Vec<u8> {
        let mut octets = Vec::new();
        let bound = self.expanded.saturating_add(1);
        let read = source.take(bound).read_to_end(&mut octets);
        if octets.len() > usize::try_from(self.expanded).unwrap_or(usize::MAX) {
            octets.pop();
            self.expanded = 0;
            self.unscannable(0, Unreadable::TooLarge);
            return octets;
        }
        self.expand(octets.len());
        match read.map_err(|error| error.kind()) {
            Ok(_) => {}
            Err(ErrorKind::OutOfMemory) => self.unscannable(0, Unreadable::TooLarge),
            Err(_) => self.unscannable(0, Unreadable::Damaged),
        }
        octets
    }
}
