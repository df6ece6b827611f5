//! The spool's promises, one test each.

mod lasting;
mod support;
