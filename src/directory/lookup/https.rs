//! A partner's web server as a source: a file for each address, at a URL made from it.
//!
//! Owns the template and what is made of the answer's status. Always `https`, always the name
//! verified, never a redirect.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::time::Instant;

use super::gate::Gate;
use super::{LookupError, MAX_FOUND_OCTETS, Served, Source};
use crate::mail::{Address, Domain};
use crate::world::BoxFuture;
use crate::world::fetch::{Bounds, FETCH_TIMEOUT, FetchError, Fetcher, Guard};
use crate::world::url::{Host, Scheme, Url, UrlError, escape};

/// Most certificates of a PEM file.
const MAX_PEM_CERTIFICATES: usize = 16;

/// A URL with places for parts of an address.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(String);

/// A text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Not `https`.
    #[error("the template does not begin with https://")]
    Scheme,
    /// What it makes of an address is no URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A brace that belongs to none of the words.
    #[error(
        "the template may hold {{address}}, {{local}}, {{domain}} and {{sha256}}, and no brace besides"
    )]
    Word,
    /// A part of the local part before the path.
    #[error("the template's host may hold {{domain}} only")]
    Host,
    /// The same URL for all addresses.
    #[error("the template holds none of {{address}}, {{local}} and {{sha256}}")]
    Constant,
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix("https://").ok_or(TemplateError::Scheme)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let personal = ["{address}", "{local}", "{sha256}"];
        let bare = |text: &str, words: &[&str]| {
            let mut text = text.to_owned();
            for word in words {
                text = text.replace(word, "");
            }
            text
        };
        if personal.iter().any(|word| authority.contains(word)) {
            return Err(TemplateError::Host);
        }
        let words = ["{address}", "{local}", "{sha256}", "{domain}"];
        if bare(text, &words).contains(['{', '}']) {
            return Err(TemplateError::Word);
        }
        if !personal.iter().any(|word| target.contains(word)) {
            return Err(TemplateError::Constant);
        }
        let template = Self(text.to_owned());
        template.fill("jo@b.example", "jo", "b.example")?;
        Ok(template)
    }

    /// The URL for an address, with its mailbox in lower case.
    pub fn url(&self, address: &Address) -> Result<Url, UrlError> {
        let key = address.mailbox_key();
        let domain = address.domain().as_str();
        let local = key.strip_suffix(domain).and_then(|it| it.strip_suffix('@'));
        self.fill(&key, local.unwrap_or_default(), domain)
    }

    fn fill(&self, key: &str, local: &str, domain: &str) -> Result<Url, UrlError> {
        let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
        let digest: String = digest
            .as_ref()
            .iter()
            .map(|it| format!("{it:02x}"))
            .collect();
        // What is put in has no braces: it is escaped.
        let text = self
            .0
            .replace("{address}", &escape(key))
            .replace("{local}", &escape(local))
            .replace("{domain}", domain)
            .replace("{sha256}", &digest);
        Url::parse(&text)
    }

    /// What a source of this template goes by: its host, as written.
    fn host(&self) -> &str {
        let rest = self.0.strip_prefix("https://").unwrap_or(&self.0);
        rest.split(['/', '?']).next().unwrap_or(rest)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Template {
    type Err = TemplateError;
    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text)
    }
}

/// Web servers of partners.
#[derive(Debug)]
pub struct HttpsSource {
    template: Template,
    served: Served,
    fetcher: Fetcher,
    gate: Gate,
}

impl HttpsSource {
    /// A source; connects to nothing yet.
    pub fn new(template: Template, served: Served, fetcher: Fetcher) -> Self {
        Self {
            gate: Gate::new(fetcher.clock()),
            template,
            served,
            fetcher,
        }
    }

    async fn look_up(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> Result<Vec<Vec<u8>>, LookupError> {
        let url = self.template.url(address);
        let url = url.map_err(|error| LookupError::Refused(error.to_string()))?;
        debug_assert_eq!(url.scheme(), Scheme::Https);
        let server = match url.host() {
            Host::Name(name) => name.to_string(),
            Host::Address(address) => address.to_string(),
        };
        self.gate.ask(&server, deadline, self.fetch(&url)).await
    }

    async fn fetch(&self, url: &Url) -> Result<Vec<Vec<u8>>, LookupError> {
        let bounds = Bounds {
            octets: MAX_FOUND_OCTETS,
            time: FETCH_TIMEOUT,
        };
        match self.fetcher.get(url, Guard::Server, bounds).await {
            Ok(document) => certificates_in(&document),
            Err(FetchError::Status {
                status: 404 | 410, ..
            }) => Ok(Vec::new()),
            Err(error) if error.is_temporary() => Err(LookupError::Failed(error.to_string())),
            Err(error) => Err(LookupError::Refused(error.to_string())),
        }
    }
}

/// A document of DER as it is; the certificates of one of PEM.
fn certificates_in(document: &[u8]) -> Result<Vec<Vec<u8>>, LookupError> {
    let refused = |why: &str| Err(LookupError::Refused(why.to_owned()));
    if document.first() == Some(&0x30) {
        return Ok(vec![document.to_vec()]);
    }
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(document) {
        match certificate {
            Ok(_) if found.len() == MAX_PEM_CERTIFICATES => {
                return refused("too many certificates in the document");
            }
            Ok(certificate) => found.push(certificate.to_vec()),
            Err(_) => return refused("the document is neither DER nor PEM of certificates"),
        }
    }
    match found.is_empty() {
        true => refused("the document is neither DER nor PEM of certificates"),
        false => Ok(found),
    }
}

impl Source for HttpsSource {
    fn name(&self) -> &str {
        self.template.host()
    }

    fn serves(&self, domain: &Domain) -> bool {
        self.served.has(domain)
    }

    fn certificates<'a>(
        &'a self,
        address: &'a Address,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, LookupError>> {
        // A turn may have to be waited for.
        let deadline = deadline.min(Instant::now() + 2 * FETCH_TIMEOUT);
        Box::pin(self.look_up(address, deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(template: &str, address: &str) -> String {
        let address = Address::parse(address).unwrap();
        let template = Template::parse(template).unwrap();
        template.url(&address).unwrap().to_string()
    }

    #[test]
    fn addresses_are_put_into_the_template_and_stay_there() {
        assert_eq!(
            url("https://keys.{domain}/smime/{local}", "Jo.Doe@B.example"),
            "https://keys.b.example/smime/jo.doe"
        );
        assert_eq!(
            url("https://c.example/?of={address}", "jo+a/b@b.example"),
            "https://c.example/?of=jo%2Ba%2Fb%40b.example"
        );
        assert_eq!(
            url("https://c.example/{local}", "\"../{domain} ?\"@b.example"),
            "https://c.example/%22..%2F%7Bdomain%7D%20%3F%22"
        );
        // printf %s jo@b.example | sha256sum
        assert_eq!(
            url("https://c.example/{domain}/{sha256}.cer", "JO@b.example"),
            "https://c.example/b.example/\
             ffe4f35fc708c73246d8b58f69e9e41bedc8253e9a8b0ddc6021e81bf878f9c1.cer"
        );
    }

    #[test]
    fn templates_that_could_lead_elsewhere_are_refused() {
        for (text, error) in [
            ("http://c.example/{local}", TemplateError::Scheme),
            ("https://c.example/all.p7b", TemplateError::Constant),
            ("https://{domain}/all.p7b", TemplateError::Constant),
            ("https://{local}.c.example/{local}", TemplateError::Host),
            ("https://{sha256}.c.example/{local}", TemplateError::Host),
            ("https://c.example/{local}/{uid}", TemplateError::Word),
            ("https://c.example/{{local}}", TemplateError::Word),
            ("https://c.example/{local}#x", UrlError::Character.into()),
            ("https://jo@c.example/{local}", UrlError::User.into()),
            ("https:///{local}", UrlError::Host.into()),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn documents_are_der_or_pem() {
        let der = certificates_in(&[0x30, 0x03, 2, 1, 1]).unwrap();
        assert_eq!(der, [vec![0x30, 3, 2, 1, 1]]);
        let one = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        assert_eq!(certificates_in(one.as_bytes()).unwrap(), der);
        let many = one.repeat(MAX_PEM_CERTIFICATES);
        assert_eq!(certificates_in(many.as_bytes()).unwrap().len(), 16);
        for bad in [
            "",
            "<html>not found</html>",
            &one.replace("MAMCAQE=", "!"),
            &one.replace("CERTIFICATE", "PRIVATE KEY"),
            &one.repeat(MAX_PEM_CERTIFICATES + 1),
        ] {
            let refused = certificates_in(bad.as_bytes());
            assert!(matches!(refused, Err(LookupError::Refused(_))), "{bad:?}");
        }
    }
}
