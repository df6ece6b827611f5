//! What must hold for any octets. The fuzz targets call these; `cargo test` replays the corpora
//! through the same functions (`tests/fuzz_corpus.rs`).

pub mod cms;
pub mod ldap;
pub mod portal;
pub mod seal;
pub mod smtp;
