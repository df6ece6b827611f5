//! Certificates as they are shown to people and programs: by `cert list`, `cert show`.
//!
//! Plain data, with the judgement of the moment; nothing here decides.

use serde::{Deserialize, Serialize};

use super::store::{Change, State};
use crate::mail::{Address, CertificateFact, CertificateProblem, Fingerprint};

/// Where a certificate is known from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum Origin {
    /// It was imported.
    Imported {
        /// The file it came in.
        source: String,
        /// When, by whom, why.
        imported: Change,
        /// Its approval, if it had one.
        approved: Option<Change>,
    },
    /// It lies in the operator's folder.
    Folder {
        /// The file.
        file: String,
    },
    /// It was found elsewhere just now.
    Found,
}

/// What is known of the revocation of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RevocationView {
    /// It was not asked about: a list of certificates does not ask the network.
    NotAsked,
    /// It is switched off.
    Off,
    /// No issuer is known that could be asked.
    NoIssuer,
    /// It was not revoked.
    Good,
    /// It was.
    Revoked,
    /// It could not be found out.
    Unknown {
        /// Why.
        why: String,
    },
}

/// A certificate for an address, and what is thought of it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// The address.
    pub address: Address,
    /// The certificate's name.
    pub fingerprint: Fingerprint,
    /// How far it is trusted.
    pub trust: CertificateFact,
    /// Whether it is used, or waits.
    pub state: State,
    /// Whether it is the one that would be used now.
    pub chosen: bool,
    /// What speaks against it now.
    pub problem: Option<CertificateProblem>,
    /// Where it is known from.
    pub origin: Origin,
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// From when it is valid (RFC 3339).
    pub valid_from: String,
    /// Until when (RFC 3339).
    pub valid_until: String,
    /// Its key, as in `RSA 2048`.
    pub key: String,
    /// The mail addresses in it.
    pub addresses: Vec<Address>,
    /// Whether its owner is known to read AES-GCM.
    pub gcm: bool,
    /// Whether its owner is known to read RSAES-OAEP.
    pub oaep: bool,
    /// A chain is demanded of it.
    pub require_chain: bool,
    /// The subjects of its chain, from its issuer to the anchor; empty: there is none.
    pub chain: Vec<String>,
    /// What is wrong with the chain.
    pub chain_problem: Option<CertificateProblem>,
    /// Whether it was revoked.
    pub revocation: RevocationView,
}
