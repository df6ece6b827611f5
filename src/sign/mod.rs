//! DKIM: which key signs, then the signature (RFC 6376, RFC 8463).
//!
//! Owns the choice of keys for an author's domain and of the header fields that are signed.
//! Never changes the message: a signature is a header field to put in front of it. Never shows a
//! key: not in an error, not in `Debug`.
//!
//! Relaxed/relaxed, SHA-256, no `l=`. Where a domain has several keys (RSA and Ed25519, as RFC
//! 8463 §5 advises) each makes its own signature; the body is hashed once for all.

mod key;
mod keygen;

use mail_auth::common::crypto::{DkimKey, SigningKey as _};
use mail_auth::common::headers::{HeaderStream, Writable, Writer};
use mail_auth::dkim::canonicalize::CanonicalHeaders;
use mail_auth::dkim::{Canonicalization, Signature as DkimSignature};

use crate::mail::message::{Field, Header, HeaderError, split};
use crate::mail::{Domain, Timestamp};

pub use key::{KeyError, SigningKey};
pub use keygen::{Algorithm, DnsRecord, dns_record, keygen, write_new};

/// Signed, and listed once more than they occur: whoever adds one later, or a second one, breaks
/// the signature (RFC 6376 §8.15).
const OVERSIGNED: [&str; 13] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Signed where they occur (RFC 6376 §5.4.1; RFC 8058 §4 for List-Unsubscribe-Post).
const SIGNED: [&str; 24] = [
    "Resent-Date",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Message-ID",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Content-ID",
    "Content-Description",
    "Content-Disposition",
    "Content-Language",
    "Content-Location",
    "Auto-Submitted",
    "Feedback-ID",
    "Importance",
    "Organization",
    "Autocrypt",
];

/// Signs with the keys of the configuration.
#[derive(Debug, Default)]
pub struct Signer {
    keys: Vec<SigningKey>,
}

/// What was put under a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// Complete `DKIM-Signature` fields, CRLF-terminated; empty if the domain has no key.
    pub prefix: Vec<u8>,
    /// The domains that signed (`d=`), each once.
    pub domains: Vec<String>,
}

/// Why a message could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The message's header cannot be read; submission refuses such mail.
    #[error("signing for {domain}: reading the header")]
    Header {
        /// The signing domain.
        domain: Domain,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// The message has no header field that a signature could cover.
    #[error("signing for {domain}: the message has no From field")]
    NoFrom {
        /// The signing domain.
        domain: Domain,
    },
    /// The key did not do its work.
    #[error("signing for {domain} with selector {selector}")]
    Crypto {
        /// The signing domain.
        domain: Domain,
        /// The key's selector.
        selector: String,
        /// What the library said.
        source: mail_auth::Error,
    },
}

impl Signer {
    /// Signs with these keys.
    pub fn new(keys: Vec<SigningKey>) -> Self {
        Self { keys }
    }

    /// The domain that signs for an author at `author`: the longest configured one that is
    /// `author` or a parent of it. (A parent's signature is aligned for DMARC in relaxed mode,
    /// RFC 7489 §3.1.1, which is the default; where `adkim=s` is published, configure a key for
    /// the very domain.)
    pub fn domain_for(&self, author: &Domain) -> Option<&Domain> {
        self.keys
            .iter()
            .map(SigningKey::domain)
            .filter(|domain| author.is_within(domain))
            .max_by_key(|domain| domain.as_str().len())
    }

    /// Signs `message`, the full content with CRLF line ends, at `now`. CPU-bound: the caller
    /// puts it on a blocking thread. Without a key for `author` the signature is empty.
    pub fn sign(
        &self,
        now: Timestamp,
        author: &Domain,
        message: &[u8],
    ) -> Result<Signature, SignError> {
        let (block, body) = split(message);
        self.sign_parts(now, author, block, body, None)
    }

    /// Signs a message whose body is not at hand. `header_block` is its header, with or without
    /// the empty line behind it; `body_sha256` the SHA-256 over its body, which must be its own
    /// canonical form: lines without white space, each ended by CRLF, the last one not empty, as
    /// base64 is written. The relaxed canonicalisation (RFC 6376 §3.4.4) changes white space
    /// within lines and at their ends, and takes empty lines off the end: there is none of either.
    pub fn sign_hashed(
        &self,
        now: Timestamp,
        author: &Domain,
        header_block: &[u8],
        body_sha256: [u8; 32],
    ) -> Result<Signature, SignError> {
        let (block, _) = split(header_block);
        self.sign_parts(now, author, block, b"", Some(body_sha256.to_vec()))
    }

    /// `body_hash` stands for that of `body` where it is given.
    fn sign_parts(
        &self,
        now: Timestamp,
        author: &Domain,
        block: &[u8],
        body: &[u8],
        mut body_hash: Option<Vec<u8>>,
    ) -> Result<Signature, SignError> {
        let mut signature = Signature::default();
        let Some(domain) = self.domain_for(author) else {
            return Ok(signature);
        };
        let header = Header::parse_stored(block).map_err(|source| SignError::Header {
            domain: domain.clone(),
            source,
        })?;
        let names = names_to_sign(&header);
        if names.is_empty() {
            let domain = domain.clone();
            return Err(SignError::NoFrom { domain });
        }
        for key in self.keys.iter().filter(|key| key.domain() == domain) {
            let mut field = DkimSignature {
                v: 1,
                a: key.dkim_key().algorithm(),
                d: domain.as_str().to_owned(),
                s: key.selector().to_owned(),
                h: names.clone(),
                t: now.as_secs(),
                ch: Canonicalization::Relaxed,
                cb: Canonicalization::Relaxed,
                ..DkimSignature::default()
            };
            let (_, headers, listed, body_to_hash) = field.canonicalize(Fields::of(&header, body));
            // Both algorithms hash the body with SHA-256.
            field.bh = body_hash
                .get_or_insert_with(|| key.dkim_key().hash(body_to_hash).as_ref().to_vec())
                .clone();
            field.h = listed;
            field.b =
                seal(key.dkim_key(), headers, &field).map_err(|source| SignError::Crypto {
                    domain: domain.clone(),
                    selector: key.selector().to_owned(),
                    source,
                })?;
            write(&field, &mut signature.prefix);
        }
        signature.domains.push(domain.as_str().to_owned());
        Ok(signature)
    }
}

/// Writes the field. The library folds in front of the last `;` where the base64 of `b=` just
/// fills its line. RFC 6376 §3.5 lets a verifier delete that white space along with the value,
/// and not all do (dkimpy does not), so it is taken out; the line grows by one.
fn write(field: &DkimSignature, out: &mut Vec<u8>) {
    let start = out.len();
    field.write(out, true);
    let written = out.get(start..).unwrap_or_default();
    if let Some(head) = written.strip_suffix(b"\r\n\t;\r\n") {
        out.truncate(start + head.len());
        out.extend_from_slice(b";\r\n");
    }
}

fn seal(
    key: &DkimKey,
    headers: CanonicalHeaders<'_>,
    field: &DkimSignature,
) -> Result<Vec<u8>, mail_auth::Error> {
    key.sign(ToBeSigned { headers, field })
}

/// RFC 6376 §3.7: the canonical header fields, then the signature field itself without `b=`.
struct ToBeSigned<'a> {
    headers: CanonicalHeaders<'a>,
    field: &'a DkimSignature,
}

impl Writable for ToBeSigned<'_> {
    fn write(self, writer: &mut impl Writer) {
        self.headers.write(writer);
        self.field.write(writer, false);
    }
}

/// The names to sign, in the form that the library wants: one that is listed and does not occur
/// (again) is signed as absent. Empty if there is no From, which must be signed (§5.4).
fn names_to_sign(header: &Header<'_>) -> Vec<String> {
    let occurs = |name: &&str| header.first(name).is_some();
    if !occurs(&"From") {
        return Vec::new();
    }
    let once = OVERSIGNED.into_iter().filter(occurs);
    let once_more = OVERSIGNED;
    once.chain(once_more)
        .chain(SIGNED.into_iter().filter(occurs))
        .map(str::to_owned)
        .collect()
}

/// A message as the library wants to read it: a field's value with its folding and final CRLF.
struct Fields<'a> {
    fields: std::vec::IntoIter<Field<'a>>,
    body: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(header: &Header<'a>, body: &'a [u8]) -> Self {
        let fields = header.fields().collect::<Vec<_>>().into_iter();
        Self { fields, body }
    }
}

impl<'a> HeaderStream<'a> for Fields<'a> {
    fn next_header(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let field = self.fields.next()?;
        let value = field.raw().get(field.name().len() + 1..)?;
        Some((field.name().as_bytes(), value))
    }

    fn body(&mut self) -> &'a [u8] {
        self.body
    }
}

#[cfg(test)]
mod tests;
