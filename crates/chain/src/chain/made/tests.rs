//! What is remembered is used for the block that was made, and for no other. What is remembered
//! here is wrong, so that its use shows: the state root is another one.

use alloy_primitives::{Address, U256};
use bytes::Bytes;
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, ImportError, SyncBlock};
use revm::database::BundleState;
use revm::state::AccountInfo;
use secp256k1::SecretKey;

use crate::execute::Executed;
use crate::genesis::{DevNetwork, dev_clique};
use crate::rules::RuleError;
use crate::{Chain, ChainOptions, ChainSpec, Producer};

const START: u64 = 1_700_000_000;

struct Place {
    chain: Chain,
    /// The one in turn at block 1, and the other.
    producers: [Producer; 2],
    _directory: tempfile::TempDir,
}

fn place() -> Place {
    let key = |n| SecretKey::from_secret_bytes([n; 32]).expect("key");
    let mut producers = [Producer::new(key(1)), Producer::new(key(2))];
    // Block 1 is the turn of the second by address.
    producers.sort_by_key(|producer| core::cmp::Reverse(producer.signer()));
    let genesis = dev_clique(&DevNetwork {
        chain_id: 1515,
        period: 1,
        timestamp: START,
        signers: producers.iter().map(Producer::signer).collect(),
        balances: Vec::new(),
    });
    let directory = tempfile::tempdir().expect("directory");
    let spec = ChainSpec::new(genesis).expect("spec");
    let chain = Chain::open_with(directory.path(), spec, ChainOptions::default()).expect("open");
    Place { chain, producers, _directory: directory }
}

impl Place {
    fn block(&self, seconds: u64) -> SyncBlock {
        self.producers[0].next_on(&self.chain, START + seconds).expect("a block")
    }

    /// Remembers about a block that it made somebody rich, which it did not.
    fn remember(&self, block: &SyncBlock, signer: Address, body_rlp: Bytes) {
        let rich = AccountInfo { balance: U256::from(1), ..AccountInfo::default() };
        let changes = BundleState::builder(1..=1)
            .state_present_account_info(Address::repeat_byte(0x55), rich)
            .build();
        let header = &block.header;
        let executed = Executed {
            changes,
            receipts: Vec::new(),
            receipts_root: header.receipts_root,
            gas_used: 0,
            blob_gas_used: 0,
            logs_bloom: header.logs_bloom,
            requests: Default::default(),
        };
        self.chain.remember_made(header, signer, body_rlp, executed);
    }

    fn import(&self, block: &SyncBlock) -> Result<(), ImportError> {
        self.chain.import(core::slice::from_ref(block)).map(drop)
    }
}

#[test]
fn a_block_that_was_made_here_is_not_executed_again() {
    let place = place();
    let block = place.block(1);
    place.remember(&block, place.producers[0].signer(), block.body_rlp.clone());
    let Err(ImportError::Invalid { reason, .. }) = place.import(&block) else {
        panic!("it was executed");
    };
    let reason = reason.downcast::<RuleError>().expect("a rule");
    assert!(matches!(*reason, RuleError::StateRoot { .. }), "{reason:?}");

    // It is used once; a second time the block is executed, and good.
    place.import(&block).expect("executed");
    assert_eq!(place.chain.head().hash, block.hash);
}

#[test]
fn another_block_is_executed() {
    let place = place();
    let (made, other) = (place.block(1), place.block(2));
    place.remember(&made, place.producers[0].signer(), made.body_rlp.clone());
    place.import(&other).expect("executed");
    assert_eq!(place.chain.head().hash, other.hash);
}

#[test]
fn the_same_block_of_another_signer_is_executed() {
    // The hash below the seal says nothing about who seals, and it is the signer who is paid.
    let place = place();
    let block = place.block(1);
    place.remember(&block, place.producers[1].signer(), block.body_rlp.clone());
    place.import(&block).expect("executed");
    assert_eq!(place.chain.head().hash, block.hash);
}

#[test]
fn the_same_header_with_another_body_is_executed() {
    let place = place();
    let block = place.block(1);
    place.remember(&block, place.producers[0].signer(), Bytes::from_static(&[0xc2, 0xc1, 0xc0]));
    place.import(&block).expect("executed");
    assert_eq!(place.chain.head().hash, block.hash);
}
