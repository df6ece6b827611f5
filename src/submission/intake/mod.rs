//! Content on its way from the client to the spool (RFC 6409 §6 and §8, RFC 5321 §4.4).
//!
//! Owns: what is checked in a message that an account submits (author, sender, limits, loops) and
//! the few edits that submission makes: `Received` on top, `Date` and `Message-ID` where missing,
//! `Bcc`, `Resent-Bcc`, `Return-Path`, `X-Sealpost-*` and the policy's subject tags taken out.
//! Never: any other change; the body goes through octet for octet. Memory: the header, one MIME
//! line, the open boundaries, names and types of the parts; never a body.
//! Pure: octets in, octets out.

mod header;
mod received;
mod tags;

use std::net::IpAddr;
use std::sync::Arc;

use crate::directory::User;
use crate::mail::message::{
    Header, HeaderError, MAX_ADDED_OCTETS, MAX_HEADER_OCTETS, MAX_HOPS, MailboxError, MimeError,
    MimeWalk, Overview,
};
use crate::mail::{Address, Domain, MessageId, PickupWishes, Tag, Timestamp, TlsFacts};
use crate::proto::smtp::server::{Hello, Reply};

pub use tags::SubjectTags;

/// Longest Message-ID that is taken, in octets.
pub const MAX_MESSAGE_ID_OCTETS: usize = 998;

/// How the message got here: what `Received` says.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Our id of it.
    pub id: MessageId,
    /// Our name.
    pub hostname: Domain,
    /// When.
    pub received: Timestamp,
    /// The client's address; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// How the client introduced itself.
    pub hello: Hello,
    /// TLS, where there was.
    pub tls: Option<TlsFacts>,
    /// Whether the client authenticated itself, as opposed to the listener naming the account.
    pub authenticated: bool,
}

/// What is known of a message that was taken whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The one address in From.
    pub author: Address,
    /// The value of Message-ID.
    pub message_id: String,
    /// Whether it has octets above 127.
    pub eight_bit: bool,
    /// What the sender asked for, which is in the content no more.
    pub tags: Vec<Tag>,
    /// What the sender said for the portal, which is in the content no more.
    pub pickup: PickupWishes,
    /// What the content shows as it is stored, if somebody wanted to know.
    pub overview: Option<Overview>,
}

/// What a policy has to do with messages that come in.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The tags by which senders may ask for a level.
    pub subject_tags: SubjectTags,
    /// Whether anybody wants to know what the content shows.
    pub overview: bool,
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The header block.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// Raw 8-bit text in a field.
    #[error(
        "the {0} field has octets above 127; encode it as in RFC 2047 (SMTPUTF8 is not offered)"
    )]
    EightBitHeader(String),
    /// RFC 5322 §3.6: exactly one.
    #[error("there is no From field")]
    NoFrom,
    /// RFC 5322 §3.6: at most one. Receivers would disagree about which counts.
    #[error("there is more than one {0} field")]
    Duplicate(&'static str),
    /// From or Sender cannot be read.
    #[error("the {field} field is {error}")]
    Mailboxes {
        /// Which one.
        field: &'static str,
        /// Why.
        error: MailboxError,
    },
    /// Not one address in it.
    #[error("the {field} field has {count} addresses; exactly one is accepted")]
    NotOne {
        /// Which one.
        field: &'static str,
        /// How many.
        count: usize,
    },
    /// The account may not send as this.
    #[error("this account may not send as {address}, which is in the {field} field")]
    NotPermitted {
        /// Which one.
        field: &'static str,
        /// Who.
        address: Address,
    },
    /// It went in circles.
    #[error("the message has been here before, or has more than {MAX_HOPS} Received fields")]
    Loop,
    /// Over [`MAX_MESSAGE_ID_OCTETS`].
    #[error("the Message-ID is longer than {MAX_MESSAGE_ID_OCTETS} octets")]
    MessageId,
    /// A field of ours that is none, such as a misspelt one.
    #[error(
        "there is no {0} field; there are X-Sealpost-Level, X-Sealpost-Secret, X-Sealpost-Phone and X-Sealpost-Language"
    )]
    UnknownField(String),
    /// A level that is none.
    #[error(
        "the X-Sealpost-Level field must be protected, confidential, restricted or sealed, and nothing else"
    )]
    UnknownLevel,
    /// A secret that cannot be one. Says nothing of it.
    #[error(
        "the X-Sealpost-Secret field must have 6 characters at least and 200 octets at most, in ASCII or RFC 2047"
    )]
    Secret,
    /// A number that is none. Says nothing of it.
    #[error(
        "the X-Sealpost-Phone field must be one number in the international form, such as +1 202 555 0123"
    )]
    Phone,
    /// A language that there are no texts in.
    #[error("the X-Sealpost-Language field must be one of en, es, de, fr and zh")]
    Language,
    /// The MIME structure.
    #[error("{0}")]
    Mime(#[from] MimeError),
}

impl Refusal {
    /// What the client is told.
    pub fn reply(&self) -> Reply {
        let (code, enhanced) = match self {
            Self::NotPermitted { .. } | Self::NotOne { .. } => (550, (5, 7, 1)),
            Self::Loop => (554, (5, 4, 6)),
            Self::Header(_)
            | Self::EightBitHeader(_)
            | Self::NoFrom
            | Self::Duplicate(_)
            | Self::Mailboxes { .. }
            | Self::MessageId
            | Self::UnknownField(_)
            | Self::UnknownLevel
            | Self::Secret
            | Self::Phone
            | Self::Language
            | Self::Mime(_) => (554, (5, 6, 0)),
        };
        Reply::new(code, enhanced, &format!("Message refused: {self}"))
    }
}

/// Takes one content. After a refusal it takes nothing more.
#[derive(Debug)]
pub struct Intake {
    arrival: Arrival,
    user: Arc<User>,
    wishes: Wishes,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Header(Vec<u8>),
    Body(Box<Body>),
}

#[derive(Debug)]
struct Body {
    walk: MimeWalk,
    accepted: Accepted,
    /// The header as it is stored, where an overview is wanted.
    stored: Option<Vec<u8>>,
}

impl Intake {
    /// For a message that arrives so, from this account.
    pub fn new(arrival: Arrival, user: Arc<User>, wishes: Wishes) -> Self {
        Self {
            arrival,
            user,
            wishes,
            stage: Stage::Header(Vec::new()),
        }
    }

    /// Takes the next octets of the content; appends what is to be stored to `out`.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        match &mut self.stage {
            Stage::Header(buffer) => {
                let seen = buffer.len();
                buffer.extend_from_slice(chunk);
                let Some(end) = header_end(buffer, seen) else {
                    if buffer.len() > MAX_HEADER_OCTETS {
                        return Err(HeaderError::TooLong.into());
                    }
                    return Ok(());
                };
                let buffer = std::mem::take(buffer);
                let (header, body) = buffer.split_at(end);
                self.header(header, out)?;
                let body = body.strip_prefix(b"\r\n").unwrap_or(body);
                out.extend_from_slice(b"\r\n");
                self.body(body, out)
            }
            Stage::Body(_) => self.body(chunk, out),
        }
    }

    /// The content is whole.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Accepted, Refusal> {
        if let Stage::Header(buffer) = &mut self.stage {
            // No empty line: all of it is header (RFC 5322 §3.5, the body is optional).
            let header = std::mem::take(buffer);
            self.header(&header, out)?;
        }
        match self.stage {
            Stage::Body(body) => {
                let Body {
                    walk,
                    mut accepted,
                    stored,
                } = *body;
                if let Some(block) = stored {
                    accepted.overview = Some(Overview::of_parts(&block, walk.finish())?);
                }
                Ok(accepted)
            }
            Stage::Header(_) => Err(Refusal::NoFrom),
        }
    }

    fn header(&mut self, block: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let header = Header::parse(block)?;
        let author = header::check(&header, &self.user, &self.arrival.hostname)?;
        let subject_tags = &self.wishes.subject_tags;
        let (tags, pickup) = header::asked(&header, subject_tags)?;
        let start = out.len();
        let message_id = header::rewrite(&header, &self.arrival, subject_tags, out)?;
        if out.len() - start > MAX_HEADER_OCTETS + MAX_ADDED_OCTETS {
            // A subject that was written anew may have grown.
            return Err(HeaderError::TooLong.into());
        }
        let stored = out.get(start..).filter(|_| self.wishes.overview);
        self.stage = Stage::Body(Box::new(Body {
            walk: MimeWalk::new(block)?,
            accepted: Accepted {
                author,
                message_id,
                eight_bit: false,
                tags,
                pickup,
                overview: None,
            },
            stored: stored.map(<[u8]>::to_vec),
        }));
        Ok(())
    }

    /// Behind the empty line that ends the header.
    fn body(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        if let Stage::Body(body) = &mut self.stage {
            body.walk.feed(chunk)?;
            body.accepted.eight_bit |= !chunk.is_ascii();
            out.extend_from_slice(chunk);
        }
        Ok(())
    }
}

/// Where the header ends: behind the CRLF of its last field. `seen` octets were looked at before.
fn header_end(buffer: &[u8], seen: usize) -> Option<usize> {
    if buffer.starts_with(b"\r\n") {
        return Some(0);
    }
    let from = seen.saturating_sub(3);
    let at = memchr::memmem::find(buffer.get(from..)?, b"\r\n\r\n")?;
    Some(from + at + 2)
}

#[cfg(test)]
mod tests;
