//! What can go wrong with the spool.

/// An operation of the spool failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The volume is nearly full: nothing more is taken in, deliveries go on.
    #[error("the volume of the spool is nearly full")]
    Full,
}
