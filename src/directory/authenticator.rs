//! Checks passwords: argon2id, off the runtime, a few at a time.
//!
//! An unknown account costs what a known one costs, so that neither time nor answer tells them
//! apart. A right answer is remembered for a few minutes as an HMAC under a key that lives only in
//! this process, over account, hash and password: a busy application does not pay argon2 for
//! every connection, and a changed hash or a removed account ends what was remembered. Wrong
//! answers are never remembered. Who fails too often is not this module's business.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::users::{PasswordError, User, Users, decoy};
use crate::mail::{Address, SecretBytes, Timestamp};
use crate::world::clock::Clock;

/// Checks that run at a time.
pub const MAX_CHECKS: usize = 2;
/// Checks that wait; beyond it [`NotChecked::Busy`].
pub const MAX_WAITING: usize = 64;
/// How long a right password is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(300);
/// Most passwords remembered.
const MAX_REMEMBERED: usize = 10_000;

/// A password was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotChecked {
    /// Too many wait to be checked: 454 4.7.0.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The account or address was locked while this one waited.
    #[error("locked while the password waited to be checked")]
    Refused,
}

/// A password was looked at.
#[derive(Debug)]
pub struct Checked {
    /// The account, if the password is its own.
    pub user: Option<Arc<User>>,
    /// The turn; to be kept until the outcome is counted, so that the next check sees it.
    pub turn: Option<OwnedSemaphorePermit>,
}

/// The authenticator cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticatorError {
    /// The system gave no random octets.
    #[error("the system gave no random octets")]
    Random,
    /// The decoy for unknown accounts could not be hashed.
    #[error("the decoy for unknown accounts could not be made")]
    Decoy(#[source] PasswordError),
}

/// Checks names and passwords against the accounts in force. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Authenticator(Arc<Shared>);

struct Shared {
    state: RwLock<Arc<State>>,
    remembered: Mutex<HashMap<Tag, Timestamp>>,
    key: hmac::Key,
    clock: Clock,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

type Tag = [u8; 32];

struct State {
    users: Users,
    /// What an unknown account's password is checked against.
    decoy: PasswordHash,
}

impl State {
    fn new(users: Users) -> Result<Self, AuthenticatorError> {
        let like = users.iter().next().map(User::hash);
        let decoy = decoy(like).map_err(AuthenticatorError::Decoy)?;
        Ok(Self { users, decoy })
    }
}

impl Authenticator {
    /// With these accounts.
    pub fn new(users: Users, clock: Clock) -> Result<Self, AuthenticatorError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| AuthenticatorError::Random)?;
        Ok(Self(Arc::new(Shared {
            state: RwLock::new(Arc::new(State::new(users)?)),
            remembered: Mutex::default(),
            key,
            clock,
            running: Arc::new(Semaphore::new(MAX_CHECKS)),
            waiting: Semaphore::new(MAX_CHECKS + MAX_WAITING),
        })))
    }

    /// Takes other accounts into force. On an error the old ones stay.
    pub fn reload(&self, users: Users) -> Result<(), AuthenticatorError> {
        let state = Arc::new(State::new(users)?);
        *self.0.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    /// The account of this name as it is now: sessions outlive reloads.
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.state().users.get(name)
    }

    /// Whether some account may send as this address.
    pub fn grants(&self, address: &Address) -> bool {
        let state = self.state();
        state.users.iter().any(|user| user.may_send_as(address))
    }

    /// The account, if the password is its own.
    pub async fn authenticate(
        &self,
        name: &str,
        password: &SecretBytes,
    ) -> Result<Option<Arc<User>>, NotChecked> {
        let checked = self.authenticate_unless(name, password, || false).await?;
        Ok(checked.user)
    }

    /// The same, but asks `refused` again when its turn has come: of many guesses that wait
    /// together, those behind the one that locked the account are not looked at.
    pub async fn authenticate_unless(
        &self,
        name: &str,
        password: &SecretBytes,
        refused: impl Fn() -> bool,
    ) -> Result<Checked, NotChecked> {
        let state = self.state();
        let user = state.users.get(name);
        let tag = user.as_ref().map(|user| self.tag(user, password));
        if tag.is_some_and(|tag| self.remembers(&tag)) {
            return Ok(Checked { user, turn: None });
        }
        let _waiting = self.0.waiting.try_acquire().map_err(|_| NotChecked::Busy)?;
        let running = Arc::clone(&self.0.running)
            .acquire_owned()
            .await
            .map_err(|_| NotChecked::Busy)?;
        // An application that opens many connections at once pays for the first one.
        if tag.is_some_and(|tag| self.remembers(&tag)) {
            return Ok(Checked { user, turn: None });
        }
        if refused() {
            return Err(NotChecked::Refused);
        }
        let checked = user.clone();
        let secret = password.clone();
        let check = move || {
            let hash = checked.as_ref().map_or(&state.decoy, |user| user.hash());
            let right = Argon2::default().verify_password(secret.expose(), hash);
            // The permit moves through: a caller that goes away does not let more run at a time.
            (right.is_ok(), running)
        };
        let (right, turn) = tokio::task::spawn_blocking(check)
            .await
            .map_err(|_| NotChecked::Busy)?;
        let user = match (user, tag) {
            (Some(user), Some(tag)) if right => {
                self.remember(tag);
                Some(user)
            }
            _ => None,
        };
        let turn = Some(turn);
        Ok(Checked { user, turn })
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// HMAC over account, hash and password, each with its length before it.
    fn tag(&self, user: &User, password: &SecretBytes) -> Tag {
        let mut context = hmac::Context::with_key(&self.0.key);
        for part in [
            user.name().as_bytes(),
            user.phc().as_bytes(),
            password.expose(),
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = Tag::default();
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn remembers(&self, tag: &Tag) -> bool {
        let remembered = self
            .0
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        remembered
            .get(tag)
            .is_some_and(|until| self.0.clock.now() < *until)
    }

    fn remember(&self, tag: Tag) {
        let now = self.0.clock.now();
        let mut remembered = self
            .0
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, until| now < *until);
        }
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear(); // costs each account one check, no more
        }
        remembered.insert(tag, now + REMEMBERED);
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("users", &self.state().users.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::directory::users::edit;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    fn users(path: &Path) -> Users {
        Users::load(path).unwrap()
    }

    fn directory() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.toml");
        let sender = ["jo@clinic.example".parse().unwrap()];
        edit::add(&path, "jo", &sender, &secret("right")).unwrap();
        (directory, path)
    }

    fn waiting(authenticator: &Authenticator) -> usize {
        MAX_CHECKS + MAX_WAITING - authenticator.0.waiting.available_permits()
    }

    #[tokio::test(start_paused = true)]
    async fn right_wrong_unknown_and_remembered() {
        let (_directory, path) = directory();
        let clock = Clock::starting_at(Timestamp::from_secs(1_000_000));
        let authenticator = Authenticator::new(users(&path), clock).unwrap();
        let ask = async |name: &str, password: &str| {
            let answer = authenticator.authenticate(name, &secret(password)).await;
            answer.unwrap().map(|user| user.name().to_owned())
        };
        assert_eq!(ask("jo", "right").await.as_deref(), Some("jo"));
        assert_eq!(ask("jo", "wrong").await, None);
        assert_eq!(ask("jo", "").await, None);
        assert_eq!(ask("Jo", "right").await, None);
        assert_eq!(ask("nobody", "right").await, None);

        // Remembered: no argon2 runs, not even with every place taken.
        let all = authenticator.0.waiting.acquire_many(66).await.unwrap();
        assert_eq!(ask("jo", "right").await.as_deref(), Some("jo"));
        assert_eq!(
            authenticator
                .authenticate("jo", &secret("wrong"))
                .await
                .unwrap_err(),
            NotChecked::Busy
        );
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(
            authenticator
                .authenticate("jo", &secret("right"))
                .await
                .unwrap_err(),
            NotChecked::Busy
        );
        drop(all);
        assert_eq!(ask("jo", "right").await.as_deref(), Some("jo"));

        // A changed password, and a removed account, end it.
        edit::passwd(&path, "jo", &secret("new")).unwrap();
        authenticator.reload(users(&path)).unwrap();
        assert_eq!(ask("jo", "right").await, None);
        assert_eq!(ask("jo", "new").await.as_deref(), Some("jo"));
        edit::remove(&path, "jo").unwrap();
        authenticator.reload(users(&path)).unwrap();
        assert_eq!(ask("jo", "new").await, None);
        assert!(authenticator.user("jo").is_none());
    }

    #[tokio::test]
    async fn no_more_than_the_bound_wait_and_leaving_frees_the_place() {
        let (_directory, path) = directory();
        let authenticator = Authenticator::new(users(&path), Clock::system()).unwrap();
        let blocked = authenticator.0.running.acquire_many(2).await.unwrap();
        let ask = || {
            let authenticator = authenticator.clone();
            tokio::spawn(async move { authenticator.authenticate("nobody", &secret("x")).await })
        };
        let asking: Vec<_> = (0..MAX_CHECKS + MAX_WAITING).map(|_| ask()).collect();
        while waiting(&authenticator) < MAX_CHECKS + MAX_WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask().await.unwrap().unwrap_err(), NotChecked::Busy);
        for task in asking {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        assert_eq!(waiting(&authenticator), 0);
        drop(blocked);
        assert!(ask().await.unwrap().unwrap().is_none());
    }

    #[test]
    fn the_decoy_costs_what_a_user_costs() {
        let (_directory, path) = directory();
        let state = State::new(users(&path)).unwrap();
        let user = state.users.get("jo").unwrap();
        assert_eq!(state.decoy.params, user.hash().params);
        assert_eq!(state.decoy.algorithm, user.hash().algorithm);
        let cheap = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace(user.phc(), cheap);
        std::fs::write(&path, text).unwrap();
        let state = State::new(users(&path)).unwrap();
        assert_eq!(
            state.decoy.params,
            state.users.get("jo").unwrap().hash().params
        );
    }

    #[tokio::test]
    async fn a_guess_that_is_refused_when_its_turn_comes_is_not_looked_at() {
        let (_directory, path) = directory();
        let authenticator = Authenticator::new(users(&path), Clock::system()).unwrap();
        let password = secret("right");
        let late = authenticator.authenticate_unless("jo", &password, || true);
        assert_eq!(late.await.unwrap_err(), NotChecked::Refused);
        let checked = authenticator.authenticate_unless("jo", &password, || false);
        let checked = checked.await.unwrap();
        assert!(checked.user.is_some());
        // Its turn lasts until the outcome is counted.
        assert_eq!(authenticator.0.running.available_permits(), MAX_CHECKS - 1);
        drop(checked);
        assert_eq!(authenticator.0.running.available_permits(), MAX_CHECKS);
    }
}
