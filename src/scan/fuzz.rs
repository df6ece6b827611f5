//! What must hold of reading any octets.

use bytes::Bytes;

use super::limits::Limits;
use super::parts::{Document, Sink, take_apart_into};
use super::read;
use super::worker::frame;
use crate::mail::finding::Unreadable;
use crate::mail::message::MAX_MIME_PARTS;

/// Counts what comes.
#[derive(Default)]
struct Counter {
    texts: u64,
    last_part: u32,
    documents: Vec<Document>,
    unscannable: usize,
}

impl Sink for Counter {
    fn text(&mut self, part: u32, text: &str) {
        self.texts = self
            .texts
            .saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        self.last_part = self.last_part.max(part);
    }

    fn octets(&mut self, part: u32, _octets: &[u8]) {
        self.last_part = self.last_part.max(part);
    }

    fn document(&mut self, document: Document) {
        self.documents.push(document);
    }

    fn unscannable(&mut self, part: u32, _why: Unreadable) {
        self.last_part = self.last_part.max(part);
        self.unscannable += 1;
    }
}

/// Takes `input` apart as a message, reads its documents and reads it as a worker's answer; says
/// what did not hold. A panic is caught by whoever calls.
pub fn check_fuzz_input(input: &[u8]) -> Result<(), &'static str> {
    let limits = Limits {
        expanded: 1 << 20,
        entries: 20,
        text: 1 << 20,
        ..Limits::default()
    };
    let mut counter = Counter::default();
    take_apart_into(&Bytes::copy_from_slice(input), &limits, &mut counter);
    let octets = u64::try_from(input.len()).unwrap_or(u64::MAX);
    // Each octet is text a few times at most: raw, decoded, without its tags, per depth.
    if counter.texts > (octets + 64) * 32 {
        return Err("more text than a message of this size can hold");
    }
    if usize::try_from(counter.last_part).unwrap_or(usize::MAX) > MAX_MIME_PARTS + 1 {
        return Err("a part beyond the bound");
    }
    for document in std::mem::take(&mut counter.documents).into_iter().take(4) {
        let mut inner = Counter::default();
        read::read(document, &limits, &mut inner);
        if inner.texts > limits.text {
            return Err("more text out of a document than its bound");
        }
        if !inner.documents.is_empty() {
            return Err("a document left a document unread");
        }
    }
    let answer = frame::Answer::read_all(input, &limits);
    if let Ok(pieces) = answer
        && pieces.len() > input.len()
    {
        return Err("more pieces than octets");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzz target begins with and what it found, replayed whole and cut short.
    #[test]
    fn the_corpus_holds() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/scan");
        let mut replayed = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            let octets = std::fs::read(&path).unwrap();
            for end in (0..octets.len()).rev().step_by(17).chain([octets.len()]) {
                let cut = octets.get(..end).unwrap();
                assert_eq!(check_fuzz_input(cut), Ok(()), "{} {end}", path.display());
            }
            replayed += 1;
        }
        assert!(replayed >= 16);
    }

    /// Sound inputs with a few octets changed.
    #[test]
    fn damage_holds() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/scan");
        let mut state = 0x9E37_79B9_u32;
        let mut next = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            usize::try_from(state >> 8).unwrap() % below
        };
        for entry in std::fs::read_dir(corpus).unwrap() {
            let octets = std::fs::read(entry.unwrap().path()).unwrap();
            for _ in 0..50 {
                let mut damaged = octets.clone();
                for _ in 0..=next(4) {
                    let at = next(damaged.len());
                    if let Some(octet) = damaged.get_mut(at) {
                        *octet = u8::try_from(next(256)).unwrap();
                    }
                }
                assert_eq!(check_fuzz_input(&damaged), Ok(()));
            }
        }
    }
}
