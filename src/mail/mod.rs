//! The words: plain data that every other part speaks.
//!
//! Owns the meaning of address, envelope, status, level, grade, rendition class.
//! Never touches a socket, a clock, a disk or a task; imports nothing else of ours.

pub mod address;
pub mod certificate;
pub mod decision;
pub mod demand;
pub mod domain;
pub mod envelope;
pub mod finding;
pub mod id;
pub mod message;
pub mod outcome;
pub mod pattern;
pub mod pickup;
pub mod rendition;
pub mod sealed;
pub mod secret;
pub mod state;
pub mod status;
pub mod timestamp;
pub mod tls;

pub use address::{Address, AddressError, ReversePath};
pub use certificate::{
    CertificateFact, CertificateProblem, Fingerprint, FoundCertificate, RecipientCertificate,
    has_expired,
};
pub use decision::{
    Allowance, Asker, Candidate, Course, Decision, ExceptionUse, Grade, Level, Method, Reason,
    Refusal, Terms, TlsStanding, Verdict,
};
pub use demand::{Demand, RenditionClass};
pub use domain::{Domain, DomainError};
pub use envelope::{Client, Envelope, MessageClass, Tag};
pub use finding::{
    Finding, Findings, MAX_FINDINGS, MAX_FINDINGS_PER_DETECTOR, Unreadable, Unscannable,
};
pub use id::MessageId;
pub use outcome::{Hop, Outcome, RecipientOutcome, ShortHost};
pub use pattern::{AddressPattern, DomainPattern, PatternError};
pub use pickup::{
    Deposit, Factor, Language, Notice, PhoneNumber, PickupBy, PickupFacts, PickupWishes, Reference,
    SenderSecret,
};
pub use rendition::{Body, Prepared, RecipientPlan, Rendition};
pub use sealed::{AlreadySealed, ContentCipher, ContentKey, Sealed, Shape};
pub use secret::SecretBytes;
pub use state::{DeferReason, Final, RecipientRecord, RecipientState};
pub use status::{EnhancedCode, Source, Status};
pub use timestamp::Timestamp;
pub use tls::{TlsFacts, TlsVersion, VerifiedBy};
