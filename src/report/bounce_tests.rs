//! DSNs as another parser reads them, and hostile words that try to break out.

use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use super::*;
use crate::mail::{Grade, MessageClass, ReversePath, ShortHost};

const NOW: Timestamp = Timestamp::from_secs(1_795_307_407);
const HEADER: &str = concat!(
    "Received: from secret-host (192.0.2.9) by mail.clinic.example\r\n",
    "From: Jo Doe <jo@clinic.example>\r\n",
    "To: Kim\r\n <kim@tls.example>\r\n",
    "Subject: Result of the canary test\r\n",
    "Date: Sun, 22 Nov 2026 00:30:07 +0000\r\n",
    "Message-ID: <1@clinic.example>\r\n",
    "X-Patient: canary\r\n",
);

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn envelope(recipients: usize) -> Envelope {
    let address = |n| Address::parse(&format!("kim{n}@tls.example")).unwrap();
    Envelope {
        id: MessageId::new(7),
        class: MessageClass::Submitted,
        reverse_path: ReversePath::Address(Address::parse("jo@clinic.example").unwrap()),
        recipients: (0..recipients).map(address).collect(),
        author: None,
        message_id: "<1@clinic.example>".into(),
        client: None,
        received: NOW,
        size: 42,
        eight_bit: false,
        tags: Vec::new(),
        pickup: Default::default(),
    }
}

fn record(state: RecipientState, last: Option<Status>) -> RecipientRecord {
    RecipientRecord {
        state,
        attempts: 3,
        last,
        warned: false,
        released: Vec::new(),
        suspected_since: None,
    }
}

fn failed(record: &RecipientRecord, reason: Option<DeferReason>) -> FailedRecipient<'_> {
    FailedRecipient {
        recipient: 0,
        record,
        reason,
        outcome: None,
        last_attempt: Some(NOW),
        by_notice: false,
    }
}

/// The DSN about these recipients, as text.
fn dsn(kind: Kind, level: Level, header: &[u8], recipients: Vec<FailedRecipient<'_>>) -> String {
    let (hostname, original) = (domain("mail.clinic.example"), envelope(recipients.len()));
    let postmaster = Address::parse("postmaster@clinic.example").unwrap();
    let sender = Address::parse("jo@clinic.example").unwrap();
    let bounce = Bounce {
        id: MessageId::new(8),
        date: NOW,
        hostname: &hostname,
        postmaster: &postmaster,
        sender: &sender,
        kind,
        original: &original,
        header,
        level,
        recipients,
    };
    String::from_utf8(compose(&bounce)).unwrap()
}

fn said(class: u8) -> Status {
    let code = EnhancedCode::new(class, 1, 1);
    Status::remote(
        u16::from(class) * 100 + 50,
        code,
        "no such user",
        "mx.tls.example",
    )
}

/// The three parts, as another parser reads them.
fn parts(text: &str) -> [String; 3] {
    let message = MessageParser::default().parse(text.as_bytes()).unwrap();
    let kinds = [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ];
    let leaves: Vec<_> = message
        .parts
        .iter()
        .filter(|part| !matches!(part.body, PartType::Multipart(_)))
        .collect();
    assert_eq!(leaves.len(), 3, "{text}");
    let mut texts = leaves.iter().zip(kinds).map(|(part, kind)| {
        let found = part.content_type().unwrap();
        assert_eq!(
            format!("{}/{}", found.ctype(), found.subtype().unwrap()),
            kind
        );
        String::from_utf8(part.contents().to_vec()).unwrap()
    });
    std::array::from_fn(|_| texts.next().unwrap())
}

#[test]
fn a_refusal_is_told_to_people_and_machines() {
    let refused = record(RecipientState::Final(Final::Bounced), Some(said(5)));
    let text = dsn(
        Kind::Failed,
        Level::Protected,
        HEADER.as_bytes(),
        vec![failed(&refused, None)],
    );
    let message = MessageParser::default().parse(text.as_bytes()).unwrap();
    let report = message.content_type().unwrap();
    assert_eq!(
        (report.ctype(), report.subtype()),
        ("multipart", Some("report"))
    );
    assert_eq!(report.attribute("report-type"), Some("delivery-status"));
    let address = |address: Option<&mail_parser::Address<'_>>| {
        address
            .unwrap()
            .first()
            .unwrap()
            .address()
            .unwrap()
            .to_owned()
    };
    assert_eq!(address(message.from()), "postmaster@clinic.example");
    assert_eq!(address(message.to()), "jo@clinic.example");
    assert_eq!(
        message.message_id(),
        Some("0000000000008@mail.clinic.example")
    );
    assert_eq!(
        message.header_raw("Auto-Submitted").map(str::trim),
        Some("auto-replied")
    );
    assert_eq!(
        message.header_raw("In-Reply-To").map(str::trim),
        Some("<1@clinic.example>")
    );

    let [human, machine, header] = parts(&text);
    assert!(human.contains("<kim0@tls.example>"));
    assert!(human.contains("refused the message for good"));
    assert!(human.contains("mx.tls.example said: 550 5.1.1 no such user"));
    assert!(human.contains("0000000000007") && human.contains("postmaster@clinic.example"));
    for line in [
        "Reporting-MTA: dns; mail.clinic.example",
        "Final-Recipient: rfc822; kim0@tls.example",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.tls.example",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "Last-Attempt-Date: Sun, 22 Nov 2026 00:30:07 +0000",
    ] {
        assert!(
            machine.contains(&format!("{line}\r\n")),
            "{line} in {machine}"
        );
    }
    assert!(!machine.contains("Will-Retry-Until"));
    assert!(
        header.contains("To: Kim <kim@tls.example>\r\n"),
        "unfolded: {header}"
    );
}

#[test]
fn only_listed_fields_go_back_and_the_subject_only_at_the_lowest_level() {
    let refused = record(RecipientState::Final(Final::Bounced), Some(said(5)));
    for level in [
        Level::Protected,
        Level::Confidential,
        Level::Restricted,
        Level::Sealed,
    ] {
        let text = dsn(
            Kind::Failed,
            level,
            HEADER.as_bytes(),
            vec![failed(&refused, None)],
        );
        let [_, _, header] = parts(&text);
        let names: Vec<&str> = header
            .lines()
            .filter_map(|l| l.split_once(':'))
            .map(|l| l.0)
            .collect();
        let mut expected = vec!["From", "To", "Date", "Message-ID"];
        if level == Level::Protected {
            expected.push("Subject");
        }
        assert_eq!(names, expected, "{level}");
        assert_eq!(
            text.contains("canary"),
            level == Level::Protected,
            "{level}"
        );
        assert!(!text.contains("secret-host"));
    }
}

#[test]
fn the_want_of_security_is_explained() {
    let short = ShortHost {
        hop: Hop {
            next_hop: domain("tls.example"),
            mx: domain("mx.tls.example"),
            address: None,
            grade: Grade::Any,
            tls: None,
        },
        why: "the certificate has expired".into(),
    };
    let learnt = Status::local(EnhancedCode::new(4, 7, 10), "no host was good enough");
    let outcome = RecipientOutcome {
        recipient: 0,
        outcome: Outcome::Shortfall {
            required: Grade::Pkix,
            hosts: vec![short],
            status: learnt.clone(),
            expected: None,
        },
        hop: None,
        duplicate_possible: false,
    };
    let reason = DeferReason::Security;
    let waits = RecipientState::Deferred {
        reason,
        next_attempt: NOW,
    };
    let until = Timestamp::from_secs(1_795_653_007);
    for (kind, state, status) in [
        (
            Kind::Failed,
            RecipientState::Final(Final::Expired),
            "5.7.10",
        ),
        (Kind::Delayed { until }, waits, "4.7.10"),
    ] {
        let record = record(state, Some(learnt.clone()));
        let recipient = FailedRecipient {
            outcome: Some(&outcome),
            ..failed(&record, Some(reason))
        };
        let text = dsn(kind, Level::Protected, HEADER.as_bytes(), vec![recipient]);
        let [human, machine, _] = parts(&text);
        let human = human.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(human.contains("offers no verified encryption"), "{human}");
        assert!(
            human.contains("mx.tls.example: any, the certificate has expired"),
            "{human}"
        );
        assert!(human.contains("pkix or better"));
        assert!(
            machine.contains(&format!("Status: {status}\r\n")),
            "{machine}"
        );
        assert!(
            machine.contains("Diagnostic-Code: X-Sealpost; 4.7.10 no host was good enough\r\n")
        );
        assert!(machine.contains("Remote-MTA: dns; mx.tls.example\r\n"));
        let retried = "Will-Retry-Until: Thu, 26 Nov 2026 00:30:07 +0000\r\n";
        assert_eq!(machine.contains(retried), kind != Kind::Failed, "{machine}");
        assert_eq!(
            machine.contains("Action: delayed\r\n"),
            kind != Kind::Failed
        );
    }
}

#[test]
fn the_status_of_what_was_given_up() {
    let expired = RecipientState::Final(Final::Expired);
    let bounced = RecipientState::Final(Final::Bounced);
    let deferred = RecipientState::Deferred {
        reason: DeferReason::Temporary,
        next_attempt: NOW,
    };
    let delayed = Kind::Delayed { until: NOW };
    for (kind, state, last, reason, expected) in [
        (Kind::Failed, bounced.clone(), Some(5), None, "5.1.1"),
        (Kind::Failed, bounced, Some(4), None, "5.1.1"),
        (
            Kind::Failed,
            expired.clone(),
            Some(4),
            Some(DeferReason::Temporary),
            "5.4.7",
        ),
        (
            Kind::Failed,
            expired.clone(),
            Some(4),
            Some(DeferReason::Security),
            "5.7.10",
        ),
        (
            Kind::Failed,
            expired.clone(),
            Some(4),
            Some(DeferReason::DowngradeSuspected),
            "5.7.10",
        ),
        (Kind::Failed, expired, None, None, "5.4.7"),
        (delayed, deferred.clone(), Some(4), None, "4.1.1"),
        (delayed, deferred.clone(), None, None, "4.0.0"),
        (delayed, deferred, Some(5), None, "4.0.0"),
    ] {
        let record = record(state, last.map(said));
        assert_eq!(status(kind, &failed(&record, reason)).to_string(), expected);
    }
}

#[test]
fn a_thousand_recipients_are_all_in_the_report() {
    let refused = record(RecipientState::Final(Final::Bounced), Some(said(5)));
    let recipients = (0..1000)
        .map(|recipient| FailedRecipient {
            recipient,
            ..failed(&refused, None)
        })
        .collect();
    let text = dsn(
        Kind::Failed,
        Level::Protected,
        HEADER.as_bytes(),
        recipients,
    );
    let [human, machine, _] = parts(&text);
    assert_eq!(machine.matches("Final-Recipient:").count(), 1000);
    assert_eq!(human.matches("@tls.example>").count(), MAX_TOLD);
    assert!(human.contains("And 900 more"));
}

/// Text that tries to break out: line ends, boundaries, controls, fields.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\r\n\r\n".to_owned()),
        (0..3).prop_map(|n| format!("--=_sealpost_0000000000008_{n}_")),
        (0..3).prop_map(|n| format!("--=_sealpost_0000000000008_{n}_--")),
        Just("X-Injected: canary".to_owned()),
        Just("Content-Type: text/html".to_owned()),
        Just("\0\u{1b}[31m\u{2028}\u{e9}".to_owned()),
        Just(".".to_owned()),
        Just(" ".repeat(100)),
        "[ -~]{0,80}",
        Just("x".repeat(1200)),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever peers and clients say, the DSN has its own fields and three parts, is 7-bit, and
    /// every line is short and ends with CRLF.
    #[test]
    fn nothing_from_elsewhere_breaks_out(
        said in hostile(),
        host in hostile(),
        why in hostile(),
        subject in hostile(),
        from in hostile(),
        message_id in hostile(),
        code in prop::option::of(400u16..600),
    ) {
        // Straight into the public fields, past the cleaning of the constructors.
        let learnt = Status { code, enhanced: EnhancedCode::new(5, 7, 509), text: said, source: Source::Remote(host) };
        let hop = Hop { next_hop: domain("tls.example"), mx: domain("mx.tls.example"), address: None, grade: Grade::None, tls: None };
        let outcome = RecipientOutcome {
            recipient: 0,
            outcome: Outcome::Shortfall { required: Grade::Pkix, hosts: vec![ShortHost { hop, why }], status: learnt.clone(), expected: None,},
            hop: None,
            duplicate_possible: false,
        };
        let refused = record(RecipientState::Final(Final::Bounced), Some(learnt));
        let recipients = vec![
            FailedRecipient { outcome: Some(&outcome), ..failed(&refused, None) },
            FailedRecipient { recipient: 1, ..failed(&refused, None) },
        ];
        let header = format!("Subject: {subject}\r\nFrom: {from}\r\n");
        let folded = format!("Subject: {}\r\nFrom: {}\r\n", subject.replace('\n', "\n "), from.replace("\r\n", "\r\n\t"));
        for header in [header, folded] {
            let (hostname, mut original) = (domain("mail.clinic.example"), envelope(2));
            original.message_id.clone_from(&message_id);
            let postmaster = Address::parse("postmaster@clinic.example").unwrap();
            let sender = Address::parse("jo@clinic.example").unwrap();
            let bounce = Bounce {
                id: MessageId::new(8), date: NOW, hostname: &hostname, postmaster: &postmaster, sender: &sender,
                kind: Kind::Failed, original: &original, header: header.as_bytes(), level: Level::Protected,
                recipients: recipients.clone(),
            };
            let text = String::from_utf8(compose(&bounce)).unwrap();
            prop_assert!(text.is_ascii());
            prop_assert!(text.ends_with("\r\n"));
            for line in text.strip_suffix("\r\n").unwrap().split("\r\n") {
                prop_assert!(line.len() <= 998);
                prop_assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{:?}", line);
                prop_assert!(!line.starts_with("X-Injected") && !line.starts_with("Content-Type: text/html"));
            }
            prop_assert_eq!(text.matches("\r\n--").count(), 4);
            let [_, machine, returned] = parts(&text);
            prop_assert_eq!(machine.matches("\r\nFinal-Recipient: ").count(), 2);
            prop_assert_eq!(machine.matches("\r\n\r\n").count(), 2);
            prop_assert!(!returned.contains("\r\n\r\n"));
            let head = text.split("\r\n\r\n").next().unwrap();
            let fields = head.split("\r\n").filter(|line| !line.starts_with(' ')).count();
            prop_assert!(fields == 8 || fields == 10, "{}", head);
        }
    }
}
