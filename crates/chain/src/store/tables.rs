//! [`Tables`]: the store as a write transaction makes it.

use alloy_primitives::{B256, U256};
use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    BODIES, BlockKey, CANONICAL, CLIQUE, CODES, HEADERS, Hash, INDEX, META, META_GENESIS,
    META_GENESIS_HASH, META_HEAD, META_SCHEMA, NODES, RECEIPTS, SCHEMA_VERSION, STATES, StoreError,
    TRANSACTIONS, index_entry,
};

/// The tables of one write transaction, which reads what it has written itself.
pub(crate) struct Tables<'t> {
    index: Table<'t, Hash, (u64, Hash)>,
    headers: Table<'t, BlockKey, &'static [u8]>,
    bodies: Table<'t, BlockKey, &'static [u8]>,
    canonical: Table<'t, u64, Hash>,
    clique: Table<'t, Hash, &'static [u8]>,
    meta: Table<'t, &'static str, &'static [u8]>,
    receipts: Table<'t, BlockKey, &'static [u8]>,
    transactions: Table<'t, Hash, (u64, u32)>,
    states: Table<'t, BlockKey, u64>,
    pub(super) nodes: Table<'t, u64, &'static [u8]>,
    pub(super) codes: Table<'t, Hash, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            index: transaction.open_table(INDEX)?,
            headers: transaction.open_table(HEADERS)?,
            bodies: transaction.open_table(BODIES)?,
            canonical: transaction.open_table(CANONICAL)?,
            clique: transaction.open_table(CLIQUE)?,
            meta: transaction.open_table(META)?,
            receipts: transaction.open_table(RECEIPTS)?,
            transactions: transaction.open_table(TRANSACTIONS)?,
            states: transaction.open_table(STATES)?,
            nodes: transaction.open_table(NODES)?,
            codes: transaction.open_table(CODES)?,
        })
    }

    pub(crate) fn set_genesis(&mut self, hash: B256, json: &[u8]) -> Result<(), StoreError> {
        self.meta.insert(META_SCHEMA, SCHEMA_VERSION.to_be_bytes().as_slice())?;
        self.meta.insert(META_GENESIS_HASH, hash.as_slice())?;
        self.meta.insert(META_GENESIS, json)?;
        Ok(())
    }

    pub(crate) fn set_head(&mut self, hash: B256) -> Result<(), StoreError> {
        self.meta.insert(META_HEAD, hash.as_slice())?;
        Ok(())
    }

    /// Stores a block; whether it is canonical is another question.
    pub(crate) fn put_block(
        &mut self,
        (number, hash): (u64, B256),
        header_rlp: &[u8],
        body_rlp: &[u8],
        total_difficulty: U256,
    ) -> Result<(), StoreError> {
        self.headers.insert((number, hash.0), header_rlp)?;
        self.bodies.insert((number, hash.0), body_rlp)?;
        self.index.insert(hash.0, (number, total_difficulty.to_be_bytes()))?;
        Ok(())
    }

    pub(crate) fn index(&self, hash: &B256) -> Result<Option<(u64, U256)>, StoreError> {
        Ok(self.index.get(hash.0)?.map(|entry| index_entry(entry.value())))
    }

    pub(crate) fn header(&self, number: u64, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.headers.get((number, hash.0))?.map(|rlp| rlp.value().to_vec()))
    }

    pub(crate) fn canonical(&self, number: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.canonical.get(number)?.map(|hash| B256::from(hash.value())))
    }

    /// Makes a block canonical; returns the one that was.
    pub(crate) fn set_canonical(
        &mut self,
        number: u64,
        hash: B256,
    ) -> Result<Option<B256>, StoreError> {
        Ok(self.canonical.insert(number, hash.0)?.map(|before| B256::from(before.value())))
    }

    /// Leaves a number without a canonical block; returns the one that was.
    pub(crate) fn clear_canonical(&mut self, number: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.canonical.remove(number)?.map(|before| B256::from(before.value())))
    }

    pub(crate) fn snapshot(&self, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.clique.get(hash.0)?.map(|rlp| rlp.value().to_vec()))
    }

    pub(crate) fn put_snapshot(&mut self, hash: B256, rlp: &[u8]) -> Result<(), StoreError> {
        self.clique.insert(hash.0, rlp)?;
        Ok(())
    }

    pub(crate) fn body(&self, number: u64, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.bodies.get((number, hash.0))?.map(|rlp| rlp.value().to_vec()))
    }

    pub(crate) fn put_receipts(
        &mut self,
        (number, hash): (u64, B256),
        rlp: &[u8],
    ) -> Result<(), StoreError> {
        self.receipts.insert((number, hash.0), rlp)?;
        Ok(())
    }

    /// Where the root of the state behind a block is.
    pub(crate) fn state(&self, number: u64, hash: &B256) -> Result<Option<u64>, StoreError> {
        Ok(self.states.get((number, hash.0))?.map(|place| place.value()))
    }

    /// Stores the nodes of a new state.
    pub(crate) fn put_chunks(&mut self, chunks: &[(u64, Vec<u8>)]) -> Result<(), StoreError> {
        for (number, chunk) in chunks {
            self.nodes.insert(*number, chunk.as_slice())?;
        }
        Ok(())
    }

    /// Says where the root of the state behind a block is.
    pub(crate) fn put_state(
        &mut self,
        (number, hash): (u64, B256),
        place: u64,
    ) -> Result<(), StoreError> {
        self.states.insert((number, hash.0), place)?;
        Ok(())
    }

    pub(crate) fn put_code(&mut self, hash: B256, code: &[u8]) -> Result<(), StoreError> {
        if self.codes.get(hash.0)?.is_none() {
            self.codes.insert(hash.0, code)?;
        }
        Ok(())
    }

    /// Says where a canonical transaction is.
    pub(crate) fn put_transaction(
        &mut self,
        hash: B256,
        number: u64,
        index: u32,
    ) -> Result<(), StoreError> {
        self.transactions.insert(hash.0, (number, index))?;
        Ok(())
    }

    /// Forgets where a transaction is.
    pub(crate) fn clear_transaction(&mut self, hash: B256) -> Result<(), StoreError> {
        self.transactions.remove(hash.0)?;
        Ok(())
    }
}
