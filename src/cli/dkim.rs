//! `sealpost dkim`: signing keys and the DNS records that go with them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use super::{Exit, Failure, output};
use crate::config::read_bounded;
use crate::mail::Domain;
use crate::sign::{self, KeyError};

/// Largest key file.
const MAX_PEM_OCTETS: u64 = 64 << 10;

/// Signing keys.
#[derive(Debug, Subcommand)]
pub enum Dkim {
    /// Make a signing key and print its DNS record
    Keygen(Keygen),
    /// Print the DNS record of a signing key
    Record(Record),
}

/// Make a signing key.
#[derive(Debug, Args)]
pub struct Keygen {
    /// Whose mail it will sign
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    domain: Domain,
    /// The name under which the public key is published
    #[arg(long, value_name = "SELECTOR", value_parser = selector)]
    selector: String,
    /// RSA with 2048 bits, which every receiver knows, or Ed25519
    #[arg(long, value_enum, default_value_t = Algorithm::Rsa)]
    algorithm: Algorithm,
    /// The file to make; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Print the DNS record of a signing key.
#[derive(Debug, Args)]
pub struct Record {
    /// The private key, PEM
    file: PathBuf,
    /// Print the value as one text, as web forms want it, instead of the strings of a zone file
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    Rsa,
    Ed25519,
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::from_unicode(text).map_err(|error| error.to_string())
}

fn selector(text: &str) -> Result<String, String> {
    // RFC 6376 §3.1: labels joined by dots.
    match Domain::parse(&format!("{text}.domainkey.example")) {
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err(_) => Err("a selector has letters, digits and hyphens, as in s2026".to_owned()),
    }
}

impl Dkim {
    /// Does it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Keygen(keygen) => keygen.run(),
            Self::Record(record) => record.run(),
        }
    }
}

impl Keygen {
    fn run(self) -> Result<(), Failure> {
        let algorithm = match self.algorithm {
            Algorithm::Rsa => sign::Algorithm::Rsa,
            Algorithm::Ed25519 => sign::Algorithm::Ed25519,
        };
        let pem = sign::keygen(algorithm).map_err(|error| explain(&error))?;
        super::key::write_secret(&self.out, pem.as_bytes())?;
        let record = sign::dns_record(&pem).map_err(|error| explain(&error))?;
        output::complain(&format!(
            "{}: made. Publish the record below, then name the key in [[dkim]].",
            self.out.display()
        ));
        output::say(&format!(
            "{}._domainkey.{}. IN TXT {record}",
            self.selector, self.domain
        ))
    }
}

impl Record {
    fn run(self) -> Result<(), Failure> {
        let octets = read_bounded(&self.file, MAX_PEM_OCTETS).map_err(|error| {
            let mend = format!("is {} the right file?", self.file.display());
            Failure::from_error(Exit::Failed, &error, &mend)
        })?;
        let octets = Zeroizing::new(octets);
        let pem = std::str::from_utf8(&octets).map_err(|_| {
            let text = format!("{} is not PEM text", self.file.display());
            Failure::new(Exit::Failed, text)
        })?;
        let record = sign::dns_record(pem).map_err(|error| explain(&error))?;
        if self.plain {
            return output::say(record.text());
        }
        output::say(&record.to_string())
    }
}

fn explain(error: &KeyError) -> Failure {
    Failure::from_error(Exit::Failed, error, "")
}
