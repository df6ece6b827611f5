//! Whether a certificate was revoked: OCSP (RFC 6960), else the list of its issuer (RFC 5280 §5).
//!
//! Owns asking, verifying what is answered, and keeping it for as long as it says. Never decides
//! what follows from an unknown status: that is the operator's setting.

use std::fmt::Debug;

use bytes::Bytes;

use crate::mail::Timestamp;
use crate::world::BoxFuture;

/// What is known of the revocation of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationStatus {
    /// No certificate of it was revoked, as far as its issuers say anything of it at all.
    Good,
    /// One was.
    Revoked,
    /// It could not be found out, for this reason.
    Unknown(String),
}

/// Something that can say whether a chain was revoked.
pub trait CheckRevocation: Send + Sync + Debug {
    /// The status of `chain` at `now`. The chain is DER: the leaf first, behind each certificate
    /// its issuer, at the end the anchor, which is not asked about. Its signatures have been
    /// checked by the caller. A certificate that names neither a responder nor a list counts as
    /// good. Bounded in time.
    fn status<'a>(&'a self, chain: &'a [Bytes], now: Timestamp) -> BoxFuture<'a, RevocationStatus>;
}
