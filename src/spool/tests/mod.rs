//! The spool's promises, one test each.

mod crash;
mod failure;
mod freeing;
mod lasting;
mod model;
mod secrecy;
mod support;
