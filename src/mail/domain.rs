//! Domain names as mail uses them: lower case, A-labels, no trailing dot.
//!
//! RFC 5321 §2.3.5 and §4.1.2 (syntax), RFC 5890 (A-labels).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest domain name in octets (RFC 1035 §2.3.4, without the root dot).
pub const MAX_DOMAIN_OCTETS: usize = 253;
/// Longest label in octets (RFC 1035 §2.3.4).
pub const MAX_LABEL_OCTETS: usize = 63;

/// A valid, normalised domain name. Cheap to clone; compared octet by octet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(Arc<str>);

/// Why a text is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Nothing there.
    #[error("the domain is empty")]
    Empty,
    /// Over [`MAX_DOMAIN_OCTETS`].
    #[error("the domain is longer than 253 octets")]
    TooLong,
    /// An empty label, one over 63 octets, or a hyphen at its edge.
    #[error(
        "a label of the domain is empty, longer than 63 octets, or begins or ends with a hyphen"
    )]
    Label,
    /// A character outside letters, digits, hyphen and dot.
    #[error("the domain has a character that is not a letter, digit, hyphen or dot")]
    Character,
    /// An IP address where a name must stand: no certificate of ours could be checked against it.
    #[error("an IP address is not a domain name")]
    IpAddress,
    /// Not a valid internationalised name.
    #[error("the internationalised domain is not valid")]
    Idna,
}

impl Domain {
    /// Parses an ASCII domain name (LDH labels, A-labels allowed) and lower-cases it.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.len() > MAX_DOMAIN_OCTETS {
            return Err(DomainError::TooLong);
        }
        let mut has_punycode = false;
        for label in text.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL_OCTETS {
                return Err(DomainError::Label);
            }
            if !label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            {
                return Err(DomainError::Character);
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(DomainError::Label);
            }
            has_punycode |= label
                .as_bytes()
                .get(..4)
                .is_some_and(|p| p.eq_ignore_ascii_case(b"xn--"));
        }
        // A last label of digits only is an address, never a top-level domain (RFC 3696 §2).
        let last = text.rsplit('.').next().unwrap_or(text);
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DomainError::IpAddress);
        }
        let lower = text.to_ascii_lowercase();
        if has_punycode && idna::domain_to_ascii_strict(&lower).ok().as_ref() != Some(&lower) {
            return Err(DomainError::Idna);
        }
        Ok(Self(lower.into()))
    }

    /// Parses a name that a person typed: U-labels become A-labels, one trailing dot is dropped.
    pub fn from_unicode(text: &str) -> Result<Self, DomainError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_ascii() {
            return Self::parse(text);
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| DomainError::Idna)?;
        Self::parse(&ascii)
    }

    /// The normalised name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is `parent` or lies below it.
    pub fn is_within(&self, parent: &Domain) -> bool {
        self.0
            .strip_suffix(parent.as_str())
            .is_some_and(|head| head.is_empty() || head.ends_with('.'))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Domain {
    type Err = DomainError;
    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Domain {
    type Error = DomainError;
    fn try_from(text: String) -> Result<Self, DomainError> {
        Self::parse(&text)
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> String {
        domain.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_case_and_keeps_a_labels() {
        assert_eq!(
            Domain::parse("Clinic.EXAMPLE").unwrap().as_str(),
            "clinic.example"
        );
        assert_eq!(
            Domain::parse("xn--bcher-kva.example").unwrap().as_str(),
            "xn--bcher-kva.example"
        );
        assert_eq!(
            Domain::from_unicode("bücher.example.").unwrap().as_str(),
            "xn--bcher-kva.example"
        );
    }

    #[test]
    fn refuses_what_is_no_name() {
        for (text, error) in [
            ("", DomainError::Empty),
            ("a..b", DomainError::Label),
            (".a", DomainError::Label),
            ("a.", DomainError::Label),
            ("-a.example", DomainError::Label),
            ("a-.example", DomainError::Label),
            ("a_b.example", DomainError::Character),
            ("a b", DomainError::Character),
            ("a\0b", DomainError::Character),
            ("bücher.example", DomainError::Character),
            ("127.0.0.1", DomainError::IpAddress),
            ("xn--a.example", DomainError::Idna),
        ] {
            assert_eq!(Domain::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(
            Domain::parse(&format!("{}.example", "a".repeat(64))),
            Err(DomainError::Label)
        );
        let long = vec!["a".repeat(49); 6].join(".");
        assert_eq!(Domain::parse(&long), Err(DomainError::TooLong));
    }

    #[test]
    fn knows_its_parents() {
        let lab = Domain::parse("lab.clinic.example").unwrap();
        assert!(lab.is_within(&Domain::parse("clinic.example").unwrap()));
        assert!(lab.is_within(&lab));
        assert!(!lab.is_within(&Domain::parse("inic.example").unwrap()));
    }
}
