//! What is said of a panic: where, never what.
//!
//! The text of a panic may hold what was being read: slicing a string at the wrong place prints
//! the string, and the string may be a letter.

use std::io::Write;
use std::panic::{Location, PanicHookInfo, set_hook};

/// From now on a panic of any thread says on standard error where it was, and nothing else.
pub fn say_only_where() {
    set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map(Location::to_string);
        let place = place.unwrap_or_else(|| "an unknown place".to_owned());
        // Where not even this can be written there is nobody to tell.
        writeln!(std::io::stderr(), "sealpost: panic at {place}").ok();
    }));
}
