//! Whether the policy speaks of what there is: accounts, their senders, listeners; and what of it
//! somebody should look at.

use std::collections::HashSet;
use std::time::Duration;

use super::super::problem::Sheet;
use super::super::register::{RegisterState, shown, state};
use super::super::sections::{Config, ListenerAddress};
use crate::directory::Users;
use crate::mail::{AddressPattern, DomainPattern, Grade, Method, Timestamp};
use crate::policy::source::{Condition, Rule};

/// An exception that ends sooner than this is worth a warning.
const ENDS_SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Notes what the policy says without effect.
pub(super) fn policy(
    config: &Config,
    users: Option<&Users>,
    now: Timestamp,
    sheet: &mut Sheet<'_>,
) {
    if !config.policy_places.sound {
        return;
    }
    if let Some(users) = users.filter(|users| !users.is_empty()) {
        accounts(config, users, sheet);
        senders(config, users, sheet);
    }
    origins(config, sheet);
    waiting(config, sheet);
    exceptions(config, now, sheet);
    for detector in &config.policy_places.switched_off {
        sheet.warn(
            detector.at,
            format!("detector {} is switched off", detector.value),
            "give it a level, or leave it off on purpose",
        );
    }
}

/// Conditions of a rule with the rule's number.
fn conditions(config: &Config) -> impl Iterator<Item = (usize, &Condition)> {
    let rules = config.policy.rules.iter().enumerate();
    rules.flat_map(|(number, rule): (usize, &Rule)| {
        rule.when.iter().map(move |condition| (number, condition))
    })
}

/// Accounts that are named and that there are none of.
fn accounts(config: &Config, users: &Users, sheet: &mut Sheet<'_>) {
    let places = &config.policy_places;
    let mut look = |table: &'static str, number: usize, key: &str, name: &str| {
        if users.get(name).is_none() {
            sheet.warn(
                places.find(table, number, key),
                format!("policy.{table}.{key} names {name:?}: no such account"),
                "correct it, or add the account with `sealpost user add`",
            );
        }
    };
    for (number, condition) in conditions(config) {
        if let Condition::User(names) = condition {
            for name in names {
                look("rule", number, "when.user", name);
            }
        }
    }
    for (number, group) in config.policy.groups.iter().enumerate() {
        for name in &group.members {
            look("group", number, "members", name);
        }
    }
    for (number, user) in config.policy.users.iter().enumerate() {
        look("user", number, "name", &user.name);
    }
}

/// Senders that are named and that no account may send as.
fn senders(config: &Config, users: &Users, sheet: &mut Sheet<'_>) {
    let granted = Granted::new(users);
    for (number, condition) in conditions(config) {
        let (key, strangers): (_, Vec<String>) = match condition {
            Condition::Sender(list) => ("sender", granted.strangers(list)),
            Condition::Author(list) => ("author", granted.strangers(list)),
            Condition::SenderDomain(list) => ("sender_domain", granted.strange_domains(list)),
            Condition::AuthorDomain(list) => ("author_domain", granted.strange_domains(list)),
            _ => continue,
        };
        for stranger in strangers {
            sheet.warn(
                config.policy_places.find("rule", number, key),
                format!("policy.rule.when.{key} names {stranger}: no account may send as that"),
                "correct it, or grant it to an account",
            );
        }
    }
}

/// All that accounts may send as, each once: looked through for every condition.
struct Granted(Vec<AddressPattern>);

impl Granted {
    fn new(users: &Users) -> Self {
        let mut seen = HashSet::new();
        let patterns = users.iter().flat_map(|user| user.senders());
        let fresh = patterns.filter(|pattern| seen.insert(pattern.to_string()));
        Self(fresh.cloned().collect())
    }

    fn strangers(&self, patterns: &[AddressPattern]) -> Vec<String> {
        let known = |pattern: &&AddressPattern| !self.0.iter().any(|it| meet(it, pattern));
        patterns
            .iter()
            .filter(known)
            .map(|it| it.to_string())
            .collect()
    }

    fn strange_domains(&self, patterns: &[DomainPattern]) -> Vec<String> {
        let known = |pattern: &&DomainPattern| !self.0.iter().any(|it| reaches(it, pattern));
        patterns
            .iter()
            .filter(known)
            .map(|it| it.to_string())
            .collect()
    }
}

/// Whether some address is in both.
fn meet(granted: &AddressPattern, asked: &AddressPattern) -> bool {
    match asked {
        AddressPattern::Address(address) => granted.matches(address),
        AddressPattern::Domain(domains) => reaches(granted, domains),
    }
}

/// Whether some address that is granted has such a domain.
fn reaches(granted: &AddressPattern, asked: &DomainPattern) -> bool {
    match granted {
        AddressPattern::Address(address) => asked.matches(address.domain()),
        AddressPattern::Domain(DomainPattern::Exact(domain)) => asked.matches(domain),
        AddressPattern::Domain(DomainPattern::Below(parent)) => match asked {
            DomainPattern::Exact(domain) => domain != parent && domain.is_within(parent),
            DomainPattern::Below(other) => other.is_within(parent) || parent.is_within(other),
        },
    }
}

/// Listeners and networks that no mail comes from.
fn origins(config: &Config, sheet: &mut Sheet<'_>) {
    let addresses: Vec<String> = config
        .listeners
        .iter()
        .map(|listener| listener.address.value.to_string())
        .collect();
    let any_tcp = config
        .listeners
        .iter()
        .any(|listener| matches!(listener.address.value, ListenerAddress::Tcp(_)));
    for (number, condition) in conditions(config) {
        match condition {
            Condition::Listener(list) => {
                for name in list.iter().filter(|name| !addresses.contains(name)) {
                    sheet.wrong(
                        config.policy_places.find("rule", number, "listener"),
                        format!("policy.rule.when.listener names {name}, which is no listener: the rule could never match by it"),
                        format!("name one of {}", addresses.join(", ")),
                    );
                }
            }
            Condition::Client(_) if !any_tcp => sheet.warn(
                config.policy_places.find("rule", number, "client"),
                "policy.rule.when.client: every listener is a Unix socket, and no client has an address",
                "use listener or user instead",
            ),
            _ => {}
        }
    }
}

/// What would make mail wait for good with what this version has.
fn waiting(config: &Config, sheet: &mut Sheet<'_>) {
    let policy = &config.policy;
    let places = &config.policy_places;
    let reached = |method: &Method| match method {
        Method::Tls => true,
        Method::Smime => policy.smime,
        Method::Portal => policy.portal,
    };
    let others = policy.smime || policy.portal;
    let nothing_but_tls = "so far, tls is the only method that carries mail";
    if !policy.methods.iter().any(reached) {
        sheet.warn(
            places.find("", 0, "methods"),
            format!("policy.methods has nothing that is configured: all mail will wait; {nothing_but_tls}"),
            "add \"tls\"",
        );
    }
    for (number, domain) in policy.domains.iter().enumerate() {
        let methods = domain.methods.as_ref().unwrap_or(&policy.methods);
        let name = &domain.name;
        if domain.methods.is_some() && !methods.iter().any(reached) {
            sheet.warn(
                places.find("domain", number, "methods"),
                format!("policy.domain.methods has nothing that is configured: mail to {name} will wait; {nothing_but_tls}"),
                "add \"tls\" until then",
            );
        }
    }
    let not_enough = |table, key, names: Vec<(usize, String)>, sheet: &mut Sheet<'_>| {
        for (number, whose) in names {
            sheet.warn(
                places.find(table, number, key),
                format!("policy.{table}.tls_not_enough: mail {whose} will wait; {nothing_but_tls}"),
                "remove it until then",
            );
        }
    };
    if !others {
        let domains = policy.domains.iter().enumerate();
        let domains = domains.filter(|(_, it)| it.tls_not_enough);
        let domains = domains.map(|(number, it)| (number, format!("to {}", it.name)));
        not_enough("domain", "tls_not_enough", domains.collect(), sheet);
        let groups = policy.groups.iter().enumerate();
        let groups = groups.filter(|(_, it)| it.tls_not_enough);
        let groups = groups.map(|(number, it)| (number, format!("of group {:?}", it.name)));
        not_enough("group", "tls_not_enough", groups.collect(), sheet);
        let users = policy.users.iter().enumerate();
        let users = users.filter(|(_, it)| it.tls_not_enough);
        let users = users.map(|(number, it)| (number, format!("of {:?}", it.name)));
        not_enough("user", "tls_not_enough", users.collect(), sheet);
    }
    base(config, others, sheet);
}

/// What a base above `protected` means.
fn base(config: &Config, others: bool, sheet: &mut Sheet<'_>) {
    let base = config.policy.base;
    let least = match base.least_grade() {
        Some(Grade::None | Grade::Any | Grade::Pkix) => return,
        least => least,
    };
    if others {
        return;
    }
    let (why, mend) = match least {
        Some(Grade::Pinned) => (
            "TLS is enough only for domains with pin_mx, and all other mail will wait".to_owned(),
            "pin the MX hosts of your partners (policy.domain.pin_mx), or write \"protected\"",
        ),
        Some(grade) => (
            format!(
                "this version reaches grade pinned at most, {grade} is needed, and all mail will wait"
            ),
            "write \"protected\", and raise by rule",
        ),
        None => (
            "TLS is never enough for it, and all mail will wait".to_owned(),
            "write \"protected\", and raise by rule",
        ),
    };
    sheet.warn(
        config.policy_places.find("", 0, "base"),
        format!("policy.base = \"{base}\": {why}"),
        mend,
    );
}

/// Exceptions that end soon; of those that have ended, the policy itself warns.
fn exceptions(config: &Config, now: Timestamp, sheet: &mut Sheet<'_>) {
    for (number, exception) in config.policy.exceptions.iter().enumerate() {
        let active = state(&config.policy, exception, now) == RegisterState::Active;
        if active && now + ENDS_SOON > exception.expires {
            sheet.warn(
                config.policy_places.find("exception", number, "expires"),
                format!(
                    "policy.exception.expires: the exception for {} ends at {}",
                    shown(&exception.recipient),
                    exception.expires
                ),
                "have its owner decide whether it goes on",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granted_and_asked_meet_where_an_address_is_in_both() {
        for (granted, asked, expected) in [
            ("jo@a.example", "JO@a.example", true),
            ("jo@a.example", "*@a.example", true),
            ("jo@a.example", "*@*.a.example", false),
            ("jo@b.a.example", "*@*.a.example", true),
            ("*@a.example", "jo@a.example", true),
            ("*@a.example", "*@*.example", true),
            ("*@a.example", "*@*.a.example", false),
            ("*@*.a.example", "*@a.example", false),
            ("*@*.a.example", "jo@b.a.example", true),
            ("*@*.a.example", "*@*.b.a.example", true),
            ("*@*.b.a.example", "*@*.a.example", true),
            ("*@*.a.example", "*@*.b.example", false),
        ] {
            let pattern: AddressPattern = granted.parse().unwrap();
            let met = meet(&pattern, &asked.parse().unwrap());
            assert_eq!(met, expected, "{granted} {asked}");
        }
    }
}
