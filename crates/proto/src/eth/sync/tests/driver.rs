//! A miniature driver in virtual time: peers with latency, bandwidth and a character, and checks
//! that hold after every step.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::B256;
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{
    BlockBody, BlockHeader, BlockId, BlockRange, EthVersion, GetBlockHeaders, HashRequest, Message,
    Origin, code,
};

use super::super::super::chain::{ChainHead, ChainReader, ChainWriter, ImportError};
use super::super::super::handler::PeerHead;
use super::super::super::serve;
use super::super::super::testing::{MemoryChain, genesis};
use super::super::limits::{MAX_BODY_REQUEST, SyncLimits};
use super::super::{
    BlockSyncManager, ImportFailure, RequestToken, SyncConfig, SyncEvent, SyncFault, SyncInput,
    SyncOutput,
};
use crate::time::Instant;

/// What a peer is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Honest,
    /// Never answers.
    Staller,
    /// Answers headers, never bodies.
    BodyStaller,
    /// Leaves a header out.
    Gap,
    /// Begins one header too late.
    WrongStart,
    /// Sends more headers than were asked for.
    Giant,
    /// Answers everything with nothing.
    Empty,
    /// Sends bodies of other blocks.
    WrongBodies,
    /// Answers headers, and bodies with nothing.
    NoBodies,
}

pub(crate) struct SimPeer {
    pub(crate) kind: Kind,
    pub(crate) chain: Arc<MemoryChain>,
    pub(crate) latency: Duration,
    /// Bytes per second.
    pub(crate) bandwidth: u64,
    /// Total difficulty or range in its Status.
    pub(crate) version: EthVersion,
    headers_in_flight: bool,
    bodies_in_flight: bool,
}

enum Event {
    Input(SyncInput),
    Import(Vec<super::super::super::chain::SyncBlock>),
}

/// The world around one machine.
pub(crate) struct Sim {
    pub(crate) now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    pub(crate) manager: BlockSyncManager,
    pub(crate) local: MemoryChain,
    pub(crate) peers: BTreeMap<PeerId, SimPeer>,
    pub(crate) faults: Vec<(PeerId, SyncFault)>,
    pub(crate) events: Vec<SyncEvent>,
    pub(crate) announced: Vec<ChainHead>,
    /// Every header request, in order.
    pub(crate) header_requests: Vec<(PeerId, Origin, u64)>,
    /// Every body request, in order: how many.
    pub(crate) body_requests: Vec<(PeerId, usize)>,
    pub(crate) import_time: Duration,
    pub(crate) store_fails: u32,
    importing: bool,
    pub(crate) imported: Vec<u64>,
    pub(crate) most_bytes: usize,
    limits: SyncLimits,
}

pub(crate) fn peer_id(number: u8) -> PeerId {
    PeerId::from_slice(&[number; 64]).unwrap()
}

impl Sim {
    pub(crate) fn new(local: MemoryChain, seed: u8) -> Self {
        Self::with_limits(local, seed, SyncLimits::default())
    }

    pub(crate) fn with_limits(local: MemoryChain, seed: u8, limits: SyncLimits) -> Self {
        let config = SyncConfig { genesis_hash: genesis().hash, head: local.head(), limits };
        Self {
            now: Instant::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            manager: BlockSyncManager::new(config, [seed; 32]),
            local,
            peers: BTreeMap::new(),
            faults: Vec::new(),
            events: Vec::new(),
            announced: Vec::new(),
            header_requests: Vec::new(),
            body_requests: Vec::new(),
            import_time: Duration::from_micros(200),
            store_fails: 0,
            importing: false,
            imported: Vec::new(),
            most_bytes: 0,
            limits,
        }
    }

    pub(crate) fn add(&mut self, number: u8, kind: Kind, chain: &Arc<MemoryChain>) -> PeerId {
        let latency = Duration::from_millis(20 + 7 * u64::from(number % 5));
        self.add_with(number, kind, chain, latency, EthVersion::Eth68)
    }

    pub(crate) fn add_with(
        &mut self,
        number: u8,
        kind: Kind,
        chain: &Arc<MemoryChain>,
        latency: Duration,
        version: EthVersion,
    ) -> PeerId {
        let id = peer_id(number);
        let peer = SimPeer {
            kind,
            chain: Arc::clone(chain),
            latency,
            bandwidth: 2_000_000,
            version,
            headers_in_flight: false,
            bodies_in_flight: false,
        };
        let head = head_of(&peer);
        self.peers.insert(id, peer);
        self.input(SyncInput::PeerConnected { peer: id, head });
        id
    }

    pub(crate) fn remove(&mut self, id: PeerId) {
        self.peers.remove(&id);
        self.input(SyncInput::PeerDisconnected { peer: id });
    }

    /// Gives an input now, and does what comes of it.
    pub(crate) fn input(&mut self, input: SyncInput) {
        self.manager.handle(self.now, input);
        self.drain();
    }

    /// A peer announces its head by hash.
    pub(crate) fn announce(&mut self, id: PeerId) {
        let head = self.peers[&id].chain.head();
        let blocks = vec![BlockId { hash: head.hash, number: head.number }];
        self.input(SyncInput::Announced { peer: id, blocks });
    }

    fn later(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), event);
    }

    fn drain(&mut self) {
        while let Some(output) = self.manager.poll() {
            self.carry_out(output);
        }
        self.check();
    }

    fn check(&mut self) {
        let report = self.manager.snapshot();
        self.most_bytes = self.most_bytes.max(report.pending_bytes);
        let most = self.limits.pending_bytes + chainmesh_wire::eth::MAX_MESSAGE_SIZE;
        assert!(report.pending_bytes <= most, "{report:?}");
        let headers = u64::try_from(report.pending_headers).unwrap();
        let most = self.limits.pending_blocks + self.limits.header_batch;
        assert!(headers <= most, "{report:?}");
        assert_eq!(report.importing > 0, self.importing);
    }

    fn carry_out(&mut self, output: SyncOutput) {
        match output {
            SyncOutput::RequestHeaders { peer, token, origin, count } => {
                self.header_requests.push((peer, origin, count));
                assert!(count >= 1 && count <= self.limits.header_batch);
                self.request_headers(peer, token, origin, count);
            }
            SyncOutput::RequestBodies { peer, token, hashes } => {
                self.body_requests.push((peer, hashes.len()));
                assert!((1..=MAX_BODY_REQUEST).contains(&hashes.len()));
                assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len());
                self.request_bodies(peer, token, hashes);
            }
            SyncOutput::Lookup { token, block } => {
                let canonical = self.local.canonical_hash(block.number).unwrap();
                let canonical = Some(canonical == Some(block.hash));
                let event = Event::Input(SyncInput::LookedUp { token, canonical });
                self.later(Duration::from_micros(50), event);
            }
            SyncOutput::Import(blocks) => {
                assert!(!core::mem::replace(&mut self.importing, true), "two imports at once");
                assert!(blocks.len() <= self.limits.import_blocks);
                for (parent, child) in blocks.iter().zip(blocks.iter().skip(1)) {
                    assert_eq!(child.header.parent_hash, parent.hash);
                }
                for block in &blocks {
                    let body = BlockBody::decode(block.body_rlp.clone()).unwrap();
                    assert!(body.belongs_to(&block.header));
                }
                let time = self.import_time * u32::try_from(blocks.len()).unwrap();
                self.later(time, Event::Import(blocks));
            }
            SyncOutput::Fault { peer, fault } => {
                self.faults.push((peer, fault));
                self.peers.remove(&peer);
            }
            SyncOutput::Announce(head) => self.announced.push(head),
            SyncOutput::Event(event) => self.events.push(event),
        }
    }

    fn request_headers(&mut self, id: PeerId, token: RequestToken, origin: Origin, count: u64) {
        let peer = self.peers.get_mut(&id).expect("asked a peer that is gone");
        assert!(!core::mem::replace(&mut peer.headers_in_flight, true), "two at once");
        let more = u64::from(peer.kind == Kind::Giant) * 600;
        let late = u64::from(peer.kind == Kind::WrongStart);
        let origin = match origin {
            Origin::Number(number) if count > 1 => Origin::Number(number + late),
            other => other,
        };
        let (limit, skip) = (count + more, 0);
        let query = GetBlockHeaders { request_id: 0, origin, limit, skip, reverse: false };
        let payload = serve::headers(&*peer.chain, &query).unwrap();
        let mut headers = decode_headers(&payload);
        match peer.kind {
            Kind::Staller => return,
            Kind::Empty if count > 1 => headers.clear(),
            Kind::Gap if headers.len() > 10 => {
                headers.remove(5);
            }
            _ => {}
        }
        let time = peer.time_for(payload.len());
        self.later(time, Event::Input(SyncInput::Headers { peer: id, token, headers }));
    }

    fn request_bodies(&mut self, id: PeerId, token: RequestToken, hashes: Vec<B256>) {
        let peer = self.peers.get_mut(&id).expect("asked a peer that is gone");
        assert!(!core::mem::replace(&mut peer.bodies_in_flight, true), "two at once");
        let payload = serve::bodies(&*peer.chain, &HashRequest { request_id: 0, hashes }).unwrap();
        let mut bodies = decode_bodies(&payload);
        match peer.kind {
            Kind::Staller | Kind::BodyStaller => return,
            Kind::Empty | Kind::NoBodies => bodies.clear(),
            Kind::WrongBodies => {
                let other = BlockBody::decode(Bytes::from_static(&[0xc3, 0xc0, 0xc0, 0xc0]));
                if let Some(last) = bodies.last_mut() {
                    *last = other.unwrap();
                }
            }
            _ => {}
        }
        let time = peer.time_for(payload.len());
        self.later(time, Event::Input(SyncInput::Bodies { peer: id, token, bodies }));
    }

    /// Goes on until `done`, or until virtual time is up; says whether it was done.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            let event = self.queue.first_key_value().map(|((time, _), _)| *time);
            let wake = self.manager.poll_timeout();
            let next = match (event, wake) {
                (Some(event), Some(wake)) => event.min(wake),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => return false,
            };
            if next > end {
                self.now = end;
                return false;
            }
            self.now = self.now.max(next);
            if event == Some(next) {
                let (_, event) = self.queue.pop_first().unwrap();
                self.happen(event);
            } else {
                self.manager.handle_timeout(self.now);
                self.drain();
            }
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input(input) => {
                if let SyncInput::Headers { peer, .. } = &input
                    && let Some(peer) = self.peers.get_mut(peer)
                {
                    peer.headers_in_flight = false;
                }
                if let SyncInput::Bodies { peer, .. } = &input
                    && let Some(peer) = self.peers.get_mut(peer)
                {
                    peer.bodies_in_flight = false;
                }
                self.input(input);
            }
            Event::Import(blocks) => self.import(&blocks),
        }
    }

    fn import(&mut self, blocks: &[super::super::super::chain::SyncBlock]) {
        self.importing = false;
        if self.store_fails > 0 {
            self.store_fails -= 1;
            let (head, failure) = (self.local.head(), ImportFailure::Storage);
            return self.input(SyncInput::ImportFailed { head, failure });
        }
        let result = self.local.import(blocks);
        let head = self.local.head();
        let taken = blocks.iter().take_while(|block| self.local.block(&block.hash).is_some());
        self.imported.extend(taken.map(|block| block.header.number));
        let failure = match result {
            Ok(head) => return self.input(SyncInput::Imported { head }),
            Err(ImportError::Invalid { hash, .. }) => ImportFailure::Invalid { hash },
            Err(ImportError::UnknownParent { hash, .. }) => ImportFailure::UnknownParent { hash },
            Err(ImportError::Storage(_)) => ImportFailure::Storage,
        };
        self.input(SyncInput::ImportFailed { head, failure });
    }

    /// Runs until the local head is this chain's.
    pub(crate) fn sync_to(&mut self, chain: &MemoryChain, limit: Duration) {
        let head = chain.head().hash;
        let done = self.run_until(limit, |sim| {
            sim.local.head().hash == head
                && matches!(sim.events.last(), Some(SyncEvent::Synced { .. }))
        });
        assert!(
            done,
            "at {:?}: head {:?}, faults {:?}, {:#?}",
            self.now,
            self.local.head(),
            self.faults,
            self.manager.snapshot()
        );
    }

    /// Runs until the local head is this chain's, however it gets there.
    pub(crate) fn sync_to_head(&mut self, chain: &MemoryChain) {
        let head = chain.head().hash;
        let done = self.run_until(Duration::from_secs(60), |sim| sim.local.head().hash == head);
        assert!(done, "faults {:?}, {:#?}", self.faults, self.manager.snapshot());
    }

    /// Says that exactly these blocks were imported, in order.
    pub(crate) fn assert_imported(&self, first: u64, last: u64) {
        let expected = (first..=last).collect::<Vec<_>>();
        let differs = expected.iter().zip(&self.imported).find(|(one, other)| one != other);
        assert_eq!(differs, None);
        assert_eq!(self.imported.len(), expected.len());
    }

    /// The peers that were faulted, in order of their numbers.
    pub(crate) fn faulted(&self) -> BTreeSet<PeerId> {
        self.faults.iter().map(|(peer, _)| *peer).collect()
    }
}

impl SimPeer {
    fn time_for(&self, bytes: usize) -> Duration {
        let micros = u64::try_from(bytes).unwrap() * 1_000_000 / self.bandwidth;
        self.latency * 2 + Duration::from_micros(micros)
    }
}

fn head_of(peer: &SimPeer) -> PeerHead {
    let head = peer.chain.head();
    if peer.version == EthVersion::Eth69 {
        let (latest, latest_hash) = (head.number, head.hash);
        PeerHead::Range(BlockRange { earliest: 0, latest, latest_hash })
    } else {
        let total_difficulty = head.total_difficulty;
        PeerHead::TotalDifficulty { hash: head.hash, total_difficulty }
    }
}

fn decode_headers(payload: &Bytes) -> Vec<BlockHeader> {
    match Message::decode(EthVersion::Eth68, code::BLOCK_HEADERS, payload).unwrap() {
        Message::BlockHeaders(answer) => answer.items,
        other => panic!("{other:?}"),
    }
}

fn decode_bodies(payload: &Bytes) -> Vec<BlockBody> {
    match Message::decode(EthVersion::Eth68, code::BLOCK_BODIES, payload).unwrap() {
        Message::BlockBodies(answer) => answer.items,
        other => panic!("{other:?}"),
    }
}
