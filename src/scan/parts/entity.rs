//! The header of a part, as far as reading its body and its own text needs it.

use mail_parser::{HeaderName, HeaderValue, MessageParser, MimeHeaders};

use super::kind::Declared;
use super::transfer::Transfer;

/// Most octets of text that are read from one header.
const MAX_HEADER_TEXT: usize = 256 * 1024;

/// What a part is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Structure {
    Multipart { boundary: Vec<u8>, digest: bool },
    Message,
    Leaf,
}

/// A part's header.
pub(super) struct Entity {
    pub structure: Structure,
    pub declared: Declared,
    pub transfer: Transfer,
    /// Subject, names of people, comments, keywords, descriptions and file names.
    pub texts: Vec<String>,
    /// It has a Content-ID: a text beside it shows it in place.
    pub shown_in_place: bool,
    /// Readers may take this header in different ways.
    pub ambiguous: bool,
    /// Texts beyond [`MAX_HEADER_TEXT`] were left out.
    pub too_large: bool,
}

impl Entity {
    /// Reads `header`. In a digest a part is a message unless it says otherwise.
    pub(super) fn read(header: &[u8], digest: bool) -> Self {
        let mut block = header.to_vec();
        block.extend_from_slice(b"\r\n");
        let parsed = MessageParser::new()
            .with_mime_headers()
            .header_text(HeaderName::Subject)
            .header_text(HeaderName::Comments)
            .header_text(HeaderName::Keywords)
            .header_text(HeaderName::ContentDescription)
            .header_text(HeaderName::From)
            .header_text(HeaderName::To)
            .header_text(HeaderName::Cc)
            .header_text(HeaderName::ReplyTo)
            .header_text(HeaderName::Sender)
            .header_text(HeaderName::Other("Thread-Topic".into()))
            .parse_headers(&block);
        let mut entity = Self {
            structure: if digest {
                Structure::Message
            } else {
                Structure::Leaf
            },
            declared: Declared::default(),
            transfer: Transfer::Identity,
            texts: Vec::new(),
            shown_in_place: false,
            ambiguous: false,
            too_large: false,
        };
        let Some(message) = parsed else {
            return entity;
        };
        let (mut types, mut transfers, mut room) = (0, 0, MAX_HEADER_TEXT);
        for header in message.headers() {
            match &header.name {
                HeaderName::ContentType => types += 1,
                HeaderName::ContentTransferEncoding => {
                    transfers += 1;
                    entity.transfer = transfer(&header.value);
                }
                HeaderName::Subject
                | HeaderName::Comments
                | HeaderName::Keywords
                | HeaderName::ContentDescription
                // Names of people stand before their addresses.
                | HeaderName::From
                | HeaderName::To
                | HeaderName::Cc
                | HeaderName::ReplyTo
                | HeaderName::Sender => entity.take(&header.value, &mut room),
                HeaderName::ContentId => entity.shown_in_place = true,
                HeaderName::Other(name) if name.eq_ignore_ascii_case("thread-topic") => {
                    entity.take(&header.value, &mut room);
                }
                _ => {}
            }
        }
        entity.ambiguous = types > 1 || transfers > 1;
        for name in names(&message) {
            entity.declared.add_name(name);
            entity.texts.push(name.to_owned());
        }
        if let Some(kind) = message.content_type() {
            entity.content_type(kind);
        }
        entity
    }

    fn take(&mut self, value: &HeaderValue<'_>, room: &mut usize) {
        let texts: &[std::borrow::Cow<'_, str>] = match value {
            HeaderValue::Text(text) => std::slice::from_ref(text),
            HeaderValue::TextList(list) => list,
            _ => &[],
        };
        for text in texts {
            if text.is_empty() {
                continue;
            }
            let end = text.floor_char_boundary(*room);
            self.too_large |= end < text.len();
            *room -= end;
            self.texts.extend(text.get(..end).map(str::to_owned));
        }
    }

    fn content_type(&mut self, kind: &mail_parser::ContentType<'_>) {
        let subtype = kind.subtype().unwrap_or_default();
        self.declared
            .set_type(kind.ctype(), subtype, kind.attribute("charset"));
        if let Some(smime) = kind.attribute("smime-type") {
            self.declared.set_smime(smime);
        }
        self.ambiguous |= is_doubled(kind);
        let declared = &self.declared;
        self.structure = if declared.is("multipart", "") {
            // Transport may add white space behind a boundary, so it never ends with any.
            let boundary = kind.attribute("boundary").unwrap_or_default();
            let boundary = boundary.trim_ascii_end();
            if boundary.is_empty() {
                self.ambiguous = true;
                Structure::Leaf
            } else {
                // RFC 2045 §6.4: no transfer encoding on a multipart.
                self.ambiguous |= self.transfer.encodes();
                Structure::Multipart {
                    boundary: boundary.as_bytes().to_vec(),
                    digest: declared.is("multipart", "digest"),
                }
            }
        } else if declared.is_message() && !self.transfer.encodes() {
            Structure::Message
        } else {
            Structure::Leaf
        };
    }
}

/// Whether a parameter stands there twice: programs differ in which one counts.
fn is_doubled(kind: &mail_parser::ContentType<'_>) -> bool {
    let attributes = kind.attributes().unwrap_or_default();
    attributes.iter().enumerate().any(|(at, one)| {
        let before = attributes.get(..at).unwrap_or_default();
        before
            .iter()
            .any(|other| other.name.eq_ignore_ascii_case(&one.name))
    })
}

/// The names that a part goes by (RFC 2183 §2.3, RFC 2045 §5.1); programs differ in which they use.
fn names<'a>(message: &'a mail_parser::Message<'_>) -> Vec<&'a str> {
    let filename = message
        .content_disposition()
        .and_then(|one| one.attribute("filename"));
    let name = message.content_type().and_then(|one| one.attribute("name"));
    let mut names: Vec<&str> = [filename, name].into_iter().flatten().collect();
    names.dedup();
    names.retain(|name| !name.is_empty());
    names
}

fn transfer(value: &HeaderValue<'_>) -> Transfer {
    match value {
        HeaderValue::Text(text) => Transfer::named(text),
        _ => Transfer::Unknown,
    }
}
