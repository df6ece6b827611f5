//! Which header field of a message stands outside, where anybody on the way reads it, and which
//! stands inside alone: the header confidentiality policy (RFC 9788 §3), as an allow-list.
//!
//! Outside is what mail servers and programs that cannot decrypt need: who, when, to which
//! thread, whether a machine wrote it, how to leave a list. Everything that is not in [`RULES`]
//! stands inside alone: Comments, Keywords, Thread-Topic, the Content-* fields with their file
//! names, and every field nobody has heard of. Display names stay outside: they are what the
//! sender shows of people, not of the matter. Where a field's value has words of its own choosing
//! (Importance, Auto-Submitted) only one of the known ones goes outside; where it has message ids
//! (Message-ID, References) nothing but message ids, and where it has a date nothing but a date. Of
//! the Received fields only the one on top is ours; those below can hold anything.
//!
//! The same rule judges the header of what its sender has sealed already ([`leaves_as_it_is`]).
//!
//! Only the header of the message itself is read: what looks like a header further down, in a
//! `message/rfc822` part or a signed one, is body.

use super::SealError;
use super::content_type::ContentType;
use crate::mail::Timestamp;
use crate::mail::message::{Field, Header, unfold};

/// What stands outside for a Subject, whatever it was, and where there was none (RFC 9788 §3.2.1).
const SUBJECT: &[u8] = b"Subject: [...]\r\n";
/// A message without a Content-Type is this (RFC 2045 §5.2).
const PLAIN: &[u8] = b"Content-Type: text/plain; charset=\"us-ascii\"; hp=\"cipher\"\r\n";
/// The same where the body has octets above 127: readers guess its charset as they did before.
const PLAIN_8BIT: &[u8] = b"Content-Type: text/plain; hp=\"cipher\"\r\n";
/// Longest line of a message without its CRLF (RFC 5322 §2.1.1).
const MAX_LINE_OCTETS: usize = 998;

/// What is done with a field of the message's header.
#[derive(Clone, Copy)]
enum Rule {
    /// Inside and outside, as it is.
    Shown,
    /// Inside; outside as well if it holds one message id and nothing else.
    MessageId,
    /// Inside; outside as well if it holds message ids and nothing else.
    MessageIds,
    /// Inside; outside as well without comments, if it holds a date and nothing else.
    Date,
    /// Inside; outside with its first word, if that is one of these.
    Word(&'static [&'static str]),
    /// Inside; outside the three dots.
    Subject,
    /// The first field of all, which submission wrote, outside alone: servers read it. Others
    /// inside alone.
    Trace,
    /// Inside, with the parameter of RFC 9788.
    ContentType,
    /// Nowhere.
    Dropped,
}

/// Every field with a rule; all others stand inside alone.
const RULES: &[(&str, Rule)] = &[
    // RFC 5322 §3.6.1 to §3.6.5
    ("Date", Rule::Date),
    ("From", Rule::Shown),
    ("Sender", Rule::Shown),
    ("Reply-To", Rule::Shown),
    ("To", Rule::Shown),
    ("Cc", Rule::Shown),
    ("Message-ID", Rule::MessageId),
    ("In-Reply-To", Rule::MessageIds),
    ("References", Rule::MessageIds),
    ("Subject", Rule::Subject),
    // RFC 5322 §3.6.6: who sent it on, and when; like From and To.
    ("Resent-Date", Rule::Date),
    ("Resent-From", Rule::Shown),
    ("Resent-Sender", Rule::Shown),
    ("Resent-To", Rule::Shown),
    ("Resent-Cc", Rule::Shown),
    ("Resent-Message-ID", Rule::MessageId),
    // What programs that answer by themselves look for (RFC 3834 §5, RFC 2076 §3.9).
    (
        "Auto-Submitted",
        Rule::Word(&["no", "auto-generated", "auto-replied", "auto-notified"]),
    ),
    ("Precedence", Rule::Word(&["bulk", "list", "junk"])),
    // Lists (RFC 2369, RFC 2919, RFC 8058); large receivers ask for List-Unsubscribe.
    ("List-Id", Rule::Shown),
    ("List-Help", Rule::Shown),
    ("List-Unsubscribe", Rule::Shown),
    ("List-Unsubscribe-Post", Rule::Shown),
    ("List-Subscribe", Rule::Shown),
    ("List-Post", Rule::Shown),
    ("List-Owner", Rule::Shown),
    ("List-Archive", Rule::Shown),
    // Receipts (RFC 8098 §2.1) and urgency (RFC 2156 §5.3).
    ("Disposition-Notification-To", Rule::Shown),
    ("Importance", Rule::Word(&["low", "normal", "high"])),
    ("Priority", Rule::Word(&["non-urgent", "normal", "urgent"])),
    ("X-Priority", Rule::Word(&["1", "2", "3", "4", "5"])),
    // RFC 5321 §4.4; inside it would be what the sender says of the way.
    ("Received", Rule::Trace),
    ("Content-Type", Rule::ContentType),
    // Made over the content as it was, which nobody on the way has any more; outside, their
    // digests would let anybody try what the body is (RFC 6376 §3.7, RFC 8617).
    ("DKIM-Signature", Rule::Dropped),
    ("DomainKey-Signature", Rule::Dropped),
    ("ARC-Seal", Rule::Dropped),
    ("ARC-Message-Signature", Rule::Dropped),
    ("ARC-Authentication-Results", Rule::Dropped),
    // Only the receiver's own may count (RFC 8601 §5, RFC 7208 §9.1).
    ("Authentication-Results", Rule::Dropped),
    ("Received-SPF", Rule::Dropped),
    // Submission takes these out; if one should get here, it goes no further.
    ("Bcc", Rule::Dropped),
    ("Resent-Bcc", Rule::Dropped),
    ("Return-Path", Rule::Dropped),
    // Says what the outside shows, which only we know (RFC 9788 §2.2).
    ("HP-Outer", Rule::Dropped),
];

/// A header, divided.
#[derive(Default)]
pub(super) struct Divided {
    /// The fields outside, without those of MIME.
    pub(super) outer: Vec<u8>,
    /// The fields of the root inside, without the empty line.
    pub(super) inner: Vec<u8>,
    /// Whether the root is a layer of protection that the sender's program made: it is left as it
    /// is, without `hp` and `HP-Outer`, which belong to the root of what that layer protects
    /// (RFC 9788 §2.1.1).
    pub(super) cryptographic: bool,
}

/// What stands outside for a field.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    /// The field.
    AsItIs,
    /// Another line, with its CRLF.
    Line(Vec<u8>),
}

/// Divides a header. `eight_bit`: whether the body has octets above 127; `now` stands outside
/// where a Date says something else than a date, since a message without one is refused by many.
pub(super) fn divide(
    header: &Header<'_>,
    eight_bit: bool,
    now: Timestamp,
) -> Result<Divided, SealError> {
    for name in ["Content-Type", "Content-Transfer-Encoding"] {
        if header.all(name).nth(1).is_some() {
            return Err(SealError::Repeated(name));
        }
    }
    let content_type = header.first("Content-Type");
    let body = content_type.map(|field| field.body());
    let content_type = body.and_then(|body| ContentType::parse(body).ok());
    // It is sealed all the same, and stands inside as it came: what cannot be read has no place
    // for `hp`, and `HP-Outer` means nothing without it.
    let unmarked = body.is_some() && content_type.is_none();
    let mut divided = Divided {
        cryptographic: content_type
            .as_ref()
            .is_some_and(ContentType::is_cryptographic),
        ..Divided::default()
    };
    // What the outside shows, once more, for the inside.
    let mut shown = Vec::new();
    let mut dated = false;
    for (at, field) in header.fields().enumerate() {
        let rule = rule(field);
        match rule {
            Some(Rule::Dropped) => continue,
            Some(Rule::Trace) if at == 0 => {
                divided.outer.extend_from_slice(field.raw());
                continue;
            }
            Some(Rule::ContentType) => {
                divided.content_type(field, content_type.as_ref());
                continue;
            }
            Some(_) | None => {}
        }
        match rule.and_then(|rule| outside(field, rule)) {
            Some(Shown::AsItIs) => divided.show(field, &mut shown),
            Some(Shown::Line(line)) => divided.show_line(&line, &mut shown),
            None => {}
        }
        dated |= field.is("Date") && date(field).is_some();
        divided.inner.extend_from_slice(field.raw());
    }
    if header.first("Date").is_some() && !dated {
        let line = format!("Date: {}\r\n", now.to_rfc5322());
        divided.show_line(line.as_bytes(), &mut shown);
    }
    if header.first("Subject").is_none() {
        divided.show_line(SUBJECT, &mut shown);
    }
    if body.is_none() {
        let plain = if eight_bit { PLAIN_8BIT } else { PLAIN };
        divided.inner.extend_from_slice(plain);
    }
    if !divided.cryptographic && !unmarked {
        divided.inner.extend_from_slice(&shown);
    }
    Ok(divided)
}

/// Whether we would show this field outside just as it is; `at` is its place in the header.
/// A Subject never is: it would be replaced.
pub(super) fn leaves_as_it_is(at: usize, field: Field<'_>) -> bool {
    match rule(field) {
        Some(Rule::Trace) => at == 0,
        Some(rule) => outside(field, rule) == Some(Shown::AsItIs),
        None => false,
    }
}

fn rule(field: Field<'_>) -> Option<Rule> {
    let found = RULES.iter().find(|(name, _)| field.is(name));
    found.map(|(_, rule)| *rule)
}

/// What stands outside for a field with this rule, if anything does.
fn outside(field: Field<'_>, rule: Rule) -> Option<Shown> {
    let as_it_is = |good: bool| good.then_some(Shown::AsItIs);
    match rule {
        Rule::Shown => as_it_is(is_printable(field.raw())),
        Rule::MessageId => as_it_is(message_ids(field.body()) == Some(1)),
        Rule::MessageIds => as_it_is(message_ids(field.body()).is_some()),
        Rule::Date => date(field),
        Rule::Word(words) => word(field, words),
        Rule::Subject => Some(Shown::Line(SUBJECT.to_vec())),
        Rule::Trace | Rule::ContentType | Rule::Dropped => None,
    }
}

/// A date and time. What a comment says behind it ("(CET)") stays inside.
fn date(field: Field<'_>) -> Option<Shown> {
    let value = field.value();
    let (date, comment) = value.split_at(value.find('(').unwrap_or(value.len()));
    let date = date.trim_ascii_end();
    Timestamp::from_rfc5322(date)?;
    Some(match comment {
        "" => Shown::AsItIs,
        _ => Shown::Line(format!("{}: {date}\r\n", field.name()).into_bytes()),
    })
}

/// One of the known words, with nothing behind it.
fn word(field: Field<'_>, words: &[&str]) -> Option<Shown> {
    let value = field.value();
    let end = value.find([' ', '\t', ';', '(']).unwrap_or(value.len());
    let (first, rest) = value.split_at(end);
    let mut words = words.iter();
    let word = words.find(|word| first.eq_ignore_ascii_case(word))?;
    Some(match rest {
        "" => Shown::AsItIs,
        _ => Shown::Line(format!("{}: {word}\r\n", field.name()).into_bytes()),
    })
}

impl Divided {
    fn content_type(&mut self, field: Field<'_>, read: Option<&ContentType<'_>>) {
        match read {
            Some(read) if !self.cryptographic => {
                self.inner.extend_from_slice(field.name().as_bytes());
                self.inner.push(b':');
                let body = read.with_header_protection(field.name().len() + 1);
                self.inner.extend_from_slice(&body);
                self.inner.extend_from_slice(b"\r\n");
            }
            Some(_) | None => self.inner.extend_from_slice(field.raw()),
        }
    }

    fn show(&mut self, field: Field<'_>, shown: &mut Vec<u8>) {
        self.outer.extend_from_slice(field.raw());
        hp_outer(field.name(), field.body(), shown);
    }

    /// A whole line of our own.
    fn show_line(&mut self, line: &[u8], shown: &mut Vec<u8>) {
        self.outer.extend_from_slice(line);
        shown.extend_from_slice(b"HP-Outer: ");
        shown.extend_from_slice(line);
    }
}

/// Writes `HP-Outer: name: body` (RFC 9788 §2.2.1), the body with its folds.
fn hp_outer(name: &str, body: &[u8], out: &mut Vec<u8>) {
    let line = memchr::memchr(b'\r', body).unwrap_or(body.len());
    let long = "HP-Outer: : ".len() + name.len() + line > MAX_LINE_OCTETS;
    let start = if long { "HP-Outer:\r\n " } else { "HP-Outer: " };
    out.extend_from_slice(start.as_bytes());
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    if body.first() != Some(&b' ') {
        out.push(b' ');
    }
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// Printable ASCII, white space and folds: what every server passes on as it is.
pub(super) fn is_printable(raw: &[u8]) -> bool {
    raw.iter()
        .all(|octet| matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
}

/// How many there are, where there is nothing but `1*msg-id` (RFC 5322 §3.6.4) and white space. The
/// obsolete phrases of §4.5.4 quote anything.
fn message_ids(body: &[u8]) -> Option<usize> {
    let text = unfold(body);
    let mut rest = text.trim_ascii();
    let mut found = 0;
    while let Some((id, behind)) = message_id(rest) {
        if !id.iter().all(|octet| matches!(octet, b'!'..=b'~')) {
            return None;
        }
        found += 1;
        rest = behind.trim_ascii_start();
    }
    (found > 0 && rest.is_empty()).then_some(found)
}

/// What stands between the `<` that `text` begins with and the first `>`, and what follows.
fn message_id(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"<")?;
    let end = memchr::memchr(b'>', inner)?;
    let (id, behind) = inner.split_at(end);
    Some((id, behind.get(1..).unwrap_or_default()))
}
