//! What the pages remember in memory while the portal runs.
//!
//! Apart from the pages themselves, since a reload makes these anew: nobody gets more by waiting
//! for one.

use std::sync::Mutex;

use super::once::Once;
use super::sending::Sending;
use super::sent::Sent;
use super::threads::Threads;

/// What is remembered.
pub struct Memory {
    /// How opened messages are tied together, as far as they were opened since the start.
    pub(super) threads: Mutex<Threads>,
    /// How many messages an address has sent.
    pub(super) sent: Sent,
    /// Which forms were sent.
    pub(super) once: Once,
    /// What is being sent to clients.
    pub(super) sending: Sending,
    /// Which of that are forms with what was typed, which must not be lost for want of room.
    pub(super) forms: Sending,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            threads: Mutex::default(),
            sent: Sent::default(),
            once: Once::default(),
            sending: Sending::new(),
            forms: Sending::of_forms(),
        }
    }
}
