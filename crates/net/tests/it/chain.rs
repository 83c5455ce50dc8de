//! A chain in memory: blocks in a row, no branches, one rule (a timestamp of 13 is invalid).

use std::sync::{Arc, Mutex};

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header};
use alloy_eip2124::{ForkFilter, ForkFilterKey, Head};
use alloy_primitives::{B256, U256};
use chainmesh_net::{EthChain, P2pConfig};
use chainmesh_proto::eth::chain::{
    ChainHead, ChainReader, ChainWriter, ImportError, StorageError, SyncBlock,
};

use crate::support::config;

/// An empty block.
pub(crate) fn block(number: u64, parent: B256, seconds: u64) -> SyncBlock {
    let header = Header {
        parent_hash: parent,
        number,
        timestamp: seconds,
        difficulty: U256::from(2),
        transactions_root: EMPTY_ROOT_HASH,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        ..Header::default()
    };
    let header_rlp = alloy_rlp::encode(&header).into();
    let hash = header.hash_slow();
    SyncBlock { hash, header, header_rlp, body_rlp: vec![0xc2, 0xc0, 0xc0].into() }
}

#[derive(Debug)]
pub(crate) struct TestChain(Mutex<Vec<SyncBlock>>);

impl TestChain {
    /// A genesis block that the salt makes different from others, and `length` blocks on it.
    pub(crate) fn new(salt: u64, length: u64) -> Arc<Self> {
        let mut blocks = vec![block(0, B256::with_last_byte(1), salt)];
        for number in 1..=length {
            let parent = blocks.last().unwrap().hash;
            blocks.push(block(number, parent, salt + number));
        }
        Arc::new(Self(Mutex::new(blocks)))
    }

    /// The next block on this chain, not yet part of it.
    pub(crate) fn next(&self) -> SyncBlock {
        let head = self.head();
        block(head.number + 1, head.hash, head.timestamp + 1)
    }

    fn find(&self, hash: &B256) -> Option<SyncBlock> {
        self.0.lock().unwrap().iter().find(|block| block.hash == *hash).cloned()
    }
}

impl ChainReader for TestChain {
    fn genesis_hash(&self) -> B256 {
        self.0.lock().unwrap()[0].hash
    }

    fn head(&self) -> ChainHead {
        let blocks = self.0.lock().unwrap();
        let head = blocks.last().unwrap();
        ChainHead {
            number: head.header.number,
            hash: head.hash,
            timestamp: head.header.timestamp,
            total_difficulty: U256::from(2 * blocks.len()),
        }
    }

    fn canonical_hash(&self, number: u64) -> Result<Option<B256>, StorageError> {
        let blocks = self.0.lock().unwrap();
        Ok(usize::try_from(number).ok().and_then(|at| blocks.get(at)).map(|block| block.hash))
    }

    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StorageError> {
        Ok(self.find(hash).map(|block| block.header.number))
    }

    fn header_rlp(&self, hash: &B256) -> Result<Option<bytes::Bytes>, StorageError> {
        Ok(self.find(hash).map(|block| block.header_rlp))
    }

    fn body_rlp(&self, hash: &B256) -> Result<Option<bytes::Bytes>, StorageError> {
        Ok(self.find(hash).map(|block| block.body_rlp))
    }
}

impl ChainWriter for TestChain {
    fn import(&self, new: &[SyncBlock]) -> Result<ChainHead, ImportError> {
        for block in new {
            let (number, hash) = (block.header.number, block.hash);
            if self.find(&hash).is_some() {
                continue;
            }
            let parent = block.header.parent_hash;
            if self.head().hash != parent {
                return Err(ImportError::UnknownParent { number, hash, parent });
            }
            if block.header.timestamp == 13 {
                let reason = "thirteen is refused".into();
                return Err(ImportError::Invalid { number, hash, reason });
            }
            self.0.lock().unwrap().push(block.clone());
        }
        Ok(self.head())
    }
}

/// Forks at these blocks.
pub(crate) fn forks(chain: &TestChain, blocks: &[u64]) -> ForkFilter {
    let keys = blocks.iter().map(|number| ForkFilterKey::Block(*number));
    ForkFilter::new(Head::default(), chain.genesis_hash(), 0, keys)
}

/// A node on this chain that synchronises.
pub(crate) fn on_chain(number: u8, chain: &Arc<TestChain>) -> P2pConfig {
    let mut config = config(number);
    config.genesis_hash = chain.genesis_hash();
    let reader: Arc<dyn ChainReader> = Arc::<TestChain>::clone(chain);
    let mut eth = EthChain::new(reader, forks(chain, &[]));
    eth.sync = Some(Arc::<TestChain>::clone(chain));
    config.chain = Some(eth);
    config
}
