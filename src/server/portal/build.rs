//! From the checked configuration to the parts of the portal.

use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::PortalError;
use crate::config::certificate::{CertificateError, certified_key, read_chain, read_key};
use crate::config::{
    self, ClamdAddress, Credentials, Imprint, LogTarget, PortalConfig, SmsSection,
};
use crate::journal::MasterKey;
use crate::mail::SecretBytes;
use crate::portal::answer::FileRules;
use crate::portal::answer::clamd::{At, Clamd};
use crate::portal::http::{self, Assets, Origin};
use crate::portal::proof::phone::Phones;
use crate::portal::proof::webauthn::RelyingParty;
use crate::portal::proof::{DeskOptions, SessionBounds};
use crate::portal::site::{self, Identity, Operator, SiteOptions};
use crate::portal::store::{Bounds, Reminders, StoreOptions};
use crate::world::clock::Clock;
use crate::world::dial::Dialer;
use crate::world::dns_hickory::HickoryDns;
use crate::world::fetch::Fetcher;
use crate::world::net::TcpNetwork;
use crate::world::url::Host;

/// Octets that a message may be larger by than the line's limit: the fields that it adds.
const ADDED_OCTETS: u64 = 1 << 20;

pub(super) fn store(
    config: &PortalConfig,
    credentials: &Credentials,
) -> Result<StoreOptions, PortalError> {
    let section = &config.portal;
    let key = section.master_key.read(credentials);
    let key = key.map_err(PortalError::MasterKeySecret)?;
    Ok(StoreOptions {
        directory: section.directory.value.clone(),
        master_key: MasterKey::from_base64(&key).map_err(PortalError::MasterKey)?,
        bounds: Bounds {
            per_mailbox: section.mailbox_messages,
            message_octets: message_octets(config),
            ..Bounds::default()
        },
        reminders: Reminders {
            remind_after: section.remind_after,
            unread_after: section.unread_after,
        },
    })
}

pub(super) fn desk(
    config: &PortalConfig,
    credentials: &Credentials,
    clock: Clock,
) -> Result<DeskOptions, PortalError> {
    let section = &config.portal;
    let origin = origin(config)?;
    let phones = match &section.sms {
        Some(sms) => Some(phones(config, sms, credentials, clock)?),
        None => None,
    };
    Ok(DeskOptions {
        party: RelyingParty {
            id: origin.host().to_owned(),
            origin: origin.as_str().to_owned(),
            name: section.name.clone(),
        },
        code_life: section.code_life,
        sessions: SessionBounds {
            idle: section.idle,
            absolute: section.session,
            ..SessionBounds::default()
        },
        phones,
    })
}

fn phones(
    config: &PortalConfig,
    sms: &SmsSection,
    credentials: &Credentials,
    clock: Clock,
) -> Result<Phones, PortalError> {
    let ca_file = sms.ca_file.as_ref().map(|path| path.value.as_path());
    let roots = config::roots_of(ca_file).map_err(|source| PortalError::Certificate {
        what: "portal.sms.ca_file",
        source,
    })?;
    let dns = HickoryDns::new(&config.dns_servers)?;
    // The operator names the host, so it may have a private address.
    let dialer = Dialer::new(Arc::new(dns), Arc::new(TcpNetwork), clock, true);
    let token = sms.token.read(credentials);
    let token = token.map_err(PortalError::SmsToken)?;
    let token = SecretBytes::new(token.as_bytes().to_vec());
    let fetcher = Fetcher::new(dialer, roots);
    Ok(Phones::new(fetcher, sms.url.value.clone(), Some(token)))
}

/// Where the portal is on the web.
pub(in crate::server) fn origin(config: &PortalConfig) -> Result<Origin, PortalError> {
    let url = format!("https://{}", config.portal.url.authority());
    Origin::parse(&url).map_err(PortalError::Origin)
}

/// The certificate that browsers see.
pub(super) fn certificate(
    config: &PortalConfig,
    credentials: &Credentials,
) -> Result<Arc<CertifiedKey>, PortalError> {
    let failed = |what| move |source: CertificateError| PortalError::Certificate { what, source };
    let (chain, key) = match (&config.portal.tls, &config.tls) {
        (Some(own), _) => {
            let key = own.private_key.path(credentials);
            let key = key.map_err(PortalError::PrivateKey)?;
            (own.certificate.value.clone(), key)
        }
        (None, Some(tls)) => (tls.certificate.value.clone(), tls.private_key.value.clone()),
        (None, None) => {
            let what = "portal.certificate";
            let source = CertificateError::NoCertificate;
            return Err(PortalError::Certificate { what, source });
        }
    };
    let chain = read_chain(&chain).map_err(failed("the portal's certificate"))?;
    let key = read_key(&key).map_err(failed("the key of the portal's certificate"))?;
    certified_key(chain, key).map_err(failed("the key of the portal's certificate"))
}

pub(super) fn limits(config: &PortalConfig) -> http::Limits {
    http::Limits {
        drain: config.drain_timeout,
        ..http::Limits::default()
    }
}

pub(super) fn access_log(config: &PortalConfig) -> http::LogTarget {
    match &config.portal.access_log {
        None => http::LogTarget::Nowhere,
        Some(LogTarget::Stdout) => http::LogTarget::Stdout,
        Some(LogTarget::File(path)) => http::LogTarget::File(path.clone()),
    }
}

/// What a reload replaces of the pages, and the files that they load.
pub(super) fn site(config: &PortalConfig) -> Result<(SiteOptions, Assets), PortalError> {
    let section = &config.portal;
    let logo = section.logo.as_ref().map(|path| config::read_logo(path));
    let logo = logo.transpose().map_err(PortalError::Logo)?;
    let imprint = section.imprint.clone().map(|imprint| match imprint {
        Imprint::Url(url) => site::Imprint::At(url),
        Imprint::Text(text) => site::Imprint::Text(text),
    });
    let identity = Identity {
        name: section.name.clone(),
        origin: origin(config)?.as_str().to_owned(),
        logo,
        colour: section.colour.map(|colour| site::Colour(colour.0)),
        imprint,
        writable: !section.write_to.is_empty(),
    };
    let mut assets = Assets::default();
    let options = SiteOptions {
        operator: Operator::new(identity, &mut assets),
        texts: texts(config)?,
        language: section.language,
        replies: section.replies,
        files: FileRules {
            octets: section.reply_size,
            extra: section.reply_types.clone(),
            ..FileRules::default()
        },
        clamd: section.clamd.as_ref().map(|it| clamd(&it.value)),
        write_to: section.write_to.clone(),
        reply_from: section.notice_from.clone(),
    };
    Ok((options, assets))
}

/// The texts, with those of the operator.
pub(in crate::server) fn texts(config: &PortalConfig) -> Result<crate::locale::Texts, PortalError> {
    let Some(folder) = &config.portal.texts else {
        return Ok(crate::locale::Texts::shipped());
    };
    let (texts, mut problems) = config::read_texts(folder);
    match problems.pop() {
        None => Ok(texts),
        Some(problem) => Err(PortalError::Texts(problem)),
    }
}

fn clamd(address: &ClamdAddress) -> Clamd {
    Clamd::new(match address {
        ClamdAddress::Unix(path) => At::Unix(path.clone()),
        ClamdAddress::Tcp(host, port) => At::Tcp {
            host: match host {
                Host::Name(name) => name.to_string(),
                Host::Address(address) => address.to_string(),
            },
            port: *port,
        },
    })
}

/// The keys that differ and that only a start takes into force.
pub(super) fn needs_restart(old: &PortalConfig, new: &PortalConfig) -> Vec<&'static str> {
    let addresses = |config: &PortalConfig| -> Vec<_> {
        let addresses = config.portal.addresses.iter();
        addresses.map(|address| address.value).collect()
    };
    let phones = |config: &PortalConfig| {
        let sms = config.portal.sms.as_ref();
        sms.map(|sms| {
            let ca_file = sms.ca_file.as_ref().map(|path| path.value.clone());
            (sms.url.value.clone(), sms.token.value.clone(), ca_file)
        })
    };
    let (a, b) = (&old.portal, &new.portal);
    let differs = [
        ("master_key", a.master_key.value != b.master_key.value),
        ("address", addresses(old) != addresses(new)),
        ("url", a.url.value != b.url.value),
        ("directory", a.directory.value != b.directory.value),
        ("socket", a.socket.value != b.socket.value),
        ("mail_socket", a.mail_socket.value != b.mail_socket.value),
        ("access_log", a.access_log != b.access_log),
        ("portal.sms", phones(old) != phones(new)),
        ("remind_after", a.remind_after != b.remind_after),
        ("unread_after", a.unread_after != b.unread_after),
        ("session", a.session != b.session),
        ("idle", a.idle != b.idle),
        ("code_life", a.code_life != b.code_life),
        ("mailbox_messages", a.mailbox_messages != b.mailbox_messages),
        ("limits.message_size", old.message_size != new.message_size),
        ("reply_size", message_octets(old) != message_octets(new)),
        (
            "limits.drain_timeout",
            old.drain_timeout != new.drain_timeout,
        ),
        (
            "dns.servers",
            a.sms.is_some() && old.dns_servers != new.dns_servers,
        ),
    ];
    let differs = differs.into_iter().filter(|(_, differs)| *differs);
    differs.map(|(key, _)| key).collect()
}

/// Octets that the store takes.
fn message_octets(config: &PortalConfig) -> u64 {
    // A reply is written here before it is handed on, in the form in which it travels.
    let reply = config.portal.reply_size.saturating_mul(11) / 8;
    config.message_size.max(reply).saturating_add(ADDED_OCTETS)
}
