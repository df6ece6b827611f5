//! Certificates for the tests, written octet by octet, so that each can be wrong in just one place.
//!
//! Moduli are numbers without known factors and signatures of what no chain leads to are zeros:
//! the rules of acceptance look at neither.

use bytes::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use crate::mail::{Address, Domain, Timestamp};

/// The moment of the tests: 2026-11-22.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);

pub fn domain(text: &str) -> Domain {
    Domain::from_unicode(text).unwrap()
}

pub fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// An element: tag, length, value.
pub fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match value.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length @ 0x80..=0xff => out.extend([0x81, length as u8]),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(value);
    out
}

pub fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// An OBJECT IDENTIFIER from its dotted text.
pub fn oid(text: &str) -> Vec<u8> {
    let numbers: Vec<u64> = text.split('.').map(|it| it.parse().unwrap()).collect();
    let mut value = Vec::new();
    let first = numbers[0] * 40 + numbers[1];
    for number in std::iter::once(&first).chain(&numbers[2..]) {
        let groups = (64 - number.leading_zeros()).div_ceil(7).max(1);
        for at in (0..groups).rev() {
            let more = if at > 0 { 0x80 } else { 0 };
            value.push((number >> (7 * at) & 0x7f) as u8 | more);
        }
    }
    tlv(6, &value)
}

pub fn integer(value: &[u8]) -> Vec<u8> {
    tlv(2, value)
}

pub fn bit_string(value: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], value].concat())
}

pub fn name(common: &str) -> Vec<u8> {
    rdns(&[("2.5.4.3", 0x0c, common.as_bytes())])
}

/// A name from attributes: type, tag of the text, text.
pub fn rdns(attributes: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let rdn =
        |(kind, tag, text): &(&str, u8, &[u8])| tlv(0x31, &seq(&[&oid(kind), &tlv(*tag, text)]));
    tlv(0x30, &attributes.iter().flat_map(rdn).collect::<Vec<u8>>())
}

pub const SHA256_RSA: &str = "1.2.840.113549.1.1.11";
pub const SHA1_RSA: &str = "1.2.840.113549.1.1.5";
pub const SHA256_ECDSA: &str = "1.2.840.10045.4.3.2";
pub const RSA: &str = "1.2.840.113549.1.1.1";
pub const EC: &str = "1.2.840.10045.2.1";
pub const P256: &str = "1.2.840.10045.3.1.7";
pub const P384: &str = "1.3.132.0.34";
pub const P521: &str = "1.3.132.0.35";
pub const SMTP_UTF8: &str = "1.3.6.1.5.5.7.8.9";

/// An AlgorithmIdentifier; RSA ones have their NULL.
pub fn algorithm(kind: &str) -> Vec<u8> {
    match kind.starts_with("1.2.840.113549.1.1.") {
        true => seq(&[&oid(kind), &[5, 0]]),
        false => seq(&[&oid(kind)]),
    }
}

/// An RSA key with a modulus of so many bits; `seed` makes it another one.
pub fn rsa(bits: usize, exponent: &[u8], seed: u8) -> Vec<u8> {
    let mut modulus: Vec<u8> = (0..bits / 8)
        .map(|at| (at as u8).wrapping_mul(37) ^ seed)
        .collect();
    modulus[0] |= 0x80;
    let last = modulus.len() - 1;
    modulus[last] |= 1;
    rsa_of(&modulus, exponent)
}

pub fn rsa_of(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = seq(&[&integer(&[&[0], modulus].concat()), &integer(exponent)]);
    seq(&[&algorithm(RSA), &bit_string(&key)])
}

pub fn good_rsa(seed: u8) -> Vec<u8> {
    rsa(2048, &[1, 0, 1], seed)
}

pub fn ec(parameters: &[u8], point: &[u8]) -> Vec<u8> {
    seq(&[&seq(&[&oid(EC), parameters]), &bit_string(point)])
}

/// The generator of P-256 (SEC 2 §2.4.2): a point for a key.
pub fn p256_point() -> Vec<u8> {
    hex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    )
}

/// The generator of P-384 (SEC 2 §2.5.1).
pub fn p384_point() -> Vec<u8> {
    hex(
        "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e\
         3872760ab73617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e81\
         9d7a431d7c90ea0e5f",
    )
}

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |it: &[u8]| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// A key of another kind: `algorithm` without parameters.
pub fn raw_key(kind: &str, key: &[u8]) -> Vec<u8> {
    seq(&[&seq(&[&oid(kind)]), &bit_string(key)])
}

pub fn rfc822(text: impl AsRef<[u8]>) -> Vec<u8> {
    tlv(0x81, text.as_ref())
}

/// A SmtpUTF8Mailbox, with this tag for its text.
pub fn utf8(tag: u8, text: impl AsRef<[u8]>) -> Vec<u8> {
    other_name(SMTP_UTF8, &tlv(tag, text.as_ref()))
}

pub fn other_name(kind: &str, value: &[u8]) -> Vec<u8> {
    tlv(0xa0, &[oid(kind), tlv(0xa0, value)].concat())
}

pub fn extension(kind: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    seq(&[&oid(kind), critical, &tlv(4, value)])
}

pub fn alternative(names: &[Vec<u8>]) -> Vec<u8> {
    extension("2.5.29.17", false, &tlv(0x30, &names.concat()))
}

/// A key usage: its bits, bit 0 the highest of the first octet.
pub fn usage(bits: &[u8]) -> Vec<u8> {
    let unused = bits.last().map_or(0, |it| it.trailing_zeros().min(7) as u8);
    let value = tlv(3, &[&[unused], bits].concat());
    extension("2.5.29.15", true, &value)
}

pub const ENCIPHER: u8 = 0b0010_0000;
pub const AGREE: u8 = 0b0000_1000;
pub const SIGN: u8 = 0b1000_0000;
pub const CERTIFY: u8 = 0b0000_0100;

pub fn purposes(kinds: &[&str]) -> Vec<u8> {
    let kinds: Vec<u8> = kinds.iter().flat_map(|it| oid(it)).collect();
    extension("2.5.29.37", false, &tlv(0x30, &kinds))
}

pub const MAIL: &str = "1.3.6.1.5.5.7.3.4";
pub const ANY: &str = "2.5.29.37.0";
pub const SERVER: &str = "1.3.6.1.5.5.7.3.1";

/// basicConstraints of an authority.
pub fn authority(path: Option<u8>) -> Vec<u8> {
    let path = path.map(|it| integer(&[it])).unwrap_or_default();
    extension("2.5.29.19", true, &seq(&[&[1, 1, 0xff], &path]))
}

/// A certificate to be.
#[derive(Clone)]
pub struct Make {
    pub version: Option<u8>,
    pub serial: Vec<u8>,
    pub algorithm: Vec<u8>,
    /// The algorithm outside of what is signed, where it is another one.
    pub outer: Option<Vec<u8>>,
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub from: Vec<u8>,
    pub until: Vec<u8>,
    pub spki: Vec<u8>,
    pub extensions: Vec<Vec<u8>>,
}

impl Make {
    /// A good certificate for mail to `addresses`, of 2026 and 2027.
    pub fn new(addresses: &[&str]) -> Self {
        let names: Vec<Vec<u8>> = addresses.iter().map(rfc822).collect();
        Self {
            version: Some(2),
            serial: vec![0x11],
            algorithm: algorithm(SHA256_RSA),
            outer: None,
            issuer: name("Test CA"),
            subject: name("Kim"),
            from: tlv(0x17, b"260101000000Z"),
            until: tlv(0x17, b"271231235959Z"),
            spki: good_rsa(1),
            extensions: vec![
                alternative(&names),
                usage(&[SIGN | ENCIPHER]),
                purposes(&[MAIL]),
            ],
        }
    }

    /// Without extensions: each case adds its own.
    pub fn bare() -> Self {
        let mut bare = Self::new(&["kim@clinic.example"]);
        bare.extensions.clear();
        bare
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// With these names instead.
    pub fn named(mut self, names: &[Vec<u8>]) -> Self {
        self.extensions[0] = alternative(names);
        self
    }

    /// With one more extension.
    pub fn and(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    pub fn key(mut self, spki: Vec<u8>) -> Self {
        self.spki = spki;
        self
    }

    /// Valid from and until, as UTCTime.
    pub fn valid(mut self, from: &str, until: &str) -> Self {
        self.from = tlv(0x17, from.as_bytes());
        self.until = tlv(0x17, until.as_bytes());
        self
    }

    pub fn tbs(&self) -> Vec<u8> {
        let version = self.version.map(|it| tlv(0xa0, &integer(&[it])));
        let extensions = match self.extensions.is_empty() {
            true => Vec::new(),
            false => tlv(0xa3, &tlv(0x30, &self.extensions.concat())),
        };
        seq(&[
            &version.unwrap_or_default(),
            &integer(&self.serial),
            &self.algorithm,
            &self.issuer,
            &seq(&[&self.from, &self.until]),
            &self.subject,
            &self.spki,
            &extensions,
        ])
    }

    /// With a signature that is none.
    pub fn unsigned(&self) -> Bytes {
        let outer = self.outer.as_ref().unwrap_or(&self.algorithm);
        seq(&[&self.tbs(), outer, &bit_string(&[0; 64])]).into()
    }

    pub fn signed_by(mut self, issuer: &Ca) -> Bytes {
        self.issuer = issuer.subject.clone();
        self.algorithm = algorithm(SHA256_ECDSA);
        let tbs = self.tbs();
        let signature = issuer.key.sign(&SystemRandom::new(), &tbs).unwrap();
        let outer = self.outer.as_ref().unwrap_or(&self.algorithm);
        seq(&[&tbs, outer, &bit_string(signature.as_ref())]).into()
    }
}

/// An authority with a key of P-256.
pub struct Ca {
    pub subject: Vec<u8>,
    pub key: EcdsaKeyPair,
    pub der: Bytes,
}

impl Ca {
    pub fn root(common: &str) -> Self {
        Self::make(common, None, |_| {})
    }

    /// One that `issuer` vouches for.
    pub fn under(issuer: &Self, common: &str, change: impl FnOnce(&mut Make)) -> Self {
        Self::make(common, Some(issuer), change)
    }

    fn make(common: &str, issuer: Option<&Self>, change: impl FnOnce(&mut Make)) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let mut made = Make::bare();
        made.subject = name(common);
        made.spki = ec(&oid(P256), key.public_key().as_ref());
        made.extensions = vec![authority(None), usage(&[CERTIFY])];
        change(&mut made);
        let mut this = Self {
            subject: made.subject.clone(),
            key,
            der: Bytes::new(),
        };
        this.der = made.signed_by(issuer.unwrap_or(&this));
        this
    }

    /// A good certificate from it.
    pub fn issue(&self, address: &str, seed: u8) -> Bytes {
        self.sign(Make::new(&[address]).key(good_rsa(seed)))
    }

    pub fn sign(&self, make: Make) -> Bytes {
        make.signed_by(self)
    }
}

/// PEM with one section for each certificate.
pub fn pem(certificates: &[&Bytes]) -> Vec<u8> {
    use base64::Engine;
    let section = |der: &&Bytes| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<String> = text
            .as_bytes()
            .chunks(64)
            .map(|it| String::from_utf8_lossy(it).into_owned())
            .collect();
        let lines = lines.join("\n");
        format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
    };
    certificates.iter().map(section).collect::<String>().into()
}

/// A PKCS #7 bundle.
pub fn bundle(certificates: &[&Bytes]) -> Vec<u8> {
    let inside: Vec<u8> = certificates.iter().flat_map(|it| it.to_vec()).collect();
    let data = seq(&[&oid("1.2.840.113549.1.7.1")]);
    let signed = seq(&[
        &integer(&[1]),
        &tlv(0x31, &[]),
        &data,
        &tlv(0xa0, &inside),
        &tlv(0x31, &[]),
    ]);
    seq(&[&oid("1.2.840.113549.1.7.2"), &tlv(0xa0, &signed)])
}
