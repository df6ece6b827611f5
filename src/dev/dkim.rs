//! Verifies DKIM signatures as a receiver would, with the keys that the small world's DNS has.

use std::net::SocketAddr;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};

/// What a receiver finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The domain that signed (`d=`); empty where the signature cannot be read.
    pub domain: String,
    /// Why it does not verify; `None` if it does.
    pub fault: Option<String>,
}

/// Looks at every signature of `mail`, asking `dns` for the keys.
pub async fn verify(dns: SocketAddr, mail: &[u8]) -> Vec<Found> {
    let mut udp = ConnectionConfig::udp();
    udp.port = dns.port();
    let mut tcp = ConnectionConfig::tcp();
    tcp.port = dns.port();
    let server = NameServerConfig::new(dns.ip(), true, vec![udp, tcp]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let Ok(receiver) = MessageAuthenticator::new(config, ResolverOpts::default()) else {
        return Vec::new();
    };
    let Some(message) = AuthenticatedMessage::parse(mail) else {
        return Vec::new();
    };
    let outputs = receiver.verify_dkim(&message).await;
    let found = outputs.iter().map(|output| Found {
        domain: output
            .signature()
            .map(|signature| signature.d.to_string())
            .unwrap_or_default(),
        fault: match output.result() {
            DkimResult::Pass => None,
            other => Some(format!("{other:?}")),
        },
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::dns::{DnsServer, Zones};
    use crate::mail::Domain;
    use crate::sign::{self, Algorithm, Signer, SigningKey};
    use crate::world::clock::Clock;

    #[tokio::test]
    async fn a_signature_verifies_until_somebody_touches_the_mail() {
        let domain = Domain::parse("dev.test").unwrap();
        let pem = sign::keygen(Algorithm::Ed25519).unwrap();
        let key = SigningKey::from_pem(domain.clone(), "s1", &pem).unwrap();
        let mut zones = Zones::new();
        let record = sign::dns_record(&pem).unwrap();
        zones.txt("s1._domainkey.dev.test", record.text());
        let dns = DnsServer::start(zones).await.unwrap();
        let mail = b"From: you@dev.test\r\nSubject: s\r\n\r\nbody\r\n";
        let now = Clock::system().now();
        let signature = Signer::new(vec![key]).sign(now, &domain, mail).unwrap();
        let signed = [&signature.prefix[..], mail].concat();
        let good = Found {
            domain: "dev.test".to_owned(),
            fault: None,
        };
        assert_eq!(verify(dns.address(), &signed).await, [good]);
        let touched = String::from_utf8(signed).unwrap().replace("body", "bodY");
        let found = verify(dns.address(), touched.as_bytes()).await;
        assert!(found[0].fault.is_some(), "{found:?}");
        assert!(verify(dns.address(), mail).await.is_empty());
    }
}
