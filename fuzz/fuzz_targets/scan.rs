//! Any octets as a message, its documents, and a worker's answer: never a panic, and what is read
//! stays within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Err(broken) = sealpost::scan::check_fuzz_input(octets) {
        panic!("{broken}");
    }
});
