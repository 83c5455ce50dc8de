//! What is answered, after geth's table `testGetBlockHeaders` and the incidents in its history.

use alloy_primitives::B256;
use bytes::Bytes;
use chainmesh_wire::eth::{
    BlockHeader, EthVersion, GetBlockHeaders, HashRequest, Message, Origin, code,
};

use super::super::chain::{ChainReader, StorageError, SyncBlock};
use super::super::testing::{MemoryChain, Shape, branch, genesis};
use super::{
    MAX_NON_CANONICAL, MAX_SERVED, SOFT_RESPONSE_LIMIT, bodies, headers, pooled_transactions,
    receipts_without_bloom,
};

fn chain(length: u64) -> MemoryChain {
    MemoryChain::with(&branch(&genesis(), length, Shape::default()))
}

fn ask(chain: &MemoryChain, query: GetBlockHeaders) -> Vec<BlockHeader> {
    let payload = headers(chain, &query).unwrap();
    match Message::decode(EthVersion::Eth68, code::BLOCK_HEADERS, &payload).unwrap() {
        Message::BlockHeaders(answer) => {
            assert_eq!(answer.request_id, query.request_id);
            answer.items
        }
        other => panic!("{other:?}"),
    }
}

fn query(origin: Origin, limit: u64, skip: u64, reverse: bool) -> GetBlockHeaders {
    GetBlockHeaders { request_id: 33, origin, limit, skip, reverse }
}

fn numbers(chain: &MemoryChain, origin: Origin, limit: u64, skip: u64, reverse: bool) -> Vec<u64> {
    let found = ask(chain, query(origin, limit, skip, reverse));
    found.into_iter().map(|header| header.header.number).collect()
}

#[test]
fn headers_by_number_and_hash() {
    use Origin::{Hash, Number};

    let chain = chain(2000);
    let hash = |number| Hash(chain.canonical_hash(number).unwrap().unwrap());
    for origin in [Number(1000), hash(1000)] {
        assert_eq!(numbers(&chain, origin, 1, 0, false), [1000]);
        assert_eq!(numbers(&chain, origin, 3, 0, false), [1000, 1001, 1002]);
        assert_eq!(numbers(&chain, origin, 3, 0, true), [1000, 999, 998]);
        assert_eq!(numbers(&chain, origin, 3, 3, false), [1000, 1004, 1008]);
        assert_eq!(numbers(&chain, origin, 3, 3, true), [1000, 996, 992]);
    }
    // The ends of the chain.
    assert_eq!(numbers(&chain, Number(0), 1, 0, true), [0]);
    assert_eq!(numbers(&chain, Number(2000), 3, 0, false), [2000]);
    assert_eq!(numbers(&chain, Number(4), 3, 3, true), [4, 0]);
    assert_eq!(numbers(&chain, Number(1996), 3, 3, false), [1996, 2000]);
    assert_eq!(numbers(&chain, hash(1996), 3, 2, false), [1996, 1999]);
}

#[test]
fn unknown_origins_get_an_empty_answer() {
    let chain = chain(10);
    assert!(numbers(&chain, Origin::Hash(B256::ZERO), 1, 0, false).is_empty());
    assert!(numbers(&chain, Origin::Number(11), 1, 0, false).is_empty());
}

/// eth-test's GetNonexistentBlockHeaders (v1.15.11).
#[test]
fn get_nonexistent_block_headers() {
    let chain = chain(10);
    for reverse in [false, true] {
        assert!(numbers(&chain, Origin::Number(u64::MAX), 10, 0, reverse).is_empty());
    }
}

/// CVE-2024-32972: an amount of 0 was decremented to 2^64 - 1 and the whole chain was read.
#[test]
fn cve_2024_32972_amount_zero() {
    let chain = chain(10);
    for origin in [Origin::Number(5), Origin::Hash(chain.canonical_hash(5).unwrap().unwrap())] {
        for reverse in [false, true] {
            assert!(numbers(&chain, origin, 0, 0, reverse).is_empty());
        }
    }
    assert_eq!(numbers(&chain, Origin::Number(5), u64::MAX, 0, false).len(), 6);
}

/// CVE-2018-12018 and geth's "check for overflow": a skip of -1, and one that wraps to a low
/// number.
#[test]
fn cve_2018_12018_skip_minus_one() {
    let chain = chain(10);
    let by_hash = Origin::Hash(chain.canonical_hash(5).unwrap().unwrap());
    for origin in [Origin::Number(5), by_hash] {
        for skip in [u64::MAX, u64::MAX - 1, u64::MAX - 5] {
            for reverse in [false, true] {
                assert_eq!(numbers(&chain, origin, 3, skip, reverse), [5]);
            }
        }
    }
}

#[test]
fn answers_stop_at_1024_headers_and_two_mebibytes() {
    let long = chain(2000);
    assert_eq!(numbers(&long, Origin::Number(0), 2000, 0, false).len(), MAX_SERVED);

    let shape = Shape { input: 100_000, transaction_every: 1, ..Shape::default() };
    let blocks = branch(&genesis(), 40, shape);
    let chain = MemoryChain::with(&blocks);
    let hashes = blocks.iter().map(|block| block.hash).collect();
    let payload = bodies(&chain, &HashRequest { request_id: 1, hashes }).unwrap();
    // The item that reaches the limit is the last one.
    assert!((SOFT_RESPONSE_LIMIT..SOFT_RESPONSE_LIMIT + 101_000).contains(&payload.len()));
}

#[test]
fn bodies_of_unknown_blocks_are_passed_over() {
    let blocks = branch(&genesis(), 4, Shape::default());
    let chain = MemoryChain::with(&blocks);
    let hashes = vec![blocks[1].hash, B256::ZERO, blocks[3].hash];
    let payload = bodies(&chain, &HashRequest { request_id: 7, hashes }).unwrap();
    let message = Message::decode(EthVersion::Eth68, code::BLOCK_BODIES, &payload).unwrap();
    let Message::BlockBodies(answer) = message else { panic!("{message:?}") };
    let found = answer.items.iter().map(|body| body.rlp.clone()).collect::<Vec<_>>();
    assert_eq!(found, [blocks[1].body_rlp.clone(), blocks[3].body_rlp.clone()]);
}

#[test]
fn a_branch_is_served_downwards_only() {
    let main = branch(&genesis(), 20, Shape::default());
    let chain = MemoryChain::with(&main);
    let side = branch(&main[9], 5, Shape { salt: 1, ..Shape::default() });
    super::super::chain::ChainWriter::import(&chain, &side).unwrap();
    let tip = Origin::Hash(side[4].hash);
    assert_eq!(numbers(&chain, tip, 5, 0, false), [15]);
    assert_eq!(numbers(&chain, tip, 7, 0, true), [15, 14, 13, 12, 11, 10, 9]);
    assert_eq!(numbers(&chain, tip, 7, 3, true), [15, 11, 7, 3]);
    let found = ask(&chain, query(tip, 7, 0, true));
    assert_eq!((found[4].hash, found[5].hash), (side[0].hash, main[9].hash));
}

#[test]
fn a_long_branch_is_not_followed_for_ever() {
    let main = branch(&genesis(), 300, Shape::default());
    let chain = MemoryChain::with(&main);
    let side = branch(&genesis(), 250, Shape { salt: 1, difficulty: 1, ..Shape::default() });
    super::super::chain::ChainWriter::import(&chain, &side).unwrap();
    let tip = Origin::Hash(side[249].hash);
    assert_eq!(numbers(&chain, tip, 10, 120, true), [250]);
    let near = u64::try_from(MAX_NON_CANONICAL / 2).unwrap();
    assert_eq!(numbers(&chain, tip, 10, near - 1, true), [250, 200, 150]);
}

/// A store that counts, and has one body that no message can carry.
struct Counting(MemoryChain, std::sync::atomic::AtomicUsize, Bytes);

impl ChainReader for Counting {
    fn genesis_hash(&self) -> B256 {
        self.0.genesis_hash()
    }
    fn head(&self) -> super::super::chain::ChainHead {
        self.0.head()
    }
    fn canonical_hash(&self, number: u64) -> Result<Option<B256>, StorageError> {
        self.0.canonical_hash(number)
    }
    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StorageError> {
        self.0.number_of(hash)
    }
    fn header_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        self.0.header_rlp(hash)
    }
    fn body_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok((*hash == B256::ZERO).then(|| self.2.clone()))
    }
}

#[test]
fn lookups_are_bounded_and_no_answer_is_larger_than_a_message() {
    let huge = Bytes::from(vec![0xc0; 10 * 1024 * 1024]);
    let chain = Counting(chain(1), std::sync::atomic::AtomicUsize::new(0), huge);
    let hashes = vec![B256::repeat_byte(1); 5000];
    let payload = bodies(&chain, &HashRequest { request_id: 0, hashes }).unwrap();
    assert_eq!(&payload[..], [0xc2, 0x80, 0xc0]);
    assert_eq!(chain.1.into_inner(), super::MAX_LOOKUPS);

    let chain = Counting(chain.0, std::sync::atomic::AtomicUsize::new(0), chain.2);
    let payload = bodies(&chain, &HashRequest { request_id: 0, hashes: vec![B256::ZERO] }).unwrap();
    assert_eq!(&payload[..], [0xc2, 0x80, 0xc0]);
}

/// The payload is what the store has, byte for byte.
#[test]
fn stored_rlp_is_served_as_it_is() {
    let blocks: Vec<SyncBlock> = branch(&genesis(), 2, Shape::default());
    let chain = MemoryChain::with(&blocks);
    let found = ask(&chain, query(Origin::Number(1), 2, 0, false));
    for (header, block) in found.iter().zip(&blocks) {
        assert_eq!((&header.rlp, header.hash), (&block.header_rlp, block.hash));
    }
}

/// EIP-7642: the same receipts without their bloom filters, the type in front.
#[test]
fn receipts_of_eth69_have_no_bloom_filter() {
    use alloy_consensus::{Eip658Value, Receipt, ReceiptEnvelope, ReceiptWithBloom};
    use alloy_primitives::{Address, Bloom, Log};
    use alloy_rlp::Encodable;

    let log =
        Log::new_unchecked(Address::repeat_byte(7), vec![B256::repeat_byte(8)], vec![9].into());
    let receipt = |status, gas, logs: &[Log]| ReceiptWithBloom {
        receipt: Receipt {
            status: Eip658Value::Eip658(status),
            cumulative_gas_used: gas,
            logs: logs.to_vec(),
        },
        logs_bloom: Bloom::repeat_byte(1),
    };
    let all = [
        ReceiptEnvelope::Legacy(receipt(true, 21_000, &[])),
        ReceiptEnvelope::Eip1559(receipt(false, 300_000, core::slice::from_ref(&log))),
    ];
    let before = alloy_rlp::encode(all.to_vec());
    let since = receipts_without_bloom(&before).expect("receipts");
    // By hand: [[0, 1, 21000, []], [2, 0, 300000, [log]]].
    let mut expected = Vec::new();
    for (kind, status, gas, logs) in
        [(0_u8, true, 21_000_u64, Vec::new()), (2, false, 300_000, vec![log])]
    {
        let mut fields = Vec::new();
        kind.encode(&mut fields);
        status.encode(&mut fields);
        gas.encode(&mut fields);
        logs.encode(&mut fields);
        alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut expected);
        expected.extend(fields);
    }
    let mut list = Vec::new();
    alloy_rlp::Header { list: true, payload_length: expected.len() }.encode(&mut list);
    list.extend(expected);
    assert_eq!(since, list);
    for cut in 0..before.len() {
        assert_eq!(receipts_without_bloom(&before[..cut]), None, "cut at {cut}");
    }
}

#[test]
fn without_a_pool_there_are_no_transactions() {
    let request = HashRequest { request_id: 5, hashes: vec![B256::ZERO] };
    let payload = pooled_transactions(None, &request);
    match Message::decode(EthVersion::Eth68, code::POOLED_TRANSACTIONS, &payload).unwrap() {
        Message::PooledTransactions(answer) => {
            assert_eq!((answer.request_id, answer.items.len()), (5, 0));
        }
        other => panic!("{other:?}"),
    }
}
