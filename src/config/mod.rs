//! The configuration file: read, checked, joined.
