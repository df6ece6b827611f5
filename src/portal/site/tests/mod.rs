//! The site as a whole, in one process without sockets: a real store, real proof, a line that is
//! played.

mod again;
mod enumeration;
mod languages;
mod limits;
mod matrix;
mod presses;
mod scanner;
mod sending;
mod size;
mod spelling;
mod support;
mod walk;
mod writing;
