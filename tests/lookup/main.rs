//! Certificates and their revocation are looked up with servers that are good, slow, broken or
//! lying, in a simulated world.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod crl;
mod der;
mod fetch;
mod http;
mod https;
mod ldap;
mod ldap_server;
mod ocsp;
mod phone;
mod pki;
