//! A web server that answers as the test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use sealpost::world::net::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

use crate::support::net::Place;
use crate::support::world::World;

#[derive(Clone)]
pub enum Reply {
    /// These octets, then the end.
    Raw(Vec<u8>),
    /// Nothing, ever.
    Hang,
    /// These octets, one a second.
    Drip(Vec<u8>),
}

#[derive(Debug, Clone)]
pub struct Heard {
    /// `GET /path`.
    pub line: String,
    pub head: String,
    pub body: Vec<u8>,
}

#[derive(Clone, Default)]
pub struct Web {
    replies: Arc<Mutex<HashMap<String, Reply>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

pub fn ok(body: &[u8]) -> Reply {
    with_status("200 OK", "", body)
}

pub fn with_status(status: &str, fields: &str, body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n",
        body.len()
    );
    Reply::Raw([head.as_bytes(), body].concat())
}

impl Web {
    /// What is answered to a method and path.
    pub fn reply(&self, line: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(line.to_owned(), reply);
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Serves at an address of `host`; with TLS if there is a configuration.
    pub fn at(&self, world: &World, host: &str, socket: &str, tls: Option<Arc<ServerConfig>>) {
        let address: std::net::SocketAddr = socket.parse().unwrap();
        world.dns.addresses(host, &[&address.ip().to_string()]);
        let web = self.clone();
        let serve = move |stream: DuplexStream| {
            let (web, tls) = (web.clone(), tls.clone());
            tokio::spawn(async move {
                let stream: Box<dyn Stream> = match tls {
                    Some(tls) => match TlsAcceptor::from(tls).accept(stream).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => return,
                    },
                    None => Box::new(stream),
                };
                web.serve(stream).await;
            });
        };
        world.network.place(socket, Place::Server(Arc::new(serve)));
    }

    async fn serve(self, mut stream: Box<dyn Stream>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(octet) => head.push(octet),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            })
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let line = head.lines().next().unwrap();
        let line = line.strip_suffix(" HTTP/1.1").unwrap().to_owned();
        let reply = self.replies.lock().unwrap().get(&line).cloned();
        self.heard.lock().unwrap().push(Heard { line, head, body });
        match reply {
            Some(Reply::Raw(octets)) => {
                drop(stream.write_all(&octets).await);
                drop(stream.shutdown().await);
            }
            Some(Reply::Drip(octets)) => {
                for octet in octets {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if stream.write_all(&[octet]).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            }
            Some(Reply::Hang) => std::future::pending().await,
            None => {
                let gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                drop(stream.write_all(gone).await);
            }
        }
    }
}
