//! The directory of one node: the lock that keeps other processes out, its key, its chain.
//!
//! | file | content |
//! |---|---|
//! | `LOCK` | process id of the node that uses the directory |
//! | `p2p_key` | the node's secret key, 64 hex digits |
//! | `chain.redb` | the blocks, and the genesis they stand on |
//! | `peers.redb` | the address book: other nodes, and what the operator decided about them |
//! | `chainmesh.ipc` | Unix socket of a running node |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainmesh_chain::lock::LockError;
use chainmesh_chain::{Chain, ChainError, ChainOptions, ChainSpec, DataDirLock, StoreError};
use chainmesh_identity::NodeKey;
use chainmesh_identity::key_file::{self, KEY_FILE_NAME, KeyFileError};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process uses it, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is no such directory, and nothing is to be made.
    #[error(
        "there is no data directory {}; run and import make one when they are given --genesis FILE",
        path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// There is no chain in it, and no genesis was named to begin one.
    #[error(
        "there is no chain in {} yet: say which network it belongs to with --genesis FILE",
        path.display()
    )]
    NoGenesis {
        /// The directory.
        path: PathBuf,
    },
    /// The chain in it cannot be opened.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Its node key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

/// A data directory that this process has locked, with its chain.
#[derive(Debug)]
pub struct DataDir {
    /// The chain in it.
    pub chain: Arc<Chain>,
    lock: DataDirLock,
}

impl DataDir {
    /// Locks a directory and opens its chain. With `spec`, directory and chain are made when they
    /// do not exist, and a chain of another network is refused; without, the chain must be there.
    ///
    /// Reads the disk: from asynchronous code, call it on a blocking thread.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub fn open(path: &Path, spec: Option<ChainSpec>) -> Result<Self, DataDirError> {
        if spec.is_none() && !path.is_dir() {
            return Err(DataDirError::Missing { path: path.into() });
        }
        let lock = DataDirLock::acquire(path)?;
        let chain = match spec {
            Some(spec) => Chain::open_with(path, spec, ChainOptions::default())?,
            None => match Chain::open_existing(path, ChainOptions::default()) {
                Err(ChainError::Store(StoreError::Missing { .. })) => {
                    return Err(DataDirError::NoGenesis { path: path.into() });
                }
                opened => opened?,
            },
        };
        Ok(Self { chain: Arc::new(chain), lock })
    }

    /// Locks a directory and opens the chain in it, as [`DataDir::open`], but does without one when
    /// there is none and no `spec` to begin one with. The directory is made.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub fn open_parts(
        path: &Path,
        spec: Option<ChainSpec>,
    ) -> Result<(DataDirLock, Option<Arc<Chain>>), DataDirError> {
        if spec.is_none() {
            let lock = DataDirLock::acquire(path)?;
            return match Chain::open_existing(path, ChainOptions::default()) {
                Err(ChainError::Store(StoreError::Missing { .. })) => Ok((lock, None)),
                opened => Ok((lock, Some(Arc::new(opened?)))),
            };
        }
        Ok(Self::open(path, spec)?.into_parts())
    }

    /// The lock, and the chain.
    #[must_use]
    pub fn into_parts(self) -> (DataDirLock, Option<Arc<Chain>>) {
        (self.lock, Some(self.chain))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.lock.data_dir()
    }

    /// The node key in it; made when there is none.
    ///
    /// # Errors
    /// [`DataDirError::Key`]; a damaged key file is left as it is.
    pub fn key(&self) -> Result<NodeKey, DataDirError> {
        let path = self.path().join(KEY_FILE_NAME);
        Ok(key_file::load_or_create(&path, chainmesh_net::entropy())?)
    }
}
