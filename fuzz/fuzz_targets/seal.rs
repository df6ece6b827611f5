//! Any octets as a message: refused, or sealed so that exactly they come out again and nothing of
//! what is inside stands outside.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Err(broken) = sealpost::seal::check_fuzz_input(octets) {
        panic!("{broken}");
    }
});
