//! What is asked for: attributes and filters as structures (RFC 4512 §2.5, RFC 4511 §4.5.1.7).
//!
//! A value is octets with their length before them and never part of a text that is parsed: there
//! is nothing for it to break out of.

use std::fmt;

use super::ber::{put, tag};

/// Longest attribute description in octets.
const MAX_ATTRIBUTE_OCTETS: usize = 128;
/// Largest filter that is built, in octets.
pub const MAX_FILTER_OCTETS: usize = 16 * 1024;

/// The context tags of `Filter`.
const OR: u8 = 0xa1;
const EQUALITY_MATCH: u8 = 0xa3;

/// An attribute description: a name or OID, and options such as `;binary`.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute(String);

/// A text is no attribute description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an LDAP attribute: letters, digits, hyphens, dots, options behind `;`")]
pub struct AttributeError;

impl Attribute {
    /// Parses `name`, `name;option` or an OID.
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let word = |word: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            !word.is_empty() && word.bytes().all(fits)
        };
        if text.len() > MAX_ATTRIBUTE_OCTETS || !text.split(';').all(word) {
            return Err(AttributeError);
        }
        Ok(Self(text.to_owned()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `description`, as a server writes it, is this attribute, options and case aside.
    pub fn names(&self, description: &[u8]) -> bool {
        let base = |octets: &[u8]| octets.iter().position(|&octet| octet == b';');
        let ours = self.0.as_bytes();
        let ours = ours.get(..base(ours).unwrap_or(ours.len()));
        let theirs = description.get(..base(description).unwrap_or(description.len()));
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => ours.eq_ignore_ascii_case(theirs),
            _ => false,
        }
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which entries are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Those that have this value of the attribute, by its own rule of equality.
    Equal(Attribute, String),
    /// Those that one of these asks for. One level: there is nothing below but [`Filter::Equal`].
    AnyEqual(Vec<(Attribute, String)>),
}

impl Filter {
    /// Writes `Filter`.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Equal(attribute, value) => put_equal(out, attribute, value),
            Self::AnyEqual(all) => {
                let mut content = Vec::new();
                for (attribute, value) in all {
                    put_equal(&mut content, attribute, value);
                }
                put(out, OR, &content);
            }
        }
    }
}

fn put_equal(out: &mut Vec<u8>, attribute: &Attribute, value: &str) {
    let mut content = Vec::new();
    put(&mut content, tag::OCTETS, attribute.as_str().as_bytes());
    put(&mut content, tag::OCTETS, value.as_bytes());
    put(out, EQUALITY_MATCH, &content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_names_and_nothing_else() {
        for good in [
            "mail",
            "userCertificate;binary",
            "2.5.4.36",
            "x-mail;lang-de;binary",
        ] {
            assert_eq!(Attribute::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(129);
        for bad in [
            "", ";", "mail;", "ma il", "mail=x", "mail)(", "m*", "ä", &long,
        ] {
            assert_eq!(Attribute::parse(bad), Err(AttributeError), "{bad:?}");
        }
        let asked = Attribute::parse("userCertificate;binary").unwrap();
        for same in [
            "usercertificate",
            "userCertificate;binary",
            "USERCERTIFICATE;x",
        ] {
            assert!(asked.names(same.as_bytes()), "{same}");
        }
        for other in ["", "userCertificat", "userCertificates;binary", "mail"] {
            assert!(!asked.names(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_value_stays_a_value() {
        let mail = Attribute::parse("mail").unwrap();
        let mut out = Vec::new();
        Filter::Equal(mail.clone(), "a)(b=*".to_owned()).put(&mut out);
        assert_eq!(out, b"\xa3\x0e\x04\x04mail\x04\x06a)(b=*");
        out.clear();
        let both = [(mail.clone(), "a".to_owned()), (mail, "b".to_owned())];
        Filter::AnyEqual(both.into()).put(&mut out);
        assert_eq!(
            out,
            b"\xa1\x16\xa3\x09\x04\x04mail\x04\x01a\xa3\x09\x04\x04mail\x04\x01b"
        );
    }
}
