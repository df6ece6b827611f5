//! Passkeys of accounts: registered, checked, removed.

use super::record::{Account, Passkey};
use super::{AccountError, Accounts, MAX_NAME_CHARS, MAX_PASSKEYS, proved};
use crate::mail::{Address, Timestamp};
use crate::portal::proof::sessions::Challenge;
use crate::portal::proof::webauthn::{self, Credential, HANDLE_OCTETS, RelyingParty, Used};
use crate::portal::proof::{AccountProof, ProofError, Proofs};

impl Accounts {
    /// What a page needs to have a passkey made: the account's handle, and the credentials that it
    /// has already.
    pub fn for_new_passkey(
        &self,
        address: &Address,
        now: Timestamp,
    ) -> Result<([u8; HANDLE_OCTETS], Vec<Vec<u8>>), ProofError> {
        let account = self.get(address, now)?;
        let account = account.unwrap_or_else(|| Account::new(address, now));
        let ids = account.passkeys.iter().map(|it| it.id.clone());
        Ok((account.handle(), ids.collect()))
    }

    /// Registers a passkey that was made.
    pub async fn add_passkey(
        &self,
        address: &Address,
        proofs: &Proofs,
        made: Credential,
        name: &str,
        now: Timestamp,
    ) -> Result<AccountProof, AccountError> {
        // An id is one authenticator's: nobody takes over somebody else's.
        if self.owners().contains_key(&made.id) {
            return Err(AccountError::NotAllowed);
        }
        let shown = name.chars().filter(|c| !c.is_control());
        let name: String = shown.take(MAX_NAME_CHARS).collect();
        self.change_by(address, proofs, now, |account| {
            if account.passkeys.len() >= MAX_PASSKEYS {
                return Err(AccountError::TooMany);
            }
            account.passkeys.push(Passkey {
                id: made.id,
                key: made.key,
                counter: made.counter,
                name: name.trim().to_owned(),
                since: now,
                used: None,
            });
            Ok(AccountProof {
                passkey: Some(now),
                ..account.proof()
            })
        })
        .await
    }

    /// Checks a passkey; says whose it is.
    pub async fn check_passkey(
        &self,
        party: &RelyingParty,
        challenge: &Challenge,
        used: &Used,
        now: Timestamp,
    ) -> Result<Option<(Address, AccountProof)>, ProofError> {
        let Some(address) = self.owners().get(&used.id).cloned() else {
            return Ok(None);
        };
        let checked = self.change(&address, now, |account| {
            let handle = account.handle();
            let proof = account.proof();
            let mut passkeys = account.passkeys.iter_mut();
            let passkey = passkeys.find(|it| it.id == used.id);
            let passkey = passkey.ok_or(AccountError::Unknown)?;
            let kept = webauthn::Kept {
                key: &passkey.key,
                counter: passkey.counter,
                handle: &handle,
            };
            let counter = party.used(challenge, kept, used);
            passkey.counter = counter.map_err(|_| AccountError::WrongCode)?;
            passkey.used = Some(now);
            let since = passkey.since;
            account.used = now;
            Ok(AccountProof {
                passkey: Some(since),
                ..proof
            })
        });
        Ok(proved(checked.await)?.map(|proof| (address, proof)))
    }

    /// Removes a passkey.
    pub async fn remove_passkey(
        &self,
        address: &Address,
        proofs: &Proofs,
        id: &[u8],
        now: Timestamp,
    ) -> Result<(), AccountError> {
        self.change_by(address, proofs, now, |account| {
            let before = account.passkeys.len();
            account.passkeys.retain(|it| it.id != id);
            match account.passkeys.len() < before {
                true => Ok(()),
                false => Err(AccountError::Unknown),
            }
        })
        .await
    }
}
