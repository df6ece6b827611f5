//! Mail comes in: listeners, sessions, authentication.
