//! `[[smime.ldap]]` and `[[smime.well_known]]`: where certificates are looked up.
//!
//! RFC 4516 (LDAP URLs, of which scheme, host and port are read), RFC 4512 §1.4 (attribute names).

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::super::problem::{At, Sheet};
use super::super::reader::{Section, Wrong};
use super::super::secret::{Secret, secret};
use super::super::value;
use super::located;
use super::smime::kept;
use crate::directory::lookup::{Served, Template};
use crate::mail::DomainPattern;
use crate::world::url::Url;

/// How long a server may take to answer, where `timeout` does not say.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that it may: half of what all servers together get for an address.
const MAX_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest distinguished name or attribute that is read, in octets.
const MAX_TEXT_OCTETS: usize = 1000;
/// What a template may name.
const PLACEHOLDERS: [&str; 4] = ["address", "local", "domain", "sha256"];

/// An LDAP server that is asked for certificates.
#[derive(Debug, Clone)]
pub struct LdapSection {
    /// Where it is: `ldaps`, or `ldap` with StartTLS; nothing behind host and port.
    pub url: Url,
    /// The entry that everything is searched below.
    pub base: String,
    /// The attribute that holds the mail address.
    pub attribute: String,
    /// Whose certificates it is asked for.
    pub served: Served,
    /// What vouches for the server; `None` means the system's roots.
    pub ca_file: Option<At<PathBuf>>,
    /// Name and password; without them the search is anonymous.
    pub bind: Option<(String, At<Secret>)>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// A web server that is asked for certificates.
#[derive(Debug, Clone)]
pub struct WellKnownSection {
    /// Whose certificates it is asked for.
    pub served: Served,
    /// `https://`, with placeholders.
    pub template: Template,
    /// What vouches for the server; `None` means the system's roots.
    pub ca_file: Option<At<PathBuf>>,
    /// Whether the host is the same for everybody, and so the operator's choice.
    pub named: bool,
}

pub(super) fn ldap(
    sheet: &mut Sheet<'_>,
    section: &mut Section<'_>,
    base: &Path,
) -> Vec<LdapSection> {
    let entries = section.sections(sheet, "ldap").into_iter();
    entries
        .filter_map(|entry| ldap_server(sheet, entry, base))
        .collect()
}

fn ldap_server(sheet: &mut Sheet<'_>, mut entry: Section<'_>, base: &Path) -> Option<LdapSection> {
    let url = entry.required(
        sheet,
        "url",
        "add the server, as in url = \"ldaps://ldap.partner.example\"",
        ldap_url,
    );
    let below = entry.required(
        sheet,
        "base",
        "add the entry to search below, as in base = \"dc=partner,dc=example\"",
        distinguished_name,
    );
    let attribute = entry.optional(sheet, "attribute", attribute);
    let served = served(sheet, &mut entry);
    let ca_file = entry.optional(sheet, "ca_file", value::path);
    let bind_dn = entry.optional(sheet, "bind_dn", distinguished_name);
    let password = entry.optional(sheet, "password", secret);
    let span = value::duration(Duration::from_secs(1), MAX_TIMEOUT);
    let timeout = entry.optional(sheet, "timeout", span);
    let (has_dn, has_password) = (entry.has("bind_dn"), entry.has("password"));
    entry.finish(sheet);
    let bind = match (bind_dn, password) {
        (Some(dn), Some(password)) => Some((dn.value, kept(password, base))),
        (Some(dn), None) if !has_password => {
            sheet.wrong(
                dn.at,
                "smime.ldap.bind_dn has no password",
                "add password = \"credential:NAME\" or the path of a file that holds it",
            );
            None
        }
        (None, Some(password)) if !has_dn => {
            sheet.wrong(
                password.at,
                "smime.ldap.password has no bind_dn",
                "add bind_dn = \"cn=NAME,dc=partner,dc=example\"",
            );
            None
        }
        _ => None,
    };
    Some(LdapSection {
        url: url?.value,
        base: below?.value,
        attribute: attribute.map_or_else(|| "mail".to_owned(), |name| name.value),
        served: served?,
        ca_file: ca_file.map(|path| located(path, base)),
        bind,
        timeout: timeout.map_or(TIMEOUT, |span| span.value),
    })
}

pub(super) fn well_known(
    sheet: &mut Sheet<'_>,
    section: &mut Section<'_>,
    base: &Path,
) -> Vec<WellKnownSection> {
    let mut found = Vec::new();
    for mut entry in section.sections(sheet, "well_known") {
        let served = served(sheet, &mut entry);
        let url = entry.required(
            sheet,
            "url",
            "add it, as in url = \"https://{domain}/.well-known/smime/{sha256}.p7c\"",
            template,
        );
        let ca_file = entry.optional(sheet, "ca_file", value::path);
        entry.finish(sheet);
        if let (Some(served), Some(url)) = (served, url) {
            let (template, named) = url.value;
            found.push(WellKnownSection {
                served,
                template,
                ca_file: ca_file.map(|path| located(path, base)),
                named,
            });
        }
    }
    found
}

/// Whose certificates are asked for. Said for every server: it learns whom mail goes to.
fn served(sheet: &mut Sheet<'_>, entry: &mut Section<'_>) -> Option<Served> {
    if !entry.has("domains") {
        sheet.wrong(
            entry.at(),
            format!("{} is missing", entry.name("domains")),
            "add the domains that it is asked about, as in domains = [\"partner.example\"], or [\"*\"] for all: it learns whom mail goes to",
        );
    }
    let list = entry.list(
        sheet,
        "domains",
        "[\"partner.example\"]",
        |value| match value.as_str() {
            Some("*") => Ok(None),
            _ => value::domain_pattern(value).map(Some),
        },
    )?;
    if list.value.is_empty() {
        sheet.wrong(
            list.at,
            format!(
                "{} is empty: it would never be asked",
                entry.name("domains")
            ),
            "name some, or remove the section",
        );
        return None;
    }
    let all: Option<Vec<DomainPattern>> = list.value.into_iter().map(|it| it.value).collect();
    Some(all.map_or(Served::All, Served::Domains))
}

fn ldap_url(value: &DeValue<'_>) -> Result<Url, Wrong> {
    const EXAMPLE: &str = "\"ldaps://ldap.partner.example\"";
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::kind(value, "an LDAP URL", EXAMPLE))?;
    let wrong = |what: String| Wrong::new(what, format!("write it as in {EXAMPLE}"));
    if !text.starts_with("ldaps://") && !text.starts_with("ldap://") {
        return Err(wrong("begins with neither ldaps:// nor ldap://".to_owned()));
    }
    let url = Url::parse(text).map_err(|error| wrong(format!("is no URL: {error}")))?;
    if url.target() != "/" {
        return Err(Wrong::new(
            "has more than scheme, host and port",
            "write the entry to search below as base",
        ));
    }
    Ok(url)
}

fn distinguished_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    const EXAMPLE: &str = "\"dc=partner,dc=example\"";
    let text = value::word(value)?;
    // RFC 4514: the server takes it apart; here only what was never meant as one is found.
    if text.len() > MAX_TEXT_OCTETS || !text.contains('=') {
        return Err(Wrong::new(
            "is no distinguished name",
            format!("write it as in {EXAMPLE}"),
        ));
    }
    Ok(text)
}

fn attribute(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::word(value)?;
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !first || !rest || text.len() > MAX_TEXT_OCTETS {
        return Err(Wrong::new(
            "is no name of an attribute",
            "use letters, digits and hyphens, as in \"mail\"",
        ));
    }
    Ok(text)
}

/// An `https://` URL whose path says whom it is about; whether its host is the same for everybody.
fn template(value: &DeValue<'_>) -> Result<(Template, bool), Wrong> {
    const EXAMPLE: &str = "\"https://certs.partner.example/{sha256}.p7c\"";
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::kind(value, "a URL", EXAMPLE))?;
    let wrong = |what: &str| Err(Wrong::new(what, format!("write it as in {EXAMPLE}")));
    let Some(rest) = text.strip_prefix("https://") else {
        return wrong("does not begin with https://");
    };
    let Some((place, path)) = rest.split_once('/') else {
        return wrong("has no path");
    };
    let in_host = placeholders(place)?;
    let in_path = placeholders(path)?;
    if in_host.iter().any(|name| *name != "domain") {
        return wrong("has a placeholder other than {domain} in its host");
    }
    if !in_path.iter().any(|name| *name != "domain") {
        return wrong(
            "has none of {address}, {local} and {sha256} in its path: it would find the same for everybody",
        );
    }
    match Template::parse(text) {
        Ok(template) => Ok((template, in_host.is_empty())),
        Err(error) => wrong(&format!("is no URL: {error}")),
    }
}

/// The placeholders of a part of a template; braces that are none are wrong.
fn placeholders(part: &str) -> Result<Vec<&str>, Wrong> {
    let mend = || {
        let names = PLACEHOLDERS.map(|name| format!("{{{name}}}"));
        format!("use {}", names.join(", "))
    };
    let mut found = Vec::new();
    let mut rest = part;
    while let Some(at) = rest.find(['{', '}']) {
        let opened = rest.get(at..).and_then(|rest| rest.strip_prefix('{'));
        let Some((name, behind)) = opened.and_then(|rest| rest.split_once('}')) else {
            return Err(Wrong::new("has a brace that is no placeholder", mend()));
        };
        if !PLACEHOLDERS.contains(&name) {
            let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
            return Err(Wrong::new(
                format!("has the unknown placeholder {{{shown}}}"),
                mend(),
            ));
        }
        found.push(name);
        rest = behind;
    }
    Ok(found)
}
