//! Fetching ranges from honest peers: alone, several, slow, gone; other branches; restarts.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use chainmesh_wire::eth::{EthVersion, Origin};

use super::super::super::chain::ChainReader;
use super::super::super::testing::{MemoryChain, Shape, branch, genesis};
use super::super::limits::SyncLimits;
use super::super::{SyncEvent, SyncInput, SyncState};
use super::{Kind, Sim, peer_id};

const MINUTE: Duration = Duration::from_secs(60);

fn chain(length: u64) -> Arc<MemoryChain> {
    Arc::new(MemoryChain::with(&branch(&genesis(), length, Shape::default())))
}

#[test]
fn one_peer_by_total_difficulty() {
    let chain = chain(1300);
    let mut sim = Sim::new(MemoryChain::new(), 1);
    let peer = sim.add(1, Kind::Honest, &chain);
    sim.sync_to(&chain, MINUTE);
    sim.assert_imported(1, 1300);
    assert!(sim.faults.is_empty());
    // The head's number first, then batches of 512 from the first missing block.
    let head = Origin::Hash(chain.head().hash);
    let expected = [
        (peer, head, 1),
        (peer, Origin::Number(1), 512),
        (peer, Origin::Number(513), 512),
        (peer, Origin::Number(1025), 276),
    ];
    assert_eq!(sim.header_requests, expected);
    assert_eq!(sim.announced, [chain.head()]);
    assert_eq!(sim.manager.snapshot().state, SyncState::Following);
    assert_eq!(
        sim.events,
        [SyncEvent::Started { from: 0, target: 1300 }, SyncEvent::Synced { head: chain.head() }]
    );
}

#[test]
fn one_peer_by_range() {
    let chain = chain(700);
    let mut sim = Sim::new(MemoryChain::new(), 1);
    let latency = Duration::from_millis(20);
    let peer = sim.add_with(1, Kind::Honest, &chain, latency, EthVersion::Eth69);
    sim.sync_to(&chain, MINUTE);
    assert_eq!(sim.header_requests.first(), Some(&(peer, Origin::Number(1), 512)));
}

#[test]
fn four_peers_share_the_work() {
    let chain = chain(5000);
    let mut sim = Sim::new(MemoryChain::new(), 1);
    for number in 1..=4 {
        sim.add(number, Kind::Honest, &chain);
    }
    sim.sync_to(&chain, MINUTE);
    assert!(sim.faults.is_empty());
    sim.assert_imported(1, 5000);
    let asked = |number| {
        let id = peer_id(number);
        let headers = sim.header_requests.iter().filter(|one| one.0 == id && one.2 > 1).count();
        let bodies = sim.body_requests.iter().filter(|one| one.0 == id).count();
        (headers, bodies)
    };
    for number in 1..=4 {
        let (headers, bodies) = asked(number);
        assert!(headers >= 1 && bodies >= 3, "peer {number}: {headers} and {bodies}");
    }
    // No range was asked for twice.
    let ranges = sim.header_requests.iter().filter(|one| one.2 > 1).map(|one| one.2);
    assert_eq!(ranges.sum::<u64>(), 5000);
}

#[test]
fn the_same_seed_decides_the_same() {
    let chain = chain(3000);
    let run = |seed| {
        let mut sim = Sim::new(MemoryChain::new(), seed);
        for number in 1..=4 {
            let kind = if number == 2 { Kind::Staller } else { Kind::Honest };
            sim.add_with(number, kind, &chain, Duration::from_millis(30), EthVersion::Eth68);
        }
        sim.sync_to(&chain, MINUTE);
        (sim.header_requests, sim.body_requests, sim.now)
    };
    assert_eq!(run(5), run(5));
    assert!((0..10).any(|seed| run(seed) != run(5)));
}

/// Requests grow with what a peer delivers, up to 128, and shrink when it becomes slow.
#[test]
fn body_requests_adapt_to_the_peer() {
    let shape = Shape { transaction_every: 1, input: 2000, ..Shape::default() };
    let chain = Arc::new(MemoryChain::with(&branch(&genesis(), 6000, shape)));
    let mut sim = Sim::new(MemoryChain::new(), 1);
    let peer = sim.add(1, Kind::Honest, &chain);
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number > 3000));
    let sizes = sim.body_requests.iter().map(|one| one.1).collect::<Vec<_>>();
    assert_eq!(sizes.first(), Some(&29));
    assert!(sizes.contains(&128), "{sizes:?}");
    let slow = sim.peers.get_mut(&peer).unwrap();
    slow.bandwidth = 100_000;
    let before = sim.body_requests.len();
    assert!(sim.run_until(MINUTE * 30, |sim| sim.local.head().number == 6000));
    assert!(sim.faults.is_empty(), "{:?}", sim.faults);
    // The last one asks for what is left.
    let after = &sim.body_requests[before..];
    let last = &after[after.len() - 5..after.len() - 1];
    assert!(last.iter().all(|one| (30..80).contains(&one.1)), "{last:?}");
}

#[test]
fn a_peer_that_goes_away_in_the_middle_is_replaced() {
    let chain = chain(4000);
    let mut sim = Sim::new(MemoryChain::new(), 1);
    let first = sim.add(1, Kind::Honest, &chain);
    sim.add(2, Kind::Honest, &chain);
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number > 500));
    sim.remove(first);
    sim.sync_to(&chain, MINUTE);
    sim.assert_imported(1, 4000);
}

#[test]
fn all_peers_gone_and_one_comes_back() {
    let chain = chain(4000);
    let mut sim = Sim::new(MemoryChain::new(), 1);
    let first = sim.add(1, Kind::Honest, &chain);
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number > 500));
    sim.remove(first);
    sim.run_until(MINUTE, |_| false);
    sim.add(1, Kind::Honest, &chain);
    sim.sync_to(&chain, MINUTE);
}

/// A restart: what is in the chain stays, the first missing block is the first that is asked for.
#[test]
fn a_restart_goes_on_from_the_local_head() {
    let chain = chain(4000);
    let mut sim = Sim::new(MemoryChain::new(), 1);
    sim.add(1, Kind::Honest, &chain);
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number > 1500));
    let local = sim.local;
    let number = local.head().number;
    let mut sim = Sim::new(local, 2);
    let latency = Duration::from_millis(5);
    let peer = sim.add_with(1, Kind::Honest, &chain, latency, EthVersion::Eth69);
    assert_eq!(sim.header_requests, [(peer, Origin::Number(number + 1), 512)]);
    sim.sync_to(&chain, MINUTE);
    sim.assert_imported(number + 1, 4000);
}

/// Both versions of a Status, and branches of several depths, also down to the genesis block.
#[test]
fn reorganisations_find_the_last_block_in_common() {
    for version in [EthVersion::Eth68, EthVersion::Eth69] {
        for (common, ours, theirs) in [(600, 3, 9), (600, 600, 700), (1, 900, 1000), (0, 40, 900)] {
            let trunk = branch(&genesis(), common, Shape::default());
            let tip = trunk.last().cloned().unwrap_or_else(genesis);
            let local = MemoryChain::with(&trunk);
            let side = branch(&tip, ours, Shape { salt: 1, ..Shape::default() });
            super::super::super::chain::ChainWriter::import(&local, &side).unwrap();
            let better = branch(&tip, theirs, Shape { salt: 2, ..Shape::default() });
            let chain = MemoryChain::with(&trunk);
            super::super::super::chain::ChainWriter::import(&chain, &better).unwrap();
            let chain = Arc::new(chain);
            let mut sim = Sim::new(local, 3);
            sim.add_with(1, Kind::Honest, &chain, Duration::from_millis(9), version);
            sim.add_with(2, Kind::Honest, &chain, Duration::from_millis(9), version);
            sim.sync_to(&chain, MINUTE);
            assert!(sim.faults.is_empty(), "{:?}", sim.faults);
            let found = sim.events.iter().find_map(|event| match event {
                SyncEvent::Reorganising { ancestor, depth } => Some((ancestor.number, *depth)),
                _ => None,
            });
            assert_eq!(found, Some((common, ours)), "{version} {common} {ours} {theirs}");
            sim.assert_imported(common + 1, common + theirs);
        }
    }
}

/// After a partition of a clique network: two signers have one block of difficulty 2 above the last in
/// common, two others have two of difficulty 1. Nobody may seal before the others do, and nobody has
/// more, so both halves stood still for ever.
#[test]
fn an_equally_heavy_branch_that_ends_lower_is_fetched_once() {
    let trunk = branch(&genesis(), 8, Shape::default());
    let local = MemoryChain::with(&trunk);
    let high = branch(&trunk[7], 2, Shape { salt: 1, difficulty: 1, ..Shape::default() });
    super::super::super::chain::ChainWriter::import(&local, &high).unwrap();
    let chain = MemoryChain::with(&trunk);
    let low = branch(&trunk[7], 1, Shape { salt: 2, difficulty: 2, ..Shape::default() });
    super::super::super::chain::ChainWriter::import(&chain, &low).unwrap();
    assert_eq!(local.head().total_difficulty, chain.head().total_difficulty);
    let chain = Arc::new(chain);
    let mut sim = Sim::new(local, 3);
    sim.add_with(1, Kind::Honest, &chain, Duration::from_millis(9), EthVersion::Eth68);
    assert!(sim.run_until(MINUTE, |sim| sim.local.block(&low[0].hash).is_some()));
    // This chain does not take it for its head. It is not asked for again.
    let asked = sim.header_requests.len();
    sim.run_until(MINUTE, |_| false);
    assert_eq!(sim.header_requests.len(), asked);
    assert!(sim.faults.is_empty(), "{:?}", sim.faults);
}

/// A branch that is shorter and heavier: only the total difficulty tells.
#[test]
fn a_shorter_branch_with_more_difficulty_wins() {
    let trunk = branch(&genesis(), 50, Shape::default());
    let local = MemoryChain::with(&trunk);
    let light = branch(&trunk[49], 30, Shape { salt: 1, difficulty: 1, ..Shape::default() });
    super::super::super::chain::ChainWriter::import(&local, &light).unwrap();
    let chain = MemoryChain::with(&trunk);
    let heavy = branch(&trunk[49], 20, Shape { salt: 2, ..Shape::default() });
    super::super::super::chain::ChainWriter::import(&chain, &heavy).unwrap();
    let chain = Arc::new(chain);
    let mut sim = Sim::new(local, 3);
    sim.add(1, Kind::Honest, &chain);
    sim.sync_to(&chain, MINUTE);
    sim.assert_imported(51, 70);
}

/// A longer branch with less difficulty (eth/69 says no more than its length): it is fetched once,
/// does not become the head, and is not fetched again.
#[test]
fn a_longer_branch_with_less_difficulty_is_tried_once() {
    let local = MemoryChain::with(&branch(&genesis(), 50, Shape::default()));
    let light = Shape { salt: 1, difficulty: 1, ..Shape::default() };
    let chain = Arc::new(MemoryChain::with(&branch(&genesis(), 60, light)));
    let head = local.head();
    let mut sim = Sim::new(local, 3);
    sim.add_with(1, Kind::Honest, &chain, Duration::from_millis(9), EthVersion::Eth69);
    sim.run_until(MINUTE, |_| false);
    assert_eq!(sim.local.head(), head);
    sim.assert_imported(1, 60);
    assert_eq!(sim.manager.snapshot().state, SyncState::Following);
    assert!(sim.faults.is_empty());
}

#[test]
fn a_failing_store_is_tried_again() {
    let chain = chain(900);
    let mut sim = Sim::new(MemoryChain::new(), 1);
    sim.store_fails = 2;
    sim.add(1, Kind::Honest, &chain);
    sim.sync_to(&chain, MINUTE);
    assert!(sim.faults.is_empty());
    sim.assert_imported(1, 900);
    assert!(sim.now.as_micros() > 10_000_000, "two pauses of five seconds");
}

/// Large bodies and a slow import: what waits stays within its bounds.
#[test]
fn memory_is_bounded_when_import_is_slow() {
    let shape = Shape { transaction_every: 1, input: 20_000, ..Shape::default() };
    let chain = Arc::new(MemoryChain::with(&branch(&genesis(), 300, shape)));
    let limits = SyncLimits {
        pending_bytes: 1_000_000,
        pending_blocks: 100,
        import_blocks: 5,
        ..SyncLimits::default()
    };
    let mut sim = Sim::with_limits(MemoryChain::new(), 1, limits);
    sim.import_time = Duration::from_millis(100);
    for number in 1..=4 {
        sim.add(number, Kind::Honest, &chain);
    }
    sim.sync_to(&chain, MINUTE * 10);
    assert!(sim.faults.is_empty());
    assert!(sim.most_bytes <= limits.pending_bytes, "{}", sim.most_bytes);
    assert!(sim.most_bytes > limits.pending_bytes / 4, "{}", sim.most_bytes);
}

#[test]
fn requests_that_cannot_be_sent_are_made_again() {
    let chain = chain(100);
    let mut manager = Sim::new(MemoryChain::new(), 1).manager;
    let (peer, now) = (peer_id(1), crate::time::Instant::ZERO);
    let head = chain.head();
    let range = chainmesh_wire::eth::BlockRange {
        earliest: 0,
        latest: head.number,
        latest_hash: head.hash,
    };
    let connected = SyncInput::PeerConnected {
        peer,
        head: super::super::super::handler::PeerHead::Range(range),
    };
    manager.handle(now, connected);
    let mut tokens = BTreeSet::new();
    let mut now = now;
    for _ in 0..3 {
        while let Some(output) = manager.poll() {
            if let super::super::SyncOutput::RequestHeaders { token, .. } = output {
                assert!(tokens.insert(token));
                manager.handle(now, SyncInput::RequestFailed { peer, token });
            }
        }
        now = manager.poll_timeout().unwrap();
        manager.handle_timeout(now);
    }
    assert_eq!(tokens.len(), 3);
}
