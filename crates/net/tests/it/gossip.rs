//! Transactions from pool to pool.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use alloy_primitives::{Address, B256, keccak256};
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_net::{
    OnPending, P2pEvent, P2pHandle, PoolTransaction, SessionCommand, TransactionPool, Verdict,
};
use chainmesh_wire::eth::TransactionAnnouncement;

use crate::chain::{TestChain, on_chain};
use crate::support::{connected, has_peers, within};

/// Takes everything that begins with a 2, refuses what begins with a 1; the rest is no transaction.
#[derive(Default)]
struct TestPool {
    content: Mutex<BTreeMap<B256, PoolTransaction>>,
    callbacks: Arc<Mutex<Vec<Weak<OnPending>>>>,
}

impl TestPool {
    fn put(&self, raw: Bytes) -> Verdict {
        match raw.first() {
            Some(2) => {}
            Some(1) => return Verdict::Refused,
            _ => return Verdict::Malformed,
        }
        let hash = keccak256(&raw);
        let one = PoolTransaction { hash, sender: Address::ZERO, kind: 2, raw };
        if self.content.lock().unwrap().insert(hash, one.clone()).is_some() {
            return Verdict::Known;
        }
        for callback in self.callbacks.lock().unwrap().iter().filter_map(Weak::upgrade) {
            callback(std::slice::from_ref(&one));
        }
        Verdict::Added
    }

    async fn has(&self, hash: B256) {
        within("the transaction", async {
            while !self.contains(&hash) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl TransactionPool for TestPool {
    fn contains(&self, hash: &B256) -> bool {
        self.content.lock().unwrap().contains_key(hash)
    }

    fn get(&self, hash: &B256) -> Option<PoolTransaction> {
        self.content.lock().unwrap().get(hash).cloned()
    }

    fn announceable(&self, limit: usize) -> Vec<TransactionAnnouncement> {
        let content = self.content.lock().unwrap();
        content.values().take(limit).map(PoolTransaction::announcement).collect()
    }

    fn add(&self, _peer: PeerId, transactions: &[Bytes]) -> Vec<Verdict> {
        transactions.iter().map(|raw| self.put(raw.clone())).collect()
    }

    fn on_pending(&self, callback: OnPending) -> Box<dyn Any + Send + Sync> {
        let callback = Arc::new(callback);
        self.callbacks.lock().unwrap().push(Arc::downgrade(&callback));
        Box::new(callback)
    }
}

/// A node with a pool that dials those.
async fn node(number: u8, dials: &[&P2pHandle]) -> (P2pHandle, Arc<TestPool>) {
    let mut config = on_chain(number, &TestChain::new(100, 3));
    let pool = Arc::new(TestPool::default());
    config.chain.as_mut().unwrap().pool = Some(Arc::<TestPool>::clone(&pool));
    config.boot_nodes.extend(dials.iter().map(|node| node.enode().unwrap()));
    let node = chainmesh_net::start(config).await.unwrap();
    has_peers(&node, dials.len()).await;
    (node, pool)
}

fn transaction(number: u8, size: usize) -> (B256, Bytes) {
    let mut raw = vec![2, number];
    raw.resize(size, 0);
    (keccak256(&raw), raw.into())
}

#[tokio::test]
async fn a_transaction_travels_through_nodes_between_small_and_large() {
    let (first, origin) = node(1, &[]).await;
    let (second, _between) = node(2, &[&first]).await;
    // Whoever comes later is told of what is there.
    let (early, raw) = transaction(1, 200);
    origin.put(raw);
    let (_third, end) = node(3, &[&second]).await;
    end.has(early).await;
    // A small one is sent, a large one announced and fetched.
    for (number, size) in [(2, 200), (3, 100_000)] {
        let (hash, raw) = transaction(number, size);
        origin.put(raw.clone());
        end.has(hash).await;
        assert_eq!(end.get(&hash).unwrap().raw, raw);
    }
    let report = first.gossip_report().unwrap();
    assert_eq!((report.sent, report.announced), (1, 2), "{report:?}");
}

#[tokio::test]
async fn a_peer_that_sends_what_is_no_transaction_is_disconnected_and_one_that_is_refused_is_not() {
    let (first, pool) = node(1, &[]).await;
    let mut events = first.subscribe();
    let (liar, _) = node(2, &[&first]).await;
    let id = connected(&mut events).await;
    for first_byte in [1, 2, 0x7f] {
        let transactions = vec![vec![first_byte, 9, 9]];
        liar.cmd_tx.send(SessionCommand::BroadcastTransactions { transactions }).await.unwrap();
    }
    let gone = within("the end of the session", async {
        loop {
            if let P2pEvent::PeerDisconnected { peer_id } = events.recv().await.unwrap() {
                return peer_id;
            }
        }
    })
    .await;
    assert_eq!(gone, id);
    assert!(pool.contains(&keccak256([2, 9, 9])), "what was good stays");
}
