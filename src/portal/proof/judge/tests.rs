//! The table of factors: every combination against the oracle, and what an attacker gets.

use std::time::Duration;

use super::*;
use crate::portal::proof::proofs::Proof;

const SENT: Timestamp = Timestamp::from_secs(1_800_000_000);
const REFERENCE: Reference = Reference::new([1; 10]);

fn before() -> Timestamp {
    SENT - Duration::from_secs(60)
}

fn after() -> Timestamp {
    SENT + Duration::from_secs(60)
}

fn need(factors: Level) -> Need {
    Need {
        reference: REFERENCE,
        factors,
        trusted_before: SENT,
        deposited: SENT,
        secret: false,
        phone: false,
    }
}

/// Nothing, registered in time, registered too late.
fn times(too_late: Timestamp) -> [Option<Timestamp>; 3] {
    [None, Some(before()), Some(too_late)]
}

/// What is registered, and what of it was proved: nothing, or the one thing.
fn accounts() -> Vec<(Option<AccountFacts>, Option<AccountProof>)> {
    let mut cases = vec![(None, None)];
    for facts in registered() {
        for bits in 0..16_u8 {
            let proved = |bit: u8, time: Option<Timestamp>| time.filter(|_| bits & bit != 0);
            let proof = AccountProof {
                generation: facts.generation,
                password: proved(1, facts.password),
                totp: proved(2, facts.totp),
                passkey: proved(4, facts.passkey),
                recovery: proved(8, facts.recovery),
            };
            cases.push((Some(facts), (bits != 0).then_some(proof)));
            if bits == 15 {
                // Without being told whose account it is, and with a proof of another generation.
                cases.push((None, Some(proof)));
                let other = AccountProof {
                    generation: facts.generation + 1,
                    ..proof
                };
                cases.push((Some(facts), Some(other)));
            }
        }
    }
    cases
}

fn registered() -> Vec<AccountFacts> {
    let mut cases = Vec::new();
    for password in times(SENT) {
        for totp in times(after()) {
            for passkey in times(SENT) {
                for recovery in times(after()) {
                    for sees_from in [None, Some(after())] {
                        cases.push(AccountFacts {
                            generation: 3,
                            sees_from,
                            password,
                            totp,
                            passkey,
                            recovery,
                        });
                    }
                }
            }
        }
    }
    cases
}

#[test]
fn every_combination_is_as_the_oracle_says() {
    let accounts = accounts();
    let mut judged = 0_u64;
    let mut opened = 0_u64;
    for factors in Level::ALL {
        for bits in 0..64_u8 {
            let bit = |at: u8| bits >> at & 1 == 1;
            let need = Need {
                secret: bit(0),
                phone: bit(1),
                ..need(factors)
            };
            let means = Means { sms: bit(5) };
            let mut given = Proofs::default();
            if bit(2) {
                given.add(Proof::Mailbox);
            }
            if bit(3) {
                given.add(Proof::Secret(REFERENCE));
            }
            if bit(4) {
                given.add(Proof::Phone(REFERENCE));
            }
            for (account, proof) in &accounts {
                let mut proofs = given.clone();
                proofs.account = *proof;
                let verdict = judge(&need, &proofs, account.as_ref(), means);
                let expected = oracle::opens(&need, &proofs, account.as_ref());
                let is_open = matches!(verdict, Verdict::Open(_));
                assert_eq!(is_open, expected, "{need:?} {proofs:?} {account:?}");
                sound(&verdict, &need, &proofs, account.as_ref(), means);
                judged += 1;
                opened += u64::from(is_open);
            }
        }
    }
    assert!(
        judged > 700_000 && opened > 100_000 && opened < judged - 100_000,
        "{judged} {opened}"
    );
}

/// Whatever is asked for can be shown, is asked for once, and showing everything that is asked for
/// one after the other ends; a message that is closed is so whatever is shown.
fn sound(
    verdict: &Verdict,
    need: &Need,
    proofs: &Proofs,
    account: Option<&AccountFacts>,
    means: Means,
) {
    match verdict {
        Verdict::Open(factors) => assert!(!factors.is_empty()),
        Verdict::Wants(steps) => {
            assert!(!steps.is_empty());
            for (at, step) in steps.iter().enumerate() {
                assert!(oracle::is_sensible(*step, need, account, means), "{step:?}");
                assert!(!steps[..at].contains(step));
            }
        }
        Verdict::CannotBeOpened(_) => {
            let all = everything(proofs, account);
            // Nothing of it makes a secret or a number that was not given, or a hook.
            assert!(!oracle::opens(need, &all, account), "{need:?} {account:?}");
        }
    }
}

/// All that somebody could show: every factor of the account, the mailbox.
fn everything(proofs: &Proofs, account: Option<&AccountFacts>) -> Proofs {
    let mut all = proofs.clone();
    all.add(Proof::Mailbox);
    all.account = account.map(|facts| AccountProof {
        generation: facts.generation,
        password: facts.password,
        totp: facts.totp,
        passkey: facts.passkey,
        recovery: facts.recovery,
    });
    all
}

/// Follows the first step, and each other one, until the message opens: what is asked for leads
/// on. Then nothing is asked for that does not.
#[test]
fn every_step_leads_on() {
    let mut followed = 0;
    for factors in Level::ALL {
        for bits in 0..4_u8 {
            let need = Need {
                secret: bits & 1 != 0,
                phone: bits & 2 != 0,
                ..need(factors)
            };
            for facts in registered() {
                let start = judge(&need, &Proofs::default(), Some(&facts), Means { sms: true });
                let Verdict::Wants(steps) = start else {
                    assert!(matches!(start, Verdict::CannotBeOpened(_)));
                    continue;
                };
                for step in steps {
                    assert!(opens_by(&need, &facts, step), "{need:?} {facts:?} {step:?}");
                    followed += 1;
                }
            }
        }
    }
    assert!(followed > 1000, "{followed}");
}

/// Takes a step, then always the first one of those that are offered.
fn opens_by(need: &Need, facts: &AccountFacts, step: Step) -> bool {
    let (mut facts, mut proofs, mut step) = (*facts, Proofs::default(), step);
    for _ in 0..4 {
        take(&mut facts, &mut proofs, step);
        match judge(need, &proofs, Some(&facts), Means { sms: true }) {
            Verdict::Open(_) => return true,
            Verdict::CannotBeOpened(_) => return false,
            Verdict::Wants(steps) => step = steps[0],
        }
    }
    false
}

fn take(facts: &mut AccountFacts, proofs: &mut Proofs, step: Step) {
    let mut proof = AccountProof {
        generation: facts.generation,
        ..AccountProof::default()
    };
    match step {
        Step::MailboxCode => return proofs.add(Proof::Mailbox),
        Step::Secret => return proofs.add(Proof::Secret(REFERENCE)),
        Step::PhoneCode => return proofs.add(Proof::Phone(REFERENCE)),
        Step::SetPassword => {
            assert!(proofs.may_change(facts));
            facts.password = Some(after());
            proof.password = facts.password;
        }
        Step::Password => proof.password = facts.password,
        Step::Totp => proof.totp = facts.totp,
        Step::Passkey => proof.passkey = facts.passkey,
        Step::Recovery => proof.recovery = facts.recovery,
    }
    proofs.add(Proof::Account(proof));
}

/// D3, D39: whoever holds the mailbox and nothing else, and may register whatever they like now.
#[test]
fn the_mailbox_alone_never_opens_what_is_restricted() {
    for factors in [Level::Restricted, Level::Sealed] {
        for now in [SENT, after()] {
            for bits in 0..16_u8 {
                let registered = |bit: u8| (bits & bit != 0).then_some(now);
                let facts = AccountFacts {
                    password: registered(1),
                    totp: registered(2),
                    passkey: registered(4),
                    recovery: registered(8),
                    ..AccountFacts::default()
                };
                let proofs = everything(&Proofs::default(), Some(&facts));
                for bits in 0..4_u8 {
                    // A secret or a number that was given does not help who has neither.
                    let need = Need {
                        secret: bits & 1 != 0,
                        phone: bits & 2 != 0,
                        ..need(factors)
                    };
                    let verdict = judge(&need, &proofs, Some(&facts), Means { sms: true });
                    assert!(!matches!(verdict, Verdict::Open(_)), "{facts:?}");
                }
            }
        }
    }
}

/// A suspected downgrade is told by `factors`: then the level itself does not matter.
#[test]
fn a_suspected_downgrade_asks_for_more() {
    let mut proofs = Proofs::default();
    proofs.add(Proof::Mailbox);
    let nobody = AccountFacts::default();
    let judged = |factors| judge(&need(factors), &proofs, Some(&nobody), Means::default());
    assert_eq!(
        judged(Level::Protected),
        Verdict::Open(vec![Factor::Mailbox])
    );
    let closed = judged(Level::Restricted);
    assert_eq!(closed, Verdict::CannotBeOpened(Closed::NothingRegistered));
}

#[test]
fn the_first_visit() {
    let (need, nobody) = (need(Level::Confidential), AccountFacts::default());
    let mut proofs = Proofs::default();
    let stranger = judge(&need, &proofs, None, Means::default());
    let Verdict::Wants(steps) = stranger else {
        panic!("{stranger:?}");
    };
    assert_eq!(steps[0], Step::Passkey); // may be there: nothing is told
    assert!(steps.contains(&Step::MailboxCode) && !steps.contains(&Step::SetPassword));
    proofs.add(Proof::Mailbox);
    let known = judge(&need, &proofs, Some(&nobody), Means::default());
    assert_eq!(known, Verdict::Wants(vec![Step::SetPassword]));
}

/// Nothing is told of an account, and nothing of it counts, before the address is proved.
#[test]
fn strangers_are_told_the_same() {
    for factors in Level::ALL {
        let told = judge(&need(factors), &Proofs::default(), None, Means::default());
        let Verdict::Wants(steps) = told else {
            panic!("{told:?}");
        };
        assert!(steps.contains(&Step::MailboxCode), "{factors:?} {steps:?}");
        assert!(steps.contains(&Step::Passkey));
        assert!(!steps.contains(&Step::Secret) && !steps.contains(&Step::PhoneCode));
    }
}

#[test]
fn reasons_are_words_for_a_person() {
    let mut proofs = Proofs::default();
    proofs.add(Proof::Mailbox);
    let renewed = AccountFacts {
        generation: 1,
        sees_from: Some(after()),
        ..AccountFacts::default()
    };
    let judged = judge(
        &need(Level::Protected),
        &proofs,
        Some(&renewed),
        Means::default(),
    );
    assert_eq!(judged, Verdict::CannotBeOpened(Closed::OlderThanAccount));
    let begun_then = AccountFacts {
        sees_from: Some(SENT),
        ..renewed
    };
    let judged = judge(
        &need(Level::Protected),
        &proofs,
        Some(&begun_then),
        Means::default(),
    );
    assert_eq!(judged, Verdict::Open(vec![Factor::Mailbox]));
    for reason in [Closed::NothingRegistered, Closed::OlderThanAccount] {
        assert!(
            reason
                .to_string()
                .contains("ask the sender to send it again")
        );
    }
}
