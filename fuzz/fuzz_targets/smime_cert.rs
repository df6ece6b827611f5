//! Any octets as a certificate, as its names, and as a file of certificates: never a panic, and
//! what is accepted is what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Err(broken) = sealpost::directory::certificates::check_fuzz_input(octets) {
        panic!("{broken}");
    }
});
