//! Any octets as a segment of the journal: recovery never panics, and what it says of them holds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Err(broken) = sealpost::journal::scan::check_fuzz_input(octets) {
        panic!("{broken}");
    }
});
