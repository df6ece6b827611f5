//! The elementary judgements that every decision is made of, each one small enough to see through.
//!
//! Owns the seam between the engine and its proof: the product always uses [`Standard`], whose
//! judgements are the defaults of [`Judge`]; `prove` runs the very same code with it, and its
//! tests plant faults by overriding one judgement. Nothing here lowers: a level is a maximum, a
//! demand comes from the table, doubt waits.

use std::time::Duration;

use crate::mail::{
    CertificateFact, CertificateProblem, Demand, DomainPattern, ExceptionUse, Grade, Level,
    MessageClass, Method, PickupBy, PickupFacts, Refusal, Terms, Timestamp,
};

/// The elementary judgements. Every default is the product's own.
pub trait Judge {
    /// The level of a message whose base is `base` and for which `asked` was asked.
    fn level(&self, base: Level, asked: &[Level]) -> Level {
        asked.iter().copied().fold(base, Level::max)
    }

    /// Whether TLS alone can carry a level.
    fn tls_admits(&self, level: Level) -> bool {
        level.least_grade().is_some()
    }

    /// Whether a method is there to be used.
    fn is_configured(&self, method: Method, ways: Ways) -> bool {
        match method {
            Method::Tls => true,
            Method::Smime => ways.smime,
            Method::Portal => ways.portal,
        }
    }

    /// Whether there is a certificate to seal to at all: a problem that is known is one, whatever
    /// else is said.
    fn certificate_refusal(
        &self,
        certificate: CertificateFact,
        problem: Option<CertificateProblem>,
    ) -> Option<Refusal> {
        match (certificate, problem) {
            (_, Some(problem)) => Some(Refusal::Certificate(problem)),
            (CertificateFact::None, None) => Some(Refusal::NoCertificate),
            (
                CertificateFact::Valid | CertificateFact::Directory | CertificateFact::Pinned,
                None,
            ) => None,
        }
    }

    /// Whether a certificate is trusted enough for a level: the column of the table of levels.
    fn certificate_admits(&self, level: Level, certificate: CertificateFact) -> bool {
        use CertificateFact as Fact;
        match (level, certificate) {
            (_, Fact::None) | (Level::Sealed, Fact::Valid | Fact::Directory) => false,
            (Level::Restricted, Fact::Valid) => false,
            (Level::Protected | Level::Confidential, Fact::Valid) => true,
            (Level::Protected | Level::Confidential | Level::Restricted, Fact::Directory) => true,
            (_, Fact::Pinned) => true,
        }
    }

    /// Whether content never goes by TLS alone here. No exception overrides that: an exception is
    /// for a recipient who can do no better, this is a word about how much is needed.
    fn tls_is_forbidden(&self, domain: bool, account: bool, _excepted: bool) -> bool {
        domain || account
    }

    /// Whether an exception is in force at `now` for a level. It never reaches `sealed`, which no
    /// TLS grade does, and never applies while a downgrade is suspected: the recipient has been
    /// seen to do better.
    fn exception_applies(
        &self,
        exception: &ExceptionUse,
        level: Level,
        now: Timestamp,
        suspected: bool,
    ) -> bool {
        now < exception.expires
            && level <= exception.max_level
            && self.tls_admits(level)
            && !suspected
    }

    /// What content that goes by TLS demands of its connection; `None` where nothing is enough.
    fn demand(
        &self,
        class: MessageClass,
        level: Level,
        exception: Option<&ExceptionUse>,
    ) -> Option<Demand> {
        match (class, exception) {
            (MessageClass::Dsn | MessageClass::Notice | MessageClass::Code, _) => {
                Demand::ours(class)
            }
            (MessageClass::Submitted, None) => Demand::content(level),
            (MessageClass::Submitted, Some(_)) if !self.tls_admits(level) => None,
            (MessageClass::Submitted, Some(exception)) => Demand::excepted(level, exception),
        }
    }

    /// Whether hosts that fell short of `then` fall short of `now` too. They do unless less is
    /// demanded now: what they lacked may have been something other than the grade.
    fn is_still_short(&self, reached: Grade, then: Grade, now: Grade) -> bool {
        !(now < then && reached.reaches(now))
    }

    /// Whether TLS is refused while a downgrade is suspected, whatever the host reached.
    fn refuses_suspected(&self) -> bool {
        true
    }

    /// Until when a suspected downgrade is waited out; `None` once that is over.
    fn waits_until(&self, since: Timestamp, hold: Duration, now: Timestamp) -> Option<Timestamp> {
        let until = since + hold;
        (now < until).then_some(until)
    }

    /// The level whose row of the portal's factors applies. Whoever caused a fallback reads the
    /// notice and the mailbox code too; so it stays raised when a later turn no longer looks like one.
    fn factors(&self, level: Level, suspected: bool) -> Level {
        match suspected {
            true => level.max(Level::Restricted),
            false => level,
        }
    }

    /// By what a recipient opens what is left in the portal; `None` where nothing that is known is
    /// enough. `code_counts` says that a code to the mailbox would not be known to travel below the
    /// grade `any`. That nobody asked whether the recipient is registered is no registration.
    fn pickup(&self, factors: Level, facts: PickupFacts, code_counts: bool) -> Option<PickupBy> {
        let apart = facts.secret || facts.phone || facts.registered == Some(true);
        match factors {
            _ if apart => Some(PickupBy::Apart),
            Level::Protected | Level::Confidential => code_counts.then_some(PickupBy::Mailbox),
            Level::Restricted | Level::Sealed => None,
        }
    }

    /// What the channel must be beyond the grade: everything that any section asks for.
    fn terms(&self, pins: &[DomainPattern], domain_pq: bool, account_pq: bool) -> Terms {
        Terms {
            pin_mx: pins.to_vec(),
            require_pq: domain_pq || account_pq,
        }
    }
}

/// The judge that the product uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standard;

impl Judge for Standard {}

/// Which methods besides TLS are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ways {
    /// S/MIME.
    pub smime: bool,
    /// The portal.
    pub portal: bool,
}
