//! What happens between two steps of one caller, when others use the pool.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use bytes::Bytes;
use chainmesh_chain::Mempool;
use chainmesh_chain::pool::{
    AccountState, HeadUpdate, MempoolConfig, PoolState, Refusal, StateUnavailable,
};

use crate::common::{Bench, Fork, Key, NOW, State, head, spec};

const RICH: u128 = 1_000_000_000_000;

fn rich(nonce: u64) -> AccountState {
    AccountState { nonce, balance: U256::from(RICH), ..AccountState::default() }
}

fn update(number: u64, state: Arc<dyn PoolState>) -> HeadUpdate {
    let head = head(number);
    HeadUpdate { head, state, included: vec![], changed: Some(vec![]), reverted: vec![] }
}

/// A state during whose first reading a new head comes.
struct Overtaken {
    pool: Mutex<Option<Weak<Mempool>>>,
    new: State,
}

impl PoolState for Overtaken {
    fn account(&self, _: &Address) -> Result<AccountState, StateUnavailable> {
        if let Some(pool) = self.pool.lock().expect("no panic").take() {
            let pool = pool.upgrade().expect("alive");
            pool.on_new_head(update(2, Arc::new(self.new.clone())), NOW)?;
        }
        Ok(rich(0))
    }
}

#[test]
fn what_was_read_of_an_older_state_is_not_used() {
    let key = Key(0);
    let new = State::from([(key.address(), rich(1))]);
    let state = Arc::new(Overtaken { pool: Mutex::default(), new });
    let pool = Mempool::new(spec(Fork::London), MempoolConfig::default(), head(1), state.clone());
    let pool = Arc::new(pool);
    *state.pool.lock().expect("no panic") = Some(Arc::downgrade(&pool));
    let refusal = pool.add_local(&key.transfer(0, 10), NOW);
    assert_eq!(refusal, Err(Refusal::NonceTooLow { next: 1, nonce: 0 }));
    pool.add_local(&key.transfer(1, 10), NOW).expect("the next nonce behind the new head");
}

/// A state that answers when it is told to.
struct Slow {
    asked: SyncSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl PoolState for Slow {
    fn account(&self, _: &Address) -> Result<AccountState, StateUnavailable> {
        self.asked.send(()).expect("somebody waits");
        self.go_on.lock().expect("no panic").recv().expect("somebody goes on");
        Ok(rich(0))
    }
}

#[test]
fn nobody_waits_for_a_slow_disk_but_who_needs_it() {
    let (asked, is_asked) = sync_channel(1);
    let (go_on, goes_on) = sync_channel(1);
    let state = Arc::new(Slow { asked, go_on: Mutex::new(goes_on) });
    let pool = Mempool::new(spec(Fork::London), MempoolConfig::default(), head(1), state);
    let pool = Arc::new(pool);
    let adding = {
        let pool = Arc::clone(&pool);
        std::thread::spawn(move || pool.add_local(&Key(0).transfer(0, 10), NOW))
    };
    is_asked.recv_timeout(Duration::from_secs(30)).expect("the account is read");
    // From another thread, so that a pool that is locked fails the test and does not hang it.
    let (done, is_done) = sync_channel(1);
    let asking = {
        let pool = Arc::clone(&pool);
        std::thread::spawn(move || {
            let status = pool.status();
            let prepared = pool.prepare(&Key(1).transfer(0, 10)).is_ok();
            pool.maintain(NOW);
            done.send((status.pending, prepared)).expect("somebody waits");
        })
    };
    let answer = is_done.recv_timeout(Duration::from_secs(30)).expect("the pool is not locked");
    assert_eq!(answer, (0, true));
    go_on.send(()).expect("somebody reads");
    asking.join().expect("no panic");
    adding.join().expect("no panic").expect("valid");
    assert_eq!(pool.status().pending, 1);
}

#[test]
fn many_threads_leave_a_pool_that_adds_up() {
    let mut bench = Bench::new(MempoolConfig::default(), Fork::London);
    bench.fund(0..4, RICH);
    let transactions =
        |key: u64| -> Vec<Bytes> { (0..150).map(|nonce| Key(key).transfer(nonce, 10)).collect() };
    let all: Vec<Vec<Bytes>> = (0..4).map(transactions).collect();
    let pool = Arc::clone(&bench.pool);
    std::thread::scope(|scope| {
        for list in &all {
            let pool = &pool;
            scope.spawn(move || {
                for raw in list.chunks(7) {
                    pool.add_remote(raw, NOW);
                }
            });
        }
        // Blocks meanwhile, with whatever is there.
        for _ in 0..20 {
            let block: Vec<_> = pool.best(0).take(10).collect();
            bench.mine(&block);
        }
    });
    let mut pending = 0;
    for key in 0..4 {
        let next = bench.account(Key(key)).nonce;
        assert_eq!(bench.nonces(Key(key)), ((next..150).collect(), vec![]));
        pending += 150 - usize::try_from(next).expect("small");
    }
    let status = bench.pool.status();
    assert_eq!((status.pending, status.queued, status.accounts <= 4), (pending, 0, true));
    let mut told = std::collections::BTreeSet::new();
    for event in bench.take_events() {
        use chainmesh_chain::pool::MempoolEvent::{Mined, Pending};
        match event {
            Pending { hash } => assert!(told.insert(hash)),
            Mined { hash, .. } => assert!(told.remove(&hash), "in the order of things"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told.len(), pending);
}
