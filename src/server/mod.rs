//! The daemon: built in order, run, drained.
