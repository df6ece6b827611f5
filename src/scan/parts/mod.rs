//! Takes a message apart: every octet of its body ends as text, as a document for the worker, or
//! as a part that could not be read (RFC 2045–2049, 5322).
//!
//! Owns the order of the parts and what is read of each. Sans-I/O; linear in the size of the
//! message, in memory too: what needs no decoding is not copied. Never panics on any octets.

mod cms;
mod entity;
mod item;
mod kind;
mod transfer;
mod walk;

use bytes::Bytes;

use super::limits::Limits;
use crate::mail::finding::{Unreadable, Unscannable};

pub use item::{Item, read_item};
pub use kind::{Declared, DocumentKind};

/// A document that has to be read by the worker.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// The MIME part that it stands in.
    pub part: u32,
    /// What it is.
    pub kind: DocumentKind,
    /// How many containers other than MIME's it stands in.
    pub depth: u32,
    /// Its octets, decoded.
    pub octets: Bytes,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the octets.
        f.debug_struct("Document")
            .field("part", &self.part)
            .field("kind", &self.kind)
            .field("depth", &self.depth)
            .field("len", &self.octets.len())
            .finish()
    }
}

/// Takes what a message is made of, in its order.
pub trait Sink {
    /// A text of `part`.
    fn text(&mut self, part: u32, text: &str);
    /// The decoded octets of `part`, whatever they are.
    fn octets(&mut self, part: u32, octets: &[u8]);
    /// A document within `part`.
    fn document(&mut self, document: Document);
    /// `part`, or something within it, could not be read.
    fn unscannable(&mut self, part: u32, why: Unreadable);
}

/// What a message is made of.
#[derive(Default)]
pub struct Parts {
    /// The texts: the part, the text.
    pub texts: Vec<(u32, String)>,
    /// What the worker has to read.
    pub documents: Vec<Document>,
    /// What cannot be read.
    pub unscannable: Vec<Unscannable>,
}

impl Sink for Parts {
    fn text(&mut self, part: u32, text: &str) {
        self.texts.push((part, text.to_owned()));
    }

    fn octets(&mut self, _part: u32, _octets: &[u8]) {}

    fn document(&mut self, document: Document) {
        self.documents.push(document);
    }

    fn unscannable(&mut self, part: u32, why: Unreadable) {
        let unscannable = Unscannable { part, why };
        if !self.unscannable.contains(&unscannable) {
            self.unscannable.push(unscannable);
        }
    }
}

/// Takes `content` apart, all of it in memory.
pub fn take_apart(content: &Bytes, limits: &Limits) -> Parts {
    let mut parts = Parts::default();
    take_apart_into(content, limits, &mut parts);
    parts
}

/// Takes `content` apart and gives each piece to `sink` as it comes.
pub fn take_apart_into(content: &Bytes, limits: &Limits, sink: &mut dyn Sink) {
    walk::walk(content, None, 0, limits, sink);
}

/// Takes a message apart that stands within `part`, `depth` containers deep: its own parts are
/// not counted.
pub(super) fn take_apart_within(
    content: &Bytes,
    part: u32,
    depth: u32,
    limits: &Limits,
    sink: &mut dyn Sink,
) {
    walk::walk(content, Some(part), depth, limits, sink);
}

#[cfg(test)]
mod tests;
