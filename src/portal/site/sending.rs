//! Memory for what is being sent: attachments, archives and frames that were made of a message.
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
/// One unit of these.
const UNIT: u64 = 64 * 1024;

/// The memory.
pub struct Sending {
    all: Arc<Semaphore>,
    shares: Counter,
}

/// A part of it.
pub struct Room {
    units: OwnedSemaphorePermit,
    share: Slot,
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
fn units(octets: u64) -> usize {
    let most = SHARE_OCTETS / UNIT;
    usize::try_from(octets.div_ceil(UNIT).clamp(1, most)).unwrap_or(usize::MAX)
}

impl Sending {
    /// All of it.
    pub fn new() -> Self {
        let count = |octets: u64| usize::try_from(octets / UNIT).unwrap_or(usize::MAX);
        Self {
            all: Arc::new(Semaphore::new(count(SENDING_OCTETS))),
            shares: Counter::new(count(SHARE_OCTETS)),
        }
    }

    /// Room for so many octets that go to a client; `None` where there is none now.
    pub fn reserve(&self, client: IpAddr, octets: u64) -> Option<Room> {
        let wanted = units(octets);
        let mut share = self.shares.take(network(client))?;
        if !(1..wanted).all(|_| share.grow()) {
            return None;
        }
        let many = u32::try_from(wanted).ok()?;
        let units = Arc::clone(&self.all).try_acquire_many_owned(many).ok()?;
        Some(Room { units, share })
    }
}

impl Default for Sending {
    fn default() -> Self {
        Self::new()
    }
}

impl Room {
    /// The octets, which keep as much of the room as they need until the last of them is sent.
    pub fn hold(mut self, octets: Bytes) -> Bytes {
        let needed = units(octets.len() as u64);
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
}
