//! Sealing: what a message looks like when it is signed and encrypted for one recipient
//! (S/MIME: RFC 8551; header protection: RFC 9788).
//!
//! Owns the shape: which header fields stand outside ([`fields`]), the root inside with
//! `hp="cipher"` and `HP-Outer`, the `multipart/signed` around it, whose signature that is
//! ([`identity`]), and whether content that comes in is sealed already ([`already_sealed`]).
//! `proto::cms` owns the cryptography and makes the octets.
//!
//! ```text
//! outer header: who, when, thread; Subject: [...]
//! application/pkcs7-mime; smime-type=enveloped-data        one for each recipient
//! └ multipart/signed                                       where the author has an identity
//!   ├ the message: its header fields, Content-Type with hp="cipher", HP-Outer, body
//!   └ application/pkcs7-signature
//! ```
//!
//! Never: changes an octet of the body, neither its encoding nor its line ends (inside it stays
//! 8-bit where it was); makes a message that shows more than this because something is odd: then
//! it is an error, and nothing is sealed. No Legacy Display Element (RFC 9788 §5.2.2) is put into
//! the text: programs that do not know RFC 9788 show the three dots.
//!
//! What is signed already (`multipart/signed`), or is CMS or PGP/MIME at its root, is encrypted as
//! it is: its signature stays whole, so neither `hp` nor `HP-Outer` is put into it and nothing is
//! signed around it (RFC 9788 §1.8.2 leaves such layers open). Its header fields stand on the
//! root inside: programs show them where the sender's signature protects them with
//! `hp="clear"`, and others keep them for whoever looks at the source.

mod already;
mod content_type;
mod fields;
mod identity;
mod payload;

use std::fmt;

use crate::mail::message::{Header, HeaderError, mailboxes, split};
use crate::mail::{Address, Sealed, Timestamp};
use crate::proto::cms::CmsError;

pub use already::already_sealed;
pub use identity::{Owner, OwnerError, SigningIdentity};
pub use payload::{Begun, Payload};

/// Why a message is not sealed. It goes out in no other shape because of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The header cannot be read; submission refuses such mail.
    #[error("reading the header: {0}")]
    Header(#[from] HeaderError),
    /// Not exactly one From field, or one that is not plain text.
    #[error("the message has no From field that can be shown outside, or several")]
    From,
    /// From does not name the author for whom it is to be signed.
    #[error("the From field does not name the author")]
    Author,
    /// A field that says what the body is stands there twice.
    #[error("the message has more than one {0} field")]
    Repeated(&'static str),
    /// The content is not the one that the payload was made of.
    #[error("the content is not the one that was prepared")]
    OtherContent,
    /// The system gave no random numbers, or none that are fit for a boundary.
    #[error("no random numbers for a MIME boundary")]
    Chance,
    /// The certificate, the identity or the size.
    #[error("sealing: {0}")]
    Cms(#[from] CmsError),
}

/// A message sealed to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealing {
    /// What the sealed octets are made from.
    pub sealed: Sealed,
    /// SHA-256 over the octets behind the outer header: the body hash of a DKIM signature, in
    /// simple and in relaxed form (RFC 6376 §3.4), since the base64 lines are canonical in both.
    pub body_sha256: [u8; 32],
}

/// Why nobody has signed inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsigned {
    /// No identity belongs to the author, or the author is not known.
    NoIdentity,
    /// The identity has expired. The message is sealed all the same, since a signature adds
    /// nothing to who can read it; the operator has to be told.
    Expired(Owner),
    /// The message has a layer of protection of its own.
    Protected,
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIdentity => f.write_str("the author has no signing identity"),
            Self::Expired(owner) => write!(f, "the signing identity of {owner} has expired"),
            Self::Protected => f.write_str("the message is signed or encrypted already"),
        }
    }
}

/// Seals, and signs inside with the identities of the configuration.
#[derive(Debug, Default)]
pub struct Sealer {
    identities: Vec<SigningIdentity>,
}

impl Sealer {
    /// Signs with these identities; seals without a signature where none of them fits.
    pub fn new(identities: Vec<SigningIdentity>) -> Self {
        Self { identities }
    }

    /// Prepares a message for sealing: divides its header, and signs it for `author`, the address
    /// in From that submission found to be the account's own. Once a message, whatever the number
    /// of its recipients. CPU-bound: the caller puts it on a blocking thread.
    ///
    /// `content` is the accepted content, with CRLF line ends.
    pub fn payload(
        &self,
        content: &[u8],
        author: Option<&Address>,
        now: Timestamp,
    ) -> Result<Payload, SealError> {
        let (block, body) = split(content);
        let header = Header::parse_stored(block)?;
        let mut from = header.all("From");
        let (Some(from), None) = (from.next(), from.next()) else {
            return Err(SealError::From);
        };
        if !fields::is_printable(from.raw()) {
            return Err(SealError::From);
        }
        let divided = fields::divide(&header, !body.is_ascii(), now)?;
        let found = match author {
            None => identity::Found::Nothing,
            Some(author) => {
                let named = mailboxes(from.body()).map_err(|_| SealError::From)?;
                if named.as_slice() != std::slice::from_ref(author) {
                    return Err(SealError::Author);
                }
                identity::find(&self.identities, author, now)
            }
        };
        let cryptographic = divided.cryptographic;
        let draft = payload::Draft::new(divided, content.len(), body);
        match found {
            _ if cryptographic => Ok(draft.unsigned(Unsigned::Protected)),
            identity::Found::Signs(identity) => draft.signed(body, identity, now),
            identity::Found::Expired(identity) => {
                Ok(draft.unsigned(Unsigned::Expired(identity.owner.clone())))
            }
            identity::Found::Nothing => Ok(draft.unsigned(Unsigned::NoIdentity)),
        }
    }
}

#[cfg(test)]
mod tests;
