//! Dialogs with the client session: what it writes, and when it refuses to.

use std::time::Duration;

use proptest::prelude::*;

use super::grade::tests::{domain_facts, handshake, reference};
use super::*;
use crate::mail::{Address, Demand, Domain, Level, Rendition, ReversePath, VerifiedBy};

const NOW: Timestamp = Timestamp::from_secs(100);
const EHLO_TLS: &str = "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 8BITMIME\r\n";
const EHLO_BARE: &str = "250 mx.example\r\n";

fn settings() -> Settings {
    Settings {
        hostname: Domain::parse("mail.clinic.example").unwrap(),
        opening: Opening::Starttls,
        reference: reference("mx.example"),
        credentials: None,
        timeouts: Timeouts::default(),
    }
}

fn rendition() -> Rendition {
    content_of(Level::Protected)
}

fn content_of(level: Level) -> Rendition {
    let prefix = b"DKIM-Signature: x\r\n".to_vec();
    let demand = Demand::content(level).unwrap();
    Rendition::content(demand, Terms::default(), prefix, vec![]).unwrap()
}

fn mail(recipients: usize) -> Mail {
    let address = |name: String| Address::parse(&name).unwrap();
    Mail {
        reverse_path: ReversePath::Address(address("a@clinic.example".to_owned())),
        recipients: (0..recipients)
            .map(|n| address(format!("r{n}@b.example")))
            .collect(),
        size: 6,
        eight_bit: false,
    }
}

/// Everything the session wants now: octets as text, and the event, of which there is one at most.
fn drain(session: &mut dyn Session) -> (String, Option<Output>) {
    let mut wire = String::new();
    let mut event = None;
    while let Some(output) = session.poll_output() {
        match output {
            Output::Write(octets) => wire.push_str(std::str::from_utf8(&octets).unwrap()),
            other => assert_eq!(event.replace(other), None),
        }
    }
    (wire, event)
}

fn say(session: &mut dyn Session, octets: &str) -> (String, Option<Output>) {
    session.handle(NOW, Input::Received(octets.as_bytes()));
    drain(session)
}

fn failure(event: Option<Output>) -> Failure {
    match event {
        Some(Output::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn report(event: Option<Output>) -> Report {
    match event {
        Some(Output::Finished(report)) => report,
        other => panic!("{other:?}"),
    }
}

fn upgraded(settings: Settings) -> Client {
    let mut client = Client::new(settings, NOW);
    assert_eq!(drain(&mut client), (String::new(), None));
    assert_eq!(
        say(&mut client, "220 mx.example\r\n").0,
        "EHLO mail.clinic.example\r\n"
    );
    let (wire, _) = say(&mut client, "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n");
    assert_eq!(wire, "STARTTLS\r\n");
    let (wire, event) = say(&mut client, "220 go\r\n");
    assert_eq!((wire.as_str(), event), ("", Some(Output::StartTls)));
    client
}

fn established(verified: VerifiedBy, ehlo: &str) -> Client {
    let mut client = upgraded(settings());
    client.handle(NOW, Input::Secured(handshake("mx.example", verified)));
    assert_eq!(drain(&mut client).0, "EHLO mail.clinic.example\r\n");
    assert_eq!(
        say(&mut client, ehlo),
        (String::new(), Some(Output::Established))
    );
    client
}

fn begin<'c>(client: &'c mut Client, rendition: &'c Rendition, mail: Mail) -> Transfer<'c> {
    let permit = client
        .permit(NOW, rendition, &domain_facts("mx.example"))
        .unwrap();
    assert_eq!(permit.grade(), Grade::Pkix);
    permit.begin(NOW, mail).unwrap()
}

fn refused(phase: Phase, reply: (u16, &str)) -> RecipientResult {
    RecipientResult::Refused {
        phase,
        reply: Reply::new(reply.0, reply.1),
    }
}

#[test]
fn pipelines_one_message() {
    let mut client = established(VerifiedBy::Pkix, EHLO_TLS);
    let rendition = rendition();
    let mut transfer = begin(&mut client, &rendition, mail(2));
    assert_eq!(
        drain(&mut transfer).0,
        "MAIL FROM:<a@clinic.example> SIZE=25\r\nRCPT TO:<r0@b.example>\r\n\
         RCPT TO:<r1@b.example>\r\nDATA\r\n"
    );
    let (wire, event) = say(
        &mut transfer,
        "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n",
    );
    assert_eq!(wire, "DKIM-Signature: x\r\n");
    assert_eq!(event, Some(Output::SendContent));
    transfer.content(NOW, b".x\r\n").unwrap();
    assert!(!transfer.is_past_content());
    transfer.end(NOW).unwrap();
    assert!(transfer.is_past_content());
    assert_eq!(drain(&mut transfer).0, "..x\r\n.\r\n");
    let (_, event) = say(&mut transfer, "250 2.0.0 queued\r\n");
    let report = report(event);
    assert_eq!(report.broken, None);
    assert_eq!(
        report.results,
        [
            RecipientResult::Delivered(Reply::new(250, "2.0.0 queued")),
            refused(Phase::Recipient, (550, "5.1.1 no")),
        ]
    );
    assert!(client.is_idle());
    client.quit(NOW);
    assert_eq!(drain(&mut client).0, "QUIT\r\n");
    assert_eq!(say(&mut client, "221 bye\r\n").1, Some(Output::Closed));
}

#[test]
fn goes_step_by_step_where_pipelining_is_not_offered_in_tls() {
    let mut client = established(VerifiedBy::Pkix, EHLO_BARE);
    let rendition = rendition();
    let mut transfer = begin(&mut client, &rendition, mail(1));
    assert_eq!(drain(&mut transfer).0, "MAIL FROM:<a@clinic.example>\r\n");
    assert_eq!(
        say(&mut transfer, "250 ok\r\n").0,
        "RCPT TO:<r0@b.example>\r\n"
    );
    assert_eq!(say(&mut transfer, "250 ok\r\n").0, "DATA\r\n");
    assert_eq!(
        say(&mut transfer, "354 go\r\n").1,
        Some(Output::SendContent)
    );
    transfer.content(NOW, b"x").unwrap();
    transfer.end(NOW).unwrap();
    assert_eq!(drain(&mut transfer).0, "x\r\n.\r\n");
    let (_, event) = say(&mut transfer, "451 4.3.0 later\r\n");
    assert_eq!(
        report(event).results,
        [refused(Phase::EndOfData, (451, "4.3.0 later"))]
    );
}

#[test]
fn octets_behind_the_220_to_starttls_are_an_attack() {
    for behind in ["250 injected\r\n", "2", "\0"] {
        let mut client = Client::new(settings(), NOW);
        say(&mut client, "220 mx\r\n");
        say(&mut client, "250-mx\r\n250 STARTTLS\r\n");
        let (wire, event) = say(&mut client, &format!("220 go\r\n{behind}"));
        let failure = failure(event);
        assert_eq!(failure.cause, Cause::Injection);
        assert_eq!(failure.phase, Phase::Handshake);
        assert_eq!(wire, "", "no TLS, no QUIT");
    }
    // The same in a segment of its own, should the driver feed it.
    let mut client = upgraded(settings());
    assert_eq!(
        failure(say(&mut client, "250 x\r\n").1).cause,
        Cause::Injection
    );
    let rendition = rendition();
    assert!(
        client
            .permit(NOW, &rendition, &domain_facts("mx.example"))
            .is_err()
    );
}

#[test]
fn answers_to_commands_not_yet_sent_end_the_session() {
    for ahead in [
        "250-mx\r\n250 STARTTLS\r\n220 go\r\n",
        "250-mx\r\n250 STARTTLS\r\n22",
    ] {
        let mut client = Client::new(settings(), NOW);
        say(&mut client, "220 mx\r\n");
        let (wire, event) = say(&mut client, ahead);
        assert_eq!(failure(event).cause, Cause::OutOfTurn, "{ahead:?}");
        assert_eq!(wire, "");
    }
    let mut client = Client::new(settings(), NOW);
    let (wire, event) = say(&mut client, "220 mx\r\n250 hello\r\n");
    assert_eq!(failure(event).cause, Cause::OutOfTurn);
    assert_eq!(wire, "");
    let mut client = established(VerifiedBy::Pkix, EHLO_TLS);
    assert_eq!(
        failure(say(&mut client, "250 hello\r\n").1).cause,
        Cause::OutOfTurn
    );
    let mut client = established(VerifiedBy::Pkix, EHLO_TLS);
    assert!(matches!(
        failure(say(&mut client, "421 idle too long\r\n").1).cause,
        Cause::Refused(_)
    ));
}

#[test]
fn without_tls_there_is_no_permit_and_no_mail() {
    for (answers, expected) in [
        (&["250 mx\r\n"][..], "offers no STARTTLS"),
        (
            &["250-mx\r\n250 STARTTLS\r\n", "454 4.7.0 no\r\n"],
            "answered 454 to STARTTLS (no)",
        ),
        (
            &["250-mx\r\n250 STARTTLS\r\n", "502 5.5.1 what\r\n"],
            "answered 502 to STARTTLS (what)",
        ),
        (
            &["502 5.5.1 what\r\n"],
            "answered 502 to EHLO and so offers no STARTTLS",
        ),
    ] {
        let mut client = Client::new(settings(), NOW);
        say(&mut client, "220 mx\r\n");
        let mut last = None;
        for answer in answers {
            last = say(&mut client, answer).1;
        }
        assert_eq!(last, Some(Output::Established));
        let rendition = rendition();
        let Err(short) = client.permit(NOW, &rendition, &domain_facts("mx.example")) else {
            panic!("a permit without TLS");
        };
        assert_eq!(short.reached, Grade::None);
        assert_eq!(short.required, Grade::Pkix);
        assert_eq!(short.lack.to_string(), expected);
        assert_eq!(drain(&mut client), (String::new(), None));
    }
}

#[test]
fn the_grade_is_checked_for_every_transaction() {
    let mut client = established(VerifiedBy::Pkix, EHLO_TLS);
    let rendition = rendition();
    assert!(
        client
            .permit(NOW, &rendition, &domain_facts("mx.example"))
            .is_ok()
    );
    let other = client.permit(NOW, &rendition, &domain_facts("mx.other.example"));
    assert_eq!(other.err().unwrap().lack, Lack::OtherReference);
    let late = client.permit(
        Timestamp::from_secs(2000),
        &rendition,
        &domain_facts("mx.example"),
    );
    assert_eq!(late.err().unwrap().lack, Lack::Expired);
    let stronger = content_of(Level::Restricted);
    let short = client.permit(NOW, &stronger, &domain_facts("mx.example"));
    assert_eq!(short.err().unwrap().lack, Lack::Grade(Grade::Pkix));
    let mut any = established(VerifiedBy::Nothing("expired".into()), EHLO_TLS);
    assert!(
        any.permit(NOW, &rendition, &domain_facts("mx.example"))
            .is_err()
    );
    assert_eq!(drain(&mut any).0, "");
}

fn with_password(verified: VerifiedBy, ehlo: &str) -> (Client, (String, Option<Output>)) {
    let mut settings = settings();
    settings.credentials = Some(Credentials::new("us", "hunter2".to_owned()).unwrap());
    let mut client = upgraded(settings);
    client.handle(NOW, Input::Secured(handshake("mx.example", verified)));
    drain(&mut client);
    let said = say(&mut client, ehlo);
    (client, said)
}

#[test]
fn authenticates_only_to_a_verified_peer() {
    let ehlo = "250-mx\r\n250 AUTH LOGIN PLAIN\r\n";
    let (mut client, (wire, _)) = with_password(VerifiedBy::Pkix, ehlo);
    assert_eq!(wire, "AUTH PLAIN AHVzAGh1bnRlcjI=\r\n");
    assert_eq!(say(&mut client, "235 ok\r\n").1, Some(Output::Established));
    let rendition = rendition();
    assert!(
        client
            .permit(NOW, &rendition, &domain_facts("mx.example"))
            .is_ok()
    );

    let (mut client, (wire, event)) = with_password(VerifiedBy::Nothing("x".into()), ehlo);
    assert_eq!((wire.as_str(), event), ("", Some(Output::Established)));
    assert!(
        client
            .permit(NOW, &rendition, &domain_facts("mx.example"))
            .is_err()
    );

    let (mut client, (wire, _)) = with_password(VerifiedBy::Pkix, "250-mx\r\n250 AUTH LOGIN\r\n");
    assert_eq!(wire, "AUTH LOGIN\r\n");
    assert_eq!(say(&mut client, "334 VXNlcm5hbWU6\r\n").0, "dXM=\r\n");
    assert_eq!(
        say(&mut client, "334 UGFzc3dvcmQ6\r\n").0,
        "aHVudGVyMg==\r\n"
    );
    let (wire, event) = say(&mut client, "535 5.7.8 no\r\n");
    assert_eq!(wire, "QUIT\r\n");
    assert!(matches!(failure(event).cause, Cause::Refused(_)));

    let (_, (_, event)) = with_password(VerifiedBy::Pkix, "250-mx\r\n250 AUTH GSSAPI\r\n");
    assert_eq!(failure(event).cause, Cause::NoMechanism);
}

#[test]
fn too_many_recipients_are_left_over_and_only_those() {
    let mut client = established(VerifiedBy::Pkix, EHLO_TLS);
    let rendition = rendition();
    let mut transfer = begin(&mut client, &rendition, mail(6));
    drain(&mut transfer);
    say(
        &mut transfer,
        "250 ok\r\n452 4.5.3 none yet\r\n250 ok\r\n452 4.5.3 too many\r\n452 4.3.1 disk\r\n\
         552 5.5.3 too many\r\n452 too many\r\n354 go\r\n",
    );
    transfer.end(NOW).unwrap();
    drain(&mut transfer);
    let results = report(say(&mut transfer, "250 ok\r\n").1).results;
    assert!(matches!(results[0], RecipientResult::Refused { .. }));
    assert!(matches!(results[1], RecipientResult::Delivered(_)));
    assert_eq!(results[2], RecipientResult::Leftover);
    assert!(matches!(results[3], RecipientResult::Refused { .. }));
    assert_eq!(results[4], RecipientResult::Leftover);
    assert_eq!(results[5], RecipientResult::Leftover);
}

#[test]
fn a_354_for_nobody_gets_a_lone_dot() {
    for replies in [
        "250 ok\r\n550 a\r\n550 b\r\n354 go\r\n",
        "550 no\r\n503 a\r\n503 b\r\n354 go\r\n",
    ] {
        let mut client = established(VerifiedBy::Pkix, EHLO_TLS);
        let rendition = rendition();
        let mut transfer = begin(&mut client, &rendition, mail(2));
        drain(&mut transfer);
        let (wire, event) = say(&mut transfer, replies);
        assert_eq!((wire.as_str(), event), (".\r\n", None));
        let report = report(say(&mut transfer, "250 odd\r\n").1);
        assert_eq!(report.broken, None);
        for result in report.results {
            let RecipientResult::Refused { reply, .. } = result else {
                panic!("{result:?}");
            };
            assert_eq!(reply.code(), 550);
        }
        assert!(client.is_idle());
    }
}

#[test]
fn resets_before_the_next_mail_where_something_is_left_behind() {
    for ehlo in [EHLO_TLS, EHLO_BARE] {
        let mut client = established(VerifiedBy::Pkix, ehlo);
        let rendition = rendition();
        let mut transfer = begin(&mut client, &rendition, mail(1));
        drain(&mut transfer);
        say(&mut transfer, "250 ok\r\n");
        let (_, mut event) = say(&mut transfer, "550 no\r\n");
        if ehlo == EHLO_TLS {
            event = say(&mut transfer, "503 no\r\n").1;
        }
        assert_eq!(
            report(event).results,
            [refused(Phase::Recipient, (550, "no"))]
        );
        let mut transfer = begin(&mut client, &rendition, mail(1));
        assert!(drain(&mut transfer).0.starts_with("RSET\r\n"));
        let (_, event) = say(&mut transfer, "500 what\r\n");
        let report = report(event);
        assert_eq!(report.results, [RecipientResult::Unsettled]);
        assert_eq!(report.broken.unwrap().phase, Phase::Reset);
    }
}

/// Everything up to the given phase, then the connection ends.
fn broken_in(phase: Phase, input: Input<'_>) -> Report {
    let mut client = established(VerifiedBy::Pkix, EHLO_BARE);
    let rendition = rendition();
    let mut transfer = begin(&mut client, &rendition, mail(1));
    drain(&mut transfer);
    for (step, reply) in [
        (Phase::Mail, "250 ok\r\n"),
        (Phase::Recipient, "250 ok\r\n"),
        (Phase::Data, "354 ok\r\n"),
    ] {
        if step < phase {
            say(&mut transfer, reply);
        }
    }
    if phase >= Phase::Content {
        transfer.content(NOW, b"half\r\n").unwrap();
        drain(&mut transfer);
    }
    if phase >= Phase::EndOfData {
        transfer.end(NOW).unwrap();
        drain(&mut transfer);
    }
    transfer.handle(NOW, input);
    let report = report(drain(&mut transfer).1);
    assert_eq!(report.broken.as_ref().unwrap().phase, phase);
    report
}

#[test]
fn only_the_end_of_data_leaves_a_doubt() {
    for phase in [Phase::Mail, Phase::Recipient, Phase::Data, Phase::Content] {
        assert_eq!(
            broken_in(phase, Input::Closed).results,
            [RecipientResult::Unsettled]
        );
        assert_eq!(
            broken_in(phase, Input::TimedOut).results,
            [RecipientResult::Unsettled]
        );
    }
    for input in [
        Input::Closed,
        Input::TimedOut,
        Input::Received(b"garbage\r\n"),
    ] {
        assert_eq!(
            broken_in(Phase::EndOfData, input).results,
            [RecipientResult::InDoubt]
        );
    }
    assert_eq!(
        broken_in(Phase::EndOfData, Input::Received(b"421 4.3.2 bye\r\n")).results,
        [refused(Phase::EndOfData, (421, "4.3.2 bye"))]
    );
    assert_eq!(
        broken_in(Phase::Content, Input::Received(b"552 5.3.4 enough\r\n")).results,
        [refused(Phase::Content, (552, "5.3.4 enough"))]
    );
    assert_eq!(
        broken_in(Phase::Content, Input::Received(b"250 already\r\n")).results,
        [RecipientResult::Unsettled]
    );
    assert_eq!(
        broken_in(Phase::Recipient, Input::Received(b"421 bye\r\n")).results,
        [RecipientResult::Unsettled]
    );
}

#[test]
fn content_that_cannot_be_ended_is_not_ended() {
    let mut client = established(VerifiedBy::Pkix, EHLO_TLS);
    let rendition = rendition();
    let mut transfer = begin(&mut client, &rendition, mail(1));
    drain(&mut transfer);
    say(&mut transfer, "250 ok\r\n250 ok\r\n354 go\r\n");
    assert_eq!(transfer.content(NOW, b"a\n.\nb"), Err(BareLineEnd));
    let (wire, event) = drain(&mut transfer);
    assert_eq!(wire, "");
    assert_eq!(report(event).results, [RecipientResult::Unsettled]);
    transfer.end(NOW).unwrap();
    assert_eq!(drain(&mut transfer), (String::new(), None));
}

#[test]
fn says_nothing_about_content_that_does_not_fit() {
    let mut client = established(VerifiedBy::Pkix, "250-mx\r\n250 SIZE 20\r\n");
    let rendition = rendition();
    let domain = domain_facts("mx.example");
    let permit = client.permit(NOW, &rendition, &domain).unwrap();
    assert_eq!(
        permit.begin(NOW, mail(1)).err(),
        Some(Unfit::TooLarge {
            size: 25,
            limit: 20
        })
    );
    let permit = client.permit(NOW, &rendition, &domain).unwrap();
    let eight_bit = Mail {
        eight_bit: true,
        size: 0,
        ..mail(1)
    };
    assert_eq!(permit.begin(NOW, eight_bit).err(), Some(Unfit::EightBit));
    assert_eq!(drain(&mut client), (String::new(), None));
    assert!(client.is_idle());
}

#[test]
fn a_dripping_reply_is_late_as_a_whole() {
    let mut client = Client::new(settings(), NOW);
    let deadline = client.poll_timeout().unwrap();
    assert_eq!(deadline, NOW + Duration::from_secs(300));
    for (second, octet) in b"220 mx.example".iter().enumerate() {
        let now = NOW + Duration::from_secs(second as u64);
        client.handle(now, Input::Received(&[*octet]));
        assert_eq!(client.poll_timeout(), Some(deadline));
    }
    client.handle(deadline, Input::TimedOut);
    assert_eq!(failure(drain(&mut client).1).cause, Cause::TimedOut);
}

#[test]
fn the_greeting_decides() {
    for (greeting, quits) in [
        ("554 5.3.2 no mail here\r\n", true),
        ("421 4.3.2 busy\r\n", false),
        ("450 4.3.2 busy\r\n", true),
    ] {
        let mut client = Client::new(settings(), NOW);
        let (wire, event) = say(&mut client, greeting);
        assert_eq!(wire, if quits { "QUIT\r\n" } else { "" });
        assert!(matches!(failure(event).cause, Cause::Refused(_)));
    }
    let mut client = Client::new(settings(), NOW);
    assert!(matches!(
        failure(say(&mut client, "250 hello\r\n").1).cause,
        Cause::Unexpected(_)
    ));
    let mut client = Client::new(settings(), NOW);
    let endless = "220-x\r\n".repeat(500);
    assert_eq!(
        failure(say(&mut client, &endless).1).cause,
        Cause::Protocol(reply::ReplyError::TooLong)
    );
}

#[test]
fn implicit_tls_says_nothing_before_the_handshake() {
    let mut settings = settings();
    settings.opening = Opening::Implicit;
    let mut client = Client::new(settings.clone(), NOW);
    assert_eq!(drain(&mut client), (String::new(), Some(Output::StartTls)));
    assert_eq!(
        failure(say(&mut client, "220 mx\r\n").1).cause,
        Cause::Injection
    );
    let mut client = Client::new(settings, NOW);
    drain(&mut client);
    client.handle(
        NOW,
        Input::Secured(handshake("mx.example", VerifiedBy::Pkix)),
    );
    assert_eq!(drain(&mut client).0, "");
    assert_eq!(
        say(&mut client, "220 mx\r\n").0,
        "EHLO mail.clinic.example\r\n"
    );
    assert_eq!(say(&mut client, EHLO_TLS).1, Some(Output::Established));
}

#[test]
fn facts_that_nobody_asked_for_are_not_believed() {
    let mut client = Client::new(settings(), NOW);
    let facts = handshake("mx.example", VerifiedBy::Pkix);
    client.handle(NOW, Input::Secured(facts));
    assert_eq!(failure(drain(&mut client).1).cause, Cause::Abandoned);
}

/// What a hostile server might say next.
fn server_words() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(
        prop_oneof![
            Just("220 x\r\n".to_owned()),
            Just("250 x\r\n".to_owned()),
            Just("250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n".to_owned()),
            Just("354 x\r\n".to_owned()),
            Just("421 x\r\n".to_owned()),
            Just("452 x\r\n".to_owned()),
            Just("550 x\r\n".to_owned()),
            Just("235 x\r\n".to_owned()),
            "[ -~\r\n]{0,6}",
        ],
        0..14,
    )
}

proptest! {
    /// Whatever a server says, and however often the driver tries: no MAIL without a verified
    /// handshake, every recipient has a result, and what ended stays ended.
    #[test]
    fn no_dialog_brings_mail_onto_an_unverified_channel(
        words in server_words(),
        verified in any::<bool>(),
        count in 1usize..4,
    ) {
        let mut client = Client::new(settings(), NOW);
        let rendition = rendition();
        let mut wire = String::new();
        let mut secured = false;
        for word in &words {
            client.handle(NOW, Input::Received(word.as_bytes()));
            let mut ready = false;
            while let Some(output) = client.poll_output() {
                match output {
                    Output::Write(octets) => wire.push_str(std::str::from_utf8(&octets).unwrap()),
                    Output::StartTls => {
                        secured = verified;
                        let by = if verified { VerifiedBy::Pkix } else { VerifiedBy::Nothing(String::new()) };
                        client.handle(NOW, Input::Secured(handshake("mx.example", by)));
                    }
                    Output::Established => ready = true,
                    Output::Finished(report) => prop_assert_eq!(report.results.len(), count),
                    Output::SendContent | Output::Failed(_) | Output::Closed => {}
                }
            }
            if ready && let Ok(permit) = client.permit(NOW, &rendition, &domain_facts("mx.example")) {
                prop_assert!(permit.begin(NOW, mail(count)).is_ok());
            }
        }
        prop_assert!(secured || !wire.contains("MAIL"), "{}", wire);
        client.handle(NOW, Input::Closed);
        while client.poll_output().is_some() {}
        prop_assert_eq!(client.poll_timeout(), None);
    }
}
