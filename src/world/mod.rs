//! The world outside as a few small traits, and their only real implementations.
//!
//! A trait stands here only because a second, simulated implementation exists (`tests/support`).

pub mod account;
pub mod clock;
pub mod dial;
pub mod dns;
pub mod dns_hickory;
pub mod fetch;
pub mod file;
pub mod net;
pub mod reach;
pub mod tls;
pub mod unix;
pub mod url;

/// A future of a trait object's method.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
