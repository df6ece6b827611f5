//! Passwords of accounts and secrets of messages: which are good enough, and their hashes.
//!
//! Owns argon2id (RFC 9106) with 19 MiB, 2 passes and 1 lane, off the runtime, [`MAX_CHECKS`] at a
//! time; what would wait too long is [`ProofError::Busy`]. Where there is no hash a decoy is
//! checked, so that it costs the same. Length over rules: twelve characters, not the address, not
//! one of those that everybody tries first.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, RECOMMENDED_SALT_LEN};
use tokio::sync::Semaphore;

use super::ProofError;
use crate::journal::crypt::random;
use crate::mail::{Address, SecretBytes};

/// Fewest characters.
pub const MIN_CHARS: usize = 12;
/// Most octets.
pub const MAX_OCTETS: usize = 1024;
/// Different characters that it has at least.
const MIN_DIFFERENT: usize = 5;
/// Checks that run at a time.
pub const MAX_CHECKS: usize = 2;
/// Checks that wait.
pub const MAX_WAITING: usize = 64;

/// Long passwords that everybody tries first: lower case, letters and digits only.
const COMMON: &[&str] = &[
    "123456789012",
    "1234567890123",
    "12345678901234",
    "123456789012345",
    "1234567890123456",
    "012345678901",
    "0123456789012",
    "098765432109",
    "987654321098",
    "123123123123",
    "112233445566",
    "111222333444",
    "121212121212",
    "123412341234",
    "123456123456",
    "1q2w3e4r5t6y",
    "1q2w3e4r5t6y7u",
    "1q2w3e4r5t6y7u8i",
    "q1w2e3r4t5y6",
    "qwertyuiop12",
    "qwertyuiop123",
    "qwertyuiopas",
    "qwertyuiopasdf",
    "qwertyuiopasdfghjkl",
    "qwertzuiop12",
    "qwertz123456",
    "azertyuiop12",
    "azerty123456",
    "asdfghjkl123",
    "asdfghjklzxc",
    "zxcvbnm12345",
    "qwerty123456",
    "qwerty1234567",
    "qwerty12345678",
    "123456qwerty",
    "123qweasdzxc",
    "1qaz2wsx3edc",
    "1qaz2wsx3edc4rfv",
    "zaq12wsxcde3",
    "qazwsxedcrfv",
    "abcdefghijkl",
    "abcdefghijklm",
    "abcdefghijklmn",
    "abcdefghijklmnop",
    "abcd12345678",
    "abc123456789",
    "abcdef123456",
    "a1b2c3d4e5f6",
    "aa1234567890",
    "password1234",
    "password12345",
    "password123456",
    "password123456789",
    "passwordpassword",
    "password2024",
    "password2025",
    "password2026",
    "mypassword123",
    "mypassword12",
    "newpassword1",
    "newpassword123",
    "thisismypassword",
    "passw0rd1234",
    "p4ssw0rd1234",
    "pa55word1234",
    "letmein12345",
    "letmein123456",
    "letmeinplease",
    "welcome12345",
    "welcome123456",
    "welcometohell",
    "iloveyou1234",
    "iloveyou12345",
    "iloveyou123456",
    "iloveyouforever",
    "iloveyousomuch",
    "administrator",
    "administrator1",
    "admin1234567",
    "admin12345678",
    "admin123456789",
    "adminadminadmin",
    "changeme1234",
    "changemeplease",
    "correcthorsebatterystaple",
    "trustno1trustno1",
    "sunshine1234",
    "sunshine12345",
    "princess1234",
    "princess12345",
    "football1234",
    "football12345",
    "baseball1234",
    "superman1234",
    "starwars1234",
    "monkey123456",
    "dragon123456",
    "shadow123456",
    "michael12345",
    "liverpoolfc1",
    "manchesterunited",
    "passwort1234",
    "passwort12345",
    "passwort123456",
    "passwortpasswort",
    "meinpasswort",
    "meinpasswort1",
    "hallo1234567",
    "hallohallohallo",
    "schatzschatz",
    "contrasena12",
    "contrasena123",
    "contrasena1234",
    "micontrasena",
    "teamomucho12",
    "motdepasse12",
    "motdepasse123",
    "motdepasse1234",
    "monmotdepasse",
    "jetaime12345",
    "woaini1314520",
    "woaini123456",
    "5201314520131",
    "1314520131452",
    "woaini5201314",
    "aa123456789",
    "abcd1234abcd",
    "test12345678",
    "testtesttest",
    "testpassword",
    "testpassword1",
    "qwerqwerqwer",
    "asdfasdfasdf",
    "asdfqwerzxcv",
    "secretsecret",
    "topsecret123",
    "mysecretpassword",
    "everythingsucks",
    "whateveritis",
    "internet1234",
    "computer1234",
    "computer12345",
    "samsung12345",
    "google123456",
    "facebook1234",
    "linkedin1234",
    "microsoft123",
    "windows12345",
    "hospital1234",
    "medicine1234",
    "healthcare123",
    "patient12345",
    "doctor123456",
    "summer2024summer",
    "winter2025winter",
];

/// Why a password is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Under [`MIN_CHARS`].
    #[error(
        "a password has {MIN_CHARS} characters at least: a few words that only you would put together"
    )]
    Short,
    /// Over [`MAX_OCTETS`].
    #[error("a password has {MAX_OCTETS} octets at most")]
    Long,
    /// Not text.
    #[error("a password is text without control characters")]
    NotText,
    /// The address, or a part of it.
    #[error("a password is not the address")]
    Address,
    /// One of those that are tried first.
    #[error("this password is one of those that are tried first")]
    Common,
}

/// Whether a password will do for an address.
pub fn weakness(password: &SecretBytes, address: &Address) -> Option<WeakPassword> {
    if password.expose().len() > MAX_OCTETS {
        return Some(WeakPassword::Long);
    }
    let Ok(text) = std::str::from_utf8(password.expose()) else {
        return Some(WeakPassword::NotText);
    };
    if text.chars().any(char::is_control) {
        return Some(WeakPassword::NotText);
    }
    if text.chars().count() < MIN_CHARS {
        return Some(WeakPassword::Short);
    }
    let lower = zeroize::Zeroizing::new(text.to_lowercase());
    let plain: zeroize::Zeroizing<String> =
        zeroize::Zeroizing::new(lower.chars().filter(|c| c.is_alphanumeric()).collect());
    let own = [
        address.mailbox_key(),
        address.local_part().to_lowercase(),
        address.domain().to_string(),
    ];
    let plain_own = own
        .iter()
        .map(|own| -> String { own.chars().filter(|c| c.is_alphanumeric()).collect() });
    for own in plain_own {
        // The address and some digits is still the address.
        let rest = plain.strip_prefix(own.as_str()).filter(|_| !own.is_empty());
        if rest.is_some_and(|rest| rest.len() < 6) {
            return Some(WeakPassword::Address);
        }
    }
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    let common = COMMON.contains(&plain.as_str());
    (common || different.len() < MIN_DIFFERENT).then_some(WeakPassword::Common)
}

/// Hashes and checks.
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: Semaphore,
    argon2: Argon2<'static>,
    decoy: String,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(..)")
    }
}

impl Passwords {
    /// With the cost that RFC 9106 and its readers recommend. Blocks for one hash.
    pub fn new() -> Result<Self, ProofError> {
        Self::with(Argon2::default())
    }

    fn with(argon2: Argon2<'static>) -> Result<Self, ProofError> {
        let mut nobodys = [0; 32];
        random(&mut nobodys)?;
        let decoy = hashed(&argon2, &nobodys)?;
        Ok(Self {
            running: Arc::new(Semaphore::new(MAX_CHECKS)),
            waiting: Semaphore::new(MAX_CHECKS + MAX_WAITING),
            argon2,
            decoy,
        })
    }

    /// At a cost for tests.
    #[cfg(test)]
    pub fn cheap() -> Self {
        let params = argon2::Params::new(64, 1, 1, None).unwrap();
        Self::with(Argon2::from(params)).unwrap()
    }

    /// The hash (a PHC string) with a fresh salt.
    pub async fn hash(&self, secret: &SecretBytes) -> Result<String, ProofError> {
        let (argon2, secret) = (self.argon2.clone(), secret.clone());
        self.off_the_runtime(move || hashed(&argon2, secret.expose()))
            .await?
    }

    /// Whether a secret is the one of a hash. `None` costs the same, and never is.
    pub async fn is(&self, phc: Option<&str>, secret: &SecretBytes) -> Result<bool, ProofError> {
        // What is too long is none of ours, and is checked all the same, cut.
        let fits = secret.expose().len() <= MAX_OCTETS;
        let exists = phc.is_some() && fits;
        let cut = secret.expose().get(..MAX_OCTETS).unwrap_or(secret.expose());
        let secret = SecretBytes::new(cut.to_vec());
        let phc = phc.unwrap_or(&self.decoy).to_owned();
        let check = move || {
            let hash = PasswordHash::new(&phc).map_err(|_| ProofError::Hash)?;
            let right = Argon2::default().verify_password(secret.expose(), &hash);
            Ok(right.is_ok() && exists)
        };
        self.off_the_runtime(check).await?
    }

    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ProofError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| ProofError::Busy)?;
        let running = Arc::clone(&self.running);
        let running = running
            .acquire_owned()
            .await
            .map_err(|_| ProofError::Busy)?;
        // The permit moves along: a caller that goes away does not let more run at a time.
        let work = move || (work(), running);
        let (done, _running) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| ProofError::Busy)?;
        Ok(done)
    }
}

fn hashed(argon2: &Argon2<'_>, secret: &[u8]) -> Result<String, ProofError> {
    let mut salt = [0; RECOMMENDED_SALT_LEN];
    random(&mut salt)?;
    let hash = argon2
        .hash_password_with_salt(secret, &salt)
        .map_err(|_| ProofError::Hash)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[test]
    fn length_over_rules() {
        let address: Address = "maria.lopez@clinic.example".parse().unwrap();
        let judged = |text: &str| weakness(&secret(text), &address);
        for good in [
            "blue heron at noon",
            "zwölf Zwerge",
            "我们今天下午去公园散步好吗",
            "tr0ub4dor&3xyz",
        ] {
            assert_eq!(judged(good), None, "{good}");
        }
        for (text, why) in [
            ("short pass", WeakPassword::Short),
            ("", WeakPassword::Short),
            (&"x1y2z".repeat(206), WeakPassword::Long),
            ("with\u{7}a bell in it", WeakPassword::NotText),
            ("maria.lopez@clinic.example", WeakPassword::Address),
            ("Maria.Lopez2026", WeakPassword::Address),
            ("clinic.example!!", WeakPassword::Address),
            ("Password-12345", WeakPassword::Common),
            ("correct horse battery staple", WeakPassword::Common),
            ("aaaaaaaaaaaaaaaa", WeakPassword::Common),
            ("abababababababab", WeakPassword::Common),
        ] {
            assert_eq!(judged(text), Some(why), "{text}");
        }
        assert_eq!(
            weakness(&SecretBytes::new(vec![0xff; 20]), &address),
            Some(WeakPassword::NotText)
        );
    }

    #[tokio::test]
    async fn a_hash_knows_its_secret() {
        let passwords = Passwords::new().unwrap();
        let phc = passwords.hash(&secret("blue heron")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(
            passwords
                .is(Some(&phc), &secret("blue heron"))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .is(Some(&phc), &secret("Blue heron"))
                .await
                .unwrap()
        );
        assert!(!passwords.is(None, &secret("blue heron")).await.unwrap());
        let long = "x".repeat(MAX_OCTETS);
        let phc = passwords.hash(&secret(&long)).await.unwrap();
        assert!(passwords.is(Some(&phc), &secret(&long)).await.unwrap());
        assert!(
            !passwords
                .is(Some(&phc), &secret(&format!("{long}y")))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn too_many_at_a_time_are_refused() {
        let passwords = Arc::new(Passwords::cheap());
        let held = passwords.running.acquire_many(2).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..MAX_CHECKS + MAX_WAITING {
            let passwords = Arc::clone(&passwords);
            waiting.push(tokio::spawn(async move {
                passwords.is(None, &secret("x")).await
            }));
        }
        while passwords.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            passwords.is(None, &secret("x")).await,
            Err(ProofError::Busy)
        ));
        drop(held);
        for one in waiting {
            assert!(!one.await.unwrap().unwrap());
        }
    }
}
