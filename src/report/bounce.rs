//! Our own DSNs: what could not be delivered, or not yet, told to the sender in plain English and
//! in RFC 3464 (multipart/report, RFC 6522).
//!
//! Owns the words, the final status of a recipient that was given up, and what of the original
//! message goes back: header fields by an allow-list, never any content, and no Subject above
//! level `protected`. Only a sender with an address gets one ([`Bounce::sender`] is not a
//! reverse-path), so a DSN never answers a DSN (RFC 5321 §4.5.5).
//!
//! No line of any part can begin with `--`: fields begin with their name, folds and quotations
//! with a space. So nothing from elsewhere can end a part.

use crate::mail::message::Header;
use crate::mail::{
    Address, DeferReason, Domain, EnhancedCode, Envelope, Final, Hop, Level, MessageId, Outcome,
    RecipientOutcome, RecipientRecord, RecipientState, Source, Status, Timestamp,
};
use crate::proto::dsn::{Action, MessageFields, RecipientFields, clean, delivery_status, field};

/// Header fields of the original that go back, and in this order.
const RETURNED: [&str; 7] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Date",
    "Message-ID",
];
/// Recipients that the human part speaks of one by one; the report has them all.
const MAX_TOLD: usize = 100;
/// Hosts that the human part names for one recipient.
const MAX_HOSTS_TOLD: usize = 5;
/// Columns of the human part.
const WIDTH: usize = 74;

/// Encryption needed (registry of RFC 5248), given up.
const NO_SECURE_WAY: EnhancedCode = EnhancedCode::new(5, 7, 10);
/// Delivery time expired (RFC 3463 §3.5), given up.
const TIME_EXPIRED: EnhancedCode = EnhancedCode::new(5, 4, 7);
/// Not yet, and nothing is known (RFC 3463 §3.1).
const NOT_YET: EnhancedCode = EnhancedCode::new(4, 0, 0);

/// What a DSN says.
#[derive(Debug, Clone)]
pub struct Bounce<'a> {
    /// Its own id.
    pub id: MessageId,
    /// Its own date.
    pub date: Timestamp,
    /// Our name.
    pub hostname: &'a Domain,
    /// Who it is from.
    pub postmaster: &'a Address,
    /// Who it is for.
    pub sender: &'a Address,
    /// Given up, or not yet.
    pub kind: Kind,
    /// The message it is about.
    pub original: &'a Envelope,
    /// The header of that message, as stored.
    pub header: &'a [u8],
    /// What that message needs, the highest among these recipients.
    pub level: Level,
    /// Whom it is about. Never empty.
    pub recipients: Vec<FailedRecipient<'a>>,
}

/// Given up, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No more is tried.
    Failed,
    /// It is tried on.
    Delayed {
        /// Until then.
        until: Timestamp,
    },
}

impl Kind {
    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        self.action().as_str()
    }

    const fn action(self) -> Action {
        match self {
            Self::Failed => Action::Failed,
            Self::Delayed { .. } => Action::Delayed,
        }
    }
}

/// A recipient that a DSN is about.
#[derive(Debug, Clone)]
pub struct FailedRecipient<'a> {
    /// Its index in the envelope.
    pub recipient: u32,
    /// Its new record.
    pub record: &'a RecipientRecord,
    /// Why it was waiting: of a delay its reason, of an expiry the last one.
    pub reason: Option<DeferReason>,
    /// What its last attempt came to, where that is at hand.
    pub outcome: Option<&'a RecipientOutcome>,
    /// When that was.
    pub last_attempt: Option<Timestamp>,
    /// It was to be picked up in the portal: what was sent was the notice.
    pub by_notice: bool,
}

/// The Message-ID of a DSN, for its envelope.
pub fn message_id(id: MessageId, hostname: &Domain) -> String {
    format!("<{id}@{hostname}>")
}

/// The whole message, CRLF throughout, 7-bit.
pub fn compose(bounce: &Bounce<'_>) -> Vec<u8> {
    let parts = [
        ("text/plain; charset=us-ascii", human(bounce)),
        ("message/delivery-status", machine(bounce)),
        ("text/rfc822-headers; charset=us-ascii", returned(bounce)),
    ];
    let boundary = boundary(bounce.id, &parts);
    let mut out = head(bounce, &boundary);
    for (kind, content) in &parts {
        out.push_str(&format!(
            "\r\n--{boundary}\r\nContent-Type: {kind}\r\n\r\n{content}"
        ));
    }
    out.push_str(&format!("\r\n--{boundary}--\r\n"));
    out.into_bytes()
}

/// A boundary that stands nowhere in the parts: there are readers that look for it in the middle
/// of lines too. Terminates, because the parts are finite.
fn boundary(id: MessageId, parts: &[(&str, String)]) -> String {
    let mut number = 0u64;
    loop {
        let boundary = format!("=_sealpost_{id}_{number}_");
        if parts
            .iter()
            .all(|(_, content)| !content.contains(&boundary))
        {
            return boundary;
        }
        number += 1;
    }
}

fn head(bounce: &Bounce<'_>, boundary: &str) -> String {
    let subject = match bounce.kind {
        Kind::Failed => "Undelivered mail: your message could not be delivered",
        Kind::Delayed { .. } => "Delayed mail: your message has not been delivered yet",
    };
    let mut out = String::new();
    let postmaster = format!("Mail Delivery System <{}>", bounce.postmaster);
    field(&mut out, "From", &postmaster);
    field(&mut out, "To", &format!("<{}>", bounce.sender));
    field(&mut out, "Subject", subject);
    field(&mut out, "Date", &bounce.date.to_rfc5322());
    field(
        &mut out,
        "Message-ID",
        &message_id(bounce.id, bounce.hostname),
    );
    if let Some(original) = reference(&bounce.original.message_id) {
        field(&mut out, "In-Reply-To", original);
        field(&mut out, "References", original);
    }
    // RFC 3834 §5: so that nothing answers it.
    field(&mut out, "Auto-Submitted", "auto-replied");
    field(&mut out, "MIME-Version", "1.0");
    out.push_str(&format!(
        "Content-Type: multipart/report; report-type=delivery-status;\r\n \
         boundary=\"{boundary}\"\r\n\
         \r\n\
         This is a delivery status notification in MIME format.\r\n"
    ));
    out
}

/// The original's Message-ID, if it is one that can be referred to.
fn reference(message_id: &str) -> Option<&str> {
    let inner = message_id.strip_prefix('<')?.strip_suffix('>')?;
    let plain = inner
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>');
    (plain && !inner.is_empty() && message_id.len() <= 250).then_some(message_id)
}

fn machine(bounce: &Bounce<'_>) -> String {
    let message = MessageFields {
        reporting_mta: bounce.hostname,
        arrival: bounce.original.received,
        queue_id: bounce.original.id,
    };
    let until = match bounce.kind {
        Kind::Failed => None,
        Kind::Delayed { until } => Some(until),
    };
    let fields = |(address, failed)| RecipientFields {
        recipient: address,
        action: bounce.kind.action(),
        status: status(bounce.kind, failed),
        diagnostic: failed.record.last.as_ref(),
        remote_mta: hop(failed).map(|hop| &hop.mx),
        last_attempt: failed.last_attempt,
        will_retry_until: until,
    };
    let recipients: Vec<_> = addressed(bounce).map(fields).collect();
    delivery_status(&message, &recipients)
}

/// The recipients with their addresses.
fn addressed<'b>(
    bounce: &'b Bounce<'_>,
) -> impl Iterator<Item = (&'b Address, &'b FailedRecipient<'b>)> {
    bounce.recipients.iter().filter_map(|failed| {
        let index = usize::try_from(failed.recipient).ok()?;
        Some((bounce.original.recipients.get(index)?, failed))
    })
}

/// The connection that the outcome was learnt on, or the best of those that fell short.
fn hop<'a>(failed: &FailedRecipient<'a>) -> Option<&'a Hop> {
    let outcome = failed.outcome?;
    match &outcome.outcome {
        Outcome::Shortfall { hosts, .. } => hosts.first().map(|short| &short.hop),
        _ => outcome.hop.as_ref(),
    }
}

/// Whether the want of a secure way is what keeps it, or kept it until the end.
fn lacks_security(failed: &FailedRecipient<'_>) -> bool {
    let reason = match &failed.record.state {
        RecipientState::Deferred { reason, .. } => Some(*reason),
        _ => failed.reason,
    };
    matches!(
        reason,
        Some(DeferReason::Security | DeferReason::DowngradeSuspected)
    )
}

/// The status that goes into the report.
fn status(kind: Kind, failed: &FailedRecipient<'_>) -> EnhancedCode {
    let last = failed.record.last.as_ref().map(|status| status.enhanced);
    match kind {
        Kind::Delayed { .. } => match last {
            Some(code) if code.class == 4 => code,
            _ => NOT_YET,
        },
        Kind::Failed => match (&failed.record.state, last) {
            (RecipientState::Final(Final::Bounced), Some(code)) => code.permanent(),
            _ if lacks_security(failed) => NO_SECURE_WAY,
            _ => TIME_EXPIRED,
        },
    }
}

/// The header fields that go back.
fn returned(bounce: &Bounce<'_>) -> String {
    let mut out = String::new();
    // What cannot be read is not given back.
    let Ok(header) = Header::parse_stored(bounce.header) else {
        return out;
    };
    let subject = (bounce.level <= Level::Protected).then_some("Subject");
    for name in RETURNED.into_iter().chain(subject) {
        if let Some(found) = header.first(name) {
            field(&mut out, name, &found.value());
        }
    }
    out
}

fn human(bounce: &Bounce<'_>) -> String {
    let mut text = Text::default();
    text.paragraph(
        0,
        &format!("This is the mail system at {}.", bounce.hostname),
    );
    let accepted = bounce.original.received.to_rfc5322();
    let id = bounce.original.id;
    match bounce.kind {
        Kind::Failed => text.paragraph(
            0,
            &format!(
                "Your message, which was accepted on {accepted} with queue id {id}, could not be \
                 delivered to the recipients below. No more attempts are made; the other \
                 recipients, if any, are not affected."
            ),
        ),
        Kind::Delayed { until } => text.paragraph(
            0,
            &format!(
                "Your message, which was accepted on {accepted} with queue id {id}, has not been \
                 delivered yet to the recipients below. You need not send it again: it is tried \
                 until {}.",
                until.to_rfc5322()
            ),
        ),
    }
    for (address, failed) in addressed(bounce).take(MAX_TOLD) {
        text.paragraph(2, &format!("<{address}>"));
        tell(&mut text, bounce, failed);
    }
    let more = bounce.recipients.len().saturating_sub(MAX_TOLD);
    if more > 0 {
        text.paragraph(0, &format!("And {more} more: all are in the report below."));
    }
    let contact = format!(
        "If you need help, write to {} and give the queue id.",
        bounce.postmaster
    );
    text.paragraph(0, &contact);
    text.0
}

/// Why, and what to do.
fn tell(text: &mut Text, bounce: &Bounce<'_>, failed: &FailedRecipient<'_>) {
    let (why, advice) = words(bounce, failed);
    text.paragraph(4, why);
    if let Some(Outcome::Shortfall {
        required, hosts, ..
    }) = failed.outcome.map(|o| &o.outcome)
    {
        let needed = format!("The mail servers found (the message needs {required} or better):");
        text.paragraph(4, &needed);
        for short in hosts.iter().take(MAX_HOSTS_TOLD) {
            let line = format!("{}: {}, {}", short.hop.mx, short.hop.grade, short.why);
            text.quotation(&line);
        }
    } else if let Some(last) = &failed.record.last {
        text.paragraph(4, "The latest that was learnt:");
        text.quotation(&last.to_string());
    }
    text.paragraph(4, advice);
}

fn is_ours(status: &Status) -> bool {
    match status.source {
        Source::Local => true,
        Source::Remote(_) => false,
    }
}

fn words(bounce: &Bounce<'_>, failed: &FailedRecipient<'_>) -> (&'static str, &'static str) {
    let kind = bounce.kind;
    if lacks_security(failed) && bounce.level.least_grade().is_none() {
        return (
            "No way of delivery that is set up here protects this message as it must be \
             protected. Nothing of it was sent.",
            "What you can do: reach the recipient another way, or ask those who run this mail \
             system for one.",
        );
    }
    let local = failed.record.last.as_ref().is_none_or(is_ours);
    if failed.by_notice && !local {
        return notice_words(kind, &failed.record.state);
    }
    match (kind, lacks_security(failed), &failed.record.state) {
        (Kind::Failed, _, RecipientState::Final(Final::Bounced)) if local => (
            "The message cannot be delivered to this address.",
            "What you can do: check the address, and ask the recipient another way.",
        ),
        (Kind::Failed, _, RecipientState::Final(Final::Bounced)) => (
            "The recipient's mail server refused the message for good.",
            "What you can do: read the server's answer above, check the address, and ask the \
             recipient another way.",
        ),
        (Kind::Failed, true, _) => (
            "The recipient's mail server offers no verified encryption that is good enough for \
             this message. It was not sent, not even in part, and its time is up.",
            "What you can do: reach the recipient another way, or ask those who run the \
             recipient's mail to give their mail servers a valid TLS certificate for their \
             names. Then send the message again.",
        ),
        (Kind::Failed, false, _) => (
            "The message could not be delivered in the time set for it.",
            "What you can do: send it again later, or ask the recipient another way.",
        ),
        (Kind::Delayed { .. }, true, _) => (
            "The recipient's mail server offers no verified encryption that is good enough for \
             this message. Nothing of it was sent; it waits in case that changes.",
            "What you can do: if it is urgent, reach the recipient another way. Those who run \
             the recipient's mail can mend this with a valid TLS certificate for the names of \
             their mail servers.",
        ),
        (Kind::Delayed { .. }, false, _) => (
            "The message could not be handed over yet.",
            "What you can do: nothing for now. If it is urgent, ask the recipient another way.",
        ),
    }
}

/// What is said where the message waits in the portal and the recipient's mail server does not take
/// the notice of it.
const fn notice_words(kind: Kind, state: &RecipientState) -> (&'static str, &'static str) {
    match (kind, state) {
        (Kind::Failed, RecipientState::Final(Final::Bounced)) => (
            "The message was left in the portal, where the recipient could have picked it up. The \
             notice could not be delivered: the recipient's mail server refused it for good. So \
             the message was removed from the portal.",
            "What you can do: read the server's answer above, check the address, and ask the \
             recipient another way.",
        ),
        (Kind::Failed, _) => (
            "The message was left in the portal, where the recipient could have picked it up. The \
             notice could not be delivered in the time set for it. So the message was removed \
             from the portal.",
            "What you can do: send it again later, or ask the recipient another way.",
        ),
        (Kind::Delayed { .. }, _) => (
            "The message is in the portal, where the recipient can pick it up. The notice could \
             not be delivered yet, so the recipient does not know of it.",
            "What you can do: nothing for now. If it is urgent, ask the recipient another way.",
        ),
    }
}

/// Plain text in paragraphs, wrapped; each is followed by an empty line.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn paragraph(&mut self, indent: usize, text: &str) {
        self.wrapped(indent, text);
    }

    /// Words from elsewhere: always indented, so that none of their lines can begin anything.
    fn quotation(&mut self, text: &str) {
        self.wrapped(8, &clean(text));
    }

    fn wrapped(&mut self, indent: usize, text: &str) {
        let mut column = 0;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if column > 0 && column + 1 + word.len() > WIDTH {
                self.0.push_str("\r\n");
                column = 0;
            }
            let gap = if column == 0 { indent } else { 1 };
            self.0.extend(std::iter::repeat_n(' ', gap));
            self.0.push_str(word);
            column += gap + word.len();
        }
        self.0.push_str("\r\n\r\n");
    }
}

#[cfg(test)]
#[path = "bounce_tests.rs"]
mod tests;
