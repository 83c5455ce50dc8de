//! Living on announcements.

use core::time::Duration;
use std::sync::Arc;

use alloy_primitives::U256;
use bytes::Bytes;
use chainmesh_wire::eth::{BlockBody, BlockHeader, BlockId, EthVersion, NewBlock, Origin};

use super::super::super::chain::{ChainReader, ChainWriter, SyncBlock};
use super::super::super::testing::{INVALID, MemoryChain, Shape, branch, child, genesis};
use super::super::{SyncFault, SyncInput, SyncState};
use super::{Kind, Sim, peer_id};

const MINUTE: Duration = Duration::from_secs(60);

/// Bodies without transactions.
const EMPTY: Shape = Shape { salt: 0, difficulty: 2, transaction_every: 0, input: 0 };
/// Every body has a transaction.
const FULL: Shape = Shape { salt: 0, difficulty: 2, transaction_every: 1, input: 40 };

/// Two peers and a node, all with the same ten blocks.
fn settled(shape: Shape) -> (Sim, Arc<MemoryChain>) {
    let chain = Arc::new(MemoryChain::with(&branch(&genesis(), 10, shape)));
    let mut sim = Sim::new((*chain).clone(), 1);
    for number in 1..=2 {
        sim.add(number, Kind::Honest, &chain);
    }
    assert!(sim.header_requests.is_empty(), "nothing is missing");
    (sim, chain)
}

fn extend(chain: &MemoryChain, shape: Shape) -> SyncBlock {
    let head = chain.canonical_block(chain.head().number).unwrap();
    let block = child(&head, shape, &[shape.salt]);
    chain.import(core::slice::from_ref(&block)).unwrap();
    block
}

fn new_block(block: &SyncBlock, total_difficulty: u64) -> Box<NewBlock> {
    Box::new(NewBlock {
        header: BlockHeader::from_header(block.header.clone()),
        body: BlockBody::decode(block.body_rlp.clone()).unwrap(),
        total_difficulty: U256::from(total_difficulty),
    })
}

/// eth-test's TestBlockHashAnnounce: the very next message is GetBlockHeaders by hash for one
/// header, and a block without transactions is assembled without asking for its body.
#[test]
fn block_hash_announce() {
    let (mut sim, chain) = settled(EMPTY);
    let block = extend(&chain, EMPTY);
    sim.announce(peer_id(1));
    assert_eq!(sim.header_requests, [(peer_id(1), Origin::Hash(block.hash), 1)]);
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number == 11));
    assert!(sim.body_requests.is_empty());
    assert_eq!(sim.announced, [chain.head()]);
    assert_eq!(sim.header_requests.len(), 1);
}

#[test]
fn blocks_with_transactions_cost_a_body_request() {
    let (mut sim, chain) = settled(FULL);
    for number in 11..=30 {
        extend(&chain, FULL);
        sim.announce(peer_id(1));
        sim.announce(peer_id(2));
        assert!(sim.run_until(MINUTE, |sim| sim.local.head().number == number));
    }
    // One header and one body for each, whoever announced it, too.
    assert_eq!(sim.header_requests.len(), 20);
    assert!(sim.header_requests.iter().all(|one| one.2 == 1));
    assert_eq!(sim.body_requests.len(), 20);
    assert!(sim.body_requests.iter().all(|one| one.1 == 1));
    assert_eq!(sim.announced.len(), 20);
    assert_eq!(sim.manager.snapshot().announced, 0);
}

/// Announcements that come faster than blocks can be fetched.
#[test]
fn a_burst_of_announcements() {
    let (mut sim, chain) = settled(FULL);
    for _ in 0..6 {
        extend(&chain, FULL);
        sim.announce(peer_id(1));
    }
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number == 16));
    assert!(sim.header_requests.iter().all(|one| one.2 == 1), "{:?}", sim.header_requests);
    assert_eq!(sim.imported, (11..=16).collect::<Vec<_>>());
}

#[test]
fn new_blocks_are_imported_as_they_are() {
    let (mut sim, chain) = settled(FULL);
    let block = extend(&chain, FULL);
    sim.input(SyncInput::NewBlock { peer: peer_id(1), block: new_block(&block, 23) });
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().hash == block.hash));
    assert!(sim.header_requests.is_empty() && sim.body_requests.is_empty());
    assert_eq!(sim.announced, [chain.head()]);
    // eth-test's TestOldAnnounce: an old block is neither imported nor announced.
    let old = chain.canonical_block(2).unwrap();
    sim.input(SyncInput::NewBlock { peer: peer_id(2), block: new_block(&old, 5) });
    sim.run_until(MINUTE, |_| false);
    assert_eq!((sim.announced.len(), sim.imported.len()), (1, 1));
}

/// An unknown parent: the range between is fetched.
#[test]
fn a_new_block_far_ahead_starts_a_range() {
    for far in [2, 20, 200] {
        let (mut sim, chain) = settled(FULL);
        for _ in 0..far {
            extend(&chain, FULL);
        }
        let head = chain.canonical_block(chain.head().number).unwrap();
        let claimed = 1 + 2 * (10 + far);
        sim.input(SyncInput::NewBlock { peer: peer_id(1), block: new_block(&head, claimed) });
        assert!(sim.run_until(MINUTE, |sim| sim.local.head().hash == head.hash), "{far}");
        assert!(sim.faults.is_empty());
    }
}

#[test]
fn an_announcement_far_ahead_starts_a_range() {
    for far in [2, 20, 200] {
        let (mut sim, chain) = settled(FULL);
        for _ in 0..far {
            extend(&chain, FULL);
        }
        sim.announce(peer_id(2));
        sim.sync_to_head(&chain);
        assert!(sim.faults.is_empty());
    }
}

/// Two validators seal the same height: the block with more difficulty must be found although the
/// node has one of that number.
#[test]
fn a_better_sibling_of_the_head_is_fetched() {
    let trunk = branch(&genesis(), 10, FULL);
    let weak = child(&trunk[9], Shape { salt: 1, difficulty: 1, ..FULL }, &[1]);
    let strong = child(&trunk[9], Shape { salt: 2, difficulty: 2, ..FULL }, &[2]);
    let local = MemoryChain::with(&trunk);
    local.import(&[weak]).unwrap();
    let chain = MemoryChain::with(&trunk);
    chain.import(core::slice::from_ref(&strong)).unwrap();
    let chain = Arc::new(chain);
    let mut sim = Sim::new(local, 1);
    let latency = Duration::from_millis(10);
    let peer = sim.add_with(1, Kind::Honest, &chain, latency, EthVersion::Eth69);
    sim.announce(peer);
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().hash == strong.hash));
    assert_eq!(sim.announced, [chain.head()]);
}

#[test]
fn invalid_announced_blocks_are_faults_and_are_remembered() {
    let (mut sim, chain) = settled(EMPTY);
    let head = chain.canonical_block(10).unwrap();
    let bad = child(&head, EMPTY, INVALID);
    sim.input(SyncInput::NewBlock { peer: peer_id(1), block: new_block(&bad, 99) });
    assert!(sim.run_until(MINUTE, |sim| !sim.faults.is_empty()));
    let fault = SyncFault::InvalidBlock { hash: bad.hash };
    assert_eq!(sim.faults, [(peer_id(1), fault)]);
    let block = BlockId { hash: bad.hash, number: 11 };
    sim.input(SyncInput::Announced { peer: peer_id(2), blocks: vec![block] });
    assert_eq!(sim.faults, [(peer_id(1), fault), (peer_id(2), fault)]);
    assert_eq!(sim.local.head().number, 10);
}

#[test]
fn a_new_block_with_another_body_is_a_fault() {
    let (mut sim, chain) = settled(FULL);
    let block = extend(&chain, FULL);
    let mut message = new_block(&block, 23);
    message.body = BlockBody::decode(Bytes::from_static(&[0xc2, 0xc0, 0xc0])).unwrap();
    sim.input(SyncInput::NewBlock { peer: peer_id(1), block: message });
    assert_eq!(sim.faults, [(peer_id(1), SyncFault::WrongBody)]);
}

/// A peer announces what it does not have, another one has it.
#[test]
fn a_false_announcement_costs_a_strike_only() {
    let (mut sim, chain) = settled(FULL);
    let empty = Arc::new(MemoryChain::new());
    let liar = sim.add(3, Kind::Honest, &empty);
    let block = extend(&chain, FULL);
    let blocks = vec![BlockId { hash: block.hash, number: 11 }];
    sim.input(SyncInput::Announced { peer: liar, blocks });
    sim.announce(peer_id(2));
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number == 11));
}

#[test]
fn made_up_announcements_are_bounded() {
    let (mut sim, _chain) = settled(FULL);
    let blocks = |salt: u8| {
        (0..200u8)
            .map(|byte| BlockId {
                hash: alloy_primitives::keccak256([salt, byte]),
                number: 11 + u64::from(byte % 20),
            })
            .collect::<Vec<_>>()
    };
    for peer in 1..=2 {
        sim.input(SyncInput::Announced { peer: peer_id(peer), blocks: blocks(peer) });
        let report = sim.manager.snapshot();
        assert!(report.announced <= 8 * usize::from(peer), "{report:?}");
    }
    sim.run_until(MINUTE, |_| false);
    // They claim blocks that they do not have.
    assert_eq!(sim.faulted().len(), 2);
    assert_eq!(sim.manager.snapshot().announced, 0);
}

/// This node makes blocks itself: nothing is asked for, and the next announcement connects.
#[test]
fn own_blocks_move_the_head() {
    let (mut sim, chain) = settled(EMPTY);
    let block = extend(&chain, EMPTY);
    sim.local.import(core::slice::from_ref(&block)).unwrap();
    let head = sim.local.head();
    sim.input(SyncInput::LocalHead(head));
    assert!(sim.header_requests.is_empty());
    let next = extend(&chain, EMPTY);
    sim.announce(peer_id(1));
    assert_eq!(sim.header_requests, [(peer_id(1), Origin::Hash(next.hash), 1)]);
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number == 12));
    assert_eq!(sim.manager.snapshot().state, SyncState::Following);
}
