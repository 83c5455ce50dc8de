//! Blocks with transactions, on the states of a chain.

use alloy_consensus::TxEip1559;
use alloy_consensus::transaction::Recovered;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use chainmesh_chain::execute::{
    BlockTemplate, InOrder, Transaction, build_block, sign_transaction,
};
use chainmesh_chain::{Chain, block, clique};
use chainmesh_proto::eth::chain::SyncBlock;
use secp256k1::SecretKey;

use crate::common::{Devnet, devnet_with, key};

/// Whose money it is that is spent here.
pub(crate) fn rich() -> SecretKey {
    key(77)
}

/// What they have at the start, wei.
pub(crate) const RICHES: u128 = 1_000_000_000_000_000_000_000;

/// A contract that stores at slot 0 the hash of the block before the last:
/// `PUSH1 2 NUMBER SUB BLOCKHASH PUSH1 0 SSTORE`.
pub(crate) const HASHER: Address = Address::repeat_byte(0xb1);
const HASHER_CODE: &[u8] = &[0x60, 0x02, 0x43, 0x03, 0x40, 0x60, 0x00, 0x55];

/// A network where somebody is rich.
pub(crate) fn living(signers: u8) -> Devnet {
    devnet_with(signers, 1, |genesis| {
        let account = alloy_genesis::GenesisAccount::default;
        let rich = clique::address(&rich().public_key());
        genesis.alloc.insert(rich, account().with_balance(U256::from(RICHES)));
        genesis.alloc.insert(HASHER, account().with_code(Some(HASHER_CODE.into())));
    })
}

/// Sends from the rich: `value` wei to `to`.
pub(crate) fn pay(nonce: u64, to: Address, value: u64) -> Recovered<Transaction> {
    let transaction = TxEip1559 {
        chain_id: 1515,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(to),
        value: U256::from(value),
        input: Bytes::new(),
        ..TxEip1559::default()
    };
    let key = rich();
    let signed = sign_transaction(transaction, &key);
    Recovered::new_unchecked(signed, clique::address(&key.public_key()))
}

impl Devnet {
    /// The child of a stored block with these transactions, by the signer in this place.
    pub(crate) fn with_transactions(
        &self,
        chain: &Chain,
        parent: alloy_primitives::B256,
        signer: usize,
        transactions: Vec<Recovered<Transaction>>,
    ) -> SyncBlock {
        let above = chain.header(&parent).expect("read").expect("parent");
        let snapshot = chain.clique_snapshot(&parent).expect("read").expect("clique");
        let producer = &self.producers[signer];
        let now = above.timestamp + 1;
        let empty = producer
            .next_block(&self.spec, (&above, parent), &snapshot, now)
            .expect("an empty block");
        let template = BlockTemplate {
            header: empty.header,
            beneficiary: producer.signer(),
            withdrawals: Vec::new(),
        };
        let count = transactions.len();
        let state = chain.state(&parent).expect("read").expect("state");
        let mut source = InOrder::new(transactions);
        let consensus = self.spec.consensus();
        let built = build_block(&self.spec, consensus, &state, template, &mut source, || false)
            .expect("a block");
        assert_eq!(built.transactions.len(), count, "{:?}", built.skipped);
        let mut header = built.header;
        header.state_root = state.root_after(&built.executed.changes).expect("root");
        self.sealed(header, signer, built.body_rlp)
    }

    /// Seals a header as the signer in this place.
    pub(crate) fn sealed(
        &self,
        mut header: alloy_consensus::Header,
        signer: usize,
        body_rlp: bytes::Bytes,
    ) -> SyncBlock {
        let who = self.producers[signer].signer();
        let mut keys = (1..=self.producers.len() as u8).map(key);
        let key = keys.find(|key| clique::address(&key.public_key()) == who).expect("one of them");
        clique::seal(&mut header, &key).expect("seal");
        block::seal(header, body_rlp)
    }

    /// A chain of `count` blocks behind the head, each with one payment to somebody new.
    pub(crate) fn live(&self, chain: &Chain, count: u64) -> Vec<SyncBlock> {
        use chainmesh_proto::eth::chain::{ChainReader, ChainWriter};
        let blocks = (0..count).map(|_| {
            let head = chain.head();
            let turn = (head.number as usize + 1) % self.producers.len();
            let to = somebody(head.number + 1);
            let payment = pay(head.number, to, 5);
            let block = self.with_transactions(chain, head.hash, turn, vec![payment]);
            chain.import(std::slice::from_ref(&block)).expect("import");
            block
        });
        blocks.collect()
    }
}

/// Who is paid in the block with this number of [`Devnet::live`].
pub(crate) fn somebody(number: u64) -> Address {
    Address::from_word(U256::from(number + 1_000).into())
}
