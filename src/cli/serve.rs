//! `sealpost serve`: the daemon.

mod dev;
mod portal;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
pub use dev::no_home;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Exit, Failure, output};
use crate::config::{self, Credentials, LoadError, Loaded, Problems, Reach, Weight};
use crate::portal::store::StoreError;
use crate::server::logging::Logging;
use crate::server::portal::PortalError;
use crate::server::{BuildError, Daemon, RunError, Runs, StartError, notify};
use crate::spool::SpoolError;
use crate::world::clock::Clock;

/// How long threads that are still busy are waited for at the very end.
const LEAVING: Duration = Duration::from_secs(5);

/// Run the daemon.
#[derive(Debug, Args)]
pub struct Serve {
    /// Run in a small world of its own (CA, DNS, MX hosts, a user `dev`) made in DIR; needs no
    /// configuration
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "sealpost-dev")]
    dev: Option<PathBuf>,
    /// Run one part alone: the mail server without the portal, or the portal without the rest
    #[arg(long, value_enum, value_name = "PART", conflicts_with = "dev")]
    only: Option<Part>,
}

/// A part that runs alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Mta,
    Portal,
}

impl Serve {
    /// Runs until told to stop.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        harden();
        let runtime = runtime()?;
        let done = match (self.dev, self.only) {
            (Some(directory), _) => runtime.block_on(dev::serve(&directory)),
            (None, None) => runtime.block_on(serve(config, Runs::Both)),
            (None, Some(Part::Mta)) => runtime.block_on(serve(config, Runs::Line)),
            (None, Some(Part::Portal)) => runtime.block_on(portal::serve(config)),
        };
        // A name server that does not answer, or a hash under way, holds nothing up.
        runtime.shutdown_timeout(LEAVING);
        done
    }
}

/// What is set for the whole process before anything is opened.
pub fn harden() {
    // What we make is for us alone, unless we say otherwise.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Keys and contents are in our memory: no core dumps, no tracing by others.
    let hidden = rustix::process::DumpableBehavior::NotDumpable;
    if let Err(error) = rustix::process::set_dumpable_behavior(hidden) {
        output::complain(&format!("core dumps could not be switched off: {error}"));
    }
}

/// The runtime that everything lives on.
pub fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::Temporary, &error, "no threads can be made"))
}

/// Loads the configuration for a start of everything.
pub fn load(file: &Path, clock: Clock, credentials: &Credentials) -> Result<Loaded, Failure> {
    config::load(file, Reach::Files, clock.now(), credentials).map_err(not_loaded)
}

/// What a configuration that cannot be started with exits with.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn not_loaded(error: LoadError) -> Failure {
    let exit = match &error {
        LoadError::NoFile(_) => Exit::Configuration,
        LoadError::Unreadable { .. } => Exit::Usage,
        LoadError::Problems(problems) => match problems.worst() {
            Some(Weight::Missing) => Exit::Configuration,
            Some(Weight::Wrong | Weight::Warning) | None => Exit::Usage,
        },
    };
    Failure::from_error(exit, &error, "")
}

/// What is looked at of the configuration by a process that runs this.
const fn reach(runs: Runs) -> Reach {
    match runs {
        Runs::Both => Reach::Files,
        Runs::Line => Reach::Line,
    }
}

async fn serve(file: &Path, runs: Runs) -> Result<(), Failure> {
    let clock = Clock::system();
    let credentials = Credentials::of_the_service();
    let loaded = config::load(file, reach(runs), clock.now(), &credentials);
    let loaded = loaded.map_err(not_loaded)?;
    let logging = Logging::start(loaded.config.log_level);
    warn(&loaded.warnings);
    let mut signals = Signals::new()?;
    let daemon = match runs {
        Runs::Both => Daemon::start(loaded.config, credentials.clone(), clock).await,
        Runs::Line => Daemon::start_line(loaded.config, credentials.clone(), clock).await,
    };
    let daemon = daemon.map_err(|error| cannot_start(&error))?;
    tracing::info!(listeners = ?daemon.addresses(), portal = ?daemon.portal_addresses(), "ready");
    run(daemon, &mut signals, &logging, clock, &credentials).await
}

fn warn(warnings: &Problems) {
    for warning in &warnings.0 {
        tracing::warn!("{warning}");
    }
}

/// The signals that a daemon listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves.
    pub fn new() -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind).map_err(|error| Failure::from_error(Exit::Temporary, &error, "try again"))
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for any of them.
    async fn any(&mut self) -> Turn {
        tokio::select! {
            _ = self.terminate.recv() => Turn::Stop,
            _ = self.interrupt.recv() => Turn::Stop,
            _ = self.hangup.recv() => Turn::Reload,
        }
    }
}

/// What made the loop turn.
enum Turn {
    Stop,
    Reload,
    Alive,
    Broken(RunError),
}

/// What runs until a signal or a failure ends it.
trait Service {
    /// What systemd shows while it runs.
    const STATUS: &'static str;
    /// Waits until something breaks that only a restart mends.
    fn broken(&mut self) -> impl Future<Output = RunError>;
    /// Whether it still answers.
    fn is_alive(&self) -> impl Future<Output = bool>;
    /// Reads its configuration again.
    fn reload(&mut self, logging: &Logging, clock: Clock, credentials: &Credentials);
    /// Finishes what is under way; whether all of it was in time.
    fn stop(self) -> impl Future<Output = bool>;
    /// Ends at once.
    fn abandon(self) -> impl Future<Output = ()>;
}

impl Service for Daemon {
    const STATUS: &'static str = "taking mail";

    async fn broken(&mut self) -> RunError {
        Self::broken(self).await
    }

    async fn is_alive(&self) -> bool {
        Self::is_alive(self).await
    }

    fn reload(&mut self, logging: &Logging, clock: Clock, credentials: &Credentials) {
        reload(self, logging, clock, credentials);
    }

    async fn stop(self) -> bool {
        Self::stop(self).await
    }

    async fn abandon(self) {
        Self::abandon(self).await;
    }
}

/// Runs a service until a signal or a failure ends it.
async fn run<S: Service>(
    mut service: S,
    signals: &mut Signals,
    logging: &Logging,
    clock: Clock,
    credentials: &Credentials,
) -> Result<(), Failure> {
    notify::ready(S::STATUS);
    // Half the period, as sd_watchdog_enabled(3) advises; without a watchdog never.
    let period = notify::watchdog().map_or(Duration::MAX, |period| period / 2);
    loop {
        let turn = tokio::select! {
            turn = signals.any() => turn,
            error = service.broken() => Turn::Broken(error),
            () = tokio::time::sleep(period) => Turn::Alive,
        };
        match turn {
            Turn::Stop => break,
            Turn::Reload => {
                notify::reloading();
                service.reload(logging, clock, credentials);
                notify::ready(S::STATUS);
            }
            Turn::Alive => {
                if service.is_alive().await {
                    notify::alive();
                }
            }
            Turn::Broken(error) => {
                service.abandon().await;
                return Err(Failure::from_error(
                    Exit::Temporary,
                    &error,
                    "check the disk, then start again",
                ));
            }
        }
    }
    notify::stopping();
    tracing::info!("stopping: what is under way is finished first");
    tokio::select! {
        settled = service.stop() => {
            if !settled {
                tracing::warn!("not everything settled in time; the next start goes on with it");
            }
        }
        () = signals.stop() => {
            tracing::warn!("told to stop twice: the next start goes on with what was under way");
        }
    }
    Ok(())
}

/// Reads the configuration again; if it has problems the old one stays in force.
fn reload(daemon: &mut Daemon, logging: &Logging, clock: Clock, credentials: &Credentials) {
    let file = daemon.config().file.clone();
    match config::load(&file, reach(daemon.runs()), clock.now(), credentials) {
        Ok(loaded) => {
            warn(&loaded.warnings);
            let level = loaded.config.log_level;
            match daemon.reload(loaded.config) {
                Ok(()) => {
                    logging.set(level);
                    tracing::info!("the configuration was reloaded");
                }
                Err(error) => {
                    let error = super::failure::chain(&error);
                    tracing::error!(%error, "not reloaded: the old configuration stays in force");
                }
            }
        }
        Err(error) => {
            let error = super::failure::chain(&error);
            tracing::error!("not reloaded, the old configuration stays in force:\n{error}");
        }
    }
}

/// What kept the daemon from starting, and what to do.
pub fn cannot_start(error: &StartError) -> Failure {
    let (exit, mend) = match error {
        StartError::Build(BuildError::MasterKeySecret(secret)) if secret.is_missing() => (
            Exit::Configuration,
            "make one with `sealpost key generate FILE`",
        ),
        StartError::Build(_)
        | StartError::Users(_)
        | StartError::Listener(_)
        | StartError::Recorder(_)
        | StartError::Submission(_) => (Exit::Usage, "`sealpost check` says more"),
        StartError::Directory { .. } | StartError::Log(_) => (
            Exit::Temporary,
            "make the directory writable for the user of the daemon",
        ),
        StartError::Portal(error) => no_portal(error),
        StartError::Link(_) => (
            Exit::Temporary,
            "stop the other process, or set another portal.mail_socket",
        ),
        StartError::Spool(SpoolError::Locked(_)) => (
            Exit::Temporary,
            "is another sealpost running? Stop it first",
        ),
        StartError::Spool(SpoolError::WrongKey) => (
            Exit::Usage,
            "put back the key that the spool was written with, or move the spool away to begin a new one",
        ),
        StartError::Spool(_) => (
            Exit::Temporary,
            "check the disk, and that the user of the daemon may write to data_directory",
        ),
        StartError::Decisions(_) | StartError::Tables(_) => (
            Exit::Temporary,
            "check the disk, and that the user of the daemon may write to data_directory",
        ),
        StartError::Listen(_) => (
            Exit::Temporary,
            "is another server using the port, or does it need the right to (CAP_NET_BIND_SERVICE)?",
        ),
        StartError::Admin(_) => (
            Exit::Temporary,
            "stop the other process, or set another admin.socket",
        ),
        StartError::Interrupted | StartError::Authenticator(_) => (Exit::Temporary, "try again"),
    };
    Failure::from_error(exit, error, mend)
}

/// What kept the portal from starting, and what to do.
fn no_portal(error: &PortalError) -> (Exit, &'static str) {
    match error {
        PortalError::MasterKeySecret(secret)
        | PortalError::PrivateKey(secret)
        | PortalError::SmsToken(secret)
            if secret.is_missing() =>
        {
            (Exit::Configuration, "put it there, or correct the name")
        }
        PortalError::MasterKeySecret(_)
        | PortalError::MasterKey(_)
        | PortalError::PrivateKey(_)
        | PortalError::SmsToken(_)
        | PortalError::Certificate { .. }
        | PortalError::Origin(_)
        | PortalError::Logo(_)
        | PortalError::Texts(_)
        | PortalError::Dns(_)
        | PortalError::Tls(_) => (Exit::Usage, "`sealpost check` says more"),
        PortalError::Directory { .. } | PortalError::Log(_) => (
            Exit::Temporary,
            "make the directory writable for the user of the portal",
        ),
        PortalError::Store(StoreError::Locked(_)) => {
            (Exit::Temporary, "is another portal running? Stop it first")
        }
        PortalError::Store(StoreError::WrongKey) => (
            Exit::Usage,
            "put back the key that it was written with, or move portal.directory away to begin a new one",
        ),
        PortalError::Store(_) | PortalError::Proof(_) => (
            Exit::Temporary,
            "check the disk, and that the user of the portal may write to portal.directory",
        ),
        PortalError::Socket(_) => (
            Exit::Temporary,
            "stop the other process, or set another portal.socket",
        ),
        PortalError::Listen(_) => (
            Exit::Temporary,
            "is another server using the port, or does it need the right to (CAP_NET_BIND_SERVICE)?",
        ),
        PortalError::Interrupted => (Exit::Temporary, "try again"),
    }
}
