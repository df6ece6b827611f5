//! See `portal::letter`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| sealpost_fuzz::portal::letter(octets));
