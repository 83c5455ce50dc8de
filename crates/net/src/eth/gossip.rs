//! Gossip of transactions on sockets: does what `TransactionGossip` decides.
//!
//! As with synchronisation the machine stands behind a lock, and one task carries out what it wants.
//! What peers send is held back at its source: while the pool is checking what came from a peer,
//! nothing more than a few messages is read from it.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use alloy_primitives::{B256, keccak256};
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_proto::eth::handler::EthConnection;
use chainmesh_proto::eth::pool::TransactionPool;
use chainmesh_proto::eth::transactions::{
    BatchId, FetchToken, GossipFault, GossipInput, GossipOutput, GossipReport, ReceivedTransaction,
    TransactionGossip,
};
use chainmesh_proto::peers::Offence;
use chainmesh_proto::session::ReadHold;
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::eth::{
    EthVersion, MAX_ANNOUNCED_TRANSACTIONS, Message, TransactionAnnouncement,
    TransactionAnnouncements, code,
};
use tokio::sync::{Notify, Semaphore, watch};
use tracing::{debug, warn};

use super::{Asker, EthService};
use crate::clock::Clock;

/// Batches that are given to the pool at the same time: it recovers signatures, which keeps a CPU
/// busy for a while.
const CHECKS_AT_ONCE: usize = 2;

pub(crate) struct GossipDriver {
    machine: Mutex<TransactionGossip>,
    moved: Notify,
    clock: Clock,
    pool: Arc<dyn TransactionPool>,
    checks: Semaphore,
    last_batch: AtomicU64,
    /// Reading goes on when these are let go: one for each batch that is not checked yet.
    holds: Mutex<HashMap<BatchId, ReadHold>>,
    /// Keeps the pool telling us what becomes pending.
    subscription: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl GossipDriver {
    pub(crate) fn new(pool: Arc<dyn TransactionPool>, clock: Clock) -> Arc<Self> {
        let driver = Arc::new(Self {
            machine: Mutex::new(TransactionGossip::new(crate::entropy())),
            moved: Notify::new(),
            clock,
            pool,
            checks: Semaphore::new(CHECKS_AT_ONCE),
            last_batch: AtomicU64::new(0),
            holds: Mutex::default(),
            subscription: OnceLock::new(),
        });
        let weak = Arc::downgrade(&driver);
        let subscription = driver.pool.on_pending(Box::new(move |transactions| {
            if let Some(driver) = weak.upgrade() {
                driver.input(GossipInput::Pending(transactions.to_vec()));
            }
        }));
        let _ = driver.subscription.set(subscription);
        driver
    }

    pub(crate) fn report(&self) -> GossipReport {
        self.machine().snapshot()
    }

    fn machine(&self) -> MutexGuard<'_, TransactionGossip> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self) -> MutexGuard<'_, HashMap<BatchId, ReadHold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn input(&self, input: GossipInput) {
        self.machine().handle(self.clock.now(), input);
        self.moved.notify_one();
    }

    pub(super) fn peer_connected(&self, peer: PeerId) {
        let offered = self.pool.announceable(MAX_ANNOUNCED_TRANSACTIONS);
        self.input(GossipInput::PeerConnected { peer, offered });
    }

    pub(super) fn peer_disconnected(&self, peer: PeerId) {
        self.input(GossipInput::PeerDisconnected { peer });
    }

    /// A peer announced transactions.
    pub(super) fn announced(&self, peer: PeerId, transactions: TransactionAnnouncements) {
        let wanted = transactions.hashes().map(|hash| !self.pool.contains(&hash)).collect();
        self.input(GossipInput::Announced { peer, transactions, wanted });
    }

    /// A peer sent transactions without being asked. Hashes them: inside the connection's task, so
    /// that the one who sends pays for it.
    pub(super) fn received(&self, from: &EthConnection, transactions: &[Bytes]) {
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for one in hashed(transactions) {
            if self.pool.contains(&one.hash) {
                known.push(one.hash);
            } else {
                new.push(one);
            }
        }
        let (peer, batch) = (from.id(), self.begin_batch(from));
        self.input(GossipInput::Received { peer, batch, transactions: new, known });
    }

    /// A peer answered a request.
    pub(super) fn fetched(&self, from: &EthConnection, token: FetchToken, found: &[Bytes]) {
        let (peer, batch) = (from.id(), self.begin_batch(from));
        let transactions = hashed(found).collect();
        self.input(GossipInput::Fetched { peer, token, batch, transactions });
    }

    fn begin_batch(&self, from: &EthConnection) -> BatchId {
        let batch = BatchId(self.last_batch.fetch_add(1, Ordering::Relaxed));
        self.holds().insert(batch, from.context().hold_reading());
        batch
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
                let outputs: Vec<GossipOutput> = core::iter::from_fn(|| machine.poll()).collect();
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

    async fn carry_out(self: &Arc<Self>, eth: &EthService, output: GossipOutput) {
        match output {
            GossipOutput::Request { peer, token, hashes } => {
                let asker = Asker::Gossip(token);
                let asked = eth.ask(peer, asker, |peer| peer.request_transactions(&hashes));
                if let Err(error) = asked {
                    debug!(peer = %peer.short(), "transactions cannot be asked for: {error}");
                    self.input(GossipInput::RequestFailed { peer, token });
                }
            }
            GossipOutput::Check { peer, batch, transactions } => {
                let hold = self.holds().remove(&batch);
                if !transactions.is_empty() {
                    tokio::spawn(Arc::clone(self).check(peer, transactions, hold));
                }
            }
            GossipOutput::Send { peers, transactions } => {
                let message = Message::Transactions(transactions);
                // Only a NewBlock can fail to be encoded.
                let Ok(payload) = message.encode() else { return };
                eth.send_gossip(&peers, message.code(), |_| payload.clone());
            }
            GossipOutput::Announce { peers, transactions } => {
                announce(eth, &peers, transactions);
            }
            GossipOutput::Fault { peer, fault } => {
                warn!(peer = %peer.short(), "disconnecting: {fault}");
                eth.witness.accuse(peer, Offence::of_gossip(&fault), fault.to_string()).await;
                eth.disconnect(peer, fault_reason(&fault));
            }
        }
    }

    /// Gives transactions to the pool.
    async fn check(
        self: Arc<Self>,
        peer: PeerId,
        transactions: Vec<ReceivedTransaction>,
        hold: Option<ReadHold>,
    ) {
        let Ok(_permit) = self.checks.acquire().await else { return };
        let pool = Arc::clone(&self.pool);
        let (hashes, raw): (Vec<B256>, Vec<Bytes>) =
            transactions.into_iter().map(|one| (one.hash, one.raw)).unzip();
        let verdicts = tokio::task::spawn_blocking(move || pool.add(peer, &raw)).await;
        if let Ok(verdicts) = verdicts {
            let verdicts = hashes.into_iter().zip(verdicts).collect();
            self.input(GossipInput::Checked { peer, verdicts });
        }
        drop(hold);
    }
}

fn hashed(transactions: &[Bytes]) -> impl Iterator<Item = ReceivedTransaction> + '_ {
    transactions.iter().map(|raw| ReceivedTransaction { hash: keccak256(raw), raw: raw.clone() })
}

/// Announces transactions, to each peer in the form of its version.
fn announce(eth: &EthService, peers: &[PeerId], transactions: Vec<TransactionAnnouncement>) {
    let hashes = transactions.iter().map(|one| one.hash).collect();
    let before = OnceLock::new();
    let since = OnceLock::new();
    let hashes = TransactionAnnouncements::Hashes(hashes);
    let described = TransactionAnnouncements::Described(transactions);
    eth.send_gossip(peers, code::NEW_POOLED_TRANSACTION_HASHES, |version| {
        let (encoded, form) = match version {
            EthVersion::Eth66 | EthVersion::Eth67 => (&before, &hashes),
            EthVersion::Eth68 | EthVersion::Eth69 => (&since, &described),
        };
        Bytes::clone(encoded.get_or_init(|| form.encode()))
    });
}

const fn fault_reason(fault: &GossipFault) -> DisconnectReason {
    match fault {
        GossipFault::Silent { .. } => DisconnectReason::UselessPeer,
        _ => DisconnectReason::SubprotocolError,
    }
}
