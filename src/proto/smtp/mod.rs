//! SMTP (RFC 5321) from both ends.

pub mod client;
pub mod reply;
