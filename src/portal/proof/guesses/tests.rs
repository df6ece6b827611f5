//! Guesses: how many are ever looked at, by whom, and what a restart forgives.

use super::*;
use crate::portal::proof::tests_support::{Home, home};

const DAY: Duration = Duration::from_secs(DAY_SECS);

fn midnight() -> Timestamp {
    Timestamp::from_secs(20_000 * DAY_SECS)
}

fn network(number: u32) -> Network {
    let [a, b, c, d] = number.to_be_bytes();
    Network::V6([0x20, 1, 0xd, 0xb8, a, b, c, d])
}

fn guess(name: &str, from: u32) -> Guess<'_> {
    Guess {
        kind: Kind::MailCode,
        name,
        exists: true,
        network: network(from),
        holds: false,
    }
}

fn guesses(home: &Home) -> Guesses {
    Guesses::open(&home.tables).unwrap()
}

/// D25: a million guesses at one mailbox, each from a network of its own, in one day of virtual
/// time, and in the best order for whoever guesses.
#[tokio::test]
async fn a_million_guesses() {
    let home = home();
    let guesses = guesses(&home);
    let mut admitted = 0_u32;
    for number in 0..1_000_000_u32 {
        let now = midnight() + Duration::from_micros(86_399 * u64::from(number));
        let spent = guesses
            .spend(guess("jo@b.example", number), now)
            .await
            .unwrap();
        admitted += u32::from(spent.is_ok());
    }
    let allowance = Kind::MailCode.allowance();
    assert_eq!(admitted, allowance.strangers);
    // Even with every place that is kept for known networks, at every code that is live at once.
    let codes = f64::from(u32::try_from(crate::portal::proof::codes::MAX_LIVE).unwrap());
    let likely = f64::from(allowance.strangers + allowance.known) * codes / 1e8;
    assert!(likely < 1e-5, "{likely}");
}

fn password(name: &str, from: u32) -> Guess<'_> {
    Guess {
        kind: Kind::Password,
        ..guess(name, from)
    }
}

#[tokio::test]
async fn one_network_does_not_use_up_the_others() {
    let home = home();
    let guesses = guesses(&home);
    let now = midnight();
    let mut admitted = 0;
    for _ in 0..1000 {
        let spent = guesses
            .spend(password("jo@b.example", 1), now)
            .await
            .unwrap();
        admitted += u32::from(spent.is_ok());
    }
    assert_eq!(admitted, Kind::Password.allowance().network);
    // D26: the owner, from another network.
    let own = password("jo@b.example", 2 << 16);
    let spent = guesses.spend(own, now).await.unwrap().unwrap();
    guesses.was_right(spent, own, now).await.unwrap();
    // Many networks use up what strangers have; the owner's is known by now.
    let mut admitted = 0;
    for from in (100..1000).map(|from| from << 16) {
        let spent = guesses
            .spend(password("jo@b.example", from), now)
            .await
            .unwrap();
        admitted += u32::from(spent.is_ok());
    }
    assert_eq!(admitted, 40);
    for _ in 0..100 {
        let spent = guesses.spend(own, now).await.unwrap().unwrap();
        guesses.was_right(spent, own, now).await.unwrap();
    }
    // Nor is anybody else's mailbox concerned, nor the next day.
    assert!(
        guesses
            .spend(password("kim@b.example", 100), now)
            .await
            .unwrap()
            .is_ok()
    );
    assert!(
        guesses
            .spend(password("jo@b.example", 2000), now + DAY)
            .await
            .unwrap()
            .is_ok()
    );
}

/// D26: strangers use up all that strangers have, in the owner's network as well; whoever has shown
/// the mailbox has guesses left, from wherever, and not for ever.
#[tokio::test]
async fn whoever_holds_the_address_has_guesses_of_their_own() {
    let home = home();
    let guesses = guesses(&home);
    let now = midnight();
    for kind in [Kind::Password, Kind::Totp, Kind::Recovery] {
        let stranger = |from: u32| Guess {
            kind,
            ..guess("jo@b.example", from << 16)
        };
        for from in 0..100 {
            drop(guesses.spend(stranger(from), now).await.unwrap());
        }
        assert!(guesses.spend(stranger(1000), now).await.unwrap().is_err());
        let mut admitted = 0;
        // From the network that was used up first, and from new ones.
        for from in (0..kind.allowance().holders * 2).map(|it| it / 2 * 2000) {
            let own = Guess {
                holds: true,
                ..stranger(from)
            };
            if let Ok(spent) = guesses.spend(own, now).await.unwrap() {
                admitted += 1;
                assert_eq!(spent.last, admitted == kind.allowance().holders);
            }
        }
        assert_eq!(admitted, kind.allowance().holders, "{kind:?}");
    }
    // Whoever guesses at a password in all these ways has no more than is reckoned.
    let Allowance {
        strangers,
        known,
        holders,
        ..
    } = Kind::Password.allowance();
    assert_eq!(strangers + known + holders, 80);
}

/// D26: twenty networks that guess the secret of a message all day. Whoever has not tried waits for
/// minutes, before and after a restart.
#[tokio::test]
async fn a_secret_is_slowed_and_not_locked() {
    let mut home = home();
    let secret = |from: u32| Guess {
        kind: Kind::Secret,
        ..guess("a message", from << 16)
    };
    let mut admitted = 0;
    let mut held = guesses(&home);
    for minute in 0..1440_u64 {
        let now = midnight() + Duration::from_secs(60 * minute);
        for from in 0..20 {
            let spent = held.spend(secret(from), now).await.unwrap();
            admitted += u32::from(spent.is_ok());
        }
        if minute == 700 {
            drop(held);
            home.restart();
            held = guesses(&home);
        }
        if minute % 200 == 199 {
            let own = secret(5000 + u32::try_from(minute).unwrap());
            let mut waited = now;
            loop {
                match held.spend(own, waited).await.unwrap() {
                    Ok(spent) => {
                        held.give_back(spent, own, waited).await.unwrap();
                        break;
                    }
                    Err(often) => waited = often.until,
                }
            }
            assert!(waited.since(now) <= Duration::from_secs(300));
        }
    }
    assert!((20..=530).contains(&admitted), "{admitted}");
}

/// The most that any number of networks has in a day.
#[tokio::test]
async fn a_million_guesses_at_a_secret() {
    let home = home();
    let guesses = guesses(&home);
    let mut admitted = 0;
    for number in 0..1_000_000_u32 {
        let now = midnight() + Duration::from_micros(86_399 * u64::from(number));
        let guess = Guess {
            kind: Kind::Secret,
            network: Network::V4([
                0,
                u8::try_from(number / 256 % 256).unwrap(),
                u8::try_from(number % 256).unwrap(),
            ]),
            ..guess("a message", 0)
        };
        admitted += u32::from(guesses.spend(guess, now).await.unwrap().is_ok());
    }
    assert!((300..=530).contains(&admitted), "{admitted}");
}

/// One customer's many networks of IPv6 are not many customers.
#[tokio::test]
async fn a_48_is_counted_too() {
    let home = home();
    let guesses = guesses(&home);
    let mut admitted = 0;
    for from in 0..200 {
        let spent = guesses.spend(password("jo@b.example", from), midnight());
        admitted += u32::from(spent.await.unwrap().is_ok());
    }
    assert_eq!(admitted, 4 * Kind::Password.allowance().network);
}

#[tokio::test]
async fn the_last_one_is_told_and_the_next_day_is() {
    let home = home();
    let guesses = guesses(&home);
    let now = midnight() + Duration::from_secs(3600);
    for from in 0..400 {
        let spent = guesses
            .spend(guess("jo@b.example", from), now)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(spent.last, from == 399);
    }
    let refused = guesses.spend(guess("jo@b.example", 77), now).await.unwrap();
    assert_eq!(refused.unwrap_err().until, midnight() + DAY);
}

#[tokio::test]
async fn a_restart_forgives_nobody() {
    let mut home = home();
    let now = midnight();
    {
        let guesses = guesses(&home);
        for from in 0..392 {
            guesses
                .spend(guess("jo@b.example", from), now)
                .await
                .unwrap()
                .unwrap();
        }
        // One is given back.
        let own = guess("jo@b.example", 50);
        let spent = guesses.spend(own, now).await.unwrap().unwrap();
        guesses.give_back(spent, own, now).await.unwrap();
    }
    home.restart();
    let guesses = guesses(&home);
    let mut admitted = 0;
    for from in 100..200 {
        let spent = guesses
            .spend(guess("jo@b.example", from), now)
            .await
            .unwrap();
        admitted += u32::from(spent.is_ok());
    }
    assert_eq!(admitted, 8);
}

/// D24: a name that does not exist is refused as often as one that does, and leaves no row.
#[tokio::test]
async fn nobody_is_as_anybody() {
    let home = home();
    let guesses = guesses(&home);
    let now = midnight();
    for number in 0..5 {
        let name = format!("nobody{number}@b.example");
        let mut admitted = 0;
        for from in 0..410 {
            let guess = Guess {
                exists: false,
                ..guess(&name, 1000 + number * 100 + from)
            };
            admitted += u32::from(guesses.spend(guess, now).await.unwrap().is_ok());
        }
        assert_eq!(admitted, Kind::MailCode.allowance().strangers);
    }
    assert!(guesses.table.len() <= LOCKS);
}

#[tokio::test]
async fn rows_of_earlier_days_go() {
    let home = home();
    let guesses = guesses(&home);
    for number in 0..20 {
        let name = format!("jo{number}@b.example");
        guesses
            .spend(guess(&name, number), midnight())
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(guesses.table.len(), 20);
    for number in 0..11 {
        let now = midnight() + DAY;
        guesses
            .spend(guess("kim@b.example", 100 + number), now)
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(guesses.table.len(), 1);
}

/// Guesses that come together are counted one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn together_they_are_no_more() {
    let home = home();
    let guesses = std::sync::Arc::new(guesses(&home));
    let tasks: Vec<_> = (0..600)
        .map(|from| {
            let guesses = std::sync::Arc::clone(&guesses);
            tokio::spawn(async move {
                let spent = guesses.spend(guess("jo@b.example", from), midnight()).await;
                u32::from(spent.unwrap().is_ok())
            })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.unwrap();
    }
    assert_eq!(admitted, Kind::MailCode.allowance().strangers);
}
