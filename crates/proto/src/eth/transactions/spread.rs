//! Telling peers of what is in our pool.

use std::collections::BTreeMap;

use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{MAX_ANNOUNCED_TRANSACTIONS, TransactionAnnouncement};

use super::super::pool::PoolTransaction;
use super::TransactionGossip;
use super::limits::{BLOB_KIND, MAX_MESSAGE_BYTES, MAX_SENT_WHOLE};
use super::types::GossipOutput;

/// What one peer gets of a batch: places in it.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    whole: Vec<usize>,
    announced: Vec<usize>,
}

impl TransactionGossip {
    /// Tells the peers of transactions that became pending.
    pub(super) fn spread(&mut self, transactions: &[PoolTransaction]) {
        let mut shares: BTreeMap<PeerId, Share> = BTreeMap::new();
        for (place, transaction) in transactions.iter().enumerate() {
            // It is here by another way than that of a peer who announced it.
            self.arrived(&transaction.hash);
            let whole = if may_be_sent_whole(transaction) { self.few(transaction) } else { 0 };
            for (id, peer) in &mut self.peers {
                if !peer.known.insert(&transaction.hash) {
                    continue;
                }
                let share = shares.entry(*id).or_default();
                if rank(peer.lot, transaction) < whole {
                    share.whole.push(place);
                } else {
                    share.announced.push(place);
                }
            }
        }
        // Peers that get the same are told by one message, which is encoded once.
        let mut alike: BTreeMap<Share, Vec<PeerId>> = BTreeMap::new();
        for (id, share) in shares {
            alike.entry(share).or_default().push(id);
        }
        for (Share { whole, announced }, peers) in alike {
            let at = |place: &usize| transactions.get(*place);
            self.send(&peers, whole.iter().filter_map(at));
            let announced = announced.iter().filter_map(at);
            self.announce(&peers, announced.map(PoolTransaction::announcement).collect());
        }
    }

    /// The rank below which a peer is one of the ⌈√n⌉ that get this transaction whole.
    fn few(&self, transaction: &PoolTransaction) -> u64 {
        let count = ceil_sqrt(self.peers.len());
        let mut ranks: Vec<u64> =
            self.peers.values().map(|peer| rank(peer.lot, transaction)).collect();
        match count.checked_sub(1) {
            Some(last) if last < ranks.len() => ranks.select_nth_unstable(last).1.saturating_add(1),
            _ => 0,
        }
    }

    fn send<'a>(
        &mut self,
        peers: &[PeerId],
        transactions: impl Iterator<Item = &'a PoolTransaction>,
    ) {
        let (mut message, mut bytes) = (Vec::new(), 0);
        for transaction in transactions {
            bytes += transaction.raw.len();
            message.push(transaction.raw.clone());
            self.sent += peers.len() as u64;
            if bytes >= MAX_MESSAGE_BYTES {
                bytes = 0;
                let transactions = core::mem::take(&mut message);
                self.outputs.push_back(GossipOutput::Send { peers: peers.into(), transactions });
            }
        }
        if !message.is_empty() {
            let transactions = message;
            self.outputs.push_back(GossipOutput::Send { peers: peers.into(), transactions });
        }
    }

    pub(super) fn announce(&mut self, peers: &[PeerId], mut all: Vec<TransactionAnnouncement>) {
        self.announced += (all.len() * peers.len()) as u64;
        while !all.is_empty() {
            let rest = all.split_off(all.len().min(MAX_ANNOUNCED_TRANSACTIONS));
            let transactions = core::mem::replace(&mut all, rest);
            self.outputs.push_back(GossipOutput::Announce { peers: peers.into(), transactions });
        }
    }
}

fn may_be_sent_whole(transaction: &PoolTransaction) -> bool {
    transaction.raw.len() <= MAX_SENT_WHOLE && transaction.kind != BLOB_KIND
}

/// Where a peer stands among all for the transactions of this sender: a number that is even over all
/// peers and senders, and the same for all transactions of a sender (the finaliser of splitmix64).
fn rank(lot: u64, transaction: &PoolTransaction) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = transaction.sender.0.0;
    let mut mixed = lot ^ u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn ceil_sqrt(count: usize) -> usize {
    let root = count.isqrt();
    if root * root < count { root + 1 } else { root }
}
