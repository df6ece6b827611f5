//! What was made of a message for its recipients: decided, sealed, signed.
//!
//! Invariant: the demand of the class `sealed` comes only together with sealed octets, or with the
//! word of `seal` that the content is sealed already. What a rendition demands and what stands in
//! it are private for that; it cannot be put together by hand, and what is read back from the
//! spool is held to the same.
//!
//! ```compile_fail
//! # use sealpost::mail::{Body, Rendition};
//! fn weaken(sealed: &Rendition) -> Rendition {
//!     let mut weaker = sealed.clone();
//!     weaker.body = Body::Accepted; // private
//!     weaker
//! }
//! ```
//!
//! ```compile_fail
//! # use sealpost::mail::{Demand, Rendition};
//! fn weaken(content: &mut Rendition, sealed: Demand) {
//!     content.demand = sealed; // private
//! }
//! ```
//!
//! ```compile_fail
//! # use sealpost::mail::{Demand, Level};
//! fn any(level: Level) -> Demand {
//!     Demand::sealed(level) // known to `mail` alone
//! }
//! ```

mod stored;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    AlreadySealed, ContentCipher, Decision, Demand, Fingerprint, Level, MessageClass, Notice,
    PickupBy, RenditionClass, Sealed, Terms,
};

/// What stands behind the prefix of a rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The accepted content, which is referred to and not copied.
    Accepted,
    /// The accepted content, sealed to the recipient's certificate.
    Sealed(Arc<Sealed>),
    /// The accepted content, which its sender has sealed to this certificate of the recipient.
    Untouched(Fingerprint),
    /// A notice: the content itself goes into the portal.
    Notice(Arc<Notice>),
}

/// The bytes for a group of recipients. For method `tls`: header fields to put in front of the
/// accepted content; for method `smime`: those, and what the sealed octets are made from; for method
/// `portal`: those, and the notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    demand: Demand,
    /// What else the channel must be.
    pub terms: Terms,
    /// Complete header fields, CRLF-terminated (`DKIM-Signature`), newest first.
    pub prefix: Vec<u8>,
    /// The domains that signed, for the log.
    pub signed_by: Vec<String>,
    body: Body,
}

impl Rendition {
    /// The accepted content as it is, behind `prefix`. `None` for a demand of another class: content
    /// in clear cannot have the one of what is sealed, nor that of a notice or code of ours.
    pub fn content(
        demand: Demand,
        terms: Terms,
        prefix: Vec<u8>,
        signed_by: Vec<String>,
    ) -> Option<Self> {
        let in_clear = matches!(
            demand.class(),
            RenditionClass::Content | RenditionClass::Dsn
        );
        in_clear.then_some(Self {
            demand,
            terms,
            prefix,
            signed_by,
            body: Body::Accepted,
        })
    }

    /// A message of ours as it is, behind `prefix`; `None` for one that an application submitted.
    pub fn ours(class: MessageClass, prefix: Vec<u8>, signed_by: Vec<String>) -> Option<Self> {
        Some(Self {
            demand: Demand::ours(class)?,
            terms: Terms::default(),
            prefix,
            signed_by,
            body: Body::Accepted,
        })
    }

    /// A sealed rendition: with [`Rendition::untouched`] the one way to the demand of its class.
    pub fn sealed(level: Level, terms: Terms, sealed: Arc<Sealed>) -> Self {
        Self::sealed_with(level, terms, Body::Sealed(sealed))
    }

    /// Content that its sender has sealed to the recipient's certificate already.
    pub fn untouched(level: Level, terms: Terms, sealed: AlreadySealed) -> Self {
        Self::sealed_with(level, terms, Body::Untouched(sealed.certificate()))
    }

    /// The notice of what is left in the portal, to be opened by `by`.
    pub fn notice(level: Level, by: PickupBy, notice: Arc<Notice>) -> Self {
        Self {
            demand: Demand::notice(level, by),
            terms: Terms::default(),
            prefix: Vec::new(),
            signed_by: Vec::new(),
            body: Body::Notice(notice),
        }
    }

    fn sealed_with(level: Level, terms: Terms, body: Body) -> Self {
        Self {
            demand: Demand::sealed(level),
            terms,
            prefix: Vec::new(),
            signed_by: Vec::new(),
            body,
        }
    }

    /// The same with signatures in front.
    pub fn with_signature(self, prefix: Vec<u8>, signed_by: Vec<String>) -> Self {
        Self {
            prefix,
            signed_by,
            ..self
        }
    }

    /// What a connection must reach to carry it.
    pub const fn demand(&self) -> Demand {
        self.demand
    }

    /// What stands behind the prefix.
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// What the octets behind the prefix are made from, where they are sealed by us.
    pub const fn recipe(&self) -> Option<&Arc<Sealed>> {
        match &self.body {
            Body::Sealed(sealed) => Some(sealed),
            Body::Accepted | Body::Untouched(_) | Body::Notice(_) => None,
        }
    }

    /// The recipient's certificate that it is sealed to.
    pub fn certificate(&self) -> Option<Fingerprint> {
        match &self.body {
            Body::Sealed(sealed) => Some(sealed.certificate),
            Body::Untouched(certificate) => Some(*certificate),
            Body::Accepted | Body::Notice(_) => None,
        }
    }

    /// The notice that goes out instead of the content, where that goes into the portal.
    pub const fn deposit(&self) -> Option<&Arc<Notice>> {
        match &self.body {
            Body::Notice(notice) => Some(notice),
            Body::Accepted | Body::Sealed(_) | Body::Untouched(_) => None,
        }
    }

    /// How it is encrypted, where we did it.
    pub fn cipher(&self) -> Option<ContentCipher> {
        self.recipe().map(|sealed| sealed.cipher)
    }

    /// The address or domain whose identity signed inside, where one of ours did.
    pub fn signer(&self) -> Option<&str> {
        self.recipe()?.shape.signer.as_deref()
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
#[serde(into = "stored::Stored", try_from = "stored::Stored")]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::sealed::sample;

    fn rendition() -> Rendition {
        Rendition::sealed(Level::Restricted, Terms::default(), Arc::new(sample()))
    }

    #[test]
    fn content_cannot_have_the_demand_of_what_is_sealed() {
        let demand = rendition().demand();
        assert_eq!(demand.least(), crate::mail::Grade::Any);
        let content = |demand| Rendition::content(demand, Terms::default(), Vec::new(), Vec::new());
        assert_eq!(content(demand), None);
        for ours in [MessageClass::Notice, MessageClass::Code] {
            assert_eq!(content(Demand::ours(ours).unwrap()), None, "{ours:?}");
            assert!(Rendition::ours(ours, Vec::new(), Vec::new()).is_some());
        }
        let submitted = Rendition::ours(MessageClass::Submitted, Vec::new(), Vec::new());
        assert_eq!(submitted, None);
    }
}
