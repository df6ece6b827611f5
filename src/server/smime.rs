//! S/MIME, from the configuration: what the directory of certificates goes by, who is asked for
//! them, who signs; and the directory as the line sees it.

use std::sync::Arc;

use bytes::Bytes;
use rustls::RootCertStore;

use super::BuildError;
use crate::config::certificate::{describe, read_chain, read_pkcs8, system_roots, validity};
use crate::config::{
    self, Config, Credentials, IdentityOwner, IdentitySection, LdapSection, SmimeSection,
    WellKnownSection,
};
use crate::directory::certificates::{Anchors, Certificates, Folder, Settings, Vouches};
use crate::directory::lookup::{HttpsSource, LdapSettings, LdapSource, Source};
use crate::directory::revocation::Revocation;
use crate::flow::certificates::Answer;
use crate::flow::{KnowsCertificates, Machinery, Smime};
use crate::mail::{
    Address, CertificateProblem, Fingerprint, FoundCertificate, SecretBytes, Timestamp,
};
use crate::proto::cms::Identity;
use crate::proto::ldap::Credentials as Login;
use crate::seal::{Owner, Sealer, SigningIdentity};
use crate::world::clock::Clock;
use crate::world::dial::Dialer;
use crate::world::dns_hickory::HickoryDns;
use crate::world::fetch::Fetcher;
use crate::world::net::TcpNetwork;

/// What the directory of certificates goes by. Without `[smime]` it vouches for nothing but what
/// was imported, and asks nobody.
pub(super) fn directory(
    config: &Config,
    credentials: &Credentials,
    clock: Clock,
) -> Result<Settings, BuildError> {
    let local = local(config, clock.now())?;
    let Some(section) = &config.smime else {
        return Ok(local);
    };
    let dialer = dialer(config, clock)?;
    Ok(Settings {
        sources: sources(section, credentials, &dialer)?,
        checker: Some(Arc::new(revocation(dialer))),
        ..local
    })
}

/// The same with nobody to ask: for commands that run without the daemon.
pub fn local(config: &Config, now: Timestamp) -> Result<Settings, BuildError> {
    let Some(section) = &config.smime else {
        return Ok(Settings::default());
    };
    Ok(Settings {
        anchors: anchors(section)?,
        folder: folder(section, now)?,
        revocation: section.revocation,
        partners: section.partners.clone(),
        ..Settings::default()
    })
}

/// How servers are connected to that are asked about certificates.
fn dialer(config: &Config, clock: Clock) -> Result<Dialer, BuildError> {
    let dns = Arc::new(HickoryDns::new(&config.dns_servers)?);
    let allow_private = config.relay.allow_private_addresses;
    Ok(Dialer::new(dns, Arc::new(TcpNetwork), clock, allow_private))
}

/// Who says whether a certificate was revoked. Its answers are signed; where they come over
/// `https` all the same, the system's roots vouch for the server.
fn revocation(dialer: Dialer) -> Revocation {
    let roots = Arc::new(system_roots());
    Revocation::new(Fetcher::new(dialer, roots))
}

fn anchors(section: &SmimeSection) -> Result<Anchors, BuildError> {
    let for_all = section.anchors.iter();
    let for_all = for_all.map(|path| (path, "smime.anchors", Vouches::ForAll));
    let narrowed = section.narrowed.iter().map(|it| {
        let vouches = Vouches::For(it.domains.clone());
        (&it.file, "smime.anchor.file", vouches)
    });
    let mut certificates = Vec::new();
    for (path, what, vouches) in for_all.chain(narrowed) {
        let chain = read_chain(path).map_err(|source| BuildError::Certificate { what, source })?;
        let read = chain.iter().map(|it| Bytes::copy_from_slice(it));
        certificates.extend(read.map(|der| (der, vouches.clone())));
    }
    Anchors::narrowed(certificates).map_err(BuildError::Anchors)
}

fn folder(section: &SmimeSection, now: Timestamp) -> Result<Folder, BuildError> {
    let Some(path) = &section.directory else {
        return Ok(Folder::default());
    };
    let (folder, refused) = Folder::read(path, now).map_err(BuildError::Folder)?;
    for file in refused {
        let (path, place, why) = (file.path.display(), file.place, file.why);
        tracing::warn!(%path, place, %why, "a file of the folder of certificates is not used");
    }
    Ok(folder)
}

/// Who is asked, in the order of the configuration: LDAP servers, then web servers.
fn sources(
    section: &SmimeSection,
    credentials: &Credentials,
    dialer: &Dialer,
) -> Result<Vec<Arc<dyn Source>>, BuildError> {
    let mut sources: Vec<Arc<dyn Source>> = Vec::new();
    for server in &section.ldap {
        sources.push(Arc::new(ldap(server, credentials, dialer)?));
    }
    for server in &section.well_known {
        sources.push(Arc::new(well_known(server, dialer)?));
    }
    Ok(sources)
}

fn ldap(
    section: &LdapSection,
    credentials: &Credentials,
    dialer: &Dialer,
) -> Result<LdapSource, BuildError> {
    let login = match &section.bind {
        None => None,
        Some((name, password)) => {
            let password = password.read(credentials).map_err(BuildError::LdapSecret)?;
            let password = SecretBytes::new(password.as_bytes().to_vec());
            let login = Login::new(name.clone(), password);
            Some(login.map_err(BuildError::LdapCredentials)?)
        }
    };
    let settings = LdapSettings {
        url: section.url.clone(),
        base: section.base.clone(),
        attribute: section.attribute.clone(),
        served: section.served.clone(),
        roots: roots(section.ca_file.as_deref(), "smime.ldap.ca_file")?,
        credentials: login,
        timeout: section.timeout,
    };
    LdapSource::new(settings, dialer).map_err(BuildError::Ldap)
}

fn well_known(section: &WellKnownSection, dialer: &Dialer) -> Result<HttpsSource, BuildError> {
    let roots = roots(section.ca_file.as_deref(), "smime.well_known.ca_file")?;
    let dialer = match section.named {
        true => dialer.for_named_hosts(),
        false => dialer.clone(),
    };
    let fetcher = Fetcher::new(dialer, roots);
    Ok(HttpsSource::new(
        section.template.clone(),
        section.served.clone(),
        fetcher,
    ))
}

/// What vouches for a server.
fn roots(
    ca_file: Option<&std::path::PathBuf>,
    what: &'static str,
) -> Result<Arc<RootCertStore>, BuildError> {
    let roots = config::roots_of(ca_file.map(std::path::PathBuf::as_path));
    roots.map_err(|source| BuildError::Certificate { what, source })
}

/// Who seals and signs; `None` without `[smime]`.
pub(super) fn sealer(
    config: &Config,
    credentials: &Credentials,
) -> Result<Option<Sealer>, BuildError> {
    let Some(section) = &config.smime else {
        return Ok(None);
    };
    let mut identities = Vec::new();
    for section in &section.identities {
        identities.extend(identity(section, credentials)?);
    }
    Ok(Some(Sealer::new(identities)))
}

/// An identity, once for each of its owners.
fn identity(
    section: &IdentitySection,
    credentials: &Credentials,
) -> Result<Vec<SigningIdentity>, BuildError> {
    let (what, key_what) = match section.owner {
        IdentityOwner::Certificate => ("smime.signing_certificate", "smime.signing_key"),
        IdentityOwner::Address(_) | IdentityOwner::Domain(_) => {
            ("smime.identity.certificate", "smime.identity.key")
        }
    };
    let failed = |what| move |source| BuildError::Certificate { what, source };
    let chain = read_chain(&section.certificate).map_err(failed(what))?;
    let expires = validity(&chain).map_err(failed(what))?.until;
    let key_file = section.key.path(credentials);
    let key_file = key_file.map_err(BuildError::SigningSecret)?;
    let key = read_pkcs8(&key_file).map_err(failed(key_what))?;
    let owners = match &section.owner {
        IdentityOwner::Address(address) => vec![Owner::Address(address.clone())],
        IdentityOwner::Domain(domain) => vec![Owner::Domain(domain.clone())],
        IdentityOwner::Certificate => {
            let described = chain.first().map(describe).transpose();
            let described = described.map_err(failed(what))?;
            let addresses = described.map(|it| it.addresses).unwrap_or_default();
            addresses.into_iter().map(Owner::Address).collect()
        }
    };
    let chain = chain.iter().map(|it| it.to_vec()).collect();
    let identity = Identity::new(chain, key.secret_pkcs8_der());
    let identity = identity.map_err(BuildError::Identity)?;
    let owned = |owner| SigningIdentity {
        owner,
        identity: identity.clone(),
        expires,
    };
    Ok(owners.into_iter().map(owned).collect())
}

/// The machinery with S/MIME, where there is somebody who seals.
pub(super) fn joined(
    machinery: Machinery,
    certificates: &Certificates,
    sealer: Option<Sealer>,
) -> Machinery {
    let smime = sealer.map(|sealer| Smime {
        certificates: Arc::new(Known(certificates.clone())),
        sealer: Arc::new(sealer),
    });
    Machinery { smime, ..machinery }
}

/// The directory as the line asks it.
#[derive(Debug)]
struct Known(Certificates);

impl KnowsCertificates for Known {
    fn known(&self, address: &Address, now: Timestamp) -> FoundCertificate {
        self.0.known(address, now)
    }

    fn look_up<'a>(&'a self, address: &'a Address, now: Timestamp) -> Answer<'a, FoundCertificate> {
        Box::pin(self.0.look_up(address, now))
    }

    fn unanswered(
        &self,
        certificate: &Fingerprint,
        now: Timestamp,
    ) -> Result<(), CertificateProblem> {
        self.0.unanswered(certificate, now)
    }

    fn stands<'a>(
        &'a self,
        address: &'a Address,
        certificate: &'a Fingerprint,
        now: Timestamp,
    ) -> Answer<'a, Result<(), CertificateProblem>> {
        Box::pin(self.0.stands(address, certificate, now))
    }
}
