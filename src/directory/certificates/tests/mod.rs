//! The tests of the directory of certificates: the rules as tables, the rest in scenes.

#![allow(
    clippy::too_many_lines,
    clippy::cast_possible_truncation,
    reason = "tables are long, and what is made here is small"
)]

mod asking;
mod cases;
mod chains;
mod directory;
mod files;
mod home;
mod make;
mod revoked;
