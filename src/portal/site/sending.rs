//! Memory for what is being sent: attachments, archives, frames and large pages that were made of
//! a message; and apart from these, forms that come back with what was typed.
//!
//! Apart from the memory for reading, so that a client that takes its download slowly keeps nobody
//! from reading. Invariant: what one network holds is bounded too, by [`SHARE_OCTETS`]; whatever is
//! larger than that is sent when its network holds nothing else.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::portal::http::{Counter, Slot, network};

/// Octets that all clients together are being sent.
pub const SENDING_OCTETS: u64 = 512 * 1024 * 1024;
/// Octets that the clients of one network are.
pub const SHARE_OCTETS: u64 = 128 * 1024 * 1024;
/// Octets of forms that all clients together are being sent.
pub const FORMS_OCTETS: u64 = 64 * 1024 * 1024;
/// Octets of forms that the clients of one network are.
pub const FORMS_SHARE_OCTETS: u64 = 16 * 1024 * 1024;
/// One unit of these.
const UNIT: u64 = 64 * 1024;
/// What is as small as an ordinary page needs no room: everybody gets it, whatever else is sent.
pub const SMALL_OCTETS: u64 = UNIT;

/// The memory.
#[derive(Clone)]
pub struct Sending {
    all: Arc<Semaphore>,
    shares: Arc<Counter>,
    /// Units of one network.
    most: usize,
}

/// A claim on it, for what is being made for a client: nothing while that is small.
#[derive(Debug)]
pub struct Claim {
    sending: Sending,
    client: IpAddr,
    room: Option<Room>,
}

/// A part of it.
#[derive(Debug)]
pub struct Room {
    units: OwnedSemaphorePermit,
    share: Slot,
    most: usize,
}

/// Octets and the room that they take.
struct Held {
    octets: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sending({} units left)", self.all.available_permits())
    }
}

/// Units that so many octets take; at least one, and no more than a network has.
fn units(octets: u64, most: usize) -> usize {
    let units = usize::try_from(octets.div_ceil(UNIT)).unwrap_or(usize::MAX);
    units.clamp(1, most)
}

impl Sending {
    /// All of it.
    pub fn new() -> Self {
        Self::bounded(SENDING_OCTETS, SHARE_OCTETS)
    }

    /// What is kept for forms.
    pub fn of_forms() -> Self {
        Self::bounded(FORMS_OCTETS, FORMS_SHARE_OCTETS)
    }

    fn bounded(all: u64, share: u64) -> Self {
        let count = |octets: u64| usize::try_from(octets / UNIT).unwrap_or(usize::MAX);
        Self {
            all: Arc::new(Semaphore::new(count(all))),
            shares: Arc::new(Counter::new(count(share))),
            most: count(share),
        }
    }

    /// Room for so many octets that go to a client; `None` where there is none now.
    pub fn reserve(&self, client: IpAddr, octets: u64) -> Option<Room> {
        let wanted = units(octets, self.most);
        let mut share = self.shares.take(network(client))?;
        if !(1..wanted).all(|_| share.grow()) {
            return None;
        }
        let many = u32::try_from(wanted).ok()?;
        let units = Arc::clone(&self.all).try_acquire_many_owned(many).ok()?;
        let most = self.most;
        Some(Room { units, share, most })
    }

    /// A claim for a client, of nothing yet.
    pub fn claim(&self, client: IpAddr) -> Claim {
        Claim {
            sending: self.clone(),
            client,
            room: None,
        }
    }
}

impl Claim {
    /// Makes it so large, if it is smaller; `false` where there is no room for that now.
    pub fn grow(&mut self, octets: u64) -> bool {
        match &mut self.room {
            _ if octets <= SMALL_OCTETS => true,
            Some(room) => room.grow(octets),
            None => {
                self.room = self.sending.reserve(self.client, octets);
                self.room.is_some()
            }
        }
    }

    /// The octets, with the room that they need; `None` where there is none.
    pub fn hold(mut self, octets: Bytes) -> Option<Bytes> {
        if !self.grow(octets.len() as u64) {
            return None;
        }
        match self.room {
            Some(room) if octets.len() as u64 > SMALL_OCTETS => Some(room.hold(octets)),
            _ => Some(octets),
        }
    }
}

impl Default for Sending {
    fn default() -> Self {
        Self::new()
    }
}

impl Room {
    fn grow(&mut self, octets: u64) -> bool {
        let more = units(octets, self.most).saturating_sub(self.units.num_permits());
        let Ok(many) = u32::try_from(more) else {
            return false;
        };
        let all = Arc::clone(self.units.semaphore());
        let Ok(units) = all.try_acquire_many_owned(many) else {
            return false;
        };
        let before = self.units.num_permits();
        if !(0..more).all(|_| self.share.grow()) {
            self.share.shrink(before);
            return false;
        }
        self.units.merge(units);
        true
    }

    /// The octets, which keep as much of the room as they need until the last of them is sent.
    pub fn hold(mut self, octets: Bytes) -> Bytes {
        let needed = units(octets.len() as u64, self.most);
        if let Some(rest) = self.units.num_permits().checked_sub(needed) {
            drop(self.units.split(rest));
            self.share.shrink(needed);
        }
        Bytes::from_owner(Held {
            octets,
            _room: self,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_network_has_its_share_until_it_was_sent() {
        let sending = Sending::new();
        let all = sending.all.available_permits();
        let one = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let near = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
        let other = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
        let large = sending.reserve(one, u64::MAX).unwrap();
        assert!(sending.reserve(near, 1).is_none());
        assert!(sending.reserve(other, SHARE_OCTETS).is_some());
        // What turns out small takes little, until the last copy is gone.
        let mut held = large.hold(Bytes::from(vec![7; 100_000]));
        assert_eq!(sending.all.available_permits(), all - 2);
        let rest = held.split_off(50_000);
        drop(held);
        assert!(sending.reserve(near, SHARE_OCTETS).is_none());
        assert_eq!(rest[..], [7; 50_000]);
        drop(rest);
        assert_eq!(sending.all.available_permits(), all);
        assert!(sending.reserve(near, SHARE_OCTETS).is_some());
    }

    #[test]
    fn a_claim_grows_as_far_as_there_is_room_and_small_things_need_none() {
        let sending = Sending::new();
        let all = sending.all.available_permits();
        let one = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let mut claim = sending.claim(one);
        assert!(claim.grow(SMALL_OCTETS));
        assert_eq!(sending.all.available_permits(), all);
        assert!(claim.grow(SMALL_OCTETS + 1) && claim.grow(10 * UNIT) && claim.grow(UNIT));
        assert_eq!(sending.all.available_permits(), all - 10);
        let rest = sending.reserve(one, SHARE_OCTETS - 10 * UNIT).unwrap();
        assert!(!claim.grow(11 * UNIT) && claim.grow(10 * UNIT));
        // Others still have theirs, and what is small is sent.
        let other = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
        assert!(sending.claim(other).grow(SHARE_OCTETS));
        let small = Bytes::from_static(b"small");
        assert_eq!(sending.claim(one).hold(small.clone()), Some(small));
        assert_eq!(sending.claim(one).hold(vec![0; 100_000].into()), None);
        drop(rest);
        let held = claim.hold(vec![0; 100_000].into()).unwrap();
        assert_eq!(sending.all.available_permits(), all - 2);
        drop(held);
        assert_eq!(sending.all.available_permits(), all);
        assert!(sending.reserve(one, SHARE_OCTETS).is_some());
    }
}
