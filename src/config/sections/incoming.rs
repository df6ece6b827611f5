//! `[[listener]]`, `[tls]`, `[auth]`, `[limits]`: how mail comes in.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::super::problem::{At, Sheet, Spot};
use super::super::reader::{Section, Wrong};
use super::super::value;
use super::located;

/// Most listeners.
const MAX_LISTENERS: usize = 64;

/// Where a listener waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerAddress {
    /// TCP. Port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How a listener is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerTls {
    /// From the first octet (RFC 8314 §3.3).
    Implicit,
    /// By STARTTLS, which is demanded before AUTH and MAIL.
    Starttls,
    /// Not at all: Unix sockets and loopback only.
    None,
}

/// A place where mail comes in.
#[derive(Debug, Clone)]
pub struct ListenerSection {
    /// Where.
    pub address: At<ListenerAddress>,
    /// How protected.
    pub tls: ListenerTls,
    /// Without TLS: the account that the listener acts for.
    pub user: Option<At<String>>,
}

/// Our certificate.
#[derive(Debug, Clone)]
pub struct TlsSection {
    /// PEM, our own certificate first.
    pub certificate: At<PathBuf>,
    /// PEM.
    pub private_key: At<PathBuf>,
}

/// Bounds on what is taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message.
    pub message_size: u64,
    /// Recipients of a message.
    pub recipients: usize,
    /// Submission connections at a time.
    pub connections: usize,
    /// The same, from one address.
    pub connections_per_address: usize,
    /// The same, of one account.
    pub connections_per_user: usize,
    /// Octets of messages that are coming in, all together.
    pub memory: u64,
    /// How long a stop waits for what is under way.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 50 << 20,
            recipients: 1000,
            connections: 2000,
            connections_per_address: 200,
            connections_per_user: 200,
            memory: 1 << 30,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

pub(super) fn listener_address(value: &DeValue<'_>) -> Result<ListenerAddress, Wrong> {
    const EXAMPLE: &str = "\"0.0.0.0:465\", \"[::]:465\" or \"unix:/run/sealpost/submission.sock\"";
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::kind(value, "an IP address and port", EXAMPLE))?;
    match text.strip_prefix("unix:") {
        Some(path) if !path.is_empty() && !path.contains('\0') => {
            Ok(ListenerAddress::Unix(PathBuf::from(path)))
        }
        _ => text.parse().map(ListenerAddress::Tcp).map_err(|_| {
            Wrong::new(
                "is not an IP address and port",
                format!("write it as in {EXAMPLE}"),
            )
        }),
    }
}

pub(super) fn listeners(
    sheet: &mut Sheet<'_>,
    root: &mut Section<'_>,
    base: &Path,
) -> Vec<ListenerSection> {
    let sections = root.sections(sheet, "listener");
    if sections.is_empty() {
        sheet.wrong(
            Spot::default(),
            "no [[listener]]: no mail could come in",
            "add one, as in [[listener]] address = \"0.0.0.0:465\" tls = \"implicit\"",
        );
    }
    let mut listeners: Vec<ListenerSection> = Vec::new();
    for section in sections {
        if listeners.len() == MAX_LISTENERS {
            let what = format!("more than {MAX_LISTENERS} listeners");
            sheet.wrong(section.at(), what, "remove some");
            break;
        }
        if let Some(listener) = listener(sheet, section, base) {
            if same_place(&listeners, &listener) {
                let what = format!("a second listener on {}", listener.address.value);
                sheet.wrong(listener.address.at, what, "remove one of them");
            }
            listeners.push(listener);
        }
    }
    listeners
}

fn same_place(listeners: &[ListenerSection], new: &ListenerSection) -> bool {
    let chosen_by_system =
        matches!(&new.address.value, ListenerAddress::Tcp(address) if address.port() == 0);
    !chosen_by_system
        && listeners
            .iter()
            .any(|listener| listener.address.value == new.address.value)
}

fn listener(
    sheet: &mut Sheet<'_>,
    mut section: Section<'_>,
    base: &Path,
) -> Option<ListenerSection> {
    const TLS: [(&str, ListenerTls); 3] = [
        ("implicit", ListenerTls::Implicit),
        ("starttls", ListenerTls::Starttls),
        ("none", ListenerTls::None),
    ];
    let address = section.required(
        sheet,
        "address",
        "add it, as in address = \"0.0.0.0:465\"",
        listener_address,
    );
    let tls = section.required(
        sheet,
        "tls",
        "add tls = \"implicit\", or \"starttls\"",
        value::one_of(&TLS),
    );
    let user = section.optional(sheet, "user", value::word);
    let at = section.at();
    section.finish(sheet);
    let mut address = address?;
    let tls = tls?;
    let is_unix = matches!(address.value, ListenerAddress::Unix(_));
    if let ListenerAddress::Unix(path) = &mut address.value {
        *path = base.join(&path);
    }
    match tls.value {
        ListenerTls::None => {
            let local = match &address.value {
                ListenerAddress::Unix(_) => true,
                ListenerAddress::Tcp(address) => address.ip().is_loopback(),
            };
            if !local {
                sheet.wrong(
                    tls.at,
                    format!("listener.tls = \"none\" on {}, which others can reach", address.value),
                    "use \"implicit\" or \"starttls\", or listen on 127.0.0.1, [::1] or a Unix socket",
                );
            }
            if user.is_none() {
                sheet.wrong(
                    at,
                    "a listener with tls = \"none\" has no user: nobody authenticates there",
                    "name the account it acts for, as in user = \"billing\"",
                );
            }
        }
        ListenerTls::Implicit | ListenerTls::Starttls => {
            if let Some(user) = &user {
                sheet.wrong(
                    user.at,
                    "listener.user is for listeners with tls = \"none\"; here clients authenticate",
                    "remove it",
                );
            }
            if is_unix {
                sheet.wrong(
                    tls.at,
                    "listener.tls on a Unix socket: there is nothing to protect it from",
                    "write tls = \"none\" and name its user",
                );
            }
        }
    }
    Some(ListenerSection {
        address,
        tls: tls.value,
        user,
    })
}

pub(super) fn tls(
    sheet: &mut Sheet<'_>,
    root: &mut Section<'_>,
    base: &Path,
    listeners: &[ListenerSection],
) -> Option<TlsSection> {
    let Some(mut section) = root.section(sheet, "tls") else {
        let needed = listeners
            .iter()
            .find(|listener| listener.tls != ListenerTls::None);
        if let Some(listener) = needed {
            sheet.wrong(
                listener.address.at,
                "[tls] is missing: this listener needs a certificate",
                "add [tls] with certificate = \"FILE\" and private_key = \"FILE\"",
            );
        }
        return None;
    };
    let certificate = section.required(
        sheet,
        "certificate",
        "add certificate = \"FILE\", a PEM chain with our own certificate first",
        value::path,
    );
    let private_key = section.required(
        sheet,
        "private_key",
        "add private_key = \"FILE\", the PEM key of the certificate",
        value::path,
    );
    section.finish(sheet);
    Some(TlsSection {
        certificate: located(certificate?, base),
        private_key: located(private_key?, base),
    })
}

pub(super) fn users(
    sheet: &mut Sheet<'_>,
    root: &mut Section<'_>,
    base: &Path,
) -> Option<At<PathBuf>> {
    const MEND: &str = "add [auth] users = \"/etc/sealpost/users.toml\" and make accounts with `sealpost user add`";
    let Some(mut section) = root.section(sheet, "auth") else {
        sheet.wrong(
            Spot::default(),
            "[auth] is missing: nobody could send",
            MEND,
        );
        return None;
    };
    let users = section.required(sheet, "users", MEND, value::path);
    section.finish(sheet);
    users.map(|users| located(users, base))
}

pub(super) fn limits(sheet: &mut Sheet<'_>, root: &mut Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut section) = root.section(sheet, "limits") else {
        return limits;
    };
    let size = value::size(64 << 10, 1 << 30);
    if let Some(octets) = section.optional(sheet, "message_size", size) {
        limits.message_size = octets.value;
    }
    let mut count = |key, most, into: &mut usize| {
        if let Some(number) = section.optional(sheet, key, value::number(1, most)) {
            *into = usize::try_from(number.value).unwrap_or(usize::MAX);
        }
    };
    count("recipients", 10_000, &mut limits.recipients);
    count("connections", 100_000, &mut limits.connections);
    count(
        "connections_per_address",
        100_000,
        &mut limits.connections_per_address,
    );
    count(
        "connections_per_user",
        100_000,
        &mut limits.connections_per_user,
    );
    let memory = value::size(16 << 20, 1 << 40);
    if let Some(octets) = section.optional(sheet, "memory", memory) {
        limits.memory = octets.value;
        if limits.memory < limits.message_size {
            sheet.wrong(
                octets.at,
                "limits.memory is less than limits.message_size: no such message could come in",
                "make it larger",
            );
        }
    }
    let drain = value::duration(Duration::from_secs(1), Duration::from_secs(600));
    if let Some(span) = section.optional(sheet, "drain_timeout", drain) {
        limits.drain_timeout = span.value;
    }
    section.finish(sheet);
    limits
}
