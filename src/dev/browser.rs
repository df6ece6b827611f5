//! A small browser: HTTPS pages, a cookie jar, forms. What `demo` and benchmarks visit the portal
//! with, as a recipient would; it runs no script and follows nothing by itself but redirects.
//!
//! RFC 9112 (HTTP/1.1 by hyper), RFC 6265 (cookies of one host), HTML forms as the portal writes
//! them. Bounds: [`MAX_BODY_OCTETS`], [`MAX_REDIRECTS`], [`PATIENCE`].

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::tls::client_provider;

/// Largest page.
const MAX_BODY_OCTETS: usize = 4 << 20;
/// Redirects that are followed, one after the other.
const MAX_REDIRECTS: usize = 5;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A page could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    /// The connection, or its certificate.
    #[error("the connection to {0} failed")]
    Connection(SocketAddr, #[source] io::Error),
    /// HTTP.
    #[error("the portal's answer cannot be read")]
    Http(#[from] hyper::Error),
    /// A request that is none.
    #[error("this cannot be asked for")]
    Request(#[from] hyper::http::Error),
    /// The body.
    #[error("the page is too large, or ended early")]
    Body,
    /// Nothing came in time.
    #[error("the portal does not answer")]
    Silence,
    /// It leads in circles.
    #[error("too many redirects")]
    Redirects,
    /// The TLS library does not start.
    #[error("TLS is not available")]
    Tls(#[from] rustls::Error),
}

/// A page.
#[derive(Debug, Clone)]
pub struct Page {
    /// The path that it was found at in the end.
    pub path: String,
    /// Its status.
    pub status: StatusCode,
    /// Its text.
    pub body: String,
}

/// A form on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Where it goes to.
    pub action: String,
    /// Its fields that have values.
    pub values: Vec<(String, String)>,
    /// The names of all its fields.
    pub names: Vec<String>,
}

/// A browser on one site.
pub struct Browser {
    server: SocketAddr,
    authority: String,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    cookies: BTreeMap<String, String>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl Browser {
    /// On the site at an address, which calls itself by it and is vouched for by `roots`.
    pub fn new(server: SocketAddr, roots: Arc<RootCertStore>) -> Result<Self, BrowseError> {
        let mut tls = ClientConfig::builder_with_provider(client_provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            server,
            authority: server.to_string(),
            name: ServerName::IpAddress(server.ip().into()),
            tls: Arc::new(tls),
            cookies: BTreeMap::new(),
            connection: None,
        })
    }

    /// Has a cookie.
    pub fn cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// The page at a path.
    pub async fn get(&mut self, path: &str) -> Result<Page, BrowseError> {
        self.walk(Method::GET, path.to_owned(), Bytes::new()).await
    }

    /// Sends a form; where its answer leads to.
    pub async fn submit(
        &mut self,
        form: &Form,
        typed: &[(&str, &str)],
    ) -> Result<Page, BrowseError> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &form.values {
            if !typed.iter().any(|(typed, _)| typed == name) {
                body.append_pair(name, value);
            }
        }
        body.extend_pairs(typed);
        let body = Bytes::from(body.finish());
        self.walk(Method::POST, form.action.clone(), body).await
    }

    async fn walk(
        &mut self,
        mut method: Method,
        mut path: String,
        mut body: Bytes,
    ) -> Result<Page, BrowseError> {
        for _ in 0..=MAX_REDIRECTS {
            let asked = self.ask(method, &path, body);
            let answered = tokio::time::timeout(PATIENCE, asked).await;
            let (status, location, text) = answered.map_err(|_| BrowseError::Silence)??;
            match location {
                Some(location) if status.is_redirection() => {
                    path = location;
                    (method, body) = (Method::GET, Bytes::new());
                }
                _ => {
                    return Ok(Page {
                        path,
                        status,
                        body: text,
                    });
                }
            }
        }
        Err(BrowseError::Redirects)
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Option<String>, String), BrowseError> {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(HOST, &self.authority);
        if !self.cookies.is_empty() {
            let pairs = self.cookies.iter();
            let pairs: Vec<String> = pairs.map(|(name, it)| format!("{name}={it}")).collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        if method == Method::POST {
            request = request
                .header(ORIGIN, format!("https://{}", self.authority))
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(Full::new(body))?;
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await?;
        self.connection = Some(connection);
        let (head, body) = response.into_parts();
        for cookie in head.headers.get_all(SET_COOKIE) {
            self.keep(cookie.to_str().unwrap_or_default());
        }
        let location = head.headers.get(LOCATION);
        let location = location.and_then(|it| it.to_str().ok()).map(str::to_owned);
        let body = Limited::new(body, MAX_BODY_OCTETS).collect().await;
        let body = body.map_err(|_| BrowseError::Body)?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        Ok((head.status, location, text))
    }

    /// The connection of before, if it can be used again.
    async fn connection(&mut self) -> Result<SendRequest<Full<Bytes>>, BrowseError> {
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
        {
            return Ok(kept);
        }
        let failed = |error| BrowseError::Connection(self.server, error);
        let stream = TcpStream::connect(self.server).await.map_err(failed)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(self.name.clone(), stream).await;
        let stream = stream.map_err(|error| BrowseError::Connection(self.server, error))?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the sender.
        tokio::spawn(async move { drop(driver.await) });
        Ok(sender)
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let ended = |part: &str| part.eq_ignore_ascii_case("max-age=0");
        match value.is_empty() || parts.any(ended) {
            true => self.cookies.remove(name),
            false => self.cookies.insert(name.to_owned(), value.to_owned()),
        };
    }
}

impl Page {
    /// The forms that are posted, in their order.
    pub fn forms(&self) -> Vec<Form> {
        let pieces = self.body.split("<form").skip(1);
        pieces
            .filter_map(|piece| {
                let (piece, _) = piece.split_once("</form>")?;
                let (tag, inside) = piece.split_once('>')?;
                let posted = attribute(tag, "method")?.eq_ignore_ascii_case("post");
                let action = attribute(tag, "action").unwrap_or_else(|| self.path.clone());
                posted.then(|| form(action, inside))
            })
            .collect()
    }
}

fn form(action: String, inside: &str) -> Form {
    let mut form = Form {
        action,
        values: Vec::new(),
        names: Vec::new(),
    };
    for tag in inside.split("<input").skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let Some(name) = attribute(tag, "name") else {
            continue;
        };
        if let Some(value) = attribute(tag, "value") {
            form.values.push((name.clone(), value));
        }
        form.names.push(name);
    }
    form
}

/// The value of an attribute in double quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, behind) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = behind.split_once('"')?;
    let value = value.replace("&amp;", "&").replace("&#38;", "&");
    Some(value.replace("&#39;", "'").replace("&#34;", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_with_their_fields() {
        let page = Page {
            path: "/sign-in/code".to_owned(),
            status: StatusCode::OK,
            body: "<form method=\"get\" action=\"/x\"></form>\
                   <form class=\"a\" method=\"post\" action=\"/sign-in/code?a=1&amp;b=2\">\
                   <input type=\"hidden\" name=\"csrf\" value=\"t&#38;k\"><input id=\"code\" name=\"code\">\
                   <button>Go</button></form><form method=\"POST\"></form>"
                .to_owned(),
        };
        let forms = page.forms();
        assert_eq!(forms.len(), 2);
        assert_eq!(forms[0].action, "/sign-in/code?a=1&b=2");
        assert_eq!(forms[0].values, [("csrf".to_owned(), "t&k".to_owned())]);
        assert_eq!(forms[0].names, ["csrf", "code"]);
        assert_eq!(forms[1].action, "/sign-in/code");
    }
}
