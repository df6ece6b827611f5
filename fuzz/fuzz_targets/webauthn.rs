//! See `sealpost::portal::proof::webauthn::check_fuzz_input`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| sealpost::portal::proof::webauthn::check_fuzz_input(octets));
