//! Tokens against forged requests, which stand in every form.
//!
//! A browser with a token of its own has the one that belongs to it. Whoever has none yet gets a
//! random one with the page: it is bound to nobody, and has a seat in it, so that a form that is
//! sent twice before there is a cookie comes from one browser. Nothing is kept for that: both are
//! worked out by a key that lives only in this process.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::{digest, hmac};

use super::{ProofError, Seat};
use crate::journal::crypt::random;

/// Octets by which the forms of browsers without a token differ.
const PAGE_OCTETS: usize = 16;

/// The key.
pub(super) struct Csrf(hmac::Key);

impl Csrf {
    pub(super) fn new() -> Result<Self, ProofError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Ok(Self(key.map_err(|_| ProofError::Random)?))
    }

    /// The one that belongs to a token; a new one where that is empty.
    pub(super) fn of(&self, token: &str) -> String {
        if !token.is_empty() {
            return URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &bound(token)));
        }
        let mut page = [0; PAGE_OCTETS];
        if random(&mut page).is_err() {
            // Then no visit can begin either.
            return String::new();
        }
        let tag = hmac::sign(&self.0, &named(b"page\0", &page));
        URL_SAFE_NO_PAD.encode([&page[..], tag.as_ref()].concat())
    }

    /// Whether one belongs to a token, or was given to somebody without.
    pub(super) fn is(&self, token: &str, given: &str) -> bool {
        if token.is_empty() {
            return self.page(given).is_some();
        }
        let Ok(given) = URL_SAFE_NO_PAD.decode(given.as_bytes()) else {
            return false;
        };
        hmac::verify(&self.0, &bound(token), &given).is_ok()
    }

    /// The seat of a browser that had no token when it was given this form.
    pub(super) fn seat(&self, given: &str) -> Option<Seat> {
        let tag = hmac::sign(&self.0, &named(b"seat\0", &self.page(given)?));
        let (seat, _) = tag.as_ref().split_first_chunk()?;
        Some(*seat)
    }

    /// What a form without a token has of its own, if we made it.
    fn page(&self, given: &str) -> Option<[u8; PAGE_OCTETS]> {
        let given = URL_SAFE_NO_PAD.decode(given.as_bytes()).ok()?;
        let (page, tag) = given.split_first_chunk()?;
        hmac::verify(&self.0, &named(b"page\0", page), tag).ok()?;
        Some(*page)
    }
}

fn bound(token: &str) -> Vec<u8> {
    named(
        b"csrf\0",
        digest::digest(&digest::SHA256, token.as_bytes()).as_ref(),
    )
}

fn named(what: &[u8; 5], octets: &[u8]) -> Vec<u8> {
    [&what[..], octets].concat()
}
