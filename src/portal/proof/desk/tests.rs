//! The desk: asking, showing, and what strangers can do to the owner.

use super::*;
use crate::mail::{Final, Grade, MessageId};
use crate::portal::proof::tests_support::{Home, NOW, home};

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

fn jo() -> Address {
    "jo@b.example".parse().unwrap()
}

fn from(number: u32) -> IpAddr {
    let [_, b, c, d] = number.to_be_bytes();
    IpAddr::from([b, c, d, 1])
}

/// A code that was mailed and arrived.
fn mailed(desk: &Desk, client: IpAddr) -> String {
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
    });
    issued.code.expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_code_opens_the_mailbox() {
    let home = home();
    let desk = desk(&home);
    let code = mailed(&desk, from(1));
    let wrong = desk.try_mailbox(&jo(), true, "x", from(1)).await.unwrap();
    assert_eq!(wrong, Tried::Wrong { last: false });
    let right = desk.try_mailbox(&jo(), true, &code, from(1)).await.unwrap();
    assert_eq!(right, Tried::Right(Proof::Mailbox));
    let again = desk.try_mailbox(&jo(), true, &code, from(1)).await.unwrap();
    assert_eq!(again, Tried::Wrong { last: false });
}

#[tokio::test(start_paused = true)]
async fn asking_is_throttled_and_both_ways_apart() {
    let home = home();
    let desk = desk(&home);
    let ask = |asked, number| desk.ask_mailbox(&jo(), asked, true, from(number)).unwrap();
    assert!(ask(Asked::ByAddress, 1).unwrap().is_some());
    for number in 2..100 {
        assert!(ask(Asked::ByAddress, number).is_err());
    }
    // Whoever has the reference still gets one, and then none within the minute.
    assert!(ask(Asked::ByReference, 200).unwrap().is_some());
    assert!(ask(Asked::ByReference, 201).is_err());
    // In another case it is the same mailbox.
    let shouted = "JO@b.example".parse().unwrap();
    assert!(
        desk.ask_mailbox(&shouted, Asked::ByReference, true, from(202))
            .unwrap()
            .is_err()
    );
    // For twelve hours every minute, each from a network of its own.
    let mut mails = 0;
    for minute in 0..720_u32 {
        tokio::time::advance(MINUTE).await;
        let asked = ask(Asked::ByReference, 1000 + minute);
        mails += u32::from(asked.is_ok_and(|issued| issued.is_some()));
    }
    assert!((6..=24).contains(&mails), "{mails}");
}

/// D24: asking for nobody is throttled as asking for somebody is, and mails nothing.
#[tokio::test(start_paused = true)]
async fn nobody_is_asked_for_as_somebody() {
    let home = home();
    let desk = desk(&home);
    for exists in [true, false] {
        let address: Address = format!("{exists}@b.example").parse().unwrap();
        let ask = || {
            desk.ask_mailbox(&address, Asked::ByAddress, exists, from(1))
                .unwrap()
        };
        assert_eq!(ask().unwrap().is_some(), exists);
        let often = ask().unwrap_err();
        assert_eq!(often.until, NOW + MINUTE);
        let mut answers = Vec::new();
        for _ in 0..7 {
            let tried = desk
                .try_mailbox(&address, exists, "12345678", from(2))
                .await
                .unwrap();
            answers.push(matches!(tried, Tried::Wrong { .. }));
        }
        assert_eq!(answers, [true, true, true, true, true, false, false]);
    }
}

/// D26: whoever guesses from one network does not keep the owner out.
#[tokio::test(start_paused = true)]
async fn the_owner_still_gets_in() {
    let home = home();
    let desk = desk(&home);
    let code = mailed(&desk, from(1));
    for _ in 0..1000 {
        let tried = desk
            .try_mailbox(&jo(), true, "00000000", from(66))
            .await
            .unwrap();
        assert!(!matches!(tried, Tried::Right(_)) || code == "00000000");
    }
    let right = desk.try_mailbox(&jo(), true, &code, from(1)).await.unwrap();
    assert_eq!(right, Tried::Right(Proof::Mailbox));
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
    let right = desk.try_password(&jo(), &password, from(1)).await.unwrap();
    assert_eq!(right, Tried::Right(Proof::Account(set)));
    assert_eq!(desk.standing(&jo()).registered, Some(NOW));
    let nobody = "kim@b.example".parse().unwrap();
    let wrong = desk
        .try_password(&nobody, &password, from(1))
        .await
        .unwrap();
    assert_eq!(wrong, Tried::Wrong { last: false });
    let other = SecretBytes::new(b"grey heron at dusk".to_vec());
    let mut admitted = 0;
    for number in 0..200 {
        let tried = desk
            .try_password(&jo(), &other, from(100 + number))
            .await
            .unwrap();
        admitted += u32::from(matches!(tried, Tried::Wrong { .. }));
    }
    assert_eq!(admitted, Kind::Password.allowance().strangers);
    // The owner's network is known.
    let right = desk.try_password(&jo(), &password, from(1)).await.unwrap();
    assert_eq!(right, Tried::Right(Proof::Account(set)));
}

#[tokio::test(start_paused = true)]
async fn without_a_hook_no_number_is_asked() {
    let home = home();
    let desk = desk(&home);
    assert!(!desk.means().sms);
    let number = "+12025550123".parse().unwrap();
    let asked = desk.ask_phone(Reference::new([1; 10]), &number, from(1), |_, _| {
        String::new()
    });
    assert_eq!(asked.await.unwrap(), Ok(None));
}
