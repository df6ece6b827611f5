//! What is said of a recipient's certificate: its name, how far it is trusted, why it is not used.
//!
//! The certificate itself is octets to everyone but `directory` and `proto::cms`.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Timestamp;

/// SHA-256 over a certificate's DER: the name it goes by in commands, log and records. Where
/// people may read it, it is written as hexadecimal digits; in the journal as octets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        } else {
            Deserialize::deserialize(deserializer).map(Self)
        }
    }
}

impl Fingerprint {
    /// From the digest.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint: 64 hexadecimal digits, colons between octets allowed")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Hexadecimal in either case; colons between octets, as `openssl x509 -fingerprint` writes
    /// them, are passed over.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut digest = [0; 32];
        let mut digits = text.bytes().filter(|&octet| octet != b':');
        let mut digit = || {
            let digit = char::from(digits.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        for octet in &mut digest {
            let high = digit().ok_or(FingerprintError)?;
            *octet = high << 4 | digit().ok_or(FingerprintError)?;
        }
        match digits.next() {
            None => Ok(Self(digest)),
            Some(_) => Err(FingerprintError),
        }
    }
}

/// How far a recipient's certificate is trusted, for policy.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum CertificateFact {
    /// None that could be used.
    #[default]
    None,
    /// Found elsewhere (LDAP, a partner's web server), with a valid chain.
    Valid,
    /// From the operator's directory: imported.
    Directory,
    /// Pinned by the operator for this address.
    Pinned,
}

/// A certificate that may be used for an address: every rule of acceptance has been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientCertificate {
    /// Its DER.
    pub der: Bytes,
    /// Its name.
    pub fingerprint: Fingerprint,
    /// When it expires.
    pub expires: Timestamp,
    /// How far it is trusted; never `None`.
    pub fact: CertificateFact,
    /// Whether its owner is known to read AuthEnvelopedData with AES-256-GCM.
    pub gcm: bool,
    /// Whether its owner is known to read RSAES-OAEP; of no meaning for other keys.
    pub oaep: bool,
}

/// What is known of the certificates of an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundCertificate {
    /// The one to use.
    pub certificate: Option<RecipientCertificate>,
    /// Where there is none to use, what is wrong with the best of those that are known.
    pub problem: Option<CertificateProblem>,
}

impl FoundCertificate {
    /// How far the one to use is trusted.
    pub fn fact(&self) -> CertificateFact {
        let fact = |certificate: &RecipientCertificate| certificate.fact;
        self.certificate
            .as_ref()
            .map_or(CertificateFact::None, fact)
    }
}

/// Whether a certificate that is valid until `expires` has expired: its last second counts whole
/// (RFC 5280 §4.1.2.5).
pub fn has_expired(expires: Timestamp, now: Timestamp) -> bool {
    now.as_secs() > expires.as_secs()
}

/// Why a certificate is not used for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateProblem {
    /// It is not DER of a version 3 certificate, or is over a bound.
    Malformed,
    /// None of its mail addresses is exactly this one.
    OtherAddress,
    /// A mail address in it has white space, NUL, or characters that no address has.
    HostileAddress,
    /// It is an authority's.
    Authority,
    /// Its key usage does not let keys be enciphered or agreed on.
    KeyUsage,
    /// Its extended key usage is for something other than mail.
    ExtendedKeyUsage,
    /// An extension is critical and not understood.
    CriticalExtension,
    /// It is not valid yet.
    NotYetValid,
    /// It has expired.
    Expired,
    /// Its key is of a kind that mail cannot be sealed to here.
    KeyKind,
    /// Its key is too short (RSA below 2048 bits), or not a point of its curve.
    WeakKey,
    /// It, or one that it depends on, is signed with a weak digest or key.
    WeakSignature,
    /// No chain leads to a configured authority.
    NoChain,
    /// An authority of its chain is constrained to other names.
    Constrained,
    /// It, or an authority of its chain, was revoked.
    Revoked,
    /// Whether it was revoked could not be found out.
    RevocationUnknown,
    /// It would replace a pinned key, and nobody has approved it.
    NotApproved,
    /// The directory that was asked did not answer, or not in time.
    LookupFailed,
    /// The answer of the directory was not what it should be.
    LookupRefused,
}

impl CertificateProblem {
    /// Every one.
    pub const ALL: [Self; 19] = [
        Self::Malformed,
        Self::OtherAddress,
        Self::HostileAddress,
        Self::Authority,
        Self::KeyUsage,
        Self::ExtendedKeyUsage,
        Self::CriticalExtension,
        Self::NotYetValid,
        Self::Expired,
        Self::KeyKind,
        Self::WeakKey,
        Self::WeakSignature,
        Self::NoChain,
        Self::Constrained,
        Self::Revoked,
        Self::RevocationUnknown,
        Self::NotApproved,
        Self::LookupFailed,
        Self::LookupRefused,
    ];
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the certificate is malformed",
            Self::OtherAddress => "the certificate is for another address",
            Self::HostileAddress => "the certificate holds something that is no mail address",
            Self::Authority => "the certificate is an authority's",
            Self::KeyUsage => "the certificate's key may not be used for encryption",
            Self::ExtendedKeyUsage => "the certificate is not for mail",
            Self::CriticalExtension => "the certificate has a critical extension that is unknown",
            Self::NotYetValid => "the certificate is not valid yet",
            Self::Expired => "the certificate has expired",
            Self::KeyKind => "mail cannot be sealed to a key of this kind",
            Self::WeakKey => "the certificate's key is too weak",
            Self::WeakSignature => "the certificate's signature is too weak",
            Self::NoChain => "the certificate does not lead to a configured authority",
            Self::Constrained => "an authority of the certificate may not vouch for this name",
            Self::Revoked => "the certificate was revoked",
            Self::RevocationUnknown => "whether the certificate was revoked could not be found out",
            Self::NotApproved => {
                "the certificate would replace a pinned key and waits for approval"
            }
            Self::LookupFailed => "the directory of certificates did not answer",
            Self::LookupRefused => "the directory of certificates gave a useless answer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_as_it_is_written_and_as_openssl_writes_it() {
        let print = Fingerprint::new(std::array::from_fn(|at| u8::try_from(at * 7).unwrap()));
        assert_eq!(print.to_string().parse(), Ok(print));
        let text = print.to_string().to_uppercase();
        let pairs: Vec<&str> = (0..32).map(|at| &text[at * 2..at * 2 + 2]).collect();
        assert_eq!(pairs.join(":").parse(), Ok(print));
        for bad in [
            "",
            "00",
            &text[1..],
            &format!("{text}0"),
            &text.replace('A', "G"),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError), "{bad:?}");
        }
    }

    #[test]
    fn a_fingerprint_is_digits_for_people_and_octets_in_the_journal() {
        let print = Fingerprint::new([0xab; 32]);
        let json = serde_json::to_string(&print).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), print);
        assert!(serde_json::from_str::<Fingerprint>("\"ab\"").is_err());
        let octets = postcard::to_allocvec(&print).unwrap();
        assert_eq!(octets, [0xab; 32]);
        assert_eq!(postcard::from_bytes::<Fingerprint>(&octets).unwrap(), print);
    }

    #[test]
    fn the_last_second_of_a_certificate_counts_whole() {
        let expires = Timestamp::from_secs(1000);
        let within = expires + std::time::Duration::from_millis(999);
        assert!(!has_expired(expires, within));
        assert!(has_expired(expires, Timestamp::from_secs(1001)));
    }

    #[test]
    fn every_problem_is_listed_and_says_something_of_its_own() {
        let mut said: Vec<String> = CertificateProblem::ALL.map(|it| it.to_string()).into();
        said.sort();
        said.dedup();
        assert_eq!(said.len(), CertificateProblem::ALL.len());
    }
}
