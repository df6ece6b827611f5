//! `[portal]`: where people pick up what neither TLS nor a certificate could carry to them.
//!
//! That the section is there turns the method on. It is read twice: with the rest of the file for
//! the line, and with little beside it for a portal that runs alone ([`PortalConfig`]).

mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::problem::{At, Sheet, Spot};
use super::super::reader::Section;
use super::super::secret::{Secret, secret};
use super::super::value;
use super::smime::kept;
use super::{
    Config, Limits, ListenerAddress, ListenerSection, LogLevel, LogTarget, TlsSection, located,
};
use crate::mail::{Address, Domain, Language};
use crate::world::url::Url;

pub use words::{ClamdAddress, Colour, Imprint};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that a message may wait.
const MAX_EXPIRY: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Most addresses that it listens on.
const MAX_ADDRESSES: usize = 16;
/// Most addresses that outsiders may begin to write to.
const MAX_WRITE_TO: usize = 100;
/// What a reply grows by when it is made a message, in eighths: base64 takes four octets for three.
const REPLY_GROWTH: (u64, u64) = (11, 8);

/// The portal.
#[derive(Debug, Clone)]
pub struct PortalSection {
    /// Where `[portal]` stands.
    pub at: Spot,
    /// 32 random octets, base64: another key than the spool's.
    pub master_key: At<Secret>,
    /// Where it listens. Never empty.
    pub addresses: Vec<At<SocketAddr>>,
    /// Scheme, host and port that people type.
    pub url: At<Url>,
    /// Whose portal it is, for people.
    pub name: String,
    /// Its certificate; `None` where it is that of `[tls]`.
    pub tls: Option<PortalTls>,
    /// Slots, contents and journal.
    pub directory: At<PathBuf>,
    /// The portal's socket: what the line and commands ask it on.
    pub socket: At<PathBuf>,
    /// The line's socket: what the portal has sent.
    pub mail_socket: At<PathBuf>,
    /// The local part that notices and codes come from; the domain is the author's.
    pub notice_from: String,
    /// How long a message waits.
    pub expire_after: Duration,
    /// When a recipient is reminded; `None` for never.
    pub remind_after: Option<Duration>,
    /// When a sender is told that a message is unread; `None` for never.
    pub unread_after: Option<Duration>,
    /// The language of recipients of whom nothing is known.
    pub language: Language,
    /// The language of recipients of some domains, and of those below them; the closest counts.
    pub languages: BTreeMap<Domain, Language>,
    /// A picture at the top of each page.
    pub logo: Option<At<PathBuf>>,
    /// The colour of buttons and links.
    pub colour: Option<Colour>,
    /// Who is answerable for the site.
    pub imprint: Option<Imprint>,
    /// A folder of `LANG.toml` files with texts that replace the shipped ones.
    pub texts: Option<At<PathBuf>>,
    /// How long a session lasts at most.
    pub session: Duration,
    /// How long it lasts without a request.
    pub idle: Duration,
    /// How long a code is good.
    pub code_life: Duration,
    /// Most messages that wait for a mailbox.
    pub mailbox_messages: usize,
    /// Whether recipients may reply.
    pub replies: bool,
    /// Octets of a reply's text and files, all together.
    pub reply_size: u64,
    /// Files that a reply may not have, beside those that none may: ends of names, and types.
    pub reply_types: Vec<String>,
    /// Who looks for malware in replies.
    pub clamd: Option<At<ClamdAddress>>,
    /// Whom outsiders may begin to write to.
    pub write_to: Vec<Address>,
    /// Where requests are logged; `None` for nowhere.
    pub access_log: Option<LogTarget>,
    /// How codes are sent to telephones.
    pub sms: Option<SmsSection>,
}

/// The portal's own certificate.
#[derive(Debug, Clone)]
pub struct PortalTls {
    /// PEM, our own certificate first.
    pub certificate: At<PathBuf>,
    /// PEM: a file, or a systemd credential.
    pub private_key: At<Secret>,
}

/// A service that sends codes to telephones.
#[derive(Debug, Clone)]
pub struct SmsSection {
    /// What is posted to.
    pub url: At<Url>,
    /// What it knows us by.
    pub token: At<Secret>,
    /// What vouches for it; `None` means the system's roots.
    pub ca_file: Option<At<PathBuf>>,
}

/// What a portal that runs alone reads of the file: nothing of the keys, accounts and policy of the
/// line.
#[derive(Debug, Clone)]
pub struct PortalConfig {
    /// The file it came from.
    pub file: PathBuf,
    /// The section.
    pub portal: PortalSection,
    /// `[tls]`, looked at only where the section has no certificate of its own.
    pub tls: Option<TlsSection>,
    /// Name servers; empty means the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// Octets of a message, as the line takes them.
    pub message_size: u64,
    /// How long a stop waits for requests under way.
    pub drain_timeout: Duration,
    /// How much the diagnostic log says.
    pub log_level: LogLevel,
}

impl Config {
    /// What the portal needs of it; `None` without `[portal]`.
    pub fn portal(&self) -> Option<PortalConfig> {
        Some(PortalConfig {
            file: self.file.clone(),
            portal: self.portal.clone()?,
            tls: self.tls.clone(),
            dns_servers: self.dns_servers.clone(),
            message_size: self.limits.message_size,
            drain_timeout: self.limits.drain_timeout,
            log_level: self.log_level,
        })
    }
}

/// Reads `[portal]`; `None` if it is not there, or something is missing that no default can stand
/// for. `data` is the data directory, below which its own things lie where nothing is said.
pub(super) fn portal(
    sheet: &mut Sheet<'_>,
    root: &mut Section<'_>,
    base: &Path,
    data: &Path,
) -> Option<PortalSection> {
    let mut section = root.section(sheet, "portal")?;
    let (at, place) = (section.at(), Place { base, data });
    let master_key = section.required(
        sheet,
        "master_key",
        "make one with `sealpost key generate FILE` and add master_key = \"FILE\"",
        secret,
    );
    let addresses = addresses(sheet, &mut section);
    let url = section.required(
        sheet,
        "url",
        "add what people type, as in url = \"https://secure.clinic.example\"",
        words::origin,
    );
    let name = section.required(
        sheet,
        "name",
        "add whose portal it is, as in name = \"Example Clinic\"",
        words::name,
    );
    let tls = certificate(sheet, &mut section, base);
    let directory = place.below(sheet, &mut section, "directory", "portal");
    let socket = place.below(sheet, &mut section, "socket", "portal.sock");
    let mail_socket = place.below(sheet, &mut section, "mail_socket", "mail.sock");
    let notice_from = section.optional(sheet, "notice_from", words::local_part);
    let times = Times::read(sheet, &mut section);
    let looks = Looks::read(sheet, &mut section, base);
    let replies = Replies::read(sheet, &mut section);
    let mailbox = section.optional(sheet, "mailbox_messages", value::number(1, 100_000));
    let access_log = section.optional(sheet, "access_log", value::path);
    let sms = sms(sheet, &mut section, base);
    section.finish(sheet);
    if socket.value == mail_socket.value {
        let what = "portal.socket and portal.mail_socket are one path: each end needs its own";
        sheet.wrong(mail_socket.at, what, "choose another for one of them");
    }
    Some(PortalSection {
        at,
        master_key: kept(master_key?, base),
        addresses: addresses?,
        url: url?,
        name: name?.value,
        tls,
        directory,
        socket,
        mail_socket,
        notice_from: notice_from.map_or_else(|| "secure-mail".to_owned(), |it| it.value),
        expire_after: times.expire,
        remind_after: times.remind,
        unread_after: times.unread,
        language: looks.language,
        languages: looks.languages,
        logo: looks.logo,
        colour: looks.colour,
        imprint: looks.imprint,
        texts: looks.texts,
        session: times.session,
        idle: times.idle,
        code_life: times.code,
        mailbox_messages: mailbox.map_or(1000, |it| usize::try_from(it.value).unwrap_or(1000)),
        replies: replies.on,
        reply_size: replies.size,
        reply_types: replies.types,
        clamd: replies.clamd.map(|it| words::placed(it, base)),
        write_to: replies.write_to,
        access_log: access_log.map(|it| target(&it.value, base)),
        sms,
    })
}

/// Without a certificate nobody would be spoken to.
pub(super) fn has_a_certificate(
    section: &PortalSection,
    tls: Option<&TlsSection>,
    sheet: &mut Sheet<'_>,
) {
    if section.tls.is_none() && tls.is_none() {
        sheet.wrong(
            section.at,
            "[portal] has no certificate, and there is no [tls] whose certificate it could show",
            "add certificate = \"FILE\" and private_key = \"FILE\"",
        );
    }
}

/// What the portal and the line must agree on where one file is for both.
pub(super) fn fits_the_line(
    section: &PortalSection,
    listeners: &[ListenerSection],
    limits: &Limits,
    sheet: &mut Sheet<'_>,
) {
    for address in &section.addresses {
        let taken = ListenerAddress::Tcp(address.value);
        if address.port() != 0 && listeners.iter().any(|it| it.address.value == taken) {
            let what = format!("portal.address {} is that of a listener", address.value);
            sheet.wrong(address.at, what, "use another port, or another address");
        }
    }
    // A reply is a message like any other when it comes to the line.
    let (times, parts) = REPLY_GROWTH;
    let grown = section.reply_size.saturating_mul(times) / parts;
    if section.replies && grown > limits.message_size {
        sheet.wrong(
            section.at,
            format!(
                "replies of portal.reply_size {} become messages over limits.message_size {}: they could not be sent",
                value::show_size(section.reply_size),
                value::show_size(limits.message_size)
            ),
            "make reply_size at most 8/11 of message_size",
        );
    }
}

/// Paths that only one thing can have.
pub(super) fn shares_no_file(
    section: &PortalSection,
    listeners: &[ListenerSection],
    admin_socket: &Path,
    log_delivery: &LogTarget,
    sheet: &mut Sheet<'_>,
) {
    let sockets = [
        (&section.socket, "portal.socket"),
        (&section.mail_socket, "portal.mail_socket"),
    ];
    for (socket, name) in sockets {
        if socket.value == admin_socket {
            let what = format!("{name} is admin.socket: each needs its own path");
            sheet.wrong(socket.at, what, "choose another for one of them");
        }
        let taken = ListenerAddress::Unix(socket.value.clone());
        if listeners.iter().any(|it| it.address.value == taken) {
            let what = format!("{name} is that of a listener: each needs its own path");
            sheet.wrong(socket.at, what, "choose another for one of them");
        }
    }
    if let (Some(LogTarget::File(own)), LogTarget::File(other)) =
        (&section.access_log, log_delivery)
        && own == other
    {
        sheet.wrong(
            section.at,
            "portal.access_log is log.delivery: lines of two kinds would stand in one file",
            "choose another for one of them",
        );
    }
}

/// Where paths are taken from.
struct Place<'p> {
    base: &'p Path,
    data: &'p Path,
}

impl Place<'_> {
    fn below(
        &self,
        sheet: &mut Sheet<'_>,
        section: &mut Section<'_>,
        key: &'static str,
        default: &str,
    ) -> At<PathBuf> {
        match section.optional(sheet, key, value::path) {
            Some(path) => located(path, self.base),
            None => At {
                value: self.data.join(default),
                at: section.at(),
            },
        }
    }
}

fn addresses(sheet: &mut Sheet<'_>, section: &mut Section<'_>) -> Option<Vec<At<SocketAddr>>> {
    if !section.has("address") {
        sheet.wrong(
            section.at(),
            "portal.address is missing",
            "add where it listens, as in address = \"0.0.0.0:443\"",
        );
    }
    let list = section.one_or_more(sheet, "address", words::listen_address)?;
    let mut seen: Vec<SocketAddr> = Vec::new();
    for address in &list.value {
        if address.port() != 0 && seen.contains(address) {
            let what = format!("portal.address has {} twice", address.value);
            sheet.wrong(address.at, what, "remove one of them");
        }
        seen.push(address.value);
    }
    if list.value.is_empty() || list.value.len() > MAX_ADDRESSES {
        sheet.wrong(
            list.at,
            format!("portal.address has {} entries", list.value.len()),
            format!("name from 1 to {MAX_ADDRESSES} addresses"),
        );
        return None;
    }
    Some(list.value)
}

fn certificate(sheet: &mut Sheet<'_>, section: &mut Section<'_>, base: &Path) -> Option<PortalTls> {
    let certificate = section.optional(sheet, "certificate", value::path);
    let private_key = section.optional(sheet, "private_key", secret);
    match (certificate, private_key) {
        (Some(certificate), Some(private_key)) => Some(PortalTls {
            certificate: located(certificate, base),
            private_key: kept(private_key, base),
        }),
        (Some(certificate), None) if !section.has("private_key") => {
            sheet.wrong(
                certificate.at,
                "portal.certificate has no key",
                "add private_key = \"FILE\" or \"credential:NAME\"",
            );
            None
        }
        (None, Some(key)) if !section.has("certificate") => {
            sheet.wrong(
                key.at,
                "portal.private_key has no certificate",
                "add certificate = \"FILE\"",
            );
            None
        }
        _ => None,
    }
}

/// Every span of time.
struct Times {
    expire: Duration,
    remind: Option<Duration>,
    unread: Option<Duration>,
    session: Duration,
    idle: Duration,
    code: Duration,
}

impl Times {
    fn read(sheet: &mut Sheet<'_>, section: &mut Section<'_>) -> Self {
        let expiry = value::duration(MINUTE, MAX_EXPIRY);
        let expire = section.optional(sheet, "expire_after", expiry);
        let expire_at = expire.as_ref().map(|it| it.at);
        let expire = expire.map_or(30 * DAY, |it| it.value);
        let mut sometime = |key| {
            let span = section.optional(sheet, key, words::span_or_never(MINUTE, MAX_EXPIRY));
            let (given, span) = match span {
                Some(At { value, at }) => (value.map(|_| at), value),
                None => (expire_at, Some(7 * DAY)),
            };
            if let (Some(at), Some(span)) = (given, span)
                && span >= expire
            {
                let what = format!(
                    "portal.{key} ({}) is not before portal.expire_after: it never comes",
                    value::show_duration(span)
                );
                sheet.warn(at, what, "make it shorter, or write \"never\"");
            }
            span
        };
        let remind = sometime("remind_after");
        let unread = sometime("unread_after");
        let whole = section.optional(sheet, "session", value::duration(MINUTE, DAY));
        let session = whole.map_or(4 * HOUR, |it| it.value);
        let idle = section.optional(sheet, "idle", value::duration(MINUTE, DAY));
        if let Some(idle) = &idle
            && idle.value > session
        {
            sheet.wrong(
                idle.at,
                "portal.idle is longer than portal.session",
                "make it shorter",
            );
        }
        let code = section.optional(sheet, "code_life", value::duration(MINUTE, HOUR));
        Self {
            expire,
            remind,
            unread,
            session,
            idle: idle.map_or((15 * MINUTE).min(session), |it| it.value),
            code: code.map_or(15 * MINUTE, |it| it.value),
        }
    }
}

/// What people see.
struct Looks {
    language: Language,
    languages: BTreeMap<Domain, Language>,
    logo: Option<At<PathBuf>>,
    colour: Option<Colour>,
    imprint: Option<Imprint>,
    texts: Option<At<PathBuf>>,
}

impl Looks {
    fn read(sheet: &mut Sheet<'_>, section: &mut Section<'_>, base: &Path) -> Self {
        let language = section.optional(sheet, "language", words::language);
        let languages = section.dictionary(sheet, "languages", |domain, value| {
            Ok((words::domain(domain)?, words::language(value)?))
        });
        let logo = section.optional(sheet, "logo", value::path);
        let colour = section.optional(sheet, "colour", words::colour);
        let imprint = section.optional(sheet, "imprint", words::imprint);
        let texts = section.optional(sheet, "texts", value::path);
        let languages = languages.unwrap_or_default().into_iter();
        Self {
            language: language.map_or_else(Language::default, |it| it.value),
            languages: languages.map(|(_, pair)| pair).collect(),
            logo: logo.map(|path| located(path, base)),
            colour: colour.map(|it| it.value),
            imprint: imprint.map(|it| it.value),
            texts: texts.map(|path| located(path, base)),
        }
    }
}

/// What people may write.
struct Replies {
    on: bool,
    size: u64,
    types: Vec<String>,
    clamd: Option<At<ClamdAddress>>,
    write_to: Vec<Address>,
}

impl Replies {
    fn read(sheet: &mut Sheet<'_>, section: &mut Section<'_>) -> Self {
        let on = section.optional(sheet, "replies", value::boolean);
        let size = section.optional(sheet, "reply_size", value::size(64 << 10, 256 << 20));
        let types = section.list(sheet, "reply_types", "[\"iso\"]", words::refused_type);
        let clamd = section.optional(sheet, "clamd", words::clamd);
        let example = "[\"office@clinic.example\"]";
        let write_to = section.list(sheet, "write_to", example, words::one_address);
        if let Some(list) = &write_to
            && list.value.len() > MAX_WRITE_TO
        {
            let what = format!("portal.write_to has more than {MAX_WRITE_TO} addresses");
            sheet.wrong(list.at, what, "shorten it");
        }
        let values = |list: Option<At<Vec<At<String>>>>| {
            let list = list.map(|list| list.value).unwrap_or_default();
            list.into_iter().map(|it| it.value).collect()
        };
        let write_to = write_to.map(|list| list.value).unwrap_or_default();
        Self {
            on: on.is_none_or(|it| it.value),
            size: size.map_or(25 << 20, |it| it.value),
            types: values(types),
            clamd,
            write_to: write_to.into_iter().map(|it| it.value).collect(),
        }
    }
}

fn sms(sheet: &mut Sheet<'_>, section: &mut Section<'_>, base: &Path) -> Option<SmsSection> {
    let mut entry = section.section(sheet, "sms")?;
    let url = entry.required(
        sheet,
        "url",
        "add what codes are posted to, as in url = \"https://sms.partner.example/send\"",
        words::https,
    );
    let token = entry.required(
        sheet,
        "token",
        "add token = \"credential:NAME\" or the path of a file that holds it",
        secret,
    );
    let ca_file = entry.optional(sheet, "ca_file", value::path);
    entry.finish(sheet);
    Some(SmsSection {
        url: url?,
        token: kept(token?, base),
        ca_file: ca_file.map(|path| located(path, base)),
    })
}

fn target(path: &Path, base: &Path) -> LogTarget {
    match path.as_os_str() == "stdout" {
        true => LogTarget::Stdout,
        false => LogTarget::File(base.join(path)),
    }
}
