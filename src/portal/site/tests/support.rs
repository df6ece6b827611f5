//! A portal with a store in a scratch directory, a line that keeps the codes, and a browser that
//! has a cookie, fills in forms and follows redirects.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::journal::MasterKey;
use crate::locale::Texts;
use crate::mail::{
    Address, Deposit, Final, Grade, Language, Level, MessageId, PickupWishes, Reference,
    SenderSecret, Timestamp,
};
use crate::portal::answer::FileRules;
use crate::portal::http::{
    Answer, Assets, Body, Cookies, Fetch, File, Head, Method, Pairs, Payload, Request, Site,
    Status, Upload,
};
use crate::portal::proof::phone::Phones;
use crate::portal::proof::webauthn::RelyingParty;
use crate::portal::proof::{Desk, DeskOptions, SessionBounds};
use crate::portal::site::{Identity, Mailer, Operator, Portal, SiteOptions};
use crate::portal::store::{Bounds, Reminders, Store, StoreOptions};
use crate::proto::link::{AskCode, Travelled};
use crate::world::BoxFuture;
use crate::world::clock::Clock;

/// When the tests begin.
pub(super) const START: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// The line: keeps the codes that it is asked to mail.
#[derive(Debug, Default)]
pub(super) struct Line {
    mailed: Mutex<Vec<(AskCode, MessageId)>>,
    /// It takes nothing.
    pub(super) down: AtomicBool,
}

impl Line {
    pub(super) fn count(&self) -> usize {
        self.mailed.lock().unwrap().len()
    }
}

impl Mailer for Line {
    fn send(&self, ask: AskCode) -> BoxFuture<'_, Option<MessageId>> {
        if self.down.load(Ordering::Relaxed) {
            return Box::pin(async { None });
        }
        let mut mailed = self.mailed.lock().unwrap();
        let id = MessageId::new(1000 + mailed.len() as u64);
        mailed.push((ask, id));
        Box::pin(async move { Some(id) })
    }
}

/// A portal and its line.
pub(super) struct World {
    pub(super) portal: Arc<Portal>,
    pub(super) line: Arc<Line>,
    pub(super) clock: Clock,
    _scratch: tempfile::TempDir,
}

pub(super) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(super) fn reference(number: u8) -> Reference {
    Reference::new([number, 1, 2, 3, 4, 5, 6, 7, 8, 9])
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with_hook(None).await
    }

    /// With a hook for text messages.
    pub(super) async fn with_hook(phones: Option<Phones>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(START);
        let key = STANDARD.encode([7; 32]);
        let options = StoreOptions {
            directory: scratch.path().join("portal"),
            master_key: MasterKey::from_base64(&key).unwrap(),
            bounds: Bounds::default(),
            reminders: Reminders::default(),
        };
        let store = Store::open(options, clock).await.unwrap();
        let options = DeskOptions {
            party: RelyingParty {
                id: "secure.clinic.example".to_owned(),
                origin: "https://secure.clinic.example".to_owned(),
                name: "Example Clinic".to_owned(),
            },
            code_life: Duration::from_secs(900),
            sessions: SessionBounds::default(),
            phones,
        };
        let desk = Arc::new(Desk::cheap(store.tables(), options, clock).unwrap());
        let identity = Identity {
            name: "Example Clinic".to_owned(),
            origin: "https://secure.clinic.example".to_owned(),
            writable: true,
            ..Identity::default()
        };
        let options = SiteOptions {
            operator: Operator::new(identity, &mut Assets::default()),
            texts: Texts::shipped(),
            language: Language::En,
            replies: true,
            files: FileRules {
                octets: 10_000,
                ..FileRules::default()
            },
            clamd: None,
            write_to: vec![address("office@clinic.example")],
            reply_from: "secure-mail".to_owned(),
        };
        let line = Arc::new(Line::default());
        let portal = Portal::new(store, desk, line.clone(), options, clock);
        Self {
            portal: Arc::new(portal),
            line,
            clock,
            _scratch: scratch,
        }
    }

    /// Leaves a message.
    pub(super) async fn leave(&self, number: u8, to: &str, level: Level) -> Reference {
        self.leave_with(number, to, level, PickupWishes::default())
            .await
    }

    pub(super) async fn leave_with(
        &self,
        number: u8,
        to: &str,
        level: Level,
        wishes: PickupWishes,
    ) -> Reference {
        self.leave_content(number, to, level, wishes, message(number))
            .await
    }

    pub(super) async fn leave_content(
        &self,
        number: u8,
        to: &str,
        level: Level,
        wishes: PickupWishes,
        content: String,
    ) -> Reference {
        let deposit = Deposit {
            reference: reference(number),
            queue_id: MessageId::new(u64::from(number)),
            recipient: address(to),
            author: address("ada@clinic.example"),
            answerable: true,
            author_name: Some("Ada Meyer".to_owned()),
            message_id: format!("<{number}@clinic.example>"),
            accepted: self.clock.now(),
            octets: content.len() as u64,
            level,
            factors: level,
            trusted_before: self.clock.now(),
            wishes,
            language: Language::En,
            expires: self.clock.now() + 30 * DAY,
        };
        let mut incoming = self.portal.store.deposit(deposit).await.unwrap();
        incoming.write(Bytes::from(content)).await.unwrap();
        incoming.finish().await.unwrap().reference
    }

    /// The newest code, whose mail is reported to have travelled well.
    pub(super) fn code(&self) -> String {
        let (ask, id) = self.newest();
        self.travelled(id, Some(Grade::Pkix));
        ask.code
    }

    pub(super) fn newest(&self) -> (AskCode, MessageId) {
        self.line.mailed.lock().unwrap().last().cloned().unwrap()
    }

    pub(super) fn travelled(&self, queue_id: MessageId, grade: Option<Grade>) {
        self.portal.desk.travelled(&Travelled {
            queue_id,
            ended: Final::Delivered,
            grade,
            reply: false,
        });
    }

    /// The newest code's mail comes back.
    pub(super) fn bounced(&self) {
        self.portal.desk.travelled(&Travelled {
            queue_id: self.newest().1,
            ended: Final::Bounced,
            grade: None,
        });
    }

    /// Whether anybody opened a message.
    pub(super) fn opened(&self, reference: Reference) -> bool {
        self.portal.store.record(&reference).unwrap().was_opened()
    }

    /// Lets time go by.
    pub(super) async fn later(&self, by: Duration) {
        tokio::time::pause();
        tokio::time::advance(by).await;
        tokio::time::resume();
    }

    pub(super) fn browser(&self) -> Browser {
        Browser {
            portal: self.portal.clone(),
            clock: self.clock,
            cookie: None,
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            agent: FIREFOX.to_owned(),
            fetch: Fetch {
                site: "none".to_owned(),
                mode: "navigate".to_owned(),
                dest: "document".to_owned(),
                user: true,
                ahead: false,
            },
            head_only: false,
            language: "en".to_owned(),
            paths: Vec::new(),
        }
    }

    /// A browser in which the address was proved by a code.
    pub(super) async fn signed_in(&self, to: &str) -> Browser {
        // A code a minute.
        self.later(Duration::from_secs(61)).await;
        let mut browser = self.browser();
        browser.get("/").await;
        let page = browser.post("/", &[("address", to)]).await;
        assert_eq!(page.path, "/sign-in");
        browser.get("/sign-in").await;
        let page = browser.post("/sign-in/send", &[]).await;
        assert_eq!(page.path, "/sign-in/code");
        settle().await;
        let code = self.code();
        let page = browser.post("/sign-in/code", &[("code", &code)]).await;
        assert!(page.path.starts_with("/box"), "{}", page.path);
        browser
    }
}

/// Lets what was spawned be done.
pub(super) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn secret(text: &str) -> PickupWishes {
    PickupWishes {
        secret: Some(SenderSecret::parse(text).unwrap()),
        ..PickupWishes::default()
    }
}

/// The message of a number: a text, HTML with a picture, and an attachment.
pub(super) fn message(number: u8) -> String {
    let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    [
        "From: Ada Meyer <ada@clinic.example>",
        "To: kim@patient.example",
        &format!("Subject: Results {number}"),
        &format!("Message-ID: <{number}@clinic.example>"),
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=m",
        "",
        "--m",
        "Content-Type: multipart/related; boundary=r",
        "",
        "--r",
        "Content-Type: multipart/alternative; boundary=a",
        "",
        "--a",
        "Content-Type: text/plain; charset=utf-8",
        "",
        &format!("The text of number {number} <b>is plain</b>."),
        "--a",
        "Content-Type: text/html; charset=utf-8",
        "",
        "<p>The <b>HTML</b></p><script>alert(1)</script><img src=\"cid:pic@x\"><img src=\"https://track.example/x.gif\">",
        "--a--",
        "--r",
        "Content-Type: image/png; name=pic.png",
        "Content-Transfer-Encoding: base64",
        "Content-ID: <pic@x>",
        "",
        png,
        "--r--",
        "--m",
        "Content-Type: text/plain; name=\"notes.txt\"",
        "Content-Disposition: attachment; filename=\"notes.txt\"",
        "",
        "the notes",
        "--m--",
        "",
    ]
    .join("\r\n")
}

/// All of a stream.
pub(super) async fn taken(
    mut from: tokio::sync::mpsc::Receiver<std::io::Result<Bytes>>,
) -> Vec<u8> {
    let mut octets = Vec::new();
    while let Some(piece) = from.recv().await {
        octets.extend_from_slice(&piece.unwrap());
    }
    octets
}

/// An answer as a browser sees it, after its redirects.
pub(super) struct Shown {
    pub(super) status: Status,
    /// Where the redirects ended.
    pub(super) path: String,
    pub(super) octets: Vec<u8>,
}

impl Shown {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.octets).into_owned()
    }
}

/// A browser.
#[derive(Clone)]
pub(super) struct Browser {
    pub(super) portal: Arc<Portal>,
    clock: Clock,
    pub(super) cookie: Option<String>,
    pub(super) client: IpAddr,
    pub(super) agent: String,
    pub(super) fetch: Fetch,
    pub(super) head_only: bool,
    pub(super) language: String,
    /// Paths that were asked for and led to.
    pub(super) paths: Vec<String>,
}

impl Browser {
    pub(super) fn head(&self, method: Method, path: &str) -> Head {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut cookies = Cookies::default();
        if let Some(cookie) = &self.cookie {
            cookies.read(&format!("__Host-portal={cookie}"));
        }
        Head {
            method,
            head_only: self.head_only,
            path: path
                .split('/')
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect(),
            query: Pairs::parse(query.as_bytes()).unwrap(),
            cookies,
            client: self.client,
            time: self.clock.now(),
            accept_language: self.language.clone(),
            user_agent: self.agent.clone(),
            wants_json: false,
            fetch: self.fetch.clone(),
        }
    }

    /// One request, as the server hands it over; 405 where the route does not take the method.
    pub(super) async fn ask(&mut self, method: Method, path: &str, body: Body) -> Answer {
        let head = self.head(method, path);
        let route = self.portal.route(&head);
        if !route.methods.allow(method) {
            return Answer::text(Status::METHOD_NOT_ALLOWED, "");
        }
        let answer = self.portal.answer(Request { head, body }).await;
        self.paths.push(path.to_owned());
        self.paths.extend(answer.location().map(str::to_owned));
        for field in answer.cookies() {
            let (pair, rest) = field.split_once(';').unwrap();
            let value = pair.strip_prefix("__Host-portal=").unwrap();
            self.cookie = (!rest.contains("Max-Age=0")).then(|| value.to_owned());
        }
        answer
    }

    async fn follow(&mut self, answer: Answer, path: &str) -> Shown {
        let (mut answer, mut path) = (answer, path.to_owned());
        for _ in 0..6 {
            let Some(on) = answer.location().map(str::to_owned) else {
                break;
            };
            answer = self.ask(Method::Get, &on, Body::None).await;
            path = on;
        }
        let status = answer.status();
        let octets = match answer.into_payload() {
            Payload::Whole(octets) => octets.to_vec(),
            Payload::Empty => Vec::new(),
            Payload::Stream { from, .. } => taken(from).await,
        };
        Shown {
            status,
            path,
            octets,
        }
    }

    pub(super) async fn get(&mut self, path: &str) -> Shown {
        let answer = self.ask(Method::Get, path, Body::None).await;
        self.follow(answer, path).await
    }

    /// The token that the forms of this browser's pages have.
    pub(super) fn csrf(&self) -> String {
        let cookie = self.cookie.clone().unwrap_or_default();
        self.portal.desk.sessions.csrf(&cookie)
    }

    pub(super) fn form(&self, fields: &[(&str, &str)]) -> Body {
        let mut written = form_urlencoded::Serializer::new(String::new());
        written.append_pair("csrf", &self.csrf());
        written.extend_pairs(fields);
        Body::Form(Pairs::parse(written.finish().as_bytes()).unwrap())
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let body = self.form(fields);
        let answer = self.ask(Method::Post, path, body).await;
        self.follow(answer, path).await
    }

    /// A form with files.
    pub(super) async fn upload(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        files: &[(&str, &[u8])],
    ) -> Shown {
        let Body::Form(fields) = self.form(fields) else {
            unreachable!("a form without files");
        };
        let files = files.iter().map(|(name, octets)| File {
            field: "files".to_owned(),
            name: (*name).to_owned(),
            media_type: String::new(),
            octets: Bytes::copy_from_slice(octets),
        });
        let mut upload = Upload::default();
        upload.fields = fields;
        upload.files = files.collect();
        let answer = self.ask(Method::Post, path, Body::Upload(upload)).await;
        self.follow(answer, path).await
    }
}

/// Links and forms of a page: `href` and `src`, and actions with their hidden fields.
pub(super) fn links(page: &str) -> (Vec<String>, Vec<String>) {
    let of = |attribute: &str| {
        let mark = format!(" {attribute}=\"");
        let pieces = page.split(mark.as_str()).skip(1);
        pieces
            .filter_map(|piece| piece.split('"').next())
            .filter(|path| path.starts_with('/') && !path.starts_with("/static"))
            .map(|path| path.replace("&#38;", "&").replace("&amp;", "&"))
            .collect::<Vec<_>>()
    };
    let mut gets = of("href");
    gets.extend(of("src"));
    (gets, of("action"))
}

/// All that a table of counts says.
pub(super) type Seen = BTreeMap<String, usize>;
