//! Header fields and MIME structure of a message, as bytes.
