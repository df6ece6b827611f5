//! OCSP responders, good and otherwise.

use std::time::Duration;

use bytes::Bytes;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use sealpost::directory::revocation::RevocationStatus::{Good, Revoked, Unknown};
use sealpost::mail::Timestamp;

use crate::der::{children, content, extension, int, octets, oid, seq, time, tlv};
use crate::http::{Reply, ok, with_status};
use crate::pki::{Authority, ECDSA_SHA1, Names, Pki, add_responder, signed, tbs_field};

const SERIAL: u64 = 0x1234;
const GOOD: &[u8] = &[0x80, 0];
const UNKNOWN: &[u8] = &[0x82, 0];
const HOUR: Duration = Duration::from_secs(3600);

fn sha1(octets: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref().to_vec()
}

/// An answer, field by field.
struct Response {
    status: Vec<u8>,
    serial: Vec<u8>,
    issuer_name: Vec<u8>,
    issuer_key: Vec<u8>,
    responder: Vec<u8>,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
    extensions: Vec<u8>,
    certificates: Vec<u8>,
}

impl Response {
    fn new(issuer: &Authority, now: Timestamp) -> Self {
        Self {
            status: GOOD.to_vec(),
            serial: SERIAL.to_be_bytes()[6..].to_vec(),
            issuer_name: issuer.subject(),
            issuer_key: issuer.public_key(),
            responder: tlv(0xa1, &[&issuer.subject()]),
            this_update: now,
            next_update: Some(now + HOUR),
            extensions: Vec::new(),
            certificates: Vec::new(),
        }
    }

    fn status(mut self, status: &[u8]) -> Self {
        self.status = status.to_vec();
        self
    }

    fn revoked(self, at: Timestamp) -> Self {
        self.status(&tlv(0xa1, &[&time(at)]))
    }

    fn single(&self) -> Vec<u8> {
        let sha1_id = seq(&[&oid(&[0x2b, 0x0e, 3, 2, 0x1a]), &[5, 0]]);
        let id = seq(&[
            &sha1_id,
            &octets(&sha1(&self.issuer_name)),
            &octets(&sha1(&self.issuer_key)),
            &int(&self.serial),
        ]);
        let next = self.next_update.map(|at| tlv(0xa0, &[&time(at)]));
        seq(&[
            &id,
            &self.status,
            &time(self.this_update),
            &next.unwrap_or_default(),
        ])
    }

    /// What is signed.
    fn data(&self, singles: &[&[u8]]) -> Vec<u8> {
        let extensions = match self.extensions.is_empty() {
            true => Vec::new(),
            false => tlv(0xa1, &[&seq(&[&self.extensions])]),
        };
        seq(&[
            &self.responder,
            &time(self.this_update),
            &seq(singles),
            &extensions,
        ])
    }

    fn sign(&self, key: &KeyPair) -> Vec<u8> {
        self.wrap(&signed(&self.data(&[&self.single()]), key, SHA256))
    }

    fn wrap(&self, signed: &[u8]) -> Vec<u8> {
        let certificates = match self.certificates.is_empty() {
            true => Vec::new(),
            false => tlv(0xa0, &[&seq(&[&self.certificates])]),
        };
        let basic = seq(&[signed, &certificates]);
        let kind = oid(&[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]);
        let octets = seq(&[&kind, &octets(&basic)]);
        seq(&[&[0x0a, 1, 0], &tlv(0xa0, &[&octets])])
    }
}

/// ecdsa-with-SHA256.
const SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

fn pki() -> (Pki, Bytes) {
    let pki = Pki::new();
    let certificate = pki.root.issue(SERIAL, Names::Responder);
    (pki, certificate)
}

fn answer(pki: &Pki) -> Response {
    Response::new(&pki.root, pki.now())
}

/// A certificate of the root's to sign answers with.
fn delegate(
    authority: &Authority,
    change: impl FnOnce(&mut CertificateParams),
) -> (Bytes, KeyPair) {
    authority.issue_with(99, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        change(params);
    })
}

#[tokio::test(start_paused = true)]
async fn good_and_revoked_are_told_apart() {
    let (mut pki, certificate) = pki();
    pki.responds(ok(&answer(&pki).sign(&pki.root.key)));
    assert_eq!(pki.status(&certificate).await, Good);
    let heard = pki.web.heard();
    assert!(
        heard[0]
            .head
            .to_ascii_lowercase()
            .contains("content-type: application/ocsp-request")
    );
    // OCSPRequest, TBSRequest, requestList, Request, CertID.
    let mut id: &[u8] = &heard[0].body;
    for _ in 0..4 {
        id = children(id)[0];
    }
    let id: Vec<&[u8]> = children(id).into_iter().map(content).collect();
    assert_eq!(id[1], sha1(&pki.root.subject()));
    assert_eq!(id[2], sha1(&pki.root.public_key()));
    assert_eq!(id[3], [0x12, 0x34]);

    pki.forget();
    let revoked = answer(&pki).revoked(pki.now() - HOUR);
    pki.responds(ok(&revoked.sign(&pki.root.key)));
    assert_eq!(pki.status(&certificate).await, Revoked);
    // By the digest of the key.
    pki.forget();
    let mut by_key = answer(&pki).revoked(pki.now());
    by_key.responder = tlv(0xa2, &[&octets(&sha1(&pki.root.public_key()))]);
    pki.responds(ok(&by_key.sign(&pki.root.key)));
    assert_eq!(pki.status(&certificate).await, Revoked);
}

#[tokio::test(start_paused = true)]
async fn revoked_wins_among_answers_about_the_same() {
    let (pki, certificate) = pki();
    let good = answer(&pki);
    let revoked = answer(&pki).revoked(pki.now());
    let data = good.data(&[&good.single(), &revoked.single()]);
    pki.responds(ok(&good.wrap(&signed(&data, &pki.root.key, SHA256))));
    assert_eq!(pki.status(&certificate).await, Revoked);
}

#[tokio::test(start_paused = true)]
async fn answers_are_believed_while_they_hold_and_asked_for_once() {
    let (pki, certificate) = pki();
    pki.responds(ok(&answer(&pki).sign(&pki.root.key)));
    for _ in 0..3 {
        assert_eq!(pki.status(&certificate).await, Good);
    }
    assert_eq!(pki.asked(), 1);
    pki.world.sleep(HOUR - Duration::from_secs(1)).await;
    assert_eq!(pki.status(&certificate).await, Good);
    assert_eq!(pki.asked(), 1);
    pki.world.sleep(Duration::from_secs(1)).await;
    pki.responds(ok(&answer(&pki).revoked(pki.now()).sign(&pki.root.key)));
    assert_eq!(pki.status(&certificate).await, Revoked);
    assert_eq!(pki.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn failures_are_asked_again_a_minute_later() {
    let (pki, certificate) = pki();
    pki.responds(with_status("500 Oops", "", b""));
    for _ in 0..3 {
        let why = pki.unknown(&certificate).await;
        assert_eq!(why, "ocsp.b.example answered with status 500");
    }
    assert_eq!(pki.asked(), 1);
    pki.responds(ok(&answer(&pki).sign(&pki.root.key)));
    pki.world.sleep(Duration::from_secs(60)).await;
    assert_eq!(pki.status(&certificate).await, Good);
}

#[tokio::test(start_paused = true)]
async fn one_question_is_asked_for_many_who_ask_at_once() {
    let (pki, certificate) = pki();
    pki.responds(ok(&answer(&pki).sign(&pki.root.key)));
    let (one, two, three) = tokio::join!(
        pki.status(&certificate),
        pki.status(&certificate),
        pki.status(&certificate)
    );
    assert_eq!([one, two, three], [Good, Good, Good]);
    assert_eq!(pki.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_of_the_responder_leave_it_unknown() {
    let (mut pki, certificate) = pki();
    for (code, said) in [
        (1, "malformed request"),
        (2, "internal error"),
        (3, "try later"),
        (5, "a signature is required"),
        (6, "unauthorized"),
        (9, "a status that is not known"),
    ] {
        pki.forget();
        pki.responds(ok(&seq(&[&[0x0a, 1, code]])));
        let why = pki.unknown(&certificate).await;
        assert_eq!(
            why,
            format!("http://ocsp.b.example/: the responder says: {said}")
        );
    }
    pki.forget();
    pki.responds(ok(&answer(&pki).status(UNKNOWN).sign(&pki.root.key)));
    let why = pki.unknown(&certificate).await;
    assert!(
        why.ends_with("the responder does not know the certificate"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn answers_out_of_their_time_are_not_believed() {
    let (mut pki, certificate) = pki();
    let now = pki.now();
    let minute = Duration::from_secs(60);
    for (this, next, believed) in [
        (now - 48 * HOUR, Some(now - HOUR), false),
        (now - HOUR, Some(now - 6 * minute), false),
        (now - HOUR, Some(now - 4 * minute), true),
        (now + 6 * minute, Some(now + HOUR), false),
        (now + 4 * minute, Some(now + HOUR), true),
        (now - 16 * minute, None, false),
        (now - 10 * minute, None, true),
    ] {
        pki.forget();
        let mut response = answer(&pki);
        (response.this_update, response.next_update) = (this, next);
        pki.responds(ok(&response.sign(&pki.root.key)));
        match (pki.status(&certificate).await, believed) {
            (Good, true) => {}
            (Unknown(why), false) => assert!(why.ends_with("it is not valid now"), "{why}"),
            other => panic!("{this} {next:?}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn forged_answers_are_not_believed() {
    let (mut pki, certificate) = pki();
    let stranger = Authority::new("Root of B");
    let good = answer(&pki);
    let mut about_another = answer(&pki);
    about_another.serial = vec![0x12, 0x35];
    let mut of_another = answer(&pki);
    of_another.issuer_key = stranger.public_key();
    let mut critical = answer(&pki);
    critical.extensions = extension(&[0x2a, 3], true, &[5, 0]);
    let mut tampered = good.sign(&pki.root.key);
    let at = tampered
        .windows(2)
        .rposition(|it| it == [0x12, 0x34])
        .unwrap();
    tampered[at - 20] ^= 1;
    let data = good.data(&[&good.single()]);
    let mut behind = good.sign(&pki.root.key);
    behind.push(0);
    for (name, octets, said) in [
        (
            "wrong key",
            good.sign(&stranger.key),
            "its signature is wrong",
        ),
        ("tampered", tampered, "its signature is wrong"),
        (
            "SHA-1",
            good.wrap(&signed(&data, &pki.root.key, ECDSA_SHA1)),
            "it is signed with an algorithm that is not accepted",
        ),
        (
            "another certificate",
            about_another.sign(&pki.root.key),
            "it is about other certificates",
        ),
        (
            "another issuer",
            of_another.sign(&pki.root.key),
            "it is about other certificates",
        ),
        (
            "critical",
            critical.sign(&pki.root.key),
            "it has a critical extension that is unknown",
        ),
        ("behind", behind, "something stands behind an answer"),
        ("empty", Vec::new(), "an element is cut short"),
        ("text", b"<html>".to_vec(), "an element is cut short"),
    ] {
        pki.forget();
        pki.responds(ok(&octets));
        let why = pki.unknown(&certificate).await;
        assert!(why.ends_with(said), "{name}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_delegate_of_the_issuer_may_sign_for_it() {
    let (mut pki, certificate) = pki();
    let stranger = Authority::new("Root of B");
    let day = time::Duration::days(1);
    let begin = time::OffsetDateTime::from_unix_timestamp(1_795_305_600).unwrap();
    let cases = [
        ("delegate", delegate(&pki.root, |_| {}), true),
        (
            "without the purpose",
            delegate(&pki.root, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
            }),
            false,
        ),
        (
            "any purpose",
            delegate(&pki.root, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
            }),
            false,
        ),
        (
            "not for signing",
            delegate(&pki.root, |params| {
                params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
            }),
            false,
        ),
        ("of a stranger", delegate(&stranger, |_| {}), false),
        (
            "expired",
            delegate(&pki.root, |params| params.not_after = begin - day),
            false,
        ),
        (
            "of tomorrow",
            delegate(&pki.root, |params| params.not_before = begin + day),
            false,
        ),
    ];
    for (name, (der, key), may) in cases {
        pki.forget();
        let mut response = answer(&pki);
        response.responder = tlv(0xa1, &[tbs_field(&der, 5)]);
        response.certificates = der.to_vec();
        pki.responds(ok(&response.sign(&key)));
        match (pki.status(&certificate).await, may) {
            (Good, true) => {}
            (Unknown(why), false) => assert!(why.ends_with("nobody signed it who may"), "{why}"),
            other => panic!("{name}: {other:?}"),
        }
        // Another key than the delegate's.
        pki.forget();
        pki.responds(ok(&response.sign(&stranger.key)));
        assert!(
            matches!(pki.status(&certificate).await, Unknown(_)),
            "{name}"
        );
    }
    // A delegate that the answer does not name.
    pki.forget();
    let (der, key) = delegate(&pki.root, |_| {});
    let mut response = answer(&pki);
    response.certificates = der.to_vec();
    pki.responds(ok(&response.sign(&key)));
    assert!(matches!(pki.status(&certificate).await, Unknown(_)));
}

#[tokio::test(start_paused = true)]
async fn every_certificate_below_the_anchor_is_asked_about() {
    use sealpost::directory::revocation::CheckRevocation as _;
    let (pki, _) = pki();
    let below = pki.root.authority("Below", SERIAL, Names::Responder);
    let leaf = below.issue(7, Names::Nothing);
    let chain = [leaf, below.der.clone(), pki.root.der.clone()];
    pki.responds(ok(&answer(&pki).revoked(pki.now()).sign(&pki.root.key)));
    assert_eq!(pki.revocation.status(&chain, pki.now()).await, Revoked);
    // In the wrong order it is no chain.
    let chain = [below.der.clone(), below.der.clone()];
    let status = pki.revocation.status(&chain, pki.now()).await;
    assert!(matches!(status, Unknown(_)), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_responder_that_cannot_be_asked_leaves_it_unknown_in_time() {
    let (mut pki, certificate) = pki();
    pki.responds(Reply::Hang);
    let before = pki.now();
    assert_eq!(
        pki.unknown(&certificate).await,
        "ocsp.b.example did not answer in time"
    );
    assert_eq!(pki.now().since(before).as_secs(), 4);
    pki.forget();
    pki.responds(ok(&vec![0x30; 64 * 1024 + 1]));
    let why = pki.unknown(&certificate).await;
    assert_eq!(
        why,
        "the answer of ocsp.b.example is longer than 65536 octets"
    );
    // Names that lead nowhere that we go.
    for url in [
        "ldap://ocsp.b.example/",
        "http://jo@ocsp.b.example/",
        "nonsense",
    ] {
        let named = pki
            .root
            .issue_with(8, |params| add_responder(params, url))
            .0;
        let why = pki.unknown(&named).await;
        assert_eq!(why, "the certificate names no place that can be asked");
    }
    let private = pki
        .root
        .issue_with(8, |params| add_responder(params, "http://127.0.0.1/"));
    let why = pki.unknown(&private.0).await;
    assert_eq!(why, "127.0.0.1 is at an address that is not public");
    // A chain that takes long altogether.
    let slow = Pki::new();
    slow.responds(Reply::Hang);
    let a = slow.root.authority("A", 1, Names::Responder);
    let b = a.authority("B", 2, Names::Responder);
    let c = b.authority("C", 3, Names::Responder);
    let chain = [c.der, b.der, a.der, slow.root.der.clone()];
    use sealpost::directory::revocation::CheckRevocation as _;
    let before = slow.now();
    let status = slow.revocation.status(&chain, before).await;
    assert_eq!(status, Unknown("it took too long to find out".to_owned()));
    assert_eq!(slow.now().since(before).as_secs(), 10);
}
