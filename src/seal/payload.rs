//! The octets around the body: the root inside, the `multipart/signed` (RFC 1847, RFC 8551
//! §3.5.3), the outer header of each recipient's envelope (RFC 8551 §3.3).
//!
//! The body itself is referred to, never copied.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::fields::Divided;
use super::identity::SigningIdentity;
use super::{SealError, Sealing, Unsigned};
use crate::mail::{ContentCipher, RecipientCertificate, Sealed, Shape, Timestamp};
use crate::proto::cms;

/// Random octets of a boundary, written in hexadecimal.
const BOUNDARY_OCTETS: usize = 24;
/// How often another boundary is drawn where one occurs in the message.
const MAX_DRAWS: usize = 4;
/// Characters of base64 on a line (RFC 2045 §6.8).
const LINE_OCTETS: usize = 76;

/// A message that is ready to be sealed to any number of recipients: what stands outside, and
/// what stands inside around its body.
pub struct Payload {
    /// The outer header without the fields of MIME.
    outer: Vec<u8>,
    /// Inside, before the body.
    head: Zeroizing<Vec<u8>>,
    /// Inside, behind the body.
    tail: Zeroizing<Vec<u8>>,
    /// Octets of the accepted content.
    octets: usize,
    /// Octets at its front that `head` stands for.
    skip: usize,
    signer: Result<String, Unsigned>,
    /// What is common to all that is sealed with AES-CBC, once there is one.
    cbc: OnceLock<Arc<Shape>>,
    /// The same for AES-GCM.
    gcm: OnceLock<Arc<Shape>>,
}

impl fmt::Debug for Payload {
    /// Says nothing of what is inside.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("octets", &self.octets)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

impl Payload {
    /// Why nobody signed inside, where nobody did.
    pub fn unsigned(&self) -> Option<&Unsigned> {
        self.signer.as_ref().err()
    }

    /// Begins to seal the message to one recipient's certificate: with AES-GCM where its owner
    /// reads that and the message is not too large for it, with AES-CBC otherwise. Costs no more
    /// than the envelope.
    pub fn begin(&self, to: &RecipientCertificate) -> Result<Begun, SealError> {
        let body = self.octets - self.skip;
        let plain = octets(self.head.len() + body + self.tail.len());
        let cipher = if to.gcm && plain <= cms::MAX_GCM_OCTETS {
            ContentCipher::Aes256Gcm
        } else {
            ContentCipher::Aes256Cbc
        };
        let key = cms::RecipientKey::of_certificate(&to.der)?;
        let beginning = cms::begin(&key, to.oaep, cipher, plain)?;
        let sealed = Sealed {
            shape: self.shape(cipher),
            envelope: beginning.envelope,
            cipher,
            key: beginning.key,
            iv: beginning.iv,
            octets: 0,
            sha256: [0; 32],
            certificate: to.fingerprint,
            expires: to.expires,
        };
        let content_octets = self.octets;
        Ok(Begun {
            sealed,
            content_octets,
        })
    }

    /// Begins and finishes. CPU-bound.
    pub fn seal(&self, content: &[u8], to: &RecipientCertificate) -> Result<Sealing, SealError> {
        self.begin(to)?.finish(content)
    }

    /// What all that is sealed with this cipher has in common.
    fn shape(&self, cipher: ContentCipher) -> Arc<Shape> {
        let made = match cipher {
            ContentCipher::Aes256Cbc => &self.cbc,
            ContentCipher::Aes256Gcm => &self.gcm,
        };
        let make = || {
            Arc::new(Shape {
                header: [self.outer.as_slice(), mime_fields(cipher)].concat(),
                head: self.head.to_vec(),
                skip: octets(self.skip),
                tail: self.tail.to_vec(),
                signer: self.signer.clone().ok(),
            })
        };
        Arc::clone(made.get_or_init(make))
    }
}

/// A message for which an envelope was made, and nothing more.
pub struct Begun {
    /// Not measured yet.
    sealed: Sealed,
    /// Octets of the accepted content.
    content_octets: usize,
}

impl Begun {
    /// What it shares with those of other recipients.
    pub const fn shape(&self) -> &Arc<Shape> {
        &self.sealed.shape
    }

    /// Octets that it takes by itself, in memory and in the spool.
    pub const fn kept_octets(&self) -> usize {
        self.sealed.kept_octets()
    }

    /// Measures it. `content` is the one that the payload was made of. CPU-bound: it encrypts the
    /// content once.
    pub fn finish(self, content: &[u8]) -> Result<Sealing, SealError> {
        let mut sealed = self.sealed;
        if content.len() != self.content_octets {
            return Err(SealError::OtherContent);
        }
        let body_sha256 = cms::measure(&mut sealed, content)?;
        Ok(Sealing {
            sealed,
            body_sha256,
        })
    }
}

impl fmt::Debug for Begun {
    /// Says nothing of what is inside.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Begun").field(&self.sealed).finish()
    }
}

/// The fields of MIME outside, with the empty line (RFC 8551 §3.2).
const fn mime_fields(cipher: ContentCipher) -> &'static [u8] {
    match cipher {
        ContentCipher::Aes256Cbc => {
            b"MIME-Version: 1.0\r\n\
            Content-Type: application/pkcs7-mime; smime-type=enveloped-data;\r\n name=\"smime.p7m\"\r\n\
            Content-Transfer-Encoding: base64\r\n\
            Content-Disposition: attachment; filename=\"smime.p7m\"\r\n\r\n"
        }
        ContentCipher::Aes256Gcm => {
            b"MIME-Version: 1.0\r\n\
            Content-Type: application/pkcs7-mime; smime-type=authEnveloped-data;\r\n name=\"smime.p7m\"\r\n\
            Content-Transfer-Encoding: base64\r\n\
            Content-Disposition: attachment; filename=\"smime.p7m\"\r\n\r\n"
        }
    }
}

fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A payload before it is known who signs.
pub(super) struct Draft {
    outer: Vec<u8>,
    /// The root's header with its empty line.
    root: Zeroizing<Vec<u8>>,
    octets: usize,
    skip: usize,
}

impl Draft {
    /// For a content of `octets` octets that ends with `body`.
    pub(super) fn new(divided: Divided, octets: usize, body: &[u8]) -> Self {
        let Divided {
            outer, mut inner, ..
        } = divided;
        inner.extend_from_slice(b"\r\n");
        Self {
            outer,
            root: Zeroizing::new(inner),
            octets,
            skip: octets.saturating_sub(body.len()),
        }
    }

    /// Nobody signs.
    pub(super) fn unsigned(self, why: Unsigned) -> Payload {
        Payload {
            outer: self.outer,
            head: self.root,
            tail: Zeroizing::default(),
            octets: self.octets,
            skip: self.skip,
            signer: Err(why),
            cbc: OnceLock::new(),
            gcm: OnceLock::new(),
        }
    }

    /// Signs root and body, and puts a `multipart/signed` around them.
    pub(super) fn signed(
        self,
        body: &[u8],
        signer: &SigningIdentity,
        now: Timestamp,
    ) -> Result<Payload, SealError> {
        let mut digest = signer.identity.digest();
        digest.update(&self.root);
        digest.update(body);
        let signature = cms::sign_detached(&signer.identity, digest, now)?;
        let random = SystemRandom::new();
        let boundary = boundary(&[&self.root, body], || {
            let mut drawn = [0; BOUNDARY_OCTETS];
            random.fill(&mut drawn).ok()?;
            Some(drawn)
        })?;
        let micalg = signer.identity.micalg();
        let mut head = format!(
            "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n \
            micalg={micalg};\r\n boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n"
        )
        .into_bytes();
        head.extend_from_slice(&self.root);
        let mut tail = format!(
            "\r\n--{boundary}\r\n\
            Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n\
            Content-Transfer-Encoding: base64\r\n\
            Content-Disposition: attachment; filename=\"smime.p7s\"\r\n\r\n"
        )
        .into_bytes();
        for line in STANDARD.encode(signature).as_bytes().chunks(LINE_OCTETS) {
            tail.extend_from_slice(line);
            tail.extend_from_slice(b"\r\n");
        }
        tail.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Ok(Payload {
            outer: self.outer,
            head: Zeroizing::new(head),
            tail: Zeroizing::new(tail),
            octets: self.octets,
            skip: self.skip,
            signer: Ok(signer.owner.to_string()),
            cbc: OnceLock::new(),
            gcm: OnceLock::new(),
        })
    }
}

/// A boundary that occurs nowhere in `parts` (RFC 2046 §5.1.1). With 192 random bits the first
/// one is good; that it is looked for all the same makes it certain.
fn boundary(
    parts: &[&[u8]],
    mut draw: impl FnMut() -> Option<[u8; BOUNDARY_OCTETS]>,
) -> Result<String, SealError> {
    for _ in 0..MAX_DRAWS {
        let drawn = draw().ok_or(SealError::Chance)?;
        let digits: String = drawn.iter().map(|octet| format!("{octet:02x}")).collect();
        let boundary = format!("=_{digits}");
        let finder = Finder::new(boundary.as_bytes());
        if parts.iter().all(|part| finder.find(part).is_none()) {
            return Ok(boundary);
        }
    }
    Err(SealError::Chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_that_occurs_is_drawn_again() {
        let taken = |octet: u8| format!("x\r\n--=_{}\r\n", format!("{octet:02x}").repeat(24));
        let (first, second) = (taken(1), taken(2));
        let parts = [first.as_bytes(), second.as_bytes()];
        let mut next = 0;
        let mut count = || {
            next += 1;
            Some([next; BOUNDARY_OCTETS])
        };
        let drawn = boundary(&parts, &mut count).unwrap();
        assert_eq!(drawn, format!("=_{}", "03".repeat(24)));
        assert!(drawn.len() <= 70);
        assert_eq!(
            boundary(&parts, || Some([1; BOUNDARY_OCTETS])),
            Err(SealError::Chance)
        );
        assert_eq!(boundary(&parts, || None), Err(SealError::Chance));
    }
}
