//! Commands of an SMTP client (RFC 5321 §4.1): one strict parser.
//!
//! Repairs nothing, with one exception: a single space behind the colon of `MAIL FROM:` and
//! `RCPT TO:`. Every other deviation from the grammar is refused with a text that names it,
//! trailing white space included. Pure; never panics on any bytes.

use crate::mail::{Address, AddressError, ReversePath};

/// Longest command line with its CRLF: 512 (RFC 5321 §4.5.3.1.4), and what the extensions on offer
/// add to MAIL: SIZE 26 (RFC 1870 §3), BODY 17 (RFC 6152 §2), AUTH 500 (RFC 4954 §3).
pub const MAX_COMMAND_LINE_OCTETS: usize = 512 + 26 + 17 + 500;
/// Longest AUTH line with its CRLF, commands and answers alike (RFC 4954 §4).
pub const MAX_AUTH_LINE_OCTETS: usize = 12_288;
/// Longest name in EHLO or HELO (RFC 5321 §4.5.3.1.2).
pub const MAX_HELLO_OCTETS: usize = 255;
/// Digits of a SIZE value (RFC 1870 §4).
const MAX_SIZE_DIGITS: usize = 20;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO: the client's name, as it claims.
    Ehlo(String),
    /// HELO: the client's name, as it claims.
    Helo(String),
    /// MAIL FROM.
    Mail(Mail),
    /// RCPT TO.
    Rcpt(Forward),
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP, with or without an argument.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY: the argument is not looked at.
    Vrfy,
    /// HELP, with or without an argument.
    Help,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// AUTH (RFC 4954).
    Auth(Auth),
}

/// MAIL FROM with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Where bounces go.
    pub reverse_path: ReversePath,
    /// SIZE, in octets; a number past 64 bits counts as the largest.
    pub size: Option<u64>,
    /// BODY.
    pub body: Option<Body>,
}

/// What BODY announces (RFC 6152). A claim: the content itself is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// `7BIT`
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
}

/// Where RCPT TO points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// A mailbox.
    Address(Address),
    /// `<postmaster>` without a domain (RFC 5321 §4.1.1.3): our own.
    Postmaster,
}

/// AUTH with its initial response.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// The mechanism's name, in upper case.
    pub mechanism: String,
    /// The initial response, still base64 (`=` for an empty one).
    pub initial: Option<Vec<u8>>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

/// Why a line is not a command that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such command. 500.
    #[error("the command is not known")]
    Unknown,
    /// SMTP has it, this server does not. 502.
    #[error("the command is not implemented")]
    NotImplemented,
    /// BDAT: content follows at once and would be read as commands. 502, then close.
    #[error("CHUNKING is not offered")]
    Chunking,
    /// A web browser was led here (ALPACA, cross-protocol requests). Close.
    #[error("this is SMTP, not HTTP")]
    Http,
    /// 501.
    #[error("{0}")]
    Syntax(&'static str),
    /// The address of MAIL or RCPT. 501.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// 555.
    #[error("a parameter is not known, not offered, or given twice")]
    Parameter,
}

/// Parses one line, given without its CRLF.
pub fn parse(line: &[u8]) -> Result<Command, CommandError> {
    let (verb, argument) = match memchr::memchr(b' ', line) {
        Some(at) => (
            line.get(..at).unwrap_or_default(),
            Some(line.get(at + 1..).unwrap_or_default()),
        ),
        None => (line, None),
    };
    let mut upper = [0_u8; 8];
    let verb = match upper.get_mut(..verb.len()) {
        Some(slot) => {
            slot.copy_from_slice(verb);
            slot.make_ascii_uppercase();
            &*slot
        }
        None => return Err(CommandError::Unknown),
    };
    match verb {
        b"EHLO" => hello(argument).map(Command::Ehlo),
        b"HELO" => hello(argument).map(Command::Helo),
        b"MAIL" => mail(argument).map(Command::Mail),
        b"RCPT" => rcpt(argument).map(Command::Rcpt),
        b"DATA" => alone(argument, Command::Data),
        b"RSET" => alone(argument, Command::Rset),
        b"QUIT" => alone(argument, Command::Quit),
        b"STARTTLS" => alone(argument, Command::StartTls),
        b"AUTH" => auth(argument).map(Command::Auth),
        b"NOOP" => printable(argument).map(|()| Command::Noop),
        b"HELP" => printable(argument).map(|()| Command::Help),
        b"VRFY" if argument.is_none_or(<[u8]>::is_empty) => {
            Err(CommandError::Syntax("VRFY needs an argument"))
        }
        b"VRFY" => printable(argument).map(|()| Command::Vrfy),
        b"BDAT" => Err(CommandError::Chunking),
        b"EXPN" | b"TURN" | b"ETRN" | b"ATRN" | b"SEND" | b"SOML" | b"SAML" => {
            Err(CommandError::NotImplemented)
        }
        b"GET" | b"HEAD" | b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"OPTIONS" | b"TRACE"
        | b"PATCH" | b"PRI" => Err(CommandError::Http),
        _ => Err(CommandError::Unknown),
    }
}

fn alone(argument: Option<&[u8]>, command: Command) -> Result<Command, CommandError> {
    match argument {
        None => Ok(command),
        Some(_) => Err(CommandError::Syntax("the command takes no argument")),
    }
}

/// NOOP, HELP and VRFY: the argument means nothing, but it is still text.
fn printable(argument: Option<&[u8]>) -> Result<(), CommandError> {
    text(argument.unwrap_or_default()).map(|_| ())
}

/// Printable ASCII. Bad UTF-8 and control characters are a syntax error like any other.
fn text(octets: &[u8]) -> Result<&str, CommandError> {
    let text = std::str::from_utf8(octets)
        .map_err(|_| CommandError::Syntax("the line is not valid UTF-8"))?;
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(CommandError::Syntax("the line has a control character"));
    }
    Ok(text)
}

/// A domain or an address literal. What clients call themselves is often neither
/// (`DESKTOP_12`), and decides nothing: any run of their letters is taken.
fn hello(argument: Option<&[u8]>) -> Result<String, CommandError> {
    let name = text(argument.unwrap_or_default())?;
    if name.is_empty() || name.len() > MAX_HELLO_OCTETS {
        return Err(CommandError::Syntax(
            "a host name of at most 255 octets must follow",
        ));
    }
    let valid = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']')
    };
    if !name.bytes().all(valid) {
        return Err(CommandError::Syntax(
            "the argument is neither a host name nor an address literal",
        ));
    }
    Ok(name.to_owned())
}

fn mail(argument: Option<&[u8]>) -> Result<Mail, CommandError> {
    let line = text(argument.unwrap_or_default())?;
    let rest = after_keyword(line, "FROM:").ok_or(CommandError::Syntax(
        "the syntax is MAIL FROM:<address> [parameters]",
    ))?;
    let (path, parameters) = path(rest)?;
    let reverse_path = if path.is_empty() {
        ReversePath::Null
    } else {
        ReversePath::Address(address(path)?)
    };
    let mut mail = Mail {
        reverse_path,
        size: None,
        body: None,
    };
    let mut identity = false;
    for parameter in parameters.split(' ').skip(1) {
        let (keyword, value) = keyword_and_value(parameter)?;
        if keyword.eq_ignore_ascii_case("SIZE") && mail.size.is_none() {
            mail.size = Some(size(value)?);
        } else if keyword.eq_ignore_ascii_case("BODY") && mail.body.is_none() {
            mail.body = Some(body(value)?);
        } else if keyword.eq_ignore_ascii_case("AUTH") && !identity {
            // RFC 4954 §5: read, and then treated as AUTH=<>: nobody's word for the author of a
            // message is passed on.
            identity = true;
            xtext(value)?;
        } else {
            return Err(CommandError::Parameter);
        }
    }
    Ok(mail)
}

fn rcpt(argument: Option<&[u8]>) -> Result<Forward, CommandError> {
    let line = text(argument.unwrap_or_default())?;
    let rest = after_keyword(line, "TO:").ok_or(CommandError::Syntax(
        "the syntax is RCPT TO:<address> [parameters]",
    ))?;
    let (path, parameters) = path(rest)?;
    let forward = if path.eq_ignore_ascii_case("postmaster") {
        Forward::Postmaster
    } else if path.is_empty() {
        return Err(CommandError::Syntax("the recipient is empty"));
    } else {
        Forward::Address(address(path)?)
    };
    match parameters.split(' ').nth(1) {
        None => Ok(forward),
        // None is offered; but what is no parameter at all stays a syntax error.
        Some(parameter) => keyword_and_value(parameter).and(Err(CommandError::Parameter)),
    }
}

/// What follows `keyword`, and the one space that is tolerated there.
fn after_keyword<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = line.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword)
        .then(|| rest.strip_prefix(' ').unwrap_or(rest))
}

/// Splits `<path> parameters`: the path without its brackets, and the rest, which is empty or
/// begins with a space. A bracket inside a quoted local part does not end the path.
fn path(text: &str) -> Result<(&str, &str), CommandError> {
    let inner = text.strip_prefix('<').ok_or(CommandError::Syntax(
        "the address must stand in angle brackets",
    ))?;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let (path, rest) = inner.split_at(at);
                let rest = rest.get(1..).unwrap_or_default();
                if !rest.is_empty() && !rest.starts_with(' ') {
                    return Err(CommandError::Syntax(
                        "a space must follow the closing angle bracket",
                    ));
                }
                return Ok((path, rest));
            }
            _ => {}
        }
    }
    Err(CommandError::Syntax(
        "the address has no closing angle bracket",
    ))
}

fn address(path: &str) -> Result<Address, CommandError> {
    if path.starts_with('@') {
        return Err(CommandError::Syntax("source routes are not accepted"));
    }
    Ok(Address::parse(path)?)
}

/// esmtp-param = esmtp-keyword ["=" esmtp-value] (RFC 5321 §4.1.2).
fn keyword_and_value(parameter: &str) -> Result<(&str, Option<&str>), CommandError> {
    let (keyword, value) = match parameter.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (parameter, None),
    };
    let well_formed = keyword.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        // AUTH's xtext may hold no "=" either (RFC 3461 §4).
        && value.is_none_or(|value| !value.is_empty() && value.bytes().all(|b| matches!(b, b'!'..=b'<' | b'>'..=b'~')));
    if well_formed {
        Ok((keyword, value))
    } else {
        Err(CommandError::Syntax("a parameter is malformed"))
    }
}

fn size(value: Option<&str>) -> Result<u64, CommandError> {
    let digits = value.unwrap_or_default();
    if digits.is_empty()
        || digits.len() > MAX_SIZE_DIGITS
        || !digits.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(CommandError::Syntax("SIZE takes 1 to 20 digits"));
    }
    Ok(digits.parse().unwrap_or(u64::MAX)) // twenty digits can pass 64 bits
}

fn body(value: Option<&str>) -> Result<Body, CommandError> {
    match value {
        Some(value) if value.eq_ignore_ascii_case("7BIT") => Ok(Body::SevenBit),
        Some(value) if value.eq_ignore_ascii_case("8BITMIME") => Ok(Body::EightBitMime),
        Some(_) | None => Err(CommandError::Syntax("BODY takes 7BIT or 8BITMIME")),
    }
}

/// xtext (RFC 3461 §4) that decodes to `<>` or a mailbox.
fn xtext(value: Option<&str>) -> Result<(), CommandError> {
    const MALFORMED: CommandError = CommandError::Syntax("AUTH takes <> or a mailbox, as xtext");
    let value = value.ok_or(MALFORMED)?;
    let mut decoded = Vec::with_capacity(value.len());
    let mut octets = value.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'+' {
            decoded.push(octet);
            continue;
        }
        let hex = |digit: Option<u8>| match digit {
            Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
            Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
            Some(_) | None => Err(MALFORMED),
        };
        decoded.push(hex(octets.next())? << 4 | hex(octets.next())?);
    }
    let decoded = std::str::from_utf8(&decoded).map_err(|_| MALFORMED)?;
    if decoded == "<>" || Address::parse(decoded).is_ok() {
        Ok(())
    } else {
        Err(MALFORMED)
    }
}

fn auth(argument: Option<&[u8]>) -> Result<Auth, CommandError> {
    let argument = argument.unwrap_or_default();
    let (mechanism, initial) = match memchr::memchr(b' ', argument) {
        Some(at) => (
            argument.get(..at).unwrap_or_default(),
            Some(argument.get(at + 1..).unwrap_or_default()),
        ),
        None => (argument, None),
    };
    // sasl-mech = 1*20(UPPER-ALPHA / DIGIT / HYPHEN / UNDERSCORE), RFC 4422 §3.1
    let well_formed = (1..=20).contains(&mechanism.len())
        && mechanism
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && initial.is_none_or(|initial| !initial.is_empty() && !initial.contains(&b' '));
    if !well_formed {
        return Err(CommandError::Syntax(
            "the syntax is AUTH mechanism [initial-response]",
        ));
    }
    Ok(Auth {
        mechanism: String::from_utf8_lossy(mechanism).to_ascii_uppercase(),
        initial: initial.map(<[u8]>::to_vec),
    })
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
