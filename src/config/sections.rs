//! The sections of the file and what they become: plain, checked values.
//!
//! The parts have configuration types of their own; `server` converts. So no part imports this.

mod directories;
mod incoming;
mod outgoing;
mod policy;
mod portal;
mod smime;

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

pub use directories::{LdapSection, WellKnownSection};
pub use incoming::{Limits, ListenerAddress, ListenerSection, ListenerTls, TlsSection};
pub use outgoing::{DkimSection, RelaySection, RetrySection, RouteSection, RouteTls};
pub(super) use policy::{Draft, included_file as policy_of_included};
pub use portal::{
    ClamdAddress, Colour, Imprint, PortalConfig, PortalSection, PortalTls, SmsSection,
};
pub use smime::{IdentityOwner, IdentitySection, SmimeSection};

use super::places::Places;
use super::problem::{At, Sheet, Spot};
use super::reader::Section;
use super::secret::{Secret, secret};
use super::value;
use crate::mail::{Address, Domain};
use crate::policy::PolicySource;
use crate::scan::detect::DetectorSource;

/// A checked configuration: every value in its bounds, every path absolute or relative to the
/// working directory. That the files are there and good is [`super::examine`]'s business.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// EHLO name, `Received`, Message-ID domain.
    pub hostname: Domain,
    /// Spool and tables.
    pub data_directory: At<PathBuf>,
    /// 32 random octets, base64.
    pub master_key: At<Secret>,
    /// Whom bounces name and people write to.
    pub postmaster: Address,
    /// Where mail comes in. Never empty.
    pub listeners: Vec<ListenerSection>,
    /// Our certificate; always there if a listener speaks TLS.
    pub tls: Option<TlsSection>,
    /// The accounts.
    pub users: At<PathBuf>,
    /// Bounds on what is taken in.
    pub limits: Limits,
    /// Signing keys.
    pub dkim: Vec<DkimSection>,
    /// Name servers; empty means the system's.
    pub dns_servers: Vec<std::net::SocketAddr>,
    /// Outgoing connections and routes.
    pub relay: RelaySection,
    /// When it is tried again.
    pub retry: RetrySection,
    /// How everything is protected.
    pub policy: PolicySource,
    /// How mail is sealed; `None` where it is not.
    pub smime: Option<SmimeSection>,
    /// Where people pick up what else could not be carried; `None` where there is no portal.
    pub portal: Option<PortalSection>,
    /// What is looked for in messages.
    pub detectors: DetectorSource,
    /// How long decisions are kept.
    pub record_retention: Duration,
    /// Where the policy's tables and keys stand.
    pub policy_places: Places,
    /// Where delivery events go.
    pub log_delivery: LogTarget,
    /// How much the diagnostic log says.
    pub log_level: LogLevel,
    /// The administrative socket.
    pub admin_socket: PathBuf,
}

/// Keys that a portal which runs alone does not look at.
const LINE_KEYS: [&str; 11] = [
    "hostname",
    "master_key",
    "postmaster",
    "listener",
    "auth",
    "dkim",
    "relay",
    "retry",
    "policy",
    "smime",
    "admin",
];

/// Where delivery events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// How much the diagnostic log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What deserves a look.
    Warn,
    /// What an operator wants to know.
    Info,
    /// For a person who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Reads the whole text of `sheet`.
pub(super) fn read(sheet: &mut Sheet<'_>) -> Option<Config> {
    with_root(sheet, read_root)
}

/// Reads of the text of `sheet` what a portal needs that runs alone.
pub(super) fn read_portal(sheet: &mut Sheet<'_>) -> Option<PortalConfig> {
    with_root(sheet, portal_root)
}

fn with_root<T>(
    sheet: &mut Sheet<'_>,
    read: impl FnOnce(&mut Sheet<'_>, Section<'_>, &Path, PathBuf) -> Option<T>,
) -> Option<T> {
    let text = sheet.text();
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What recovery made of the rest would only mislead.
        for error in errors {
            let at = Spot::new(0, error.span().unwrap_or_default());
            let what = format!("not TOML: {}", error.message());
            sheet.wrong(at, what, "see toml.io for the syntax");
        }
        return None;
    }
    let file = sheet.file().to_owned();
    let base = file.parent().map(Path::to_owned).unwrap_or_default();
    read(sheet, Section::root(table.get_ref(), 0), &base, file)
}

fn portal_root(
    sheet: &mut Sheet<'_>,
    mut root: Section<'_>,
    base: &Path,
    file: PathBuf,
) -> Option<PortalConfig> {
    root.leave(&LINE_KEYS);
    let data_directory = directory(sheet, &mut root, base);
    let tls = incoming::tls(sheet, &mut root, base, &[]);
    let limits = incoming::limits(sheet, &mut root);
    let dns_servers = outgoing::dns(sheet, &mut root);
    let (_, log_level) = log(sheet, &mut root, base);
    if !root.has("portal") {
        sheet.wrong(
            Spot::default(),
            "there is no [portal]: nothing is to be run alone",
            "add it, or run `sealpost serve` without --only",
        );
    }
    let portal = portal::portal(sheet, &mut root, base, &data_directory);
    if let Some(section) = &portal {
        portal::has_a_certificate(section, tls.as_ref(), sheet);
    }
    root.finish(sheet);
    Some(PortalConfig {
        file,
        portal: portal?,
        tls,
        dns_servers,
        message_size: limits.message_size,
        drain_timeout: limits.drain_timeout,
        log_level,
    })
}

fn read_root(
    sheet: &mut Sheet<'_>,
    mut root: Section<'_>,
    base: &Path,
    file: PathBuf,
) -> Option<Config> {
    let hostname = root.required(
        sheet,
        "hostname",
        "add the name that this host has in the DNS, as in hostname = \"mail.clinic.example\"",
        value::domain,
    );
    let data_directory = directory(sheet, &mut root, base);
    let master_key = root.required(
        sheet,
        "master_key",
        "make one with `sealpost key generate FILE` and add master_key = \"FILE\"",
        secret,
    );
    let postmaster = root.required(
        sheet,
        "postmaster",
        "add the address of a person, as in postmaster = \"postmaster@clinic.example\"",
        value::address,
    );
    let listeners = incoming::listeners(sheet, &mut root, base);
    let tls = incoming::tls(sheet, &mut root, base, &listeners);
    let users = incoming::users(sheet, &mut root, base);
    let limits = incoming::limits(sheet, &mut root);
    let dkim = outgoing::dkim(sheet, &mut root, base);
    let dns_servers = outgoing::dns(sheet, &mut root);
    let relay = outgoing::relay(sheet, &mut root, base);
    let (retry, downgrade_hold) = outgoing::retry(sheet, &mut root);
    let (mut policy, detectors, record_retention, policy_places) = policy(sheet, &mut root, base);
    policy.downgrade_hold = downgrade_hold;
    let smime = smime::smime(sheet, &mut root, base);
    policy.smime = smime.is_some();
    let portal = portal::portal(sheet, &mut root, base, &data_directory);
    policy.portal = portal.is_some();
    if let Some(section) = &portal {
        portal::has_a_certificate(section, tls.as_ref(), sheet);
        portal::fits_the_line(section, &listeners, &limits, sheet);
    }
    let (log_delivery, log_level) = log(sheet, &mut root, base);
    let admin_socket = admin(sheet, &mut root, base);
    if let Some(section) = &portal {
        portal::shares_no_file(section, &listeners, &admin_socket, &log_delivery, sheet);
    }
    root.finish(sheet);
    Some(Config {
        file,
        hostname: hostname?.value,
        data_directory,
        master_key: master_key.map(|key| At {
            value: key.value.resolved(base),
            at: key.at,
        })?,
        postmaster: postmaster?.value,
        listeners,
        tls,
        users: users?,
        limits,
        dkim,
        dns_servers,
        relay,
        retry,
        policy,
        smime,
        portal,
        detectors,
        record_retention,
        policy_places,
        log_delivery,
        log_level,
        admin_socket,
    })
}

fn directory(sheet: &mut Sheet<'_>, root: &mut Section<'_>, base: &Path) -> At<PathBuf> {
    let written = root.optional(sheet, "data_directory", value::path);
    written
        .map(|path| located(path, base))
        .unwrap_or_else(|| At {
            value: PathBuf::from("/var/lib/sealpost"),
            at: Spot::default(),
        })
}

/// A path that was written in the file, taken from the file's directory.
fn located(path: At<PathBuf>, base: &Path) -> At<PathBuf> {
    At {
        value: base.join(path.value),
        at: path.at,
    }
}

fn policy(
    sheet: &mut Sheet<'_>,
    root: &mut Section<'_>,
    base: &Path,
) -> (PolicySource, DetectorSource, Duration, Places) {
    let faults = sheet.faults();
    let mut source = policy::default_source();
    let mut detectors = DetectorSource::all_shipped();
    let mut places = Places::default();
    let mut draft = Draft {
        source: &mut source,
        detectors: &mut detectors,
        places: &mut places,
        base,
    };
    let retention = policy::main_file(sheet, root, &mut draft);
    places.sound = sheet.faults() == faults;
    (source, detectors, retention, places)
}

fn log(sheet: &mut Sheet<'_>, root: &mut Section<'_>, base: &Path) -> (LogTarget, LogLevel) {
    const LEVELS: [(&str, LogLevel); 5] = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let mut target = LogTarget::File(PathBuf::from("/var/log/sealpost/delivery.jsonl"));
    let mut level = LogLevel::Info;
    let Some(mut section) = root.section(sheet, "log") else {
        return (target, level);
    };
    if let Some(path) = section.optional(sheet, "delivery", value::path) {
        target = if path.value.as_os_str() == "stdout" {
            LogTarget::Stdout
        } else {
            LogTarget::File(base.join(path.value))
        };
    }
    section.optional(sheet, "format", log_format);
    if let Some(word) = section.optional(sheet, "level", value::one_of(&LEVELS)) {
        level = word.value;
    }
    section.finish(sheet);
    (target, level)
}

fn log_format(value: &toml::de::DeValue<'_>) -> Result<(), super::reader::Wrong> {
    const FORMATS: [(&str, bool); 2] = [("json", true), ("postfix", false)];
    match value::one_of(&FORMATS)(value)? {
        true => Ok(()),
        false => Err(super::reader::Wrong::new(
            "is \"postfix\", which comes with a later version of sealpost",
            "write \"json\" or remove the key",
        )),
    }
}

fn admin(sheet: &mut Sheet<'_>, root: &mut Section<'_>, base: &Path) -> PathBuf {
    let default = PathBuf::from("/run/sealpost/admin.sock");
    let Some(mut section) = root.section(sheet, "admin") else {
        return default;
    };
    let socket = section.optional(sheet, "socket", value::path);
    section.finish(sheet);
    socket.map_or(default, |socket| base.join(socket.value))
}
