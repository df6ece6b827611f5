//! An account as it is kept in its row, and what ends it.

use std::time::Duration;

use ring::digest;
use serde::{Deserialize, Serialize};

use crate::mail::{Address, Language, Timestamp};
use crate::portal::proof::proofs::{AccountFacts, AccountProof};
use crate::portal::proof::totp::TotpSecret;
use crate::portal::proof::webauthn::{HANDLE_OCTETS, PublicKey};

/// An account whose factors nobody used for so long has ended: the address may be another
/// person's by now.
pub const IDLE_END: Duration = Duration::from_secs(400 * 86_400);

/// An account.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub address: Address,
    pub generation: u32,
    pub sees_from: Option<Timestamp>,
    pub created: Timestamp,
    /// When one of its factors was used last. A code to the mailbox is none of them.
    pub used: Timestamp,
    pub language: Option<Language>,
    pub password: Option<Password>,
    pub totp: Option<Totp>,
    pub passkeys: Vec<Passkey>,
    pub recovery: Option<Recovery>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Password {
    pub phc: String,
    pub since: Timestamp,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Totp {
    pub secret: TotpSecret,
    pub last_step: u64,
    pub since: Timestamp,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Passkey {
    pub id: Vec<u8>,
    pub key: PublicKey,
    pub counter: u32,
    pub name: String,
    pub since: Timestamp,
    pub used: Option<Timestamp>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Recovery {
    pub hashes: Vec<[u8; 32]>,
    pub since: Timestamp,
}

/// The stored form: what is added later gets a number of its own.
#[derive(Serialize, Deserialize)]
pub(super) enum Stored {
    V1(Account),
}

impl Account {
    /// One that has nothing yet, and sees all that waits for its address.
    pub fn new(address: &Address, now: Timestamp) -> Self {
        Self {
            address: address.clone(),
            generation: 0,
            sees_from: None,
            created: now,
            used: now,
            language: None,
            password: None,
            totp: None,
            passkeys: Vec::new(),
            recovery: None,
        }
    }

    /// The next one of the same address: nothing of this one, and nothing that was left before.
    pub fn next(&self, from: Timestamp) -> Self {
        Self {
            generation: self.generation.saturating_add(1),
            sees_from: Some(from),
            language: self.language,
            ..Self::new(&self.address, from)
        }
    }

    /// As it is now: after too long a time, the next one.
    pub fn at(self, now: Timestamp) -> Self {
        let end = self.used + IDLE_END;
        match now < end || self.facts().is_empty() {
            true => self,
            false => self.next(end),
        }
    }

    pub fn facts(&self) -> AccountFacts {
        AccountFacts {
            generation: self.generation,
            sees_from: self.sees_from,
            password: self.password.as_ref().map(|it| it.since),
            totp: self.totp.as_ref().map(|it| it.since),
            passkey: self.passkeys.iter().map(|it| it.since).min(),
            recovery: self
                .recovery
                .as_ref()
                .filter(|it| !it.hashes.is_empty())
                .map(|it| it.since),
        }
    }

    /// A proof of this generation, to be filled in.
    pub fn proof(&self) -> AccountProof {
        AccountProof {
            generation: self.generation,
            ..AccountProof::default()
        }
    }

    /// The user handle of its passkeys: says nothing of the person, and is another one after a
    /// recovery.
    pub fn handle(&self) -> [u8; HANDLE_OCTETS] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"sealpost portal user handle\0");
        context.update(&self.generation.to_be_bytes());
        context.update(self.address.to_string().as_bytes());
        let mut handle = [0; HANDLE_OCTETS];
        for (to, from) in handle.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        handle
    }
}
