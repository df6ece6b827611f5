//! Looks at the files that a configuration names: there, readable, kept from others, and good.
//!
//! Reads only; creates nothing.

mod kept;
mod pem;
mod policy;
mod portal;
mod smime;

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;

use super::certificate::{self, CertificateError};
use super::problem::{At, Sheet};
use super::secret::{Credentials, Secret};
use super::sections::{Config, ListenerAddress, PortalConfig};
use crate::directory::Users;
use crate::journal::MasterKey;
use crate::mail::Timestamp;
use crate::sign::SigningKey;
use kept::{SHARED, cause, kept_from_others, secret_file};
use pem::{our_certificate, roots_problem};

/// Longest path of a Unix socket (sockaddr_un of Linux, less its NUL).
const MAX_SOCKET_PATH_OCTETS: usize = 107;

/// How far it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// At all files.
    #[default]
    Files,
    /// At all but those that the portal alone reads, which another user owns.
    Line,
    /// At all files, and at other hosts.
    Online,
}

/// Notes on `sheet` everything that is wrong with what `config` names.
pub fn examine(
    config: &Config,
    reach: Reach,
    now: Timestamp,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) {
    data_directory(config, sheet);
    sealing_key(
        &config.master_key,
        "master_key",
        &config.data_directory,
        credentials,
        sheet,
    );
    if let Some(tls) = &config.tls {
        our_certificate(tls, now, sheet);
    }
    let users = users(config, sheet);
    unix_sockets(config, sheet);
    signing_keys(config, sheet);
    if let Err(error) = roots_of(
        config
            .relay
            .ca_file
            .as_ref()
            .map(|path| path.value.as_path()),
    ) {
        let at = config
            .relay
            .ca_file
            .as_ref()
            .map_or(config.relay.at, |path| path.at);
        roots_problem(
            error,
            config.relay.ca_file.as_ref(),
            at,
            "relay.ca_file",
            sheet,
        );
    }
    for route in &config.relay.routes {
        if let Some(path) = &route.ca_file
            && let Err(error) = certificate::roots_in(path)
        {
            roots_problem(error, Some(path), path.at, "relay.route.ca_file", sheet);
        }
        if let Some((_, password)) = &route.credentials {
            secret_file(
                password,
                "relay.route.password",
                "put the password into it",
                credentials,
                sheet,
            );
        }
    }
    if let Some(section) = &config.smime {
        smime::smime(section, now, credentials, sheet);
    }
    if let Some(config_of_portal) = config.portal() {
        let section = &config_of_portal.portal;
        portal::shared(section, sheet);
        portal::apart(section, &config.data_directory, sheet);
        portal::write_to(config, users.as_ref(), sheet);
        if reach != Reach::Line {
            portal::own(&config_of_portal, now, credentials, sheet);
            portal::same_key(section, &config.master_key, credentials, sheet);
        }
        if reach == Reach::Online {
            portal::online(section, sheet);
        }
    }
    policy::policy(config, users.as_ref(), now, sheet);
}

/// Notes on `sheet` everything that is wrong with what a portal names that runs alone.
pub fn examine_portal(
    config: &PortalConfig,
    now: Timestamp,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) {
    if let (None, Some(tls)) = (&config.portal.tls, &config.tls) {
        our_certificate(tls, now, sheet);
    }
    portal::shared(&config.portal, sheet);
    portal::own(config, now, credentials, sheet);
}

/// The roots that `ca_file` or else the system gives.
pub fn roots_of(ca_file: Option<&Path>) -> Result<Arc<RootCertStore>, CertificateError> {
    let roots = match ca_file {
        Some(path) => certificate::roots_in(path)?,
        None => certificate::system_roots(),
    };
    if roots.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    Ok(Arc::new(roots))
}

fn data_directory(config: &Config, sheet: &mut Sheet<'_>) {
    let directory = &config.data_directory;
    // A directory that is not there yet is made by `serve`.
    if let Ok(metadata) = std::fs::metadata(&directory.value)
        && !metadata.is_dir()
    {
        sheet.wrong(
            directory.at,
            format!("data_directory {} is not a directory", directory.display()),
            "name a directory of its own",
        );
    }
}

/// A key of 32 octets that seals what lies in `data`.
fn sealing_key(
    key: &At<Secret>,
    name: &str,
    data: &Path,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) {
    let mend = "make one with `sealpost key generate FILE`";
    if !secret_file(key, name, mend, credentials, sheet) {
        return;
    }
    match key.read(credentials) {
        Ok(text) if MasterKey::from_base64(&text).is_ok() => {}
        Ok(_) => sheet.wrong(
            key.at,
            format!("{name} {} is not 32 octets in base64", key.value),
            mend,
        ),
        Err(error) => sheet.wrong(key.at, format!("{name} {}: {error}", key.value), mend),
    }
    if let Secret::File(path) = &key.value
        && path.starts_with(data)
    {
        sheet.warn(
            key.at,
            format!("{name} lies beside the data that it seals: who takes the disk has both"),
            "keep it elsewhere, best as a systemd credential",
        );
    }
}

fn users(config: &Config, sheet: &mut Sheet<'_>) -> Option<Users> {
    let path = &config.users;
    if !kept_from_others(path, "auth.users", SHARED, "`sealpost user add`", sheet) {
        return None;
    }
    let users = match Users::load(path) {
        Ok(users) => users,
        Err(error) => {
            let what = format!("auth.users: {}", cause(&error));
            sheet.wrong(path.at, what, "correct it there");
            return None;
        }
    };
    if users.is_empty() {
        sheet.warn(
            path.at,
            "auth.users has no accounts: nobody can send",
            "add one with `sealpost user add`",
        );
    }
    for listener in &config.listeners {
        if let Some(user) = &listener.user
            && users.get(user).is_none()
        {
            sheet.wrong(
                user.at,
                format!(
                    "listener.user {:?} is no account of {}",
                    user.value,
                    path.display()
                ),
                "add it with `sealpost user add`, or name another",
            );
        }
    }
    Some(users)
}

fn signing_keys(config: &Config, sheet: &mut Sheet<'_>) {
    for key in &config.dkim {
        let path = &key.private_key;
        let with = "`sealpost dkim keygen`";
        if !kept_from_others(path, "dkim.private_key", SHARED, with, sheet) {
            continue;
        }
        if let Err(error) = SigningKey::load(key.domain.clone(), &key.selector, path) {
            sheet.wrong(
                path.at,
                format!("dkim.private_key {}: {}", path.display(), cause(&error)),
                "make another with `sealpost dkim keygen`",
            );
        }
    }
}

fn unix_sockets(config: &Config, sheet: &mut Sheet<'_>) {
    for listener in &config.listeners {
        if let ListenerAddress::Unix(path) = &listener.address.value
            && path.as_os_str().len() > MAX_SOCKET_PATH_OCTETS
        {
            sheet.wrong(
                listener.address.at,
                format!(
                    "the path of the Unix socket is longer than {MAX_SOCKET_PATH_OCTETS} octets"
                ),
                "choose a shorter one",
            );
        }
    }
}
