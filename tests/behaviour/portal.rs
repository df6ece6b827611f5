//! The method portal on the whole line: left in the portal, noticed, taken back, and told; and what
//! the portal has the line do.

mod told;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sealpost::flow::Portal;
use sealpost::journal::MasterKey;
use sealpost::link::{LinkOptions, LinkServer, LinkServices, Ours};
use sealpost::locale::Texts;
use sealpost::mail::{
    Address, Deposit, Final, Grade, Language, Level, MessageId, Method, PickupWishes, Reference,
    SenderSecret,
};
use sealpost::notice::Setting;
use sealpost::pickup::{Patience, Pickup};
use sealpost::policy::{Policy, PolicySource};
use sealpost::portal::socket::{Hears, PortalSocket};
use sealpost::portal::store::{Bounds, NewReply, Reminders, ReplyState, Store, StoreOptions};
use sealpost::proto::link::{Standing, Travelled};
use sealpost::queue::{Operation, Order, Retry, Selection};
use sealpost::report::{DeliveryLog, Target};
use sealpost::sign::{Algorithm, SigningKey, keygen};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::support::dns::domain;
use crate::support::line::{Line, eventually, machinery, short_retry};
use crate::support::mx::Mx;
use crate::support::portal::{FakePortal, Mood};
use crate::support::world::World;

const CONTENT: &[u8] = b"From: Jo Doe <a@clinic.example>\r\nTo: <r@b.example>\r\n\
    Subject: canary-subject\r\nMessage-ID: <1@clinic.example>\r\n\
    Date: Sun, 22 Nov 2026 00:00:00 +0000\r\n\r\ncanary-body\r\n";

struct Scene {
    world: World,
    directory: tempfile::TempDir,
    source: PolicySource,
    retry: Retry,
    senders_mx: Mx,
}

impl Scene {
    fn new(methods: &[Method]) -> Self {
        let world = World::new();
        let senders_mx = world.good_mx("mx.clinic.example");
        world.dns.mx("clinic.example", &[(10, "mx.clinic.example")]);
        world.host("mx.clinic.example", "192.0.2.99", &senders_mx);
        Self {
            world,
            directory: tempfile::tempdir().unwrap(),
            source: PolicySource {
                methods: methods.to_vec(),
                portal: true,
                ..PolicySource::default()
            },
            retry: short_retry(),
            senders_mx,
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("portal.sock")
    }

    fn portal(&self) -> FakePortal {
        FakePortal::start(&self.socket())
    }

    fn served_by(&self, mx: Mx) -> Mx {
        self.world.only_mx(&mx);
        mx
    }

    fn good(&self) -> Mx {
        self.served_by(self.world.good_mx("mx.b.example"))
    }

    /// Offers no TLS.
    fn plain(&self) -> Mx {
        let mx = self.world.good_mx("mx.b.example");
        self.served_by(mx.offering(&["PIPELINING", "8BITMIME"], &[]))
    }

    fn machinery(&self, source: PolicySource) -> sealpost::flow::Machinery {
        let pem = keygen(Algorithm::Ed25519).unwrap();
        let key = SigningKey::from_pem(domain("clinic.example"), "s", &pem).unwrap();
        let policy = Policy::compile(source).unwrap();
        let mut machinery = machinery(&self.world, policy, vec![key]);
        let patience = Patience {
            step: Duration::from_secs(5),
            answer: Duration::from_secs(2),
        };
        machinery.portal = Some(Portal {
            client: Pickup::waiting(&self.socket(), self.world.clock, patience),
            setting: Setting {
                operator: "Clinic".to_owned(),
                url: "https://portal.clinic.example".to_owned(),
                notice_from: "secure-mail".to_owned(),
                domains: vec![domain("clinic.example")],
                hostname: domain("mail.clinic.example"),
                postmaster: address("postmaster@clinic.example"),
                language: Language::En,
                texts: Texts::shipped(),
            },
            expire_after: Duration::from_secs(30 * 24 * 3600),
            language: Language::En,
            languages: BTreeMap::from([(domain("b.example"), Language::De)]),
            phone_codes: false,
        });
        machinery
    }

    fn start(&self) -> Line {
        let machinery = self.machinery(self.source.clone());
        let (world, directory) = (&self.world, self.directory.path());
        Line::start_with(world, directory, self.retry.clone(), machinery)
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn is(event: &'static str) -> impl Fn(&Value) -> bool {
    move |line| line["event"] == event
}

fn wishes(secret: &str) -> PickupWishes {
    PickupWishes {
        secret: Some(SenderSecret::parse(secret).unwrap()),
        ..PickupWishes::default()
    }
}

#[tokio::test]
async fn a_message_is_left_in_the_portal_and_then_its_notice_is_sent() {
    let scene = Scene::new(&[Method::Portal]);
    let (portal, mx) = (scene.portal(), scene.good());
    let line = scene.start();
    let id = line.submit(&["r@b.example"], CONTENT).await;
    let deposited = line.event(is("deposited")).await;
    let order: Vec<_> = line.events().iter().map(|l| l["event"].clone()).collect();
    assert_eq!(order, ["received", "decided", "notified", "deposited"]);
    let (deposit, content) = portal.deposits().remove(0);
    assert_eq!(content, CONTENT);
    assert_eq!(
        (deposit.queue_id, deposit.octets),
        (id, CONTENT.len() as u64)
    );
    assert_eq!(deposit.author, address("a@clinic.example"));
    assert_eq!(deposit.author_name.as_deref(), Some("Jo Doe"));
    assert_eq!(deposit.language, Language::De);
    assert_eq!(deposit.trusted_before, deposit.accepted);
    assert_eq!(deposit.level, Level::Protected);

    let notice = mx.heard().taken.remove(0).content;
    let text = String::from_utf8(notice).unwrap();
    assert!(text.starts_with("DKIM-Signature: "), "{text}");
    assert!(text.contains("secure-mail@clinic.example"), "{text}");
    assert!(text.contains(&deposit.reference.to_string()), "{text}");
    assert!(!mx.heard().everything().contains("canary"), "{text}");
    for event in [line.event(is("notified")).await, deposited] {
        assert_eq!(event["method"], "portal");
        assert_eq!(event["level"], "protected");
        assert_eq!(event["factors"], "protected");
        assert_eq!(event["grade"], "pkix");
        assert_eq!(event["reference"], deposit.reference.to_string());
        assert_eq!(event["reply"]["code"], 250);
    }
    line.stop().await;
    assert_eq!(portal.requests(), ["deposit r@b.example"]);
}

#[tokio::test]
async fn a_notice_that_is_refused_takes_the_message_out_of_the_portal_and_bounces() {
    let scene = Scene::new(&[Method::Portal]);
    let portal = scene.portal();
    let mx = scene.world.good_mx("mx.b.example");
    scene.served_by(mx.saying("RCPT", "550 5.1.1 no such user\r\n"));
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    let bounced = line.event(is("bounced")).await;
    assert_eq!(
        (&bounced["method"], &bounced["recipient"]),
        (&"portal".into(), &"r@b.example".into())
    );
    let taken = eventually(|| scene.senders_mx.heard().taken.pop())
        .await
        .unwrap();
    let text = String::from_utf8(taken.content).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("Final-Recipient: rfc822; r@b.example"),
        "{text}"
    );
    assert!(text.contains("The notice could not be delivered"), "{text}");
    assert!(text.contains("removed from the portal"), "{text}");
    assert!(!text.contains("canary-body"), "{text}");
    let gone = eventually(|| (portal.requests().len() == 2).then_some(())).await;
    assert!(gone.is_some(), "{:?}", portal.requests());
    assert_eq!(
        portal.requests(),
        ["deposit r@b.example", "withdraw r@b.example"]
    );
    assert!(portal.deposits().is_empty());
    line.stop().await;
}

#[tokio::test]
async fn a_withdrawal_that_fails_is_made_up_for_after_a_restart() {
    let scene = Scene::new(&[Method::Portal]);
    let portal = scene.portal();
    let mx = scene.world.good_mx("mx.b.example");
    scene.served_by(mx.saying("RCPT", "450 4.2.0 later\r\n"));
    let line = scene.start();
    let id = line.submit(&["r@b.example"], CONTENT).await;
    line.event(is("deferred")).await;
    portal.be(Mood::Busy);
    let selection = Selection {
        id: Some(id),
        ..Selection::default()
    };
    let order = Order {
        operation: Operation::Cancel,
        actor: "root".to_owned(),
        reason: "test".to_owned(),
    };
    line.handle.operate(selection, order).await.unwrap();
    line.event(is("cancelled")).await;
    let tried = || {
        portal
            .requests()
            .iter()
            .any(|it| it.starts_with("withdraw"))
            .then_some(())
    };
    assert!(eventually(tried).await.is_some());
    line.kill().await;
    assert_eq!(portal.deposits().len(), 1, "it was busy");
    portal.be(Mood::Good);
    let line = scene.start();
    let gone = eventually(|| portal.deposits().is_empty().then_some(())).await;
    assert!(gone.is_some(), "{:?}", portal.requests());
    line.stop().await;
}

#[tokio::test]
async fn while_the_portal_is_down_mail_waits_and_nothing_is_said_to_the_recipient() {
    let scene = Scene::new(&[Method::Portal]);
    let mx = scene.good();
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    let deferred = line.event(is("deferred")).await;
    assert_eq!(deferred["reason"], "local");
    assert_eq!(mx.heard().connections, 0);
    for mood in [Mood::Busy, Mood::Dying] {
        let portal = scene.portal();
        portal.be(mood);
        let asked = eventually(|| portal.requests().pop()).await;
        assert_eq!(asked.as_deref(), Some("deposit r@b.example"), "{mood:?}");
        assert_eq!(mx.heard().connections, 0, "{mood:?}");
    }
    let portal = scene.portal();
    line.event(is("deposited")).await;
    assert_eq!((portal.deposits().len(), mx.heard().taken.len()), (1, 1));
    line.stop().await;
}

#[tokio::test]
async fn what_the_portal_refuses_goes_another_way_or_back() {
    for (methods, end) in [
        (&[Method::Portal][..], "bounced"),
        (&[Method::Portal, Method::Tls], "delivered"),
    ] {
        let scene = Scene::new(methods);
        let (portal, mx) = (scene.portal(), scene.good());
        portal.be(Mood::Refusing);
        let line = scene.start();
        line.submit(&["r@b.example"], CONTENT).await;
        let ended = line
            .event(|line| line["event"] == end && line["recipient"] == "r@b.example")
            .await;
        assert!(portal.deposits().is_empty());
        match end {
            "bounced" => assert_eq!(mx.heard().connections, 0),
            _ => assert_eq!(ended["method"], "tls"),
        }
        let page = line.event(|line| {
            line["event"] == "decided"
                && line["recipient"] == "r@b.example"
                && line["method"] != "portal"
        });
        page.await;
        line.stop().await;
    }
}

#[tokio::test]
async fn a_crash_between_deposit_and_notice_leaves_one_deposit() {
    let mut scene = Scene::new(&[Method::Portal]);
    // Long enough for the end to come between two attempts.
    scene.retry.schedule = vec![Duration::from_millis(500)];
    let portal = scene.portal();
    // The message is in the portal, and nobody takes the notice yet.
    let mx = scene.world.good_mx("mx.b.example");
    scene.served_by(mx.saying("RCPT", "450 4.2.0 later\r\n"));
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    line.event(is("deferred")).await;
    let first = eventually(|| portal.deposits().pop()).await.unwrap();
    line.kill().await;
    let mx = scene.good();
    let line = scene.start();
    line.event(is("deposited")).await;
    line.stop().await;
    let deposits = portal.deposits();
    assert_eq!(deposits.len(), 1);
    assert_eq!(deposits[0].0, first.0, "the same deposit, by the same name");
    assert_eq!(mx.heard().taken.len(), 1);
    let withdrawn = portal
        .requests()
        .iter()
        .any(|it| it.starts_with("withdraw"));
    assert!(!withdrawn, "{:?}", portal.requests());
}

#[tokio::test]
async fn a_policy_that_takes_another_method_takes_the_message_out_of_the_portal() {
    let mut scene = Scene::new(&[Method::Portal]);
    scene.retry.schedule = vec![Duration::from_millis(300)];
    let portal = scene.portal();
    let mx = scene.world.good_mx("mx.b.example");
    scene.served_by(mx.saying("RCPT", "450 4.2.0 later\r\n"));
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    line.event(is("deferred")).await;
    assert_eq!(portal.deposits().len(), 1);
    let mx = scene.good();
    let tls = PolicySource {
        methods: vec![Method::Tls],
        ..scene.source.clone()
    };
    line.handle.reload(scene.machinery(tls));
    let delivered = line.event(is("delivered")).await;
    assert_eq!(delivered["method"], "tls");
    let gone = eventually(|| portal.deposits().is_empty().then_some(())).await;
    assert!(gone.is_some(), "{:?}", portal.requests());
    assert_eq!(mx.heard().taken.len(), 1);
    line.stop().await;
}

#[tokio::test]
async fn a_deposit_that_another_policy_made_stale_goes_though_no_new_one_can_be_made() {
    let mut scene = Scene::new(&[Method::Portal]);
    scene.retry.schedule = vec![Duration::from_millis(100)];
    let portal = scene.portal();
    let mx = scene.world.good_mx("mx.b.example");
    scene.served_by(mx.saying("RCPT", "450 4.2.0 later\r\n"));
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    line.event(is("deferred")).await;
    assert_eq!(portal.deposits().len(), 1);
    let asked = |what: &'static str, since: usize| {
        let portal = &portal;
        let found = move || {
            let requests = portal.requests();
            let mut found = requests.iter().skip(since);
            found.any(|it| it.starts_with(what)).then_some(())
        };
        async move { assert!(eventually(found).await.is_some(), "{what}") }
    };
    portal.be(Mood::Busy);
    let tls = PolicySource {
        methods: vec![Method::Tls],
        ..scene.source.clone()
    };
    line.handle.reload(scene.machinery(tls));
    asked("withdraw", 0).await;
    // The portal again, before the old deposit was taken back.
    line.handle.reload(scene.machinery(scene.source.clone()));
    asked("deposit", portal.requests().len()).await;
    assert_eq!(portal.deposits().len(), 1);
    portal.be(Mood::Full);
    let gone = eventually(|| portal.deposits().is_empty().then_some(())).await;
    assert!(gone.is_some(), "{:?}", portal.requests());
    scene.good();
    portal.be(Mood::Good);
    line.event(is("deposited")).await;
    assert_eq!(portal.deposits().len(), 1);
    line.stop().await;
}

#[tokio::test]
async fn without_tls_a_mailbox_code_is_no_proof_and_a_secret_is() {
    let scene = Scene::new(&[Method::Tls, Method::Portal]);
    let (portal, mx) = (scene.portal(), scene.plain());
    let line = scene.start();
    line.submit(&["r@b.example"], CONTENT).await;
    let waits = line.event(is("deferred")).await;
    assert_eq!(waits["reason"], "security");
    let decided = line
        .event(|line| line["event"] == "decided" && line["method"].is_null())
        .await;
    let why = decided["reason"].as_str().unwrap();
    assert!(why.contains("portal: nothing is known by which"), "{why}");
    mx.heard().assert_nothing_of_the_message();
    assert!(portal.deposits().is_empty());

    let id = line
        .submit_wishing(&["s@b.example"], CONTENT, wishes("blue heron"))
        .await;
    let deposited = line.event(is("deposited")).await;
    assert_eq!(
        (&deposited["queue_id"], &deposited["grade"]),
        (&id.to_string().into(), &"none".into())
    );
    let (deposit, _) = portal.deposits().remove(0);
    assert_eq!(deposit.wishes, wishes("blue heron"));
    let heard = mx.heard().everything();
    assert!(heard.contains("secure-mail@clinic.example"));
    assert!(
        !heard.contains("canary") && !heard.contains("heron"),
        "{heard}"
    );
    line.stop().await;
}

#[tokio::test]
async fn who_registered_in_time_can_open_what_is_restricted() {
    for (early, end) in [(true, "deposited"), (false, "deferred")] {
        let mut scene = Scene::new(&[Method::Portal]);
        scene.source.base = Level::Restricted;
        let (portal, _mx) = (scene.portal(), scene.good());
        let now = scene.world.clock.now();
        let since = match early {
            true => sealpost::mail::Timestamp::from_secs(now.as_secs() - 60),
            false => now + Duration::from_secs(60),
        };
        portal.registered(since);
        let line = scene.start();
        line.submit(&["r@b.example"], CONTENT).await;
        let ended = line.event(is(end)).await;
        if !early {
            assert_eq!(ended["reason"], "security");
        }
        assert_eq!(portal.requests()[0], "standing r@b.example");
        assert_eq!(portal.deposits().len(), usize::from(early));
        line.stop().await;
    }
}

/// The portal's end of the line's socket.
struct Asker(BufReader<UnixStream>);

impl Asker {
    async fn ask(&mut self, request: Value, content: &[u8]) -> Value {
        let stream = self.0.get_mut();
        stream
            .write_all(format!("{request}\n").as_bytes())
            .await
            .unwrap();
        // A refusal can come, and the connection end, before everything is written.
        drop(stream.write_all(content).await);
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no answer: {line:?}"))
    }
}

async fn door(scene: &Scene, line: &Line) -> (LinkServer, PathBuf) {
    door_logging(scene, line, line.log.clone()).await
}

async fn door_logging(scene: &Scene, line: &Line, log: DeliveryLog) -> (LinkServer, PathBuf) {
    door_taking(scene, line, log, 100_000)
}

fn door_taking(
    scene: &Scene,
    line: &Line,
    log: DeliveryLog,
    reply_octets: u64,
) -> (LinkServer, PathBuf) {
    let name = format!("mail-{reply_octets}.sock");
    let path = scene.directory.path().join(name);
    let socket = LinkServer::open(&path).unwrap();
    let options = LinkOptions {
        hostname: domain("mail.clinic.example"),
        reply_octets,
        ours: Ours::new(|address| address.domain().as_str() == "clinic.example"),
    };
    let services = LinkServices {
        flow: line.handle.clone(),
        log,
        tickets: line.tickets(),
    };
    (LinkServer::start(socket, options, services), path)
}

async fn connect(path: &PathBuf) -> Asker {
    Asker(BufReader::new(UnixStream::connect(path).await.unwrap()))
}

fn queue_id(answer: &Value) -> MessageId {
    MessageId::new(answer["ok"]["queue_id"].as_u64().unwrap())
}

fn code(to: &str) -> Value {
    json!({"request": "code", "recipient": to, "code": "12345678", "language": "en",
        "minutes": 15, "author": "a@clinic.example"})
}

#[tokio::test]
async fn a_code_is_mailed_and_the_portal_hears_how_it_travelled() {
    let scene = Scene::new(&[Method::Portal]);
    let (portal, mx) = (scene.portal(), scene.good());
    let line = scene.start();
    let (server, path) = door(&scene, &line).await;
    let mut asker = connect(&path).await;
    let queued = asker.ask(code("r@b.example"), b"").await;
    let id = queue_id(&queued);
    let delivered = line.event(is("delivered")).await;
    assert_eq!(
        (&delivered["class"], &delivered["queue_id"]),
        (&"code".into(), &id.to_string().into())
    );
    let told = eventually(|| portal.travelled().pop()).await.unwrap();
    assert_eq!(
        (told.queue_id, told.ended, told.grade),
        (id, Final::Delivered, Some(Grade::Pkix))
    );
    let mail = String::from_utf8(mx.heard().taken.remove(0).content).unwrap();
    assert!(mail.starts_with("DKIM-Signature: "), "{mail}");
    assert!(mail.contains("1234 5678"), "{mail}");

    // Without TLS it goes all the same, and that is told.
    let plain = scene.world.good_mx("mx.c.example");
    let plain = plain.offering(&["PIPELINING", "8BITMIME"], &[]);
    scene.world.dns.mx("c.example", &[(10, "mx.c.example")]);
    scene.world.host("mx.c.example", "192.0.2.2", &plain);
    asker.ask(code("s@c.example"), b"").await;
    let told = eventually(|| portal.travelled().get(1).cloned())
        .await
        .unwrap();
    assert_eq!(
        (told.ended, told.grade),
        (Final::Delivered, Some(Grade::None))
    );
    assert_eq!(plain.heard().taken.len(), 1);
    let log = serde_json::to_string(&line.events()).unwrap();
    assert!(!log.contains("12345678") && !log.contains("1234 5678"));
    drop(server);
    line.stop().await;
}

#[tokio::test]
async fn reminders_reports_and_events_go_their_way() {
    let scene = Scene::new(&[Method::Portal]);
    let (_portal, mx) = (scene.portal(), scene.good());
    let line = scene.start();
    let (server, path) = door(&scene, &line).await;
    let mut asker = connect(&path).await;
    let id = MessageId::new(7).to_string();
    let now = serde_json::to_value(scene.world.clock.now()).unwrap();
    let remind = json!({"request": "remind", "reference": "0000000000000001", "queue_id": 7,
        "recipient": "r@b.example", "author": "a@clinic.example", "author_name": "Jo",
        "language": "en", "expires": now});
    let answer = asker.ask(remind, b"").await;
    assert!(answer["ok"]["queue_id"].is_u64(), "{answer}");
    line.event(|line| line["event"] == "delivered" && line["class"] == "notice")
        .await;
    let mail = String::from_utf8(mx.heard().taken.remove(0).content).unwrap();
    assert!(mail.contains("0000000000000001"), "{mail}");

    let report = json!({"request": "report", "kind": "unread", "queue_id": 7,
        "message_id": "<1@clinic.example>", "author": "a@clinic.example",
        "recipient": "r@b.example", "deposited": now, "expires": now});
    let answer = asker.ask(report, b"").await;
    assert!(answer["ok"]["queue_id"].is_u64(), "{answer}");
    line.event(|line| line["event"] == "delivered" && line["class"] == "dsn")
        .await;
    assert_eq!(scene.senders_mx.heard().taken.len(), 1);

    let opened = json!({"request": "event", "event": "opened", "time": now, "queue_id": 7,
        "message_id": "<1@clinic.example>", "author": "a@clinic.example",
        "recipient": "r@b.example", "factors": ["mailbox"], "client": "192.0.2.7",
        "reasons": [], "actor": null, "opened_before": null});
    assert_eq!(asker.ask(opened, b"").await, json!({"ok": null}));
    let opened = line.event(is("opened")).await;
    assert_eq!(
        (&opened["queue_id"], &opened["client"]),
        (&id.into(), &"192.0.2.7".into())
    );
    assert_eq!(opened["proofs"], json!(["mailbox"]));
    let nonsense = asker.ask(json!({"request": "nothing"}), b"").await;
    assert_eq!(nonsense["error"]["code"], "bad_request");
    drop(server);
    line.stop().await;
}

const REPLY: &[u8] = b"From: Kim via Clinic <secure-mail@clinic.example>\r\n\
    Reply-To: r@b.example\r\nTo: <a@clinic.example>\r\nSubject: Re: canary-subject\r\n\r\nthanks\r\n";

fn reply(ticket: u64, to: &str, level: &str, content: &[u8]) -> Value {
    json!({"request": "reply", "ticket": ticket, "queue_id": 7, "from": "r@b.example", "to": to,
        "level": level, "octets": content.len()})
}

#[tokio::test]
async fn a_reply_comes_in_once_and_goes_out_protected() {
    let scene = Scene::new(&[Method::Tls]);
    let portal = scene.portal();
    let line = scene.start();
    let (server, path) = door(&scene, &line).await;
    let mut asker = connect(&path).await;
    let request = || reply(1, "a@clinic.example", "protected", REPLY);
    let first = asker.ask(request(), REPLY).await;
    let id = queue_id(&first);
    let again = connect(&path).await.ask(request(), REPLY).await;
    assert_eq!(first, again);
    let delivered = line.event(is("delivered")).await;
    assert_eq!(delivered["queue_id"], id.to_string());
    assert_eq!(
        (&delivered["method"], &delivered["grade"]),
        (&"tls".into(), &"pkix".into())
    );
    let told = eventually(|| portal.travelled().pop()).await.unwrap();
    assert_eq!((told.queue_id, told.ended), (id, Final::Delivered));
    let taken = scene.senders_mx.heard().taken;
    assert_eq!(taken.len(), 1);
    let text = String::from_utf8(taken[0].content.clone()).unwrap();
    assert!(text.starts_with("DKIM-Signature: "), "{text}");
    assert!(text.contains("\r\nReceived: from portal\r\n"), "{text}");
    assert!(
        text.contains("\r\nMessage-ID: <") && text.contains("\r\nDate: "),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\nthanks\r\n"), "{text}");

    // The level of what it answers holds: pkix is not enough for that.
    let confidential = reply(2, "a@clinic.example", "confidential", REPLY);
    asker.ask(confidential, REPLY).await;
    let waits = line.event(is("deferred")).await;
    assert_eq!(
        (&waits["reason"], &waits["required"]),
        (&"security".into(), &"pinned".into())
    );
    // Another reply by a number that was there before is another reply.
    let other = [REPLY, b"more\r\n"].concat();
    let answer = asker
        .ask(reply(1, "a@clinic.example", "protected", &other), &other)
        .await;
    assert_ne!(queue_id(&answer), id);
    drop(server);
    line.stop().await;
}

/// A portal that knows nobody.
struct Alone;

impl Hears for Alone {
    fn travelled(&self, travelled: &Travelled) {
        panic!("no code was mailed: {travelled:?}");
    }
    fn standing(&self, _: &Address) -> Standing {
        Standing { registered: None }
    }
}

/// A store with one message, for r@b.example from a@clinic.example.
async fn store(scene: &Scene) -> (Store, Reference) {
    let options = StoreOptions {
        directory: scene.directory.path().join("portal"),
        master_key: MasterKey::from_base64(&MasterKey::generate().unwrap()).unwrap(),
        bounds: Bounds::default(),
        reminders: Reminders::default(),
    };
    let clock = scene.world.clock;
    let store = Store::open(options, clock).await.unwrap();
    let reference = Reference::new([7; 10]);
    let deposit = Deposit {
        reference,
        queue_id: MessageId::new(7),
        recipient: address("r@b.example"),
        author: address("a@clinic.example"),
        answerable: true,
        author_name: None,
        message_id: "<1@clinic.example>".to_owned(),
        accepted: clock.now(),
        octets: CONTENT.len() as u64,
        level: Level::Protected,
        factors: Level::Protected,
        trusted_before: clock.now(),
        wishes: PickupWishes::default(),
        language: Language::En,
        expires: clock.now() + Duration::from_secs(24 * 3600),
    };
    let mut incoming = store.deposit(deposit).await.unwrap();
    incoming.write(Bytes::from_static(CONTENT)).await.unwrap();
    incoming.finish().await.unwrap();
    (store, reference)
}

#[tokio::test]
async fn the_portal_hears_what_became_of_a_reply_while_it_was_away() {
    let scene = Scene::new(&[Method::Tls]);
    let mx = scene.world.good_mx("mx.clinic.example");
    let mx = mx.saying("RCPT", "550 5.1.1 nobody\r\n");
    scene.world.host("mx.clinic.example", "192.0.2.99", &mx);
    let (store, answered) = store(&scene).await;
    let content = Bytes::from_static(REPLY);
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let reply = NewReply {
            answers: answered,
            level: Level::Protected,
            content: content.clone(),
        };
        tickets.push(store.reply(reply).await.unwrap());
    }
    let line = scene.start();
    let (server, path) = door(&scene, &line).await;
    let mut ids = Vec::new();
    for &ticket in &tickets {
        let request = reply(ticket, "a@clinic.example", "protected", REPLY);
        let answer = connect(&path).await.ask(request, REPLY).await;
        let id = queue_id(&answer);
        let bounced =
            |line: &Value| line["event"] == "bounced" && line["queue_id"] == id.to_string();
        line.event(bounced).await;
        ids.push(id);
    }
    // The portal has noted the first answer, and died before the second. The line goes, too.
    store.reply_taken(tickets[0], ids[0]).await.unwrap();
    drop(server);
    line.kill().await;
    let line = scene.start();
    let states = || {
        let views = store.replies(&answered).into_iter();
        views.map(|view| view.state).collect::<Vec<_>>()
    };
    assert_eq!(states(), [ReplyState::Sent, ReplyState::Waiting]);
    let clock = scene.world.clock;
    let socket = PortalSocket::start(&scene.socket(), store.clone(), Arc::new(Alone), clock);
    let heard = eventually(|| (states()[0] == ReplyState::Failed).then_some(())).await;
    assert!(heard.is_some());
    // What it could not know is told again.
    store.reply_taken(tickets[1], ids[1]).await.unwrap();
    let heard = eventually(|| (states()[1] == ReplyState::Failed).then_some(())).await;
    assert!(heard.is_some());
    drop(socket);
    line.stop().await;
}

#[tokio::test]
async fn replies_that_are_none_of_ours_are_refused_and_nothing_is_kept() {
    let scene = Scene::new(&[Method::Tls]);
    let _portal = scene.portal();
    let line = scene.start();
    let (server, path) = door(&scene, &line).await;
    let with = |header: &str, body: &str| format!("{header}\r\n{body}").into_bytes();
    let from = "From: <secure-mail@clinic.example>\r\nReply-To: r@b.example\r\n";
    let only = "From: <secure-mail@clinic.example>\r\n";
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a@elsewhere.example", REPLY.to_vec()),
        (
            "a@clinic.example",
            with("From: <a@b.example>\r\nReply-To: r@b.example\r\n", "x\r\n"),
        ),
        // Somebody of ours, and nobody who wrote it.
        (
            "a@clinic.example",
            with(
                "From: <head@clinic.example>\r\nReply-To: r@b.example\r\n",
                "x\r\n",
            ),
        ),
        (
            "a@clinic.example",
            with(
                "From: <secure-mail@ward.clinic.example>\r\nReply-To: r@b.example\r\n",
                "x\r\n",
            ),
        ),
        ("a@clinic.example", with(only, "x\r\n")),
        (
            "a@clinic.example",
            with(&format!("{only}Reply-To: head@clinic.example\r\n"), "x\r\n"),
        ),
        (
            "a@clinic.example",
            with(
                &format!("{only}Reply-To: r@b.example, s@b.example\r\n"),
                "x\r\n",
            ),
        ),
        (
            "a@clinic.example",
            with(&format!("{from}Reply-To: r@b.example\r\n"), "x\r\n"),
        ),
        (
            "a@clinic.example",
            with("To: <a@clinic.example>\r\n", "x\r\n"),
        ),
        ("a@clinic.example", with(&format!("{from}{from}"), "x\r\n")),
        (
            "a@clinic.example",
            with(&format!("{from}Bcc: <x@b.example>\r\n"), "x\r\n"),
        ),
        (
            "a@clinic.example",
            with(&format!("{from}X-Sealpost-Level: protected\r\n"), "x\r\n"),
        ),
        ("a@clinic.example", with(from, "bare\nline\r\n")),
        ("a@clinic.example", with(from, "bare\rreturn\r\n")),
        ("a@clinic.example", with(from, "open\r")),
        ("a@clinic.example", with(from, &"x\r\n".repeat(50_000))),
        ("a@clinic.example", b"no header at all".to_vec()),
    ];
    for (number, (to, content)) in cases.into_iter().enumerate() {
        let mut asker = connect(&path).await;
        let answer = asker
            .ask(reply(9, to, "protected", &content), &content)
            .await;
        // Who is ours, and by which address, may be configured otherwise tomorrow.
        let code = match number {
            0..=3 => "temporary",
            // So may be how large a message may be.
            15 => "temporary",
            _ => "refused",
        };
        assert_eq!(answer["error"]["code"], code, "{number}: {answer}");
    }
    let summary = line.handle.summary().await.unwrap();
    assert_eq!(summary.messages, 0);
    drop(server);
    line.stop().await;
}

#[tokio::test]
async fn who_is_sent_a_reply_into_the_portal_is_told_who_wrote_it() {
    let scene = Scene::new(&[Method::Portal]);
    let portal = scene.portal();
    let line = scene.start();
    let (server, path) = door(&scene, &line).await;
    let mut asker = connect(&path).await;
    let request = reply(1, "a@clinic.example", "protected", REPLY);
    let id = queue_id(&asker.ask(request, REPLY).await);
    let deposited = line.event(is("deposited")).await;
    assert_eq!(deposited["queue_id"], id.to_string());
    let (deposit, content) = portal.deposits().remove(0);
    assert_eq!(
        (&deposit.author, &deposit.author_name, deposit.answerable),
        (&address("r@b.example"), &None, false)
    );
    assert!(String::from_utf8(content).unwrap().contains("thanks"));
    // The notice is ours all the same, and signed as such.
    let taken = scene.senders_mx.heard().taken;
    let notice = String::from_utf8(taken[0].content.clone()).unwrap();
    assert!(notice.contains("<secure-mail@clinic.example>"), "{notice}");
    assert!(notice.contains("d=clinic.example"), "{notice}");
    assert!(notice.contains("r@b.example"), "{notice}");
    assert!(!notice.contains("secure-mail@b.example"), "{notice}");
    drop(server);
    line.stop().await;
}
