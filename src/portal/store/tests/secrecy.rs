//! Nothing that was left, said or written is on the disk in clear; equal things look different.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::super::*;
use super::support::*;
use crate::mail::Level;

/// The canary as it could lie on a disk: plain, UTF-16 in both orders, and base64 at each offset.
fn forms() -> Vec<Vec<u8>> {
    let plain = CANARY.as_bytes().to_vec();
    let wide = |order: fn(u16) -> [u8; 2]| CANARY.encode_utf16().flat_map(order).collect();
    let mut forms = vec![plain, wide(u16::to_le_bytes), wide(u16::to_be_bytes)];
    for before in 0..3 {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(CANARY.as_bytes());
        let text = STANDARD.encode(shifted);
        // The first characters depend on what is before, the last ones on what follows.
        forms.push(text.as_bytes()[4..text.len() - 4].to_vec());
    }
    forms
}

#[tokio::test]
async fn no_canary_in_clear_in_the_whole_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for number in 1..=3 {
        leave(&store, with_secret(deposit(number, 70_000)))
            .await
            .unwrap();
    }
    let mut read = access("read");
    read.client = format!("{CANARY} client");
    store.open_message(&reference(1), read).await.unwrap();
    let mut order = by(CANARY);
    order.reason = format!("{CANARY} reason");
    store.retract(reference(2), order).await.unwrap();
    let reply = NewReply {
        answers: reference(1),
        level: Level::Protected,
        content: Bytes::from(content(7, 3000)),
    };
    store.reply(reply).await.unwrap();
    drop(store.deposit(deposit(4, 10)).await.unwrap());
    store.close().await;
    let found = files(directory.path());
    assert!(found.len() > 5);
    for (path, octets) in found {
        for form in forms() {
            let found = memchr::memmem::find(&octets, &form);
            assert_eq!(found, None, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn equal_messages_look_different_and_belong_to_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for number in [1, 2] {
        let mut incoming = store.deposit(deposit(number, 70_000)).await.unwrap();
        let same = Bytes::from(content(0, 70_000));
        incoming.write(same).await.unwrap();
        incoming.finish().await.unwrap();
    }
    let path = |number| store.shared.contents.path(reference(number));
    let (one, two) = (
        std::fs::read(path(1)).unwrap(),
        std::fs::read(path(2)).unwrap(),
    );
    assert_eq!(one.len(), two.len());
    let equal = one[32..].iter().zip(&two[32..]).filter(|(a, b)| a == b);
    assert!(equal.count() < 1000, "one in 256 by chance");
    // Swapped, cut, changed: nothing is handed out.
    for octets in [&two[..], &one[..one.len() - 1], &one[..65_584], b""] {
        std::fs::write(path(1), octets).unwrap();
        let opened = store.open_message(&reference(1), access("read")).await;
        assert!(matches!(
            opened,
            Err(OpenError::Store(StoreError::Damaged(_)))
        ));
    }
    let mut changed = one.clone();
    changed[60_000] ^= 1;
    std::fs::write(path(1), changed).unwrap();
    let opened = store.open_message(&reference(1), access("read")).await;
    assert!(opened.is_err());
    std::fs::write(path(1), one).unwrap();
    let opened = store.open_message(&reference(1), access("read")).await;
    assert_eq!(opened.unwrap(), content(0, 70_000));
}

#[tokio::test]
async fn a_retracted_key_is_not_on_the_disk_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    let place = store.record(&reference(1)).unwrap().slot.place as usize;
    let slots = directory.path().join("slots");
    let start = slots::HEADER_OCTETS + place * slots::SLOT_OCTETS;
    let wrap = std::fs::read(&slots).unwrap()[start + 22..start + 98].to_vec();
    let kept = std::fs::read(store.shared.contents.path(reference(1))).unwrap();
    store.retract(reference(1), by("ann")).await.unwrap();
    for (path, octets) in files(directory.path()) {
        let found = memchr::memmem::find(&octets, &wrap[16..40]);
        assert_eq!(found, None, "{}", path.display());
    }
    // A backup of the content's file alone opens nothing.
    std::fs::write(store.shared.contents.path(reference(1)), kept).unwrap();
    assert!(
        store
            .open_message(&reference(1), access("read"))
            .await
            .is_err()
    );
}
