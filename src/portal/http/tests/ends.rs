//! Slow clients, silent clients, and the server's own end.

use super::*;

/// How long it takes until the server ends the connection.
async fn ends(stream: &mut Tls) -> Vec<u8> {
    let end = tokio::time::timeout(Duration::from_secs(10), to_the_end(stream));
    end.await.expect("the server keeps the connection")
}

#[tokio::test]
async fn a_head_that_trickles_is_given_up() {
    let limits = Limits {
        idle: Duration::from_secs(60),
        ..quick()
    };
    let served = serve(limits).await;
    let (mut reading, mut writing) = tokio::io::split(served.http1().await);
    writing
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let trickle = tokio::spawn(async move {
        for n in 0.. {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if writing
                .write_all(format!("X-{n}: y\r\n").as_bytes())
                .await
                .is_err()
            {
                return;
            }
        }
    });
    let mut octets = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), reading.read_to_end(&mut octets));
    drop(end.await.expect("the server keeps the connection"));
    assert!(octets.is_empty());
    trickle.await.unwrap();
    assert_eq!(served.asked(), 0);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let served = serve(quick()).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    let mut octets = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut octets));
    assert_eq!(
        end.await.expect("the server keeps the connection").unwrap(),
        0
    );
}

#[tokio::test]
async fn a_silent_connection_ends_and_a_used_one_stays() {
    let limits = Limits {
        head: Duration::from_millis(100),
        ..quick()
    };
    let served = serve(limits).await;
    let mut silent = served.http1().await;
    let mut used = served.http1().await;
    let asked = get("/").replace("Connection: close\r\n", "");
    for _ in 0..3 {
        // Longer than a head may take, shorter than a connection may be idle.
        tokio::time::sleep(Duration::from_millis(400)).await;
        used.write_all(asked.as_bytes()).await.unwrap();
        let mut octets = [0; 4096];
        let count = used.read(&mut octets).await.unwrap();
        assert!(octets[..count].starts_with(b"HTTP/1.1 200"));
    }
    assert!(ends(&mut silent).await.is_empty());
    assert!(ends(&mut used).await.is_empty());
    let mut h2 = served.connect(b"h2").await.unwrap();
    h2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    ends(&mut h2).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let served = serve(quick()).await;
    let mut stream = served.http1().await;
    let head = format!(
        "POST /form HTTP/1.1\r\nHost: {HOST}\r\nOrigin: {ORIGIN}\r\nContent-Length: 100\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\ntext="
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = Reply::read(&ends(&mut stream).await);
    assert_eq!((reply.status, reply.field("connection")), (408, "close"));
    assert_eq!(served.asked(), 0);
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let served = serve(quick()).await;
    let mut stream = served.http1().await;
    stream.write_all(get("/large").as_bytes()).await.unwrap();
    // Not a single octet is read until the log says that the server has given up.
    let given_up = async {
        while !std::fs::read_to_string(&served.log)
            .unwrap()
            .contains("\"cut\":true")
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), given_up)
        .await
        .expect("still waiting");
    // The same with the windows of HTTP/2.
    let mut h2 = served.http2().await;
    let large = h2
        .send_request(request("GET", "/large", Vec::new()))
        .await
        .unwrap();
    let mut body = large.into_body();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let taken = tokio::time::timeout(Duration::from_secs(10), async {
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok::<_, hyper::Error>(())
    });
    assert!(taken.await.unwrap().is_err());
}

#[tokio::test]
async fn a_site_that_thinks_for_ever_is_not_waited_for() {
    let served = serve(quick()).await;
    let reply = served.get("/never").await;
    assert_eq!((reply.status, reply.field("retry-after")), (503, "5"));
}

#[tokio::test]
async fn what_was_begun_is_ended_before_the_server_ends() {
    let served = serve(Limits::default()).await;
    let mut idle = served.http1().await;
    let mut busy = served.http1().await;
    let mut h2 = served.http2().await;
    busy.write_all(get("/slow").replace("Connection: close\r\n", "").as_bytes())
        .await
        .unwrap();
    let over_h2 = tokio::spawn(h2.send_request(request("GET", "/slow", Vec::new())));
    while served.asked() < 2 {
        tokio::task::yield_now().await;
    }
    let address = served.address;
    served.draining.send(true).unwrap();
    assert!(ends(&mut idle).await.is_empty());
    let reply = Reply::read(&ends(&mut busy).await);
    assert_eq!((reply.status, reply.text()), (200, "<p>slow</p>"));
    assert_eq!(
        body_of(over_h2.await.unwrap().unwrap()).await,
        "<p>slow</p>"
    );
    drop(h2);
    served.running.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_client_that_stays_does_not_hold_up_the_end() {
    let limits = Limits {
        drain: Duration::from_millis(200),
        ..Limits::default()
    };
    let served = serve(limits).await;
    let mut stuck = served.http1().await;
    stuck.write_all(get("/never").as_bytes()).await.unwrap();
    while served.asked() < 1 {
        tokio::task::yield_now().await;
    }
    served.draining.send(true).unwrap();
    let end = tokio::time::timeout(Duration::from_secs(10), served.running);
    end.await.expect("the server does not end").unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_what_was_begun() {
    let served = serve(Limits::default()).await;
    let mut leaving = served.http1().await;
    leaving.write_all(get("/slow").as_bytes()).await.unwrap();
    while served.asked() < 1 {
        tokio::task::yield_now().await;
    }
    drop(leaving);
    assert_eq!(served.get("/").await.status, 200);
}

#[tokio::test]
async fn requests_that_are_taken_back_do_no_harm() {
    let served = serve(Limits::default()).await;
    let mut h2 = served.http2().await;
    for _ in 0..500 {
        if h2.ready().await.is_err() {
            break;
        }
        drop(h2.send_request(request("GET", "/slow", Vec::new())));
        tokio::task::yield_now().await;
    }
    drop(h2);
    let mut other = served.http2().await;
    let front = other
        .send_request(request("GET", "/livez", Vec::new()))
        .await
        .unwrap();
    assert!(matches!(front.status().as_u16(), 200 | 429));
    assert!(served.asked() <= 240);
}

#[tokio::test]
async fn pings_for_nothing_end_the_connection() {
    let served = serve(Limits::default()).await;
    let (mut reading, mut writing) = tokio::io::split(served.connect(b"h2").await.unwrap());
    let swallow = tokio::spawn(async move {
        let mut octets = vec![0; 16 * 1024];
        while matches!(reading.read(&mut octets).await, Ok(1..)) {}
    });
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for _ in 0..64 {
        flood.extend_from_slice(b"\0\0\x08\x06\0\0\0\0\0pingping");
    }
    let mut sent = 0;
    while writing.write_all(&flood).await.is_ok() {
        flood.drain(..flood.len().saturating_sub(64 * 17));
        sent += flood.len();
        assert!(sent < 64 << 20, "nothing stops it");
        tokio::task::yield_now().await;
    }
    swallow.await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart() {
    let served = serve(Limits::default()).await;
    let (certificate, roots) = certificate();
    served.server.replace_certificate(certificate);
    assert!(served.connect(b"http/1.1").await.is_err());
    let served = Served {
        connector: client_config(roots),
        ..served
    };
    assert_eq!(served.get("/").await.status, 200);
}
