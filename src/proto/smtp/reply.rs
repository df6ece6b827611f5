//! Replies of an SMTP server (RFC 5321 §4.2), read strictly.
//!
//! Owns the reply grammar and its limits: three digits 200-599, one code over all lines of a
//! reply, CRLF and nothing else at line ends. A peer that sends a bare LF or CR, a NUL, another
//! code or too much has left the protocol; nothing is repaired and nothing is guessed, because
//! a lenient reader is what response injection needs.
//! Never panics on any bytes; holds at most one reply of [`MAX_REPLY_OCTETS`].

use std::fmt;

use crate::mail::EnhancedCode;

/// Longest reply in octets, all lines together.
pub const MAX_REPLY_OCTETS: usize = 64 * 1024;
/// Most lines of one reply.
pub const MAX_REPLY_LINES: usize = 200;
/// Longest reply line in octets with its CRLF. RFC 5321 §4.5.3.1.5 asks for 512; real servers
/// put long texts with links on one line.
pub const MAX_REPLY_LINE_OCTETS: usize = 2048;

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    lines: Vec<String>,
}

/// The first digit of a reply code (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// 2yz: done.
    Completed,
    /// 3yz: go on.
    Intermediate,
    /// 4yz: not now.
    Transient,
    /// 5yz: never.
    Permanent,
}

/// How a peer left the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line does not begin with three digits 200-599 followed by a space, a hyphen or its end.
    #[error("a reply line does not begin with a reply code")]
    Code,
    /// The lines of one reply bear different codes.
    #[error("the lines of a reply bear different codes")]
    Inconsistent,
    /// CR without LF, LF without CR, or a NUL.
    #[error("a reply has a bare CR, a bare LF or a NUL")]
    Character,
    /// Over [`MAX_REPLY_LINE_OCTETS`].
    #[error("a reply line is longer than {MAX_REPLY_LINE_OCTETS} octets")]
    LineTooLong,
    /// Over [`MAX_REPLY_LINES`] or [`MAX_REPLY_OCTETS`].
    #[error("a reply has more than {MAX_REPLY_LINES} lines or {MAX_REPLY_OCTETS} octets")]
    TooLong,
}

impl Reply {
    /// A reply of one line, as a test or a summary needs it.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            lines: vec![text.into()],
        }
    }

    /// The reply code, 200-599.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// What the code's first digit says.
    pub const fn severity(&self) -> Severity {
        match self.code / 100 {
            2 => Severity::Completed,
            3 => Severity::Intermediate,
            4 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }

    /// The texts of the lines, without code and line end; octets outside printable ASCII are `?`.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The enhanced code at the head of the text (RFC 2034 §4). Its class is the reply code's:
    /// where a server contradicts itself, the code it must obey wins.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        let class = match self.severity() {
            Severity::Completed => 2,
            Severity::Intermediate => return None,
            Severity::Transient => 4,
            Severity::Permanent => 5,
        };
        let (code, _) = split_enhanced(self.lines.first()?)?;
        Some(EnhancedCode { class, ..code })
    }

    /// The text on one line, without the enhanced codes.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let line = split_enhanced(line).map_or(line.as_str(), |(_, rest)| rest);
            if !text.is_empty() && !line.is_empty() {
                text.push(' ');
            }
            text.push_str(line);
        }
        text
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        for line in &self.lines {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

fn split_enhanced(line: &str) -> Option<(EnhancedCode, &str)> {
    let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some((head.parse().ok()?, rest))
}

/// Puts replies together from whatever pieces arrive.
#[derive(Debug, Default)]
pub struct ReplyReader {
    /// The line being read, without its LF.
    line: Vec<u8>,
    /// The lines before it, and their code.
    code: Option<u16>,
    lines: Vec<String>,
    octets: usize,
}

impl ReplyReader {
    /// Takes octets from the front of `input` up to the end of the next reply. `None` means that
    /// all were taken and more are needed.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, ReplyError> {
        while !input.is_empty() {
            let room = MAX_REPLY_LINE_OCTETS - self.line.len();
            let window = &input[..room.min(input.len())];
            let end = memchr::memchr(b'\n', window);
            let taken = end.map_or(window.len(), |at| at + 1);
            self.line.extend_from_slice(&window[..taken]);
            *input = &input[taken..];
            self.octets += taken;
            if self.octets > MAX_REPLY_OCTETS {
                return Err(ReplyError::TooLong);
            }
            if end.is_some() {
                if let Some(reply) = self.end_of_line()? {
                    return Ok(Some(reply));
                }
            } else if self.line.len() >= MAX_REPLY_LINE_OCTETS {
                return Err(ReplyError::LineTooLong);
            }
        }
        Ok(None)
    }

    /// Whether a reply has begun and not ended.
    pub fn is_within_reply(&self) -> bool {
        !self.line.is_empty() || self.code.is_some()
    }

    fn end_of_line(&mut self) -> Result<Option<Reply>, ReplyError> {
        let line = self
            .line
            .strip_suffix(b"\r\n")
            .ok_or(ReplyError::Character)?;
        if line.iter().any(|&b| matches!(b, b'\r' | 0)) {
            return Err(ReplyError::Character);
        }
        let (code, last, text) = parse_line(line)?;
        if self.code.is_some_and(|before| before != code) {
            return Err(ReplyError::Inconsistent);
        }
        let text = text.iter().map(|&b| printable(b)).collect();
        self.lines.push(text);
        self.line.clear();
        if !last {
            self.code = Some(code);
            // One more line has to follow.
            if self.lines.len() >= MAX_REPLY_LINES {
                return Err(ReplyError::TooLong);
            }
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        *self = Self::default();
        Ok(Some(Reply { code, lines }))
    }
}

/// `code SP text`, `code - text` or the bare code (RFC 5321 §4.2: "clients SHOULD be prepared").
fn parse_line(line: &[u8]) -> Result<(u16, bool, &[u8]), ReplyError> {
    let [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else {
        return Err(ReplyError::Code);
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    let code = digit(*a) * 100 + digit(*b) * 10 + digit(*c);
    match rest {
        [] => Ok((code, true, &[])),
        [b' ', text @ ..] => Ok((code, true, text)),
        [b'-', text @ ..] => Ok((code, false, text)),
        [..] => Err(ReplyError::Code),
    }
}

fn printable(byte: u8) -> char {
    match byte {
        b' '..=b'~' => char::from(byte),
        b'\t' => ' ',
        _ => '?',
    }
}

/// The entry point of the fuzz target `smtp_reply`: any octets as what a server sends. `Err` names
/// the rule that was broken.
pub fn check_fuzz_input(input: &[u8]) -> Result<(), &'static str> {
    let whole = read_in_pieces(input, input.len().max(1));
    if whole != read_in_pieces(input, 1) || whole != read_in_pieces(input, 7) {
        return Err("what is read depends on how it arrives");
    }
    for reply in &whole.0 {
        if !(200..=599).contains(&reply.code) {
            return Err("a code outside 200-599");
        }
        if reply.lines.is_empty() || reply.lines.len() > MAX_REPLY_LINES {
            return Err("too few or too many lines");
        }
        let octets: usize = reply.lines.iter().map(String::len).sum();
        if octets > MAX_REPLY_OCTETS {
            return Err("more octets than were allowed");
        }
        let text = reply.text();
        if text.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
            return Err("a text that is not printable ASCII on one line");
        }
    }
    Ok(())
}

/// The replies in `input` that arrives in pieces of `octets`, and how it ended.
fn read_in_pieces(input: &[u8], octets: usize) -> (Vec<Reply>, Option<ReplyError>) {
    let mut reader = ReplyReader::default();
    let mut replies = Vec::new();
    for mut piece in input.chunks(octets) {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    (replies, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(mut input: &[u8]) -> Result<Vec<Reply>, ReplyError> {
        let mut reader = ReplyReader::default();
        let mut replies = Vec::new();
        while let Some(reply) = reader.read(&mut input)? {
            replies.push(reply);
        }
        Ok(replies)
    }

    #[test]
    fn reads_single_and_multi_line_replies() {
        let replies =
            read_all(b"220-mx.example\r\n220 ready\r\n250\r\n550 5.7.509 no \xc3\xa9 \x1b[31m\r\n")
                .unwrap();
        assert_eq!(replies.len(), 3);
        assert_eq!(replies[0].code(), 220);
        assert_eq!(replies[0].text(), "mx.example ready");
        assert_eq!(replies[1].text(), "");
        assert_eq!(replies[1].severity(), Severity::Completed);
        assert_eq!(replies[2].enhanced(), Some(EnhancedCode::new(5, 7, 509)));
        assert_eq!(replies[2].text(), "no ?? ?[31m");
        assert_eq!(replies[2].severity(), Severity::Permanent);
    }

    #[test]
    fn enhanced_codes_follow_the_reply_code() {
        let replies =
            read_all(b"450-4.2.0 try\r\n450 4.2.0 later\r\n550 4.7.1 never\r\n354 2.0.0 x\r\n")
                .unwrap();
        assert_eq!(replies[0].text(), "try later");
        assert_eq!(replies[0].enhanced(), Some(EnhancedCode::new(4, 2, 0)));
        assert_eq!(replies[1].enhanced(), Some(EnhancedCode::new(5, 7, 1)));
        assert_eq!(replies[2].enhanced(), None);
    }

    #[test]
    fn leaves_the_protocol_loudly() {
        for (bytes, error) in [
            (&b"999 hello\r\n"[..], ReplyError::Code),
            (b"199 hello\r\n", ReplyError::Code),
            (b"600 hello\r\n", ReplyError::Code),
            (b"25 hello\r\n", ReplyError::Code),
            (b"2500 hello\r\n", ReplyError::Code),
            (b"250_hello\r\n", ReplyError::Code),
            (b"\r\n", ReplyError::Code),
            (b"HTTP/1.1 400 Bad Request\r\n", ReplyError::Code),
            (b"250 hello\n", ReplyError::Character),
            (b"250 hel\rlo\r\n", ReplyError::Character),
            (b"250 hel\0lo\r\n", ReplyError::Character),
            (b"250 hello\r\r\n", ReplyError::Character),
            (b"250-hello\r\n251 x\r\n", ReplyError::Inconsistent),
        ] {
            assert_eq!(read_all(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let line = |len: usize| {
            let mut line = b"250 ".to_vec();
            line.resize(len - 2, b'x');
            line.extend_from_slice(b"\r\n");
            line
        };
        assert_eq!(read_all(&line(MAX_REPLY_LINE_OCTETS)).unwrap().len(), 1);
        assert_eq!(
            read_all(&line(MAX_REPLY_LINE_OCTETS + 1)),
            Err(ReplyError::LineTooLong)
        );
        let lines = |count: usize| {
            let mut reply = b"250-x\r\n".repeat(count - 1);
            reply.extend_from_slice(b"250 x\r\n");
            reply
        };
        assert_eq!(read_all(&lines(MAX_REPLY_LINES)).unwrap().len(), 1);
        assert_eq!(
            read_all(&lines(MAX_REPLY_LINES + 1)),
            Err(ReplyError::TooLong)
        );
        let mut fat = line(MAX_REPLY_LINE_OCTETS);
        fat[3] = b'-';
        let fat = fat.repeat(MAX_REPLY_OCTETS / MAX_REPLY_LINE_OCTETS + 1);
        assert_eq!(read_all(&fat), Err(ReplyError::TooLong));
        assert_eq!(
            read_all(&b"250-x\r\n".repeat(200_000)),
            Err(ReplyError::TooLong)
        );
        assert_eq!(
            read_all(&vec![b'2'; 10_000_000]),
            Err(ReplyError::LineTooLong)
        );
    }

    #[test]
    fn knows_whether_it_stands_between_replies() {
        let mut reader = ReplyReader::default();
        assert!(!reader.is_within_reply());
        reader.read(&mut &b"2"[..]).unwrap();
        assert!(reader.is_within_reply());
        reader.read(&mut &b"50-x\r\n"[..]).unwrap();
        assert!(reader.is_within_reply());
        assert!(reader.read(&mut &b"250 x\r\n"[..]).unwrap().is_some());
        assert!(!reader.is_within_reply());
    }

    /// What the fuzz target begins with and what it found, replayed.
    #[test]
    fn the_corpus_holds() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/smtp_reply");
        let mut replayed = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            let octets = std::fs::read(&path).unwrap();
            assert_eq!(check_fuzz_input(&octets), Ok(()), "{}", path.display());
            replayed += 1;
        }
        assert!(replayed >= 8);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            input in "(2|5|-|0| |x|\r\n|\n|\r|\0|250 ok\r\n|250-more\r\n|421 bye\r\n){0,12}",
        ) {
            prop_assert_eq!(check_fuzz_input(input.as_bytes()), Ok(()));
        }
    }
}
