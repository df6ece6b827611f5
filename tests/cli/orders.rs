//! What an operator orders on the command line, and what the delivery log keeps of it.

use serde_json::Value;

use super::daemon::{Served, client, send, world};
use super::support::{Ran, run};

#[test]
fn what_is_ordered_is_done_recorded_and_explained() {
    let scratch = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let home = world(scratch.path(), &runtime);
    let served = Served::start(scratch.path(), "sealpost.toml");
    let client = client(&home, &served, home.password());
    let id = runtime.block_on(send(&client, "friend@weak.test")).unwrap();
    let id = id.to_string();
    let queue = |args: &[&str]| -> Ran {
        let mut all = vec!["queue"];
        all.extend_from_slice(args);
        all.extend_from_slice(&["--config", "sealpost.toml"]);
        run(scratch.path(), &all)
    };
    let state = || -> Value {
        let shown = queue(&["show", &id, "--json"]);
        assert_eq!(shown.code, Some(0), "{shown:?}");
        let detail: Value = serde_json::from_str(&shown.out).unwrap();
        detail["recipients"][0].clone()
    };
    // The first attempt has to come back; each look is a process of its own, so it has the time.
    let waits = (0..500).any(|_| state()["state"] == "deferred");
    assert!(waits, "it never was deferred");

    let explained = queue(&["explain", &id]);
    assert_eq!(explained.code, Some(0), "{explained:?}");
    for text in [
        "the base of the policy (protected)",
        "tls refused: the connection reached none, and pkix is needed",
        "no method is left",
    ] {
        assert!(explained.out.contains(text), "{text}: {explained:?}");
    }
    let explained: Value = serde_json::from_str(&queue(&["explain", &id, "--json"]).out).unwrap();
    let recipient = &explained["recipients"][0];
    assert_eq!(recipient["course"], "no_method");
    assert_eq!(recipient["reasons"][0]["level"], "protected");
    assert_eq!(recipient["policy"].as_str().unwrap().len(), 32);

    let held = queue(&["hold", &id, "--reason", "wait for their mend"]);
    assert_eq!(held.out, "1 recipient: held\n", "{held:?}");
    assert_eq!(state()["state"], "held");
    let list = queue(&["list", "--state", "held"]);
    assert!(list.out.contains("held(operator)"), "{list:?}");
    let retried = queue(&["retry", "--all", "--reason", "they say it is mended"]);
    assert!(
        retried.out.contains("do not wait for another attempt"),
        "{retried:?}"
    );
    let freed = queue(&["release", "--domain", "weak.test", "--reason", "mended"]);
    assert_eq!(freed.out, "1 recipient: released\n", "{freed:?}");
    let waits = (0..500).any(|_| state()["state"] == "deferred");
    assert!(waits, "it went on waiting for a person");

    let gone = queue(&["cancel", &id, "--reason", "sent by post", "--json"]);
    let tally: Value = serde_json::from_str(&gone.out).unwrap();
    assert_eq!(
        (&tally["operation"], &tally["changed"]),
        (&"cancel".into(), &1.into()),
        "{gone:?}"
    );
    assert_eq!(state()["state"], "cancelled");
    let again = queue(&["cancel", &id]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("no recipient of"), "{again:?}");
    for wrong in [
        &["cancel"][..],
        &["cancel", "--all", "--dsn"],
        &["hold", "nonsense"],
        &["retry", "--all", "--reason", "two\nlines"],
    ] {
        assert_eq!(queue(wrong).code, Some(2), "{wrong:?}");
    }
    let nobody = queue(&["release", "--all"]);
    assert_eq!(
        (nobody.code, &*nobody.out),
        (Some(0), "nobody in the queue matches\n")
    );
    assert_eq!(served.stop(), Some(0));
    check_log(scratch.path(), &id);
}

/// Every order stands in the log, with who and why.
fn check_log(directory: &std::path::Path, id: &str) {
    let log = std::fs::read_to_string(directory.join("delivery.jsonl")).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (event, reason) in [
        ("held", "wait for their mend"),
        ("released", "mended"),
        ("cancelled", "sent by post"),
    ] {
        let told = lines
            .iter()
            .find(|line| line["event"] == event && line["queue_id"] == id)
            .expect(event);
        assert_eq!(told["reason"], reason);
        let actor = told["actor"].as_str().unwrap();
        assert!(!actor.is_empty() && actor != "unknown", "{actor}");
        assert_eq!(told["recipient"], "friend@weak.test");
    }
    let ends = |line: &&Value| {
        let event = line["event"].as_str().unwrap();
        let finals = ["delivered", "bounced", "expired", "cancelled"];
        line["queue_id"] == id && finals.contains(&event)
    };
    assert_eq!(lines.iter().filter(ends).count(), 1, "one final event");
}
