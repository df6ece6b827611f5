//! Small durable tables on the journal.
