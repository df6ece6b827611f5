//! A resolver whose answers the test writes, with their DNSSEC status.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use sealpost::mail::Domain;
use sealpost::world::BoxFuture;
use sealpost::world::dns::{Answer, Dns, DnsError, Mx, Security};

/// Names without an entry do not exist.
#[derive(Default)]
pub struct FakeDns {
    zone: Mutex<Zone>,
}

#[derive(Default)]
struct Zone {
    mx: HashMap<Domain, Result<Answer<Mx>, DnsError>>,
    addresses: HashMap<Domain, Result<Answer<IpAddr>, DnsError>>,
    asked: Vec<String>,
}

pub fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn insecure<T>(records: Vec<T>) -> Answer<T> {
    Answer {
        records,
        security: Security::Insecure,
    }
}

pub fn temporary(name: &str) -> DnsError {
    DnsError::Temporary {
        domain: domain(name),
        why: "SERVFAIL".to_owned(),
    }
}

impl FakeDns {
    /// `name MX preference host`, "." for the null MX.
    pub fn mx(&self, name: &str, records: &[(u16, &str)]) {
        let records = records
            .iter()
            .map(|&(preference, host)| Mx {
                preference,
                exchange: (host != ".").then(|| domain(host)),
            })
            .collect();
        self.mx_answer(name, Ok(insecure(records)));
    }

    pub fn mx_answer(&self, name: &str, answer: Result<Answer<Mx>, DnsError>) {
        self.zone.lock().unwrap().mx.insert(domain(name), answer);
    }

    pub fn no_mx(&self, name: &str) {
        self.mx_answer(name, Ok(insecure(vec![])));
    }

    pub fn mx_gone(&self, name: &str) {
        self.mx_answer(name, Err(DnsError::NoSuchDomain(domain(name))));
    }

    pub fn addresses(&self, host: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        self.address_answer(host, Ok(insecure(addresses)));
    }

    pub fn address_answer(&self, host: &str, answer: Result<Answer<IpAddr>, DnsError>) {
        let mut zone = self.zone.lock().unwrap();
        zone.addresses.insert(domain(host), answer);
    }

    /// Every question so far, as `MX name` and `A name`.
    pub fn asked(&self) -> Vec<String> {
        self.zone.lock().unwrap().asked.clone()
    }
}

impl Dns for FakeDns {
    fn mx<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, Result<Answer<Mx>, DnsError>> {
        Box::pin(async move {
            let mut zone = self.zone.lock().unwrap();
            zone.asked.push(format!("MX {domain}"));
            match zone.mx.get(domain) {
                Some(answer) => answer.clone(),
                None => Err(DnsError::NoSuchDomain(domain.clone())),
            }
        })
    }

    fn addresses<'a>(
        &'a self,
        host: &'a Domain,
    ) -> BoxFuture<'a, Result<Answer<IpAddr>, DnsError>> {
        Box::pin(async move {
            let mut zone = self.zone.lock().unwrap();
            zone.asked.push(format!("A {host}"));
            match zone.addresses.get(host) {
                Some(answer) => answer.clone(),
                None => Err(DnsError::NoSuchDomain(host.clone())),
            }
        })
    }
}
