//! Block synchronisation: peers that answer honestly, falsely, late or never, in any order.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use alloy_primitives::{B256, U256};
use chainmesh_identity::PeerId;
use chainmesh_proto::eth::chain::{ChainHead, ChainReader, ChainWriter, ImportError, SyncBlock};
use chainmesh_proto::eth::handler::PeerHead;
use chainmesh_proto::eth::sync::limits::{MAX_ANNOUNCED, MAX_BODY_REQUEST, SyncLimits};
use chainmesh_proto::eth::sync::{
    BlockSyncManager, ImportFailure, RequestToken, SyncConfig, SyncInput, SyncOutput,
};
use chainmesh_proto::time::Instant;
use chainmesh_sim::chain::{INVALID, MemoryChain, Shape, blocks};
use chainmesh_wire::eth::{BlockBody, BlockHeader, BlockId, BlockRange, NewBlock, Origin};

use crate::cursor::Cursor;

const PEERS: u8 = 5;
/// The peer that is honest in the end.
const HONEST: u8 = 99;
/// Timers that are run when the operations are over, at least.
const LAST_ROUNDS: usize = 12;
/// Steps of 20 ms in which an honest peer has to be enough: five minutes.
const LAST_STEPS: usize = 15_000;

const LIMITS: SyncLimits = SyncLimits {
    header_batch: 16,
    pending_blocks: 60,
    pending_bytes: 20_000,
    import_blocks: 10,
    import_bytes: 8 * 1024 * 1024,
    reorg_depth: 90_000,
};
/// More than any block here has.
const LARGEST_BLOCK: usize = 1024;

/// The chain that is honest, a lighter branch of it, and one that becomes invalid.
fn chains() -> &'static [MemoryChain; 3] {
    static CHAINS: OnceLock<[MemoryChain; 3]> = OnceLock::new();
    CHAINS.get_or_init(|| {
        let mixed = Shape { salt: 0, difficulty: 2, transaction_every: 3 };
        let main = blocks::branch(&blocks::genesis(), 120, mixed);
        let light = Shape { salt: 1, difficulty: 1, ..mixed };
        let mut other = main[..40].to_vec();
        other.extend(blocks::branch(&main[39], 90, light));
        let forged = MemoryChain::with(&main[..60]).expect("valid blocks");
        let mut tip = main[59].clone();
        for _ in 0..70 {
            tip = blocks::child(&tip, Shape { difficulty: 5, ..mixed }, INVALID);
            forged.force(tip.clone());
        }
        let chain = |blocks: &[SyncBlock]| MemoryChain::with(blocks).expect("valid blocks");
        [chain(&main), chain(&other), forged]
    })
}

fn chain(cursor: &mut Cursor<'_>) -> &'static MemoryChain {
    &chains()[usize::from(cursor.below(3))]
}

fn some_block(cursor: &mut Cursor<'_>) -> Arc<SyncBlock> {
    let chain = chain(cursor);
    let number = u64::from(cursor.byte()) % (chain.head().number + 1);
    chain.canonical_block(number).expect("a block below the head")
}

fn header(block: &SyncBlock) -> BlockHeader {
    BlockHeader { hash: block.hash, header: block.header.clone(), rlp: block.header_rlp.clone() }
}

fn body(block: &SyncBlock) -> BlockBody {
    BlockBody::decode(block.body_rlp.clone()).expect("a generated body")
}

fn peer_id(number: u8) -> PeerId {
    PeerId::from([number; 64])
}

/// What was asked of a peer.
#[derive(Debug, Clone)]
enum Asked {
    Headers(Origin, u64),
    Bodies(Vec<B256>),
}

/// The world around one machine.
struct Bed {
    now: Instant,
    manager: BlockSyncManager,
    local: MemoryChain,
    /// Peers that the machine may ask.
    usable: BTreeSet<PeerId>,
    asked: BTreeMap<RequestToken, (PeerId, Asked)>,
    lookups: Vec<(RequestToken, BlockId)>,
    importing: Option<Vec<SyncBlock>>,
    last_token: RequestToken,
}

/// Operations on the machine of synchronisation. After each of them its memory is bounded; when
/// they are over its timers go on, and one honest peer is enough to get the whole chain.
pub fn sync_ops(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let local = MemoryChain::default();
    let genesis_hash = local.genesis_hash();
    let config = SyncConfig { genesis_hash, head: local.head(), limits: LIMITS };
    let mut bed = Bed {
        now: Instant::from_micros(1),
        manager: BlockSyncManager::new(config, [cursor.byte(); 32]),
        local,
        usable: BTreeSet::new(),
        asked: BTreeMap::new(),
        lookups: Vec::new(),
        importing: None,
        last_token: RequestToken(0),
    };
    while !cursor.is_empty() {
        bed.operate(&mut cursor);
        bed.check();
    }
    for _ in 0..LAST_ROUNDS {
        bed.round();
        bed.check();
    }
    bed.end_well();
}

impl Bed {
    fn operate(&mut self, cursor: &mut Cursor<'_>) {
        match cursor.below(16) {
            0 | 1 => self.connect(cursor),
            2 => self.disconnect(peer_id(cursor.below(PEERS))),
            3..=6 => self.answer_asked(cursor),
            7 => self.announce(cursor),
            8 => self.made_up(cursor),
            9 | 10 => self.import(cursor.below(8) == 7),
            11 => self.look_up(cursor.below(8) == 7),
            12 => (0..=cursor.below(16)).for_each(|_| self.round()),
            13 => self.pass(Duration::from_millis(cursor.short().into())),
            14 => self.local_block(),
            _ => {
                // A driver in which all goes well for a moment.
                self.import(false);
                self.look_up(false);
                self.answer_all();
                self.pass(Duration::from_millis(20));
            }
        }
    }

    fn connect(&mut self, cursor: &mut Cursor<'_>) {
        let peer = peer_id(cursor.below(PEERS));
        let head = chain(cursor).head();
        let head = match cursor.below(6) {
            0 | 1 => by_difficulty(head),
            2 | 3 => by_range(head),
            4 => PeerHead::TotalDifficulty {
                hash: B256::with_last_byte(cursor.byte()),
                total_difficulty: U256::from(cursor.long()),
            },
            _ => PeerHead::Range(BlockRange {
                earliest: cursor.byte().into(),
                latest: cursor.long(),
                latest_hash: head.hash,
            }),
        };
        self.join(peer, head);
    }

    fn join(&mut self, peer: PeerId, head: PeerHead) {
        self.forget(peer);
        self.usable.insert(peer);
        self.handle(SyncInput::PeerConnected { peer, head });
    }

    fn disconnect(&mut self, peer: PeerId) {
        self.forget(peer);
        self.handle(SyncInput::PeerDisconnected { peer });
    }

    fn forget(&mut self, peer: PeerId) {
        self.usable.remove(&peer);
        self.asked.retain(|_, (asked, _)| *asked != peer);
    }

    fn answer_asked(&mut self, cursor: &mut Cursor<'_>) {
        let Some(at) = usize::from(cursor.byte()).checked_rem(self.asked.len()) else { return };
        let Some(token) = self.asked.keys().nth(at).copied() else { return };
        let Some((peer, asked)) = self.asked.remove(&token) else { return };
        let chain = chain(cursor);
        let manner = cursor.below(10);
        if manner == 9 {
            return self.handle(SyncInput::RequestFailed { peer, token });
        }
        let place = usize::from(cursor.byte());
        let input = match asked {
            Asked::Headers(origin, count) => {
                let mut headers = headers(chain, origin, count);
                bend(&mut headers, manner, place);
                SyncInput::Headers { peer, token, headers }
            }
            Asked::Bodies(hashes) => {
                let mut bodies = bodies(&hashes);
                bend(&mut bodies, manner, place);
                SyncInput::Bodies { peer, token, bodies }
            }
        };
        self.handle(input);
    }

    fn announce(&mut self, cursor: &mut Cursor<'_>) {
        let peer = peer_id(cursor.below(PEERS));
        let block = some_block(cursor);
        let honest = BlockId { hash: block.hash, number: block.header.number };
        let input = match cursor.below(5) {
            0 => SyncInput::Announced { peer, blocks: vec![honest] },
            1 => SyncInput::Announced {
                peer,
                blocks: (0..cursor.byte())
                    .map(|n| BlockId { hash: B256::repeat_byte(n), number: n.into() })
                    .collect(),
            },
            2 => {
                let number = cursor.long();
                SyncInput::Announced { peer, blocks: vec![BlockId { number, ..honest }] }
            }
            3 => {
                let body = if cursor.flag() { body(&block) } else { body(&some_block(cursor)) };
                let total_difficulty = U256::from(cursor.short());
                let block = NewBlock { header: header(&block), body, total_difficulty };
                SyncInput::NewBlock { peer, block: Box::new(block) }
            }
            _ => {
                let (earliest, latest) = (cursor.byte().into(), cursor.long());
                let range = BlockRange { earliest, latest, latest_hash: block.hash };
                SyncInput::RangeUpdate { peer, range }
            }
        };
        self.handle(input);
    }

    /// Answers that nobody asked for, or not of this peer.
    fn made_up(&mut self, cursor: &mut Cursor<'_>) {
        let peer = peer_id(cursor.below(PEERS));
        let token = RequestToken(cursor.byte().into());
        let block = some_block(cursor);
        let input = match cursor.below(4) {
            0 => SyncInput::Headers { peer, token, headers: vec![header(&block)] },
            1 => SyncInput::Bodies { peer, token, bodies: vec![body(&block)] },
            2 => SyncInput::RequestFailed { peer, token },
            _ => SyncInput::LookedUp { token, canonical: Some(cursor.flag()) },
        };
        // It may be the answer to a real request, which then gets no other.
        self.asked.remove(&token);
        self.lookups.retain(|(asked, _)| *asked != token);
        self.handle(input);
    }

    fn local_block(&mut self) {
        let head = self.local.head();
        let Some(block) = chains()[0].canonical_block(head.number + 1) else { return };
        if block.header.parent_hash == head.hash {
            self.local.import(&[(*block).clone()]).expect("a valid block");
            self.handle(SyncInput::LocalHead(self.local.head()));
        }
    }

    fn import(&mut self, store_fails: bool) {
        let Some(blocks) = self.importing.take() else { return };
        let failure = match self.local.import(&blocks) {
            _ if store_fails => ImportFailure::Storage,
            Ok(head) => return self.handle(SyncInput::Imported { head }),
            Err(ImportError::Invalid { hash, .. }) => ImportFailure::Invalid { hash },
            Err(ImportError::UnknownParent { hash, .. }) => ImportFailure::UnknownParent { hash },
            Err(ImportError::Storage(_)) => ImportFailure::Storage,
        };
        self.handle(SyncInput::ImportFailed { head: self.local.head(), failure });
    }

    fn look_up(&mut self, store_fails: bool) {
        for (token, block) in core::mem::take(&mut self.lookups) {
            let found = self.local.canonical_hash(block.number).ok().flatten();
            let canonical = (!store_fails).then_some(found == Some(block.hash));
            self.handle(SyncInput::LookedUp { token, canonical });
        }
    }

    /// Every request, from the honest chain.
    fn answer_all(&mut self) {
        for (token, (peer, asked)) in core::mem::take(&mut self.asked) {
            self.handle(match asked {
                Asked::Headers(origin, count) => {
                    let headers = headers(&chains()[0], origin, count);
                    SyncInput::Headers { peer, token, headers }
                }
                Asked::Bodies(hashes) => {
                    let hashes: Vec<_> = hashes
                        .into_iter()
                        .filter(|hash| chains()[0].block(hash).is_some())
                        .collect();
                    SyncInput::Bodies { peer, token, bodies: bodies(&hashes) }
                }
            });
        }
    }

    fn handle(&mut self, input: SyncInput) {
        self.manager.handle(self.now, input);
        self.drain();
    }

    fn round(&mut self) {
        let Some(due) = self.manager.poll_timeout() else { return };
        self.now = self.now.max(due);
        self.manager.handle_timeout(self.now);
        let next = self.manager.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "the timers do not spin");
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.manager.poll_timeout().is_some_and(|due| due <= end) {
            self.round();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.manager.poll() {
            match output {
                SyncOutput::RequestHeaders { peer, token, origin, count } => {
                    assert!((1..=LIMITS.header_batch).contains(&count));
                    self.note(peer, token, Asked::Headers(origin, count));
                }
                SyncOutput::RequestBodies { peer, token, hashes } => {
                    assert!((1..=MAX_BODY_REQUEST).contains(&hashes.len()));
                    assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len());
                    self.note(peer, token, Asked::Bodies(hashes));
                }
                SyncOutput::Lookup { token, block } => self.lookups.push((token, block)),
                SyncOutput::Import(blocks) => {
                    check_import(&blocks);
                    assert!(self.importing.replace(blocks).is_none(), "one import at a time");
                }
                SyncOutput::Fault { peer, .. } => {
                    assert!(self.usable.contains(&peer), "only those who are there are at fault");
                    self.forget(peer);
                }
                SyncOutput::Announce(head) => assert!(self.local.block(&head.hash).is_some()),
                SyncOutput::Event(_) => {}
            }
        }
    }

    fn note(&mut self, peer: PeerId, token: RequestToken, asked: Asked) {
        assert!(self.usable.contains(&peer), "only those who are there are asked");
        assert!(token > self.last_token, "a token is used once");
        self.last_token = token;
        self.asked.insert(token, (peer, asked));
    }

    fn check(&self) {
        let report = self.manager.snapshot();
        assert_eq!(report.importing > 0, self.importing.is_some());
        assert_eq!(report.peers.len(), self.usable.len());
        assert!(report.announced <= MAX_ANNOUNCED);
        let headers = LIMITS.pending_blocks + LIMITS.header_batch;
        assert!(report.pending_headers as u64 <= headers, "{report:?}");
        let more = MAX_BODY_REQUEST + MAX_ANNOUNCED + report.pending_headers;
        let most = LIMITS.pending_bytes + more * LARGEST_BLOCK;
        assert!(report.pending_bytes <= most, "{report:?}");
    }

    /// All peers go, an honest one comes, and everything works.
    fn end_well(&mut self) {
        for peer in self.usable.clone() {
            self.disconnect(peer);
        }
        let goal = chains()[0].head();
        let honest = peer_id(HONEST);
        self.join(honest, by_difficulty(goal));
        for _ in 0..LAST_STEPS {
            if self.local.head().total_difficulty >= goal.total_difficulty {
                return;
            }
            assert!(self.usable.contains(&honest), "an honest peer was faulted");
            self.import(false);
            self.look_up(false);
            self.answer_all();
            self.pass(Duration::from_millis(20));
            self.check();
        }
        panic!("{:?} {:#?}", self.local.head(), self.manager.snapshot());
    }
}

const fn by_difficulty(head: ChainHead) -> PeerHead {
    let ChainHead { hash, total_difficulty, .. } = head;
    PeerHead::TotalDifficulty { hash, total_difficulty }
}

const fn by_range(head: ChainHead) -> PeerHead {
    let (latest, latest_hash) = (head.number, head.hash);
    PeerHead::Range(BlockRange { earliest: 0, latest, latest_hash })
}

/// The headers that a chain has for a request.
fn headers(chain: &MemoryChain, origin: Origin, count: u64) -> Vec<BlockHeader> {
    let first = match origin {
        Origin::Number(number) => number,
        Origin::Hash(hash) => match chain.block(&hash) {
            Some(block) if count == 1 => return vec![header(&block)],
            Some(block) => block.header.number,
            None => return Vec::new(),
        },
    };
    (first..first.saturating_add(count))
        .map_while(|number| chain.canonical_block(number).map(|block| header(&block)))
        .collect()
}

/// The bodies of those blocks that exist in some chain.
fn bodies(hashes: &[B256]) -> Vec<BlockBody> {
    let find = |hash| chains().iter().find_map(|chain| chain.block(hash));
    hashes.iter().filter_map(find).map(|block| body(&block)).collect()
}

/// Makes a lie of an answer, or leaves it as it is.
fn bend<T: Clone>(items: &mut Vec<T>, manner: u8, place: usize) {
    let Some(place) = place.checked_rem(items.len()) else { return };
    match manner {
        0 => items.clear(),
        1 => items.truncate(place),
        2 => drop(items.remove(place)),
        3 => items.push(items[place].clone()),
        4 => items.reverse(),
        _ => {}
    }
}

fn check_import(blocks: &[SyncBlock]) {
    assert!((1..=LIMITS.import_blocks).contains(&blocks.len()));
    for (parent, child) in blocks.iter().zip(blocks.iter().skip(1)) {
        assert_eq!(child.header.parent_hash, parent.hash);
    }
    for block in blocks {
        assert!(body(block).belongs_to(&block.header));
    }
}
