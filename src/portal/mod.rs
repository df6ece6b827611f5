//! The portal: where people pick their messages up.
//!
//! Its own store, journal and master key; no relay, signing or S/MIME keys. It knows nothing of the
//! line but what is said over [`crate::proto::link`], so that it can be a process of its own.

pub mod answer;
pub mod courier;
pub mod http;
pub mod proof;
pub mod reading;
pub mod site;
pub mod socket;
pub mod store;

/// Text in NFC (UAX 15): one way of writing what was typed or told. Wiped when dropped.
pub(crate) fn nfc(text: &str) -> zeroize::Zeroizing<String> {
    use unicode_normalization::UnicodeNormalization as _;
    // Enough for what it may grow to, so that no copy of a secret is left behind.
    let mut normal = zeroize::Zeroizing::new(String::with_capacity(text.len().saturating_mul(3)));
    normal.extend(text.nfc());
    normal
}
