//! Our own authentication at a next hop: AUTH PLAIN (RFC 4954, RFC 4616) and LOGIN.
//!
//! Credentials are written by the session only once the channel has reached grade `pkix`.
//! They never show in Debug, errors or logs, and are wiped when dropped.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

/// Longest user name or password in octets: both fit an AUTH line (RFC 4954 §4.5.1: 12288) with
/// room to spare.
pub const MAX_CREDENTIAL_OCTETS: usize = 1024;

/// A user name and a password for a next hop.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

/// Credentials that cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a user name or password for a next hop must have 1 to {MAX_CREDENTIAL_OCTETS} octets and no NUL"
)]
pub struct CredentialsError;

impl Credentials {
    /// Checks that both can be sent (RFC 4616 §2: no NUL, not empty).
    pub fn new(user: impl Into<String>, password: String) -> Result<Self, CredentialsError> {
        let password = Zeroizing::new(password);
        let user = user.into();
        let fits = |text: &str| {
            !text.is_empty() && text.len() <= MAX_CREDENTIAL_OCTETS && !text.contains('\0')
        };
        if fits(&user) && fits(&password) {
            Ok(Self { user, password })
        } else {
            Err(CredentialsError)
        }
    }

    /// The user name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The initial response of PLAIN, encoded: no authorisation identity, user, password.
    pub(super) fn plain(&self) -> Zeroizing<String> {
        let clear = Zeroizing::new(format!("\0{}\0{}", self.user, *self.password));
        Zeroizing::new(BASE64.encode(clear.as_bytes()))
    }

    pub(super) fn login_user(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.user.as_bytes()))
    }

    pub(super) fn login_password(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.password.as_bytes()))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Where an authentication stands: what the next reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthStep {
    /// AUTH PLAIN with its initial response.
    Plain,
    /// AUTH LOGIN.
    LoginStart,
    /// The user name.
    LoginUser,
    /// The password.
    LoginPassword,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_and_hides() {
        let credentials = Credentials::new("us", "hunter2".to_owned()).unwrap();
        assert_eq!(credentials.plain().as_str(), "AHVzAGh1bnRlcjI=");
        assert_eq!(credentials.login_user().as_str(), "dXM=");
        assert_eq!(credentials.login_password().as_str(), "aHVudGVyMg==");
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn refuses_what_cannot_be_sent() {
        for (user, password) in [("", "x"), ("x", ""), ("a\0b", "x"), ("x", "a\0b")] {
            assert!(Credentials::new(user, password.to_owned()).is_err());
        }
        let long = "x".repeat(MAX_CREDENTIAL_OCTETS + 1);
        assert!(Credentials::new("x", long).is_err());
    }
}
