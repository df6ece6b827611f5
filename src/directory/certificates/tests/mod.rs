//! The tests of the directory of certificates: the rules as tables, the rest in scenes.

mod cases;
mod chains;
mod make;
