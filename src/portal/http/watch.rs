//! What a connection is busy with, and when it has been so for too long.
//!
//! Covers what hyper has no timeout for, or one for all: a head that does not come to its end, a
//! connection that is idle, a client that asks and then takes nothing, frames of HTTP/2 that ask
//! for nothing.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::options::Limits;
use crate::mail::Timestamp;
use crate::world::clock::Clock;

/// Octets that a client may send without asking for, or taking, anything: pings, settings,
/// priorities, resets. More than its flow control window holds.
const MAX_UNASKED_OCTETS: u64 = 512 * 1024;

/// Octets of an answer that a client must take in a second, in the long run: one that takes less is
/// let go, since what it is sent is held for it.
pub const MIN_TAKEN_PER_SECOND: u64 = 2 * 1024;

/// One connection. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(super) struct Watch(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    clock: Clock,
    idle: Duration,
    head: Duration,
    stall: Duration,
    sent: Duration,
    /// HTTP/2 says things between requests; HTTP/1.1 only ever begins one.
    h2: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests whose body is read, that the site works on, or whose body is thrown away.
    busy: usize,
    /// Answers on their way.
    answers: Vec<Sent>,
    next_answer: u64,
    /// When the first octet of a request came, the head of which is not whole.
    head_since: Option<Timestamp>,
    idle_since: Timestamp,
    unasked: u64,
}

/// An answer on its way.
#[derive(Debug)]
struct Sent {
    id: u64,
    began: Timestamp,
    /// When something of it was taken last.
    taken: Timestamp,
    octets: u64,
}

impl Sent {
    /// Until when it may go on if nothing more is taken.
    fn until(&self, stall: Duration, most: Duration) -> Timestamp {
        let earned = Duration::from_secs(self.octets / MIN_TAKEN_PER_SECOND);
        let slow = self.began + (stall + earned).min(most);
        slow.min(self.taken + stall)
    }
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Idle,
    Head,
    Stall,
    Unasked,
}

impl Watch {
    pub(super) fn new(clock: Clock, limits: &Limits, h2: bool) -> Self {
        let state = State {
            busy: 0,
            answers: Vec::new(),
            next_answer: 0,
            head_since: None,
            idle_since: clock.now(),
            unasked: 0,
        };
        Self(Arc::new(Watched {
            clock,
            idle: limits.idle,
            head: limits.head,
            stall: limits.stall,
            sent: limits.sent,
            h2,
            state: Mutex::new(state),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is being worked on until what is returned is dropped.
    pub(super) fn busy(&self) -> Busy {
        let mut state = self.state();
        state.busy += 1;
        state.head_since = None;
        state.unasked = 0;
        Busy(self.clone())
    }

    /// An answer is on its way until what is returned is dropped.
    pub(super) fn answering(&self) -> Answering {
        let now = self.0.clock.now();
        let mut state = self.state();
        let id = state.next_answer;
        state.next_answer = id.wrapping_add(1);
        state.answers.push(Sent {
            id,
            began: now,
            taken: now,
            octets: 0,
        });
        Answering {
            watch: self.clone(),
            id,
        }
    }

    /// Something of a request's body came.
    pub(super) fn progress(&self) {
        self.state().unasked = 0;
    }

    fn read(&self, octets: usize) {
        let mut state = self.state();
        state.unasked = state.unasked.saturating_add(octets as u64);
        let asks = state.busy == 0 && state.answers.is_empty();
        if asks && !self.0.h2 && state.head_since.is_none() {
            state.head_since = Some(self.0.clock.now());
        }
    }

    /// What has taken too long; or when it will have, if nothing happens before.
    pub(super) fn look(&self) -> Result<Timestamp, Expired> {
        let now = self.0.clock.now();
        let state = self.state();
        if state.unasked > MAX_UNASKED_OCTETS {
            return Err(Expired::Unasked);
        }
        let until = |sent: &Sent| sent.until(self.0.stall, self.0.sent);
        let slowest = state.answers.iter().map(until).min();
        let (since, most, why) = match (slowest, state.busy, state.head_since) {
            (Some(until), _, _) => (until, Duration::ZERO, Expired::Stall),
            (None, 0, Some(began)) => (began, self.0.head, Expired::Head),
            (None, 0, None) => (state.idle_since, self.0.idle, Expired::Idle),
            // Body and site have bounds of their own. Look again in a while.
            (None, _, _) => return Ok(now + self.0.idle),
        };
        if now >= since + most {
            return Err(why);
        }
        Ok(since + most)
    }
}

impl Watch {
    /// How long it is until then.
    pub(super) fn until(&self, due: Timestamp) -> Duration {
        due.since(self.0.clock.now())
    }
}

impl State {
    fn rest(&mut self, now: Timestamp) {
        if self.busy == 0 && self.answers.is_empty() {
            self.idle_since = now;
            // What the idle hold should be little.
            self.answers = Vec::new();
        }
    }
}

/// A request is being worked on.
#[derive(Debug)]
pub(super) struct Busy(Watch);

impl Drop for Busy {
    fn drop(&mut self) {
        let now = self.0.0.clock.now();
        let mut state = self.0.state();
        state.busy = state.busy.saturating_sub(1);
        state.rest(now);
    }
}

/// An answer is on its way.
#[derive(Debug)]
pub(super) struct Answering {
    watch: Watch,
    id: u64,
}

impl Answering {
    /// The client took something of it.
    pub(super) fn taken(&self, octets: u64) {
        let now = self.watch.0.clock.now();
        let mut state = self.watch.state();
        state.unasked = 0;
        if let Some(sent) = state.answers.iter_mut().find(|sent| sent.id == self.id) {
            sent.taken = now;
            sent.octets += octets;
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let now = self.watch.0.clock.now();
        let mut state = self.watch.state();
        state.answers.retain(|sent| sent.id != self.id);
        state.rest(now);
    }
}

/// A stream whose octets the watch counts.
pub(super) struct WatchedStream<S> {
    pub(super) stream: S,
    pub(super) watch: Watch,
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let octets = buffer.filled().len() - before;
        if octets > 0 {
            self.watch.read(octets);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Octets that one connection's watch holds.
#[cfg(test)]
pub(super) const WATCH_OCTETS: usize = size_of::<Watched>();

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(h2: bool) -> (Watch, Clock, Limits) {
        let clock = Clock::starting_at(Timestamp::from_secs(1_800_000_000));
        let limits = Limits::default();
        (Watch::new(clock, &limits, h2), clock, limits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_must_be_whole_soon_and_silence_may_last_longer() {
        let (watch, clock, limits) = watch(false);
        assert_eq!(watch.look(), Ok(clock.now() + limits.idle));
        watch.read(1);
        tokio::time::advance(limits.head / 2).await;
        watch.read(1);
        assert!(watch.look().is_ok());
        tokio::time::advance(limits.head / 2).await;
        assert_eq!(watch.look(), Err(Expired::Head));
        drop(watch.busy());
        assert_eq!(watch.look(), Ok(clock.now() + limits.idle));
        tokio::time::advance(limits.idle).await;
        assert_eq!(watch.look(), Err(Expired::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_must_be_taken() {
        let (watch, _, limits) = watch(true);
        let (moving, standing) = (watch.answering(), watch.answering());
        tokio::time::advance(limits.stall / 2).await;
        moving.taken(1 << 20);
        assert!(watch.look().is_ok());
        tokio::time::advance(limits.stall / 2).await;
        moving.taken(1 << 20);
        assert_eq!(watch.look(), Err(Expired::Stall));
        drop(standing);
        assert!(watch.look().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_in_drops_ends() {
        let (watch, _, limits) = watch(true);
        let drops = watch.answering();
        let mut minutes = 0;
        while watch.look().is_ok() {
            tokio::time::advance(Duration::from_secs(30)).await;
            drops.taken(8 * 1024);
            minutes += 1;
            assert!(minutes < 10, "16 KiB a minute is too slow");
        }
        drop(drops);
        let steady = watch.answering();
        let mut went = Duration::ZERO;
        while watch.look().is_ok() {
            tokio::time::advance(Duration::from_secs(30)).await;
            went += Duration::from_secs(30);
            steady.taken(1 << 20);
        }
        assert_eq!(went, limits.sent);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_ask_for_nothing_are_counted() {
        let (watch, ..) = watch(true);
        for _ in 0..512 {
            watch.read(1024);
        }
        assert!(watch.look().is_ok());
        watch.read(1);
        assert_eq!(watch.look(), Err(Expired::Unasked));
        drop(watch.busy());
        assert!(watch.look().is_ok());
    }

    #[test]
    fn a_watch_is_small() {
        const { assert!(WATCH_OCTETS <= 256) };
    }
}
