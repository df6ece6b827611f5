//! The line's end of the portal, from the configuration: what the method works with, and the door
//! by which the portal has mails sent.

use std::sync::{Arc, PoisonError, RwLock};

use super::StartError;
use super::portal::{PortalError, build};
use crate::config::Config;
use crate::directory::Authenticator;
use crate::flow;
use crate::link::{LinkOptions, LinkServer, LinkServices, Ours};
use crate::mail::Address;
use crate::notice::Setting;
use crate::pickup::Pickup;
use crate::world::clock::Clock;
use crate::world::unix::Socket;

/// What the method portal works with; `None` without `[portal]`.
pub(super) fn method(config: &Config, clock: Clock) -> Result<Option<flow::Portal>, PortalError> {
    let Some(portal) = config.portal() else {
        return Ok(None);
    };
    let section = &portal.portal;
    Ok(Some(flow::Portal {
        client: Pickup::new(&section.socket, clock),
        setting: Setting {
            operator: section.name.clone(),
            url: build::origin(&portal)?.as_str().to_owned(),
            notice_from: section.notice_from.clone(),
            domains: config.dkim.iter().map(|key| key.domain.clone()).collect(),
            hostname: config.hostname.clone(),
            postmaster: config.postmaster.clone(),
            language: section.language,
            texts: build::texts(&portal)?,
        },
        expire_after: section.expire_after,
        language: section.language,
        languages: section.languages.clone(),
        phone_codes: section.sms.is_some(),
    }))
}

/// The door, open: the portal may be let in.
pub(super) struct Door {
    _server: LinkServer,
    /// Whom outsiders may write to, though no account may send as them.
    write_to: Arc<RwLock<Vec<Address>>>,
}

/// Opens the socket, on which nobody answers yet; `None` without `[portal]`.
pub(super) fn socket(config: &Config) -> Result<Option<Socket>, StartError> {
    let Some(section) = &config.portal else {
        return Ok(None);
    };
    if let Some(directory) = section.mail_socket.parent()
        && !directory.as_os_str().is_empty()
    {
        super::start::make_directory(directory, 0o755)?;
    }
    Ok(Some(LinkServer::open(&section.mail_socket)?))
}

impl Door {
    /// Begins to answer.
    pub(super) fn open(
        socket: Socket,
        config: &Config,
        authenticator: Authenticator,
        services: LinkServices,
    ) -> Self {
        let write_to = Arc::new(RwLock::new(listed(config)));
        let others = Arc::clone(&write_to);
        let options = LinkOptions {
            hostname: config.hostname.clone(),
            reply_octets: config.limits.message_size,
            // Whom mail is sent for, mail is answered to.
            ours: Ours::new(move |address| {
                let mailbox = address.mailbox_key();
                let others = others.read().unwrap_or_else(PoisonError::into_inner);
                others.iter().any(|it| it.mailbox_key() == mailbox) || authenticator.grants(address)
            }),
        };
        Self {
            _server: LinkServer::start(socket, options, services),
            write_to,
        }
    }

    /// Takes other addresses into force.
    pub(super) fn reload(&self, config: &Config) {
        *self
            .write_to
            .write()
            .unwrap_or_else(PoisonError::into_inner) = listed(config);
    }
}

fn listed(config: &Config) -> Vec<Address> {
    let section = config.portal.as_ref();
    section.map_or_else(Vec::new, |section| section.write_to.clone())
}
