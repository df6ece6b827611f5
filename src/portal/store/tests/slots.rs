//! Slots by themselves: used again, grown, torn, another store's.

use std::path::Path;
use std::sync::Arc;

use super::super::failing::Failing;
use super::super::slots::{BLOCK_SLOTS, Found, HEADER_OCTETS, SLOT_OCTETS, Slots};
use super::super::*;
use super::support::*;
use crate::journal::{Keyring, MessageKey};

fn keys(uuid: u8) -> Arc<Keyring> {
    Arc::new(Keyring::new(key(1), [uuid; 16], 1).unwrap())
}

fn open_slots(directory: &Path, uuid: u8, must_exist: bool) -> Result<(Slots, Found), StoreError> {
    let disk = TestDisk::default();
    Slots::open(&disk, directory, keys(uuid), must_exist, Failing::new())
}

fn same(one: &MessageKey, other: &MessageKey) -> bool {
    let mut sealed = Vec::new();
    one.seal_into(b"", b"x", &mut sealed).unwrap();
    other.open(b"", &sealed).is_ok()
}

#[test]
fn a_slot_is_good_for_one_use() {
    let directory = tempfile::tempdir().unwrap();
    let (slots, found) = open_slots(directory.path(), 1, false).unwrap();
    assert!(found.keys.is_empty());
    let (one, two) = (
        MessageKey::generate().unwrap(),
        MessageKey::generate().unwrap(),
    );
    let first = slots.keep(reference(1), &one).unwrap();
    assert!(same(&slots.key(first, reference(1)).unwrap(), &one));
    assert!(slots.key(first, reference(2)).is_err());
    slots.shred(first).unwrap();
    slots.shred(first).unwrap();
    assert!(slots.key(first, reference(1)).is_err());
    let second = slots.keep(reference(1), &two).unwrap();
    assert_eq!(second.place, first.place);
    assert!(second.generation > first.generation);
    // The earlier use neither opens nor ends the later one.
    assert!(slots.key(first, reference(1)).is_err());
    slots.shred(first).unwrap();
    assert!(same(&slots.key(second, reference(1)).unwrap(), &two));
}

#[test]
fn the_file_grows_and_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let (slots, _) = open_slots(directory.path(), 1, false).unwrap();
    let key = MessageKey::generate().unwrap();
    let many = u64::from(BLOCK_SLOTS) + 3;
    let kept: Vec<_> = (0..many)
        .map(|number| slots.keep(reference(number), &key).unwrap())
        .collect();
    slots.shred(kept[5]).unwrap();
    drop(slots);
    let path = directory.path().join("slots");
    let octets = std::fs::read(&path).unwrap();
    assert_eq!(
        octets.len(),
        HEADER_OCTETS + 2 * SLOT_OCTETS * BLOCK_SLOTS as usize
    );
    // The last growth was cut short, and one slot torn.
    let mut cut = octets[..octets.len() - 100].to_vec();
    cut[HEADER_OCTETS + 7 * SLOT_OCTETS + 40] ^= 8;
    std::fs::write(&path, &cut).unwrap();
    let (slots, found) = open_slots(directory.path(), 1, true).unwrap();
    assert_eq!(found.keys.len() as u64, many - 2);
    assert_eq!(found.torn, [7]);
    slots.clear_torn(7).unwrap();
    let next = slots.keep(reference(1), &key).unwrap();
    assert!(next.place == 5 && next.generation > many);

    std::fs::write(&path, &octets[..100]).unwrap();
    assert!(open_slots(directory.path(), 1, true).is_err());
    std::fs::write(&path, &octets).unwrap();
    assert!(open_slots(directory.path(), 2, true).is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(open_slots(directory.path(), 1, true).is_err());
    assert!(open_slots(directory.path(), 1, false).is_ok());
}
