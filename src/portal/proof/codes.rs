//! Codes that are mailed, or sent to a number.
//!
//! Owns the live codes, as HMAC-SHA256 under a key that lives only in this process. Eight digits,
//! good for [`Codes::life`], used once.
//!
//! A code is bound to the browser that asked for it ([`Seat`]): typed anywhere else it is wrong, and
//! takes no try from it. There are [`TRIES`] for it; then it is gone, and another can be asked for.
//! Asking needs no proof, so whoever asks must not be able to harm: what a stranger or a scanner
//! asks for is theirs, and neither ends nor opens anything of the owner's. A code that was asked for
//! again does not end the one before it; at most [`MAX_LIVE`] of a browser are good at a time.
//!
//! A mailed code counts only if the line reports that its own mail was delivered at the grade `any`
//! or better. The report may come before the queue id does. Until then the right code is answered
//! with [`Check::InAMoment`], and the wrong one as ever, so that nobody learns from the answer
//! whether a code is on its way. A code whose mail is lost keeps its place until it expires, as one
//! does that was made for nobody: how soon the next can be asked for does not tell them apart.
//!
//! How often it may be guessed is the business of [`super::guesses`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::hmac;
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use super::ProofError;
use super::sessions::Seat;
use crate::journal::crypt::random;
use crate::mail::{Address, Final, Grade, MessageId, Reference, Timestamp};
use crate::proto::link::Travelled;

/// Digits of a code.
pub const DIGITS: usize = 8;
/// How many codes there are.
const SPACE: u32 = 100_000_000;
/// Wrong tries that a code outlasts, less one.
pub const TRIES: u8 = 5;
/// Codes of one receiver and browser that are good at a time.
pub const MAX_LIVE: usize = 2;
/// Receivers that have codes.
pub const MAX_RECEIVERS: usize = 50_000;
/// Reports kept for mails whose queue id is not known yet.
pub const MAX_EARLY: usize = 4096;

/// Who receives codes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// A mailbox, by its key: see [`Channel::mailbox`].
    Mailbox(String),
    /// The number that the sender of a message gave.
    Phone(Reference),
}

impl Channel {
    /// The mailbox of an address, however that is written.
    pub fn mailbox(address: &Address) -> Self {
        Self::Mailbox(address.mailbox_key())
    }
}

/// A code to be sent. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeText(Zeroizing<String>);

impl CodeText {
    /// The digits, for whoever sends them.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CodeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeText(..)")
    }
}

/// A code that was issued and is to be sent now.
#[derive(Debug)]
pub struct Issued {
    /// The digits.
    pub code: CodeText,
    /// Minutes for which it is good.
    pub minutes: u32,
    /// What to report the sending by.
    pub ticket: u64,
}

/// What became of a typed code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It is right, and was used up.
    Right,
    /// It is none of the live ones.
    Wrong,
    /// It is right, but it is not known yet how its mail travelled. Not used up.
    InAMoment,
    /// It is right, but its mail travelled so that others could read it: used up, worth nothing.
    Exposed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It is not known that it was taken.
    Sending,
    /// On its way under this queue id.
    Queued(MessageId),
    /// It arrived as it should.
    Well,
    /// It arrived, but others could read it.
    Exposed,
    /// It did not arrive: nobody has it, and it is never right.
    Lost,
}

struct Live {
    ticket: u64,
    tag: [u8; 32],
    until: Timestamp,
    sent: Sent,
    tries: u8,
}

/// Who receives codes, and in which browser they count.
type Place = (Channel, Seat);

#[derive(Default)]
struct State {
    live: HashMap<Place, Vec<Live>>,
    /// Whose code which ticket and which mail is.
    tickets: BTreeMap<u64, Place>,
    mails: HashMap<MessageId, (Place, u64)>,
    /// Reports that came before the queue id; oldest first.
    early: VecDeque<(MessageId, Sent)>,
    next: u64,
}

impl State {
    fn sweep(&mut self, now: Timestamp) {
        let (tickets, mails) = (&mut self.tickets, &mut self.mails);
        self.live.retain(|_, codes| {
            codes.retain(|code| {
                let keep = now < code.until;
                if !keep {
                    forget(tickets, mails, code);
                }
                keep
            });
            !codes.is_empty()
        });
    }

    fn remove(&mut self, channel: &Place, ticket: u64) {
        let Some(codes) = self.live.get_mut(channel) else {
            return;
        };
        if let Some(at) = codes.iter().position(|code| code.ticket == ticket) {
            let code = codes.swap_remove(at);
            forget(&mut self.tickets, &mut self.mails, &code);
        }
        if codes.is_empty() {
            self.live.remove(channel);
        }
    }

    /// A wrong try at each code of a browser.
    fn wrong(&mut self, place: &Place) {
        let mut spent = Vec::new();
        for code in self.live.get_mut(place).into_iter().flatten() {
            code.tries = code.tries.saturating_sub(1);
            if code.tries == 0 {
                spent.push(code.ticket);
            }
        }
        for ticket in spent {
            self.remove(place, ticket);
        }
    }

    /// Sets how a code travelled.
    fn settle(&mut self, channel: &Place, ticket: u64, sent: Sent) {
        let codes = self.live.get_mut(channel).into_iter().flatten();
        for code in codes.filter(|code| code.ticket == ticket) {
            code.sent = sent;
        }
    }
}

fn forget(
    tickets: &mut BTreeMap<u64, Place>,
    mails: &mut HashMap<MessageId, (Place, u64)>,
    code: &Live,
) {
    tickets.remove(&code.ticket);
    if let Sent::Queued(id) = code.sent {
        mails.remove(&id);
    }
}

/// The codes.
pub struct Codes {
    key: hmac::Key,
    life: Duration,
    state: Mutex<State>,
}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codes({} receivers)", self.state().live.len())
    }
}

impl Codes {
    /// None yet; each will be good for `life`.
    pub fn new(life: Duration) -> Result<Self, ProofError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| ProofError::Random)?;
        Ok(Self {
            key,
            life,
            state: Mutex::default(),
        })
    }

    /// How long a code is good.
    pub const fn life(&self) -> Duration {
        self.life
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a code of this browser can be tried.
    pub fn is_live(&self, channel: &Channel, seat: Seat, now: Timestamp) -> bool {
        let state = self.state();
        let codes = state.live.get(&(channel.clone(), seat));
        codes.into_iter().flatten().any(|code| now < code.until)
    }

    /// When the next code can be made for this browser; `None`: now.
    pub fn full_until(&self, channel: &Channel, seat: Seat, now: Timestamp) -> Option<Timestamp> {
        let state = self.state();
        let codes = state.live.get(&(channel.clone(), seat)).into_iter();
        let live = codes.flatten().map(|code| code.until);
        let live: Vec<_> = live.filter(|until| now < *until).collect();
        let full = live.len() >= MAX_LIVE;
        live.into_iter().min().filter(|_| full)
    }

    /// Makes a code; `None` where [`MAX_LIVE`] are good still, or the portal has no room for more.
    pub fn issue(
        &self,
        channel: &Channel,
        seat: Seat,
        now: Timestamp,
    ) -> Result<Option<Issued>, ProofError> {
        let code = digits()?;
        let tag = self.tag(channel, &code);
        let channel = &(channel.clone(), seat);
        let mut state = self.state();
        if state.live.len() >= MAX_RECEIVERS || state.live.contains_key(channel) {
            state.sweep(now);
        }
        let known = state.live.get(channel).map_or(0, Vec::len);
        if known >= MAX_LIVE || known == 0 && state.live.len() >= MAX_RECEIVERS {
            return Ok(None);
        }
        state.next += 1;
        let ticket = state.next;
        state.tickets.insert(ticket, channel.clone());
        state.live.entry(channel.clone()).or_default().push(Live {
            ticket,
            tag,
            until: now + self.life,
            sent: Sent::Sending,
            tries: TRIES,
        });
        let minutes = u32::try_from(self.life.as_secs() / 60).unwrap_or(u32::MAX);
        Ok(Some(Issued {
            code,
            minutes: minutes.max(1),
            ticket,
        }))
    }

    /// The line took the mail of a code.
    pub fn queued(&self, ticket: u64, queue_id: MessageId) {
        let mut state = self.state();
        let Some(channel) = state.tickets.get(&ticket).cloned() else {
            return;
        };
        let early = state.early.iter().position(|(id, _)| *id == queue_id);
        if let Some((_, sent)) = early.and_then(|at| state.early.remove(at)) {
            state.settle(&channel, ticket, sent);
            return;
        }
        state.settle(&channel, ticket, Sent::Queued(queue_id));
        state.mails.insert(queue_id, (channel, ticket));
    }

    /// The hook took the code for a number: it counts at once.
    pub fn arrived(&self, ticket: u64) {
        let mut state = self.state();
        if let Some(channel) = state.tickets.get(&ticket).cloned() {
            state.settle(&channel, ticket, Sent::Well);
        }
    }

    /// The mail of a code could not be sent: nobody has it, but it keeps its place.
    pub fn lost(&self, ticket: u64) {
        let mut state = self.state();
        if let Some(channel) = state.tickets.get(&ticket).cloned() {
            state.settle(&channel, ticket, Sent::Lost);
        }
    }

    /// A code could not be sent to a number: it is as if it had not been issued. Only who holds the
    /// address asks for one, so there is nothing to be told by it.
    pub fn not_sent(&self, ticket: u64) {
        let mut state = self.state();
        if let Some(channel) = state.tickets.get(&ticket).cloned() {
            state.remove(&channel, ticket);
        }
    }

    /// How a mail of ours travelled. One that is no code's is kept a while: its queue id may not
    /// have come yet.
    pub fn travelled(&self, travelled: &Travelled) {
        let sent = match (travelled.ended, travelled.grade) {
            (Final::Delivered, Some(grade)) if grade.reaches(Grade::Any) => Sent::Well,
            // Without a grade nobody vouches for it.
            (Final::Delivered, _) => Sent::Exposed,
            (
                Final::Deposited
                | Final::Bounced
                | Final::Expired
                | Final::Cancelled
                | Final::Suppressed,
                _,
            ) => Sent::Lost,
        };
        let mut state = self.state();
        match state.mails.remove(&travelled.queue_id) {
            Some((channel, ticket)) => state.settle(&channel, ticket, sent),
            None => {
                state.early.retain(|(id, _)| *id != travelled.queue_id);
                if state.early.len() >= MAX_EARLY {
                    state.early.pop_front();
                }
                state.early.push_back((travelled.queue_id, sent));
            }
        }
    }

    /// Looks at a typed code. Blanks and hyphens in it do not count. A wrong one takes a try from
    /// each that this browser has.
    pub fn check(&self, channel: &Channel, seat: Seat, typed: &str, now: Timestamp) -> Check {
        let typed = typed_digits(typed);
        let message = tagged(channel, &typed);
        let place = (channel.clone(), seat);
        let mut state = self.state();
        let codes = state.live.get(&place).map_or(&[][..], Vec::as_slice);
        let mut hit = None;
        // As many comparisons whether there is a code or not, each in constant time.
        for at in 0..MAX_LIVE {
            let nothing = [0; 32];
            let code = codes.get(at);
            let tag = code.map_or(&nothing, |code| &code.tag);
            let right = hmac::verify(&self.key, &message, tag).is_ok();
            if let Some(code) = code.filter(|code| right && now < code.until) {
                hit = Some((code.ticket, code.sent));
            }
        }
        let (ticket, sent) = hit.unwrap_or((0, Sent::Lost));
        match sent {
            Sent::Lost => {
                state.wrong(&place);
                Check::Wrong
            }
            Sent::Sending | Sent::Queued(_) => Check::InAMoment,
            Sent::Well => {
                state.remove(&place, ticket);
                Check::Right
            }
            Sent::Exposed => {
                state.remove(&place, ticket);
                Check::Exposed
            }
        }
    }

    fn tag(&self, channel: &Channel, code: &CodeText) -> [u8; 32] {
        let mut tag = [0; 32];
        let signed = hmac::sign(&self.key, &tagged(channel, code));
        for (to, from) in tag.iter_mut().zip(signed.as_ref()) {
            *to = *from;
        }
        tag
    }
}

fn tagged(channel: &Channel, code: &CodeText) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(320));
    match channel {
        Channel::Mailbox(address) => {
            message.push(b'm');
            message.extend_from_slice(address.as_bytes());
        }
        Channel::Phone(reference) => {
            message.push(b'p');
            message.extend_from_slice(reference.as_bytes());
        }
    }
    message.push(0);
    message.extend_from_slice(code.0.as_bytes());
    message
}

/// What counts of a typed code: at most one character more than a code has.
fn typed_digits(typed: &str) -> CodeText {
    let counts = typed.chars().filter(|c| !c.is_whitespace() && *c != '-');
    CodeText(Zeroizing::new(counts.take(DIGITS + 1).collect()))
}

/// Uniform: what would make the low codes likelier is drawn again.
fn digits() -> Result<CodeText, ProofError> {
    loop {
        let mut octets = [0; 4];
        random(&mut octets)?;
        let number = u32::from_be_bytes(octets);
        if number < u32::MAX / SPACE * SPACE {
            return Ok(CodeText(Zeroizing::new(format!("{:08}", number % SPACE))));
        }
    }
}

#[cfg(test)]
mod tests;
