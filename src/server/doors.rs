//! Submission, from the configuration.

use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::sockets::Listening;
use super::{BuildError, StartError};
use crate::config::certificate::{certified_key, read_chain, read_key};
use crate::config::{Config, ListenerSection, ListenerTls as Tls};
use crate::submission::{Listener, ListenerTls, Services, Socket, Submission, SubmissionConfig};

/// Our certificate with its key; `None` where no listener needs one.
pub(super) fn certificate(config: &Config) -> Result<Option<Arc<CertifiedKey>>, BuildError> {
    let Some(tls) = &config.tls else {
        return Ok(None);
    };
    let failed = |what| move |source| BuildError::Certificate { what, source };
    let chain = read_chain(&tls.certificate).map_err(failed("tls.certificate"))?;
    let key = read_key(&tls.private_key).map_err(failed("tls.private_key"))?;
    let certified = certified_key(chain, key).map_err(failed("tls.private_key"))?;
    Ok(Some(certified))
}

/// Starts to take mail in on the sockets, which are in the order of the configuration.
pub(super) fn open(
    config: &Config,
    listening: Vec<Listening>,
    certificate: Option<Arc<CertifiedKey>>,
    services: Services,
) -> Result<Submission, StartError> {
    let mut listeners = Vec::with_capacity(listening.len());
    for (section, socket) in config.listeners.iter().zip(listening) {
        let socket = match socket {
            Listening::Tcp(listener) => Socket::Tcp(listener),
            Listening::Unix(listener, _) => Socket::Unix(listener),
        };
        let name = section.address.value.to_string();
        listeners.push(Listener::new(&name, socket, tls(section))?);
    }
    let limits = &config.limits;
    let submission = SubmissionConfig {
        hostname: config.hostname.clone(),
        postmaster: config.postmaster.clone(),
        message_octets: limits.message_size,
        recipients: limits.recipients,
        connections: limits.connections,
        connections_per_address: limits.connections_per_address,
        connections_per_user: limits.connections_per_user,
        memory_octets: limits.memory,
    };
    Ok(Submission::start(
        submission,
        listeners,
        services,
        certificate,
    )?)
}

fn tls(section: &ListenerSection) -> ListenerTls {
    match section.tls {
        Tls::Implicit => ListenerTls::Implicit,
        Tls::Starttls => ListenerTls::Starttls,
        Tls::None => ListenerTls::None {
            user: section
                .user
                .as_ref()
                .map(|user| user.value.clone())
                .unwrap_or_default(),
        },
    }
}
