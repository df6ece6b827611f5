//! The pages and what is behind them.
//!
//! Owns the routes ([`routes`]), what each page shows ([`pages`], `templates/portal/`), the texts'
//! place in them ([`say`]), the operator's look ([`operator`]) and the way of a request to its page
//! ([`Portal`]). Proof, storage, HTTP and the reading of mail are the business of its siblings.
//!
//! Invariants:
//! - GET and HEAD change nothing; the one exception stands at [`routes::Needs::Message`].
//! - Every POST carries the token of its browser's pages, beside what [`super::http`] looks at.
//! - Who has proved nothing is answered the same, whoever and whatever exists.
//! - No page has a script or a style in it; only passkeys need a script.

mod account;
mod again;
mod automated;
mod codes;
pub mod forms;
mod mailer;
mod messages;
mod once;
pub mod operator;
pub mod pages;
mod passkeys;
mod portal;
pub mod qr;
pub mod routes;
pub mod say;
mod sending;
pub mod shell;
mod sign_in;
pub mod text;
mod threads;
mod view;
mod visitor;
mod writing;

pub use mailer::Mailer;
pub use operator::{Colour, Identity, Imprint, Logo, Operator};
pub use portal::{Portal, SiteOptions};
pub use visitor::COOKIE;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
