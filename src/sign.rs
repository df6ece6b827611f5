//! DKIM: which key signs, then the signature (RFC 6376, RFC 8463).
