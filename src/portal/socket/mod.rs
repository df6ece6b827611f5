//! The Unix socket on which the line and the operator ask.
