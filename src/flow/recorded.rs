//! What a record keeps of the facts that a decision was made from.
//!
//! Owns what is kept, its bounds and its form: JSON, sealed by whoever writes the record. Of the
//! header it keeps the Subject and the fields that the policy in force looks at, of the parts
//! their types and names. What does not fit is kept as unknown, never as absent: a policy that is
//! replayed over the record then says that it cannot tell. Never keeps a body.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mail::{Address, Decision, Envelope, SecretBytes, Timestamp};
use crate::policy::source::Condition;
use crate::policy::{HeaderFacts, MessageFacts, PartFacts, Policy, RecipientFacts};
use crate::report::DecisionRecord;
use crate::report::decisions::{CitedPolicy, Decided};

/// Most octets of header values in a record.
pub const MAX_HEADER_OCTETS: usize = 16 * 1024;
/// Most octets of the types and names of parts in a record.
pub const MAX_PARTS_OCTETS: usize = 16 * 1024;
/// The one field that is kept whether a rule looks at it or not.
const SUBJECT: &str = "subject";

/// The facts of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedFacts {
    /// Of the message.
    pub message: MessageFacts,
    /// Of its recipients, in the order of the decision.
    pub recipients: Vec<RecipientFacts>,
}

impl RecordedFacts {
    /// Reads what [`Recorder::record`] kept; `None` if it is not that.
    pub fn read(facts: &SecretBytes) -> Option<Self> {
        serde_json::from_slice(facts.expose()).ok()
    }

    /// The facts of a recipient.
    pub fn of(&self, address: &Address) -> Option<&RecipientFacts> {
        self.recipients.iter().find(|it| it.address == *address)
    }
}

/// Makes records of a policy's decisions. Made once per policy.
#[derive(Debug, Clone)]
pub struct Recorder {
    cited: CitedPolicy,
    /// Names of header fields that are kept, in lower case.
    fields: Arc<BTreeSet<String>>,
}

impl Recorder {
    /// For decisions of `policy`.
    pub fn new(policy: &Policy) -> Result<Self, serde_json::Error> {
        let source = policy.source();
        let conditions = source.rules.iter().flat_map(|rule| &rule.when);
        let looked_at = conditions.filter_map(|condition| match condition {
            Condition::Header { name, .. } => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        Ok(Self {
            cited: CitedPolicy {
                hash: Arc::clone(policy.hash()),
                source: serde_json::to_string(source)?.into(),
            },
            fields: Arc::new(looked_at.chain([SUBJECT.to_owned()]).collect()),
        })
    }

    /// The record of `decisions`, which stand in the order of `recipients`.
    pub fn record(
        &self,
        now: Timestamp,
        envelope: &Envelope,
        message: &MessageFacts,
        recipients: &[RecipientFacts],
        decisions: &[Arc<Decision>],
    ) -> Result<DecisionRecord, serde_json::Error> {
        let facts = RecordedFacts {
            message: self.reduced(message),
            recipients: recipients.to_vec(),
        };
        Ok(DecisionRecord {
            time: now,
            queue_id: envelope.id,
            sender: envelope.reverse_path.clone(),
            policy: self.cited.clone(),
            decided: grouped(recipients, decisions),
            facts: SecretBytes::new(serde_json::to_vec(&facts)?),
        })
    }

    fn reduced(&self, message: &MessageFacts) -> MessageFacts {
        MessageFacts {
            header: self.header(&message.header),
            parts: message.parts.as_deref().and_then(parts),
            class: message.class,
            sender: message.sender.clone(),
            author: message.author.clone(),
            user: message.user.clone(),
            listener: message.listener.clone(),
            client: message.client,
            received: message.received,
            size: message.size,
            tags: message.tags.clone(),
            findings: message.findings.clone(),
        }
    }

    fn header(&self, header: &HeaderFacts) -> HeaderFacts {
        let covered = |name: &String| match &header.only {
            Some(only) => only.contains(name),
            None => true,
        };
        let mut room = MAX_HEADER_OCTETS;
        let (mut fields, mut only) = (Vec::new(), Vec::new());
        for name in self.fields.iter().filter(|name| covered(name)) {
            let of_name = header.fields.iter().filter(|(field, _)| field == name);
            let octets: usize = of_name.clone().map(|(_, value)| value.len()).sum();
            if let Some(left) = room.checked_sub(octets) {
                room = left;
                only.push(name.clone());
                fields.extend(of_name.cloned());
            }
        }
        HeaderFacts {
            fields,
            only: Some(only),
            visible_recipients: header.visible_recipients,
        }
    }
}

/// All of them, or unknown.
fn parts(parts: &[PartFacts]) -> Option<Vec<PartFacts>> {
    let octets = |part: &PartFacts| {
        let names: usize = part.names().map(str::len).sum();
        part.kind.len().saturating_add(names).saturating_add(16)
    };
    let total: usize = parts.iter().map(octets).sum();
    (total <= MAX_PARTS_OCTETS).then(|| parts.to_vec())
}

/// Each distinct decision with its recipients, in the order of the first of each.
fn grouped(recipients: &[RecipientFacts], decisions: &[Arc<Decision>]) -> Vec<Decided> {
    let mut places: BTreeMap<*const Decision, usize> = BTreeMap::new();
    let mut groups: Vec<Decided> = Vec::new();
    for (recipient, decision) in recipients.iter().zip(decisions) {
        // Equal decisions are one object; where they are not, the record is only longer.
        let place = *places.entry(Arc::as_ptr(decision)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.recipients.push(recipient.address.clone()),
            None => groups.push(Decided {
                recipients: vec![recipient.address.clone()],
                decision: Arc::clone(decision),
            }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{
        CertificateFact, CertificateProblem, Findings, Fingerprint, Level, MessageClass, MessageId,
        ReversePath,
    };
    use crate::policy::PolicySource;
    use crate::policy::source::Rule;

    const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);

    fn facts() -> MessageFacts {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        MessageFacts {
            class: MessageClass::Submitted,
            sender: ReversePath::Address(Address::parse("lab@clinic.example").unwrap()),
            author: None,
            user: Some("lab".to_owned()),
            listener: None,
            client: None,
            received: NOW,
            size: 1000,
            tags: Vec::new(),
            header: HeaderFacts {
                fields: vec![
                    field("subject", "Your result"),
                    field("x-ward", "7"),
                    field("x-ward", "8"),
                    field("comments", "none of anybody's business"),
                ],
                only: None,
                visible_recipients: Some(2),
            },
            parts: Some(vec![PartFacts {
                kind: "application/pdf".to_owned(),
                name: Some("result.pdf".to_owned()),
                other_name: None,
            }]),
            findings: Some(Findings::default()),
        }
    }

    fn recorder(fields: &[&str]) -> Recorder {
        let rule = |name: &&str| Rule {
            name: format!("looks at {name}"),
            when: vec![Condition::Header {
                name: (*name).to_owned(),
                pattern: "x".to_owned(),
            }],
            raise: Some(Level::Confidential),
            hold: false,
            reject: None,
            alert: false,
        };
        let source = PolicySource {
            rules: fields.iter().map(rule).collect(),
            ..PolicySource::default()
        };
        Recorder::new(&Policy::compile(source).unwrap()).unwrap()
    }

    fn names(header: &HeaderFacts) -> Vec<&str> {
        header.only.iter().flatten().map(String::as_str).collect()
    }

    #[test]
    fn keeps_the_subject_and_what_the_policy_looks_at() {
        let kept = recorder(&["X-Ward"]).reduced(&facts());
        assert_eq!(names(&kept.header), ["subject", "x-ward"]);
        let values: Vec<_> = kept
            .header
            .fields
            .iter()
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(values, ["Your result", "7", "8"]);
        assert_eq!(kept.header.visible_recipients, Some(2));
        assert_eq!(kept.parts, facts().parts);
        // A field that is looked at and not there is known not to be there.
        let kept = recorder(&["X-Absent"]).reduced(&facts());
        assert_eq!(names(&kept.header), ["subject", "x-absent"]);
    }

    #[test]
    fn what_was_not_looked_at_or_does_not_fit_is_unknown() {
        let mut unread = facts();
        unread.header = HeaderFacts {
            only: Some(Vec::new()),
            ..HeaderFacts::default()
        };
        assert_eq!(
            names(&recorder(&["x-ward"]).reduced(&unread).header),
            [""; 0]
        );
        let mut long = facts();
        let value = "7".repeat(MAX_HEADER_OCTETS + 1);
        long.header.fields.push(("x-ward".to_owned(), value));
        let name = "n".repeat(MAX_PARTS_OCTETS);
        long.parts.as_mut().unwrap()[0].name = Some(name);
        let kept = recorder(&["x-ward"]).reduced(&long);
        assert_eq!(names(&kept.header), ["subject"]);
        assert_eq!(kept.header.fields.len(), 1);
        assert_eq!(kept.parts, None);
    }

    #[test]
    fn comes_back_with_recipients_by_decision() {
        let recorder = recorder(&[]);
        let envelope = Envelope {
            id: MessageId::new(7),
            class: MessageClass::Submitted,
            reverse_path: facts().sender,
            recipients: Vec::new(),
            author: None,
            message_id: String::new(),
            client: None,
            received: NOW,
            size: 1000,
            eight_bit: false,
            tags: Vec::new(),
            pickup: Default::default(),
        };
        let address = |n: usize| Address::parse(&format!("r{n}@partner.example")).unwrap();
        let mut recipients: Vec<_> = (0..3)
            .map(|n| RecipientFacts::new(address(n), NOW))
            .collect();
        // What was known of certificates is kept too, or S/MIME could not be decided again.
        recipients[0].certificate = CertificateFact::Pinned;
        recipients[0].certificate_name = Some(Fingerprint::new([7; 32]));
        recipients[1].certificate_problem = Some(CertificateProblem::Revoked);
        recipients[2].unsealable = true;
        let policy = Policy::compile(PolicySource::default()).unwrap();
        let one = policy.decide(&facts(), &recipients[..1]).remove(0);
        let other = Arc::new(Decision::clone(&one));
        let decisions = [Arc::clone(&one), other, one];
        let record = recorder
            .record(NOW, &envelope, &facts(), &recipients, &decisions)
            .unwrap();
        let groups: Vec<_> = record
            .decided
            .iter()
            .map(|group| group.recipients.clone())
            .collect();
        assert_eq!(groups, [vec![address(0), address(2)], vec![address(1)]]);
        let read = RecordedFacts::read(&record.facts).unwrap();
        assert_eq!(read.recipients, recipients);
        assert_eq!(read.of(&address(1)), Some(&recipients[1]));
        // The policy of the record can be compiled again, and is the same.
        let source: PolicySource = serde_json::from_str(&record.policy.source).unwrap();
        let again = Policy::compile(source).unwrap();
        assert_eq!(*again.hash(), record.policy.hash);
    }
}
