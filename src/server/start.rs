//! Building the daemon, and rebuilding the parts that a reload replaces.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use rustls::sign::CertifiedKey;

use super::build::{self, BuildError};
use super::portal::{Portal, PortalError};
use super::sockets::{self, ListenError, Listening};
use super::{Daemon, Runs, doors, pickup, smime};
use crate::admin::{AdminError, AdminServer, AdminSocket};
use crate::config::{Config, Credentials};
use crate::directory::certificates::{self, Certificates};
use crate::directory::{Authenticator, AuthenticatorError, Users, UsersError};
use crate::flow::recorded::Recorder;
use crate::flow::{self, Contacts, Machinery, News, Parts, Withdrawals};
use crate::journal::SEGMENT_OCTETS;
use crate::link::{LinkServices, Tickets};
use crate::queue::Queue;
use crate::report::decisions::{self, DecisionsError};
use crate::report::{Decisions, DeliveryLog};
use crate::seal::Sealer;
use crate::spool::{Spool, SpoolError, SpoolOptions};
use crate::submission::{ListenerError, Services, SubmissionError};
use crate::tables::{TableError, Tables};
use crate::world::clock::Clock;
use crate::world::unix::SocketError;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A part could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A directory.
    #[error("cannot make the directory {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The policy as records cite it.
    #[error("the policy cannot be put on record")]
    Recorder(#[source] serde_json::Error),
    /// The records of decisions.
    #[error("the records of decisions cannot be opened")]
    Decisions(#[source] DecisionsError),
    /// The small tables.
    #[error("the tables of the spool cannot be opened")]
    Tables(#[from] TableError),
    /// The delivery log.
    #[error("the delivery log cannot be opened")]
    Log(#[source] io::Error),
    /// The accounts.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The check of passwords.
    #[error(transparent)]
    Authenticator(AuthenticatorError),
    /// The spool.
    #[error("the spool cannot be opened")]
    Spool(#[source] SpoolError),
    /// A blocking task was ended.
    #[error("opening the spool was interrupted")]
    Interrupted,
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A listener that may not be.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// Submission as a whole.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// The portal.
    #[error(transparent)]
    Portal(#[from] PortalError),
    /// The socket on which the portal has mails sent.
    #[error(transparent)]
    Link(#[from] SocketError),
    /// The administrative socket.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// What a reload replaces.
pub(super) struct Rebuilt {
    /// Not yet joined with the directory of certificates: [`smime::joined`].
    pub(super) machinery: Machinery,
    pub(super) users: Users,
    pub(super) certificate: Option<Arc<CertifiedKey>>,
    pub(super) directory: certificates::Settings,
    pub(super) sealer: Option<Sealer>,
}

/// Builds what a reload replaces.
pub(super) fn rebuild(
    config: &Config,
    credentials: &Credentials,
    clock: Clock,
) -> Result<Rebuilt, StartError> {
    let policy = build::policy(config)?;
    Ok(Rebuilt {
        machinery: Machinery {
            recorder: Recorder::new(&policy).map_err(StartError::Recorder)?,
            policy,
            scanner: build::scanner(config)?,
            signer: build::signer(config)?,
            relay: build::relay(config, credentials, clock)?,
            smime: None,
            portal: pickup::method(config, clock)?,
        },
        users: Users::load(&config.users)?,
        certificate: doors::certificate(config)?,
        directory: smime::directory(config, credentials, clock)?,
        sealer: smime::sealer(config, credentials)?,
    })
}

/// Whether something differs that only a start takes into force.
pub(super) fn needs_restart(old: &Config, new: &Config) -> bool {
    let listeners = |config: &Config| {
        let shown = config.listeners.iter().map(|listener| {
            let user = listener.user.as_ref().map(|user| user.value.clone());
            (listener.address.value.to_string(), listener.tls, user)
        });
        shown.collect::<Vec<_>>()
    };
    old.hostname != new.hostname
        || old.postmaster != new.postmaster
        || old.data_directory.value != new.data_directory.value
        || old.master_key.value != new.master_key.value
        || old.limits != new.limits
        || old.retry != new.retry
        || old.log_delivery != new.log_delivery
        || old.admin_socket != new.admin_socket
        || old.portal.is_some() != new.portal.is_some()
        || mail_socket(old) != mail_socket(new)
        || listeners(old) != listeners(new)
}

/// What the door for the portal goes by.
fn mail_socket(config: &Config) -> Option<&Path> {
    let section = config.portal.as_ref()?;
    Some(&section.mail_socket)
}

/// What the flow remembers in tables.
fn remembered(tables: &Tables) -> Result<(Contacts, Withdrawals, News), StartError> {
    Ok((
        Contacts::open(tables)?,
        Withdrawals::open(tables)?,
        News::open(tables)?,
    ))
}

pub(super) async fn start(
    config: Config,
    credentials: Credentials,
    clock: Clock,
    runs: Runs,
) -> Result<Daemon, StartError> {
    let rebuilt = rebuild(&config, &credentials, clock)?;
    directories(&config)?;
    let (spool, recovery) = open_spool(&config, &credentials, clock).await?;
    tell_recovery(&recovery.report);
    let tables = Tables::open(spool.journal())?;
    let (contacts, withdrawals, news) = remembered(&tables)?;
    let tickets = Tickets::open(&tables)?;
    let certificates = Certificates::open(&tables, rebuilt.directory)?;
    let decisions = open_decisions(&config, &credentials, clock).await?;
    let log = DeliveryLog::open(build::log_target(&config)).map_err(StartError::Log)?;
    let mut listening = Vec::new();
    for section in &config.listeners {
        listening.push(sockets::open(section)?);
    }
    let (addresses, unix_sockets) = places(&listening)?;
    let admin = AdminSocket::open(&config.admin_socket)?;
    let portal = start_portal(runs, &config, &credentials, clock).await?;
    let mail_socket = pickup::socket(&config)?;
    let authenticator =
        Authenticator::new(rebuilt.users, clock).map_err(StartError::Authenticator)?;
    let failure = spool.failure();
    let (retry, limits) = build::queue(&config);
    let relay = rebuilt.machinery.relay.clone();
    let parts = Parts {
        clock,
        spool: spool.clone(),
        log: log.clone(),
        hostname: config.hostname.clone(),
        postmaster: config.postmaster.clone(),
        decisions: decisions.clone(),
        contacts,
        withdrawals,
        news,
        machinery: smime::joined(rebuilt.machinery, &certificates, rebuilt.sealer),
    };
    let queue = Queue::new(retry, limits, seed(clock));
    let (flow, office) = flow::start(parts, queue, recovery.messages);
    let submission = doors::open(
        &config,
        listening,
        rebuilt.certificate,
        Services {
            flow: flow.clone(),
            log: log.clone(),
            authenticator: authenticator.clone(),
            clock,
        },
    )?;
    let services = LinkServices {
        flow: flow.clone(),
        log: log.clone(),
        tickets,
    };
    let door = mail_socket
        .map(|socket| pickup::Door::open(socket, &config, authenticator.clone(), services));
    let admin = AdminServer::start(admin, flow.clone(), certificates.clone(), clock);
    Ok(Daemon {
        config,
        credentials,
        clock,
        flow,
        office,
        spool,
        failure,
        decisions,
        log,
        authenticator,
        submission,
        certificates,
        relay,
        addresses,
        unix_sockets,
        admin,
        runs,
        portal,
        door,
    })
}

/// The portal, where it runs here.
async fn start_portal(
    runs: Runs,
    config: &Config,
    credentials: &Credentials,
    clock: Clock,
) -> Result<Option<Portal>, PortalError> {
    match (runs, config.portal()) {
        (Runs::Both, Some(portal)) => {
            let portal = Portal::start(portal, credentials.clone(), clock).await?;
            Ok(Some(portal))
        }
        (Runs::Both, None) | (Runs::Line, _) => Ok(None),
    }
}

/// Makes the directories that are not there yet: the data for us alone, log and socket for
/// whoever the umask allows.
fn directories(config: &Config) -> Result<(), StartError> {
    make_directory(&config.data_directory, 0o700)?;
    let mut others = vec![config.admin_socket.parent()];
    if let crate::config::LogTarget::File(path) = &config.log_delivery {
        others.push(path.parent());
    }
    for directory in others.into_iter().flatten() {
        if !directory.as_os_str().is_empty() {
            make_directory(directory, 0o755)?;
        }
    }
    Ok(())
}

pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), StartError> {
    made(path, mode).map_err(|source| StartError::Directory {
        path: path.to_owned(),
        source,
    })
}

/// Makes a directory and those above it, where they are not there.
pub(super) fn made(path: &Path, mode: u32) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(mode);
    builder.create(path)
}

async fn open_spool(
    config: &Config,
    credentials: &Credentials,
    clock: Clock,
) -> Result<(Spool, crate::spool::Recovery), StartError> {
    let options = SpoolOptions {
        directory: config.data_directory.join("spool"),
        master_key: build::master_key(config, credentials)?,
        segment_octets: SEGMENT_OCTETS,
    };
    let opened = tokio::task::spawn_blocking(move || Spool::open(options, clock)).await;
    opened
        .map_err(|_| StartError::Interrupted)?
        .map_err(StartError::Spool)
}

async fn open_decisions(
    config: &Config,
    credentials: &Credentials,
    clock: Clock,
) -> Result<Decisions, StartError> {
    let options = decisions::Options {
        directory: config.data_directory.join("decisions"),
        master_key: build::master_key(config, credentials)?,
        retention: config.record_retention,
    };
    let now = clock.now();
    let opened = tokio::task::spawn_blocking(move || Decisions::open(options, now)).await;
    let (decisions, recovery) = opened
        .map_err(|_| StartError::Interrupted)?
        .map_err(StartError::Decisions)?;
    for cut in &recovery.cuts {
        tracing::warn!(file = %cut.file, octets = cut.octets, kept = %cut.kept.display(), "the end of a record of decisions was torn, and was cut off");
    }
    Ok(decisions)
}

fn tell_recovery(report: &crate::spool::RecoveryReport) {
    tracing::info!(
        messages = report.messages,
        records = report.records,
        segments = report.segments,
        torn_tail = report.torn_tail.is_some(),
        "the spool was read back"
    );
    if !report.is_sound() {
        tracing::error!(
            lost = ?report.lost,
            damaged = ?report.damaged,
            quarantined_ranges = report.quarantined_ranges,
            unreadable_rows = report.unreadable_rows,
            "the disk has lost data: what could not be read lies in spool/quarantine; compare with a backup"
        );
    }
}

fn places(
    listening: &[Listening],
) -> Result<(Vec<std::net::SocketAddr>, Vec<PathBuf>), StartError> {
    let mut addresses = Vec::new();
    let mut paths = Vec::new();
    for socket in listening {
        match socket {
            Listening::Tcp(listener) => {
                let address = listener.local_addr().map_err(|source| ListenError {
                    address: "a listener".to_owned(),
                    source,
                })?;
                addresses.push(address);
            }
            Listening::Unix(_, path) => paths.push(path.clone()),
        }
    }
    Ok((addresses, paths))
}

/// For the jitter of retries alone: without randomness the time will do.
fn seed(clock: Clock) -> u64 {
    let mut octets = [0u8; 8];
    match SystemRandom::new().fill(&mut octets) {
        Ok(()) => u64::from_le_bytes(octets),
        Err(_) => clock.now().as_micros(),
    }
}
