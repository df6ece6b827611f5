//! The policy as the operator wrote it: plain, checked data, one type a table of the file.
//!
//! Made by `config` (or by a test), compiled by [`super::Policy::compile`]. Its canonical text is
//! what the policy's hash stands for: the order of rules, sections and list entries that mean the
//! same whatever their order does not change it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mail::{AddressPattern, Allowance, Domain, DomainPattern, Level, Method, Timestamp};

/// Everything that the policy says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicySource {
    /// The least level of everything.
    pub base: Level,
    /// Methods in the order of least friction, where a domain does not say otherwise.
    pub methods: Vec<Method>,
    /// Whether the portal is configured.
    pub portal: bool,
    /// Whether S/MIME is configured.
    pub smime: bool,
    /// How long a suspected downgrade is waited out before another method is considered.
    pub downgrade_hold: Duration,
    /// Minutes that local time is ahead of UTC, for conditions on the time; −840 to 840.
    pub utc_offset_minutes: i32,
    /// Domains that are written to on purpose: what looks like one of them is suspicious.
    pub partners: Vec<Domain>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Recipients' domains.
    pub domains: Vec<DomainSection>,
    /// Groups of accounts.
    pub groups: Vec<GroupSection>,
    /// Accounts.
    pub users: Vec<UserSection>,
    /// Subject tags.
    pub tags: Vec<SubjectTag>,
    /// The register of exceptions.
    pub exceptions: Vec<Exception>,
    /// Detectors that run, by name, and the level each asks for. A dictionary or pattern of the
    /// operator stands here under its name.
    pub detectors: BTreeMap<String, Level>,
    /// What the operator's own dictionaries, patterns and lists say, by name: a digest, so that
    /// the policy's hash covers them.
    pub detector_digests: BTreeMap<String, String>,
    /// The level that something unreadable asks for; `None` switches it off.
    pub unscannable: Option<Level>,
    /// The same for pictures, sound and film.
    pub media: Option<Level>,
}

impl Default for PolicySource {
    /// What an empty `[policy]` means: everything `protected`, by TLS.
    fn default() -> Self {
        Self {
            base: Level::Protected,
            methods: vec![Method::Tls],
            portal: false,
            smime: false,
            downgrade_hold: Duration::from_secs(4 * 60 * 60),
            utc_offset_minutes: 0,
            partners: Vec::new(),
            rules: Vec::new(),
            domains: Vec::new(),
            groups: Vec::new(),
            users: Vec::new(),
            tags: Vec::new(),
            exceptions: Vec::new(),
            detectors: BTreeMap::new(),
            detector_digests: BTreeMap::new(),
            unscannable: None,
            media: None,
        }
    }
}

/// What a message or a recipient must be like. All conditions of a rule must hold; of the values
/// of one condition, one must.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The reverse-path.
    Sender(Vec<AddressPattern>),
    /// Its domain.
    SenderDomain(Vec<DomainPattern>),
    /// The address in From.
    Author(Vec<AddressPattern>),
    /// Its domain.
    AuthorDomain(Vec<DomainPattern>),
    /// The account.
    User(Vec<String>),
    /// A group that the account is in.
    Group(Vec<String>),
    /// The recipient.
    Recipient(Vec<AddressPattern>),
    /// Its domain.
    RecipientDomain(Vec<DomainPattern>),
    /// The decoded Subject matches this regular expression.
    Subject(String),
    /// A decoded field of this name matches this regular expression.
    Header {
        /// The field's name; case does not matter.
        name: String,
        /// The expression; `""` matches whenever the field is there.
        pattern: String,
    },
    /// More octets than this.
    SizeOver(u64),
    /// The name of an attachment matches this regular expression.
    AttachmentName(String),
    /// The declared type of a part: `application/pdf`, or `image/*`.
    AttachmentType(Vec<String>),
    /// The address of the listener, as the configuration writes it.
    Listener(Vec<String>),
    /// The network of the client.
    Client(Vec<Network>),
    /// Accepted between these minutes of the day, the end excluded; over midnight where the end is
    /// not after the beginning.
    Hours {
        /// From, in minutes since midnight.
        from: u16,
        /// To.
        to: u16,
    },
    /// Accepted on one of these days: 0 is Monday.
    Days(Vec<u8>),
    /// One of these detectors fired.
    Detector(Vec<String>),
    /// Something could not be read.
    Unscannable,
    /// The recipient's domain looks like a partner's and is none.
    LookAlike,
    /// More addresses than this in To and Cc.
    VisibleRecipientsOver(u32),
    /// Nothing was ever sent from this sender to this recipient.
    FirstContact,
    /// The account wrote to more recipients than this, this message included.
    UserVolumeOver {
        /// Recipients.
        recipients: u64,
        /// Within this time; at most a day.
        within: Duration,
    },
    /// The level is at least this, after all that raises. Only with hold and alert.
    Level(Level),
}

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// Bits of the prefix.
    pub prefix: u8,
}

/// A rule. It raises, holds, rejects or alerts; nothing in it can lower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name, in decisions and logs; unique.
    pub name: String,
    /// When it applies. Never empty.
    pub when: Vec<Condition>,
    /// To at least this level.
    pub raise: Option<Level>,
    /// For a person to release.
    pub hold: bool,
    /// At the end of DATA, with this text.
    pub reject: Option<String>,
    /// Tells the operator.
    pub alert: bool,
}

/// What is said of recipients' domains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainSection {
    /// Which.
    pub name: DomainPattern,
    /// To at least this level.
    pub raise: Option<Level>,
    /// Methods in their order here.
    pub methods: Option<Vec<Method>>,
    /// Whether content never goes by TLS alone.
    pub tls_not_enough: bool,
    /// The only MX hosts that are used; empty for all.
    pub pin_mx: Vec<DomainPattern>,
    /// Whether the key exchange must withstand a quantum computer.
    pub require_pq: bool,
}

/// What is said of some accounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupSection {
    /// Its name; unique.
    pub name: String,
    /// Accounts.
    pub members: Vec<String>,
    /// To at least this level.
    pub raise: Option<Level>,
    /// Whether content of these accounts never goes by TLS alone.
    pub tls_not_enough: bool,
    /// Whether the key exchange must withstand a quantum computer.
    pub require_pq: bool,
}

/// What is said of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserSection {
    /// The account.
    pub name: String,
    /// To at least this level.
    pub raise: Option<Level>,
    /// Whether its content never goes by TLS alone.
    pub tls_not_enough: bool,
    /// Whether the key exchange must withstand a quantum computer.
    pub require_pq: bool,
}

/// A mark that senders may put into the Subject. It is taken out at the door.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectTag {
    /// The mark, such as `[secure]`; case does not matter.
    pub text: String,
    /// To at least this level.
    pub raise: Level,
}

/// An entry of the register of exceptions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exception {
    /// An exact address, or a whole domain, which needs a second owner.
    pub recipient: ExceptionScope,
    /// The lowest grade.
    pub allow: Allowance,
    /// Inert above this level.
    pub max_level: Level,
    /// Who answers for it.
    pub owner: String,
    /// Who else does.
    pub second_owner: Option<String>,
    /// A reason code.
    pub reason: String,
    /// What the recipient was told, word for word.
    pub warning: Option<String>,
    /// Inert from this moment on.
    pub expires: Timestamp,
}

/// Whom an exception is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionScope {
    /// One address.
    Address(crate::mail::Address),
    /// Every address of a domain, not of what lies below it.
    Domain(Domain),
}
