//! Records, not mail: an append-only, sealed, group-committed journal.
