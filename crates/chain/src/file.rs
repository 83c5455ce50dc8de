//! Chain files in and out: blocks as RLP, one behind the other, without the genesis block
//! (go-ethereum's `export` and `import`; usually named `chain.rlp`).

mod export;
mod import;
mod read;

use std::io;

use alloy_primitives::B256;
use chainmesh_proto::eth::chain::{ImportError, StorageError};

use crate::body::BodyError;
use crate::store::StoreError;

pub use export::{ExportError, export};
pub use import::{ImportOptions, ImportSummary, Progress, import, import_path};
pub use read::{BlockReader, RawBlock};

/// Longest block that is read, bytes: what fits into a message between nodes. Blocks of Ethereum
/// stay below 10 MiB (EIP-7934).
pub const MAX_BLOCK_LENGTH: usize = 16 << 20;

/// Most blocks in one transaction (go-ethereum, `importBatchSize`).
pub const IMPORT_BATCH_BLOCKS: usize = 2_500;

/// Most bytes of blocks in one transaction; with a block longer than this it is one alone. It is
/// the memory that an import needs, beside the store's own.
pub const IMPORT_BATCH_BYTES: usize = 8 << 20;

/// What is wrong with a chain file, and where: `block` is the number that is expected next to the
/// blocks before, `offset` the byte of the file at which that block begins. The blocks before are
/// stored.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file could not be opened.
    #[error("cannot open the chain file {}: {source}", path.display())]
    Open {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Reading failed.
    #[error("reading failed in block {block} at byte {offset}: {source}")]
    Read {
        /// Block number.
        block: u64,
        /// Begin of the block in the file.
        offset: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// The file ends inside of a block.
    #[error("the file is cut: it ends inside of block {block}, which begins at byte {offset}")]
    Cut {
        /// Block number.
        block: u64,
        /// Begin of the block in the file.
        offset: u64,
    },
    /// What stands there is no RLP list.
    #[error("there is no block {block} at byte {offset}: what stands there is no RLP list")]
    NotAList {
        /// Block number.
        block: u64,
        /// Begin of the block in the file.
        offset: u64,
    },
    /// The block says that it is longer than [`MAX_BLOCK_LENGTH`].
    #[error(
        "block {block} at byte {offset} claims {length} bytes, more than the {MAX_BLOCK_LENGTH} \
         that a block may have"
    )]
    TooLong {
        /// Block number.
        block: u64,
        /// Begin of the block in the file.
        offset: u64,
        /// The length that it claims.
        length: u64,
    },
    /// The header or the lists around it cannot be decoded.
    #[error("block {block} at byte {offset} cannot be decoded: {source}")]
    Rlp {
        /// Block number.
        block: u64,
        /// Begin of the block in the file.
        offset: u64,
        /// What is wrong.
        source: alloy_rlp::Error,
    },
    /// The body is not the one that the header was sealed with.
    #[error("block {block} at byte {offset} has a wrong body: {source}")]
    Body {
        /// Block number.
        block: u64,
        /// Begin of the block in the file.
        offset: u64,
        /// What is wrong.
        source: BodyError,
    },
    /// The file belongs to another network.
    #[error(
        "the file is of another network: block {block} at byte {offset} stands on the genesis \
         block {found}, ours is {ours}"
    )]
    OtherGenesis {
        /// Block number.
        block: u64,
        /// Begin of the block in the file.
        offset: u64,
        /// Genesis block of the file.
        found: B256,
        /// Genesis block of the chain.
        ours: B256,
    },
    /// The parent of the block is neither before it in the file nor in the chain.
    #[error(
        "block {block} at byte {offset} has a parent that is neither in the chain nor before it \
         in the file ({parent}): blocks are missing, or out of order"
    )]
    OutOfOrder {
        /// Number in the block's header.
        block: u64,
        /// Begin of the block in the file.
        offset: u64,
        /// The missing parent.
        parent: B256,
    },
    /// The block breaks a rule of the chain.
    #[error("block {block} at byte {offset} is invalid: {reason}")]
    Invalid {
        /// Number in the block's header.
        block: u64,
        /// Begin of the block in the file.
        offset: u64,
        /// The broken rule.
        reason: Box<dyn core::error::Error + Send + Sync>,
    },
    /// The store failed; the file is not to blame.
    #[error("{source}")]
    Storage {
        /// The reason.
        #[from]
        source: StorageError,
    },
}

impl From<StoreError> for FileError {
    fn from(error: StoreError) -> Self {
        Self::Storage { source: error.into() }
    }
}

impl FileError {
    /// The number of the block that is wrong, and the byte at which it begins.
    #[must_use]
    pub const fn position(&self) -> Option<(u64, u64)> {
        match self {
            Self::Open { .. } | Self::Storage { .. } => None,
            Self::Read { block, offset, .. }
            | Self::Cut { block, offset }
            | Self::NotAList { block, offset }
            | Self::TooLong { block, offset, .. }
            | Self::Rlp { block, offset, .. }
            | Self::Body { block, offset, .. }
            | Self::OtherGenesis { block, offset, .. }
            | Self::OutOfOrder { block, offset, .. }
            | Self::Invalid { block, offset, .. } => Some((*block, *offset)),
        }
    }

    fn refused(error: ImportError, offset: u64) -> Self {
        match error {
            ImportError::Invalid { number, reason, .. } => {
                Self::Invalid { block: number, offset, reason }
            }
            ImportError::UnknownParent { number, parent, .. } => {
                Self::OutOfOrder { block: number, offset, parent }
            }
            ImportError::Storage(source) => Self::Storage { source },
        }
    }
}
