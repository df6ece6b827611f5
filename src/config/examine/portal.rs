//! What `[portal]` names: its key, certificate, logo, texts, sockets, and whom it asks.
//!
//! [`shared`] is what the line reads too; [`own`] is the portal's alone, which a line without it
//! cannot even open.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName};

use super::super::certificate;
use super::super::problem::{At, Sheet, Spot};
use super::super::secret::Credentials;
use super::super::sections::{ClamdAddress, Config, LogTarget, PortalConfig, PortalSection};
use super::super::shown::{LogoError, read_logo, read_texts};
use super::MAX_SOCKET_PATH_OCTETS;
use super::kept::{cause, large_secret, secret_file};
use super::pem::{in_time, pem_problem, roots_problem};
use crate::directory::Users;
use crate::mail::{Address, Timestamp};
use crate::world::url::Host;

/// How long clamd may take to say that it is there.
const CLAMD_PATIENCE: Duration = Duration::from_secs(5);

/// What both ends look at.
pub(super) fn shared(section: &PortalSection, sheet: &mut Sheet<'_>) {
    socket(&section.socket, "portal.socket", sheet);
    socket(&section.mail_socket, "portal.mail_socket", sheet);
    if let Some(folder) = &section.texts {
        texts(folder, sheet);
    }
}

/// What the portal alone looks at.
pub(super) fn own(
    config: &PortalConfig,
    now: Timestamp,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) {
    let section = &config.portal;
    super::sealing_key(
        &section.master_key,
        "portal.master_key",
        &section.directory,
        credentials,
        sheet,
    );
    directory(&section.directory, sheet);
    if let Some(LogTarget::File(path)) = &section.access_log {
        access_log(path, section.at, sheet);
    }
    shown_certificate(config, now, credentials, sheet);
    if let Host::Address(_) = section.url.host() {
        sheet.warn(
            section.url.at,
            "portal.url has an address instead of a name: passkeys cannot be registered",
            "give the portal a name",
        );
    }
    if let Some(path) = &section.logo {
        logo(path, sheet);
    }
    if let Some(sms) = &section.sms {
        if let Some(path) = &sms.ca_file
            && let Err(error) = certificate::roots_in(path)
        {
            roots_problem(error, Some(path), path.at, "portal.sms.ca_file", sheet);
        }
        let mend = "put the token into it";
        secret_file(&sms.token, "portal.sms.token", mend, credentials, sheet);
    }
}

/// What takes a look at other hosts.
pub(super) fn online(section: &PortalSection, sheet: &mut Sheet<'_>) {
    let Some(clamd) = &section.clamd else {
        return;
    };
    if let Err(error) = ping(clamd) {
        sheet.wrong(
            clamd.at,
            format!("portal.clamd {}: {error}", clamd.value),
            "start it, or correct the address; until then replies with files wait",
        );
    }
}

/// Asks clamd whether it is there (clamd(8): `zPING`).
fn ping(clamd: &ClamdAddress) -> std::io::Result<()> {
    match clamd {
        ClamdAddress::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(CLAMD_PATIENCE))?;
            stream.set_write_timeout(Some(CLAMD_PATIENCE))?;
            answers(stream)
        }
        ClamdAddress::Tcp(host, port) => {
            let host = match host {
                Host::Name(name) => name.to_string(),
                Host::Address(address) => address.to_string(),
            };
            let mut last = std::io::Error::other("the name has no address");
            for address in (host.as_str(), *port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, CLAMD_PATIENCE) {
                    Ok(stream) => {
                        stream.set_read_timeout(Some(CLAMD_PATIENCE))?;
                        stream.set_write_timeout(Some(CLAMD_PATIENCE))?;
                        return answers(stream);
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

fn answers(mut stream: impl Read + Write) -> std::io::Result<()> {
    stream.write_all(b"zPING\0")?;
    let mut answer = [0u8; 5];
    stream.read_exact(&mut answer)?;
    match &answer {
        b"PONG\0" => Ok(()),
        _ => Err(std::io::Error::other("what answers is not clamd")),
    }
}

fn socket(path: &At<std::path::PathBuf>, name: &str, sheet: &mut Sheet<'_>) {
    let shown = path.display();
    if path.as_os_str().len() > MAX_SOCKET_PATH_OCTETS {
        sheet.wrong(
            path.at,
            format!("the path of {name} is longer than {MAX_SOCKET_PATH_OCTETS} octets"),
            "choose a shorter one",
        );
    }
    // What is not there yet is made by `serve`.
    if let Ok(metadata) = std::fs::symlink_metadata(&path.value)
        && !metadata.file_type().is_socket()
    {
        let what = format!("{name} {shown} is there and is no socket");
        sheet.wrong(path.at, what, "choose another path");
    }
    if let Some(parent) = path.parent()
        && let Ok(metadata) = std::fs::metadata(parent)
        && !metadata.is_dir()
    {
        let what = format!("{name} {shown} does not lie in a directory");
        sheet.wrong(path.at, what, "choose another path");
    }
}

fn directory(path: &At<std::path::PathBuf>, sheet: &mut Sheet<'_>) {
    if let Ok(metadata) = std::fs::metadata(&path.value)
        && !metadata.is_dir()
    {
        sheet.wrong(
            path.at,
            format!("portal.directory {} is not a directory", path.display()),
            "name a directory of its own",
        );
    }
    can_be_made(path, "portal.directory", path.at, sheet);
}

/// What hinders a directory from being made where nothing is yet.
enum Hindrance<'p> {
    /// That is no directory.
    NoDirectory(&'p Path),
    /// Whoever checks may not write to that.
    NotWritable(&'p Path),
}

fn hindrance(path: &Path) -> Option<Hindrance<'_>> {
    if path.as_os_str().is_empty() || path.exists() {
        return None;
    }
    let ancestors = path.ancestors().skip(1);
    let there = ancestors
        .filter(|it| !it.as_os_str().is_empty())
        .find(|it| it.exists())?;
    if !there.is_dir() {
        return Some(Hindrance::NoDirectory(there));
    }
    let writable = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(there, writable)
        .is_err()
        .then_some(Hindrance::NotWritable(there))
}

/// Notes that a directory cannot be made.
fn can_be_made(path: &Path, name: &str, at: Spot, sheet: &mut Sheet<'_>) {
    let shown = path.display();
    match hindrance(path) {
        None => {}
        Some(Hindrance::NoDirectory(file)) => sheet.wrong(
            at,
            format!(
                "{name} {shown} cannot be made: {} is no directory",
                file.display()
            ),
            "choose another path",
        ),
        Some(Hindrance::NotWritable(parent)) => sheet.warn(
            at,
            format!(
                "{name} {shown} is not there, and {} cannot be written to by who runs this",
                parent.display()
            ),
            "make it, and give it to the user of the portal",
        ),
    }
}

fn access_log(path: &Path, at: Spot, sheet: &mut Sheet<'_>) {
    if path.is_dir() {
        let what = format!("portal.access_log {} is a directory", path.display());
        sheet.wrong(at, what, "name a file, or \"stdout\"");
    } else if let Some(parent) = path.parent() {
        can_be_made(parent, "the folder of portal.access_log", at, sheet);
    }
}

/// Whom outsiders may write to must be ours: what they write comes from an address in that domain.
pub(super) fn write_to(config: &Config, users: Option<&Users>, sheet: &mut Sheet<'_>) {
    let (Some(section), Some(users)) = (&config.portal, users) else {
        return;
    };
    let is_ours = |address: &&Address| {
        users.iter().any(|user| user.may_send_as(address))
            || config
                .dkim
                .iter()
                .any(|key| address.domain().is_within(&key.domain))
    };
    for address in section.write_to.iter().filter(|it| !is_ours(it)) {
        sheet.warn(
            section.at,
            format!(
                "portal.write_to has {address}: no account may send as it, and no DKIM key signs for its domain"
            ),
            "name addresses of your own domains, or add the key",
        );
    }
}

fn texts(folder: &At<std::path::PathBuf>, sheet: &mut Sheet<'_>) {
    let mut last: Option<(std::path::PathBuf, u16)> = None;
    for problem in read_texts(folder).1 {
        let Some(text) = problem.text else {
            let what = format!("portal.texts: {}: {}", problem.file.display(), problem.what);
            match problem.missing {
                true => sheet.missing(folder.at, what, problem.mend),
                false => sheet.wrong(folder.at, what, problem.mend),
            }
            continue;
        };
        let number = match &last {
            Some((file, number)) if *file == problem.file => Some(*number),
            _ => sheet.include(problem.file.clone(), text),
        };
        let Some(number) = number else {
            return;
        };
        last = Some((problem.file, number));
        sheet.wrong(Spot::new(number, problem.span), problem.what, problem.mend);
    }
}

fn logo(path: &At<std::path::PathBuf>, sheet: &mut Sheet<'_>) {
    let shown = path.display();
    match read_logo(path) {
        Ok(_) => {}
        Err(LogoError::File(error)) if error.is_not_found() => sheet.missing(
            path.at,
            format!("portal.logo {shown} does not exist"),
            "correct the path, or put the picture there",
        ),
        Err(error) => sheet.wrong(
            path.at,
            format!("portal.logo {shown} {}", said(&error)),
            "use a small PNG, JPEG or SVG",
        ),
    }
}

fn said(error: &LogoError) -> String {
    match error {
        LogoError::File(error) => format!("cannot be read: {}", cause(error)),
        LogoError::Kind | LogoError::Svg(_) => error.to_string(),
    }
}

/// The certificate that browsers see, and whether it is for the name that people type.
fn shown_certificate(
    config: &PortalConfig,
    now: Timestamp,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) {
    let section = &config.portal;
    let Some(own) = &section.tls else {
        // That of [tls] is looked at as such; without it the text has been complained about.
        if let Some(tls) = &config.tls
            && let Ok(chain) = certificate::read_chain(&tls.certificate)
        {
            for_the_name(section, &chain, &tls.certificate, "tls.certificate", sheet);
        }
        return;
    };
    let name = "portal.certificate";
    let chain = match certificate::read_chain(&own.certificate) {
        Ok(chain) => {
            in_time(&chain, &own.certificate, name, now, sheet);
            for_the_name(section, &chain, &own.certificate, name, sheet);
            Some(chain)
        }
        Err(error) => {
            pem_problem(&error, &own.certificate, name, sheet);
            None
        }
    };
    let name = "portal.private_key";
    let file = large_secret(
        &own.private_key,
        name,
        "your CA's tools",
        credentials,
        sheet,
    );
    if let (Some(chain), Some(file)) = (chain, file) {
        let joined =
            certificate::read_key(&file).and_then(|key| certificate::certified_key(chain, key));
        if let Err(error) = joined {
            pem_problem(&error, &file, name, sheet);
        }
    }
}

fn for_the_name(
    section: &PortalSection,
    chain: &[CertificateDer<'_>],
    path: &At<std::path::PathBuf>,
    name: &str,
    sheet: &mut Sheet<'_>,
) {
    let host = section.url.host();
    let wanted = match host {
        Host::Name(name) => ServerName::try_from(name.to_string()).ok(),
        Host::Address(address) => Some(ServerName::IpAddress((*address).into())),
    };
    let Some(Ok(leaf)) = chain.first().map(webpki::EndEntityCert::try_from) else {
        return; // has been complained about
    };
    if wanted.is_some_and(|wanted| leaf.verify_is_valid_for_subject_name(&wanted).is_err()) {
        sheet.warn(
            path.at,
            format!(
                "{name} {} is not for {host}, the host of portal.url",
                path.display()
            ),
            "use a certificate with that name: browsers will refuse this one",
        );
    }
}

/// Whether two keys are one: then who has the one has the other.
pub(super) fn same_key(
    section: &PortalSection,
    other: &At<super::Secret>,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) {
    if let (Ok(own), Ok(spool)) = (
        section.master_key.read(credentials),
        other.read(credentials),
    ) && *own == *spool
    {
        sheet.wrong(
            section.master_key.at,
            "portal.master_key is the key of the spool: whoever breaks into the portal would read the spool",
            "make another with `sealpost key generate FILE`",
        );
    }
}

/// Whether one directory lies in the other.
pub(super) fn apart(section: &PortalSection, data: &Path, sheet: &mut Sheet<'_>) {
    for taken in ["spool", "decisions"] {
        let taken = data.join(taken);
        let own = &section.directory.value;
        if own.starts_with(&taken) || taken.starts_with(own) {
            sheet.wrong(
                section.directory.at,
                format!(
                    "portal.directory {} is not apart from {}",
                    own.display(),
                    taken.display()
                ),
                "name a directory of its own",
            );
        }
    }
}
