//! Mails of ours about the portal: notice, reminder, code, report.
//!
//! Owns their composition from fixed texts (`locale/mails`). Of a message they say who sent it and
//! until when it waits; never its content, subject or file names. They ask for nothing: no password,
//! no reply, and the one link that they have is its own text. Pure: the time, the ids and the texts
//! come in. Invariant: the same words make the same octets, so that a notice that is made twice is
//! one.

mod name;
mod write;

use crate::locale::{Texts, date};
use crate::mail::{Address, Domain, Language, MessageId, Notice, Reference, Timestamp};
use crate::proto::link::{AskCode, Remind, ReportKind, ReportPickup};

pub use name::{MAX_NAME_CHARS, author_name, fit};
pub use write::MAX_MAIL_OCTETS;
use write::{Block, Letter, written};

/// Digits of a code that stand together.
const DIGITS_TOGETHER: usize = 4;
/// Longest Message-ID of a sender that is named in a report.
const MAX_NAMED_ID_OCTETS: usize = 250;

/// What all mails of ours are made with.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The operator, as people know it.
    pub operator: String,
    /// The portal's address: `https://portal.clinic.example`.
    pub url: String,
    /// The local part of the address that notices come from; its domain is the author's.
    pub notice_from: String,
    /// The domains that we sign for, and those below them are ours too.
    pub domains: Vec<Domain>,
    /// Our name, in Message-IDs.
    pub hostname: Domain,
    /// Whom people may ask, and who reports come from.
    pub postmaster: Address,
    /// The language of reports to authors.
    pub language: Language,
    /// The texts.
    pub texts: Texts,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// What it is called.
    pub reference: Reference,
    /// For whom.
    pub recipient: &'a Address,
    /// Who wrote it.
    pub author: &'a Address,
    /// The name beside that address. It is shown only if it is fit for that.
    pub author_name: Option<&'a str>,
    /// The language to write in.
    pub language: Language,
    /// When it goes.
    pub expires: Timestamp,
}

/// A mail of ours, and what its envelope says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The whole message: CRLF, 7-bit. At most [`MAX_MAIL_OCTETS`].
    pub octets: Vec<u8>,
    /// The address in From, whose domain signs.
    pub from: Address,
    /// The Message-ID field's value.
    pub message_id: String,
}

impl Setting {
    /// The address that a mail on an author's behalf comes from: in the author's domain, which
    /// signs it. Who replied in the portal is not of ours: then it is in the recipient's. Without
    /// an author it is in the postmaster's.
    pub fn from_address(&self, author: Option<&Address>, recipient: &Address) -> Address {
        let author = author.unwrap_or(&self.postmaster);
        let is_ours = |it: &&Address| {
            let mut domains = self.domains.iter();
            domains.any(|domain| it.domain().is_within(domain))
        };
        let behalf = [author, recipient].into_iter().find(is_ours);
        self.address_in(behalf.unwrap_or(author).domain())
    }

    /// Our own address in a domain.
    pub fn address_in(&self, domain: &Domain) -> Address {
        Address::parse(&format!("{}@{domain}", self.notice_from))
            .unwrap_or_else(|_| self.postmaster.clone())
    }

    /// The link of a notice: it carries no secret.
    pub fn link(&self, reference: Reference) -> String {
        format!("{}/m/{reference}", self.url())
    }

    /// The notice of a message that was left in the portal.
    pub fn notice(&self, now: Timestamp, waiting: &Waiting<'_>) -> Notice {
        let octets = self.waiting("notice", "notice", now, waiting).octets;
        let (reference, language) = (waiting.reference, waiting.language);
        Notice::composed(octets, reference, language, waiting.expires)
    }

    /// The reminder of one that still waits; `id` is the reminder's own.
    pub fn reminder(&self, id: MessageId, now: Timestamp, remind: &Remind) -> Composed {
        let waiting = Waiting {
            reference: remind.reference,
            recipient: &remind.recipient,
            author: &remind.author,
            author_name: remind.author_name.as_deref(),
            language: remind.language,
            expires: remind.expires,
        };
        self.waiting("remind", &id.to_string(), now, &waiting)
    }

    /// The mail with a code; `id` is the mail's own.
    pub fn code(&self, id: MessageId, now: Timestamp, asked: &AskCode) -> Composed {
        let language = asked.language;
        let minutes = asked.minutes.to_string();
        let words = |key: &str| {
            Block::Words(self.fill(
                language,
                key,
                &[("operator", &self.operator), ("minutes", &minutes)],
            ))
        };
        let mut blocks = vec![
            self.words(language, "mail.greeting"),
            words("code.intro"),
            Block::Digits(grouped(&asked.code)),
            words("code.minutes"),
            Block::Typed(self.url().to_owned()),
            words("code.ignore"),
            words("code.secret"),
        ];
        blocks.push(self.foot(language, "mail.reply"));
        blocks.push(self.operator(language));
        let from = self.from_address(asked.author.as_ref(), &asked.recipient);
        let unique = id.to_string();
        let subject = self.fill(language, "code.subject", &[("operator", &self.operator)]);
        self.compose(
            &unique,
            from,
            Letter {
                from_name: self.operator.clone(),
                subject,
                to: &asked.recipient,
                date: now,
                language,
                blocks,
                ..self.blank()
            },
        )
    }

    /// What an author is told of a message that nobody opened; `id` is the report's own.
    pub fn report(&self, id: MessageId, now: Timestamp, report: &ReportPickup) -> Composed {
        let language = self.language;
        let kind = match report.kind {
            ReportKind::Unread => "unread",
            ReportKind::ExpiredUnread => "expired",
        };
        let recipient = report.recipient.to_string();
        let (deposited, expires) = (
            date(language, report.deposited),
            date(language, report.expires),
        );
        let filled = [
            ("recipient", recipient.as_str()),
            ("deposited", &deposited),
            ("expires", &expires),
        ];
        let text = |part: &str| self.fill(language, &format!("{kind}.{part}"), &filled);
        let about = named_id(&report.message_id);
        let mut blocks = vec![
            self.words(language, "mail.greeting"),
            Block::Words(text("intro")),
            Block::Words(text("now")),
            Block::Words(text("help")),
        ];
        if let Some(about) = about {
            let shown = format!("<{about}>");
            let filled = [("message_id", shown.as_str())];
            blocks.push(Block::Foot(self.fill(language, "report.message", &filled)));
        }
        blocks.push(self.operator(language));
        let unique = id.to_string();
        self.compose(
            &unique,
            self.postmaster.clone(),
            Letter {
                from_name: self.operator.clone(),
                subject: text("subject"),
                to: &report.author,
                date: now,
                about,
                language,
                blocks,
                ..self.blank()
            },
        )
    }

    /// A notice or a reminder. `kind` is where its texts stand.
    fn waiting(&self, kind: &str, unique: &str, now: Timestamp, waiting: &Waiting<'_>) -> Composed {
        let language = waiting.language;
        let address = waiting.author.to_string();
        let name = waiting.author_name.and_then(fit);
        let author = name.as_deref().unwrap_or(&address);
        // The name is what the sender says; the address is what was proved.
        let sender = match &name {
            Some(name) => format!("{name} ({address})"),
            None => address.clone(),
        };
        let (recipient, until) = (
            waiting.recipient.to_string(),
            date(language, waiting.expires),
        );
        let filled = [
            ("author", author),
            ("sender", sender.as_str()),
            ("operator", &self.operator),
            ("date", &until),
            ("recipient", &recipient),
        ];
        let text = |key: &str| self.fill(language, key, &filled);
        let blocks = vec![
            Block::Words(text("mail.greeting")),
            Block::Words(text(&format!("{kind}.intro"))),
            Block::Words(text(&format!("{kind}.until"))),
            Block::Link(self.link(waiting.reference)),
            Block::Words(text("mail.hand")),
            Block::Typed(self.url().to_owned()),
            Block::Words(text("mail.proof")),
            self.foot(language, "mail.password"),
            self.foot(language, "mail.reply"),
            self.operator(language),
        ];
        let from = self.from_address(Some(waiting.author), waiting.recipient);
        let unique = format!("{unique}.{}", waiting.reference);
        self.compose(
            &unique,
            from,
            Letter {
                from_name: text("mail.from"),
                subject: text(&format!("{kind}.subject")),
                to: waiting.recipient,
                date: now,
                language,
                blocks,
                ..self.blank()
            },
        )
    }

    fn compose(&self, unique: &str, from: Address, letter: Letter<'_>) -> Composed {
        let id = format!("{unique}@{}", self.hostname);
        let octets = written(Letter {
            from: &from,
            id: &id,
            ..letter
        });
        let message_id = format!("<{id}>");
        Composed {
            octets,
            from,
            message_id,
        }
    }

    /// A letter that says nothing yet.
    fn blank(&self) -> Letter<'_> {
        Letter {
            from_name: String::new(),
            from: &self.postmaster,
            to: &self.postmaster,
            subject: String::new(),
            date: Timestamp::default(),
            id: "",
            about: None,
            language: self.language,
            blocks: Vec::new(),
        }
    }

    fn url(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    fn fill(&self, language: Language, key: &str, filled: &[(&str, &str)]) -> String {
        self.texts.fill(language, key, filled)
    }

    fn words(&self, language: Language, key: &str) -> Block {
        Block::Words(self.fill(language, key, &[]))
    }

    fn foot(&self, language: Language, key: &str) -> Block {
        Block::Foot(self.fill(language, key, &[]))
    }

    fn operator(&self, language: Language) -> Block {
        let postmaster = self.postmaster.to_string();
        let filled = [
            ("operator", self.operator.as_str()),
            ("postmaster", &postmaster),
        ];
        Block::Foot(self.fill(language, "mail.operator", &filled))
    }
}

/// A code as it is read out: its digits in groups.
fn grouped(code: &str) -> String {
    let mut out = String::with_capacity(code.len() + 2);
    for (place, digit) in code.chars().filter(|c| !c.is_whitespace()).enumerate() {
        if place > 0 && place.is_multiple_of(DIGITS_TOGETHER) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A sender's Message-ID without its brackets, where it is one that can be repeated.
fn named_id(message_id: &str) -> Option<&str> {
    let inside = message_id.strip_prefix('<')?.strip_suffix('>')?;
    let sound = inside.len() <= MAX_NAMED_ID_OCTETS
        && inside.split('@').count() == 2
        && inside
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>'));
    sound.then_some(inside)
}

#[cfg(test)]
mod tests;
