//! The end of those who ask a running node.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{FrameError, JsonStream, SOCKET_NAME};

/// Longest answer that is taken, bytes.
const MAX_ANSWER: usize = 64 << 20;

/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens on the socket.
    #[error(
        "no node runs on the data directory {}; start one with: chainmesh run --data-dir {}",
        data_dir.display(), data_dir.display()
    )]
    NotRunning {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Talking to it failed.
    #[error("the node on {} cannot be asked: {source}", data_dir.display())]
    Io {
        /// The data directory.
        data_dir: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It took too long.
    #[error("the node on {} did not answer within {} s", data_dir.display(), patience.as_secs())]
    TimedOut {
        /// How long was waited.
        patience: Duration,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The answer is none.
    #[error("the node's answer cannot be understood: {0}")]
    Answer(#[from] serde_json::Error),
    /// The answer is none.
    #[error("the node's answer cannot be understood: {0}")]
    Frame(#[from] FrameError),
    /// It refused the request.
    #[error("the node refused {method}: {message} (code {code})")]
    Refused {
        /// The method.
        method: String,
        /// JSON-RPC's number for the error.
        code: i64,
        /// The node's words.
        message: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    message: String,
}

/// A connection to a running node.
#[derive(Debug)]
pub struct IpcClient {
    data_dir: PathBuf,
    stream: UnixStream,
    answers: JsonStream,
}

impl IpcClient {
    /// Connects to the node that runs on a data directory.
    ///
    /// # Errors
    /// [`CallError::NotRunning`] and [`CallError::Io`].
    pub async fn connect(data_dir: &Path) -> Result<Self, CallError> {
        Self::connect_to(data_dir, &data_dir.join(SOCKET_NAME)).await
    }

    /// Connects to the node that listens on this socket.
    ///
    /// # Errors
    /// As [`IpcClient::connect`]; the directory of the socket is named in its place.
    pub async fn connect_socket(socket: &Path) -> Result<Self, CallError> {
        Self::connect_to(socket.parent().unwrap_or(socket), socket).await
    }

    async fn connect_to(data_dir: &Path, socket: &Path) -> Result<Self, CallError> {
        match UnixStream::connect(socket).await {
            Ok(stream) => {
                let answers = JsonStream::new(MAX_ANSWER);
                Ok(Self { data_dir: data_dir.into(), stream, answers })
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                Err(CallError::NotRunning { data_dir: data_dir.into() })
            }
            Err(source) => Err(CallError::Io { data_dir: data_dir.into(), source }),
        }
    }

    /// Calls a method, and gives its result.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, CallError> {
        self.call_within(PATIENCE, method, params).await
    }

    /// The same for a method that takes its time: the answer is waited for this long.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_within(
        &mut self,
        patience: Duration,
        method: &str,
        params: Value,
    ) -> Result<Value, CallError> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = tokio::time::timeout(patience, self.exchange(&request.to_string())).await;
        let timed_out = |_| CallError::TimedOut { data_dir: self.data_dir.clone(), patience };
        let answer: Answer = serde_json::from_slice(&answer.map_err(timed_out)??)?;
        match answer.error {
            None => Ok(answer.result),
            Some(error) => Err(CallError::Refused {
                method: method.into(),
                code: error.code,
                message: error.message,
            }),
        }
    }

    async fn exchange(&mut self, request: &str) -> Result<Vec<u8>, CallError> {
        let failed = |source| CallError::Io { data_dir: self.data_dir.clone(), source };
        self.stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            if let Some(answer) = self.answers.next_value()? {
                return Ok(answer);
            }
            match self.stream.read(&mut buffer).await.map_err(failed)? {
                0 => return Err(failed(ErrorKind::UnexpectedEof.into())),
                read => self.answers.push(buffer.get(..read).unwrap_or_default()),
            }
        }
    }
}
