//! Recovery codes: ten of 80 bits, each good once, kept as hashes. Making them.

use ring::digest;
use zeroize::Zeroizing;

use super::record::{Account, Recovery};
use super::{AccountError, Accounts};
use crate::journal::crypt::random;
use crate::mail::{Address, Timestamp};
use crate::portal::proof::{ProofError, Proofs};

/// How many an account gets at a time.
pub const RECOVERY_CODES: usize = 10;
/// Characters of one, without its hyphens.
const CODE_CHARS: usize = 16;
/// Crockford's alphabet: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Recovery codes, to be shown once. Wiped when dropped.
pub struct RecoveryCodes(Vec<Zeroizing<String>>);

impl std::fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryCodes(..)")
    }
}

impl RecoveryCodes {
    pub(super) fn generate() -> Result<Self, ProofError> {
        let codes = (0..RECOVERY_CODES).map(|_| code());
        codes.collect::<Result<_, _>>().map(Self)
    }

    /// Each as it is to be written down: `XXXX-XXXX-XXXX-XXXX`.
    pub fn expose(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|code| code.as_str())
    }

    pub(super) fn hashes(&self, address: &Address) -> Vec<[u8; 32]> {
        self.0.iter().map(|code| hashed(code, address)).collect()
    }
}

impl Accounts {
    /// Makes recovery codes in the place of those before. Only beside another factor. `ending` ends
    /// the sessions of the mailbox, before anybody else changes the account.
    pub async fn new_recovery_codes(
        &self,
        address: &Address,
        proofs: &Proofs,
        now: Timestamp,
        ending: impl FnOnce(),
    ) -> Result<RecoveryCodes, AccountError> {
        let codes = RecoveryCodes::generate()?;
        let hashes = codes.hashes(address);
        let change = |account: &mut Account| {
            if account.facts().is_empty() {
                return Err(AccountError::NotAllowed);
            }
            account.recovery = Some(Recovery { hashes, since: now });
            Ok(())
        };
        self.change_ending(address, proofs, now, change, ending)
            .await?;
        Ok(codes)
    }
}

fn code() -> Result<Zeroizing<String>, ProofError> {
    let mut octets = Zeroizing::new([0; CODE_CHARS]);
    random(&mut *octets)?;
    let mut text = Zeroizing::new(String::with_capacity(CODE_CHARS + 3));
    for (at, octet) in octets.iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(octet & 31)]));
    }
    Ok(text)
}

/// The hash of a code as it was typed: case, blanks and hyphens do not count, and what looks like
/// another character is taken for it.
pub(super) fn hashed(typed: &str, address: &Address) -> [u8; 32] {
    let counts = typed.chars().filter(|c| c.is_ascii_alphanumeric());
    let plain: Zeroizing<String> = Zeroizing::new(
        counts
            .take(CODE_CHARS + 1)
            .map(|c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect(),
    );
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"sealpost portal recovery code\0");
    context.update(address.mailbox_key().as_bytes());
    context.update(&[0]);
    context.update(plain.as_bytes());
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_as_people_type() {
        let address = "jo@b.example".parse().unwrap();
        let codes = RecoveryCodes::generate().unwrap();
        let hashes = codes.hashes(&address);
        for (code, hash) in codes.expose().zip(&hashes) {
            assert_eq!(code.len(), 19);
            assert_eq!(
                hashed(&code.to_lowercase().replace('-', " "), &address),
                *hash
            );
            assert_eq!(
                hashed(&code.replace('0', "o").replace('1', "l"), &address),
                *hash
            );
            assert_ne!(hashed(code, &"jo@c.example".parse().unwrap()), *hash);
            assert_ne!(hashed(&format!("{code}0"), &address), *hash);
        }
        assert_eq!(hashes.len(), RECOVERY_CODES);
    }
}
