//! The daemon's end of the socket.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cert::{Directory, Upload};
use super::{Answer, Code, MAX_REQUEST_OCTETS, Refusal, Request, queue};
use crate::directory::certificates::Certificates;
use crate::flow::Handle;
use crate::world::clock::Clock;

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 32;
/// How long a client may be silent, or leave an answer unread.
const PATIENCE: Duration = Duration::from_secs(60);
/// Only the daemon's own account and root.
const SOCKET_MODE: u32 = 0o600;

/// The socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Somebody answers on it.
    #[error("another process answers on the administrative socket {}", .0.display())]
    InUse(PathBuf),
    /// Something else lies there.
    #[error("{} is there and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// The system said no.
    #[error("cannot {operation} the administrative socket {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The open socket, on which nobody answers yet. Removed when dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: Remove,
}

/// Removes the socket when dropped.
#[derive(Debug)]
struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        // Whoever finds it stale replaces it; nothing is lost if this fails.
        drop(std::fs::remove_file(&self.0));
    }
}

impl AdminSocket {
    /// Opens the socket. A stale one, which nobody answers on, is replaced.
    pub fn open(path: &Path) -> Result<Self, AdminError> {
        clear(path)?;
        let failed = |operation| {
            let path = path.to_owned();
            move |source| AdminError::Io {
                operation,
                path,
                source,
            }
        };
        let listener = UnixListener::bind(path).map_err(failed("open"))?;
        // The process's umask has kept others out since the bind; this says so for good.
        let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
        std::fs::set_permissions(path, mode).map_err(failed("protect"))?;
        Ok(Self {
            listener,
            path: Remove(path.to_owned()),
        })
    }
}

/// Answers on the socket until dropped, which removes it and ends all connections.
#[derive(Debug)]
pub struct AdminServer {
    _path: Remove,
    _task: JoinSet<()>,
}

impl AdminServer {
    /// Begins to answer.
    pub fn start(
        socket: AdminSocket,
        flow: Handle,
        certificates: Certificates,
        clock: Clock,
    ) -> Self {
        let mut task = JoinSet::new();
        let resources = Resources {
            flow,
            directory: Directory::new(certificates, clock),
        };
        task.spawn(accept(socket.listener, resources));
        Self {
            _path: socket.path,
            _task: task,
        }
    }
}

/// What is asked about.
#[derive(Clone)]
struct Resources {
    flow: Handle,
    directory: Directory,
}

/// Removes a socket that a process which is no more has left.
fn clear(path: &Path) -> Result<(), AdminError> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(AdminError::Io {
                operation: "look at",
                path: path.to_owned(),
                source,
            });
        }
    };
    if !metadata.file_type().is_socket() {
        return Err(AdminError::NotASocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| AdminError::Io {
                operation: "replace",
                path: path.to_owned(),
                source,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(AdminError::InUse(path.to_owned())),
    }
}

async fn accept(listener: UnixListener, resources: Resources) {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let resources = resources.clone();
                connections.spawn(async move {
                    serve(stream, &resources).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others need a moment to give some back.
                tracing::warn!(%error, "the administrative socket cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, resources: &Resources) {
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let mut stream = BufReader::new(stream);
    let mut upload = Upload::default();
    while let Ok(Ok(Some(line))) = tokio::time::timeout(PATIENCE, read_line(&mut stream)).await {
        let answer = answer(&line, resources, &mut upload, uid).await;
        let written = async {
            stream.write_all(&answer).await?;
            stream.flush().await
        };
        if !matches!(tokio::time::timeout(PATIENCE, written).await, Ok(Ok(()))) {
            return;
        }
        if line.len() > MAX_REQUEST_OCTETS {
            return; // where the next request begins is unknown
        }
    }
}

/// A line without its newline; longer than [`MAX_REQUEST_OCTETS`] only if it is too long.
async fn read_line(stream: &mut BufReader<UnixStream>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let most = MAX_REQUEST_OCTETS as u64 + 1;
    let mut bounded = stream.take(most);
    bounded.read_until(b'\n', &mut line).await?;
    if line.pop_if(|last| *last == b'\n').is_some() || line.len() > MAX_REQUEST_OCTETS {
        return Ok(Some(line));
    }
    Ok(None)
}

async fn answer(
    line: &[u8],
    resources: &Resources,
    upload: &mut Upload,
    uid: Option<u32>,
) -> Vec<u8> {
    if line.len() > MAX_REQUEST_OCTETS {
        let text = format!("the request is longer than {MAX_REQUEST_OCTETS} octets");
        return encode::<()>(Err(Refusal::new(Code::BadRequest, text)));
    }
    let Resources { flow, directory } = resources;
    match serde_json::from_slice::<Request>(line) {
        Ok(Request::QueueList(filter)) => encode(queue::list(flow, filter).await),
        Ok(Request::QueueShow { queue_id }) => encode(queue::show(flow, &queue_id).await),
        Ok(Request::QueueExplain { queue_id }) => encode(queue::explain(flow, &queue_id).await),
        Ok(Request::QueueOrder(order)) => encode(queue::order(flow, order, uid).await),
        Ok(Request::CertUpload { part }) => encode(directory.upload(upload, &part)),
        Ok(Request::CertImport(import)) => encode(directory.import(upload, import, uid).await),
        Ok(Request::CertList(filter)) => encode(directory.list(filter).await),
        Ok(Request::CertRemoved(filter)) => encode(directory.removed(filter)),
        Ok(Request::CertShow { name }) => encode(directory.show(&name).await),
        Ok(Request::CertApprove(order)) => encode(directory.approve(order, uid).await),
        Ok(Request::CertRemove(order)) => encode(directory.remove(order, uid).await),
        Ok(Request::CertLookup(lookup)) => encode(directory.look_up(lookup).await),
        Err(error) => {
            let text = format!("the request is not understood: {error}");
            encode::<()>(Err(Refusal::new(Code::BadRequest, text)))
        }
    }
}

fn encode<T: Serialize>(result: Result<T, Refusal>) -> Vec<u8> {
    let answer = match result {
        Ok(value) => Answer::Ok(value),
        Err(refusal) => Answer::Error(refusal),
    };
    // Our own types always serialise; an empty line would only end the client's wait.
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    line
}
