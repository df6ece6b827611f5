//! A process that is killed while it takes mail: whatever it called durable is there afterwards.
//!
//! The test runs itself as the process to be killed (`the_victim`), reads from its output which
//! messages were durable or done, kills it with SIGKILL at a moment of its own choosing, and opens
//! the spool. Several times over the same directory, so that recovered segments are written on.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use sealpost::journal::MasterKey;
use sealpost::mail::{Address, Envelope, MessageClass, MessageId, ReversePath, Timestamp};
use sealpost::spool::{Change, Recovery, Spool, SpoolOptions};
use sealpost::world::clock::Clock;

const ROUNDS: usize = 5;
const DIRECTORY: &str = "SEALPOST_TEST_SPOOL";
const MASTER_KEY: &str = "AQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwg=";

fn open(directory: &Path) -> (Spool, Recovery) {
    let options = SpoolOptions {
        directory: directory.to_path_buf(),
        master_key: MasterKey::from_base64(MASTER_KEY).unwrap(),
        segment_octets: 256 * 1024,
    };
    Spool::open(options, Clock::system()).unwrap()
}

fn content(id: MessageId) -> Vec<u8> {
    let octets = match id.get() % 16 {
        0 => 150_000, // a file of its own
        n => usize::try_from(n * 300).unwrap(),
    };
    id.to_string()
        .into_bytes()
        .into_iter()
        .cycle()
        .take(octets)
        .collect()
}

fn envelope(id: MessageId) -> Arc<Envelope> {
    Arc::new(Envelope {
        id,
        class: MessageClass::Submitted,
        reverse_path: ReversePath::Null,
        recipients: vec![Address::parse("someone@example.test").unwrap()],
        author: None,
        message_id: String::new(),
        client: None,
        received: Timestamp::from_secs(1),
        size: 0,
        eight_bit: false,
        tags: Vec::new(),
        pickup: Default::default(),
    })
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Takes mail until it is killed. Half of the messages are done at once.
#[test]
#[ignore = "run by the other test, to be killed"]
fn the_victim() {
    #[allow(clippy::disallowed_methods, reason = "the parent says where")]
    let directory = PathBuf::from(std::env::var(DIRECTORY).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (spool, _) = open(&directory);
        let producers: Vec<_> = (0..8)
            .map(|_| {
                let spool = spool.clone();
                tokio::spawn(async move {
                    for n in 0.. {
                        let id = spool.next_id();
                        let mut writer = spool.writer(id);
                        writer.write(&content(id)).await.unwrap();
                        let change = Change::Accept {
                            envelope: envelope(id),
                            body: writer.finish().await.unwrap(),
                        };
                        spool.commit(vec![change]).await.unwrap();
                        say(&format!("accepted {}", id.get()));
                        if n % 2 == 0 {
                            say(&format!("ending {}", id.get()));
                            spool.commit_soon(vec![Change::Done { id }]).await.unwrap();
                            say(&format!("done {}", id.get()));
                        }
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.await.unwrap();
        }
    });
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Accepted,
    /// Its end was asked for and not confirmed: it may be there or not.
    Ending,
    Done,
}

/// Starts the victim, kills it after `lines` lines, and adds what it said.
fn run_and_kill(directory: &Path, lines: usize, told: &mut BTreeMap<MessageId, Told>) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "spool_kill::the_victim",
            "--ignored",
            "--nocapture",
        ])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(victim.stdout.take().unwrap());
    for (at, line) in output.lines().enumerate() {
        if at == lines {
            victim.kill().unwrap();
        }
        // What was still in the pipe was said as well; a line cut by the end was not.
        let line = line.unwrap();
        let mut words = line.split(' ');
        let Some((word, id)) = words
            .next()
            .zip(words.next().and_then(|id| id.parse().ok()))
        else {
            continue;
        };
        let said = match word {
            "accepted" => Told::Accepted,
            "ending" => Told::Ending,
            "done" => Told::Done,
            _ => continue,
        };
        told.insert(MessageId::new(id), said);
    }
    assert!(
        !victim.wait().unwrap().success(),
        "it should have been killed"
    );
}

#[test]
fn what_was_durable_survives_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for round in 0..ROUNDS {
        run_and_kill(directory.path(), 40 + round * 37, &mut told);
        let (spool, recovery) = open(directory.path());
        assert!(recovery.report.is_sound(), "{:?}", recovery.report);
        let found: Vec<MessageId> = recovery
            .messages
            .iter()
            .map(|message| message.envelope.id)
            .collect();
        for (id, told) in &told {
            let there = found.contains(id);
            match told {
                Told::Accepted => assert!(there, "round {round}: {id} is lost"),
                Told::Ending => {}
                Told::Done => assert!(!there, "round {round}: {id} came back"),
            }
        }
        assert!(told.len() > 10 * (round + 1));
        // Those that nobody was told of are whole, too.
        runtime.block_on(async {
            for &id in &found {
                let stored = spool.content(id).read_all().await.unwrap();
                assert!(stored == content(id), "round {round}: {id} has changed");
            }
        });
        let highest = found.last().into_iter().chain(told.keys().last()).max();
        assert!(spool.next_id() > *highest.unwrap());
        runtime.block_on(spool.close());
    }
}
