//! Any octets as what a server sends: the reply reader never panics, and what holds of its answers
//! holds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Err(broken) = sealpost::proto::smtp::reply::check_fuzz_input(octets) {
        panic!("{broken}");
    }
});
