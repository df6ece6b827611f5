//! The trace field (RFC 5321 §4.4, protocol names RFC 3848).

use std::net::IpAddr;

use super::Arrival;
use crate::mail::Domain;

/// Our `Received` field. It names neither recipients (they may be blind) nor the account.
pub(super) fn field(arrival: &Arrival) -> String {
    let address = match arrival.address {
        Some(IpAddr::V4(address)) => format!(" ([{address}])"),
        Some(IpAddr::V6(address)) => format!(" ([IPv6:{address}])"),
        None => String::new(),
    };
    let tls = arrival.tls.as_ref().map_or_else(String::new, |tls| {
        format!(
            "\r\n\t(version={} cipher={} group={})",
            tls.version, tls.cipher, tls.group
        )
    });
    format!(
        "Received: from {}{address}\r\n\tby {} with {} id {}{tls};\r\n\t{}\r\n",
        arrival.hello.name,
        arrival.hostname,
        protocol(arrival),
        arrival.id,
        arrival.received.to_rfc5322(),
    )
}

fn protocol(arrival: &Arrival) -> &'static str {
    match (
        arrival.hello.extended,
        arrival.tls.is_some(),
        arrival.authenticated,
    ) {
        (false, _, _) => "SMTP",
        (true, false, false) => "ESMTP",
        (true, false, true) => "ESMTPA",
        (true, true, false) => "ESMTPS",
        (true, true, true) => "ESMTPSA",
    }
}

/// Whether a `Received` value says that `hostname` wrote it.
pub(super) fn is_by(value: &str, hostname: &Domain) -> bool {
    // Every `by`, since a client chooses what stands after `from`.
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    words.windows(2).any(|pair| match pair {
        [by, host] => {
            by.eq_ignore_ascii_case("by")
                && host
                    .trim_end_matches(';')
                    .eq_ignore_ascii_case(hostname.as_str())
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_name_is_found_behind_every_by() {
        let ours = Domain::parse("mail.clinic.example").unwrap();
        for (value, by_us) in [
            ("from a by mail.clinic.example with ESMTP; today", true),
            ("from by (by x) by MAIL.clinic.example; today", true),
            ("from mail.clinic.example by b.example; today", false),
            ("by", false),
            ("", false),
        ] {
            assert_eq!(is_by(value, &ours), by_us, "{value}");
        }
    }
}
