//! Keys and words that a later version of sealpost knows: refused as such, so that nobody believes
//! a protection to be on that this version does not have.

/// Dotted keys of later versions.
const KEYS: [&str; 2] = ["dns.trust_anchor", "metrics"];

/// Whether `path` is a key of a later version.
pub fn is_known(path: &str) -> bool {
    KEYS.contains(&path)
}
