//! `[smime]`: sealing to recipients' certificates. Where certificates come from, what vouches for
//! them, and who signs.
//!
//! That the section is there turns the method on.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::super::problem::{At, Sheet, Spot};
use super::super::reader::{Section, Wrong};
use super::super::secret::{Secret, secret};
use super::super::value;
use super::directories::{self, LdapSection, WellKnownSection};
use super::located;
use crate::directory::certificates::{Partner, RevocationMode};
use crate::mail::{Address, ContentCipher, Domain, DomainPattern};

/// How certificates are found, trusted and used.
#[derive(Debug, Clone)]
pub struct SmimeSection {
    /// Where `[smime]` stands.
    pub at: Spot,
    /// A folder of certificates that the operator vouches for.
    pub directory: Option<At<PathBuf>>,
    /// Who signs.
    pub identities: Vec<IdentitySection>,
    /// Authorities that vouch for certificates which were looked up, PEM.
    pub anchors: Vec<At<PathBuf>>,
    /// Authorities that vouch for those of some domains only.
    pub narrowed: Vec<AnchorSection>,
    /// What follows where nobody says whether a certificate was revoked.
    pub revocation: RevocationMode,
    /// LDAP servers that are asked, in their order.
    pub ldap: Vec<LdapSection>,
    /// Partners' web servers that are asked after them.
    pub well_known: Vec<WellKnownSection>,
    /// What partners are known to read.
    pub partners: Vec<Partner>,
}

/// Authorities that vouch for the certificates of some domains.
#[derive(Debug, Clone)]
pub struct AnchorSection {
    /// Their certificates, PEM.
    pub file: At<PathBuf>,
    /// Those domains.
    pub domains: Vec<DomainPattern>,
}

/// A signing certificate and its key.
#[derive(Debug, Clone)]
pub struct IdentitySection {
    /// Whose mail it signs.
    pub owner: IdentityOwner,
    /// The certificate, with those of its authorities behind it, PEM.
    pub certificate: At<PathBuf>,
    /// Its key, PKCS #8 PEM.
    pub key: At<Secret>,
}

/// Whose mail an identity signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityOwner {
    /// That of the addresses in its certificate: the pair of `[smime]` itself.
    Certificate,
    /// That of one author.
    Address(Address),
    /// That of every author of a domain.
    Domain(Domain),
}

/// Reads `[smime]`; `None` if it is not there.
pub(super) fn smime(
    sheet: &mut Sheet<'_>,
    root: &mut Section<'_>,
    base: &Path,
) -> Option<SmimeSection> {
    const REVOCATION: [(&str, RevocationMode); 3] = [
        ("require", RevocationMode::Require),
        ("prefer", RevocationMode::Prefer),
        ("off", RevocationMode::Off),
    ];
    let mut section = root.section(sheet, "smime")?;
    let directory = section.optional(sheet, "directory", value::path);
    let own = own_identity(sheet, &mut section, base);
    let anchors = section.list(sheet, "anchors", "[\"FILE\"]", value::path);
    let narrowed = narrowed(sheet, &mut section, base);
    let revocation = section.optional(sheet, "revocation", value::one_of(&REVOCATION));
    let mut identities: Vec<IdentitySection> = own.into_iter().collect();
    for entry in section.sections(sheet, "identity") {
        identities.extend(identity(sheet, entry, base, &identities));
    }
    let ldap = directories::ldap(sheet, &mut section, base);
    let well_known = directories::well_known(sheet, &mut section, base);
    let partners = partners(sheet, &mut section);
    let (at, looks_up) = (
        section.at(),
        section.has("ldap") || section.has("well_known"),
    );
    let has_anchors = section.has("anchors") || section.has("anchor");
    section.finish(sheet);
    if looks_up && !has_anchors {
        sheet.wrong(
            at,
            "smime.anchors is missing: nothing vouches for certificates that are looked up, so none of them is ever used",
            "name the authorities that partners' certificates come from, as in anchors = [\"FILE\"]",
        );
    }
    if let Some(mode) = &revocation
        && mode.value == RevocationMode::Off
    {
        sheet.warn(
            mode.at,
            "smime.revocation is \"off\": mail is sealed to keys that their owners have given up, too",
            "write \"require\", or \"prefer\" where an authority's servers are often away",
        );
    }
    let anchors = anchors.map(|list| list.value).unwrap_or_default();
    Some(SmimeSection {
        at,
        directory: directory.map(|path| located(path, base)),
        identities,
        anchors: anchors
            .into_iter()
            .map(|path| located(path, base))
            .collect(),
        narrowed,
        revocation: revocation.map_or(RevocationMode::Require, |mode| mode.value),
        ldap,
        well_known,
        partners,
    })
}

/// Authorities that vouch for some domains.
fn narrowed(sheet: &mut Sheet<'_>, section: &mut Section<'_>, base: &Path) -> Vec<AnchorSection> {
    let mut found = Vec::new();
    for mut entry in section.sections(sheet, "anchor") {
        let file = entry.required(
            sheet,
            "file",
            "add the PEM file, as in file = \"FILE\"",
            value::path,
        );
        if !entry.has("domains") {
            sheet.wrong(
                entry.at(),
                format!("{} is missing", entry.name("domains")),
                "add the domains that it vouches for, as in domains = [\"partner.example\"], or put the file into smime.anchors",
            );
        }
        let example = "[\"partner.example\"]";
        let domains = entry.list(sheet, "domains", example, value::domain_pattern);
        if let Some(list) = &domains
            && list.value.is_empty()
        {
            sheet.wrong(
                list.at,
                format!(
                    "{} is empty: it would vouch for nobody",
                    entry.name("domains")
                ),
                "name some, or remove the section",
            );
        }
        entry.finish(sheet);
        if let (Some(file), Some(domains)) = (file, domains) {
            found.push(AnchorSection {
                file: located(file, base),
                domains: domains.value.into_iter().map(|it| it.value).collect(),
            });
        }
    }
    found
}

/// A secret as it was written, its path taken from the file's directory.
pub(super) fn kept(secret: At<Secret>, base: &Path) -> At<Secret> {
    At {
        value: secret.value.resolved(base),
        at: secret.at,
    }
}

/// The pair of `[smime]` itself.
fn own_identity(
    sheet: &mut Sheet<'_>,
    section: &mut Section<'_>,
    base: &Path,
) -> Option<IdentitySection> {
    let certificate = section.optional(sheet, "signing_certificate", value::path);
    let key = section.optional(sheet, "signing_key", secret);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(IdentitySection {
            owner: IdentityOwner::Certificate,
            certificate: located(certificate, base),
            key: kept(key, base),
        }),
        (Some(certificate), None) => {
            if !section.has("signing_key") {
                sheet.wrong(
                    certificate.at,
                    "smime.signing_certificate has no key",
                    "add signing_key = \"FILE\" or \"credential:NAME\"",
                );
            }
            None
        }
        (None, Some(key)) => {
            if !section.has("signing_certificate") {
                sheet.wrong(
                    key.at,
                    "smime.signing_key has no certificate",
                    "add signing_certificate = \"FILE\"",
                );
            }
            None
        }
        (None, None) => None,
    }
}

fn owner(value: &DeValue<'_>) -> Result<IdentityOwner, Wrong> {
    const EXAMPLE: &str = "\"billing@clinic.example\" or \"clinic.example\"";
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::kind(value, "a mail address or a domain", EXAMPLE))?;
    let mend = || format!("write it as in {EXAMPLE}");
    if text.contains('@') {
        return match Address::parse(text) {
            Ok(address) => Ok(IdentityOwner::Address(address)),
            Err(error) => Err(Wrong::new(format!("is no mail address: {error}"), mend())),
        };
    }
    match Domain::from_unicode(text) {
        Ok(domain) => Ok(IdentityOwner::Domain(domain)),
        Err(error) => Err(Wrong::new(
            format!("is neither a mail address nor a domain: {error}"),
            mend(),
        )),
    }
}

fn identity(
    sheet: &mut Sheet<'_>,
    mut section: Section<'_>,
    base: &Path,
    others: &[IdentitySection],
) -> Option<IdentitySection> {
    let whose = section.required(
        sheet,
        "for",
        "add whose mail it signs, as in for = \"billing@clinic.example\"",
        owner,
    );
    let certificate = section.required(
        sheet,
        "certificate",
        "add the PEM file, as in certificate = \"FILE\"",
        value::path,
    );
    let key = section.required(
        sheet,
        "key",
        "add key = \"FILE\" or \"credential:NAME\"",
        secret,
    );
    section.finish(sheet);
    if let Some(whose) = &whose {
        // Neither case nor quotes that say nothing make another owner: signing goes by the key.
        let same = |other: &IdentitySection| match (&other.owner, &whose.value) {
            (IdentityOwner::Address(a), IdentityOwner::Address(b)) => {
                a.mailbox_key() == b.mailbox_key()
            }
            (a, b) => a == b,
        };
        if others.iter().any(same) {
            let shown = match &whose.value {
                IdentityOwner::Address(address) => address.to_string(),
                IdentityOwner::Domain(domain) => domain.to_string(),
                IdentityOwner::Certificate => String::new(),
            };
            sheet.wrong(
                whose.at,
                format!("a second [[smime.identity]] for {shown}"),
                "remove one of them",
            );
        }
    }
    Some(IdentitySection {
        owner: whose?.value,
        certificate: located(certificate?, base),
        key: kept(key?, base),
    })
}

/// What partners are known to read.
fn partners(sheet: &mut Sheet<'_>, section: &mut Section<'_>) -> Vec<Partner> {
    const CIPHERS: [(&str, ContentCipher); 2] = [
        (ContentCipher::Aes256Cbc.as_str(), ContentCipher::Aes256Cbc),
        (ContentCipher::Aes256Gcm.as_str(), ContentCipher::Aes256Gcm),
    ];
    let mut partners: Vec<Partner> = Vec::new();
    for mut entry in section.sections(sheet, "domain") {
        let name = entry.required(
            sheet,
            "name",
            "add the domain, as in name = \"hospital.example\"",
            value::domain,
        );
        let cipher = entry.optional(sheet, "cipher", value::one_of(&CIPHERS));
        let oaep = entry.optional(sheet, "oaep", value::boolean);
        entry.finish(sheet);
        let Some(name) = name else {
            continue;
        };
        if partners.iter().any(|other| other.domain == name.value) {
            let what = format!("a second [[smime.domain]] for {}", name.value);
            sheet.wrong(name.at, what, "remove one of them");
        }
        partners.push(Partner {
            domain: name.value,
            gcm: cipher.map(|cipher| cipher.value == ContentCipher::Aes256Gcm),
            oaep: oaep.map(|oaep| oaep.value),
        });
    }
    partners
}
