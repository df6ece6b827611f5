//! What must hold for any octets that a browser posts.

use std::hint::black_box;

use super::authdata::AuthData;
use super::{Kept, Made, PublicKey, RelyingParty, Used, WebauthnError};

/// The challenge of the samples.
const CHALLENGE: [u8; 32] = [7; 32];

fn party() -> RelyingParty {
    RelyingParty {
        id: "portal.example".to_owned(),
        origin: "https://portal.example".to_owned(),
        name: "Portal".to_owned(),
    }
}

/// The client data that [`check_fuzz_input`] accepts, for samples to begin with.
pub fn fuzz_sample(made: bool) -> Vec<u8> {
    let kind = if made {
        "webauthn.create"
    } else {
        "webauthn.get"
    };
    let challenge = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"https://portal.example"}}"#)
        .into_bytes()
}

/// The first octet says what the rest is: an attestation object, authenticator data, or client
/// data. Nothing panics, and nothing that was not signed is taken for a used passkey.
pub fn check_fuzz_input(octets: &[u8]) {
    let Some((&first, rest)) = octets.split_first() else {
        return;
    };
    let party = party();
    match first % 3 {
        0 => {
            let made = Made {
                client_data: fuzz_sample(true),
                attestation: rest.to_vec(),
            };
            if let Ok(credential) = party.made(&CHALLENGE, &made) {
                assert!(!credential.id.is_empty() && credential.id.len() <= super::MAX_ID_OCTETS);
                // The key is whoever's octets these are: what it verifies is their own affair.
                black_box(used_by(&party, &credential.key, fuzz_sample(false), rest).is_ok());
            }
        }
        1 => {
            black_box(AuthData::read(rest).is_ok());
            let key = PublicKey::EdDsa([9; 32]);
            assert!(used_by(&party, &key, fuzz_sample(false), rest).is_err());
        }
        _ => {
            let key = PublicKey::EdDsa([9; 32]);
            assert!(used_by(&party, &key, rest.to_vec(), &[0; 37]).is_err());
        }
    }
}

fn used_by(
    party: &RelyingParty,
    key: &PublicKey,
    client_data: Vec<u8>,
    auth_data: &[u8],
) -> Result<u32, WebauthnError> {
    let kept = Kept {
        key,
        counter: 0,
        handle: &[],
    };
    let used = Used {
        id: vec![1],
        client_data,
        auth_data: auth_data.to_vec(),
        signature: vec![0; 64],
        handle: Vec::new(),
    };
    party.used(&CHALLENGE, kept, &used)
}
