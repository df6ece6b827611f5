//! Against a fake clamd that speaks by a script.

use std::path::Path;
use std::sync::Mutex;

use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;

/// What the fake does on a connection.
#[derive(Clone)]
enum Script {
    /// Reads the whole stream, then answers.
    Answer(Vec<u8>),
    /// Answers in the middle of the first chunk and closes.
    Early(Vec<u8>),
    /// Closes at once.
    Close,
    /// Reads, and never answers.
    Silent,
}

/// Listens in `directory`; what was streamed can be looked at.
fn fake(directory: &Path, script: Script) -> (Clamd, Arc<Mutex<Vec<u8>>>, JoinHandle<()>) {
    let path = directory.join("clamd.ctl");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(serve(stream, script.clone(), &kept).await);
        }
    });
    let clamd = Clamd::new(At::Unix(path)).patient(Duration::from_secs(2));
    (clamd, seen, task)
}

async fn serve(mut stream: UnixStream, script: Script, seen: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut command = [0_u8; 10];
    if matches!(script, Script::Close) {
        return Ok(());
    }
    stream.read_exact(&mut command).await?;
    assert_eq!(&command, b"zINSTREAM\0");
    if let Script::Early(answer) = script {
        let mut some = [0_u8; 100];
        stream.read_exact(&mut some).await?;
        return stream.write_all(&answer).await;
    }
    loop {
        let length = stream.read_u32().await? as usize;
        assert!(length <= CHUNK);
        if length == 0 {
            break;
        }
        let mut chunk = vec![0; length];
        stream.read_exact(&mut chunk).await?;
        seen.lock().unwrap().extend_from_slice(&chunk);
    }
    match script {
        Script::Answer(answer) => stream.write_all(&answer).await,
        _ => std::future::pending().await,
    }
}

async fn verdict(script: Script, octets: &[u8]) -> (Verdict, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let (clamd, seen, task) = fake(directory.path(), script);
    let verdict = clamd.scan(&Bytes::copy_from_slice(octets)).await;
    task.abort();
    let seen = seen.lock().unwrap().clone();
    (verdict, seen)
}

#[tokio::test]
async fn a_file_is_streamed_whole_and_judged() {
    for octets in [vec![], vec![7_u8; 10], vec![9_u8; CHUNK * 3 + 1]] {
        let ok = Script::Answer(b"stream: OK\0".to_vec());
        assert_eq!(verdict(ok, &octets).await, (Verdict::Clean, octets));
    }
    let found = Script::Answer(b"stream: Eicar-Signature FOUND\0".to_vec());
    let name = "Eicar-Signature".to_owned();
    assert_eq!(verdict(found, b"x").await.0, Verdict::Found(name));
}

#[tokio::test]
async fn what_is_not_said_to_be_clean_is_not() {
    for answer in [
        &b""[..],
        b"\0",
        b"stream: ok\0",
        b"OK\0",
        b"stream: OKAY\0",
        b"stream: \0",
        b"UNKNOWN COMMAND\0",
        b"INSTREAM: Can't allocate memory ERROR\0",
        b"stream: OK FOUNDLING\0",
    ] {
        let (verdict, _) = verdict(Script::Answer(answer.to_vec()), b"x").await;
        assert_eq!(verdict, Verdict::Unavailable, "{answer:?}");
    }
    // An answer without an end is cut.
    let (endless, _) = verdict(Script::Answer(vec![b'x'; 100_000]), b"x").await;
    assert_eq!(endless, Verdict::Unavailable);
    assert_eq!(verdict(Script::Close, b"x").await.0, Verdict::Unavailable);
}

#[tokio::test]
async fn an_early_answer_is_heard_but_an_early_ok_is_not_believed() {
    let large = vec![1_u8; 32 * 1024 * 1024];
    let limit = Script::Early(b"INSTREAM size limit exceeded. ERROR\0".to_vec());
    let (early, _) = verdict(limit, &large).await;
    // The rest may have been thrown away with the connection, and the answer with it.
    assert!(matches!(early, Verdict::TooLarge | Verdict::Unavailable));
    let ok = Script::Early(b"stream: OK\0".to_vec());
    assert_eq!(verdict(ok, &large).await.0, Verdict::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn silence_ends() {
    let (silent, _) = verdict(Script::Silent, b"x").await;
    assert_eq!(silent, Verdict::Unavailable);
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let at = At::Unix(directory.path().join("none"));
    let octets = Bytes::from_static(b"x");
    assert_eq!(Clamd::new(at).scan(&octets).await, Verdict::Unavailable);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let at = At::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    };
    assert_eq!(Clamd::new(at).scan(&octets).await, Verdict::Unavailable);
}

#[test]
fn places_are_read() {
    let tcp = |host: &str, port| {
        let host = host.to_owned();
        Ok(At::Tcp { host, port })
    };
    assert_eq!("127.0.0.1:3310".parse(), tcp("127.0.0.1", 3310));
    assert_eq!("[::1]:3310".parse(), tcp("::1", 3310));
    assert_eq!(
        "clamd.clinic.example:3310".parse(),
        tcp("clamd.clinic.example", 3310)
    );
    assert_eq!("unix:/run/c".parse(), Ok(At::Unix(PathBuf::from("/run/c"))));
    for text in [
        "",
        "unix:",
        "unix:run/c",
        "host",
        "host:",
        ":3310",
        "host:0",
        "host:70000",
        "a b:1",
        "::1:3310",
        "[x]:1",
    ] {
        assert_eq!(text.parse::<At>(), Err(AtError), "{text}");
    }
}
