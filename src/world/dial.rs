//! From a URL's host to a stream: resolved, connected, and under TLS with the host's name verified.
//!
//! Owns the choice of the address: strangers' hosts only at public ones. Never resumes a session,
//! never lets an unverified certificate pass. No timeout of its own.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::clock::Clock;
use super::dns::{Dns, DnsError};
use super::net::{Network, Stream};
use super::reach::is_allowed;
use super::tls::{ClockTime, server_provider};
use super::url::Host;

/// Most addresses of a host that are tried.
const MAX_ADDRESSES: usize = 4;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No address could be learnt.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(Host),
    /// It has none but private ones, which only the operator may name.
    #[error("{0} is at an address that is not public")]
    NotPublic(Host),
    /// Nobody answered at any address.
    #[error("{host} cannot be connected to: {why}")]
    Connect {
        /// The host.
        host: Host,
        /// What the last address gave.
        why: std::io::Error,
    },
    /// TLS could not be set up, or the certificate is not for this host.
    #[error("TLS with {host} failed: {why}")]
    Tls {
        /// The host.
        host: Host,
        /// What went wrong.
        why: String,
    },
}

/// Opens connections to hosts. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    dns: Arc<dyn Dns>,
    network: Arc<dyn Network>,
    clock: Clock,
    allow_private: bool,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}

impl Dialer {
    /// `allow_private`: whether hosts that strangers name may be at addresses that are not public.
    pub fn new(
        dns: Arc<dyn Dns>,
        network: Arc<dyn Network>,
        clock: Clock,
        allow_private: bool,
    ) -> Self {
        Self {
            dns,
            network,
            clock,
            allow_private,
        }
    }

    /// The same for hosts that the operator has named, which may be anywhere.
    pub fn for_named_hosts(&self) -> Self {
        Self {
            allow_private: true,
            ..self.clone()
        }
    }

    /// The clock by which certificates are verified.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Connects to a host, at the first of its addresses that answers.
    pub async fn connect(&self, host: &Host, port: u16) -> Result<Box<dyn Stream>, DialError> {
        let mut failure = DialError::NotPublic(host.clone());
        let addresses = self.addresses(host).await?;
        let allowed = addresses
            .into_iter()
            .filter(|&address| is_allowed(address, self.allow_private))
            .take(MAX_ADDRESSES);
        for address in allowed {
            let peer = SocketAddr::new(address, port);
            match self.network.connect(peer, None).await {
                Ok(stream) => return Ok(stream),
                Err(why) => {
                    let host = host.clone();
                    failure = DialError::Connect { host, why };
                }
            }
        }
        Err(failure)
    }

    async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, DialError> {
        match host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => {
                let mut found = self.dns.addresses(name).await?.records;
                if found.is_empty() {
                    return Err(DialError::NoAddress(host.clone()));
                }
                found.sort_unstable();
                found.dedup();
                Ok(found)
            }
        }
    }

    /// Shakes hands over `stream`; the peer has to show a certificate for `host` that leads to
    /// `roots`. `alpn` names the protocol (RFC 7301); empty for none.
    pub async fn secure(
        &self,
        stream: Box<dyn Stream>,
        host: &Host,
        roots: &Arc<RootCertStore>,
        alpn: &[u8],
    ) -> Result<Box<dyn Stream>, DialError> {
        let failed = |why: String| DialError::Tls {
            host: host.clone(),
            why,
        };
        let time = Arc::new(ClockTime(self.clock));
        let mut config = ClientConfig::builder_with_details(server_provider(), time)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(Arc::clone(roots))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        if !alpn.is_empty() {
            config.alpn_protocols = vec![alpn.to_vec()];
        }
        let name = match host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.as_str().to_owned())
                .map_err(|error| failed(error.to_string()))?,
        };
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(Box::new(stream))
    }
}
