//! The octets of a sealed message, made of its recipe and the accepted content, as they are sent.
//!
//! The same recipe and content give the same octets every time, however the content is cut. For
//! CBC the memory does not grow with the message; GCM holds the content once. The end is held back
//! until everything before it has been counted and digested and is what the recipe says: a message
//! that differs cannot be completed.

use std::ops::Deref;

use aws_lc_rs::cipher::{AES_256, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{Context, Digest, SHA256};
use zeroize::Zeroizing;

use super::CmsError;
use super::der::{self, tag};
use super::envelope::{BLOCK, CBC_IV, Layout, TAG, padded_octets};
use crate::mail::{ContentCipher, Sealed};

/// Octets that one line of base64 holds.
pub(super) const LINE_OCTETS: usize = 57;
/// Characters of such a line, with its end (RFC 2045 §6.8).
const LINE: usize = 78;
/// Octets that are encrypted at a time: whole blocks and whole lines, and small enough for the
/// processor's cache.
const CHUNK: usize = LINE_OCTETS * BLOCK * 32;

/// Makes the octets of a sealed message. `R` refers to the recipe: `&Sealed`, or an `Arc` of it for
/// a stream that is handed from thread to thread.
pub struct SealStream<R> {
    maker: Maker<R>,
}

impl<R: Deref<Target = Sealed>> SealStream<R> {
    /// Of a recipe. One whose lengths do not fit one another is refused here.
    pub fn new(sealed: R) -> Result<Self, CmsError> {
        let maker = Maker::new(sealed, false)?;
        let sealed = &maker.sealed;
        let header = sealed.shape.header.len() as u64;
        if maker.body.layout.base64_octets().checked_add(header) == Some(sealed.octets) {
            Ok(Self { maker })
        } else {
            Err(CmsError::Differs)
        }
    }

    /// Takes the next piece of the accepted content, from its first octet on; appends to `out` what
    /// can be sent.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), CmsError> {
        self.maker.push(content, out)
    }

    /// Takes the end of the content; appends the end of the message. On an error nothing is
    /// appended, and the message must not be completed.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), CmsError> {
        let (octets, sha256) = (self.maker.sealed.octets, self.maker.sealed.sha256);
        let before = out.len();
        let made = self.maker.finish(out);
        match made {
            Ok(made) if made.octets == octets && made.sha256 == sha256 => Ok(()),
            Ok(_) => {
                out.truncate(before);
                Err(CmsError::Differs)
            }
            Err(error) => {
                out.truncate(before);
                Err(error)
            }
        }
    }
}

/// Fills in the octets and the digest of a recipe, by making the message once. Gives the SHA-256
/// over what stands behind the header: the body, for DKIM.
pub fn measure(sealed: &mut Sealed, content: &[u8]) -> Result<[u8; 32], CmsError> {
    let mut maker = Maker::new(&*sealed, true)?;
    let mut out = Vec::new();
    for piece in content.chunks(CHUNK) {
        maker.push(piece, &mut out)?;
        out.clear();
    }
    let made = maker.finish(&mut out)?;
    sealed.octets = made.octets;
    sealed.sha256 = made.sha256;
    Ok(made.body_sha256)
}

/// What was made.
struct Made {
    octets: u64,
    sha256: [u8; 32],
    /// Zeros if nobody asked for it.
    body_sha256: [u8; 32],
}

struct Maker<R> {
    sealed: R,
    body: Encrypted,
    started: bool,
    /// Octets at the front of the content still to be left out.
    skip: u64,
}

/// What stands behind the header.
struct Encrypted {
    layout: Layout,
    cipher: Encryptor,
    lines: Lines,
    /// Octets encrypted, head and tail with them.
    taken: u64,
}

impl<R: Deref<Target = Sealed>> Maker<R> {
    fn new(sealed: R, with_body: bool) -> Result<Self, CmsError> {
        let layout = Layout::of(&sealed.envelope, sealed.cipher, &sealed.iv)?;
        let body = Encrypted {
            layout,
            cipher: Encryptor::new(&sealed, layout)?,
            lines: Lines::new(with_body),
            taken: 0,
        };
        Ok(Self {
            body,
            started: false,
            skip: sealed.shape.skip,
            sealed,
        })
    }

    /// What stands before the content.
    fn start(&mut self, out: &mut Vec<u8>) -> Result<(), CmsError> {
        if self.started {
            return Ok(());
        }
        self.started = true;
        let sealed = &*self.sealed;
        self.body.lines.header(&sealed.shape.header, out);
        self.body.lines.raw.extend_from_slice(&sealed.envelope);
        self.body.encrypt(&sealed.shape.head, out)
    }

    fn push(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), CmsError> {
        self.start(out)?;
        let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let skip = skip.min(content.len());
        self.skip -= skip as u64;
        let content = content.get(skip..).unwrap_or_default();
        self.body.encrypt(content, out)
    }

    /// What stands behind the content. On an error the message is not complete.
    fn finish(mut self, out: &mut Vec<u8>) -> Result<Made, CmsError> {
        self.start(out)?;
        let Self {
            sealed, mut body, ..
        } = self;
        body.encrypt(&sealed.shape.tail, out)?;
        let expected = match sealed.cipher {
            ContentCipher::Aes256Cbc => padded_octets(body.taken),
            ContentCipher::Aes256Gcm => body.taken,
        };
        if self.skip > 0 || expected != body.layout.encrypted {
            return Err(CmsError::Differs);
        }
        body.cipher.finish(&mut body.lines, out)?;
        Ok(body.lines.finish(out))
    }
}

impl Encrypted {
    /// Encrypts a piece of content and writes the lines that are full.
    fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), CmsError> {
        self.taken = self.taken.saturating_add(plain.len() as u64);
        if self.taken > self.layout.encrypted {
            return Err(CmsError::Differs);
        }
        for piece in plain.chunks(CHUNK) {
            self.cipher.encrypt(piece, &mut self.lines.raw)?;
            self.lines.write(out);
        }
        Ok(())
    }
}

/// How content is encrypted.
enum Encryptor {
    Cbc(Box<StreamingEncryptingKey>),
    Gcm(Box<Gcm>),
}

struct Gcm {
    key: LessSafeKey,
    nonce: Nonce,
    content: Zeroizing<Vec<u8>>,
}

impl Encryptor {
    fn new(sealed: &Sealed, layout: Layout) -> Result<Self, CmsError> {
        let key = sealed.key.expose();
        match sealed.cipher {
            ContentCipher::Aes256Cbc => {
                let iv = FixedLength::<CBC_IV>::try_from(sealed.iv.as_slice());
                iv.and_then(|iv| {
                    let key = UnboundCipherKey::new(&AES_256, key)?;
                    StreamingEncryptingKey::less_safe_cbc_pkcs7(key, EncryptionContext::Iv128(iv))
                })
                .map(|key| Self::Cbc(Box::new(key)))
                .map_err(|_| CmsError::Library)
            }
            ContentCipher::Aes256Gcm => {
                let nonce = Nonce::try_assume_unique_for_key(&sealed.iv);
                let key = UnboundKey::new(&AES_256_GCM, key);
                let (Ok(nonce), Ok(key)) = (nonce, key) else {
                    return Err(CmsError::Library);
                };
                // Never grows, so that no copy of the content is left behind.
                let octets = usize::try_from(layout.encrypted).map_err(|_| CmsError::TooLarge)?;
                Ok(Self::Gcm(Box::new(Gcm {
                    key: LessSafeKey::new(key),
                    nonce,
                    content: Zeroizing::new(Vec::with_capacity(octets)),
                })))
            }
        }
    }

    /// Takes a piece of content; appends the blocks that are full.
    fn encrypt(&mut self, piece: &[u8], raw: &mut Vec<u8>) -> Result<(), CmsError> {
        match self {
            Self::Gcm(gcm) => gcm.content.extend_from_slice(piece),
            Self::Cbc(key) => {
                let at = raw.len();
                raw.resize(at + piece.len() + BLOCK, 0);
                let room = raw.get_mut(at..).unwrap_or_default();
                let update = key.update(piece, room).map_err(|_| CmsError::Library)?;
                let written = update.written().len();
                raw.truncate(at + written);
            }
        }
        Ok(())
    }

    /// The rest of the encrypted content, and the tag.
    fn finish(self, lines: &mut Lines, out: &mut Vec<u8>) -> Result<(), CmsError> {
        match self {
            Self::Cbc(key) => {
                let mut last = [0; BLOCK];
                let (_, update) = key.finish(&mut last).map_err(|_| CmsError::Library)?;
                lines.raw.extend_from_slice(update.written());
            }
            Self::Gcm(gcm) => {
                let Gcm {
                    key,
                    nonce,
                    mut content,
                } = *gcm;
                let mac = key
                    .seal_in_place_separate_tag(nonce, Aad::empty(), &mut content)
                    .map_err(|_| CmsError::Library)?;
                for piece in content.chunks(CHUNK) {
                    lines.raw.extend_from_slice(piece);
                    lines.write(out);
                }
                der::header(&mut lines.raw, tag::OCTET_STRING, TAG);
                lines.raw.extend_from_slice(mac.as_ref());
            }
        }
        Ok(())
    }
}

/// Base64 in lines, counted and digested.
struct Lines {
    /// Octets that have no line yet. Once there were some, one at least stays: the end is held
    /// back.
    raw: Vec<u8>,
    octets: u64,
    whole: Context,
    body: Option<Context>,
}

impl Lines {
    fn new(with_body: bool) -> Self {
        Self {
            raw: Vec::new(),
            octets: 0,
            whole: Context::new(&SHA256),
            body: with_body.then(|| Context::new(&SHA256)),
        }
    }

    fn header(&mut self, header: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(header);
        self.whole.update(header);
        self.octets += header.len() as u64;
    }

    /// Writes full lines, all but the last.
    fn write(&mut self, out: &mut Vec<u8>) {
        let full = self.raw.len().saturating_sub(1) / LINE_OCTETS * LINE_OCTETS;
        self.write_first(full, out);
    }

    /// Writes the lines of so many octets.
    fn write_first(&mut self, octets: usize, out: &mut Vec<u8>) {
        let at = out.len();
        let pieces = self.raw.get(..octets).unwrap_or_default();
        out.resize(at + octets.div_ceil(LINE_OCTETS) * LINE, 0);
        let mut end = at;
        for piece in pieces.chunks(LINE_OCTETS) {
            let room = out.get_mut(end..).unwrap_or_default();
            // There is room for every line: 76 characters and its end.
            let written = STANDARD.encode_slice(piece, room).unwrap_or_default();
            if let Some(room) = room.get_mut(written..written + 2) {
                room.copy_from_slice(b"\r\n");
            }
            end += written + 2;
        }
        out.truncate(end);
        self.raw.drain(..octets);
        let made = out.get(at..).unwrap_or_default();
        self.octets += made.len() as u64;
        self.whole.update(made);
        if let Some(body) = &mut self.body {
            body.update(made);
        }
    }

    /// Writes everything that is left.
    fn finish(mut self, out: &mut Vec<u8>) -> Made {
        self.write_first(self.raw.len(), out);
        Made {
            octets: self.octets,
            sha256: octets_of(&self.whole.finish()),
            body_sha256: self.body.map_or([0; 32], |body| octets_of(&body.finish())),
        }
    }
}

fn octets_of(digest: &Digest) -> [u8; 32] {
    let mut octets = [0; 32];
    octets
        .iter_mut()
        .zip(digest.as_ref())
        .for_each(|(octet, from)| *octet = *from);
    octets
}
