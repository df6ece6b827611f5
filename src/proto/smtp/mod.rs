//! SMTP (RFC 5321) from both ends.
