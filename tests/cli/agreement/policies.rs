//! Policies at random: what an operator could write into `sealpost.toml`.
//!
//! Not every one is good: a rule may exclude itself, a section raise less than another. Who draws
//! asks the configuration, and draws again. What hangs on the hour keeps half an hour's distance
//! from now, and sizes keep theirs from what [`super::messages`] makes, so that a test cannot fall
//! between two facts.

use sealpost::mail::Timestamp;

use super::dice::Dice;
use super::{BILLING, DOMAINS, LISTENERS};

const LEVELS: [&str; 4] = ["protected", "confidential", "restricted", "sealed"];
const ACCOUNTS: [&str; 3] = ["dev", "billing", "research"];
/// Everything that a rule can ask for.
pub const CONDITIONS: [&str; 24] = [
    "sender",
    "sender_domain",
    "author",
    "author_domain",
    "user",
    "recipient",
    "recipient_domain",
    "subject",
    "header",
    "size_over",
    "attachment_name",
    "attachment_type",
    "listener",
    "client",
    "hours",
    "days",
    "visible_recipients_over",
    "lookalike",
    "group",
    "detector",
    "unscannable",
    "first_contact",
    "volume",
    "level",
];
/// Those behind are known too late for a rule that rejects.
const EARLY: usize = 19;

/// A policy, as text to put behind the rest of the configuration.
#[derive(Debug)]
pub struct Drawn {
    pub toml: String,
    /// Subject tags that it knows.
    pub tags: Vec<&'static str>,
    /// Whether it asks who has written to whom, ...
    pub first_contact: bool,
    /// ... and how much.
    pub volume: bool,
}

struct Draw<'d> {
    dice: &'d mut Dice,
    round: usize,
    now: Timestamp,
    base: usize,
    /// Minutes since local midnight, and the day of the week.
    local: (i64, usize),
    detectors: Vec<&'static str>,
    partners: bool,
    group: bool,
    toml: String,
}

/// Draws the policy of a round.
pub fn policy(dice: &mut Dice, round: usize, now: Timestamp) -> Drawn {
    let base = dice.one(&[0, 0, 0, 0, 0, 0, 1, 1, 2]);
    let mut draw = Draw {
        dice,
        round,
        now,
        base,
        local: (0, 0),
        detectors: Vec::new(),
        partners: false,
        group: false,
        toml: String::new(),
    };
    draw.top();
    draw.detectors();
    draw.accounts();
    draw.domains();
    let tags = draw.tags();
    draw.exceptions();
    let rules = draw.dice.below(8);
    for number in 0..rules {
        draw.rule(number);
    }
    Drawn {
        first_contact: draw.toml.contains("first_contact = true"),
        volume: draw.toml.contains("volume = {"),
        tags,
        toml: draw.toml,
    }
}

/// A TOML list of words.
fn list(words: &[&str]) -> String {
    format!("{words:?}")
}

impl Draw<'_> {
    fn line(&mut self, line: impl AsRef<str>) {
        self.toml.push_str(line.as_ref());
        self.toml.push('\n');
    }

    fn level(&mut self) -> &'static str {
        self.dice.one(&LEVELS)
    }

    /// A level that raises something.
    fn above_base(&mut self) -> &'static str {
        let above = LEVELS.len() - self.base - 1;
        // The lower ones more often: what is sealed goes nowhere.
        let first = self.dice.below(above);
        LEVELS[self.base + 1 + first.min(self.dice.below(above))]
    }

    fn methods(&mut self) -> String {
        let all = self.dice.some(&["tls", "smime", "portal"], 3);
        match self.dice.chance(75) {
            true => list(&["tls", "smime", "portal"]),
            false => list(&all),
        }
    }

    fn top(&mut self) {
        let base = LEVELS[self.base];
        self.line(format!("[policy]\nbase = \"{base}\""));
        let methods = self.methods();
        self.line(format!("methods = {methods}"));
        for key in ["unscannable", "media"] {
            if self.dice.chance(40) {
                let level = self.dice.one(&["off", "protected", "restricted", "sealed"]);
                self.line(format!("{key} = \"{level}\""));
            }
        }
        self.clock();
        if self.dice.chance(50) {
            self.partners = true;
            // weak.test and tls.test look like these; smime.test is one.
            self.line("partners = [\"vveak.test\", \"smime.test\", \"t1s.test\"]");
        }
    }

    /// A local time that is not about to cross midnight.
    fn clock(&mut self) {
        let minutes = i64::try_from(self.now.as_secs() / 60).unwrap();
        // The same number of choices at any time of the day.
        let zones = [(0, "+00:00"), (345, "+05:45"), (-480, "-08:00")];
        let first = self.dice.below(zones.len());
        let calm = |offset: i64| (60..1380).contains(&(minutes + offset).rem_euclid(1440));
        let mut zones = zones.iter().cycle().skip(first);
        let (offset, text) = zones.find(|(offset, _)| calm(*offset)).unwrap();
        let local = minutes + offset;
        // 1 January 1970 was a Thursday.
        let day = usize::try_from((local.div_euclid(1440) + 3).rem_euclid(7)).unwrap();
        self.local = (local.rem_euclid(1440), day);
        self.line(format!("utc_offset = \"{text}\""));
    }

    fn detectors(&mut self) {
        self.line("[policy.detectors]");
        for name in ["us-ssn", "mrn", "payment-card"] {
            match self.dice.below(5) {
                0 | 1 => self.line(format!("{name} = \"off\"")),
                2 => {
                    let level = self.level();
                    self.line(format!("{name} = \"{level}\""));
                    self.detectors.push(name);
                }
                _ => self.detectors.push(name),
            }
        }
        if self.dice.chance(50) {
            let level = self.level();
            self.line(format!("[[policy.dictionary]]\nname = \"projects\"\nwords = [\"Apollo\"]\nraise = \"{level}\""));
            self.detectors.push("projects");
        }
        if self.dice.chance(50) {
            let level = self.level();
            self.line(format!("[[policy.pattern]]\nname = \"case-number\"\nregex = '\\bCASE-[0-9]{{6}}\\b'\nraise = \"{level}\""));
            self.detectors.push("case-number");
        }
    }

    /// What sections of accounts and domains may say.
    fn terms(&mut self) {
        if self.dice.chance(30) {
            let level = self.above_base();
            self.line(format!("raise = \"{level}\""));
        }
        if self.dice.chance(12) {
            self.line("tls_not_enough = true");
        }
        if self.dice.chance(15) {
            self.line("require_pq = true");
        }
    }

    fn accounts(&mut self) {
        if self.dice.chance(60) {
            self.group = true;
            let members = list(&self.dice.some(&ACCOUNTS, 2));
            self.line(format!(
                "[[policy.group]]\nname = \"staff\"\nmembers = {members}"
            ));
            self.terms();
        }
        if self.dice.chance(25) {
            let account = self.dice.one(&ACCOUNTS);
            self.line(format!("[[policy.user]]\nname = \"{account}\""));
            self.terms();
        }
    }

    fn domains(&mut self) {
        for domain in DOMAINS {
            if !self.dice.chance(35) {
                continue;
            }
            self.line(format!("[[policy.domain]]\nname = \"{domain}\""));
            self.terms();
            if self.dice.chance(25) {
                let methods = self.methods();
                self.line(format!("methods = {methods}"));
            }
            match self.dice.below(6) {
                0 | 1 => self.line(format!("pin_mx = [\"mx.{domain}\"]")),
                2 => self.line(format!("pin_mx = [\"*.{domain}\", \"mx.other.test\"]")),
                3 => self.line("pin_mx = [\"mx.other.test\"]"),
                _ => {}
            }
        }
        if self.dice.chance(15) {
            self.line("[[policy.domain]]\nname = \"*.test\"");
            self.terms();
        }
    }

    fn tags(&mut self) -> Vec<&'static str> {
        if self.dice.chance(50) {
            return vec!["[secure]", "[Restricted]"];
        }
        let tags = self.dice.some(&["[secure]", "#vault", "[v]"], 3);
        for tag in &tags {
            let level = self.level();
            self.line(format!(
                "[[policy.tag]]\ntext = \"{tag}\"\nraise = \"{level}\""
            ));
        }
        tags
    }

    fn exceptions(&mut self) {
        let scopes = [
            "fax@smime.test",
            "fax@weak.test",
            "portal.test",
            "weak.test",
            "fax@portal.test",
            "tls.test",
        ];
        if !self.dice.chance(80) {
            return;
        }
        for scope in self.dice.some(&scopes, 4) {
            let allow = match scope.ends_with("weak.test") {
                true => self.dice.one(&["any", "none", "none", "none"]),
                false => self.dice.one(&["any", "any", "none"]),
            };
            self.line(format!(
                "[[policy.exception]]\nrecipient = \"{scope}\"\nallow = \"{allow}\"\nowner = \"jo@dev.test\"\nreason = \"patient-request\""
            ));
            if !scope.contains('@') {
                self.line("second_owner = \"kim@dev.test\"");
            }
            if self.dice.chance(70) {
                let level = self.dice.one(&["protected", "confidential", "restricted"]);
                self.line(format!("max_level = \"{level}\""));
            }
            let expires = self.dice.one(&[
                "2999-01-31",
                "2999-01-31",
                "2999-01-31T12:00:00Z",
                "2020-01-31",
            ]);
            self.line(format!("expires = {expires}"));
        }
    }

    fn rule(&mut self, number: usize) {
        let rejects = self.dice.chance(12);
        let known = match rejects {
            true => &CONDITIONS[..EARLY],
            false => &CONDITIONS[..],
        };
        let most = self.dice.one(&[1, 1, 2]);
        let mut kinds = self.dice.some(known, most);
        // Chance alone would leave some out.
        let turn = known[(self.round * 4 + number) % known.len()];
        kinds.retain(|kind| *kind != turn);
        kinds.insert(0, turn);
        kinds.truncate(3);
        kinds.retain(|kind| match *kind {
            "group" => self.group,
            "lookalike" => self.partners,
            "detector" => !self.detectors.is_empty(),
            _ => true,
        });
        let leveled = kinds.contains(&"level");
        if kinds.is_empty() {
            return;
        }
        let when: Vec<String> = kinds.iter().map(|kind| self.condition(kind)).collect();
        // The name shows what matched.
        let name = format!("{number}: {}", kinds.join("+"));
        let when = when.join(", ");
        self.line(format!(
            "[[policy.rule]]\nname = \"{name}\"\nwhen = {{ {when} }}"
        ));
        if rejects {
            return self.line(format!("reject = \"Not this way ({number})\""));
        }
        let action = self.dice.below(10);
        if action < 4 && !leveled {
            let level = self.above_base();
            self.line(format!("raise = \"{level}\""));
        }
        if action == 4 || (action == 3 && number == 0) {
            self.line("hold = true");
        }
        if action > 4 || (leveled && action < 4) {
            self.line("alert = true");
        }
    }

    fn words(&mut self, of: &[&str]) -> String {
        match self.dice.some(of, 2).as_slice() {
            [one] => format!("{one:?}"),
            several => list(several),
        }
    }

    fn condition(&mut self, kind: &str) -> String {
        let people = ["you@dev.test", "lab@dev.test", "*@dev.test", "*@*.dev.test"];
        let value = match kind {
            "sender" | "author" => self.words(&people),
            "sender_domain" | "author_domain" => self.words(&["dev.test", "*.test", "else.test"]),
            "user" => self.words(&ACCOUNTS),
            "group" => "\"staff\"".to_owned(),
            "recipient" => self.words(&[
                "FAX@smime.test",
                "fax@weak.test",
                "*@weak.test",
                "*@tls.test",
                "*@*.test",
                "known@tls.test",
            ]),
            "recipient_domain" => self.words(&[DOMAINS[0], DOMAINS[1], DOMAINS[3], "*.test"]),
            "subject" => self.words(&["(?i)result", "^Re: ", "K\u{e4}se|biopsy", "^$", "secure"]),
            "header" => self
                .dice
                .one(&[
                    "{ X-Project = \"^apollo$\" }",
                    "{ X-Project = \"\" }",
                    "{ X-Project = [\"^gemini\", \"lo$\"], Date = \"\" }",
                    "{ x-sealpost-level = \"\" }",
                    "{ To = \"(?i)fax@\" }",
                ])
                .to_owned(),
            "size_over" => self.words_one(&["8 KiB", "8 KiB", "40 KiB", "2 MiB"]),
            "attachment_name" => self.words(&["(?i)\\.csv$", "^r.sum\u{e9}", ".", "\\.exe$"]),
            "attachment_type" => {
                self.words(&["text/csv", "application/*", "image/png", "text/plain"])
            }
            "detector" => {
                let detectors = self.detectors.clone();
                self.words(&detectors)
            }
            "listener" => self.words(&LISTENERS),
            "client" => self.words(&["127.0.0.0/8", "127.0.0.8/29", "127.0.0.1", "::/0"]),
            "hours" => self.hours(),
            "days" => {
                let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
                let (today, any) = (days[self.local.1], self.dice.one(&days));
                let other = self.words(&days);
                match self.dice.chance(70) {
                    true => list(&[today, any]),
                    false => other,
                }
            }
            "visible_recipients_over" => self.dice.one(&["1", "2", "4"]).to_owned(),
            "volume" => {
                let most = self.dice.one(&[10, 50, 100, 300]);
                let within = self.dice.one(&["1h", "1d"]);
                format!("{{ recipients_over = {most}, within = \"{within}\" }}")
            }
            "level" => {
                let level = self.above_base();
                format!("{level:?}")
            }
            "lookalike" | "unscannable" | "first_contact" => "true".to_owned(),
            unknown => panic!("no condition: {unknown}"),
        };
        format!("{kind} = {value}")
    }

    fn words_one(&mut self, of: &[&str]) -> String {
        format!("{:?}", self.dice.one(of))
    }

    /// Hours that neither begin nor end about now.
    fn hours(&mut self) -> String {
        let near = |at: i64| {
            let away = (at - self.local.0).rem_euclid(1440);
            !(20..=1420).contains(&away)
        };
        let mut edge = || {
            let at = i64::try_from(self.dice.below(24)).unwrap() * 60;
            if near(at) { (at + 60) % 1440 } else { at }
        };
        let drawn = (edge(), edge());
        let hour = self.local.0 / 60 * 60;
        let (from, to) = match self.dice.chance(60) {
            // Whatever the time is when this is tried, some hours are now.
            true => ((hour + 22 * 60) % 1440, (hour + 3 * 60) % 1440),
            false => drawn,
        };
        let to = if from == to { (to + 120) % 1440 } else { to };
        let to = if near(to) { (to + 60) % 1440 } else { to };
        format!("\"{:02}:00-{:02}:00\"", from / 60, to / 60)
    }
}

/// Asks who has written to whom, and nothing else.
pub fn first_contacts() -> String {
    format!(
        "[[policy.rule]]\nname = \"first\"\nwhen = {{ first_contact = true, user = \"{BILLING}\" }}\nalert = true\n"
    )
}
