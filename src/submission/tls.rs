//! TLS as a server: one configuration for all listeners, the certificate replaceable.
//!
//! TLS 1.2 and 1.3; ALPN `smtp`, so that a client of another protocol that was led here gets
//! `no_application_protocol` (ALPACA), while one without ALPN, as most mail clients are, is served.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::mail::{TlsFacts, VerifiedBy};
use crate::world::net::Stream;
use crate::world::tls::{negotiated, server_provider};

/// ALPN protocol id of mail (IANA registry of ALPN ids).
const ALPN: &[u8] = b"smtp";

/// The server's side of TLS. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct ServerTls {
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

impl ServerTls {
    pub(super) fn new(certificate: Arc<CertifiedKey>) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(RwLock::new(certificate)));
        let mut config = ServerConfig::builder_with_provider(server_provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            current,
        })
    }

    pub(super) fn replace(&self, certificate: Arc<CertifiedKey>) {
        let mut current = self
            .current
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = certificate;
    }

    /// The handshake. The stream is gone with it: what comes back reads TLS records and nothing
    /// else, and its end is the end of the connection.
    pub(super) async fn accept(
        &self,
        stream: Box<dyn Stream>,
    ) -> std::io::Result<(Box<dyn Stream>, TlsFacts)> {
        let stream = self.acceptor.accept(stream).await?;
        let facts = facts(&stream)
            .map_err(|fact| std::io::Error::other(format!("the handshake left open its {fact}")))?;
        Ok((Box::new(stream), facts))
    }
}

fn facts(stream: &TlsStream<Box<dyn Stream>>) -> Result<TlsFacts, &'static str> {
    let connection: &ServerConnection = stream.get_ref().1;
    let nobody = VerifiedBy::Nothing("no client certificate".to_owned());
    negotiated(connection, nobody)
}
