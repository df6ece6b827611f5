//! Deciding again: connections that fell short, suspected downgrades, holds by rules, policies
//! that changed. The policy is the real one.

use super::*;
use crate::mail::{Allowance, Hop, PickupFacts, ShortHost, TlsStanding};
use crate::policy::source::{Exception, ExceptionScope};
use crate::policy::{HeaderFacts, MessageFacts, Policy, PolicySource, RecipientFacts};

fn id() -> MessageId {
    MessageId::new(1)
}

fn shortfall(recipient: u32, reached: Grade, expected: Option<Grade>) -> RecipientOutcome {
    let hop = Hop {
        next_hop: "x.example".parse().unwrap(),
        mx: "mx.x.example".parse().unwrap(),
        address: None,
        grade: reached,
        tls: None,
    };
    came_to(
        recipient,
        Outcome::Shortfall {
            required: Grade::Pkix,
            expected,
            hosts: vec![ShortHost {
                hop,
                why: "as the test says".to_owned(),
            }],
            status: status(4),
        },
    )
}

fn attempted(bench: &mut Bench, span: Duration, outcome: RecipientOutcome) -> Vec<Output> {
    let outcomes = vec![outcome];
    bench.tell(span, Input::Attempted { id: id(), outcomes })
}

/// One recipient's plan with this course and these candidates.
fn planned(course: Course, refused: Option<Refusal>, rendition: Option<u32>) -> Input {
    let mut plan = Prepared::clone(&prepared(1, &[]));
    let mut decision = Decision::clone(&plan.plans[0].decision);
    decision.course = course;
    if let Some(refusal) = refused {
        decision.candidates[0].verdict = Verdict::Refused(refusal);
    }
    plan.plans[0].decision = Arc::new(decision);
    plan.plans[0].rendition = rendition;
    Input::Prepared {
        id: id(),
        prepared: Arc::new(plan),
    }
}

fn short() -> Refusal {
    Refusal::Short {
        reached: Grade::Any,
        required: Grade::Pkix,
    }
}

#[test]
fn a_shortfall_is_decided_again_at_once_and_waits_with_its_hosts_if_nothing_is_left() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let outcome = shortfall(0, Grade::Any, None);
    let asked = preparation(attempted(&mut bench, MINUTE, outcome.clone()));
    assert_eq!(
        asked.recipients,
        [ToDecide {
            recipient: 0,
            tls: TlsStanding::Short {
                reached: Grade::Any,
                required: Grade::Pkix
            },
            suspected_since: None,
            unsealable: false,
            undepositable: false,
            released: Vec::new(),
        }]
    );
    assert_eq!(bench.state(1), ["queued"]);
    assert_eq!(bench.queue.summary().attempts, 0, "its slot is free");
    let input = planned(Course::NoMethod, Some(short()), None);
    let waits = settlement(bench.tell(MINUTE, input));
    let change = &waits.changes[0];
    assert_eq!(change.cause, Cause::Attempted(outcome));
    assert_eq!((change.record.attempts, change.suspected), (1, false));
    assert_eq!(change.record.last, Some(status(4)));
    assert!(matches!(
        change.record.state,
        RecipientState::Deferred {
            reason: DeferReason::Security,
            ..
        }
    ));
    bench.settled(MINUTE, 1);
    // When it is due, TLS is tried afresh.
    let due = next_attempt(&waits).since(START);
    let asked = preparation(bench.tick(due));
    assert_eq!(asked.recipients[0].tls, TlsStanding::Untried);
    let input = planned(Course::Send(Method::Tls), None, Some(0));
    assert_eq!(attempts(bench.tell(due, input))[0].attempt, 2);
}

#[test]
fn what_the_portal_does_not_take_goes_by_another_method_or_ends() {
    let refused = || came_to(0, Outcome::NotDeposited(status(5)));
    let notice = || planned(Course::Send(Method::Portal), None, Some(0));
    let begun = || {
        let mut bench = Bench::new();
        bench.accept(envelope(1, &["a@x.example"]));
        assert_eq!(attempts(bench.tell(Duration::ZERO, notice())).len(), 1);
        let asked = preparation(attempted(&mut bench, MINUTE, refused()));
        assert!(asked.recipients[0].undepositable && !asked.recipients[0].unsealable);
        bench
    };
    let mut bench = begun();
    let other = Some(Refusal::NotDeposited);
    let smime = planned(Course::Send(Method::Smime), other, Some(0));
    assert_eq!(attempts(bench.tell(MINUTE, smime)).len(), 1);

    let mut bench = begun();
    let none = planned(Course::NoMethod, Some(Refusal::NotDeposited), None);
    let end = settlement(bench.tell(MINUTE, none));
    let bounced = came_to(0, Outcome::Bounced(status(5)));
    assert_eq!(end.changes[0].cause, Cause::Attempted(bounced));
    let state = &end.changes[0].record.state;
    assert_eq!(*state, RecipientState::Final(Final::Bounced));

    // It is not decided for that a second time.
    let mut bench = begun();
    bench.tell(MINUTE, notice());
    let end = settlement(attempted(&mut bench, MINUTE, refused()));
    let state = &end.changes[0].record.state;
    assert_eq!(*state, RecipientState::Final(Final::Bounced));
}

#[test]
fn a_notice_that_was_taken_is_a_deposit_and_a_plain_delivery_is_none() {
    for (method, expected) in [
        (Method::Portal, Final::Deposited),
        (Method::Smime, Final::Delivered),
    ] {
        let mut bench = Bench::new();
        bench.accept(envelope(1, &["a@x.example"]));
        bench.tell(Duration::ZERO, planned(Course::Send(method), None, Some(0)));
        let end = bench.attempted(MINUTE, 1, vec![delivered(0)]);
        let state = &end.changes[0].record.state;
        assert_eq!(*state, RecipientState::Final(expected));
    }
}

#[test]
fn a_code_is_tried_often_and_ends_in_silence_with_its_life() {
    let code = Envelope {
        class: MessageClass::Code,
        reverse_path: ReversePath::Null,
        ..envelope(1, &["a@x.example"])
    };
    let mut bench = Bench::new();
    bench.ready(code);
    let first = bench.attempted(Duration::ZERO, 1, vec![deferred(0)]);
    let wait = next_attempt(&first).since(START);
    let soon = Duration::from_secs(10)..=Duration::from_secs(12);
    assert!(soon.contains(&wait), "{wait:?}");
    assert_eq!(first.expires, START + crate::mail::envelope::CODE_LIFE);
    assert!(bench.settled(Duration::ZERO, 1).is_empty());
    let life = crate::mail::envelope::CODE_LIFE;
    let end = settlement(bench.tick(life));
    let state = &end.changes[0].record.state;
    assert_eq!(*state, RecipientState::Final(Final::Expired));
    assert!(end.done);
}

#[test]
fn what_is_too_large_when_sealed_goes_by_another_method_or_ends() {
    let too_large = || came_to(0, Outcome::TooLarge(status(5)));
    let seal = || planned(Course::Send(Method::Smime), None, Some(0));
    let begun = || {
        let mut bench = Bench::new();
        bench.accept(envelope(1, &["a@x.example"]));
        assert_eq!(attempts(bench.tell(Duration::ZERO, seal())).len(), 1);
        let asked = preparation(attempted(&mut bench, MINUTE, too_large()));
        assert!(asked.recipients[0].unsealable);
        bench
    };
    let mut bench = begun();
    let tls = planned(Course::Send(Method::Tls), Some(Refusal::NotSealed), Some(0));
    assert_eq!(attempts(bench.tell(MINUTE, tls))[0].attempt, 1);

    let mut bench = begun();
    let none = planned(Course::NoMethod, Some(Refusal::NotSealed), None);
    let end = settlement(bench.tell(MINUTE, none));
    let bounced = came_to(0, Outcome::Bounced(status(5)));
    assert_eq!(end.changes[0].cause, Cause::Attempted(bounced.clone()));
    assert_eq!(end.changes[0].record.attempts, 1);
    let state = &end.changes[0].record.state;
    assert_eq!(*state, RecipientState::Final(Final::Bounced));

    // It is not decided for that a second time.
    let mut bench = begun();
    bench.tell(MINUTE, seal());
    let end = settlement(attempted(&mut bench, MINUTE, too_large()));
    assert_eq!(end.changes[0].cause, Cause::Attempted(bounced));
}

#[test]
fn another_method_goes_on_at_once_and_is_not_stuck_to() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    preparation(attempted(
        &mut bench,
        MINUTE,
        shortfall(0, Grade::None, None),
    ));
    let portal = || planned(Course::Send(Method::Portal), Some(short()), Some(0));
    let work = attempts(bench.tell(MINUTE, portal()));
    assert_eq!((work.len(), work[0].attempt), (1, 2));
    let waits = bench.attempted(MINUTE, 1, vec![deferred(0)]);
    assert_eq!(waits.changes[0].record.attempts, 2);
    bench.settled(MINUTE, 1);
    // The portal was the way of that turn only.
    let due = next_attempt(&waits).since(START);
    let asked = preparation(bench.tick(due));
    assert_eq!(asked.recipients[0].tls, TlsStanding::Untried);
}

#[test]
fn the_same_method_falling_short_twice_in_a_turn_has_to_wait() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let outcome = shortfall(0, Grade::Any, None);
    preparation(attempted(&mut bench, MINUTE, outcome.clone()));
    // A policy that does not learn.
    let again = planned(Course::Send(Method::Tls), None, Some(0));
    assert_eq!(attempts(bench.tell(MINUTE, again)).len(), 1);
    let waits = settlement(attempted(&mut bench, MINUTE, outcome));
    assert!(next_attempt(&waits) >= at(MINUTE * 2));
    assert_eq!(waits.changes[0].record.attempts, 2);
}

#[test]
fn a_shortfall_after_the_time_is_up_or_while_draining_is_recorded() {
    let expiry = Retry::default().expire_after;
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let outcome = shortfall(0, Grade::Any, None);
    let last = settlement(attempted(&mut bench, expiry + MINUTE, outcome.clone()));
    assert!(last.done);
    let expired = Cause::Expired {
        reason: Some(DeferReason::Security),
        outcome: Some(outcome.clone()),
    };
    assert_eq!(last.changes[0].cause, expired);

    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    bench.tell(MINUTE, Input::Drain);
    let waits = settlement(attempted(&mut bench, MINUTE, outcome));
    assert_eq!(waits.changes[0].record.state.as_str(), "deferred");
    bench.settled(MINUTE, 1);
    assert!(bench.queue.is_quiet());
}

#[test]
fn our_own_bounce_has_no_other_method() {
    let mut bench = Bench::new();
    bench.ready(dsn(1));
    let outcome = shortfall(0, Grade::Any, Some(Grade::Dane));
    let waits = settlement(attempted(&mut bench, MINUTE, outcome));
    let change = &waits.changes[0];
    assert!(!change.suspected && change.record.suspected_since.is_none());
    assert!(matches!(
        change.record.state,
        RecipientState::Deferred {
            reason: DeferReason::Security,
            ..
        }
    ));
}

#[test]
fn who_needs_a_decision_while_others_are_decided_is_next() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example", "b@y.example", "c@z.example"]));
    let asked = preparation(attempted(
        &mut bench,
        MINUTE,
        shortfall(0, Grade::Any, None),
    ));
    assert_eq!(asked.recipients.len(), 1);
    for recipient in [1, 2] {
        let outcome = shortfall(recipient, Grade::None, None);
        assert!(attempted(&mut bench, MINUTE, outcome).is_empty());
    }
    let outputs = bench.tell(
        MINUTE,
        Input::Prepared {
            id: id(),
            prepared: prepared(3, &[0]),
        },
    );
    let [Output::Settle(waits), Output::Prepare(next)] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(waits.changes.len(), 1, "the others are not touched");
    let whom: Vec<u32> = next.recipients.iter().map(|r| r.recipient).collect();
    assert_eq!(whom, [1, 2], "together");
}

#[test]
fn a_policy_that_changed_is_asked_again_without_an_attempt_and_not_for_ever() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let replan = came_to(0, Outcome::Replan);
    for _ in 0..8 {
        let asked = preparation(attempted(&mut bench, MINUTE, replan.clone()));
        assert_eq!(asked.recipients[0].tls, TlsStanding::Untried);
        let input = planned(Course::Send(Method::Tls), None, Some(0));
        assert_eq!(attempts(bench.tell(MINUTE, input))[0].attempt, 1);
    }
    let waits = settlement(attempted(&mut bench, MINUTE, replan));
    assert!(matches!(
        waits.changes[0].record.state,
        RecipientState::Deferred {
            reason: DeferReason::Local,
            ..
        }
    ));
}

#[test]
fn a_rule_s_hold_is_durable_and_expires_like_anything_else() {
    let mut bench = Bench::new();
    bench.accept(envelope(1, &["a@x.example"]));
    let rules: Vec<Arc<str>> = vec!["look-alike".into(), "volume".into()];
    let hold = planned(Course::Hold(rules.clone()), None, None);
    let held = settlement(bench.tell(Duration::ZERO, hold));
    let change = &held.changes[0];
    assert_eq!(change.cause, Cause::Rules(rules));
    assert_eq!(change.record.attempts, 0);
    let name = "look-alike, volume".to_owned();
    assert_eq!(change.record.state, RecipientState::Held { name });
    bench.settled(Duration::ZERO, 1);
    assert_eq!(
        (bench.state(1), bench.queue.summary().held),
        (vec!["held".to_owned()], 1)
    );
    let warned = settlement(bench.tick(HOUR * 5));
    assert_eq!(warned.changes[0].cause, Cause::DelayWarning);
    bench.settled(HOUR * 5, 1);
    let last = settlement(bench.tick(Retry::default().expire_after));
    assert!(last.done);
    let state = &last.changes[0].record.state;
    assert_eq!(*state, RecipientState::Final(Final::Expired));
}

fn message_facts() -> MessageFacts {
    let envelope = envelope(1, &["a@x.example"]);
    MessageFacts {
        class: envelope.class,
        sender: envelope.reverse_path,
        author: envelope.author,
        user: None,
        listener: None,
        client: None,
        received: START,
        size: envelope.size,
        tags: Vec::new(),
        header: HeaderFacts::default(),
        parts: None,
        findings: None,
    }
}

/// Answers as the line does, by the policy.
fn decide(bench: &mut Bench, span: Duration, policy: &Policy, asked: &Preparation) -> Vec<Output> {
    let facts = RecipientFacts {
        tls: asked.recipients[0].tls.clone(),
        suspected: asked.recipients[0].suspected_since.is_some(),
        // What opens it does not travel by the mailbox.
        pickup: PickupFacts {
            secret: true,
            ..PickupFacts::default()
        },
        ..RecipientFacts::new("a@x.example".parse().unwrap(), at(span))
    };
    let decision = Decision::clone(&policy.decide(&message_facts(), &[facts])[0]);
    let rendition = decision.method().map(|_| 0);
    let mut plan = Prepared::clone(&prepared(1, &[]));
    plan.plans[0].rendition = rendition;
    plan.plans[0].decision = Arc::new(decision);
    let prepared = Arc::new(plan);
    bench.tell(span, Input::Prepared { id: id(), prepared })
}

fn policy() -> Policy {
    let source = PolicySource {
        methods: vec![Method::Tls, Method::Portal],
        portal: true,
        ..PolicySource::default()
    };
    Policy::compile(source).unwrap()
}

/// The seam for the transport's memory of what a domain could do, with a fact that is made up.
#[test]
fn a_suspected_downgrade_waits_first_and_needs_stricter_factors_after() {
    let policy = policy();
    let mut bench = Bench::new();
    let asked = preparation(bench.accept(envelope(1, &["a@x.example"])));
    let mut outputs = decide(&mut bench, Duration::ZERO, &policy, &asked);
    let mut now = Duration::ZERO;
    let (mut suspicions, mut rounds) = (0, 0);
    let suspect = || shortfall(0, Grade::None, Some(Grade::Dane));
    let hold = policy.source().downgrade_hold;
    let mut last_record = None;
    let portal = loop {
        let work = attempts(outputs);
        let plan = work[0].prepared.plan(0).unwrap();
        if plan.decision.method() == Some(Method::Portal) {
            break Arc::clone(&plan.decision);
        }
        let asked = preparation(attempted(&mut bench, now, suspect()));
        let TlsStanding::Suspected { since, .. } = asked.recipients[0].tls else {
            panic!("{asked:?}");
        };
        assert_eq!(since, START, "since it was first seen");
        outputs = decide(&mut bench, now, &policy, &asked);
        if let [Output::Attempt(_)] = &outputs[..] {
            continue;
        }
        let waits = settlement(outputs);
        let change = &waits.changes[0];
        assert!(matches!(
            change.record.state,
            RecipientState::Deferred {
                reason: DeferReason::DowngradeSuspected,
                ..
            }
        ));
        assert_eq!(change.cause, Cause::Attempted(suspect()));
        suspicions += u32::from(change.suspected);
        rounds += 1;
        last_record = Some(change.record.clone());
        let due = next_attempt(&waits);
        assert!(due <= START + hold, "no later than the hold's end");
        bench.settled(now, 1);
        now = due.since(START);
        let mut first: Vec<Output> = bench.tick(now);
        // The sender may be told of the delay just then.
        if let [Output::Settle(_)] = &first[..] {
            first = bench.settled(now, 1);
        }
        let asked = first.into_iter().find_map(|output| match output {
            Output::Prepare(preparation) => Some(preparation),
            _ => None,
        });
        let asked = asked.unwrap();
        assert_eq!(asked.recipients[0].tls, TlsStanding::Untried, "afresh");
        assert!(
            asked.recipients[0].suspected_since.is_some(),
            "and not forgotten"
        );
        outputs = decide(&mut bench, now, &policy, &asked);
    };
    assert!(now >= hold && rounds > 3, "{now:?} {rounds}");
    assert_eq!(suspicions, 1, "told once");
    assert!(portal.factors >= Level::Restricted && portal.level == Level::Protected);

    // A restart goes on with the same suspicion.
    let mut bench = Bench::new();
    let mut record = last_record.unwrap();
    assert_eq!(record.suspected_since, Some(START));
    record.state = RecipientState::Queued;
    let input = Input::Recovered {
        envelope: Arc::new(envelope(1, &["a@x.example"])),
        prepared: Some(prepared(1, &[])),
        recipients: vec![record],
    };
    assert_eq!(attempts(bench.tell(HOUR, input)).len(), 1);
    // What was known of the domain is forgotten by now: that makes nothing weaker good enough.
    let asked = preparation(attempted(&mut bench, HOUR, shortfall(0, Grade::Any, None)));
    assert!(matches!(
        asked.recipients[0].tls,
        TlsStanding::Suspected {
            since: START,
            expected: Grade::Pkix,
            ..
        }
    ));
}

fn excepted_policy() -> Policy {
    let exception = Exception {
        recipient: ExceptionScope::Address("a@x.example".parse().unwrap()),
        allow: Allowance::Any,
        max_level: Level::Protected,
        owner: "jo@clinic.example".to_owned(),
        second_owner: None,
        reason: "patient-request".to_owned(),
        warning: None,
        expires: START + HOUR * 24 * 30,
    };
    let source = PolicySource {
        exceptions: vec![exception],
        ..PolicySource::default()
    };
    Policy::compile(source).unwrap()
}

fn exception_used(work: &Attempt) -> bool {
    work.prepared.plan(0).unwrap().decision.exception.is_some()
}

#[test]
fn an_exception_stays_suspended_while_a_downgrade_is_suspected_however_long() {
    let policy = excepted_policy();
    let mut bench = Bench::new();
    let asked = preparation(bench.accept(envelope(1, &["a@x.example"])));
    let work = attempts(decide(&mut bench, Duration::ZERO, &policy, &asked));
    assert!(exception_used(&work[0]));
    let suspect = || shortfall(0, Grade::None, Some(Grade::Dane));
    let mut now = Duration::ZERO;
    for round in 0..4 {
        let asked = preparation(attempted(&mut bench, now, suspect()));
        assert!(asked.recipients[0].suspected_since.is_some());
        let waits = settlement(decide(&mut bench, now, &policy, &asked));
        bench.settled(now, 1);
        now = next_attempt(&waits).since(START);
        let asked = preparation(bench.tick(now));
        // A turn of its own: verified TLS may be asked for again, and nothing less.
        let work = attempts(decide(&mut bench, now, &policy, &asked));
        assert!(!exception_used(&work[0]), "round {round}");
        assert_eq!(
            work[0].prepared.plan(0).unwrap().decision.method(),
            Some(Method::Tls)
        );
    }
}

#[test]
fn what_an_exception_made_is_not_sent_once_a_downgrade_is_suspected() {
    // Suspected while the daemon drained: nothing was decided again then.
    let policy = excepted_policy();
    let mut bench = Bench::new();
    let asked = preparation(bench.accept(envelope(1, &["a@x.example"])));
    let work = attempts(decide(&mut bench, Duration::ZERO, &policy, &asked));
    let excepted = Arc::clone(&work[0].prepared);
    bench.tell(MINUTE, Input::Drain);
    let suspect = shortfall(0, Grade::None, Some(Grade::Dane));
    let waits = settlement(attempted(&mut bench, MINUTE, suspect));
    let record = waits.changes[0].record.clone();
    assert_eq!(record.suspected_since, Some(at(MINUTE)));

    let mut bench = Bench::new();
    let input = Input::Recovered {
        envelope: Arc::new(envelope(1, &["a@x.example"])),
        prepared: Some(excepted),
        recipients: vec![record],
    };
    assert!(bench.tell(MINUTE, input).is_empty());
    let due = next_attempt(&waits).since(START);
    let asked = preparation(bench.tick(due));
    let work = attempts(decide(&mut bench, due, &policy, &asked));
    assert!(!exception_used(&work[0]));
}

#[test]
fn what_offers_what_is_known_of_it_is_not_suspected() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let outcome = shortfall(0, Grade::Any, Some(Grade::Any));
    let asked = preparation(attempted(&mut bench, MINUTE, outcome));
    assert!(matches!(asked.recipients[0].tls, TlsStanding::Short { .. }));
}

#[test]
fn a_delivery_ends_the_suspicion() {
    let mut bench = Bench::new();
    bench.ready(envelope(1, &["a@x.example"]));
    let suspect = shortfall(0, Grade::None, Some(Grade::Dane));
    preparation(attempted(&mut bench, MINUTE, suspect));
    let wait = Course::Wait { until: at(HOUR) };
    let suspected = Refusal::DowngradeSuspected {
        reached: Grade::None,
        expected: Grade::Dane,
    };
    let waits = settlement(bench.tell(MINUTE, planned(wait, Some(suspected), None)));
    assert!(waits.changes[0].suspected);
    bench.settled(MINUTE, 1);
    let due = next_attempt(&waits).since(START);
    preparation(bench.tick(due));
    bench.tell(due, planned(Course::Send(Method::Tls), None, Some(0)));
    let last = bench.attempted(due, 1, vec![delivered(0)]);
    assert_eq!(last.changes[0].record.suspected_since, None);
    assert!(!last.changes[0].suspected);
}

#[test]
fn a_wait_that_is_over_does_not_spin() {
    let mut bench = Bench::new();
    bench.accept(envelope(1, &["a@x.example"]));
    let wait = Course::Wait { until: at(MINUTE) };
    let waits = settlement(bench.tell(HOUR, planned(wait, None, None)));
    assert_eq!(next_attempt(&waits), at(HOUR + Duration::from_secs(1)));
}
