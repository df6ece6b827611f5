//! What the policy has to say at the door: tags that are understood and taken out, rules that
//! reject at the end of data.

use sealpost::mail::Level;
use sealpost::policy::source::{Condition, Rule, SubjectTag};
use sealpost::policy::{Policy, PolicySource};

use super::submission::{Scene, queue_id, scene};
use crate::support::door::Client;

fn rule(name: &str, when: Vec<Condition>, reject: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        when,
        raise: None,
        hold: false,
        reject: Some(reject.to_owned()),
        alert: false,
    }
}

fn policy(rules: Vec<Rule>) -> Policy {
    let tag = |text: &str, raise| SubjectTag {
        text: text.to_owned(),
        raise,
    };
    let source = PolicySource {
        rules,
        tags: vec![
            tag("[secure]", Level::Confidential),
            tag("[open]", Level::Protected),
        ],
        ..PolicySource::default()
    };
    Policy::compile(source).unwrap()
}

async fn scene_under(rules: Vec<Rule>) -> Scene {
    let scene = scene().await;
    scene.line.set_policy(&scene.world, policy(rules));
    scene
}

async fn submit(client: &mut Client, content: &str) -> String {
    let content = format!("From: <a@clinic.example>\r\n{content}");
    client
        .submit("a@clinic.example", &["r@b.example"], content.as_bytes())
        .await
}

#[tokio::test]
async fn tags_are_gone_from_what_is_delivered() {
    let scene = scene_under(vec![]).await;
    let mut client = scene.door.client().await;
    let content = "x-sealpost-level: PROTECTED\r\nSubject: [Open] Results\r\n of today [OPEN]\r\nThread-Topic: =?utf-8?q?[open]_caf=C3=A9?=\r\n\r\n[open]\r\n";
    queue_id(&submit(&mut client, content).await);
    scene.line.event(|line| line["event"] == "delivered").await;
    let taken = scene.mx.heard().taken;
    let content = String::from_utf8(taken[0].content.clone()).unwrap();
    assert!(
        content.contains("\r\nSubject: Results\r\n of today\r\n"),
        "{content}"
    );
    assert!(
        content.contains("\r\nThread-Topic: =?UTF-8?Q?caf=C3=A9?=\r\n"),
        "{content}"
    );
    assert!(!content.to_lowercase().contains("x-sealpost"), "{content}");
    assert!(content.ends_with("\r\n\r\n[open]\r\n"), "{content}");
}

#[tokio::test]
async fn a_tag_raises_the_level_and_so_keeps_the_message_back() {
    let scene = scene_under(vec![]).await;
    let mut client = scene.door.client().await;
    for content in [
        "Subject: x [secure]\r\n\r\nbody\r\n",
        "Subject: x\r\nX-Sealpost-Level: confidential\r\n\r\nbody\r\n",
    ] {
        let reply = submit(&mut client, content).await;
        let id = queue_id(&reply);
        let decided = scene
            .line
            .event(|line| line["event"] == "decided" && line["queue_id"] == id)
            .await;
        assert_eq!(decided["level"], "confidential", "{content}");
        scene
            .line
            .event(|line| line["event"] == "deferred" && line["queue_id"] == id)
            .await;
    }
    scene.mx.heard().assert_nothing_of_the_message();
}

#[tokio::test]
async fn a_mistyped_tag_is_refused_and_nothing_is_kept() {
    let scene = scene_under(vec![]).await;
    let mut client = scene.door.client().await;
    for field in ["X-Sealpost-Level: confidental", "X-Sealpost-Levle: sealed"] {
        let reply = submit(&mut client, &format!("{field}\r\n\r\nbody\r\n")).await;
        assert!(
            reply.starts_with("554 5.6.0 Message refused: ") && reply.contains("X-Sealpost-Level"),
            "{reply}"
        );
        assert!(!reply.contains("confidental"), "values are not repeated");
    }
    assert_eq!(scene.line.handle.summary().await.unwrap().messages, 0);
    queue_id(&submit(&mut client, "\r\nbody\r\n").await);
}

fn house_rules() -> Vec<Rule> {
    vec![
        rule(
            "no programs",
            vec![Condition::AttachmentName("(?i)\\.exe$".to_owned())],
            "Programs are not taken",
        ),
        rule(
            "no archives",
            vec![Condition::AttachmentType(vec![
                "application/zip".to_owned(),
            ])],
            "Archives are not taken",
        ),
        rule(
            "no lotteries",
            vec![Condition::Subject("(?i)lottery\u{e9}?".to_owned())],
            "G\u{e9}nug\u{2028}\u{2029}250 2.0.0 Ok",
        ),
        rule(
            "no crowds",
            vec![Condition::VisibleRecipientsOver(2)],
            "Use Bcc",
        ),
        rule(
            "unix only",
            vec![
                Condition::Listener(vec!["implicit".to_owned()]),
                Condition::Header {
                    name: "X-Batch".to_owned(),
                    pattern: String::new(),
                },
            ],
            "Batches come by the socket",
        ),
    ]
}

#[tokio::test]
async fn rules_reject_at_the_end_of_data_by_header_parts_and_envelope() {
    let scene = scene_under(house_rules()).await;
    let mut client = scene.door.client().await;
    let attached = |field: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n{field}\r\n\r\nx\r\n--b--\r\n"
        )
    };
    for (content, reply) in [
        (
            attached("Content-Disposition: attachment; filename*=utf-8''a%2eEXE"),
            "Programs are not taken (rule \"no programs\")",
        ),
        (
            attached("Content-Type: Application/ZIP"),
            "Archives are not taken (rule \"no archives\")",
        ),
        (
            "Subject: =?utf-8?b?bG90dGVyecOp?=\r\n\r\nx\r\n".to_owned(),
            "G?nug??250 2.0.0 Ok (rule \"no lotteries\")",
        ),
        (
            "To: a@b.example, g: b@b.example;\r\nCc: c@b.example\r\n\r\nx\r\n".to_owned(),
            "Use Bcc (rule \"no crowds\")",
        ),
        (
            "X-Batch: 1\r\n\r\nx\r\n".to_owned(),
            "Batches come by the socket (rule \"unix only\")",
        ),
    ] {
        let expected = format!("550 5.7.1 {reply}\r\n");
        assert_eq!(submit(&mut client, &content).await, expected);
    }
    // The log is written behind the reply, in its order.
    scene.line.event(|line| line["rule"] == "unix only").await;
    let events = scene.line.events();
    let names: Vec<_> = events
        .iter()
        .filter(|line| line["event"] == "rejected")
        .map(|line| line["rule"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "no programs",
            "no archives",
            "no lotteries",
            "no crowds",
            "unix only"
        ]
    );
    let hash = scene.line.handle.machinery().policy.hash().to_string();
    for line in &events {
        assert_eq!(line["policy"], hash.as_str(), "{line}");
        assert_eq!(line["user"], "app");
    }
    assert_eq!(scene.line.handle.summary().await.unwrap().messages, 0);
    // What no rule minds goes through, on the same connection and on another listener.
    queue_id(&submit(&mut client, "Subject: x\r\n\r\nx\r\n").await);
    let mut local = scene.door.client_unix().await;
    local.greeted().await;
    queue_id(&submit(&mut local, "X-Batch: 1\r\n\r\nx\r\n").await);
    // Its refusal by other than a rule names none.
    let reply = submit(&mut client, "Subject: a\r\nSubject: b\r\n\r\nx\r\n").await;
    assert!(reply.starts_with("554 5.6.0"), "{reply}");
    let refused = scene
        .line
        .event(|line| line["event"] == "rejected" && line["reply"]["code"] == 554)
        .await;
    assert!(refused.get("rule").is_none() && refused.get("policy").is_none());
}

#[tokio::test]
async fn a_long_text_leaves_room_for_the_rule() {
    let name = "n".repeat(90);
    let text = "t".repeat(600);
    let rules = vec![rule(&name, vec![Condition::SizeOver(1)], &text)];
    let scene = scene_under(rules).await;
    let mut client = scene.door.client().await;
    let reply = submit(&mut client, "\r\nx\r\n").await;
    assert!(reply.len() <= 512, "{}", reply.len());
    assert!(
        reply.ends_with(&format!("t (rule \"{name}\")\r\n")),
        "{reply}"
    );
}

#[tokio::test]
async fn a_reload_does_not_come_between_tags_and_rules_of_one_message() {
    let scene = scene_under(vec![]).await;
    let mut client = scene.door.client().await;
    client
        .send(b"MAIL FROM:<a@clinic.example>\r\nRCPT TO:<r@b.example>\r\nDATA\r\n")
        .await;
    for code in ["250 2.1.0", "250 2.1.5", "354 "] {
        client.expect(code).await;
    }
    let everything = rule("all", vec![Condition::SizeOver(0)], "Closed");
    scene
        .line
        .set_policy(&scene.world, policy(vec![everything]));
    client
        .send(b"From: a@clinic.example\r\nSubject: x [open]\r\n\r\nx\r\n.\r\n")
        .await;
    queue_id(&client.reply().await);
    let reply = submit(&mut client, "\r\nx\r\n").await;
    assert_eq!(reply, "550 5.7.1 Closed (rule \"all\")\r\n");
}
