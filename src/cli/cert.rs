//! `sealpost cert`: recipients' certificates. Asks the daemon, which keeps them.
//!
//! Owns the words, tables and `--json` of the commands; what a certificate is worth is said by the
//! daemon. A file that holds a private key is refused by it, whole.

mod import;
mod lookup;
mod view;

use std::path::Path;

use clap::{Args, Subcommand};

use super::queue::explain;
use super::{Failure, output};
use crate::admin::Request;
use crate::admin::cert::{CertChanged, CertFilter, CertOrder};
use crate::admin::client::{Conversation, ask};
use crate::config;
use crate::directory::certificates::{CertificateView, MAX_PAGE, RemovedCertificate};
use crate::mail::{Address, Domain};

/// Recipients' certificates.
#[derive(Debug, Subcommand)]
pub enum Cert {
    /// Take certificates from files into the directory
    Import(import::Import),
    /// What is known: imported certificates and those of the folder
    List(List),
    /// One certificate by its fingerprint, or all of an address
    Show(Show),
    /// Let a new key replace a pinned one
    Approve(Order),
    /// Take an imported certificate out of the directory
    Remove(Order),
    /// Ask the sources now, in order, until one has something: what is known, and what is used
    Lookup(lookup::Lookup),
}

/// What is known.
#[derive(Debug, Args)]
pub struct List {
    /// Only of this address or domain
    #[arg(value_name = "ADDRESS|DOMAIN", value_parser = whose)]
    whose: Option<Whose>,
    /// Only what waits for approval
    #[arg(long)]
    pending: bool,
    /// What was removed or replaced, by whom and why: the newest thousand
    #[arg(long, conflicts_with = "pending")]
    removed: bool,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// One certificate.
#[derive(Debug, Args)]
pub struct Show {
    /// The fingerprint (SHA-256, 8 hexadecimal digits or more) or the address
    #[arg(value_name = "FINGERPRINT|ADDRESS")]
    name: String,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// What is ordered of a certificate.
#[derive(Debug, Args)]
pub struct Order {
    /// The fingerprint: SHA-256, 8 hexadecimal digits or more
    fingerprint: String,
    /// For this address alone, where it is for several
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Address>,
    /// Why: it is kept on record
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// An address or a domain.
#[derive(Debug, Clone)]
enum Whose {
    Address(Address),
    Domain(Domain),
}

fn whose(text: &str) -> Result<Whose, String> {
    if text.contains('@') {
        return match Address::parse(text) {
            Ok(address) => Ok(Whose::Address(address)),
            Err(error) => Err(error.to_string()),
        };
    }
    match Domain::from_unicode(text) {
        Ok(domain) => Ok(Whose::Domain(domain)),
        Err(error) => Err(error.to_string()),
    }
}

impl Cert {
    /// Asks and prints.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let config = config::read(config).map_err(super::bad_configuration)?;
        if config.smime.is_none() {
            output::complain("note: the configuration has no [smime]: nothing is sealed");
        }
        let socket = &config.admin_socket;
        match self {
            Self::Import(import) => import.run(socket),
            Self::List(list) => list.run(socket),
            Self::Show(show) => show.run(socket),
            Self::Approve(order) => order.run(socket, Request::CertApprove, "is pinned"),
            Self::Remove(order) => order.run(socket, Request::CertRemove, "was removed"),
            Self::Lookup(lookup) => lookup.run(socket),
        }
    }
}

impl List {
    fn run(self, socket: &Path) -> Result<(), Failure> {
        let mut filter = CertFilter {
            pending: self.pending,
            ..CertFilter::default()
        };
        match self.whose {
            Some(Whose::Address(address)) => filter.address = Some(address),
            Some(Whose::Domain(domain)) => filter.domain = Some(domain),
            None => {}
        }
        if self.removed {
            let request = Request::CertRemoved(filter);
            let removed: Vec<RemovedCertificate> =
                ask(socket, &request).map_err(|error| explain(&error))?;
            return match (self.json, removed.is_empty()) {
                (true, _) => output::json(&removed),
                (false, true) => output::say("nothing was removed"),
                (false, false) => output::say(&view::removals(&removed)),
            };
        }
        let certificates = all(socket, filter)?;
        if self.json {
            return output::json(&certificates);
        }
        if certificates.is_empty() {
            let none = match self.pending {
                true => "nothing waits for approval",
                false => "no certificate is known",
            };
            return output::say(none);
        }
        output::say(&view::table(&certificates))
    }
}

/// Every page of a list.
fn all(socket: &Path, mut filter: CertFilter) -> Result<Vec<CertificateView>, Failure> {
    let mut daemon = Conversation::begin(socket).map_err(|error| explain(&error))?;
    let mut certificates = Vec::new();
    loop {
        filter.from = certificates.len();
        let request = Request::CertList(filter.clone());
        let page: Vec<CertificateView> = daemon.ask(&request).map_err(|error| explain(&error))?;
        let last = page.len() < MAX_PAGE;
        certificates.extend(page);
        if last {
            return Ok(certificates);
        }
    }
}

impl Show {
    fn run(self, socket: &Path) -> Result<(), Failure> {
        let request = Request::CertShow { name: self.name };
        let certificates: Vec<CertificateView> =
            ask(socket, &request).map_err(|error| explain(&error))?;
        if self.json {
            return output::json(&certificates);
        }
        let texts: Vec<String> = certificates.iter().map(view::details).collect();
        output::say(&texts.join("\n\n"))
    }
}

impl Order {
    fn run(
        self,
        socket: &Path,
        request: impl Fn(CertOrder) -> Request,
        done: &str,
    ) -> Result<(), Failure> {
        let order = CertOrder {
            fingerprint: self.fingerprint,
            address: self.address,
            reason: self.reason,
        };
        let changed: CertChanged = ask(socket, &request(order)).map_err(|error| explain(&error))?;
        if self.json {
            return output::json(&changed);
        }
        let print = &changed.fingerprint;
        let lines = changed.addresses.iter();
        let lines: Vec<String> = lines
            .map(|address| format!("{address}: {print} {done}"))
            .collect();
        output::say(&lines.join("\n"))
    }
}
