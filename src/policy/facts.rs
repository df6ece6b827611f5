//! What is known when a message is decided: of the message, of a recipient.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mail::{
    Address, CertificateFact, CertificateProblem, Findings, Fingerprint, FoundCertificate,
    MessageClass, PickupFacts, ReversePath, Tag, Timestamp, TlsStanding,
};

/// What is known of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageFacts {
    /// Submitted, or a bounce of ours.
    pub class: MessageClass,
    /// Where bounces go.
    pub sender: ReversePath,
    /// The address in From.
    pub author: Option<Address>,
    /// The account.
    pub user: Option<String>,
    /// The listener, as the configuration names its address.
    pub listener: Option<String>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// When it was accepted.
    pub received: Timestamp,
    /// Octets of the content.
    pub size: u64,
    /// What the sender asked for by tags.
    pub tags: Vec<Tag>,
    /// The header.
    pub header: HeaderFacts,
    /// The MIME parts; `None` where they were not looked at.
    pub parts: Option<Vec<PartFacts>>,
    /// What the detectors found; `None` where the content was not looked at.
    pub findings: Option<Findings>,
}

/// What is known of a header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeaderFacts {
    /// Field names in lower case with their decoded values, in the order of the message.
    pub fields: Vec<(String, String)>,
    /// The names, in lower case, of the fields that `fields` covers; `None` if it covers them all.
    /// Others are unknown: a record keeps only what the policy of its time looked at.
    pub only: Option<Vec<String>>,
    /// Addresses in To and Cc; `None` where nobody looked.
    pub visible_recipients: Option<u32>,
}

/// What is known of a MIME part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFacts {
    /// The declared type in lower case: `application/pdf`.
    pub kind: String,
    /// The decoded file name, where it has one.
    pub name: Option<String>,
    /// Another name that it goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_name: Option<String>,
}

impl PartFacts {
    /// All its names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.name, &self.other_name]
            .into_iter()
            .filter_map(|name| name.as_deref())
    }
}

/// What is known of a recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipientFacts {
    /// Who.
    pub address: Address,
    /// When it is decided.
    pub now: Timestamp,
    /// How far TLS got.
    pub tls: TlsStanding,
    /// A downgrade was suspected in an earlier turn, and has not been seen to be over.
    #[serde(default)]
    pub suspected: bool,
    /// Its certificate.
    pub certificate: CertificateFact,
    /// Why there is none, where one was found that could not be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_problem: Option<CertificateProblem>,
    /// The name of its certificate, for the record: nothing is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_name: Option<Fingerprint>,
    /// The message was to be sealed to it, and could not be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsealable: bool,
    /// By what it could open a message in the portal.
    #[serde(default)]
    pub pickup: PickupFacts,
    /// The portal did not take the message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undepositable: bool,
    /// Holds that a person has released, by name.
    pub released: Vec<Arc<str>>,
    /// Whether nothing was ever sent from this sender to it; `None` if nobody looked.
    pub first_contact: Option<bool>,
    /// Recipients that the account wrote to lately, by the windows that rules ask for, in seconds;
    /// empty if nobody looked.
    pub volume: Vec<(u64, u64)>,
}

impl RecipientFacts {
    /// Takes in what was found of its certificates.
    pub fn find(&mut self, found: &FoundCertificate) {
        self.certificate = found.fact();
        self.certificate_name = found.certificate.as_ref().map(|it| it.fingerprint);
        // Beside one that can be used, what is wrong with others is of no interest.
        self.certificate_problem = match found.certificate {
            Some(_) => None,
            None => found.problem,
        };
    }

    /// A recipient of which nothing is known but the address.
    pub fn new(address: Address, now: Timestamp) -> Self {
        Self {
            address,
            now,
            tls: TlsStanding::Untried,
            suspected: false,
            certificate: CertificateFact::None,
            certificate_problem: None,
            certificate_name: None,
            unsealable: false,
            pickup: PickupFacts::default(),
            undepositable: false,
            released: Vec::new(),
            first_contact: None,
            volume: Vec::new(),
        }
    }
}
