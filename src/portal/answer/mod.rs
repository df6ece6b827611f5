//! Answering: the files that are taken, the malware scanner that is asked, the message that is made.
//!
//! Owns: which files are refused, and why; the talk with clamd; a message from our own domain to
//! one person. Never: another recipient than the one that is given; a header that anything from
//! outside can add to; a file that was not looked at.
//! RFC 5322, RFC 2045–2047, RFC 2183, RFC 2231.

mod archive;
pub mod clamd;
mod compose;
mod encode;
pub mod files;

pub use compose::{Compose, compose};
pub use files::{File, FileRules, Offered, Refused, Why};
