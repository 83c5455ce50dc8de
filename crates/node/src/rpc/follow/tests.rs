//! Who follows the chain sees every block that comes and goes, also through reorganisations.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use chainmesh_chain::genesis::{DevNetwork, dev_clique};
use chainmesh_chain::pool::MempoolEvent;
use chainmesh_chain::{Chain, ChainOptions, ChainSpec, Producer, clique};
use chainmesh_identity::NodeKey;
use chainmesh_proto::eth::chain::{ChainReader as _, ChainWriter as _, SyncBlock};

use super::{Events, Follower, MAX_PENDING, Step};

const BEGIN: u64 = 1_700_000_000;

/// A network of two signers, and a chain of it in a directory of its own.
fn network() -> (tempfile::TempDir, Arc<Chain>, [Producer; 2]) {
    let keys = [1, 2].map(|seed| NodeKey::from_entropy([seed; 32]));
    let signers = keys.iter().map(|key| clique::address(key.public_key())).collect();
    let genesis = dev_clique(&DevNetwork {
        chain_id: 7,
        period: 1,
        timestamp: BEGIN,
        signers,
        balances: Vec::new(),
    });
    let directory = tempfile::tempdir().unwrap();
    let spec = ChainSpec::new(genesis).unwrap();
    let chain = Chain::open_with(directory.path(), spec, ChainOptions::default()).unwrap();
    let mut producers = keys.map(|key| Producer::new(key.to_hex().parse().unwrap()));
    producers.sort_by_key(Producer::signer);
    (directory, Arc::new(chain), producers)
}

fn make(chain: &Chain, producer: &Producer) -> SyncBlock {
    let number = chain.head().number + 1;
    producer.next_on(chain, BEGIN + 10 * number).unwrap()
}

fn import(chain: &Chain, block: &SyncBlock) -> B256 {
    chain.import(std::slice::from_ref(block)).unwrap();
    block.hash
}

#[test]
fn new_blocks_and_reorganisations_are_seen_in_order() {
    let (_directory, chain, [even, odd]) = network();
    let mut follower = Follower::at_head(&chain);
    assert_eq!(follower.steps(&chain).unwrap(), []);
    // Block 1 is the turn of the second signer: the first one's is lighter.
    let (light, heavy) = (make(&chain, &even), make(&chain, &odd));
    let light = import(&chain, &light);
    assert_eq!(follower.steps(&chain).unwrap(), [Step::Added(light)]);
    let heavy = import(&chain, &heavy);
    assert_eq!(chain.head().hash, heavy);
    let second = import(&chain, &make(&chain, &even));
    let third = import(&chain, &make(&chain, &odd));
    let steps = [Step::Removed(light), Step::Added(heavy), Step::Added(second), Step::Added(third)];
    assert_eq!(follower.steps(&chain).unwrap(), steps);
    assert_eq!(follower.steps(&chain).unwrap(), []);
}

#[test]
fn whoever_waits_is_woken_by_a_new_head() {
    let (_directory, chain, [_, odd]) = network();
    let events = Events::new(Some(&chain), None);
    let heads = events.heads();
    assert!(!heads.has_changed().unwrap());
    import(&chain, &make(&chain, &odd));
    assert!(heads.has_changed().unwrap());
}

#[test]
fn pending_transactions_are_numbered_and_the_oldest_are_forgotten() {
    let events = Events::new(None, None);
    let hash = |number: usize| keccak256(number.to_be_bytes());
    let pending = |number| MempoolEvent::Pending { hash: hash(number) };
    let woken = events.pending();
    let begin = events.next_pending();
    events.pending.note(&[MempoolEvent::Queued { hash: hash(0) }]);
    assert!(!woken.has_changed().unwrap(), "a queued one is not pending");
    events.pending.note(&[pending(1), pending(2)]);
    assert!(woken.has_changed().unwrap());
    assert_eq!(events.pending_since(begin), (vec![hash(1), hash(2)], begin + 2));
    assert_eq!(events.pending_since(begin + 1), (vec![hash(2)], begin + 2));
    assert_eq!(events.pending_since(begin + 2), (vec![], begin + 2));
    let many: Vec<_> = (3..3 + MAX_PENDING).map(pending).collect();
    events.pending.note(&many);
    let (kept, _) = events.pending_since(begin);
    assert_eq!((kept.len(), kept[0]), (MAX_PENDING, hash(3)));
}
