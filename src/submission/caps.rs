//! How much may be going on at a time: connections in all, from one address, of one account, and
//! memory for messages on their way in. What is taken is given back when its guard is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SubmissionConfig;
use super::lockout::network;

/// Connections that are told at a time that there is no room; beyond it they are dropped.
const TURNED_AWAY_AT_A_TIME: usize = 64;
/// How long DATA waits for memory.
const MEMORY_WAIT: Duration = Duration::from_secs(10);
/// What a message holds beside its content: the header while it is read and once more rewritten,
/// a MIME part's header, buffers.
const MESSAGE_OVERHEAD_OCTETS: u64 = 768 * 1024;
/// Content that is in memory at most, whatever the size of the message: the spool's writer holds
/// a MiB, and its buffer may have grown to two.
const CONTENT_IN_MEMORY_OCTETS: u64 = 2 * 1024 * 1024;

/// The limits of a server.
#[derive(Debug)]
pub(super) struct Caps {
    connections: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    addresses: Counter<IpAddr>,
    users: Counter<String>,
    /// In KiB.
    memory: Arc<Semaphore>,
    message_kib: u32,
}

/// A connection's places.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    _connection: OwnedSemaphorePermit,
    _address: Option<Slot<IpAddr>>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowded {
    /// In all.
    Server,
    /// From this address.
    Address,
}

impl Caps {
    pub(super) fn new(config: &SubmissionConfig) -> Self {
        let kib = |octets: u64| u32::try_from(octets.div_ceil(1024)).unwrap_or(u32::MAX);
        let message = config.message_octets.min(CONTENT_IN_MEMORY_OCTETS) + MESSAGE_OVERHEAD_OCTETS;
        let memory = kib(config.memory_octets).max(kib(message));
        Self {
            connections: Arc::new(Semaphore::new(config.connections)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_AT_A_TIME)),
            addresses: Counter::new(config.connections_per_address),
            users: Counter::new(config.connections_per_user),
            memory: Arc::new(Semaphore::new(
                usize::try_from(memory).unwrap_or(usize::MAX),
            )),
            message_kib: kib(message),
        }
    }

    /// A place for a connection.
    pub(super) fn connection(&self, address: Option<IpAddr>) -> Result<ConnectionSlot, Crowded> {
        let address = match address {
            Some(address) => Some(
                self.addresses
                    .take(network(address))
                    .ok_or(Crowded::Address)?,
            ),
            None => None,
        };
        let connection = Arc::clone(&self.connections)
            .try_acquire_owned()
            .map_err(|_| Crowded::Server)?;
        Ok(ConnectionSlot {
            _connection: connection,
            _address: address,
        })
    }

    /// A place to tell a connection that it has none.
    pub(super) fn turned_away(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turned_away).try_acquire_owned().ok()
    }

    /// A place for another session of this account.
    pub(super) fn user(&self, name: &str) -> Option<Slot<String>> {
        self.users.take(name.to_owned())
    }

    /// Memory for one message; `None` if there is none for a while.
    pub(super) async fn message(&self) -> Option<OwnedSemaphorePermit> {
        let memory = Arc::clone(&self.memory).acquire_many_owned(self.message_kib);
        tokio::time::timeout(MEMORY_WAIT, memory).await.ok()?.ok()
    }
}

/// Counts by key, up to a limit each.
#[derive(Debug)]
struct Counter<K: Eq + Hash> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
    limit: usize,
}

impl<K: Eq + Hash + Clone> Counter<K> {
    fn new(limit: usize) -> Self {
        Self {
            counts: Arc::default(),
            limit,
        }
    }

    fn take(&self, key: K) -> Option<Slot<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&key).copied().unwrap_or_default();
        if count >= self.limit {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        Some(Slot {
            counts: Arc::clone(&self.counts),
            key,
        })
    }
}

/// One place of a key.
#[derive(Debug)]
pub(super) struct Slot<K: Eq + Hash> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
    key: K,
}

impl<K: Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let left = counts.get_mut(&self.key).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            counts.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps() -> Caps {
        Caps::new(&SubmissionConfig {
            hostname: "mail.clinic.example".parse().unwrap(),
            postmaster: "postmaster@clinic.example".parse().unwrap(),
            message_octets: 50 << 20,
            recipients: 10,
            connections: 3,
            connections_per_address: 2,
            connections_per_user: 1,
            memory_octets: 6 << 20,
        })
    }

    #[test]
    fn connections_are_counted_in_all_and_by_address() {
        let caps = caps();
        let one = Some("192.0.2.1".parse().unwrap());
        let two = Some("192.0.2.2".parse().unwrap());
        let first = caps.connection(one).unwrap();
        let _second = caps.connection(one).unwrap();
        assert_eq!(caps.connection(one).unwrap_err(), Crowded::Address);
        let _third = caps.connection(two).unwrap();
        assert_eq!(caps.connection(two).unwrap_err(), Crowded::Server);
        assert_eq!(caps.connection(None).unwrap_err(), Crowded::Server);
        drop(first);
        assert!(caps.connection(one).is_ok());
        drop((_second, _third));
        assert!(caps.addresses.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn accounts_are_counted() {
        let caps = caps();
        let slot = caps.user("jo").unwrap();
        assert!(caps.user("jo").is_none());
        assert!(caps.user("other").is_some());
        drop(slot);
        assert!(caps.user("jo").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_waited_for_and_then_refused() {
        let caps = caps();
        let one = caps.message().await.unwrap();
        let _two = caps.message().await.unwrap();
        assert!(caps.message().await.is_none());
        let (third, ()) = tokio::join!(caps.message(), async {
            tokio::task::yield_now().await;
            drop(one);
        });
        assert!(third.is_some());
    }
}
