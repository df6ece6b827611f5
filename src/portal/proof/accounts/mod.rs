//! Accounts of recipients: password, authenticator app, passkeys, recovery codes.
//!
//! Owns the table `portal_accounts`, keyed by mailbox ([`Address::mailbox_key`]): letter case and
//! idle quotes do not make another account. Each factor keeps the time of its registration, for [`super::judge()`] asks how old it is.
//!
//! Invariants:
//! - Factors are registered, changed and removed only by somebody who has shown a factor of the
//!   account; the mailbox is enough only while it has none.
//! - Whoever has nothing but the mailbox can begin a new **generation**: no factor of the old one,
//!   nothing of what was left before it began. A recovery code keeps the generation.
//! - An account whose factors were not used for [`IDLE_END`] has ended: what comes next is a new
//!   generation too.
//! - Changes of one account come one after the other, and are durable before they are seen. With a
//!   change of its factors ends what was shown for it before, and what a session had shown that
//!   was ended changes nothing ([`Ends`]).

mod passkeys;
mod record;
mod recovery;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;

use self::record::{Account, Password, Stored, Totp};
use super::ProofError;
use super::ends::Ends;
use super::passwords::{Passwords, WeakPassword, weakness};
use super::proofs::{AccountFacts, AccountProof, Proofs};
use super::totp::TotpSecret;
use crate::mail::{Address, Language, SecretBytes, Timestamp};
use crate::proto::link::Standing;
use crate::tables::{Table, TableError, Tables};

pub use record::IDLE_END;
pub use recovery::{RECOVERY_CODES, RecoveryCodes};

/// Accounts.
pub const MAX_ACCOUNTS: usize = 500_000;
/// Passkeys of an account.
pub const MAX_PASSKEYS: usize = 10;
/// Characters of a passkey's name.
pub const MAX_NAME_CHARS: usize = 60;
/// How often the use of a password is written down.
const USE_NOTED: Duration = Duration::from_secs(86_400);
/// Locks over the rows.
const LOCKS: usize = 64;

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not proved enough for that.
    #[error("this has not been proved well enough to change the account")]
    NotAllowed,
    /// The password will not do.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// The code is not the one that the app shows now.
    #[error("the code is not the one that the app shows now")]
    WrongCode,
    /// Enough of them.
    #[error("there are {MAX_PASSKEYS} passkeys already: remove one first")]
    TooMany,
    /// There is no such thing.
    #[error("there is no such thing")]
    Unknown,
    /// It could not be done.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl From<TableError> for AccountError {
    fn from(error: TableError) -> Self {
        Self::Proof(error.into())
    }
}

/// What went with a factor that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It alone.
    Factor,
    /// The account: it was the last one. Recovery codes alone are none.
    Account,
}

/// A passkey, for its owner to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyView {
    /// Its credential's id.
    pub id: Vec<u8>,
    /// As its owner called it.
    pub name: String,
    /// When it was registered.
    pub since: Timestamp,
    /// When it was used last.
    pub used: Option<Timestamp>,
}

/// An account, for its owner to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// What is registered.
    pub facts: AccountFacts,
    /// The passkeys, oldest first.
    pub passkeys: Vec<PasskeyView>,
    /// Recovery codes that are left.
    pub recovery_left: usize,
    /// The language that was chosen.
    pub language: Option<Language>,
    /// When it began.
    pub created: Timestamp,
}

/// The accounts.
pub struct Accounts {
    table: Table<Stored>,
    /// Whose passkey which credential is.
    owners: Mutex<HashMap<Vec<u8>, Address>>,
    passwords: Arc<Passwords>,
    ends: Arc<Ends>,
    locks: Vec<AsyncMutex<()>>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Accounts({} rows)", self.table.len())
    }
}

impl Accounts {
    /// With what the table says.
    pub fn open(tables: &Tables, passwords: Arc<Passwords>) -> Result<Self, ProofError> {
        let table: Table<Stored> = tables.table("portal_accounts")?;
        let mut owners = HashMap::new();
        for (_, Stored::V1(account)) in table.rows()? {
            for passkey in account.passkeys {
                owners.insert(passkey.id, account.address.clone());
            }
        }
        Ok(Self {
            table,
            owners: Mutex::new(owners),
            passwords,
            ends: Arc::default(),
            locks: (0..LOCKS).map(|_| AsyncMutex::new(())).collect(),
        })
    }

    /// The same, with the ends that the sessions look at.
    #[must_use]
    pub fn ending(self, ends: Arc<Ends>) -> Self {
        Self { ends, ..self }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Address>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account as it is now, if the address ever had one.
    fn get(&self, address: &Address, now: Timestamp) -> Result<Option<Account>, TableError> {
        let stored = self.table.get(key_of(address).as_bytes())?;
        Ok(stored.map(|Stored::V1(account)| account.at(now)))
    }

    /// What is registered for an address. To be shown only to whoever has proved to hold it.
    pub fn facts(&self, address: &Address, now: Timestamp) -> Result<AccountFacts, ProofError> {
        let account = self.get(address, now)?;
        Ok(account.map(|it| it.facts()).unwrap_or_default())
    }

    /// Since when the address has had, without interruption, a factor that could open what is
    /// `restricted`: what the line asks before it decides for the portal.
    pub fn standing(&self, address: &Address, now: Timestamp) -> Result<Standing, ProofError> {
        let registered = self.facts(address, now)?.standing();
        Ok(Standing { registered })
    }

    /// How the address was written when its account began, if it ever had one: where mails go, and
    /// not where somebody says.
    pub fn spelling(
        &self,
        address: &Address,
        now: Timestamp,
    ) -> Result<Option<Address>, ProofError> {
        Ok(self.get(address, now)?.map(|account| account.address))
    }

    /// The account, for its owner's page.
    pub fn view(&self, address: &Address, now: Timestamp) -> Result<AccountView, ProofError> {
        let account = self.get(address, now)?;
        let account = account.unwrap_or_else(|| Account::new(address, now));
        let passkeys = account.passkeys.iter().map(|it| PasskeyView {
            id: it.id.clone(),
            name: it.name.clone(),
            since: it.since,
            used: it.used,
        });
        Ok(AccountView {
            facts: account.facts(),
            passkeys: passkeys.collect(),
            recovery_left: account.recovery.as_ref().map_or(0, |it| it.hashes.len()),
            language: account.language,
            created: account.created,
        })
    }

    /// Changes an account, or makes it; durable when it returns.
    async fn change<T>(
        &self,
        address: &Address,
        now: Timestamp,
        change: impl FnOnce(&mut Account) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        self.change_and(address, now, change, || {}).await
    }

    /// The same; `then` is done before anybody else changes it.
    async fn change_and<T>(
        &self,
        address: &Address,
        now: Timestamp,
        change: impl FnOnce(&mut Account) -> Result<T, AccountError>,
        then: impl FnOnce(),
    ) -> Result<T, AccountError> {
        let key = key_of(address);
        let lock = self.locks.get(lock_of(&key));
        let held = match lock {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let stored = self.table.get(key.as_bytes())?;
        if stored.is_none() && self.table.len() >= MAX_ACCOUNTS {
            return Err(ProofError::Busy.into());
        }
        let old = stored.map(|Stored::V1(account)| account);
        let ids = |account: &Account| -> Vec<Vec<u8>> {
            account.passkeys.iter().map(|it| it.id.clone()).collect()
        };
        let before = old.as_ref().map(ids).unwrap_or_default();
        let mut account = match old {
            Some(account) => account.at(now),
            None => Account::new(address, now),
        };
        let changed = change(&mut account)?;
        let (after, owner) = (ids(&account), account.address.clone());
        self.table.put(key.as_bytes(), &Stored::V1(account)).await?;
        if before != after {
            let mut owners = self.owners();
            for id in &before {
                owners.remove(id);
            }
            owners.extend(after.into_iter().map(|id| (id, owner.clone())));
        }
        then();
        drop(held);
        Ok(changed)
    }

    /// Whether a session in which something was proved has not been ended since.
    fn stands(&self, address: &Address, proofs: &Proofs) -> Result<(), AccountError> {
        match proofs
            .seen
            .is_some_and(|seen| self.ends.ended(address, seen))
        {
            true => Err(ProofError::Ended.into()),
            false => Ok(()),
        }
    }

    /// A change of factors, by somebody who has proved enough for it.
    async fn change_by<T>(
        &self,
        address: &Address,
        proofs: &Proofs,
        now: Timestamp,
        change: impl FnOnce(&mut Account) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        let ending = || {
            self.ends.end(address);
        };
        self.change_ending(address, proofs, now, change, ending)
            .await
    }

    /// The same; `ending` ends what was shown before.
    async fn change_ending<T>(
        &self,
        address: &Address,
        proofs: &Proofs,
        now: Timestamp,
        change: impl FnOnce(&mut Account) -> Result<T, AccountError>,
        ending: impl FnOnce(),
    ) -> Result<T, AccountError> {
        let change = |account: &mut Account| {
            self.stands(address, proofs)?;
            if !proofs.may_change(&account.facts()) {
                return Err(AccountError::NotAllowed);
            }
            account.used = now;
            change(account)
        };
        self.change_and(address, now, change, ending).await
    }

    /// Sets or changes the password. Whoever had proved the old one keeps its age; else it counts
    /// from now.
    pub async fn set_password(
        &self,
        address: &Address,
        proofs: &Proofs,
        new: &SecretBytes,
        now: Timestamp,
    ) -> Result<AccountProof, AccountError> {
        if let Some(weak) = weakness(new, address) {
            return Err(weak.into());
        }
        // Before the hash is paid for.
        if !proofs.may_change(&self.facts(address, now)?) {
            return Err(AccountError::NotAllowed);
        }
        let phc = self.passwords.hash(new).await?;
        self.change_by(address, proofs, now, |account| {
            let own = proofs
                .account
                .filter(|it| it.generation == account.generation);
            let proved = own.and_then(|it| it.password);
            let old = account.password.as_ref().map(|it| it.since);
            let since = proved.and(old).unwrap_or(now);
            account.password = Some(Password { phc, since });
            Ok(AccountProof {
                password: Some(since),
                ..account.proof()
            })
        })
        .await
    }

    /// Checks a password. Costs the same where there is no account.
    pub async fn check_password(
        &self,
        address: &Address,
        password: &SecretBytes,
        now: Timestamp,
    ) -> Result<Option<AccountProof>, ProofError> {
        let account = self.get(address, now)?;
        let kept = account.as_ref().and_then(|it| it.password.as_ref());
        let phc = kept.map(|it| it.phc.as_str());
        if !self.passwords.is(phc, password).await? {
            return Ok(None);
        }
        let Some((account, kept)) = account.as_ref().zip(kept) else {
            return Ok(None);
        };
        let proof = AccountProof {
            password: Some(kept.since),
            ..account.proof()
        };
        let noted = self.note_use(account, &kept.phc, now).await;
        match noted {
            Ok(true) => Ok(Some(proof)),
            // It was changed meanwhile.
            Ok(false) => Ok(None),
            Err(AccountError::Proof(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Notes that a password was used; `false` if it is the password no more.
    async fn note_use(
        &self,
        seen: &Account,
        phc: &str,
        now: Timestamp,
    ) -> Result<bool, AccountError> {
        let same = |account: &Account| {
            let kept = account.password.as_ref();
            account.generation == seen.generation && kept.is_some_and(|it| it.phc == phc)
        };
        if now.since(seen.used) < USE_NOTED {
            return Ok(self.get(&seen.address, now)?.as_ref().is_some_and(same));
        }
        self.change(&seen.address, now, |account| {
            if !same(account) {
                return Ok(false);
            }
            account.used = now;
            Ok(true)
        })
        .await
    }

    /// Registers an authenticator app, once it has shown a code of the secret.
    pub async fn confirm_totp(
        &self,
        address: &Address,
        proofs: &Proofs,
        secret: &TotpSecret,
        typed: &str,
        now: Timestamp,
    ) -> Result<AccountProof, AccountError> {
        let step = secret.check(typed, None, now);
        let last_step = step.ok_or(AccountError::WrongCode)?;
        self.change_by(address, proofs, now, |account| {
            account.totp = Some(Totp {
                secret: secret.clone(),
                last_step,
                since: now,
            });
            Ok(AccountProof {
                totp: Some(now),
                ..account.proof()
            })
        })
        .await
    }

    /// Checks the code of an authenticator app; each is good once.
    pub async fn check_totp(
        &self,
        address: &Address,
        typed: &str,
        now: Timestamp,
    ) -> Result<Option<AccountProof>, ProofError> {
        let checked = self.change(address, now, |account| {
            let totp = account.totp.as_mut().ok_or(AccountError::Unknown)?;
            let step = totp.secret.check(typed, Some(totp.last_step), now);
            totp.last_step = step.ok_or(AccountError::WrongCode)?;
            let since = totp.since;
            account.used = now;
            Ok(AccountProof {
                totp: Some(since),
                ..account.proof()
            })
        });
        proved(checked.await)
    }

    /// Removes the authenticator app. With the last factor the account ends, as by
    /// [`Self::remove`].
    pub async fn remove_totp(
        &self,
        address: &Address,
        proofs: &Proofs,
        now: Timestamp,
    ) -> Result<Removed, AccountError> {
        self.change_by(address, proofs, now, |account| {
            account.totp.take().ok_or(AccountError::Unknown)?;
            Ok(account.ended_with_last(now))
        })
        .await
    }

    /// Checks a recovery code, which is used up.
    pub async fn check_recovery(
        &self,
        address: &Address,
        typed: &str,
        now: Timestamp,
    ) -> Result<Option<AccountProof>, ProofError> {
        let hash = recovery::hashed(typed, address);
        let checked = self.change(address, now, |account| {
            let recovery = account.recovery.as_mut().ok_or(AccountError::Unknown)?;
            let at = recovery.hashes.iter().position(|it| *it == hash);
            recovery
                .hashes
                .swap_remove(at.ok_or(AccountError::WrongCode)?);
            let since = recovery.since;
            account.used = now;
            Ok(AccountProof {
                recovery: Some(since),
                ..account.proof()
            })
        });
        proved(checked.await)
    }

    /// Begins a new generation for whoever holds the mailbox and lost everything else: no factor of
    /// the old one, and nothing of what was left for the address before now. The person must have
    /// been told so, and sessions of the address must be ended.
    pub async fn begin_anew(
        &self,
        address: &Address,
        proofs: &Proofs,
        now: Timestamp,
    ) -> Result<(), AccountError> {
        if !proofs.mailbox {
            return Err(AccountError::NotAllowed);
        }
        let change = |account: &mut Account| {
            self.stands(address, proofs)?;
            if account.facts().is_empty() {
                return Ok(()); // nothing to lose: it stays as it is
            }
            *account = account.next(now);
            Ok(())
        };
        let then = || {
            self.ends.end(address);
        };
        self.change_and(address, now, change, then).await
    }

    /// Ends an account by its owner's wish: as [`Self::begin_anew`], but the mailbox alone will not
    /// do.
    pub async fn remove(
        &self,
        address: &Address,
        proofs: &Proofs,
        now: Timestamp,
    ) -> Result<(), AccountError> {
        self.change_by(address, proofs, now, |account| {
            *account = account.next(now);
            Ok(())
        })
        .await
    }

    /// Remembers the language that the owner of an account chose.
    pub async fn set_language(
        &self,
        address: &Address,
        proofs: &Proofs,
        language: Language,
        now: Timestamp,
    ) -> Result<(), AccountError> {
        if self.get(address, now)?.is_none() {
            return Err(AccountError::Unknown);
        }
        self.change(address, now, |account| {
            self.stands(address, proofs)?;
            if !proofs.may_change(&account.facts()) {
                return Err(AccountError::NotAllowed);
            }
            (account.used, account.language) = (now, Some(language));
            Ok(())
        })
        .await
    }
}

/// A check that failed is no error: nothing was changed.
fn proved(checked: Result<AccountProof, AccountError>) -> Result<Option<AccountProof>, ProofError> {
    match checked {
        Ok(proof) => Ok(Some(proof)),
        Err(AccountError::Proof(error)) => Err(error),
        Err(
            AccountError::NotAllowed
            | AccountError::Weak(_)
            | AccountError::WrongCode
            | AccountError::TooMany
            | AccountError::Unknown,
        ) => Ok(None),
    }
}

/// One mailbox, one account: a host that tells letter cases apart is taken for one that does not
/// (RFC 5321 §2.4), since whoever typed another case would otherwise get round every factor.
fn key_of(address: &Address) -> String {
    address.mailbox_key()
}

fn lock_of(key: &str) -> usize {
    let octets = key.bytes().map(usize::from);
    octets.fold(0_usize, |sum, octet| {
        sum.wrapping_mul(31).wrapping_add(octet)
    }) % LOCKS
}

#[cfg(test)]
mod tests;
