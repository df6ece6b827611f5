//! Passkeys: what a browser answers when one is made or used (W3C Web Authentication Level 2).
//!
//! Owns the verification, as pure functions over what the browser posted. A passkey is bound to our
//! origin by the browser, so that a look-alike of the portal gets nothing from it. Asked for are
//! discoverable credentials, so that no list of credentials says who has an account, and user
//! verification, so that a found telephone opens nothing. Attestation is not asked for, and ignored
//! where it comes: whose product it is does not matter here.
//!
//! ECDSA on P-256 (ES256), Ed25519 (EdDSA) and RSA with PKCS#1 v1.5 (RS256), all verified by ring.
//! Bounds: [`MAX_CLIENT_DATA_OCTETS`], [`MAX_OBJECT_OCTETS`], [`MAX_ID_OCTETS`], and those of
//! [`cbor`].

mod authdata;
mod cbor;
mod fuzz;
mod key;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::Deserialize;
use serde_json::{Value, json};

use self::authdata::AuthData;
use super::sessions::Challenge;
use crate::mail::Address;

pub use fuzz::{check_fuzz_input, fuzz_sample};
pub use key::PublicKey;

/// Octets of the JSON that the browser made.
pub const MAX_CLIENT_DATA_OCTETS: usize = 4096;
/// Octets of what the authenticator made.
pub const MAX_OBJECT_OCTETS: usize = 16 * 1024;
/// Octets of a credential's id (§4, "Credential ID").
pub const MAX_ID_OCTETS: usize = 1023;
/// Octets of a signature: RSA with 4096 bits, and room.
pub const MAX_SIGNATURE_OCTETS: usize = 1024;
/// Octets of a user handle, ours.
pub const HANDLE_OCTETS: usize = 32;
/// How long the browser lets somebody take, in milliseconds.
const TIMEOUT_MILLIS: u32 = 300_000;

/// Why an answer does not count. For logs and tests; people are told that it did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebauthnError {
    /// Not the form that is expected, or over a bound.
    #[error("the answer is not in the expected form: {0}")]
    Form(&'static str),
    /// Made for something else.
    #[error("the answer is of another type")]
    Type,
    /// Not the challenge that was given.
    #[error("the challenge is another one")]
    Challenge,
    /// Made on another site.
    #[error("the origin is another one")]
    Origin,
    /// Made for another site.
    #[error("the relying party is another one")]
    RelyingParty,
    /// Nobody touched the authenticator, or it did not verify who.
    #[error("user presence or user verification is missing")]
    User,
    /// A kind of key that was not asked for.
    #[error("the kind of key is not supported")]
    Algorithm,
    /// Signed by somebody else, or something else.
    #[error("the signature is wrong")]
    Signature,
    /// Somebody has a copy of the authenticator, or this is an old answer.
    #[error("the signature counter went back")]
    Counter,
    /// The credential is another account's.
    #[error("the user handle is another one")]
    Handle,
}

/// Who asks: the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    /// The host of the portal's URL.
    pub id: String,
    /// The origin: scheme, host, and port where it is not 443.
    pub origin: String,
    /// What people call it.
    pub name: String,
}

/// What the browser posted when a passkey was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// `response.clientDataJSON`.
    pub client_data: Vec<u8>,
    /// `response.attestationObject`.
    pub attestation: Vec<u8>,
}

impl Made {
    /// From the fields of a form, each base64url without padding.
    pub fn from_fields(client_data: &str, attestation: &str) -> Result<Self, WebauthnError> {
        Ok(Self {
            client_data: decoded(client_data, MAX_CLIENT_DATA_OCTETS)?,
            attestation: decoded(attestation, MAX_OBJECT_OCTETS)?,
        })
    }
}

/// What the browser posted when a passkey was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// `rawId`.
    pub id: Vec<u8>,
    /// `response.clientDataJSON`.
    pub client_data: Vec<u8>,
    /// `response.authenticatorData`.
    pub auth_data: Vec<u8>,
    /// `response.signature`.
    pub signature: Vec<u8>,
    /// `response.userHandle`; empty where there is none.
    pub handle: Vec<u8>,
}

impl Used {
    /// From the fields of a form, each base64url without padding.
    pub fn from_fields(
        id: &str,
        client_data: &str,
        auth_data: &str,
        signature: &str,
        handle: &str,
    ) -> Result<Self, WebauthnError> {
        Ok(Self {
            id: decoded(id, MAX_ID_OCTETS)?,
            client_data: decoded(client_data, MAX_CLIENT_DATA_OCTETS)?,
            auth_data: decoded(auth_data, MAX_OBJECT_OCTETS)?,
            signature: decoded(signature, MAX_SIGNATURE_OCTETS)?,
            handle: decoded(handle, 64)?,
        })
    }
}

/// A passkey that was made and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: Vec<u8>,
    /// Its public key.
    pub key: PublicKey,
    /// How often it had signed.
    pub counter: u32,
}

/// A passkey as it was kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Its public key.
    pub key: &'a PublicKey,
    /// How often it had signed.
    pub counter: u32,
    /// The handle of its account.
    pub handle: &'a [u8],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<serde::de::IgnoredAny>,
}

fn decoded(text: &str, bound: usize) -> Result<Vec<u8>, WebauthnError> {
    if text.len() > bound.div_ceil(3) * 4 {
        return Err(WebauthnError::Form("too long"));
    }
    let octets = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    let octets = octets.map_err(|_| WebauthnError::Form("not base64url"))?;
    match octets.len() <= bound {
        true => Ok(octets),
        false => Err(WebauthnError::Form("too long")),
    }
}

impl RelyingParty {
    /// What the page hands to `navigator.credentials.create()`; octets are base64url there.
    pub fn creation(
        &self,
        challenge: &Challenge,
        handle: &[u8; HANDLE_OCTETS],
        address: &Address,
        kept: &[Vec<u8>],
    ) -> Value {
        let encoded = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let exclude: Vec<Value> = kept
            .iter()
            .map(|id| json!({"type": "public-key", "id": encoded(id)}))
            .collect();
        let algorithms = [-7, -8, -257].map(|alg| json!({"type": "public-key", "alg": alg}));
        json!({
            "challenge": encoded(challenge),
            "rp": {"id": self.id, "name": self.name},
            "user": {
                "id": encoded(handle),
                "name": address.to_string(),
                "displayName": address.to_string(),
            },
            "pubKeyCredParams": algorithms,
            "timeout": TIMEOUT_MILLIS,
            "excludeCredentials": exclude,
            "authenticatorSelection": {
                "residentKey": "required",
                "requireResidentKey": true,
                "userVerification": "required",
            },
            "attestation": "none",
        })
    }

    /// What the page hands to `navigator.credentials.get()`; octets are base64url there. Names no
    /// credential: the authenticator knows its own.
    pub fn request(&self, challenge: &Challenge) -> Value {
        json!({
            "challenge": URL_SAFE_NO_PAD.encode(challenge),
            "rpId": self.id,
            "timeout": TIMEOUT_MILLIS,
            "userVerification": "required",
            "allowCredentials": [],
        })
    }

    /// Verifies what was posted when a passkey was made (§7.1).
    pub fn made(&self, challenge: &Challenge, made: &Made) -> Result<Credential, WebauthnError> {
        self.client_data(&made.client_data, "webauthn.create", challenge)?;
        if made.attestation.len() > MAX_OBJECT_OCTETS {
            return Err(WebauthnError::Form("too long"));
        }
        let auth_data = authdata::of_attestation(&made.attestation)?;
        let read = AuthData::read(auth_data)?;
        self.authenticator(&read)?;
        let attested = read.attested.ok_or(WebauthnError::Form("no credential"))?;
        Ok(Credential {
            id: attested.id.to_vec(),
            key: attested.key,
            counter: read.counter,
        })
    }

    /// Verifies what was posted when a passkey was used (§7.2); its counter from now on.
    pub fn used(
        &self,
        challenge: &Challenge,
        kept: Kept<'_>,
        used: &Used,
    ) -> Result<u32, WebauthnError> {
        self.client_data(&used.client_data, "webauthn.get", challenge)?;
        if !used.handle.is_empty() && used.handle != kept.handle {
            return Err(WebauthnError::Handle);
        }
        let read = AuthData::read(&used.auth_data)?;
        self.authenticator(&read)?;
        let mut signed = used.auth_data.clone();
        let hash = digest::digest(&digest::SHA256, &used.client_data);
        signed.extend_from_slice(hash.as_ref());
        kept.key.verify(&signed, &used.signature)?;
        // Zero on both sides: an authenticator that does not count.
        let counts = kept.counter != 0 || read.counter != 0;
        if counts && read.counter <= kept.counter {
            return Err(WebauthnError::Counter);
        }
        Ok(read.counter)
    }

    fn client_data(
        &self,
        octets: &[u8],
        kind: &str,
        challenge: &Challenge,
    ) -> Result<(), WebauthnError> {
        if octets.len() > MAX_CLIENT_DATA_OCTETS {
            return Err(WebauthnError::Form("too long"));
        }
        let data: ClientData =
            serde_json::from_slice(octets).map_err(|_| WebauthnError::Form("client data"))?;
        if data.kind != kind {
            return Err(WebauthnError::Type);
        }
        let answered = URL_SAFE_NO_PAD.decode(data.challenge.as_bytes());
        if answered.ok().as_deref() != Some(challenge.as_slice()) {
            return Err(WebauthnError::Challenge);
        }
        let framed = data.cross_origin || data.top_origin.is_some();
        if data.origin != self.origin || framed {
            return Err(WebauthnError::Origin);
        }
        Ok(())
    }

    fn authenticator(&self, read: &AuthData<'_>) -> Result<(), WebauthnError> {
        let own = digest::digest(&digest::SHA256, self.id.as_bytes());
        if own.as_ref() != read.rp_id_hash {
            return Err(WebauthnError::RelyingParty);
        }
        match read.user_present && read.user_verified {
            true => Ok(()),
            false => Err(WebauthnError::User),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
