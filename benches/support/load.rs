//! A submission client: TLS, AUTH PLAIN, one message after the other, pipelined.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What to send, where.
#[derive(Clone)]
pub struct Plan {
    pub server: SocketAddr,
    pub server_name: ServerName<'static>,
    pub tls: Arc<ClientConfig>,
    pub user: String,
    pub password: String,
    pub sender: String,
    pub recipient_domain: String,
    pub sessions: usize,
    pub messages_per_session: usize,
    /// Octets of each message's body.
    pub size: usize,
}

/// Runs all sessions; the latencies of every message, MAIL to final 250, sorted.
pub async fn run(plan: Plan) -> Result<Vec<Duration>, String> {
    let tasks: Vec<_> = (0..plan.sessions)
        .map(|number| tokio::spawn(session(plan.clone(), number)))
        .collect();
    let mut latencies = Vec::with_capacity(plan.sessions * plan.messages_per_session);
    for task in tasks {
        latencies.extend(task.await.map_err(|error| error.to_string())??);
    }
    latencies.sort_unstable();
    Ok(latencies)
}

/// The value below which `share` of the sorted values lie.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or_default()
}

async fn session(plan: Plan, number: usize) -> Result<Vec<Duration>, String> {
    let stream = TcpStream::connect(plan.server)
        .await
        .map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(Arc::clone(&plan.tls))
        .connect(plan.server_name.clone(), stream)
        .await
        .map_err(|e| e.to_string())?;
    let mut stream = BufStream::with_capacity(8192, 64 * 1024, stream);
    expect(&mut stream, "220").await?;
    send(&mut stream, "EHLO load.example\r\n").await?;
    expect(&mut stream, "250").await?;
    let secret = STANDARD.encode(format!("\0{}\0{}", plan.user, plan.password));
    send(&mut stream, &format!("AUTH PLAIN {secret}\r\n")).await?;
    expect(&mut stream, "235").await?;
    let body = body(plan.size);
    let mut latencies = Vec::with_capacity(plan.messages_per_session);
    for message in 0..plan.messages_per_session {
        let recipient = format!("r{number}.{message}@{}", plan.recipient_domain);
        let began = Instant::now();
        let envelope = format!(
            "MAIL FROM:<{}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n",
            plan.sender
        );
        send(&mut stream, &envelope).await?;
        expect(&mut stream, "250").await?;
        expect(&mut stream, "250").await?;
        expect(&mut stream, "354").await?;
        let header = format!(
            "From: <{}>\r\nTo: <{recipient}>\r\nSubject: load {number}.{message}\r\n\r\n",
            plan.sender
        );
        stream
            .write_all(header.as_bytes())
            .await
            .map_err(|e| e.to_string())?;
        stream.write_all(&body).await.map_err(|e| e.to_string())?;
        send(&mut stream, ".\r\n").await?;
        expect(&mut stream, "250").await?;
        latencies.push(began.elapsed());
    }
    send(&mut stream, "QUIT\r\n").await?;
    Ok(latencies)
}

fn body(size: usize) -> Vec<u8> {
    let line = b"The quick brown fox jumps over the lazy dog, and the dog does not mind at al\r\n";
    line.iter()
        .copied()
        .cycle()
        .take(size / line.len() * line.len())
        .collect()
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    text: &str,
) -> Result<(), String> {
    stream
        .write_all(text.as_bytes())
        .await
        .map_err(|e| e.to_string())?;
    stream.flush().await.map_err(|e| e.to_string())
}

async fn expect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    code: &str,
) -> Result<(), String> {
    let mut line = String::new();
    loop {
        line.clear();
        if stream
            .read_line(&mut line)
            .await
            .map_err(|e| e.to_string())?
            == 0
        {
            return Err(format!("connection closed while {code} was expected"));
        }
        if !line.starts_with(code) {
            return Err(format!("expected {code}, got {}", line.trim_end()));
        }
        if line.as_bytes().get(3) == Some(&b' ') {
            return Ok(());
        }
    }
}
