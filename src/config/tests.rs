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
