//! The program as an operator runs it: words, exit codes, and what it says when things are wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "cli/agreement.rs"]
mod agreement;
#[path = "cli/bad_configs.rs"]
mod bad_configs;
#[path = "cli/cert.rs"]
mod cert;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/daemon.rs"]
mod daemon;
#[path = "cli/mail_certs.rs"]
mod mail_certs;
#[path = "cli/orders.rs"]
mod orders;
#[path = "cli/policy.rs"]
mod policy;
#[path = "cli/policy_config.rs"]
mod policy_config;
#[path = "cli/portal.rs"]
mod portal;
#[path = "cli/support.rs"]
mod support;
