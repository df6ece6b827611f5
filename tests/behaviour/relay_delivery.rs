//! Mail that arrives.

use sealpost::mail::{Grade, Level, Outcome, Source, TlsVersion, VerifiedBy};

use crate::support::mx::Mx;
use crate::support::world::{
    CONTENT, PREFIX, World, brief, deliver, deliver_one, expected_content, job, job_of,
};

#[tokio::test(start_paused = true)]
async fn a_message_reaches_its_exchanger_byte_by_byte() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let Outcome::Delivered(status) = &outcome.outcome else {
        unreachable!()
    };
    assert_eq!(status.code, Some(250));
    assert_eq!(status.source, Source::Remote("mx.b.example".to_owned()));

    let heard = mx.heard();
    assert_eq!(heard.taken.len(), 1);
    assert_eq!(heard.taken[0].content, expected_content(CONTENT));
    let size = PREFIX.len() + CONTENT.len();
    assert_eq!(
        heard.commands[..6],
        [
            "EHLO relay.clinic.example".to_owned(),
            "STARTTLS".to_owned(),
            "EHLO relay.clinic.example".to_owned(),
            format!("MAIL FROM:<a@clinic.example> SIZE={size}"),
            "RCPT TO:<r0@b.example>".to_owned(),
            "DATA".to_owned(),
        ]
    );
    let plain = String::from_utf8(heard.plain).unwrap();
    assert_eq!(plain, "EHLO relay.clinic.example\r\nSTARTTLS\r\n");
}

#[tokio::test(start_paused = true)]
async fn the_hop_says_how_it_went() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let hop = deliver_one(&world.relay(), "b.example").await.hop.unwrap();
    assert_eq!(hop.next_hop.as_str(), "b.example");
    assert_eq!(hop.mx.as_str(), "mx.b.example");
    assert_eq!(hop.address, Some("192.0.2.1:25".parse().unwrap()));
    assert_eq!(hop.grade, Grade::Pkix);
    let tls = hop.tls.unwrap();
    assert_eq!(tls.version, TlsVersion::V1_3);
    assert!(tls.cipher.starts_with("TLS_AES_"), "{}", tls.cipher);
    assert_eq!(tls.group, "x25519");
    assert_eq!(tls.peer_sha256.len(), 64);
    assert_eq!(tls.verified_by, VerifiedBy::Pkix);
}

#[tokio::test(start_paused = true)]
async fn content_of_every_shape_arrives_whole() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    let line = [&[b'x'; 998][..], b"\r\n"].concat();
    let cases: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b".".to_vec(),
        b"..\r\n.\r\n...\r\n".to_vec(),
        b"no line end".to_vec(),
        "8-bit: \u{e9}\u{1f512}\r\n".as_bytes().to_vec(),
        line.repeat(3000),
        b".\r\n".repeat(50_000),
    ];
    for content in cases {
        let job = job_of("b.example", 1, Level::Protected, &content);
        let outcome = deliver(&relay, job).await.remove(0);
        assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
        let taken = mx.heard().taken.pop().unwrap();
        let mut expected = expected_content(&content);
        if !expected.ends_with(b"\r\n") {
            expected.extend_from_slice(b"\r\n");
        }
        assert!(taken.content == expected, "{} octets", content.len());
        let eight_bit = taken.mail.ends_with("BODY=8BITMIME");
        assert_eq!(eight_bit, !content.is_ascii());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_without_pipelining_is_served_step_by_step() {
    let world = World::new();
    let mx = world
        .good_mx("mx.b.example")
        .offering(&["STARTTLS", "PIPELINING"], &[]);
    world.only_mx(&mx);
    let outcomes = deliver(&world.relay(), job("b.example", 3)).await;
    for outcome in &outcomes {
        assert_eq!(brief(outcome), "delivered: 2.0.0 queued as 1");
    }
    let heard = mx.heard();
    assert_eq!(heard.taken[0].recipients.len(), 3);
    assert_eq!(heard.commands[3], "MAIL FROM:<a@clinic.example>");
}

#[tokio::test(start_paused = true)]
async fn tls_1_2_is_good_enough() {
    let world = World::new();
    let identity = world.ca.issue("mx.b.example");
    let mut config = (*identity.server()).clone();
    config = {
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(identity.key.serialize_der().into());
        let versions = [&rustls::version::TLS12];
        let builder = rustls::ServerConfig::builder_with_provider(config.crypto_provider().clone());
        let builder = builder.with_protocol_versions(&versions).unwrap();
        let builder = builder.with_no_client_auth();
        builder
            .with_single_cert(vec![identity.certificate.clone()], key)
            .unwrap()
    };
    let mx = Mx::new(std::sync::Arc::new(config));
    world.only_mx(&mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let tls = outcome.hop.unwrap().tls.unwrap();
    assert_eq!(tls.version, TlsVersion::V1_2);
    assert!(tls.cipher.starts_with("TLS_ECDHE_ECDSA"), "{}", tls.cipher);
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_is_not_in_the_envelope_is_not_written_to() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let mut job = job("b.example", 1);
    job.recipients = vec![0, 7];
    let outcomes = deliver(&world.relay(), job).await;
    assert_eq!(brief(&outcomes[0]), "delivered: 2.0.0 queued as 1");
    assert_eq!(
        brief(&outcomes[1]),
        "deferred(local): 4.3.0 the recipient is not in the envelope"
    );
    assert_eq!(mx.heard().taken[0].recipients.len(), 1);
}
