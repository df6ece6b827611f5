//! Idle connections, for the next message to the same next hop.
//!
//! Owns when a connection may be used again: by the same host, address, source, anchors, key
//! exchange and route, within [`MAX_IDLE`], for at most [`MAX_TRANSACTIONS`] messages, and only if the peer has
//! kept still. Whether it is good enough for a message is not decided here: the grade is checked
//! before every MAIL, for the domain at hand, from the handshake that this very connection had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::address::Leg;
use super::connection::Connection;
use crate::mail::Timestamp;
use crate::proto::smtp::client::Reference;
use crate::world::clock::Clock;

/// How long a connection may idle. Shorter than any server's patience (RFC 5321 §4.5.3.2.7 asks
/// for five minutes), because an idle connection is a seat in somebody's house.
pub const MAX_IDLE: Duration = Duration::from_secs(30);
/// Idle connections in all.
pub const MAX_IDLE_CONNECTIONS: usize = 200;
/// Idle connections of one key.
pub const MAX_IDLE_PER_KEY: usize = 20;
/// Transactions over one connection.
pub const MAX_TRANSACTIONS: u32 = 100;

/// What a connection was opened as. Two deliveries share one only if all of it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The name that the certificate was checked for, and the anchors.
    pub(super) reference: Reference,
    /// Address, port and source.
    pub(super) leg: Leg,
    /// The route, and with it how TLS began and whom we authenticated as.
    pub(super) route: Option<usize>,
    /// Whether nothing but a post-quantum key exchange was offered.
    pub(super) post_quantum: bool,
}

struct Idle {
    connection: Connection,
    until: Timestamp,
}

#[derive(Default)]
struct Shelves {
    idle: HashMap<Key, Vec<Idle>>,
    count: usize,
    /// Whether the task that closes the overdue is running.
    swept: bool,
}

/// The pool. Cheap to clone; all clones are one pool.
#[derive(Clone)]
pub(super) struct Pool {
    shelves: Arc<Mutex<Shelves>>,
    clock: Clock,
}

impl Pool {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            shelves: Arc::default(),
            clock,
        }
    }

    fn lock(shelves: &Mutex<Shelves>) -> MutexGuard<'_, Shelves> {
        // Nothing in here panics half-way; a poisoned lock still holds good shelves.
        shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most recently used connection of this key whose peer has kept still.
    pub(super) async fn take(&self, key: &Key) -> Option<Connection> {
        loop {
            let mut connection = Self::lock(&self.shelves).take(key, self.clock.now())?;
            if connection.is_fresh().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection, or says QUIT where it is used up or there is no room.
    pub(super) fn put(&self, connection: Connection) {
        let until = self.clock.now() + MAX_IDLE;
        let used_up = connection.transactions >= MAX_TRANSACTIONS || !connection.is_idle();
        let mut shelves = Self::lock(&self.shelves);
        let full = shelves.count >= MAX_IDLE_CONNECTIONS
            || shelves
                .idle
                .get(&connection.key)
                .is_some_and(|shelf| shelf.len() >= MAX_IDLE_PER_KEY);
        if used_up || full {
            drop(shelves);
            return connection.quit();
        }
        let sweep = !std::mem::replace(&mut shelves.swept, true);
        shelves.count += 1;
        let key = connection.key.clone();
        shelves
            .idle
            .entry(key)
            .or_default()
            .push(Idle { connection, until });
        drop(shelves);
        if sweep {
            tokio::spawn(sweep_overdue(Arc::downgrade(&self.shelves), self.clock));
        }
    }

    /// Says QUIT to all.
    pub(super) fn close(&self) {
        let idle = {
            let mut shelves = Self::lock(&self.shelves);
            shelves.count = 0;
            std::mem::take(&mut shelves.idle)
        };
        for Idle { connection, .. } in idle.into_values().flatten() {
            connection.quit();
        }
    }

    /// Idle connections.
    pub(super) fn len(&self) -> usize {
        Self::lock(&self.shelves).count
    }
}

impl Shelves {
    fn take(&mut self, key: &Key, now: Timestamp) -> Option<Connection> {
        let shelf = self.idle.get_mut(key)?;
        let last = shelf.pop();
        if shelf.is_empty() {
            self.idle.remove(key);
        }
        let Idle { connection, until } = last?;
        self.count -= 1;
        // One that is overdue is dropped unsaid: its QUIT was due before this.
        (now < until).then_some(connection)
    }

    /// Takes out what is overdue; when the next one will be.
    fn overdue(&mut self, now: Timestamp) -> (Vec<Connection>, Option<Timestamp>) {
        let mut overdue = Vec::new();
        self.idle.retain(|_, shelf| {
            overdue.extend(shelf.extract_if(.., |idle| idle.until <= now));
            !shelf.is_empty()
        });
        self.count -= overdue.len();
        let next = self.idle.values().flatten().map(|idle| idle.until).min();
        self.swept = next.is_some();
        let overdue = overdue.into_iter().map(|idle| idle.connection).collect();
        (overdue, next)
    }
}

/// Says QUIT to connections whose time is up, for as long as there are any.
async fn sweep_overdue(shelves: Weak<Mutex<Shelves>>, clock: Clock) {
    loop {
        let Some(held) = shelves.upgrade() else {
            return;
        };
        let (overdue, next) = Pool::lock(&held).overdue(clock.now());
        drop(held);
        for connection in overdue {
            connection.quit();
        }
        match next {
            Some(next) => clock.sleep_until(next).await,
            None => return,
        }
    }
}
