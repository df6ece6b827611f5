//! The method S/MIME on the whole line: decided, sealed, looked at again, delivered, and told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealpost::flow::Smime;
use sealpost::mail::{
    CertificateFact, CertificateProblem, DomainPattern, Level, Method, RecipientCertificate,
};
use sealpost::policy::source::DomainSection;
use sealpost::policy::{Policy, PolicySource};
use sealpost::proto::cms::Identity;
use sealpost::queue::Retry;
use sealpost::seal::{Sealer, SigningIdentity};
use sealpost::sign::{Algorithm, SigningKey, keygen};
use serde_json::Value;

use crate::support::ca::self_signed;
use crate::support::dns::domain;
use crate::support::line::{Line, machinery, short_retry};
use crate::support::made_certificates::{Authority, Kind, Subject};
use crate::support::mx::{Do, Mx, Taken};
use crate::support::sealed::{FakeCertificates, Owner};
use crate::support::world::{START, World};

const CONTENT: &[u8] = b"From: <a@clinic.example>\r\nTo: <r@b.example>\r\nSubject: canary-subject\r\n\
    Message-ID: <1@clinic.example>\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ncanary-body\r\n--x\r\n\
    Content-Type: text/plain; name=canary-name.txt\r\n\
    Content-Disposition: attachment; filename=canary-name.txt\r\n\r\n1\r\n--x--\r\n";
const BODY: &[u8] = b"--x\r\n\r\ncanary-body\r\n--x\r\n";

const TLS_FIRST: &[Method] = &[Method::Tls, Method::Smime];
const SEALED_FIRST: &[Method] = &[Method::Smime, Method::Tls];

struct Scene {
    world: World,
    directory: tempfile::TempDir,
    certificates: Arc<FakeCertificates>,
    source: PolicySource,
    retry: Retry,
}

impl Scene {
    fn new(methods: &[Method]) -> Self {
        Self {
            world: World::new(),
            directory: tempfile::tempdir().unwrap(),
            certificates: Arc::default(),
            source: PolicySource {
                methods: methods.to_vec(),
                smime: true,
                ..PolicySource::default()
            },
            retry: short_retry(),
        }
    }

    /// `b.example` has this exchanger alone.
    fn served_by(&self, mx: Mx) -> Mx {
        self.world.only_mx(&mx);
        mx
    }

    fn good(&self) -> Mx {
        self.served_by(self.world.good_mx("mx.b.example"))
    }

    fn unverified(&self) -> Mx {
        self.served_by(Mx::new(self_signed("mx.b.example").server()))
    }

    fn start(&self) -> Line {
        self.start_signing(Vec::new(), Vec::new())
    }

    fn start_signing(&self, keys: Vec<SigningKey>, identities: Vec<SigningIdentity>) -> Line {
        let policy = Policy::compile(self.source.clone()).unwrap();
        let mut machinery = machinery(&self.world, policy, keys);
        machinery.smime = Some(Smime {
            certificates: Arc::clone(&self.certificates) as _,
            sealer: Arc::new(Sealer::new(identities)),
        });
        let (world, directory) = (&self.world, self.directory.path());
        Line::start_with(world, directory, self.retry.clone(), machinery)
    }

    /// Somebody with a certificate that the operator has imported.
    fn owner(&self, address: &str, fact: CertificateFact) -> Owner {
        let owner = Owner::new(address);
        self.certificates.import(address, owner.trusted(fact));
        owner
    }
}

fn is(event: &'static str, recipient: &'static str) -> impl Fn(&Value) -> bool {
    move |line| line["event"] == event && line["recipient"] == recipient
}

/// Every line of an event about a recipient.
fn all(line: &Line, event: &'static str, recipient: &'static str) -> Vec<Value> {
    let mut events = line.events();
    events.retain(is(event, recipient));
    events
}

/// What was taken, opened: the octets inside.
fn opened(owner: &Owner, taken: &Taken) -> Vec<u8> {
    let inside = owner.open(&taken.content);
    inside.expect("sealed to this owner")
}

fn contains(octets: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(octets, word).is_some()
}

/// Fails if a word of the content stands in a file below `folder`.
fn assert_no_canary_below(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_canary_below(&path);
        } else {
            let octets = std::fs::read(&path).unwrap();
            assert!(!contains(&octets, b"canary"), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn where_tls_falls_short_it_goes_sealed_over_any_tls() {
    let scene = Scene::new(TLS_FIRST);
    let mx = scene.unverified();
    let owner = scene.owner("r@b.example", CertificateFact::Directory);
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["method"], "smime");
    assert_eq!(delivered["grade"], "any");
    assert_eq!(delivered["required"], "any");
    assert_eq!(delivered["certificate"], owner.fingerprint().to_string());
    assert_eq!(delivered["cipher"], "aes-256-cbc");
    assert_eq!(delivered["signer"], Value::Null);
    let decided = all(&line, "decided", "r@b.example");
    let methods: Vec<&Value> = decided.iter().map(|line| &line["method"]).collect();
    assert_eq!(methods, ["tls", "smime"]);
    assert_eq!(decided[1]["certificate"], owner.fingerprint().to_string());

    let heard = mx.heard();
    assert!(!heard.everything().contains("canary"));
    let inside = opened(&owner, &heard.taken[0]);
    assert!(contains(&inside, BODY));
    assert!(contains(&inside, b"Subject: canary-subject"));
    let outside = String::from_utf8(heard.taken[0].content.clone()).unwrap();
    assert!(outside.contains("Message-ID: <1@clinic.example>"));
    line.stop().await;
    assert_no_canary_below(scene.directory.path());
}

#[tokio::test]
async fn a_message_that_goes_by_tls_tells_no_directory_of_its_recipient() {
    let scene = Scene::new(TLS_FIRST);
    let mx = scene.good();
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["method"], "tls");
    assert_eq!(mx.heard().taken[0].content, CONTENT);
    assert_eq!(scene.certificates.asked(), Vec::<String>::new());
    line.stop().await;
}

#[tokio::test]
async fn where_it_is_preferred_it_is_looked_up_sealed_and_signed_inside_and_out() {
    let scene = Scene::new(SEALED_FIRST);
    let mx = scene.good();
    let owner = Owner::new("r@b.example");
    let mut found = owner.trusted(CertificateFact::Valid);
    found.gcm = true;
    scene.certificates.publish("r@b.example", found);
    let pem = keygen(Algorithm::Ed25519).unwrap();
    let key = SigningKey::from_pem(domain("clinic.example"), "s", &pem).unwrap();
    let subject = Subject::new("Clinic", "a@clinic.example", 9);
    let made = Authority::new("Test CA").issue(Kind::P256, &subject);
    let identity = SigningIdentity {
        owner: "clinic.example".parse().unwrap(),
        identity: Identity::new(vec![made.certificate], &made.pkcs8).unwrap(),
        expires: START + Duration::from_secs(3600),
    };
    let line = scene.start_signing(vec![key], vec![identity]);
    line.submit(&["r@b.example"], CONTENT).await;
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["method"], "smime");
    assert_eq!(delivered["cipher"], "aes-256-gcm");
    assert_eq!(delivered["signer"], "clinic.example");
    assert_eq!(delivered["dkim"][0], "clinic.example");
    assert_eq!(scene.certificates.asked(), ["r@b.example"]);
    let taken = mx.heard().taken.remove(0);
    assert!(taken.content.starts_with(b"DKIM-Signature: "));
    let inside = owner.open(&taken.content).unwrap();
    assert!(contains(&inside, b"multipart/signed"));
    assert!(contains(&inside, BODY));
    line.stop().await;
}

#[tokio::test]
async fn a_directory_that_does_not_answer_leads_to_the_next_method_and_says_so() {
    let scene = Scene::new(SEALED_FIRST);
    let mx = scene.good();
    let problem = CertificateProblem::LookupFailed;
    scene.certificates.fail("r@b.example", problem);
    let line = scene.start();
    let id = line.submit(&["r@b.example"], CONTENT).await;
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["method"], "tls");
    assert_eq!(mx.heard().taken[0].content, CONTENT);
    let explained = line.handle.explain(id).await.unwrap();
    let refusal = explained.recipients[0].standing.candidates[0]
        .refusal
        .clone();
    assert_eq!(refusal, Some(problem.to_string()));
    line.stop().await;
}

#[tokio::test]
async fn without_a_certificate_or_a_method_it_waits_and_says_what_is_missing() {
    let mut scene = Scene::new(SEALED_FIRST);
    scene.source.base = Level::Sealed;
    let mx = scene.good();
    // Good enough for what is merely restricted.
    scene.owner("r@b.example", CertificateFact::Directory);
    scene
        .certificates
        .fail("s@b.example", CertificateProblem::Expired);
    let line = scene.start();
    line.submit(&["r@b.example", "s@b.example"], CONTENT).await;
    let deferred = line.event(is("deferred", "r@b.example")).await;
    assert_eq!(deferred["reason"], "security");
    let decided = line.event(is("decided", "r@b.example")).await;
    assert_eq!(
        decided["reason"],
        "smime: its assurance does not reach the level; tls: its assurance does not reach the level"
    );
    let decided = line.event(is("decided", "s@b.example")).await;
    assert_eq!(
        decided["reason"],
        "smime: the certificate has expired; tls: its assurance does not reach the level"
    );
    // As soon as it is pinned it goes.
    scene.owner("r@b.example", CertificateFact::Pinned);
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["method"], "smime");
    assert_eq!(delivered["level"], "sealed");
    assert_eq!(mx.heard().taken.len(), 1);
    line.kill().await;
}

#[tokio::test]
async fn each_level_takes_the_certificates_that_it_trusts() {
    use CertificateFact as Fact;
    let mut scene = Scene::new(&[Method::Smime]);
    scene.good();
    let cases = [
        (Level::Confidential, Fact::Valid, true),
        (Level::Restricted, Fact::Valid, false),
        (Level::Restricted, Fact::Directory, true),
        (Level::Sealed, Fact::Directory, false),
        (Level::Sealed, Fact::Pinned, true),
    ];
    for (number, (level, fact, goes)) in cases.into_iter().enumerate() {
        scene.directory = tempfile::tempdir().unwrap();
        scene.source.base = level;
        let owner = Owner::new("r@b.example");
        scene
            .certificates
            .publish("r@b.example", owner.trusted(fact));
        if fact != Fact::Valid {
            scene
                .certificates
                .import("r@b.example", owner.trusted(fact));
        }
        let line = scene.start();
        line.submit(&["r@b.example"], CONTENT).await;
        let event = line
            .event(|line| line["event"] == "delivered" || line["event"] == "deferred")
            .await;
        let expected = if goes { "delivered" } else { "deferred" };
        assert_eq!(event["event"], expected, "case {number}: {event}");
        scene.certificates.remove("r@b.example");
        line.kill().await;
    }
}

#[tokio::test]
async fn each_recipient_gets_an_envelope_of_their_own_that_shows_no_other() {
    let scene = Scene::new(SEALED_FIRST);
    let mx = scene.good();
    // The second one is in no header field.
    let to = scene.owner("r@b.example", CertificateFact::Directory);
    let bcc = scene.owner("hidden@b.example", CertificateFact::Directory);
    let line = scene.start();
    line.submit(
        &["r@b.example", "hidden@b.example", "clear@b.example"],
        CONTENT,
    )
    .await;
    for recipient in ["r@b.example", "hidden@b.example", "clear@b.example"] {
        line.event(is("delivered", recipient)).await;
    }
    let taken = mx.heard().taken;
    assert_eq!(taken.len(), 3);
    let by = |recipient: &str| {
        let wanted = vec![format!("RCPT TO:<{recipient}>")];
        let found = taken.iter().find(|taken| taken.recipients == wanted);
        found.expect("a transaction of its own")
    };
    let (first, second) = (by("r@b.example"), by("hidden@b.example"));
    assert!(contains(&opened(&to, first), BODY));
    assert!(contains(&opened(&bcc, second), BODY));
    assert_eq!(to.open(&second.content), None);
    assert_eq!(bcc.open(&first.content), None);
    assert!(!contains(&first.content, b"hidden"));
    assert!(!contains(&opened(&to, first), b"hidden"));
    assert_eq!(by("clear@b.example").content, CONTENT);
    line.stop().await;
}

/// Says that the message is taken later, until `fit` says otherwise.
fn not_yet(mx: Mx, fit: impl Fn(usize) -> bool + Send + Sync + 'static) -> Mx {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    mx.when(move |_, step| {
        if step == "." {
            let tried = tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if !fit(tried) {
                return Do::Say("451 4.3.0 later\r\n".to_owned());
            }
        }
        Do::Default
    })
}

/// The outer octets of each attempt, in their order: what stands between DATA and its end.
fn sent(mx: &Mx) -> Vec<String> {
    let heard = mx.heard().everything();
    let mut sent = Vec::new();
    let mut rest = heard.as_str();
    while let Some((_, behind)) = rest.split_once("\r\nDATA\r\n") {
        let (content, behind) = behind.split_once("\r\n.\r\n").unwrap_or((behind, ""));
        sent.push(content.to_owned());
        rest = behind;
    }
    sent
}

#[tokio::test]
async fn an_attempt_after_a_crash_sends_the_same_octets() {
    let mut scene = Scene::new(SEALED_FIRST);
    scene.retry.schedule = vec![Duration::from_millis(300)];
    let owner = scene.owner("r@b.example", CertificateFact::Directory);
    let first = scene.served_by(not_yet(scene.world.good_mx("mx.b.example"), |_| false));
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    line.event(is("deferred", "r@b.example")).await;
    line.kill().await;
    let first = sent(&first).remove(0);

    let mx = scene.good();
    let line = scene.start();
    line.event(is("delivered", "r@b.example")).await;
    let taken = mx.heard().taken.remove(0);
    assert_eq!(
        String::from_utf8(taken.content.clone()).unwrap(),
        first + "\r\n"
    );
    assert!(contains(&opened(&owner, &taken), BODY));
    line.stop().await;
}

#[tokio::test]
async fn a_certificate_that_expires_while_it_waits_is_not_sent_to_any_more() {
    let scene = Scene::new(SEALED_FIRST);
    let owner = Owner::new("r@b.example");
    let now = scene.world.clock.now();
    let expiring = RecipientCertificate {
        expires: now + Duration::from_millis(700),
        ..owner.trusted(CertificateFact::Pinned)
    };
    scene.certificates.import("r@b.example", expiring.clone());
    let clock = scene.world.clock;
    let mx = scene.served_by(not_yet(scene.world.good_mx("mx.b.example"), move |_| {
        clock.now() >= expiring.expires
    }));
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    let deferred = line.event(is("deferred", "r@b.example")).await;
    assert_eq!(deferred["method"], "smime");
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["method"], "tls");
    assert_eq!(delivered["certificate"], Value::Null);
    assert_eq!(mx.heard().taken[0].content, CONTENT);
    line.stop().await;
}

/// Sealed, put off once; then something is wrong with the certificate.
async fn fallen(problem: CertificateProblem, methods: &[Method]) -> (Scene, Line, Mx, Owner) {
    let scene = Scene::new(methods);
    let owner = scene.owner("r@b.example", CertificateFact::Pinned);
    let mx = scene.served_by(not_yet(scene.world.good_mx("mx.b.example"), |tried| {
        tried > 0
    }));
    // Time to say that it has fallen.
    let patient = Retry {
        schedule: vec![Duration::from_millis(400)],
        ..short_retry()
    };
    let scene = Scene {
        retry: patient,
        ..scene
    };
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    let deferred = line.event(is("deferred", "r@b.example")).await;
    assert_eq!(deferred["method"], "smime");
    scene.certificates.fell(owner.fingerprint(), problem);
    (scene, line, mx, owner)
}

#[tokio::test]
async fn a_certificate_that_was_revoked_meanwhile_gets_nothing() {
    let (_scene, line, mx, owner) = fallen(CertificateProblem::Revoked, SEALED_FIRST).await;
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["method"], "tls");
    let taken = mx.heard().taken;
    assert_eq!(taken.len(), 1);
    assert_eq!(owner.open(&taken[0].content), None);
    assert_eq!(taken[0].content, CONTENT);
    line.stop().await;
}

#[tokio::test]
async fn where_revocation_cannot_be_found_out_nothing_is_sent_and_it_waits() {
    let problem = CertificateProblem::RevocationUnknown;
    let (_scene, line, mx, _) = fallen(problem, &[Method::Smime]).await;
    let waits = line
        .event(|line| line["event"] == "deferred" && line["reason"] == "security")
        .await;
    assert_eq!(waits["method"], Value::Null);
    let decided = all(&line, "decided", "r@b.example").pop().unwrap();
    assert_eq!(decided["reason"], format!("smime: {problem}"));
    assert!(mx.heard().taken.is_empty());
    assert_eq!(sent(&mx).len(), 1, "the attempt before");
    line.kill().await;
}

#[tokio::test]
async fn a_certificate_that_is_not_pinned_any_more_does_not_carry_what_needs_that() {
    let mut scene = Scene::new(&[Method::Smime]);
    scene.source.base = Level::Sealed;
    scene.retry.schedule = vec![Duration::from_millis(400)];
    let owner = scene.owner("r@b.example", CertificateFact::Pinned);
    let mx = scene.served_by(not_yet(scene.world.good_mx("mx.b.example"), |tried| {
        tried > 0
    }));
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    line.event(is("deferred", "r@b.example")).await;
    let unpinned = owner.trusted(CertificateFact::Directory);
    scene.certificates.import("r@b.example", unpinned);
    line.event(|line| line["event"] == "deferred" && line["reason"] == "security")
        .await;
    assert!(mx.heard().taken.is_empty());
    // Pinned again, it goes.
    scene.owner("r@b.example", CertificateFact::Pinned);
    line.event(is("delivered", "r@b.example")).await;
    line.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_replaced_while_it_waits_makes_another_envelope() {
    let scene = Scene::new(&[Method::Smime]);
    let old = scene.owner("r@b.example", CertificateFact::Directory);
    let mx = scene.served_by(not_yet(scene.world.good_mx("mx.b.example"), |tried| {
        tried > 0
    }));
    let scene = Scene {
        retry: Retry {
            schedule: vec![Duration::from_millis(400)],
            ..short_retry()
        },
        ..scene
    };
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    line.event(is("deferred", "r@b.example")).await;
    let new = scene.owner("r@b.example", CertificateFact::Directory);
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["certificate"], new.fingerprint().to_string());
    let taken = mx.heard().taken.remove(0);
    assert!(contains(&opened(&new, &taken), BODY));
    assert_eq!(old.open(&taken.content), None);
    line.stop().await;
}

#[tokio::test]
async fn what_is_sealed_to_the_recipient_already_travels_as_it_is() {
    let scene = Scene::new(&[Method::Smime]);
    let mx = scene.good();
    let owner = scene.owner("r@b.example", CertificateFact::Pinned);
    let stranger = Owner::new("r@b.example");
    let line = scene.start();
    let envelope = |to: &Owner| {
        let recipe = to.recipe(sealpost::mail::ContentCipher::Aes256Cbc, CONTENT);
        let mut stream = sealpost::proto::cms::SealStream::new(&*recipe).unwrap();
        let mut out = b"To: <r@b.example>\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\n".to_vec();
        stream.push(CONTENT, &mut out).unwrap();
        stream.finish(&mut out).unwrap();
        out
    };
    let sealed = envelope(&owner);
    line.submit(&["r@b.example"], &sealed).await;
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["method"], "smime");
    assert_eq!(delivered["certificate"], owner.fingerprint().to_string());
    assert_eq!(delivered["cipher"], Value::Null);
    assert_eq!(mx.heard().taken[0].content, sealed);
    // To anybody else it is content like any other.
    line.submit(&["r@b.example"], &envelope(&stranger)).await;
    let by_us = line
        .event(|line| line["event"] == "delivered" && line["cipher"] == "aes-256-cbc")
        .await;
    assert_eq!(by_us["certificate"], owner.fingerprint().to_string());
    assert!(owner.open(&mx.heard().taken[1].content).is_some());
    line.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sealed_goes_by_the_next_method() {
    let scene = Scene::new(SEALED_FIRST);
    let mx = scene.good();
    let owner = scene.owner("r@b.example", CertificateFact::Pinned);
    let unusable = RecipientCertificate {
        der: b"nothing".as_slice().into(),
        ..owner.trusted(CertificateFact::Pinned)
    };
    scene.certificates.import("bad@b.example", unusable);
    let line = scene.start();
    let id = line
        .submit(&["bad@b.example", "r@b.example"], CONTENT)
        .await;
    let delivered = line.event(is("delivered", "bad@b.example")).await;
    assert_eq!(delivered["method"], "tls");
    let delivered = line.event(is("delivered", "r@b.example")).await;
    assert_eq!(delivered["method"], "smime", "the others are not held up");
    let explained = line.handle.explain(id).await.unwrap();
    let refusal = explained.recipients[0].standing.candidates[0]
        .refusal
        .clone();
    assert_eq!(refusal.as_deref(), Some("the certificate is malformed"));

    // Nobody could tell outside who wrote it.
    let anonymous = b"To: <r@b.example>\r\nSubject: x\r\n\r\ny\r\n";
    let id = line.submit(&["r@b.example"], anonymous).await;
    let delivered = line
        .event(|line| line["event"] == "delivered" && line["queue_id"] == id.to_string())
        .await;
    assert_eq!(delivered["method"], "tls");
    let explained = line.handle.explain(id).await.unwrap();
    let refusal = explained.recipients[0].standing.candidates[0]
        .refusal
        .clone();
    assert_eq!(refusal.as_deref(), Some("the message could not be sealed"));
    assert_eq!(mx.heard().taken.len(), 3);
    line.stop().await;
}

#[tokio::test]
async fn without_tls_not_even_an_envelope_is_sent() {
    let scene = Scene::new(SEALED_FIRST);
    let mx = scene.good().offering(&["PIPELINING"], &[]);
    scene.served_by(mx.clone());
    scene.owner("r@b.example", CertificateFact::Pinned);
    let line = scene.start();
    let id = line.submit(&["r@b.example"], CONTENT).await;
    let deferred = line.event(is("deferred", "r@b.example")).await;
    assert_eq!(deferred["reason"], "security");
    let explained = line.handle.explain(id).await.unwrap();
    let refusals: Vec<Option<&str>> = explained.recipients[0]
        .standing
        .candidates
        .iter()
        .map(|candidate| candidate.refusal.as_deref())
        .collect();
    assert_eq!(
        refusals,
        [
            Some("the connection reached none, and any is needed"),
            Some("the connection reached none, and pkix is needed"),
        ]
    );
    mx.heard().assert_nothing_of_the_message();
    line.kill().await;
}

#[tokio::test]
async fn a_large_message_is_sealed_from_its_file_and_pins_bind_it() {
    let mut scene = Scene::new(&[Method::Smime]);
    scene.source.domains = vec![DomainSection {
        pin_mx: vec!["mx.b.example".parse::<DomainPattern>().unwrap()],
        ..section("b.example")
    }];
    let mx = scene.unverified();
    let owner = scene.owner("r@b.example", CertificateFact::Directory);
    let mut content = CONTENT.to_vec();
    let line_of_it = b"canary-line of a large message, over and over again\r\n";
    content.extend_from_slice(&line_of_it.repeat(40_000));
    let line = scene.start();
    line.submit(&["r@b.example"], &content).await;
    line.event(is("delivered", "r@b.example")).await;
    let heard = mx.heard();
    assert!(!heard.everything().contains("canary"));
    let inside = opened(&owner, &heard.taken[0]);
    assert!(inside.ends_with(&content[CONTENT.len()..]));
    line.stop().await;
    assert_no_canary_below(scene.directory.path());
}

fn section(name: &str) -> DomainSection {
    DomainSection {
        name: name.parse().unwrap(),
        raise: None,
        methods: None,
        tls_not_enough: false,
        pin_mx: Vec::new(),
        require_pq: false,
    }
}
