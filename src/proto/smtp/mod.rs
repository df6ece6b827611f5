//! SMTP (RFC 5321) from both ends.

pub mod command;
pub mod data;
pub mod sasl;
pub mod server;
