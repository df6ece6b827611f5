//! Message ids and how people see them: the queue id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Crockford's alphabet: no I, L, O, U, so that an id can be read over the telephone.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a queue id: 13 × 5 bits hold 64.
pub const QUEUE_ID_LEN: usize = 13;

/// The 64-bit id of a message, rising across restarts. Displayed and parsed as the queue id:
/// 13 Crockford base32 characters, which sort as the numbers do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(u64);

/// A text that is not a queue id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a queue id: 13 characters of 0-9 and A-Z without I, L, O and U, as in 06BMXKJ4N3Q2S")]
pub struct QueueIdError;

impl MessageId {
    /// From its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, as the spool stores it.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; QUEUE_ID_LEN];
        let mut rest = self.0;
        for slot in text.iter_mut().rev() {
            let [lowest, ..] = rest.to_le_bytes();
            *slot = ALPHABET[usize::from(lowest & 31)];
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MessageId {
    type Err = QueueIdError;

    /// Reads a queue id; lower case is accepted, look-alikes are not guessed.
    fn from_str(text: &str) -> Result<Self, QueueIdError> {
        if text.len() != QUEUE_ID_LEN {
            return Err(QueueIdError);
        }
        let mut number: u64 = 0;
        for byte in text.bytes() {
            let upper = byte.to_ascii_uppercase();
            let digit = ALPHABET
                .iter()
                .position(|&letter| letter == upper)
                .ok_or(QueueIdError)?;
            if number >> 59 != 0 {
                return Err(QueueIdError); // the first character holds four bits only
            }
            number = number << 5 | digit as u64;
        }
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_sorts() {
        for number in [0, 1, 31, 32, u64::MAX, 0x0123_4567_89ab_cdef] {
            let id = MessageId::new(number);
            assert_eq!(id.to_string().len(), QUEUE_ID_LEN);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
        }
        assert!(MessageId::new(31).to_string() < MessageId::new(32).to_string());
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "0",
            "000000000000I",
            "00000000000000",
            "G000000000000",
            "../etc/passwd",
        ] {
            assert_eq!(text.parse::<MessageId>(), Err(QueueIdError), "{text}");
        }
    }
}
