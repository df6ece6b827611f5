//! SMTP (RFC 5321) from both ends.

pub mod client;
pub mod command;
pub mod data;
pub mod reply;
pub mod sasl;
pub mod server;
