//! S/MIME in the small world: people of `smime.test` who have certificates, and the identity that
//! signs for the sender's domain.
//!
//! Certificates are new at every start, as the authority is; keys are kept. The recipients' own
//! keys lie beside them, so that what was sealed to them can be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::ca::Ca;
use super::home::{HomeError, write};
use super::world::SENDER_DOMAIN;
use crate::mail::message::split;
use crate::proto::cms;
use crate::sign::{self, Algorithm};

/// People of `smime.test`: each has these addresses in one certificate.
pub const PEOPLE: [&str; 3] = [
    "friend@smime.test",
    "patient@smime.test",
    "partner@smime.test",
];
/// Who signs: the address that the demo sends from is among them.
const SENDERS: [&str; 3] = ["you@dev.test", "billing@dev.test", "office@dev.test"];

/// Folder of the recipients' certificates: `smime.directory` of the configuration.
pub const FOLDER: &str = "certs";
/// Folder of the recipients' keys and of the sender's identity.
const KEYS: &str = "smime";

/// Makes keys where there are none, and certificates.
pub(super) fn furnish(directory: &Path, ca: &Ca) -> Result<(), HomeError> {
    for person in PEOPLE {
        let key = key(&key_file(directory, person))?;
        let certificate = ca.mail(&[person], &key)?;
        write(
            &certificate_file(directory, person),
            certificate.pem.as_bytes(),
        )?;
    }
    let key = key(&key_file(directory, SENDER_DOMAIN))?;
    let certificate = ca.mail(&SENDERS, &key)?;
    let path = directory.join(KEYS).join(format!("{SENDER_DOMAIN}.pem"));
    write(&path, certificate.pem.as_bytes())
}

/// What the configuration says of it.
pub(super) fn section() -> String {
    format!(
        r#"[smime]
directory = "{FOLDER}"
anchors = ["ca.pem"]

[[smime.identity]]
for = "{SENDER_DOMAIN}"
certificate = "{KEYS}/{SENDER_DOMAIN}.pem"
key = "{KEYS}/{SENDER_DOMAIN}.key"
"#
    )
}

/// Opens a message that was sealed to one of [`PEOPLE`], as that person would: the MIME entity
/// inside. `None` where it is not sealed, or not to that person.
pub fn open(directory: &Path, person: &str, mail: &[u8]) -> Option<Vec<u8>> {
    let (_, body) = split(mail);
    let text: Vec<u8> = body
        .iter()
        .copied()
        .filter(|octet| !octet.is_ascii_whitespace())
        .collect();
    let der = STANDARD.decode(text).ok()?;
    let certificate = CertificateDer::from_pem_file(certificate_file(directory, person)).ok()?;
    let key = PrivatePkcs8KeyDer::from_pem_file(key_file(directory, person)).ok()?;
    cms::decrypt(&der, &certificate, key.secret_pkcs8_der()).ok()
}

/// A person's certificate.
fn certificate_file(directory: &Path, person: &str) -> PathBuf {
    directory.join(FOLDER).join(format!("{person}.pem"))
}

/// A person's key.
fn key_file(directory: &Path, person: &str) -> PathBuf {
    directory.join(KEYS).join(format!("{person}.key"))
}

/// The key of an earlier run, or a new one: RSA, as most people's are.
fn key(path: &Path) -> Result<KeyPair, HomeError> {
    let pem = if path.exists() {
        let pem = fs::read_to_string(path).map_err(|_| HomeError::Stale(path.to_owned()))?;
        Zeroizing::new(pem)
    } else {
        let pem = sign::keygen(Algorithm::Rsa).map_err(HomeError::Key)?;
        write(path, pem.as_bytes())?;
        pem
    };
    KeyPair::from_pem(&pem).map_err(|_| HomeError::Stale(path.to_owned()))
}
