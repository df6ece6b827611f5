//! Opening and retracting at the same moment, ten thousand times.

use std::sync::atomic::Ordering;

use super::super::*;
use super::support::*;
use crate::proto::link::DepositState;

const RACES: u64 = 10_000;
const AT_ONCE: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_first_the_record_agrees() {
    let directory = tempfile::tempdir().unwrap();
    let (store, knobs) = open_knobs(directory.path()).await;
    knobs.lazy.store(true, Ordering::SeqCst);
    let mut runners = JoinSet::new();
    for first in 0..AT_ONCE {
        let store = store.clone();
        runners.spawn(async move {
            let mut opened = 0_u64;
            for number in (0..RACES).filter(|number| number % AT_ONCE == first) {
                opened += u64::from(race(&store, number).await);
            }
            opened
        });
    }
    let mut opened = 0;
    while let Some(some) = runners.join_next().await {
        opened += some.unwrap();
    }
    // Both happen, or it was no race.
    assert!(
        opened > 0 && opened < RACES,
        "{opened} of {RACES} were opened"
    );
    assert_eq!((store.len(), store.shared.slots.in_use()), (0, 0));
    assert_eq!(contents(directory.path()), 0);
}

/// Whether the content was handed out.
async fn race(store: &Store, number: u64) -> bool {
    let mut one = deposit(number, 40);
    one.recipient = address(&format!("r{}", number % 97));
    leave(store, one).await.unwrap();
    let name = reference(number);
    let (opening, retracting) = (store.clone(), store.clone());
    let open = async move { opening.open_message(&name, access("read")).await };
    let retract = async move { retracting.retract(name, by("ann")).await };
    let (opening, retracting) = match number % 2 {
        0 => {
            let opening = tokio::spawn(open);
            (opening, tokio::spawn(retract))
        }
        _ => {
            let retracting = tokio::spawn(retract);
            (tokio::spawn(open), retracting)
        }
    };
    let (opened, retracted) = (opening.await.unwrap(), retracting.await.unwrap().unwrap());
    assert!(retracted.changed);
    match &opened {
        Ok(body) => assert_eq!(*body, content(number, 40)),
        Err(OpenError::Ended(DepositState::Retracted)) => {}
        Err(error) => panic!("{error:?}"),
    }
    let record = store.record(&name).unwrap();
    assert_eq!(opened.is_ok(), retracted.opened_before, "{number}");
    assert_eq!(record.was_opened(), opened.is_ok(), "{number}");
    assert_eq!(record.state, DepositState::Retracted);
    opened.is_ok()
}
