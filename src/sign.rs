//! DKIM: which key signs, then the signature (RFC 6376, RFC 8463).
use crate::mail::Domain;
#[derive(Default)]
pub struct Signature {
    pub prefix: Vec<u8>,
    pub domains: Vec<String>,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SignError;
#[derive(Default)]
pub struct Signer;
impl Signer {
    pub fn has_key_for(&self, _d: &Domain) -> bool {
        false
    }
    pub fn sign(&self, _d: &Domain, _m: &[u8]) -> Result<Signature, SignError> {
        Err(SignError)
    }
}
