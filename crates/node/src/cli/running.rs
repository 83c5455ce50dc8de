//! Which running node a command talks to.

use std::path::PathBuf;

use clap::Args;

use crate::ipc::client::{CallError, IpcClient};

/// The node that a command talks to.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false)]
pub(super) struct RunningNode {
    /// The data directory of the running node
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The socket of the running node, if it is not chainmesh.ipc in its data directory
    #[arg(long, value_name = "SOCKET")]
    ipc: Option<PathBuf>,
}

impl RunningNode {
    /// Connects to it.
    pub(super) async fn connect(&self) -> Result<IpcClient, CallError> {
        match (&self.data_dir, &self.ipc) {
            (_, Some(socket)) => IpcClient::connect_socket(socket).await,
            (Some(data_dir), None) => IpcClient::connect(data_dir).await,
            // The group requires one of them.
            (None, None) => IpcClient::connect(std::path::Path::new(".")).await,
        }
    }
}

/// The node's own words, where it refused something: people need not read the name of the method.
pub(super) fn refusal(error: CallError) -> anyhow::Error {
    match error {
        CallError::Refused { message, .. } => anyhow::anyhow!(message),
        other => other.into(),
    }
}
