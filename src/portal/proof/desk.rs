//! Where somebody shows a factor: each way in one function, throttled, counted and checked.
//!
//! Owns the order: how often, then counted durably, then looked at, then given back if right. The
//! pages call nothing else to check a factor, so that none is checked uncounted.

mod asking;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::Accounts;
use super::codes::{Channel, Check, Codes};
use super::guesses::{Guess, Guesses, Kind, Spent};
use super::passwords::Passwords;
use super::phone::Phones;
use super::sessions::{Bounds, Challenge, Seat, Sessions};
use super::throttle::{Counted, Limit, Network, Throttle, TooOften};
use super::webauthn::{RelyingParty, Used};
use super::{Means, Proof, ProofError};
use asking::{ASKED_OVERALL, asked_from};

use crate::mail::{Address, PhoneNumber, Reference, SecretBytes, Timestamp};
use crate::proto::link::{Standing, Travelled};
use crate::tables::Tables;
use crate::world::clock::Clock;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Codes typed in one browser, right or wrong.
const TYPED_BY_SEAT: Limit = Limit::new(10, Duration::from_secs(900));
/// Codes to a number.
const TEXTS: [(&str, Limit); 2] = [
    ("phone/minute", Limit::new(1, MINUTE)),
    ("phone/hour", Limit::new(3, HOUR)),
];
/// Codes to all the numbers of a message.
const TEXTS_OF_MESSAGE: Limit = Limit::new(6, DAY);
/// Passkeys from one network that turned out wrong.
const PASSKEYS_BY_NETWORK: Limit = Limit::new(60, HOUR);

/// How the desk is set up.
#[derive(Debug)]
pub struct DeskOptions {
    /// Who asks for passkeys.
    pub party: RelyingParty,
    /// How long a code is good.
    pub code_life: Duration,
    /// How long and how many sessions.
    pub sessions: Bounds,
    /// The hook for text messages.
    pub phones: Option<Phones>,
}

/// How somebody came to ask for a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// By the link of a notice, or from the list of messages.
    ByReference,
    /// By typing an address.
    ByAddress,
    /// By typing an address to write from: whatever it is, it gets the code.
    ByWriting,
}

/// Who asks or shows something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// From where.
    pub client: IpAddr,
    /// In which browser.
    pub seat: Seat,
}

/// Who shows a factor of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trying {
    /// From where.
    pub client: IpAddr,
    /// In a session in which the address itself was proved.
    pub holds: bool,
}

/// A factor of an account, as it was typed. No `Debug`: it is a secret.
#[derive(Clone, Copy)]
pub enum Typed<'a> {
    /// The password.
    Password(&'a SecretBytes),
    /// The code of an authenticator app.
    Totp(&'a str),
    /// A recovery code, which is used up if it is right.
    Recovery(&'a str),
}

/// What became of something that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried<T> {
    /// It is right.
    Right(T),
    /// It is wrong.
    Wrong {
        /// No more will be looked at today: worth an event in the log.
        last: bool,
    },
    /// The code is right, but it is not known yet how its mail travelled. Nothing is spent.
    InAMoment,
    /// The code is right, but others could read its mail: it counts for nothing.
    Exposed,
    /// It was not looked at.
    Later(TooOften),
}

/// The desk: all that is known of who somebody is.
pub struct Desk {
    /// Codes.
    pub codes: Codes,
    /// Accounts.
    pub accounts: Accounts,
    /// Visits and sessions.
    pub sessions: Sessions,
    /// Hashes: the store has the secrets of senders hashed here.
    pub passwords: Arc<Passwords>,
    /// Who asks for passkeys.
    pub party: RelyingParty,
    guesses: Guesses,
    throttle: Throttle,
    phones: Option<Phones>,
    clock: Clock,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("accounts", &self.accounts)
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// On the tables of the portal. Blocks for one hash.
    pub fn open(tables: &Tables, options: DeskOptions, clock: Clock) -> Result<Self, ProofError> {
        Self::with(tables, options, clock, Passwords::new()?)
    }

    /// With a hash of another cost, for tests.
    #[cfg(test)]
    pub fn cheap(tables: &Tables, options: DeskOptions, clock: Clock) -> Result<Self, ProofError> {
        Self::with(tables, options, clock, Passwords::cheap())
    }

    fn with(
        tables: &Tables,
        options: DeskOptions,
        clock: Clock,
        passwords: Passwords,
    ) -> Result<Self, ProofError> {
        let passwords = Arc::new(passwords);
        let sessions = Sessions::new(options.sessions)?;
        Ok(Self {
            codes: Codes::new(options.code_life)?,
            accounts: Accounts::open(tables, Arc::clone(&passwords))?.ending(sessions.ends()),
            sessions,
            passwords,
            party: options.party,
            guesses: Guesses::open(tables)?,
            throttle: Throttle::new()?,
            phones: options.phones,
            clock,
        })
    }

    /// What this portal can do, for [`super::judge()`].
    pub const fn means(&self) -> Means {
        Means {
            sms: self.phones.is_some(),
        }
    }

    /// How a mail of ours travelled, as the line reports it.
    pub fn travelled(&self, travelled: &Travelled) {
        self.codes.travelled(travelled);
    }

    /// What is known of an address, as the line asks. Where the tables fail, nothing is.
    pub fn standing(&self, address: &Address) -> Standing {
        self.accounts
            .standing(address, self.clock.now())
            .unwrap_or_else(|error| {
                tracing::error!(%error, "an account of the portal cannot be read");
                Standing { registered: None }
            })
    }

    /// Sends a code to the number of a message. `text` makes the message of digits and minutes.
    /// `Ok(None)`: it could not be sent, or there is no hook.
    pub async fn ask_phone(
        &self,
        reference: Reference,
        number: &PhoneNumber,
        caller: Caller,
        text: impl FnOnce(&str, u32) -> String,
    ) -> Result<Result<Option<()>, TooOften>, ProofError> {
        let (now, network) = (self.clock.now(), Network::of(caller.client));
        let Some(phones) = &self.phones else {
            return Ok(Ok(None));
        };
        let channel = Channel::Phone(reference);
        // Before anything is counted: what is not sent takes nothing of what the number has.
        if let Some(until) = self.codes.full_until(&channel, caller.seat, now) {
            return Ok(Err(TooOften { until }));
        }
        let name = number.expose().as_bytes();
        let mut counted = asked_from(&network);
        counted.push(Counted {
            scope: "asked/phone",
            name: &[],
            limit: ASKED_OVERALL,
        });
        counted.extend(TEXTS.map(|(scope, limit)| Counted { scope, name, limit }));
        counted.push(Counted {
            scope: "phone/message",
            name: reference.as_bytes(),
            limit: TEXTS_OF_MESSAGE,
        });
        if let Err(often) = self.throttle.take(&counted, now) {
            return Ok(Err(often));
        }
        let Some(issued) = self.codes.issue(&channel, caller.seat, now)? else {
            return Ok(Ok(None));
        };
        let text = text(issued.code.expose(), issued.minutes);
        match phones.send(number, &text).await {
            Ok(()) => {
                self.codes.arrived(issued.ticket);
                Ok(Ok(Some(())))
            }
            Err(failure) => {
                self.codes.not_sent(issued.ticket);
                tracing::warn!(%failure, "a code could not be sent to a number");
                Ok(Ok(None))
            }
        }
    }

    /// Looks at a code that was mailed. `exists`: whether a message waits for the address, or it
    /// has an account.
    pub async fn try_mailbox(
        &self,
        address: &Address,
        exists: bool,
        typed: &str,
        caller: Caller,
    ) -> Result<Tried<Proof>, ProofError> {
        let guess = Guess {
            kind: Kind::MailCode,
            name: &address.mailbox_key(),
            exists,
            network: Network::of(caller.client),
            holds: false,
        };
        let channel = Channel::mailbox(address);
        let place = (&channel, caller.seat);
        self.try_code(guess, place, typed, Proof::Mailbox).await
    }

    /// Looks at a code that was sent to the number of a message.
    pub async fn try_phone(
        &self,
        reference: Reference,
        typed: &str,
        caller: Caller,
    ) -> Result<Tried<Proof>, ProofError> {
        let guess = Guess {
            kind: Kind::PhoneCode,
            name: &reference.to_string(),
            exists: true,
            network: Network::of(caller.client),
            holds: false,
        };
        let place = (&Channel::Phone(reference), caller.seat);
        let proof = Proof::Phone(reference);
        self.try_code(guess, place, typed, proof).await
    }

    async fn try_code(
        &self,
        guess: Guess<'_>,
        (channel, seat): (&Channel, Seat),
        typed: &str,
        proof: Proof,
    ) -> Result<Tried<Proof>, ProofError> {
        let now = self.clock.now();
        let by_seat = [Counted {
            scope: "typed/seat",
            name: &seat,
            limit: TYPED_BY_SEAT,
        }];
        if let Err(often) = self.throttle.take(&by_seat, now) {
            return Ok(Tried::Later(often));
        }
        if !self.codes.is_live(channel, seat, now) {
            // A browser without a code has nothing to guess: nobody's count is touched.
            if let Err(often) = self.guesses.aimless(guess.network, now) {
                return Ok(Tried::Later(often));
            }
            return Ok(Tried::Wrong { last: false });
        }
        let spent = match self.guesses.spend(guess, now).await? {
            Ok(spent) => spent,
            Err(often) => return Ok(Tried::Later(often)),
        };
        // The time may have gone on while the count was written.
        match self.codes.check(channel, seat, typed, self.clock.now()) {
            Check::Right => {
                self.guesses.was_right(spent, guess, now).await?;
                Ok(Tried::Right(proof))
            }
            Check::Wrong => Ok(Tried::Wrong { last: spent.last }),
            Check::InAMoment => {
                self.guesses.give_back(spent, guess, now).await?;
                Ok(Tried::InAMoment)
            }
            Check::Exposed => {
                self.guesses.give_back(spent, guess, now).await?;
                Ok(Tried::Exposed)
            }
        }
    }

    /// Looks at a factor of an account.
    pub async fn try_account(
        &self,
        address: &Address,
        typed: Typed<'_>,
        by: Trying,
    ) -> Result<Tried<Proof>, ProofError> {
        let (now, accounts) = (self.clock.now(), &self.accounts);
        let facts = accounts.facts(address, now)?;
        let (kind, registered) = match typed {
            Typed::Password(_) => (Kind::Password, facts.password),
            Typed::Totp(_) => (Kind::Totp, facts.totp),
            Typed::Recovery(_) => (Kind::Recovery, facts.recovery),
        };
        let guess = Guess {
            kind,
            name: &address.mailbox_key(),
            exists: registered.is_some(),
            network: Network::of(by.client),
            holds: by.holds,
        };
        let spent = match self.guesses.spend(guess, now).await? {
            Ok(spent) => spent,
            Err(often) => return Ok(Tried::Later(often)),
        };
        let checked = match typed {
            Typed::Password(password) => accounts.check_password(address, password, now).await,
            Typed::Totp(code) => accounts.check_totp(address, code, now).await,
            Typed::Recovery(code) => accounts.check_recovery(address, code, now).await,
        };
        let checked = checked.map(|proof| proof.map(Proof::Account));
        self.settle(guess, spent, checked, now).await
    }

    /// Looks at a passkey; says whose it is.
    pub async fn try_passkey(
        &self,
        challenge: &Challenge,
        used: &Used,
        client: IpAddr,
    ) -> Result<Tried<(Address, Proof)>, ProofError> {
        let now = self.clock.now();
        // Nobody guesses a signature: only the time that it costs is bounded.
        let network = Network::of(client);
        let counted = [Counted {
            scope: "passkey/network",
            name: network.as_bytes(),
            limit: PASSKEYS_BY_NETWORK,
        }];
        if let Err(often) = self.throttle.take(&counted, now) {
            return Ok(Tried::Later(often));
        }
        let checked = self
            .accounts
            .check_passkey(&self.party, challenge, used, now);
        match checked.await? {
            Some((address, proof)) => {
                self.throttle.give_back(&counted, now);
                Ok(Tried::Right((address, Proof::Account(proof))))
            }
            None => Ok(Tried::Wrong { last: false }),
        }
    }

    /// Looks at the secret of a message. `phc` is the hash that the store has; `None` where there
    /// is no such message, or no secret.
    pub async fn try_secret(
        &self,
        reference: Reference,
        phc: Option<&str>,
        typed: &str,
        client: IpAddr,
    ) -> Result<Tried<Proof>, ProofError> {
        let now = self.clock.now();
        let name = reference.to_string();
        let guess = Guess {
            kind: Kind::Secret,
            name: &name,
            exists: phc.is_some(),
            network: Network::of(client),
            holds: false,
        };
        let spent = match self.guesses.spend(guess, now).await? {
            Ok(spent) => spent,
            Err(often) => return Ok(Tried::Later(often)),
        };
        // As the sender's was: without the blanks around it.
        let typed = SecretBytes::new(typed.trim().as_bytes().to_vec());
        let right = self.passwords.is(phc, &typed).await;
        let checked = right.map(|right| right.then_some(Proof::Secret(reference)));
        self.settle(guess, spent, checked, now).await
    }

    async fn settle(
        &self,
        guess: Guess<'_>,
        spent: Spent,
        checked: Result<Option<Proof>, ProofError>,
        now: Timestamp,
    ) -> Result<Tried<Proof>, ProofError> {
        match checked {
            Ok(Some(proof)) => {
                self.guesses.was_right(spent, guess, now).await?;
                Ok(Tried::Right(proof))
            }
            Ok(None) => Ok(Tried::Wrong { last: spent.last }),
            // It was not looked at.
            Err(error) => {
                self.guesses.give_back(spent, guess, now).await?;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
