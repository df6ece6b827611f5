//! Passkeys of authenticators that the tests make themselves, and everything that may be wrong
//! with their answers.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::*;

const CHALLENGE: Challenge = [7; 32];
const HANDLE: [u8; 32] = [9; 32];
const ID: &[u8] = b"credential";

fn party() -> RelyingParty {
    RelyingParty {
        id: "portal.example".to_owned(),
        origin: "https://portal.example".to_owned(),
        name: "Portal".to_owned(),
    }
}

/// An authenticator with one credential.
pub enum Device {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What it says.
#[derive(Clone)]
pub struct Says {
    pub kind: &'static str,
    pub challenge: Challenge,
    pub origin: String,
    pub more: String,
    pub rp: &'static str,
    pub flags: u8,
    pub counter: u32,
}

pub fn says(kind: &'static str) -> Says {
    Says {
        kind,
        challenge: CHALLENGE,
        origin: "https://portal.example".to_owned(),
        more: String::new(),
        rp: "portal.example",
        flags: 0b101,
        counter: 0,
    }
}

impl Says {
    fn client_data(&self) -> Vec<u8> {
        format!(
            r#"{{"type":"{}","challenge":"{}","origin":"{}"{}}}"#,
            self.kind,
            URL_SAFE_NO_PAD.encode(self.challenge),
            self.origin,
            self.more
        )
        .into_bytes()
    }

    fn auth_data(&self) -> Vec<u8> {
        let hash = digest::digest(&digest::SHA256, self.rp.as_bytes());
        let mut data = hash.as_ref().to_vec();
        data.push(self.flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }
}

fn bytes(octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
    [&[0x59], &length[..], octets].concat()
}

fn attestation(auth_data: &[u8]) -> Vec<u8> {
    let text = [
        &b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData"[..],
        &bytes(auth_data),
    ];
    text.concat()
}

impl Device {
    pub fn p256() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    pub fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                let head = [0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21];
                [
                    &head[..],
                    &bytes(&point[1..33]),
                    &[0x22],
                    &bytes(&point[33..]),
                ]
                .concat()
            }
            Self::Ed25519(pair) => {
                let head = [0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21];
                [&head[..], &bytes(pair.public_key().as_ref())].concat()
            }
        }
    }

    pub fn make(&self, id: &[u8], says: &Says) -> Made {
        let mut data = says.auth_data();
        data[32] |= 0x40;
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&u16::try_from(id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(id);
        data.extend_from_slice(&self.cose());
        Made {
            client_data: says.client_data(),
            attestation: attestation(&data),
        }
    }

    pub fn sign(&self, id: &[u8], handle: &[u8], says: &Says) -> Used {
        let (client_data, auth_data) = (says.client_data(), says.auth_data());
        let hash = digest::digest(&digest::SHA256, &client_data);
        let signed = [&auth_data[..], hash.as_ref()].concat();
        let signature = match self {
            Self::P256(pair) => pair
                .sign(&SystemRandom::new(), &signed)
                .unwrap()
                .as_ref()
                .to_vec(),
            Self::Ed25519(pair) => pair.sign(&signed).as_ref().to_vec(),
        };
        Used {
            id: id.to_vec(),
            client_data,
            auth_data,
            signature,
            handle: handle.to_vec(),
        }
    }
}

fn made(device: &Device) -> Credential {
    let made = device.make(ID, &says("webauthn.create"));
    party().made(&CHALLENGE, &made).unwrap()
}

fn used(credential: &Credential, counter: u32, used: &Used) -> Result<u32, WebauthnError> {
    let kept = Kept {
        key: &credential.key,
        counter,
        handle: &HANDLE,
    };
    party().used(&CHALLENGE, kept, used)
}

#[test]
fn made_and_used() {
    for device in [Device::p256(), Device::ed25519()] {
        let credential = made(&device);
        assert_eq!((credential.id.as_slice(), credential.counter), (ID, 0));
        let get = says("webauthn.get");
        for handle in [&HANDLE[..], &[]] {
            assert_eq!(used(&credential, 0, &device.sign(ID, handle, &get)), Ok(0));
        }
        let counting = Says { counter: 6, ..get };
        assert_eq!(
            used(&credential, 5, &device.sign(ID, &HANDLE, &counting)),
            Ok(6)
        );
    }
}

/// Flags, clients and authenticators that are within the rules.
#[test]
fn what_else_is_right() {
    let device = Device::p256();
    let credential = made(&device);
    let more = r#","crossOrigin":false,"other":[1,{"x":null}]"#.to_owned();
    let get = Says {
        more,
        ..says("webauthn.get")
    };
    assert_eq!(used(&credential, 0, &device.sign(ID, &HANDLE, &get)), Ok(0));
    // Synced, with extensions.
    let mut answer = Says {
        flags: 0b0001_1101,
        ..says("webauthn.create")
    };
    assert!(party().made(&CHALLENGE, &device.make(ID, &answer)).is_ok());
    answer.flags |= 0x80;
    assert!(party().made(&CHALLENGE, &device.make(ID, &answer)).is_err());
    let mut data = answer.auth_data();
    data.extend_from_slice(b"\xa1\x6bcredProtect\x02");
    assert!(AuthData::read(&data).is_ok());
}

type Change = fn(&mut Says);

/// D27: another site's, an old one's, another kind's; nobody there.
const WRONG: [(Change, WebauthnError); 11] = [
    (
        |it| it.origin = "https://portal.example.evil.test".into(),
        WebauthnError::Origin,
    ),
    (
        |it| it.origin = "http://portal.example".into(),
        WebauthnError::Origin,
    ),
    (
        |it| it.origin = "https://portal.example:8443".into(),
        WebauthnError::Origin,
    ),
    (
        |it| it.more = r#","crossOrigin":true"#.into(),
        WebauthnError::Origin,
    ),
    (
        |it| it.more = r#","topOrigin":"https://evil.test""#.into(),
        WebauthnError::Origin,
    ),
    (|it| it.challenge = [8; 32], WebauthnError::Challenge),
    (|it| it.kind = "payment.get", WebauthnError::Type),
    (|it| it.rp = "evil.test", WebauthnError::RelyingParty),
    (|it| it.flags = 0b001, WebauthnError::User),
    (|it| it.flags = 0b100, WebauthnError::User),
    (
        |it| it.more = r#","origin":"https://portal.example""#.into(),
        WebauthnError::Form("client data"),
    ),
];

#[test]
fn what_is_wrong_is_refused() {
    let device = Device::p256();
    let credential = made(&device);
    for (change, error) in WRONG {
        let (mut create, mut get) = (says("webauthn.create"), says("webauthn.get"));
        change(&mut create);
        change(&mut get);
        assert_eq!(
            party().made(&CHALLENGE, &device.make(ID, &create)),
            Err(error)
        );
        assert_eq!(
            used(&credential, 0, &device.sign(ID, &HANDLE, &get)),
            Err(error)
        );
    }
    // An answer to the one is none to the other.
    let swapped = device.make(ID, &says("webauthn.get"));
    assert_eq!(party().made(&CHALLENGE, &swapped), Err(WebauthnError::Type));
    let swapped = device.sign(ID, &HANDLE, &says("webauthn.create"));
    assert_eq!(used(&credential, 0, &swapped), Err(WebauthnError::Type));
    let other = device.sign(ID, &[1; 32], &says("webauthn.get"));
    assert_eq!(used(&credential, 0, &other), Err(WebauthnError::Handle));
    let stranger = Device::p256().sign(ID, &HANDLE, &says("webauthn.get"));
    assert_eq!(
        used(&credential, 0, &stranger),
        Err(WebauthnError::Signature)
    );
}

#[test]
fn a_counter_never_goes_back() {
    let device = Device::ed25519();
    let credential = made(&device);
    for (kept, counter, expected) in [
        (0, 0, Ok(0)),
        (0, 1, Ok(1)),
        (5, 6, Ok(6)),
        (5, 5, Err(WebauthnError::Counter)),
        (5, 4, Err(WebauthnError::Counter)),
        (5, 0, Err(WebauthnError::Counter)),
    ] {
        let get = Says {
            counter,
            ..says("webauthn.get")
        };
        assert_eq!(
            used(&credential, kept, &device.sign(ID, &HANDLE, &get)),
            expected
        );
    }
}

#[test]
fn a_flipped_bit_is_seen() {
    for device in [Device::p256(), Device::ed25519()] {
        let credential = made(&device);
        let right = device.sign(ID, &HANDLE, &says("webauthn.get"));
        let parts: [fn(&mut Used) -> &mut Vec<u8>; 3] = [
            |it| &mut it.client_data,
            |it| &mut it.auth_data,
            |it| &mut it.signature,
        ];
        for part in parts {
            for bit in 0..part(&mut right.clone()).len() * 8 {
                let mut flipped = right.clone();
                part(&mut flipped)[bit / 8] ^= 1 << (bit % 8);
                assert!(used(&credential, 0, &flipped).is_err(), "{bit}");
            }
        }
    }
}

#[test]
fn huge_nested_and_cut() {
    let device = Device::p256();
    let right = device.make(ID, &says("webauthn.create"));
    let judged = |attestation: Vec<u8>| {
        let made = Made {
            attestation,
            ..right.clone()
        };
        party().made(&CHALLENGE, &made)
    };
    for end in 0..right.attestation.len() {
        assert!(judged(right.attestation[..end].to_vec()).is_err());
    }
    assert!(judged([&right.attestation[..], &[0]].concat()).is_err());
    for hostile in [
        vec![0x81; 10_000],
        vec![0xa1; 10_000],
        vec![0; MAX_OBJECT_OCTETS + 1],
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        [&b"\xa2\x68authData\x40"[..], b"\x68authData\x40"].concat(),
    ] {
        assert!(judged(hostile).is_err());
    }
    let long = URL_SAFE_NO_PAD.encode(vec![0; MAX_CLIENT_DATA_OCTETS + 3]);
    assert!(Made::from_fields(&long, "").is_err());
    assert!(Made::from_fields("*", "").is_err());
}

#[test]
fn other_keys_are_refused() {
    let read = |octets: &[u8]| PublicKey::read(&mut cbor::Reader::new(octets));
    let right = Device::p256().cose();
    assert!(matches!(read(&right), Ok(PublicKey::Es256 { .. })));
    // Another curve, another algorithm, a label twice, a short coordinate.
    for (at, octet) in [(4, 0x27), (6, 2), (1, 3), (5, 0x21)] {
        let mut wrong = right.clone();
        wrong[at] = octet;
        assert!(read(&wrong).is_err(), "{at}");
    }
    let rsa = |bits: usize| {
        let n = bytes(&vec![0xff; bits / 8]);
        [
            &[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20][..],
            &n,
            &[0x21, 0x43, 1, 0, 1],
        ]
        .concat()
    };
    assert!(matches!(read(&rsa(2048)), Ok(PublicKey::Rs256 { .. })));
    assert!(read(&rsa(1024)).is_err() && read(&rsa(8192)).is_err());
}

/// A signature that openssl made with an RSA key of 2048 bits.
#[test]
fn rsa_verifies() {
    let fields = include_str!("rsa.txt").lines();
    let fields: Vec<Vec<u8>> = fields
        .map(|it| URL_SAFE_NO_PAD.decode(it).unwrap())
        .collect();
    let [n, signature] = fields.as_slice() else {
        panic!("two lines");
    };
    let key = PublicKey::Rs256 {
        n: n.clone(),
        e: vec![1, 0, 1],
    };
    assert_eq!(key.verify(b"what was signed", signature), Ok(()));
    assert_eq!(
        key.verify(b"what was signee", signature),
        Err(WebauthnError::Signature)
    );
}

#[test]
fn what_the_page_is_handed() {
    let address = "jo@b.example".parse().unwrap();
    let creation = party().creation(&CHALLENGE, &HANDLE, &address, &[ID.to_vec()]);
    assert_eq!(creation["rp"]["id"], "portal.example");
    assert_eq!(
        creation["authenticatorSelection"]["residentKey"],
        "required"
    );
    assert_eq!(
        creation["excludeCredentials"][0]["id"],
        URL_SAFE_NO_PAD.encode(ID)
    );
    let request = party().request(&CHALLENGE);
    assert_eq!(request["userVerification"], "required");
    // D24: no list says who has an account.
    assert_eq!(request["allowCredentials"], json!([]));
    assert_eq!(request["challenge"], URL_SAFE_NO_PAD.encode(CHALLENGE));
}

#[test]
fn fuzz_inputs_hold() {
    let device = Device::p256();
    let made = device.make(ID, &says("webauthn.create"));
    let inputs = [
        [&[0][..], &made.attestation].concat(),
        [&[1][..], &says("webauthn.get").auth_data()].concat(),
        [&[2][..], &fuzz_sample(false)].concat(),
    ];
    assert!(
        party()
            .made(
                &CHALLENGE,
                &Made {
                    client_data: fuzz_sample(true),
                    ..made
                }
            )
            .is_ok()
    );
    for input in inputs {
        for end in 0..=input.len() {
            check_fuzz_input(&input[..end]);
        }
    }
}
