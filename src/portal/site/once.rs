//! A form for writing is sent once: a second click on its button, or a browser that sends it again,
//! sends nothing more.
//!
//! Each form has a number. The number and what was written make a mark, so that the same form with
//! another text is another message, and the same text from another form as well. A form that was
//! refused may come again. Marks live in memory and are bounded by [`MAX_MARKS`]: where there is no
//! room, nothing is recognised, and everything is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

use super::forms::Writing;
use crate::journal::crypt::random;
use crate::mail::{Address, Timestamp};
use crate::portal::http::File;

/// Forms that are remembered.
pub const MAX_MARKS: usize = 10_000;
/// How long.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Octets of a form's number, which stands there in hex.
const NUMBER_OCTETS: usize = 16;

/// What tells a form from all others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark([u8; 32]);

impl Mark {
    /// Of a form by its number, by whom it is from and to whom, and by what is in it. Takes a moment
    /// for large files.
    pub fn of(from: &Address, to: &Address, written: &Writing, files: &[File]) -> Self {
        let mut digest = Context::new(&SHA256);
        let mut add = |octets: &[u8]| {
            digest.update(&(octets.len() as u64).to_le_bytes());
            digest.update(octets);
        };
        add(written.number.as_bytes());
        add(from.mailbox_key().as_bytes());
        add(to.mailbox_key().as_bytes());
        add(written.subject.as_bytes());
        add(written.text.as_bytes());
        for file in files {
            add(file.name.as_bytes());
            add(&file.octets);
        }
        let mut mark = [0; 32];
        for (octet, of_digest) in mark.iter_mut().zip(digest.finish().as_ref()) {
            *octet = *of_digest;
        }
        Self(mark)
    }
}

/// A form that came.
struct Known {
    since: Timestamp,
    /// Whether it was sent; held by whoever is sending it.
    sent: Arc<Turns<bool>>,
}

impl Known {
    /// Whether it matters still: somebody is sending it, or did so not long ago.
    fn matters(&self, now: Timestamp) -> bool {
        let sent = || self.sent.try_lock().is_ok_and(|sent| *sent);
        Arc::strong_count(&self.sent) > 1 || (self.since + REMEMBERED > now && sent())
    }
}

/// The forms that came.
#[derive(Default)]
pub struct Once {
    known: Mutex<HashMap<Mark, Known>>,
}

/// The turn to send a form: one at a time has it.
pub struct Turn(Option<OwnedMutexGuard<bool>>);

impl Turn {
    /// Whether it was sent before.
    pub fn is_sent(&self) -> bool {
        self.0.as_ref().is_some_and(|sent| **sent)
    }

    /// Now it was.
    pub fn sent(mut self) {
        if let Some(sent) = &mut self.0 {
            **sent = true;
        }
    }
}

impl Once {
    /// Waits until nobody else is sending this form.
    pub async fn turn(&self, mark: Mark, now: Timestamp) -> Turn {
        let sent = self.known(mark, now);
        match sent {
            Some(sent) => Turn(Some(sent.lock_owned().await)),
            None => Turn(None),
        }
    }

    fn known(&self, mark: Mark, now: Timestamp) -> Option<Arc<Turns<bool>>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_MARKS {
            known.retain(|_, one| one.matters(now));
        }
        if known.len() >= MAX_MARKS && !known.contains_key(&mark) {
            return None;
        }
        let one = known.entry(mark).or_insert_with(|| Known {
            since: now,
            sent: Arc::default(),
        });
        Some(Arc::clone(&one.sent))
    }
}

/// The number that came with a form; a new one where none did, or something else.
pub fn number(came: &str) -> String {
    let is_one = came.len() == 2 * NUMBER_OCTETS && came.bytes().all(|o| o.is_ascii_hexdigit());
    if is_one {
        return came.to_owned();
    }
    let mut number = [0; NUMBER_OCTETS];
    if random(&mut number).is_err() {
        // Then nothing is sent either: a message needs some, too.
        return String::new();
    }
    number.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn mark(number: usize) -> Mark {
        let mut mark = [0; 32];
        mark[..8].copy_from_slice(&number.to_le_bytes());
        Mark(mark)
    }

    #[tokio::test]
    async fn a_form_is_sent_once_and_a_refused_one_again() {
        let once = Once::default();
        drop(once.turn(mark(1), NOW).await);
        let first = once.turn(mark(1), NOW).await;
        assert!(!first.is_sent());
        let mut second = Box::pin(once.turn(mark(1), NOW));
        let waits = poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_pending()));
        assert!(waits.await);
        assert!(!once.turn(mark(2), NOW).await.is_sent());
        first.sent();
        assert!(second.await.is_sent());
    }

    #[tokio::test]
    async fn only_what_matters_is_remembered_and_no_more_than_so_much() {
        let once = Once::default();
        // Refused, all of them.
        for n in 0..MAX_MARKS {
            drop(once.turn(mark(n), NOW).await);
        }
        for n in 0..MAX_MARKS {
            once.turn(mark(MAX_MARKS + n), NOW).await.sent();
        }
        let count = || once.known.lock().unwrap().len();
        assert_eq!(count(), MAX_MARKS);
        // One too many goes its way unrecognised.
        once.turn(mark(5), NOW).await.sent();
        assert!(!once.turn(mark(5), NOW).await.is_sent());
        assert!(once.turn(mark(MAX_MARKS), NOW).await.is_sent());
        let later = NOW + REMEMBERED;
        once.turn(mark(5), later).await.sent();
        assert_eq!(count(), 1);
    }

    #[test]
    fn what_is_no_number_gets_one() {
        let one = number("");
        assert_eq!(one.len(), 32);
        assert_ne!(one, number(""));
        assert_eq!(number(&one), one);
        for other in ["x".repeat(32), one[1..].to_owned(), format!("{one}0")] {
            assert_ne!(number(&other), other);
        }
    }

    #[test]
    fn a_mark_is_of_all_that_is_sent() {
        let [a, b] = ["a@x.example", "b@x.example"].map(|it| Address::parse(it).unwrap());
        let written = |number: &str, subject: &str, text: &str| Writing {
            number: number.to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
            to: String::new(),
        };
        let file = |name: &str, octets: &'static [u8]| File {
            field: "files".to_owned(),
            name: name.to_owned(),
            media_type: String::new(),
            octets: bytes::Bytes::from_static(octets),
        };
        let plain = written("1", "s", "t");
        let first = Mark::of(&a, &b, &plain, &[file("f", b"x")]);
        assert!(first == Mark::of(&a, &b, &plain, &[file("f", b"x")]));
        for other in [
            Mark::of(&b, &b, &plain, &[file("f", b"x")]),
            Mark::of(&a, &a, &plain, &[file("f", b"x")]),
            Mark::of(&a, &b, &written("2", "s", "t"), &[file("f", b"x")]),
            Mark::of(&a, &b, &written("1", "st", ""), &[file("f", b"x")]),
            Mark::of(&a, &b, &plain, &[file("f", b"y")]),
            Mark::of(&a, &b, &plain, &[file("fx", b"")]),
            Mark::of(&a, &b, &plain, &[]),
        ] {
            assert!(other != first);
        }
    }
}
