//! What never reaches the site.

use super::*;

#[tokio::test]
async fn another_host_is_not_served() {
    let served = serve(Limits::default()).await;
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n", 421),
        ("GET / HTTP/1.1\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: portal.clinic.example\r\nHost: evil.example\r\n",
            400,
        ),
        (
            "GET https://evil.example/ HTTP/1.1\r\nHost: portal.clinic.example\r\n",
            421,
        ),
        (
            "GET http://portal.clinic.example/ HTTP/1.1\r\nHost: portal.clinic.example\r\n",
            421,
        ),
        ("GET / HTTP/1.0\r\n", 400),
    ] {
        let reply = served
            .raw(format!("{head}Connection: close\r\n\r\n").as_bytes())
            .await;
        assert_eq!(reply.status, status, "{head}");
        assert!(reply.field("location").is_empty());
    }
    let mut h2 = served.http2().await;
    for uri in ["https://evil.example/", "http://portal.clinic.example/"] {
        let asked = hyper::Request::get(uri).body(Full::default()).unwrap();
        assert_eq!(h2.send_request(asked).await.unwrap().status(), 421, "{uri}");
    }
    let mixed = hyper::Request::get(ORIGIN).header("host", "evil.example");
    let asked = mixed.body(Full::default()).unwrap();
    assert_eq!(h2.send_request(asked).await.unwrap().status(), 421);
    assert_eq!(served.asked(), 0);
}

#[tokio::test]
async fn a_form_of_another_site_does_nothing() {
    let served = serve(Limits::default()).await;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for from in [
        "",
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\nReferer: https://portal.clinic.example/\r\n",
        "Origin: https://portal.clinic.example\r\nOrigin: https://evil.example\r\n",
    ] {
        let reply = served
            .post("/form", &format!("{form}{from}"), "text=x")
            .await;
        let refused = matches!(reply.status, 400 | 403);
        assert!(refused, "{from} {}", reply.status);
    }
    assert_eq!(served.asked(), 0);
    let ours = format!("{form}Origin: {ORIGIN}\r\nSec-Fetch-Site: same-origin\r\n");
    let reply = served.post("/form", &ours, "text=Gr%C3%BC%C3%9Fe+x").await;
    assert_eq!((reply.status, reply.text()), (200, "<p>field=Grüße x</p>"));
    assert_eq!(served.asked(), 1);
}

#[tokio::test]
async fn only_forms_are_taken() {
    let served = serve(Limits::default()).await;
    for kind in [
        "",
        "Content-Type: application/json\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
    ] {
        let fields = format!("{kind}Origin: {ORIGIN}\r\n");
        assert_eq!(
            served.post("/form", &fields, "{\"a\":1}").await.status,
            415,
            "{kind}"
        );
    }
    let ours = format!("Origin: {ORIGIN}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    assert_eq!(served.post("/form", &ours, "text=%ff").await.status, 400);
    assert_eq!(served.post("/bare-post", &ours, "text=1").await.status, 413);
    assert_eq!(served.asked(), 0);
    assert_eq!(served.post("/bare-post", &ours, "").await.status, 200);
}

#[tokio::test]
async fn other_methods_are_told_what_is_allowed() {
    let served = serve(Limits::default()).await;
    for method in [
        "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "PROPFIND", "BREW",
    ] {
        let asked = format!("{method} /form HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        let reply = served.raw(asked.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.field("allow")),
            (405, "GET, HEAD, POST"),
            "{method}"
        );
        assert!(!reply.text().contains(method), "{method} is echoed");
    }
    let reply = served.post("/", &format!("Origin: {ORIGIN}\r\n"), "").await;
    assert_eq!((reply.status, reply.field("allow")), (405, "GET, HEAD"));
    let reply = served.get("/upload").await;
    assert_eq!((reply.status, reply.field("allow")), (405, "POST"));
    let connect =
        format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    assert!(matches!(
        served.raw(connect.as_bytes()).await.status,
        404 | 405 | 421
    ));
    let with_body = format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
    );
    assert_eq!(served.raw(with_body.as_bytes()).await.status, 400);
    assert_eq!(served.asked(), 0);
}

#[tokio::test]
async fn no_path_climbs() {
    let served = serve(Limits::default()).await;
    for path in [
        "/m/..",
        "/m/%2e%2e/x",
        "/m/%2e%2e%2f",
        "/m/a%5c..%5cb",
        "/m/%00",
        "/m/a%0d%0aX:1",
        "/../../etc/passwd",
        "//evil.example/",
        "/m//x",
        "/m/%c0%ae%c0%ae",
        "/static/../m",
    ] {
        let reply = served.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
    }
    assert_eq!(served.asked(), 0);
    assert_eq!(served.get("/?a=%ff").await.status, 400);
    assert_eq!(served.get("/m/abc?next=//evil.example").await.status, 200);
}

#[tokio::test]
async fn a_flood_of_fields_is_refused() {
    let served = serve(Limits::default()).await;
    let many = |count: usize| {
        let fields = (0..count)
            .map(|n| format!("X-{n}: y\r\n"))
            .collect::<String>();
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{fields}\r\n")
    };
    assert_eq!(served.raw(many(50).as_bytes()).await.status, 200);
    for count in [70, 99, 1000] {
        assert_eq!(
            served.raw(many(count).as_bytes()).await.status,
            431,
            "{count}"
        );
    }
    let long = format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\n\r\n",
        "y".repeat(100_000)
    );
    assert_eq!(served.raw(long.as_bytes()).await.status, 431);
    assert_eq!(
        served.get(&format!("/{}", "a".repeat(3000))).await.status,
        414
    );
    let mut h2 = served.http2().await;
    let mut asked = request("GET", "/", Vec::new());
    for n in 0..200 {
        let name = hyper::header::HeaderName::try_from(format!("x-{n}")).unwrap();
        asked.headers_mut().insert(name, "y".parse().unwrap());
    }
    assert_eq!(h2.send_request(asked).await.unwrap().status(), 431);
    assert_eq!(served.asked(), 1);
}

#[tokio::test]
async fn octets_that_are_no_http_get_no_further() {
    let served = serve(quick()).await;
    for octets in [
        &b"\x00\x01\x02\x03\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : portal.clinic.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: portal.clinic.example\r\nX: a\x00b\r\n\r\n",
        b"POST /form HTTP/1.1\r\nHost: portal.clinic.example\r\nContent-Length: 1\r\n\
          Content-Length: 2\r\n\r\nab",
        b"POST /form HTTP/1.1\r\nHost: portal.clinic.example\r\nTransfer-Encoding: gzip\r\n\r\n",
    ] {
        assert_eq!(served.raw(octets).await.status, 400, "{octets:?}");
    }
    // In clear, on the same port: nothing that is HTTP comes back.
    let mut clear = TcpStream::connect(served.address).await.unwrap();
    clear.write_all(get("/").as_bytes()).await.unwrap();
    let mut octets = Vec::new();
    drop(clear.read_to_end(&mut octets).await);
    assert!(!octets.starts_with(b"HTTP"));
    // Another protocol, led here, is turned away in the handshake.
    assert!(served.connect(b"smtp").await.is_err());
    assert_eq!(served.asked(), 0);
}

#[tokio::test]
async fn those_who_ask_too_often_wait() {
    let limits = Limits {
        address: Rate {
            burst: 5,
            per_minute: 6,
        },
        ..Limits::default()
    };
    let served = serve(limits).await;
    for _ in 0..5 {
        assert_eq!(served.get("/").await.status, 200);
    }
    let reply = served.get("/").await;
    assert_eq!(reply.status, 429);
    let wait: u64 = reply.field("retry-after").parse().unwrap();
    assert!((5..=11).contains(&wait), "{wait}");
    assert_eq!(served.asked(), 5);
}

#[tokio::test]
async fn too_much_work_is_refused_politely() {
    let limits = Limits {
        requests: 1,
        ..Limits::default()
    };
    let served = serve(limits).await;
    let mut h2 = served.http2().await;
    let slow = tokio::spawn(h2.send_request(request("GET", "/slow", Vec::new())));
    while served.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let reply = served.get("/").await;
    assert_eq!((reply.status, reply.field("retry-after")), (503, "5"));
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert_eq!(served.get("/").await.status, 200);
}

#[tokio::test]
async fn connections_of_one_network_are_counted() {
    let limits = Limits {
        connections_per_network: 2,
        ..Limits::default()
    };
    let served = serve(limits).await;
    let first = served.http1().await;
    let _second = served.http1().await;
    assert!(served.connect(b"http/1.1").await.is_err());
    drop(first);
    while served.connect(b"http/1.1").await.is_err() {
        tokio::task::yield_now().await;
    }
}
