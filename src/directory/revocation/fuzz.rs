//! What must hold of reading any octets as what others say of revocation.

use super::asn1::{Der, tag};
use super::certificate::Certificate;
use super::crl::CheckedList;
use super::ocsp;
use crate::mail::Timestamp;
use crate::world::url::Url;

/// 22 November 2026.
const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);

/// The entry point of the fuzz target `revocation`. One sequence: a certificate, its issuer, and
/// what is said of it, each read as everything that it could be. Never a panic, no answer to nobody's
/// question, none out of its time.
///
/// # Panics
///
/// Where that does not hold.
pub fn check_fuzz_input(octets: &[u8]) {
    // Anything as anything.
    drop(Certificate::parse(octets));
    let Ok(mut parts) = Der::new(octets).enter(tag::SEQUENCE, "") else {
        return;
    };
    let mut next = || parts.any().map(|part| part.whole).unwrap_or_default();
    let (certificate, issuer, said) = (next(), next(), next());
    let parsed =
        Certificate::parse(certificate).and_then(|it| Ok((it, Certificate::parse(issuer)?)));
    let Ok((certificate, issuer)) = parsed else {
        return;
    };
    if let Ok(request) = ocsp::request(&certificate, &issuer) {
        let as_answer = ocsp::verdict(&request, &certificate, &issuer, NOW);
        assert!(as_answer.is_err(), "a request is no answer");
    }
    if let Ok(verdict) = ocsp::verdict(said, &certificate, &issuer, NOW) {
        assert!(verdict.until + super::SKEW >= NOW, "not valid any more");
    }
    let from = certificate.lists.first().cloned();
    let from = from.or_else(|| Url::parse("http://crl.b.example/").ok());
    if let Some(from) = from
        && let Ok(list) = CheckedList::check(said, &issuer, &from, NOW)
    {
        assert!(list.len() <= said.len(), "more than came");
        let _readable = list.has(&certificate).is_ok();
    }
}
