//! TLS to a next hop, and the facts of the handshake.
//!
//! The verifier always checks chain, name and time as a browser would, writes down what it found,
//! and then lets the handshake go on: what an unverified peer may carry is the grade check's to
//! say, with the exact reason at hand, and not a broken handshake's. The signature over the
//! handshake is always enforced, so a peer holds at least the key that it shows.
//!
//! Never resumes a session: a resumed one shows no certificate. The only maker of
//! [`HandshakeFacts`]. (A peer with an X.509 v1 certificate or a 1024-bit RSA key breaks the
//! handshake; it could not reach `pkix` either.)

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::mail::{Domain, Timestamp, VerifiedBy};
use crate::proto::smtp::client::{Anchors, HandshakeFacts, Reference};
use crate::world::clock::Clock;
use crate::world::net::Stream;
use crate::world::tls::{ClockTime, client_provider, negotiated, post_quantum_client_provider};

/// A handshake that did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// The peer's alert, its octets, or our refusal of them.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] std::io::Error),
    /// The same where nothing but a post-quantum key exchange was offered, and the peer found
    /// nothing to agree on.
    #[error("no post-quantum key exchange could be agreed on: {0}")]
    NotPostQuantum(#[source] std::io::Error),
    /// The peer went away within it.
    #[error("the connection was closed in the TLS handshake")]
    Closed(#[source] std::io::Error),
    /// The host's name cannot be put in a ClientHello, or our configuration is not accepted.
    #[error("the TLS handshake could not be begun: {0}")]
    Setup(String),
    /// The handshake ended without the facts that it must have shown.
    #[error("the TLS handshake left no {0}")]
    Incomplete(&'static str),
}

/// Opens TLS on connections to next hops.
pub(super) struct TlsClient {
    provider: Arc<CryptoProvider>,
    post_quantum: Arc<CryptoProvider>,
    public: Option<Arc<WebPkiServerVerifier>>,
    routes: Vec<Option<Arc<WebPkiServerVerifier>>>,
    clock: Clock,
}

impl TlsClient {
    /// With the public roots, and each route's own.
    pub(super) fn new<'a>(
        roots: &Arc<RootCertStore>,
        routes: impl Iterator<Item = Option<&'a Arc<RootCertStore>>>,
        clock: Clock,
    ) -> Self {
        let provider = client_provider();
        let verifier = |roots: &Arc<RootCertStore>| {
            // Fails where there are no roots: then nothing is ever verified.
            let roots = Arc::clone(roots);
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .ok()
        };
        Self {
            public: verifier(roots),
            routes: routes.map(|roots| roots.and_then(verifier)).collect(),
            clock,
            provider,
            post_quantum: post_quantum_client_provider(),
        }
    }

    fn verifier(&self, anchors: Anchors) -> Option<Arc<WebPkiServerVerifier>> {
        match anchors {
            Anchors::Public => self.public.clone(),
            Anchors::Route(number) => self.routes.get(number).cloned().flatten(),
        }
    }

    /// Shakes hands as a client of `reference`; `post_quantum` offers no other key exchange. No
    /// timeout of its own.
    pub(super) async fn handshake(
        &self,
        stream: Box<dyn Stream>,
        reference: &Reference,
        post_quantum: bool,
    ) -> Result<(Box<dyn Stream>, HandshakeFacts), TlsError> {
        let recorder = Arc::new(Recorder {
            inner: self.verifier(reference.anchors),
            provider: Arc::clone(&self.provider),
            finding: OnceLock::new(),
        });
        let verifier: Arc<dyn ServerCertVerifier> = Arc::<Recorder>::clone(&recorder);
        let time = Arc::new(ClockTime(self.clock));
        let versions: &[_] = match post_quantum {
            true => &[&rustls::version::TLS13],
            false => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let provider = match post_quantum {
            true => &self.post_quantum,
            false => &self.provider,
        };
        let mut config = ClientConfig::builder_with_details(Arc::clone(provider), time)
            .with_protocol_versions(versions)
            .map_err(|error| TlsError::Setup(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(reference.host.as_str().to_owned())
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidData if post_quantum && is_disagreement(&error) => {
                    TlsError::NotPostQuantum(error)
                }
                std::io::ErrorKind::InvalidData => TlsError::Handshake(error),
                _ => TlsError::Closed(error),
            })?;
        let facts = self.facts(&stream, &recorder, reference)?;
        Ok((Box::new(stream), facts))
    }

    fn facts(
        &self,
        stream: &TlsStream<Box<dyn Stream>>,
        recorder: &Recorder,
        reference: &Reference,
    ) -> Result<HandshakeFacts, TlsError> {
        let connection = stream.get_ref().1;
        let finding = recorder.finding.get();
        let finding = finding.ok_or(TlsError::Incomplete("certificate"))?;
        let tls =
            negotiated(connection, finding.verified_by.clone()).map_err(TlsError::Incomplete)?;
        Ok(HandshakeFacts::observed(
            reference.clone(),
            tls,
            finding.valid_until,
        ))
    }
}

/// Whether a handshake failed because the two ends have nothing in common, by the peer's alert or
/// by what it answered.
fn is_disagreement(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::PeerIncompatible(_)) => true,
        Some(rustls::Error::AlertReceived(alert)) => matches!(
            alert,
            AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
                | AlertDescription::IllegalParameter
        ),
        _ => false,
    }
}

/// What the verifier found.
#[derive(Debug)]
struct Finding {
    verified_by: VerifiedBy,
    /// The end of the end-entity certificate's validity.
    valid_until: Timestamp,
}

/// Verifies, writes down, lets pass.
#[derive(Debug)]
struct Recorder {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    finding: OnceLock<Finding>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = Certificate::from_der(end_entity).ok();
        let valid_until = certificate.as_ref().map(not_after);
        let verified = self.inner.as_ref().map(|inner| {
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        });
        let verified_by = match (verified, valid_until) {
            (Some(Ok(_)), Some(_)) => VerifiedBy::Pkix,
            (Some(Ok(_)), None) => nothing("the end of its certificate's validity is unreadable"),
            (Some(Err(error)), _) => nothing(&why(&error, certificate.as_ref(), server_name)),
            (None, _) => nothing("no certificate authority is configured"),
        };
        let finding = Finding {
            verified_by,
            valid_until: valid_until.unwrap_or_default(),
        };
        // A handshake shows one certificate; a second one must not overwrite what was found.
        self.finding
            .set(finding)
            .map_err(|_| rustls::Error::General("a second certificate".to_owned()))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn nothing(why: &str) -> VerifiedBy {
    VerifiedBy::Nothing(why.to_owned())
}

fn not_after(certificate: &Certificate) -> Timestamp {
    let end = certificate.tbs_certificate().validity().not_after;
    Timestamp::from_secs(end.to_unix_duration().as_secs())
}

/// Why a certificate was not accepted, for people.
fn why(error: &rustls::Error, certificate: Option<&Certificate>, name: &ServerName<'_>) -> String {
    let rustls::Error::InvalidCertificate(error) = error else {
        return format!("its certificate cannot be checked: {error}");
    };
    let self_signed = certificate.is_some_and(|certificate| {
        let tbs = certificate.tbs_certificate();
        tbs.issuer() == tbs.subject()
    });
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for the name {}", name.to_str())
        }
        CertificateError::Revoked => "its certificate was revoked".to_owned(),
        // Whatever the chain builder stumbled over first.
        _ if self_signed => "its certificate is self-signed".to_owned(),
        CertificateError::UnknownIssuer => {
            "its certificate was issued by an authority that we do not know".to_owned()
        }
        other => format!("its certificate is not acceptable: {other}"),
    }
}

/// The reference for a host by its anchors.
pub(super) fn reference(host: &Domain, anchors: Anchors) -> Reference {
    Reference {
        host: host.clone(),
        anchors,
    }
}
