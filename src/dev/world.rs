//! The whole small world: a CA, a DNS responder and an MX for each of the domains that show what
//! sealpost does.
//!
//! | domain | its MX | what becomes of mail to it |
//! |---|---|---|
//! | `dev.test` | certificate of the CA | the sender's own: bounces arrive here |
//! | `tls.test` | certificate of the CA | goes by verified TLS |
//! | `smime.test` | self-signed | goes sealed to the recipient's certificate, whom [`super::smime`] knows; else waits |
//! | `portal.test` | self-signed | goes into the portal: good enough for a notice and a code |
//! | `weak.test` | no STARTTLS at all | waits, unless the sender gives a secret for the portal |
//!
//! Every MX has a loopback address of its own and all have one port, as relay.port wants it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::ca::{Ca, CaError};
use super::dns::{DnsServer, Zones};
use super::mx::{Inbox, Mx, MxOptions, MxTls, Session, Transcript};
use crate::mail::Timestamp;

/// The domain that mail is sent from.
pub const SENDER_DOMAIN: &str = "dev.test";
/// Domains whose mail must arrive.
pub const DELIVERED: [&str; 1] = ["tls.test"];
/// Domains whose mail must arrive sealed.
pub const SEALED: [&str; 1] = ["smime.test"];
/// Domains whose mail must be left in the portal.
pub const DEPOSITED: [&str; 1] = ["portal.test"];
/// Domains whose mail must wait.
pub const WAITING: [&str; 1] = ["weak.test"];

/// What an MX of the world shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Verified,
    SelfSigned,
    Nothing,
}

const DOMAINS: [(&str, Shows); 5] = [
    (SENDER_DOMAIN, Shows::Verified),
    ("tls.test", Shows::Verified),
    ("smime.test", Shows::SelfSigned),
    ("portal.test", Shows::SelfSigned),
    ("weak.test", Shows::Nothing),
];
/// The last octet of the first MX's address.
const FIRST_HOST: u8 = 2;
/// Ports that are tried until one is free on every address.
const PORT_TRIES: usize = 16;

/// The world could not be built.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A certificate.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// This system has only 127.0.0.1 on its loopback interface.
    #[error(
        "{0} is no address of this host; add it to the loopback interface, as in `ifconfig lo0 alias {0}`"
    )]
    NoLoopback(IpAddr),
    /// A socket.
    #[error("a socket on loopback could not be opened")]
    Socket(#[from] io::Error),
}

/// The running world; stops when dropped.
#[derive(Debug)]
pub struct World {
    ca: Ca,
    dns: DnsServer,
    mxs: Vec<Mx>,
    transcript: Transcript,
    port: u16,
}

impl World {
    /// Builds it around `now`; mail goes to `inbox`, what is said into `transcript`.
    pub async fn start(
        now: Timestamp,
        inbox: Inbox,
        transcript: Transcript,
    ) -> Result<Self, WorldError> {
        let ca = Ca::new(now)?;
        let listeners = listen(DOMAINS.len()).await?;
        let port = listeners.first().map_or(0, |(address, _)| address.port());
        let mut zones = Zones::new();
        let mut mxs = Vec::new();
        for ((domain, shows), (address, listener)) in DOMAINS.into_iter().zip(listeners) {
            let host = host_of(domain);
            zones.mx(domain, 10, &host).address(&host, address.ip());
            let tls = match shows {
                Shows::Verified => MxTls::Offered(ca.server(&[&host])?.server_config()?),
                Shows::SelfSigned => MxTls::Offered(ca.self_signed(&[&host])?.server_config()?),
                Shows::Nothing => MxTls::Absent,
            };
            let options = MxOptions::new(&host, tls, inbox.clone());
            mxs.push(Mx::start_with(listener, options, transcript.clone())?);
        }
        let dns = DnsServer::start(zones).await?;
        Ok(Self {
            ca,
            dns,
            mxs,
            transcript,
            port,
        })
    }

    /// The authority that vouches for `tls.test` and for us.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The responder.
    pub fn dns(&self) -> &DnsServer {
        &self.dns
    }

    /// The mail servers.
    pub fn mxs(&self) -> &[Mx] {
        &self.mxs
    }

    /// The port of every mail server.
    pub fn mx_port(&self) -> u16 {
        self.port
    }

    /// What was said to the MX of `domain`.
    pub fn sessions_of(&self, domain: &str) -> Vec<Session> {
        self.transcript.sessions_with(&host_of(domain))
    }
}

fn host_of(domain: &str) -> String {
    format!("mx.{domain}")
}

/// A listener on each of `count` loopback addresses, all on one port.
async fn listen(count: usize) -> Result<Vec<(SocketAddr, TcpListener)>, WorldError> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_TRIES {
        match try_listen(count).await {
            Err(WorldError::Socket(error)) if error.kind() == io::ErrorKind::AddrInUse => {
                last = error;
            }
            done => return done,
        }
    }
    Err(last.into())
}

async fn try_listen(count: usize) -> Result<Vec<(SocketAddr, TcpListener)>, WorldError> {
    let mut listeners: Vec<(SocketAddr, TcpListener)> = Vec::new();
    for (_, octet) in (0..count).zip(FIRST_HOST..) {
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, octet));
        let port = listeners.first().map_or(0, |(address, _)| address.port());
        let listener = TcpListener::bind((ip, port)).await.map_err(|error| {
            if error.kind() == io::ErrorKind::AddrNotAvailable {
                WorldError::NoLoopback(ip)
            } else {
                error.into()
            }
        })?;
        listeners.push((listener.local_addr()?, listener));
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_domain_has_an_mx_of_its_own() {
        let now = crate::world::clock::Clock::system().now();
        let world = World::start(now, Inbox::memory(), Transcript::default())
            .await
            .unwrap();
        let mut addresses: Vec<IpAddr> = world.mxs().iter().map(|mx| mx.address().ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), DOMAINS.len());
        assert!(
            world
                .mxs()
                .iter()
                .all(|mx| mx.address().port() == world.mx_port())
        );
    }
}
