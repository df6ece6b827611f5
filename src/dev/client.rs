//! A small submission client: TLS from the first octet, AUTH PLAIN, one message.
//!
//! RFC 6409 (submission), RFC 8314 (implicit TLS), RFC 4616 (PLAIN). What `demo` and tests send
//! with; never used on the mail's own way, which has `relay` and its permits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::mail::MessageId;
use crate::world::tls::client_provider;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest reply line.
const MAX_LINE_OCTETS: u64 = 4096;
/// Most lines of a reply.
const MAX_LINES: usize = 100;

/// Sending failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection.
    #[error("the connection to {0} failed")]
    Connection(SocketAddr, #[source] io::Error),
    /// No reply came in time.
    #[error("no reply within a minute to {0}")]
    Silence(&'static str),
    /// What came is no SMTP reply.
    #[error("no SMTP reply to {0}")]
    Garbage(&'static str),
    /// The server said no.
    #[error("{to} was answered: {reply}")]
    Refused {
        /// Which command.
        to: &'static str,
        /// The reply.
        reply: String,
    },
    /// The TLS library does not start.
    #[error("TLS is not available")]
    Tls(#[from] rustls::Error),
}

/// Where to send and as whom.
#[derive(Clone)]
pub struct Client {
    /// A listener with implicit TLS.
    pub server: SocketAddr,
    /// The name that its certificate must have.
    pub name: ServerName<'static>,
    /// What vouches for it.
    pub roots: Arc<RootCertStore>,
    /// The account.
    pub user: String,
    /// Its password.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Sends `content` (CRLF lines) and returns the queue id.
    pub async fn send(
        &self,
        from: &str,
        to: &[&str],
        content: &[u8],
    ) -> Result<MessageId, ClientError> {
        let mut dialog = self.connect().await?;
        dialog.expect("the connection", '2').await?;
        dialog.ask("EHLO", "EHLO client.dev.test", '2').await?;
        let secret = Zeroizing::new(format!("\0{}\0{}", self.user, &*self.password));
        let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(&*secret));
        let auth = Zeroizing::new(format!("AUTH PLAIN {}", &*encoded));
        dialog.ask("AUTH", &auth, '2').await?;
        let mail = format!("MAIL FROM:<{from}> SIZE={}", content.len());
        dialog.ask("MAIL", &mail, '2').await?;
        for recipient in to {
            dialog
                .ask("RCPT", &format!("RCPT TO:<{recipient}>"), '2')
                .await?;
        }
        dialog.ask("DATA", "DATA", '3').await?;
        dialog.write(&stuffed(content)).await?;
        let reply = dialog.expect("the content", '2').await?;
        // "250 2.0.0 Ok: queued as <queue id>"
        let id = reply.rsplit(' ').next().and_then(|id| id.parse().ok());
        let id = id.ok_or(ClientError::Garbage("the content"))?;
        dialog.ask("QUIT", "QUIT", '2').await?;
        Ok(id)
    }

    async fn connect(&self) -> Result<Dialog, ClientError> {
        let mut config = ClientConfig::builder_with_provider(client_provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        let failed = |error| ClientError::Connection(self.server, error);
        let stream = TcpStream::connect(self.server).await.map_err(failed)?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(self.name.clone(), stream)
            .await
            .map_err(failed)?;
        Ok(Dialog {
            server: self.server,
            stream: BufReader::new(stream),
        })
    }
}

struct Dialog {
    server: SocketAddr,
    stream: BufReader<TlsStream<TcpStream>>,
}

impl Dialog {
    async fn ask(
        &mut self,
        name: &'static str,
        line: &str,
        want: char,
    ) -> Result<String, ClientError> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.expect(name, want).await
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), ClientError> {
        let server = self.server;
        let stream = self.stream.get_mut();
        let written = async {
            stream.write_all(octets).await?;
            stream.flush().await
        };
        written
            .await
            .map_err(|error| ClientError::Connection(server, error))
    }

    /// Reads a reply; its last line. An error unless it begins with `want`.
    async fn expect(&mut self, name: &'static str, want: char) -> Result<String, ClientError> {
        let reply = tokio::time::timeout(PATIENCE, self.reply(name)).await;
        let reply = reply.map_err(|_| ClientError::Silence(name))??;
        if reply.starts_with(want) {
            return Ok(reply);
        }
        Err(ClientError::Refused { to: name, reply })
    }

    async fn reply(&mut self, name: &'static str) -> Result<String, ClientError> {
        for _ in 0..MAX_LINES {
            let mut line = String::new();
            let mut bounded = (&mut self.stream).take(MAX_LINE_OCTETS);
            let read = bounded.read_line(&mut line).await;
            read.map_err(|error| ClientError::Connection(self.server, error))?;
            let text = line
                .strip_suffix("\r\n")
                .ok_or(ClientError::Garbage(name))?;
            let code = text
                .get(..3)
                .filter(|code| code.bytes().all(|b| b.is_ascii_digit()));
            match (code, text.as_bytes().get(3)) {
                (Some(_), Some(b'-')) => {}
                (Some(_), Some(b' ') | None) => return Ok(text.to_owned()),
                _ => return Err(ClientError::Garbage(name)),
            }
        }
        Err(ClientError::Garbage(name))
    }
}

/// The content with its dots doubled and the final dot (RFC 5321 §4.5.2).
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 16);
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !content.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn dots_are_doubled() {
        assert_eq!(
            super::stuffed(b"a\r\n.b\r\n..\r\n"),
            b"a\r\n..b\r\n...\r\n.\r\n"
        );
        assert_eq!(super::stuffed(b"a"), b"a\r\n.\r\n");
    }
}
