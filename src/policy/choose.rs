//! Which way a message of a known level goes: the candidates, the course, what the record says.
//!
//! Owns the order of the judgements, which themselves stand in [`super::judge`]. Invariants: the
//! filter does not depend on the order of methods; a suspected downgrade waits before anything
//! is sent; a hold comes before everything; an exception is recorded exactly where it is used.

use std::sync::Arc;
use std::time::Duration;

use super::evaluate::MAX_NAMES;
use super::facts::RecipientFacts;
use super::judge::{Judge, Ways};
use crate::mail::{
    Candidate, CertificateFact, CertificateProblem, Course, Decision, DomainPattern, ExceptionUse,
    Grade, Level, MessageClass, Method, PickupBy, PickupFacts, Reason, Refusal, RenditionClass,
    Timestamp, TlsStanding, Verdict,
};

/// What the policy says for a recipient's domain and the sender's account, rules aside.
#[derive(Debug, Clone)]
pub(super) struct Setting<'p> {
    /// Methods in the order of least friction.
    pub(super) methods: &'p [Method],
    /// What is configured.
    pub(super) ways: Ways,
    /// How long a suspected downgrade is waited out.
    pub(super) downgrade_hold: Duration,
    /// Whether the domain's sections say that TLS is not enough.
    pub(super) domain_not_enough: bool,
    /// Whether the account's do.
    pub(super) account_not_enough: bool,
    /// The only MX hosts.
    pub(super) pins: &'p [DomainPattern],
    /// Whether the domain's sections ask for a post-quantum key exchange.
    pub(super) domain_pq: bool,
    /// Whether the account's do.
    pub(super) account_pq: bool,
    /// The recipient's own entry of the register, then its domain's.
    pub(super) exceptions: [Option<&'p ExceptionUse>; 2],
    /// The policy's hash.
    pub(super) policy: &'p Arc<str>,
}

/// What is known of the recipient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'f> {
    /// Submitted, or a bounce of ours.
    pub(super) class: MessageClass,
    /// When it is decided.
    pub(super) now: Timestamp,
    /// How far TLS got.
    pub(super) tls: &'f TlsStanding,
    /// Whether a downgrade was suspected in an earlier turn. TLS at the full demand may be tried
    /// afresh then; an exception does not apply.
    pub(super) suspected: bool,
    /// Its certificate.
    pub(super) certificate: CertificateFact,
    /// Why there is none that could be used.
    pub(super) certificate_problem: Option<CertificateProblem>,
    /// It could not be sealed to it.
    pub(super) unsealable: bool,
    /// By what it could open a message in the portal.
    pub(super) pickup: PickupFacts,
    /// The portal did not take the message.
    pub(super) undepositable: bool,
    /// Holds that a person has released.
    pub(super) released: &'f [Arc<str>],
}

impl<'f> Standing<'f> {
    pub(super) fn new(class: MessageClass, recipient: &'f RecipientFacts) -> Self {
        Self {
            class,
            now: recipient.now,
            tls: &recipient.tls,
            suspected: recipient.suspected,
            certificate: recipient.certificate,
            certificate_problem: recipient.certificate_problem,
            unsealable: recipient.unsealable,
            pickup: recipient.pickup,
            undepositable: recipient.undepositable,
            released: &recipient.released,
        }
    }
}

/// What rules, tags, detectors and sections came to.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The level.
    pub(super) level: Level,
    /// Who asked for one.
    pub(super) reasons: Vec<Reason>,
    /// Rules that hold, by name.
    pub(super) holds: Vec<Arc<str>>,
    /// Rules that alert, by name.
    pub(super) alerts: Vec<Arc<str>>,
}

/// Chooses.
pub(super) fn choose<J: Judge>(
    judge: &J,
    setting: &Setting<'_>,
    standing: Standing<'_>,
    asked: Asked,
) -> Decision {
    let Asked {
        level,
        reasons,
        mut holds,
        alerts,
    } = asked;
    let suspected = standing.suspected || matches!(standing.tls, TlsStanding::Suspected { .. });
    let exception = setting.exceptions.iter().flatten().find(|exception| {
        standing.class == MessageClass::Submitted
            && judge.exception_applies(exception, level, standing.now, suspected)
    });
    let exception = exception.copied();
    let factors = judge.factors(level, suspected);
    let pickup = judge.pickup(factors, standing.pickup, code_counts(judge, standing));
    let refusal = |method| match method {
        _ if !judge.is_configured(method, setting.ways) => Some(Refusal::NotConfigured),
        Method::Tls => tls_refusal(judge, setting, standing, level, exception),
        Method::Smime => smime_refusal(judge, standing, level),
        Method::Portal => portal_refusal(standing, pickup),
    };
    let candidates: Vec<Candidate> = setting
        .methods
        .iter()
        .map(|&method| Candidate {
            method,
            verdict: refusal(method).map_or(Verdict::Accepted, Verdict::Refused),
        })
        .collect();
    holds.retain(|name| !standing.released.contains(name));
    holds.truncate(MAX_NAMES);
    let course = course(judge, setting, standing, &candidates, holds);
    let exception = match course {
        Course::Send(Method::Tls) => exception.cloned(),
        Course::Send(_) | Course::Wait { .. } | Course::Hold(_) | Course::NoMethod => None,
    };
    let pickup = pickup.filter(|_| matches!(course, Course::Send(Method::Portal)));
    Decision {
        level,
        reasons,
        candidates,
        course,
        terms: judge.terms(setting.pins, setting.domain_pq, setting.account_pq),
        factors,
        pickup,
        exception,
        alerts,
        policy: Arc::clone(setting.policy),
    }
}

fn course<J: Judge>(
    judge: &J,
    setting: &Setting<'_>,
    standing: Standing<'_>,
    candidates: &[Candidate],
    holds: Vec<Arc<str>>,
) -> Course {
    if !holds.is_empty() {
        return Course::Hold(holds);
    }
    // Whatever the methods are: a notice and its code would travel the same attacked path.
    if let TlsStanding::Suspected { since, .. } = standing.tls
        && let Some(until) = judge.waits_until(*since, setting.downgrade_hold, standing.now)
    {
        return Course::Wait { until };
    }
    candidates
        .iter()
        .find(|candidate| candidate.verdict == Verdict::Accepted)
        .map_or(Course::NoMethod, |taken| Course::Send(taken.method))
}

/// Whether a code to the recipient's mailbox would count: hosts are not known to fall short of what
/// it needs, which is the grade `any`.
fn code_counts<J: Judge>(judge: &J, standing: Standing<'_>) -> bool {
    match *standing.tls {
        TlsStanding::Untried => true,
        TlsStanding::Short { reached, required }
        | TlsStanding::Suspected {
            reached, required, ..
        } => !judge.is_still_short(reached, required, Grade::Any),
    }
}

/// What we write ourselves is never left in the portal.
fn portal_refusal(standing: Standing<'_>, pickup: Option<PickupBy>) -> Option<Refusal> {
    if !standing.class.is_submitted() {
        return Some(Refusal::LevelTooHigh);
    }
    if standing.undepositable {
        return Some(Refusal::NotDeposited);
    }
    pickup.is_none().then_some(Refusal::NoFactor)
}

/// What is sealed needs TLS too, of the grade that its class demands: where hosts have fallen short
/// of that, a certificate does not help.
fn smime_refusal<J: Judge>(judge: &J, standing: Standing<'_>, level: Level) -> Option<Refusal> {
    let Some(least) = RenditionClass::Sealed.least_grade(level) else {
        return Some(Refusal::LevelTooHigh);
    };
    if let TlsStanding::Short { reached, required }
    | TlsStanding::Suspected {
        reached, required, ..
    } = *standing.tls
        && judge.is_still_short(reached, required, least)
    {
        return Some(Refusal::Short {
            reached,
            required: least,
        });
    }
    judge
        .certificate_refusal(standing.certificate, standing.certificate_problem)
        .or_else(|| {
            let admits = judge.certificate_admits(level, standing.certificate);
            (!admits).then_some(Refusal::LevelTooHigh)
        })
        .or_else(|| standing.unsealable.then_some(Refusal::NotSealed))
}

fn tls_refusal<J: Judge>(
    judge: &J,
    setting: &Setting<'_>,
    standing: Standing<'_>,
    level: Level,
    exception: Option<&ExceptionUse>,
) -> Option<Refusal> {
    if judge.tls_is_forbidden(
        setting.domain_not_enough,
        setting.account_not_enough,
        exception.is_some(),
    ) {
        return Some(Refusal::TlsNotEnough);
    }
    let Some(demand) = judge
        .demand(standing.class, level, exception)
        .filter(|_| !standing.class.is_submitted() || judge.tls_admits(level))
    else {
        return Some(Refusal::LevelTooHigh);
    };
    match *standing.tls {
        TlsStanding::Untried => None,
        TlsStanding::Short { reached, required } => judge
            .is_still_short(reached, required, demand.least())
            .then(|| Refusal::Short {
                reached,
                required: demand.least(),
            }),
        TlsStanding::Suspected {
            reached, expected, ..
        } => judge
            .refuses_suspected()
            .then_some(Refusal::DowngradeSuspected { reached, expected }),
    }
}
