//! A reply from the portal on its way into the spool.
//!
//! Owns what is checked in it: one author, the very address that notices come from in the domain of
//! whom it goes to; one address to reply to, that of whom the portal says has written it; one
//! recipient, ours; a header and a MIME structure that can be read; CRLF alone; its size. What hangs
//! on the configuration is no refusal for good. Nothing
//! is changed but that `Received` is put on top, and `Date` and `Message-ID` where they are missing.

use ring::digest;

use super::server::{Content, Gone, Resources, not_accepted, not_now};
use crate::flow::PORTAL_ACCOUNT;
use crate::mail::message::{
    Header, HeaderError, MAX_HEADER_OCTETS, MailboxError, MimeError, MimeWalk, mailboxes,
};
use crate::mail::{
    Address, Client, Envelope, MessageClass, MessageId, ReversePath, Tag, Timestamp,
};
use crate::proto::link::{Code, Refusal, Reply};
use crate::spool::{BodyWriter, SpoolError};

/// Fields that no reply may have: the line's own, and what would send it elsewhere.
const FORBIDDEN: [&str; 4] = ["Bcc", "Resent-Bcc", "Return-Path", "Sender"];
/// Fields that a message has once.
const ONCE: [&str; 7] = [
    "From",
    "Reply-To",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Content-Type",
];
/// Octets of the largest reply that any configuration takes: the most that `limits.message_size`
/// may be.
const MAX_REPLY_OCTETS: u64 = 1 << 30;
/// Longest Message-ID that is taken.
const MAX_MESSAGE_ID_OCTETS: usize = 998;

/// Why a reply is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Over every bound that there may be.
    #[error("the reply is larger than any message may be")]
    Huge,
    /// Over the bound.
    #[error("the reply is larger than limits.message_size")]
    TooLarge,
    /// Replies go to those whom we send for.
    #[error("the reply goes to nobody whom this system sends for")]
    NotOurs,
    /// The header block.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// The MIME structure.
    #[error("{0}")]
    Mime(#[from] MimeError),
    /// Raw 8-bit text in the header.
    #[error("a header field has octets above 127")]
    EightBitHeader,
    /// A field that it may not have, or not twice.
    #[error("the reply may not have this {0} field")]
    Field(String),
    /// From cannot be read.
    #[error("the From field is {0}")]
    From(MailboxError),
    /// Not one author.
    #[error("the reply must have one author")]
    Author,
    /// Not the address that such replies come from.
    #[error("the reply must be from our own address in the domain that it goes to")]
    NotFromUs,
    /// Reply-To is missing, or names somebody else than who wrote it.
    #[error("the Reply-To field must name who wrote the reply, and nobody else")]
    Writer,
    /// A CR or LF stands alone.
    #[error("a line of the reply does not end with CRLF")]
    LineEnd,
}

/// Why nothing came of it.
pub(super) enum Failed {
    /// The peer went away.
    Gone,
    /// It is told why.
    Refused(Refusal),
}

impl From<Gone> for Failed {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl Refused {
    /// Whether it would be the same another time. Who is ours, by which address, and how large a
    /// message may be, is a matter of configuration: a reply that waited while that changed is not to
    /// be lost by it.
    const fn code(&self) -> Code {
        match self {
            Self::NotOurs | Self::NotFromUs | Self::TooLarge => Code::Temporary,
            Self::Huge
            | Self::Header(_)
            | Self::Mime(_)
            | Self::EightBitHeader
            | Self::Field(_)
            | Self::From(_)
            | Self::Author
            | Self::Writer
            | Self::LineEnd => Code::Refused,
        }
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(Refusal::new(refused.code(), refused.to_string()))
    }
}

impl From<SpoolError> for Failed {
    fn from(error: SpoolError) -> Self {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a reply could not be stored"
        );
        Self::Refused(Refusal::new(Code::Temporary, error.to_string()))
    }
}

/// Takes a reply in; durable when it returns. The very same one again is not taken in twice.
pub(super) async fn take(
    reply: &Reply,
    content: &mut Content<'_>,
    resources: &Resources,
) -> Result<MessageId, Failed> {
    let (options, services) = (&resources.options, &resources.services);
    if reply.octets > MAX_REPLY_OCTETS {
        return Err(Refused::Huge.into());
    }
    let flow = &services.flow;
    flow.admits()
        .map_err(|reason| Failed::Refused(Refusal::new(not_now(reason), reason.to_string())))?;
    let turn = services.tickets.turn(reply.ticket).await;
    if reply.octets > options.reply_octets && !services.tickets.has(&turn) {
        // It was not taken in before, whatever stands in it: that need not be read.
        return Err(Refused::TooLarge.into());
    }
    let (id, writer) = flow.begin();
    let received = flow.now();
    let trace = format!(
        "Received: from {PORTAL_ACCOUNT}\r\n\tby {} with local id {id};\r\n\t{}\r\n",
        options.hostname,
        received.to_rfc5322()
    );
    let mut incoming = Incoming {
        writer_address: &reply.from,
        id,
        hostname: options.hostname.as_str(),
        received,
        trace,
        writer,
        digest: digest::Context::new(&digest::SHA256),
        stage: Stage::Header(Vec::new()),
        last: b'\n',
        eight_bit: false,
    };
    incoming.identify(reply);
    while let Some(octets) = content.next().await? {
        incoming.write(&octets).await?;
    }
    let taken = incoming.finish().await?;
    if let Some(known) = services.tickets.known(&turn, &taken.digest) {
        return Ok(known);
    }
    // After that: what was taken in before stays so, whatever is configured now.
    admitted(reply, &taken.head.author, resources)?;
    let size = taken.writer.written();
    let body = taken.writer.finish().await?;
    let envelope = Envelope {
        id,
        class: MessageClass::Submitted,
        // A bounce of it would go to nobody; the portal is told how it ended.
        reverse_path: ReversePath::Null,
        recipients: vec![reply.to.clone()],
        author: Some(taken.head.author),
        message_id: taken.head.message_id,
        client: Some(Client {
            address: None,
            helo: PORTAL_ACCOUNT.to_owned(),
            user: PORTAL_ACCOUNT.to_owned(),
            listener: PORTAL_ACCOUNT.to_owned(),
            tls: None,
        }),
        received,
        size,
        eight_bit: taken.eight_bit,
        tags: vec![Tag {
            text: None,
            level: reply.level,
        }],
        pickup: Default::default(),
    };
    let accepted = flow.accept(envelope, body).await;
    accepted.map_err(|error| Failed::Refused(not_accepted(&error)))?;
    if let Err(error) = services.tickets.redeem(&turn, taken.digest, id).await {
        tracing::error!(queue_id = %id, error = &error as &dyn std::error::Error, "that a reply was taken in could not be noted: it may come again");
    }
    Ok(id)
}

/// What hangs on the configuration: its size, who is ours, and by which address.
fn admitted(reply: &Reply, author: &Address, resources: &Resources) -> Result<(), Refused> {
    let (options, flow) = (&resources.options, &resources.services.flow);
    if reply.octets > options.reply_octets {
        return Err(Refused::TooLarge);
    }
    if !options.ours.has(&reply.to) {
        return Err(Refused::NotOurs);
    }
    let ours = flow.replies_from(&reply.to).ok_or(Refused::NotOurs)?;
    match *author == ours {
        true => Ok(()),
        false => Err(Refused::NotFromUs),
    }
}

/// What the header says.
struct Head {
    author: Address,
    message_id: String,
}

enum Stage {
    Header(Vec<u8>),
    Body(Head, Box<MimeWalk>),
}

struct Incoming<'a> {
    /// Who wrote it, as the portal says.
    writer_address: &'a Address,
    id: MessageId,
    hostname: &'a str,
    received: Timestamp,
    trace: String,
    writer: BodyWriter,
    /// Of what the portal sent.
    digest: digest::Context,
    stage: Stage,
    /// The octet before.
    last: u8,
    eight_bit: bool,
}

/// A reply that was read whole.
struct Taken {
    head: Head,
    writer: BodyWriter,
    digest: [u8; 32],
    eight_bit: bool,
}

impl Incoming<'_> {
    /// Puts what the request says under the digest too.
    fn identify(&mut self, reply: &Reply) {
        let said = format!(
            "{}\n{}\n{}\n{:?}\n",
            reply.from, reply.to, reply.level, reply.queue_id
        );
        self.digest.update(said.as_bytes());
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Failed> {
        self.digest.update(octets);
        for &octet in octets {
            // LF only behind CR, and behind CR only LF.
            if (octet == b'\n') != (self.last == b'\r') {
                return Err(Refused::LineEnd.into());
            }
            self.last = octet;
        }
        self.eight_bit |= !octets.is_ascii();
        match &mut self.stage {
            Stage::Header(buffer) => {
                buffer.extend_from_slice(octets);
                let end = match memchr::memmem::find(buffer, b"\r\n\r\n") {
                    Some(at) => at + 2,
                    None if buffer.len() > MAX_HEADER_OCTETS => {
                        return Err(Refused::from(HeaderError::TooLong).into());
                    }
                    None => return Ok(()),
                };
                let whole = std::mem::take(buffer);
                let (block, rest) = whole.split_at(end);
                self.begin_body(block, rest).await
            }
            Stage::Body(_, walk) => {
                walk.feed(octets).map_err(Refused::from)?;
                Ok(self.writer.write(octets).await?)
            }
        }
    }

    /// The header is whole; `rest` begins with the empty line.
    async fn begin_body(&mut self, block: &[u8], rest: &[u8]) -> Result<(), Failed> {
        let (head, added) = self.head(block)?;
        let mut walk = Box::new(MimeWalk::new(block).map_err(Refused::from)?);
        let body = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        walk.feed(body).map_err(Refused::from)?;
        self.writer.write(self.trace.as_bytes()).await?;
        self.writer.write(block).await?;
        self.writer.write(added.as_bytes()).await?;
        self.writer.write(rest).await?;
        self.stage = Stage::Body(head, walk);
        Ok(())
    }

    /// What the header says, and the fields that it lacks.
    fn head(&self, block: &[u8]) -> Result<(Head, String), Refused> {
        let header = Header::parse(block)?;
        if !block.is_ascii() {
            return Err(Refused::EightBitHeader);
        }
        for field in header.fields() {
            let name = field.name();
            let ours = name
                .get(.."X-Sealpost-".len())
                .is_some_and(|start| start.eq_ignore_ascii_case("X-Sealpost-"));
            let twice = |it: &&str| field.is(it) && header.all(it).nth(1).is_some();
            if ours || FORBIDDEN.iter().any(|it| field.is(it)) || ONCE.iter().any(twice) {
                return Err(Refused::Field(name.to_owned()));
            }
        }
        let from = header.first("From").ok_or(Refused::Author)?;
        let authors = mailboxes(from.body()).map_err(Refused::From)?;
        let [author] = authors.as_slice() else {
            return Err(Refused::Author);
        };
        // Its recipient is told that it is from there (`flow::portal::writer`).
        let writer = header.first("Reply-To").ok_or(Refused::Writer)?;
        match mailboxes(writer.body()).as_deref() {
            Ok([writer]) if writer == self.writer_address => {}
            _ => return Err(Refused::Writer),
        }
        let given = |name: &str| {
            let value = header.first(name).map(|field| field.value());
            match value {
                Some(value) if value.is_empty() => Err(Refused::Field(name.to_owned())),
                value => Ok(value),
            }
        };
        let mut added = String::new();
        if given("Date")?.is_none() {
            added.push_str(&format!("Date: {}\r\n", self.received.to_rfc5322()));
        }
        let message_id = given("Message-ID")?;
        if message_id
            .as_ref()
            .is_some_and(|id| id.len() > MAX_MESSAGE_ID_OCTETS)
        {
            return Err(Refused::Field("Message-ID".to_owned()));
        }
        let message_id = message_id.unwrap_or_else(|| {
            let made = format!("<{}@{}>", self.id, self.hostname);
            added.push_str(&format!("Message-ID: {made}\r\n"));
            made
        });
        let author = author.clone();
        Ok((Head { author, message_id }, added))
    }

    async fn finish(mut self) -> Result<Taken, Failed> {
        if self.last == b'\r' {
            return Err(Refused::LineEnd.into());
        }
        if let Stage::Header(buffer) = &mut self.stage {
            // No empty line: all of it is header.
            let block = std::mem::take(buffer);
            self.begin_body(&block, b"").await?;
        }
        let Stage::Body(head, _) = self.stage else {
            return Err(Refused::Author.into());
        };
        let mut digest = [0; 32];
        digest.copy_from_slice(self.digest.finish().as_ref());
        Ok(Taken {
            head,
            writer: self.writer,
            digest,
            eight_bit: self.eight_bit,
        })
    }
}
