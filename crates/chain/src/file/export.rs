//! The canonical chain into a chain file.

use std::io::{self, Write};
use std::ops::{ControlFlow, RangeInclusive};

use chainmesh_proto::eth::chain::{ChainReader, StorageError};

use crate::store::{Damage, StoreError};
use crate::{Chain, block};

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The range is empty, or ends above the head.
    #[error("the blocks {first} to {last} were asked for, the chain has 0 to {head}")]
    Range {
        /// First block that was asked for.
        first: u64,
        /// Last block that was asked for.
        last: u64,
        /// Number of the head.
        head: u64,
    },
    /// Writing failed.
    #[error("writing failed at block {block}: {source}")]
    Write {
        /// The block that was to be written.
        block: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// The chain was reorganised while it was exported: the blocks written do not fit together.
    #[error("the chain was reorganised at block {block} during the export; start again")]
    Reorganised {
        /// The first block that does not fit the one before.
        block: u64,
    },
    /// The store failed.
    #[error("{source}")]
    Storage {
        /// The reason.
        #[from]
        source: StorageError,
    },
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Storage { source: error.into() }
    }
}

/// Writes the canonical blocks of a range, in ascending order, and returns how many. A chain file
/// usually begins with block 1. `progress` is told of each block that was written (how many, and
/// how many there are), and may end the export there.
///
/// # Errors
/// See [`ExportError`].
pub fn export(
    chain: &Chain,
    range: RangeInclusive<u64>,
    mut output: impl Write,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<u64, ExportError> {
    let (first, last) = (*range.start(), *range.end());
    let head = chain.head().number;
    if range.is_empty() || last > head {
        return Err(ExportError::Range { first, last, head });
    }
    let total = (last - first).saturating_add(1);
    let mut written = 0;
    let mut previous = None;
    for number in range {
        let damaged = || StoreError::Inconsistent(Damage::Canonical(number));
        let hash = chain.canonical_hash(number)?.ok_or_else(damaged)?;
        let header = chain.header(&hash)?.ok_or_else(damaged)?;
        if previous.is_some_and(|previous| previous != header.parent_hash) {
            return Err(ExportError::Reorganised { block: number });
        }
        previous = Some(hash);
        let header_rlp = chain.header_rlp(&hash)?.ok_or_else(damaged)?;
        let body_rlp = chain.body_rlp(&hash)?.ok_or_else(damaged)?;
        let rlp = block::encode(&header_rlp, &body_rlp).map_err(|_| damaged())?;
        let failed = |source| ExportError::Write { block: number, source };
        output.write_all(&rlp).map_err(failed)?;
        written += 1;
        if progress(written, total).is_break() {
            break;
        }
    }
    output.flush().map_err(|source| ExportError::Write { block: last, source })?;
    Ok(written)
}
