//! A daemon that takes one policy after the other, and the questions that are put to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealpost::config;
use sealpost::dev::client::{Client, ClientError};
use sealpost::dev::home::Home;
use sealpost::directory::users::edit;
use sealpost::mail::SecretBytes;
use sealpost::world::clock::Clock;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::super::daemon::{Served, client, world};
use super::super::support::{put, run};
use super::messages::{Letter, Way};
use super::policies::Drawn;
use super::{BILLING, RESEARCH};

/// The delivery log while it grows.
pub struct Log {
    file: File,
    /// The beginning of a line.
    rest: String,
    pub lines: Vec<Value>,
}

impl Log {
    pub fn catch_up(&mut self) {
        self.file.read_to_string(&mut self.rest).unwrap();
        let end = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let new: String = self.rest.drain(..end).collect();
        let lines = new.lines().map(|line| serde_json::from_str(line).unwrap());
        self.lines.extend(lines);
    }

    /// The first line from `from` on that is so; waits for it.
    pub fn wait(&mut self, runtime: &Runtime, from: usize, so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..10_000 {
            if let Some(line) = self.lines[from..].iter().find(|line| so(line)) {
                return line.clone();
            }
            // Between two looks, not instead of one.
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(3)).await });
            self.catch_up();
        }
        panic!("the log never says it; it says {:#?}", &self.lines[from..]);
    }
}

/// What the daemon answered: a queue id, or words.
pub type Answer = Result<String, String>;

/// A dialogue without TLS, for listeners that act for an account.
struct Plain<S: Read + Write>(BufReader<S>);

impl<S: Read + Write> Plain<S> {
    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    fn ask(&mut self, octets: &[u8]) -> String {
        self.0.get_mut().write_all(octets).unwrap();
        self.reply()
    }

    fn send(stream: S, letter: &Letter) -> Answer {
        let mut dialogue = Self(BufReader::new(stream));
        let mut commands = vec!["EHLO localhost".to_owned()];
        commands.push(format!("MAIL FROM:<{}>", letter.sender));
        commands.extend(letter.recipients.iter().map(|it| format!("RCPT TO:<{it}>")));
        assert!(dialogue.reply().starts_with("220 "));
        for command in commands {
            let reply = dialogue.ask(format!("{command}\r\n").as_bytes());
            assert!(reply.starts_with("250 "), "{command}: {reply}");
        }
        assert!(dialogue.ask(b"DATA\r\n").starts_with("354 "));
        let mut content = Vec::new();
        for line in letter.content.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                content.push(b'.');
            }
            content.extend_from_slice(line);
        }
        let reply = dialogue.ask(&[&content, &b".\r\n"[..]].concat());
        match reply.strip_prefix("250 2.0.0 Ok: queued as ") {
            Some(id) => Ok(id.to_owned()),
            None => Err(reply),
        }
    }
}

/// A daemon, and all that is asked of it.
pub struct Scene {
    directory: PathBuf,
    pub runtime: Runtime,
    _home: Home,
    pub served: Served,
    client: Client,
    /// The configuration without a policy.
    config: String,
    pub log: Log,
    /// Recipients that each account wrote to.
    pub volumes: BTreeMap<&'static str, usize>,
    /// How often what was seen.
    pub tally: BTreeMap<String, usize>,
    /// What is explained now, for failures.
    pub at: String,
}

impl Scene {
    pub fn new(directory: &Path) -> Self {
        let runtime = Runtime::new().unwrap();
        let home = world(directory, &runtime);
        let password = SecretBytes::new(b"correct horse battery".to_vec());
        for account in [BILLING, RESEARCH] {
            let senders = ["*@dev.test".parse().unwrap()];
            edit::add(&home.path("users.toml"), account, &senders, &password).unwrap();
        }
        let config = std::fs::read_to_string(home.config_file()).unwrap();
        // What a portal carries does not wait, and this looks at what does.
        let (before, portal) = config.split_once("[portal]").unwrap();
        let (_, behind) = portal.split_once("\n\n").unwrap();
        let config = format!("{before}{behind}");
        let plain = format!(
            "address = \"127.0.0.2:0\"\ntls = \"none\"\nuser = \"{RESEARCH}\"\n\n[[listener]]\naddress = \"unix:in.sock\"\ntls = \"none\"\nuser = \"{BILLING}\"\n"
        );
        let second = "address = \"127.0.0.1:0\"\ntls = \"starttls\"\n";
        assert!(config.contains(second));
        // Nothing is tried twice while we look.
        let config = config.replace(second, &plain) + "\n[retry]\nschedule = [\"1d\"]\n\n";
        put(directory, "sealpost.toml", &config, 0o600);
        let served = Served::start(directory, "sealpost.toml");
        Self {
            client: client(&home, &served, home.password()),
            log: Log {
                file: File::open(directory.join("delivery.jsonl")).unwrap(),
                rest: String::new(),
                lines: Vec::new(),
            },
            directory: directory.to_owned(),
            runtime,
            _home: home,
            served,
            config,
            volumes: BTreeMap::new(),
            tally: BTreeMap::new(),
            at: String::new(),
        }
    }

    pub fn count(&mut self, what: impl Into<String>) {
        *self.tally.entry(what.into()).or_default() += 1;
    }

    /// Takes a policy into force; whether it is one.
    pub fn install(&mut self, policy: &str) -> bool {
        let text = format!("{}{policy}", self.config);
        put(&self.directory, "sealpost.toml", &text, 0o600);
        let file = self.directory.join("sealpost.toml");
        if config::read_policy(&file, Clock::system().now()).is_err() {
            self.count("policies that are none");
            return false;
        }
        self.served.signal(rustix::process::Signal::HUP);
        // The daemon must think so, too.
        let said = self.served.wait_for("configuration");
        assert!(
            said.contains("the configuration was reloaded"),
            "{said}\n{policy}"
        );
        true
    }

    pub fn hand_in(&self, letter: &Letter) -> Answer {
        match letter.way {
            Way::Tls => {
                let to: Vec<&str> = letter.recipients.iter().map(String::as_str).collect();
                let sent = self.client.send(letter.sender, &to, &letter.content);
                match self.runtime.block_on(sent) {
                    Ok(id) => Ok(id.to_string()),
                    Err(ClientError::Refused { reply, .. }) => Err(reply),
                    Err(error) => panic!("{error}"),
                }
            }
            Way::Unix => {
                let stream = UnixStream::connect(self.directory.join("in.sock")).unwrap();
                Plain::send(stream, letter)
            }
            Way::Loopback(octet) => {
                let kind = socket2::Type::STREAM;
                let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
                let here = SocketAddr::from(([127, 0, 0, octet], 0));
                socket.bind(&here.into()).unwrap();
                socket.connect(&self.served.addresses[1].into()).unwrap();
                Plain::send(TcpStream::from(socket), letter)
            }
        }
    }

    /// What the command says of it.
    pub fn explain(&self, letter: &Letter, policy: &Drawn, more: &[&str]) -> Value {
        std::fs::write(self.directory.join("message.eml"), &letter.content).unwrap();
        let mut args = vec!["--config", "sealpost.toml", "policy", "explain", "--json"];
        args.extend(["--message", "message.eml", "--from", letter.sender]);
        for recipient in &letter.recipients {
            args.extend(["--to", recipient]);
        }
        args.extend(["--user", letter.way.user()]);
        args.extend(["--listener", letter.way.listener()]);
        let client = letter.way.client();
        if let Some(client) = &client {
            args.extend(["--client", client]);
        }
        if policy.first_contact {
            args.extend(["--first-contact", if letter.first { "yes" } else { "no" }]);
        }
        let before = self.volumes.get(letter.way.user()).copied().unwrap_or(0);
        let volume = (before + letter.recipients.len()).to_string();
        if policy.volume {
            args.extend(["--volume", &volume]);
        }
        args.extend(more);
        let ran = run(&self.directory, &args);
        assert_eq!(ran.code, Some(0), "{ran:?}\n{}", self.at);
        let explained: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(explained["notes"], serde_json::json!([]), "{}", self.at);
        explained
    }

    pub fn records(&self, id: &str) -> Vec<Value> {
        let args = [
            "policy",
            "records",
            "show",
            id,
            "--json",
            "--config",
            "sealpost.toml",
        ];
        let ran = run(&self.directory, &args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.out).unwrap()
    }
}
