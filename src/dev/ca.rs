//! A private certificate authority, and certificates with every fault that a peer may show.
//!
//! Keys are ECDSA P-256 and live in memory; the CA's key is never written anywhere.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, string::Ia5String,
};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use crate::mail::Timestamp;
use crate::world::tls::server_provider;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Making a certificate failed.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The generator refused.
    #[error("a certificate could not be made")]
    Generate(#[from] rcgen::Error),
    /// The TLS library refused what was made.
    #[error("a certificate that was just made cannot be served")]
    Serve(#[from] rustls::Error),
}

/// A certificate authority.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    now: Timestamp,
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

/// A certificate that a server shows, with its key.
pub struct ServerCert {
    chain: Vec<CertificateDer<'static>>,
    pem: String,
    key: KeyPair,
}

impl std::fmt::Debug for ServerCert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCert").finish_non_exhaustive()
    }
}

/// A mail certificate.
#[derive(Debug, Clone)]
pub struct MailCert {
    /// DER.
    pub der: Vec<u8>,
    /// PEM.
    pub pem: String,
}

impl Ca {
    /// A new authority, valid around `now` for ten years.
    pub fn new(now: Timestamp) -> Result<Self, CaError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "sealpost dev CA");
        (params.not_before, params.not_after) = (moment(now - DAY), moment(now + 3650 * DAY));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer, now })
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A root store with this authority alone.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates([self.issuer.der().clone()]);
        roots
    }

    /// A good certificate for `names` (host names or IP addresses).
    pub fn server(&self, names: &[&str]) -> Result<ServerCert, CaError> {
        self.issue(names, self.now - DAY, self.now + 365 * DAY)
    }

    /// One that ended yesterday.
    pub fn expired(&self, names: &[&str]) -> Result<ServerCert, CaError> {
        self.issue(names, self.now - 30 * DAY, self.now - DAY)
    }

    /// One that begins tomorrow.
    pub fn not_yet_valid(&self, names: &[&str]) -> Result<ServerCert, CaError> {
        self.issue(names, self.now + DAY, self.now + 30 * DAY)
    }

    /// One that nobody vouches for.
    pub fn self_signed(&self, names: &[&str]) -> Result<ServerCert, CaError> {
        let params = leaf(names, self.now - DAY, self.now + 365 * DAY)?;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(ServerCert::new(&certificate, key))
    }

    /// A mail certificate (S/MIME) for `addresses`, over a key that the caller keeps.
    pub fn mail(&self, addresses: &[&str], key: &KeyPair) -> Result<MailCert, CaError> {
        let mut params = leaf(&[], self.now - DAY, self.now + 365 * DAY)?;
        for address in addresses {
            let name = Ia5String::try_from(*address)?;
            params.subject_alt_names.push(SanType::Rfc822Name(name));
        }
        let name = addresses.first().copied().unwrap_or("nobody@invalid");
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(MailCert {
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
        })
    }

    fn issue(
        &self,
        names: &[&str],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<ServerCert, CaError> {
        let params = leaf(names, from, until)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerCert::new(&certificate, key))
    }
}

fn leaf(names: &[&str], from: Timestamp, until: Timestamp) -> Result<CertificateParams, CaError> {
    let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(owned)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = names.first() {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (moment(from), moment(until));
    Ok(params)
}

fn moment(at: Timestamp) -> OffsetDateTime {
    i64::try_from(at.as_secs())
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl ServerCert {
    fn new(certificate: &Certificate, key: KeyPair) -> Self {
        Self {
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key,
        }
    }

    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The key, PKCS #8 PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The certificate, DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// Serves it: TLS 1.2 and 1.3, no client certificates.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, CaError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(server_provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)?;
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::certificate::validity;

    #[test]
    fn certificates_have_the_fault_they_are_named_for() {
        let now = Timestamp::from_secs(1_800_000_000);
        let ca = Ca::new(now).unwrap();
        let valid = |cert: &ServerCert| {
            let validity = validity(&[cert.der().clone()]).unwrap();
            (validity.from..=validity.until).contains(&now)
        };
        let names = ["mx.tls.test", "127.0.0.1"];
        assert!(valid(&ca.server(&names).unwrap()));
        assert!(valid(&ca.self_signed(&names).unwrap()));
        assert!(!valid(&ca.expired(&names).unwrap()));
        assert!(!valid(&ca.not_yet_valid(&names).unwrap()));
        assert_eq!(ca.roots().len(), 1);
        ca.server(&names).unwrap().server_config().unwrap();
    }
}
