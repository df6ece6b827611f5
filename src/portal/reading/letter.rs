//! A message, read once: what the pages show of it.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use mail_parser::{HeaderValue, MessageParser};

use super::arrange::{Arranged, arrange};
use super::conversation::{Identifiers, id, ids};
use super::entity::{self, Leaf};
use super::html::{CleanHtml, Piece, clean};
use super::kind::{Danger, Look, Raster, Sort, look};
use super::name::{extension, file_name, line};
use super::pack::{PackError, pack};
use super::people::{Person, people};
use super::text::{self, Text};
use super::transfer::decode_text;
use super::{MAX_HTML_OCTETS, MAX_LETTER_OCTETS, MAX_SUBJECT_CHARS, MAX_TEXT_OCTETS};
use crate::mail::Timestamp;
use crate::mail::message::{
    MAX_ADDED_OCTETS, MAX_HEADER_OCTETS, MAX_MIME_DEPTH, MAX_MIME_PARTS, split,
};

/// Why a message is not read. It can still be downloaded as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Over [`MAX_LETTER_OCTETS`].
    #[error("the message is longer than {MAX_LETTER_OCTETS} octets")]
    TooLong,
    /// Over what a header may have.
    #[error("the header is longer than {MAX_HEADER_OCTETS} octets")]
    Header,
    /// Over [`MAX_MIME_DEPTH`].
    #[error("MIME parts are nested more than {MAX_MIME_DEPTH} deep")]
    TooDeep,
    /// Over [`MAX_MIME_PARTS`].
    #[error("the message has more than {MAX_MIME_PARTS} MIME parts")]
    TooManyParts,
}

/// What is to be said of an attachment that other programs open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Note {
    /// A signature of the message.
    Signature,
    /// Content that was encrypted by the sender, by S/MIME or PGP.
    Encrypted,
    /// A message that was attached.
    Message,
    /// `winmail.dat`, which holds what Outlook did not send as attachments.
    Tnef,
}

/// An attachment. Name and kind are ours: made from what the message claims and from the first
/// octets.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its number, the same at every reading: 0 is the first.
    pub index: usize,
    /// A safe name, see [`file_name`].
    pub name: String,
    /// What it is.
    pub sort: Sort,
    /// The type that it is served as.
    pub media_type: &'static str,
    /// Why it is marked, if it is.
    pub danger: Option<Danger>,
    /// What is said of it, if anything.
    pub note: Option<Note>,
    /// Its size.
    pub octets: u64,
    /// It is an image that the HTML may show in its place.
    pub inline: Option<Raster>,
}

impl fmt::Debug for Attachment {
    /// Without the name, which is content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("index", &self.index)
            .field("sort", &self.sort)
            .field("octets", &self.octets)
            .finish_non_exhaustive()
    }
}

/// A message that was read.
#[derive(Clone)]
pub struct Letter {
    content: Bytes,
    from: Vec<Person>,
    to: Vec<Person>,
    cc: Vec<Person>,
    date: Option<Timestamp>,
    subject: String,
    identifiers: Identifiers,
    arranged: std::sync::Arc<Arranged>,
    attachments: Vec<Attachment>,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("octets", &self.content.len())
            .field("attachments", &self.attachments.len())
            .finish_non_exhaustive()
    }
}

impl Letter {
    /// Reads `content`, a whole message.
    pub fn read(content: &Bytes) -> Result<Self, ReadError> {
        if content.len() > MAX_LETTER_OCTETS {
            return Err(ReadError::TooLong);
        }
        let (header, _) = split(content);
        if header.len() > MAX_HEADER_OCTETS + MAX_ADDED_OCTETS {
            return Err(ReadError::Header);
        }
        let mut block = header.to_vec();
        block.extend_from_slice(b"\r\n");
        let parsed = MessageParser::default().parse_headers(&block);
        let parsed = parsed.as_ref();
        let arranged = arrange(entity::read(content)?);
        let attachments = arranged.attachments.iter().enumerate();
        let attachments = attachments
            .map(|(index, (leaf, note))| describe(index, leaf, *note, content))
            .collect();
        Ok(Self {
            content: content.clone(),
            from: people(parsed.and_then(|it| it.from())),
            to: people(parsed.and_then(|it| it.to())),
            cc: people(parsed.and_then(|it| it.cc())),
            date: parsed.and_then(|it| it.date()).and_then(moment),
            subject: parsed
                .and_then(|it| it.subject())
                .map(|it| line(it, MAX_SUBJECT_CHARS))
                .unwrap_or_default(),
            identifiers: parsed.map(identifiers).unwrap_or_default(),
            arranged: std::sync::Arc::new(arranged),
            attachments,
        })
    }

    /// Who it says it is from.
    pub fn from(&self) -> &[Person] {
        &self.from
    }

    /// To whom, as far as the header tells.
    pub fn to(&self) -> &[Person] {
        &self.to
    }

    /// Who else.
    pub fn cc(&self) -> &[Person] {
        &self.cc
    }

    /// The date it gives itself.
    pub fn date(&self) -> Option<Timestamp> {
        self.date
    }

    /// The subject as one clean line; empty if there is none.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// How it is tied to other messages.
    pub fn identifiers(&self) -> &Identifiers {
        &self.identifiers
    }

    /// The text: what was written as text, and what was made from HTML where there is only that.
    pub fn text(&self) -> Text {
        let mut all = Text::default();
        for block in &self.arranged.blocks {
            let room = MAX_TEXT_OCTETS.saturating_sub(all.text.len());
            let mut piece = Text::default();
            for leaf in &block.plain {
                piece.append(self.plain(leaf, room));
            }
            // There are programs whose plain text is empty.
            if piece.text.trim().is_empty() {
                piece = Text::default();
                for leaf in &block.html {
                    piece.append(text::from_html(&self.html_text(leaf).text, room));
                }
            }
            all.append(piece);
        }
        all.bounded(MAX_TEXT_OCTETS)
    }

    /// Whether there is something that [`Letter::html`] would show better than the text does.
    pub fn has_html(&self) -> bool {
        self.arranged.blocks.iter().any(|it| !it.html.is_empty())
    }

    /// The HTML, cleaned; images of the message are asked for at `image(index)`, a path on the
    /// portal, and no others. `None` where there is no HTML.
    pub fn html(&self, image: &dyn Fn(usize) -> String) -> Option<CleanHtml> {
        if !self.has_html() {
            return None;
        }
        let mut images = HashMap::new();
        for (attachment, (leaf, _)) in self.attachments.iter().zip(&self.arranged.attachments) {
            if let (Some(_), Some(id)) = (attachment.inline, &leaf.content_id) {
                images
                    .entry(id.clone())
                    .or_insert_with(|| image(attachment.index));
            }
        }
        let mut room = MAX_HTML_OCTETS;
        let mut pieces = Vec::new();
        for block in &self.arranged.blocks {
            if block.html.is_empty() {
                for leaf in &block.plain {
                    let plain = self.plain(leaf, room);
                    room = room.saturating_sub(plain.text.len());
                    pieces.push(Piece::Plain(plain));
                }
            }
            for leaf in &block.html {
                let html = self.html_text(leaf).bounded(room);
                room = room.saturating_sub(html.text.len());
                pieces.push(Piece::Html(html));
            }
        }
        Some(clean(&pieces, images))
    }

    /// The attachments, in the order of the message.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// The octets of one.
    pub fn attachment(&self, index: usize) -> Option<Bytes> {
        let (leaf, _) = self.arranged.attachments.get(index)?;
        Some(octets(leaf, &self.content))
    }

    /// An image that may be shown in the HTML, with its type: only if its first octets agree.
    pub fn inline_image(&self, index: usize) -> Option<(&'static str, Bytes)> {
        let raster = self.attachments.get(index)?.inline?;
        Some((raster.media_type(), self.attachment(index)?))
    }

    /// All attachments in one ZIP file. Holds it in memory: not longer than the message and a
    /// little for each file.
    pub fn zip(&self) -> Result<Vec<u8>, PackError> {
        let files = self.attachments.iter().map(|it| {
            let octets = self.attachment(it.index).unwrap_or_default();
            (it.name.as_str(), octets)
        });
        pack(files)
    }

    /// The message as it is.
    pub fn original(&self) -> &Bytes {
        &self.content
    }

    fn plain(&self, leaf: &Leaf, room: usize) -> Text {
        let octets = self.body(leaf);
        let decoded = leaf.transfer.decode(octets);
        text::from_plain(&decode_text(&decoded, leaf.charset.as_deref()), leaf, room)
    }

    fn html_text(&self, leaf: &Leaf) -> Text {
        let octets = self.body(leaf);
        let decoded = leaf.transfer.decode(octets);
        let most = decoded.len().min(MAX_HTML_OCTETS);
        let cut = most < decoded.len();
        let text = decode_text(
            decoded.get(..most).unwrap_or_default(),
            leaf.charset.as_deref(),
        );
        Text { text, cut }.bounded(MAX_HTML_OCTETS)
    }

    fn body(&self, leaf: &Leaf) -> &[u8] {
        self.content.get(leaf.body.clone()).unwrap_or_default()
    }
}

fn octets(leaf: &Leaf, content: &Bytes) -> Bytes {
    let range = leaf.body.start.min(content.len())..leaf.body.end.min(content.len());
    if range.is_empty() {
        return Bytes::new();
    }
    let raw = content.slice(range);
    match leaf.transfer {
        super::transfer::Transfer::Identity => raw,
        other => Bytes::from(other.decode(&raw).into_owned()),
    }
}

fn describe(index: usize, leaf: &Leaf, note: Option<Note>, content: &Bytes) -> Attachment {
    let octets = octets(leaf, content);
    let claimed = leaf.name.as_deref().map(file_name);
    let seen: Look = look(claimed.as_deref().unwrap_or_default(), &leaf.kind, &octets);
    let name = claimed.unwrap_or_else(|| unnamed(index, note, &seen, &octets));
    let name = match extension(&name) {
        None if !seen.extension.is_empty() => file_name(&format!("{name}.{}", seen.extension)),
        _ => name,
    };
    // Only what is really one of these images, and what a text can refer to.
    let inline = seen.raster.filter(|_| leaf.content_id.is_some());
    Attachment {
        index,
        name,
        sort: seen.sort,
        media_type: seen.media_type,
        danger: seen.danger,
        note,
        octets: octets.len() as u64,
        inline,
    }
}

/// A name for what has none: of a message its subject.
fn unnamed(index: usize, note: Option<Note>, seen: &Look, octets: &[u8]) -> String {
    if note == Some(Note::Message) {
        let (header, _) = split(octets);
        let most = header.len().min(MAX_HEADER_OCTETS);
        let mut block = header.get(..most).unwrap_or_default().to_vec();
        block.extend_from_slice(b"\r\n");
        let parsed = MessageParser::default().parse_headers(&block);
        let subject = parsed.as_ref().and_then(|it| it.subject());
        let subject = subject.map(|it| line(it, MAX_SUBJECT_CHARS));
        if let Some(subject) = subject.filter(|it| !it.is_empty()) {
            return file_name(&format!("{subject}.eml"));
        }
    }
    let number = index + 1;
    match seen.extension {
        "" => format!("attachment-{number}"),
        extension => format!("attachment-{number}.{extension}"),
    }
}

fn moment(date: &mail_parser::DateTime) -> Option<Timestamp> {
    if !date.is_valid() {
        return None;
    }
    u64::try_from(date.to_timestamp())
        .ok()
        .map(Timestamp::from_secs)
}

fn identifiers(message: &mail_parser::Message<'_>) -> Identifiers {
    Identifiers {
        message_id: message.message_id().and_then(id),
        in_reply_to: texts(message.in_reply_to()).into_iter().find_map(id),
        references: ids(texts(message.references()).into_iter()),
    }
}

fn texts<'a>(value: &'a HeaderValue<'_>) -> Vec<&'a str> {
    match value {
        HeaderValue::Text(text) => vec![text],
        HeaderValue::TextList(list) => list.iter().map(AsRef::as_ref).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
