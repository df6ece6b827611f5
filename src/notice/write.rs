//! A mail of ours as octets: a plain text and the same as HTML.
//!
//! Owns the form: 7-bit, CRLF, the same octets for the same words; HTML without styles, images or
//! anything that is fetched, so that it reads in the dark and aloud. Every value is escaped here;
//! no value can begin a line of the header.

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};

use crate::mail::{Address, Language, Timestamp};

/// Most octets of a mail of ours.
pub const MAX_MAIL_OCTETS: usize = 12 * 1024;

/// A piece of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// Some sentences.
    Words(String),
    /// An address to go to, which is its own text.
    Link(String),
    /// An address to type by hand.
    Typed(String),
    /// Something to be typed elsewhere.
    Digits(String),
    /// What holds for all our mails.
    Foot(String),
}

impl Block {
    fn on_one_line(self) -> Self {
        match self {
            Self::Words(text) => Self::Words(one_line(&text)),
            Self::Link(text) => Self::Link(one_line(&text)),
            Self::Typed(text) => Self::Typed(one_line(&text)),
            Self::Digits(text) => Self::Digits(one_line(&text)),
            Self::Foot(text) => Self::Foot(one_line(&text)),
        }
    }
}

/// What a mail is made of.
#[derive(Debug)]
pub(super) struct Letter<'a> {
    pub(super) from_name: String,
    pub(super) from: &'a Address,
    pub(super) to: &'a Address,
    pub(super) subject: String,
    pub(super) date: Timestamp,
    /// Message-ID, without the angle brackets.
    pub(super) id: &'a str,
    /// The Message-ID that it is about, without the angle brackets.
    pub(super) about: Option<&'a str>,
    pub(super) language: Language,
    pub(super) blocks: Vec<Block>,
}

/// The mail.
pub(super) fn written(letter: Letter<'_>) -> Vec<u8> {
    let blocks: Vec<Block> = letter.blocks.into_iter().map(Block::on_one_line).collect();
    let text = text(&blocks);
    let subject = one_line(&letter.subject);
    let html = html(letter.language, &subject, &blocks);
    // Made of the id, since the same notice must be the same octets. `=_` stands in neither of the
    // encodings that a part may have.
    let unique: String = letter
        .id
        .chars()
        .take_while(|&c| c != '@')
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let kind = ContentType::new("multipart/alternative")
        .attribute("boundary", format!("=_sealpost_{unique}_"));
    let parts = vec![part("text/plain", text), part("text/html", html)];
    let mut message = MessageBuilder::new()
        .from(Mailbox::new_address(
            Some(one_line(&letter.from_name)),
            letter.from.to_string(),
        ))
        .to(Mailbox::new_address(None::<String>, letter.to.to_string()))
        .subject(subject)
        .date(Date::new(
            i64::try_from(letter.date.as_secs()).unwrap_or(i64::MAX),
        ))
        .message_id(letter.id);
    if let Some(about) = letter.about {
        message = message.in_reply_to(about).references(about);
    }
    let message = message
        .header("Auto-Submitted", Raw::new("auto-generated"))
        // What answers for people on holiday has nobody to answer.
        .header("X-Auto-Response-Suppress", Raw::new("All"))
        .header("Content-Language", Raw::new(letter.language.as_str()))
        .body(MimePart::new(kind, parts));
    let mut octets = Vec::with_capacity(4096);
    message.serialize(&mut octets);
    octets
}

/// Encoded as its content needs: it stays 7-bit whatever stands in it.
fn part(kind: &'static str, content: String) -> MimePart<'static> {
    let kind = ContentType::new(kind).attribute("charset", "utf-8");
    MimePart::new(kind, BodyPart::Text(content.into()))
}

/// What stands in a header, or in a piece of the text, stays on its line.
fn one_line(text: &str) -> String {
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    text.chars()
        .map(blank)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn text(blocks: &[Block]) -> String {
    let mut out = String::new();
    let mut below = false;
    for block in blocks {
        if !out.is_empty() {
            out.push_str("\r\n");
        }
        match block {
            Block::Words(words) => out.push_str(words),
            Block::Link(address) | Block::Typed(address) => {
                out.push_str("  ");
                out.push_str(address);
            }
            Block::Digits(digits) => {
                out.push_str("    ");
                out.push_str(digits);
            }
            Block::Foot(words) => {
                if !std::mem::replace(&mut below, true) {
                    out.push_str("* * *\r\n\r\n");
                }
                out.push_str(words);
            }
        }
        out.push_str("\r\n");
    }
    out
}

fn html(language: Language, title: &str, blocks: &[Block]) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\r\n<html lang=\"{language}\">\r\n<head>\r\n<meta charset=\"utf-8\">\r\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\r\n\
         <meta name=\"color-scheme\" content=\"light dark\">\r\n<title>{}</title>\r\n</head>\r\n\
         <body>\r\n",
        escaped(title)
    );
    let mut below = false;
    for block in blocks {
        if matches!(block, Block::Foot(_)) && !std::mem::replace(&mut below, true) {
            out.push_str("<hr>\r\n");
        }
        let line = match block {
            Block::Words(words) => format!("<p>{}</p>", escaped(words)),
            Block::Link(address) => {
                let address = escaped(address);
                format!("<p><a href=\"{address}\">{address}</a></p>")
            }
            Block::Typed(address) => format!("<p><b>{}</b></p>", escaped(address)),
            Block::Digits(digits) => format!("<p><big><b>{}</b></big></p>", escaped(digits)),
            Block::Foot(words) => format!("<p><small>{}</small></p>", escaped(words)),
        };
        out.push_str(&line);
        out.push_str("\r\n");
    }
    out.push_str("</body>\r\n</html>\r\n");
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
