//! Certificates made for the tests, of every kind of key that CMS here knows, written by the DER
//! writer of `proto::cms`: other libraries make no certificate for an X25519 key, and none that is
//! wrong in just one place.
//!
//! Whoever includes this file has `der` of `proto::cms` in scope.

#![allow(dead_code, reason = "each test uses its part")]

use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, Curve25519SeedBin, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};

use super::der::{self, tag};

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const ID_X25519: &[u8] = &[0x2b, 0x65, 0x6e];
const ID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const EMAIL_PROTECTION: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 4];
/// sMIMECapabilities.
pub const CAPABILITIES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 15];

/// digitalSignature and keyEncipherment.
pub const SIGN_AND_ENCIPHER: u8 = 0b1010_0000;
/// digitalSignature and keyAgreement.
pub const SIGN_AND_AGREE: u8 = 0b1000_1000;
/// keyEncipherment alone.
pub const ENCIPHER: u8 = 0b0010_0000;
/// keyCertSign and cRLSign.
const AUTHORITY: u8 = 0b0000_0110;

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rsa2048,
    Rsa3072,
    P256,
    P384,
    X25519,
    Ed25519,
}

/// A private key with its SubjectPublicKeyInfo.
#[derive(Clone)]
pub struct Key {
    pub pkcs8: Vec<u8>,
    pub spki: Vec<u8>,
}

impl Key {
    pub fn new(kind: Kind) -> Self {
        let random = SystemRandom::new();
        let ec = |algorithm: &'static EcdsaSigningAlgorithm, curve: &[u8]| {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
            let point = pair.public_key().as_ref().to_vec();
            let key = spki(EC_PUBLIC_KEY, &der::oid(curve), &point);
            (pkcs8.as_ref().to_vec(), key)
        };
        let rsa = |size| {
            let pair = RsaKeyPair::generate(size).unwrap();
            let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
            let key = spki(RSA_ENCRYPTION, &[tag::NULL, 0], pair.public_key().as_ref());
            (pkcs8.as_ref().to_vec(), key)
        };
        let (pkcs8, spki) = match kind {
            Kind::Rsa2048 => rsa(KeySize::Rsa2048),
            Kind::Rsa3072 => rsa(KeySize::Rsa3072),
            Kind::P256 => ec(&ECDSA_P256_SHA256_ASN1_SIGNING, P256),
            Kind::P384 => ec(&ECDSA_P384_SHA384_ASN1_SIGNING, P384),
            Kind::Ed25519 => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&random).unwrap();
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8.as_ref()).unwrap();
                let key = spki(ID_ED25519, &[], pair.public_key().as_ref());
                (pkcs8.as_ref().to_vec(), key)
            }
            Kind::X25519 => {
                let private = PrivateKey::generate(&X25519).unwrap();
                let seed: Curve25519SeedBin<'_> = private.as_be_bytes().unwrap();
                let public = private.compute_public_key().unwrap();
                let key = der::octet_string(&der::octet_string(seed.as_ref()));
                let algorithm = der::algorithm(ID_X25519, &[]);
                let pkcs8 = der::sequence(&[&der::small(0), &algorithm, &key]);
                (pkcs8, spki(ID_X25519, &[], public.as_ref()))
            }
        };
        Self { pkcs8, spki }
    }
}

/// SubjectPublicKeyInfo.
pub fn spki(name: &[u8], parameters: &[u8], key: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::algorithm(name, parameters), &der::bit_string(key)])
}

/// A certificate with its private key.
#[derive(Clone)]
pub struct Made {
    pub certificate: Vec<u8>,
    pub pkcs8: Vec<u8>,
}

/// What a certificate says.
#[derive(Clone)]
pub struct Subject<'a> {
    pub common_name: &'a str,
    pub mail: Option<&'a str>,
    pub serial: Vec<u8>,
    pub usage: u8,
    /// Extensions beside the usual ones: name and content.
    pub more: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Subject<'a> {
    pub fn new(common_name: &'a str, mail: &'a str, serial: u8) -> Self {
        Self {
            common_name,
            mail: Some(mail),
            // Long and positive, as authorities make them.
            serial: vec![0x41, 0x80, serial, 7, 1, 2, 3, 4, 5],
            usage: SIGN_AND_ENCIPHER,
            more: Vec::new(),
        }
    }
}

/// Who signs certificates.
pub struct Authority {
    name: Vec<u8>,
    key: EcdsaKeyPair,
    key_id: Vec<u8>,
    pub certificate: Vec<u8>,
}

impl Authority {
    pub fn new(common_name: &str) -> Self {
        let Key { pkcs8, spki } = Key::new(Kind::P256);
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).unwrap();
        let mut authority = Self {
            name: name(common_name),
            key,
            key_id: key_id(&spki),
            certificate: Vec::new(),
        };
        let constraints = der::sequence(&[&[tag::BOOLEAN, 1, 0xff]]);
        let extensions = [
            extension(&[0x55, 0x1d, 0x13], true, &constraints),
            extension(&[0x55, 0x1d, 0x0f], true, &usage(AUTHORITY)),
            extension(
                &[0x55, 0x1d, 0x0e],
                false,
                &der::octet_string(&authority.key_id),
            ),
        ];
        authority.certificate = authority.signed(&[1], &authority.name, &spki, &extensions);
        authority
    }

    /// A new key of this kind and a certificate for it.
    pub fn issue(&self, kind: Kind, subject: &Subject<'_>) -> Made {
        let key = Key::new(kind);
        Made {
            certificate: self.certify(&key.spki, subject),
            pkcs8: key.pkcs8,
        }
    }

    /// A certificate for this key.
    pub fn certify(&self, spki: &[u8], subject: &Subject<'_>) -> Vec<u8> {
        let by = der::element(tag::context(0), &[&self.key_id]);
        let mut extensions = vec![
            extension(&[0x55, 0x1d, 0x0f], true, &usage(subject.usage)),
            extension(
                &[0x55, 0x1d, 0x25],
                false,
                &der::sequence(&[&der::oid(EMAIL_PROTECTION)]),
            ),
            extension(
                &[0x55, 0x1d, 0x0e],
                false,
                &der::octet_string(&key_id(spki)),
            ),
            extension(&[0x55, 0x1d, 0x23], false, &der::sequence(&[&by])),
        ];
        if let Some(mail) = subject.mail {
            let mail = der::element(tag::context(1), &[mail.as_bytes()]);
            extensions.push(extension(
                &[0x55, 0x1d, 0x11],
                false,
                &der::sequence(&[&mail]),
            ));
        }
        for (name, content) in &subject.more {
            extensions.push(extension(name, false, content));
        }
        self.signed(
            &subject.serial,
            &name(subject.common_name),
            spki,
            &extensions,
        )
    }

    fn signed(
        &self,
        serial: &[u8],
        subject: &[u8],
        spki: &[u8],
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let algorithm = der::algorithm(ECDSA_WITH_SHA256, &[]);
        let extensions: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
        let extensions = der::sequence(&extensions);
        let moment = |text: &str| der::element(tag::UTC_TIME, &[text.as_bytes()]);
        let tbs = der::sequence(&[
            &der::element(tag::context_constructed(0), &[&der::small(2)]),
            &der::element(tag::INTEGER, &[serial]),
            &algorithm,
            &self.name,
            &der::sequence(&[&moment("200101000000Z"), &moment("491231235959Z")]),
            subject,
            spki,
            &der::element(tag::context_constructed(3), &[&extensions]),
        ]);
        let signature = self.key.sign(&SystemRandom::new(), &tbs).unwrap();
        der::sequence(&[&tbs, &algorithm, &der::bit_string(signature.as_ref())])
    }
}

fn name(common_name: &str) -> Vec<u8> {
    let text = der::element(0x0c, &[common_name.as_bytes()]);
    let attribute = der::sequence(&[&der::oid(COMMON_NAME), &text]);
    der::sequence(&[&der::set_of(vec![attribute])])
}

fn key_id(spki: &[u8]) -> Vec<u8> {
    digest(&SHA256, spki).as_ref()[..20].to_vec()
}

fn extension(name: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical {
        &[tag::BOOLEAN, 1, 0xff]
    } else {
        &[]
    };
    der::sequence(&[&der::oid(name), critical, &der::octet_string(content)])
}

fn usage(bits: u8) -> Vec<u8> {
    let unused = u8::try_from(bits.trailing_zeros()).unwrap();
    der::element(tag::BIT_STRING, &[&[unused, bits]])
}

/// PEM of this label.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
