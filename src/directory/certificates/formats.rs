//! What files certificates come in: PEM (RFC 7468), DER, PKCS #7 bundles (RFC 5652 §5), LDIF.
//!
//! Owns the taking apart, within bounds; says of each item where it stood. Never judges a
//! certificate. A part that cannot be read is an item of its own and does not spoil the others.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::ldif;
use super::parse::MAX_CERTIFICATE_OCTETS;
use crate::mail::Address;
use crate::proto::cms::{MAX_BUNDLE_OCTETS, certificates_of};

/// Octets of a file.
pub const MAX_FILE_OCTETS: usize = 32 << 20;
/// Certificates of a file.
pub const MAX_FILE_CERTIFICATES: usize = 10_000;
/// A certificate of a file, or what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Where it stood, for people.
    pub place: String,
    /// Its DER, unread; or why there is none.
    pub der: Result<Bytes, NoCertificate>,
    /// The addresses that the file says it is for; empty if it does not say.
    pub said_for: Vec<Address>,
}

/// Why there is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoCertificate {
    /// What should be one cannot be read.
    Malformed,
    /// It is something else, and passed over.
    Other,
}

/// A file as a whole is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is over [`MAX_FILE_OCTETS`].
    #[error("the file is larger than 32 MiB")]
    TooLarge,
    /// It holds more than [`MAX_FILE_CERTIFICATES`].
    #[error("the file holds more than {MAX_FILE_CERTIFICATES} certificates")]
    TooMany,
    /// It is none of the known formats.
    #[error("the file is neither PEM, DER, PKCS #7 nor LDIF")]
    Unknown,
    /// A private key stands in it.
    #[error("the file holds a private key, which has no place in a directory of certificates")]
    PrivateKey,
}

/// The items of a list under its bound.
pub(super) struct Items(pub(super) Vec<Item>);

impl Items {
    pub(super) fn push(&mut self, item: Item) -> Result<(), FormatError> {
        if self.0.len() >= MAX_FILE_CERTIFICATES {
            return Err(FormatError::TooMany);
        }
        self.0.push(item);
        Ok(())
    }

    /// Adds the DER of a certificate or of a bundle.
    pub(super) fn push_der(
        &mut self,
        place: &str,
        der: Vec<u8>,
        said_for: &[Address],
    ) -> Result<(), FormatError> {
        let item = |place: String, der: Result<Vec<u8>, NoCertificate>| Item {
            place,
            der: der.map(Bytes::from),
            said_for: said_for.to_vec(),
        };
        if !is_bundle(&der) {
            let der = match der.len() <= MAX_CERTIFICATE_OCTETS {
                true => Ok(der),
                false => Err(NoCertificate::Malformed),
            };
            return self.push(item(place.to_owned(), der));
        }
        let Ok(inside) = certificates_of(&der) else {
            return self.push(item(place.to_owned(), Err(NoCertificate::Malformed)));
        };
        for (at, der) in inside.into_iter().enumerate() {
            let der = match der.len() <= MAX_CERTIFICATE_OCTETS {
                true => Ok(der),
                false => Err(NoCertificate::Malformed),
            };
            self.push(item(format!("{place}, certificate {}", at + 1), der))?;
        }
        Ok(())
    }
}

/// Whether DER begins as a ContentInfo with SignedData does; its length may be of any form.
pub(super) fn is_bundle(der: &[u8]) -> bool {
    const SIGNED_DATA: &[u8] = &[
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02,
    ];
    let header = match der {
        [0x30, length, ..] if length & 0x80 != 0 => 2 + usize::from(length & 0x7f),
        [0x30, ..] => 2,
        _ => return false,
    };
    der.get(header..)
        .is_some_and(|rest| rest.starts_with(SIGNED_DATA))
}

/// The items of a file, first to last.
pub(super) fn read(octets: &[u8]) -> Result<Vec<Item>, FormatError> {
    if octets.len() > MAX_FILE_OCTETS {
        return Err(FormatError::TooLarge);
    }
    let mut items = Items(Vec::new());
    if octets.first() == Some(&0x30) {
        items.push_der("the file", octets.to_vec(), &[])?;
        return Ok(items.0);
    }
    let text = String::from_utf8_lossy(octets);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.contains("-----BEGIN ") {
        pem(text, &mut items)?;
    } else if ldif::looks_like(text) {
        ldif::read(text, &mut items)?;
    } else {
        return Err(FormatError::Unknown);
    }
    Ok(items.0)
}

/// Sections of PEM; what stands between them is explanatory text.
fn pem(text: &str, items: &mut Items) -> Result<(), FormatError> {
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let label = line
            .trim_end()
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"));
        let Some(label) = label else {
            continue;
        };
        if label.ends_with("PRIVATE KEY") {
            return Err(FormatError::PrivateKey);
        }
        let place = format!("line {}", at + 1);
        let end = format!("-----END {label}-----");
        let mut body = String::new();
        let closed = lines.by_ref().any(|(_, line)| {
            let ends = line.trim_end() == end;
            if !ends && body.len() <= 2 * MAX_BUNDLE_OCTETS {
                body.push_str(line.trim());
            }
            ends
        });
        let der = STANDARD.decode(&body).ok().filter(|_| closed);
        let malformed = |why| Item {
            place: place.clone(),
            der: Err(why),
            said_for: Vec::new(),
        };
        match (label, der) {
            ("CERTIFICATE" | "X509 CERTIFICATE" | "PKCS7" | "CMS", Some(der)) => {
                items.push_der(&place, der, &[])?;
            }
            ("CERTIFICATE" | "X509 CERTIFICATE" | "PKCS7" | "CMS", None) => {
                items.push(malformed(NoCertificate::Malformed))?;
            }
            // With what OpenSSL trusts it for behind it: not a certificate alone.
            _ => items.push(malformed(NoCertificate::Other))?,
        }
    }
    Ok(())
}
