//! What `policy explain` says of a message, and what the daemon then does with it: the same, for
//! policies and messages at random.
//!
//! One daemon in the small world takes one policy after the other. Each message is explained
//! first, by the command, and then handed in; the decision must be the same to the last word, on
//! the delivery log and on record, and what is done must be what was decided.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sealpost::world::clock::Clock;
use serde_json::Value;

use dice::Dice;
use messages::{Letter, Way, letter};
use policies::{CONDITIONS, Drawn};
use scene::Scene;

#[path = "agreement/dice.rs"]
mod dice;
#[path = "agreement/messages.rs"]
mod messages;
#[path = "agreement/policies.rs"]
mod policies;
#[path = "agreement/scene.rs"]
mod scene;

/// One run each; a failure names the one that it happened in.
const SEEDS: [u64; 1] = [1];
const POLICIES: usize = 48;
const MESSAGES: usize = 6;

const BILLING: &str = "billing";
const RESEARCH: &str = "research";
/// As the configuration writes them.
const LISTENERS: [&str; 3] = ["127.0.0.1:0", "127.0.0.2:0", "unix:in.sock"];
const SENDERS: [&str; 2] = ["you@dev.test", "lab@dev.test"];
const DOMAINS: [&str; 5] = [
    "tls.test",
    "smime.test",
    "portal.test",
    "weak.test",
    "dev.test",
];
/// Those whom every sender has written to.
const KNOWN: [&str; 2] = ["known@tls.test", "known@dev.test"];

impl Scene {
    /// Explains, hands in, compares; what has to be waited for.
    fn one(&mut self, letter: &Letter, policy: &Drawn) -> Option<Sent> {
        let explained = self.explain(letter, policy, &[]);
        self.log.catch_up();
        let from = self.log.lines.len();
        let answer = self.hand_in(letter);
        self.at
            .push_str(&format!("\nexplained: {explained:#}\nanswer: {answer:?}"));
        let refused = &explained["refused"];
        let id = match (answer, refused.is_null()) {
            (Ok(id), true) => id,
            (Err(reply), false) => {
                self.refused(refused, &reply, &explained["policy"], from);
                return None;
            }
            _ => panic!("explained and done are not the same: {}", self.at),
        };
        *self.volumes.entry(letter.way.user()).or_default() += letter.recipients.len();
        let of = |event: &'static str, id: &str| {
            let id = id.to_owned();
            move |line: &Value| line["event"] == event && line["queue_id"] == *id
        };
        let received = self.log.wait(&self.runtime, from, of("received", &id));
        assert_eq!(received["user"], letter.way.user());
        let client = letter.way.client().map_or(Value::Null, Value::String);
        assert_eq!(received.get("client").cloned().unwrap_or_default(), client);
        let rows = explained["recipients"].as_array().unwrap().clone();
        assert_eq!(rows.len(), letter.recipients.len());
        for row in &rows {
            let decided = self.log.wait(&self.runtime, from, |line| {
                of("decided", &id)(line) && line["recipient"] == row["recipient"]
            });
            let wanted = decided_as(&row["decision"]);
            let shown: Value = wanted
                .as_object()
                .unwrap()
                .keys()
                .map(|key| (key.clone(), decided.get(key).cloned().unwrap_or_default()))
                .collect();
            assert_eq!(shown, wanted, "decided: {decided:#}\n{}", self.at);
        }
        Some(Sent { id, from, rows })
    }

    /// The same refusal, by the same rule of the same policy.
    fn refused(&mut self, refused: &Value, reply: &str, policy: &Value, from: usize) {
        let text = refused["text"].as_str().unwrap();
        let wait = |line: &Value| line["event"] == "rejected";
        let rejected = self.log.wait(&self.runtime, from, wait);
        let rule = &refused["rule"];
        let wanted = match rule.as_str() {
            Some(rule) => {
                self.count("rejected by a rule");
                self.matched(rule);
                assert_eq!(rejected["policy"], *policy, "{rejected}\n{}", self.at);
                format!("550 5.7.1 {text} (rule {rule:?})")
            }
            None => {
                self.count("refused at the door");
                format!("Message refused: {text}")
            }
        };
        assert!(reply.contains(&wanted), "{wanted}\n{}", self.at);
        assert_eq!(rejected.get("rule").unwrap_or(&Value::Null), rule);
    }

    /// What was decided stands on record, and was done.
    fn settle(&mut self, sent: &Sent) {
        let records = self.records(&sent.id);
        for row in &sent.rows {
            let recipient = row["recipient"].as_str().unwrap();
            let decision = &row["decision"];
            let recorded = of_recipient(&records[0], recipient);
            assert_eq!(recorded, Some(decision), "{recipient}\n{}", self.at);
            self.notice(decision);
            let settled = self.log.wait(&self.runtime, sent.from, |line| {
                let events = ["delivered", "deferred", "held", "bounced", "expired"];
                let event = line["event"].as_str().unwrap();
                line["queue_id"] == *sent.id
                    && line["recipient"] == *recipient
                    && events.contains(&event)
            });
            let what = self.done(recipient, decision, &settled);
            self.count(what);
        }
    }

    /// Whether what was done is what was decided, given what the domain has to offer.
    fn done(&self, recipient: &str, decision: &Value, settled: &Value) -> String {
        let course = decision["course"]["course"].as_str().unwrap();
        let event = settled["event"].as_str().unwrap();
        let context = || format!("{recipient}: {decision:#}\n{settled:#}\n{}", self.at);
        let (wanted, what) = match course {
            "hold" => ("held", "held".to_owned()),
            "no_method" => ("deferred", "no method".to_owned()),
            "send" => {
                assert_eq!(decision["course"]["method"], "tls", "{}", context());
                let domain = recipient.rsplit_once('@').unwrap().1;
                let offered = offered(domain, &decision["terms"]);
                let demand = rank(decision["demands"].as_str().unwrap());
                match offered {
                    Some(grade) if rank(grade) >= demand => {
                        assert_eq!(settled["grade"], grade, "{}", context());
                        ("delivered", format!("delivered at {grade}"))
                    }
                    Some(grade) => {
                        assert_eq!(settled["grade"], grade, "{}", context());
                        ("deferred", format!("fell short at {grade}"))
                    }
                    None => ("deferred", "no host that may be used".to_owned()),
                }
            }
            other => panic!("nothing makes {other} here: {}", context()),
        };
        assert_eq!(event, wanted, "{}", context());
        if event == "deferred" {
            assert_eq!(settled["reason"], "security", "{}", context());
        }
        if event == "held" {
            let rules = decision["course"]["rules"].as_array().unwrap();
            let reason = settled["reason"].as_str().unwrap();
            assert!(
                rules
                    .iter()
                    .any(|rule| reason.contains(rule.as_str().unwrap())),
                "{}",
                context()
            );
        }
        let exception = !decision["exception"].is_null();
        what + if exception { ", by exception" } else { "" }
    }

    /// Explained as after the attempt, and decided after it: for one grade that fell short, if
    /// one did.
    fn after_the_attempt(&mut self, letter: &Letter, sent: &Sent, policy: &Drawn) -> bool {
        // By the grade, not by pins or the key exchange: explain asks for the grade alone.
        let below = |line: &Value| {
            let known = |name: &str| line[name].as_str().map(rank);
            known("grade")
                .zip(known("required"))
                .is_some_and(|(reached, least)| reached < least)
        };
        let short = |line: &&Value| {
            line["event"] == "deferred" && line["queue_id"] == *sent.id && below(line)
        };
        let short: Vec<Value> = self.log.lines[sent.from..]
            .iter()
            .filter(short)
            .cloned()
            .collect();
        let Some(grade) = short.first().map(|line| line["grade"].clone()) else {
            return false;
        };
        let reached = grade.as_str().unwrap();
        let explained = self.explain(letter, policy, &["--reached", reached]);
        let records = self.records(&sent.id);
        for line in short.iter().filter(|line| line["grade"] == grade) {
            let recipient = line["recipient"].as_str().unwrap();
            let rows = explained["recipients"].as_array().unwrap();
            let row = rows.iter().find(|row| row["recipient"] == recipient);
            let again = records[1..]
                .iter()
                .find_map(|record| of_recipient(record, recipient));
            assert_eq!(
                again,
                row.map(|row| &row["decision"]),
                "{recipient}\n{}",
                self.at
            );
            self.count("decided again after an attempt");
        }
        true
    }

    /// Counts what the decision shows.
    fn notice(&mut self, decision: &Value) {
        let mut rules: Vec<&Value> = Vec::new();
        for reason in decision["reasons"].as_array().unwrap() {
            let asker = reason["asker"].as_str().unwrap();
            self.count(format!("asked by: {asker}"));
            rules.extend(reason.get("name").filter(|_| asker == "rule"));
        }
        rules.extend(decision["alerts"].as_array().unwrap());
        rules.extend(decision["course"]["rules"].as_array().into_iter().flatten());
        for rule in rules {
            self.matched(rule.as_str().unwrap());
        }
        self.count(format!("level {}", decision["level"].as_str().unwrap()));
        if decision["terms"]["require_pq"] == true {
            self.count("post-quantum only");
        }
    }

    /// The name of a rule says what it asks for.
    fn matched(&mut self, rule: &str) {
        let kinds = rule.split_once(": ").map_or("", |(_, kinds)| kinds);
        for kind in kinds.split('+') {
            self.count(format!("matched: {kind}"));
        }
    }
}

/// A message that was taken.
struct Sent {
    id: String,
    /// Lines of the log before it.
    from: usize,
    /// What was explained, by recipient.
    rows: Vec<Value>,
}

fn rank(grade: &str) -> usize {
    let grades = ["none", "any", "pkix", "pinned", "mta-sts", "dane"];
    grades.iter().position(|it| *it == grade).unwrap()
}

/// What a connection to the domain's one host gives, as the small world is made; `None` where
/// there is none to be had under these terms.
fn offered(domain: &str, terms: &Value) -> Option<&'static str> {
    let pins = terms["pin_mx"].as_array().unwrap();
    let named = |pin: &Value| {
        let pin = pin.as_str().unwrap();
        pin == format!("mx.{domain}") || pin == format!("*.{domain}")
    };
    if !pins.is_empty() && !pins.iter().any(named) {
        return None;
    }
    match domain {
        "weak.test" if terms["require_pq"] == true => None,
        "weak.test" => Some("none"),
        "smime.test" | "portal.test" => Some("any"),
        _ if pins.is_empty() => Some("pkix"),
        _ => Some("pinned"),
    }
}

/// The decision of a record for a recipient.
fn of_recipient<'r>(record: &'r Value, recipient: &str) -> Option<&'r Value> {
    let groups = record["decided"].as_array().unwrap();
    let group = groups.iter().find(|group| {
        let mut recipients = group["recipients"].as_array().unwrap().iter();
        recipients.any(|it| it == recipient)
    });
    group.map(|group| &group["decision"])
}

/// What the delivery log must say of an explained decision.
fn decided_as(decision: &Value) -> Value {
    let all = |name: &str| decision[name].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let reasons: Vec<String> = all("reasons")
        .map(|reason| format!("{}: {}", text(&reason["level"]), text(&reason["text"])))
        .collect();
    let refusals: Vec<String> = all("candidates")
        .filter(|candidate| candidate["accepted"] == false)
        .map(|it| format!("{}: {}", text(&it["method"]), text(&it["refusal"])))
        .collect();
    let holds = decision["course"]["rules"].as_array();
    let raised = all("reasons")
        .filter(|reason| reason["asker"] == "rule" && reason["level"] == decision["level"])
        .map(|reason| &reason["name"]);
    let rules: Vec<String> = match holds {
        Some(holds) => holds.iter().map(text).collect(),
        None => raised.map(text).collect(),
    };
    let method = decision["course"].get("method").cloned();
    let sent = method.is_some();
    let some = |text: String| match text.is_empty() {
        true => Value::Null,
        false => Value::String(text),
    };
    let alerts: Vec<&Value> = all("alerts").collect();
    let exception = decision.get("exception").map(|it| {
        serde_json::json!({
            "recipient": it["recipient"], "owner": it["owner"], "reason": it["reason"],
        })
    });
    serde_json::json!({
        "level": decision["level"],
        "policy": decision["policy"],
        "reasons": reasons,
        "alerts": if alerts.is_empty() { Value::Null } else { serde_json::json!(alerts) },
        "rule": some(rules.join(", ")),
        "method": method,
        "required": decision.get("demands"),
        "exception": exception,
        "reason": if sent || holds.is_some() { Value::Null } else { some(refusals.join("; ")) },
    })
}

#[test]
fn what_is_explained_is_what_is_done() {
    for seed in SEEDS {
        let scratch = tempfile::tempdir().unwrap();
        let mut scene = Scene::new(scratch.path());
        acquaint(&mut scene);
        let mut dice = Dice::new(seed);
        let mut number = 0;
        for round in 0..POLICIES {
            let policy = loop {
                let drawn = policies::policy(&mut dice, round, Clock::system().now());
                if scene.install(&drawn.toml) {
                    break drawn;
                }
            };
            scene.count("policies");
            let mut sent = Vec::new();
            for _ in 0..MESSAGES {
                number += 1;
                let letter = letter(&mut dice, &policy, number);
                scene.at = format!(
                    "seed {seed:#x}, policy {round}, message {number}\n{}",
                    policy.toml
                );
                let content = String::from_utf8_lossy(&letter.content);
                let content: String = content.chars().take(3000).collect();
                write!(scene.at, "{:?} {:?} {content}", letter.way, letter.sender).unwrap();
                scene.count("messages");
                if let Some(one) = scene.one(&letter, &policy) {
                    sent.push((letter, one, scene.at.clone()));
                }
            }
            let mut looked = policy.volume;
            for (letter, one, at) in &sent {
                scene.at.clone_from(at);
                scene.settle(one);
                // Once is enough for a policy; what it counts goes on while it is tried.
                looked = looked || scene.after_the_attempt(letter, one, &policy);
            }
        }
        println!("{:#?}", scene.tally);
        covers(&scene.tally);
        assert_eq!(scene.served.stop(), Some(0));
    }
}

/// Lets every sender have written to those who are known.
fn acquaint(scene: &mut Scene) {
    assert!(scene.install(&policies::first_contacts()));
    for sender in SENDERS {
        let letter = Letter {
            way: Way::Unix,
            sender,
            recipients: KNOWN.map(str::to_owned).to_vec(),
            content: format!("From: {sender}\r\n\r\nhello\r\n").into_bytes(),
            first: true,
        };
        let id = scene.hand_in(&letter).unwrap();
        *scene.volumes.entry(letter.way.user()).or_default() += letter.recipients.len();
        for recipient in KNOWN {
            scene.log.wait(&scene.runtime, 0, |line| {
                let ours = line["queue_id"] == *id && line["recipient"] == recipient;
                ours && line["event"] == "delivered"
            });
        }
    }
}

/// Chance has shown all that there is to show.
fn covers(tally: &BTreeMap<String, usize>) {
    let conditions = CONDITIONS.map(|kind| format!("matched: {kind}"));
    let askers = [
        "base",
        "domain",
        "group",
        "user",
        "rule",
        "tag",
        "field",
        "detector",
        "unscannable",
    ];
    let askers = askers.map(|asker| format!("asked by: {asker}"));
    let others = [
        "rejected by a rule",
        "refused at the door",
        "held",
        "no method",
        "delivered at pkix",
        "delivered at pinned",
        "delivered at any, by exception",
        "delivered at none, by exception",
        "fell short at none",
        "fell short at any",
        "fell short at pkix",
        "no host that may be used",
        "post-quantum only",
        "decided again after an attempt",
    ];
    let others = others.map(str::to_owned);
    for wanted in conditions.iter().chain(&askers).chain(&others) {
        assert!(tally.contains_key(wanted), "never seen: {wanted}");
    }
    let none = tally.get("policies that are none").copied().unwrap_or(0);
    assert!(
        none < POLICIES / 2,
        "what is drawn is seldom a policy: {none}"
    );
}
