//! A certificate authority of the test's own, and the certificates that go wrong.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};

/// A root and what it signs.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

/// A certificate with its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: KeyPair,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        Arc::new(roots)
    }

    /// A certificate for `name`, as `change` leaves it.
    pub fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Identity { certificate, key }
    }

    pub fn issue(&self, name: &str) -> Identity {
        self.issue_with(name, |_| {})
    }

    pub fn issue_expired(&self, name: &str) -> Identity {
        self.issue_with(name, |params| {
            params.not_after = date_time_ymd(2026, 1, 1);
        })
    }

    pub fn issue_for_the_future(&self, name: &str) -> Identity {
        self.issue_with(name, |params| {
            params.not_before = date_time_ymd(2040, 1, 1);
        })
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name).self_signed(&key).unwrap().der().clone();
    Identity { certificate, key }
}

impl Identity {
    /// What a server needs to show it.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server_with(sealpost::world::tls::server_provider())
    }

    /// The same on a server that knows elliptic curves and no post-quantum key exchange.
    pub fn classic_server(&self) -> Arc<ServerConfig> {
        self.server_with(sealpost::world::tls::client_provider())
    }

    fn server_with(&self, provider: Arc<CryptoProvider>) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        Arc::new(config)
    }
}
