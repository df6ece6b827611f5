//! How each recipient is protected, and why. Pure.
