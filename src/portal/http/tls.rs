//! TLS as the portal serves it: versions 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, the certificate
//! replaceable. A client of another protocol that was led here gets `no_application_protocol`
//! (ALPACA); one without ALPN gets HTTP/1.1.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::world::clock::Clock;
use crate::world::tls::{ClockTime, server_provider};

const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// The server's side of TLS.
#[derive(Clone)]
pub(super) struct PortalTls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// The certificate in force.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

/// What a handshake agreed on, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    /// HTTP/2.
    pub(super) h2: bool,
    /// `TLSv1.3` or `TLSv1.2`.
    pub(super) version: &'static str,
}

impl PortalTls {
    pub(super) fn new(certificate: Arc<CertifiedKey>, clock: Clock) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(RwLock::new(certificate)));
        let time = Arc::new(ClockTime(clock));
        let mut config = ServerConfig::builder_with_details(server_provider(), time)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            current,
        })
    }

    pub(super) fn replace(&self, certificate: Arc<CertifiedKey>) {
        let slot = &self.current.0;
        *slot.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }

    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Agreed)> {
        let stream = self.acceptor.accept(stream).await?;
        let connection = stream.get_ref().1;
        let agreed = Agreed {
            h2: connection.alpn_protocol() == Some(H2),
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
        };
        Ok((stream, agreed))
    }
}
