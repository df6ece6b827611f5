//! A portal on a Unix socket that does what a test tells it to, and writes down what it heard.

use std::path::Path;
use std::sync::{Arc, Mutex};

use sealpost::mail::{Address, Deposit, Reference, Timestamp};
use sealpost::proto::link::{ToPortal, Travelled};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// What the portal does with deposits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Good,
    /// Says that it will never take them.
    Refusing,
    /// Says that it cannot now.
    Busy,
    /// Says so to deposits alone.
    Full,
    /// Closes the connection when it has read everything.
    Dying,
}

#[derive(Debug, Default)]
pub struct Heard {
    /// Deposits as they stand: none of one recipient twice.
    pub deposits: Vec<(Deposit, Vec<u8>)>,
    /// Every request, by its word and what it is about.
    pub requests: Vec<String>,
    pub travelled: Vec<Travelled>,
    /// Recipients whose messages were retracted.
    pub retracted: Vec<Address>,
}

pub struct FakePortal {
    pub heard: Arc<Mutex<Heard>>,
    mood: Arc<Mutex<Mood>>,
    /// Since when everybody has been registered.
    registered: Arc<Mutex<Option<Timestamp>>>,
    task: JoinHandle<()>,
}

impl Drop for FakePortal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakePortal {
    pub fn start(path: &Path) -> Self {
        Self::knowing(path, Arc::default())
    }

    /// One that takes over from another.
    pub fn knowing(path: &Path, heard: Arc<Mutex<Heard>>) -> Self {
        drop(std::fs::remove_file(path));
        let listener = UnixListener::bind(path).unwrap();
        let mood = Arc::new(Mutex::new(Mood::Good));
        let registered = Arc::new(Mutex::new(None));
        let served = Served {
            heard: Arc::clone(&heard),
            mood: Arc::clone(&mood),
            registered: Arc::clone(&registered),
        };
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                connections.spawn(async move {
                    // An error is the peer gone.
                    drop(served.serve(stream).await);
                });
            }
        });
        Self {
            heard,
            mood,
            registered,
            task,
        }
    }

    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn registered(&self, since: Timestamp) {
        *self.registered.lock().unwrap() = Some(since);
    }

    /// Nobody tells the line.
    pub fn retract(&self, recipient: &str) {
        let recipient = Address::parse(recipient).unwrap();
        let mut heard = self.heard.lock().unwrap();
        heard.deposits.retain(|it| it.0.recipient != recipient);
        heard.retracted.push(recipient);
    }

    pub fn deposits(&self) -> Vec<(Deposit, Vec<u8>)> {
        self.heard.lock().unwrap().deposits.clone()
    }

    pub fn requests(&self) -> Vec<String> {
        self.heard.lock().unwrap().requests.clone()
    }

    pub fn travelled(&self) -> Vec<Travelled> {
        self.heard.lock().unwrap().travelled.clone()
    }
}

#[derive(Clone)]
struct Served {
    heard: Arc<Mutex<Heard>>,
    mood: Arc<Mutex<Mood>>,
    registered: Arc<Mutex<Option<Timestamp>>>,
}

impl Served {
    async fn serve(&self, stream: UnixStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let request: ToPortal = serde_json::from_slice(&line).unwrap();
            let mut content = vec![0; usize::try_from(request.octets()).unwrap()];
            stream.read_exact(&mut content).await?;
            let Some(answer) = self.answer(request, content) else {
                return Ok(());
            };
            stream.write_all(format!("{answer}\n").as_bytes()).await?;
        }
    }

    fn answer(&self, request: ToPortal, content: Vec<u8>) -> Option<String> {
        let mut heard = self.heard.lock().unwrap();
        let error = |code| format!(r#"{{"error":{{"code":"{code}","text":"as the test says"}}}}"#);
        let mood = *self.mood.lock().unwrap();
        Some(match request {
            ToPortal::Deposit(deposit) => {
                let word = format!("deposit {}", deposit.recipient);
                heard.requests.push(word);
                match mood {
                    Mood::Refusing => return Some(error("refused")),
                    Mood::Busy | Mood::Full => return Some(error("temporary")),
                    Mood::Dying => return None,
                    Mood::Good => {}
                }
                if heard.retracted.contains(&deposit.recipient) {
                    return Some(error("retracted"));
                }
                let same = |it: &(Deposit, Vec<u8>)| {
                    it.0.queue_id == deposit.queue_id && it.0.recipient == deposit.recipient
                };
                let again = heard.deposits.iter().any(same);
                heard.deposits.retain(|it| !same(it));
                let reference: Reference = deposit.reference;
                heard.deposits.push((*deposit, content));
                format!(r#"{{"ok":{{"reference":"{reference}","again":{again}}}}}"#)
            }
            ToPortal::Withdraw {
                queue_id,
                recipient,
            } => {
                heard.requests.push(format!("withdraw {recipient}"));
                if mood == Mood::Busy {
                    return Some(error("temporary"));
                }
                if heard.retracted.contains(&recipient) {
                    return Some(error("retracted"));
                }
                heard
                    .deposits
                    .retain(|it| it.0.queue_id != queue_id || it.0.recipient != recipient);
                r#"{"ok":null}"#.to_owned()
            }
            ToPortal::WasRetracted { recipient, .. } => {
                if mood == Mood::Busy {
                    return Some(error("temporary"));
                }
                let retracted = heard.retracted.contains(&recipient);
                format!(r#"{{"ok":{retracted}}}"#)
            }
            ToPortal::Standing { recipient } => {
                heard.requests.push(format!("standing {recipient}"));
                let registered = *self.registered.lock().unwrap();
                let registered = serde_json::to_string(&registered).unwrap();
                format!(r#"{{"ok":{{"registered":{registered}}}}}"#)
            }
            ToPortal::Travelled(travelled) => {
                heard.travelled.push(travelled);
                r#"{"ok":null}"#.to_owned()
            }
            other => panic!("the line does not ask for {other:?}"),
        })
    }
}
