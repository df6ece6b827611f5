//! What a peer, or we ourselves, said about a recipient: code, enhanced code, text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest status text kept, in octets; the rest of a talkative reply is cut.
pub const MAX_STATUS_TEXT_OCTETS: usize = 512;

/// An enhanced status code, RFC 3463: class, subject, detail. Wide enough for `5.7.509`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnhancedCode {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// What it is about: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 policy.
    pub subject: u16,
    /// The detail within the subject.
    pub detail: u16,
}

/// A text that is not an enhanced status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an enhanced status code (RFC 3463)")]
pub struct EnhancedCodeError;

impl EnhancedCode {
    /// `class.subject.detail`.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self {
            class,
            subject,
            detail,
        }
    }

    /// The same condition, given up on: `4.x.y` becomes `5.x.y` (RFC 3464 §2.3.4).
    pub const fn permanent(self) -> Self {
        Self { class: 5, ..self }
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl fmt::Debug for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EnhancedCode {
    type Err = EnhancedCodeError;

    /// RFC 3463 §2: class 2, 4 or 5; subject and detail of one to three digits.
    fn from_str(text: &str) -> Result<Self, EnhancedCodeError> {
        let mut parts = text.split('.');
        let mut number = || {
            parts
                .next()
                .filter(|part| (1..=3).contains(&part.len()))
                .filter(|part| part.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|part| part.parse::<u16>().ok())
                .ok_or(EnhancedCodeError)
        };
        let (class, subject, detail) = (number()?, number()?, number()?);
        if parts.next().is_some() {
            return Err(EnhancedCodeError);
        }
        let class = match class {
            2 => 2,
            4 => 4,
            5 => 5,
            _ => return Err(EnhancedCodeError),
        };
        Ok(Self::new(class, subject, detail))
    }
}

impl TryFrom<String> for EnhancedCode {
    type Error = EnhancedCodeError;
    fn try_from(text: String) -> Result<Self, EnhancedCodeError> {
        text.parse()
    }
}

impl From<EnhancedCode> for String {
    fn from(code: EnhancedCode) -> String {
        code.to_string()
    }
}

/// Whose words a status text is, so that ours are never mistaken for a remote's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// sealpost's own diagnosis.
    Local,
    /// A mail server's reply; its host name.
    Remote(String),
}

/// The latest that is known about a recipient. A remote's 4yz or 5yz is a value of this type,
/// never an `Err`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The SMTP reply code, where a reply was read.
    pub code: Option<u16>,
    /// The enhanced code: the remote's, or the nearest one of ours.
    pub enhanced: EnhancedCode,
    /// Printable ASCII on one line, at most [`MAX_STATUS_TEXT_OCTETS`].
    pub text: String,
    /// Whose words they are.
    pub source: Source,
}

impl Status {
    /// Our own diagnosis.
    pub fn local(enhanced: EnhancedCode, text: impl AsRef<str>) -> Self {
        Self {
            code: None,
            enhanced,
            text: sanitise(text.as_ref()),
            source: Source::Local,
        }
    }

    /// What `host` replied.
    pub fn remote(code: u16, enhanced: EnhancedCode, text: &str, host: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            enhanced,
            text: sanitise(text),
            source: Source::Remote(host.into()),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.code) {
            (Source::Remote(host), Some(code)) => {
                write!(f, "{host} said: {code} {} {}", self.enhanced, self.text)
            }
            (Source::Remote(host), None) => write!(f, "{host}: {} {}", self.enhanced, self.text),
            (Source::Local, _) => write!(f, "sealpost: {} {}", self.enhanced, self.text),
        }
    }
}

/// One line of printable ASCII: whatever a peer sent cannot break a log, a DSN or a terminal.
fn sanitise(text: &str) -> String {
    text.chars()
        .take(MAX_STATUS_TEXT_OCTETS)
        .map(|c| match c {
            ' '..='~' => c,
            '\t' | '\r' | '\n' => ' ',
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_enhanced_codes_whole() {
        assert_eq!("5.7.509".parse(), Ok(EnhancedCode::new(5, 7, 509)));
        for text in [
            "", "5", "5.7", "5.7.1.1", "3.0.0", "5.7.1000", "5.x.1", "+5.7.1", "5..1",
        ] {
            assert_eq!(
                text.parse::<EnhancedCode>(),
                Err(EnhancedCodeError),
                "{text}"
            );
        }
    }

    #[test]
    fn text_is_one_harmless_line() {
        let status = Status::remote(
            550,
            EnhancedCode::new(5, 1, 1),
            "no\r\nsuch\0 \u{1b}[31m user é",
            "mx.example",
        );
        assert_eq!(status.text, "no  such? ?[31m user ?");
        assert_eq!(
            Status::local(EnhancedCode::new(4, 0, 0), "x".repeat(2000))
                .text
                .len(),
            512
        );
    }
}
