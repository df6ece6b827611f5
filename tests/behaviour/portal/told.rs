//! What the portal tells: a retraction, which ends what the line still has; and all of it on disk
//! before it is answered.

use super::*;

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
async fn what_was_left_in_a_portal_that_cannot_be_asked_waits() {
    let scene = Scene::slow(&[Method::Portal], LONG);
    let (portal, _mx) = (scene.portal(), scene.at(At::Greylisting));
    let line = scene.start();
    let id = line.submit(&["r@b.example"], CONTENT).await;
    line.event(is("deferred")).await;
    portal.be(Mood::Busy);
    let good = scene.good();
    let tls = PolicySource {
        methods: vec![Method::Tls],
        ..scene.source.clone()
    };
    line.handle.reload(scene.machinery(tls));
    retry(&line, id).await;
    line.event(|it| it["event"] == "deferred" && it["method"] == "tls")
        .await;
    assert_eq!(good.heard().connections, 0);
    portal.be(Mood::Good);
    retry(&line, id).await;
    line.event(is("delivered")).await;
    assert_eq!(good.heard().taken.len(), 1);
    line.stop().await;
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
    let other = reply(2, "a@clinic.example", "protected", REPLY);
    let answer = asker.ask(other, REPLY).await;
    assert!(answer["ok"]["queue_id"].is_u64(), "{answer}");
    drop(server);
    line.stop().await;
}
