//! Bodies: taken, refused without a reset, given up.

use super::*;

/// A form with one field and files of these sizes.
fn multipart(files: &[usize]) -> (String, Vec<u8>) {
    let mut body =
        b"--bound\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nhi\r\n".to_vec();
    for (index, octets) in files.iter().enumerate() {
        let head = format!(
            "--bound\r\nContent-Disposition: form-data; name=\"files\"; \
             filename=\"f{index}.bin\"\r\nContent-Type: application/pdf\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&vec![b'\r'; *octets]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--bound--\r\n");
    ("multipart/form-data; boundary=bound".to_owned(), body)
}

fn post_head(path: &str, kind: &str, length: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nOrigin: {ORIGIN}\r\nContent-Type: {kind}\r\n\
         {length}\r\n\r\n"
    )
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn h2_post(served: &Served, path: &str, kind: &str, body: Vec<u8>) -> (u16, Bytes) {
    let mut h2 = served.http2().await;
    let mut asked = request("POST", path, body);
    asked
        .headers_mut()
        .insert("content-type", kind.parse().unwrap());
    let response = h2.send_request(asked).await.unwrap();
    let status = response.status().as_u16();
    let body = body_of(response).await;
    // The connection is as good as before.
    let next = h2
        .send_request(request("GET", "/", Vec::new()))
        .await
        .unwrap();
    assert_eq!(next.status(), 200);
    (status, body)
}

#[tokio::test]
async fn files_arrive() {
    let served = serve(Limits::default()).await;
    let (kind, body) = multipart(&[50_000, 50_000]);
    let expected = "<p>field=hi file=f0.bin:50000 file=f1.bin:50000</p>";
    let (status, text) = h2_post(&served, "/upload", &kind, body.clone()).await;
    assert_eq!((status, &text[..]), (200, expected.as_bytes()));
    // In chunks, over HTTP/1.1.
    let mut stream = served.http1().await;
    let head = post_head(
        "/upload",
        &kind,
        "Connection: close\r\nTransfer-Encoding: chunked",
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in body.chunks(777) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let reply = Reply::read(&to_the_end(&mut stream).await);
    assert_eq!((reply.status, reply.text()), (200, expected));
    // A form without files does too, and one that is cut short does not.
    let plain = h2_post(&served, "/upload", FORM, b"text=x".to_vec()).await;
    assert_eq!(plain.0, 200);
    let cut = h2_post(&served, "/upload", &kind, body[..60_000].to_vec()).await;
    assert_eq!(cut.0, 400);
}

#[tokio::test]
async fn what_is_too_large_is_answered_not_cut_off() {
    let served = serve(Limits::default()).await;
    let large = vec![b'a'; 8 << 20];
    for (path, kind) in [
        ("/form", FORM),
        ("/upload", "multipart/form-data; boundary=b"),
    ] {
        let (status, page) = h2_post(&served, path, kind, large.clone()).await;
        assert_eq!(status, 413, "{path}");
        assert!(!page.is_empty());
        // All of it is sent before anything is read, as browsers do.
        let mut stream = served.http1().await;
        let head = post_head(path, kind, &format!("Content-Length: {}", large.len()));
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&large).await.unwrap();
        // And the connection is as good as before.
        stream.write_all(get("/").as_bytes()).await.unwrap();
        let both = to_the_end(&mut stream).await;
        let first = Reply::read(&both);
        assert_eq!(first.status, 413, "{path}");
        let length: usize = first.field("content-length").parse().unwrap();
        assert_eq!(Reply::read(&first.body[length..]).status, 200, "{path}");
    }
    assert_eq!(served.asked(), 4);
}

#[tokio::test]
async fn what_turns_out_too_large_is_answered_too() {
    let served = serve(Limits::default()).await;
    // What was typed before the files is there, whatever was announced.
    for (files, over) in [
        (&[100_001][..], "Octets"),
        (&[60_000, 60_000], "Octets"),
        (&[1, 1, 1], "Files"),
        (&[9_000_000], "Octets"),
    ] {
        let (kind, body) = multipart(files);
        let (status, page) = h2_post(&served, "/upload", &kind, body).await;
        let expected = format!("<p>field=hi {over}</p>");
        assert_eq!((status, &page[..]), (413, expected.as_bytes()), "{files:?}");
    }
    // Nobody said how much would come.
    let mut stream = served.http1().await;
    let head = post_head(
        "/form",
        FORM,
        "Connection: close\r\nTransfer-Encoding: chunked",
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..1000 {
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(4096));
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(Reply::read(&to_the_end(&mut stream).await).status, 413);
}

#[tokio::test]
async fn who_asks_before_sending_is_told_before_sending() {
    let served = serve(quick()).await;
    let mut stream = served.http1().await;
    let head = post_head(
        "/form",
        FORM,
        "Expect: 100-continue\r\nContent-Length: 900000000",
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = Reply::read(&to_the_end(&mut stream).await);
    assert_eq!(reply.status, 413);
    let mut stream = served.http1().await;
    let head = post_head("/form", FORM, "Expect: 100-continue\r\nContent-Length: 6");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut continues = [0; 25];
    stream.read_exact(&mut continues).await.unwrap();
    assert_eq!(&continues, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"text=1").await.unwrap();
    assert_eq!(Reply::read(&to_the_end(&mut stream).await).status, 200);
}

#[tokio::test]
async fn a_refused_form_is_answered_though_it_is_large() {
    let served = serve(Limits::default()).await;
    let mut h2 = served.http2().await;
    let mut asked = request("POST", "/form", vec![b'a'; 4 << 20]);
    asked
        .headers_mut()
        .insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(h2.send_request(asked).await.unwrap().status(), 403);
}

#[tokio::test]
async fn memory_for_bodies_is_bounded() {
    let limits = Limits {
        body_octets: 64 * 1024,
        ..Limits::default()
    };
    let served = serve(limits).await;
    let (kind, body) = multipart(&[90_000]);
    assert_eq!(h2_post(&served, "/upload", &kind, body).await.0, 503);
    // What was held is given back.
    for _ in 0..5 {
        let (kind, body) = multipart(&[40_000]);
        assert_eq!(h2_post(&served, "/upload", &kind, body).await.0, 200);
    }
}

/// Begins uploads of 90,000 octets that never end, one a connection, and waits until they hold what
/// there is to hold.
async fn held_uploads(served: &Served, count: usize) -> Vec<Tls> {
    let (kind, body) = multipart(&[90_000]);
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = served.http1().await;
        let head = post_head("/upload", &kind, &format!("Content-Length: {}", body.len()));
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body[..80_000]).await.unwrap();
        stream.flush().await.unwrap();
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn uploads_that_never_end_keep_nobody_from_a_plain_form() {
    let limits = Limits {
        body_octets: 128 * 1024,
        ..Limits::default()
    };
    let served = serve(limits).await;
    let _held = held_uploads(&served, 4).await;
    // They hold all that there is for uploads.
    let (kind, body) = multipart(&[90_000]);
    while h2_post(&served, "/upload", &kind, body.clone()).await.0 != 503 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        let (status, text) = h2_post(&served, "/form", FORM, b"text=x".to_vec()).await;
        assert_eq!((status, &text[..]), (200, &b"<p>field=x</p>"[..]));
    }
}

#[tokio::test]
async fn a_network_has_its_share_of_the_uploads_and_no_more() {
    let limits = Limits {
        body_octets_per_network: 64 * 1024,
        ..Limits::default()
    };
    let served = serve(limits).await;
    let (kind, body) = multipart(&[90_000]);
    assert_eq!(h2_post(&served, "/upload", &kind, body).await.0, 503);
    let (kind, body) = multipart(&[40_000]);
    assert_eq!(h2_post(&served, "/upload", &kind, body).await.0, 200);
}

#[tokio::test]
async fn a_body_has_its_time_however_much_comes() {
    let limits = Limits {
        body: Duration::from_secs(60),
        body_most: Duration::from_millis(400),
        ..Limits::default()
    };
    let served = serve(limits).await;
    let mut stream = held_uploads(&served, 1).await.remove(0);
    let end = tokio::time::timeout(Duration::from_secs(10), to_the_end(&mut stream));
    let reply = Reply::read(&end.await.expect("the server waits on"));
    assert_eq!(reply.status, 408);
}

#[tokio::test]
async fn downloads_of_one_network_are_counted_until_they_are_taken() {
    let limits = Limits {
        downloads_per_network: 1,
        ..Limits::default()
    };
    let served = serve(limits).await;
    let mut first = served.http1().await;
    first.write_all(get("/large").as_bytes()).await.unwrap();
    let mut some = [0; 64];
    first.read_exact(&mut some).await.unwrap();
    let reply = served.get("/large").await;
    assert_eq!((reply.status, reply.field("retry-after")), (503, "5"));
    assert_eq!(served.get("/").await.status, 200);
    drop(first);
    while served.get("/large").await.status != 200 {
        tokio::task::yield_now().await;
    }
}
