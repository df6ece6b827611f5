//! The register of exceptions as `check` lists it.

use std::fmt;

use serde::Serialize;

use crate::mail::{Allowance, Level, Timestamp};
use crate::policy::PolicySource;
use crate::policy::source::{DomainSection, Exception, ExceptionScope};

/// An exception, and whether it does anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisterEntry {
    /// The address or domain.
    pub recipient: String,
    /// The lowest grade.
    pub allow: Allowance,
    /// The highest level that it is good for.
    pub max_level: Level,
    /// Who answers for it.
    pub owner: String,
    /// Who else does.
    pub second_owner: Option<String>,
    /// The reason code.
    pub reason: String,
    /// When it ends, RFC 3339.
    pub expires: String,
    /// Whether it does anything now.
    pub state: RegisterState,
}

/// Whether an exception does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisterState {
    /// It is in force.
    Active,
    /// Its time is over.
    Expired,
    /// All mail that it is for needs more than it is good for, or never goes by TLS alone.
    Inert,
}

impl fmt::Display for RegisterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Inert => "inert",
        })
    }
}

/// All exceptions, in the order of the policy.
pub fn register(policy: &PolicySource, now: Timestamp) -> Vec<RegisterEntry> {
    let entry = |exception: &Exception| RegisterEntry {
        recipient: shown(&exception.recipient),
        allow: exception.allow,
        max_level: exception.max_level,
        owner: exception.owner.clone(),
        second_owner: exception.second_owner.clone(),
        reason: exception.reason.clone(),
        expires: exception.expires.to_rfc3339(),
        state: state(policy, exception, now),
    };
    policy.exceptions.iter().map(entry).collect()
}

/// The recipient of an exception, as written.
pub(super) fn shown(scope: &ExceptionScope) -> String {
    match scope {
        ExceptionScope::Address(address) => address.to_string(),
        ExceptionScope::Domain(domain) => domain.to_string(),
    }
}

/// Whether an exception does anything.
pub(super) fn state(policy: &PolicySource, exception: &Exception, now: Timestamp) -> RegisterState {
    let domain = match &exception.recipient {
        ExceptionScope::Address(address) => address.domain(),
        ExceptionScope::Domain(domain) => domain,
    };
    let sections: Vec<&DomainSection> = policy
        .domains
        .iter()
        .filter(|section| section.name.matches(domain))
        .collect();
    let raises = sections.iter().filter_map(|section| section.raise);
    let least = raises.fold(policy.base, Level::max);
    let tls_alone_never = sections.iter().any(|section| section.tls_not_enough);
    if exception.expires <= now {
        RegisterState::Expired
    } else if least > exception.max_level || tls_alone_never {
        RegisterState::Inert
    } else {
        RegisterState::Active
    }
}
