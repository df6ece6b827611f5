//! Mail on the journal.

pub mod content;
mod error;

pub use content::{BodyReader, Content};
pub use error::SpoolError;
