//! A mail exchanger that behaves, except where a test tells it not to, and writes down every
//! octet that it hears: what it did not hear was not said.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use sealpost::world::net::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsAcceptor;

/// What the exchanger does at some point of the dialog.
#[derive(Debug, Clone)]
pub enum Do {
    /// What a good server does.
    Default,
    /// Says this, as it stands.
    Say(String),
    /// Says this, octet by octet, with a pause before each.
    Drip(String, Duration),
    /// Says this and closes.
    SayAndClose(String),
    /// Closes.
    Close,
    /// Says nothing, ever.
    Hang,
}

/// Where the dialog is: which connection (from 0), in TLS or not.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub connection: usize,
    pub tls: bool,
}

type Hook = Arc<dyn Fn(At, &str) -> Do + Send + Sync>;

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub connection: usize,
    pub mail: String,
    pub recipients: Vec<String>,
    /// Without the stuffed dots.
    pub content: Vec<u8>,
}

/// What the exchanger heard.
#[derive(Debug, Default, Clone)]
pub struct Heard {
    pub connections: usize,
    /// Handshakes that ended well.
    pub handshakes: usize,
    /// Every octet that came outside TLS, over all connections.
    pub plain: Vec<u8>,
    /// Every octet that came inside TLS.
    pub secured: Vec<u8>,
    pub commands: Vec<String>,
    pub taken: Vec<Taken>,
}

/// An exchanger.
#[derive(Clone)]
pub struct Mx {
    pub ehlo_plain: Vec<String>,
    pub ehlo_tls: Vec<String>,
    pub implicit: bool,
    /// Shown to the first, second, … connection; the last one to all that follow.
    pub identities: Vec<Arc<ServerConfig>>,
    /// Asked before each step: `connect`, each command line, `content`, `.`, `handshake`.
    pub hook: Hook,
    heard: Arc<Mutex<Heard>>,
    connections: Arc<AtomicUsize>,
}

fn lines(keywords: &[&str]) -> Vec<String> {
    keywords.iter().map(|&k| k.to_owned()).collect()
}

impl Mx {
    pub fn new(identity: Arc<ServerConfig>) -> Self {
        Self {
            ehlo_plain: lines(&["PIPELINING", "STARTTLS"]),
            ehlo_tls: lines(&[
                "PIPELINING",
                "8BITMIME",
                "SIZE 52428800",
                "AUTH PLAIN LOGIN",
            ]),
            implicit: false,
            identities: vec![identity],
            hook: Arc::new(|_, _| Do::Default),
            heard: Arc::default(),
            connections: Arc::default(),
        }
    }

    pub fn offering(mut self, plain: &[&str], tls: &[&str]) -> Self {
        self.ehlo_plain = lines(plain);
        self.ehlo_tls = lines(tls);
        self
    }

    pub fn when(mut self, hook: impl Fn(At, &str) -> Do + Send + Sync + 'static) -> Self {
        self.hook = Arc::new(hook);
        self
    }

    /// Says `reply` to every command that begins with `verb`.
    pub fn saying(self, verb: &'static str, reply: &'static str) -> Self {
        self.when(move |_, step| {
            if step.starts_with(verb) {
                Do::Say(reply.to_owned())
            } else {
                Do::Default
            }
        })
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }

    /// Serves one connection in a task of its own.
    pub fn serve(&self, stream: DuplexStream) {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst);
        self.heard.lock().unwrap().connections += 1;
        let mx = self.clone();
        tokio::spawn(async move {
            let mut session = Session {
                at: At {
                    connection,
                    tls: false,
                },
                stream: Box::new(stream),
                buffer: Vec::new(),
                taken: 0,
                mx,
                mail: String::new(),
                recipients: Vec::new(),
            };
            // An error is the peer gone: the transcript says the rest.
            drop(session.run().await);
        });
    }
}

impl Heard {
    /// The lines said in TLS and outside.
    pub fn everything(&self) -> String {
        format!(
            "{}{}",
            String::from_utf8_lossy(&self.plain),
            String::from_utf8_lossy(&self.secured)
        )
    }

    /// Fails if an octet of envelope, content or credentials was heard.
    pub fn assert_nothing_of_the_message(&self) {
        let everything = self.everything().to_ascii_uppercase();
        for word in ["MAIL", "RCPT", "DATA", "AUTH", "CANARY", "CLINIC-SECRET"] {
            assert!(!everything.contains(word), "{word} in {everything:?}");
        }
        assert!(self.taken.is_empty());
    }
}

struct Session {
    at: At,
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// Octets at the front of the buffer that were read as lines.
    taken: usize,
    mx: Mx,
    mail: String,
    recipients: Vec<String>,
}

/// The peer or the script ended the session, after these last words.
struct Ended(String);
type Step<T> = Result<T, Ended>;

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Self {
        Self(String::new())
    }
}

impl Session {
    async fn run(&mut self) -> Step<()> {
        if self.mx.implicit {
            self.handshake().await?;
        }
        self.act("connect", "220 mx.test ESMTP\r\n").await?;
        loop {
            let line = self.line().await?;
            self.mx.heard.lock().unwrap().commands.push(line.clone());
            let verb = line
                .split([' ', ':'])
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let keywords = if self.at.tls {
                        &self.mx.ehlo_tls
                    } else {
                        &self.mx.ehlo_plain
                    };
                    let reply = ehlo(keywords);
                    self.act(&line, &reply).await?;
                }
                "STARTTLS" => {
                    let said = self.act(&line, "220 go ahead\r\n").await?;
                    if said.starts_with("220") {
                        self.handshake().await?;
                    }
                }
                "MAIL" => {
                    self.mail.clone_from(&line);
                    self.recipients.clear();
                    self.act(&line, "250 2.1.0 ok\r\n").await?;
                }
                "RCPT" => {
                    let said = self.act(&line, "250 2.1.5 ok\r\n").await?;
                    if said.starts_with('2') {
                        self.recipients.push(line);
                    }
                }
                "DATA" => {
                    let said = self.act(&line, "354 go ahead\r\n").await?;
                    if said.starts_with("354") {
                        self.content().await?;
                    }
                }
                "AUTH" => drop(self.act(&line, "235 2.7.0 welcome\r\n").await?),
                "RSET" => drop(self.act(&line, "250 2.0.0 ok\r\n").await?),
                "QUIT" => {
                    self.act(&line, "221 2.0.0 bye\r\n").await?;
                    return Ok(());
                }
                _ => drop(self.act(&line, "500 5.5.2 what\r\n").await?),
            }
        }
    }

    async fn content(&mut self) -> Step<()> {
        let mut content = Vec::new();
        let mut first = true;
        loop {
            let line = self.raw_line().await?;
            if std::mem::take(&mut first) {
                self.act("content", "").await?;
            }
            if line == b".\r\n" {
                break;
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let done = self.act(".", "250 2.0.0 queued as 1\r\n").await;
        let (Ok(said) | Err(Ended(said))) = &done;
        if said.starts_with('2') {
            let taken = Taken {
                connection: self.at.connection,
                mail: self.mail.clone(),
                recipients: self.recipients.clone(),
                content,
            };
            self.mx.heard.lock().unwrap().taken.push(taken);
        }
        done.map(drop)
    }

    /// Does what the hook says; what was said in the end.
    async fn act(&mut self, step: &str, default: &str) -> Step<String> {
        match (self.mx.hook)(self.at, step) {
            Do::Default => {
                self.say(default).await?;
                Ok(default.to_owned())
            }
            Do::Say(reply) => {
                self.say(&reply).await?;
                Ok(reply)
            }
            Do::Drip(reply, pause) => {
                for octet in reply.bytes() {
                    tokio::time::sleep(pause).await;
                    self.stream.write_all(&[octet]).await?;
                    self.stream.flush().await?;
                }
                Ok(reply)
            }
            Do::SayAndClose(reply) => {
                self.say(&reply).await?;
                Err(Ended(reply))
            }
            Do::Close => Err(Ended(String::new())),
            Do::Hang => std::future::pending().await,
        }
    }

    async fn say(&mut self, text: &str) -> Step<()> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await?;
        Ok(())
    }

    async fn handshake(&mut self) -> Step<()> {
        let at = self.at;
        match (self.mx.hook)(at, "handshake") {
            Do::Default => {}
            Do::Close => return Err(Ended(String::new())),
            Do::Hang => return std::future::pending().await,
            Do::Say(octets) | Do::SayAndClose(octets) | Do::Drip(octets, _) => {
                // Behind the ClientHello; whatever comes is heard, and goes nowhere.
                self.fill().await?;
                self.say(&octets).await?;
                loop {
                    self.fill().await?;
                }
            }
        }
        let identities = &self.mx.identities;
        let number = at.connection.min(identities.len() - 1);
        let acceptor = TlsAcceptor::from(Arc::clone(&identities[number]));
        let (stand_in, _) = tokio::io::duplex(1);
        let stream = std::mem::replace(&mut self.stream, Box::new(stand_in));
        self.stream = Box::new(acceptor.accept(stream).await?);
        self.at.tls = true;
        self.mx.heard.lock().unwrap().handshakes += 1;
        Ok(())
    }

    async fn line(&mut self) -> Step<String> {
        let line = self.raw_line().await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn raw_line(&mut self) -> Step<Vec<u8>> {
        loop {
            let rest = &self.buffer[self.taken..];
            if let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
                let line = rest[..end + 2].to_vec();
                self.taken += line.len();
                return Ok(line);
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Step<()> {
        let mut octets = [0; 4096];
        let count = self.stream.read(&mut octets).await?;
        if count == 0 {
            return Err(Ended(String::new()));
        }
        let mut heard = self.mx.heard.lock().unwrap();
        if self.at.tls {
            heard.secured.extend_from_slice(&octets[..count]);
        } else {
            heard.plain.extend_from_slice(&octets[..count]);
        }
        drop(heard);
        self.buffer.extend_from_slice(&octets[..count]);
        Ok(())
    }
}

fn ehlo(keywords: &[String]) -> String {
    let mut lines = vec!["mx.test at your service".to_owned()];
    lines.extend_from_slice(keywords);
    let last = lines.len() - 1;
    lines
        .iter()
        .enumerate()
        .map(|(at, line)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' }))
        .collect()
}
