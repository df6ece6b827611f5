//! From the checked configuration to the parts: each gets its own type, none knows `config`.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::certificate::CertificateError;
use crate::config::{self, Config, Credentials, LogTarget, RouteSection, SecretError};
use crate::directory::certificates::{AnchorError, FolderError};
use crate::directory::lookup::LdapSettingsError;
use crate::journal::{MasterKey, MasterKeyError};
use crate::policy::{Policy, PolicyProblem};
use crate::proto::cms::CmsError;
use crate::proto::ldap::CredentialsError as LdapCredentialsError;
use crate::queue::{Limits, Retry};
use crate::relay::{
    Credentials as RouteCredentials, CredentialsError, Relay, RelayConfig, Route, RouteTls,
    Timeouts,
};
use crate::report::delivery_log::Target;
use crate::scan::detect::{DetectorProblem, Detectors};
use crate::scan::{ScanConfig, Scanner};
use crate::sign::{KeyError, Signer, SigningKey};
use crate::world::clock::Clock;
use crate::world::dns_hickory::{DnsSetupError, HickoryDns};
use crate::world::net::TcpNetwork;

/// A part could not be built from the configuration.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The master key.
    #[error("the master key cannot be read")]
    MasterKeySecret(#[source] SecretError),
    /// The master key.
    #[error("the master key cannot be used")]
    MasterKey(#[source] MasterKeyError),
    /// Certificates or roots.
    #[error("{what} {source}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// Why not.
        source: CertificateError,
    },
    /// The authorities of recipients' certificates.
    #[error("smime.anchors cannot be used")]
    Anchors(#[source] AnchorError),
    /// The folder of recipients' certificates.
    #[error("smime.directory cannot be used")]
    Folder(#[source] FolderError),
    /// The password of an LDAP server.
    #[error("the password of an LDAP server cannot be read")]
    LdapSecret(#[source] SecretError),
    /// Name and password for an LDAP server.
    #[error("the credentials of an LDAP server cannot be used")]
    LdapCredentials(#[source] LdapCredentialsError),
    /// An LDAP server.
    #[error("an LDAP server cannot be asked")]
    Ldap(#[source] LdapSettingsError),
    /// The key of a signing identity.
    #[error("the key of a signing identity cannot be read")]
    SigningSecret(#[source] SecretError),
    /// A signing identity.
    #[error("a signing identity cannot be used")]
    Identity(#[source] CmsError),
    /// The policy.
    #[error("the policy cannot be used")]
    Policy(Vec<PolicyProblem>),
    /// The detectors.
    #[error("the detectors cannot be used")]
    Detectors(#[source] DetectorProblem),
    /// A signing key.
    #[error("a signing key cannot be used")]
    Dkim(#[source] KeyError),
    /// The resolver.
    #[error(transparent)]
    Dns(#[from] DnsSetupError),
    /// A route's password.
    #[error("the password of a route cannot be read")]
    RouteSecret(#[source] SecretError),
    /// A route's credentials.
    #[error("the credentials of a route cannot be used")]
    RouteCredentials(#[source] CredentialsError),
}

/// The key that seals the spool.
pub fn master_key(config: &Config, credentials: &Credentials) -> Result<MasterKey, BuildError> {
    // Its permissions were looked at by `config::examine`; a systemd credential has its own.
    let text = config
        .master_key
        .read(credentials)
        .map_err(BuildError::MasterKeySecret)?;
    MasterKey::from_base64(&text).map_err(BuildError::MasterKey)
}

/// When it is tried again, and how much at once.
pub(super) fn queue(config: &Config) -> (Retry, Limits) {
    let retry = Retry {
        schedule: config.retry.schedule.clone(),
        expire_after: config.retry.expire_after,
        warn_after: config.retry.warn_after,
    };
    (retry, Limits::default())
}

/// Where delivery events go.
pub(super) fn log_target(config: &Config) -> Target {
    match &config.log_delivery {
        LogTarget::Stdout => Target::Stdout,
        LogTarget::File(path) => Target::File(path.clone()),
    }
}

/// What decides.
pub fn policy(config: &Config) -> Result<Policy, BuildError> {
    Policy::compile(config.policy.clone()).map_err(BuildError::Policy)
}

/// What reads messages.
pub fn scanner(config: &Config) -> Result<Scanner, BuildError> {
    let detectors = Detectors::compile(&config.detectors).map_err(BuildError::Detectors)?;
    // The worker is this very program, even where another has taken its place on the disk.
    let program = PathBuf::from("/proc/self/exe");
    Ok(Scanner::new(ScanConfig::new(program), Arc::new(detectors)))
}

/// What signs.
pub(super) fn signer(config: &Config) -> Result<Signer, BuildError> {
    let load = |key: &config::DkimSection| {
        SigningKey::load(key.domain.clone(), &key.selector, &key.private_key)
    };
    let keys: Result<Vec<_>, _> = config.dkim.iter().map(load).collect();
    Ok(Signer::new(keys.map_err(BuildError::Dkim)?))
}

/// What carries.
pub fn relay(
    config: &Config,
    credentials: &Credentials,
    clock: Clock,
) -> Result<Relay, BuildError> {
    let section = &config.relay;
    let ca_file = section.ca_file.as_ref().map(|path| path.value.as_path());
    let roots = config::roots_of(ca_file).map_err(|source| BuildError::Certificate {
        what: "relay.ca_file",
        source,
    })?;
    let routes: Result<Vec<_>, _> = section
        .routes
        .iter()
        .map(|section| route(section, credentials))
        .collect();
    let relay = RelayConfig {
        hostname: config.hostname.clone(),
        port: section.port,
        roots,
        source_addresses: section.source_addresses.clone(),
        allow_private_addresses: section.allow_private_addresses,
        routes: routes?,
        timeouts: Timeouts::default(),
    };
    let dns = HickoryDns::new(&config.dns_servers)?;
    Ok(Relay::new(
        relay,
        Arc::new(dns),
        Arc::new(TcpNetwork),
        clock,
    ))
}

fn route(section: &RouteSection, credentials: &Credentials) -> Result<Route, BuildError> {
    let roots = match &section.ca_file {
        Some(path) => {
            let roots = config::roots_of(Some(path)).map_err(|source| BuildError::Certificate {
                what: "relay.route.ca_file",
                source,
            })?;
            Some(roots)
        }
        None => None,
    };
    let login = match &section.credentials {
        Some((user, password)) => {
            let password = password
                .read(credentials)
                .map_err(BuildError::RouteSecret)?;
            let login = RouteCredentials::new(user.clone(), password.to_string());
            Some(login.map_err(BuildError::RouteCredentials)?)
        }
        None => None,
    };
    Ok(Route {
        domain: section.domain.clone(),
        host: section.host.clone(),
        port: section.port,
        tls: match section.tls {
            config::RouteTls::Starttls => RouteTls::Starttls,
            config::RouteTls::Implicit => RouteTls::Implicit,
        },
        credentials: login,
        roots,
        max_level: section.max_level,
    })
}
