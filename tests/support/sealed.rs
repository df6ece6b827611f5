//! Recipients with certificates of their own, what is sealed to them, and how they open it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpost::mail::{ContentCipher, Fingerprint, Sealed, Timestamp};
use sealpost::proto::cms::{Beginning, RecipientKey, begin, decrypt, measure};

use super::made_certificates::{Authority, Kind, Made, SIGN_AND_AGREE, Subject};

const HEADER: &[u8] = b"From: <a@clinic.example>\r\nSubject: [...]\r\nMIME-Version: 1.0\r\n\
    Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\
    Content-Transfer-Encoding: base64\r\n\r\n";
const TAIL: &[u8] = b"--tail--\r\n";

/// Somebody with a certificate.
#[derive(Clone)]
pub struct Owner {
    made: Made,
}

impl Owner {
    pub fn new(address: &str) -> Self {
        let mut subject = Subject::new("Pat", address, 7);
        subject.usage = SIGN_AND_AGREE;
        Self {
            made: Authority::new("Test CA").issue(Kind::P256, &subject),
        }
    }

    pub fn certificate(&self) -> &[u8] {
        &self.made.certificate
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.made.certificate);
        Fingerprint::new(digest.as_ref().try_into().unwrap())
    }

    /// A recipe for `content` as it stands.
    pub fn recipe(&self, cipher: ContentCipher, content: &[u8]) -> Arc<Sealed> {
        let key = RecipientKey::of_certificate(&self.made.certificate).unwrap();
        let octets = (content.len() + TAIL.len()) as u64;
        let Beginning { envelope, key, iv } = begin(&key, false, cipher, octets).unwrap();
        let mut sealed = Sealed {
            header: HEADER.to_vec(),
            envelope,
            cipher,
            key,
            iv,
            head: Vec::new(),
            skip: 0,
            tail: TAIL.to_vec(),
            octets: 0,
            sha256: [0; 32],
            certificate: self.fingerprint(),
            expires: Timestamp::from_secs(2_000_000_000),
            signer: None,
        };
        measure(&mut sealed, content).unwrap();
        Arc::new(sealed)
    }

    /// What is inside a sealed message. `None` if it is for somebody else.
    pub fn open(&self, message: &[u8]) -> Option<Vec<u8>> {
        let end = message.windows(4).position(|four| four == b"\r\n\r\n")?;
        let lines: Vec<u8> = message[end + 4..]
            .iter()
            .copied()
            .filter(|octet| !b"\r\n".contains(octet))
            .collect();
        let der = STANDARD.decode(lines).ok()?;
        decrypt(&der, &self.made.certificate, &self.made.pkcs8).ok()
    }
}

/// What [`Owner::recipe`] puts inside for `content`.
pub fn inside(content: &[u8]) -> Vec<u8> {
    [content, TAIL].concat()
}
