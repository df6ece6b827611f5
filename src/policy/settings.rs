//! Sections and the register, merged along their inheritance.
//!
//! Owns what several sections that match one domain or account come to: levels and demands are
//! united, methods and pins come from the most specific section that has some.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::sets::{Key, address_key, parents};
use super::source::{DomainSection, Exception, ExceptionScope, PolicySource};
use crate::mail::{Asker, DomainPattern, ExceptionUse, Method, Reason};

/// What the sections that match a domain come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct DomainSetting {
    pub(super) reasons: Vec<Reason>,
    pub(super) methods: Option<Vec<Method>>,
    pub(super) tls_not_enough: bool,
    pub(super) pin_mx: Vec<DomainPattern>,
    pub(super) require_pq: bool,
}

/// What the sections of an account and of its groups come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct AccountSetting {
    pub(super) reasons: Vec<Reason>,
    pub(super) groups: Vec<Arc<str>>,
    pub(super) tls_not_enough: bool,
    pub(super) require_pq: bool,
}

/// The settings of exact names, and of what lies below a name.
pub(super) type Settings = (
    HashMap<Box<str>, DomainSetting>,
    HashMap<Box<str>, DomainSetting>,
);

pub(super) fn domain_settings(sections: &[DomainSection]) -> Settings {
    let mut by_key: BTreeMap<Key, Vec<&DomainSection>> = BTreeMap::new();
    for section in sections {
        by_key
            .entry(Key::from(&section.name))
            .or_default()
            .push(section);
    }
    let chain = |first: &Key, domain: &str| {
        let above = parents(domain).map(|parent| Key::Below(parent.into()));
        let keys = std::iter::once(first.clone()).chain(above);
        let chain: Vec<&DomainSection> = keys
            .filter_map(|key| by_key.get(&key))
            .flatten()
            .copied()
            .collect();
        DomainSetting::merged(&chain)
    };
    let (mut exact, mut below) = (HashMap::new(), HashMap::new());
    for key in by_key.keys() {
        match key {
            Key::Domain(domain) => exact.insert(domain.clone(), chain(key, domain)),
            Key::Below(domain) => below.insert(domain.clone(), chain(key, domain)),
            Key::Address(_) => None,
        };
    }
    (exact, below)
}

impl DomainSetting {
    /// Sections that match one domain, the most specific first.
    fn merged(sections: &[&DomainSection]) -> Self {
        let reasons = sections.iter().filter_map(|section| {
            Some(Reason {
                level: section.raise?,
                asker: Asker::Domain(section.name.to_string().into()),
            })
        });
        Self {
            reasons: reasons.collect(),
            methods: sections.iter().find_map(|section| section.methods.clone()),
            tls_not_enough: sections.iter().any(|section| section.tls_not_enough),
            pin_mx: sections
                .iter()
                .map(|section| &section.pin_mx)
                .find(|pins| !pins.is_empty())
                .cloned()
                .unwrap_or_default(),
            require_pq: sections.iter().any(|section| section.require_pq),
        }
    }
}

pub(super) fn account_settings(source: &PolicySource) -> HashMap<Box<str>, AccountSetting> {
    let mut accounts: HashMap<Box<str>, AccountSetting> = HashMap::new();
    for group in &source.groups {
        let name: Arc<str> = group.name.as_str().into();
        for member in &group.members {
            let account = accounts.entry(member.as_str().into()).or_default();
            account.groups.push(Arc::clone(&name));
            account.tls_not_enough |= group.tls_not_enough;
            account.require_pq |= group.require_pq;
            account.reasons.extend(group.raise.map(|level| Reason {
                level,
                asker: Asker::Group(Arc::clone(&name)),
            }));
        }
    }
    for user in &source.users {
        let account = accounts.entry(user.name.as_str().into()).or_default();
        account.tls_not_enough |= user.tls_not_enough;
        account.require_pq |= user.require_pq;
        account.reasons.extend(user.raise.map(|level| Reason {
            level,
            asker: Asker::User(user.name.as_str().into()),
        }));
    }
    accounts
}

/// The register: entries for addresses, entries for domains.
pub(super) type Register = (
    HashMap<Box<str>, ExceptionUse>,
    HashMap<Box<str>, ExceptionUse>,
);

pub(super) fn register(exceptions: &[Exception]) -> Register {
    let (mut addresses, mut domains) = (HashMap::new(), HashMap::new());
    for exception in exceptions {
        let entry = exception.entry();
        match &exception.recipient {
            ExceptionScope::Address(address) => {
                addresses.insert(address_key(address).into(), entry)
            }
            ExceptionScope::Domain(domain) => domains.insert(domain.as_str().into(), entry),
        };
    }
    (addresses, domains)
}

impl Exception {
    /// The entry as a decision records it.
    pub fn entry(&self) -> ExceptionUse {
        ExceptionUse {
            recipient: match &self.recipient {
                ExceptionScope::Address(address) => address.to_string(),
                ExceptionScope::Domain(domain) => domain.to_string(),
            },
            allow: self.allow,
            max_level: self.max_level,
            owner: self.owner.clone(),
            reason: self.reason.clone(),
            expires: self.expires,
        }
    }
}
