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
