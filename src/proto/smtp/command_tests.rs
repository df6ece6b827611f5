//! Tests of the command parser.

use proptest::prelude::*;

use super::*;

fn mail_of(line: &str) -> Result<Mail, CommandError> {
    match parse(line.as_bytes())? {
        Command::Mail(mail) => Ok(mail),
        other => panic!("{other:?}"),
    }
}

fn address_of(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn verbs_in_any_case() {
    for (line, command) in [
        (
            "ehlo Client.Example",
            Command::Ehlo("Client.Example".into()),
        ),
        ("HELO [192.0.2.1]", Command::Helo("[192.0.2.1]".into())),
        (
            "EHLO [IPv6:2001:db8::1]",
            Command::Ehlo("[IPv6:2001:db8::1]".into()),
        ),
        ("EHLO DESKTOP_12", Command::Ehlo("DESKTOP_12".into())),
        ("Data", Command::Data),
        ("RSET", Command::Rset),
        ("QUIT", Command::Quit),
        ("StartTLS", Command::StartTls),
        ("NOOP", Command::Noop),
        ("NOOP any thing", Command::Noop),
        ("HELP", Command::Help),
        ("VRFY jo", Command::Vrfy),
    ] {
        assert_eq!(parse(line.as_bytes()), Ok(command), "{line}");
    }
}

#[test]
fn what_is_no_command() {
    for (line, error) in [
        ("", CommandError::Unknown),
        (" EHLO x", CommandError::Unknown),
        ("XYZZY", CommandError::Unknown),
        ("EHLO\tx", CommandError::Unknown),
        ("MAILFROM:<a@b.example>", CommandError::Unknown),
        ("averyveryverylongverb x", CommandError::Unknown),
        ("EXPN list", CommandError::NotImplemented),
        ("TURN", CommandError::NotImplemented),
        ("BDAT 10 LAST", CommandError::Chunking),
        ("GET / HTTP/1.1", CommandError::Http),
        ("POST / HTTP/1.1", CommandError::Http),
        ("PRI * HTTP/2.0", CommandError::Http),
    ] {
        assert_eq!(parse(line.as_bytes()), Err(error), "{line}");
    }
}

#[test]
fn arguments_where_none_belong_and_the_other_way_round() {
    for line in [
        "DATA x",
        "DATA ",
        "RSET x",
        "QUIT now",
        "STARTTLS x",
        "EHLO",
        "EHLO ",
        "HELO",
        "EHLO a b",
        "EHLO a ",
        "EHLO (x)",
        "EHLO a;b",
        "VRFY",
        "VRFY ",
        "MAIL",
        "RCPT",
        "AUTH",
        "AUTH ",
        "AUTH PLAIN ",
        "AUTH PLAIN a b",
        "AUTH P!AIN",
        "AUTH ABCDEFGHIJKLMNOPQRSTU",
    ] {
        assert!(
            matches!(parse(line.as_bytes()), Err(CommandError::Syntax(_))),
            "{line}: {:?}",
            parse(line.as_bytes())
        );
    }
    assert!(parse(format!("EHLO {}", "a".repeat(255)).as_bytes()).is_ok());
    assert!(parse(format!("EHLO {}", "a".repeat(256)).as_bytes()).is_err());
}

#[test]
fn one_space_is_tolerated_and_nothing_else() {
    let jo = ReversePath::Address(address_of("jo@clinic.example"));
    for line in [
        "MAIL FROM:<jo@clinic.example>",
        "mail from:<jo@Clinic.Example>",
        "MAIL FROM: <jo@clinic.example>",
    ] {
        assert_eq!(mail_of(line).unwrap().reverse_path, jo, "{line}");
    }
    assert_eq!(
        mail_of("MAIL FROM:<>").unwrap().reverse_path,
        ReversePath::Null
    );
    let quoted = r#"MAIL FROM:<"jo > \" x"@clinic.example> SIZE=1"#;
    assert_eq!(mail_of(quoted).unwrap().size, Some(1));
    for line in [
        "MAIL FROM:  <jo@clinic.example>",
        "MAIL FROM :<jo@clinic.example>",
        "MAIL  FROM:<jo@clinic.example>",
        "MAIL FROM:\t<jo@clinic.example>",
        "MAIL FROM:jo@clinic.example",
        "MAIL FROM:<jo@clinic.example",
        "MAIL FROM:<jo@clinic.example>x",
        "MAIL FROM:<jo@clinic.example> ",
        "MAIL FROM:<jo@clinic.example>  SIZE=1",
        "MAIL FROM:<jo@clinic.example> SIZE=1 ",
        "MAIL FROM:<jo@clinic.example>SIZE=1",
        "MAIL FROM:<@relay.example:jo@clinic.example>",
        "MAIL TO:<jo@clinic.example>",
        "MAIL FROM",
        "RCPT TO:<>",
        "RCPT TO:jo@clinic.example",
        "RCPT TO:<jo@clinic.example>>",
        "RCPT TO:<@relay.example:jo@clinic.example>",
        "RCPT FROM:<jo@clinic.example>",
        "RCPT TO:<jo@clinic.example> ",
        "MAIL FROM:< jo@clinic.example>\0",
    ] {
        assert!(
            matches!(parse(line.as_bytes()), Err(CommandError::Syntax(_))),
            "{line}: {:?}",
            parse(line.as_bytes())
        );
    }
}

#[test]
fn addresses_are_refused_for_what_they_are() {
    for (line, error) in [
        ("RCPT TO:<jo@[192.0.2.1]>", AddressError::Literal),
        ("RCPT TO:<jo>", AddressError::NoDomain),
        ("RCPT TO:<j\u{f6}@clinic.example>", AddressError::NotAscii),
        ("RCPT TO:< jo@clinic.example>", AddressError::LocalPart),
        (
            "RCPT TO:<jo@clinic.example >",
            AddressError::Domain(crate::mail::DomainError::Character),
        ),
        ("RCPT TO:<Postmaster@[192.0.2.1]>", AddressError::Literal),
        (
            "MAIL FROM:<jo@@clinic.example>",
            AddressError::Domain(crate::mail::DomainError::Character),
        ),
    ] {
        assert_eq!(
            parse(line.as_bytes()),
            Err(CommandError::Address(error)),
            "{line}"
        );
    }
    assert!(matches!(
        parse(b"RCPT TO:<j\xf6@clinic.example>"),
        Err(CommandError::Syntax("the line is not valid UTF-8"))
    ));
}

#[test]
fn postmaster_needs_no_domain() {
    for line in ["RCPT TO:<postmaster>", "RCPT TO: <PostMaster>"] {
        assert_eq!(
            parse(line.as_bytes()),
            Ok(Command::Rcpt(Forward::Postmaster))
        );
    }
}

#[test]
fn parameters() {
    let mail = mail_of("MAIL FROM:<> size=1000 Body=8bitmime AUTH=<>").unwrap();
    assert_eq!(
        (mail.size, mail.body),
        (Some(1000), Some(Body::EightBitMime))
    );
    assert_eq!(
        mail_of("MAIL FROM:<> BODY=7BIT").unwrap().body,
        Some(Body::SevenBit)
    );
    assert_eq!(
        mail_of("MAIL FROM:<> SIZE=18446744073709551615")
            .unwrap()
            .size,
        Some(u64::MAX)
    );
    assert_eq!(
        mail_of("MAIL FROM:<> SIZE=99999999999999999999")
            .unwrap()
            .size,
        Some(u64::MAX)
    );
    assert!(mail_of("MAIL FROM:<> AUTH=e+3Dmc2@clinic.example").is_ok());
    for line in [
        "MAIL FROM:<> SIZE",
        "MAIL FROM:<> SIZE=",
        "MAIL FROM:<> SIZE=-1",
        "MAIL FROM:<> SIZE=1k",
        "MAIL FROM:<> SIZE=100000000000000000000",
        "MAIL FROM:<> BODY=BINARYMIME",
        "MAIL FROM:<> BODY",
        "MAIL FROM:<> AUTH",
        "MAIL FROM:<> AUTH=jo",
        "MAIL FROM:<> AUTH=+3d",
        "MAIL FROM:<> AUTH=+",
        "MAIL FROM:<> =x",
        "MAIL FROM:<> -x",
        "MAIL FROM:<> a=b=c",
        "RCPT TO:<jo@clinic.example> a=",
    ] {
        assert!(
            matches!(parse(line.as_bytes()), Err(CommandError::Syntax(_))),
            "{line}: {:?}",
            parse(line.as_bytes())
        );
    }
    for line in [
        "MAIL FROM:<> SIZE=1 SIZE=1",
        "MAIL FROM:<> BODY=7BIT BODY=7BIT",
        "MAIL FROM:<> AUTH=<> AUTH=<>",
        "MAIL FROM:<> SMTPUTF8",
        "MAIL FROM:<> REQUIRETLS",
        "MAIL FROM:<> RET=HDRS",
        "RCPT TO:<jo@clinic.example> NOTIFY=NEVER",
        "RCPT TO:<jo@clinic.example> X",
    ] {
        assert_eq!(
            parse(line.as_bytes()),
            Err(CommandError::Parameter),
            "{line}"
        );
    }
}

#[test]
fn auth_is_read_and_never_shown() {
    let Ok(Command::Auth(auth)) = parse(b"auth plain AGpvAHNlY3JldA==") else {
        panic!("not AUTH");
    };
    assert_eq!(auth.mechanism, "PLAIN");
    assert_eq!(auth.initial.as_deref(), Some(&b"AGpvAHNlY3JldA=="[..]));
    assert!(!format!("{auth:?}").contains("AGpv"));
    let Ok(Command::Auth(auth)) = parse(b"AUTH LOGIN =") else {
        panic!("not AUTH");
    };
    assert_eq!(auth.initial.as_deref(), Some(&b"="[..]));
}

proptest! {
    #[test]
    fn never_panics(head in "(MAIL FROM:|RCPT TO:|EHLO |AUTH |NOOP )?", tail in proptest::collection::vec(
        prop_oneof![Just(b'<'), Just(b'>'), Just(b'"'), Just(b'\\'), Just(b'@'), Just(b' '), Just(b'='), any::<u8>()], 0..60))
    {
        let mut line = head.into_bytes();
        line.extend_from_slice(&tail);
        drop(parse(&line));
    }

    #[test]
    fn what_is_accepted_says_the_same_again(local in "[a-z.+\"\\\\ >]{1,12}", size in proptest::option::of(any::<u64>())) {
        let size = size.map(|size| format!(" SIZE={size}")).unwrap_or_default();
        if let Ok(mail) = mail_of(&format!("MAIL FROM:<{local}@clinic.example>{size}")) {
            let again = mail_of(&format!("MAIL FROM:<{}>{size}", mail.reverse_path)).unwrap();
            prop_assert_eq!(mail, again);
        }
    }
}
