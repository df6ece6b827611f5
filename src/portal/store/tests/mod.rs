//! The store as a whole.

mod crash;
mod deposits;
mod endings;
mod races;
mod replies;
mod secrecy;
mod slots;
mod support;
mod time;
