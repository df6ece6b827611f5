//! Sets of addresses and domains that are asked in constant time, however long the list.

use std::collections::HashSet;

use crate::mail::{Address, AddressPattern, DomainPattern};

/// An address with what look-ups need: the local part without regard to case.
#[derive(Debug, Clone)]
pub(super) struct Party<'a> {
    /// `local@domain`, all in lower case.
    pub(super) key: String,
    /// The domain.
    pub(super) domain: &'a str,
}

impl<'a> Party<'a> {
    pub(super) fn new(address: &'a Address) -> Self {
        Self {
            key: address_key(address),
            domain: address.domain().as_str(),
        }
    }
}

/// `local@domain` in lower case: what is said of `billing@` is said of `Billing@`.
pub(super) fn address_key(address: &Address) -> String {
    address.mailbox_key()
}

/// The names above a domain, nearest first.
pub(super) fn parents(domain: &str) -> impl Iterator<Item = &str> {
    let mut rest = domain;
    std::iter::from_fn(move || {
        rest = rest.split_once('.')?.1;
        Some(rest)
    })
}

/// One value of a set of addresses or domains.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// One address, in lower case.
    Address(Box<str>),
    /// Every address of a domain.
    Domain(Box<str>),
    /// Every address below a domain.
    Below(Box<str>),
}

impl From<&AddressPattern> for Key {
    fn from(pattern: &AddressPattern) -> Self {
        match pattern {
            AddressPattern::Address(address) => Self::Address(address_key(address).into()),
            AddressPattern::Domain(domains) => domains.into(),
        }
    }
}

impl From<&DomainPattern> for Key {
    fn from(pattern: &DomainPattern) -> Self {
        match pattern {
            DomainPattern::Exact(domain) => Self::Domain(domain.as_str().into()),
            DomainPattern::Below(domain) => Self::Below(domain.as_str().into()),
        }
    }
}

fn domain_of(key: &str) -> &str {
    key.rsplit_once('@').map_or(key, |(_, domain)| domain)
}

/// A set of addresses.
#[derive(Debug, Clone, Default)]
pub(super) struct AddressSet {
    addresses: HashSet<Box<str>>,
    domains: HashSet<Box<str>>,
    below: HashSet<Box<str>>,
}

impl AddressSet {
    pub(super) fn insert(&mut self, key: Key) {
        match key {
            Key::Address(text) => self.addresses.insert(text),
            Key::Domain(text) => self.domains.insert(text),
            Key::Below(text) => self.below.insert(text),
        };
    }

    /// Whether the address is in it.
    pub(super) fn contains(&self, party: &Party<'_>) -> bool {
        self.names_address(party) || self.has_domain(party.domain)
    }

    /// Whether the address itself is named.
    pub(super) fn names_address(&self, party: &Party<'_>) -> bool {
        !self.addresses.is_empty() && self.addresses.contains(party.key.as_str())
    }

    /// Whether everything that `key` stands for is in it.
    pub(super) fn covers(&self, key: &Key) -> bool {
        match key {
            Key::Address(text) => self.addresses.contains(text) || self.has_domain(domain_of(text)),
            Key::Domain(text) => self.has_domain(text),
            Key::Below(text) => {
                self.below.contains(text) || parents(text).any(|up| self.below.contains(up))
            }
        }
    }

    /// Whether every address of the domain is in it.
    pub(super) fn has_domain(&self, domain: &str) -> bool {
        (!self.domains.is_empty() && self.domains.contains(domain))
            || (!self.below.is_empty() && parents(domain).any(|up| self.below.contains(up)))
    }
}

impl FromIterator<Key> for AddressSet {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        let mut set = Self::default();
        for key in keys {
            set.insert(key);
        }
        set
    }
}
