//! What a connection gives for a domain, and why that is not enough.
//!
//! Owns `grade(domain facts, handshake facts)`: a pure function, evaluated before each MAIL.
//! Handshake facts belong to the connection and are made only by the code that saw the
//! handshake end; domain facts belong to one delivery.

use std::fmt;

use super::reply::Reply;
use crate::mail::{Demand, Domain, Grade, Level, Timestamp, TlsFacts, VerifiedBy};

/// Which trust anchors a certificate was checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Anchors {
    /// The roots for the world at large.
    Public,
    /// The roots of the route with this number in the configuration.
    Route(usize),
}

/// Whom a certificate has to vouch for, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The host name.
    pub host: Domain,
    /// The trust anchors.
    pub anchors: Anchors,
}

/// What the TLS handshake of one connection showed. Only this crate makes these, in the one
/// place that holds the finished handshake:
///
/// ```compile_fail
/// use sealpost::mail::{Timestamp, TlsFacts};
/// use sealpost::proto::smtp::client::{HandshakeFacts, Reference};
/// fn facts(reference: Reference, tls: TlsFacts, until: Timestamp) -> (Reference, TlsFacts, Timestamp) {
///     let facts = HandshakeFacts::observed(reference, tls, until); // private
///     (facts.reference().clone(), facts.tls().clone(), until)
/// }
/// ```
///
/// The same with facts that were handed in compiles:
///
/// ```
/// use sealpost::mail::{Timestamp, TlsFacts};
/// use sealpost::proto::smtp::client::{HandshakeFacts, Reference};
/// fn facts(observed: HandshakeFacts, until: Timestamp) -> (Reference, TlsFacts, Timestamp) {
///     let facts = observed;
///     (facts.reference().clone(), facts.tls().clone(), until)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeFacts {
    reference: Reference,
    tls: TlsFacts,
    valid_until: Timestamp,
}

impl HandshakeFacts {
    /// The facts of a handshake that has just ended: whom the certificate was checked against,
    /// what was found, and the end of the certificate's validity.
    pub(crate) const fn observed(
        reference: Reference,
        tls: TlsFacts,
        valid_until: Timestamp,
    ) -> Self {
        Self {
            reference,
            tls,
            valid_until,
        }
    }

    /// Whom the certificate was checked against.
    pub const fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Version, cipher, peer, verification.
    pub const fn tls(&self) -> &TlsFacts {
        &self.tls
    }
}

/// What is known of the way to a domain, apart from the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainFacts {
    /// The host that the domain's MX records or the operator's route name, and the anchors that
    /// count for it. A connection that was verified for another host or by other anchors is
    /// worth [`Grade::Any`] here.
    pub reference: Reference,
    /// The highest level that may go this way; `None` for any. What lies beyond a route is not
    /// seen, so a route has a limit.
    pub max_level: Option<Level>,
}

/// The grade that a connection with `handshake` has for a domain at the moment `now`.
pub fn grade(now: Timestamp, domain: &DomainFacts, handshake: Option<&HandshakeFacts>) -> Grade {
    let Some(handshake) = handshake else {
        return Grade::None;
    };
    match handshake.tls.verified_by {
        VerifiedBy::Nothing(_) => Grade::Any,
        VerifiedBy::Pkix if handshake.reference != domain.reference => Grade::Any,
        // A connection may outlive the certificate that it was opened with.
        VerifiedBy::Pkix if now > handshake.valid_until => Grade::Any,
        VerifiedBy::Pkix => Grade::Pkix,
    }
}

/// Why a connection has no TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTls {
    /// EHLO was answered without STARTTLS.
    NotOffered,
    /// STARTTLS was answered with this.
    Refused(Reply),
    /// EHLO was refused, so there is no STARTTLS either.
    NoEsmtp(Reply),
}

/// What a connection lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// TLS.
    Tls(NoTls),
    /// A verified peer; why it is not.
    Verification(String),
    /// A certificate that was checked for this very host and by the right anchors.
    OtherReference,
    /// A certificate that is still valid.
    Expired,
    /// A way that may carry this level.
    Level {
        /// The highest level that may go this way.
        highest: Level,
        /// The level of the content.
        needed: Level,
    },
    /// More than the grade that was reached.
    Grade(Grade),
    /// The authentication that the route asks for.
    Authentication,
    /// A session: it is not established, or busy.
    Session,
}

impl fmt::Display for Lack {
    /// Goes on from the host's name: "mx.example *offers no STARTTLS*".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(NoTls::NotOffered) => f.write_str("offers no STARTTLS"),
            Self::Tls(NoTls::Refused(reply)) => {
                write!(
                    f,
                    "answered {} to STARTTLS ({})",
                    reply.code(),
                    reply.text()
                )
            }
            Self::Tls(NoTls::NoEsmtp(reply)) => write!(
                f,
                "answered {} to EHLO and so offers no STARTTLS",
                reply.code()
            ),
            Self::Verification(why) => write!(f, "cannot be verified: {why}"),
            Self::OtherReference => f.write_str("was verified under another name"),
            Self::Expired => f.write_str("has a certificate that expired meanwhile"),
            Self::Level { highest, needed } => write!(
                f,
                "is the next hop of a route for levels up to {highest}, and this message is {needed}"
            ),
            Self::Grade(reached) => write!(f, "reaches only the grade {reached}"),
            Self::Authentication => f.write_str("has not authenticated us"),
            Self::Session => f.write_str("has no session with us"),
        }
    }
}

/// A connection that is not enough for a demand. No MAIL was sent on it for that demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// What it reaches for the domain.
    pub reached: Grade,
    /// What was demanded.
    pub required: Grade,
    /// What is missing.
    pub lack: Lack,
}

/// The channel of an established session.
#[derive(Debug, Clone)]
pub(super) enum Channel {
    Plain(NoTls),
    Secure(HandshakeFacts),
}

impl Channel {
    pub(super) const fn handshake(&self) -> Option<&HandshakeFacts> {
        match self {
            Self::Plain(_) => None,
            Self::Secure(facts) => Some(facts),
        }
    }

    /// Whether this channel may carry what demands `demand` for `domain`, and with which grade.
    pub(super) fn check(
        &self,
        now: Timestamp,
        demand: Demand,
        domain: &DomainFacts,
    ) -> Result<Grade, Shortfall> {
        let reached = grade(now, domain, self.handshake());
        let short = |lack| {
            Err(Shortfall {
                reached,
                required: demand.least(),
                lack,
            })
        };
        if let Some(highest) = domain.max_level
            && demand.level() > highest
        {
            let needed = demand.level();
            return short(Lack::Level { highest, needed });
        }
        if demand.is_met_by(reached) {
            return Ok(reached);
        }
        short(match self {
            Self::Plain(why) => Lack::Tls(why.clone()),
            Self::Secure(facts) => match &facts.tls.verified_by {
                VerifiedBy::Nothing(why) => Lack::Verification(why.clone()),
                VerifiedBy::Pkix if facts.reference != domain.reference => Lack::OtherReference,
                VerifiedBy::Pkix if reached < Grade::Pkix => Lack::Expired,
                VerifiedBy::Pkix => Lack::Grade(reached),
            },
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::TlsVersion;

    pub(crate) fn reference(host: &str) -> Reference {
        Reference {
            host: Domain::parse(host).unwrap(),
            anchors: Anchors::Public,
        }
    }

    pub(crate) fn domain_facts(host: &str) -> DomainFacts {
        DomainFacts {
            reference: reference(host),
            max_level: None,
        }
    }

    pub(crate) fn handshake(host: &str, verified_by: VerifiedBy) -> HandshakeFacts {
        let tls = TlsFacts {
            version: TlsVersion::V1_3,
            cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
            group: "x25519".to_owned(),
            peer_sha256: "00".repeat(32),
            verified_by,
        };
        HandshakeFacts::observed(reference(host), tls, Timestamp::from_secs(1000))
    }

    const NOW: Timestamp = Timestamp::from_secs(10);

    #[test]
    fn pkix_needs_chain_name_anchors_and_time() {
        let domain = domain_facts("mx.example");
        let good = handshake("mx.example", VerifiedBy::Pkix);
        let grade_of = |facts: &HandshakeFacts| grade(NOW, &domain, Some(facts));
        assert_eq!(grade(NOW, &domain, None), Grade::None);
        assert_eq!(grade_of(&good), Grade::Pkix);
        assert_eq!(
            grade_of(&handshake("mx.example", VerifiedBy::Nothing("x".into()))),
            Grade::Any
        );
        assert_eq!(
            grade_of(&handshake("other.example", VerifiedBy::Pkix)),
            Grade::Any
        );
        let mut private = good.clone();
        private.reference.anchors = Anchors::Route(0);
        assert_eq!(grade_of(&private), Grade::Any);
        let later = Timestamp::from_secs(1001);
        assert_eq!(grade(later, &domain, Some(&good)), Grade::Any);
    }

    #[test]
    fn every_lack_has_its_name() {
        let domain = domain_facts("mx.example");
        let demand = Demand::content(Level::Protected).unwrap();
        let lack = |channel: Channel| channel.check(NOW, demand, &domain).unwrap_err().lack;
        let secure = |host, verified| Channel::Secure(handshake(host, verified));
        assert_eq!(
            lack(Channel::Plain(NoTls::NotOffered)),
            Lack::Tls(NoTls::NotOffered)
        );
        assert_eq!(
            lack(secure("mx.example", VerifiedBy::Nothing("why".into()))),
            Lack::Verification("why".into())
        );
        assert_eq!(
            lack(secure("other.example", VerifiedBy::Pkix)),
            Lack::OtherReference
        );
        let expired = secure("mx.example", VerifiedBy::Pkix)
            .check(Timestamp::from_secs(1001), demand, &domain)
            .unwrap_err();
        assert_eq!(expired.lack, Lack::Expired);
        assert_eq!(expired.reached, Grade::Any);
        let confidential = Demand::content(Level::Confidential).unwrap();
        let good = secure("mx.example", VerifiedBy::Pkix);
        let short = good.check(NOW, confidential, &domain).unwrap_err();
        assert_eq!(short.lack, Lack::Grade(Grade::Pkix));
        assert_eq!(short.required, Grade::Pinned);
        assert_eq!(good.check(NOW, demand, &domain), Ok(Grade::Pkix));
    }

    #[test]
    fn a_route_carries_no_level_above_its_own() {
        let mut domain = domain_facts("gw.example");
        domain.max_level = Some(Level::Protected);
        let channel = Channel::Secure(handshake("gw.example", VerifiedBy::Pkix));
        let demand = |level| Demand::content(level).unwrap();
        assert!(
            channel
                .check(NOW, demand(Level::Protected), &domain)
                .is_ok()
        );
        let short = channel
            .check(NOW, demand(Level::Confidential), &domain)
            .unwrap_err();
        assert!(matches!(short.lack, Lack::Level { .. }));
    }
}
