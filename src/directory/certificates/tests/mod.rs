//! The tests of the directory of certificates: the rules as tables, the rest in scenes.

mod asking;
mod cases;
mod chains;
mod directory;
mod files;
mod home;
mod make;
