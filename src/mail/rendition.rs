//! What was made of a message for its recipients: decided, sealed, signed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AlreadySealed, Decision, Demand, Level, Sealed, Terms};

/// What stands behind the prefix of a rendition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// The accepted content, which is referred to and not copied.
    Accepted,
    /// The accepted content, sealed to the recipient's certificate.
    Sealed(Arc<Sealed>),
}

/// The bytes for a group of recipients. For method `tls`: header fields to put in front of the
/// accepted content; for method `smime`: those, and what the sealed octets are made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// What a connection must reach to carry it.
    pub demand: Demand,
    /// What else the channel must be.
    pub terms: Terms,
    /// Complete header fields, CRLF-terminated (`DKIM-Signature`), newest first.
    pub prefix: Vec<u8>,
    /// The domains that signed, for the log.
    pub signed_by: Vec<String>,
    /// What stands behind the prefix.
    pub body: Body,
}

impl Rendition {
    /// A sealed rendition: the one way to the demand of its class.
    pub fn sealed(level: Level, terms: Terms, sealed: Arc<Sealed>) -> Self {
        Self {
            demand: Demand::sealed(level),
            terms,
            prefix: Vec::new(),
            signed_by: Vec::new(),
            body: Body::Sealed(sealed),
        }
    }

    /// Content that its sender has sealed to the recipient's certificate already.
    pub fn untouched(level: Level, terms: Terms, _sealed: AlreadySealed) -> Self {
        Self {
            demand: Demand::sealed(level),
            terms,
            prefix: Vec::new(),
            signed_by: Vec::new(),
            body: Body::Accepted,
        }
    }
}

/// What was decided for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientPlan {
    /// Its index in the envelope.
    pub recipient: u32,
    /// Why it goes the way it goes; recipients that were decided alike share it.
    pub decision: Arc<Decision>,
    /// Its rendition's index in [`Prepared::renditions`]; `None` where no method is left.
    pub rendition: Option<u32>,
}

/// The outcome of preparing a message: durable before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Prepared {
    /// What was made.
    pub renditions: Vec<Rendition>,
    /// What was decided, per recipient.
    pub plans: Vec<RecipientPlan>,
}

impl Prepared {
    /// The plan of a recipient, by its index in the envelope.
    pub fn plan(&self, recipient: u32) -> Option<&RecipientPlan> {
        // Plans stand in the order of the envelope, as a rule; a search is the exception.
        usize::try_from(recipient)
            .ok()
            .and_then(|index| self.plans.get(index))
            .filter(|plan| plan.recipient == recipient)
            .or_else(|| self.plans.iter().find(|plan| plan.recipient == recipient))
    }

    /// The rendition that a plan names.
    pub fn rendition(&self, plan: &RecipientPlan) -> Option<&Rendition> {
        self.renditions.get(usize::try_from(plan.rendition?).ok()?)
    }
}
