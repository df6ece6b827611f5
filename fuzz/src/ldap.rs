//! What must hold for any octets of an LDAP server.

use sealpost::mail::SecretBytes;
use sealpost::proto::ldap::{
    Attribute, Client, Credentials, Filter, Input, MAX_VALUES, Opening, Output, Search,
};

/// What a server sends, cut as the first octet says: nothing but StartTLS is written before TLS,
/// a password only behind it, and the session ends once, with few values.
pub fn reply(octets: &[u8]) {
    let Some((&first, wire)) = octets.split_first() else {
        return;
    };
    let opening = match first & 1 {
        0 => Opening::Implicit,
        _ => Opening::StartTls,
    };
    let password = || SecretBytes::new(b"canary".to_vec());
    let credentials = match first & 2 {
        0 => None,
        _ => Credentials::new("cn=reader".to_owned(), password()).ok(),
    };
    let attribute = |name| Attribute::parse(name).expect("an attribute");
    let search = Search {
        base: "dc=b,dc=example".to_owned(),
        filter: Filter::Equal(attribute("mail"), "jo@b.example".to_owned()),
        attributes: vec![attribute("userCertificate;binary")],
        seconds: 5,
    };
    let mut session = Watched {
        client: Client::new(opening, credentials, search),
        secured: false,
        ended: false,
    };
    session.drain();
    for piece in wire.chunks(usize::from(first >> 2).max(1)) {
        session.client.handle(Input::Received(piece));
        session.drain();
    }
    session.client.handle(Input::Closed);
    session.drain();
    assert!(session.ended, "the end of input ends the session");
}

struct Watched {
    client: Client,
    secured: bool,
    ended: bool,
}

impl Watched {
    fn drain(&mut self) {
        const STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
        while let Some(output) = self.client.poll_output() {
            assert!(!self.ended, "{output:?} behind the end");
            match output {
                Output::Write(octets) => {
                    let has = |part: &[u8]| octets.windows(part.len()).any(|it| it == part);
                    assert!(self.secured || has(STARTTLS));
                    assert!(self.secured || !has(b"canary") && !has(b"jo@"));
                }
                Output::StartTls => {
                    assert!(!self.secured);
                    self.secured = true;
                    self.client.handle(Input::Secured);
                }
                Output::Found(values) => {
                    assert!(self.secured && values.len() <= MAX_VALUES);
                    self.ended = true;
                }
                Output::Failed(_) => self.ended = true,
            }
        }
    }
}
