//! The questions that a mail relay asks the DNS, with the security status of each answer.

use std::net::IpAddr;

use super::BoxFuture;
use crate::mail::Domain;

/// What DNSSEC says of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// Unsigned, or the resolver does not validate: may have been made up on the way.
    Insecure,
    /// Signed and validated from the trust anchor down.
    Secure,
}

/// Records of one kind and name; empty if the name exists without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records.
    pub records: Vec<T>,
    /// The weakest link of the chain that led to them.
    pub security: Security,
}

/// A mail exchanger (RFC 5321 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// Lower is preferred.
    pub preference: u16,
    /// The host; `None` is the root, the null MX (RFC 7505). A host name that is no valid domain
    /// is dropped by the resolver with a warning.
    pub exchange: Option<Domain>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// NXDOMAIN.
    #[error("the domain {0} does not exist")]
    NoSuchDomain(Domain),
    /// DNSSEC says that the answer is forged or broken. Never treated as unsigned.
    #[error("the answer for {0} fails DNSSEC validation")]
    Bogus(Domain),
    /// SERVFAIL, REFUSED, timeout, no server.
    #[error("{domain} could not be resolved: {why}")]
    Temporary {
        /// The name asked for.
        domain: Domain,
        /// What went wrong.
        why: String,
    },
}

/// A resolver.
pub trait Dns: Send + Sync + 'static {
    /// MX records of `domain`, in any order.
    fn mx<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, Result<Answer<Mx>, DnsError>>;

    /// A and AAAA records of `host`.
    fn addresses<'a>(&'a self, host: &'a Domain)
    -> BoxFuture<'a, Result<Answer<IpAddr>, DnsError>>;
}
