//! Reads a message as a person would and says what is in it: where protected health or personal
//! information was found, and what could not be read.
//!
//! Owns: taking the content apart into texts, and the detectors. Never: decides what follows from
//! a finding (policy does), keeps or tells any text.

pub mod detect;
