//! SASL, the server's half: PLAIN (RFC 4616) and LOGIN (as everybody speaks it).
//!
//! A small machine: the client's decoded answers in, challenges or credentials out. Never checks
//! a password, never shows one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroize;

use crate::mail::SecretBytes;

/// Longest account name in octets (RFC 4616 §2 bounds nothing; this is what the users file takes).
pub const MAX_NAME_OCTETS: usize = 255;

/// The mechanisms on offer, as EHLO lists them.
pub const MECHANISMS: &str = "PLAIN LOGIN";

/// A name and a password, as the client gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub name: String,
    /// Its password.
    pub password: SecretBytes,
}

/// Where an exchange stands: what the next answer of the client means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// PLAIN: name and password in one answer.
    Plain,
    /// LOGIN: the name.
    LoginName,
    /// LOGIN: the password to this name.
    LoginPassword {
        /// The account, as given.
        name: String,
    },
}

/// What follows an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send the challenge of this exchange, and wait.
    Challenge(Exchange),
    /// All was said.
    Complete(Credentials),
}

/// Why an exchange ended without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// `*`
    #[error("the client cancelled the authentication")]
    Cancelled,
    /// Not base64.
    #[error("the answer is not base64")]
    Encoding,
    /// Base64 of something that the mechanism does not know.
    #[error("the answer is not what the mechanism asks for")]
    Malformed,
    /// PLAIN with an authorization identity other than the account's own.
    #[error("acting for another account is not possible")]
    OtherIdentity,
}

impl Exchange {
    /// The exchange of a mechanism, named in upper case; `None` if it is not offered.
    pub fn of(mechanism: &str) -> Option<Self> {
        match mechanism {
            "PLAIN" => Some(Self::Plain),
            "LOGIN" => Some(Self::LoginName),
            _ => None,
        }
    }

    /// The challenge, base64: what stands behind `334 `.
    pub const fn challenge(&self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::LoginName => "VXNlcm5hbWU6",
            Self::LoginPassword { .. } => "UGFzc3dvcmQ6",
        }
    }

    /// Takes an initial response (RFC 4954 §4): like an answer, but `=` stands for an empty one.
    pub fn initial(self, response: &[u8]) -> Result<Step, SaslError> {
        match response {
            b"=" => self.step(Vec::new()),
            response => self.answer(response),
        }
    }

    /// Takes an answer: one line, without its CRLF.
    pub fn answer(self, line: &[u8]) -> Result<Step, SaslError> {
        if line == b"*" {
            return Err(SaslError::Cancelled);
        }
        let decoded = STANDARD.decode(line).map_err(|_| SaslError::Encoding)?;
        self.step(decoded)
    }

    fn step(self, answer: Vec<u8>) -> Result<Step, SaslError> {
        match self {
            Self::Plain => plain(answer).map(Step::Complete),
            Self::LoginName => Ok(Step::Challenge(Self::LoginPassword {
                name: name(answer)?,
            })),
            Self::LoginPassword { name } => Ok(Step::Complete(Credentials {
                name,
                password: SecretBytes::new(answer),
            })),
        }
    }
}

/// message = [authzid] NUL authcid NUL passwd (RFC 4616 §2).
fn plain(mut answer: Vec<u8>) -> Result<Credentials, SaslError> {
    let credentials = split_plain(&answer);
    answer.zeroize();
    credentials
}

fn split_plain(answer: &[u8]) -> Result<Credentials, SaslError> {
    let mut parts = answer.split(|&octet| octet == 0);
    let (Some(authorization), Some(authentication), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError::Malformed);
    };
    if !authorization.is_empty() && authorization != authentication {
        return Err(SaslError::OtherIdentity);
    }
    Ok(Credentials {
        name: name(authentication.to_vec())?,
        password: SecretBytes::new(password.to_vec()),
    })
}

fn name(octets: Vec<u8>) -> Result<String, SaslError> {
    let name = String::from_utf8(octets).map_err(|_| SaslError::Malformed)?;
    if name.is_empty() || name.len() > MAX_NAME_OCTETS || name.chars().any(char::is_control) {
        return Err(SaslError::Malformed);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(octets: &[u8]) -> Vec<u8> {
        STANDARD.encode(octets).into_bytes()
    }

    fn complete(name: &str, password: &[u8]) -> Result<Step, SaslError> {
        Ok(Step::Complete(Credentials {
            name: name.into(),
            password: SecretBytes::new(password.to_vec()),
        }))
    }

    #[test]
    fn plain_takes_one_answer() {
        for response in [&b"\0jo\0secret"[..], b"jo\0jo\0secret"] {
            assert_eq!(
                Exchange::Plain.initial(&encoded(response)),
                complete("jo", b"secret")
            );
            assert_eq!(
                Exchange::Plain.answer(&encoded(response)),
                complete("jo", b"secret")
            );
        }
        assert_eq!(
            Exchange::Plain.answer(&encoded(b"\0jo\0\xff\xfe")),
            complete("jo", b"\xff\xfe")
        );
        for (response, error) in [
            (encoded(b""), SaslError::Malformed),
            (encoded(b"jo"), SaslError::Malformed),
            (encoded(b"\0jo"), SaslError::Malformed),
            (encoded(b"\0jo\0a\0b"), SaslError::Malformed),
            (encoded(b"\0\0secret"), SaslError::Malformed),
            (encoded(b"\0j\xff\0secret"), SaslError::Malformed),
            (encoded(b"\0j\r\no\0secret"), SaslError::Malformed),
            (encoded(b"root\0jo\0secret"), SaslError::OtherIdentity),
            (b"!!!".to_vec(), SaslError::Encoding),
            (b"AGpvAHNlY3JldA".to_vec(), SaslError::Encoding),
            (b"*".to_vec(), SaslError::Cancelled),
        ] {
            assert_eq!(Exchange::Plain.answer(&response), Err(error));
        }
        assert_eq!(Exchange::Plain.initial(b"="), Err(SaslError::Malformed));
        let long =
            |octets: usize| encoded(&[b"\0", "n".repeat(octets).as_bytes(), b"\0p"].concat());
        assert!(Exchange::Plain.answer(&long(255)).is_ok());
        assert!(Exchange::Plain.answer(&long(256)).is_err());
    }

    #[test]
    fn login_takes_two() {
        let password = Exchange::LoginPassword { name: "jo".into() };
        assert_eq!(
            Exchange::of("LOGIN").unwrap().answer(&encoded(b"jo")),
            Ok(Step::Challenge(password.clone()))
        );
        assert_eq!(
            Exchange::LoginName.initial(&encoded(b"jo")),
            Ok(Step::Challenge(password.clone()))
        );
        assert_eq!(Exchange::LoginName.initial(b"="), Err(SaslError::Malformed));
        assert_eq!(
            password.clone().answer(&encoded(b"secret")),
            complete("jo", b"secret")
        );
        assert_eq!(password.clone().answer(b""), complete("jo", b""));
        assert_eq!(password.answer(b"*"), Err(SaslError::Cancelled));
        assert_eq!(
            STANDARD.decode(Exchange::LoginName.challenge()).unwrap(),
            b"Username:"
        );
        let second = Exchange::LoginPassword {
            name: String::new(),
        };
        assert_eq!(STANDARD.decode(second.challenge()).unwrap(), b"Password:");
        assert_eq!(Exchange::of("CRAM-MD5"), None);
    }

    #[test]
    fn passwords_are_not_shown() {
        let step = Exchange::Plain.answer(&encoded(b"\0jo\0hunter2")).unwrap();
        assert!(!format!("{step:?}").contains("hunter2"));
    }
}
