//! What the line asks about recipients' certificates: the seam to whoever keeps and finds them.
//!
//! The line asks in three ways, and each has its price: what is at hand, before anything is
//! decided; whoever can be asked, only where the answer could change what is decided; and once more
//! whether a certificate still stands, before anything that is sealed to it is sent.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use crate::mail::{Address, CertificateProblem, Fingerprint, FoundCertificate, Timestamp};
use crate::seal::Sealer;

/// An answer that takes its time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Knows recipients' certificates. Every one that it gives may be used: all rules of acceptance
/// have been applied, but for revocation in [`KnowsCertificates::known`].
pub trait KnowsCertificates: Send + Sync + Debug {
    /// What is at hand: no network is touched, and nobody is asked whether it was revoked.
    fn known(&self, address: &Address, now: Timestamp) -> FoundCertificate;

    /// What can be found out, revocation included: answers within its own bounds on time.
    fn look_up<'a>(&'a self, address: &'a Address, now: Timestamp) -> Answer<'a, FoundCertificate>;

    /// What follows for a certificate at hand when a question about it had no answer in time.
    ///
    /// # Errors
    /// Why it is not used then.
    fn unanswered(
        &self,
        certificate: &Fingerprint,
        now: Timestamp,
    ) -> Result<(), CertificateProblem>;

    /// Whether the certificate of this name may still be used for the address.
    fn stands<'a>(
        &'a self,
        address: &'a Address,
        certificate: &'a Fingerprint,
        now: Timestamp,
    ) -> Answer<'a, Result<(), CertificateProblem>>;
}

/// What the method S/MIME works with.
#[derive(Debug, Clone)]
pub struct Smime {
    /// Whose certificate it is sealed to.
    pub certificates: Arc<dyn KnowsCertificates>,
    /// Seals, and signs inside.
    pub sealer: Arc<Sealer>,
}
