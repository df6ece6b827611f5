//! Signatures over certificates, lists and answers: the same three fields each time.
//!
//! Owns the choice of algorithms: what rustls verifies certificates with. SHA-1 is not among them.

use rustls::crypto::aws_lc_rs;

use super::asn1::{Der, Malformed, bits, tag};

/// What a signature is not good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    /// Not made with this key over these octets.
    #[error("its signature is wrong")]
    Wrong,
    /// An algorithm that is not accepted, or not for such a key.
    #[error("it is signed with an algorithm that is not accepted")]
    Algorithm,
    /// Not even that.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// `SEQUENCE { what is signed, algorithm, signature }`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    /// What is signed, whole.
    message: &'a [u8],
    /// Content of the AlgorithmIdentifier.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// From DER, nothing behind it.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let whole = Der::new(der).only("something stands behind it")?;
        let mut fields = whole.open(tag::SEQUENCE, "it is no sequence")?;
        let signed = Self::parse_fields(&mut fields)?;
        fields.end("something stands behind its signature")?;
        Ok(signed)
    }

    /// The three fields.
    pub(super) fn parse_fields(fields: &mut Der<'a>) -> Result<Self, Malformed> {
        let message = fields.expect(tag::SEQUENCE, "it has nothing that is signed")?;
        let algorithm = fields.expect(tag::SEQUENCE, "it has no algorithm")?;
        let signature = bits(&fields.any()?)?;
        Ok(Self {
            message: message.whole,
            algorithm: algorithm.content,
            signature,
        })
    }

    /// The fields of what is signed.
    pub(super) fn fields(&self) -> Result<Der<'a>, Malformed> {
        let message = Der::new(self.message).only("something stands behind it")?;
        message.open(tag::SEQUENCE, "it is no sequence")
    }

    /// Content of the AlgorithmIdentifier.
    pub(super) fn algorithm(&self) -> &'a [u8] {
        self.algorithm
    }

    /// Whether the holder of `key`, a SubjectPublicKeyInfo, signed it.
    pub(super) fn verify(&self, key: &[u8]) -> Result<(), SignatureError> {
        let (key_algorithm, key) = key_parts(key)?;
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        let mut fitting = known
            .all
            .iter()
            .filter(|it| {
                it.public_key_alg_id().as_ref() == key_algorithm
                    && it.signature_alg_id().as_ref() == self.algorithm
            })
            .peekable();
        if fitting.peek().is_none() {
            return Err(SignatureError::Algorithm);
        }
        match fitting.any(|it| {
            it.verify_signature(key, self.message, self.signature)
                .is_ok()
        }) {
            true => Ok(()),
            false => Err(SignatureError::Wrong),
        }
    }
}

/// Content of the algorithm, and the octets of the key, of a SubjectPublicKeyInfo.
fn key_parts(key: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let whole = Der::new(key).only("something stands behind a key")?;
    let mut fields = whole.open(tag::SEQUENCE, "a key is no sequence")?;
    let algorithm = fields.expect(tag::SEQUENCE, "a key has no algorithm")?;
    let octets = bits(&fields.any()?)?;
    fields.end("a key has something more")?;
    Ok((algorithm.content, octets))
}

/// The octets of the key of a SubjectPublicKeyInfo.
pub(super) fn key_octets(key: &[u8]) -> Result<&[u8], Malformed> {
    key_parts(key).map(|(_, octets)| octets)
}
