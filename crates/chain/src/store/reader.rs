//! [`Reader`]: the store at one moment.

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

use super::state::Snapshot;
use super::{
    BODIES, CANONICAL, CLIQUE, Damage, HEADERS, INDEX, META, META_GENESIS, META_GENESIS_HASH,
    META_HEAD, META_SCHEMA, NODES, RECEIPTS, STATES, StoreError, TRANSACTIONS, index_entry,
};

/// The state of the store at one moment.
pub(crate) struct Reader(pub(super) ReadTransaction);

impl Reader {
    /// Whether anything was ever stored.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        match self.0.open_table(META) {
            Ok(meta) => Ok(meta.get(META_SCHEMA)?.is_none()),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(true),
            Err(other) => Err(other.into()),
        }
    }

    fn meta(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.open_table(META)?.get(name)?.map(|value| value.value().to_vec()))
    }

    pub(crate) fn schema(&self) -> Result<u64, StoreError> {
        let bytes = self.meta(META_SCHEMA)?.and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_be_bytes).ok_or(StoreError::Inconsistent(Damage::Meta(META_SCHEMA)))
    }

    pub(crate) fn genesis_json(&self) -> Result<Vec<u8>, StoreError> {
        let damaged = StoreError::Inconsistent(Damage::Meta(META_GENESIS));
        self.meta(META_GENESIS)?.ok_or(damaged)
    }

    pub(crate) fn genesis_hash(&self) -> Result<B256, StoreError> {
        self.meta_hash(META_GENESIS_HASH)
    }

    pub(crate) fn head(&self) -> Result<B256, StoreError> {
        self.meta_hash(META_HEAD)
    }

    fn meta_hash(&self, name: &'static str) -> Result<B256, StoreError> {
        let damaged = StoreError::Inconsistent(Damage::Meta(name));
        let bytes = self.meta(name)?.ok_or(damaged)?;
        B256::try_from(bytes.as_slice()).map_err(|_| StoreError::Inconsistent(Damage::Meta(name)))
    }

    pub(crate) fn index(&self, hash: &B256) -> Result<Option<(u64, U256)>, StoreError> {
        Ok(self.0.open_table(INDEX)?.get(hash.0)?.map(|entry| index_entry(entry.value())))
    }

    pub(crate) fn canonical(&self, number: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.0.open_table(CANONICAL)?.get(number)?.map(|hash| B256::from(hash.value())))
    }

    pub(crate) fn header(&self, number: u64, hash: &B256) -> Result<Option<Bytes>, StoreError> {
        let found = self.0.open_table(HEADERS)?.get((number, hash.0))?;
        Ok(found.map(|rlp| Bytes::copy_from_slice(rlp.value())))
    }

    pub(crate) fn snapshot(&self, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.open_table(CLIQUE)?.get(hash.0)?.map(|rlp| rlp.value().to_vec()))
    }

    pub(crate) fn body(&self, number: u64, hash: &B256) -> Result<Option<Bytes>, StoreError> {
        let found = self.0.open_table(BODIES)?.get((number, hash.0))?;
        Ok(found.map(|rlp| Bytes::copy_from_slice(rlp.value())))
    }

    pub(crate) fn receipts(&self, number: u64, hash: &B256) -> Result<Option<Bytes>, StoreError> {
        let found = self.0.open_table(RECEIPTS)?.get((number, hash.0))?;
        Ok(found.map(|rlp| Bytes::copy_from_slice(rlp.value())))
    }

    /// Number and index of the canonical transaction with this hash.
    pub(crate) fn transaction(&self, hash: &B256) -> Result<Option<(u64, u32)>, StoreError> {
        Ok(self.0.open_table(TRANSACTIONS)?.get(hash.0)?.map(|place| place.value()))
    }

    /// Where the root of the state behind a block is.
    pub(crate) fn state(&self, number: u64, hash: &B256) -> Result<Option<u64>, StoreError> {
        Ok(self.0.open_table(STATES)?.get((number, hash.0))?.map(|place| place.value()))
    }

    /// Number of the last chunk of nodes; 0 when there is none.
    pub(crate) fn last_chunk(&self) -> Result<u64, StoreError> {
        Ok(self.0.open_table(NODES)?.last()?.map_or(0, |(number, _)| number.value()))
    }

    /// What states are read from.
    pub(crate) fn state_tables(&self) -> Result<Snapshot, StoreError> {
        Snapshot::open(&self.0)
    }
}
