//! What states are read from: the store at one moment, or as a write transaction makes it.

use std::sync::Arc;

use alloy_primitives::B256;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use super::{BlockKey, CANONICAL, CODES, HEADERS, Hash, NODES, StoreError, Tables};

/// The tables that a state is read from.
pub trait StateTables {
    /// Shows a chunk of nodes; `None` when there is none with this number.
    ///
    /// # Errors
    /// When the store fails.
    fn chunk<T>(&self, number: u64, show: impl FnOnce(&[u8]) -> T)
    -> Result<Option<T>, StoreError>;

    /// The code with this hash.
    ///
    /// # Errors
    /// When the store fails.
    fn code(&self, hash: B256) -> Result<Option<Vec<u8>>, StoreError>;

    /// RLP of a header.
    ///
    /// # Errors
    /// When the store fails.
    fn header(&self, number: u64, hash: B256) -> Result<Option<Vec<u8>>, StoreError>;

    /// Hash of the canonical block with this number.
    ///
    /// # Errors
    /// When the store fails.
    fn canonical(&self, number: u64) -> Result<Option<B256>, StoreError>;
}

/// The tables of states at one moment.
#[derive(Clone)]
pub struct Snapshot(Arc<SnapshotTables>);

struct SnapshotTables {
    nodes: ReadOnlyTable<u64, &'static [u8]>,
    codes: ReadOnlyTable<Hash, &'static [u8]>,
    headers: ReadOnlyTable<BlockKey, &'static [u8]>,
    canonical: ReadOnlyTable<u64, Hash>,
}

impl core::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(SnapshotTables {
            nodes: transaction.open_table(NODES)?,
            codes: transaction.open_table(CODES)?,
            headers: transaction.open_table(HEADERS)?,
            canonical: transaction.open_table(CANONICAL)?,
        })))
    }
}

impl StateTables for Snapshot {
    fn chunk<T>(
        &self,
        number: u64,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.0.nodes.get(number)?.map(|chunk| show(chunk.value())))
    }

    fn code(&self, hash: B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.codes.get(hash.0)?.map(|code| code.value().to_vec()))
    }

    fn header(&self, number: u64, hash: B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.headers.get((number, hash.0))?.map(|rlp| rlp.value().to_vec()))
    }

    fn canonical(&self, number: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.0.canonical.get(number)?.map(|hash| B256::from(hash.value())))
    }
}

impl StateTables for &Tables<'_> {
    fn chunk<T>(
        &self,
        number: u64,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.nodes.get(number)?.map(|chunk| show(chunk.value())))
    }

    fn code(&self, hash: B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.codes.get(hash.0)?.map(|code| code.value().to_vec()))
    }

    fn header(&self, number: u64, hash: B256) -> Result<Option<Vec<u8>>, StoreError> {
        Tables::header(self, number, &hash)
    }

    fn canonical(&self, number: u64) -> Result<Option<B256>, StoreError> {
        Tables::canonical(self, number)
    }
}
