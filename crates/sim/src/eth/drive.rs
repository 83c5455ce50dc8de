//! What the machine wants, done; what the peers say, told.

use core::time::Duration;
use std::sync::{Arc, PoisonError};

use chainmesh_identity::PeerId;
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, ImportError, SyncBlock};
use chainmesh_proto::eth::handler::{EthConnection, EthEvent, RequestError};
use chainmesh_proto::eth::sync::{ImportFailure, RequestToken, SyncFault, SyncInput, SyncOutput};
use chainmesh_proto::session::Class;
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::eth::{BlockId, code};

use super::node::{EthNode, Peer, Word};
use super::{Accusation, Conduct};
use crate::chain::MemoryChain;
use crate::chain::blocks::{self, Shape};
use crate::network::NodeIndex;
use crate::world::{Event, World};

/// Time that the disk needs for a block (`import_speed` in `chain` measures less).
const IMPORT_TIME: Duration = Duration::from_micros(200);
/// Time that the disk needs for a look-up.
const LOOKUP_TIME: Duration = Duration::from_micros(50);

/// What a node's disk is doing.
pub(crate) enum Work {
    Import(Vec<SyncBlock>),
    Lookup { token: RequestToken, block: BlockId },
}

impl World {
    fn eth(&mut self, node: NodeIndex) -> Option<&mut EthNode> {
        self.running(node)?.eth.as_mut()
    }

    fn chain_of(&self, node: NodeIndex) -> Option<Arc<MemoryChain>> {
        Some(Arc::clone(&self.nodes.get(node.0)?.chain.as_ref()?.chain))
    }

    pub(super) fn conduct(&self, node: NodeIndex) -> Conduct {
        let chain = self.nodes.get(node.0).and_then(|node| node.chain.as_ref());
        chain.map_or(Conduct::Honest, |chain| chain.conduct)
    }

    fn tell_sync(&mut self, node: NodeIndex, input: SyncInput) {
        let now = self.now;
        if let Some(eth) = self.eth(node) {
            eth.machine.handle(now, input);
        }
    }

    /// Does what came through the nodes' ears. Says whether there was anything.
    pub(crate) fn listen(&mut self) -> bool {
        let heard =
            core::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let any = !heard.is_empty();
        for ((node, life), word) in heard {
            if self.nodes.get(node.0).is_none_or(|node| node.life != life) {
                continue;
            }
            self.hear(node, word);
            self.pump(node, Vec::new());
        }
        any
    }

    fn hear(&mut self, node: NodeIndex, word: Word) {
        match word {
            Word::Event(connection, event) => self.event(node, &connection, *event),
            Word::Serve(job) => self.serve(node, &job),
            Word::Closed(connection) => {
                let Some(eth) = self.eth(node) else { return };
                // A session that was replaced by another one of the same peer does not take it
                // along.
                let peer = connection.id();
                if eth.peers.get(&peer).is_some_and(|peer| peer.connection.is_same(&connection)) {
                    eth.peers.remove(&peer);
                    self.tell_sync(node, SyncInput::PeerDisconnected { peer });
                }
            }
        }
    }

    fn event(&mut self, node: NodeIndex, connection: &EthConnection, event: EthEvent) {
        let id = connection.id();
        if let EthEvent::Ready(head) = event {
            let peer = Peer {
                connection: connection.clone(),
                known: Default::default(),
                asked: Default::default(),
            };
            let Some(eth) = self.eth(node) else { return };
            eth.peers.insert(id, peer);
            return self.tell_sync(node, SyncInput::PeerConnected { peer: id, head });
        }
        let Some(peer) = self.eth(node).and_then(|eth| eth.peers.get_mut(&id)) else { return };
        let input = match event {
            EthEvent::NewBlockHashes(blocks) => {
                peer.known.extend(blocks.iter().map(|block| block.hash));
                for block in &blocks {
                    *self.announcements.entry((node, block.hash)).or_default() += 1;
                }
                SyncInput::Announced { peer: id, blocks }
            }
            EthEvent::NewBlock(block) => {
                peer.known.insert(block.header.hash);
                SyncInput::NewBlock { peer: id, block }
            }
            EthEvent::Headers { request_id, headers } => {
                let Some(token) = peer.asked.remove(&request_id) else { return };
                SyncInput::Headers { peer: id, token, headers }
            }
            EthEvent::Bodies { request_id, bodies } => {
                let Some(token) = peer.asked.remove(&request_id) else { return };
                SyncInput::Bodies { peer: id, token, bodies }
            }
            EthEvent::BlockRangeUpdate(range) => SyncInput::RangeUpdate { peer: id, range },
            // Nobody here has transactions of his own; requests go to `serve`.
            EthEvent::Transactions(_)
            | EthEvent::NewPooledTransactionHashes(_)
            | EthEvent::PooledTransactions { .. }
            | EthEvent::GetReceipts(_)
            | EthEvent::GetPooledTransactions(_)
            | EthEvent::Ready(_)
            | EthEvent::GetBlockHeaders(_)
            | EthEvent::GetBlockBodies(_)
            | EthEvent::Reply { .. } => return,
        };
        self.tell_sync(node, input);
    }

    /// Carries out what the machine wants until it wants nothing more now.
    pub(crate) fn synchronise(&mut self, node: NodeIndex) {
        while let Some(output) = self.eth(node).and_then(|eth| eth.machine.poll()) {
            match &output {
                SyncOutput::Import(blocks) => {
                    let ends = [blocks.first(), blocks.last()].map(|end| end.map(|end| end.hash));
                    self.decided((node, ends));
                }
                other => self.decided((node, format!("{other:?}"))),
            }
            self.carry_out(node, output);
        }
    }

    fn carry_out(&mut self, node: NodeIndex, output: SyncOutput) {
        match output {
            SyncOutput::RequestHeaders { peer, token, origin, count } => {
                self.ask(node, peer, token, |connection| connection.request_headers(origin, count));
            }
            SyncOutput::RequestBodies { peer, token, hashes } => {
                self.ask(node, peer, token, |connection| connection.request_bodies(&hashes));
            }
            SyncOutput::Lookup { token, block } => {
                self.give_work(node, LOOKUP_TIME, Work::Lookup { token, block });
            }
            SyncOutput::Import(blocks) => {
                let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
                let time = IMPORT_TIME.saturating_mul(count);
                self.give_work(node, time, Work::Import(blocks));
            }
            SyncOutput::Fault { peer, fault } => self.accuse(node, peer, fault),
            SyncOutput::Announce(head) => {
                self.announce(node, BlockId { hash: head.hash, number: head.number });
            }
            SyncOutput::Event(_) => {}
        }
    }

    fn ask(
        &mut self,
        node: NodeIndex,
        peer: PeerId,
        token: RequestToken,
        request: impl FnOnce(&EthConnection) -> Result<u64, RequestError>,
    ) {
        let asked = self.eth(node).and_then(|eth| eth.peers.get_mut(&peer)).is_some_and(|peer| {
            let sent = request(&peer.connection);
            sent.map(|request_id| peer.asked.insert(request_id, token)).is_ok()
        });
        if !asked {
            self.tell_sync(node, SyncInput::RequestFailed { peer, token });
        }
    }

    fn accuse(&mut self, node: NodeIndex, peer: PeerId, fault: SyncFault) {
        if let Some(accused) = self.by_id.get(&peer).copied() {
            self.accusations.push(Accusation { at: self.now, by: node, accused, fault });
        }
        let reason = match fault {
            SyncFault::Stalled { .. }
            | SyncFault::EmptyAnswers { .. }
            | SyncFault::TooDeep { .. } => DisconnectReason::UselessPeer,
            _ => DisconnectReason::SubprotocolError,
        };
        if let Some(peer) = self.eth(node).and_then(|eth| eth.peers.get(&peer)) {
            peer.connection.context().disconnect(reason);
        }
    }

    /// Tells all peers that do not know it of a block.
    fn announce(&mut self, node: NodeIndex, block: BlockId) {
        let payload = BlockId::encode_list(&[block]);
        let Some(eth) = self.eth(node) else { return };
        for peer in eth.peers.values_mut() {
            if peer.known.insert(block.hash) {
                // Gossip to a peer that does not keep up is dropped by design.
                let context = peer.connection.context();
                let _ = context.send_as(Class::Gossip, code::NEW_BLOCK_HASHES, payload.clone());
            }
        }
    }

    fn give_work(&mut self, node: NodeIndex, takes: Duration, work: Work) {
        let life = self.nodes.get(node.0).map_or(0, |node| node.life);
        self.schedule.add(self.now + takes, Event::Disk((node, life), work));
    }

    /// A node's disk has done its work. What it does when the node crashes is lost.
    pub(crate) fn disk(&mut self, node: NodeIndex, life: u64, work: Work) {
        let Some(chain) = self.chain_of(node) else { return };
        let alive = self.nodes.get(node.0).is_some_and(|n| n.life == life && n.running.is_some());
        if !alive {
            return;
        }
        let input = match work {
            Work::Lookup { token, block } => {
                let found = chain.canonical_hash(block.number);
                let canonical = found.ok().map(|hash| hash == Some(block.hash));
                SyncInput::LookedUp { token, canonical }
            }
            Work::Import(blocks) => import(&chain, &blocks),
        };
        self.audit(node);
        self.tell_sync(node, input);
        self.pump(node, Vec::new());
    }

    /// Makes a block on the node's head, and tells its peers. Returns its name; `None` when the
    /// node does not run, or has no chain.
    pub fn make_block(&mut self, node: NodeIndex, shape: Shape) -> Option<BlockId> {
        let chain = self.chain_of(node)?;
        self.eth(node)?;
        let head = chain.head();
        let parent = chain.block(&head.hash)?;
        let block = blocks::child(&parent, shape, &[shape.salt]);
        let id = BlockId { hash: block.hash, number: block.header.number };
        chain.import(&[block]).ok()?;
        self.audit(node);
        self.tell_sync(node, SyncInput::LocalHead(chain.head()));
        self.announce(node, id);
        self.pump(node, Vec::new());
        Some(id)
    }

    /// Looks at what a node has stored since the last time.
    pub(crate) fn audit(&mut self, node: NodeIndex) {
        let Some(chain) = self.chain_of(node) else { return };
        let now = self.now;
        if self.conduct(node) == Conduct::Honest {
            self.audits.entry(node).or_default().look(now, &chain, &mut self.sound);
        }
    }
}

fn import(chain: &MemoryChain, blocks: &[SyncBlock]) -> SyncInput {
    let failure = match chain.import(blocks) {
        Ok(head) => return SyncInput::Imported { head },
        Err(ImportError::Invalid { hash, .. }) => ImportFailure::Invalid { hash },
        Err(ImportError::UnknownParent { hash, .. }) => ImportFailure::UnknownParent { hash },
        Err(ImportError::Storage(_)) => ImportFailure::Storage,
    };
    SyncInput::ImportFailed { head: chain.head(), failure }
}
