//! What must hold for any octets that are said to be a certificate, a bundle, something sealed or a
//! signature.

use sealpost::mail::ContentCipher;
use sealpost::proto::cms::{
    CmsError, MAX_BUNDLE, MAX_CERTIFICATE_OCTETS, RecipientKey, begin, certificates_of, decrypt,
    der, inspect, verify_detached,
};

/// Carlos of RFC 9216, to whom two of the seeds are sealed.
pub(crate) const CARLOS: &[u8] = include_bytes!("../corpus/cms/certificate-x25519");
const CARLOS_SEED: [u8; 32] = [
    0x81, 0xf9, 0xef, 0xcd, 0x87, 0xfe, 0x8b, 0x6b, 0x84, 0xbc, 0xbd, 0x0e, 0xdb, 0xf3, 0xb7, 0xbf,
    0x5f, 0x7e, 0xcb, 0xe9, 0x71, 0x55, 0xe0, 0x75, 0x47, 0x33, 0x4d, 0xd5, 0x2f, 0x49, 0x0b, 0x0a,
];
const X25519: &[u8] = &[0x2b, 0x65, 0x6e];

/// Never a panic; what is taken for a certificate can be sealed to, what is taken for sealed content
/// is that to its last octet, and a bundle stays within its bounds.
pub fn cms(octets: &[u8]) {
    certificate(octets);
    sealed(octets);
    if let Ok(found) = certificates_of(octets) {
        assert!(found.len() <= MAX_BUNDLE);
        let mut octets = found.iter().map(Vec::len);
        assert!(octets.all(|octets| octets <= MAX_CERTIFICATE_OCTETS));
    }
    if verify_detached(octets, b"").is_ok() {
        let other = verify_detached(octets, b"other");
        assert_eq!(other, Err(CmsError::BadSignature));
    }
}

fn certificate(octets: &[u8]) {
    let Ok(key) = RecipientKey::of_certificate(octets) else {
        return;
    };
    for (cipher, end) in [
        (ContentCipher::Aes256Cbc, 16),
        (ContentCipher::Aes256Gcm, 21),
    ] {
        let mut whole = begin(&key, key.reads_oaep(), cipher, 3).unwrap().envelope;
        let at = whole.len();
        whole.resize(at + end, 0);
        if cipher == ContentCipher::Aes256Gcm {
            whole[at + 3..at + 5].copy_from_slice(&[4, 16]);
        }
        let inspected = inspect(&whole).unwrap();
        assert!(inspected.is_strong() && inspected.is_for(octets));
    }
}

/// His key, as PKCS #8.
pub(crate) fn carlos_key() -> Vec<u8> {
    let key = der::octet_string(&der::octet_string(&CARLOS_SEED));
    let algorithm = der::algorithm(X25519, &[]);
    der::sequence(&[&der::small(0), &algorithm, &key])
}

fn sealed(octets: &[u8]) {
    let opened = decrypt(octets, CARLOS, &carlos_key());
    match inspect(octets) {
        Err(error) => assert_eq!(opened, Err(error)),
        Ok(_) => {
            let longer = [octets, b"\0"].concat();
            assert!(inspect(&longer).is_err());
            assert!(opened.is_ok() || opened == Err(CmsError::Undecryptable));
        }
    }
}
