//! What the portal tells: a retraction, which ends what the line still has; and all of it on disk
//! before it is answered.

use sealpost::flow::{Machinery, Smime};
use sealpost::mail::CertificateFact;
use sealpost::seal::Sealer;

use super::*;
use crate::support::sealed::{FakeCertificates, Owner};

/// As the portal tells it.
fn retracted(id: MessageId, recipient: &str) -> Value {
    json!({"request": "event", "event": "retracted", "time": 1_800_000_000_000_000_u64,
        "queue_id": id.get(), "message_id": "<1@clinic.example>", "author": "a@clinic.example",
        "recipient": recipient, "factors": [], "client": null, "reasons": ["wrong Jo"],
        "actor": "ann", "opened_before": false})
}

/// The MX of the recipient's domain, as it is at first: it takes nothing yet, or has no TLS.
enum At {
    Greylisting,
    Plain,
}

impl Scene {
    fn at(&self, at: At) -> Mx {
        match at {
            At::Greylisting => {
                let mx = self.world.good_mx("mx.b.example");
                self.served_by(mx.saying("RCPT", "450 4.2.0 later\r\n"))
            }
            At::Plain => self.plain(),
        }
    }

    /// Far apart, so that what happens between two attempts happens between them.
    fn slow(methods: &[Method], pause: Duration) -> Self {
        let mut scene = Self::new(methods);
        scene.retry.schedule = vec![pause];
        scene
    }
}

async fn retry(line: &Line, id: MessageId) {
    let selection = Selection {
        id: Some(id),
        ..Selection::default()
    };
    let order = Order {
        operation: Operation::Retry,
        actor: "root".to_owned(),
        reason: "test".to_owned(),
    };
    line.handle.operate(selection, order).await.unwrap();
}

const LONG: Duration = Duration::from_secs(40);

#[tokio::test]
async fn what_is_retracted_while_its_notice_waits_is_sent_no_other_way() {
    let scene = Scene::slow(&[Method::Portal, Method::Tls], LONG);
    let (portal, mx) = (scene.portal(), scene.at(At::Greylisting));
    let line = scene.start();
    let (server, path) = door(&scene, &line).await;
    let mut asker = connect(&path).await;
    let id = line.submit(&["r@b.example", "s@b.example"], CONTENT).await;
    for recipient in ["r@b.example", "s@b.example"] {
        line.event(|it| it["event"] == "deferred" && it["recipient"] == recipient)
            .await;
    }
    portal.retract("r@b.example");
    assert_eq!(
        asker.ask(retracted(id, "r@b.example"), b"").await,
        json!({"ok": null})
    );
    // It was durable before that was said.
    let cancelled = line.event(is("cancelled")).await;
    assert_eq!(
        (&cancelled["recipient"], &cancelled["actor"]),
        (&"r@b.example".into(), &"ann".into())
    );
    let reason = cancelled["reason"].as_str().unwrap();
    assert_eq!(reason, "retracted in the portal: wrong Jo");
    assert_eq!(line.event(is("retracted")).await["actor"], "ann");
    let good = scene.good();
    // With no connection that was kept.
    line.handle.reload(scene.machinery(scene.source.clone()));
    retry(&line, id).await;
    let deposited = line.event(is("deposited")).await;
    assert_eq!(deposited["recipient"], "s@b.example");
    let heard = good.heard();
    assert_eq!(heard.taken.len(), 1, "the other's notice");
    assert!(!heard.everything().contains("canary"));
    assert!(!mx.heard().everything().contains("canary"));
    // Nobody else is told, as with any cancellation.
    assert!(scene.senders_mx.heard().taken.is_empty());
    // What the portal has no part in it cannot end.
    let tls = PolicySource {
        methods: vec![Method::Tls],
        ..scene.source.clone()
    };
    line.handle.reload(scene.machinery(tls));
    scene.at(At::Greylisting);
    let id = line.submit(&["t@b.example"], CONTENT).await;
    line.event(|it| it["event"] == "deferred" && it["recipient"] == "t@b.example")
        .await;
    asker.ask(retracted(id, "t@b.example"), b"").await;
    scene.good();
    line.handle.reload(scene.machinery(PolicySource {
        methods: vec![Method::Tls],
        ..scene.source.clone()
    }));
    retry(&line, id).await;
    line.event(|it| it["event"] == "delivered" && it["recipient"] == "t@b.example")
        .await;
    drop(server);
    line.stop().await;
}

#[tokio::test]
async fn the_portal_says_that_it_was_retracted_where_nobody_told_it() {
    // Its notice waits; its other method has failed before; its withdrawal is due.
    for (methods, first, other_policy) in [
        (&[Method::Portal, Method::Tls][..], At::Greylisting, false),
        (&[Method::Tls, Method::Portal], At::Plain, false),
        (&[Method::Portal], At::Greylisting, true),
    ] {
        let case = format!("{methods:?} {other_policy}");
        let scene = Scene::slow(methods, LONG);
        let (portal, mx) = (scene.portal(), scene.at(first));
        let line = scene.start();
        let id = match methods {
            [Method::Tls, ..] => {
                // A secret makes a notice good enough without TLS; it is not taken yet.
                let mx = scene.world.good_mx("mx.b.example");
                let mx = mx.saying("RCPT", "450 4.2.0 later\r\n");
                scene.served_by(mx.offering(&["PIPELINING", "8BITMIME"], &[]));
                let wishes = wishes("blue heron");
                line.submit_wishing(&["r@b.example"], CONTENT, wishes).await
            }
            _ => line.submit(&["r@b.example"], CONTENT).await,
        };
        line.event(|it| it["event"] == "deferred" && it["method"] == "portal")
            .await;
        assert_eq!(portal.deposits().len(), 1, "{case}");
        portal.retract("r@b.example");
        let good = scene.good();
        let mut source = scene.source.clone();
        if other_policy {
            source.methods = vec![Method::Tls];
        }
        // And no connection is kept.
        line.handle.reload(scene.machinery(source));
        retry(&line, id).await;
        let cancelled = line.event(is("cancelled")).await;
        assert_eq!(cancelled["actor"], "portal", "{case}");
        let delivered = line.events().iter().any(is("delivered"));
        assert!(!delivered, "{case}");
        for mx in [&mx, &good] {
            let heard = mx.heard();
            // Where no recipient was taken, DATA that was sent along ends with nothing.
            let nothing = heard.taken.iter().all(|it| it.recipients.is_empty());
            assert!(nothing, "{case}: {:?}", heard.commands);
            assert!(!heard.everything().contains("canary"), "{case}");
        }
        assert!(scene.senders_mx.heard().taken.is_empty(), "{case}");
        line.stop().await;
    }
}

#[tokio::test]
async fn what_is_retracted_while_a_directory_is_asked_is_not_sent() {
    for crash in [false, true] {
        let scene = Scene::slow(&[Method::Portal], LONG);
        let (portal, _mx) = (scene.portal(), scene.at(At::Greylisting));
        let line = scene.start();
        let id = line.submit(&["r@b.example"], CONTENT).await;
        line.event(is("deferred")).await;
        portal.retract("r@b.example");
        // Its withdrawal fails until the attempt has begun.
        portal.be(Mood::Busy);
        let certificates = Arc::new(FakeCertificates::default());
        let owner = Owner::new("r@b.example").trusted(CertificateFact::Directory);
        certificates.import("r@b.example", owner);
        let sealing = || Machinery {
            smime: Some(Smime {
                certificates: Arc::clone(&certificates) as _,
                sealer: Arc::new(Sealer::new(Vec::new())),
            }),
            ..scene.machinery(PolicySource {
                methods: vec![Method::Smime],
                smime: true,
                ..scene.source.clone()
            })
        };
        let good = scene.good();
        let hanging = certificates.hang().await;
        line.handle.reload(sealing());
        retry(&line, id).await;
        let begun = eventually(|| (certificates.checks() > 0).then_some(())).await;
        assert!(begun.is_some(), "{:#?}", line.events());
        let before = portal.requests().len();
        portal.be(Mood::Good);
        // It is not done with: nothing durable says yet that this recipient gets nothing.
        let again = || {
            let requests = portal.requests();
            let after = requests.iter().skip(before);
            (after.filter(|it| it.starts_with("withdraw")).count() > 1).then_some(())
        };
        let again = eventually(again).await;
        assert!(again.is_some(), "{:?}", portal.requests());
        assert_eq!(line.withdrawals().len(), 1);
        let line = if crash {
            line.kill().await;
            drop(hanging);
            // What was under way holds what it began with until it has ended.
            let ended = || (Arc::strong_count(&certificates) == 1).then_some(());
            assert!(eventually(ended).await.is_some());
            let directory = scene.directory.path();
            Line::start_with(&scene.world, directory, scene.retry.clone(), sealing())
        } else {
            drop(hanging);
            line
        };
        assert_eq!(line.event(is("cancelled")).await["actor"], "portal");
        let gone = eventually(|| line.withdrawals().is_empty().then_some(())).await;
        assert!(gone.is_some());
        line.stop().await;
        assert_eq!(good.heard().connections, 0, "crash: {crash}");
        assert!(scene.senders_mx.heard().taken.is_empty());
    }
}

#[tokio::test]
async fn what_was_left_in_a_portal_that_cannot_be_asked_waits() {
    for configured in [true, false] {
        let scene = Scene::slow(&[Method::Portal], LONG);
        let (portal, _mx) = (scene.portal(), scene.at(At::Greylisting));
        let line = scene.start();
        let id = line.submit(&["r@b.example", "s@b.example"], CONTENT).await;
        for recipient in ["r@b.example", "s@b.example"] {
            line.event(|it| it["event"] == "deferred" && it["recipient"] == recipient)
                .await;
        }
        let good = scene.good();
        let tls = || {
            scene.machinery(PolicySource {
                methods: vec![Method::Tls],
                ..scene.source.clone()
            })
        };
        match configured {
            true => {
                portal.be(Mood::Busy);
                line.handle.reload(tls());
            }
            false => line.handle.reload(Machinery {
                portal: None,
                ..tls()
            }),
        }
        portal.retract("s@b.example");
        retry(&line, id).await;
        for recipient in ["r@b.example", "s@b.example"] {
            let waits = |it: &Value| {
                it["event"] == "deferred" && it["method"] == "tls" && it["recipient"] == recipient
            };
            let waits = line.event(waits).await.to_string();
            assert_eq!(waits.contains("without [portal]"), !configured, "{waits}");
        }
        assert_eq!(good.heard().connections, 0);
        portal.be(Mood::Good);
        line.handle.reload(tls());
        retry(&line, id).await;
        let delivered = line.event(is("delivered")).await;
        assert_eq!(delivered["recipient"], "r@b.example");
        let cancelled = line.event(is("cancelled")).await;
        assert_eq!(cancelled["recipient"], "s@b.example");
        let heard = good.heard();
        assert_eq!(heard.taken.len(), 1);
        assert!(!heard.everything().contains("s@b.example"));
        line.stop().await;
    }
}

#[tokio::test]
async fn what_happened_is_on_disk_before_the_portal_may_forget_it() {
    let scene = Scene::new(&[Method::Portal]);
    let _portal = scene.portal();
    let line = scene.start();
    let file = scene.directory.path().join("full.jsonl");
    // Every write to this device fails with "no space left".
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let log = DeliveryLog::open(Target::File(file.clone())).unwrap();
    let (server, path) = door_logging(&scene, &line, log.clone()).await;
    let mut asker = connect(&path).await;
    let told = || retracted(MessageId::new(7), "r@b.example");
    for _ in 0..3 {
        let answer = asker.ask(told(), b"").await;
        assert_eq!(answer["error"]["code"], "temporary", "{answer}");
    }
    std::fs::remove_file(&file).unwrap();
    log.reopen();
    assert_eq!(asker.ask(told(), b"").await, json!({"ok": null}));
    let text = std::fs::read_to_string(&file).unwrap();
    // Once as it was told first, and once now: not as often as it was tried.
    assert_eq!(text.lines().count(), 2, "{text}");
    drop(server);
    line.stop().await;
}

#[tokio::test]
async fn a_code_is_digits_and_no_words_of_the_portals() {
    let scene = Scene::new(&[Method::Portal]);
    let (_portal, mx) = (scene.portal(), scene.good());
    let line = scene.start();
    let (server, path) = door(&scene, &line).await;
    let mut asker = connect(&path).await;
    for text in [
        "",
        "123",
        "1234567890123",
        "1234 5678",
        "١٢٣٤٥٦",
        "call 0800 123 at once",
    ] {
        let mut asked = code("r@b.example");
        asked["code"] = text.into();
        let answer = asker.ask(asked, b"").await;
        assert_eq!(answer["error"]["code"], "bad_request", "{text}");
    }
    let summary = line.handle.summary().await.unwrap();
    assert_eq!((summary.messages, mx.heard().connections), (0, 0));
    drop(server);
    line.stop().await;
}

#[tokio::test]
async fn a_reply_waits_while_the_configuration_is_another_one() {
    let scene = Scene::new(&[Method::Tls]);
    let _portal = scene.portal();
    let line = scene.start();
    let (server, path) = door(&scene, &line).await;
    let mut asker = connect(&path).await;
    let request = || reply(1, "a@clinic.example", "protected", REPLY);
    let first = asker.ask(request(), REPLY).await;
    assert!(first["ok"]["queue_id"].is_u64(), "{first}");
    let mut renamed = scene.machinery(scene.source.clone());
    if let Some(portal) = &mut renamed.portal {
        portal.setting.notice_from = "mail".to_owned();
    }
    let mut none = scene.machinery(scene.source.clone());
    none.portal = None;
    for machinery in [renamed, none] {
        line.handle.reload(machinery);
        let other = reply(2, "a@clinic.example", "protected", REPLY);
        let answer = asker.ask(other, REPLY).await;
        assert_eq!(answer["error"]["code"], "temporary", "{answer}");
        // What was taken in before stays so.
        assert_eq!(asker.ask(request(), REPLY).await, first);
    }
    line.handle.reload(scene.machinery(scene.source.clone()));
    // Messages may not be so large any more.
    let log = line.log.clone();
    let (smaller, path) = door_taking(&scene, &line, log, REPLY.len() as u64 - 1);
    let other = reply(2, "a@clinic.example", "protected", REPLY);
    let answer = connect(&path).await.ask(other, REPLY).await;
    assert_eq!(answer["error"]["code"], "temporary", "{answer}");
    let mut narrow = connect(&path).await;
    assert_eq!(narrow.ask(request(), REPLY).await, first);
    // Another one under its number is none that was taken in.
    let other = [REPLY, b"more\r\n"].concat();
    let same = reply(1, "a@clinic.example", "protected", &other);
    let answer = narrow.ask(same, &other).await;
    assert_eq!(answer["error"]["code"], "temporary", "{answer}");
    drop(smaller);
    let other = reply(2, "a@clinic.example", "protected", REPLY);
    let answer = asker.ask(other, REPLY).await;
    assert!(answer["ok"]["queue_id"].is_u64(), "{answer}");
    // What no configuration takes is not tried again.
    let mut huge = reply(3, "a@clinic.example", "protected", b"");
    huge["octets"] = ((1_u64 << 30) + 1).into();
    let answer = asker.ask(huge, b"").await;
    assert_eq!(answer["error"]["code"], "refused", "{answer}");
    drop(server);
    line.stop().await;
}
