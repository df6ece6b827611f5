//! Visits, before somebody has proved anything, and sessions, after.
//!
//! Owns what is remembered of a browser between two requests, under a random 256-bit token of
//! which only the SHA-256 is kept. Time is an argument.
//!
//! Invariants:
//! - With each step of privilege there is a new token and the old one is worth nothing.
//! - A session ends when it was idle, at its absolute end, by signing out, and with its account.
//!   What a request showed before that begins no other ([`Ends`]).
//! - Both kinds are bounded, each by itself: a flood of visits never ends a session, nor a visit that
//!   waits for a code, to whose browser that code is bound. Where there is no room, the one that was
//!   idle longest goes.
//! - A token against forged requests is bound to the token of the session, and compared in
//!   constant time.

mod csrf;
mod shelf;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use zeroize::Zeroizing;

use csrf::Csrf;
use shelf::{Left, Shelf, Visits};

use super::ends::{Ends, Moment};
use super::proofs::{Proof, Proofs};
use super::totp::TotpSecret;
use super::{ProofError, same_mailbox};
use crate::journal::crypt::random;
use crate::mail::{Address, Language, Reference, Timestamp};

/// Octets of a token.
pub const TOKEN_OCTETS: usize = 32;
/// How long a challenge for a passkey is good.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(300);

/// How long a factor that was shown once more is good for what cannot be undone.
pub const AGAIN: Duration = Duration::from_secs(300);

/// How long a code from the mailbox is good for a first factor, where there is no other to show.
pub const FIRST: Duration = Duration::from_secs(15 * 60);

/// A browser, from its first visit until it signs out: random, never shown. Codes are bound to it.
pub type Seat = [u8; 16];

/// A challenge for a passkey: random, used once.
pub type Challenge = [u8; 32];

/// How long and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A session that was not used so long ends.
    pub idle: Duration,
    /// A session ends so long after it began, used or not.
    pub absolute: Duration,
    /// A visit that was not used so long ends: mail may take its time.
    pub visit_idle: Duration,
    /// Visits, and as many again that wait for a code.
    pub visits: usize,
    /// Sessions.
    pub sessions: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15 * 60),
            absolute: Duration::from_secs(4 * 3600),
            visit_idle: Duration::from_secs(30 * 60),
            visits: 50_000,
            sessions: 50_000,
        }
    }
}

/// What a browser shows to be known again. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// For the cookie: 43 characters of base64url.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What is known of somebody who has proved nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visit {
    /// The message that the notice's link named.
    pub reference: Option<Reference>,
    /// The address that was typed, or whose message it is.
    pub address: Option<Address>,
    /// The language that was chosen.
    pub language: Option<Language>,
    /// A code was asked for, and that was taken: see [`Sessions::asked`].
    pub code_asked: bool,
    /// It began where outsiders write: on to there.
    pub writes: bool,
}

/// What is known of somebody who has proved something.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose messages.
    pub address: Address,
    /// What was proved.
    pub proofs: Proofs,
    /// Where to go on: the message that the visit began with.
    pub reference: Option<Reference>,
    /// The language that was chosen.
    pub language: Option<Language>,
    /// When it began.
    pub began: Timestamp,
    /// It began where outsiders write: on to there.
    pub writes: bool,
    /// When a factor of the account was shown once more, after one had been shown before.
    pub again: Option<Timestamp>,
    /// When a code from the mailbox was typed last.
    pub mailbox_shown: Option<Timestamp>,
    /// An authenticator app that is being set up, and not confirmed yet.
    pub new_totp: Option<TotpSecret>,
    /// How often new recovery codes were asked for.
    pub codes_wanted: u32,
    /// When the other sessions of its mailbox were ended last, and this one was not.
    spared: Option<Moment>,
}

impl Session {
    /// When it ends, used or not.
    pub fn ends(&self, bounds: &Bounds) -> Timestamp {
        self.began + bounds.absolute
    }

    /// Whether a factor of the account was shown once more just now: for what cannot be undone.
    pub fn shown_again(&self, now: Timestamp) -> bool {
        self.again.is_some_and(|shown| now.since(shown) < AGAIN)
    }

    /// Whether a code from the mailbox was typed within this time.
    pub fn mailbox_within(&self, time: Duration, now: Timestamp) -> bool {
        self.mailbox_shown
            .is_some_and(|shown| now.since(shown) < time)
    }
}

/// What a token stands for.
#[derive(Debug, Clone)]
pub enum Found {
    /// A visit.
    Visit(Visit),
    /// A session.
    Session(Box<Session>),
}

type Name = [u8; 32];

struct State {
    visits: Visits,
    sessions: Shelf<Session>,
    left: Left,
}

impl State {
    /// Takes away what a token stood for: the seat, and the visit if it was one.
    fn leave(&mut self, name: &Name, now: Timestamp) -> Option<(Seat, Option<Visit>)> {
        if self.sessions.touch(name, now).is_some() {
            return self.sessions.remove(name).map(|kept| (kept.seat, None));
        }
        self.visits.touch(name, now)?;
        let kept = self.visits.remove(name)?;
        Some((kept.seat, Some(kept.value)))
    }
}

/// Visits and sessions.
pub struct Sessions {
    bounds: Bounds,
    csrf: Csrf,
    ends: Arc<Ends>,
    state: Mutex<State>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (visits, sessions) = self.counts();
        write!(f, "Sessions({visits} visits, {sessions} sessions)")
    }
}

impl Sessions {
    /// None yet.
    pub fn new(bounds: Bounds) -> Result<Self, ProofError> {
        let state = State {
            visits: Visits::new(bounds.visit_idle, bounds.absolute, bounds.visits),
            sessions: Shelf::new(bounds.idle, bounds.absolute, bounds.sessions),
            left: Left::default(),
        };
        Ok(Self {
            bounds,
            csrf: Csrf::new()?,
            ends: Arc::default(),
            state: Mutex::new(state),
        })
    }

    /// How long and how many.
    pub const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The ends, for who else has to look at them.
    pub fn ends(&self) -> Arc<Ends> {
        Arc::clone(&self.ends)
    }

    /// Where the order of ends has come to: to be asked when a request begins.
    pub fn moment(&self) -> Moment {
        self.ends.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many visits and sessions are kept.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.visits.len(), state.sessions.kept.len())
    }

    /// Begins a visit.
    pub fn begin(&self, visit: Visit, now: Timestamp) -> Result<Token, ProofError> {
        self.begin_after(("", ""), visit, now)
    }

    /// Begins a visit in the place of what a token stood for; the browser keeps its seat, and for
    /// the same mailbox it goes on waiting for a code. Where there was no token, what stood in the
    /// form against forged requests says which browser it is.
    pub fn begin_after(
        &self,
        (before, form): (&str, &str),
        mut visit: Visit,
        now: Timestamp,
    ) -> Result<Token, ProofError> {
        let fresh = match self.csrf.seat(form) {
            Some(seat) => seat,
            None => new_seat()?,
        };
        let (token, name) = draw()?;
        let mut state = self.state();
        // In one step: of two requests with one token, one is its visit. The other has the seat.
        let (seat, left) = match name_of(before) {
            Some(before) => match state.leave(&before, now) {
                Some((seat, visit)) => {
                    state.left.add(before, seat, now);
                    (seat, visit)
                }
                None => (state.left.seat(&before, now).unwrap_or(fresh), None),
            },
            None => (fresh, None),
        };
        if let Some(left) = left.filter(|left| left.code_asked) {
            let both = visit.address.as_ref().zip(left.address.as_ref());
            visit.code_asked |= both.is_some_and(|(one, other)| same_mailbox(one, other));
        }
        state.visits.add(name, (visit, seat), now);
        Ok(token)
    }

    /// The seat of a browser; `None` where its token stands for nothing.
    pub fn seat(&self, token: &str, now: Timestamp) -> Option<Seat> {
        let name = name_of(token)?;
        let mut state = self.state();
        if let Some(kept) = state.sessions.touch(&name, now) {
            return Some(kept.seat);
        }
        state.visits.touch(&name, now).map(|kept| kept.seat)
    }

    /// What a token stands for; to be called with every request, which keeps it from being idle.
    pub fn find(&self, token: &str, now: Timestamp) -> Option<Found> {
        let name = name_of(token)?;
        let seen = self.moment();
        let mut state = self.state();
        if let Some(kept) = state.sessions.touch(&name, now) {
            let mut session = kept.value.clone();
            session.proofs.seen = Some(seen);
            return Some(Found::Session(Box::new(session)));
        }
        let kept = state.visits.touch(&name, now)?;
        Some(Found::Visit(kept.value.clone()))
    }

    /// A code was asked for in a visit, and that was taken: it waits, and visits that only begin
    /// cannot displace it. To be called where there is a code, of which
    /// there are few. `false` where there is none.
    pub fn asked(&self, token: &str, now: Timestamp) -> bool {
        let Some(name) = name_of(token) else {
            return false;
        };
        self.state().visits.wait(&name, now)
    }

    /// Changes a session in what gives no privilege: language, a set-up under way.
    pub fn change_session(
        &self,
        token: &str,
        change: impl FnOnce(&mut Session),
        now: Timestamp,
    ) -> bool {
        let Some(name) = name_of(token) else {
            return false;
        };
        let mut state = self.state();
        let Some(kept) = state.sessions.touch(&name, now) else {
            return false;
        };
        let (address, proofs) = (kept.value.address.clone(), kept.value.proofs.clone());
        change(&mut kept.value);
        // A privilege has one way in: `prove`.
        kept.value.address = address;
        kept.value.proofs = proofs;
        true
    }

    /// Adds what somebody has just proved for an address: a new token, and the old one is worth
    /// nothing. What was proved for another address is not taken along.
    ///
    /// `shown` is when the request began. Where the sessions of the mailbox have been ended since,
    /// or what the token stood for, nothing begins.
    pub fn prove(
        &self,
        token: &str,
        address: &Address,
        proof: Proof,
        shown: Moment,
        now: Timestamp,
    ) -> Result<Token, ProofError> {
        let (fresh, name) = draw()?;
        let mut state = self.state();
        if self.ends.ended(address, shown) {
            return Err(ProofError::Ended);
        }
        let old = name_of(token);
        let session = old.and_then(|old| {
            state.sessions.touch(&old, now)?;
            state.sessions.remove(&old)
        });
        let visit = old.and_then(|old| {
            state.visits.touch(&old, now)?;
            state.visits.remove(&old)
        });
        let kept_seat = session.as_ref().map(|kept| kept.seat);
        let kept_seat = kept_seat.or(visit.as_ref().map(|kept| kept.seat));
        let seat = kept_seat.ok_or(ProofError::Ended)?;
        let mut next = match (session, visit) {
            (Some(kept), _) if same_mailbox(&kept.value.address, address) => kept.value,
            (Some(kept), _) => {
                Session::new(address, kept.value.reference, kept.value.language, now)
            }
            (None, Some(kept)) => Session {
                writes: kept.value.writes,
                ..Session::new(address, kept.value.reference, kept.value.language, now)
            },
            (None, None) => return Err(ProofError::Ended),
        };
        match proof {
            Proof::Account(proof) => {
                let before = next.proofs.account;
                let before = before.filter(|it| it.generation == proof.generation);
                next.again = before.map(|_| now);
            }
            Proof::Mailbox => next.mailbox_shown = Some(now),
            Proof::Secret(_) | Proof::Phone(_) => {}
        }
        next.proofs.add(proof);
        let began = next.began;
        state.sessions.add(name, (next, seat), began, now);
        Ok(fresh)
    }

    /// Ends what a token stands for.
    pub fn end(&self, token: &str) {
        if let Some(name) = name_of(token) {
            let mut state = self.state();
            state.sessions.remove(&name);
            state.visits.remove(&name);
        }
    }

    /// Ends every session of a mailbox, however its address was written, but that of `except`: its
    /// factors have changed. What is shown from then on counts from the moment that is returned.
    pub fn end_all(&self, address: &Address, except: Option<&str>) -> Moment {
        let except = except.and_then(name_of);
        // Under the lock, so that nobody finds a session after its end and before it is gone.
        let mut state = self.state();
        let ended = self.ends.end(address);
        let of_address = state.sessions.kept.iter();
        let names: Vec<Name> = of_address
            .filter(|(name, kept)| {
                Some(**name) != except && same_mailbox(&kept.value.address, address)
            })
            .map(|(name, _)| *name)
            .collect();
        for name in names {
            state.sessions.remove(&name);
        }
        ended
    }

    /// Ends the others of a mailbox as [`Self::end_all`] does. What this one has shown still counts,
    /// for a request of its own that was under way as well: see [`Self::spared`].
    pub fn end_others(&self, address: &Address, token: &str) {
        let ended = self.end_all(address, Some(token));
        let Some(name) = name_of(token) else {
            return;
        };
        let mut state = self.state();
        if let Some(kept) = state.sessions.kept.get_mut(&name)
            && same_mailbox(&kept.value.address, address)
        {
            kept.value.spared = Some(ended);
        }
    }

    /// A session as it was when it was spared last: what has ended it since ends it still. `None`
    /// where it never was, or is no more.
    pub fn spared(&self, token: &str, now: Timestamp) -> Option<Session> {
        let name = name_of(token)?;
        let mut state = self.state();
        let mut session = state.sessions.touch(&name, now)?.value.clone();
        session.proofs.seen = Some(session.spared?);
        Some(session)
    }

    /// A new challenge for a passkey, in the place of the one before; `None` where the token stands
    /// for nothing.
    pub fn challenge(&self, token: &str, now: Timestamp) -> Result<Option<Challenge>, ProofError> {
        let mut challenge = Challenge::default();
        random(&mut challenge)?;
        let Some(name) = name_of(token) else {
            return Ok(None);
        };
        let put = Some((challenge, now + CHALLENGE_LIFE));
        let mut state = self.state();
        if let Some(kept) = state.sessions.touch(&name, now) {
            kept.challenge = put;
        } else if let Some(kept) = state.visits.touch(&name, now) {
            kept.challenge = put;
        } else {
            return Ok(None);
        }
        Ok(Some(challenge))
    }

    /// Takes the challenge: the next answer needs another one.
    pub fn take_challenge(&self, token: &str, now: Timestamp) -> Option<Challenge> {
        let name = name_of(token)?;
        let mut state = self.state();
        let taken = if let Some(kept) = state.sessions.touch(&name, now) {
            kept.challenge.take()
        } else {
            state.visits.touch(&name, now)?.challenge.take()
        };
        taken.filter(|(_, until)| now < *until).map(|(it, _)| it)
    }

    /// The token against forged requests that belongs to a token: to be put in every form. For a
    /// browser that has none (`""`) a new one each time.
    pub fn csrf(&self, token: &str) -> String {
        self.csrf.of(token)
    }

    /// Whether a form has the token that belongs to its session.
    pub fn csrf_is(&self, token: &str, given: &str) -> bool {
        self.csrf.is(token, given)
    }
}

impl Session {
    fn new(
        address: &Address,
        reference: Option<Reference>,
        language: Option<Language>,
        now: Timestamp,
    ) -> Self {
        Self {
            address: address.clone(),
            proofs: Proofs::default(),
            reference,
            language,
            began: now,
            writes: false,
            again: None,
            mailbox_shown: None,
            new_totp: None,
            codes_wanted: 0,
            spared: None,
        }
    }
}

fn new_seat() -> Result<Seat, ProofError> {
    let mut seat = Seat::default();
    random(&mut seat)?;
    Ok(seat)
}

fn draw() -> Result<(Token, Name), ProofError> {
    let mut octets = Zeroizing::new([0; TOKEN_OCTETS]);
    random(&mut *octets)?;
    let token = Token(Zeroizing::new(URL_SAFE_NO_PAD.encode(*octets)));
    Ok((token, hashed(&octets)))
}

/// The name under which a token's visit or session is kept; `None` for what is no token.
fn name_of(token: &str) -> Option<Name> {
    let mut octets = Zeroizing::new([0; TOKEN_OCTETS]);
    let length = URL_SAFE_NO_PAD
        .decode_slice(token, octets.as_mut_slice())
        .ok()?;
    (length == TOKEN_OCTETS).then(|| hashed(&octets))
}

fn hashed(octets: &[u8; TOKEN_OCTETS]) -> Name {
    let mut name = Name::default();
    let digest = digest::digest(&digest::SHA256, octets);
    for (to, from) in name.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    name
}

#[cfg(test)]
mod tests;
