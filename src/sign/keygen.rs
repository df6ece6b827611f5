//! Making DKIM keys, and the DNS record of a key.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::KeyPair as _;
use zeroize::Zeroizing;

use super::key::{KeyError, Parsed, parse};

/// Characters of a PEM line (RFC 7468 §2).
const PEM_LINE: usize = 64;
/// Octets of one character-string of a TXT record (RFC 1035 §3.3).
const TXT_STRING_OCTETS: usize = 255;

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with 2048 bits, the size that every receiver takes (RFC 8301).
    Rsa,
    /// Ed25519 (RFC 8463): small and fast, and not every receiver knows it; sign with both.
    Ed25519,
}

/// Makes a private key: PKCS#8 version 1 in PEM, which every tool reads.
pub fn keygen(algorithm: Algorithm) -> Result<Zeroizing<String>, KeyError> {
    match algorithm {
        Algorithm::Rsa => {
            let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generate)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Generate)?;
            Ok(pem(der.as_ref()))
        }
        Algorithm::Ed25519 => {
            let pair = aws_lc_rs::signature::Ed25519KeyPair::generate();
            let pair = pair.map_err(|_| KeyError::Generate)?;
            let der = pair.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
            Ok(pem(der.as_ref()))
        }
    }
}

/// Writes a private key to a new file with mode 0600. A file that exists is left alone: the mail
/// that its key has signed can be verified only as long as it is published.
pub fn write_new(path: &Path, pem: &str) -> Result<(), KeyError> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| KeyError::Write {
        path: path.to_owned(),
        source,
    })
}

fn pem(der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(String::with_capacity(base64.len() * 2));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

/// The TXT record of a key's public half (RFC 6376 §3.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecord {
    text: String,
}

impl DnsRecord {
    /// The record's value as one text, as most web forms want it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for DnsRecord {
    /// The record's value as a zone file wants it: quoted strings of at most 255 octets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.text.as_str();
        let mut gap = "";
        while !rest.is_empty() {
            // ASCII by construction, so every octet is a boundary.
            let (string, tail) = rest.split_at(rest.len().min(TXT_STRING_OCTETS));
            write!(f, "{gap}\"{string}\"")?;
            gap = " ";
            rest = tail;
        }
        Ok(())
    }
}

/// The DNS record of the private key in `pem`.
pub fn dns_record(pem: &str) -> Result<DnsRecord, KeyError> {
    let text = match parse(pem)? {
        Parsed::Rsa { pair, .. } => {
            // Receivers expect the SubjectPublicKeyInfo (RFC 6376, erratum 3017).
            let der: PublicKeyX509Der<'_> =
                ring_key(&pair).as_der().map_err(|_| KeyError::NotAKey)?;
            format!(
                "v=DKIM1; h=sha256; k=rsa; p={}",
                STANDARD.encode(der.as_ref())
            )
        }
        Parsed::Ed25519(der) => {
            let pair = ring::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
                .map_err(|_| KeyError::NotAKey)?;
            let key = STANDARD.encode(pair.public_key().as_ref());
            format!("v=DKIM1; h=sha256; k=ed25519; p={key}")
        }
    };
    Ok(DnsRecord { text })
}

fn ring_key(pair: &KeyPair) -> &aws_lc_rs::rsa::PublicKey {
    use aws_lc_rs::signature::KeyPair as _;
    pair.public_key()
}
