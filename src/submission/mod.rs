//! Mail comes in: listeners, sessions, authentication.

pub mod intake;
