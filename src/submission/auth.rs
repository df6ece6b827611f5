//! The door: credentials in, a verdict out, and the log told of failures.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::lockout::Lockouts;
use crate::directory::{Authenticator, Checked, NotChecked, User};
use crate::proto::smtp::sasl::Credentials;
use crate::proto::smtp::server::{Reply, Verdict};
use crate::report::{DeliveryLog, Event, EventKind};
use crate::world::clock::Clock;

const BUSY: Reply = Reply::fixed(
    454,
    (4, 7, 0),
    "Too many passwords wait to be checked; try again",
);
const LOCKED_OUT: Reply = Reply::fixed(
    421,
    (4, 7, 0),
    "Too many failed authentications; try again later; closing",
);

/// Checks credentials for all sessions.
pub(super) struct Doorkeeper {
    authenticator: Authenticator,
    lockouts: Mutex<Lockouts>,
    log: DeliveryLog,
    clock: Clock,
}

impl Doorkeeper {
    pub(super) fn new(authenticator: Authenticator, log: DeliveryLog, clock: Clock) -> Self {
        Self {
            authenticator,
            lockouts: Mutex::default(),
            log,
            clock,
        }
    }

    /// The account as it is now; sessions outlive reloads.
    pub(super) fn user(&self, name: &str) -> Option<Arc<User>> {
        self.authenticator.user(name)
    }

    /// Checks what a client at `address` gave. Known and unknown accounts are told apart by
    /// neither answer nor time.
    pub(super) async fn check(
        &self,
        credentials: &Credentials,
        address: Option<IpAddr>,
    ) -> Result<Arc<User>, Verdict> {
        let name = credentials.name.as_str();
        if self.lockouts().is_locked(self.clock.now(), name, address) {
            return Err(Verdict::Refused(LOCKED_OUT));
        }
        let checked = self
            .authenticator
            .authenticate_unless(name, &credentials.password, || {
                self.lockouts().is_locked(self.clock.now(), name, address)
            })
            .await;
        let now = self.clock.now();
        match checked {
            Err(NotChecked::Busy) => Err(Verdict::Refused(BUSY)),
            Err(NotChecked::Refused) => Err(Verdict::Refused(LOCKED_OUT)),
            Ok(Checked {
                user: Some(user), ..
            }) => {
                self.lockouts().succeeded(now, name, address);
                Ok(user)
            }
            Ok(Checked { user: None, turn }) => {
                let locked = self.lockouts().failed(now, name, address);
                drop(turn);
                self.tell(EventKind::AuthFailed, name, address).await;
                if locked {
                    self.tell(EventKind::LockedOut, name, address).await;
                }
                Err(Verdict::Wrong)
            }
        }
    }

    fn lockouts(&self) -> std::sync::MutexGuard<'_, Lockouts> {
        self.lockouts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, kind: EventKind, name: &str, address: Option<IpAddr>) {
        let mut event = Event::new(self.clock.now(), kind);
        event.user = Some(name.to_owned());
        event.client = address.map(|address| address.to_string());
        self.log.record(event).await;
    }
}
