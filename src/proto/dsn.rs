//! Delivery status notifications as text: the machine-readable part, and fields that cannot break
//! out of their line (RFC 3464, RFC 3462, RFC 5322 §2.2.3).
//!
//! Owns the syntax only. What became of a recipient, and what the human part says, is the
//! caller's. Everything written is 7-bit, in lines of at most 998 octets; what comes from
//! elsewhere (a peer's reply, a client's header) is cleaned here, whatever was done to it before.

use crate::mail::{Address, Domain, EnhancedCode, MessageId, Source, Status, Timestamp};

/// Lines are folded to stay below this many octets where they can be (RFC 5322 §2.1.1).
const FOLD_OCTETS: usize = 76;
/// Most octets of a value from elsewhere; the rest is cut. With its name it stays below 998.
pub const MAX_VALUE_OCTETS: usize = 900;

/// What became of a recipient (RFC 3464 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It could not be delivered, and no more is tried.
    Failed,
    /// It could not be delivered yet, and is tried on.
    Delayed,
}

impl Action {
    /// The word of the `Action` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
        }
    }
}

/// The fields of the message as a whole (RFC 3464 §2.2).
#[derive(Debug, Clone)]
pub struct MessageFields<'a> {
    /// Us.
    pub reporting_mta: &'a Domain,
    /// When the message was accepted.
    pub arrival: Timestamp,
    /// Our id of it.
    pub queue_id: MessageId,
}

/// The fields of one recipient (RFC 3464 §2.3).
#[derive(Debug, Clone)]
pub struct RecipientFields<'a> {
    /// To whom it was addressed.
    pub recipient: &'a Address,
    /// What became of it.
    pub action: Action,
    /// Why.
    pub status: EnhancedCode,
    /// The latest that was learnt, if anything.
    pub diagnostic: Option<&'a Status>,
    /// The host that did not take it, where the diagnostic does not name one.
    pub remote_mta: Option<&'a Domain>,
    /// When it was tried last.
    pub last_attempt: Option<Timestamp>,
    /// How long it is tried on.
    pub will_retry_until: Option<Timestamp>,
}

/// The content of a `message/delivery-status` part.
pub fn delivery_status(message: &MessageFields<'_>, recipients: &[RecipientFields<'_>]) -> String {
    let mut out = String::new();
    line(
        &mut out,
        "Reporting-MTA",
        &format!("dns; {}", message.reporting_mta),
    );
    line(&mut out, "Arrival-Date", &message.arrival.to_rfc5322());
    line(
        &mut out,
        "X-Sealpost-Queue-ID",
        &message.queue_id.to_string(),
    );
    for recipient in recipients {
        out.push_str("\r\n");
        recipient_fields(&mut out, recipient);
    }
    out
}

fn recipient_fields(out: &mut String, recipient: &RecipientFields<'_>) {
    // An address is printable ASCII by its type, and folding would change a quoted local part.
    line(
        out,
        "Final-Recipient",
        &format!("rfc822; {}", recipient.recipient),
    );
    line(out, "Action", recipient.action.as_str());
    line(out, "Status", &recipient.status.to_string());
    let said_by = recipient
        .diagnostic
        .and_then(|status| match &status.source {
            Source::Remote(host) => Some(host.clone()),
            Source::Local => None,
        });
    let remote = said_by.or_else(|| recipient.remote_mta.map(ToString::to_string));
    if let Some(host) = remote {
        field(out, "Remote-MTA", &format!("dns; {host}"));
    }
    if let Some(status) = recipient.diagnostic {
        field(out, "Diagnostic-Code", &diagnostic(status));
    }
    if let Some(moment) = recipient.last_attempt {
        line(out, "Last-Attempt-Date", &moment.to_rfc5322());
    }
    if let Some(moment) = recipient.will_retry_until {
        line(out, "Will-Retry-Until", &moment.to_rfc5322());
    }
}

/// RFC 3464 §2.3.6: `smtp` is for a reply as it was read; ours have a type of their own, so that
/// they are never mistaken for a remote's words.
fn diagnostic(status: &Status) -> String {
    match (&status.source, status.code) {
        (Source::Remote(_), Some(code)) => {
            format!("smtp; {code} {} {}", status.enhanced, status.text)
        }
        (Source::Remote(_) | Source::Local, _) => {
            format!("X-Sealpost; {} {}", status.enhanced, status.text)
        }
    }
}

/// Writes `name: value` with a value from elsewhere: cleaned, cut, folded at its spaces. An empty
/// one is left out.
pub fn field(out: &mut String, name: &str, value: &str) {
    let value = clean(value);
    if value.is_empty() {
        return;
    }
    out.push_str(name);
    out.push(':');
    let mut column = name.len() + 1;
    for (at, word) in value.split(' ').enumerate() {
        if at > 0 && column + 1 + word.len() > FOLD_OCTETS {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        out.push_str(word);
        column += 1 + word.len();
    }
    out.push_str("\r\n");
}

/// Writes `name: value` with a value of ours that is one short line by its type.
fn line(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str(": ");
    out.push_str(value);
    out.push_str("\r\n");
}

/// A text from elsewhere as one line of printable ASCII, its runs of white space made one space,
/// cut to [`MAX_VALUE_OCTETS`].
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(MAX_VALUE_OCTETS));
    for c in text.chars() {
        if clean.len() >= MAX_VALUE_OCTETS {
            break;
        }
        match c {
            '!'..='~' => clean.push(c),
            ' ' | '\t' | '\r' | '\n' if clean.is_empty() || clean.ends_with(' ') => {}
            ' ' | '\t' | '\r' | '\n' => clean.push(' '),
            _ => clean.push('?'),
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_fields_of_rfc_3464() {
        let host = Domain::parse("mail.clinic.example").unwrap();
        let address = Address::parse("\"kim  k\"@tls.example").unwrap();
        let code = EnhancedCode::new(5, 1, 1);
        let status = Status::remote(550, code, "No such user", "mx.tls.example");
        let text = delivery_status(
            &MessageFields {
                reporting_mta: &host,
                arrival: Timestamp::from_secs(1_795_307_407),
                queue_id: MessageId::new(7),
            },
            &[RecipientFields {
                recipient: &address,
                action: Action::Failed,
                status: code,
                diagnostic: Some(&status),
                remote_mta: None,
                last_attempt: Some(Timestamp::from_secs(1_795_307_408)),
                will_retry_until: None,
            }],
        );
        let expected = "Reporting-MTA: dns; mail.clinic.example\r\n\
            Arrival-Date: Sun, 22 Nov 2026 00:30:07 +0000\r\n\
            X-Sealpost-Queue-ID: 0000000000007\r\n\
            \r\n\
            Final-Recipient: rfc822; \"kim  k\"@tls.example\r\n\
            Action: failed\r\n\
            Status: 5.1.1\r\n\
            Remote-MTA: dns; mx.tls.example\r\n\
            Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n\
            Last-Attempt-Date: Sun, 22 Nov 2026 00:30:08 +0000\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn our_own_words_are_not_passed_off_as_a_reply() {
        let status = Status::local(EnhancedCode::new(4, 7, 10), "no STARTTLS");
        assert_eq!(diagnostic(&status), "X-Sealpost; 4.7.10 no STARTTLS");
        let mut lost = Status::remote(421, EnhancedCode::new(4, 4, 2), "lost", "mx.example");
        lost.code = None;
        assert_eq!(diagnostic(&lost), "X-Sealpost; 4.4.2 lost");
    }

    #[test]
    fn a_value_cannot_leave_its_field() {
        let mut out = String::new();
        field(
            &mut out,
            "Subject",
            " a\r\nBcc: eve@evil.example\r\n\r\n--b\0\u{e9} ",
        );
        assert_eq!(out, "Subject: a Bcc: eve@evil.example --b??\r\n");
        out.clear();
        field(&mut out, "Subject", " \r\n ");
        assert_eq!(out, "");
        field(&mut out, "Subject", &"word ".repeat(500));
        assert!(out.split("\r\n").all(|line| line.len() <= FOLD_OCTETS));
        assert!(
            out.split("\r\n")
                .skip(1)
                .all(|l| l.is_empty() || l.starts_with(" word"))
        );
        out.clear();
        field(&mut out, "Subject", &"x".repeat(5000));
        assert!(out.len() < 998);
    }
}
