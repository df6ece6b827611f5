//! What the relay is told by the operator.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::RootCertStore;

pub use crate::proto::smtp::client::{Credentials, CredentialsError, Timeouts};

use crate::mail::{Domain, Level};

/// The `[relay]` section, checked.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// What we call ourselves in EHLO; an MX record that names it is a loop.
    pub hostname: Domain,
    /// The port of MX hosts.
    pub port: u16,
    /// The roots that vouch for MX hosts, and for routes without roots of their own.
    pub roots: Arc<RootCertStore>,
    /// The addresses that connections are made from; empty leaves it to the system. Where there
    /// are some, a peer of a family that has none is not tried.
    pub source_addresses: Vec<IpAddr>,
    /// Whether a next hop may have a private or loopback address.
    pub allow_private_addresses: bool,
    /// Next hops that the operator names.
    pub routes: Vec<Route>,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// A next hop that the operator names for a domain.
#[derive(Debug, Clone)]
pub struct Route {
    /// For which recipients' domain; `None` for all that have no route of their own (`"*"`).
    pub domain: Option<Domain>,
    /// The host.
    pub host: Domain,
    /// Its port.
    pub port: u16,
    /// How TLS begins.
    pub tls: RouteTls,
    /// What we authenticate with, once the grade is reached.
    pub credentials: Option<Credentials>,
    /// The roots that vouch for the host; `None` for [`RelayConfig::roots`].
    pub roots: Option<Arc<RootCertStore>>,
    /// The highest level that may go this way.
    pub max_level: Level,
}

/// How TLS begins on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteTls {
    /// STARTTLS (RFC 3207).
    Starttls,
    /// At once (RFC 8314).
    Implicit,
}

impl RelayConfig {
    /// The route for `domain`, by its number: its own, else the default one.
    pub(super) fn route(&self, domain: &Domain) -> Option<(usize, &Route)> {
        let numbered = || self.routes.iter().enumerate();
        numbered()
            .find(|(_, route)| route.domain.as_ref() == Some(domain))
            .or_else(|| numbered().find(|(_, route)| route.domain.is_none()))
    }
}
