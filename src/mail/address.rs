//! Mail addresses: one parser, strict, that repairs nothing (RFC 5321 §4.1.2).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::domain::{Domain, DomainError};

/// Longest local part in octets (RFC 5321 §4.5.3.1.1).
pub const MAX_LOCAL_PART_OCTETS: usize = 64;
/// Longest address in octets (RFC 5321 §4.5.3.1.3, path without its angle brackets).
pub const MAX_ADDRESS_OCTETS: usize = 254;

/// A mailbox `local-part@domain`. The local part keeps its case and quoting; the domain is
/// normalised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    local: Arc<str>,
    domain: Domain,
}

/// Why a text is not an address we can write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@` outside quotes.
    #[error("the address has no domain")]
    NoDomain,
    /// Empty, over 64 octets, or not a dot-string or quoted string.
    #[error("the local part is empty, longer than 64 octets, or not a dot-string or quoted string")]
    LocalPart,
    /// Over [`MAX_ADDRESS_OCTETS`].
    #[error("the address is longer than 254 octets")]
    TooLong,
    /// `user@[192.0.2.1]`: there is no name that a certificate could be verified against.
    #[error("address literals are not accepted: no certificate could be verified against one")]
    Literal,
    /// A non-ASCII character (SMTPUTF8 is not offered).
    #[error("the address is not ASCII")]
    NotAscii,
    /// The part after `@`.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl Address {
    /// Parses `local-part@domain`, nothing around it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS_OCTETS {
            return Err(AddressError::TooLong);
        }
        if !text.is_ascii() {
            return Err(AddressError::NotAscii);
        }
        let local_len = local_part_len(text.as_bytes())?;
        let (local, rest) = text.split_at(local_len);
        let domain = rest.strip_prefix('@').ok_or(AddressError::NoDomain)?;
        if local.is_empty() || local.len() > MAX_LOCAL_PART_OCTETS {
            return Err(AddressError::LocalPart);
        }
        if domain.starts_with('[') {
            return Err(AddressError::Literal);
        }
        Ok(Self {
            local: local.into(),
            domain: Domain::parse(domain)?,
        })
    }

    /// The local part as written, with its quotes if it has any.
    pub fn local_part(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The same text for the same mailbox, for look-ups: lower case, and without quotes that say
    /// nothing (`"fax"@x.example` is `fax@x.example`, RFC 5321 §4.1.2).
    pub fn mailbox_key(&self) -> String {
        let inner = self
            .local
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .map(|inner| format!("{inner}@{}", self.domain));
        let mut key = match inner {
            // What is a dot-string needs no quotes.
            Some(plain) if Self::parse(&plain).is_ok_and(|it| !it.local.starts_with('"')) => plain,
            Some(_) | None => self.to_string(),
        };
        key.make_ascii_lowercase();
        key
    }
}

/// `atext` of RFC 5322 §3.2.3.
const fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

/// Length of the dot-string or quoted string that `bytes` begins with.
fn local_part_len(bytes: &[u8]) -> Result<usize, AddressError> {
    if bytes.first() == Some(&b'"') {
        return quoted_string_len(bytes);
    }
    let mut previous_dot = true; // a leading dot is as wrong as a doubled one
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'@' if previous_dot => return Err(AddressError::LocalPart),
            b'@' => return Ok(at),
            b'.' if previous_dot => return Err(AddressError::LocalPart),
            b'.' => previous_dot = true,
            byte if is_atext(byte) => previous_dot = false,
            _ => return Err(AddressError::LocalPart),
        }
    }
    Err(AddressError::NoDomain)
}

fn quoted_string_len(bytes: &[u8]) -> Result<usize, AddressError> {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            // quoted-pairSMTP = %d92 %d32-126
            b'\\' => match bytes.get(at + 1) {
                Some(b' '..=b'~') => at += 2,
                _ => return Err(AddressError::LocalPart),
            },
            b' '..=b'~' => at += 1,
            _ => return Err(AddressError::LocalPart),
        }
    }
    Err(AddressError::LocalPart)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

/// Where a bounce goes: an address, or nowhere (`<>`, RFC 5321 §4.5.5).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`: a notification; never answered with another one.
    Null,
    /// The sender.
    Address(Address),
}

impl ReversePath {
    /// The address, unless null.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }
}

impl fmt::Display for ReversePath {
    /// The content of the angle brackets: empty for the null reverse-path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Debug for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_that_say_nothing_do_not_make_another_mailbox() {
        for (address, key) in [
            ("Fax@X.example", "fax@x.example"),
            ("\"Fax\"@x.example", "fax@x.example"),
            ("\"a.b\"@x.example", "a.b@x.example"),
            ("\"a b\"@x.example", "\"a b\"@x.example"),
            ("\"a\\b\"@x.example", "\"a\\b\"@x.example"),
            ("\"\"@x.example", "\"\"@x.example"),
        ] {
            assert_eq!(Address::parse(address).unwrap().mailbox_key(), key);
        }
    }

    #[test]
    fn keeps_the_local_part_and_normalises_the_domain() {
        let address = Address::parse("Jo.Doe+lab@Clinic.Example").unwrap();
        assert_eq!(address.to_string(), "Jo.Doe+lab@clinic.example");
        assert_eq!(address.local_part(), "Jo.Doe+lab");
        let quoted = Address::parse(r#""jo @ \"home\""@clinic.example"#).unwrap();
        assert_eq!(quoted.local_part(), r#""jo @ \"home\"""#);
    }

    #[test]
    fn refuses_everything_else() {
        for (text, error) in [
            ("", AddressError::NoDomain),
            ("jo", AddressError::NoDomain),
            ("@clinic.example", AddressError::LocalPart),
            (".jo@clinic.example", AddressError::LocalPart),
            ("jo.@clinic.example", AddressError::LocalPart),
            ("j..o@clinic.example", AddressError::LocalPart),
            ("j o@clinic.example", AddressError::LocalPart),
            ("jo\r\n@clinic.example", AddressError::LocalPart),
            ("jo\0@clinic.example", AddressError::LocalPart),
            ("jo(x)@clinic.example", AddressError::LocalPart),
            ("<jo@clinic.example>", AddressError::LocalPart),
            ("\"jo@clinic.example", AddressError::LocalPart),
            ("\"jo\\\u{1}\"@clinic.example", AddressError::LocalPart),
            ("\"jo\"x@clinic.example", AddressError::NoDomain),
            ("jö@clinic.example", AddressError::NotAscii),
            ("jo@[127.0.0.1]", AddressError::Literal),
            ("jo@", AddressError::Domain(DomainError::Empty)),
            ("jo@a@b", AddressError::Domain(DomainError::Character)),
            ("@relay.example:jo@clinic.example", AddressError::LocalPart),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text:?}");
        }
        let long_local = format!("{}@clinic.example", "a".repeat(65));
        assert_eq!(Address::parse(&long_local), Err(AddressError::LocalPart));
    }
}
