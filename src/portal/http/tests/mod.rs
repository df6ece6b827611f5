//! The server as a client sees it: real TLS, real sockets, a site of a few routes.

mod answers;
mod bodies;
mod ends;
mod guards;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::world::clock::Clock;
use crate::world::tls::client_provider;

const HOST: &str = "portal.clinic.example";
const ORIGIN: &str = "https://portal.clinic.example";

/// A site that shows what a site can do.
#[derive(Default)]
struct TestSite {
    asked: AtomicUsize,
    not_ready: bool,
}

impl Site for TestSite {
    fn route(&self, head: &Head) -> Route {
        match head.segments().as_slice() {
            [] => Route::page("/"),
            ["m", _] => Route::page("/m/{reference}"),
            ["form"] => Route::form("/form", 1000),
            ["upload"] => Route {
                pattern: "/upload",
                methods: Methods::Post,
                body: BodyLimit::Upload {
                    octets: 100_000,
                    files: 2,
                    fields: 2,
                },
                download: false,
            },
            ["bare-post"] => Route {
                pattern: "/bare-post",
                methods: Methods::Post,
                body: BodyLimit::None,
                download: false,
            },
            ["large"] => Route {
                download: true,
                ..Route::page("/large")
            },
            ["route-panic"] => panic!("a test's panic"),
            _ => Route::page("/other"),
        }
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Answer> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { answer(&request).await })
    }

    fn ready(&self) -> bool {
        !self.not_ready
    }
}

async fn answer(request: &Request) -> Answer {
    let page = |text: &str| Answer::html(Status::OK, format!("<p>{text}</p>"));
    match request.head.segments().as_slice() {
        [] => page("front"),
        ["m", reference] => page("message").note(reference),
        ["form" | "upload"] => {
            let mut text = format!("field={}", request.field("text").unwrap_or("?"));
            if let Body::Upload(upload) = &request.body
                && let Some(over) = upload.over
            {
                let status = Status::PAYLOAD_TOO_LARGE;
                return Answer::html(status, format!("<p>{text} {over:?}</p>"));
            }
            for file in request.body.files() {
                text += &format!(" file={}:{}", file.name, file.octets.len());
            }
            page(&text)
        }
        ["bare-post"] => page("posted"),
        ["script"] => page("script").with_script(),
        ["frame-page"] => page("frame").with_frame(),
        ["frame"] => Answer::mail_frame("<p>mail</p>".to_owned()),
        ["image"] => Answer::image("image/png", Bytes::from_static(b"png")),
        ["login"] => Answer::see_other(&OwnPath::to(&["m", "r1"])).cookie("session", "tok-3n"),
        ["logout"] => Answer::see_other(&OwnPath::to(&[]))
            .without_cookie("session")
            .forget(),
        ["download"] => Answer::download("Ähre\r\n.html", "text/html", whole(200_000)),
        ["large"] => Answer::download("large.bin", "application/pdf", whole(64 << 20)),
        ["stream"] => streamed(true),
        ["broken-stream"] => streamed(false),
        ["slow"] => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            page("slow")
        }
        ["never"] => std::future::pending().await,
        ["panic"] => panic!("a test's panic"),
        _ => Answer::html(Status::NOT_FOUND, "<p>nothing here</p>".to_owned()),
    }
}

fn whole(octets: usize) -> Payload {
    Payload::Whole(Bytes::from(vec![b'x'; octets]))
}

fn streamed(to_its_end: bool) -> Answer {
    let (to, from) = mpsc::channel(1);
    tokio::spawn(async move {
        for piece in 0..10 {
            if piece == 5 && !to_its_end {
                return;
            }
            drop(to.send(Ok(Bytes::from(vec![b's'; 1000]))).await);
        }
    });
    let octets = Some(10_000);
    Answer::download(
        "s.bin",
        "application/octet-stream",
        Payload::Stream { octets, from },
    )
}

/// A running server.
struct Served {
    server: Server,
    address: SocketAddr,
    site: Arc<TestSite>,
    draining: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
    connector: ClientConfig,
    log: PathBuf,
    style: String,
    _scratch: tempfile::TempDir,
}

/// A certificate for our host, and the store that trusts it.
fn certificate() -> (Arc<CertifiedKey>, RootCertStore) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let der: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let key = client_provider()
        .key_provider
        .load_private_key(key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der.clone()).unwrap();
    (Arc::new(CertifiedKey::new(vec![der], key)), roots)
}

/// Limits that a test can outlast.
fn quick() -> Limits {
    Limits {
        head: Duration::from_millis(400),
        body: Duration::from_millis(400),
        idle: Duration::from_millis(900),
        stall: Duration::from_millis(600),
        answer: Duration::from_millis(700),
        drain: Duration::from_secs(2),
        ..Limits::default()
    }
}

async fn serve(limits: Limits) -> Served {
    serve_site(limits, TestSite::default()).await
}

async fn serve_site(limits: Limits, site: TestSite) -> Served {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("access.log");
    let mut assets = Assets::default();
    let style = assets.add("style.css", AssetKind::Css, "p{color:#123}");
    assets.add_at(
        "/robots.txt",
        AssetKind::Text,
        "User-agent: *\nDisallow: /\n",
    );
    let options = Options {
        origin: Origin::parse(ORIGIN).unwrap(),
        hsts_subdomains: false,
        limits,
        assets,
    };
    let (certificate, roots) = certificate();
    let site = Arc::new(site);
    let server = Server::new(
        options,
        certificate,
        Arc::clone(&site) as Arc<dyn Site>,
        AccessLog::open(LogTarget::File(log.clone())).unwrap(),
        Clock::system(),
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (draining, order) = watch::channel(false);
    let running = tokio::spawn({
        let server = server.clone();
        async move { server.run(vec![listener], order).await }
    });
    Served {
        server,
        address,
        site,
        draining,
        running,
        connector: client_config(roots),
        log,
        style,
        _scratch: scratch,
    }
}

fn client_config(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(client_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

type Tls = TlsStream<TcpStream>;

impl Served {
    async fn connect(&self, alpn: &[u8]) -> std::io::Result<Tls> {
        let mut config = self.connector.clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(HOST).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    async fn http1(&self) -> Tls {
        self.connect(b"http/1.1").await.unwrap()
    }

    /// Sends octets on a connection of their own and reads to its end.
    async fn raw(&self, octets: &[u8]) -> Reply {
        let mut stream = self.http1().await;
        stream.write_all(octets).await.unwrap();
        Reply::read(&to_the_end(&mut stream).await)
    }

    /// GET over HTTP/1.1.
    async fn get(&self, path: &str) -> Reply {
        self.raw(get(path).as_bytes()).await
    }

    async fn post(&self, path: &str, fields: &str, body: &str) -> Reply {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{fields}\r\n"
        );
        self.raw((head + body).as_bytes()).await
    }

    async fn http2(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = self.connect(b"h2").await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Ends the server, and returns what the log says.
    async fn end(self) -> String {
        self.draining.send(true).unwrap();
        self.running.await.unwrap();
        // The log is whole when the last who may write has gone.
        drop(self.server);
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn asked(&self) -> usize {
        self.site.asked.load(Ordering::SeqCst)
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
}

/// A request for HTTP/2.
fn request(method: &str, path: &str, body: Vec<u8>) -> hyper::Request<Full<Bytes>> {
    hyper::Request::builder()
        .method(method)
        .uri(format!("{ORIGIN}{path}"))
        .header("origin", ORIGIN)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

async fn to_the_end(stream: &mut Tls) -> Vec<u8> {
    let mut octets = Vec::new();
    // A connection that is cut is as much an end.
    drop(stream.flush().await);
    drop(stream.read_to_end(&mut octets).await);
    octets
}

async fn body_of(response: hyper::Response<hyper::body::Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

/// An answer of HTTP/1.1.
#[derive(Debug)]
struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn read(octets: &[u8]) -> Self {
        let end = memchr::memmem::find(octets, b"\r\n\r\n").expect("no answer came");
        let head = std::str::from_utf8(&octets[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self {
            status: status.parse().unwrap(),
            fields: fields.collect(),
            body: octets[end + 4..].to_vec(),
        }
    }

    fn field(&self, name: &str) -> &str {
        let mut found = self.fields.iter().filter(|(known, _)| known == name);
        let value = found.next().map_or("", |(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} comes twice");
        value
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
