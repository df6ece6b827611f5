//! A server's answers, octet by octet.

use super::ber::{put, put_number, tag};
use super::*;
use crate::mail::SecretBytes;

fn attribute(name: &str) -> Attribute {
    Attribute::parse(name).unwrap()
}

fn question() -> Search {
    Search {
        base: "dc=b,dc=example".to_owned(),
        filter: Filter::Equal(attribute("mail"), "jo@b.example".to_owned()),
        attributes: vec![attribute("userCertificate;binary")],
        seconds: 4,
    }
}

fn message(id: u32, operation: u8, content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_number(&mut body, tag::INTEGER, id);
    put(&mut body, operation, content);
    let mut out = Vec::new();
    put(&mut out, tag::SEQUENCE, &body);
    out
}

fn result(id: u32, operation: u8, code: u32) -> Vec<u8> {
    let mut content = Vec::new();
    put_number(&mut content, tag::ENUMERATED, code);
    put(&mut content, tag::OCTETS, b"");
    put(&mut content, tag::OCTETS, b"text of a stranger");
    message(id, operation, &content)
}

fn entry(id: u32, name: &str, values: &[&[u8]]) -> Vec<u8> {
    let mut set = Vec::new();
    for value in values {
        put(&mut set, tag::OCTETS, value);
    }
    let mut attribute = Vec::new();
    put(&mut attribute, tag::OCTETS, name.as_bytes());
    put(&mut attribute, tag::SET, &set);
    let mut attributes = Vec::new();
    put(&mut attributes, tag::SEQUENCE, &attribute);
    let mut content = Vec::new();
    put(&mut content, tag::OCTETS, b"uid=jo,dc=b,dc=example");
    put(&mut content, tag::SEQUENCE, &attributes);
    message(id, 0x64, &content)
}

fn written(client: &mut Client) -> Vec<u8> {
    match client.poll_output() {
        Some(Output::Write(octets)) => octets.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// A session that has asked its question, as request 1.
fn asked() -> Client {
    let mut client = Client::new(Opening::Implicit, None, question());
    assert_eq!(client.poll_output(), Some(Output::StartTls));
    client.handle(Input::Secured);
    let octets = written(&mut client);
    assert_eq!(octets[4], 1);
    client
}

fn answer(octets: &[u8]) -> Option<Output> {
    let mut client = asked();
    client.handle(Input::Received(octets));
    let first = client.poll_output();
    match first {
        Some(Output::Write(_)) => client.poll_output(),
        other => other,
    }
}

fn failure(octets: &[u8]) -> LdapError {
    match answer(octets) {
        Some(Output::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_question_is_what_rfc_4511_says() {
    let mut client = Client::new(Opening::Implicit, None, question());
    client.poll_output();
    client.handle(Input::Secured);
    let expected = [
        &b"\x30\x55\x02\x01\x01\x63\x50"[..],
        b"\x04\x0fdc=b,dc=example",
        b"\x0a\x01\x02\x0a\x01\x00\x02\x01\x10\x02\x01\x04\x01\x01\x00",
        b"\xa3\x14\x04\x04mail\x04\x0cjo@b.example",
        b"\x30\x18\x04\x16userCertificate;binary",
    ]
    .concat();
    assert_eq!(written(&mut client), expected);
}

#[test]
fn starttls_comes_first_and_the_password_behind_it() {
    let password = SecretBytes::new(b"canary".to_vec());
    let credentials = Credentials::new("cn=reader".to_owned(), password).unwrap();
    let mut client = Client::new(Opening::StartTls, Some(credentials), question());
    let first = written(&mut client);
    assert_eq!(
        first,
        b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
    );
    assert_eq!(client.poll_output(), None);
    client.handle(Input::Received(&result(1, 0x78, 0)));
    assert_eq!(client.poll_output(), Some(Output::StartTls));
    assert_eq!(client.poll_output(), None);
    client.handle(Input::Secured);
    let bind = written(&mut client);
    let expected = b"\x30\x1b\x02\x01\x02\x60\x16\x02\x01\x03\x04\x09cn=reader\x80\x06canary";
    assert_eq!(bind, expected);
    client.handle(Input::Received(&result(2, 0x61, 0)));
    assert_eq!(written(&mut client)[4], 3);
    let both = [entry(3, "usercertificate", &[b"one"]), result(3, 0x65, 0)].concat();
    for octet in both {
        assert_eq!(client.poll_output(), None);
        client.handle(Input::Received(&[octet]));
    }
    assert_eq!(written(&mut client), b"\x30\x05\x02\x01\x04\x42\x00");
    let found = Output::Found(vec![b"one".to_vec()]);
    assert_eq!(client.poll_output(), Some(found));
    // Over: whatever else comes changes nothing.
    client.handle(Input::Received(b"\0\0\0"));
    client.handle(Input::Closed);
    assert_eq!(client.poll_output(), None);
}

#[test]
fn a_refused_or_injected_starttls_ends_the_session() {
    let run = |octets: &[u8]| {
        let mut client = Client::new(Opening::StartTls, None, question());
        client.poll_output();
        client.handle(Input::Received(octets));
        let output = client.poll_output();
        client.handle(Input::Secured);
        assert_eq!(client.poll_output(), None, "nothing is asked without TLS");
        output
    };
    let failed = |error| Some(Output::Failed(error));
    let refused = LdapError::NoTls(ResultCode(52));
    assert_eq!(run(&result(1, 0x78, 52)), failed(refused));
    let injected = [result(1, 0x78, 0), entry(2, "userCertificate", &[b"evil"])].concat();
    assert_eq!(run(&injected), failed(LdapError::Injection));
    let one_more = [result(1, 0x78, 0), vec![0x30]].concat();
    assert_eq!(run(&one_more), failed(LdapError::Injection));
    assert_eq!(run(&result(1, 0x61, 0)), failed(LdapError::OutOfTurn));
    // In two pieces, the second behind the word to begin.
    let mut client = Client::new(Opening::StartTls, None, question());
    client.poll_output();
    client.handle(Input::Received(&result(1, 0x78, 0)));
    client.handle(Input::Received(b"\x30"));
    assert_eq!(client.poll_output(), failed(LdapError::Injection));
    assert_eq!(client.poll_output(), None, "no handshake any more");
}

#[test]
fn values_of_other_attributes_and_doubles_are_left_out() {
    let octets = [
        entry(1, "userCertificate;binary", &[b"one", b"two"]),
        message(1, 0x73, b"\x04\x10ldap://c.example"),
        entry(1, "userPassword", &[b"three"]),
        entry(1, "USERCERTIFICATE", &[b"two"]),
        entry(1, "mail", &[]),
        result(1, 0x65, 0),
    ]
    .concat();
    let found = vec![b"one".to_vec(), b"two".to_vec()];
    assert_eq!(answer(&octets), Some(Output::Found(found)));
    assert_eq!(answer(&result(1, 0x65, 0)), Some(Output::Found(vec![])));
}

#[test]
fn lies_end_the_session() {
    let malformed = |octets: &[u8]| matches!(failure(octets), LdapError::Malformed(_));
    assert_eq!(failure(&result(2, 0x65, 0)), LdapError::OutOfTurn);
    assert_eq!(failure(&entry(0x7fff, "mail", &[])), LdapError::OutOfTurn);
    assert_eq!(failure(&result(1, 0x61, 0)), LdapError::OutOfTurn);
    assert!(malformed(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert!(malformed(b"\x30\x80\x02\x01\x01"));
    assert!(malformed(b"\x30\x03\x02\x01\x01"));
    assert!(malformed(&message(1, 0x64, b"")));
    assert!(malformed(&message(1, 0x65, b"\x0a\x01\x00")));
    assert!(malformed(&message(1, 0x79, b"")));
    assert!(malformed(&message(
        0,
        0x65,
        b"\x0a\x01\x00\x04\x00\x04\x00"
    )));
    // A value that claims to reach beyond its attribute.
    assert!(malformed(&message(
        1,
        0x64,
        b"\x04\x00\x30\x17\x30\x15\x04\x0fuserCertificate\x31\x02\x04\x7f"
    )));
    assert_eq!(
        failure(b"\x30\x84\x7f\xff\xff\xff"),
        LdapError::TooMuch("octets in a message")
    );
    for error in [
        failure(&result(1, 0x65, 10)),
        failure(b"\x30\x80"),
        failure(&result(2, 0x65, 0)),
    ] {
        assert!(!error.is_temporary(), "{error}");
    }
}

#[test]
fn servers_that_give_up_may_be_asked_again() {
    let mut content = b"\x0a\x01\x34\x04\x00\x04\x00".to_vec();
    put(&mut content, 0x8a, b"1.3.6.1.4.1.1466.20036");
    let notice = failure(&message(0, 0x78, &content));
    assert_eq!(notice, LdapError::Disconnected(ResultCode(52)));
    let busy = failure(&result(1, 0x65, 51));
    assert_eq!(busy.to_string(), "the search ended with: busy");
    let mut client = asked();
    client.handle(Input::Closed);
    assert_eq!(
        client.poll_output(),
        Some(Output::Failed(LdapError::Closed))
    );
    for error in [notice, busy, LdapError::Closed] {
        assert!(error.is_temporary());
    }
}

#[test]
fn every_number_is_bounded() {
    let endless = entry(1, "mail", &[]).repeat(17);
    assert_eq!(failure(&endless), LdapError::TooMuch("entries"));
    let references = message(1, 0x73, b"").repeat(65);
    assert_eq!(failure(&references), LdapError::TooMuch("references"));
    let values: Vec<[u8; 1]> = (0..65).map(|n| [n]).collect();
    let values: Vec<&[u8]> = values.iter().map(|value| &value[..]).collect();
    let many = entry(1, "userCertificate", &values);
    assert_eq!(failure(&many), LdapError::TooMuch("values"));
    let mut client = asked();
    let big = entry(1, "userCertificate", &[&vec![1; MAX_MESSAGE_OCTETS - 100]]);
    for _ in 0..3 {
        client.handle(Input::Received(&big));
        assert_eq!(client.poll_output(), None);
    }
    client.handle(Input::Received(&big));
    client.handle(Input::Received(&big));
    let failed = Output::Failed(LdapError::TooMuch("octets"));
    assert_eq!(client.poll_output(), Some(failed));
}

#[test]
fn nobody_binds_without_a_password() {
    let bind = |name: &str, password: &[u8]| {
        Credentials::new(name.to_owned(), SecretBytes::new(password.to_vec()))
    };
    assert_eq!(bind("cn=x", b""), Err(CredentialsError));
    assert_eq!(bind("", b"x"), Err(CredentialsError));
    let shown = format!("{:?}", bind("cn=x", b"canary").unwrap());
    assert!(!shown.contains("canary"), "{shown}");
}
