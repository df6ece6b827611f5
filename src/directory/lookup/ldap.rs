//! An LDAP server as a source (RFC 4511; the attributes of RFC 4523 §2 and RFC 2798 §2.8).
//!
//! Owns driving the session over a connection. Always TLS, and always with the server's name
//! verified: a password is worth reading, and a certificate swapped on the way too.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::gate::Gate;
use super::{LookupError, MAX_FOUND_OCTETS, Served, Source};
use crate::mail::{Address, Domain};
use crate::proto::ldap::{
    Attribute, AttributeError, Client, Credentials, Filter, Input, LdapError, Opening, Output,
    Search,
};
use crate::world::BoxFuture;
use crate::world::dial::{DialError, Dialer};
use crate::world::net::Stream;
use crate::world::url::{Scheme, Url};

/// How long a look-up may take in all, where nothing else is configured.
pub const LDAP_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest distinguished name that is searched below, in octets.
const MAX_BASE_OCTETS: usize = 1024;
/// Octets read at once.
const READ_OCTETS: usize = 16 * 1024;
/// Where certificates are kept.
const ATTRIBUTES: [&str; 4] = [
    "userCertificate;binary",
    "userSMIMECertificate;binary",
    // Servers that do not know the option, or store without it.
    "userCertificate",
    "userSMIMECertificate",
];

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct LdapSettings {
    /// `ldaps://host` or `ldap://host`, the latter with StartTLS.
    pub url: Url,
    /// The entry below which is searched.
    pub base: String,
    /// The attribute that holds the address; usually `mail`.
    pub attribute: String,
    /// Which domains it is asked for.
    pub served: Served,
    /// Who has to vouch for the server.
    pub roots: Arc<RootCertStore>,
    /// Whom to say that we are; nobody if not given.
    pub credentials: Option<Credentials>,
    /// How long a look-up may take in all, waiting for its turn included.
    pub timeout: Duration,
}

/// Settings that no server can be asked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LdapSettingsError {
    /// Not an LDAP URL.
    #[error("the URL of an LDAP server begins with ldaps:// or ldap://")]
    Scheme,
    /// What would be searched for stands in other settings.
    #[error("the URL of an LDAP server ends behind its host and port")]
    Target,
    /// Over [`MAX_BASE_OCTETS`].
    #[error("the base is longer than {MAX_BASE_OCTETS} octets")]
    Base,
    /// No name of an attribute.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
}

/// An LDAP server.
#[derive(Debug)]
pub struct LdapSource {
    settings: LdapSettings,
    name: String,
    opening: Opening,
    attribute: Attribute,
    wanted: Vec<Attribute>,
    dialer: Dialer,
    gate: Gate,
}

impl LdapSource {
    /// A source; connects to nothing yet. The server may be at a private address: the operator
    /// names it.
    pub fn new(settings: LdapSettings, dialer: &Dialer) -> Result<Self, LdapSettingsError> {
        let opening = match settings.url.scheme() {
            Scheme::Ldaps => Opening::Implicit,
            Scheme::Ldap => Opening::StartTls,
            Scheme::Http | Scheme::Https => return Err(LdapSettingsError::Scheme),
        };
        if settings.url.target() != "/" {
            return Err(LdapSettingsError::Target);
        }
        if settings.base.len() > MAX_BASE_OCTETS {
            return Err(LdapSettingsError::Base);
        }
        let wanted: Result<_, _> = ATTRIBUTES.into_iter().map(Attribute::parse).collect();
        Ok(Self {
            name: settings.url.host().to_string(),
            opening,
            attribute: Attribute::parse(&settings.attribute)?,
            wanted: wanted?,
            gate: Gate::new(dialer.clock()),
            dialer: dialer.for_named_hosts(),
            settings,
        })
    }

    fn search(&self, address: &Address) -> Search {
        let equal = |value| (self.attribute.clone(), value);
        let (written, key) = (address.to_string(), address.mailbox_key());
        let filter = match written.eq_ignore_ascii_case(&key) {
            true => Filter::Equal(self.attribute.clone(), key),
            // Quotes that say nothing: the directory may have it either way.
            false => Filter::AnyEqual(vec![equal(key), equal(written)]),
        };
        let seconds = self.settings.timeout.as_secs().clamp(1, 60);
        Search {
            base: self.settings.base.clone(),
            filter,
            attributes: self.wanted.clone(),
            seconds: u32::try_from(seconds).unwrap_or(60),
        }
    }

    async fn ask(&self, address: &Address) -> Result<Vec<Vec<u8>>, LookupError> {
        let url = &self.settings.url;
        let client = Client::new(
            self.opening,
            self.settings.credentials.clone(),
            self.search(address),
        );
        let connecting = self.dialer.connect(url.host(), url.port());
        let stream = connecting.await.map_err(|error| dial_failed(&error))?;
        let found = self.drive(client, stream).await?;
        if found.iter().map(Vec::len).sum::<usize>() > MAX_FOUND_OCTETS {
            let why = format!("{} has too many octets of certificates", self.name);
            return Err(LookupError::Refused(why));
        }
        Ok(found)
    }

    /// Moves octets between the session and the stream until the session is over.
    async fn drive(
        &self,
        mut client: Client,
        mut stream: Box<dyn Stream>,
    ) -> Result<Vec<Vec<u8>>, LookupError> {
        let mut buffer = vec![0; READ_OCTETS];
        loop {
            while let Some(output) = client.poll_output() {
                match output {
                    Output::Write(octets) => {
                        let written = async {
                            stream.write_all(&octets).await?;
                            stream.flush().await
                        };
                        if written.await.is_err() {
                            client.handle(Input::Closed);
                        }
                    }
                    Output::StartTls => {
                        let (host, roots) = (self.settings.url.host(), &self.settings.roots);
                        let secured = self.dialer.secure(stream, host, roots, b"").await;
                        stream = secured.map_err(|error| dial_failed(&error))?;
                        client.handle(Input::Secured);
                    }
                    Output::Found(values) => return Ok(values),
                    Output::Failed(error) => return Err(self.failed(error)),
                }
            }
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => client.handle(Input::Closed),
                Ok(read) => {
                    client.handle(Input::Received(buffer.get(..read).unwrap_or_default()));
                }
            }
        }
    }

    fn failed(&self, error: LdapError) -> LookupError {
        let why = format!("{}: {error}", self.name);
        match error.is_temporary() {
            true => LookupError::Failed(why),
            false => LookupError::Refused(why),
        }
    }
}

fn dial_failed(error: &DialError) -> LookupError {
    LookupError::Failed(error.to_string())
}

impl Source for LdapSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn serves(&self, domain: &Domain) -> bool {
        self.settings.served.has(domain)
    }

    fn certificates<'a>(
        &'a self,
        address: &'a Address,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, LookupError>> {
        let deadline = deadline.min(Instant::now() + self.settings.timeout);
        Box::pin(self.gate.ask(&self.name, deadline, self.ask(address)))
    }
}
