//! `prove` finds nothing in the engine as it is, and every fault that is planted in it.

use std::time::Duration;

use sealpost::mail::{
    Allowance, CertificateProblem, Demand, DomainPattern, ExceptionUse, Grade, Level, MessageClass,
    Method, PickupBy, PickupFacts, Refusal, Terms, Timestamp,
};
use sealpost::policy::judge::Ways;
use sealpost::policy::prove::RegisterState;
use sealpost::policy::source::{Exception, PolicySource};
use sealpost::policy::{CertificateFact, Judge, Standard, prove, prove_by};

use super::support::*;

/// A policy with something of everything.
fn everything() -> PolicySource {
    let mut source = all_ways();
    let mut hospital = section("hospital.example");
    hospital.pin_mx = vec!["*.mail.hospital.example".parse().unwrap()];
    hospital.raise = Some(Level::Confidential);
    let mut strict = section("*.strict.example");
    strict.tls_not_enough = true;
    strict.require_pq = true;
    source.domains = vec![hospital, strict];
    let mut research = group("research", &["ann", "bob"]);
    research.raise = Some(Level::Restricted);
    research.require_pq = true;
    source.groups = vec![research];
    source.users = vec![user("kim")];
    source.users[0].tls_not_enough = true;
    source.rules = vec![
        raising("psych", vec![to("*@ward.example")], Level::Sealed),
        holding("big", vec![to("*@press.example")]),
        rejecting("never", vec![to("*@rival.example")]),
    ];
    source.exceptions = vec![
        exception("fax@gateway.example", Allowance::Any),
        Exception {
            max_level: Level::Confidential,
            ..domain_exception("gateway.example", Allowance::None)
        },
        Exception {
            max_level: Level::Restricted,
            ..exception("old@box.example", Allowance::None)
        },
    ];
    source
}

#[test]
fn the_product_has_no_hole() {
    for source in [PolicySource::default(), all_ways(), everything()] {
        let proof = prove(&compile(source), NOW);
        assert_eq!(proof.holes, []);
        assert!(proof.count > 10_000, "{} combinations", proof.count);
    }
}

#[test]
fn every_base_has_no_hole() {
    for base in [Level::Confidential, Level::Restricted, Level::Sealed] {
        let source = PolicySource {
            base,
            exceptions: vec![exception("fax@gateway.example", Allowance::Any)],
            ..all_ways()
        };
        assert_eq!(prove(&compile(source), NOW).holes, []);
    }
}

#[test]
fn the_register_is_listed_with_its_state() {
    let mut source = all_ways();
    source.exceptions = vec![
        exception("a@x.example", Allowance::Any),
        Exception {
            expires: NOW,
            ..exception("b@x.example", Allowance::Any)
        },
        exception("c@strict.example", Allowance::Any),
    ];
    let mut strict = section("strict.example");
    strict.tls_not_enough = true;
    source.domains = vec![strict];
    let proof = prove(&compile(source), NOW);
    let states: Vec<_> = proof.exceptions.iter().map(|entry| &entry.state).collect();
    assert_eq!(*states[0], RegisterState::Active);
    assert_eq!(*states[1], RegisterState::Expired);
    assert!(
        matches!(states[2], RegisterState::Inert(_)),
        "{}",
        states[2]
    );
}

/// Plants a fault, and expects a witness that says so.
fn found(fault: &impl Judge, why: &str) {
    let proof = prove_by(&compile(everything()), fault, NOW);
    let told: Vec<String> = proof.holes.iter().map(ToString::to_string).collect();
    assert!(
        proof.holes.iter().any(|hole| hole.why.contains(why)),
        "not found: {why}; told: {told:#?}"
    );
}

/// A judge with one judgement replaced.
macro_rules! fault {
    ($name:ident, $why:expr, $($method:tt)*) => {
        #[test]
        fn $name() {
            struct Fault;
            impl Judge for Fault {
                $($method)*
            }
            found(&Fault, $why);
        }
    };
}

const LEVEL: &str = "not reached";
const OPENS: &str = "nothing that opens it";
const LEAVES: &str = "leaves below its demand";

fault! { the_minimum_for_the_maximum, LEVEL,
    fn level(&self, base: Level, asked: &[Level]) -> Level {
        asked.iter().copied().fold(base, Level::min)
    }
}
fault! { the_first_asker_wins, LEVEL,
    fn level(&self, base: Level, asked: &[Level]) -> Level {
        asked.iter().copied().find(|level| *level > base).unwrap_or(base)
    }
}
fault! { the_last_asker_wins, LEVEL,
    fn level(&self, base: Level, asked: &[Level]) -> Level {
        asked.last().copied().unwrap_or(base).max(base)
    }
}
fault! { the_base_is_forgotten, LEVEL,
    fn level(&self, _: Level, asked: &[Level]) -> Level {
        asked.iter().copied().max().unwrap_or(Level::Protected)
    }
}
fault! { sealed_counts_as_restricted, LEVEL,
    fn level(&self, base: Level, asked: &[Level]) -> Level {
        Standard.level(base, asked).min(Level::Restricted)
    }
}
fault! { an_expiry_is_ignored, LEAVES,
    fn exception_applies(&self, exception: &ExceptionUse, level: Level, _: Timestamp, suspected: bool) -> bool {
        level <= exception.max_level && !suspected
    }
}
fault! { an_exception_lasts_one_moment_longer, LEAVES,
    fn exception_applies(&self, exception: &ExceptionUse, level: Level, now: Timestamp, suspected: bool) -> bool {
        now <= exception.expires && level <= exception.max_level && !suspected
    }
}
fault! { an_exception_reaches_one_level_higher, LEAVES,
    fn exception_applies(&self, exception: &ExceptionUse, level: Level, now: Timestamp, suspected: bool) -> bool {
        let higher = ExceptionUse { max_level: Level::Restricted, ..exception.clone() };
        Standard.exception_applies(&higher, level, now, suspected)
    }
    fn demand(&self, class: MessageClass, level: Level, exception: Option<&ExceptionUse>) -> Option<Demand> {
        let higher = exception.map(|entry| ExceptionUse { max_level: Level::Restricted, ..entry.clone() });
        Standard.demand(class, level, higher.as_ref())
    }
}
fault! { an_exception_holds_under_suspicion, "where a downgrade is suspected",
    fn exception_applies(&self, exception: &ExceptionUse, level: Level, now: Timestamp, _: bool) -> bool {
        Standard.exception_applies(exception, level, now, false)
    }
    fn refuses_suspected(&self) -> bool {
        false
    }
}
fault! { an_exception_applies_again_in_the_turn_after_a_suspicion, LEAVES,
    fn exception_applies(&self, exception: &ExceptionUse, level: Level, now: Timestamp, _: bool) -> bool {
        Standard.exception_applies(exception, level, now, false)
    }
}
fault! { an_exception_that_allows_any_allows_none, LEAVES,
    fn demand(&self, class: MessageClass, level: Level, exception: Option<&ExceptionUse>) -> Option<Demand> {
        let none = exception.map(|entry| ExceptionUse { allow: Allowance::None, ..entry.clone() });
        Standard.demand(class, level, none.as_ref())
    }
}
fault! { content_goes_by_any_tls, LEAVES,
    fn demand(&self, class: MessageClass, level: Level, _: Option<&ExceptionUse>) -> Option<Demand> {
        Standard.demand(class, level, Some(&anything(level)))
    }
}
fault! { content_goes_one_level_lower, LEAVES,
    fn demand(&self, class: MessageClass, level: Level, exception: Option<&ExceptionUse>) -> Option<Demand> {
        let lower = match level {
            Level::Restricted => Level::Confidential,
            other => other,
        };
        Standard.demand(class, lower, exception)
    }
}
fault! { tls_carries_sealed, LEAVES,
    fn tls_admits(&self, _: Level) -> bool {
        true
    }
    fn demand(&self, class: MessageClass, level: Level, exception: Option<&ExceptionUse>) -> Option<Demand> {
        Standard.demand(class, level.min(Level::Restricted), exception)
    }
}
fault! { a_bounce_goes_as_content_by_exception, "table of rendition classes",
    fn demand(&self, _: MessageClass, level: Level, exception: Option<&ExceptionUse>) -> Option<Demand> {
        Standard.demand(MessageClass::Submitted, level, exception)
    }
}
fault! { tls_not_enough_is_ignored, LEAVES,
    fn tls_is_forbidden(&self, _: bool, _: bool, _: bool) -> bool {
        false
    }
}
fault! { tls_not_enough_of_an_account_is_ignored, LEAVES,
    fn tls_is_forbidden(&self, domain: bool, _: bool, _: bool) -> bool {
        domain
    }
}
fault! { an_exception_beats_tls_not_enough, LEAVES,
    fn tls_is_forbidden(&self, domain: bool, account: bool, excepted: bool) -> bool {
        (domain || account) && !excepted
    }
}
fault! { pins_are_dropped, LEAVES,
    fn terms(&self, _: &[DomainPattern], domain: bool, account: bool) -> Terms {
        Standard.terms(&[], domain, account)
    }
}
fault! { post_quantum_of_an_account_is_dropped, LEAVES,
    fn terms(&self, pins: &[DomainPattern], domain: bool, _: bool) -> Terms {
        Standard.terms(pins, domain, false)
    }
}
fault! { post_quantum_must_be_asked_twice, LEAVES,
    fn terms(&self, pins: &[DomainPattern], domain: bool, account: bool) -> Terms {
        Standard.terms(pins, domain && account, domain && account)
    }
}
fault! { a_suspected_downgrade_is_not_waited_out, "not waited out",
    fn waits_until(&self, _: Timestamp, _: Duration, _: Timestamp) -> Option<Timestamp> {
        None
    }
}
fault! { the_wait_ends_a_moment_early, "not waited out",
    fn waits_until(&self, since: Timestamp, hold: Duration, now: Timestamp) -> Option<Timestamp> {
        Standard.waits_until(since, hold.saturating_sub(Duration::from_micros(1)), now)
    }
}
fault! { the_portal_takes_a_mailbox_code_after_a_downgrade, "factors",
    fn factors(&self, level: Level, _: bool) -> Level {
        level
    }
}
fault! { the_factors_are_always_those_of_restricted, "factors",
    fn factors(&self, _: Level, _: bool) -> Level {
        Level::Restricted
    }
}
fault! { a_suspicion_raises_nothing_for_what_is_protected, "factors",
    fn factors(&self, level: Level, suspected: bool) -> Level {
        match suspected && level > Level::Protected {
            true => Standard.factors(level, suspected),
            false => level,
        }
    }
}
fault! { a_mailbox_code_opens_what_is_restricted, OPENS,
    fn pickup(&self, factors: Level, facts: PickupFacts, code_counts: bool) -> Option<PickupBy> {
        Standard.pickup(factors.min(Level::Confidential), facts, code_counts)
    }
}
fault! { a_mailbox_code_opens_what_is_sealed, OPENS,
    fn pickup(&self, factors: Level, facts: PickupFacts, code_counts: bool) -> Option<PickupBy> {
        match factors {
            Level::Sealed => Some(PickupBy::Mailbox),
            _ => Standard.pickup(factors, facts, code_counts),
        }
    }
}
fault! { a_mailbox_code_counts_without_tls, OPENS,
    fn pickup(&self, factors: Level, facts: PickupFacts, _: bool) -> Option<PickupBy> {
        Standard.pickup(factors, facts, true)
    }
}
fault! { nobody_asked_counts_as_registered, OPENS,
    fn pickup(&self, factors: Level, facts: PickupFacts, code_counts: bool) -> Option<PickupBy> {
        let registered = Some(facts.registered.unwrap_or(true));
        Standard.pickup(factors, PickupFacts { registered, ..facts }, code_counts)
    }
}
fault! { whoever_was_asked_about_counts_as_registered, OPENS,
    fn pickup(&self, factors: Level, facts: PickupFacts, code_counts: bool) -> Option<PickupBy> {
        let registered = facts.registered.map(|_| true);
        Standard.pickup(factors, PickupFacts { registered, ..facts }, code_counts)
    }
}
fault! { everybody_has_a_secret, OPENS,
    fn pickup(&self, factors: Level, facts: PickupFacts, code_counts: bool) -> Option<PickupBy> {
        Standard.pickup(factors, PickupFacts { secret: true, ..facts }, code_counts)
    }
}
fault! { everybody_has_a_number, OPENS,
    fn pickup(&self, factors: Level, facts: PickupFacts, code_counts: bool) -> Option<PickupBy> {
        Standard.pickup(factors, PickupFacts { phone: true, ..facts }, code_counts)
    }
}
fault! { the_row_of_the_level_is_asked_where_that_of_the_factors_counts, OPENS,
    fn factors(&self, level: Level, suspected: bool) -> Level {
        Standard.factors(level, suspected)
    }
    fn pickup(&self, _: Level, facts: PickupFacts, code_counts: bool) -> Option<PickupBy> {
        Standard.pickup(Level::Protected, facts, code_counts)
    }
}
fault! { a_valid_chain_is_enough_for_sealed, "no certificate",
    fn certificate_admits(&self, _: Level, certificate: CertificateFact) -> bool {
        certificate != CertificateFact::None
    }
}
fault! { a_directory_is_enough_for_sealed, "no certificate",
    fn certificate_admits(&self, level: Level, certificate: CertificateFact) -> bool {
        Standard.certificate_admits(level.min(Level::Restricted), certificate)
    }
}
fault! { no_certificate_is_taken_for_one, "no certificate",
    fn certificate_refusal(&self, _: CertificateFact, problem: Option<CertificateProblem>) -> Option<Refusal> {
        problem.map(Refusal::Certificate)
    }
    fn certificate_admits(&self, level: Level, certificate: CertificateFact) -> bool {
        Standard.certificate_admits(level, certificate.max(CertificateFact::Pinned))
    }
}
fault! { a_problem_with_a_certificate_is_ignored, "no certificate",
    fn certificate_refusal(&self, certificate: CertificateFact, _: Option<CertificateProblem>) -> Option<Refusal> {
        Standard.certificate_refusal(certificate, None)
    }
}
fault! { what_was_sealed_goes_where_there_is_no_tls, "would be taken again",
    fn is_still_short(&self, reached: Grade, then: Grade, now: Grade) -> bool {
        now > Grade::Any && Standard.is_still_short(reached, then, now)
    }
}
fault! { what_fell_short_is_taken_again, "taken again",
    fn is_still_short(&self, _: Grade, _: Grade, _: Grade) -> bool {
        false
    }
}

/// Faults that show only where a method is not configured.
#[test]
fn a_method_that_is_not_configured_is_used() {
    struct Fault;
    impl Judge for Fault {
        fn is_configured(&self, _: Method, _: Ways) -> bool {
            true
        }
    }
    let source = PolicySource {
        smime: false,
        portal: false,
        ..everything()
    };
    let proof = prove_by(&compile(source), &Fault, NOW);
    for why in ["factors", "no certificate"] {
        let told = proof.holes.iter().any(|hole| hole.why.contains(why));
        assert!(told, "{why}: {:#?}", proof.holes);
    }
}

fn anything(max_level: Level) -> ExceptionUse {
    ExceptionUse {
        recipient: String::new(),
        allow: Allowance::Any,
        max_level,
        owner: String::new(),
        reason: String::new(),
        expires: Timestamp::from_secs(0),
    }
}

#[test]
fn ten_thousand_rules_are_one_space() {
    let mut source = everything();
    let before = prove(&compile(source.clone()), NOW).count;
    for number in 0..2_000 {
        let name = format!("rule {number}");
        let when = vec![to(&format!("p{number}@many.example"))];
        source.rules.push(raising(&name, when, Level::Restricted));
    }
    let after = prove(&compile(source), NOW);
    assert_eq!(after.holes, []);
    // Each rule adds its own two checks and nothing to the space.
    assert_eq!(after.count - before, 4_000);
}
