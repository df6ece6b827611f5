//! What a connection gives for a domain, and why that is not enough.
//!
//! Owns `grade(domain facts, handshake facts)`: a pure function, evaluated before each MAIL.
//! Handshake facts belong to the connection and are made only by the code that saw the
//! handshake end; domain facts belong to one delivery.

use std::fmt;

use super::reply::Reply;
use crate::mail::{
    Demand, Domain, Grade, Level, RenditionClass, Terms, Timestamp, TlsFacts, VerifiedBy,
};

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
    /// Whether the operator has pinned this host for the domain.
    pub pinned: bool,
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
        VerifiedBy::Pkix if domain.pinned => Grade::Pinned,
        VerifiedBy::Pkix => Grade::Pkix,
    }
}

/// Whether the terms of a decision bind what goes out as `class`: they are said of a sender's
/// message, sealed or not, and not of mail of our own.
pub const fn binds(class: RenditionClass) -> bool {
    match class {
        RenditionClass::Content | RenditionClass::Sealed => true,
        RenditionClass::Notice
        | RenditionClass::Code
        | RenditionClass::Dsn
        | RenditionClass::Report => false,
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
    /// A place among the hosts that the operator has pinned for the domain.
    NotPinned,
    /// A key exchange that withstands a quantum computer; the group that was agreed on, `None`
    /// where there is no TLS.
    KeyExchange(Option<String>),
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
            Self::NotPinned => {
                f.write_str("is none of the hosts that the policy pins for this domain")
            }
            Self::KeyExchange(Some(group)) => write!(
                f,
                "agreed on the key exchange {group}, which is not post-quantum"
            ),
            Self::KeyExchange(None) => {
                f.write_str("has no TLS and so no post-quantum key exchange")
            }
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

    /// Whether this channel may carry what demands `demand` under `terms` for `domain`, and with
    /// which grade.
    pub(super) fn check(
        &self,
        now: Timestamp,
        demand: Demand,
        terms: &Terms,
        domain: &DomainFacts,
    ) -> Result<Grade, Shortfall> {
        let reached = grade(now, domain, self.handshake());
        let lack = level_lack(demand, domain)
            .or_else(|| pin_lack(demand, terms, domain))
            .or_else(|| (!demand.is_met_by(reached)).then(|| self.grade_lack(reached, domain)))
            .or_else(|| self.dialog_lack())
            .or_else(|| self.key_exchange_lack(demand, terms));
        match lack {
            None => Ok(reached),
            Some(lack) => Err(Shortfall {
                reached,
                required: demand.least(),
                lack,
            }),
        }
    }

    /// What stands between the grade that was reached and a higher one.
    fn grade_lack(&self, reached: Grade, domain: &DomainFacts) -> Lack {
        match self {
            Self::Plain(why) => Lack::Tls(why.clone()),
            Self::Secure(facts) => match &facts.tls.verified_by {
                VerifiedBy::Nothing(why) => Lack::Verification(why.clone()),
                VerifiedBy::Pkix if facts.reference != domain.reference => Lack::OtherReference,
                VerifiedBy::Pkix if reached < Grade::Pkix => Lack::Expired,
                VerifiedBy::Pkix => Lack::Grade(reached),
            },
        }
    }

    /// A server that refused EHLO has said nothing that a transaction could rest on, however
    /// little is demanded; HELO is not spoken.
    fn dialog_lack(&self) -> Option<Lack> {
        match self {
            Self::Plain(why @ NoTls::NoEsmtp(_)) => Some(Lack::Tls(why.clone())),
            Self::Plain(NoTls::NotOffered | NoTls::Refused(_)) | Self::Secure(_) => None,
        }
    }

    fn key_exchange_lack(&self, demand: Demand, terms: &Terms) -> Option<Lack> {
        if !(terms.require_pq && binds(demand.class())) {
            return None;
        }
        match self.handshake() {
            None => Some(Lack::KeyExchange(None)),
            Some(facts) if facts.tls.is_post_quantum() => None,
            Some(facts) => Some(Lack::KeyExchange(Some(facts.tls.group.clone()))),
        }
    }
}

/// What lies beyond a route is not seen: it carries no content above its own level. What is
/// sealed is not read there either.
fn level_lack(demand: Demand, domain: &DomainFacts) -> Option<Lack> {
    let highest = domain.max_level?;
    if demand.class() == RenditionClass::Sealed {
        return None;
    }
    let needed = demand.level();
    (needed > highest).then_some(Lack::Level { highest, needed })
}

/// Where the operator names the only hosts for a domain, no other one may be used: neither one
/// that a forged MX record names, nor the next hop of a route.
fn pin_lack(demand: Demand, terms: &Terms, domain: &DomainFacts) -> Option<Lack> {
    let named = || terms.names(&domain.reference.host);
    let bound = binds(demand.class()) && !terms.pin_mx.is_empty();
    (bound && !named()).then_some(Lack::NotPinned)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::tls::POST_QUANTUM_GROUPS;
    use crate::mail::{Allowance, ExceptionUse, Rendition, TlsVersion};
    use std::sync::Arc;

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
            pinned: false,
        }
    }

    fn free() -> Terms {
        Terms::default()
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
        let lack = |channel: Channel| {
            channel
                .check(NOW, demand, &free(), &domain)
                .unwrap_err()
                .lack
        };
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
            .check(Timestamp::from_secs(1001), demand, &free(), &domain)
            .unwrap_err();
        assert_eq!(expired.lack, Lack::Expired);
        assert_eq!(expired.reached, Grade::Any);
        let confidential = Demand::content(Level::Confidential).unwrap();
        let good = secure("mx.example", VerifiedBy::Pkix);
        let short = good.check(NOW, confidential, &free(), &domain).unwrap_err();
        assert_eq!(short.lack, Lack::Grade(Grade::Pkix));
        assert_eq!(short.required, Grade::Pinned);
        assert_eq!(good.check(NOW, demand, &free(), &domain), Ok(Grade::Pkix));
    }

    #[test]
    fn a_route_carries_no_level_above_its_own() {
        let mut domain = domain_facts("gw.example");
        domain.max_level = Some(Level::Protected);
        let channel = Channel::Secure(handshake("gw.example", VerifiedBy::Pkix));
        let demand = |level| Demand::content(level).unwrap();
        assert!(
            channel
                .check(NOW, demand(Level::Protected), &free(), &domain)
                .is_ok()
        );
        let short = channel
            .check(NOW, demand(Level::Confidential), &free(), &domain)
            .unwrap_err();
        assert!(matches!(short.lack, Lack::Level { .. }));
    }

    fn exception(allow: Allowance) -> ExceptionUse {
        ExceptionUse {
            recipient: "fax@gateway.example".into(),
            allow,
            max_level: Level::Protected,
            owner: "jo@clinic.example".into(),
            reason: "patient-request".into(),
            expires: Timestamp::from_secs(2000),
        }
    }

    #[test]
    fn an_exception_allows_what_it_says_and_no_more() {
        let domain = domain_facts("mx.example");
        let plain = |why| Channel::Plain(why);
        let refused = || NoTls::Refused(Reply::new(454, "later"));
        let unverified = Channel::Secure(handshake("mx.example", VerifiedBy::Nothing("x".into())));
        let check = |channel: &Channel, allow| {
            let demand = Demand::excepted(Level::Protected, &exception(allow)).unwrap();
            channel.check(NOW, demand, &free(), &domain)
        };
        assert_eq!(check(&unverified, Allowance::Any), Ok(Grade::Any));
        assert_eq!(check(&unverified, Allowance::None), Ok(Grade::Any));
        for why in [NoTls::NotOffered, refused()] {
            assert_eq!(check(&plain(why.clone()), Allowance::None), Ok(Grade::None));
            let short = check(&plain(why.clone()), Allowance::Any).unwrap_err();
            assert_eq!(short.lack, Lack::Tls(why));
        }
        let mute = plain(NoTls::NoEsmtp(Reply::new(502, "what")));
        assert!(check(&mute, Allowance::None).is_err(), "HELO is not spoken");
        let above = Demand::excepted(Level::Confidential, &exception(Allowance::None));
        assert_eq!(above, None);
    }

    #[test]
    fn pins_bind_content_and_lift_its_grade() {
        let pins = |pattern: &str| Terms {
            pin_mx: vec!["other.example".parse().unwrap(), pattern.parse().unwrap()],
            require_pq: false,
        };
        let demand = |level| Demand::content(level).unwrap();
        let good = Channel::Secure(handshake("mx.b.example", VerifiedBy::Pkix));
        let mut domain = domain_facts("mx.b.example");
        domain.pinned = true;
        let named = pins("*.b.example");
        let confidential = demand(Level::Confidential);
        assert_eq!(
            good.check(NOW, confidential, &named, &domain),
            Ok(Grade::Pinned)
        );
        assert!(
            good.check(NOW, demand(Level::Restricted), &named, &domain)
                .is_err()
        );
        // A pin makes nobody of an unverified peer.
        let nobody = Channel::Secure(handshake("mx.b.example", VerifiedBy::Nothing("x".into())));
        let short = nobody.check(NOW, confidential, &named, &domain);
        assert_eq!(short.unwrap_err().reached, Grade::Any);
        domain.pinned = false;
        let elsewhere = pins("*.c.example");
        for demand in [
            demand(Level::Protected),
            Demand::excepted(Level::Protected, &exception(Allowance::None)).unwrap(),
        ] {
            let short = good.check(NOW, demand, &elsewhere, &domain).unwrap_err();
            assert_eq!(short.lack, Lack::NotPinned);
        }
        assert_eq!(
            good.check(NOW, Demand::dsn(), &elsewhere, &domain),
            Ok(Grade::Pkix)
        );
    }

    #[test]
    fn what_is_sealed_needs_any_tls_and_its_terms_whatever_its_level() {
        let sealed = |terms: &Terms| {
            let recipe = Arc::new(crate::mail::sealed::sample());
            Rendition::sealed(Level::Sealed, terms.clone(), recipe).demand()
        };
        let mut domain = domain_facts("mx.b.example");
        let unverified = VerifiedBy::Nothing("self-signed".into());
        let any = Channel::Secure(handshake("mx.b.example", unverified));
        let check = |channel: &Channel, terms: &Terms, domain: &DomainFacts| {
            channel.check(NOW, sealed(terms), terms, domain)
        };
        assert_eq!(check(&any, &free(), &domain), Ok(Grade::Any));
        for why in [NoTls::NotOffered, NoTls::Refused(Reply::new(454, "later"))] {
            let short = check(&Channel::Plain(why.clone()), &free(), &domain).unwrap_err();
            assert_eq!(short.lack, Lack::Tls(why));
            assert_eq!(short.required, Grade::Any);
        }
        // A route may not carry content of its level; what is sealed is no content to it.
        domain.max_level = Some(Level::Protected);
        assert_eq!(check(&any, &free(), &domain), Ok(Grade::Any));
        let pinned = Terms {
            pin_mx: vec!["*.c.example".parse().unwrap()],
            require_pq: false,
        };
        let short = check(&any, &pinned, &domain).unwrap_err();
        assert_eq!(short.lack, Lack::NotPinned);
        let quantum = Terms {
            pin_mx: vec![],
            require_pq: true,
        };
        let short = check(&any, &quantum, &domain).unwrap_err();
        assert!(matches!(short.lack, Lack::KeyExchange(_)));
    }

    #[test]
    fn a_quantum_computer_is_kept_out_by_the_group_and_nothing_else() {
        let domain = domain_facts("mx.example");
        let terms = Terms {
            pin_mx: vec![],
            require_pq: true,
        };
        let demand = Demand::content(Level::Protected).unwrap();
        let check = |group: &str| {
            let mut facts = handshake("mx.example", VerifiedBy::Pkix);
            facts.tls.group = group.to_owned();
            Channel::Secure(facts).check(NOW, demand, &terms, &domain)
        };
        for group in POST_QUANTUM_GROUPS {
            assert_eq!(check(group), Ok(Grade::Pkix), "{group}");
        }
        for group in ["x25519", "secp256r1", "secp384r1", "ffdhe2048", "", "KEM"] {
            let lack = check(group).unwrap_err().lack;
            assert_eq!(lack, Lack::KeyExchange(Some(group.to_owned())));
        }
        let classic = Channel::Secure(handshake("mx.example", VerifiedBy::Pkix));
        assert!(classic.check(NOW, Demand::dsn(), &terms, &domain).is_ok());
        let excepted = Demand::excepted(Level::Protected, &exception(Allowance::None)).unwrap();
        let plain = Channel::Plain(NoTls::NotOffered);
        let short = plain.check(NOW, excepted, &terms, &domain).unwrap_err();
        assert_eq!(short.lack, Lack::KeyExchange(None));
    }
}
