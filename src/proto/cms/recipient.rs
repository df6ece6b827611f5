//! Whom content is sealed to: the key of a certificate, and the `RecipientInfo` (RFC 5652 §6.2)
//! that carries a content-encryption key to it.

use std::fmt;

use aws_lc_rs::agreement::{
    EphemeralPrivateKey, ParsedPublicKey, UnparsedPublicKey, agree_ephemeral,
};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey,
};

use super::agreement::{Group, Hash, Wrap, wrap};
use super::certificate::{PublicKey, View};
use super::der::{self, Algorithm, Reader, tag};
use super::{CmsError, oid};

/// The key of a recipient's certificate, and how messages name that certificate.
#[derive(Clone)]
pub struct RecipientKey {
    issuer: Vec<u8>,
    serial: Vec<u8>,
    kind: Kind,
    gcm: bool,
    oaep: bool,
}

#[derive(Clone)]
enum Kind {
    Rsa(PublicEncryptingKey),
    Agreed { group: Group, public: Vec<u8> },
}

impl RecipientKey {
    /// Of a certificate's DER: RSA with 2048 to 8192 bits and an exponent from 65537 on, P-256,
    /// P-384, or X25519. A key restricted to PSS, explicit curve parameters, compressed points and
    /// points that are not on their curve are refused. Whether the certificate may be used is not
    /// decided here.
    pub fn of_certificate(der: &[u8]) -> Result<Self, CmsError> {
        let view = View::of(der)?;
        let kind = match view.public_key()? {
            PublicKey::Rsa { .. } => {
                let key = PublicEncryptingKey::from_der(view.spki);
                Kind::Rsa(key.map_err(|_| CmsError::WeakKey)?)
            }
            PublicKey::P256(point) => Kind::agreed(Group::P256, point)?,
            PublicKey::P384(point) => Kind::agreed(Group::P384, point)?,
            PublicKey::X25519(key) => Kind::agreed(Group::X25519, key)?,
            PublicKey::Ed25519(_) => return Err(CmsError::KeyKind),
        };
        let capabilities = view.capabilities()?;
        let gcm = |&(name, _): &Algorithm<'_>| name == oid::AES256_GCM;
        let oaep = |&(name, parameters): &Algorithm<'_>| {
            name == oid::RSAES_OAEP && oaep_hash(parameters) == Some(Hash::Sha256)
        };
        Ok(Self {
            issuer: view.issuer.to_vec(),
            serial: view.serial.to_vec(),
            kind,
            gcm: capabilities.iter().any(gcm),
            oaep: capabilities.iter().any(oaep),
        })
    }

    /// Whether the certificate says that its owner reads AES-256-GCM (RFC 4262, RFC 5084).
    pub const fn reads_gcm(&self) -> bool {
        self.gcm
    }

    /// Whether the certificate says that its owner reads RSAES-OAEP with SHA-256 (RFC 3560 §3).
    pub const fn reads_oaep(&self) -> bool {
        self.oaep
    }

    /// The version of `EnvelopedData` with this as the only recipient (RFC 5652 §6.1).
    pub(super) const fn enveloped_version(&self) -> u8 {
        match self.kind {
            Kind::Rsa(_) => 0,
            Kind::Agreed { .. } => 2,
        }
    }

    /// The `RecipientInfo` that carries `key` to it.
    pub(super) fn recipient_info(&self, key: &[u8], oaep: bool) -> Result<Vec<u8>, CmsError> {
        let serial = der::element(tag::INTEGER, &[&self.serial]);
        let name = der::sequence(&[&self.issuer, &serial]);
        match &self.kind {
            Kind::Rsa(public) => {
                let (algorithm, encrypted) = transported(public, key, oaep)?;
                Ok(der::sequence(&[
                    &der::small(0),
                    &name,
                    &algorithm,
                    &der::octet_string(&encrypted),
                ]))
            }
            Kind::Agreed { group, public } => agreed(*group, public, key, &name),
        }
    }
}

impl Kind {
    fn agreed(group: Group, public: &[u8]) -> Result<Self, CmsError> {
        let kind = Self::Agreed {
            group,
            public: public.to_vec(),
        };
        // The library looks whether a point lies on its curve; that one of X25519 is not of small
        // order shows only in an agreement.
        let unparsed = UnparsedPublicKey::new(group.algorithm(), public);
        ParsedPublicKey::try_from(&unparsed).map_err(|_| CmsError::WeakKey)?;
        if group == Group::X25519 {
            let own = EphemeralPrivateKey::generate(group.algorithm(), &SystemRandom::new())
                .map_err(|_| CmsError::Library)?;
            agree_ephemeral(own, unparsed, CmsError::WeakKey, |_| Ok(()))?;
        }
        Ok(kind)
    }
}

/// The algorithm, and the key encrypted with it.
fn transported(
    public: &PublicEncryptingKey,
    key: &[u8],
    oaep: bool,
) -> Result<(Vec<u8>, Vec<u8>), CmsError> {
    let mut encrypted = vec![0; public.key_size_bytes()];
    let written = if oaep {
        let public = OaepPublicEncryptingKey::new(public.clone());
        public.and_then(|public| {
            let written = public.encrypt(&OAEP_SHA256_MGF1SHA256, key, &mut encrypted, None)?;
            Ok(written.len())
        })
    } else {
        let public = Pkcs1PublicEncryptingKey::new(public.clone());
        public.and_then(|public| Ok(public.encrypt(key, &mut encrypted)?.len()))
    };
    match written {
        Ok(written) if written == encrypted.len() => {}
        _ => return Err(CmsError::Library),
    }
    let algorithm = if oaep {
        der::algorithm(oid::RSAES_OAEP, &oaep_sha256())
    } else {
        der::algorithm(oid::RSA_ENCRYPTION, &[tag::NULL, 0])
    };
    Ok((algorithm, encrypted))
}

/// RSAES-OAEP-params for SHA-256 with MGF1 with SHA-256 and no label (RFC 4055 §4.1).
fn oaep_sha256() -> Vec<u8> {
    let sha256 = der::algorithm(oid::SHA256, &[tag::NULL, 0]);
    let mask = der::algorithm(oid::MGF1, &sha256);
    der::sequence(&[
        &der::element(tag::context_constructed(0), &[&sha256]),
        &der::element(tag::context_constructed(1), &[&mask]),
    ])
}

/// The digest of RSAES-OAEP-params, if it is of the SHA-2 family, the same in both places, and
/// there is no label.
pub(super) fn oaep_hash(parameters: &[u8]) -> Option<Hash> {
    let hash = |reader: &mut Reader<'_>| {
        let (name, parameters) = reader.algorithm().ok()?;
        let plain = parameters.is_empty() || parameters == [tag::NULL, 0];
        Hash::of(name).filter(|_| plain)
    };
    let mut parameters = Reader::of_sequence(parameters).ok()?;
    let mut first = parameters.nested(tag::context_constructed(0)).ok()?;
    let digest = hash(&mut first)?;
    first.finish().ok()?;
    let mut second = parameters.nested(tag::context_constructed(1)).ok()?;
    let (name, mask) = second.algorithm().ok()?;
    second.finish().ok()?;
    let mut mask = Reader::new(mask);
    if name != oid::MGF1 || hash(&mut mask)? != digest {
        return None;
    }
    mask.finish().ok()?;
    if let Some(source) = parameters.optional(tag::context_constructed(2)).ok()? {
        let (name, label) = Reader::new(source.value).algorithm().ok()?;
        if name != oid::P_SPECIFIED || label != [tag::OCTET_STRING, 0] {
            return None;
        }
    }
    parameters.finish().ok()?;
    Some(digest)
}

/// `KeyAgreeRecipientInfo` with a key of the sender's that is used once (RFC 5753 §3.1).
fn agreed(group: Group, public: &[u8], key: &[u8], name: &[u8]) -> Result<Vec<u8>, CmsError> {
    let library = |_| CmsError::Library;
    let own =
        EphemeralPrivateKey::generate(group.algorithm(), &SystemRandom::new()).map_err(library)?;
    let own_public = own.compute_public_key().map_err(library)?;
    let peer = UnparsedPublicKey::new(group.algorithm(), public);
    let derivation = group.derivation();
    let kek = agree_ephemeral(own, peer, CmsError::WeakKey, |secret| {
        derivation.wrapping_key(Wrap::Aes256, secret, None)
    })?;
    let wrapped = wrap(kek, key)?;
    let originator = der::element(
        tag::context_constructed(1),
        &[
            &der::algorithm(group.key_algorithm(), &[]),
            &der::bit_string(own_public.as_ref()),
        ],
    );
    let recipient = der::sequence(&[name, &der::octet_string(&wrapped)]);
    Ok(der::element(
        tag::context_constructed(1),
        &[
            &der::small(3),
            &der::element(tag::context_constructed(0), &[&originator]),
            &der::algorithm(derivation.scheme(), &Wrap::Aes256.algorithm()),
            &der::sequence(&[&recipient]),
        ],
    ))
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Rsa(public) => format!("RSA {}", public.key_size_bits()),
            Kind::Agreed { group, .. } => format!("{group:?}"),
        };
        f.debug_struct("RecipientKey")
            .field("kind", &kind)
            .field("gcm", &self.gcm)
            .field("oaep", &self.oaep)
            .finish_non_exhaustive()
    }
}

impl PartialEq for RecipientKey {
    /// Of one certificate: the same names and the same key.
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.kind, &other.kind) {
            (Kind::Rsa(one), Kind::Rsa(two)) => match (one.as_der(), two.as_der()) {
                (Ok(one), Ok(two)) => one.as_ref() == two.as_ref(),
                _ => false,
            },
            (
                Kind::Agreed { group, public },
                Kind::Agreed {
                    group: other,
                    public: theirs,
                },
            ) => group == other && public == theirs,
            _ => false,
        };
        same && self.issuer == other.issuer && self.serial == other.serial
    }
}

impl Eq for RecipientKey {}
