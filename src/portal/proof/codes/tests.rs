//! Codes: their life, how their mails travel, what strangers can do to them.

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const SEAT: Seat = [7; 16];
const LIFE: Duration = Duration::from_secs(900);

fn mailbox() -> Channel {
    Channel::Mailbox("jo@b.example".parse().unwrap())
}

fn report(id: u64, ended: Final, grade: Option<Grade>) -> Travelled {
    Travelled {
        queue_id: MessageId::new(id),
        ended,
        grade,
        reply: false,
    }
}

fn delivered(id: u64) -> Travelled {
    report(id, Final::Delivered, Some(Grade::Any))
}

/// A code whose mail was taken as this one.
fn issued(codes: &Codes, id: u64, now: Timestamp) -> String {
    let issued = codes.issue(&mailbox(), SEAT, now).unwrap().unwrap();
    codes.queued(issued.ticket, MessageId::new(id));
    assert_eq!(issued.minutes, 15);
    issued.code.expose().to_owned()
}

/// Another code than this one.
fn other(code: &str) -> String {
    let number: u32 = code.parse().unwrap();
    format!("{:08}", (number + 1) % SPACE)
}

#[test]
fn eight_digits_once_within_their_life() {
    let codes = Codes::new(LIFE).unwrap();
    let code = issued(&codes, 1, NOW);
    assert_eq!(
        (code.len(), code.bytes().all(|b| b.is_ascii_digit())),
        (8, true)
    );
    codes.travelled(&delivered(1));
    assert_eq!(
        codes.check(&mailbox(), SEAT, &other(&code), NOW),
        Check::Wrong
    );
    let elsewhere = Channel::Mailbox("jo@c.example".parse().unwrap());
    assert_eq!(codes.check(&elsewhere, SEAT, &code, NOW), Check::Wrong);
    let (head, tail) = code.split_at(4);
    let typed = format!(" {head} - {tail}\n");
    assert_eq!(codes.check(&mailbox(), SEAT, &typed, NOW), Check::Right);
    assert_eq!(codes.check(&mailbox(), SEAT, &code, NOW), Check::Wrong);

    let code = issued(&codes, 2, NOW);
    codes.travelled(&delivered(2));
    assert_eq!(
        codes.check(&mailbox(), SEAT, &code, NOW + LIFE),
        Check::Wrong
    );
    let moment = Duration::from_micros(1);
    assert_eq!(
        codes.check(&mailbox(), SEAT, &code, NOW + LIFE - moment),
        Check::Right
    );
}

#[test]
fn how_the_mail_travelled_decides() {
    for grade in Grade::ALL {
        let codes = Codes::new(LIFE).unwrap();
        let code = issued(&codes, 1, NOW);
        for _ in 0..3 {
            // Nothing is spent.
            assert_eq!(codes.check(&mailbox(), SEAT, &code, NOW), Check::InAMoment);
            assert_eq!(
                codes.check(&mailbox(), SEAT, &other(&code), NOW),
                Check::Wrong
            );
        }
        codes.travelled(&report(1, Final::Delivered, Some(grade)));
        let expected = match grade {
            Grade::None => Check::Exposed,
            Grade::Any | Grade::Pkix | Grade::Pinned | Grade::MtaSts | Grade::Dane => Check::Right,
        };
        assert_eq!(
            codes.check(&mailbox(), SEAT, &code, NOW),
            expected,
            "{grade:?}"
        );
        assert_eq!(codes.check(&mailbox(), SEAT, &code, NOW), Check::Wrong);
    }
    let codes = Codes::new(LIFE).unwrap();
    let code = issued(&codes, 1, NOW);
    codes.travelled(&report(1, Final::Delivered, None));
    assert_eq!(codes.check(&mailbox(), SEAT, &code, NOW), Check::Exposed);
}

#[test]
fn a_mail_that_did_not_arrive_leaves_no_code() {
    for ended in [
        Final::Bounced,
        Final::Expired,
        Final::Cancelled,
        Final::Suppressed,
    ] {
        let codes = Codes::new(LIFE).unwrap();
        let code = issued(&codes, 1, NOW);
        codes.travelled(&report(1, ended, Some(Grade::Dane)));
        assert_eq!(codes.check(&mailbox(), SEAT, &code, NOW), Check::Wrong);
        // The report may be the first to come.
        codes.travelled(&report(2, ended, None));
        let code = issued(&codes, 2, NOW);
        assert_eq!(codes.check(&mailbox(), SEAT, &code, NOW), Check::Wrong);
    }
    let codes = Codes::new(LIFE).unwrap();
    let issued = codes.issue(&mailbox(), SEAT, NOW).unwrap().unwrap();
    codes.lost(issued.ticket);
    let code = issued.code.expose();
    assert_eq!(codes.check(&mailbox(), SEAT, code, NOW), Check::Wrong);
}

/// D24: what is lost goes as what was made for nobody does: by tries, or in time.
#[test]
fn a_lost_code_keeps_its_place() {
    let codes = Codes::new(LIFE).unwrap();
    let (lost, nobodys) = (mailbox(), Channel::Mailbox("no@b.example".into()));
    for round in 0..2_u64 {
        let now = NOW + LIFE * u32::try_from(round).unwrap();
        for number in 0..2 {
            let issued = codes.issue(&lost, SEAT, now).unwrap().unwrap();
            match number {
                0 => codes.lost(issued.ticket),
                _ => {
                    codes.queued(issued.ticket, MessageId::new(round));
                    codes.travelled(&report(round, Final::Bounced, None));
                }
            }
            codes.issue(&nobodys, SEAT, now).unwrap().unwrap();
        }
        for _ in 0..TRIES {
            for channel in [&lost, &nobodys] {
                assert!(codes.is_live(channel, SEAT, now));
                let until = codes.full_until(channel, SEAT, now);
                assert_eq!(until, Some(now + LIFE));
                assert!(codes.issue(channel, SEAT, now).unwrap().is_none());
            }
            if round > 0 {
                for channel in [&lost, &nobodys] {
                    codes.check(channel, SEAT, "00000000", now);
                }
            }
        }
        if round > 0 {
            for channel in [&lost, &nobodys] {
                assert!(!codes.is_live(channel, SEAT, now));
            }
        }
    }
    assert!(codes.state().mails.is_empty());
}

#[test]
fn a_report_may_come_before_the_queue_id() {
    let codes = Codes::new(LIFE).unwrap();
    for (id, grade, expected) in [
        (1, Grade::Dane, Check::Right),
        (2, Grade::None, Check::Exposed),
    ] {
        codes.travelled(&report(id, Final::Delivered, Some(grade)));
        let code = issued(&codes, id, NOW);
        assert_eq!(codes.check(&mailbox(), SEAT, &code, NOW), expected);
    }
    // A flood of reports of other mails is bounded, and the newest stay.
    for id in 100..100 + 2 * u64::try_from(MAX_EARLY).unwrap() {
        codes.travelled(&delivered(id));
    }
    assert_eq!(codes.state().early.len(), MAX_EARLY);
    let last = 99 + 2 * u64::try_from(MAX_EARLY).unwrap();
    let code = issued(&codes, last, NOW);
    assert_eq!(codes.check(&mailbox(), SEAT, &code, NOW), Check::Right);
}

/// D23: scanners ask for codes, too.
#[test]
fn asking_again_does_not_end_the_one_before() {
    let codes = Codes::new(LIFE).unwrap();
    let first = issued(&codes, 1, NOW);
    let second = issued(&codes, 2, NOW + Duration::from_secs(60));
    let later = NOW + Duration::from_secs(120);
    for _ in 0..100 {
        assert!(codes.issue(&mailbox(), SEAT, later).unwrap().is_none());
        let until = codes.full_until(&mailbox(), SEAT, later);
        assert_eq!(until, Some(NOW + LIFE));
    }
    codes.travelled(&delivered(1));
    // Each by its own mail.
    assert_eq!(
        codes.check(&mailbox(), SEAT, &second, later),
        Check::InAMoment
    );
    assert_eq!(codes.check(&mailbox(), SEAT, &first, later), Check::Right);
    codes.travelled(&delivered(2));
    assert_eq!(codes.check(&mailbox(), SEAT, &second, later), Check::Right);
    assert!(codes.issue(&mailbox(), SEAT, later).unwrap().is_some());
}

/// D26: a code counts in its browser only, and so do the tries.
#[test]
fn a_code_is_bound_to_the_browser_that_asked() {
    let codes = Codes::new(LIFE).unwrap();
    let code = issued(&codes, 1, NOW);
    codes.travelled(&delivered(1));
    for number in 0..100 {
        let stranger = [100 + number; 16];
        assert!(!codes.is_live(&mailbox(), stranger, NOW));
        let tried = codes.check(&mailbox(), stranger, &code, NOW);
        assert_eq!(tried, Check::Wrong);
    }
    for _ in 1..TRIES {
        let tried = codes.check(&mailbox(), SEAT, &other(&code), NOW);
        assert_eq!(tried, Check::Wrong);
    }
    assert!(codes.is_live(&mailbox(), SEAT, NOW));
    let tried = codes.check(&mailbox(), SEAT, &code, NOW);
    assert_eq!(tried, Check::Right);
    let code = issued(&codes, 2, NOW);
    codes.travelled(&delivered(2));
    for _ in 0..TRIES {
        codes.check(&mailbox(), SEAT, &other(&code), NOW);
    }
    assert!(!codes.is_live(&mailbox(), SEAT, NOW));
    let tried = codes.check(&mailbox(), SEAT, &code, NOW);
    assert_eq!(tried, Check::Wrong);
}

#[test]
fn receivers_are_bounded_and_forgotten() {
    let codes = Codes::new(LIFE).unwrap();
    let channel =
        |number: usize| Channel::Mailbox(format!("jo{number}@b.example").parse().unwrap());
    for number in 0..MAX_RECEIVERS {
        assert!(codes.issue(&channel(number), SEAT, NOW).unwrap().is_some());
    }
    assert!(
        codes
            .issue(&channel(MAX_RECEIVERS), SEAT, NOW)
            .unwrap()
            .is_none()
    );
    let issued = codes
        .issue(&channel(MAX_RECEIVERS), SEAT, NOW + LIFE)
        .unwrap();
    assert!(issued.is_some());
    let state = codes.state();
    assert_eq!(
        (state.live.len(), state.tickets.len(), state.mails.len()),
        (1, 1, 0)
    );
}

#[test]
fn a_code_to_a_number_counts_at_once() {
    let codes = Codes::new(LIFE).unwrap();
    let channel = Channel::Phone(Reference::new([1; 10]));
    let issued = codes.issue(&channel, SEAT, NOW).unwrap().unwrap();
    let code = issued.code.expose();
    assert_eq!(codes.check(&channel, SEAT, code, NOW), Check::InAMoment);
    codes.arrived(issued.ticket);
    let another = Channel::Phone(Reference::new([2; 10]));
    assert_eq!(codes.check(&another, SEAT, code, NOW), Check::Wrong);
    assert_eq!(codes.check(&channel, SEAT, code, NOW), Check::Right);
}

#[test]
fn codes_are_never_shown() {
    let codes = Codes::new(LIFE).unwrap();
    let issued = codes.issue(&mailbox(), SEAT, NOW).unwrap().unwrap();
    let shown = format!("{issued:?} {codes:?}");
    assert!(!shown.contains(issued.code.expose()), "{shown}");
}
