//! What every answer carries, and what each kind does.

use super::*;

const PAGE: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
                    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[tokio::test]
async fn every_answer_carries_its_fields() {
    let served = serve(Limits::default()).await;
    let style = served.style.clone();
    let inert = "sandbox; default-src 'none'; frame-ancestors 'none'";
    for (path, status, policy, cache) in [
        ("/", 200, PAGE, "no-store"),
        ("/nothing", 404, PAGE, "no-store"),
        ("/m/..", 404, PAGE, "no-store"),
        ("/panic", 500, PAGE, "no-store"),
        ("/login", 303, inert, "no-store"),
        ("/image", 200, inert, "no-store"),
        ("/download", 200, inert, "no-store"),
        ("/livez", 200, inert, "no-store"),
        (&style, 200, inert, "public, max-age=31536000, immutable"),
        ("/robots.txt", 200, inert, "public, max-age=86400"),
    ] {
        let reply = served.get(path).await;
        assert_eq!(reply.status, status, "{path}");
        for (name, value) in [
            ("strict-transport-security", "max-age=63072000"),
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", cache),
        ] {
            assert_eq!(reply.field(name), value, "{path} {name}");
        }
        let resource = reply.field("cross-origin-resource-policy");
        let public = cache != "no-store";
        assert_eq!(resource == "cross-origin", public, "{path}");
        assert_eq!(resource == "same-origin", !public, "{path}");
        assert!(reply.field("permissions-policy").contains("camera=()"));
        assert!(!reply.field("date").is_empty());
        for none in [
            "server",
            "x-powered-by",
            "access-control-allow-origin",
            "via",
        ] {
            assert!(reply.field(none).is_empty(), "{path} {none}");
        }
        let length: usize = reply.field("content-length").parse().unwrap();
        assert_eq!(length, reply.body.len(), "{path}");
        let vary = reply.field("vary");
        assert_eq!(vary.is_empty(), cache != "no-store", "{path}");
    }
}

#[tokio::test]
async fn pages_are_given_no_more_than_they_ask_for() {
    let served = serve(Limits::default()).await;
    let script = served.get("/script").await;
    assert_eq!(
        script.field("content-security-policy"),
        format!("{PAGE}; script-src 'self'")
    );
    assert!(
        script
            .field("permissions-policy")
            .contains("publickey-credentials-get=(self)")
    );
    let framing = served.get("/frame-page").await;
    assert_eq!(
        framing.field("content-security-policy"),
        format!("{PAGE}; frame-src 'self'")
    );
    assert!(
        framing
            .field("permissions-policy")
            .contains("publickey-credentials-get=()")
    );
    let mail = served.get("/frame").await;
    let policy = mail.field("content-security-policy");
    assert!(policy.contains("style-src 'self'"));
    assert!(policy.starts_with("sandbox ") && policy.contains("frame-ancestors 'self'"));
    for never in [
        "allow-scripts",
        "allow-same-origin",
        "unsafe",
        "http:",
        "https:",
        "*",
    ] {
        assert!(!policy.contains(never), "{never}");
    }
    assert_eq!(mail.field("x-frame-options"), "SAMEORIGIN");
}

#[tokio::test]
async fn a_login_sets_its_cookie_and_a_logout_takes_it() {
    let served = serve(Limits::default()).await;
    let reply = served.get("/login").await;
    assert_eq!(reply.field("location"), "/m/r1");
    assert_eq!(
        reply.field("set-cookie"),
        "__Host-session=tok-3n; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    let reply = served.get("/logout").await;
    assert!(reply.field("set-cookie").contains("Max-Age=0"));
    assert!(reply.field("clear-site-data").contains("cache"));
}

#[tokio::test]
async fn a_download_is_saved_and_never_shown() {
    let served = serve(Limits::default()).await;
    let reply = served.get("/download").await;
    assert_eq!(reply.field("content-type"), "application/octet-stream");
    assert_eq!(
        reply.field("content-disposition"),
        "attachment; filename=\"_hre.html\"; filename*=UTF-8''%C3%84hre.html"
    );
    assert_eq!(reply.body.len(), 200_000);
}

#[tokio::test]
async fn a_stream_is_whole_or_visibly_broken() {
    let served = serve(Limits::default()).await;
    let reply = served.get("/stream").await;
    assert_eq!(
        (reply.field("content-length"), reply.body.len()),
        ("10000", 10_000)
    );
    let broken = served.get("/broken-stream").await;
    assert_eq!(
        (broken.field("content-length"), broken.body.len() < 10_000),
        ("10000", true)
    );
    let mut h2 = served.http2().await;
    let whole = h2
        .send_request(request("GET", "/stream", Vec::new()))
        .await
        .unwrap();
    assert_eq!(body_of(whole).await.len(), 10_000);
    let broken = h2
        .send_request(request("GET", "/broken-stream", Vec::new()))
        .await
        .unwrap();
    assert!(broken.into_body().collect().await.is_err());
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let served = serve(Limits::default()).await;
    let style = served.style.clone();
    for path in [
        "/",
        "/download",
        "/stream",
        "/nothing",
        "/panic",
        &style,
        "/livez",
    ] {
        let head = get(path).replacen("GET", "HEAD", 1);
        let (get, head) = (served.get(path).await, served.raw(head.as_bytes()).await);
        assert_eq!(head.body.len(), 0, "{path}");
        assert_eq!(head.status, get.status, "{path}");
        let without_date = |reply: &Reply| {
            let fields = reply.fields.iter().filter(|(name, _)| name != "date");
            fields.cloned().collect::<Vec<_>>()
        };
        assert_eq!(without_date(&head), without_date(&get), "{path}");
    }
    let mut h2 = served.http2().await;
    let head = h2
        .send_request(request("HEAD", "/download", Vec::new()))
        .await
        .unwrap();
    assert_eq!(head.headers()["content-length"], "200000");
    assert_eq!(body_of(head).await.len(), 0);
}

#[tokio::test]
async fn a_panic_is_a_500_and_nothing_else() {
    let served = serve(Limits::default()).await;
    let mut h2 = served.http2().await;
    for path in ["/panic", "/route-panic"] {
        let reply = served.get(path).await;
        assert_eq!(reply.status, 500, "{path}");
        assert!(!reply.text().contains("a test's panic"));
        let broken = h2
            .send_request(request("GET", path, Vec::new()))
            .await
            .unwrap();
        assert_eq!(broken.status(), 500);
    }
    let after = h2
        .send_request(request("GET", "/", Vec::new()))
        .await
        .unwrap();
    assert_eq!(after.status(), 200);
}

#[tokio::test]
async fn programs_get_json() {
    let served = serve(Limits::default()).await;
    let asked = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    let reply = served.raw(asked.as_bytes()).await;
    assert_eq!(reply.field("content-type"), "application/problem+json");
    let problem: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(
        (&problem["status"], &problem["type"]),
        (&405.into(), &"about:blank".into())
    );
    // Not JSON's prefix at the site's own pages: an answer of the site stays the site's.
    assert_eq!(served.get("/nothing").await.text(), "<p>nothing here</p>");
}

#[tokio::test]
async fn whoever_watches_us_needs_no_name() {
    let site = TestSite {
        not_ready: true,
        ..TestSite::default()
    };
    let served = serve_site(Limits::default(), site).await;
    for (path, status) in [("/livez", 200), ("/readyz", 503)] {
        let asked = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        assert_eq!(served.raw(asked.as_bytes()).await.status, status, "{path}");
    }
    let served = serve(Limits::default()).await;
    assert_eq!(served.get("/readyz").await.text(), "ready\n");
    assert_eq!(served.asked(), 0);
}

#[tokio::test]
async fn the_log_says_what_happened_and_no_secret() {
    let served = serve(Limits::default()).await;
    let asked = format!(
        "GET /m/ref-77?ticket=query-secret HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\
         Cookie: __Host-session=cookie-secret\r\nAuthorization: Basic auth-secret\r\n\
         Referer: {ORIGIN}/?x=referer-secret\r\nUser-Agent: Phone {}\r\n\r\n",
        "a".repeat(500)
    );
    assert_eq!(served.raw(asked.as_bytes()).await.status, 200);
    let ours = format!("Origin: {ORIGIN}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    served.post("/form", &ours, "text=form-secret").await;
    served.get("/path-secret/x").await;
    served.get("/login").await;
    let mut h2 = served.http2().await;
    let front = h2
        .send_request(request("GET", "/", Vec::new()))
        .await
        .unwrap();
    body_of(front).await;
    drop(h2);
    let log = served.end().await;
    assert!(!log.contains("secret") && !log.contains("tok-3n"), "{log}");
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    let first = &lines[0];
    assert_eq!(first["route"], "/m/{reference}");
    assert_eq!(first["reference"], "ref-77");
    assert_eq!(first["client"], "127.0.0.1");
    assert_eq!(
        (&first["method"], &first["status"]),
        (&"GET".into(), &200.into())
    );
    assert_eq!(
        (&first["protocol"], &first["tls"]),
        (&"HTTP/1.1".into(), &"TLSv1.3".into())
    );
    assert_eq!(first["octets"], "<p>message</p>".len());
    assert!(first["agent"].as_str().unwrap().len() <= 256);
    assert_eq!(
        (&lines[1]["route"], &lines[4]["protocol"]),
        (&"/form".into(), &"HTTP/2".into())
    );
}
