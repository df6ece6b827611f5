//! The addresses of a From or Sender field (RFC 5322 §3.4): one strict reader, which refuses what
//! two readers could understand differently. Who may send as whom depends on it.
//!
//! Accepted: `addr-spec`, `display name <addr-spec>`, comments and folding between the words,
//! quoted strings, unquoted dots in a display name (`John Q. Public`), several addresses, groups.
//! Refused: everything else, above all empty list members, routes, white space or comments
//! inside an address, and an unquoted `@`, `<` or `>` in a display name.

use super::header::unfold;
use crate::mail::{Address, AddressError};

/// Deepest nesting of comments.
const MAX_COMMENT_DEPTH: usize = 10;
/// Most addresses that are read from one field.
const MAX_MAILBOXES: usize = 100;

/// Why a field has no readable addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// Not the syntax of RFC 5322 §3.4, or obsolete.
    #[error(
        "not a list of addresses (a display name with special characters must stand in quotes)"
    )]
    Syntax,
    /// Nested too deeply.
    #[error("comments are nested more than {MAX_COMMENT_DEPTH} deep")]
    CommentDepth,
    /// Over [`MAX_MAILBOXES`].
    #[error("more than {MAX_MAILBOXES} addresses")]
    TooMany,
    /// One of the addresses is none that mail can be written to.
    #[error("{0}")]
    Address(#[from] AddressError),
}

/// The addresses in a field's body, in order; those of groups too.
pub fn mailboxes(body: &[u8]) -> Result<Vec<Address>, MailboxError> {
    let tokens = tokenise(&unfold(body))?;
    let mut reader = Reader {
        tokens: &tokens,
        found: Vec::new(),
    };
    reader.address_list()?;
    Ok(reader.found)
}

/// A lexical token (RFC 5322 §3.2). White space and comments are `Gap`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// 1*atext
    Atom(String),
    /// With its quotes.
    Quoted(String),
    /// CFWS
    Gap,
    /// One of the specials `<>@,:;.`
    Special(u8),
}

fn tokenise(text: &[u8]) -> Result<Vec<Token>, MailboxError> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        let (token, len) = match byte {
            b' ' | b'\t' => (Token::Gap, 1),
            b'(' => (Token::Gap, comment_len(rest)?),
            b'"' => {
                let len = quoted_len(rest)?;
                (Token::Quoted(ascii(rest, len)?), len)
            }
            b'<' | b'>' | b'@' | b',' | b':' | b';' | b'.' => (Token::Special(byte), 1),
            byte if is_atext(byte) => {
                let len = rest.iter().take_while(|&&b| is_atext(b)).count();
                (Token::Atom(ascii(rest, len)?), len)
            }
            _ => return Err(MailboxError::Syntax),
        };
        if !(token == Token::Gap && tokens.last() == Some(&Token::Gap)) {
            tokens.push(token);
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(tokens)
}

fn ascii(text: &[u8], len: usize) -> Result<String, MailboxError> {
    let part = text.get(..len).ok_or(MailboxError::Syntax)?;
    String::from_utf8(part.to_vec()).map_err(|_| MailboxError::Syntax)
}

fn comment_len(text: &[u8]) -> Result<usize, MailboxError> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'(' if depth == MAX_COMMENT_DEPTH => return Err(MailboxError::CommentDepth),
            b'(' => depth += 1,
            b')' if depth == 1 => return Ok(at + 1),
            b')' => depth -= 1,
            // quoted-pair (RFC 5322 §3.2.1): a visible character or white space.
            b'\\' if matches!(text.get(at + 1), Some(b' '..=b'~' | b'\t')) => at += 1,
            b' '..=b'~' | b'\t' => {}
            _ => return Err(MailboxError::Syntax),
        }
        at += 1;
    }
    Err(MailboxError::Syntax)
}

fn quoted_len(text: &[u8]) -> Result<usize, MailboxError> {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            // quoted-pair (RFC 5322 §3.2.1): a visible character or white space.
            b'\\' if matches!(text.get(at + 1), Some(b' '..=b'~' | b'\t')) => at += 1,
            b' '..=b'~' | b'\t' => {}
            _ => return Err(MailboxError::Syntax),
        }
        at += 1;
    }
    Err(MailboxError::Syntax)
}

const fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

struct Reader<'a> {
    tokens: &'a [Token],
    found: Vec<Address>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.first()
    }

    fn advance(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn skip_gap(&mut self) {
        while self.peek() == Some(&Token::Gap) {
            self.advance();
        }
    }

    fn take(&mut self, special: u8) -> bool {
        let there = self.peek() == Some(&Token::Special(special));
        if there {
            self.advance();
        }
        there
    }

    /// address-list = address *("," address), to the end.
    fn address_list(&mut self) -> Result<(), MailboxError> {
        loop {
            self.address(true)?;
            self.skip_gap();
            if self.peek().is_none() {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(MailboxError::Syntax);
            }
        }
    }

    /// address = addr-spec / [phrase] "<" addr-spec ">" / phrase ":" [list] ";"
    fn address(&mut self, group_allowed: bool) -> Result<(), MailboxError> {
        self.skip_gap();
        if let Some(len) = self.addr_spec_len() {
            return self.addr_spec(len);
        }
        let words = self.phrase();
        if self.take(b'<') {
            self.skip_gap();
            let len = self.addr_spec_len().ok_or(MailboxError::Syntax)?;
            self.addr_spec(len)?;
            self.skip_gap();
            return if self.take(b'>') {
                Ok(())
            } else {
                Err(MailboxError::Syntax)
            };
        }
        if group_allowed && words > 0 && self.take(b':') {
            return self.group();
        }
        Err(MailboxError::Syntax)
    }

    /// Behind the colon of a group.
    fn group(&mut self) -> Result<(), MailboxError> {
        self.skip_gap();
        if self.take(b';') {
            return Ok(());
        }
        loop {
            self.address(false)?;
            self.skip_gap();
            if self.take(b';') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(MailboxError::Syntax);
            }
        }
    }

    /// Skips the words of a display name; how many there were. A dot may follow a word
    /// (obs-phrase, RFC 5322 §4.1: common, and no reader takes it for anything else).
    fn phrase(&mut self) -> usize {
        let mut words = 0;
        loop {
            match self.peek() {
                Some(Token::Atom(_) | Token::Quoted(_)) => words += 1,
                Some(Token::Gap) => {}
                Some(Token::Special(b'.')) if words > 0 => {}
                Some(Token::Special(_)) | None => return words,
            }
            self.advance();
        }
    }

    /// How many tokens from here are (dot-atom / quoted-string) "@" dot-atom, without any gap.
    fn addr_spec_len(&self) -> Option<usize> {
        let local = match self.peek()? {
            Token::Quoted(_) => 1,
            Token::Atom(_) => dot_atom_len(self.tokens)?,
            Token::Gap | Token::Special(_) => return None,
        };
        if self.tokens.get(local) != Some(&Token::Special(b'@')) {
            return None;
        }
        let domain = dot_atom_len(self.tokens.get(local + 1..)?)?;
        Some(local + 1 + domain)
    }

    fn addr_spec(&mut self, len: usize) -> Result<(), MailboxError> {
        let mut text = String::new();
        for token in self.tokens.iter().take(len) {
            match token {
                Token::Atom(part) | Token::Quoted(part) => text.push_str(part),
                Token::Special(byte) => text.push(char::from(*byte)),
                Token::Gap => return Err(MailboxError::Syntax),
            }
        }
        self.tokens = self.tokens.get(len..).unwrap_or_default();
        if self.found.len() == MAX_MAILBOXES {
            return Err(MailboxError::TooMany);
        }
        self.found.push(Address::parse(&text)?);
        Ok(())
    }
}

/// Tokens of the dot-atom that `tokens` begins with: Atom *("." Atom).
fn dot_atom_len(tokens: &[Token]) -> Option<usize> {
    let mut len = 0;
    loop {
        match tokens.get(len) {
            Some(Token::Atom(_)) => len += 1,
            Some(Token::Quoted(_) | Token::Gap | Token::Special(_)) | None => return None,
        }
        if tokens.get(len) != Some(&Token::Special(b'.')) {
            return Some(len);
        }
        len += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Result<Vec<String>, MailboxError> {
        Ok(mailboxes(body.as_bytes())?
            .iter()
            .map(ToString::to_string)
            .collect())
    }

    #[test]
    fn reads_what_people_write() {
        for (body, expected) in [
            (" jo@clinic.example", vec!["jo@clinic.example"]),
            (" <jo@clinic.example>", vec!["jo@clinic.example"]),
            (" Jo Doe <jo@Clinic.Example>", vec!["jo@clinic.example"]),
            (
                " \"Doe, Jo <x@y>\" <jo@clinic.example> (Lab)",
                vec!["jo@clinic.example"],
            ),
            (
                " John Q. Public <jo@clinic.example>",
                vec!["jo@clinic.example"],
            ),
            (
                " =?utf-8?q?J=C3=B6?=\r\n <jo@clinic.example>",
                vec!["jo@clinic.example"],
            ),
            (
                " (a (nested\\)) one) jo@clinic.example",
                vec!["jo@clinic.example"],
            ),
            (" < jo@clinic.example >", vec!["jo@clinic.example"]),
            (
                " \"jo doe\"@clinic.example",
                vec!["\"jo doe\"@clinic.example"],
            ),
            (
                " a@clinic.example, B <b@clinic.example>",
                vec!["a@clinic.example", "b@clinic.example"],
            ),
            (
                " Lab: a@clinic.example, b@clinic.example;",
                vec!["a@clinic.example", "b@clinic.example"],
            ),
            (" Nobody:;", vec![]),
        ] {
            assert_eq!(
                read(body),
                Ok(expected.iter().map(|s| (*s).to_owned()).collect()),
                "{body}"
            );
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for body in [
            "",
            " ",
            " jo",
            " ,jo@clinic.example",
            " jo@clinic.example,",
            " a@clinic.example b@clinic.example",
            " a@clinic.example <b@clinic.example>",
            " <a@clinic.example> <b@clinic.example>",
            " <@relay.example:jo@clinic.example>",
            " jo @clinic.example",
            " jo(x)@clinic.example",
            " jo@clinic .example",
            " jo@clinic.example.",
            " <jo@clinic.example",
            " jo@clinic.example>",
            " <<jo@clinic.example>>",
            " \"jo@clinic.example",
            " (jo@clinic.example",
            " G: H: a@clinic.example;;",
            " : a@clinic.example;",
            " Jo\0 <jo@clinic.example>",
            " J\u{f6} <jo@clinic.example>",
            " Jo [x] <jo@clinic.example>",
            " <>",
        ] {
            assert_eq!(read(body), Err(MailboxError::Syntax), "{body}");
        }
        assert_eq!(
            read(&format!(
                " {}{} jo@clinic.example",
                "(".repeat(11),
                ")".repeat(11)
            )),
            Err(MailboxError::CommentDepth)
        );
        assert_eq!(
            read(&format!(
                " {}{} jo@clinic.example",
                "(".repeat(10),
                ")".repeat(10)
            ))
            .unwrap()
            .len(),
            1
        );
        let many = |count| vec!["a@b.example"; count].join(",");
        assert_eq!(read(&many(100)).unwrap().len(), 100);
        assert_eq!(read(&many(101)), Err(MailboxError::TooMany));
        assert!(matches!(read(" jo@1.2.3.4"), Err(MailboxError::Address(_))));
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(
            prop_oneof![Just(b'<'), Just(b'>'), Just(b'@'), Just(b'"'), Just(b'\\'), Just(b'('), Just(b'.'), any::<u8>()], 0..100))
        {
            drop(mailboxes(&body));
        }
    }

    #[test]
    fn a_control_character_cannot_be_quoted() {
        assert!(read("\"\\\u{1}\" <a@b.example>").is_err());
        assert!(read("\"\\\"\" <a@b.example>").is_ok());
    }
}
