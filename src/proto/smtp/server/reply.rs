//! What the server says: code, enhanced code, one line of text. All texts of ours in one place.
//!
//! RFC 5321 §4.2 (replies), RFC 3463 and RFC 2034 (enhanced codes), RFC 4954 §6, RFC 3207 §4.

use std::borrow::Cow;

use crate::mail::{Domain, EnhancedCode, MessageId, Source, Status};
use crate::proto::smtp::command::CommandError;
use crate::proto::smtp::data::DataFault;
use crate::proto::smtp::sasl::SaslError;

/// Longest reply line with its CRLF (RFC 5321 §4.5.3.1.5).
pub const MAX_REPLY_LINE_OCTETS: usize = 512;
/// Room for the text of a line beside code, enhanced code and CRLF.
pub const MAX_REPLY_TEXT_OCTETS: usize = MAX_REPLY_LINE_OCTETS - 20;

/// One reply of one line. A 421 ends the session, always (RFC 5321 §3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: EnhancedCode,
    text: Cow<'static, str>,
}

impl Reply {
    /// A reply with a text of ours.
    pub const fn fixed(code: u16, enhanced: (u8, u16, u16), text: &'static str) -> Self {
        Self {
            code,
            enhanced: EnhancedCode::new(enhanced.0, enhanced.1, enhanced.2),
            text: Cow::Borrowed(text),
        }
    }

    /// A reply with a text made up at run time: what is not printable ASCII becomes `?`, what is
    /// too long is cut.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: &str) -> Self {
        let harmless = text
            .chars()
            .take(MAX_REPLY_TEXT_OCTETS)
            .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
            .collect::<String>();
        Self {
            code,
            enhanced: EnhancedCode::new(enhanced.0, enhanced.1, enhanced.2),
            text: Cow::Owned(harmless),
        }
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Whether the session ends with it.
    pub fn closes(&self) -> bool {
        self.code == 421
    }

    /// As the delivery log shows it.
    pub fn status(&self) -> Status {
        Status {
            code: Some(self.code),
            enhanced: self.enhanced,
            text: self.text.clone().into_owned(),
            source: Source::Local,
        }
    }

    /// Appends the line to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            format!("{} {} {}\r\n", self.code, self.enhanced, self.text).as_bytes(),
        );
    }
}

// Success.
pub(super) const RESET: Reply = Reply::fixed(250, (2, 0, 0), "Ok");
pub(super) const SENDER_OK: Reply = Reply::fixed(250, (2, 1, 0), "Sender ok");
pub(super) const RECIPIENT_OK: Reply = Reply::fixed(250, (2, 1, 5), "Recipient ok");
pub(super) const HELP: Reply = Reply::fixed(
    214,
    (2, 0, 0),
    "EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY HELP QUIT",
);
pub(super) const VRFY: Reply =
    Reply::fixed(252, (2, 5, 2), "Not verified; mail to it will be tried");
pub(super) const READY_FOR_TLS: Reply = Reply::fixed(220, (2, 0, 0), "Ready to start TLS");
pub(super) const AUTHENTICATED: Reply = Reply::fixed(235, (2, 7, 0), "Authenticated");

// Not yet, not here.
pub(super) const TLS_FIRST: Reply = Reply::fixed(530, (5, 7, 0), "Issue STARTTLS first");
pub(super) const AUTH_FIRST: Reply = Reply::fixed(530, (5, 7, 0), "Authentication required");
pub(super) const AUTH_NEEDS_TLS: Reply = Reply::fixed(
    538,
    (5, 7, 11),
    "Encryption required: issue STARTTLS before AUTH",
);
pub(super) const EHLO_FIRST: Reply = Reply::fixed(503, (5, 5, 1), "Send EHLO first");
pub(super) const MAIL_FIRST: Reply = Reply::fixed(503, (5, 5, 1), "Send MAIL first");
pub(super) const RCPT_FIRST: Reply = Reply::fixed(503, (5, 5, 1), "Send RCPT first");
pub(super) const NO_RECIPIENT: Reply = Reply::fixed(554, (5, 5, 1), "No valid recipients");
pub(super) const NESTED_MAIL: Reply =
    Reply::fixed(503, (5, 5, 1), "A transaction is open; send RSET first");
pub(super) const AUTH_IN_TRANSACTION: Reply =
    Reply::fixed(503, (5, 5, 1), "AUTH is not possible during a transaction");
pub(super) const ALREADY_AUTHENTICATED: Reply =
    Reply::fixed(503, (5, 5, 1), "Already authenticated");
pub(super) const ALREADY_TLS: Reply = Reply::fixed(503, (5, 5, 1), "TLS is already active");
pub(super) const NO_STARTTLS: Reply =
    Reply::fixed(502, (5, 5, 1), "STARTTLS is not offered on this listener");
pub(super) const TLS_INJECTION: Reply = Reply::fixed(
    501,
    (5, 5, 4),
    "Nothing may follow STARTTLS before the handshake; closing",
);

// Authentication.
pub(super) const MECHANISM: Reply = Reply::fixed(504, (5, 5, 4), "The mechanism is not offered");
pub(super) const BAD_CREDENTIALS: Reply =
    Reply::fixed(535, (5, 7, 8), "Authentication credentials invalid");
pub(super) const SASL_TOO_LONG: Reply =
    Reply::fixed(500, (5, 5, 6), "The authentication line is too long");

// Limits.
pub(super) const LINE_TOO_LONG: Reply = Reply::fixed(500, (5, 5, 2), "The line is too long");
pub(super) const BARE_LF: Reply = Reply::fixed(
    500,
    (5, 5, 2),
    "A line feed without carriage return; lines end with CRLF; closing",
);
pub(super) const TOO_MANY_RECIPIENTS: Reply =
    Reply::fixed(452, (4, 5, 3), "Too many recipients in this transaction");

/// A message of ours that the client must split or shrink.
pub(super) fn too_large(limit: u64) -> Reply {
    Reply::new(
        552,
        (5, 3, 4),
        &format!("The message is larger than {limit} octets"),
    )
}

/// The final word.
pub(super) fn queued(id: MessageId) -> Reply {
    Reply::new(250, (2, 0, 0), &format!("Ok: queued as {id}"))
}

/// QUIT.
pub(super) fn bye(hostname: &Domain) -> Reply {
    Reply::new(221, (2, 0, 0), &format!("{hostname} closes the connection"))
}

/// 421 with its reason: the session ends.
pub(super) fn closing(hostname: &Domain, enhanced: (u8, u16, u16), why: &str) -> Reply {
    Reply::new(421, enhanced, &format!("{hostname} {why}; closing"))
}

/// The reply to a line that is no command.
pub(super) fn command_error(error: CommandError) -> Reply {
    match error {
        CommandError::Unknown => Reply::fixed(500, (5, 5, 2), "The command is not known"),
        CommandError::NotImplemented => {
            Reply::fixed(502, (5, 5, 1), "The command is not implemented")
        }
        CommandError::Chunking => Reply::fixed(
            502,
            (5, 5, 1),
            "CHUNKING is not offered, and BDAT without it cannot be told from commands; closing",
        ),
        CommandError::Http => Reply::fixed(421, (4, 7, 0), "This is SMTP, not HTTP; closing"),
        CommandError::Syntax(text) => Reply::new(501, (5, 5, 4), &format!("Syntax error: {text}")),
        CommandError::Address(error) => {
            Reply::new(501, (5, 5, 4), &format!("Address refused: {error}"))
        }
        CommandError::Parameter => Reply::fixed(
            555,
            (5, 5, 4),
            "A parameter is not known, not offered, or given twice",
        ),
    }
}

/// The reply to content that is unacceptable by its octets.
pub(super) fn data_fault(fault: DataFault) -> Reply {
    match fault {
        DataFault::BareLineEnd { .. } => Reply::new(
            550,
            (5, 6, 11),
            &format!("Message refused: {fault}; lines end with CRLF"),
        ),
        DataFault::Nul { .. } | DataFault::LineTooLong { .. } => {
            Reply::new(554, (5, 6, 0), &format!("Message refused: {fault}"))
        }
        DataFault::TooLarge { limit } => too_large(limit),
    }
}

/// The reply to an authentication that ended without credentials.
pub(super) fn sasl_error(error: SaslError) -> Reply {
    match error {
        SaslError::Cancelled => Reply::fixed(501, (5, 7, 0), "Authentication cancelled"),
        SaslError::Encoding => Reply::fixed(501, (5, 5, 2), "The answer is not base64"),
        SaslError::Malformed => Reply::fixed(
            501,
            (5, 5, 4),
            "The answer is not what the mechanism asks for",
        ),
        SaslError::OtherIdentity => BAD_CREDENTIALS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_in_bounds_and_harmless() {
        let mut line = Vec::new();
        Reply::new(550, (5, 7, 1), &"\r\nx\u{e4}".repeat(1000)).write(&mut line);
        assert!(line.len() <= MAX_REPLY_LINE_OCTETS);
        assert!(line.starts_with(b"550 5.7.1 ??x???x?"));
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }
}
