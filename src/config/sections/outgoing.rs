//! `[[dkim]]`, `[dns]`, `[relay]`, `[[relay.route]]`, `[retry]`: how mail goes out.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::super::problem::{At, Sheet, Spot};
use super::super::reader::{Section, Wrong};
use super::super::secret::{Secret, secret};
use super::super::value;
use super::located;
use crate::mail::{Domain, Level};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A signing key.
#[derive(Debug, Clone)]
pub struct DkimSection {
    /// Whose mail it signs.
    pub domain: Domain,
    /// Where the public key stands: `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// PEM.
    pub private_key: At<PathBuf>,
}

/// Outgoing connections.
#[derive(Debug, Clone)]
pub struct RelaySection {
    /// The port of MX hosts.
    pub port: u16,
    /// Roots that MX certificates are checked against; `None` means the system's.
    pub ca_file: Option<At<PathBuf>>,
    /// Where `[relay]` stands.
    pub at: Spot,
    /// Addresses that connections come from; empty lets the system choose.
    pub source_addresses: Vec<IpAddr>,
    /// Whether MX hosts may have private or loopback addresses.
    pub allow_private_addresses: bool,
    /// Smarthosts.
    pub routes: Vec<RouteSection>,
}

/// How a route is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteTls {
    /// By STARTTLS.
    Starttls,
    /// From the first octet.
    Implicit,
}

/// A smarthost for a domain, or for all.
#[derive(Debug, Clone)]
pub struct RouteSection {
    /// `None` is `*`: every domain without a route of its own.
    pub domain: Option<Domain>,
    /// The smarthost; its certificate is checked against this name.
    pub host: Domain,
    /// Its port.
    pub port: u16,
    /// STARTTLS or implicit.
    pub tls: RouteTls,
    /// Name and password, sent only after the grade is reached.
    pub credentials: Option<(String, At<Secret>)>,
    /// Its own roots.
    pub ca_file: Option<At<PathBuf>>,
    /// The highest level that may go there: what lies beyond is not seen.
    pub max_level: Level,
}

/// When it is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySection {
    /// Waits between attempts; the last repeats. Never empty.
    pub schedule: Vec<Duration>,
    /// How long a recipient is tried before it bounces.
    pub expire_after: Duration,
    /// When the sender is told of a delay.
    pub warn_after: Duration,
}

impl Default for RetrySection {
    fn default() -> Self {
        Self {
            schedule: [1, 5, 15, 60]
                .map(|minutes| Duration::from_secs(minutes * 60))
                .to_vec(),
            expire_after: 4 * DAY,
            warn_after: DAY / 6,
        }
    }
}

pub(super) fn dkim(sheet: &mut Sheet<'_>, root: &mut Section<'_>, base: &Path) -> Vec<DkimSection> {
    let mut keys: Vec<DkimSection> = Vec::new();
    for mut section in root.sections(sheet, "dkim") {
        let domain = section.required(
            sheet,
            "domain",
            "add it, as in domain = \"clinic.example\"",
            value::domain,
        );
        let selector = section.required(
            sheet,
            "selector",
            "add it, as in selector = \"s2026\"",
            selector,
        );
        let private_key = section.required(
            sheet,
            "private_key",
            "make one with `sealpost dkim keygen` and add private_key = \"FILE\"",
            value::path,
        );
        let at = section.at();
        section.finish(sheet);
        let (Some(domain), Some(selector), Some(private_key)) = (domain, selector, private_key)
        else {
            continue;
        };
        let twice = keys
            .iter()
            .any(|key| key.domain == domain.value && key.selector == selector.value);
        if twice {
            let what = format!("a second [[dkim]] for {}._domainkey.{}", *selector, *domain);
            sheet.wrong(at, what, "remove one, or give it another selector");
        }
        keys.push(DkimSection {
            domain: domain.value,
            selector: selector.value,
            private_key: located(private_key, base),
        });
    }
    keys
}

fn selector(value: &DeValue<'_>) -> Result<String, Wrong> {
    const EXAMPLE: &str = "\"s2026\"";
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::kind(value, "a DKIM selector", EXAMPLE))?;
    // RFC 6376 §3.1: sub-domains joined with dots.
    match Domain::parse(&format!("{text}._domainkey.example").replace("_domainkey", "domainkey")) {
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err(_) => Err(Wrong::new(
            "is no DKIM selector",
            format!("use letters, digits and hyphens, as in {EXAMPLE}"),
        )),
    }
}

pub(super) fn dns(sheet: &mut Sheet<'_>, root: &mut Section<'_>) -> Vec<SocketAddr> {
    let Some(mut section) = root.section(sheet, "dns") else {
        return Vec::new();
    };
    let servers = section.list(
        sheet,
        "servers",
        "[\"127.0.0.1:53\"]",
        value::socket_address,
    );
    section.finish(sheet);
    servers
        .map(|list| list.value.into_iter().map(|server| server.value).collect())
        .unwrap_or_default()
}

pub(super) fn relay(sheet: &mut Sheet<'_>, root: &mut Section<'_>, base: &Path) -> RelaySection {
    let mut relay = RelaySection {
        port: 25,
        ca_file: None,
        at: Spot::default(),
        source_addresses: Vec::new(),
        allow_private_addresses: false,
        routes: Vec::new(),
    };
    let Some(mut section) = root.section(sheet, "relay") else {
        return relay;
    };
    relay.at = section.at();
    if let Some(port) = section.optional(sheet, "port", value::port) {
        relay.port = port.value;
    }
    relay.ca_file = section
        .optional(sheet, "ca_file", value::path)
        .map(|path| located(path, base));
    let sources = section.list(
        sheet,
        "source_addresses",
        "[\"192.0.2.1\"]",
        value::ip_address,
    );
    if let Some(sources) = sources {
        relay.source_addresses = sources.value.into_iter().map(|ip| ip.value).collect();
    }
    if let Some(allow) = section.optional(sheet, "allow_private_addresses", value::boolean) {
        relay.allow_private_addresses = allow.value;
    }
    for route in section.sections(sheet, "route") {
        let at = route.at();
        let Some(route) = read_route(sheet, route, base) else {
            continue;
        };
        if relay
            .routes
            .iter()
            .any(|other| other.domain == route.domain)
        {
            let name = route.domain.as_ref().map_or("*", Domain::as_str);
            let what = format!("a second [[relay.route]] for {name}");
            sheet.wrong(at, what, "remove one of them");
        }
        relay.routes.push(route);
    }
    section.finish(sheet);
    relay
}

fn route_domain(value: &DeValue<'_>) -> Result<Option<Domain>, Wrong> {
    match value.as_str() {
        Some("*") => Ok(None),
        _ => value::domain(value).map(Some),
    }
}

fn read_route(
    sheet: &mut Sheet<'_>,
    mut section: Section<'_>,
    base: &Path,
) -> Option<RouteSection> {
    const TLS: [(&str, RouteTls); 2] = [
        ("starttls", RouteTls::Starttls),
        ("implicit", RouteTls::Implicit),
    ];
    let domain = section.required(
        sheet,
        "domain",
        "add the domain that goes this way, or \"*\" for all others",
        route_domain,
    );
    let host = section.required(
        sheet,
        "host",
        "add the smarthost's name, as in host = \"gw.partner.example\"",
        value::domain,
    );
    let port = section.optional(sheet, "port", value::port);
    let tls = section.optional(sheet, "tls", value::one_of(&TLS));
    let user = section.optional(sheet, "user", value::word);
    let password = section.optional(sheet, "password", secret);
    let ca_file = section.optional(sheet, "ca_file", value::path);
    let max_level = section.optional(sheet, "max_level", value::level);
    section.finish(sheet);
    let credentials = match (user, password) {
        (Some(user), Some(password)) => Some((
            user.value,
            At {
                value: password.value.resolved(base),
                at: password.at,
            },
        )),
        (Some(user), None) => {
            sheet.wrong(
                user.at,
                "relay.route.user has no password",
                "add password = \"credential:NAME\" or the path of a file that holds it",
            );
            None
        }
        (None, Some(password)) => {
            sheet.wrong(
                password.at,
                "relay.route.password has no user",
                "add user = \"NAME\"",
            );
            None
        }
        (None, None) => None,
    };
    let tls = tls.map_or(RouteTls::Starttls, |tls| tls.value);
    let default_port = match tls {
        RouteTls::Starttls => 587,
        RouteTls::Implicit => 465,
    };
    Some(RouteSection {
        domain: domain?.value,
        host: host?.value,
        port: port.map_or(default_port, |port| port.value),
        tls,
        credentials,
        ca_file: ca_file.map(|path| located(path, base)),
        max_level: max_level.map_or(Level::Protected, |level| level.value),
    })
}

/// Most steps of a schedule.
const MAX_STEPS: usize = 64;

/// How long a suspected downgrade is waited out, where nothing else is said.
const DOWNGRADE_HOLD: Duration = Duration::from_secs(4 * 60 * 60);

/// `[retry]`, and how long a suspected downgrade is waited out.
pub(super) fn retry(sheet: &mut Sheet<'_>, root: &mut Section<'_>) -> (RetrySection, Duration) {
    let mut retry = RetrySection::default();
    let Some(mut section) = root.section(sheet, "retry") else {
        return (retry, DOWNGRADE_HOLD);
    };
    let step = value::duration(Duration::from_secs(1), DAY);
    if let Some(list) = section.list(sheet, "schedule", "[\"1m\", \"5m\", \"1h\"]", step) {
        let steps: Vec<Duration> = list.value.into_iter().map(|step| step.value).collect();
        if (1..=MAX_STEPS).contains(&steps.len()) {
            retry.schedule = steps;
        } else {
            sheet.wrong(
                list.at,
                format!("retry.schedule has {} steps", steps.len()),
                format!("write 1 to {MAX_STEPS}; the last one repeats"),
            );
        }
    }
    let expire = value::duration(Duration::from_secs(60), 30 * DAY);
    let expire = section.optional(sheet, "expire_after", expire);
    let warn = value::duration(Duration::from_secs(1), 30 * DAY);
    let warn = section.optional(sheet, "warn_after", warn);
    let hold = value::duration(Duration::from_secs(60), 30 * DAY);
    let hold = section.optional(sheet, "downgrade_hold", hold);
    section.finish(sheet);
    let at = warn.as_ref().or(expire.as_ref()).map(|span| span.at);
    if let Some(span) = expire {
        retry.expire_after = span.value;
    }
    if let Some(span) = warn {
        retry.warn_after = span.value;
    }
    if let (Some(at), true) = (at, retry.warn_after >= retry.expire_after) {
        sheet.wrong(
            at,
            format!(
                "retry.warn_after ({}) is not before retry.expire_after ({})",
                value::show_duration(retry.warn_after),
                value::show_duration(retry.expire_after)
            ),
            "make warn_after shorter",
        );
    }
    if let Some(hold) = &hold
        && hold.value >= retry.expire_after
    {
        sheet.warn(
            hold.at,
            format!(
                "retry.downgrade_hold ({}) is not before retry.expire_after ({}): what waits for it expires",
                value::show_duration(hold.value),
                value::show_duration(retry.expire_after)
            ),
            "make it shorter",
        );
    }
    (retry, hold.map_or(DOWNGRADE_HOLD, |hold| hold.value))
}
