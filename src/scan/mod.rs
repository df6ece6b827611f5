//! Reads a message as a person would and says what is in it: where protected health or personal
//! information was found, and what could not be read.
//!
//! Owns: taking the content apart into texts, and the detectors. Documents (PDF, office, archives)
//! are read by a worker process that can do nothing but compute. Never: decides what follows from
//! a finding (policy does), keeps or tells any text, fails: what cannot be read is unscannable.

pub mod detect;
mod fuzz;
pub mod limits;
pub mod parts;
pub mod read;
mod scanner;
mod tally;
mod text;
pub mod worker;

pub use fuzz::check_fuzz_input;
pub use limits::Limits;
pub use scanner::{ScanConfig, Scanner};

use crate::mail::finding::Finding;
use detect::Detectors;

/// What looks at the texts: the detectors.
pub trait Sight {
    /// Looks at one text of a part. `Finding::offset` counts octets of `text`.
    fn scan_text(&self, part: u32, text: &str, out: &mut Vec<Finding>);
    /// Looks at the decoded octets of a part, for kinds that are known by their first octets.
    fn scan_bytes(&self, part: u32, bytes: &[u8], out: &mut Vec<Finding>);
}

impl Sight for Detectors {
    fn scan_text(&self, part: u32, text: &str, out: &mut Vec<Finding>) {
        Detectors::scan_text(self, part, text, out);
    }

    fn scan_bytes(&self, part: u32, bytes: &[u8], out: &mut Vec<Finding>) {
        Detectors::scan_bytes(self, part, bytes, out);
    }
}
