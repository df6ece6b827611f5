//! Sessions: their ends, their tokens, their bounds.

use super::*;
use crate::portal::proof::proofs::AccountProof;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn jo() -> Address {
    "jo@b.example".parse().unwrap()
}

fn sessions() -> Sessions {
    Sessions::new(Bounds::default()).unwrap()
}

fn session(sessions: &Sessions, token: &Token, now: Timestamp) -> Option<Session> {
    match sessions.find(token.expose(), now)? {
        Found::Session(session) => Some(*session),
        Found::Visit(_) => None,
    }
}

fn signed_in(sessions: &Sessions, now: Timestamp) -> Token {
    let visit = sessions.begin(Visit::default(), now).unwrap();
    sessions
        .prove(
            visit.expose(),
            &jo(),
            Proof::Mailbox,
            sessions.moment(),
            now,
        )
        .unwrap()
}

/// D29.
#[test]
fn each_step_of_privilege_has_a_new_token() {
    let sessions = sessions();
    let reference = Reference::new([1; 10]);
    let visit = Visit {
        reference: Some(reference),
        ..Visit::default()
    };
    let mut tokens = vec![sessions.begin(visit, NOW).unwrap()];
    let account = AccountProof {
        password: Some(NOW),
        ..AccountProof::default()
    };
    for proof in [
        Proof::Mailbox,
        Proof::Account(account),
        Proof::Secret(reference),
    ] {
        let last = tokens.last().unwrap().expose();
        let shown = sessions.moment();
        tokens.push(sessions.prove(last, &jo(), proof, shown, NOW).unwrap());
    }
    let last = tokens.pop().unwrap();
    for old in &tokens {
        assert!(sessions.find(old.expose(), NOW).is_none());
        assert_ne!(old.expose(), last.expose());
    }
    let found = session(&sessions, &last, NOW).unwrap();
    assert!(found.proofs.mailbox && found.proofs.has_secret(&reference));
    assert_eq!(found.proofs.account, Some(account));
    assert_eq!(
        (found.reference, sessions.counts()),
        (Some(reference), (0, 1))
    );
    assert_eq!(last.expose().len(), 43);
}

/// A token that an attacker has planted is not the one of the session.
#[test]
fn a_made_up_token_stands_for_nothing() {
    let sessions = sessions();
    let planted = URL_SAFE_NO_PAD.encode([7; 32]);
    let proved = sessions.prove(&planted, &jo(), Proof::Mailbox, sessions.moment(), NOW);
    assert!(matches!(proved, Err(ProofError::Ended)));
    let token = signed_in(&sessions, NOW);
    for text in [
        planted.as_str(),
        "",
        "x",
        &"A".repeat(44),
        &"A".repeat(10_000),
        "\u{e9}",
    ] {
        assert!(sessions.find(text, NOW).is_none());
    }
    let padded = format!("{}=", token.expose());
    assert!(sessions.find(&padded, NOW).is_none());
}

#[test]
fn another_address_takes_nothing_along() {
    let sessions = sessions();
    let token = signed_in(&sessions, NOW);
    let other: Address = "kim@b.example".parse().unwrap();
    let secret = Proof::Secret(Reference::new([1; 10]));
    let shown = sessions.moment();
    let token = sessions.prove(token.expose(), &other, secret, shown, NOW);
    let token = token.unwrap();
    let found = session(&sessions, &token, NOW).unwrap();
    assert_eq!(found.address, other);
    assert!(!found.proofs.mailbox && !found.proofs.holds_address());
}

#[test]
fn idle_and_absolute_ends() {
    let sessions = sessions();
    let token = signed_in(&sessions, NOW);
    assert!(session(&sessions, &token, NOW + minutes(14)).is_some());
    assert!(session(&sessions, &token, NOW + minutes(28)).is_some());
    assert!(session(&sessions, &token, NOW + minutes(43)).is_none());

    let token = signed_in(&sessions, NOW);
    for step in 1..24 {
        assert!(
            session(&sessions, &token, NOW + minutes(10 * step)).is_some(),
            "{step}"
        );
    }
    assert!(session(&sessions, &token, NOW + minutes(240)).is_none());

    // A new token does not begin the time anew.
    let token = signed_in(&sessions, NOW);
    let mut now = NOW;
    for _ in 0..23 {
        now = now + minutes(10);
        assert!(session(&sessions, &token, now).is_some());
    }
    let token = sessions
        .prove(
            token.expose(),
            &jo(),
            Proof::Mailbox,
            sessions.moment(),
            now,
        )
        .unwrap();
    assert!(session(&sessions, &token, now + minutes(9)).is_some());
    assert!(session(&sessions, &token, now + minutes(10)).is_none());

    let visit = sessions.begin(Visit::default(), NOW).unwrap();
    assert!(sessions.find(visit.expose(), NOW + minutes(29)).is_some());
    assert!(sessions.find(visit.expose(), NOW + minutes(59)).is_none());
}

#[test]
fn signing_out_and_changed_factors() {
    let sessions = sessions();
    let (one, two) = (signed_in(&sessions, NOW), signed_in(&sessions, NOW));
    sessions.end(one.expose());
    assert!(session(&sessions, &one, NOW).is_none());
    let three = signed_in(&sessions, NOW);
    sessions.end_all(&jo(), Some(three.expose()));
    assert!(session(&sessions, &two, NOW).is_none());
    assert!(session(&sessions, &three, NOW).is_some());
    sessions.end_all(&jo(), None);
    assert_eq!(sessions.counts(), (0, 0));
}

/// What a request under way had shown when the sessions of its mailbox were ended.
#[test]
fn a_session_that_was_ended_does_not_come_back() {
    let sessions = sessions();
    let account = Proof::Account(AccountProof::default());
    // By a session that is no more.
    let (one, own) = (signed_in(&sessions, NOW), signed_in(&sessions, NOW));
    let shown = sessions.moment();
    let ended = sessions.end_all(&jo(), Some(own.expose()));
    for shown in [shown, sessions.moment()] {
        let proved = sessions.prove(one.expose(), &jo(), account, shown, NOW);
        assert!(matches!(proved, Err(ProofError::Ended)));
    }
    // By a visit that lives, with a password that is no more.
    let visit = sessions.begin(Visit::default(), NOW).unwrap();
    let proved = sessions.prove(visit.expose(), &jo(), account, shown, NOW);
    assert!(matches!(proved, Err(ProofError::Ended)));
    let kim: Address = "kim@b.example".parse().unwrap();
    assert_eq!(sessions.counts(), (1, 1));
    // Who ended them goes on, and so does who shows a factor afterwards.
    let own = sessions.prove(own.expose(), &jo(), account, ended, NOW);
    assert!(session(&sessions, &own.unwrap(), NOW).is_some());
    let now = sessions.moment();
    assert!(
        sessions
            .prove(visit.expose(), &jo(), account, now, NOW)
            .is_ok()
    );
    // Other mailboxes have nothing to do with it; but for one in some thousand, by chance.
    let other = sessions.begin(Visit::default(), NOW).unwrap();
    let shares = sessions.ends().ended(&kim, shown);
    let proved = sessions.prove(other.expose(), &kim, account, shown, NOW);
    assert_eq!(proved.is_err(), shares);
}

#[test]
fn how_long_ago_a_code_was_typed() {
    let sessions = sessions();
    let token = signed_in(&sessions, NOW);
    let later = NOW + minutes(6);
    let found = session(&sessions, &token, later).unwrap();
    assert!(!found.mailbox_within(AGAIN, later) && found.mailbox_within(FIRST, later));
    let shown = sessions.moment();
    let token = sessions.prove(token.expose(), &jo(), Proof::Mailbox, shown, later);
    let found = session(&sessions, &token.unwrap(), later).unwrap();
    assert!(found.mailbox_within(AGAIN, later));
}

#[test]
fn a_flood_of_visits_ends_no_session() {
    let bounds = Bounds {
        visits: 100,
        sessions: 10,
        ..Bounds::default()
    };
    let sessions = Sessions::new(bounds).unwrap();
    let token = signed_in(&sessions, NOW);
    let first = sessions.begin(Visit::default(), NOW).unwrap();
    for second in 1..=1000 {
        let now = NOW + Duration::from_millis(second);
        sessions.begin(Visit::default(), now).unwrap();
    }
    assert_eq!(sessions.counts(), (100, 1));
    assert!(sessions.find(first.expose(), NOW).is_none());
    assert!(session(&sessions, &token, NOW + minutes(1)).is_some());
    // Of sessions the one that was idle longest goes.
    let others: Vec<Token> = (0..10)
        .map(|_| signed_in(&sessions, NOW + minutes(2)))
        .collect();
    assert!(session(&sessions, &token, NOW + minutes(2)).is_none());
    assert!(
        others
            .iter()
            .all(|it| session(&sessions, it, NOW + minutes(2)).is_some())
    );
}

/// Codes are bound to browsers: whoever waits for one keeps the browser's place.
#[test]
fn a_flood_of_visits_ends_none_that_waits_for_a_code() {
    let bounds = Bounds {
        visits: 100,
        ..Bounds::default()
    };
    let sessions = Sessions::new(bounds).unwrap();
    let visit = || Visit {
        address: Some(jo()),
        ..Visit::default()
    };
    let first = sessions.begin(visit(), NOW).unwrap();
    let seat = sessions.seat(first.expose(), NOW).unwrap();
    assert!(sessions.asked(first.expose(), NOW));
    let flood = |from: u64| {
        for milli in from..from + 1000 {
            let now = NOW + Duration::from_millis(milli);
            sessions.begin(visit(), now).unwrap();
        }
    };
    flood(1);
    let later = NOW + minutes(1);
    let Some(Found::Visit(found)) = sessions.find(first.expose(), later) else {
        panic!("it waits no more");
    };
    assert!(found.code_asked);
    // The link once more, in the same browser: it waits as before, in one place.
    let second = sessions.begin_after((first.expose(), ""), visit(), later);
    let second = second.unwrap();
    assert!(sessions.find(first.expose(), later).is_none());
    let again = sessions.begin_after((first.expose(), ""), visit(), later);
    let again = again.unwrap();
    // It is the same browser, but only one of them waits.
    assert_eq!(sessions.seat(again.expose(), later), Some(seat));
    flood(60_001);
    assert_eq!(sessions.seat(second.expose(), later), Some(seat));
    assert!(sessions.find(again.expose(), later).is_none());
    assert_eq!(sessions.counts(), (101, 0));
    // For another mailbox nothing was asked.
    let other = Visit {
        address: Some("kim@b.example".parse().unwrap()),
        ..Visit::default()
    };
    let third = sessions
        .begin_after((second.expose(), ""), other, later)
        .unwrap();
    assert_eq!(sessions.seat(third.expose(), later), Some(seat));
    flood(60_001);
    assert!(sessions.find(third.expose(), later).is_none());
    // Those that wait are bounded as well.
    for milli in 0..200 {
        let now = later + Duration::from_millis(milli);
        let waits = sessions.begin(visit(), now).unwrap();
        assert!(sessions.asked(waits.expose(), now));
    }
    assert!(sessions.counts().0 <= 200);
}

#[test]
fn a_button_pressed_twice_is_one_browser_for_a_minute() {
    let sessions = sessions();
    let first = sessions.begin(Visit::default(), NOW).unwrap();
    let seat = sessions.seat(first.expose(), NOW).unwrap();
    let begin = |seconds| {
        let now = NOW + Duration::from_secs(seconds);
        let token = sessions.begin_after((first.expose(), ""), Visit::default(), now);
        sessions.seat(token.unwrap().expose(), now).unwrap()
    };
    assert_eq!([begin(1), begin(2), begin(60)], [seat; 3]);
    assert_ne!(begin(61), seat);
}

#[test]
fn tokens_of_a_moment_ago_are_bounded() {
    let sessions = sessions();
    let replaced = |milli: u64| {
        let now = NOW + Duration::from_millis(milli);
        let first = sessions.begin(Visit::default(), now).unwrap();
        let seat = sessions.seat(first.expose(), now).unwrap();
        let next = sessions.begin_after((first.expose(), ""), Visit::default(), now);
        drop(next.unwrap());
        (first, seat)
    };
    let made: Vec<_> = (0..10_001).map(replaced).collect();
    let later = NOW + Duration::from_millis(10_001);
    let known = |at: usize| {
        let token = sessions.begin_after((made[at].0.expose(), ""), Visit::default(), later);
        sessions.seat(token.unwrap().expose(), later) == Some(made[at].1)
    };
    assert!(known(10_000));
    assert!(known(1));
    assert!(!known(0));
}

/// D30.
#[test]
fn forged_requests() {
    let sessions = sessions();
    let (one, two) = (signed_in(&sessions, NOW), signed_in(&sessions, NOW));
    let csrf = sessions.csrf(one.expose());
    assert!(sessions.csrf_is(one.expose(), &csrf));
    assert!(!sessions.csrf_is(two.expose(), &csrf));
    for forged in ["", "x", one.expose(), &format!("{csrf}A"), &csrf[1..]] {
        assert!(!sessions.csrf_is(one.expose(), forged));
    }
    assert!(!csrf.contains(one.expose()));
}

/// A form that is sent twice before there is a cookie comes from one browser; other forms do not,
/// nor what was made up.
#[test]
fn who_has_no_token_is_known_by_the_form() {
    let sessions = sessions();
    let (form, other) = (sessions.csrf(""), sessions.csrf(""));
    let own = signed_in(&sessions, NOW);
    assert!(sessions.csrf_is("", &form) && sessions.csrf_is("", &other));
    assert!(!sessions.csrf_is(own.expose(), &form));
    assert!(!sessions.csrf_is("", &sessions.csrf(own.expose())));
    let seat = |before: &str, form: &str| {
        let token = sessions.begin_after((before, form), Visit::default(), NOW);
        sessions.seat(token.unwrap().expose(), NOW).unwrap()
    };
    let first = seat("", &form);
    assert_eq!(seat("", &form), first);
    assert_ne!(seat("", &other), first);
    for forged in ["", "x", &format!("{form}A"), &form[4..], &"A".repeat(64)] {
        assert!(!sessions.csrf_is("", forged), "{forged}");
        assert_ne!(seat("", forged), seat("", forged), "{forged}");
    }
    // A browser that is known stays the one that it is.
    let before = sessions.seat(own.expose(), NOW).unwrap();
    assert_eq!(seat(own.expose(), &form), before);
}

#[test]
fn a_session_that_was_spared_counts_from_then_and_no_longer_than_to_the_next_end() {
    let sessions = sessions();
    let (one, two) = (signed_in(&sessions, NOW), signed_in(&sessions, NOW));
    assert!(sessions.spared(one.expose(), NOW).is_none());
    sessions.end_others(&jo(), one.expose());
    assert!(sessions.spared(two.expose(), NOW).is_none());
    let seen = |token: &Token| {
        let spared = sessions.spared(token.expose(), NOW).unwrap();
        spared.proofs.seen.unwrap()
    };
    assert!(!sessions.ends().ended(&jo(), seen(&one)));
    // Somebody else's change, after which its sessions are about to be ended.
    sessions.ends().end(&jo());
    assert!(sessions.ends().ended(&jo(), seen(&one)));
    sessions.end_all(&jo(), None);
    assert!(sessions.spared(one.expose(), NOW).is_none());
}

#[test]
fn a_challenge_is_good_once_and_for_its_session() {
    let sessions = sessions();
    let (one, two) = (
        signed_in(&sessions, NOW),
        sessions.begin(Visit::default(), NOW).unwrap(),
    );
    let given = sessions.challenge(one.expose(), NOW).unwrap().unwrap();
    assert_eq!(sessions.take_challenge(two.expose(), NOW), None);
    assert_eq!(sessions.take_challenge(one.expose(), NOW), Some(given));
    assert_eq!(sessions.take_challenge(one.expose(), NOW), None);
    let old = sessions.challenge(two.expose(), NOW).unwrap().unwrap();
    let new = sessions.challenge(two.expose(), NOW).unwrap().unwrap();
    assert_ne!(old, new);
    assert_eq!(
        sessions.take_challenge(two.expose(), NOW + CHALLENGE_LIFE),
        None
    );
    assert_eq!(sessions.challenge("nobody", NOW).unwrap(), None);
}

#[test]
fn a_change_gives_no_privilege() {
    let sessions = sessions();
    let token = signed_in(&sessions, NOW);
    let change = |session: &mut Session| {
        session.language = Some(Language::Fr);
        session.address = "kim@b.example".parse().unwrap();
        session.proofs.add(Proof::Secret(Reference::new([1; 10])));
    };
    assert!(sessions.change_session(token.expose(), change, NOW));
    let found = session(&sessions, &token, NOW).unwrap();
    assert_eq!((found.language, found.address), (Some(Language::Fr), jo()));
    assert!(!found.proofs.has_secret(&Reference::new([1; 10])));
    assert!(!sessions.asked(token.expose(), NOW));
    assert!(!format!("{token:?} {sessions:?}").contains(token.expose()));
}
