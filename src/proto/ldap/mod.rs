//! LDAPv3 as a client that asks one question (RFC 4511, RFC 4513), sans-I/O.
//!
//! Owns the codec ([`ber`], [`message`]), questions ([`Filter`]) and the session ([`Client`]).
//! Never follows a referral, never sends a password before TLS, never builds a filter from text.

pub mod ber;
mod client;
mod filter;
mod message;
#[cfg(test)]
mod tests;

pub use client::{Client, Credentials, CredentialsError, Input, LdapError, Opening, Output};
pub use filter::{Attribute, AttributeError, Filter, MAX_FILTER_OCTETS};
pub use message::{ResultCode, Search};

/// Largest message that is read, in octets.
pub const MAX_MESSAGE_OCTETS: usize = 1024 * 1024;
/// Most octets that are read in one session.
pub const MAX_SESSION_OCTETS: usize = 4 * 1024 * 1024;
/// Most entries that an answer may have.
pub const MAX_ENTRIES: u32 = 16;
/// Most references to other servers that are passed over in an answer.
pub const MAX_REFERENCES: u32 = 64;
/// Most values that are kept of an answer.
pub const MAX_VALUES: usize = 64;
