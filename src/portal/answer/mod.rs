//! Replies: composed, checked, handed on.
