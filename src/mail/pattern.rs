//! Sets of addresses, domains and host names, as operators write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Address, AddressError, Domain, DomainError};

/// A set of domain names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DomainPattern {
    /// `domain`: this name alone.
    Exact(Domain),
    /// `*.domain`: every name below it, not the name itself.
    Below(Domain),
}

impl DomainPattern {
    /// Whether `domain` is in the set.
    pub fn matches(&self, domain: &Domain) -> bool {
        match self {
            Self::Exact(exact) => domain == exact,
            Self::Below(parent) => domain != parent && domain.is_within(parent),
        }
    }
}

impl FromStr for DomainPattern {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        match text.strip_prefix("*.") {
            Some(parent) => Domain::from_unicode(parent).map(Self::Below),
            None => Domain::from_unicode(text).map(Self::Exact),
        }
    }
}

impl TryFrom<String> for DomainPattern {
    type Error = DomainError;
    fn try_from(text: String) -> Result<Self, DomainError> {
        text.parse()
    }
}

impl From<DomainPattern> for String {
    fn from(pattern: DomainPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(domain) => domain.fmt(f),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// A set of addresses. The local part is compared without regard to case: what is said of
/// `billing@` is said of `Billing@`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AddressPattern {
    /// One address.
    Address(Address),
    /// `*@domain` or `*@*.domain`: every address of these domains.
    Domain(DomainPattern),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The part behind `*@`.
    #[error("not an address pattern (user@domain, *@domain or *@*.domain): {0}")]
    Domain(#[from] DomainError),
    /// Not an address either.
    #[error("not an address pattern (user@domain, *@domain or *@*.domain): {0}")]
    Address(#[from] AddressError),
}

impl AddressPattern {
    /// Whether `address` is in the set.
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Self::Address(granted) => {
                granted.domain() == address.domain()
                    && granted
                        .local_part()
                        .eq_ignore_ascii_case(address.local_part())
            }
            Self::Domain(domains) => domains.matches(address.domain()),
        }
    }
}

impl FromStr for AddressPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        // A literal `*` is a valid local part; here it always means "any".
        match text.strip_prefix("*@") {
            Some(domains) => Ok(Self::Domain(domains.parse()?)),
            None => Ok(Self::Address(Address::parse(text)?)),
        }
    }
}

impl TryFrom<String> for AddressPattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<AddressPattern> for String {
    fn from(pattern: AddressPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(domains) => write!(f, "*@{domains}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_what_it_says_and_no_more() {
        for (pattern, yes, no) in [
            (
                "Billing@clinic.example",
                &["billing@clinic.example", "BILLING@Clinic.Example"][..],
                &[
                    "billing@lab.clinic.example",
                    "billing2@clinic.example",
                    "\"billing\"@clinic.example",
                ][..],
            ),
            (
                "*@clinic.example",
                &["a@clinic.example", "\"x y\"@clinic.example"],
                &[
                    "a@lab.clinic.example",
                    "a@xclinic.example",
                    "a@clinic.example.other.example",
                ],
            ),
            (
                "*@*.clinic.example",
                &["a@lab.clinic.example", "a@x.lab.clinic.example"],
                &["a@clinic.example", "a@xclinic.example"],
            ),
        ] {
            let pattern: AddressPattern = pattern.parse().unwrap();
            assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()));
            for address in yes {
                assert!(
                    pattern.matches(&address.parse().unwrap()),
                    "{pattern} {address}"
                );
            }
            for address in no {
                assert!(
                    !pattern.matches(&address.parse().unwrap()),
                    "{pattern} {address}"
                );
            }
        }
    }

    #[test]
    fn refuses_other_wildcards() {
        for text in [
            "",
            "*",
            "*@",
            "*@*",
            "*@*.",
            "*@*.*.example",
            "*@clinic.*",
            "@clinic.example",
            "clinic.example",
            "*@[192.0.2.1]",
            "*@192.0.2.1",
        ] {
            assert!(text.parse::<AddressPattern>().is_err(), "{text}");
        }
    }
}
