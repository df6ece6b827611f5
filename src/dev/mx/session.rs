//! One connection of the small mail server.

use std::io;

use memchr::memchr;
use rustls::ServerConfig;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::inbox::Mail;
use super::transcript::Record;
use super::{MxOptions, MxTls};
use crate::mail::Address;
use crate::world::net::Stream;

/// Longest command line (RFC 5321 §4.5.3.1.4 asks for 512, extensions add to it).
const MAX_COMMAND_OCTETS: usize = 4096;
/// Largest content.
const MAX_CONTENT_OCTETS: usize = 256 << 20;
/// Recipients of one mail.
const MAX_RECIPIENTS: usize = 1000;
/// Octets read at a time.
const READ_OCTETS: usize = 64 << 10;

/// A stream and what was read from it too early.
struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    start: usize,
}

impl Wire {
    fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
            start: 0,
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + READ_OCTETS, 0);
        let read = self.stream.read(&mut self.buffer[length..]).await;
        let octets = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(length + octets);
        Ok(read? > 0)
    }

    /// The next line with its CRLF; `None` at the end of the stream.
    async fn line(&mut self, most: usize) -> io::Result<Option<Vec<u8>>> {
        let mut looked_at = 0;
        loop {
            let unread = self.unread();
            while let Some(at) = memchr(b'\n', &unread[looked_at..]) {
                let end = looked_at + at + 1;
                // Only CRLF ends a line: a bare LF is content, never a boundary.
                if end >= 2 && unread[end - 2] == b'\r' {
                    let line = unread[..end].to_vec();
                    self.start += end;
                    return Ok(Some(line));
                }
                looked_at = end;
            }
            looked_at = unread.len();
            if looked_at > most {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
    }
}

/// The transaction so far (RFC 5321 §3.3).
#[derive(Default)]
struct Transaction {
    reverse_path: Option<String>,
    parameters: String,
    recipients: Vec<Address>,
}

/// What follows a command.
enum Next {
    Reply(String),
    Content,
    StartTls,
    Close(String),
    Vanish,
}

struct Dialog<'a> {
    options: &'a MxOptions,
    record: &'a Record,
    greeted: bool,
    tls: bool,
    transaction: Transaction,
}

/// Serves one connection to its end.
pub(super) async fn run(stream: TcpStream, options: &MxOptions, record: &Record) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut dialog = Dialog {
        options,
        record,
        greeted: false,
        tls: false,
        transaction: Transaction::default(),
    };
    let mut wire = Wire::new(stream);
    if let MxTls::Implicit(config) = &options.tls {
        wire = dialog.handshake(wire, config).await?;
    }
    let greeting = match options.instead("CONNECT") {
        Some(reply) => reply.to_owned(),
        None => format!("220 {} ESMTP", options.host),
    };
    dialog.say(&mut wire, &greeting).await?;
    if !greeting.starts_with('2') {
        return Ok(());
    }
    while let Some(line) = wire.line(MAX_COMMAND_OCTETS).await? {
        let line = String::from_utf8_lossy(&line).into_owned();
        record.client(&line);
        match dialog.command(line.trim_end_matches(['\r', '\n'])) {
            Next::Reply(reply) => dialog.say(&mut wire, &reply).await?,
            Next::Close(reply) => return dialog.say(&mut wire, &reply).await,
            Next::Vanish => return Ok(()),
            Next::Content => {
                dialog.say(&mut wire, "354 Go ahead").await?;
                let reply = dialog.content(&mut wire).await?;
                dialog.say(&mut wire, &reply).await?;
                if reply.is_empty() || reply.starts_with("421") {
                    return Ok(());
                }
            }
            Next::StartTls => wire = dialog.start_tls(wire).await?,
        }
    }
    Ok(())
}

impl Dialog<'_> {
    async fn say(&self, wire: &mut Wire, reply: &str) -> io::Result<()> {
        for line in reply.lines() {
            self.record.server(line);
        }
        wire.write(format!("{}\r\n", reply.replace('\n', "\r\n")).as_bytes())
            .await
    }

    /// What follows `line`.
    fn command(&mut self, line: &str) -> Next {
        let verb = line.split(' ').next().unwrap_or_default();
        let verb = verb.to_ascii_uppercase();
        if matches!(verb.as_str(), "MAIL" | "RCPT") {
            self.record.envelope(line.len() + 2);
        }
        match self.options.instead(line) {
            Some("") => return Next::Vanish,
            Some(reply) if reply.starts_with("421") => return Next::Close(reply.to_owned()),
            Some(reply) => return Next::Reply(reply.to_owned()),
            None => {}
        }
        let reply = match verb.as_str() {
            "EHLO" | "LHLO" => self.hello(),
            "HELO" => {
                self.greeted = true;
                self.transaction = Transaction::default();
                format!("250 {}", self.options.host)
            }
            "STARTTLS" if self.tls || matches!(self.options.tls, MxTls::Absent) => {
                "502 5.5.1 Not offered".to_owned()
            }
            "STARTTLS" => return Next::StartTls,
            "MAIL" => self.mail(line),
            "RCPT" => self.rcpt(line),
            "DATA" if self.transaction.recipients.is_empty() => {
                "503 5.5.1 No valid recipients".to_owned()
            }
            "DATA" => return Next::Content,
            "RSET" => {
                self.transaction = Transaction::default();
                "250 2.0.0 Ok".to_owned()
            }
            "NOOP" => "250 2.0.0 Ok".to_owned(),
            "QUIT" => return Next::Close("221 2.0.0 Bye".to_owned()),
            _ => "500 5.5.2 Unknown command".to_owned(),
        };
        Next::Reply(reply)
    }

    fn hello(&mut self) -> String {
        self.greeted = true;
        self.transaction = Transaction::default();
        let mut lines = vec![self.options.host.clone()];
        if self.options.pipelining {
            lines.push("PIPELINING".to_owned());
        }
        if let Some(size) = self.options.size {
            lines.push(format!("SIZE {size}"));
        }
        let offers = !matches!(self.options.tls, MxTls::Absent | MxTls::Implicit(_));
        if offers && !self.tls {
            lines.push("STARTTLS".to_owned());
        }
        if self.options.eight_bit {
            lines.push("8BITMIME".to_owned());
        }
        lines.push("ENHANCEDSTATUSCODES".to_owned());
        let last = lines.len() - 1;
        let marked = lines.iter().enumerate().map(|(index, line)| {
            let mark = if index == last { ' ' } else { '-' };
            format!("250{mark}{line}")
        });
        marked.collect::<Vec<_>>().join("\n")
    }

    fn mail(&mut self, line: &str) -> String {
        if !self.greeted {
            return "503 5.5.1 EHLO first".to_owned();
        }
        if self.transaction.reverse_path.is_some() {
            return "503 5.5.1 One MAIL at a time".to_owned();
        }
        let Some((path, parameters)) = path_after(line, "MAIL FROM:") else {
            return "501 5.5.4 Syntax: MAIL FROM:<address>".to_owned();
        };
        if !path.is_empty() && Address::parse(path).is_err() {
            return "501 5.1.7 Bad sender address".to_owned();
        }
        let size = parameters
            .split(' ')
            .find_map(|parameter| parameter.strip_prefix("SIZE="))
            .and_then(|size| size.parse::<u64>().ok());
        if matches!((size, self.options.size), (Some(size), Some(most)) if size > most) {
            return "552 5.3.4 Too large".to_owned();
        }
        self.transaction.reverse_path = Some(path.to_owned());
        self.transaction.parameters = parameters.to_owned();
        "250 2.1.0 Ok".to_owned()
    }

    fn rcpt(&mut self, line: &str) -> String {
        if self.transaction.reverse_path.is_none() {
            return "503 5.5.1 MAIL first".to_owned();
        }
        let path = path_after(line, "RCPT TO:").and_then(|(path, _)| Address::parse(path).ok());
        let Some(recipient) = path else {
            return "501 5.1.3 Bad recipient address".to_owned();
        };
        if self.transaction.recipients.len() == MAX_RECIPIENTS {
            return "452 4.5.3 Too many recipients".to_owned();
        }
        self.transaction.recipients.push(recipient);
        "250 2.1.5 Ok".to_owned()
    }

    /// Reads the content up to the dot and keeps it; the reply.
    async fn content(&mut self, wire: &mut Wire) -> io::Result<String> {
        let mut content = Vec::new();
        loop {
            let line = wire.line(MAX_CONTENT_OCTETS).await?;
            let line = line.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.record.content(line.len());
            if line == b".\r\n" {
                break;
            }
            // RFC 5321 §4.5.2: one dot is taken off the front of a line.
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            if content.len() > MAX_CONTENT_OCTETS {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        self.record
            .remark(&format!("content: {} octets", content.len()));
        let transaction = std::mem::take(&mut self.transaction);
        if let Some(reply) = self.options.instead(".") {
            return Ok(reply.to_owned());
        }
        if self
            .options
            .size
            .is_some_and(|most| content.len() as u64 > most)
        {
            return Ok("552 5.3.4 Too large".to_owned());
        }
        let mail = Mail {
            host: self.options.host.clone(),
            reverse_path: transaction.reverse_path.unwrap_or_default(),
            recipients: transaction.recipients,
            parameters: transaction.parameters,
            content,
            tls: self.tls,
        };
        match self.options.inbox.keep(mail).await {
            Ok(()) => {
                self.record.accepted();
                Ok("250 2.0.0 Ok: taken".to_owned())
            }
            Err(_) => Ok("452 4.3.1 Cannot be kept".to_owned()),
        }
    }

    async fn start_tls(&mut self, mut wire: Wire) -> io::Result<Wire> {
        match &self.options.tls {
            MxTls::Absent | MxTls::Implicit(_) => Ok(wire),
            MxTls::Refused => {
                self.say(&mut wire, "454 4.7.0 TLS not available now")
                    .await?;
                Ok(wire)
            }
            MxTls::Broken => {
                self.say(&mut wire, "220 2.0.0 Ready").await?;
                self.record.remark("rubbish instead of a handshake");
                wire.write(b"this is no TLS record\r\n").await?;
                // Until the client goes away: closing first could lose the rubbish to a reset.
                while wire.fill().await? {
                    wire.start = wire.buffer.len();
                }
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            MxTls::Injecting(config) => {
                let config = Arc::clone(config);
                self.record.remark("injects a reply behind the 220");
                wire.write(b"220 2.0.0 Ready\r\n250 2.0.0 Injected\r\n")
                    .await?;
                self.handshake(wire, &config).await
            }
            MxTls::Offered(config) => {
                let config = Arc::clone(config);
                self.say(&mut wire, "220 2.0.0 Ready").await?;
                self.handshake(wire, &config).await
            }
        }
    }

    async fn handshake(&mut self, wire: Wire, config: &Arc<ServerConfig>) -> io::Result<Wire> {
        if !wire.unread().is_empty() {
            self.record.remark("octets behind STARTTLS: closed");
            return Err(io::ErrorKind::InvalidData.into());
        }
        let acceptor = TlsAcceptor::from(Arc::clone(config));
        let stream = match acceptor.accept(wire.stream).await {
            Ok(stream) => stream,
            Err(error) => {
                self.record
                    .remark(&format!("TLS handshake failed: {error}"));
                return Err(error);
            }
        };
        let (_, connection) = stream.get_ref();
        self.record.tls(connection.server_name());
        self.record.remark("TLS");
        // RFC 3207 §4.2: everything learnt before is forgotten.
        self.tls = true;
        self.greeted = false;
        self.transaction = Transaction::default();
        Ok(Wire::new(stream))
    }
}

/// The path in angle brackets behind `prefix`, and what follows it.
fn path_after<'l>(line: &'l str, prefix: &str) -> Option<(&'l str, &'l str)> {
    let head = line.get(..prefix.len())?;
    if !head.eq_ignore_ascii_case(prefix) {
        return None;
    }
    let rest = line[prefix.len()..].trim_start().strip_prefix('<')?;
    let (path, parameters) = rest.split_once('>')?;
    Some((path, parameters.trim()))
}
