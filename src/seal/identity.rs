//! Whose signature stands inside a sealed message.
//!
//! An identity belongs to an address or to a domain, and signs for the author of a message: the
//! one address in its From field. Submission lets an account write as the addresses that are
//! granted to it and as no others, so the author is an authenticated one; that From still names
//! this very author is looked at again before anything is signed. No other field, no envelope and
//! no part of the body chooses an identity: nobody gets a signature that is not theirs.

use std::fmt;
use std::str::FromStr;

use crate::mail::{Address, AddressError, Domain, DomainError, Timestamp};
use crate::proto::cms;

/// Whom an identity belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// One mailbox; the local part is compared without regard to case, as grants are.
    Address(Address),
    /// Every author at exactly this domain, none below it.
    Domain(Domain),
}

/// A text is neither an address nor a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// It has an `@`.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It has none.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        if text.contains('@') {
            Ok(Self::Address(Address::parse(text)?))
        } else {
            Ok(Self::Domain(Domain::from_unicode(text)?))
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
        }
    }
}

impl Owner {
    fn owns(&self, author: &Address) -> bool {
        match self {
            Self::Address(address) => address.mailbox_key() == author.mailbox_key(),
            Self::Domain(domain) => domain == author.domain(),
        }
    }
}

/// A certificate with its key, for an owner.
#[derive(Debug)]
pub struct SigningIdentity {
    /// Whom it signs for.
    pub owner: Owner,
    /// Certificate, chain and key.
    pub identity: cms::Identity,
    /// When its certificate expires: from then on it signs nothing.
    pub expires: Timestamp,
}

/// What [`find`] found for an author.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// This one signs.
    Signs(&'a SigningIdentity),
    /// None is left: this one has expired.
    Expired(&'a SigningIdentity),
    /// There is none.
    Nothing,
}

/// The identity for an author: one of the address before one of the domain, the longest valid
/// before others; what has expired is passed over.
pub(super) fn find<'a>(
    identities: &'a [SigningIdentity],
    author: &Address,
    now: Timestamp,
) -> Found<'a> {
    let rank = |it: &&SigningIdentity| {
        let own = matches!(it.owner, Owner::Address(_));
        (it.expires > now, own, it.expires)
    };
    let best = identities.iter().filter(|it| it.owner.owns(author));
    match best.max_by_key(rank) {
        Some(identity) if identity.expires > now => Found::Signs(identity),
        Some(identity) => Found::Expired(identity),
        None => Found::Nothing,
    }
}
