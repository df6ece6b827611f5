//! The desk: asking, showing, and what strangers can do to the owner.

use super::*;
use crate::mail::{Final, Grade, MessageId};
use crate::portal::proof::tests_support::{Home, NOW, failing_hook, home};

fn desk(home: &Home) -> Desk {
    let options = DeskOptions {
        party: RelyingParty {
            id: "portal.example".into(),
            origin: "https://portal.example".into(),
            name: "Portal".into(),
        },
        code_life: Duration::from_secs(900),
        sessions: Bounds::default(),
        phones: None,
    };
    Desk::cheap(&home.tables, options, Clock::starting_at(NOW)).unwrap()
}

fn trying(number: u32) -> Trying {
    Trying {
        client: from(number),
        holds: false,
    }
}

fn jo() -> Address {
    "jo@b.example".parse().unwrap()
}

fn from(number: u32) -> IpAddr {
    let [_, b, c, d] = number.to_be_bytes();
    IpAddr::from([b, c, d, 1])
}

/// A browser of its own in a network of its own.
fn by(number: u32) -> Caller {
    let mut seat = [0; 16];
    seat[..4].copy_from_slice(&number.to_be_bytes());
    Caller {
        client: from(number),
        seat,
    }
}

/// A code that was mailed and arrived.
fn mailed(desk: &Desk, client: Caller) -> String {
    let asked = desk
        .ask_mailbox(&jo(), Asked::ByReference, true, client)
        .unwrap();
    let issued = asked.unwrap().unwrap();
    desk.codes
        .queued(issued.ticket, MessageId::new(issued.ticket));
    desk.travelled(&Travelled {
        queue_id: MessageId::new(issued.ticket),
        ended: Final::Delivered,
        grade: Some(Grade::Pkix),
        reply: false,
    });
    issued.code.expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_code_opens_the_mailbox() {
    let home = home();
    let desk = desk(&home);
    let code = mailed(&desk, by(1));
    let wrong = desk.try_mailbox(&jo(), true, "x", by(1)).await.unwrap();
    assert_eq!(wrong, Tried::Wrong { last: false });
    let right = desk.try_mailbox(&jo(), true, &code, by(1)).await.unwrap();
    assert_eq!(right, Tried::Right(Proof::Mailbox));
    let again = desk.try_mailbox(&jo(), true, &code, by(1)).await.unwrap();
    assert_eq!(again, Tried::Wrong { last: false });
}

#[tokio::test(start_paused = true)]
async fn asking_is_throttled_and_both_ways_apart() {
    let home = home();
    let desk = desk(&home);
    let ask = |asked, number| desk.ask_mailbox(&jo(), asked, true, by(number)).unwrap();
    assert!(ask(Asked::ByAddress, 1).unwrap().is_some());
    assert_eq!(
        ask(Asked::ByAddress, 1).unwrap_err().until,
        NOW + MINUTE,
        "once a minute from a browser"
    );
    let mut mails = 1;
    for minute in 0..720_u32 {
        for number in 0..5 {
            let asked = ask(Asked::ByAddress, 1000 + 5 * minute + number);
            mails += u32::from(asked.is_ok_and(|issued| issued.is_some()));
        }
        tokio::time::advance(MINUTE).await;
    }
    assert!((24..=48).contains(&mails), "{mails}");
    // Whoever has the reference still gets one; in another case it is the same mailbox.
    assert!(ask(Asked::ByReference, 200).unwrap().is_some());
}

/// D26: strangers from a thousand networks ask for codes and guess, with and without a live code,
/// all day and after a restart. The owner asks by the link and gets in.
#[tokio::test(start_paused = true)]
async fn strangers_hit_their_own_codes_only() {
    let mut home = home();
    for round in 0..2_u32 {
        let desk = desk(&home);
        for number in 0..1000 {
            let stranger = by(10_000 * (round + 1) + number);
            drop(desk.ask_mailbox(&jo(), Asked::ByAddress, true, stranger));
            for _ in 0..20 {
                let tried = desk.try_mailbox(&jo(), true, "00000000", stranger).await;
                assert!(!matches!(tried.unwrap(), Tried::Right(_)));
            }
        }
        let own = by(1 + round);
        let code = mailed(&desk, own);
        for number in 0..100 {
            // The right code in another browser, too.
            let tried = desk
                .try_mailbox(&jo(), true, &code, by(90_000 + number))
                .await;
            assert!(!matches!(tried.unwrap(), Tried::Right(_)));
        }
        let right = desk.try_mailbox(&jo(), true, &code, own).await.unwrap();
        assert_eq!(right, Tried::Right(Proof::Mailbox));
        // From where it was right, there is a code by the address as well.
        tokio::time::advance(MINUTE).await;
        let asked = desk.ask_mailbox(&jo(), Asked::ByAddress, true, own);
        assert!(asked.unwrap().unwrap().is_some());
        drop(desk);
        home.restart();
    }
}

/// What nobody has does not use up what all share.
#[tokio::test(start_paused = true)]
async fn references_that_do_not_exist_stop_no_mail() {
    let home = home();
    let desk = desk(&home);
    for number in 0..10_000_u32 {
        let nobody = format!("no{number}@nobody.invalid").parse().unwrap();
        let asked = desk.ask_mailbox(&nobody, Asked::ByReference, false, by(100 + number));
        assert!(asked.unwrap().unwrap().is_none());
    }
    let asked = desk.ask_mailbox(&jo(), Asked::ByReference, true, by(1));
    assert!(asked.unwrap().unwrap().is_some());
}

/// An outsiders' page is no machine for sending mail.
#[tokio::test(start_paused = true)]
async fn codes_for_writing_are_few() {
    let home = home();
    let desk = desk(&home);
    let mails = |address: &str, number| {
        let address = address.parse().unwrap();
        let asked = desk.ask_mailbox(&address, Asked::ByWriting, true, by(number));
        usize::from(asked.unwrap().is_ok())
    };
    // With tags it is one mailbox.
    let tagged: usize = (0..100)
        .map(|it| mails(&format!("jo+{it}@b.example"), it))
        .sum();
    assert_eq!(tagged, 2);
    // One domain, from everywhere.
    let domain: usize = (0..100)
        .map(|it| mails(&format!("jo{it}@c.example"), 1000 + it))
        .sum();
    assert_eq!(domain, 20);
    // One network, to everywhere.
    let network: usize = (0..100_u8)
        .map(|it| {
            let address = format!("jo@c{it}.example").parse().unwrap();
            let caller = Caller {
                client: from(5000),
                seat: [it; 16],
            };
            let asked = desk.ask_mailbox(&address, Asked::ByWriting, true, caller);
            usize::from(asked.unwrap().is_ok())
        })
        .sum();
    assert_eq!(network, 5);
}

/// A provider's domain is not used up by who makes up names there, from one network or one /48.
#[tokio::test(start_paused = true)]
async fn one_network_has_a_small_part_of_a_domain() {
    let home = home();
    let desk = desk(&home);
    let mails = |name: u32, client: IpAddr| {
        let mut seat = [0; 16];
        seat[..4].copy_from_slice(&name.to_be_bytes());
        let address = format!("jo{name}@provider.example").parse().unwrap();
        let caller = Caller { client, seat };
        let asked = desk.ask_mailbox(&address, Asked::ByWriting, true, caller);
        usize::from(asked.unwrap().is_ok())
    };
    let of_48 =
        |number: u32| IpAddr::from([0x2001, 0xdb8, 1, u16::try_from(number).unwrap(), 0, 0, 0, 1]);
    let mut sent = 0;
    for hour in 0..4 {
        for number in 0..100 {
            sent += mails(1000 * hour + number, from(1));
            sent += mails(1000 * hour + 500 + number, of_48(number));
        }
        tokio::time::advance(HOUR).await;
    }
    assert_eq!(sent, 12);
    let others: usize = (0..14).map(|it| mails(9000 + it, from(100 + it))).sum();
    assert_eq!(others, 14);
}

/// An office behind one address: who typed a right code there is served again.
#[tokio::test(start_paused = true)]
async fn an_office_is_not_stopped_by_how_many_it_is() {
    let home = home();
    let desk = desk(&home);
    let ask = |name: u32| {
        let mut seat = [0; 16];
        seat[..4].copy_from_slice(&name.to_be_bytes());
        let address: Address = format!("jo{name}@insurer.example").parse().unwrap();
        let caller = Caller {
            client: from(1),
            seat,
        };
        let asked = desk.ask_mailbox(&address, Asked::ByWriting, true, caller);
        (address, caller, asked.unwrap())
    };
    for name in 0..5 {
        let (address, caller, asked) = ask(name);
        let issued = asked.unwrap().unwrap();
        desk.codes.arrived(issued.ticket);
        let tried = desk.try_mailbox(&address, true, issued.code.expose(), caller);
        assert_eq!(tried.await.unwrap(), Tried::Right(Proof::Mailbox));
    }
    tokio::time::advance(2 * HOUR).await;
    // As often again as a stranger's network has in a day.
    for name in 0..5 {
        assert!(ask(name).2.is_ok(), "{name}");
    }
    tokio::time::advance(2 * HOUR).await;
    // One of six has come back meanwhile.
    let newcomers = [100, 101, 102].map(|name| ask(name).2.is_ok());
    assert_eq!(newcomers, [true, true, false]);
}

/// D24: asking for nobody is throttled as asking for somebody is, and mails nothing.
#[tokio::test(start_paused = true)]
async fn nobody_is_asked_for_as_somebody() {
    let home = home();
    let desk = desk(&home);
    let mut seen = Vec::new();
    for exists in [true, false] {
        let address: Address = format!("{exists}@b.example").parse().unwrap();
        let caller = by(7 + u32::from(exists));
        let ask = || {
            desk.ask_mailbox(&address, Asked::ByAddress, exists, caller)
                .unwrap()
        };
        assert_eq!(ask().unwrap().is_some(), exists);
        let often = ask().unwrap_err();
        assert_eq!(often.until, NOW + MINUTE);
        let mut answers = Vec::new();
        for _ in 0..80 {
            let tried = desk.try_mailbox(&address, exists, "12345678", caller);
            answers.push(format!("{:?}", tried.await.unwrap()));
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_belongs_to_its_message() {
    let home = home();
    let desk = desk(&home);
    let reference = Reference::new([1; 10]);
    let secret = SecretBytes::new(b"blue heron".to_vec());
    let phc = desk.passwords.hash(&secret).await.unwrap();
    let tried = |typed: &'static str, phc| desk.try_secret(reference, phc, typed, from(1));
    let right = tried(" blue heron ", Some(&phc)).await.unwrap();
    assert_eq!(right, Tried::Right(Proof::Secret(reference)));
    assert_eq!(
        tried("blue herons", Some(&phc)).await.unwrap(),
        Tried::Wrong { last: false }
    );
    assert_eq!(
        tried("blue heron", None).await.unwrap(),
        Tried::Wrong { last: false }
    );
}

#[tokio::test(start_paused = true)]
async fn a_password_by_the_desk() {
    let home = home();
    let desk = desk(&home);
    let mut proofs = crate::portal::proof::Proofs::default();
    proofs.add(Proof::Mailbox);
    let password = SecretBytes::new(b"blue heron at noon".to_vec());
    let set = desk
        .accounts
        .set_password(&jo(), &proofs, &password, NOW)
        .await
        .unwrap();
    let tried = async |address: &Address, typed: &SecretBytes, by| {
        let typed = Typed::Password(typed);
        desk.try_account(address, typed, by).await.unwrap()
    };
    let right = tried(&jo(), &password, trying(1)).await;
    assert_eq!(right, Tried::Right(Proof::Account(set)));
    assert_eq!(desk.standing(&jo()).registered, Some(NOW));
    let nobody = "kim@b.example".parse().unwrap();
    let wrong = tried(&nobody, &password, trying(1)).await;
    assert_eq!(wrong, Tried::Wrong { last: false });
    let other = SecretBytes::new(b"grey heron at dusk".to_vec());
    let mut admitted = 0;
    for number in 0..200 {
        let tried = tried(&jo(), &other, trying(100 + number)).await;
        admitted += u32::from(matches!(tried, Tried::Wrong { .. }));
    }
    assert_eq!(admitted, Kind::Password.allowance().strangers);
    // The owner's network is known.
    let right = tried(&jo(), &password, trying(1)).await;
    assert_eq!(right, Tried::Right(Proof::Account(set)));
}

/// D26: after a restart nobody's network is known, and five networks use up what strangers have.
/// The owner shows the mailbox first and then the password, from another network each time.
#[tokio::test(start_paused = true)]
async fn strangers_do_not_lock_a_password_behind_the_mailbox() {
    let home = home();
    let desk = desk(&home);
    let mut proofs = crate::portal::proof::Proofs::default();
    proofs.add(Proof::Mailbox);
    let password = SecretBytes::new(b"blue heron at noon".to_vec());
    let accounts = &desk.accounts;
    let set = accounts.set_password(&jo(), &proofs, &password, NOW).await;
    let set = set.unwrap();
    let other = SecretBytes::new(b"grey heron at dusk".to_vec());
    for number in 0..60 {
        let by = trying(100 + number / 12);
        let guessed = desk.try_account(&jo(), Typed::Password(&other), by).await;
        let looked_at = matches!(guessed.unwrap(), Tried::Wrong { .. });
        assert_eq!(looked_at, number % 12 < 10, "{number}");
    }
    let typed = Typed::Password(&password);
    let locked = desk.try_account(&jo(), typed, trying(1)).await.unwrap();
    assert!(matches!(locked, Tried::Later(_)));
    let code = mailed(&desk, by(1));
    let right = desk.try_mailbox(&jo(), true, &code, by(1)).await.unwrap();
    assert_eq!(right, Tried::Right(Proof::Mailbox));
    // Somebody in the owner's network tries what they can.
    let mut refused = false;
    for _ in 0..500 {
        refused |= desk.guesses.aimless(Network::of(from(1)), NOW).is_err();
    }
    assert!(refused);
    // From where the code was typed, from anywhere else, and from where a stranger guessed.
    for number in [1, 2, 100] {
        let by = Trying {
            holds: true,
            ..trying(number)
        };
        let right = desk.try_account(&jo(), typed, by).await.unwrap();
        assert_eq!(right, Tried::Right(Proof::Account(set)), "{number}");
    }
}

/// D26: codes are bound to browsers, and there may be as many visits as anybody likes.
#[tokio::test(start_paused = true)]
async fn a_flood_of_visits_leaves_a_mailed_code_its_worth() {
    let home = home();
    let desk = desk(&home);
    let visit = super::super::Visit {
        address: Some(jo()),
        ..Default::default()
    };
    let token = desk.sessions.begin(visit, NOW).unwrap();
    let seat = desk.sessions.seat(token.expose(), NOW).unwrap();
    let own = Caller { seat, ..by(1) };
    let code = mailed(&desk, own);
    assert!(desk.sessions.asked(token.expose(), NOW));
    let bound = u64::try_from(desk.sessions.bounds().visits).unwrap();
    for number in 0..bound + bound / 5 {
        let now = NOW + Duration::from_millis(number);
        desk.sessions.begin(Default::default(), now).unwrap();
    }
    let seat = desk.sessions.seat(token.expose(), NOW + MINUTE).unwrap();
    let own = Caller { seat, ..own };
    let right = desk.try_mailbox(&jo(), true, &code, own).await.unwrap();
    assert_eq!(right, Tried::Right(Proof::Mailbox));
}

/// One who asks again while two codes are good takes nothing of what the number has.
#[tokio::test(start_paused = true)]
async fn what_is_not_sent_to_a_number_is_not_counted() {
    let home = home();
    let desk = Desk {
        phones: Some(failing_hook()),
        ..desk(&home)
    };
    let reference = Reference::new([1; 10]);
    let number = "+12025550123".parse().unwrap();
    let ask = async || {
        let asked = desk.ask_phone(reference, &number, by(1), |_, _| String::new());
        asked.await.unwrap()
    };
    // Two that are good.
    let channel = Channel::Phone(reference);
    for _ in 0..2 {
        let issued = desk
            .codes
            .issue(&channel, by(1).seat, NOW)
            .unwrap()
            .unwrap();
        desk.codes.arrived(issued.ticket);
    }
    let until = NOW + Duration::from_secs(900);
    for _ in 0..20 {
        assert_eq!(ask().await, Err(TooOften { until }));
    }
    tokio::time::advance(Duration::from_secs(900)).await;
    // All three of the hour are there still.
    for _ in 0..3 {
        assert_eq!(ask().await, Ok(None));
        tokio::time::advance(MINUTE).await;
    }
    assert!(ask().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn without_a_hook_no_number_is_asked() {
    let home = home();
    let desk = desk(&home);
    assert!(!desk.means().sms);
    let number = "+12025550123".parse().unwrap();
    let asked = desk.ask_phone(Reference::new([1; 10]), &number, by(1), |_, _| {
        String::new()
    });
    assert_eq!(asked.await.unwrap(), Ok(None));
}
