//! Every shape of sealed and signed message, opened and verified here; and, for other programs to
//! judge, written to files: `tests/interop/smime_matrix.py` runs the ignored test and reads them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sealpost::mail::{ContentCipher, Fingerprint, Sealed, Timestamp, sealed};
use sealpost::proto::cms::{
    CmsError, Identity, RecipientKey, SealStream, begin, decrypt, der, inspect, measure,
    sign_detached, verify_detached,
};

#[path = "support/made_certificates.rs"]
mod made;

use made::{Authority, Kind, Made, Subject};

const NOW: Timestamp = Timestamp::from_secs(1_795_428_000);
const BOUNDARY: &str = "=-shapes-1";

/// One shape: a name, who it is for, how it is sealed, and what is inside.
struct Shape {
    name: String,
    to: Made,
    authority: Vec<u8>,
    oaep: bool,
    cipher: ContentCipher,
    plain: Vec<u8>,
}

/// A signer with the authority that vouches for it.
struct Signer {
    name: &'static str,
    made: Made,
    authority: Vec<u8>,
}

/// Of `tests/data/rfc9216`.
fn sample(name: &str) -> Made {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rfc9216");
    let key = PrivatePkcs8KeyDer::from_pem_file(directory.join(format!("{name}.key"))).unwrap();
    Made {
        certificate: sample_certificate(name),
        pkcs8: key.secret_pkcs8_der().to_vec(),
    }
}

fn sample_certificate(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rfc9216");
    CertificateDer::from_pem_file(directory.join(format!("{name}.crt")))
        .unwrap()
        .to_vec()
}

/// A MIME entity of about so many octets.
fn entity(octets: usize) -> Vec<u8> {
    let mut text = b"Content-Type: text/plain; charset=utf-8\r\n\r\n".to_vec();
    let mut line = 0_u64;
    while text.len() < octets {
        line += 1;
        text.extend_from_slice(format!("Line {line}: gr\u{fc}\u{df}e = .\r\n").as_bytes());
    }
    text
}

fn shapes() -> Vec<Shape> {
    use ContentCipher::{Aes256Cbc, Aes256Gcm};
    let authority = Authority::new("Shapes CA");
    let mut shapes = Vec::new();
    let kinds = [
        ("rsa2048-v15", Kind::Rsa2048, false),
        ("rsa3072-v15", Kind::Rsa3072, false),
        ("rsa2048-oaep", Kind::Rsa2048, true),
        ("rsa3072-oaep", Kind::Rsa3072, true),
        ("p256", Kind::P256, false),
        ("p384", Kind::P384, false),
        ("x25519", Kind::X25519, false),
    ];
    for (serial, (name, kind, oaep)) in (1..).zip(kinds) {
        let mut subject = Subject::new("Pat Recipient", "pat@home.example", serial);
        if !matches!(kind, Kind::Rsa2048 | Kind::Rsa3072) {
            subject.usage = made::SIGN_AND_AGREE;
        }
        let to = authority.issue(kind, &subject);
        for cipher in [Aes256Cbc, Aes256Gcm] {
            let shape = Shape {
                name: format!("{name}-{}", &cipher.as_str()[8..]),
                to: to.clone(),
                authority: authority.certificate.clone(),
                oaep,
                cipher,
                plain: entity(3000),
            };
            shapes.push(shape.renamed("", entity(3000)));
            if matches!(name, "rsa2048-v15" | "p256") {
                shapes.push(shape.renamed("-block", entity(100)[..64].to_vec()));
                shapes.push(shape.renamed("-1mib", entity(1 << 20)));
            }
        }
    }
    for (name, ca, oaep) in [
        ("bob.encrypt", "ca.rsa", false),
        ("bob.encrypt", "ca.rsa", true),
        ("carlos.encrypt", "ca.ed25519", false),
    ] {
        for cipher in [Aes256Cbc, Aes256Gcm] {
            let padding = if oaep { "-oaep" } else { "" };
            let shape = Shape {
                name: format!("rfc9216-{name}{padding}-{}", &cipher.as_str()[8..]),
                to: sample(name),
                authority: sample_certificate(ca),
                oaep,
                cipher,
                plain: entity(3000),
            };
            shapes.push(shape.renamed("", entity(3000)));
            shapes.push(shape.renamed("-empty", Vec::new()));
        }
    }
    shapes
}

impl Shape {
    fn renamed(&self, suffix: &str, plain: Vec<u8>) -> Self {
        Self {
            name: format!("{}{suffix}", self.name),
            to: self.to.clone(),
            authority: self.authority.clone(),
            oaep: self.oaep,
            cipher: self.cipher,
            plain,
        }
    }

    /// The whole message: header, and what is sealed in base64.
    fn message(&self) -> Vec<u8> {
        let kind = match self.cipher {
            ContentCipher::Aes256Cbc => "enveloped-data",
            ContentCipher::Aes256Gcm => "authEnveloped-data",
        };
        let header = format!(
            "From: <jo@clinic.example>\r\nTo: <pat@home.example>\r\nSubject: [...]\r\n\
             MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type={kind}; \
             name=\"smime.p7m\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        );
        let to = RecipientKey::of_certificate(&self.to.certificate).unwrap();
        let octets = self.plain.len() as u64;
        let beginning = begin(&to, self.oaep, self.cipher, octets).unwrap();
        let shape = sealed::Shape {
            header: header.into_bytes(),
            head: Vec::new(),
            skip: 0,
            tail: Vec::new(),
            signer: None,
        };
        let mut sealed = Sealed {
            shape: Arc::new(shape),
            envelope: beginning.envelope,
            cipher: self.cipher,
            key: beginning.key,
            iv: beginning.iv,
            octets: 0,
            sha256: [0; 32],
            certificate: Fingerprint::new([0; 32]),
            expires: NOW,
        };
        measure(&mut sealed, &self.plain).unwrap();
        let mut out = Vec::new();
        let mut stream = SealStream::new(&sealed).unwrap();
        stream.push(&self.plain, &mut out).unwrap();
        stream.finish(&mut out).unwrap();
        out
    }
}

fn signers() -> Vec<Signer> {
    let authority = Authority::new("Shapes CA");
    let mut signers: Vec<Signer> = [
        ("signed-rsa2048", Kind::Rsa2048),
        ("signed-rsa3072", Kind::Rsa3072),
        ("signed-p256", Kind::P256),
        ("signed-p384", Kind::P384),
        ("signed-ed25519", Kind::Ed25519),
    ]
    .into_iter()
    .zip(1..)
    .map(|((name, kind), serial)| Signer {
        name,
        made: authority.issue(
            kind,
            &Subject::new("Jo Signer", "jo@clinic.example", serial),
        ),
        authority: authority.certificate.clone(),
    })
    .collect();
    for (name, of, ca) in [
        ("signed-rfc9216-alice", "alice.sign", "ca.rsa"),
        ("signed-rfc9216-carlos", "carlos.sign", "ca.ed25519"),
    ] {
        signers.push(Signer {
            name,
            made: sample(of),
            authority: sample_certificate(ca),
        });
    }
    signers
}

impl Signer {
    /// The signature's DER, with the digest's name.
    fn sign(&self, content: &[u8]) -> (Vec<u8>, &'static str) {
        let chain = vec![self.made.certificate.clone(), self.authority.clone()];
        let identity = Identity::new(chain, &self.made.pkcs8).unwrap();
        let mut digest = identity.digest();
        for piece in content.chunks(1000) {
            digest.update(piece);
        }
        let signed = sign_detached(&identity, digest, NOW).unwrap();
        (signed, identity.micalg())
    }

    fn message(&self, content: &[u8]) -> Vec<u8> {
        let (signature, micalg) = self.sign(content);
        let text = STANDARD.encode(&signature);
        let lines: Vec<&str> = (0..text.len())
            .step_by(76)
            .map(|at| &text[at..text.len().min(at + 76)])
            .collect();
        let head = format!(
            "From: <jo@clinic.example>\r\nTo: <pat@home.example>\r\nSubject: signed\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/signed; micalg={micalg};\r\n \
             protocol=\"application/pkcs7-signature\"; boundary=\"{BOUNDARY}\"\r\n\r\n\
             --{BOUNDARY}\r\n"
        );
        let tail = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--{BOUNDARY}--\r\n",
            lines.join("\r\n")
        );
        [head.as_bytes(), content, tail.as_bytes()].concat()
    }
}

/// The DER in a sealed message.
fn der_of(message: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(message).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    STANDARD.decode(body.replace("\r\n", "")).unwrap()
}

#[test]
fn every_shape_is_opened_by_its_recipient() {
    for shape in shapes() {
        let der = der_of(&shape.message());
        let Made { certificate, pkcs8 } = &shape.to;
        let plain = decrypt(&der, certificate, pkcs8).unwrap();
        assert!(plain == shape.plain, "{}", shape.name);
        let inspected = inspect(&der).unwrap();
        assert!(inspected.is_strong(), "{}", shape.name);
        assert!(inspected.is_for(certificate), "{}", shape.name);
    }
}

#[test]
fn every_signature_holds_and_for_nothing_else() {
    let content = entity(3000);
    for signer in signers() {
        let (signed, _) = signer.sign(&content);
        let by = verify_detached(&signed, &content).unwrap();
        assert!(by == signer.made.certificate, "{}", signer.name);
        let refused = verify_detached(&signed, &content[1..]);
        assert_eq!(refused, Err(CmsError::BadSignature), "{}", signer.name);
    }
}

#[test]
fn a_key_of_another_certificate_makes_no_identity() {
    let alice = sample("alice.sign");
    let bob = sample("bob.encrypt");
    let carlos = sample("carlos.sign");
    for (certificate, key) in [(&alice, &bob), (&alice, &carlos), (&carlos, &alice)] {
        let identity = Identity::new(vec![certificate.certificate.clone()], &key.pkcs8);
        assert_eq!(identity.map(drop), Err(CmsError::OtherKey));
    }
    // Bob's certificate is for encryption alone.
    let identity = Identity::new(vec![bob.certificate], &bob.pkcs8);
    assert_eq!(identity.map(drop), Err(CmsError::KeyUsage));
}

/// For other programs: a directory for each shape.
#[test]
#[ignore = "writes files for tests/interop/smime_matrix.py"]
fn write_shapes() {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("smime-shapes");
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    let write = |name: &str, made: &Made, authority: &[u8], message: &[u8], plain: &[u8]| {
        let directory = root.join(name);
        fs::create_dir_all(&directory).unwrap();
        let put = |file: &str, octets: &[u8]| fs::write(directory.join(file), octets).unwrap();
        let certificate = made::pem("CERTIFICATE", &made.certificate);
        put("certificate.pem", certificate.as_bytes());
        put("key.pem", made::pem("PRIVATE KEY", &made.pkcs8).as_bytes());
        put("ca.pem", made::pem("CERTIFICATE", authority).as_bytes());
        put("message.eml", message);
        put("plain", plain);
    };
    for shape in shapes() {
        let message = shape.message();
        write(
            &shape.name,
            &shape.to,
            &shape.authority,
            &message,
            &shape.plain,
        );
    }
    let content = entity(3000);
    for signer in signers() {
        let message = signer.message(&content);
        write(
            signer.name,
            &signer.made,
            &signer.authority,
            &message,
            &content,
        );
    }
    println!("{}", root.display());
}
