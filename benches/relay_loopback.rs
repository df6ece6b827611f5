//! The whole line on loopback: TLS and AUTH in, durable and sealed, DKIM, TLS out to a sink.
//!
//! Starts the real binary with a configuration of its own, loads it from several sessions, and
//! prints messages a second (accepted and delivered), CPU a message, latency from MAIL to the
//! final 250, and peak memory, per DKIM algorithm. The load generator and the sink share the
//! machine's cores with the daemon.
//!
//! `cargo bench --bench relay_loopback -- [--messages N] [--sessions N] [--size OCTETS]`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark measures time and may stop at the first surprise"
)]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use sealpost::dev::ca::Ca;
use sealpost::dev::dns::{DnsServer, Zones};
use sealpost::world::clock::Clock;
use sealpost::world::tls::client_provider;
use support::load::{self, Plan};
use support::{process, sink};

const SINK_HOST: &str = "mx.sink.example";
const OUR_HOST: &str = "mail.clinic.example";
const PASSWORD: &str = "loopback-benchmark";
/// Nothing here may take longer.
const LIMIT: Duration = Duration::from_secs(120);

struct Options {
    messages: usize,
    sessions: usize,
    size: usize,
}

fn options() -> Options {
    let mut options = Options {
        messages: 10_000,
        sessions: 50,
        size: 10_240,
    };
    let arguments: Vec<String> = std::env::args().collect();
    for pair in arguments.windows(2) {
        let value = pair[1].parse();
        match pair[0].as_str() {
            "--messages" => options.messages = value.unwrap(),
            "--sessions" => options.sessions = value.unwrap(),
            "--size" => options.size = value.unwrap(),
            _ => {}
        }
    }
    options
}

/// The daemon; ended with the benchmark, whatever happens.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn main() {
    let options = options();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!(
        "{} messages of {} octets, {} sessions; TLS and AUTH in, durable, DKIM, TLS out",
        options.messages, options.size, options.sessions
    );
    for algorithm in ["ed25519", "rsa"] {
        let limited = async { tokio::time::timeout(LIMIT, measure(&options, algorithm)).await };
        match runtime.block_on(limited) {
            Ok(()) => {}
            Err(_) => panic!("not done within {LIMIT:?}"),
        }
    }
}

async fn measure(options: &Options, algorithm: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    let ca = Ca::new(Clock::system().now()).unwrap();
    let tls = ca.server(&[SINK_HOST]).unwrap().server_config().unwrap();
    let (sink_address, tally) = sink::start("127.0.0.1:0".parse().unwrap(), tls)
        .await
        .unwrap();
    let mut zones = Zones::new();
    zones
        .mx("sink.example", 10, SINK_HOST)
        .address(SINK_HOST, sink_address.ip());
    let dns = DnsServer::start(zones).await.unwrap();
    let submission = free_address();
    configure(
        directory,
        &ca,
        dns.address(),
        sink_address,
        submission,
        algorithm,
    );
    let daemon = start(directory, submission).await;

    let pid = daemon.0.id();
    let cpu_before = process::cpu_time(pid).unwrap();
    let began = Instant::now();
    let latencies = load::run(plan(options, &ca, submission)).await.unwrap();
    let accepted = began.elapsed();
    let sent = latencies.len() as u64;
    tally.reach(sent).await;
    let delivered = began.elapsed();
    let cpu = process::cpu_time(pid).unwrap() - cpu_before;
    println!(
        "{algorithm:8} accepted {:7.0}/s  delivered {:7.0}/s  CPU {:.3} ms/message  to 250: p50 {:.1} ms, p99 {:.1} ms  peak {} MiB  {} connections out",
        sent as f64 / accepted.as_secs_f64(),
        sent as f64 / delivered.as_secs_f64(),
        cpu.as_secs_f64() * 1000.0 / sent as f64,
        load::percentile(&latencies, 0.5).as_secs_f64() * 1000.0,
        load::percentile(&latencies, 0.99).as_secs_f64() * 1000.0,
        process::peak_memory_kib(pid).unwrap() / 1024,
        tally.connections.load(std::sync::atomic::Ordering::Relaxed),
    );
}

fn plan(options: &Options, ca: &Ca, server: SocketAddr) -> Plan {
    let tls = ClientConfig::builder_with_provider(client_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots())
        .with_no_client_auth();
    Plan {
        server,
        server_name: ServerName::try_from(OUR_HOST).unwrap(),
        tls: Arc::new(tls),
        user: "load".into(),
        password: PASSWORD.into(),
        sender: "load@clinic.example".into(),
        recipient_domain: "sink.example".into(),
        sessions: options.sessions,
        messages_per_session: options.messages / options.sessions,
        size: options.size,
    }
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn configure(
    directory: &Path,
    ca: &Ca,
    dns: SocketAddr,
    sink: SocketAddr,
    submission: SocketAddr,
    algorithm: &str,
) {
    let certificate = ca.server(&[OUR_HOST]).unwrap();
    std::fs::write(directory.join("ca.pem"), ca.pem()).unwrap();
    std::fs::write(directory.join("cert.pem"), certificate.certificate_pem()).unwrap();
    write_secret(&directory.join("key.pem"), &certificate.key_pem());
    let at = directory.display();
    let configuration = format!(
        r#"hostname = "{OUR_HOST}"
data_directory = "{at}/data"
master_key = "{at}/master.key"
postmaster = "postmaster@clinic.example"

[[listener]]
address = "{submission}"
tls = "implicit"

[tls]
certificate = "{at}/cert.pem"
private_key = "{at}/key.pem"

[auth]
users = "{at}/users.toml"

[[dkim]]
domain = "clinic.example"
selector = "bench"
private_key = "{at}/dkim.pem"

[dns]
servers = ["{dns}"]

[relay]
port = {port}
ca_file = "{at}/ca.pem"
allow_private_addresses = true

[log]
delivery = "{at}/delivery.jsonl"
level = "warn"

[admin]
socket = "{at}/admin.sock"
"#,
        port = sink.port()
    );
    std::fs::write(directory.join("sealpost.toml"), configuration).unwrap();
    std::fs::create_dir(directory.join("data")).unwrap();
    let file = |name: &str| directory.join(name).display().to_string();
    sealpost(directory, &["key", "generate", &file("master.key")], "");
    sealpost(
        directory,
        &[
            "dkim",
            "keygen",
            "--domain",
            "clinic.example",
            "--selector",
            "bench",
            "--algorithm",
            algorithm,
            "--out",
            &file("dkim.pem"),
        ],
        "",
    );
    sealpost(
        directory,
        &[
            "user",
            "add",
            "load",
            "--sender",
            "load@clinic.example",
            "--password-stdin",
            "--config",
            &file("sealpost.toml"),
        ],
        PASSWORD,
    );
}

fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Runs a command of the product to its end.
fn sealpost(directory: &Path, arguments: &[&str], input: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sealpost"))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "sealpost {arguments:?}: {status}");
}

async fn start(directory: &Path, submission: SocketAddr) -> Daemon {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sealpost"))
        .arg("serve")
        .arg("--config")
        .arg(directory.join("sealpost.toml"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while tokio::net::TcpStream::connect(submission).await.is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the daemon does not listen"
        );
        assert!(
            child.try_wait().unwrap().is_none(),
            "the daemon ended at once"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Daemon(child)
}
