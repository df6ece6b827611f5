//! See `check_fuzz_input`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| sealpost::directory::revocation::check_fuzz_input(octets));
