//! The pinned keys of an address: where there is one, no other key is used.

use std::sync::Arc;

use super::import::is_pinned;
use super::parse::KeyId;
use super::store::Entry;

/// The pinned keys of an address.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// There is a pin, be it one that cannot be read any more.
    any: bool,
    keys: Vec<KeyId>,
}

impl Pins {
    /// Those among the rows of an address. One that cannot be read any more stays a pin: of which
    /// key is not known, so it lets in none, until somebody approves another or removes it.
    pub(super) fn of(entries: &[Arc<Entry>]) -> Self {
        let pinned = entries.iter().filter(|it| is_pinned(it));
        let (mut any, mut keys) = (false, Vec::new());
        for entry in pinned {
            any = true;
            keys.extend(entry.parsed.as_ref().map(|it| it.key_id));
        }
        Self { any, keys }
    }

    /// Whether there is one.
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// Whether a key may be used beside them.
    pub(super) fn admits(&self, key: &KeyId) -> bool {
        !self.any || self.keys.contains(key)
    }
}
