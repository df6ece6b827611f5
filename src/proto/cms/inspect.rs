//! Reading what is sealed, without opening it: with what, for whom, and whether strongly.
//!
//! Strict DER to the last octet, since a second reading of the same octets is how something else
//! than the inspected gets through. BER with indefinite lengths is refused, not guessed at.

use super::agreement::Derivation;
use super::certificate::{PublicKey, View};
use super::der::{Algorithm, DerError, Reader, tag};
use super::envelope::{BLOCK, CBC_IV, GCM_NONCE};
use super::recipient::oaep_hash;
use super::{CmsError, MAX_RECIPIENTS, oid};

/// How sealed content is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InspectedCipher {
    /// AES-128-CBC.
    Aes128Cbc,
    /// AES-192-CBC.
    Aes192Cbc,
    /// AES-256-CBC.
    Aes256Cbc,
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-192-GCM.
    Aes192Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// Something else, which is not strong.
    Other,
}

impl InspectedCipher {
    fn of(name: &[u8]) -> Self {
        match name {
            oid::AES128_CBC => Self::Aes128Cbc,
            oid::AES192_CBC => Self::Aes192Cbc,
            oid::AES256_CBC => Self::Aes256Cbc,
            oid::AES128_GCM => Self::Aes128Gcm,
            oid::AES192_GCM => Self::Aes192Gcm,
            oid::AES256_GCM => Self::Aes256Gcm,
            _ => Self::Other,
        }
    }
}

/// What [`inspect`] found.
#[derive(Debug, Clone)]
pub struct Inspected<'a> {
    parsed: Parsed<'a>,
    strong: bool,
}

/// Takes apart what should be `EnvelopedData` or `AuthEnvelopedData` in DER.
pub fn inspect(der: &[u8]) -> Result<Inspected<'_>, CmsError> {
    let parsed = Parsed::of(der)?;
    let strong = parsed.is_strong();
    Ok(Inspected { parsed, strong })
}

impl Inspected<'_> {
    /// How the content is encrypted.
    #[cfg(test)]
    pub(super) const fn cipher(&self) -> InspectedCipher {
        self.parsed.cipher
    }

    /// Whether the content is encrypted with AES, nothing but the content is in it, and every
    /// recipient's key reaches it by RSA (from 2048 bits on; PKCS #1 v1.5, or OAEP with SHA-2) or by
    /// a key agreement with SHA-2 and AES key wrap; no password, no key known beforehand.
    pub const fn is_strong(&self) -> bool {
        self.strong
    }

    /// How many recipients can open it.
    #[cfg(test)]
    pub(super) const fn recipients(&self) -> usize {
        self.parsed.recipients.len()
    }

    /// Whether it is for the owner of this certificate and nobody else: the only recipient is named
    /// by its issuer and serial number or by its key identifier, in a way that fits its key.
    pub fn is_for(&self, certificate_der: &[u8]) -> bool {
        let [recipient] = self.parsed.recipients.as_slice() else {
            return false;
        };
        View::of(certificate_der).is_ok_and(|view| {
            let fits = match (view.public_key(), recipient) {
                (Ok(PublicKey::Rsa { octets, .. }), Recipient::Transport { encrypted, .. }) => {
                    encrypted.len() == octets
                }
                (
                    Ok(PublicKey::P256(_) | PublicKey::P384(_)),
                    Recipient::Agreement { originator, .. },
                ) => originator.0 == oid::EC_PUBLIC_KEY,
                (Ok(PublicKey::X25519(_)), Recipient::Agreement { originator, .. }) => {
                    originator.0 == oid::X25519
                }
                _ => false,
            };
            fits && recipient.names(&view)
        })
    }
}

/// The parts of `EnvelopedData` or `AuthEnvelopedData`.
#[derive(Debug, Clone)]
pub(super) struct Parsed<'a> {
    /// One for every key that the content's key is encrypted with.
    pub recipients: Vec<Recipient<'a>>,
    pub cipher: InspectedCipher,
    /// Initialisation vector or nonce.
    pub iv: &'a [u8],
    pub content: &'a [u8],
    /// The tag, for `AuthEnvelopedData`.
    pub mac: Option<&'a [u8]>,
    /// Content is id-data, and nothing stands in the clear beside it.
    plain: bool,
}

/// Who can open it.
#[derive(Debug, Clone)]
pub(super) enum Recipient<'a> {
    /// KeyTransRecipientInfo.
    Transport {
        id: Id<'a>,
        algorithm: Algorithm<'a>,
        encrypted: &'a [u8],
    },
    /// KeyAgreeRecipientInfo with an ephemeral key, for one of its recipients.
    Agreement {
        id: Id<'a>,
        /// The algorithm of the ephemeral key, and the key.
        originator: (&'a [u8], &'a [u8]),
        material: Option<&'a [u8]>,
        scheme: &'a [u8],
        /// The wrapping algorithm with its parameters.
        wrap: Algorithm<'a>,
        wrapped: &'a [u8],
    },
    /// Another kind.
    Other,
}

/// How a message names a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) enum Id<'a> {
    IssuerSerial { issuer: &'a [u8], serial: &'a [u8] },
    KeyIdentifier(&'a [u8]),
}

impl<'a> Parsed<'a> {
    pub fn of(der: &'a [u8]) -> Result<Self, CmsError> {
        let mut info = Reader::of_sequence(der)?;
        let authenticated = match info.oid()? {
            oid::ENVELOPED_DATA => false,
            oid::AUTH_ENVELOPED_DATA => true,
            _ => return Err(CmsError::ContentType),
        };
        let mut tagged = info.nested(tag::context_constructed(0))?;
        info.finish()?;
        let mut data = tagged.nested(tag::SEQUENCE)?;
        tagged.finish()?;

        let version = data.small()?;
        if version > 4 || (authenticated && version != 0) {
            return Err(CmsError::Malformed);
        }
        let originator = data.optional(tag::context_constructed(0))?;
        let recipients = recipients(data.nested(tag::SET)?)?;
        let mut content = data.nested(tag::SEQUENCE)?;
        let content_type = content.oid()?;
        let (name, parameters) = content.algorithm()?;
        let encrypted = content.expect(tag::context(0))?.value;
        content.finish()?;
        let attributes = data.optional(tag::context_constructed(1))?;
        let mac = match authenticated {
            true => Some(data.expect(tag::OCTET_STRING)?.value),
            false => None,
        };
        let unauthenticated = match authenticated {
            true => data.optional(tag::context_constructed(2))?,
            false => None,
        };
        data.finish()?;

        let cipher = InspectedCipher::of(name);
        let clear = [originator, attributes, unauthenticated];
        Ok(Self {
            recipients,
            cipher,
            iv: vector(cipher, parameters, mac)?,
            content: encrypted,
            mac,
            plain: content_type == oid::DATA && clear.iter().all(Option::is_none),
        })
    }

    fn is_strong(&self) -> bool {
        let cipher = match self.cipher {
            InspectedCipher::Aes128Cbc
            | InspectedCipher::Aes192Cbc
            | InspectedCipher::Aes256Cbc => {
                let octets = self.content.len();
                self.mac.is_none() && octets > 0 && octets.is_multiple_of(BLOCK)
            }
            InspectedCipher::Aes128Gcm
            | InspectedCipher::Aes192Gcm
            | InspectedCipher::Aes256Gcm => self.mac.is_some(),
            InspectedCipher::Other => false,
        };
        cipher
            && self.plain
            && !self.recipients.is_empty()
            && self.recipients.iter().all(Recipient::is_strong)
    }
}

/// The vector of an algorithm's parameters, which must fit the cipher and the tag.
fn vector<'a>(
    cipher: InspectedCipher,
    parameters: &'a [u8],
    mac: Option<&[u8]>,
) -> Result<&'a [u8], CmsError> {
    let mut parameters = Reader::new(parameters);
    let iv = match cipher {
        InspectedCipher::Other => return Ok(&[]),
        InspectedCipher::Aes128Cbc | InspectedCipher::Aes192Cbc | InspectedCipher::Aes256Cbc => {
            let iv = parameters.expect(tag::OCTET_STRING)?.value;
            (iv.len() == CBC_IV).then_some(iv)
        }
        InspectedCipher::Aes128Gcm | InspectedCipher::Aes192Gcm | InspectedCipher::Aes256Gcm => {
            let mut gcm = parameters.nested(tag::SEQUENCE)?;
            let nonce = gcm.expect(tag::OCTET_STRING)?.value;
            let tag = match gcm.is_empty() {
                true => 12,
                false => usize::from(gcm.small()?),
            };
            gcm.finish()?;
            let fits = (12..=16).contains(&tag) && mac.is_none_or(|mac| mac.len() == tag);
            (fits && nonce.len() == GCM_NONCE).then_some(nonce)
        }
    };
    parameters.finish()?;
    iv.ok_or(CmsError::Malformed)
}

fn recipients(mut infos: Reader<'_>) -> Result<Vec<Recipient<'_>>, CmsError> {
    let mut found = Vec::new();
    while !infos.is_empty() {
        let info = infos.next()?;
        let inside = Reader::new(info.value);
        match info.tag {
            tag::SEQUENCE => found.push(transport(inside)?),
            tag if tag == tag::context_constructed(1) => agreement(inside, &mut found)?,
            _ => found.push(Recipient::Other),
        }
        if found.len() > MAX_RECIPIENTS {
            return Err(CmsError::Malformed);
        }
    }
    Ok(found)
}

fn transport(mut info: Reader<'_>) -> Result<Recipient<'_>, CmsError> {
    let version = info.small()?;
    let id = match info.peek() {
        Some(tag::SEQUENCE) => issuer_serial(info.nested(tag::SEQUENCE)?)?,
        _ => Id::KeyIdentifier(info.expect(tag::context(0))?.value),
    };
    match (version, id) {
        (0, Id::IssuerSerial { .. }) | (2, Id::KeyIdentifier(_)) => {}
        _ => return Err(CmsError::Malformed),
    }
    let algorithm = info.algorithm()?;
    let encrypted = info.expect(tag::OCTET_STRING)?.value;
    info.finish()?;
    Ok(Recipient::Transport {
        id,
        algorithm,
        encrypted,
    })
}

fn agreement<'a>(mut info: Reader<'a>, found: &mut Vec<Recipient<'a>>) -> Result<(), CmsError> {
    if info.small()? != 3 {
        return Err(CmsError::Malformed);
    }
    let mut by = info.nested(tag::context_constructed(0))?;
    let originator = by.next()?;
    by.finish()?;
    let originator = match originator.tag {
        tag if tag == tag::context_constructed(1) => {
            let mut key = Reader::new(originator.value);
            let (name, _) = key.algorithm()?;
            let public = key.bit_string()?;
            key.finish()?;
            Some((name, public))
        }
        // A static key of the sender's.
        _ => None,
    };
    let material = match info.optional(tag::context_constructed(1))? {
        None => None,
        Some(element) => {
            let mut inside = Reader::new(element.value);
            let material = inside.expect(tag::OCTET_STRING)?.value;
            inside.finish()?;
            Some(material)
        }
    };
    let (scheme, parameters) = info.algorithm()?;
    let mut keys = info.nested(tag::SEQUENCE)?;
    info.finish()?;
    let mut parameters = Reader::new(parameters);
    let wrap = match parameters.is_empty() {
        true => (&[][..], &[][..]),
        false => parameters.algorithm()?,
    };
    parameters.finish()?;
    while !keys.is_empty() {
        let mut key = keys.nested(tag::SEQUENCE)?;
        let id = match key.peek() {
            Some(tag::SEQUENCE) => issuer_serial(key.nested(tag::SEQUENCE)?)?,
            _ => key_identifier(key.nested(tag::context_constructed(0))?)?,
        };
        let wrapped = key.expect(tag::OCTET_STRING)?.value;
        key.finish()?;
        found.push(match originator {
            None => Recipient::Other,
            Some(originator) => Recipient::Agreement {
                id,
                originator,
                material,
                scheme,
                wrap,
                wrapped,
            },
        });
        if found.len() > MAX_RECIPIENTS {
            return Err(CmsError::Malformed);
        }
    }
    Ok(())
}

/// IssuerAndSerialNumber.
pub(super) fn issuer_serial(mut name: Reader<'_>) -> Result<Id<'_>, DerError> {
    let issuer = name.expect(tag::SEQUENCE)?.whole;
    let serial = name.integer()?;
    name.finish()?;
    Ok(Id::IssuerSerial { issuer, serial })
}

/// RecipientKeyIdentifier; its date and other information say nothing here.
fn key_identifier(mut name: Reader<'_>) -> Result<Id<'_>, DerError> {
    let identifier = name.expect(tag::OCTET_STRING)?.value;
    name.optional(tag::GENERALIZED_TIME)?;
    name.optional(tag::SEQUENCE)?;
    name.finish()?;
    Ok(Id::KeyIdentifier(identifier))
}

impl Id<'_> {
    /// Whether it is the name of this certificate.
    pub fn names(&self, view: &View<'_>) -> bool {
        match *self {
            Self::IssuerSerial { issuer, serial } => issuer == view.issuer && serial == view.serial,
            Self::KeyIdentifier(identifier) => view.key_identifier() == Ok(Some(identifier)),
        }
    }
}

impl Recipient<'_> {
    /// Whether it is the owner of this certificate.
    pub fn names(&self, view: &View<'_>) -> bool {
        match self {
            Self::Transport { id, .. } | Self::Agreement { id, .. } => id.names(view),
            Self::Other => false,
        }
    }

    fn is_strong(&self) -> bool {
        match self {
            Self::Transport {
                algorithm: (name, parameters),
                encrypted,
                ..
            } => {
                let padding = match *name {
                    oid::RSA_ENCRYPTION => *parameters == [tag::NULL, 0],
                    oid::RSAES_OAEP => oaep_hash(parameters).is_some(),
                    _ => false,
                };
                padding && (256..=1024).contains(&encrypted.len())
            }
            Self::Agreement {
                originator,
                scheme,
                wrap: (wrap, parameters),
                wrapped,
                ..
            } => {
                let group = matches!(originator.0, oid::EC_PUBLIC_KEY | oid::X25519);
                let wrap = matches!(
                    *wrap,
                    oid::AES128_WRAP | oid::AES192_WRAP | oid::AES256_WRAP
                );
                // A wrapped key is eight octets longer than the key: 16, 24 or 32.
                group
                    && wrap
                    && parameters.is_empty()
                    && Derivation::of(scheme).is_some()
                    && matches!(wrapped.len(), 24 | 32 | 40)
            }
            Self::Other => false,
        }
    }
}
