//! What a notice calls a deposit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Crockford's alphabet, as in queue ids.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Octets of a reference.
pub const REFERENCE_OCTETS: usize = 10;
/// Characters of a reference: 16 × 5 bits hold 80.
pub const REFERENCE_LEN: usize = 16;

/// The name of a deposit in the link of its notice: 80 random bits. It is not a secret, and opens
/// nothing; it cannot be guessed either, so that strangers cannot have codes mailed by counting up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference([u8; REFERENCE_OCTETS]);

/// A text that is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reference: 16 characters of 0-9 and A-Z without I, L, O and U")]
pub struct ReferenceError;

impl Reference {
    /// From random octets.
    pub const fn new(random: [u8; REFERENCE_OCTETS]) -> Self {
        Self(random)
    }

    /// The octets, as they are stored.
    pub const fn as_bytes(&self) -> &[u8; REFERENCE_OCTETS] {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wide = [0u8; 16];
        wide[6..].copy_from_slice(&self.0);
        let mut rest = u128::from_be_bytes(wide);
        let mut text = [0u8; REFERENCE_LEN];
        for slot in text.iter_mut().rev() {
            let [lowest, ..] = rest.to_le_bytes();
            *slot = ALPHABET[usize::from(lowest & 31)];
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// Reads a reference; lower case is accepted, look-alikes are not guessed.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.len() != REFERENCE_LEN {
            return Err(ReferenceError);
        }
        let mut number: u128 = 0;
        for byte in text.bytes() {
            let upper = byte.to_ascii_uppercase();
            let digit = ALPHABET
                .iter()
                .position(|&letter| letter == upper)
                .ok_or(ReferenceError)?;
            number = number << 5 | digit as u128;
        }
        let wide = number.to_be_bytes();
        let mut octets = [0u8; REFERENCE_OCTETS];
        octets.copy_from_slice(&wide[6..]);
        Ok(Self(octets))
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for octets in [
            [0; 10],
            [255; 10],
            *b"0123456789",
            *b"\x80\0\0\0\0\0\0\0\0\x01",
        ] {
            let reference = Reference::new(octets);
            let text = reference.to_string();
            assert_eq!(text.len(), REFERENCE_LEN);
            assert_eq!(text.parse(), Ok(reference));
            assert_eq!(text.to_lowercase().parse(), Ok(reference));
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "0",
            "000000000000000I",
            "00000000000000000",
            "../../etc/passwd",
        ] {
            assert_eq!(text.parse::<Reference>(), Err(ReferenceError), "{text}");
        }
    }
}
