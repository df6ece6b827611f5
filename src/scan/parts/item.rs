//! One body: decoded, recognised, and given to the sink as text, document or unreadable.

use std::borrow::Cow;

use bytes::Bytes;

use super::entity::Entity;
use super::kind::{self, Declared, Kind};
use super::{Document, Sink, take_apart_within};
use crate::mail::finding::Unreadable;
use crate::scan::limits::Limits;
use crate::scan::text;

/// A picture up to this size that a text shows in place is an ornament, not a document.
const MAX_ORNAMENT_OCTETS: usize = 16 * 1024;

/// A body without its transfer encoding.
pub struct Item {
    /// The MIME part that it stands in.
    pub part: u32,
    /// How many containers other than MIME's it stands in.
    pub depth: u32,
    /// Its octets.
    pub octets: Bytes,
}

/// Decodes the body of a MIME part and reads it.
pub(super) fn read_leaf(entity: &Entity, item: Item, limits: &Limits, sink: &mut dyn Sink) {
    let (decoded, broken) = entity.transfer.decode(&item.octets);
    if broken {
        sink.unscannable(item.part, Unreadable::Encoding);
        // Programs differ in how they read it, so it is read as it stands as well.
        let (raw, _) = text::decode(&item.octets, None);
        sink.text(item.part, &raw);
    }
    let octets = match decoded {
        Cow::Borrowed(_) => item.octets.clone(),
        Cow::Owned(octets) => Bytes::from(octets),
    };
    // What holds signatures and headings together in most mail; a page that can be read is larger.
    let small = octets.len() <= MAX_ORNAMENT_OCTETS && entity.shown_in_place;
    if small && kind::classify(&entity.declared, &octets) == Kind::Unreadable(Unreadable::Media) {
        sink.octets(item.part, &octets);
        return;
    }
    read_item(Item { octets, ..item }, &entity.declared, limits, sink);
}

/// Reads a body; `declared` says what it is meant to be.
pub fn read_item(item: Item, declared: &Declared, limits: &Limits, sink: &mut dyn Sink) {
    let Item {
        part,
        depth,
        octets,
    } = item;
    sink.octets(part, &octets);
    let kind = kind::classify(declared, &octets);
    // Programs that go by the type alone show this, whatever the octets are.
    if let Some(shown) = declared.shown_as(kind) {
        read_text(shown, part, &octets, declared, sink);
    }
    match kind {
        Kind::Nothing => {}
        Kind::Document(kind) if depth < limits.depth => sink.document(Document {
            part,
            kind,
            depth,
            octets,
        }),
        Kind::Message if depth < limits.depth => {
            take_apart_within(&octets, part, depth + 1, limits, sink);
        }
        Kind::Document(_) => sink.unscannable(part, Unreadable::TooDeep),
        Kind::Message => {
            sink.unscannable(part, Unreadable::TooDeep);
            read_text(Kind::Text, part, &octets, declared, sink);
        }
        Kind::Unreadable(why) => sink.unscannable(part, why),
        Kind::NotText => {
            sink.unscannable(part, Unreadable::UnknownKind);
            read_text(Kind::Text, part, &octets, declared, sink);
        }
        Kind::Text | Kind::Html | Kind::Xml | Kind::Svg | Kind::Rtf | Kind::Folded => {
            read_text(kind, part, &octets, declared, sink);
            if kind == Kind::Text {
                read_saved(part, depth, &octets, limits, sink);
            }
        }
    }
}

/// Reads text that is mail as programs save it, a message or several, whatever it is called.
fn read_saved(part: u32, depth: u32, octets: &Bytes, limits: &Limits, sink: &mut dyn Sink) {
    if !text::is_saved_mail(octets) {
        return;
    }
    if depth >= limits.depth {
        sink.unscannable(part, Unreadable::TooDeep);
        return;
    }
    let mut starts = vec![0];
    if octets.starts_with(b"From ") {
        let more = memchr::memmem::find_iter(octets, b"\nFrom ").map(|at| at + 1);
        starts.extend(more.take(usize::try_from(limits.entries).unwrap_or(usize::MAX)));
    }
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(octets.len());
        let mut one = octets.slice(*start..end);
        if one.starts_with(b"From ") {
            let line = memchr::memchr(b'\n', &one).map_or(one.len(), |at| at + 1);
            one = one.slice(line..);
        }
        take_apart_within(&one, part, depth + 1, limits, sink);
    }
}

/// Reads octets that spell characters.
fn read_text(kind: Kind, part: u32, octets: &[u8], declared: &Declared, sink: &mut dyn Sink) {
    let (decoded, broken) = text::decode(octets, declared.charset());
    if broken {
        sink.unscannable(part, Unreadable::Encoding);
    }
    if let Some(plain) = text::otherwise(octets, &decoded) {
        sink.text(part, &plain);
    }
    match kind {
        Kind::Html => {
            let html = text::html::read(&decoded);
            sink.text(part, &html.shown);
            if !html.hidden.is_empty() {
                sink.text(part, &html.hidden);
            }
            if html.embeds {
                sink.unscannable(part, Unreadable::Media);
            }
        }
        Kind::Xml | Kind::Svg => {
            sink.text(part, &decoded);
            sink.text(part, &text::html::read(&decoded).shown);
            if kind == Kind::Svg {
                sink.unscannable(part, Unreadable::Media);
            }
        }
        Kind::Rtf => {
            let rtf = text::rtf::read(octets);
            sink.text(part, &rtf.text);
            if let Some(why) = rtf.unreadable {
                sink.unscannable(part, why);
            }
        }
        Kind::Folded => sink.text(part, &text::unfold(&decoded)),
        _ => {
            sink.text(part, &decoded);
            if let Some(why) = text::armoured(&decoded) {
                sink.unscannable(part, why);
            }
        }
    }
}
