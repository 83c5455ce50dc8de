//! The machine by itself: what it is told and what it wants.

mod fetching;
mod properties;
mod spreading;

use alloy_primitives::{Address, B256, keccak256};
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{TransactionAnnouncement, TransactionAnnouncements};

use super::super::pool::PoolTransaction;
use super::*;

fn peer(number: u8) -> PeerId {
    PeerId::from([number; 64])
}

/// A transaction of type 2 with some content; nobody here looks into it.
fn transaction(number: u32) -> ReceivedTransaction {
    let mut raw = vec![2];
    raw.extend_from_slice(&number.to_be_bytes());
    raw.resize(100, 0);
    ReceivedTransaction { hash: keccak256(&raw), raw: raw.into() }
}

fn pooled(number: u32, sender: u8, size: usize) -> PoolTransaction {
    let mut raw = transaction(number).raw.to_vec();
    raw.resize(size, 1);
    let (hash, raw) = (keccak256(&raw), Bytes::from(raw));
    PoolTransaction { hash, sender: Address::repeat_byte(sender), kind: 2, raw }
}

fn claim(one: &ReceivedTransaction) -> TransactionAnnouncement {
    let size = u32::try_from(one.raw.len()).unwrap();
    TransactionAnnouncement { hash: one.hash, kind: one.kind(), size }
}

fn hashes(all: &[ReceivedTransaction]) -> Vec<B256> {
    all.iter().map(|one| one.hash).collect()
}

struct Test {
    gossip: TransactionGossip,
    now: Instant,
    batches: u64,
}

impl Test {
    fn with_peers(count: u8) -> Self {
        let mut gossip = TransactionGossip::new([3; 32]);
        for number in 0..count {
            let input = GossipInput::PeerConnected { peer: peer(number), offered: Vec::new() };
            gossip.handle(Instant::ZERO, input);
        }
        Self { gossip, now: Instant::ZERO, batches: 0 }
    }

    fn handle(&mut self, input: GossipInput) -> Vec<GossipOutput> {
        self.gossip.handle(self.now, input);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<GossipOutput> {
        core::iter::from_fn(|| self.gossip.poll()).collect()
    }

    /// Lets time pass, as far as something is due.
    fn pass(&mut self, time: core::time::Duration) -> Vec<GossipOutput> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(due) = self.gossip.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.gossip.handle_timeout(self.now);
            outputs.extend(self.outputs());
        }
        self.now = end;
        outputs
    }

    fn batch(&mut self) -> BatchId {
        self.batches += 1;
        BatchId(self.batches)
    }

    fn announce(&mut self, from: u8, all: &[ReceivedTransaction]) -> Vec<GossipOutput> {
        self.announce_as(from, all.iter().map(claim).collect())
    }

    fn announce_as(&mut self, from: u8, all: Vec<TransactionAnnouncement>) -> Vec<GossipOutput> {
        let wanted = vec![true; all.len()];
        let transactions = TransactionAnnouncements::Described(all);
        self.handle(GossipInput::Announced { peer: peer(from), transactions, wanted })
    }

    fn receive(&mut self, from: u8, all: &[ReceivedTransaction]) -> Vec<GossipOutput> {
        let (batch, transactions) = (self.batch(), all.to_vec());
        let known = Vec::new();
        self.handle(GossipInput::Received { peer: peer(from), batch, transactions, known })
    }

    fn answer(
        &mut self,
        from: u8,
        token: FetchToken,
        all: &[ReceivedTransaction],
    ) -> Vec<GossipOutput> {
        let (batch, transactions) = (self.batch(), all.to_vec());
        self.handle(GossipInput::Fetched { peer: peer(from), token, batch, transactions })
    }

    fn judge(
        &mut self,
        from: u8,
        all: &[ReceivedTransaction],
        verdict: Verdict,
    ) -> Vec<GossipOutput> {
        let verdicts = all.iter().map(|one| (one.hash, verdict)).collect();
        self.handle(GossipInput::Checked { peer: peer(from), verdicts })
    }
}

/// The only request among the outputs: whom, its token, and what for.
fn request(outputs: &[GossipOutput]) -> (PeerId, FetchToken, Vec<B256>) {
    let requests: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            GossipOutput::Request { peer, token, hashes } => Some((*peer, *token, hashes.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(requests.len(), 1, "{outputs:?}");
    requests.into_iter().next().unwrap()
}

/// What is given to the pool.
fn checked(outputs: &[GossipOutput]) -> Vec<B256> {
    let of = |output: &GossipOutput| match output {
        GossipOutput::Check { transactions, .. } => Some(hashes(transactions)),
        _ => None,
    };
    outputs.iter().filter_map(of).flatten().collect()
}

fn fault(outputs: &[GossipOutput]) -> Option<(PeerId, GossipFault)> {
    outputs.iter().find_map(|output| match output {
        GossipOutput::Fault { peer, fault } => Some((*peer, *fault)),
        _ => None,
    })
}

fn no_hashes() -> Vec<B256> {
    Vec::new()
}
