//! The resolver, on hickory.
//!
//! Asks for fully qualified names only (no search domains, no hosts file), over UDP with EDNS and
//! over TCP when an answer was truncated. Does not validate yet: every answer is
//! [`Security::Insecure`], which can only withhold a grade, never give one.
//! "No such name" and "no such record" are told apart; everything that is neither an answer nor
//! one of these is temporary.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as HickoryDnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};

use super::BoxFuture;
use super::dns::{Answer, Dns, DnsError, Mx, Security};
use crate::mail::Domain;

/// How long one server has for one query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a query is sent again before it counts as failed.
const QUERY_RETRIES: usize = 2;
/// How long one question may take in all, over all servers.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);
/// Answers kept.
const CACHE_ANSWERS: u64 = 8192;
/// How long a "does not exist" is kept: less than the minute after which the relay asks again
/// before it believes one.
const NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// A resolver that asks recursive name servers.
#[derive(Clone)]
pub struct HickoryDns {
    resolver: TokioResolver,
}

/// A resolver that could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DnsSetupError {
    /// `/etc/resolv.conf` cannot be read or understood.
    #[error("the system's name servers could not be read from /etc/resolv.conf")]
    System(#[source] NetError),
    /// The resolver refused its configuration.
    #[error("the resolver could not be set up")]
    Resolver(#[source] NetError),
}

impl HickoryDns {
    /// A resolver that asks `servers`, or the system's where there are none.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, DnsSetupError> {
        let config = if servers.is_empty() {
            let (config, _) =
                hickory_resolver::system_conf::read_system_conf().map_err(DnsSetupError::System)?;
            let (_, _, servers) = config.into_parts();
            ResolverConfig::from_parts(None, Vec::new(), servers)
        } else {
            let servers = servers.iter().map(|&server| name_server(server)).collect();
            ResolverConfig::from_parts(None, Vec::new(), servers)
        };
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options();
        let resolver = builder.build().map_err(DnsSetupError::Resolver)?;
        Ok(Self { resolver })
    }

    async fn records(
        &self,
        domain: &Domain,
        kind: RecordType,
    ) -> Result<Option<Vec<RData>>, DnsError> {
        let temporary = |why: String| DnsError::Temporary {
            domain: domain.clone(),
            why,
        };
        let mut name = Name::from_ascii(domain.as_str())
            .map_err(|error| temporary(format!("it is no DNS name: {error}")))?;
        name.set_fqdn(true);
        let lookup = self.resolver.lookup(name, kind);
        let answer = match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
            Ok(answer) => answer,
            Err(_) => return Err(temporary("no name server answered in time".to_owned())),
        };
        match answer {
            Ok(lookup) => Ok(Some(
                lookup
                    .answers()
                    .iter()
                    .map(|record| record.data.clone())
                    .collect(),
            )),
            Err(NetError::Dns(HickoryDnsError::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NoError => Ok(None),
                ResponseCode::NXDomain => Err(DnsError::NoSuchDomain(domain.clone())),
                code => Err(temporary(format!("the name server answered {code}"))),
            },
            Err(NetError::Dns(HickoryDnsError::DnssecBogus)) => {
                Err(DnsError::Bogus(domain.clone()))
            }
            Err(NetError::Timeout) => Err(temporary("no name server answered in time".to_owned())),
            Err(error) => Err(temporary(error.to_string())),
        }
    }

    async fn mail_exchangers(&self, domain: &Domain) -> Result<Answer<Mx>, DnsError> {
        let found = self.records(domain, RecordType::MX).await?;
        let mut records = Vec::new();
        let mut dropped = 0usize;
        for data in found.unwrap_or_default() {
            let RData::MX(mx) = data else {
                continue;
            };
            let exchange = if mx.exchange.is_root() {
                None
            } else if let Some(host) = host_name(&mx.exchange) {
                Some(host)
            } else {
                dropped += 1;
                tracing::warn!(%domain, "an MX record names something that is no host name; passed over");
                continue;
            };
            records.push(Mx {
                preference: mx.preference,
                exchange,
            });
        }
        // RFC 5321 §5.1: a domain with MX records is never reached through its own address.
        if records.is_empty() && dropped > 0 {
            return Err(DnsError::Temporary {
                domain: domain.clone(),
                why: "none of its MX records names a valid host".to_owned(),
            });
        }
        Ok(Answer {
            records,
            security: Security::Insecure,
        })
    }

    async fn host_addresses(&self, host: &Domain) -> Result<Answer<IpAddr>, DnsError> {
        let (four, six) = tokio::join!(
            self.records(host, RecordType::A),
            self.records(host, RecordType::AAAA)
        );
        both_families(four, six)
    }
}

/// Joins what A and AAAA came to. What one family failed to say does not matter where the other
/// has addresses, except where it was forged.
fn both_families(
    four: Result<Option<Vec<RData>>, DnsError>,
    six: Result<Option<Vec<RData>>, DnsError>,
) -> Result<Answer<IpAddr>, DnsError> {
    let mut records = Vec::new();
    let mut errors = Vec::new();
    for family in [four, six] {
        match family {
            Ok(found) => {
                records.extend(found.into_iter().flatten().filter_map(|data| match data {
                    RData::A(address) => Some(IpAddr::V4(address.0)),
                    RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                    _ => None,
                }))
            }
            Err(error @ DnsError::Bogus(_)) => return Err(error),
            Err(error) => errors.push(error),
        }
    }
    // Two negative answers that differ (no such name, no such record) count as the milder one.
    let temporary = |error: &DnsError| matches!(error, DnsError::Temporary { .. });
    let at = errors.iter().position(temporary);
    match at.or(if errors.len() == 2 { Some(0) } else { None }) {
        Some(at) if records.is_empty() => Err(errors.swap_remove(at)),
        _ => Ok(Answer {
            records,
            security: Security::Insecure,
        }),
    }
}

fn host_name(name: &Name) -> Option<Domain> {
    let text = name.to_ascii();
    Domain::parse(text.strip_suffix('.').unwrap_or(&text)).ok()
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let mut udp = ConnectionConfig::udp();
    udp.port = server.port();
    let mut tcp = ConnectionConfig::tcp();
    tcp.port = server.port();
    NameServerConfig::new(server.ip(), true, vec![udp, tcp])
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = QUERY_TIMEOUT;
    options.attempts = QUERY_RETRIES;
    options.edns0 = true;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHE_ANSWERS;
    options.negative_max_ttl = Some(NEGATIVE_TTL);
    options
}

impl Dns for HickoryDns {
    fn mx<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, Result<Answer<Mx>, DnsError>> {
        Box::pin(self.mail_exchangers(domain))
    }

    fn addresses<'a>(
        &'a self,
        host: &'a Domain,
    ) -> BoxFuture<'a, Result<Answer<IpAddr>, DnsError>> {
        Box::pin(self.host_addresses(host))
    }
}
