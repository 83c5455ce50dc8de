//! Peers that stall and lie: each is found out, replaced, and nothing of its answer is kept.

use core::time::Duration;
use std::sync::Arc;

use alloy_primitives::B256;
use chainmesh_wire::eth::EthVersion;

use super::super::super::chain::ChainReader;
use super::super::super::testing::{INVALID, MemoryChain, Shape, branch, child, genesis};
use super::super::{SyncFault, SyncState};
use super::{Kind, Sim};

const MINUTE: Duration = Duration::from_secs(60);

fn chain(length: u64) -> Arc<MemoryChain> {
    Arc::new(MemoryChain::with(&branch(&genesis(), length, Shape::default())))
}

/// A chain that claims to be better and whose blocks are invalid from `from` on.
fn forged(honest: &MemoryChain, from: u64, length: u64) -> Arc<MemoryChain> {
    let chain = MemoryChain::new();
    for number in 1..from {
        chain.force(honest.canonical_block(number).unwrap());
    }
    let mut tip = honest.canonical_block(from - 1).unwrap();
    for _ in from..=length {
        tip = child(&tip, Shape { difficulty: 9, ..Shape::default() }, INVALID);
        chain.force(tip.clone());
    }
    Arc::new(chain)
}

/// Headers of blocks whose bodies nobody has.
fn bodiless(honest: &MemoryChain, from: u64, length: u64) -> Arc<MemoryChain> {
    let chain = MemoryChain::new();
    for number in 1..from {
        chain.force(honest.canonical_block(number).unwrap());
    }
    let mut tip = honest.canonical_block(from - 1).unwrap();
    for number in from..=length {
        let mut block =
            child(&tip, Shape { salt: 8, transaction_every: 1, ..Shape::default() }, &[]);
        block.header.parent_hash = tip.hash;
        block.header.transactions_root = B256::with_last_byte(u8::try_from(number % 251).unwrap());
        let header = chainmesh_wire::eth::BlockHeader::from_header(block.header.clone());
        (block.hash, block.header_rlp) = (header.hash, header.rlp);
        chain.force(block.clone());
        tip = block;
    }
    Arc::new(chain)
}

/// One liar and one honest peer; returns what the liar was faulted for.
fn with_liar(kind: Kind, liar_chain: &Arc<MemoryChain>, chain: &Arc<MemoryChain>) -> SyncFault {
    let mut faults = Vec::new();
    for (seed, version) in [(1, EthVersion::Eth68), (2, EthVersion::Eth69)] {
        let mut sim = Sim::new(MemoryChain::new(), seed);
        // The liar is quicker: it is asked first.
        let liar = sim.add_with(1, kind, liar_chain, Duration::from_millis(5), version);
        sim.add_with(2, Kind::Honest, chain, Duration::from_millis(30), version);
        let head = chain.head().hash;
        let done = sim.run_until(MINUTE, |sim| sim.local.head().hash == head);
        assert!(done, "{version}: {:?} {:#?}", sim.faults, sim.manager.snapshot());
        sim.assert_imported(1, chain.head().number);
        sim.run_until(MINUTE, |sim| !sim.faults.is_empty());
        let [(id, fault)] = sim.faults[..] else { panic!("{version}: {:?}", sim.faults) };
        assert_eq!(id, liar, "an honest peer was blamed: {fault}");
        faults.push(fault);
    }
    faults.remove(0)
}

#[test]
fn headers_with_a_gap() {
    let chain = chain(1200);
    let fault = with_liar(Kind::Gap, &chain, &chain);
    assert!(matches!(fault, SyncFault::NotContinuous { .. }), "{fault}");
}

#[test]
fn headers_that_begin_elsewhere() {
    let chain = chain(1200);
    let fault = with_liar(Kind::WrongStart, &chain, &chain);
    assert!(matches!(fault, SyncFault::WrongStart { .. }), "{fault}");
}

#[test]
fn more_headers_than_were_asked_for() {
    let chain = chain(2400);
    let fault = with_liar(Kind::Giant, &chain, &chain);
    assert!(matches!(fault, SyncFault::TooMany { asked: 512, .. }), "{fault}");
}

#[test]
fn bodies_of_other_blocks() {
    let chain = chain(1200);
    assert_eq!(with_liar(Kind::WrongBodies, &chain, &chain), SyncFault::WrongBody);
}

#[test]
fn headers_without_bodies() {
    let chain = chain(1200);
    let fault = with_liar(Kind::NoBodies, &chain, &chain);
    assert!(
        matches!(fault, SyncFault::MissingBody { .. } | SyncFault::EmptyAnswers { .. }),
        "{fault}"
    );
}

#[test]
fn nothing_where_blocks_were_claimed() {
    let chain = chain(1200);
    let fault = with_liar(Kind::Empty, &chain, &chain);
    assert_eq!(fault, SyncFault::EmptyAnswers { count: 3 });
}

#[test]
fn no_answers_at_all() {
    let chain = chain(1200);
    for kind in [Kind::Staller, Kind::BodyStaller] {
        let fault = with_liar(kind, &chain, &chain);
        assert!(
            matches!(fault, SyncFault::Stalled { waited } if waited.as_secs() == 20),
            "{fault}"
        );
    }
}

/// Row 41: a staller is replaced in less than five seconds.
#[test]
fn a_staller_is_replaced_within_five_seconds() {
    let chain = chain(400);
    let mut sim = Sim::new(MemoryChain::new(), 1);
    let latency = Duration::from_millis(20);
    sim.add_with(1, Kind::Staller, &chain, latency, EthVersion::Eth69);
    // The staller has the only request when the second peer comes.
    assert_eq!(sim.header_requests.len(), 1);
    sim.add_with(2, Kind::Honest, &chain, latency, EthVersion::Eth69);
    assert!(sim.run_until(Duration::from_secs(5), |sim| sim.local.head().number == 400));
    let report = sim.manager.snapshot();
    assert_eq!(report.peers[0].headers_in_flight, 0);
    assert!(report.peers[0].bodies_per_second < report.peers[1].bodies_per_second);
}

#[test]
fn forged_chains_end_at_the_import() {
    let chain = chain(1200);
    for from in [1, 300, 700] {
        let forged = forged(&chain, from, 1300);
        let fault = with_liar(Kind::Honest, &forged, &chain);
        assert!(matches!(fault, SyncFault::InvalidBlock { .. }), "{from}: {fault}");
    }
}

#[test]
fn forged_headers_end_at_the_bodies() {
    let chain = chain(1200);
    for from in [1, 300, 700] {
        let bodiless = bodiless(&chain, from, 1300);
        let fault = with_liar(Kind::NoBodies, &bodiless, &chain);
        assert!(
            matches!(fault, SyncFault::MissingBody { .. } | SyncFault::EmptyAnswers { .. }),
            "{from}: {fault}"
        );
    }
}

/// A peer that claims a head that it does not have.
#[test]
fn a_claimed_head_without_a_chain() {
    let chain = chain(600);
    let mut sim = Sim::new(MemoryChain::new(), 1);
    let honest = sim.add(1, Kind::Honest, &chain);
    let range = chainmesh_wire::eth::BlockRange {
        earliest: 0,
        latest: u64::MAX,
        latest_hash: B256::repeat_byte(9),
    };
    let liar = sim.add(2, Kind::Honest, &Arc::new(MemoryChain::new()));
    sim.input(super::super::SyncInput::RangeUpdate { peer: liar, range });
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number == 600));
    assert!(sim.run_until(MINUTE, |sim| sim.manager.snapshot().state == SyncState::Following));
    assert_eq!(sim.faulted().into_iter().collect::<Vec<_>>(), [liar]);
    assert_ne!(liar, honest);
}

/// Row 41: with half of the peers bad, at least 60 % of the clean throughput.
#[test]
fn half_of_the_peers_bad() {
    let chain = chain(12_000);
    let forged = forged(&chain, 2000, 12_400);
    let bodiless = bodiless(&chain, 3000, 12_400);
    let run = |seed: u8, bad: bool| {
        let mut sim = Sim::new(MemoryChain::new(), seed);
        let kinds = [
            (Kind::Staller, &chain),
            (Kind::Gap, &chain),
            (Kind::Giant, &chain),
            (Kind::WrongBodies, &chain),
            (Kind::BodyStaller, &chain),
            (Kind::Empty, &chain),
            (Kind::Honest, &forged),
            (Kind::NoBodies, &bodiless),
        ];
        for (number, (kind, liar_chain)) in (0..).zip(kinds) {
            sim.import_time = Duration::from_millis(2);
            sim.add(2 * number + 1, Kind::Honest, &chain);
            if bad {
                sim.add(2 * number + 2, kind, liar_chain);
            } else {
                sim.add(2 * number + 2, Kind::Honest, &chain);
            }
        }
        let head = chain.head().hash;
        let done = sim.run_until(10 * MINUTE, |sim| sim.local.head().hash == head);
        assert!(done, "seed {seed}: {:#?}", sim.manager.snapshot());
        for (peer, fault) in &sim.faults {
            let number = peer.as_bytes()[0];
            assert!(bad && number.is_multiple_of(2), "seed {seed}: {number} was blamed: {fault}");
        }
        sim.now.as_micros()
    };
    for seed in 0..6 {
        let (clean, bad) = (run(seed, false), run(seed, true));
        let percent = clean * 100 / bad;
        assert!(percent >= 60, "seed {seed}: {percent} % ({clean} and {bad} µs)");
    }
}
