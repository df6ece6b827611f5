//! `sealpost demo`: one real message to each domain of the small world, and what became of it.
//!
//! Nothing here is staged: the mail goes in through submission, and what is shown comes from the
//! delivery log, the inbox and the transcripts of the MX hosts.

mod report;
mod visit;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::ServerName;

use super::serve::{Signals, cannot_start, harden, load, no_home, runtime};
use super::{Exit, Failure, output};
use crate::config::Credentials;
use crate::dev::client::{Client, ClientError};
use crate::dev::home::{Home, Ports, USER};
use crate::dev::world::{DELIVERED, DEPOSITED, SEALED, SENDER_DOMAIN, WAITING};
use crate::mail::MessageId;
use crate::server::Daemon;
use crate::server::logging::Logging;
use crate::world::clock::Clock;
use report::{Events, Expected, GREETING, Report, SUBJECT};

/// How long the four messages may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the delivery log is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Show what sealpost does, in a scratch directory.
#[derive(Debug, Args)]
pub struct Demo {
    /// End when the four messages have been shown; exit 0 only if each went as it must
    #[arg(long)]
    once: bool,
    /// The scratch directory; otherwise a new one among the system's temporary files
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Demo {
    /// Shows it.
    pub fn run(self) -> Result<(), Failure> {
        harden();
        let directory = match self.dir {
            Some(directory) => directory,
            None => scratch()?,
        };
        runtime()?.block_on(demo(&directory, self.once))
    }
}

/// A name among the temporary files that nobody can have guessed.
fn scratch() -> Result<PathBuf, Failure> {
    let mut octets = [0u8; 8];
    SystemRandom::new().fill(&mut octets).map_err(|_| {
        Failure::new(
            Exit::Temporary,
            "the system gave no random octets; try again",
        )
    })?;
    let name = format!("sealpost-demo-{:016x}", u64::from_be_bytes(octets));
    Ok(std::env::temp_dir().join(name))
}

async fn demo(directory: &Path, once: bool) -> Result<(), Failure> {
    let clock = Clock::system();
    let home = Home::furnish(directory, Ports::FREE, clock.now())
        .await
        .map_err(|error| no_home(&error))?;
    let credentials = Credentials::default();
    let loaded = load(&home.config_file(), clock, &credentials)?;
    // What the log would say of the weak hosts is said below, in full.
    let _logging = Logging::start(crate::config::LogLevel::Error);
    let mut signals = Signals::new()?;
    let daemon = Daemon::start(loaded.config, credentials, clock)
        .await
        .map_err(|error| cannot_start(&error))?;
    output::say(&format!(
        "sealpost demo: a daemon, a DNS server, a CA and five MX hosts of its own, in {}\n",
        directory.display()
    ))?;
    let sent = send_all(&home, &daemon).await.map_err(|error| {
        Failure::from_error(
            Exit::Failed,
            &error,
            "the submission listener refused the demo's own mail",
        )
    })?;
    let events = settled(&home, &sent).await;
    let mut failed = 0;
    for (expected, id) in &sent {
        let detail = daemon.flow().show(*id).await;
        let mut report = Report::of(&home, &events, detail.as_ref(), *expected, *id).await;
        if let Some(path) = report.link().filter(|_| once).map(str::to_owned) {
            report.visited(visit::read(&home, &daemon, &path).await);
        }
        output::say(&report.text())?;
        failed += usize::from(!report.faults.is_empty());
    }
    let done = sum_up(directory, sent.len(), failed);
    if !once {
        output::say(&staying(&home, &daemon))?;
        signals.stop().await;
    }
    let settled = daemon.stop().await;
    if !settled && done.is_ok() {
        return Err(Failure::new(
            Exit::Failed,
            "not everything settled at the end",
        ));
    }
    done
}

fn sum_up(directory: &Path, sent: usize, failed: usize) -> Result<(), Failure> {
    if failed == 0 {
        return output::say(&format!(
            "All {sent} went as they must. The files stay in {}; remove it when you are done.",
            directory.display()
        ));
    }
    Err(Failure::new(
        Exit::Failed,
        format!(
            "{failed} of {sent} did not go as they must (see the lines marked WRONG); the files are in {}",
            directory.display()
        ),
    ))
}

fn staying(home: &Home, daemon: &Daemon) -> String {
    let place = home.directory().display();
    let config = home.config_file();
    let listeners: Vec<String> = daemon.addresses().iter().map(ToString::to_string).collect();
    format!(
        "\nStill running until Ctrl-C, on {} (TLS from the first octet, STARTTLS); account {USER}, \
         password in {place}/password.\nLook at it with: sealpost queue list --config {}",
        listeners.join(" and "),
        config.display()
    )
}

/// Sends a message to each domain; which queue id each got.
async fn send_all(home: &Home, daemon: &Daemon) -> Result<Vec<(Expected, MessageId)>, ClientError> {
    let mut sent = Vec::new();
    let Some(&server) = daemon.addresses().first() else {
        return Ok(sent);
    };
    let client = Client {
        server,
        name: ServerName::IpAddress(server.ip().into()),
        roots: Arc::new(home.world().ca().roots()),
        user: USER.to_owned(),
        password: home.password().clone(),
    };
    let delivered = DELIVERED.iter().map(|domain| Expected::Delivered(domain));
    let sealed = SEALED.iter().map(|domain| Expected::Sealed(domain));
    let deposited = DEPOSITED.iter().map(|domain| Expected::Deposited(domain));
    let waiting = WAITING.iter().map(|domain| Expected::Waiting(domain));
    for expected in delivered.chain(sealed).chain(deposited).chain(waiting) {
        let to = format!("friend@{}", expected.domain());
        let from = format!("you@{SENDER_DOMAIN}");
        let content = format!(
            "From: You <{from}>\r\nTo: <{to}>\r\nSubject: {SUBJECT}\r\n\r\n\
             {GREETING}\r\n\r\nthis was sent by `sealpost demo`.\r\n.\r\n(That was a line with a dot alone.)\r\n"
        );
        let id = client.send(&from, &[&to], content.as_bytes()).await?;
        sent.push((expected, id));
    }
    Ok(sent)
}

/// The delivery log, once each message has been attempted, or when patience ends.
async fn settled(home: &Home, sent: &[(Expected, MessageId)]) -> Events {
    let log = home.path("delivery.jsonl");
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let looks = PATIENCE.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..looks {
        ticks.tick().await;
        let events = Events::read(&log);
        if sent.iter().all(|(_, id)| events.has_outcome(*id)) {
            return events;
        }
    }
    Events::read(&log)
}
