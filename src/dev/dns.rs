//! A small authoritative DNS responder on loopback: zones as data, faults included.
//!
//! RFC 1035 over UDP and TCP; RFC 6891 payload sizes. Answers every question itself, recurses
//! nowhere, signs nothing. An unknown name is NXDOMAIN, a known one without the type NODATA.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// Seconds that every record may be cached: short, since tests change their minds.
const TTL_SECONDS: u32 = 5;
/// Largest UDP answer without EDNS (RFC 1035 §4.2.1).
const PLAIN_UDP_OCTETS: u16 = 512;
/// Largest UDP answer at all (DNS flag day 2020).
const MOST_UDP_OCTETS: u16 = 1232;
/// Longest CNAME chain that is followed.
const MAX_CNAMES: usize = 8;
/// TCP connections at a time.
const MAX_TCP_CONNECTIONS: usize = 64;
/// How long a TCP client may be silent.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Questions that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// What is answered about one name.
#[derive(Debug, Clone)]
enum Entry {
    /// These records; NODATA for other types.
    Records(Vec<RData>),
    /// Another name.
    Alias(Name),
    /// This code whatever is asked.
    Fails(ResponseCode),
    /// Nothing at all: the client runs into its timeout.
    Silent,
}

/// Zones: what is answered about which name.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    entries: BTreeMap<String, Entry>,
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{}.", key(name))).unwrap_or_else(|_| Name::root())
}

impl Zones {
    /// Nothing: every name is NXDOMAIN.
    pub fn new() -> Self {
        Self::default()
    }

    fn add(&mut self, name: &str, data: RData) -> &mut Self {
        let entry = self
            .entries
            .entry(key(name))
            .or_insert_with(|| Entry::Records(Vec::new()));
        match entry {
            Entry::Records(records) => records.push(data),
            Entry::Alias(_) | Entry::Fails(_) | Entry::Silent => {
                *entry = Entry::Records(vec![data]);
            }
        }
        self
    }

    /// An A or AAAA record.
    pub fn address(&mut self, name: &str, address: IpAddr) -> &mut Self {
        let data = match address {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        };
        self.add(name, data)
    }

    /// An MX record.
    pub fn mx(&mut self, name: &str, preference: u16, host: &str) -> &mut Self {
        self.add(name, RData::MX(MX::new(preference, absolute(host))))
    }

    /// `MX 0 .`: the domain takes no mail (RFC 7505).
    pub fn null_mx(&mut self, name: &str) -> &mut Self {
        self.add(name, RData::MX(MX::new(0, Name::root())))
    }

    /// A TXT record.
    pub fn txt(&mut self, name: &str, text: &str) -> &mut Self {
        let parts: Vec<String> = text
            .as_bytes()
            .chunks(255)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect();
        self.add(name, RData::TXT(TXT::new(parts)))
    }

    /// `name` is another name for `target`.
    pub fn cname(&mut self, name: &str, target: &str) -> &mut Self {
        self.entries
            .insert(key(name), Entry::Alias(absolute(target)));
        self
    }

    /// The name exists, without any record.
    pub fn nodata(&mut self, name: &str) -> &mut Self {
        self.entries.insert(key(name), Entry::Records(Vec::new()));
        self
    }

    /// SERVFAIL.
    pub fn servfail(&mut self, name: &str) -> &mut Self {
        self.entries
            .insert(key(name), Entry::Fails(ResponseCode::ServFail));
        self
    }

    /// REFUSED.
    pub fn refused(&mut self, name: &str) -> &mut Self {
        self.entries
            .insert(key(name), Entry::Fails(ResponseCode::Refused));
        self
    }

    /// No answer ever.
    pub fn silent(&mut self, name: &str) -> &mut Self {
        self.entries.insert(key(name), Entry::Silent);
        self
    }

    /// Forgets the name: NXDOMAIN.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.entries.remove(&key(name));
        self
    }

    /// The answer to `request`; `None` if it stays unanswered.
    fn answer(&self, request: &Message) -> Option<Message> {
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata.recursion_desired = request.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.metadata.authoritative = true;
        if request.edns.is_some() {
            let mut edns = hickory_proto::op::Edns::new();
            edns.set_max_payload(MOST_UDP_OCTETS);
            response.set_edns(edns);
        }
        let Some(query) = request.queries.first() else {
            response.metadata.response_code = ResponseCode::FormErr;
            return Some(response);
        };
        response.add_query(query.clone());
        if request.metadata.op_code != OpCode::Query {
            response.metadata.response_code = ResponseCode::NotImp;
            return Some(response);
        }
        let wanted = query.query_type();
        let mut name = query.name().clone();
        for _ in 0..=MAX_CNAMES {
            match self.entries.get(&key(&name.to_ascii())) {
                Some(Entry::Silent) => return None,
                Some(Entry::Fails(code)) => {
                    response.metadata.response_code = *code;
                    return Some(response);
                }
                Some(Entry::Alias(target)) => {
                    let alias = RData::CNAME(CNAME(target.clone()));
                    response.add_answer(Record::from_rdata(name, TTL_SECONDS, alias));
                    if wanted == RecordType::CNAME {
                        return Some(response);
                    }
                    name = target.clone();
                }
                Some(Entry::Records(records)) => {
                    let matching = records.iter().filter(|data| data.record_type() == wanted);
                    let before = response.answers.len();
                    response.add_answers(
                        matching.map(|data| {
                            Record::from_rdata(name.clone(), TTL_SECONDS, data.clone())
                        }),
                    );
                    if response.answers.len() == before {
                        response.add_authority(soa(&name));
                    }
                    return Some(response);
                }
                None => {
                    response.metadata.response_code = ResponseCode::NXDomain;
                    response.add_authority(soa(&name));
                    return Some(response);
                }
            }
        }
        response.metadata.response_code = ResponseCode::ServFail;
        Some(response)
    }
}

/// Says how long "no" may be cached (RFC 2308).
fn soa(name: &Name) -> Record {
    let ns = absolute("ns.invalid");
    let data = SOA::new(ns.clone(), ns, 1, 60, 60, 60, TTL_SECONDS);
    Record::from_rdata(name.base_name(), TTL_SECONDS, RData::SOA(data))
}

/// A question that was asked: name without the last dot, and type.
pub type Question = (String, RecordType);

#[derive(Debug)]
struct State {
    zones: Mutex<Zones>,
    asked: Mutex<Vec<Question>>,
}

impl State {
    fn answer(&self, octets: &[u8]) -> Option<(Message, u16)> {
        let request = Message::from_vec(octets).ok()?;
        if request.metadata.message_type != MessageType::Query {
            return None;
        }
        if let Some(query) = request.queries.first() {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.len() < MAX_REMEMBERED {
                asked.push((key(&query.name().to_ascii()), query.query_type()));
            }
        }
        let payload = match &request.edns {
            Some(edns) => edns.max_payload().clamp(PLAIN_UDP_OCTETS, MOST_UDP_OCTETS),
            None => PLAIN_UDP_OCTETS,
        };
        let zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        Some((zones.answer(&request)?, payload))
    }
}

/// A running responder; stops when dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl DnsServer {
    /// Starts on a free port of 127.0.0.1, UDP and TCP alike.
    pub async fn start(zones: Zones) -> io::Result<Self> {
        // The system chooses a TCP port; the UDP port of the same number is nearly always free.
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..16 {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            match UdpSocket::bind(tcp.local_addr()?).await {
                Ok(udp) => return Self::serve(zones, udp, tcp),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn serve(zones: Zones, udp: UdpSocket, tcp: TcpListener) -> io::Result<Self> {
        let address = udp.local_addr()?;
        let state = Arc::new(State {
            zones: Mutex::new(zones),
            asked: Mutex::new(Vec::new()),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&state)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            _tasks: tasks,
        })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the zones.
    pub fn change(&self, with: impl FnOnce(&mut Zones)) {
        let mut zones = self
            .state
            .zones
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        with(&mut zones);
    }

    /// The questions asked so far.
    pub fn asked(&self) -> Vec<Question> {
        let asked = self.state.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve_udp(socket: UdpSocket, state: Arc<State>) {
    let mut buffer = [0u8; 4096];
    loop {
        // An error here is an ICMP message about a client that went away.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Some((response, payload)) = state.answer(&buffer[..length]) else {
            continue;
        };
        let Ok(mut octets) = response.to_vec() else {
            continue;
        };
        if octets.len() > usize::from(payload) {
            match response.truncate().to_vec() {
                Ok(shorter) => octets = shorter,
                Err(_) => continue,
            }
        }
        drop(socket.send_to(&octets, client).await);
    }
}

async fn serve_tcp(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        if connections.len() < MAX_TCP_CONNECTIONS {
            connections.spawn(serve_connection(stream, Arc::clone(&state)));
        }
    }
}

async fn serve_connection(mut stream: TcpStream, state: Arc<State>) {
    loop {
        let exchange = tokio::time::timeout(TCP_IDLE, exchange(&mut stream, &state)).await;
        if !matches!(exchange, Ok(Ok(()))) {
            return;
        }
    }
}

/// One question and its answer, each behind its length (RFC 1035 §4.2.2).
async fn exchange(stream: &mut TcpStream, state: &State) -> io::Result<()> {
    let length = stream.read_u16().await?;
    let mut request = vec![0u8; usize::from(length)];
    stream.read_exact(&mut request).await?;
    let Some((response, _)) = state.answer(&request) else {
        return Ok(());
    };
    let octets = response.to_vec().map_err(io::Error::other)?;
    let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&octets).await
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;

    use super::*;

    fn query(name: &str, kind: RecordType) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(absolute(name), kind));
        message
    }

    async fn over_udp(server: &DnsServer, message: &Message) -> Message {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let octets = message.to_vec().unwrap();
        socket.send_to(&octets, server.address()).await.unwrap();
        let mut buffer = [0u8; 4096];
        let length = socket.recv(&mut buffer).await.unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    async fn over_tcp(server: &DnsServer, message: &Message) -> Message {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let octets = message.to_vec().unwrap();
        let length = u16::try_from(octets.len()).unwrap();
        stream.write_all(&length.to_be_bytes()).await.unwrap();
        stream.write_all(&octets).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut answer = vec![0u8; usize::from(length)];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }

    fn zones() -> Zones {
        let mut zones = Zones::new();
        zones
            .mx("tls.test", 10, "mx.tls.test")
            .address("mx.tls.test", IpAddr::from([127, 0, 0, 2]))
            .cname("alias.test", "tls.test")
            .null_mx("nomail.test")
            .nodata("empty.test")
            .servfail("broken.test");
        zones
    }

    #[tokio::test]
    async fn answers_records_aliases_and_faults() {
        let server = DnsServer::start(zones()).await.unwrap();
        let mx = over_udp(&server, &query("TLS.test", RecordType::MX)).await;
        assert_eq!(mx.metadata.id, 7);
        assert_eq!(
            mx.answers[0].data,
            RData::MX(MX::new(10, absolute("mx.tls.test")))
        );
        let alias = over_udp(&server, &query("alias.test", RecordType::MX)).await;
        assert_eq!(alias.answers.len(), 2, "the alias and what it leads to");
        let null = over_udp(&server, &query("nomail.test", RecordType::MX)).await;
        assert_eq!(null.answers[0].data, RData::MX(MX::new(0, Name::root())));
        for (name, code) in [
            ("empty.test", ResponseCode::NoError),
            ("nowhere.test", ResponseCode::NXDomain),
            ("broken.test", ResponseCode::ServFail),
        ] {
            let answer = over_udp(&server, &query(name, RecordType::MX)).await;
            assert_eq!(answer.metadata.response_code, code, "{name}");
            assert!(answer.answers.is_empty(), "{name}");
        }
        assert_eq!(server.asked()[0], ("tls.test".to_owned(), RecordType::MX));
        server.change(|zones| {
            zones.remove("tls.test");
        });
        let gone = over_udp(&server, &query("tls.test", RecordType::MX)).await;
        assert_eq!(gone.metadata.response_code, ResponseCode::NXDomain);
    }

    #[tokio::test]
    async fn a_long_answer_is_truncated_and_whole_over_tcp() {
        let mut zones = Zones::new();
        for host in 0..60 {
            zones.address("many.test", IpAddr::from([127, 0, 1, host]));
        }
        let server = DnsServer::start(zones).await.unwrap();
        let question = query("many.test", RecordType::A);
        let cut = over_udp(&server, &question).await;
        assert!(cut.metadata.truncation);
        let whole = over_tcp(&server, &question).await;
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), 60);
    }
}
