//! The octets of a notice: a message of ours to a recipient that carries nothing of the content.

use serde::{Deserialize, Serialize};

use super::{Language, Reference};
use crate::mail::Timestamp;

/// A composed notice, and what it says. Only `notice` composes one (`tests/layering.rs` reads for
/// that), from a fixed text: of the sender there is the name in it and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    octets: Vec<u8>,
    reference: Reference,
    language: Language,
    expires: Timestamp,
}

impl Notice {
    /// What `notice` composed: a whole message with CRLF, 7-bit.
    pub const fn composed(
        octets: Vec<u8>,
        reference: Reference,
        language: Language,
        expires: Timestamp,
    ) -> Self {
        Self {
            octets,
            reference,
            language,
            expires,
        }
    }

    /// The message, to stand behind the signatures.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// What it calls the deposit.
    pub const fn reference(&self) -> Reference {
        self.reference
    }

    /// The language that it is written in.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// Until when, as it says, the message can be picked up.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }
}
