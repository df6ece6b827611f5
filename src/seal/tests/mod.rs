//! What is sealed is opened again by `proto::cms::decrypt` and taken apart by a receiver of the
//! tests' own ([`reader`]); `mail-parser` is the second reader. Judges that share no line of code
//! with us are in the interoperability tests.

mod generator;
mod random;
mod reader;
mod sample;
mod sealed_already;
mod shape;

use std::sync::LazyLock;

use bytes::Bytes;
use ring::digest::{SHA256, digest};

use super::*;
use crate::mail::{CertificateFact, Fingerprint, RecipientCertificate};
use crate::proto::cms::made::{Authority, Kind, Made, Subject};
use crate::proto::cms::{self, made};
use generator::AUTHOR;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: Timestamp = Timestamp::from_secs(1_900_000_000);
const RECIPIENTS: [Kind; 5] = [
    Kind::Rsa2048,
    Kind::P256,
    Kind::P384,
    Kind::X25519,
    Kind::Rsa3072,
];
const SIGNERS: [Kind; 4] = [Kind::Rsa2048, Kind::P256, Kind::P384, Kind::Ed25519];

/// Keys of every kind, made once for all tests.
struct World {
    authority: Authority,
    recipients: Vec<Made>,
    signers: Vec<Made>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let authority = Authority::new("Sample CA");
    let subject = |name, mail, serial, usage| Subject {
        usage,
        ..Subject::new(name, mail, serial)
    };
    let recipients = RECIPIENTS.into_iter().zip(1..).map(|(kind, serial)| {
        let usage = match kind {
            Kind::Rsa2048 | Kind::Rsa3072 => made::SIGN_AND_ENCIPHER,
            _ => made::SIGN_AND_AGREE,
        };
        authority.issue(kind, &subject("Kim", "kim@smime.example", serial, usage))
    });
    let recipients = recipients.collect();
    let signers = SIGNERS.into_iter().zip(100..).map(|(kind, serial)| {
        authority.issue(
            kind,
            &subject("Jo", AUTHOR, serial, made::SIGN_AND_ENCIPHER),
        )
    });
    let signers = signers.collect();
    World {
        authority,
        recipients,
        signers,
    }
});

/// The certificate as the directory would hand it out.
fn recipient(made: &Made, gcm: bool, oaep: bool) -> RecipientCertificate {
    let print = digest(&SHA256, &made.certificate);
    RecipientCertificate {
        der: Bytes::copy_from_slice(&made.certificate),
        fingerprint: Fingerprint::new(print.as_ref().try_into().unwrap()),
        expires: LATER,
        fact: CertificateFact::Directory,
        gcm,
        oaep,
    }
}

fn identity(made: &Made, owner: &str, expires: Timestamp) -> SigningIdentity {
    let chain = vec![
        made.certificate.clone(),
        WORLD.authority.certificate.clone(),
    ];
    SigningIdentity {
        owner: owner.parse().unwrap(),
        identity: cms::Identity::new(chain, &made.pkcs8).unwrap(),
        expires,
    }
}

/// Signs for the author with this key.
fn sealer(signer: &Made) -> Sealer {
    Sealer::new(vec![identity(signer, AUTHOR, LATER)])
}

fn author() -> Address {
    Address::parse(AUTHOR).unwrap()
}
