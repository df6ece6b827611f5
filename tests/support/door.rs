//! Submission in front of a line, on loopback sockets, and a client that speaks to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use sealpost::directory::users::edit;
use sealpost::directory::{Authenticator, Users};
use sealpost::mail::{Address, SecretBytes};
use sealpost::submission::{Listener, ListenerTls, Services, Socket, Submission, SubmissionConfig};
use sealpost::world::net::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;

use super::ca::{Ca, Identity};
use super::dns::domain;
use super::line::Line;
use super::world::World;

pub const HOST: &str = "mail.clinic.example";
pub const PASSWORD: &str = "correct horse";

/// A line with a door.
pub struct Door {
    pub submission: Submission,
    pub authenticator: Authenticator,
    pub implicit: SocketAddr,
    pub starttls: SocketAddr,
    pub local: SocketAddr,
    pub unix: std::path::PathBuf,
    pub users: std::path::PathBuf,
    pub ca: Ca,
}

pub fn config() -> SubmissionConfig {
    SubmissionConfig {
        hostname: domain(HOST),
        postmaster: Address::parse("postmaster@clinic.example").unwrap(),
        message_octets: 10 << 20,
        recipients: 100,
        connections: 50,
        connections_per_address: 40,
        connections_per_user: 30,
        memory_octets: 64 << 20,
    }
}

pub fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

/// What a server shows.
pub fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    let provider = sealpost::world::tls::server_provider();
    Arc::new(CertifiedKey::from_der(vec![identity.certificate.clone()], key, &provider).unwrap())
}

async fn tcp() -> (Socket, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (Socket::Tcp(listener), address)
}

impl Door {
    /// Opens the door of `line`: account `app` may send as anybody at clinic.example.
    pub async fn open(
        world: &World,
        line: &Line,
        directory: &Path,
        config: SubmissionConfig,
    ) -> Self {
        let users = directory.join("users.toml");
        let senders = ["*@clinic.example".parse().unwrap()];
        edit::add(&users, "app", &senders, &secret(PASSWORD)).unwrap();
        let authenticator = Authenticator::new(Users::load(&users).unwrap(), world.clock).unwrap();
        let ca = Ca::new("Submission Root");
        let unix = directory.join("submission.sock");
        let (implicit_socket, implicit) = tcp().await;
        let (starttls_socket, starttls) = tcp().await;
        let (local_socket, local) = tcp().await;
        let unix_socket = Socket::Unix(UnixListener::bind(&unix).unwrap());
        let app = || ListenerTls::None { user: "app".into() };
        let listeners = vec![
            Listener::new("implicit", implicit_socket, ListenerTls::Implicit).unwrap(),
            Listener::new("starttls", starttls_socket, ListenerTls::Starttls).unwrap(),
            Listener::new("local", local_socket, app()).unwrap(),
            Listener::new("unix", unix_socket, app()).unwrap(),
        ];
        let services = Services {
            flow: line.handle.clone(),
            log: line.log.clone(),
            authenticator: authenticator.clone(),
            clock: world.clock,
        };
        let certificate = certified(&ca.issue(HOST));
        let submission = Submission::start(config, listeners, services, Some(certificate)).unwrap();
        Self {
            submission,
            authenticator,
            implicit,
            starttls,
            local,
            unix,
            users,
            ca,
        }
    }

    pub async fn client_tls(&self) -> Client {
        let stream = connect_tls(self.implicit, self.ca.roots(), &[])
            .await
            .unwrap();
        Client::new(stream)
    }

    /// Over implicit TLS, greeted, introduced and authenticated.
    pub async fn client(&self) -> Client {
        let mut client = self.client_tls().await;
        client.greeted().await;
        client.ask(&auth_plain("app", PASSWORD), "235 2.7.0").await;
        client
    }

    pub async fn client_local(&self) -> Client {
        Client::new(Box::new(TcpStream::connect(self.local).await.unwrap()))
    }

    pub async fn client_unix(&self) -> Client {
        Client::new(Box::new(UnixStream::connect(&self.unix).await.unwrap()))
    }
}

pub fn auth_plain(name: &str, password: &str) -> String {
    let response =
        base64::engine::general_purpose::STANDARD.encode(format!("\0{name}\0{password}"));
    format!("AUTH PLAIN {response}")
}

pub async fn connect_tls(
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    alpn: &[&str],
) -> std::io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    upgrade(Box::new(stream), roots, alpn).await
}

pub async fn upgrade(
    stream: Box<dyn Stream>,
    roots: Arc<RootCertStore>,
    alpn: &[&str],
) -> std::io::Result<Box<dyn Stream>> {
    let mut config = ClientConfig::builder_with_provider(sealpost::world::tls::client_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|id| id.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(HOST).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    Ok(Box::new(stream))
}

/// The other end of a session.
pub struct Client {
    pub stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Client {
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Reads the greeting and says EHLO.
    pub async fn greeted(&mut self) -> String {
        assert!(self.reply().await.starts_with("220 mail.clinic.example "));
        self.ask("EHLO client.example", "250").await
    }

    /// The next reply, all of its lines; empty at the end of the connection.
    pub async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8(self.buffer.drain(..=end).collect()).unwrap();
                assert!(line.ends_with("\r\n"), "{line:?}");
                let last = line.as_bytes().get(3) == Some(&b' ');
                reply.push_str(&line);
                if last {
                    return reply;
                }
            }
            let mut octets = [0_u8; 4096];
            match self.stream.read(&mut octets).await {
                Ok(0) | Err(_) => return reply,
                Ok(read) => self.buffer.extend_from_slice(&octets[..read]),
            }
        }
    }

    pub async fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends a line, and expects a reply that begins so.
    pub async fn ask(&mut self, line: &str, expected: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.expect(expected).await
    }

    pub async fn expect(&mut self, expected: &str) -> String {
        let reply = self.reply().await;
        assert!(
            reply.starts_with(expected),
            "expected {expected:?}, got {reply:?}"
        );
        reply
    }

    /// A whole transaction, pipelined; the final reply. `content` is canonical, dots undone.
    pub async fn submit(&mut self, sender: &str, recipients: &[&str], content: &[u8]) -> String {
        let mut batch = format!("MAIL FROM:<{sender}>\r\n");
        for recipient in recipients {
            batch += &format!("RCPT TO:<{recipient}>\r\n");
        }
        self.send(format!("{batch}DATA\r\n").as_bytes()).await;
        self.expect("250 2.1.0").await;
        for _ in recipients {
            self.expect("250 2.1.5").await;
        }
        self.expect("354 ").await;
        let mut wire = Vec::with_capacity(content.len() + 100);
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        wire.extend_from_slice(b".\r\n");
        self.send(&wire).await;
        self.reply().await
    }

    /// Nothing more is said, and the connection ends.
    pub async fn is_closed(&mut self) {
        assert_eq!(self.reply().await, "");
        assert!(self.buffer.is_empty());
    }
}
