//! Password hashes: argon2id as PHC strings (RFC 9106).

use argon2::password_hash::phc::PasswordHash;
use argon2::{ARGON2ID_IDENT, Argon2, Params, PasswordHasher, RECOMMENDED_SALT_LEN};
use ring::rand::{SecureRandom, SystemRandom};

use crate::mail::SecretBytes;

/// Most memory that one check may cost, in KiB: a file must not be able to stop the server.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// Most passes.
const MAX_PASSES: u32 = 64;
/// Most lanes.
const MAX_LANES: u32 = 64;

/// Why a password or a hash cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing there.
    #[error("the password is empty")]
    Empty,
    /// Not a PHC string with salt and output.
    #[error(
        "not an argon2id hash (a PHC string that begins $argon2id$): set it with `sealpost user passwd`"
    )]
    NotAHash,
    /// Would cost too much.
    #[error(
        "the hash asks for more than {MAX_MEMORY_KIB} KiB, {MAX_PASSES} passes or {MAX_LANES} lanes"
    )]
    TooCostly,
    /// The system gave no random octets, or no memory.
    #[error("the password could not be hashed")]
    Failed,
}

/// Hashes a password with a fresh salt: argon2id, 19 MiB, 2 passes, 1 lane.
pub fn hash(password: &SecretBytes) -> Result<String, PasswordError> {
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    hash_with(&Argon2::default(), password.expose())
}

/// A hash that costs what `like` costs to check, and that no password is known for.
pub(in crate::directory) fn decoy(
    like: Option<&PasswordHash>,
) -> Result<PasswordHash, PasswordError> {
    let params = like
        .and_then(|hash| Params::try_from(hash).ok())
        .unwrap_or_default();
    let mut password = [0_u8; 32];
    SystemRandom::new()
        .fill(&mut password)
        .map_err(|_| PasswordError::Failed)?;
    parse(&hash_with(&Argon2::from(params), &password)?)
}

fn hash_with(argon2: &Argon2<'_>, password: &[u8]) -> Result<String, PasswordError> {
    let mut salt = [0_u8; RECOMMENDED_SALT_LEN];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| PasswordError::Failed)?;
    argon2
        .hash_password_with_salt(password, &salt)
        .map(|hash| hash.to_string())
        .map_err(|_| PasswordError::Failed)
}

/// Reads a PHC string, and refuses what could not be checked or would cost too much.
pub(super) fn parse(phc: &str) -> Result<PasswordHash, PasswordError> {
    let hash = PasswordHash::new(phc).map_err(|_| PasswordError::NotAHash)?;
    if hash.algorithm != ARGON2ID_IDENT || hash.salt.is_none() || hash.hash.is_none() {
        return Err(PasswordError::NotAHash);
    }
    let params = Params::try_from(&hash).map_err(|_| PasswordError::NotAHash)?;
    if params.m_cost() > MAX_MEMORY_KIB
        || params.t_cost() > MAX_PASSES
        || params.p_cost() > MAX_LANES
    {
        return Err(PasswordError::TooCostly);
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;

    #[test]
    fn hashes_can_be_checked_and_differ() {
        let password = SecretBytes::new(b"secret".to_vec());
        let (one, two) = (hash(&password).unwrap(), hash(&password).unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        let parsed = parse(&one).unwrap();
        assert!(
            Argon2::default()
                .verify_password(b"secret", &parsed)
                .is_ok()
        );
        assert!(
            Argon2::default()
                .verify_password(b"Secret", &parsed)
                .is_err()
        );
        assert_eq!(
            hash(&SecretBytes::new(Vec::new())),
            Err(PasswordError::Empty)
        );
    }

    #[test]
    fn refuses_other_and_costly_hashes() {
        let salt_and_output = "c2FsdHNhbHRzYWx0$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";
        let of = |head: &str| parse(&format!("{head}${salt_and_output}"));
        assert!(of("$argon2id$v=19$m=1048576,t=1,p=1").is_ok());
        for head in [
            "$argon2id$v=19$m=1048577,t=1,p=1",
            "$argon2id$v=19$m=19456,t=65,p=1",
            "$argon2id$v=19$m=19456,t=1,p=65",
        ] {
            assert_eq!(of(head), Err(PasswordError::TooCostly), "{head}");
        }
        for text in [
            "",
            "secret",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$2b$12$abcdefghijklmnopqrstuv",
        ] {
            assert_eq!(parse(text), Err(PasswordError::NotAHash), "{text}");
        }
        assert_eq!(
            of("$argon2i$v=19$m=19456,t=2,p=1"),
            Err(PasswordError::NotAHash)
        );
        assert_eq!(
            of("$argon2d$v=19$m=19456,t=2,p=1"),
            Err(PasswordError::NotAHash)
        );
    }
}
