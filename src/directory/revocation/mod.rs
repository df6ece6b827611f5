//! Whether a certificate was revoked: OCSP (RFC 6960), else the list of its issuer (RFC 5280 §5).
//!
//! Owns asking, verifying what is answered, and keeping it for as long as it says. Never decides
//! what follows from an unknown status: that is the operator's setting.

mod asn1;
mod cache;
mod certificate;
mod crl;
mod fuzz;
mod ocsp;
mod signature;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

pub use fuzz::check_fuzz_input;

use self::cache::{Answer, Cache, Key};
use self::certificate::Certificate;
use self::crl::CheckedList;
use crate::mail::Timestamp;
use crate::world::BoxFuture;
use crate::world::fetch::{Bounds, Fetcher, Guard, Posted};
use crate::world::url::Url;

/// How long finding out may take for a whole chain.
const MAX_TIME: Duration = Duration::from_secs(10);
/// How long one responder, or the server of one list, may take.
const MAX_TIME_EACH: Duration = Duration::from_secs(4);
/// Most certificates of a chain.
const MAX_CHAIN: usize = 8;
/// Most lists that are fetched and checked at a time, since each may be large.
const MAX_LISTS_AT_A_TIME: usize = 2;
/// How far another's clock may be from ours.
const SKEW: Duration = Duration::from_secs(300);

/// What is known of the revocation of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationStatus {
    /// No certificate of it was revoked, as far as its issuers say anything of it at all.
    Good,
    /// One was.
    Revoked,
    /// It could not be found out, for this reason.
    Unknown(String),
}

/// Whether the key of `issuer` signed `certificate`, DER both, and it names it as its issuer. A
/// signature with SHA-1, or of RSA below 2048 bits, counts as none.
pub(super) fn is_signed_by(certificate: &[u8], issuer: &[u8]) -> bool {
    let (Ok(certificate), Ok(issuer)) =
        (Certificate::parse(certificate), Certificate::parse(issuer))
    else {
        return false;
    };
    certificate.issuer == issuer.subject && certificate.signed.verify(issuer.key).is_ok()
}

/// Something that can say whether a chain was revoked.
pub trait CheckRevocation: Send + Sync + Debug {
    /// The status of `chain` at `now`. The chain is DER: the leaf first, behind each certificate
    /// its issuer, at the end the anchor, which is not asked about. Its signatures have been
    /// checked by the caller. A certificate that names neither a responder nor a list counts as
    /// good. Bounded in time.
    fn status<'a>(&'a self, chain: &'a [Bytes], now: Timestamp) -> BoxFuture<'a, RevocationStatus>;
}

/// The real one: asks over the network.
#[derive(Debug)]
pub struct Revocation {
    fetcher: Fetcher,
    cache: Cache,
    lists: Semaphore,
}

impl Revocation {
    /// Asks by `fetcher`; whether it may connect to private addresses is the fetcher's setting.
    pub fn new(fetcher: Fetcher) -> Self {
        Self {
            fetcher,
            cache: Cache::default(),
            lists: Semaphore::new(MAX_LISTS_AT_A_TIME),
        }
    }

    async fn chain(&self, chain: &[Bytes], now: Timestamp) -> RevocationStatus {
        if chain.is_empty() || chain.len() > MAX_CHAIN {
            return RevocationStatus::Unknown("the chain is empty or too long".to_owned());
        }
        let mut status = RevocationStatus::Good;
        for (der, issuer) in chain.iter().zip(chain.iter().skip(1)) {
            match self.certificate(der, issuer, now).await {
                RevocationStatus::Good => {}
                RevocationStatus::Revoked => return RevocationStatus::Revoked,
                // Another one of the chain may still be revoked for certain.
                RevocationStatus::Unknown(why) => status = RevocationStatus::Unknown(why),
            }
        }
        status
    }

    async fn certificate(&self, der: &[u8], issuer: &Bytes, now: Timestamp) -> RevocationStatus {
        let parsed = Certificate::parse(der).and_then(|it| Ok((it, Certificate::parse(issuer)?)));
        let (certificate, of) = match parsed {
            Ok(both) => both,
            Err(error) => return RevocationStatus::Unknown(error.to_string()),
        };
        if certificate.issuer != of.subject {
            let why = "the chain is not one: an issuer's name is another";
            return RevocationStatus::Unknown(why.to_owned());
        }
        if !certificate.names_responder && !certificate.names_list {
            return RevocationStatus::Good;
        }
        let mut why = "the certificate names no place that can be asked".to_owned();
        for url in &certificate.responders {
            match self.ask_responder(url, &certificate, &of, now).await {
                Answer::Revoked(true) => return RevocationStatus::Revoked,
                Answer::Revoked(false) => return RevocationStatus::Good,
                Answer::Nothing(reason) => why = reason,
                Answer::List(_) => {}
            }
        }
        for url in &certificate.lists {
            match self.fetch_list(url, issuer, &of, now).await {
                Answer::List(list) => match list.has(&certificate) {
                    Ok(true) => return RevocationStatus::Revoked,
                    Ok(false) => return RevocationStatus::Good,
                    Err(error) => why = format!("{url}: {error}"),
                },
                Answer::Nothing(reason) => why = reason,
                Answer::Revoked(_) => {}
            }
        }
        RevocationStatus::Unknown(why)
    }

    async fn ask_responder(
        &self,
        url: &Url,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        now: Timestamp,
    ) -> Answer {
        let key = key(url, issuer, certificate.serial);
        let asking = async {
            let answered = async {
                let request = ocsp::request(certificate, issuer).map_err(|it| it.to_string())?;
                let bounds = Bounds {
                    octets: ocsp::MAX_ANSWER_OCTETS,
                    time: MAX_TIME_EACH,
                };
                let posted = Posted {
                    media_type: "application/ocsp-request",
                    bearer: None,
                    octets: request.into(),
                };
                let answer = self.fetcher.post(url, Guard::Signed, bounds, posted).await;
                let answer = answer.map_err(|error| error.to_string())?;
                let verdict = ocsp::verdict(&answer, certificate, issuer, now);
                verdict.map_err(|error| format!("{url}: {error}"))
            };
            match answered.await {
                Ok(verdict) => (Answer::Revoked(verdict.revoked), verdict.until),
                Err(why) => (Answer::Nothing(why), now),
            }
        };
        self.cache.answer(key, now, asking).await
    }

    async fn fetch_list(
        &self,
        url: &Url,
        issuer: &Bytes,
        of: &Certificate<'_>,
        now: Timestamp,
    ) -> Answer {
        let asking = async {
            match self.list(url, issuer, now).await {
                Ok(list) => {
                    let until = list.until;
                    (Answer::List(Arc::new(list)), until)
                }
                Err(why) => (Answer::Nothing(why), now),
            }
        };
        self.cache.answer(key(url, of, &[]), now, asking).await
    }

    async fn list(&self, url: &Url, issuer: &Bytes, now: Timestamp) -> Result<CheckedList, String> {
        let _turn = self.lists.acquire().await;
        let bounds = Bounds {
            octets: crl::MAX_LIST_OCTETS,
            time: MAX_TIME_EACH,
        };
        let octets = self.fetcher.get(url, Guard::Signed, bounds).await;
        let octets = octets.map_err(|error| error.to_string())?;
        let (issuer, from) = (issuer.clone(), url.clone());
        // The digest over a large list takes a while: not on the runtime's threads.
        let checking = tokio::task::spawn_blocking(move || {
            let issuer = Certificate::parse(&issuer)?;
            CheckedList::check(&octets, &issuer, &from, now)
        });
        match checking.await {
            Ok(Ok(list)) => Ok(list),
            Ok(Err(error)) => Err(format!("{url}: {error}")),
            Err(_) => Err(format!("{url}: it could not be checked")),
        }
    }
}

fn key(url: &Url, issuer: &Certificate<'_>, serial: &[u8]) -> Key {
    // Two elements of DER: where one ends is plain.
    let named = [issuer.subject, issuer.key].concat();
    let digest = ring::digest::digest(&ring::digest::SHA256, &named);
    let mut print = [0; 32];
    print
        .iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    Key {
        url: url.to_string(),
        issuer: print,
        serial: serial.to_vec(),
    }
}

impl CheckRevocation for Revocation {
    fn status<'a>(&'a self, chain: &'a [Bytes], now: Timestamp) -> BoxFuture<'a, RevocationStatus> {
        Box::pin(async move {
            match tokio::time::timeout(MAX_TIME, self.chain(chain, now)).await {
                Ok(status) => status,
                Err(_) => RevocationStatus::Unknown("it took too long to find out".to_owned()),
            }
        })
    }
}
