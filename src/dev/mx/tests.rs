//! The small mail server, talked to line by line.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::dev::ca::Ca;
use crate::world::tls::client_provider;

async fn start(tls: MxTls) -> Mx {
    start_with(MxOptions::new("mx.tls.test", tls, Inbox::memory())).await
}

async fn start_with(options: MxOptions) -> Mx {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    Mx::start(listener, options).unwrap()
}

/// Sends everything at once, reads until the server closes.
async fn say_all(mx: &Mx, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(mx.address()).await.unwrap();
    stream.write_all(octets).await.unwrap();
    let mut said = Vec::new();
    drop(stream.read_to_end(&mut said).await);
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn takes_pipelined_mail_octet_by_octet() {
    let mx = start(MxTls::Absent).await;
    let said = say_all(
        &mx,
        b"EHLO c.example\r\nMAIL FROM:<a@c.example> SIZE=10\r\nRCPT TO:<B@Tls.Test>\r\nDATA\r\n\
          Subject: x\r\n\r\n..dot\r\nbare\nlf\n.\n\r\n.\r\nQUIT\r\n",
    )
    .await;
    assert!(
        said.ends_with("250 2.0.0 Ok: taken\r\n221 2.0.0 Bye\r\n"),
        "{said}"
    );
    let mails = mx.inbox().mails();
    assert_eq!(
        mails[0].content,
        b"Subject: x\r\n\r\n.dot\r\nbare\nlf\n.\n\r\n"
    );
    assert_eq!(mails[0].reverse_path, "a@c.example");
    assert_eq!(mails[0].recipients[0].to_string(), "B@tls.test");
    let session = &mx.transcript().sessions()[0];
    assert_eq!(session.envelope_octets, 33 + 22);
    assert!(session.content_octets > 30);
    assert_eq!(
        session.commands().collect::<Vec<_>>(),
        [
            "EHLO c.example",
            "MAIL FROM:<a@c.example> SIZE=10",
            "RCPT TO:<B@Tls.Test>",
            "DATA",
            "QUIT"
        ]
    );
}

#[tokio::test]
async fn refuses_what_is_out_of_order_and_what_it_is_told_to() {
    let options = MxOptions::new("mx.tls.test", MxTls::Absent, Inbox::memory())
        .replying("RCPT TO:<nobody@", "550 5.1.1 No such user")
        .replying("NOOP", "421 4.3.2 Going away");
    let mx = start_with(options).await;
    let said = say_all(
        &mx,
        b"MAIL FROM:<>\r\nEHLO c\r\nRCPT TO:<a@b.test>\r\nMAIL FROM:<>\r\nRCPT TO:<nobody@b.test>\r\nDATA\r\nSTARTTLS\r\nNOOP\r\n",
    )
    .await;
    let codes: Vec<&str> = said
        .lines()
        .filter(|line| line.as_bytes()[3] == b' ')
        .map(|line| &line[..3])
        .collect();
    assert_eq!(
        codes,
        [
            "220", "503", "250", "503", "250", "550", "503", "502", "421"
        ]
    );
    assert!(mx.inbox().mails().is_empty());
    assert_eq!(mx.transcript().octets().1, 0);
}

async fn upgrade(mx: &Mx, ca: &Ca) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let config = rustls::ClientConfig::builder_with_provider(client_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots())
        .with_no_client_auth();
    let mut stream = TcpStream::connect(mx.address()).await?;
    stream.write_all(b"EHLO c\r\n").await?;
    let mut said = String::new();
    let mut buffer = [0u8; 1024];
    while !said.contains("\n250 ") {
        let read = stream.read(&mut buffer).await?;
        said.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    stream.write_all(b"STARTTLS\r\n").await?;
    let mut ready = [0u8; 17];
    stream.read_exact(&mut ready).await?;
    TlsConnector::from(Arc::new(config))
        .connect("mx.tls.test".try_into().unwrap(), stream)
        .await
}

#[tokio::test]
async fn does_starttls_and_its_faults() {
    // Valid around the machine's time, which the client checks against.
    let ca = Ca::new(crate::world::clock::Clock::system().now()).unwrap();
    let good = ca
        .server(&["mx.tls.test"])
        .unwrap()
        .server_config()
        .unwrap();
    let mx = start(MxTls::Offered(good.clone())).await;
    let mut stream = upgrade(&mx, &ca).await.unwrap();
    stream
        .write_all(b"MAIL FROM:<a@b.test>\r\nEHLO c\r\nQUIT\r\n")
        .await
        .unwrap();
    let mut said = Vec::new();
    drop(stream.read_to_end(&mut said).await);
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("503"), "forgotten after TLS: {said}");
    assert!(!said.contains("STARTTLS"));
    assert_eq!(
        mx.transcript().sessions()[0].server_name.as_deref(),
        Some("mx.tls.test")
    );

    let broken = start(MxTls::Broken).await;
    assert!(upgrade(&broken, &ca).await.is_err());
    let injecting = start(MxTls::Injecting(good)).await;
    assert!(upgrade(&injecting, &ca).await.is_err());
    let stranger = ca.self_signed(&["mx.tls.test"]).unwrap();
    let stranger = start(MxTls::Offered(stranger.server_config().unwrap())).await;
    assert!(upgrade(&stranger, &ca).await.is_err());
}
