//! Revocation lists, good and otherwise.

use std::time::Duration;

use bytes::Bytes;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    KeyIdMethod, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
};
use sealpost::directory::revocation::RevocationStatus::{Good, Revoked, Unknown};
use sealpost::mail::Timestamp;
use time::OffsetDateTime;

use crate::der::{extension, int, seq, time as moment, tlv};
use crate::http::{ok, with_status};
use crate::pki::{Authority, ECDSA_SHA1, LIST, Names, Pki, algorithm, ecdsa_sha256, signed};

const HOUR: Duration = Duration::from_secs(3600);

/// A list as a library writes it.
fn list(
    authority: &Authority,
    now: Timestamp,
    serials: &[u64],
    point: Option<CrlIssuingDistributionPoint>,
) -> Vec<u8> {
    let now = i64::try_from(now.as_secs()).unwrap();
    let now = OffsetDateTime::from_unix_timestamp(now).unwrap();
    let revoked = |&serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: now,
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: Some(now),
    };
    let params = CertificateRevocationListParams {
        this_update: now,
        next_update: now + time::Duration::hours(1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: point,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params
        .signed_by(&authority.issuer())
        .unwrap()
        .der()
        .to_vec()
}

/// A list, field by field.
struct Fields {
    issuer: Vec<u8>,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
    entries: Vec<u8>,
    extensions: Vec<u8>,
}

impl Fields {
    fn new(authority: &Authority, now: Timestamp) -> Self {
        Self {
            issuer: authority.subject(),
            this_update: now,
            next_update: Some(now + HOUR),
            entries: Vec::new(),
            extensions: Vec::new(),
        }
    }

    fn entry(mut self, serial: &[u8], extensions: &[u8]) -> Self {
        let extensions = match extensions.is_empty() {
            true => Vec::new(),
            false => seq(&[extensions]),
        };
        let entry = seq(&[&int(serial), &moment(self.this_update), &extensions]);
        self.entries.extend(entry);
        self
    }

    fn extension(mut self, id: &[u8], critical: bool, value: &[u8]) -> Self {
        self.extensions.extend(extension(id, critical, value));
        self
    }

    /// An issuing distribution point.
    fn point(self, fields: &[u8]) -> Self {
        self.extension(&[0x55, 0x1d, 0x1c], true, &seq(&[fields]))
    }

    fn message(&self, algorithm: &[u8]) -> Vec<u8> {
        let next = self.next_update.map(moment).unwrap_or_default();
        let entries = match self.entries.is_empty() {
            true => Vec::new(),
            false => seq(&[&self.entries]),
        };
        let extensions = match self.extensions.is_empty() {
            true => Vec::new(),
            false => tlv(0xa0, &[&seq(&[&self.extensions])]),
        };
        seq(&[
            &int(&[1]),
            algorithm,
            &self.issuer,
            &moment(self.this_update),
            &next,
            &entries,
            &extensions,
        ])
    }

    fn sign(&self, authority: &Authority) -> Vec<u8> {
        seq(&[&authority.signed(&self.message(&ecdsa_sha256()))])
    }
}

fn pki() -> (Pki, Bytes) {
    let pki = Pki::new();
    let certificate = pki.root.issue(0x1234, Names::List);
    (pki, certificate)
}

#[tokio::test(start_paused = true)]
async fn a_library_s_lists_are_read() {
    let (mut pki, certificate) = pki();
    let now = pki.now();
    pki.lists(ok(&list(
        &pki.root,
        now,
        &[1, 0x12, 0x3412, 0x123_456],
        None,
    )));
    assert_eq!(pki.status(&certificate).await, Good);
    pki.forget();
    pki.lists(ok(&list(&pki.root, now, &[], None)));
    assert_eq!(pki.status(&certificate).await, Good);
    pki.forget();
    pki.lists(ok(&list(&pki.root, now, &[1, 0x1234, 2], None)));
    assert_eq!(pki.status(&certificate).await, Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_list_for_users_at_its_own_place_is_good_for_users() {
    let (mut pki, certificate) = pki();
    let point = |url: &str, scope| {
        Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec![url.to_owned()],
            },
            scope,
        })
    };
    let elsewhere = "http://crl.b.example/other.crl";
    for (point, believed) in [
        (point(LIST, None), true),
        (point(LIST, Some(CrlScope::UserCertsOnly)), true),
        (point(LIST, Some(CrlScope::CaCertsOnly)), false),
        (point(elsewhere, None), false),
    ] {
        pki.forget();
        pki.lists(ok(&list(&pki.root, pki.now(), &[0x1234], point)));
        let status = pki.status(&certificate).await;
        assert_eq!(status == Revoked, believed, "{status:?}");
        assert_eq!(matches!(status, Unknown(_)), !believed, "{status:?}");
    }
    // And one for users says nothing of an authority.
    use sealpost::directory::revocation::CheckRevocation as _;
    pki.forget();
    let users = point(LIST, Some(CrlScope::UserCertsOnly));
    pki.lists(ok(&list(&pki.root, pki.now(), &[], users)));
    let below = pki.root.authority("Below", 5, Names::List);
    let chain = [below.der, pki.root.der.clone()];
    let status = pki.revocation.status(&chain, pki.now()).await;
    assert!(matches!(status, Unknown(_)), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_is_fetched_once_for_all_its_certificates() {
    let (pki, first) = pki();
    let second = pki.root.issue(0x1235, Names::List);
    pki.lists(ok(&list(&pki.root, pki.now(), &[0x1235], None)));
    let (one, two) = tokio::join!(pki.status(&first), pki.status(&second));
    assert_eq!([one, two], [Good, Revoked]);
    assert_eq!(pki.status(&first).await, Good);
    assert_eq!(pki.asked(), 1);
    pki.world.sleep(HOUR).await;
    pki.lists(ok(&list(&pki.root, pki.now(), &[0x1234], None)));
    assert_eq!(pki.status(&first).await, Revoked);
    assert_eq!(pki.asked(), 2);
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[tokio::test(start_paused = true)]
async fn lists_that_are_not_what_they_should_be_say_nothing() {
    let (mut pki, certificate) = pki();
    let now = pki.now();
    let (root, stranger) = (&pki.root, Authority::new("Root of B"));
    let fields = || Fields::new(root, now);
    let timed = |this, next| {
        let mut fields = fields();
        (fields.this_update, fields.next_update) = (this, next);
        fields.sign(root)
    };
    let partial = |fields: &[u8]| Fields::new(root, now).point(fields).sign(root);
    let mut of_another = fields();
    of_another.issuer = Authority::new("Another").subject();
    let mut tampered = fields().entry(&[5], &[]).sign(root);
    let at = tampered.windows(3).rposition(|it| it == [2, 1, 5]).unwrap();
    tampered[at + 2] = 6;
    let sha1 = fields().message(&algorithm(ECDSA_SHA1));
    let reason = extension(&[0x55, 0x1d, 0x15], false, &[0x0a, 1, 1]);
    let indirect = extension(&[0x55, 0x1d, 0x1d], true, &[0x30, 0]);
    let delta = fields().extension(&[0x55, 0x1d, 0x1b], true, &int(&[1]));
    let strange = fields().extension(&[0x2a, 3], true, &[5, 0]);
    let doubled = fields()
        .extension(&[0x55, 0x1d, 0x14], false, &int(&[1]))
        .extension(&[0x55, 0x1d, 0x14], false, &int(&[1]));
    let cases = [
        (
            "expired",
            timed(now - 2 * HOUR, Some(now - HOUR)),
            "it is not valid now",
        ),
        (
            "of the future",
            timed(now + HOUR, Some(now + 2 * HOUR)),
            "it is not valid now",
        ),
        ("endless", timed(now, None), "it is not valid now"),
        ("forged", fields().sign(&stranger), "its signature is wrong"),
        ("tampered", tampered, "its signature is wrong"),
        (
            "SHA-1",
            seq(&[&signed(&sha1, &root.key, ECDSA_SHA1)]),
            "it is signed with an algorithm that is not accepted",
        ),
        (
            "two algorithms",
            seq(&[&root.signed(&sha1)]),
            "it is malformed: a list has two algorithms",
        ),
        (
            "another issuer",
            of_another.sign(root),
            "it is not the list of the certificate's issuer",
        ),
        ("indirect", partial(&[0x84, 1, 0xff]), "revoked: indirect"),
        (
            "some reasons",
            partial(&[0x83, 2, 6, 0x40]),
            "revoked: for some reasons only",
        ),
        (
            "no reasons",
            partial(&[0x83, 1, 0]),
            "revoked: for some reasons only",
        ),
        (
            "attributes",
            partial(&[0x85, 1, 0xff]),
            "revoked: of attribute certificates",
        ),
        (
            "authorities",
            partial(&[0x82, 1, 0xff]),
            "revoked: of authorities only",
        ),
        ("delta", delta.sign(root), "revoked: a delta"),
        (
            "strange",
            strange.sign(root),
            "it has a critical extension that is unknown",
        ),
        (
            "an entry of another issuer",
            fields()
                .entry(&[5], &reason)
                .entry(&[6], &indirect)
                .sign(root),
            "it has a critical extension that is unknown",
        ),
        (
            "doubled",
            doubled.sign(root),
            "an extension stands there twice, or too many do",
        ),
        (
            "empty",
            Vec::new(),
            "it is malformed: an element is cut short",
        ),
        (
            "PEM",
            b"-----BEGIN X509 CRL-----\n".to_vec(),
            "it is malformed: an element is cut short",
        ),
    ];
    for (name, octets, said) in cases {
        pki.revocation = sealpost::directory::revocation::Revocation::new(crate::fetch::fetcher(
            &pki.world, false,
        ));
        pki.web.reply("GET /list.crl", ok(&octets));
        let why = pki.unknown(&certificate).await;
        assert!(why.ends_with(said), "{name}: {why}");
        assert!(why.starts_with(LIST), "{name}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_may_not_sign_lists_has_none() {
    let mut pki = Pki::new();
    let mut params = pki.root.params.clone();
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    pki.root = Authority::with(params);
    let certificate = pki.root.issue(0x1234, Names::List);
    pki.lists(ok(&Fields::new(&pki.root, pki.now()).sign(&pki.root)));
    let why = pki.unknown(&certificate).await;
    assert!(
        why.ends_with("it is not the list of the certificate's issuer"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_list_is_read_and_one_that_is_too_large_is_not() {
    let (mut pki, certificate) = pki();
    let mut fields = Fields::new(&pki.root, pki.now());
    for serial in 0..100_000_u32 {
        let [a, b, c, d] = serial.to_be_bytes();
        fields = fields.entry(&[0x21, a, b, c, d], &[]);
    }
    fields = fields.entry(&[0x12, 0x34], &[]);
    let octets = fields.sign(&pki.root);
    assert!(octets.len() > 2_500_000);
    pki.lists(ok(&octets));
    assert_eq!(pki.status(&certificate).await, Revoked);
    pki.forget();
    let claims = b"HTTP/1.1 200 OK\r\nContent-Length: 16777217\r\n\r\n".to_vec();
    pki.lists(crate::http::Reply::Raw(claims));
    let why = pki.unknown(&certificate).await;
    assert_eq!(
        why,
        "the answer of crl.b.example is longer than 16777216 octets"
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_is_asked_for_where_the_responder_does_not_know() {
    let pki = Pki::new();
    let certificate = pki.root.issue(0x1234, Names::Both);
    pki.responds(with_status("503 Busy", "", b""));
    pki.lists(ok(&list(&pki.root, pki.now(), &[0x1234], None)));
    assert_eq!(pki.status(&certificate).await, Revoked);
    let lines: Vec<String> = pki
        .web
        .heard()
        .into_iter()
        .map(|heard| heard.line)
        .collect();
    assert_eq!(lines, ["POST /", "GET /list.crl"]);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_names_nobody_and_an_anchor_are_not_asked_about() {
    use sealpost::directory::revocation::CheckRevocation as _;
    let pki = Pki::new();
    let certificate = pki.root.issue(0x1234, Names::Nothing);
    assert_eq!(pki.status(&certificate).await, Good);
    let alone = [pki.root.der.clone()];
    assert_eq!(pki.revocation.status(&alone, pki.now()).await, Good);
    assert!(pki.world.network.dialled().is_empty());
    let none = pki.revocation.status(&[], pki.now()).await;
    assert!(matches!(none, Unknown(_)));
    let long = vec![pki.root.der.clone(); 9];
    let long = pki.revocation.status(&long, pki.now()).await;
    assert!(matches!(long, Unknown(_)));
    let broken = [Bytes::from_static(b"\x30\x00"), pki.root.der.clone()];
    let broken = pki.revocation.status(&broken, pki.now()).await;
    assert!(matches!(broken, Unknown(_)));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_gone_leaves_it_unknown() {
    let (pki, certificate) = pki();
    let why = pki.unknown(&certificate).await;
    assert_eq!(why, "crl.b.example answered with status 404");
}
