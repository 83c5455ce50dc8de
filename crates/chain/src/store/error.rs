//! What can be wrong with the store.

use std::path::PathBuf;

use alloy_primitives::B256;
use chainmesh_proto::eth::chain::StorageError;

use super::SCHEMA_VERSION;

/// What is wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("the block store {path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// There is no store in the directory.
    #[error("there is no block store {path}")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be opened, or is no store.
    #[error("cannot open the block store {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<redb::Error>,
    },
    /// The file was cut or altered from outside.
    #[error(
        "the block store {path} is damaged ({what}); restore it from a backup, or remove it and sync again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: Damage,
    },
    /// The file was written by another version of this program.
    #[error(
        "the block store {path} has layout {found}, this program knows layout {SCHEMA_VERSION}: \
         export the chain with the program that wrote it and import it into an empty directory, or \
         remove the store and sync again"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: u64,
    },
    /// Reading or writing failed.
    #[error("the block store failed: {0}")]
    Io(#[source] Box<redb::Error>),
    /// Something that must be in the store is not.
    #[error("the block store is damaged ({0})")]
    Inconsistent(Damage),
}

/// What does not fit in a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The file is cut, or its structure does not hold together.
    Structure,
    /// The entry with this name is missing or malformed.
    Meta(&'static str),
    /// A block that others refer to is missing or cannot be decoded.
    Block(B256),
    /// There is no canonical block with this number, below the head.
    Canonical(u64),
    /// Nobody knows where the state behind this block is.
    State(B256),
    /// The node with this hash, of the tries of the state, is missing or another one.
    StateNode(B256),
    /// What stands in the state at this hashed key makes no sense.
    StateKey(B256),
    /// The code with this hash is missing or another one.
    Code(B256),
    /// The receipts of this block are missing or cannot be decoded.
    Receipts(B256),
}

impl core::fmt::Display for Damage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Structure => f.write_str("its structure does not hold together"),
            Self::Meta(name) => write!(f, "its entry \"{name}\" is missing or malformed"),
            Self::Block(hash) => write!(f, "block {hash} is missing or malformed"),
            Self::Canonical(number) => write!(f, "there is no canonical block {number}"),
            Self::State(hash) => write!(f, "the state behind block {hash} is missing"),
            Self::StateNode(hash) => write!(f, "state node {hash} is missing or malformed"),
            Self::StateKey(key) => write!(f, "the state at key {key} is malformed"),
            Self::Code(hash) => write!(f, "code {hash} is missing or malformed"),
            Self::Receipts(hash) => {
                write!(f, "the receipts of block {hash} are missing or malformed")
            }
        }
    }
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Corrupted(_) => Self::Inconsistent(Damage::Structure),
            other => Self::Io(Box::new(other)),
        }
    }
}

impl From<StoreError> for StorageError {
    fn from(error: StoreError) -> Self {
        Self(Box::new(error))
    }
}
