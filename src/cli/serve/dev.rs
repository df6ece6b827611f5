//! `sealpost serve --dev`: a daemon in a small world of its own.

use std::path::Path;

use super::super::{Exit, Failure, output};
use super::{Signals, cannot_start, load, run};
use crate::config::Credentials;
use crate::dev::home::{Home, HomeError, Ports, USER};
use crate::dev::smime::PEOPLE;
use crate::server::Daemon;
use crate::server::logging::Logging;
use crate::world::clock::Clock;

/// What kept the small world from being built.
pub fn no_home(error: &HomeError) -> Failure {
    let (exit, mend) = match error {
        HomeError::File { .. } => (Exit::Temporary, "choose a directory that can be written"),
        HomeError::InUse(_) => (
            Exit::Temporary,
            "stop it first, or choose another directory",
        ),
        HomeError::NotOurs(_) => (
            Exit::Usage,
            "name a new or empty directory: certificates and configuration are written anew in it",
        ),
        HomeError::Stale(_)
        | HomeError::World(_)
        | HomeError::Ca(_)
        | HomeError::User(_)
        | HomeError::Dkim(_)
        | HomeError::Key(_)
        | HomeError::Random => (Exit::Failed, ""),
    };
    Failure::from_error(exit, error, mend)
}

/// Runs a daemon in a small world of its own.
pub(super) async fn serve(directory: &Path) -> Result<(), Failure> {
    let clock = Clock::system();
    let home = Home::furnish(directory, Ports::FIXED, clock.now())
        .await
        .map_err(|error| no_home(&error))?;
    let credentials = Credentials::default();
    let loaded = load(&home.config_file(), clock, &credentials)?;
    let logging = Logging::start(loaded.config.log_level);
    let mut signals = Signals::new()?;
    let daemon = Daemon::start(loaded.config, credentials.clone(), clock)
        .await
        .map_err(|error| cannot_start(&error))?;
    output::say(&welcome(&home))?;
    let done = run(daemon, &mut signals, &logging, clock, &credentials).await;
    drop(home);
    done
}

fn welcome(home: &Home) -> String {
    let place = home.directory().display();
    let config = home.config_file();
    let config = config.display();
    let ca = home.path("ca.pem");
    let ca = ca.display();
    let portal = Ports::FIXED.portal;
    let people = PEOPLE
        .map(|person| person.split('@').next().unwrap_or(person))
        .join(", ");
    format!(
        "\
sealpost runs in a small world of its own, in {place}

WARNING: the master key lies beside the data that it seals. Good for trying things out, for
nothing else.

Submission   127.0.0.1:4650 (TLS from the first octet), 127.0.0.1:5870 (STARTTLS)
Portal       https://127.0.0.1:{portal}, certificate of {ca}
Account      {USER}, its password is in {place}/password; may send as *@dev.test

Send with swaks:
  swaks --server 127.0.0.1:4650 --tls-on-connect --tls-verify --tls-ca-path {ca} \\
    --auth PLAIN --auth-user {USER} --auth-password \"$(cat {place}/password)\" \\
    --from you@dev.test --to friend@tls.test
or with curl:
  printf 'From: you@dev.test\\r\\nTo: friend@tls.test\\r\\nSubject: hello\\r\\n\\r\\nhello\\r\\n' |
  curl --cacert {ca} --user \"{USER}:$(cat {place}/password)\" \\
    --mail-from you@dev.test --mail-rcpt friend@tls.test --upload-file - smtps://127.0.0.1:4650

Domains      tls.test     its MX has a good certificate: mail goes, and lands in {place}/inbox
             smime.test   self-signed certificate, but {people} have certificates
                          of their own: mail to them goes sealed; their keys are in {place}/smime
             portal.test  self-signed certificate: the message is left in the portal; its notice
                          with the link, and the code that you ask for there, land in
                          {place}/inbox/portal.test
             weak.test    no TLS at all: waits, unless a field of the message gives a secret
                          that opens it in the portal (X-Sealpost-Secret: six characters or more)
             dev.test     your own: bounces land in {place}/inbox

Look at      sealpost queue list --config {config}
             sealpost pickup list --config {config}
             {place}/delivery.jsonl    what became of every message
             {place}/transcripts       what was said to each MX

Ctrl-C stops it."
    )
}
