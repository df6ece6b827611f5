//! Recipients with certificates of their own, what is sealed to them, and how they open it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpost::flow::KnowsCertificates;
use sealpost::flow::certificates::Answer;
use sealpost::mail::{
    Address, CertificateFact, CertificateProblem, ContentCipher, Fingerprint, FoundCertificate,
    RecipientCertificate, Sealed, Shape, Timestamp,
};
use sealpost::proto::cms::{Beginning, RecipientKey, begin, decrypt, measure};
use tokio::sync::{RwLock, RwLockWriteGuard};

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
        // Authorities of one name do not make two certificates of one number.
        static NUMBER: AtomicU8 = AtomicU8::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut subject = Subject::new("Pat", address, number);
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

    /// The certificate, trusted as far as this.
    pub fn trusted(&self, fact: CertificateFact) -> RecipientCertificate {
        RecipientCertificate {
            der: self.made.certificate.clone().into(),
            fingerprint: self.fingerprint(),
            expires: Timestamp::from_secs(2_000_000_000),
            fact,
            gcm: false,
            oaep: false,
        }
    }

    /// A recipe for `content` as it stands.
    pub fn recipe(&self, cipher: ContentCipher, content: &[u8]) -> Arc<Sealed> {
        let key = RecipientKey::of_certificate(&self.made.certificate).unwrap();
        let octets = (content.len() + TAIL.len()) as u64;
        let Beginning { envelope, key, iv } = begin(&key, false, cipher, octets).unwrap();
        let shape = Shape {
            header: HEADER.to_vec(),
            head: Vec::new(),
            skip: 0,
            tail: TAIL.to_vec(),
            signer: None,
        };
        let mut sealed = Sealed {
            shape: Arc::new(shape),
            envelope,
            cipher,
            key,
            iv,
            octets: 0,
            sha256: [0; 32],
            certificate: self.fingerprint(),
            expires: Timestamp::from_secs(2_000_000_000),
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

/// Certificates as a test wants them known.
#[derive(Debug, Default)]
pub struct FakeCertificates {
    known: Mutex<Known>,
    /// Whoever has it keeps those waiting who ask whether a certificate still stands.
    answers: RwLock<()>,
    /// How many have asked that.
    checks: AtomicUsize,
}

#[derive(Debug, Default)]
struct Known {
    /// At hand, by address.
    local: HashMap<String, RecipientCertificate>,
    /// To be found by whoever is asked.
    elsewhere: HashMap<String, FoundCertificate>,
    /// What is wrong with them by now.
    fallen: HashMap<Fingerprint, CertificateProblem>,
    /// Whom a look-up was for.
    asked: Vec<String>,
}

impl FakeCertificates {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// The operator has this one for the address.
    pub fn import(&self, address: &str, certificate: RecipientCertificate) {
        self.known().local.insert(address.to_owned(), certificate);
    }

    /// Nobody has one at hand for the address any more.
    pub fn remove(&self, address: &str) {
        self.known().local.remove(address);
    }

    /// A directory elsewhere has this one.
    pub fn publish(&self, address: &str, certificate: RecipientCertificate) {
        let found = FoundCertificate {
            certificate: Some(certificate),
            problem: None,
        };
        self.known().elsewhere.insert(address.to_owned(), found);
    }

    /// A look-up comes to this problem.
    pub fn fail(&self, address: &str, problem: CertificateProblem) {
        let found = FoundCertificate {
            certificate: None,
            problem: Some(problem),
        };
        self.known().elsewhere.insert(address.to_owned(), found);
    }

    /// From now on there is something wrong with it.
    pub fn fell(&self, certificate: Fingerprint, problem: CertificateProblem) {
        self.known().fallen.insert(certificate, problem);
    }

    /// Nobody hears whether a certificate still stands while this lasts.
    pub async fn hang(&self) -> RwLockWriteGuard<'_, ()> {
        self.answers.write().await
    }

    /// How many have asked whether one still stands.
    pub fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }

    pub fn asked(&self) -> Vec<String> {
        self.known().asked.clone()
    }
}

impl Known {
    fn at_hand(&self, address: &Address, now: Timestamp) -> FoundCertificate {
        let Some(certificate) = self.local.get(&address.to_string()) else {
            return FoundCertificate::default();
        };
        let expired = now >= certificate.expires;
        FoundCertificate {
            certificate: (!expired).then(|| certificate.clone()),
            problem: expired.then_some(CertificateProblem::Expired),
        }
    }

    fn looked_up(&self, address: &Address, now: Timestamp) -> FoundCertificate {
        let mut found = self.at_hand(address, now);
        if found.certificate.is_none()
            && let Some(elsewhere) = self.elsewhere.get(&address.to_string())
        {
            found = elsewhere.clone();
        }
        let problem = found
            .certificate
            .as_ref()
            .and_then(|certificate| self.fallen.get(&certificate.fingerprint));
        match problem {
            Some(problem) => FoundCertificate {
                certificate: None,
                problem: Some(*problem),
            },
            None => found,
        }
    }
}

impl KnowsCertificates for FakeCertificates {
    fn known(&self, address: &Address, now: Timestamp) -> FoundCertificate {
        self.known().at_hand(address, now)
    }

    fn look_up<'a>(&'a self, address: &'a Address, now: Timestamp) -> Answer<'a, FoundCertificate> {
        Box::pin(async move {
            let mut known = self.known();
            known.asked.push(address.to_string());
            known.looked_up(address, now)
        })
    }

    fn unanswered(&self, _: &Fingerprint, _: Timestamp) -> Result<(), CertificateProblem> {
        Err(CertificateProblem::RevocationUnknown)
    }

    fn stands<'a>(
        &'a self,
        address: &'a Address,
        certificate: &'a Fingerprint,
        now: Timestamp,
    ) -> Answer<'a, Result<(), CertificateProblem>> {
        Box::pin(async move {
            self.checks.fetch_add(1, Ordering::SeqCst);
            drop(self.answers.read().await);
            let found = self.known().looked_up(address, now);
            match found.certificate {
                Some(found) if found.fingerprint == *certificate => Ok(()),
                Some(_) => Err(CertificateProblem::NotApproved),
                None => Err(found.problem.unwrap_or(CertificateProblem::OtherAddress)),
            }
        })
    }
}
