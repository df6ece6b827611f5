//! Who can be asked whether a certificate was revoked: the way up from it to its issuers.
//!
//! Not a chain that vouches: whether one authority may vouch for another, for whom, and until when
//! is no question here. A certificate whose chain is not accepted (its authority is constrained, or
//! has expired) can have been revoked all the same. What counts is whose signature it bears.

use bytes::Bytes;

use super::chain::{MAX_ISSUERS, subject_of};
use super::parse::{MAX_CERTIFICATE_OCTETS, Parsed};
use super::{Settings, choice::Candidate};
use crate::directory::revocation::is_signed_by;

/// Certificates on the way, the first one with them.
const MAX_WAY: usize = 8;

/// The way up from a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing that is known, configured or come with it, has the issuer's name.
    NoIssuer,
    /// What has the issuer's name did not sign it, or with a signature that proves nothing.
    Unproven,
    /// DER, the certificate first, each signed by the next; as far as issuers are known.
    Up(Vec<Bytes>),
}

/// The way up from a candidate, over the configured authorities and those that came with it.
pub(super) fn way_up(settings: &Settings, candidate: &Candidate) -> Way {
    let Candidate {
        parsed, issuers, ..
    } = candidate;
    let beside: Vec<(Vec<u8>, &Bytes)> = issuers
        .iter()
        .take(MAX_ISSUERS)
        .filter(|der| der.len() <= MAX_CERTIFICATE_OCTETS)
        .filter_map(|der| Some((subject_of(der)?, der)))
        .collect();
    let mut way = vec![parsed.der.clone()];
    let (mut der, mut wanted) = (parsed.der.clone(), parsed.issuer_der.clone());
    if parsed.is_self_issued() {
        return Way::NoIssuer;
    }
    while way.len() < MAX_WAY {
        let anchors: Vec<&Bytes> = settings.anchors.named(&wanted).collect();
        let named = beside.iter().filter(|(name, _)| *name == wanted);
        let named: Vec<&Bytes> = named.map(|(_, it)| *it).collect();
        if anchors.is_empty() && named.is_empty() {
            break;
        }
        // The configured ones first: nothing is asked about those.
        if let Some(anchor) = anchors.into_iter().find(|it| is_signed_by(&der, it)) {
            way.push(anchor.clone());
            return Way::Up(way);
        }
        let Some(issuer) = named.into_iter().find(|it| is_signed_by(&der, it)) else {
            return Way::Unproven;
        };
        if way.contains(issuer) {
            break;
        }
        way.push(issuer.clone());
        let Ok(next) = Parsed::read(issuer) else {
            break;
        };
        (der, wanted) = (issuer.clone(), next.issuer_der);
    }
    match way.len() {
        1 => Way::NoIssuer,
        _ => Way::Up(way),
    }
}
