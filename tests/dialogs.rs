//! SMTP dialogs as files, played against the sans-I/O server session.
//!
//! `tests/dialogs/*.txt`, one dialog a file. Lines:
//!
//! - `# …` a comment; `= channel tls|plain|local`, `= size N`, `= recipients N` before the first step;
//! - `C: text` the client sends the text and CRLF; `C> text` without CRLF. Escapes: `\r \n \0 \\ \xNN`,
//!   and `{NxTEXT}` repeats the text N times. Steps of the client that follow one another are one write;
//! - `S: text` the server's next line, exactly; with `...` at the end, it begins so; `{queue id}`
//!   stands for any queue id;
//! - `T: N` lets N seconds pass;
//! - `A: 452 4.3.1 text` the next question about sender, room or storage is answered by that refusal;
//! - `Q: drain` the server is told to drain; `Q: eof` the client closes its side;
//! - `X: stored TEXT` a message was stored, with this content; `X: closed` the connection is closed;
//!   `X: abandoned` content was given up.
//!
//! Whatever the server says beyond what is expected fails the dialog. Every dialog is played
//! again with each write cut into single octets, and must give the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sealpost::mail::{Address, Domain, MessageId, ReversePath, Timestamp};
use sealpost::proto::smtp::server::{
    Channel, Input, Output, Reply, Session, SessionConfig, Verdict,
};

/// A session with a small world around it: account `jo` with password `secret`, who may send as
/// anybody at clinic.example.
struct World {
    session: Session,
    now: Timestamp,
    said: Vec<u8>,
    facts: VecDeque<String>,
    refusal: Option<Reply>,
    content: Vec<u8>,
    ids: u64,
}

impl World {
    fn new(channel: Channel, size: u64, recipients: usize) -> Self {
        let now = Timestamp::from_secs(1_000_000);
        let config = SessionConfig {
            hostname: Domain::parse("mail.clinic.example").unwrap(),
            postmaster: Address::parse("postmaster@clinic.example").unwrap(),
            message_octets: size,
            recipients,
        };
        let mut world = Self {
            session: Session::new(Arc::new(config), channel, now),
            now,
            said: Vec::new(),
            facts: VecDeque::new(),
            refusal: None,
            content: Vec::new(),
            ids: 0,
        };
        world.drain_outputs();
        world
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
        self.drain_outputs();
    }

    fn receive(&mut self, octets: &[u8], chunk: usize) {
        for piece in octets.chunks(chunk) {
            self.input(Input::Received(piece));
        }
    }

    fn drain_outputs(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(octets) => self.said.extend_from_slice(&octets),
                Output::StartTls => self.session.handle(self.now, Input::TlsEstablished),
                Output::AskCredentials(credentials) => {
                    let right =
                        credentials.name == "jo" && credentials.password.expose() == b"secret";
                    let verdict = if right {
                        Verdict::Accepted
                    } else {
                        Verdict::Wrong
                    };
                    let verdict = self.refusal.take().map_or(verdict, Verdict::Refused);
                    self.session.handle(self.now, Input::Credentials(verdict));
                }
                Output::AskSender(path) => {
                    let answer = self.permission(&path);
                    self.session.handle(self.now, Input::Sender(answer));
                }
                Output::AskData(_) => {
                    self.content.clear();
                    let answer = self.refusal.take().map_or(Ok(()), Err);
                    self.session.handle(self.now, Input::Ready(answer));
                }
                Output::Content(octets) => self.content.extend_from_slice(&octets),
                Output::AbandonContent => self.facts.push_back("abandoned".into()),
                Output::AskCommit(transaction) => {
                    assert!(!transaction.recipients.is_empty());
                    let answer = self.refusal.take().map_or_else(|| Ok(self.store()), Err);
                    self.session.handle(self.now, Input::Committed(answer));
                }
                Output::Rejected(rejection) => {
                    assert!(rejection.reply.code() >= 400);
                }
                Output::Close => self.facts.push_back("closed".into()),
            }
        }
    }

    fn permission(&mut self, path: &ReversePath) -> Result<(), Reply> {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        match path.address() {
            Some(address) if address.domain().as_str() != "clinic.example" => {
                Err(Reply::new(550, (5, 7, 1), "Not permitted"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn store(&mut self) -> MessageId {
        self.ids += 1;
        let content = String::from_utf8_lossy(&std::mem::take(&mut self.content)).into_owned();
        self.facts.push_back(format!("stored {content}"));
        MessageId::new(self.ids)
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.input(Input::Tick);
        }
        self.now = end;
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\\' {
            let code = rest.chars().next().expect("an escape");
            rest = &rest[1..];
            octets.push(match code {
                'r' => b'\r',
                'n' => b'\n',
                '0' => 0,
                'x' => {
                    let (digits, tail) = rest.split_at(2);
                    rest = tail;
                    u8::from_str_radix(digits, 16).unwrap()
                }
                other => u8::try_from(other).unwrap(),
            });
        } else if let Some((count, repeated, tail)) = (c == '{').then(|| repeat(rest)).flatten() {
            octets.extend(unescape(repeated).repeat(count));
            rest = tail;
        } else {
            octets.extend_from_slice(c.to_string().as_bytes());
        }
    }
    octets
}

/// `NxTEXT}tail`
fn repeat(text: &str) -> Option<(usize, &str, &str)> {
    let (inside, tail) = text.split_once('}')?;
    let (count, repeated) = inside.split_once('x')?;
    Some((count.parse().ok()?, repeated, tail))
}

fn matches(expected: &str, line: &str) -> bool {
    if let Some(start) = expected.strip_suffix("...") {
        return line.starts_with(start);
    }
    match expected.split_once("{queue id}") {
        Some((before, after)) => line
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|id| id.parse::<MessageId>().is_ok()),
        None => expected == line,
    }
}

struct Player {
    world: World,
    sending: Vec<u8>,
    chunk: usize,
}

impl Player {
    fn settle(&mut self) {
        let octets = std::mem::take(&mut self.sending);
        self.world.receive(&octets, self.chunk);
    }

    fn expect_line(&mut self, expected: &str, at: &str) {
        self.settle();
        let said = &mut self.world.said;
        let end = said
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .unwrap_or_else(|| panic!("{at}: nothing was said; expected {expected:?}"));
        let line = String::from_utf8(said.drain(..end + 2).collect()).unwrap();
        let line = line.strip_suffix("\r\n").unwrap();
        assert!(
            matches(expected, line),
            "{at}: expected {expected:?}, got {line:?}"
        );
    }

    fn expect_silence(&self, at: &str) {
        let said = String::from_utf8_lossy(&self.world.said);
        assert!(
            said.is_empty(),
            "{at}: said {said:?} beyond what is expected"
        );
    }

    fn step(&mut self, line: &str, at: &str) {
        let (kind, text) = line.split_at(2);
        let text = text.strip_prefix(' ').unwrap_or(text);
        match kind {
            "C:" | "C>" => {
                if self.sending.is_empty() {
                    self.expect_silence(at);
                }
                self.sending.extend(unescape(text));
                if kind == "C:" {
                    self.sending.extend_from_slice(b"\r\n");
                }
            }
            "S:" => self.expect_line(text, at),
            "T:" => {
                self.settle();
                self.world.wait(text.parse().unwrap());
            }
            "A:" => {
                self.settle();
                let mut words = text.splitn(3, ' ');
                let code = words.next().unwrap().parse().unwrap();
                let enhanced: Vec<u16> = words
                    .next()
                    .unwrap()
                    .split('.')
                    .map(|part| part.parse().unwrap())
                    .collect();
                let class = u8::try_from(enhanced[0]).unwrap();
                let text = words.next().unwrap();
                self.world.refusal =
                    Some(Reply::new(code, (class, enhanced[1], enhanced[2]), text));
            }
            "Q:" => {
                self.settle();
                match text {
                    "drain" => self.world.input(Input::Drain),
                    "eof" => self.world.input(Input::Eof),
                    other => panic!("{at}: {other}"),
                }
            }
            "X:" => {
                self.settle();
                let fact = self.world.facts.pop_front();
                let expected = String::from_utf8_lossy(&unescape(text)).into_owned();
                assert_eq!(fact, Some(expected), "{at}");
            }
            other => panic!("{at}: unknown step {other}"),
        }
    }
}

fn play(path: &Path, chunk: usize) {
    let text = fs::read_to_string(path).unwrap();
    let (mut channel, mut size, mut recipients) = (Channel::Tls, 1_000_000, 1000);
    let mut player: Option<Player> = None;
    for (number, line) in text.lines().enumerate() {
        let at = format!("{}:{} by {chunk}", path.display(), number + 1);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(setting) = line.strip_prefix("= ") {
            assert!(player.is_none(), "{at}: settings come first");
            match setting.split_once(' ').unwrap() {
                ("channel", "tls") => channel = Channel::Tls,
                ("channel", "plain") => channel = Channel::Plain,
                ("channel", "local") => channel = Channel::Local,
                ("size", octets) => size = octets.parse().unwrap(),
                ("recipients", count) => recipients = count.parse().unwrap(),
                other => panic!("{at}: {other:?}"),
            }
            continue;
        }
        player
            .get_or_insert_with(|| Player {
                world: World::new(channel, size, recipients),
                sending: Vec::new(),
                chunk,
            })
            .step(line, &at);
    }
    let mut player = player.expect("a dialog");
    player.settle();
    let at = path.display().to_string();
    player.expect_silence(&at);
    assert!(
        player.world.facts.is_empty(),
        "{at}: {:?}",
        player.world.facts
    );
}

#[test]
fn every_dialog_goes_as_written() {
    let mut played = 0;
    let mut paths: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        play(&path, usize::MAX);
        // An attacker's octets behind STARTTLS are told from TLS by arriving with it.
        if !path.to_string_lossy().contains("injection") {
            play(&path, 1);
            play(&path, 7);
        }
        played += 1;
    }
    assert!(played >= 20, "only {played} dialogs were found");
}

/// A whole session in one write, cut in two at every octet, says the same.
#[test]
fn the_cut_never_matters() {
    let session = b"EHLO client.example\r\nAUTH PLAIN AGpvAHNlY3JldA==\r\nNOOP x\r\nMAIL FROM:<jo@clinic.example> SIZE=20\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<\"a>b\"@b.example>\r\nRCPT TO:<jo@[127.0.0.1]>\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\nMAIL FROM:<x@other.example>\r\nDATA\r\nRSET\r\nXYZZY\r\nMAIL FROM: <>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n.\r\nHELP\r\nQUIT\r\n";
    let play = |cut: usize| {
        let mut world = World::new(Channel::Tls, 1000, 10);
        let (head, tail) = session.split_at(cut);
        world.input(Input::Received(head));
        world.input(Input::Received(tail));
        (String::from_utf8(world.said).unwrap(), world.facts)
    };
    let whole = play(session.len());
    assert!(
        whole
            .0
            .ends_with("221 2.0.0 mail.clinic.example closes the connection\r\n"),
        "{}",
        whole.0
    );
    assert_eq!(
        whole.1,
        ["stored Subject: x\r\n\r\n.\r\n", "stored ", "closed"]
    );
    for cut in 0..session.len() {
        assert_eq!(play(cut), whole, "cut at {cut}");
    }
}

/// Replies to a batch of pipelined commands go out in one write (RFC 2920 §3.2).
#[test]
fn a_batch_is_answered_in_one_write() {
    let config = SessionConfig {
        hostname: Domain::parse("mail.clinic.example").unwrap(),
        postmaster: Address::parse("postmaster@clinic.example").unwrap(),
        message_octets: 1000,
        recipients: 10,
    };
    let now = Timestamp::from_secs(1);
    let mut session = Session::new(Arc::new(config), Channel::Local, now);
    let mut writes = Vec::new();
    let mut run = |session: &mut Session, input: Input<'_>| {
        session.handle(now, input);
        while let Some(output) = session.poll_output() {
            match output {
                Output::Send(octets) => writes.push(octets.split(|&b| b == b'\n').count() - 1),
                Output::AskSender(_) => session.handle(now, Input::Sender(Ok(()))),
                Output::AskData(_) => session.handle(now, Input::Ready(Ok(()))),
                other => panic!("{other:?}"),
            }
        }
    };
    run(&mut session, Input::Received(b"EHLO x\r\n"));
    run(
        &mut session,
        Input::Received(
            b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<c@b.example>\r\nDATA\r\n",
        ),
    );
    assert_eq!(
        writes,
        [6, 4],
        "greeting and EHLO are one write here, the batch another"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any octets: no panic, only well-formed reply lines within the length limit, and a close
    /// is the end.
    #[test]
    fn any_octets_get_well_formed_replies(
        channel in prop_oneof![Just(Channel::Tls), Just(Channel::Plain), Just(Channel::Local)],
        pieces in proptest::collection::vec(prop_oneof![
            Just(b"EHLO x\r\n".to_vec()),
            Just(b"AUTH PLAIN AGpvAHNlY3JldA==\r\n".to_vec()),
            Just(b"AUTH LOGIN\r\n".to_vec()),
            Just(b"STARTTLS\r\n".to_vec()),
            Just(b"MAIL FROM:<jo@clinic.example>\r\n".to_vec()),
            Just(b"RCPT TO:<a@b.example>\r\n".to_vec()),
            Just(b"DATA\r\n".to_vec()),
            Just(b"\r\n.\r\n".to_vec()),
            Just(b"RSET\r\n".to_vec()),
            Just(vec![b'x'; 2000]),
            proptest::collection::vec(any::<u8>(), 0..30),
        ], 0..40),
        waits in proptest::collection::vec(0_u64..400, 40),
    ) {
        let mut world = World::new(channel, 3000, 3);
        for (piece, seconds) in pieces.iter().zip(waits) {
            world.input(Input::Received(piece));
            if seconds > 390 {
                world.wait(seconds);
            }
        }
        world.input(Input::Drain);
        world.input(Input::Eof);
        let said = String::from_utf8(world.said).unwrap();
        for line in said.split_inclusive("\r\n") {
            prop_assert!(line.len() <= 512 && line.ends_with("\r\n"), "{line:?}");
            prop_assert!(line.bytes().all(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n')), "{line:?}");
            prop_assert!(line[..3].parse::<u16>().is_ok_and(|code| (200..600).contains(&code)), "{line:?}");
            prop_assert!(matches!(&line[3..4], " " | "-"), "{line:?}");
        }
        let closes = world.facts.iter().filter(|fact| *fact == "closed").count();
        prop_assert_eq!(closes, 1);
        prop_assert_eq!(world.facts.back().map(String::as_str), Some("closed"));
    }
}
