//! A decision as it is printed: one form for `explain` and for the records, for people and for
//! machines.
//!
//! Owns the words for what would help where a method was refused. Never shows content: reasons
//! name detectors, parts and offsets.

use serde::Serialize;

use super::seconds;
use crate::mail::{
    Asker, Candidate, Course, Decision, ExceptionUse, Grade, Level, MessageClass, Method, PickupBy,
    Reason, Refusal, RenditionClass, Terms, Verdict,
};
use crate::policy::{Wanted, wanted};

/// A decision.
#[derive(Debug, Serialize)]
pub(super) struct DecisionView {
    level: Level,
    reasons: Vec<ReasonView>,
    candidates: Vec<CandidateView>,
    course: CourseView,
    /// The grade that it must find on its way; absent where it does not go by mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    demands: Option<Grade>,
    /// The level whose factors the portal would ask for.
    factors: Level,
    /// What the recipient opens it by; absent where it does not go by the portal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pickup: Option<PickupBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<ExceptionView>,
    terms: TermsView,
    alerts: Vec<String>,
    policy: String,
}

#[derive(Debug, Serialize)]
struct ReasonView {
    level: Level,
    asker: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    text: String,
}

impl From<&Reason> for ReasonView {
    fn from(reason: &Reason) -> Self {
        let mut view = Self {
            level: reason.level,
            asker: "",
            name: None,
            part: None,
            offset: None,
            why: None,
            text: reason.asker.to_string(),
        };
        let named = |name: &str| Some(name.to_owned());
        (view.asker, view.name) = match &reason.asker {
            Asker::Base => ("base", None),
            Asker::Domain(name) => ("domain", named(name)),
            Asker::Group(name) => ("group", named(name)),
            Asker::User(name) => ("user", named(name)),
            Asker::Rule(name) => ("rule", named(name)),
            Asker::Tag(text) => ("tag", named(text)),
            Asker::Field => ("field", None),
            Asker::Detector(found) => {
                (view.part, view.offset) = (Some(found.part), Some(found.offset));
                ("detector", named(&found.detector))
            }
            Asker::Unscannable(part) => {
                (view.part, view.why) = (Some(part.part), Some(part.why.as_str()));
                ("unscannable", None)
            }
            Asker::NotScanned => ("not_scanned", None),
        };
        view
    }
}

#[derive(Debug, Serialize)]
struct CandidateView {
    method: Method,
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Debug, Serialize)]
struct CourseView {
    course: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<String>,
}

impl From<&Course> for CourseView {
    fn from(course: &Course) -> Self {
        let mut view = Self {
            course: word(course),
            method: None,
            until: None,
            rules: Vec::new(),
        };
        match course {
            Course::Send(method) => view.method = Some(*method),
            Course::Wait { until } => view.until = Some(until.to_rfc3339()),
            Course::Hold(rules) => view.rules = rules.iter().map(ToString::to_string).collect(),
            Course::NoMethod => {}
        }
        view
    }
}

#[derive(Debug, Serialize)]
struct ExceptionView {
    recipient: String,
    allow: &'static str,
    max_level: Level,
    owner: String,
    reason: String,
    expires: String,
}

impl From<&ExceptionUse> for ExceptionView {
    fn from(exception: &ExceptionUse) -> Self {
        Self {
            recipient: exception.recipient.clone(),
            allow: exception.allow.as_str(),
            max_level: exception.max_level,
            owner: exception.owner.clone(),
            reason: exception.reason.clone(),
            expires: exception.expires.to_rfc3339(),
        }
    }
}

#[derive(Debug, Serialize)]
struct TermsView {
    pin_mx: Vec<String>,
    require_pq: bool,
}

impl From<&Terms> for TermsView {
    fn from(terms: &Terms) -> Self {
        Self {
            pin_mx: terms.pin_mx.iter().map(ToString::to_string).collect(),
            require_pq: terms.require_pq,
        }
    }
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        let candidate = |candidate: &Candidate| CandidateView {
            method: candidate.method,
            accepted: candidate.verdict == Verdict::Accepted,
            refusal: match &candidate.verdict {
                Verdict::Accepted => None,
                Verdict::Refused(refusal) => Some(refusal.to_string()),
            },
            help: help(decision, candidate),
        };
        Self {
            level: decision.level,
            reasons: decision.reasons.iter().map(ReasonView::from).collect(),
            candidates: decision.candidates.iter().map(candidate).collect(),
            course: CourseView::from(&decision.course),
            demands: required(decision),
            factors: decision.factors,
            pickup: decision.pickup,
            exception: decision.exception.as_ref().map(ExceptionView::from),
            terms: TermsView::from(&decision.terms),
            alerts: decision.alerts.iter().map(ToString::to_string).collect(),
            policy: decision.policy.to_string(),
        }
    }
}

/// The grade that it demands of a connection, where it goes over one. Of a bounce it is the same.
pub(super) fn required(decision: &Decision) -> Option<Grade> {
    match wanted(decision, MessageClass::Submitted) {
        Wanted::Content(demand) => Some(demand.least()),
        Wanted::Sealed => RenditionClass::Sealed.least_grade(decision.level),
        Wanted::Notice(PickupBy::Mailbox) => Some(Grade::Any),
        Wanted::Notice(PickupBy::Apart) => RenditionClass::Notice.least_grade(decision.level),
        Wanted::Nothing => None,
    }
}

/// One word for what a decision comes to.
pub(super) const fn word(course: &Course) -> &'static str {
    match course {
        Course::Send(_) => "send",
        Course::Wait { .. } => "wait",
        Course::Hold(_) => "hold",
        Course::NoMethod => "no_method",
    }
}

/// The way in a table: the method, or what it waits for.
pub(super) const fn way(course: &Course) -> &'static str {
    match course {
        Course::Send(method) => method.as_str(),
        Course::Wait { .. } => "wait",
        Course::Hold(_) => "hold",
        Course::NoMethod => "no method",
    }
}

/// What a decision comes to, as a sentence's end.
pub(super) fn comes_to(decision: &Decision) -> String {
    match &decision.course {
        Course::Send(method) => match required(decision) {
            Some(least) if *method == Method::Portal => {
                format!("goes by portal, the notice over a connection of grade {least} or better")
            }
            Some(least) => {
                format!("goes by {method}, over a connection of grade {least} or better")
            }
            None => format!("goes by {method}"),
        },
        Course::Wait { until } => format!(
            "waits until {} before another method is considered: a downgrade is suspected",
            seconds(*until)
        ),
        Course::Hold(rules) => {
            let rules: Vec<String> = rules.iter().map(|rule| format!("\"{rule}\"")).collect();
            format!("waits for a person: held by rule {}", rules.join(", "))
        }
        Course::NoMethod => "waits: no method is left (reason: security)".to_owned(),
    }
}

/// What would make a refused method usable, or an accepted one reach its demand.
fn help(decision: &Decision, candidate: &Candidate) -> Option<String> {
    let text = match (&candidate.verdict, candidate.method) {
        (Verdict::Accepted, Method::Tls) => return help_pinned(decision),
        (Verdict::Accepted, _) => return None,
        (Verdict::Refused(Refusal::LevelTooHigh), Method::Tls) => {
            "no TLS is enough for this level: it takes the recipient's certificate or the portal"
        }
        (Verdict::Refused(Refusal::LevelTooHigh), Method::Smime) => {
            "pin the recipient's certificate"
        }
        (Verdict::Refused(Refusal::LevelTooHigh), Method::Portal) => {
            "agree on a stronger factor with the recipient"
        }
        (Verdict::Refused(Refusal::NotConfigured), Method::Smime) => {
            "it takes an [smime] section in the configuration"
        }
        (Verdict::Refused(Refusal::NoFactor), _) => {
            "give a secret (X-Sealpost-Secret) or a number (X-Sealpost-Phone) with the message, or have the recipient register in the portal"
        }
        (Verdict::Refused(Refusal::NotDeposited), _) => "see the log of the portal",
        (Verdict::Refused(Refusal::NotConfigured), Method::Portal) => {
            "it takes a [portal] section in the configuration"
        }
        (Verdict::Refused(Refusal::NotConfigured), Method::Tls) => {
            "add \"tls\" to the methods of policy, or of its policy.domain"
        }
        (Verdict::Refused(Refusal::NoCertificate), _) => "add a certificate for this address",
        (Verdict::Refused(Refusal::Certificate(_)), _) => {
            "see `sealpost cert lookup` for the certificates that are known, or import another"
        }
        (Verdict::Refused(Refusal::NotSealed), _) => "the log says why it could not be sealed",
        (Verdict::Refused(Refusal::TlsNotEnough), _) => {
            "tls_not_enough of a policy.domain, policy.group or policy.user says so"
        }
        (Verdict::Refused(Refusal::Short { reached, required }), _)
            if reached.reaches(*required) =>
        {
            "pin_mx or require_pq of a policy.domain, policy.group or policy.user asks for more"
        }
        (Verdict::Refused(Refusal::Short { required, .. }), _) => return Some(lift(*required)),
        (Verdict::Refused(Refusal::DowngradeSuspected { .. }), _) => {
            "find out who stands between; it is tried again when the domain offers what it is known for"
        }
    };
    Some(text.to_owned())
}

/// TLS is a candidate for a grade that only pins reach here, and there are none.
fn help_pinned(decision: &Decision) -> Option<String> {
    let required = required(decision)?;
    (required > Grade::Pkix && decision.terms.pin_mx.is_empty()).then(|| lift(required))
}

/// What lifts a domain to a grade.
fn lift(required: Grade) -> String {
    match required {
        Grade::None | Grade::Any => "the recipient's mail server must offer TLS",
        Grade::Pkix => {
            "the recipient's mail server needs TLS 1.2 and a valid certificate for its name; for the level protected, an entry in policy.exception can allow less"
        }
        Grade::Pinned => "pin the domain's MX hosts with pin_mx of its policy.domain",
        Grade::MtaSts | Grade::Dane => {
            "the recipient's domain must offer DANE or an enforced MTA-STS policy, which this version does not look at yet"
        }
    }
    .to_owned()
}

/// A decision for people: lines of a name and a value.
pub(super) fn lines(decision: &Decision) -> Vec<(&'static str, String)> {
    let mut lines = vec![("level", decision.level.to_string())];
    for reason in &decision.reasons {
        lines.push(("  because", format!("{}: {}", reason.level, reason.asker)));
    }
    for candidate in &decision.candidates {
        let verdict = match &candidate.verdict {
            Verdict::Accepted => "accepted".to_owned(),
            Verdict::Refused(refusal) => format!("refused: {refusal}"),
        };
        lines.push(("  candidate", format!("{} {verdict}", candidate.method)));
        if let Some(help) = help(decision, candidate) {
            lines.push(("    helps", help));
        }
    }
    lines.push(("comes to", comes_to(decision)));
    if let Some(exception) = &decision.exception {
        lines.push((
            "exception",
            format!(
                "{} may travel at {} up to level {}, by {} for {}, until {}",
                exception.recipient,
                exception.allow.as_str(),
                exception.max_level,
                exception.owner,
                exception.reason,
                seconds(exception.expires)
            ),
        ));
    }
    if !decision.terms.pin_mx.is_empty() {
        let hosts: Vec<String> = decision
            .terms
            .pin_mx
            .iter()
            .map(ToString::to_string)
            .collect();
        lines.push(("MX hosts", format!("only {}", hosts.join(", "))));
    }
    if decision.terms.require_pq {
        lines.push(("key exchange", "post-quantum only".to_owned()));
    }
    if let Some(pickup) = decision.pickup {
        let by = match pickup {
            PickupBy::Mailbox => "a code to the mailbox, or more",
            PickupBy::Apart => {
                "what does not travel by the mailbox: a secret, a number, a registration"
            }
        };
        lines.push(("opened by", by.to_owned()));
    }
    if decision.factors > decision.level {
        let factors = format!(
            "those of {}, because a downgrade is suspected",
            decision.factors
        );
        lines.push(("factors", factors));
    }
    for alert in &decision.alerts {
        lines.push(("alert", format!("rule \"{alert}\"")));
    }
    lines.push(("policy", decision.policy.to_string()));
    lines
}

/// Lines of a name and a value as text.
pub(super) fn text(lines: &[(&'static str, String)]) -> String {
    let lines = lines.iter().map(|(name, value)| {
        let line = format!("{name:<14}{value}");
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Finding, Timestamp, Unreadable, Unscannable};

    fn decision(level: Level, candidates: Vec<Candidate>, course: Course) -> Decision {
        Decision::base(level, candidates, course, "abc".into())
    }

    fn refused(method: Method, refusal: Refusal) -> Candidate {
        Candidate {
            method,
            verdict: Verdict::Refused(refusal),
        }
    }

    fn shown(decision: &Decision) -> String {
        text(&lines(decision))
    }

    #[test]
    fn every_reason_and_refusal_is_said_with_what_helps() {
        let short = Refusal::Short {
            reached: Grade::Pkix,
            required: Grade::Pinned,
        };
        let candidates = vec![
            refused(Method::Tls, short),
            refused(Method::Smime, Refusal::NoCertificate),
            refused(Method::Portal, Refusal::NotConfigured),
        ];
        let mut decision = decision(Level::Confidential, candidates, Course::NoMethod);
        decision.reasons.push(Reason {
            level: Level::Confidential,
            asker: Asker::Detector(Finding {
                detector: "us-ssn".into(),
                part: 2,
                offset: 77,
            }),
        });
        decision.reasons.push(Reason {
            level: Level::Confidential,
            asker: Asker::Unscannable(Unscannable {
                part: 3,
                why: Unreadable::Encrypted,
            }),
        });
        let terms = Refusal::Short {
            reached: Grade::Pkix,
            required: Grade::Pkix,
        };
        let candidate = refused(Method::Tls, terms);
        let help = help(&decision, &candidate);
        assert!(help.is_some_and(|help| help.starts_with("pin_mx or require_pq")));
        let shown = shown(&decision);
        for wanted in [
            "detector us-ssn (part 2, offset 77)",
            "part 3 could not be read (encrypted)",
            "tls refused: the connection reached pkix, and pinned is needed",
            "pin the domain's MX hosts with pin_mx",
            "smime refused: no certificate for this address",
            "add a certificate for this address",
            "portal refused: not configured",
            "waits: no method is left",
        ] {
            assert!(shown.contains(wanted), "{wanted}\n{shown}");
        }
        let json = serde_json::to_value(DecisionView::from(&decision)).unwrap();
        assert_eq!(json["course"]["course"], "no_method");
        assert_eq!(json["reasons"][1]["asker"], "detector");
        assert_eq!(json["reasons"][1]["part"], 2);
        assert_eq!(json["reasons"][2]["why"], "encrypted");
        assert_eq!(json["candidates"][0]["accepted"], false);
        assert_eq!(json["demands"], serde_json::Value::Null);
    }

    #[test]
    fn an_exception_shows_what_it_allows_and_a_missing_pin_what_it_costs() {
        let tls = Candidate {
            method: Method::Tls,
            verdict: Verdict::Accepted,
        };
        let mut low = decision(
            Level::Protected,
            vec![tls.clone()],
            Course::Send(Method::Tls),
        );
        assert!(shown(&low).contains("grade pkix or better"));
        assert!(!shown(&low).contains("helps"));
        low.exception = Some(ExceptionUse {
            recipient: "fax@gateway.example".to_owned(),
            allow: crate::mail::Allowance::Any,
            max_level: Level::Protected,
            owner: "jo@clinic.example".to_owned(),
            reason: "patient-request".to_owned(),
            expires: Timestamp::from_secs(1_800_000_000),
        });
        assert!(
            shown(&low).contains("grade any or better"),
            "{}",
            shown(&low)
        );
        let high = decision(Level::Confidential, vec![tls], Course::Send(Method::Tls));
        assert!(shown(&high).contains("pin the domain's MX hosts"));
    }
}
