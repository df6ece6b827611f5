//! Random messages, sealed and most of them signed, written to files for other programs to judge:
//! `tests/interop/smime_random.py` runs the ignored test and reads them. Here a few are opened.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use sealpost::mail::message::split;
use sealpost::mail::{Address, CertificateFact, Fingerprint, RecipientCertificate, Timestamp};
use sealpost::proto::cms::{Identity, SealStream, decrypt, der};
use sealpost::seal::{Sealer, Sealing, SigningIdentity};

#[path = "../src/seal/tests/generator.rs"]
mod generator;
#[path = "support/made_certificates.rs"]
mod made;

use generator::{AUTHOR, Rng};
use made::{Authority, Kind, Made, Subject, pem};

const NOW: Timestamp = Timestamp::from_secs(1_795_428_000);
const LATER: Timestamp = Timestamp::from_secs(1_900_000_000);
/// Kinds that OpenSSL 3.0 opens and verifies.
const KINDS: [Kind; 3] = [Kind::Rsa2048, Kind::P256, Kind::P384];

/// A message as it was, as it is sent, and to whom.
struct Sent {
    before: generator::Made,
    wire: Vec<u8>,
    to: usize,
    signed: bool,
}

struct World {
    authority: Authority,
    keys: Vec<Made>,
}

fn world() -> World {
    let authority = Authority::new("Random CA");
    let keys = KINDS.into_iter().zip(1..).map(|(kind, serial)| {
        let usage = match kind {
            Kind::Rsa2048 => made::SIGN_AND_ENCIPHER,
            _ => made::SIGN_AND_AGREE,
        };
        let subject = Subject {
            usage,
            ..Subject::new("Both ends", AUTHOR, serial)
        };
        authority.issue(kind, &subject)
    });
    let keys = keys.collect();
    World { authority, keys }
}

fn send(world: &World, rng: &mut Rng) -> Sent {
    let octets = rng.below(20_000);
    let before = generator::message(rng, octets);
    let content = before.content.as_slice();
    let signed = !rng.one_in(4);
    let by = &world.keys[rng.below(KINDS.len())];
    let identity = SigningIdentity {
        owner: AUTHOR.parse().unwrap(),
        identity: Identity::new(vec![by.certificate.clone()], &by.pkcs8).unwrap(),
        expires: if signed { LATER } else { NOW },
    };
    let author = Address::parse(AUTHOR).unwrap();
    let payload = Sealer::new(vec![identity]).payload(content, Some(&author), NOW);
    let to = rng.below(KINDS.len());
    let certificate = &world.keys[to].certificate;
    let print: [u8; 32] = digest(&SHA256, certificate).as_ref().try_into().unwrap();
    let recipient = RecipientCertificate {
        der: Bytes::copy_from_slice(certificate),
        fingerprint: Fingerprint::new(print),
        expires: LATER,
        fact: CertificateFact::Directory,
        gcm: rng.one_in(2),
        oaep: rng.one_in(2),
    };
    let Sealing { sealed, .. } = payload.unwrap().seal(content, &recipient).unwrap();
    let mut stream = SealStream::new(&sealed).unwrap();
    let mut wire = Vec::new();
    for piece in content.chunks(1 + rng.below(5000)) {
        stream.push(piece, &mut wire).unwrap();
    }
    stream.finish(&mut wire).unwrap();
    Sent {
        before,
        wire,
        to,
        signed,
    }
}

#[test]
fn what_is_written_can_be_opened() {
    let world = world();
    let mut rng = Rng(1);
    for _ in 0..20 {
        let sent = send(&world, &mut rng);
        let (_, body) = split(&sent.wire);
        let text: Vec<u8> = body
            .iter()
            .filter(|it| !it.is_ascii_whitespace())
            .copied()
            .collect();
        let key = &world.keys[sent.to];
        let der = STANDARD.decode(text).unwrap();
        let inside = decrypt(&der, &key.certificate, &key.pkcs8).unwrap();
        let (_, before) = split(&sent.before.content);
        assert!(memchr::memmem::find(&inside, before).is_some());
        assert_eq!(
            inside.starts_with(b"Content-Type: multipart/signed"),
            sent.signed
        );
    }
}

/// Run by `tests/interop/smime_random.py`.
#[test]
#[ignore = "writes files for other programs"]
fn write_random() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smime-random");
    drop(fs::remove_dir_all(&directory));
    fs::create_dir_all(&directory).unwrap();
    let world = world();
    let write = |name: String, octets: &[u8]| fs::write(directory.join(name), octets).unwrap();
    let authority = pem("CERTIFICATE", &world.authority.certificate);
    write("ca.pem".to_owned(), authority.as_bytes());
    for (at, key) in world.keys.iter().enumerate() {
        let certificate = pem("CERTIFICATE", &key.certificate);
        write(format!("key{at}.crt"), certificate.as_bytes());
        write(
            format!("key{at}.key"),
            pem("PRIVATE KEY", &key.pkcs8).as_bytes(),
        );
    }
    let mut rng = Rng(200);
    for count in 0..200 {
        let sent = send(&world, &mut rng);
        let signed = if sent.signed { "signed" } else { "plain" };
        let name = format!("{count:03}-{signed}-key{}", sent.to);
        write(format!("{name}.eml"), &sent.wire);
        write(format!("{name}.content"), &sent.before.content);
        write(
            format!("{name}.canaries"),
            sent.before.canaries.join("\n").as_bytes(),
        );
    }
}
