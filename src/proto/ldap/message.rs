//! The messages of RFC 4511 §4 that one question takes, written and read.

use std::fmt;

use zeroize::Zeroizing;

use super::ber::{BerError, Elements, number, put, put_number, tag};
use super::filter::{Attribute, Filter};

/// StartTLS (RFC 4511 §4.14.1).
const OID_STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
/// Notice of Disconnection (RFC 4511 §4.4.1).
const OID_DISCONNECTION: &[u8] = b"1.3.6.1.4.1.1466.20036";

const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND_REQUEST: u8 = 0x42;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
const CONTROLS: u8 = 0xa0;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The entry below which is searched, itself included: a distinguished name.
    pub base: String,
    /// Which entries.
    pub filter: Filter,
    /// Which of their attributes.
    pub attributes: Vec<Attribute>,
    /// For how many seconds the server may search.
    pub seconds: u32,
}

/// What an operation ended with (RFC 4511 §4.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultCode(pub u32);

impl ResultCode {
    /// Success.
    pub const SUCCESS: Self = Self(0);

    /// Whether the same may succeed later: the server is at fault, or whoever configured it or us.
    pub fn is_temporary(self) -> bool {
        // operationsError, timeLimitExceeded, invalidCredentials, insufficientAccessRights, busy,
        // unavailable, unwillingToPerform, other.
        matches!(self.0, 1 | 3 | 49..=53 | 80)
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "success",
            1 => "operations error",
            2 => "protocol error",
            3 => "time limit exceeded",
            4 => "size limit exceeded",
            7 => "authentication method not supported",
            8 => "stronger authentication required",
            10 => "referral",
            11 => "administrative limit exceeded",
            13 => "confidentiality required",
            32 => "no such object",
            34 => "invalid DN syntax",
            48 => "inappropriate authentication",
            49 => "invalid credentials",
            50 => "insufficient access rights",
            51 => "busy",
            52 => "unavailable",
            53 => "unwilling to perform",
            code => return write!(f, "result {code}"),
        };
        f.write_str(name)
    }
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Response<'a> {
    Bind(ResultCode),
    Extended(ResultCode),
    Entry(Entry<'a>),
    Reference,
    Done(ResultCode),
}

/// An entry: its attributes, not read yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a>(&'a [u8]);

/// A message with the number of the request that it answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Answer(u32, Response<'a>),
    /// The server is about to close the connection.
    Disconnection(ResultCode),
}

impl<'a> Message<'a> {
    /// Reads the content of a message's SEQUENCE.
    pub(super) fn read(content: &'a [u8]) -> Result<Self, BerError> {
        let mut fields = Elements::new(content);
        let id = number(fields.expect(tag::INTEGER, "a message without a number")?)?;
        let (operation, content) = fields.any()?;
        if fields.peek() == Some(CONTROLS) {
            fields.any()?;
        }
        fields.end("something behind a message's operation")?;
        if id == 0 {
            let (code, rest) = result(content)?;
            return match (operation, response_name(rest)?) {
                (EXTENDED_RESPONSE, Some(OID_DISCONNECTION)) => Ok(Self::Disconnection(code)),
                _ => Err(BerError("an unsolicited message")),
            };
        }
        let response = match operation {
            BIND_RESPONSE => Response::Bind(result(content)?.0),
            EXTENDED_RESPONSE => Response::Extended(result(content)?.0),
            SEARCH_DONE => Response::Done(result(content)?.0),
            SEARCH_REFERENCE => Response::Reference,
            SEARCH_ENTRY => {
                let mut fields = Elements::new(content);
                fields.expect(tag::OCTETS, "an entry without a name")?;
                let attributes = fields.expect(tag::SEQUENCE, "an entry without attributes")?;
                fields.end("something behind an entry's attributes")?;
                Response::Entry(Entry(attributes))
            }
            _ => return Err(BerError("an operation that nobody asked for")),
        };
        Ok(Self::Answer(id, response))
    }
}

impl<'a> Entry<'a> {
    /// Gives each value of the attributes that were asked for to `take`.
    pub(super) fn values<E: From<BerError>>(
        &self,
        asked: &[Attribute],
        mut take: impl FnMut(&'a [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut attributes = Elements::new(self.0);
        while !attributes.is_empty() {
            let attribute = attributes.expect(tag::SEQUENCE, "an attribute that is none")?;
            let mut fields = Elements::new(attribute);
            let name = fields.expect(tag::OCTETS, "an attribute without a name")?;
            let mut values = Elements::new(fields.expect(tag::SET, "an attribute without values")?);
            fields.end("something behind an attribute's values")?;
            if !asked.iter().any(|attribute| attribute.names(name)) {
                continue;
            }
            while !values.is_empty() {
                take(values.expect(tag::OCTETS, "a value that is none")?)?;
            }
        }
        Ok(())
    }
}

/// The code of an LDAPResult, and the fields behind its three. Referrals are not read: nothing
/// follows them. The diagnostic message is not kept: it is a stranger's text.
fn result(content: &[u8]) -> Result<(ResultCode, Elements<'_>), BerError> {
    let mut fields = Elements::new(content);
    let code = number(fields.expect(tag::ENUMERATED, "a result without a code")?)?;
    fields.expect(tag::OCTETS, "a result without a matched name")?;
    fields.expect(tag::OCTETS, "a result without a message")?;
    Ok((ResultCode(code), fields))
}

/// `responseName` of an extended response.
fn response_name(mut fields: Elements<'_>) -> Result<Option<&[u8]>, BerError> {
    const RESPONSE_NAME: u8 = 0x8a;
    while !fields.is_empty() {
        if let (RESPONSE_NAME, name) = fields.any()? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn message(id: u32, operation: u8, content: &[u8]) -> Zeroizing<Vec<u8>> {
    // Sized beforehand, so that a password leaves no copy behind when a buffer grows.
    let mut body = Zeroizing::new(Vec::with_capacity(content.len() + 16));
    put_number(&mut body, tag::INTEGER, id);
    put(&mut body, operation, content);
    let mut out = Zeroizing::new(Vec::with_capacity(body.len() + 8));
    put(&mut out, tag::SEQUENCE, &body);
    out
}

/// Asks for TLS.
pub(super) fn start_tls(id: u32) -> Zeroizing<Vec<u8>> {
    const REQUEST_NAME: u8 = 0x80;
    let mut content = Vec::new();
    put(&mut content, REQUEST_NAME, OID_STARTTLS);
    message(id, EXTENDED_REQUEST, &content)
}

/// A simple bind (RFC 4513 §5.1.3).
pub(super) fn bind(id: u32, name: &str, password: &[u8]) -> Zeroizing<Vec<u8>> {
    const SIMPLE: u8 = 0x80;
    let octets = name.len() + password.len() + 32;
    let mut content = Zeroizing::new(Vec::with_capacity(octets));
    put_number(&mut content, tag::INTEGER, 3);
    put(&mut content, tag::OCTETS, name.as_bytes());
    put(&mut content, SIMPLE, password);
    message(id, BIND_REQUEST, &content)
}

/// The question. Aliases are not followed; the server is to say if there are more than `entries`.
pub(super) fn search(id: u32, search: &Search, entries: u32) -> Zeroizing<Vec<u8>> {
    const WHOLE_SUBTREE: u32 = 2;
    const NEVER_DEREFERENCE: u32 = 0;
    let mut content = Vec::new();
    put(&mut content, tag::OCTETS, search.base.as_bytes());
    put_number(&mut content, tag::ENUMERATED, WHOLE_SUBTREE);
    put_number(&mut content, tag::ENUMERATED, NEVER_DEREFERENCE);
    put_number(&mut content, tag::INTEGER, entries);
    put_number(&mut content, tag::INTEGER, search.seconds);
    // Values, not only the names of attributes.
    put(&mut content, tag::BOOLEAN, &[0]);
    search.filter.put(&mut content);
    let mut attributes = Vec::new();
    for attribute in &search.attributes {
        put(&mut attributes, tag::OCTETS, attribute.as_str().as_bytes());
    }
    put(&mut content, tag::SEQUENCE, &attributes);
    message(id, SEARCH_REQUEST, &content)
}

/// The end.
pub(super) fn unbind(id: u32) -> Zeroizing<Vec<u8>> {
    message(id, UNBIND_REQUEST, &[])
}
