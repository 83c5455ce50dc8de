//! Synchronisation on sockets: does what `BlockSyncManager` decides.
//!
//! The machine stands behind a lock. Connections hand it what came from their peers, from inside
//! their own tasks; one task carries out what it wants. Between the two there is no queue that could
//! run over or lose an answer: whatever is held is held, and bounded, by the machine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use alloy_primitives::B256;
use chainmesh_proto::eth::chain::{ChainWriter, ImportError, SyncBlock};
use chainmesh_proto::eth::sync::limits::{MAX_REMEMBERED_INVALID, SyncLimits};
use chainmesh_proto::eth::sync::{
    BlockSyncManager, ImportFailure, SyncConfig, SyncEvent, SyncFault, SyncInput, SyncOutput,
    SyncReport,
};
use chainmesh_proto::peers::Offence;
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::eth::BlockId;
use tokio::sync::{Notify, watch};
use tracing::{debug, error, info, warn};

use super::{Asker, EthService};
use crate::book::unix_time;
use crate::clock::Clock;

/// A block that the chain refused.
struct RefusedBlock {
    hash: B256,
    /// What it is to send it.
    offence: Offence,
    /// Number and broken rule.
    words: String,
}

pub(crate) struct SyncDriver {
    machine: Mutex<BlockSyncManager>,
    moved: Notify,
    clock: Clock,
    chain: Arc<dyn ChainWriter>,
    /// The blocks that were refused last.
    refused: Mutex<VecDeque<RefusedBlock>>,
}

impl SyncDriver {
    pub(crate) fn new(chain: Arc<dyn ChainWriter>, clock: Clock) -> Arc<Self> {
        let config = SyncConfig {
            genesis_hash: chain.genesis_hash(),
            head: chain.head(),
            limits: SyncLimits::default(),
        };
        let machine = Mutex::new(BlockSyncManager::new(config, crate::entropy()));
        let refused = Mutex::default();
        Arc::new(Self { machine, moved: Notify::new(), clock, chain, refused })
    }

    fn machine(&self) -> MutexGuard<'_, BlockSyncManager> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub(crate) fn input(&self, input: SyncInput) {
        self.machine().handle(self.clock.now(), input);
        self.moved.notify_one();
    }

    /// This node made a block.
    pub(crate) fn local_head(&self) {
        self.input(SyncInput::LocalHead(self.chain.head()));
    }

    pub(super) fn chain(&self) -> &Arc<dyn ChainWriter> {
        &self.chain
    }

    pub(crate) fn report(&self) -> SyncReport {
        self.machine().snapshot()
    }

    /// Carries out what the machine wants until the node ends.
    pub(crate) async fn run(
        self: Arc<Self>,
        eth: Weak<EthService>,
        mut ended: watch::Receiver<()>,
    ) {
        loop {
            let (outputs, deadline) = {
                let mut machine = self.machine();
                let outputs: Vec<SyncOutput> = core::iter::from_fn(|| machine.poll()).collect();
                (outputs, machine.poll_timeout())
            };
            if !outputs.is_empty() {
                let Some(eth) = eth.upgrade() else { return };
                for output in outputs {
                    self.carry_out(&eth, output).await;
                }
                continue;
            }
            let timer = self.clock.sleep_until(deadline);
            tokio::select! {
                () = self.moved.notified() => {}
                () = timer => self.machine().handle_timeout(self.clock.now()),
                _ = ended.changed() => return,
            }
        }
    }

    async fn carry_out(self: &Arc<Self>, eth: &EthService, output: SyncOutput) {
        match output {
            SyncOutput::RequestHeaders { peer, token, origin, count } => {
                let asked = eth.ask_headers(peer, origin, count, Asker::Sync(token));
                if let Err(error) = asked {
                    debug!(peer = %peer.short(), "headers cannot be asked for: {error}");
                    self.input(SyncInput::RequestFailed { peer, token });
                }
            }
            SyncOutput::RequestBodies { peer, token, hashes } => {
                if let Err(error) = eth.ask_bodies(peer, &hashes, Asker::Sync(token)) {
                    debug!(peer = %peer.short(), "bodies cannot be asked for: {error}");
                    self.input(SyncInput::RequestFailed { peer, token });
                }
            }
            SyncOutput::Lookup { token, block } => {
                let chain = Arc::clone(&self.chain);
                let look = move || chain.canonical_hash(block.number);
                let found = tokio::task::spawn_blocking(look).await;
                let canonical = match found {
                    Ok(Ok(hash)) => Some(hash == Some(block.hash)),
                    Ok(Err(_)) | Err(_) => None,
                };
                self.input(SyncInput::LookedUp { token, canonical });
            }
            SyncOutput::Import(blocks) => {
                let driver = Arc::clone(self);
                // Requests go on while the blocks are written.
                tokio::task::spawn_blocking(move || driver.import(&blocks));
            }
            SyncOutput::Fault { peer, fault } => {
                warn!(peer = %peer.short(), "disconnecting: {fault}");
                let (offence, words) = self.charge(&fault);
                eth.witness.accuse(peer, offence, words).await;
                eth.disconnect(peer, fault_reason(&fault));
            }
            SyncOutput::Announce(head) => {
                eth.broadcast_block(BlockId { hash: head.hash, number: head.number });
            }
            SyncOutput::Event(event) => log(&event),
        }
    }

    /// What a peer did wrong, for its score and for its story. A node passes a block on when its header
    /// and seal are right, so of a block that is wrong in what it does, the sealer is to blame more than
    /// the sender.
    fn charge(&self, fault: &SyncFault) -> (Offence, String) {
        let charge = (Offence::of_sync(fault), fault.to_string());
        let SyncFault::InvalidBlock { hash } = fault else { return charge };
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let block = refused.iter().find(|block| block.hash == *hash);
        block.map_or(charge, |block| (block.offence, block.words.clone()))
    }

    /// A block was refused: keeps why, and what it is to send it.
    fn remember_refusal(&self, blocks: &[SyncBlock], error: &ImportError) {
        let ImportError::Invalid { number, hash, reason } = error else { return };
        let block = blocks.iter().find(|block| block.hash == *hash);
        let offence = block.map_or(Offence::InvalidBlock, |block| {
            match self.chain.check_header(&block.header, hash) {
                Ok(Some(_)) => Offence::InvalidExecution,
                _ if block.header.timestamp > unix_time() => Offence::EarlyBlock,
                _ => Offence::InvalidBlock,
            }
        });
        let words = format!("block {number}: {reason}");
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        // As many as the machine remembers: who sends one of them again is blamed again.
        if refused.len() >= MAX_REMEMBERED_INVALID {
            refused.pop_front();
        }
        refused.push_back(RefusedBlock { hash: *hash, offence, words });
    }

    fn import(&self, blocks: &[SyncBlock]) {
        let input = match self.chain.import(blocks) {
            Ok(head) => {
                debug!(number = head.number, blocks = blocks.len(), "blocks imported");
                SyncInput::Imported { head }
            }
            Err(error) => {
                let failure = match &error {
                    ImportError::Invalid { hash, .. } => ImportFailure::Invalid { hash: *hash },
                    ImportError::UnknownParent { hash, .. } => {
                        ImportFailure::UnknownParent { hash: *hash }
                    }
                    ImportError::Storage(_) => ImportFailure::Storage,
                };
                match failure {
                    ImportFailure::Storage => error!("blocks cannot be stored: {error}"),
                    _ => warn!("a block was refused: {error}"),
                }
                self.remember_refusal(blocks, &error);
                SyncInput::ImportFailed { head: self.chain.head(), failure }
            }
        };
        self.input(input);
    }
}

const fn fault_reason(fault: &SyncFault) -> DisconnectReason {
    match fault {
        SyncFault::Stalled { .. } | SyncFault::EmptyAnswers { .. } | SyncFault::TooDeep { .. } => {
            DisconnectReason::UselessPeer
        }
        _ => DisconnectReason::SubprotocolError,
    }
}

fn log(event: &SyncEvent) {
    match event {
        SyncEvent::Started { from, target } => info!(from, target, "fetching blocks"),
        SyncEvent::Reorganising { ancestor, depth } => {
            info!(ancestor = ancestor.number, depth, "a peer is on a heavier branch");
        }
        SyncEvent::Synced { head } => info!(number = head.number, hash = %head.hash, "synced"),
    }
}
