//! What must hold for any octets of an SMTP client.

use std::sync::Arc;
use std::time::Duration;

use sealpost::mail::{Address, Domain, MessageId, Timestamp};
use sealpost::proto::smtp::command::{self, Command, Forward};
use sealpost::proto::smtp::data::DataReader;
use sealpost::proto::smtp::server::{
    Channel, Input, Output, Reply, Session, SessionConfig, Verdict,
};

/// A command line: never a panic; what was understood, said again, is understood the same.
pub fn command(octets: &[u8]) {
    match command::parse(octets) {
        Ok(Command::Mail(mail)) => {
            let again = format!("MAIL FROM:<{}>", mail.reverse_path);
            match command::parse(again.as_bytes()) {
                Ok(Command::Mail(second)) => assert_eq!(second.reverse_path, mail.reverse_path),
                other => panic!("{again:?} became {other:?}"),
            }
        }
        Ok(Command::Rcpt(Forward::Address(address))) => {
            let again = format!("RCPT TO:<{address}>");
            let expected = Ok(Command::Rcpt(Forward::Address(address)));
            assert_eq!(command::parse(again.as_bytes()), expected);
        }
        Ok(_) | Err(_) => {}
    }
}

/// Content behind DATA, cut as its first octet says: the end is where CRLF "." CRLF is first
/// seen, and what comes out is canonical.
pub fn data(octets: &[u8]) {
    const LIMIT: u64 = 4096;
    let Some((&first, wire)) = octets.split_first() else {
        return;
    };
    let mut reader = DataReader::new(LIMIT);
    let mut content = Vec::new();
    let mut taken = 0;
    let mut ended = false;
    for piece in wire.chunks(usize::from(first).max(1)) {
        let progress = reader.read(piece, &mut content);
        taken += progress.consumed;
        if progress.ended {
            ended = true;
            break;
        }
        assert_eq!(progress.consumed, piece.len());
    }
    let with_command = [b"\r\n", wire].concat();
    let end = with_command
        .windows(5)
        .position(|window| window == b"\r\n.\r\n")
        .map(|at| at + 3);
    assert_eq!(ended.then_some(taken), end);
    assert!(content.len() as u64 <= LIMIT);
    if ended && reader.fault().is_none() {
        assert_eq!(content.len() as u64, reader.octets());
        let text = String::from_utf8_lossy(&content);
        assert!(content.is_empty() || text.ends_with("\r\n"));
        assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
        assert!(text.split("\r\n").all(|line| line.len() <= 3 * 998));
    }
}

/// A whole session, each octet or run of octets an event; see [`Player::step`].
pub fn server_ops(octets: &[u8]) {
    let Some((&first, mut rest)) = octets.split_first() else {
        return;
    };
    let channel = match first % 3 {
        0 => Channel::Plain,
        1 => Channel::Tls,
        _ => Channel::Local,
    };
    let mut player = Player::new(channel);
    player.drain_outputs(0);
    while let Some((&op, tail)) = rest.split_first() {
        rest = player.step(op, tail);
    }
    player.session.handle(player.now, Input::Eof);
    player.drain_outputs(0);
    assert!(player.closed, "the end of input ends the session");
}

struct Player {
    session: Session,
    now: Timestamp,
    /// What the world would say now, from what it answered before.
    encrypted: bool,
    identified: bool,
    in_content: bool,
    closed: bool,
}

impl Player {
    fn new(channel: Channel) -> Self {
        let config = SessionConfig {
            hostname: Domain::parse("mail.clinic.example").expect("a domain"),
            postmaster: Address::parse("postmaster@clinic.example").expect("an address"),
            message_octets: 2000,
            recipients: 3,
        };
        let now = Timestamp::from_secs(1_000_000);
        Self {
            session: Session::new(Arc::new(config), channel, now),
            now,
            encrypted: channel != Channel::Plain,
            identified: channel == Channel::Local,
            in_content: false,
            closed: false,
        }
    }

    /// One event. The low two bits: octets of the client (the next octet says how many), a common
    /// line, time, or an order. The rest says which, and how questions are answered.
    fn step<'a>(&mut self, op: u8, tail: &'a [u8]) -> &'a [u8] {
        const LINES: [&[u8]; 16] = [
            b"EHLO client.example\r\n",
            b"HELO x\r\n",
            b"STARTTLS\r\n",
            b"AUTH PLAIN AGpvAHNlY3JldA==\r\n",
            b"AUTH LOGIN\r\n",
            b"am8=\r\n",
            b"MAIL FROM:<jo@clinic.example>\r\n",
            b"RCPT TO:<a@b.example>\r\n",
            b"DATA\r\n",
            b"Subject: x\r\n\r\nx\r\n.\r\n",
            b"\r\n.\r\n",
            b"RSET\r\n",
            b"QUIT\r\n",
            b"*\r\n",
            b"XYZZY\r\n",
            b"a\nb",
        ];
        let answer = op >> 6;
        let mut rest = tail;
        match op & 3 {
            0 => {
                let len = tail.first().map_or(0, |&len| usize::from(len));
                let octets = tail.get(1..).unwrap_or_default();
                let (head, after) = octets.split_at(len.min(octets.len()));
                self.session.handle(self.now, Input::Received(head));
                rest = after;
            }
            1 => {
                let line = LINES.get(usize::from(op >> 2 & 15)).copied().unwrap_or(b"");
                self.session.handle(self.now, Input::Received(line));
            }
            2 => {
                self.now = self.now + Duration::from_secs(u64::from(op >> 2 & 15) * 30);
                self.session.handle(self.now, Input::Tick);
            }
            _ => {
                let input = match op >> 2 & 7 {
                    0 => Input::Drain,
                    1 => Input::Eof,
                    // Answers that nobody asked for change nothing.
                    2 => Input::TlsEstablished,
                    3 => Input::Sender(Ok(())),
                    4 => Input::Credentials(Verdict::Accepted),
                    _ => Input::Tick,
                };
                self.session.handle(self.now, input);
            }
        }
        self.drain_outputs(answer);
        rest
    }

    fn drain_outputs(&mut self, answer: u8) {
        let refusal = || match answer {
            0 | 1 => Ok(()),
            2 => Err(Reply::new(452, (4, 3, 1), "Full")),
            _ => Err(Reply::new(421, (4, 3, 2), "Draining")),
        };
        while let Some(output) = self.session.poll_output() {
            assert!(!self.closed, "{output:?} behind the close");
            match output {
                Output::Send(octets) => well_formed(&octets),
                Output::StartTls => {
                    assert!(!self.encrypted);
                    self.encrypted = true;
                    self.session.handle(self.now, Input::TlsEstablished);
                }
                Output::AskCredentials(_) => {
                    assert!(self.encrypted && !self.identified);
                    let verdict = match answer {
                        0 => Verdict::Accepted,
                        1 => Verdict::Wrong,
                        2 => Verdict::Refused(Reply::new(454, (4, 7, 0), "Busy")),
                        _ => Verdict::Refused(Reply::new(421, (4, 7, 0), "Locked")),
                    };
                    self.identified = answer == 0;
                    self.session.handle(self.now, Input::Credentials(verdict));
                }
                Output::AskSender(_) => {
                    assert!(self.encrypted && self.identified);
                    self.session.handle(self.now, Input::Sender(refusal()));
                }
                Output::AskData(_) => {
                    assert!(!self.in_content);
                    self.in_content = refusal().is_ok();
                    self.session.handle(self.now, Input::Ready(refusal()));
                }
                Output::Content(octets) => assert!(self.in_content && !octets.is_empty()),
                Output::AbandonContent => {
                    assert!(self.in_content);
                    self.in_content = false;
                }
                Output::AskCommit(transaction) => {
                    assert!(self.in_content && (1..=3).contains(&transaction.recipients.len()));
                    self.in_content = false;
                    let answer = refusal().map(|()| MessageId::new(1));
                    self.session.handle(self.now, Input::Committed(answer));
                }
                Output::Rejected(rejection) => assert!(rejection.reply.code() >= 400),
                Output::Close => self.closed = true,
            }
        }
    }
}

fn well_formed(octets: &[u8]) {
    let text = std::str::from_utf8(octets).expect("ASCII");
    assert!(text.ends_with("\r\n"));
    for line in text.split_inclusive("\r\n") {
        assert!(line.len() <= 512, "{line:?}");
        let body = line.trim_end_matches("\r\n");
        assert!(
            body.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{line:?}"
        );
        assert!(
            body.get(..3)
                .is_some_and(|code| code.parse::<u16>().is_ok())
        );
        assert!(matches!(body.as_bytes().get(3), Some(b' ' | b'-')));
    }
}
