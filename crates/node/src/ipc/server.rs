//! The node's end of the IPC socket.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonrpsee_core::server::Methods;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, warn};

use super::{FrameError, IpcError, JsonStream, MAX_REQUEST, MAX_SOCKET_PATH, SOCKET_NAME};
use crate::rpc::conversation::{self, Bounds, Incoming, Pipe};
use crate::rpc::dispatch::{self, Connections};

/// Connections at once; one more is closed at once.
pub const MAX_CONNECTIONS: usize = 32;

/// Subscriptions of one connection, at most.
const MAX_SUBSCRIPTIONS: u32 = 128;

/// What a connection may cost. go-ethereum's WebSockets wait for 10 s, its HTTP for 30 s.
const BOUNDS: Bounds = Bounds { max_bytes: MAX_REQUEST, patience: Duration::from_secs(30) };

/// Bytes read at once.
const READ: usize = 16 * 1024;

/// The IPC socket of a running node. Whoever may open it is the user that the node runs as.
#[derive(Debug)]
pub struct IpcServer {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl IpcServer {
    /// Makes the socket in a data directory, and answers with these methods. A socket that is there
    /// already was left behind by a node that is gone, since the caller holds the lock of the
    /// directory; it is replaced.
    ///
    /// # Errors
    /// See [`IpcError`].
    pub fn start(data_dir: &Path, methods: impl Into<Methods>) -> Result<Self, IpcError> {
        let path = data_dir.join(SOCKET_NAME);
        let length = path.as_os_str().as_bytes().len();
        if length > MAX_SOCKET_PATH {
            return Err(IpcError::PathTooLong { path, length });
        }
        match bind(data_dir, &path) {
            Ok(listener) => {
                let task = tokio::spawn(accept(listener, methods.into()));
                Ok(Self { path, task })
            }
            Err(source) => Err(IpcError::Bind { path, source }),
        }
    }

    /// Removes the socket, and ends all connections.
    pub async fn stop(mut self) {
        self.task.abort();
        // Whether it ended or was aborted, it is gone.
        let _ = (&mut self.task).await;
    }
}

impl Drop for IpcServer {
    fn drop(&mut self) {
        self.task.abort();
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                warn!("cannot remove {}: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

/// A socket has the permissions of the process's umask when it is made. So it is made in a
/// directory that nobody else can enter, is given its own, and is then moved to its place.
fn bind(data_dir: &Path, path: &Path) -> io::Result<UnixListener> {
    let private = tempfile::Builder::new()
        .prefix(".ipc")
        .rand_bytes(6)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(data_dir)?;
    let made = private.path().join("s");
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    fs::rename(&made, path)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, methods: Methods) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (mut connections, numbers) = (JoinSet::new(), Connections::default());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                        debug!("an IPC connection was not taken: there are {MAX_CONNECTIONS}");
                        continue;
                    };
                    let dispatcher = numbers.open(&methods, MAX_SUBSCRIPTIONS);
                    let requests = JsonStream::new(MAX_REQUEST);
                    let socket = Socket { stream, requests, buffer: vec![0; READ] };
                    connections.spawn(async move {
                        if let Err(error) = conversation::run(socket, &dispatcher, BOUNDS).await {
                            debug!("an IPC connection ended: {error}");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    // No file descriptor is left, most likely: others may be given back.
                    warn!("no IPC connection can be taken: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Both directions of one connection.
struct Socket {
    stream: UnixStream,
    requests: JsonStream,
    buffer: Vec<u8>,
}

impl Pipe for Socket {
    async fn read(&mut self) -> io::Result<Incoming> {
        loop {
            match self.requests.next_value() {
                Ok(Some(request)) => return Ok(Incoming::Request(request)),
                Ok(None) => match self.stream.read(&mut self.buffer).await? {
                    0 => return Ok(Incoming::End),
                    read => self.requests.push(self.buffer.get(..read).unwrap_or_default()),
                },
                Err(error @ FrameError::TooLong { .. }) => {
                    return Ok(Incoming::Lost(dispatch::too_long(&error.to_string())));
                }
                Err(FrameError::NotAStructure) => {
                    return Ok(Incoming::Lost(dispatch::parse_error()));
                }
            }
        }
    }

    async fn write(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.write_all(b"\n").await
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    async fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }
}
