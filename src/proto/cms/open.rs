//! Opening what was sealed, with the recipient's key: for the demo, the tests and the replies to
//! come.
//!
//! Whatever is wrong with key, padding or tag, the answer is the same, and a key that cannot be
//! unwrapped is replaced by a random one so that the work is the same too (RFC 3218 §2.3).

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey,
};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::agreement::{Derivation, Group, Hash, Wrap, unwrap};
use super::certificate::{PublicKey, View};
use super::der::{Reader, tag};
use super::envelope::CBC_IV;
use super::inspect::{InspectedCipher, Parsed, Recipient};
use super::recipient::oaep_hash;
use super::{CmsError, oid};

/// Opens `EnvelopedData` or `AuthEnvelopedData` (DER) with AES-128 or AES-256 for the owner of a
/// certificate, with the PKCS #8 DER of its key. What does not parse is [`CmsError::Malformed`];
/// everything else that fails is [`CmsError::Undecryptable`].
pub fn decrypt(der: &[u8], certificate: &[u8], key_pkcs8: &[u8]) -> Result<Vec<u8>, CmsError> {
    let parsed = Parsed::of(der)?;
    let view = View::of(certificate)?;
    let key_octets = match parsed.cipher {
        InspectedCipher::Aes128Cbc | InspectedCipher::Aes128Gcm => 16,
        InspectedCipher::Aes256Cbc | InspectedCipher::Aes256Gcm => 32,
        _ => return Err(CmsError::Undecryptable),
    };
    let mut recipients = parsed.recipients.iter();
    let key = recipients
        .find(|recipient| recipient.names(&view))
        .and_then(|recipient| content_key(recipient, &view, key_pkcs8))
        .filter(|key| key.len() == key_octets);
    let mut random = Zeroizing::new(vec![0; key_octets]);
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| CmsError::Library)?;
    let known = key.is_some();
    match (opened(&parsed, &key.unwrap_or(random)), known) {
        (Some(content), true) => Ok(content),
        _ => Err(CmsError::Undecryptable),
    }
}

/// Decrypts the content.
fn opened(parsed: &Parsed<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let mut content = parsed.content.to_vec();
    match parsed.mac {
        None => {
            let algorithm = match parsed.cipher {
                InspectedCipher::Aes128Cbc => &AES_128,
                InspectedCipher::Aes256Cbc => &AES_256,
                _ => return None,
            };
            let iv = FixedLength::<CBC_IV>::try_from(parsed.iv).ok()?;
            let key = UnboundCipherKey::new(algorithm, key).ok()?;
            let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
            let plain = key.decrypt(&mut content, DecryptionContext::Iv128(iv));
            let octets = plain.ok()?.len();
            content.truncate(octets);
        }
        Some(mac) => {
            let algorithm = match parsed.cipher {
                InspectedCipher::Aes128Gcm => &AES_128_GCM,
                InspectedCipher::Aes256Gcm => &AES_256_GCM,
                _ => return None,
            };
            let nonce = Nonce::try_assume_unique_for_key(parsed.iv).ok()?;
            let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
            content.extend_from_slice(mac);
            let plain = key.open_in_place(nonce, Aad::empty(), &mut content);
            let octets = plain.ok()?.len();
            content.truncate(octets);
        }
    }
    Some(content)
}

/// The content's key, by the recipient's.
fn content_key(
    recipient: &Recipient<'_>,
    view: &View<'_>,
    pkcs8: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    match *recipient {
        Recipient::Transport {
            algorithm,
            encrypted,
            ..
        } => transported(algorithm, encrypted, pkcs8),
        Recipient::Agreement {
            originator: (name, public),
            material,
            scheme,
            wrap: (wrap, parameters),
            wrapped,
            ..
        } => {
            let (group, own) = match view.public_key().ok()? {
                PublicKey::P256(_) => (Group::P256, private_key(Group::P256, pkcs8)?),
                PublicKey::P384(_) => (Group::P384, private_key(Group::P384, pkcs8)?),
                PublicKey::X25519(_) => (Group::X25519, private_x25519(pkcs8)?),
                PublicKey::Rsa { .. } | PublicKey::Ed25519(_) => return None,
            };
            let derivation = Derivation::of(scheme)?;
            let wrap = Wrap::of(wrap).filter(|_| parameters.is_empty())?;
            if name != group.key_algorithm() {
                return None;
            }
            let public = UnparsedPublicKey::new(group.algorithm(), public);
            let kek = agree(&own, public, CmsError::Undecryptable, |secret| {
                derivation.wrapping_key(wrap, secret, material)
            });
            unwrap(kek.ok()?, wrapped)
        }
        Recipient::Other => None,
    }
}

fn transported(
    (name, parameters): (&[u8], &[u8]),
    encrypted: &[u8],
    pkcs8: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let private = PrivateDecryptingKey::from_pkcs8(pkcs8).ok()?;
    let mut key = Zeroizing::new(vec![0; private.key_size_bytes()]);
    let octets = match name {
        oid::RSA_ENCRYPTION => {
            let private = Pkcs1PrivateDecryptingKey::new(private).ok()?;
            private.decrypt(encrypted, &mut key).ok()?.len()
        }
        oid::RSAES_OAEP => {
            let private = OaepPrivateDecryptingKey::new(private).ok()?;
            let algorithm = match oaep_hash(parameters)? {
                Hash::Sha256 => &OAEP_SHA256_MGF1SHA256,
                Hash::Sha384 => &OAEP_SHA384_MGF1SHA384,
                Hash::Sha512 => &OAEP_SHA512_MGF1SHA512,
            };
            let plain = private.decrypt(algorithm, encrypted, &mut key, None);
            plain.ok()?.len()
        }
        _ => return None,
    };
    key.truncate(octets);
    Some(key)
}

fn private_key(group: Group, pkcs8: &[u8]) -> Option<PrivateKey> {
    PrivateKey::from_private_key_der(group.algorithm(), pkcs8).ok()
}

/// The key of a PKCS #8 structure of RFC 8410 §7, which the library does not read.
fn private_x25519(pkcs8: &[u8]) -> Option<PrivateKey> {
    let mut info = Reader::of_sequence(pkcs8).ok()?;
    info.small().ok()?;
    let (name, parameters) = info.algorithm().ok()?;
    let key = info.expect(tag::OCTET_STRING).ok()?.value;
    let mut key = Reader::new(key);
    let seed = key.expect(tag::OCTET_STRING).ok()?.value;
    key.finish().ok()?;
    if name != oid::X25519 || !parameters.is_empty() {
        return None;
    }
    PrivateKey::from_private_key(Group::X25519.algorithm(), seed).ok()
}
