//! The sender's secret, kept as its argon2id hash alone (RFC 9106).

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier, RECOMMENDED_SALT_LEN};

use crate::journal::crypt::random;
use crate::mail::SenderSecret;

use super::StoreError;

/// Hashes a secret as a PHC string: 19 MiB, 2 passes, 1 lane. Slow on purpose; not for the runtime.
pub(super) fn hash(secret: &SenderSecret) -> Result<String, StoreError> {
    let mut salt = [0; RECOMMENDED_SALT_LEN];
    random(&mut salt)?;
    Argon2::default()
        .hash_password_with_salt(secret.expose().as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|_| StoreError::Secret)
}

/// Whether `text`, with blanks around it taken off, is the secret of a hash. Slow on purpose.
pub fn matches(phc: &str, text: &str) -> bool {
    PasswordHash::new(phc).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(text.trim().as_bytes(), &hash)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_matches() {
        let secret = SenderSecret::parse("blue heron").unwrap();
        let phc = hash(&secret).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, hash(&secret).unwrap());
        assert!(matches(&phc, " blue heron\n"));
        assert!(!matches(&phc, "Blue heron"));
        assert!(!matches("", "blue heron"));
    }
}
