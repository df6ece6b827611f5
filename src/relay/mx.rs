//! From MX records to the hosts to try, in order (RFC 5321 §5.1, RFC 7505). Pure.

use super::shuffle::Shuffle;
use crate::mail::Domain;
use crate::world::dns::Mx;

/// Most hosts that one attempt considers.
pub const MAX_HOSTS: usize = 20;

/// Why MX records lead nowhere, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoExchanger {
    /// The domain says that it takes no mail (RFC 7505 §3).
    NullMx,
    /// The best exchanger is this very host (RFC 5321 §5.1).
    Loop,
}

/// The hosts to try, best first.
pub(super) fn hosts(
    domain: &Domain,
    hostname: &Domain,
    mut records: Vec<Mx>,
    shuffle: &mut Shuffle,
) -> Result<Vec<Domain>, NoExchanger> {
    if records.is_empty() {
        // The implicit MX: the domain's own address.
        if domain == hostname {
            return Err(NoExchanger::Loop);
        }
        return Ok(vec![domain.clone()]);
    }
    let named = records.iter().any(|mx| mx.exchange.is_some());
    if !named {
        return Err(NoExchanger::NullMx);
    }
    shuffle.shuffle(&mut records);
    records.sort_by_key(|mx| mx.preference);
    let mut hosts = Vec::new();
    for Mx { exchange, .. } in exchangers_before(hostname, &records) {
        // A null MX beside others is a mistake (RFC 7505 §3) and names nobody.
        let Some(host) = exchange else {
            continue;
        };
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    hosts.truncate(MAX_HOSTS);
    if hosts.is_empty() {
        return Err(NoExchanger::Loop);
    }
    Ok(hosts)
}

/// RFC 5321 §5.1: where we are an exchanger ourselves, only better ones are asked.
fn exchangers_before<'a>(hostname: &Domain, sorted: &'a [Mx]) -> impl Iterator<Item = &'a Mx> {
    let ours = sorted
        .iter()
        .find(|mx| mx.exchange.as_ref() == Some(hostname))
        .map(|mx| mx.preference);
    sorted
        .iter()
        .take_while(move |mx| ours.is_none_or(|ours| mx.preference < ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn mx(preference: u16, host: &str) -> Mx {
        Mx {
            preference,
            exchange: (host != ".").then(|| domain(host)),
        }
    }

    fn ordered(records: Vec<Mx>, seed: u64) -> Result<Vec<String>, NoExchanger> {
        let hosts = hosts(
            &domain("b.example"),
            &domain("mail.clinic.example"),
            records,
            &mut Shuffle::new(seed),
        )?;
        Ok(hosts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn sorts_by_preference_and_shuffles_equals() {
        let records = || {
            vec![
                mx(20, "c.example"),
                mx(10, "a.example"),
                mx(30, "d.example"),
                mx(10, "b.example"),
                mx(30, "a.example"),
            ]
        };
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..32 {
            let order = ordered(records(), seed).unwrap();
            assert_eq!(order.len(), 4);
            assert_eq!(order[2..], ["c.example", "d.example"]);
            assert_eq!(ordered(records(), seed).unwrap(), order);
            firsts.insert(order[0].clone());
        }
        assert_eq!(firsts.len(), 2);
    }

    #[test]
    fn knows_the_implicit_and_the_null_mx() {
        assert_eq!(ordered(vec![], 0).unwrap(), ["b.example"]);
        assert_eq!(ordered(vec![mx(0, ".")], 0), Err(NoExchanger::NullMx));
        assert_eq!(
            ordered(vec![mx(0, "."), mx(10, "a.example")], 0).unwrap(),
            ["a.example"]
        );
    }

    #[test]
    fn asks_only_those_that_are_better_than_ourselves() {
        let ours = "mail.clinic.example";
        assert_eq!(ordered(vec![mx(10, ours)], 0), Err(NoExchanger::Loop));
        assert_eq!(
            ordered(
                vec![mx(10, ours), mx(10, "a.example"), mx(20, "c.example")],
                1
            ),
            Err(NoExchanger::Loop)
        );
        assert_eq!(
            ordered(
                vec![mx(10, ours), mx(5, "a.example"), mx(20, "c.example")],
                1
            )
            .unwrap(),
            ["a.example"]
        );
        let itself = hosts(&domain(ours), &domain(ours), vec![], &mut Shuffle::new(0));
        assert_eq!(itself, Err(NoExchanger::Loop));
    }

    #[test]
    fn caps_the_hosts() {
        for count in [19u16, 20, 21, 500] {
            let records = (0..count)
                .map(|n| mx(n, &format!("h{n}.example")))
                .collect();
            let order = ordered(records, 0).unwrap();
            assert_eq!(order.len(), usize::from(count).min(MAX_HOSTS));
            assert_eq!(order[0], "h0.example");
        }
    }
}
