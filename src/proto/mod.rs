//! Protocols as values: bytes and time in, bytes and questions out. No socket, no clock.

pub mod cms;
pub mod dsn;
pub mod ldap;
pub mod link;
pub mod smtp;
