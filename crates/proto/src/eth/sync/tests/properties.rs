//! Whatever happens in whatever order: nothing panics, blocks are imported in order, memory is
//! bounded (the checks of the driver), and when the disturbance ends an honest peer is enough.

use core::time::Duration;
use std::sync::{Arc, OnceLock};

use alloy_primitives::{B256, U256};
use chainmesh_wire::eth::{BlockBody, BlockHeader, BlockId, BlockRange, EthVersion, NewBlock};
use proptest::prelude::*;

use super::super::super::chain::{ChainReader, SyncBlock};
use super::super::super::handler::PeerHead;
use super::super::super::testing::{INVALID, MemoryChain, Shape, branch, child, genesis};
use super::super::limits::SyncLimits;
use super::super::{ImportFailure, RequestToken, SyncInput};
use super::{Kind, Sim, peer_id};

const LENGTH: u64 = 260;

/// Three chains: ours to be, a lighter branch of it, and one that becomes invalid.
fn chains() -> &'static [Arc<MemoryChain>; 3] {
    static CHAINS: OnceLock<[Arc<MemoryChain>; 3]> = OnceLock::new();
    CHAINS.get_or_init(|| {
        let main = branch(&genesis(), LENGTH, Shape::default());
        let light = Shape { salt: 1, difficulty: 1, ..Shape::default() };
        let mut other = main[..40].to_vec();
        other.extend(branch(&main[39], 200, light));
        let forged = MemoryChain::new();
        let mut tip = main[99].clone();
        for block in &main[..100] {
            forged.force(block.clone());
        }
        for _ in 0..170 {
            tip = child(&tip, Shape { difficulty: 5, ..Shape::default() }, INVALID);
            forged.force(tip.clone());
        }
        [Arc::new(MemoryChain::with(&main)), Arc::new(MemoryChain::with(&other)), Arc::new(forged)]
    })
}

fn block(chain: usize, number: u64) -> SyncBlock {
    let chain = &chains()[chain];
    chain.canonical_block(number % (chain.head().number + 1)).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Connect(u8, Kind, usize, u64, EthVersion),
    Disconnect(u8),
    Run(u64),
    Announce(u8, usize, u64),
    NewBlock(u8, usize, u64, u64),
    Range(u8, u64),
    Headers(u8, u64, usize, u64, u64),
    Bodies(u8, u64, usize, u64, u64),
    Failed(u8, u64),
    LookedUp(u64, Option<bool>),
    StoreFails,
}

fn step() -> impl Strategy<Value = Step> {
    let peer = || 1u8..6;
    let chain = || 0usize..3;
    let number = || 0u64..300;
    let token = || 0u64..60;
    let kind = prop::sample::select(vec![
        Kind::Honest,
        Kind::Honest,
        Kind::Staller,
        Kind::BodyStaller,
        Kind::Gap,
        Kind::WrongStart,
        Kind::Giant,
        Kind::Empty,
        Kind::WrongBodies,
        Kind::NoBodies,
    ]);
    let version = prop::sample::select(EthVersion::ALL.to_vec());
    prop_oneof![
        3 => (peer(), kind, chain(), 1u64..200, version)
            .prop_map(|(a, b, c, d, e)| Step::Connect(a, b, c, d, e)),
        1 => peer().prop_map(Step::Disconnect),
        5 => (0u64..3000).prop_map(Step::Run),
        2 => (peer(), chain(), number()).prop_map(|(a, b, c)| Step::Announce(a, b, c)),
        2 => (peer(), chain(), number(), any::<u64>())
            .prop_map(|(a, b, c, d)| Step::NewBlock(a, b, c, d)),
        1 => (peer(), any::<u64>()).prop_map(|(a, b)| Step::Range(a, b)),
        2 => (peer(), token(), chain(), number(), 0u64..20)
            .prop_map(|(a, b, c, d, e)| Step::Headers(a, b, c, d, e)),
        2 => (peer(), token(), chain(), number(), 0u64..20)
            .prop_map(|(a, b, c, d, e)| Step::Bodies(a, b, c, d, e)),
        1 => (peer(), token()).prop_map(|(a, b)| Step::Failed(a, b)),
        1 => (token(), any::<Option<bool>>()).prop_map(|(a, b)| Step::LookedUp(a, b)),
        1 => Just(Step::StoreFails),
    ]
}

/// Does a step. Answers that the machine did not ask for are given as they are.
fn apply(sim: &mut Sim, step: &Step) {
    match *step {
        Step::Connect(peer, kind, chain, latency, version) => {
            if !sim.peers.contains_key(&peer_id(peer)) {
                let latency = Duration::from_millis(latency);
                sim.add_with(peer, kind, &chains()[chain], latency, version);
            }
        }
        Step::Disconnect(peer) => sim.remove(peer_id(peer)),
        Step::Run(millis) => {
            sim.run_until(Duration::from_millis(millis), |_| false);
        }
        Step::Announce(peer, chain, number) => {
            let block = block(chain, number);
            let blocks = vec![BlockId { hash: block.hash, number: block.header.number }];
            sim.input(SyncInput::Announced { peer: peer_id(peer), blocks });
        }
        Step::NewBlock(peer, chain, number, difficulty) => {
            let block = block(chain, number);
            let block = Box::new(NewBlock {
                header: BlockHeader::from_header(block.header),
                body: BlockBody::decode(block.body_rlp).unwrap(),
                total_difficulty: U256::from(difficulty),
            });
            sim.input(SyncInput::NewBlock { peer: peer_id(peer), block });
        }
        Step::Range(peer, latest) => {
            let range = BlockRange { earliest: 0, latest, latest_hash: B256::with_last_byte(3) };
            sim.input(SyncInput::RangeUpdate { peer: peer_id(peer), range });
        }
        Step::Headers(peer, token, chain, number, count) => {
            let headers = (number..number + count)
                .map(|number| BlockHeader::from_header(block(chain, number).header))
                .collect();
            let (peer, token) = (peer_id(peer), RequestToken(token));
            sim.input(SyncInput::Headers { peer, token, headers });
        }
        Step::Bodies(peer, token, chain, number, count) => {
            let bodies = (number..number + count)
                .map(|number| BlockBody::decode(block(chain, number).body_rlp).unwrap())
                .collect();
            let (peer, token) = (peer_id(peer), RequestToken(token));
            sim.input(SyncInput::Bodies { peer, token, bodies });
        }
        Step::Failed(peer, token) => {
            let (peer, token) = (peer_id(peer), RequestToken(token));
            sim.input(SyncInput::RequestFailed { peer, token });
        }
        Step::LookedUp(token, canonical) => {
            sim.input(SyncInput::LookedUp { token: RequestToken(token), canonical });
        }
        Step::StoreFails => sim.store_fails += 1,
    }
}

fn small_limits() -> SyncLimits {
    SyncLimits {
        header_batch: 32,
        pending_blocks: 100,
        pending_bytes: 40_000,
        import_blocks: 20,
        ..SyncLimits::default()
    }
}

/// Does the steps, takes all peers away, and says whether one honest peer is enough then.
fn ends_well(seed: u8, steps: &[Step]) -> Result<(), String> {
    let mut sim = Sim::with_limits(MemoryChain::new(), seed, small_limits());
    // Made-up answers to real requests are part of it: two requests may be in flight then.
    sim.tolerate_double_requests();
    for step in steps {
        apply(&mut sim, step);
    }
    for peer in sim.peers.keys().copied().collect::<Vec<_>>() {
        sim.remove(peer);
    }
    let latency = Duration::from_millis(20);
    sim.add_with(99, Kind::Honest, &chains()[0], latency, EthVersion::Eth68);
    let head = chains()[0].head();
    let better = |sim: &Sim| sim.local.head().total_difficulty >= head.total_difficulty;
    if sim.run_until(Duration::from_secs(300), better) {
        return Ok(());
    }
    Err(format!("{:?} {:?} {:#?}", sim.local.head(), sim.faults, sim.manager.snapshot()))
}

/// The line had headers of a branch whose peers were gone, and the one peer left was known to be
/// on another branch: it was never asked for bodies, and the line was never given up.
#[test]
fn a_line_that_nobody_can_finish_is_given_up() {
    ends_well(
        0,
        &[
            Step::Connect(2, Kind::Honest, 0, 1, EthVersion::Eth66),
            Step::NewBlock(2, 0, 5, 522),
            Step::Run(0),
            Step::Connect(3, Kind::Honest, 1, 155, EthVersion::Eth66),
            Step::Connect(1, Kind::BodyStaller, 0, 76, EthVersion::Eth66),
            Step::Run(947),
        ],
    )
    .unwrap();
}

/// Headers were kept for a place in a line that nobody was left to lead up to it.
#[test]
fn headers_ahead_of_a_line_without_peers_are_given_up() {
    ends_well(
        0,
        &[
            Step::Connect(2, Kind::Honest, 1, 74, EthVersion::Eth66),
            Step::Run(1240),
            Step::Connect(4, Kind::Staller, 1, 1, EthVersion::Eth69),
            Step::Run(906),
            Step::NewBlock(2, 0, 41, 282),
            Step::Connect(1, Kind::Honest, 2, 75, EthVersion::Eth66),
            Step::Range(2, 241),
            Step::Run(603),
        ],
    )
    .unwrap();
}

proptest! {
    #[test]
    fn any_interleaving_ends_well(
        seed in any::<u8>(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let result = ends_well(seed, &steps);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }

    /// Without a driver: results of imports that were never given out, heads from nowhere.
    #[test]
    fn senseless_inputs_never_panic(
        seed in any::<u8>(),
        inputs in proptest::collection::vec((0u8..7, 1u8..4, 0u64..300, any::<u64>()), 1..80),
    ) {
        let mut sim = Sim::with_limits(MemoryChain::new(), seed, small_limits());
        let manager = &mut sim.manager;
        let mut now = crate::time::Instant::ZERO;
        for (kind, peer, number, word) in inputs {
            now = now + Duration::from_micros(word >> 40);
            let block = block(0, number);
            let head = chains()[0].head();
            let hash = block.hash;
            let id = BlockId { hash, number: word };
            let input = match kind {
                0 => SyncInput::Imported { head },
                1 => SyncInput::ImportFailed { head, failure: ImportFailure::Invalid { hash } },
                2 => {
                    SyncInput::ImportFailed { head, failure: ImportFailure::UnknownParent { hash } }
                }
                3 => SyncInput::ImportFailed { head, failure: ImportFailure::Storage },
                4 => SyncInput::LocalHead(head),
                5 => SyncInput::Announced { peer: peer_id(peer), blocks: vec![id] },
                _ => SyncInput::PeerConnected {
                    peer: peer_id(peer),
                    head: PeerHead::TotalDifficulty { hash, total_difficulty: U256::from(word) },
                },
            };
            manager.handle(now, input);
            while manager.poll().is_some() {}
            if word.is_multiple_of(3)
                && let Some(wake) = manager.poll_timeout()
            {
                now = now.max(wake);
                manager.handle_timeout(now);
                // A driver that only follows the clock does not spin.
                prop_assert!(manager.poll_timeout().is_none_or(|next| next > now));
            }
        }
        prop_assert!(manager.snapshot().pending_bytes < 100_000);
    }
}
