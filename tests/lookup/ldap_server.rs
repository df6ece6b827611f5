//! An LDAP server that answers as the test says.

use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use sealpost::proto::ldap::ber;
use sealpost::world::net::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

use crate::der::{children, content, int, octets, seq, tlv};
use crate::support::net::Place;
use crate::support::world::World;

/// What is answered to a search, given the number of its message.
pub type Answer = Arc<dyn Fn(u8) -> Vec<u8> + Send + Sync>;

#[derive(Clone)]
pub struct Ldap {
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether TLS begins at once.
    pub implicit: bool,
    /// What StartTLS is answered with; none hangs.
    pub start_tls: Option<u8>,
    /// What a bind is answered with.
    pub bind: u8,
    pub answer: Answer,
    /// Goes away after the answer.
    pub closes: bool,
    pub heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

pub fn message(id: u8, operation: &[u8]) -> Vec<u8> {
    seq(&[&int(&[id]), operation])
}

pub fn result(id: u8, operation: u8, code: u8) -> Vec<u8> {
    let fields = [tlv(0x0a, &[&[code]]), octets(b""), octets(b"")].concat();
    message(id, &tlv(operation, &[&fields]))
}

pub fn entry(id: u8, attribute: &str, value: &[u8]) -> Vec<u8> {
    let values = tlv(0x31, &[&octets(value)]);
    let attributes = seq(&[&seq(&[&octets(attribute.as_bytes()), &values])]);
    message(id, &tlv(0x64, &[&octets(b"uid=x"), &attributes]))
}

pub fn done(id: u8) -> Vec<u8> {
    result(id, 0x65, 0)
}

impl Ldap {
    pub fn new(tls: Arc<ServerConfig>, answer: Answer) -> Self {
        Self {
            tls: Some(tls),
            implicit: true,
            start_tls: Some(0),
            bind: 0,
            answer,
            closes: false,
            heard: Arc::default(),
        }
    }

    pub fn at(&self, world: &World, host: &str, socket: &str) {
        let address: std::net::SocketAddr = socket.parse().unwrap();
        world.dns.addresses(host, &[&address.ip().to_string()]);
        let server = self.clone();
        let serve = move |stream: DuplexStream| {
            tokio::spawn(server.clone().serve(Box::new(stream)));
        };
        world.network.place(socket, Place::Server(Arc::new(serve)));
    }

    /// The operations that were heard, by their tags; `0` is the handshake.
    pub fn operations(&self) -> Vec<u8> {
        let heard = self.heard.lock().unwrap();
        let operation = |octets: &Vec<u8>| match octets.is_empty() {
            true => 0,
            false => children(octets)[1][0],
        };
        heard.iter().map(operation).collect()
    }

    async fn accept(&self, stream: Box<dyn Stream>) -> Option<Box<dyn Stream>> {
        let stream = TlsAcceptor::from(self.tls.clone()?)
            .accept(stream)
            .await
            .ok()?;
        self.heard.lock().unwrap().push(Vec::new());
        Some(Box::new(stream))
    }

    async fn serve(self, mut stream: Box<dyn Stream>) {
        if self.implicit {
            match self.accept(stream).await {
                Some(secured) => stream = secured,
                None => return,
            }
        }
        while let Some(octets) = read_message(&mut stream).await {
            self.heard.lock().unwrap().push(octets.clone());
            let parts = children(&octets);
            let id = content(parts[0])[0];
            let reply = match (parts[1][0], self.start_tls) {
                (0x77, None) => std::future::pending().await,
                (0x77, Some(code)) => {
                    let reply = result(id, 0x78, code);
                    stream.write_all(&reply).await.unwrap();
                    match self.accept(stream).await {
                        Some(secured) => stream = secured,
                        None => return,
                    }
                    continue;
                }
                (0x60, _) => result(id, 0x61, self.bind),
                (0x63, _) => (self.answer)(id),
                _ => return,
            };
            if reply.is_empty() && !self.closes {
                std::future::pending::<()>().await;
            }
            if stream.write_all(&reply).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            if self.closes {
                drop(stream.shutdown().await);
                return;
            }
        }
    }
}

async fn read_message(stream: &mut Box<dyn Stream>) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    loop {
        octets.push(stream.read_u8().await.ok()?);
        if let Some((_, start, length)) = ber::head(&octets).unwrap()
            && octets.len() == start + length
        {
            return Some(octets);
        }
    }
}
