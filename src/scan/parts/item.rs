//! One body: decoded, recognised, and given to the sink as text, document or unreadable.

use std::borrow::Cow;

use bytes::Bytes;

use super::entity::Entity;
use super::kind::{self, Declared, Kind};
use super::{Document, Sink, take_apart_within};
use crate::mail::finding::Unreadable;
use crate::scan::limits::Limits;
use crate::scan::text;

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
        }
    }
}

/// Reads octets that spell characters.
fn read_text(kind: Kind, part: u32, octets: &[u8], declared: &Declared, sink: &mut dyn Sink) {
    let (decoded, broken) = text::decode(octets, declared.charset());
    if broken {
        sink.unscannable(part, Unreadable::Encoding);
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
