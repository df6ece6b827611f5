//! The documented file and the reader cannot drift apart.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

const DOCUMENTED: &str = include_str!("../../conf/sealpost.toml");

/// The documented file with every commented key switched on.
fn all_switched_on() -> String {
    let mut text = String::new();
    for line in DOCUMENTED.lines() {
        // `#key = value` and `#[section]` are examples; `# text` is prose.
        let example = line.strip_prefix('#').filter(|rest| {
            rest.starts_with('[') || rest.starts_with(|c: char| c.is_ascii_lowercase())
        });
        text.push_str(example.unwrap_or(line));
        text.push('\n');
    }
    text
}

fn keys_of(prefix: &str, table: &toml::Table, into: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            toml::Value::Table(table) => keys_of(&path, table, into),
            toml::Value::Array(entries) => {
                for entry in entries {
                    if let toml::Value::Table(table) = entry {
                        keys_of(&path, table, into);
                    }
                }
            }
            _ => {}
        }
        into.insert(path);
    }
}

#[test]
fn the_documented_file_reads_as_it_stands() {
    let mut sheet = Sheet::new(Path::new("sealpost.toml"), DOCUMENTED);
    let config = parse(&mut sheet);
    assert_eq!(sheet.into_problems(), Problems::default());
    assert_eq!(config.unwrap().hostname.as_str(), "mail.clinic.example");
}

#[test]
fn every_documented_key_is_read_and_every_key_is_documented() {
    let text = all_switched_on();
    let mut sheet = Sheet::new(Path::new("sealpost.toml"), &text);
    let config = parse(&mut sheet);
    let asked = sheet.asked.clone();
    assert_eq!(sheet.into_problems().to_string(), "");
    assert!(config.is_some());
    let mut documented = BTreeSet::new();
    keys_of("", &text.parse().unwrap(), &mut documented);
    assert_eq!(asked, documented);
}

#[test]
fn documented_defaults_are_the_defaults() {
    let minimal = "hostname = \"mail.clinic.example\"\nmaster_key = \"k\"\npostmaster = \"p@clinic.example\"\n[[listener]]\naddress = \"0.0.0.0:465\"\ntls = \"implicit\"\n[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n[auth]\nusers = \"u\"\n";
    let mut sheet = Sheet::new(Path::new("sealpost.toml"), minimal);
    let config = parse(&mut sheet).unwrap();
    let mut written = Sheet::new(Path::new("/etc/sealpost/sealpost.toml"), DOCUMENTED);
    let documented = parse(&mut written).unwrap();
    assert_eq!(config.data_directory.value, documented.data_directory.value);
    assert_eq!(config.limits, documented.limits);
    assert_eq!(config.relay.port, documented.relay.port);
    assert_eq!(config.retry, documented.retry);
    assert_eq!(config.log_delivery, documented.log_delivery);
    assert_eq!(config.log_level, documented.log_level);
    assert_eq!(config.admin_socket, documented.admin_socket);
    assert_eq!(config.policy, documented.policy);
    assert_eq!(config.detectors, documented.detectors);
    assert_eq!(config.record_retention, documented.record_retention);
}

#[test]
fn documented_defaults_of_the_portal_are_the_defaults() {
    let text = all_switched_on();
    let mut sheet = Sheet::new(Path::new("/etc/sealpost/sealpost.toml"), &text);
    let documented = parse(&mut sheet).unwrap().portal.unwrap();
    let minimal = "[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n[portal]\nmaster_key = \"k\"\naddress = \"0.0.0.0:443\"\nurl = \"https://secure.clinic.example\"\nname = \"x\"\n";
    let mut sheet = Sheet::new(Path::new("sealpost.toml"), minimal);
    // What runs alone needs no more than this.
    let portal = sections::read_portal(&mut sheet).unwrap().portal;
    assert_eq!(sheet.into_problems(), Problems::default());
    assert_eq!(portal.directory.value, documented.directory.value);
    assert_eq!(portal.notice_from, documented.notice_from);
    assert_eq!(portal.expire_after, documented.expire_after);
    assert_eq!(portal.remind_after, documented.remind_after);
    assert_eq!(portal.unread_after, documented.unread_after);
    assert_eq!(portal.language, documented.language);
    assert_eq!(portal.session, documented.session);
    assert_eq!(portal.idle, documented.idle);
    assert_eq!(portal.code_life, documented.code_life);
    assert_eq!(portal.mailbox_messages, documented.mailbox_messages);
    assert_eq!(portal.replies, documented.replies);
    assert_eq!(portal.reply_size, documented.reply_size);
    let data = Path::new("/var/lib/sealpost");
    assert_eq!(portal.socket.value, data.join("portal.sock"));
    assert_eq!(portal.mail_socket.value, data.join("mail.sock"));
    assert!(portal.write_to.is_empty() && portal.reply_types.is_empty());
    assert!(portal.clamd.is_none() && portal.access_log.is_none() && portal.sms.is_none());
}

#[test]
fn the_portal_alone_reads_the_file_of_both() {
    let text = all_switched_on();
    let mut sheet = Sheet::new(Path::new("/etc/sealpost/sealpost.toml"), &text);
    let config = sections::read_portal(&mut sheet).unwrap();
    assert_eq!(sheet.into_problems(), Problems::default());
    assert_eq!(config.portal.name, "Example Clinic");
    assert!(config.tls.is_some());
}

#[test]
fn any_text_is_answered_with_problems_and_no_panic() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(256), |(text in "(\\[{0,2}[a-z.]{0,8}\\]{0,2}|[a-z]{1,9} = [\\PC]{0,12}|\\PC{0,9})(\n(\\[\\[?(listener|tls|relay.route|dkim|policy)\\]\\]?|(address|tls|domain|methods|port) = (1|true|\"[a-z:.]{0,9}\"|\\[[1\"x,]{0,4}\\])|\\PC{0,9})){0,6}")| {
        let mut sheet = Sheet::new(Path::new("any.toml"), &text);
        let config = parse(&mut sheet);
        let problems = sheet.into_problems();
        // Whatever it is, hostname is missing from it.
        prop_assert!(config.is_none());
        prop_assert!(problems.are_fatal());
    });
}
