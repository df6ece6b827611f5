//! Looking certificates up with others: the directories that are asked for an address, each a
//! [`Source`].
//!
//! Owns asking: time, size and number are bounded, and a server that fails is left alone for a
//! while. Never says whether a certificate may be used: whatever a source answers is a
//! stranger's claim until the rules of acceptance have been applied to it.

mod gate;
pub mod https;
pub mod ldap;

use std::fmt::Debug;

pub use https::{HttpsSource, Template, TemplateError};
pub use ldap::{LDAP_TIMEOUT, LdapSettings, LdapSettingsError, LdapSource};

use tokio::time::Instant;

use crate::mail::{Address, Domain, DomainPattern};
use crate::world::BoxFuture;

/// Octets of all values that one question may bring back.
pub const MAX_FOUND_OCTETS: usize = 256 * 1024;

/// Which domains a source is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// Every one (`*`).
    All,
    /// Those of these sets.
    Domains(Vec<DomainPattern>),
}

impl Served {
    /// Whether `domain` is one of them.
    pub fn has(&self, domain: &Domain) -> bool {
        match self {
            Self::All => true,
            Self::Domains(sets) => sets.iter().any(|set| set.matches(domain)),
        }
    }
}

/// Why a source gave no answer, or none of use. Texts name hosts and reasons, never secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No answer was had: it may be had later.
    #[error("no answer: {0}")]
    Failed(String),
    /// The answer is not what it should be, or over a bound.
    #[error("a useless answer: {0}")]
    Refused(String),
}

/// A directory that can be asked for the certificates of an address.
///
/// SMIMEA (RFC 8162) joins here as one more implementation, when answers of the DNS are validated.
pub trait Source: Send + Sync + Debug {
    /// What it goes by in the log: the host that is asked.
    fn name(&self) -> &str;

    /// Whether it is to be asked for addresses of this domain.
    fn serves(&self, domain: &Domain) -> bool;

    /// What it has for an address. Each value is the DER of a certificate, or of a PKCS #7 bundle
    /// of certificates (RFC 5652 §5; what LDAP keeps in `userSMIMECertificate`, RFC 2798 §2.8),
    /// and has been looked into by nobody: it may be for another address, or no certificate at
    /// all. Empty if the source has none.
    ///
    /// Answers by `deadline`, with [`LookupError::Failed`] if there is no other answer by then, and
    /// takes notice that the server failed: who asks may not wait for longer.
    fn certificates<'a>(
        &'a self,
        address: &'a Address,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, LookupError>>;
}
