//! Codes to telephone numbers, by the operator's hook: a POST of JSON over HTTPS.
//!
//! The body is `{"number": "+12025550123", "text": "…"}`, with `Authorization: Bearer` where a
//! token is configured. Any 2xx is success. Of a failure nothing but its kind is told: neither the
//! number, nor the code, nor what the hook answered.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::mail::{PhoneNumber, SecretBytes};
use crate::world::fetch::{Bounds, FetchError, Fetcher, Guard, Posted};
use crate::world::url::Url;

/// How long the hook may take.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of its answer that are read, and thrown away.
const MAX_ANSWER_OCTETS: usize = 16 * 1024;
/// Octets of a text.
pub const MAX_TEXT_OCTETS: usize = 480;

/// A code could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneFailure {
    /// The text is too long for a hook.
    #[error("the text is too long")]
    Text,
    /// The hook could not be reached, or did not answer in time.
    #[error("the hook for text messages did not answer")]
    Unreachable,
    /// It answered that it would not.
    #[error("the hook for text messages refused")]
    Refused,
}

#[derive(Serialize)]
struct Message<'a> {
    number: &'a str,
    text: &'a str,
}

/// The hook.
#[derive(Debug, Clone)]
pub struct Phones {
    fetcher: Fetcher,
    url: Url,
    token: Option<SecretBytes>,
}

impl Phones {
    /// At a URL, which has to be `https`.
    pub const fn new(fetcher: Fetcher, url: Url, token: Option<SecretBytes>) -> Self {
        Self {
            fetcher,
            url,
            token,
        }
    }

    /// Sends a text to a number.
    pub async fn send(&self, number: &PhoneNumber, text: &str) -> Result<(), PhoneFailure> {
        if text.len() > MAX_TEXT_OCTETS {
            return Err(PhoneFailure::Text);
        }
        let message = Message {
            number: number.expose(),
            text,
        };
        let body = serde_json::to_vec(&message).map_err(|_| PhoneFailure::Text)?;
        let posted = Posted {
            media_type: "application/json",
            bearer: self.token.clone(),
            octets: Bytes::from(body),
        };
        let bounds = Bounds {
            octets: MAX_ANSWER_OCTETS,
            time: HOOK_TIMEOUT,
        };
        let answer = self.fetcher.post(&self.url, Guard::Server, bounds, posted);
        match answer.await {
            Ok(_) => Ok(()),
            // Taken, with nothing to read.
            Err(FetchError::Status {
                status: 200..=299, ..
            }) => Ok(()),
            Err(FetchError::Status { .. } | FetchError::TooLarge { .. }) => {
                Err(PhoneFailure::Refused)
            }
            Err(
                FetchError::Scheme(_)
                | FetchError::Dial(_)
                | FetchError::TimedOut(_)
                | FetchError::Http { .. },
            ) => Err(PhoneFailure::Unreachable),
        }
    }
}
