//! What a sender gives so that a recipient can prove who they are: never shown, wiped when dropped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Fewest characters of a secret: below that it is guessed.
pub const MIN_SECRET_CHARS: usize = 6;
/// Most octets of a secret.
pub const MAX_SECRET_OCTETS: usize = 200;
/// Digits of a telephone number (ITU-T E.164).
pub const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A secret that the sender has agreed on with the recipient. Blanks around it do not count.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SenderSecret(Zeroizing<String>);

/// A text that cannot be a secret. Says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 6 characters at least, 200 octets at most, and no control characters")]
pub struct SecretError;

impl SenderSecret {
    /// Takes a secret as it was written.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let sound = text.chars().count() >= MIN_SECRET_CHARS
            && text.len() <= MAX_SECRET_OCTETS
            && !text.chars().any(char::is_control);
        match sound {
            true => Ok(Self(Zeroizing::new(text.to_owned()))),
            false => Err(SecretError),
        }
    }

    /// The text, for the one who hashes it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SenderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SenderSecret(..)")
    }
}

impl TryFrom<String> for SenderSecret {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        let text = Zeroizing::new(text);
        Self::parse(&text)
    }
}

impl From<SenderSecret> for String {
    fn from(secret: SenderSecret) -> Self {
        secret.0.to_string()
    }
}

/// A telephone number in the international form: `+` and digits. Personal, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(String);

/// A text that is no telephone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a telephone number in the international form, such as +1 202 555 0123")]
pub struct PhoneError;

impl PhoneNumber {
    /// The number: `+` and digits.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its last two digits, which may be shown.
    pub fn ending(&self) -> &str {
        self.0
            .get(self.0.len().saturating_sub(2)..)
            .unwrap_or_default()
    }
}

impl FromStr for PhoneNumber {
    type Err = PhoneError;

    /// Blanks, dots, hyphens and brackets between the digits do not count.
    fn from_str(text: &str) -> Result<Self, PhoneError> {
        let rest = text.trim().strip_prefix('+').ok_or(PhoneError)?;
        let mut number = String::from("+");
        for character in rest.chars() {
            match character {
                '0'..='9' => number.push(character),
                ' ' | '.' | '-' | '(' | ')' => {}
                _ => return Err(PhoneError),
            }
            if number.len() > *PHONE_DIGITS.end() + 1 {
                return Err(PhoneError);
            }
        }
        let sound = PHONE_DIGITS.contains(&(number.len() - 1)) && !number.starts_with("+0");
        if sound {
            Ok(Self(number))
        } else {
            Err(PhoneError)
        }
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(..)")
    }
}

impl TryFrom<String> for PhoneNumber {
    type Error = PhoneError;

    fn try_from(text: String) -> Result<Self, PhoneError> {
        text.parse()
    }
}

impl From<PhoneNumber> for String {
    fn from(number: PhoneNumber) -> Self {
        number.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_shown() {
        let secret = SenderSecret::parse(" blue heron ").unwrap();
        assert_eq!(secret.expose(), "blue heron");
        assert_eq!(format!("{secret:?}"), "SenderSecret(..)");
        let phone: PhoneNumber = "+1 (202) 555-0123".parse().unwrap();
        assert_eq!(phone.expose(), "+12025550123");
        assert_eq!(
            (format!("{phone:?}").as_str(), phone.ending()),
            ("PhoneNumber(..)", "23")
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "short", "with\u{7}bell", &"x".repeat(201)] {
            assert_eq!(SenderSecret::parse(text), Err(SecretError), "{text}");
        }
        for text in [
            "",
            "+",
            "12025550123",
            "+012345678",
            "+1202555",
            "+12345678901234567",
            "+1 202 x",
        ] {
            let parsed = text.parse::<PhoneNumber>();
            assert_eq!(parsed.is_ok(), text == "+1202555", "{text}");
        }
    }
}
