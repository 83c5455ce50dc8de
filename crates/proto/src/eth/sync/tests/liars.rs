//! Peers that stall and lie: each is found out, replaced, and nothing of its answer is kept.

use core::time::Duration;
use std::sync::Arc;

use alloy_primitives::B256;
use chainmesh_wire::eth::{BlockHeader, BlockRange, EthVersion, Origin};

use super::super::super::chain::ChainReader;
use super::super::super::handler::PeerHead;
use super::super::super::testing::{INVALID, MemoryChain, Shape, branch, child, genesis};
use super::super::limits::SyncLimits;
use super::super::{BlockSyncManager, SyncConfig, SyncFault, SyncInput, SyncOutput, SyncState};
use super::{Kind, Sim, peer_id};
use crate::time::Instant;

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
        let header = BlockHeader::from_header(block.header.clone());
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
    let chain = chain(5000);
    let fault = with_liar(Kind::Empty, &chain, &chain);
    assert_eq!(fault, SyncFault::EmptyAnswers { count: 3 });
}

#[test]
fn no_answers_at_all() {
    let chain = chain(1200);
    for kind in [Kind::Staller, Kind::BodyStaller] {
        let fault = with_liar(kind, &chain, &chain);
        assert!(
            matches!(fault, SyncFault::Stalled { waited } if (22..=26).contains(&waited.as_secs())),
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
    let range = BlockRange { earliest: 0, latest: u64::MAX, latest_hash: B256::repeat_byte(9) };
    let liar = sim.add(2, Kind::Honest, &Arc::new(MemoryChain::new()));
    sim.input(SyncInput::RangeUpdate { peer: liar, range });
    assert!(sim.run_until(MINUTE, |sim| sim.local.head().number == 600));
    assert!(sim.run_until(MINUTE, |sim| sim.manager.snapshot().state == SyncState::Following));
    assert_eq!(sim.faulted().into_iter().collect::<Vec<_>>(), [liar]);
    assert_ne!(liar, honest);
}

/// A branch that leaves ours deeper than is allowed.
#[test]
fn a_branch_from_too_deep_is_refused() {
    let local = MemoryChain::with(&branch(&genesis(), 300, Shape::default()));
    let other = Shape { salt: 1, ..Shape::default() };
    let chain = Arc::new(MemoryChain::with(&branch(&genesis(), 400, other)));
    let limits = SyncLimits { reorg_depth: 250, ..SyncLimits::default() };
    let head = local.head();
    let mut sim = Sim::with_limits(local, 1, limits);
    let peer = sim.add(1, Kind::Honest, &chain);
    assert!(sim.run_until(MINUTE, |sim| !sim.faults.is_empty()));
    assert_eq!(sim.faults, [(peer, SyncFault::TooDeep { limit: 250 })]);
    assert_eq!(sim.local.head(), head);
    assert!(sim.imported.is_empty());
}

/// Row 41: with half of the peers bad, at least 60 % of the clean throughput.
#[test]
fn half_of_the_peers_bad() {
    let chain = chain(16_000);
    let forged = forged(&chain, 2000, 16_400);
    let bodiless = bodiless(&chain, 3000, 16_400);
    let run = |seed: u8, import: Duration, bad: bool| {
        let mut sim = Sim::new(MemoryChain::new(), seed);
        sim.import_time = import;
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
            let latency = |salt: u8| {
                let word = alloy_primitives::keccak256([seed, number, salt])[0];
                Duration::from_millis(5 + u64::from(word % 60))
            };
            let (honest, other) = (2 * number + 1, 2 * number + 2);
            sim.add_with(honest, Kind::Honest, &chain, latency(0), EthVersion::Eth68);
            let (kind, its_chain) = if bad { (kind, liar_chain) } else { (Kind::Honest, &chain) };
            sim.add_with(other, kind, its_chain, latency(1), EthVersion::Eth68);
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
    for seed in 0..8 {
        // Bound by the import, and by the network.
        let import = Duration::from_micros(if seed % 2 == 0 { 1000 } else { 100 });
        let (clean, bad) = (run(seed, import, false), run(seed, import, true));
        let percent = clean * 100 / bad;
        println!("seed {seed}, {import:?} a block: {percent} % of the clean throughput");
        assert!(percent >= 60, "seed {seed}: {percent} % ({clean} and {bad} µs)");
    }
}

/// Headers are judged when those below them are here. Whoever sent them may be gone by then: the
/// driver must not be told to disconnect it.
#[test]
fn who_is_gone_when_its_headers_are_judged_is_no_fault_of_a_peer() {
    let ours = chain(200);
    let other = Shape { salt: 5, ..Shape::default() };
    let other = MemoryChain::with(&branch(&genesis(), 200, other));
    let limits = SyncLimits { header_batch: 32, ..SyncLimits::default() };
    let local = MemoryChain::new();
    let config = SyncConfig { genesis_hash: genesis().hash, head: local.head(), limits };
    let mut manager = BlockSyncManager::new(config, [1; 32]);
    let now = Instant::ZERO;
    let [slow, quick] = [1, 2].map(peer_id);
    let range = BlockRange { earliest: 0, latest: 200, latest_hash: ours.head().hash };
    let mut asked = Vec::new();
    let mut faults = Vec::new();
    let mut tell = |manager: &mut BlockSyncManager, asked: &mut Vec<_>, input| {
        manager.handle(now, input);
        while let Some(output) = manager.poll() {
            match output {
                SyncOutput::RequestHeaders {
                    peer, token, origin: Origin::Number(first), ..
                } => {
                    asked.push((peer, token, first));
                }
                SyncOutput::Fault { peer, fault } => faults.push((peer, fault)),
                _ => {}
            }
        }
    };
    for peer in [slow, quick] {
        let head = PeerHead::Range(range);
        tell(&mut manager, &mut asked, SyncInput::PeerConnected { peer, head });
    }
    let headers = |chain: &MemoryChain, first: u64| -> Vec<BlockHeader> {
        let block = |number| chain.canonical_block(number).unwrap().header;
        (first..first + 32).map(|number| BlockHeader::from_header(block(number))).collect()
    };
    // The quick one answers twice, each time from another chain, and goes.
    for (chain, first) in [(&*ours, 33), (&other, 65)] {
        let (peer, token, at) = *asked.last().unwrap();
        assert_eq!((peer, at), (quick, first));
        let headers = headers(chain, first);
        tell(&mut manager, &mut asked, SyncInput::Headers { peer, token, headers });
    }
    tell(&mut manager, &mut asked, SyncInput::PeerDisconnected { peer: quick });
    // Now what is below comes.
    let (peer, token, first) = asked[0];
    assert_eq!((peer, first), (slow, 1));
    let headers = headers(&ours, 1);
    tell(&mut manager, &mut asked, SyncInput::Headers { peer, token, headers });
    let report = manager.snapshot();
    assert_eq!(report.pending_headers + report.importing, 32, "what only a liar said is dropped");
    assert_eq!(faults, []);
}
