//! What the portal serves and holds: pages a second and their p99 over real TLS with HTTP/1.1
//! keep-alive, for the list and for a message; the memory of idle connections and of waiting
//! messages.
//!
//! `cargo bench --bench portal`; `cargo bench --bench portal -- MESSAGES CONNECTIONS` for other
//! numbers than 100,000 and 10,000. Everything is the product's own but the clients, which are
//! another process, so that their memory and work is not counted, and the limits on one address,
//! which all of them have. Leaving messages takes as long as the disk takes, at most
//! [`LEAVING_TIME`]; how many it came to is printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark measures real time and may stop at the first surprise"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealpost::config::certificate::{certified_key, read_chain, read_key};
use sealpost::dev::browser::Browser;
use sealpost::dev::ca::Ca;
use sealpost::journal::MasterKey;
use sealpost::locale::Texts;
use sealpost::mail::{Address, Deposit, Language, Level, MessageId, PickupWishes, Reference};
use sealpost::portal::answer::FileRules;
use sealpost::portal::http::{AccessLog, Assets, Limits, LogTarget, Options, Origin, Rate, Server};
use sealpost::portal::proof::webauthn::RelyingParty;
use sealpost::portal::proof::{Desk, DeskOptions, Proof, SessionBounds, Visit};
use sealpost::portal::site::{COOKIE, Identity, Mailer, Operator, Portal, SiteOptions};
use sealpost::portal::store::{Bounds, Reminders, Store, StoreOptions};
use sealpost::proto::link::AskCode;
use sealpost::world::BoxFuture;
use sealpost::world::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

const MESSAGES: usize = 100_000;
const CONNECTIONS: usize = 10_000;
/// Mailboxes that the messages are spread over.
const MAILBOXES: usize = 1000;
/// Browsers that ask at a time.
const BROWSERS: usize = 16;
/// How long pages are asked for.
const MEASURED: Duration = Duration::from_secs(5);
/// How long messages are left for at most.
const LEAVING_TIME: Duration = Duration::from_secs(600);
/// Messages that are left at a time.
const AT_A_TIME: usize = 128;
/// Octets of a message's text.
const TEXT_OCTETS: usize = 10_000;
/// The argument of the process that asks.
const CLIENT: &str = "client";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [what, rest @ ..] = arguments.as_slice()
        && what == CLIENT
    {
        return runtime.block_on(client(rest));
    }
    let numbers: Vec<usize> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    let messages = numbers.first().copied().unwrap_or(MESSAGES);
    let connections = numbers.get(1).copied().unwrap_or(CONNECTIONS);
    runtime.block_on(measure(messages, connections));
}

async fn measure(messages: usize, connections: usize) {
    more_files();
    let scratch = tempfile::tempdir().unwrap();
    let bench = Bench::start(scratch.path(), connections).await;
    let before = resident_kib();
    let begun = Instant::now();
    let left = bench.leave(messages).await;
    println!(
        "{left} messages of {TEXT_OCTETS} octets left in {:.1} s: {} KiB resident before, {} KiB after, {:.2} KiB a message",
        begun.elapsed().as_secs_f64(),
        before,
        resident_kib(),
        resident_kib().saturating_sub(before) as f64 / left.max(1) as f64
    );
    let (cookie, path) = bench.sign_in().await;
    for (what, path) in [("list", "/box"), ("message", path.as_str())] {
        let said = bench.ask(&["pages", path, &cookie]);
        println!("{what}: {said}");
    }
    let before = resident_kib();
    let mut idle = bench.spawn(&["idle", &connections.to_string()]);
    let said = line_of(&mut idle);
    let after = resident_kib();
    println!(
        "{said}: {before} KiB resident before, {after} KiB with them, {:.2} KiB a connection",
        after.saturating_sub(before) as f64 / connections.max(1) as f64
    );
    drop(idle.stdin.take());
    idle.wait().unwrap();
}

/// A portal, and where it is.
struct Bench {
    store: Store,
    desk: Arc<Desk>,
    address: SocketAddr,
    ca: std::path::PathBuf,
    clock: Clock,
    _draining: watch::Sender<bool>,
}

/// Nobody asks for a code here.
struct NoMail;

impl Mailer for NoMail {
    fn send(&self, _: AskCode) -> BoxFuture<'_, Option<MessageId>> {
        Box::pin(std::future::ready(None))
    }
}

impl Bench {
    async fn start(scratch: &Path, connections: usize) -> Self {
        let clock = Clock::system();
        let authority = Ca::new(clock.now()).unwrap();
        let server = authority.server(&["127.0.0.1"]).unwrap();
        let file = |name: &str, text: &str| {
            let path = scratch.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let ca = file("ca.pem", &authority.pem());
        let chain = read_chain(&file("server.pem", server.certificate_pem())).unwrap();
        let key = read_key(&file("server.key", &server.key_pem())).unwrap();
        let certificate = certified_key(chain, key).unwrap();
        let master_key = MasterKey::from_base64(&MasterKey::generate().unwrap()).unwrap();
        let options = StoreOptions {
            directory: scratch.join("portal"),
            master_key,
            bounds: Bounds::default(),
            reminders: Reminders::default(),
        };
        let store = Store::open(options, clock).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = Origin::parse(&format!("https://{address}")).unwrap();
        let party = RelyingParty {
            id: origin.host().to_owned(),
            origin: origin.as_str().to_owned(),
            name: "Bench".to_owned(),
        };
        let desk = DeskOptions {
            party,
            code_life: Duration::from_secs(900),
            sessions: SessionBounds::default(),
            phones: None,
        };
        let desk = Arc::new(Desk::open(store.tables(), desk, clock).unwrap());
        let mut assets = Assets::default();
        let identity = Identity {
            name: "Bench".to_owned(),
            origin: origin.as_str().to_owned(),
            ..Identity::default()
        };
        let site = SiteOptions {
            operator: Operator::new(identity, &mut assets),
            texts: Texts::shipped(),
            language: Language::En,
            replies: true,
            files: FileRules::default(),
            clamd: None,
            write_to: Vec::new(),
            reply_from: "secure-mail".to_owned(),
        };
        let site = Portal::new(
            store.clone(),
            Arc::clone(&desk),
            Arc::new(NoMail),
            Arc::default(),
            site,
            clock,
        );
        let options = Options {
            origin,
            hsts_subdomains: false,
            limits: limits(connections),
            assets,
        };
        let log = AccessLog::open(LogTarget::Nowhere).unwrap();
        let server = Server::new(options, certificate, Arc::new(site), log, clock).unwrap();
        let (draining, order) = watch::channel(false);
        tokio::spawn(async move { server.run(vec![listener], order).await });
        Self {
            store,
            desk,
            address,
            ca,
            clock,
            _draining: draining,
        }
    }

    /// Leaves messages until all are there or the time is over; how many.
    async fn leave(&self, messages: usize) -> usize {
        let until = Instant::now() + LEAVING_TIME;
        let (mut tasks, mut left) = (JoinSet::new(), 0);
        for number in 0..messages {
            if Instant::now() > until {
                break;
            }
            if tasks.len() >= AT_A_TIME {
                tasks.join_next().await.unwrap().unwrap();
                left += 1;
            }
            tasks.spawn(leave(self.store.clone(), number, self.clock));
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
            left += 1;
        }
        left
    }

    /// The cookie of somebody who has shown a mailbox code, and the path of a message of theirs.
    async fn sign_in(&self) -> (String, String) {
        let owner = recipient(0);
        let now = self.clock.now();
        let sessions = &self.desk.sessions;
        let visit = sessions.begin(Visit::default(), now).unwrap();
        let shown = sessions.moment();
        let token = sessions.prove(visit.expose(), &owner, Proof::Mailbox, shown, now);
        let record = self.store.mailbox(&owner).pop().unwrap();
        let path = format!("/box/{}", record.reference);
        (token.unwrap().expose().to_owned(), path)
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args([CLIENT, &self.address.to_string(), self.ca.to_str().unwrap()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Has a client do something, and hears what it says.
    fn ask(&self, arguments: &[&str]) -> String {
        let mut child = self.spawn(arguments);
        let said = line_of(&mut child);
        drop(child.stdin.take());
        child.wait().unwrap();
        said
    }
}

fn line_of(child: &mut Child) -> String {
    let mut line = String::new();
    let out = child.stdout.as_mut().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// One address has all the connections here.
fn limits(connections: usize) -> Limits {
    let rate = Rate {
        burst: 10_000_000,
        per_minute: 10_000_000,
    };
    Limits {
        connections: connections + 100,
        connections_per_network: connections + 100,
        requests_per_network: 512,
        address: rate,
        network: rate,
        idle: Duration::from_secs(3600),
        ..Limits::default()
    }
}

fn recipient(number: usize) -> Address {
    Address::parse(&format!("kim{}@home.example", number % MAILBOXES)).unwrap()
}

async fn leave(store: Store, number: usize, clock: Clock) {
    let mut text = format!(
        "From: Jo <jo@clinic.example>\r\nTo: kim@home.example\r\nSubject: Results {number}\r\n\
         Message-ID: <{number}@clinic.example>\r\n\r\n"
    );
    while text.len() < TEXT_OCTETS {
        text.push_str("These are lines of a letter about nothing in particular.\r\n");
    }
    let mut random = [0; 10];
    random[2..].copy_from_slice(&(number as u64).to_be_bytes());
    let now = clock.now();
    let deposit = Deposit {
        reference: Reference::new(random),
        queue_id: MessageId::new(number as u64 + 1),
        recipient: recipient(number),
        author: Address::parse("jo@clinic.example").unwrap(),
        answerable: true,
        author_name: Some("Jo".to_owned()),
        message_id: format!("<{number}@clinic.example>"),
        accepted: now,
        octets: text.len() as u64,
        level: Level::Protected,
        factors: Level::Protected,
        trusted_before: now,
        wishes: PickupWishes::default(),
        language: Language::En,
        expires: now + Duration::from_secs(30 * 86_400),
    };
    let mut incoming = store.deposit(deposit).await.unwrap();
    incoming.write(text.into()).await.unwrap();
    incoming.finish().await.unwrap();
}

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// As many descriptors as the system lets us have.
fn more_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).unwrap();
}

/// The process that asks: `ADDRESS CA pages PATH TOKEN`, or `ADDRESS CA idle NUMBER`.
async fn client(arguments: &[String]) {
    more_files();
    let [address, ca, what, rest @ ..] = arguments else {
        panic!("{arguments:?}");
    };
    let address: SocketAddr = address.parse().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::from_pem_file(ca));
    let roots = Arc::new(roots);
    match (what.as_str(), rest) {
        ("pages", [path, token]) => pages(address, &roots, path, token).await,
        ("idle", [number]) => idle(address, &roots, number.parse().unwrap()).await,
        _ => panic!("{arguments:?}"),
    }
}

/// Asks for one page on several connections, and says how often and how fast.
async fn pages(address: SocketAddr, roots: &Arc<RootCertStore>, path: &str, token: &str) {
    let mut browsers = JoinSet::new();
    let until = Instant::now() + MEASURED;
    for _ in 0..BROWSERS {
        let mut browser = Browser::new(address, Arc::clone(roots)).unwrap();
        browser.cookie(&format!("__Host-{COOKIE}"), token);
        let path = path.to_owned();
        browsers.spawn(async move {
            // The handshake is not a page.
            let page = browser.get(&path).await.unwrap();
            assert_eq!((page.status.as_u16(), page.path), (200, path.clone()));
            let mut taken = Vec::new();
            while Instant::now() < until {
                let begun = Instant::now();
                let page = browser.get(&path).await.unwrap();
                assert_eq!(page.status.as_u16(), 200);
                taken.push(begun.elapsed());
            }
            (taken, page.body.len())
        });
    }
    let (mut taken, mut octets) = (Vec::new(), 0);
    while let Some(done) = browsers.join_next().await {
        let (some, size) = done.unwrap();
        taken.extend(some);
        octets = size;
    }
    taken.sort_unstable();
    let p99 = taken
        .get(taken.len() * 99 / 100)
        .copied()
        .unwrap_or_default();
    println!(
        "{:.0} pages/s of {octets} octets on {BROWSERS} connections, p99 {:.1} ms",
        taken.len() as f64 / MEASURED.as_secs_f64(),
        p99.as_secs_f64() * 1000.0
    );
}

/// Holds connections that have asked for something once, until its input ends.
async fn idle(address: SocketAddr, roots: &Arc<RootCertStore>, number: usize) {
    let mut open = Vec::with_capacity(number);
    for _ in 0..number {
        let mut browser = Browser::new(address, Arc::clone(roots)).unwrap();
        let page = browser.get("/livez").await.unwrap();
        assert_eq!(page.status.as_u16(), 200);
        open.push(browser);
    }
    println!("{} idle connections", open.len());
    std::io::stdout().flush().unwrap();
    let wait = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
    drop(open);
}
