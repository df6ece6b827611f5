//! What an account may send as.

use std::fmt;
use std::str::FromStr;

use crate::mail::{Address, AddressError, Domain, DomainError};

/// A set of addresses. The local part is compared without regard to case: who is granted
/// `billing@` is granted `Billing@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderPattern {
    /// One address.
    Address(Address),
    /// `*@domain`: every address of the domain, not of what lies below it.
    Domain(Domain),
    /// `*@*.domain`: every address of every name below the domain, not of the domain itself.
    Below(Domain),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The part behind `*@`.
    #[error("not a sender pattern (user@domain, *@domain or *@*.domain): {0}")]
    Domain(#[from] DomainError),
    /// Not an address either.
    #[error("not a sender pattern (user@domain, *@domain or *@*.domain): {0}")]
    Address(#[from] AddressError),
}

impl SenderPattern {
    /// Whether `address` is in the set.
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Self::Address(granted) => {
                granted.domain() == address.domain()
                    && granted
                        .local_part()
                        .eq_ignore_ascii_case(address.local_part())
            }
            Self::Domain(domain) => address.domain() == domain,
            Self::Below(domain) => address.domain() != domain && address.domain().is_within(domain),
        }
    }
}

impl FromStr for SenderPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        // A literal `*` is a valid local part; here it always means "any".
        if let Some(domain) = text.strip_prefix("*@*.") {
            return Ok(Self::Below(Domain::parse(domain)?));
        }
        if let Some(domain) = text.strip_prefix("*@") {
            return Ok(Self::Domain(Domain::parse(domain)?));
        }
        Ok(Self::Address(Address::parse(text)?))
    }
}

impl fmt::Display for SenderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => write!(f, "*@{domain}"),
            Self::Below(domain) => write!(f, "*@*.{domain}"),
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
            let pattern: SenderPattern = pattern.parse().unwrap();
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
            assert!(text.parse::<SenderPattern>().is_err(), "{text}");
        }
    }
}
