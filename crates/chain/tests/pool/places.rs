//! Pending and queued: gaps, money, replacement, what is told of it, and what waits too long.

use alloy_primitives::U256;
use chainmesh_chain::pool::{DropReason, MempoolConfig, MempoolEvent};

use crate::common::{Bench, Fork, Key, NOW, hash, transfer_cost};

const ALICE: Key = Key(0);
const RICH: u128 = 1_000_000_000_000;

fn bench() -> Bench {
    let mut bench = Bench::usual();
    bench.fund([0], RICH);
    bench
}

#[test]
fn a_gap_keeps_waiting_and_its_end_lets_all_move_up() {
    let bench = bench();
    let all: Vec<_> = (0..4).map(|nonce| ALICE.transfer(nonce, 10)).collect();
    for raw in [&all[3], &all[1], &all[2]] {
        bench.add(raw).expect("valid");
    }
    assert_eq!(bench.nonces(ALICE), (vec![], vec![1, 2, 3]));
    assert_eq!(bench.pool.pending_nonce(&ALICE.address()), Ok(0));
    assert_eq!(bench.pool.announceable(), [], "what waits is not announced");
    bench.take_events();
    bench.add(&all[0]).expect("valid");
    assert_eq!(bench.nonces(ALICE), (vec![0, 1, 2, 3], vec![]));
    assert_eq!(bench.pool.pending_nonce(&ALICE.address()), Ok(4));
    let told: Vec<_> = all.iter().map(|raw| MempoolEvent::Pending { hash: hash(raw) }).collect();
    assert_eq!(bench.take_events(), told);
    let announced: Vec<_> =
        bench.pool.announceable().iter().map(|announced| announced.hash).collect();
    assert_eq!(announced, all.iter().map(|raw| hash(raw)).collect::<Vec<_>>());
}

#[test]
fn pending_is_what_the_balance_covers_together() {
    let mut bench = bench();
    bench.account(ALICE).balance = transfer_cost(10) * U256::from(2);
    bench.refresh();
    // Each waits for the first, and each is covered alone; together two of them are.
    bench.add(&ALICE.transfer(2, 10)).expect("covered");
    bench.add(&ALICE.transfer(1, 10)).expect("covered");
    bench.add(&ALICE.transfer(0, 10)).expect("covered");
    assert_eq!(bench.nonces(ALICE), (vec![0, 1], vec![2]));
    bench.account(ALICE).balance = transfer_cost(10) * U256::from(3);
    bench.refresh();
    assert_eq!(bench.nonces(ALICE), (vec![0, 1, 2], vec![]));
}

#[test]
fn a_replacement_says_so_and_keeps_what_is_behind_it() {
    let bench = bench();
    let old = ALICE.transfer(0, 10);
    bench.add(&old).expect("valid");
    bench.add(&ALICE.transfer(1, 10)).expect("valid");
    bench.add(&ALICE.transfer(5, 10)).expect("valid");
    bench.take_events();
    let new = ALICE.transfer(0, 11);
    bench.add(&new).expect("10 % more");
    let (old, new) = (hash(&old), hash(&new));
    assert_eq!(
        bench.take_events(),
        [MempoolEvent::Replaced { old, new }, MempoolEvent::Pending { hash: new }]
    );
    assert!(!bench.pool.contains(&old));
    assert_eq!(bench.nonces(ALICE), (vec![0, 1], vec![5]));

    let waiting = ALICE.transfer(5, 20);
    bench.add(&waiting).expect("replaced where it waits");
    let events = bench.take_events();
    assert!(matches!(events[0], MempoolEvent::Replaced { .. }), "{events:?}");
    assert_eq!(events[1], MempoolEvent::Queued { hash: hash(&waiting) });
}

#[test]
fn a_free_transaction_is_replaced_by_one_that_pays_anything() {
    let config = MempoolConfig { min_tip: 0, ..MempoolConfig::default() };
    let mut bench = Bench::new(config, Fork::Prague);
    bench.fund([0], RICH);
    bench.add(&ALICE.transfer(0, 0)).expect("free");
    bench.add(&ALICE.transfer(0, 1)).expect("more than nothing");
    bench.add(&ALICE.transfer(0, 1_000_000)).expect("any price");
}

#[test]
fn what_waits_too_long_expires() {
    let mut bench = bench();
    bench.fund([1], RICH);
    let late = ALICE.transfer(2, 10);
    bench.add(&ALICE.transfer(0, 10)).expect("valid");
    bench.add(&late).expect("valid");
    let lifetime = bench.pool.config().queue_lifetime;
    bench.pool.add_local(&Key(1).transfer(3, 10), NOW).expect("ours");
    bench.pool.maintain(NOW + lifetime - 1);
    assert!(bench.pool.contains(&hash(&late)));
    bench.take_events();
    bench.pool.maintain(NOW + lifetime);
    let gone = MempoolEvent::Dropped { hash: hash(&late), reason: DropReason::Expired };
    assert_eq!(bench.take_events(), [gone]);
    assert_eq!(bench.nonces(ALICE), (vec![0], vec![]), "what is pending does not expire");
    assert_eq!(bench.nonces(Key(1)), (vec![], vec![3]), "nor what is ours");
}

#[test]
fn a_sign_of_life_keeps_the_queue_of_an_account() {
    let mut bench = bench();
    bench.add(&ALICE.transfer(2, 10)).expect("valid");
    let lifetime = bench.pool.config().queue_lifetime;
    bench.now += lifetime - 1;
    bench.add(&ALICE.transfer(3, 10)).expect("valid");
    bench.pool.maintain(NOW + lifetime);
    assert_eq!(bench.nonces(ALICE), (vec![], vec![2, 3]));
}

#[test]
fn the_queue_of_an_account_is_limited() {
    let bench = bench();
    let limit = bench.pool.config().account_queue as u64;
    for nonce in 1..=limit {
        bench.add(&ALICE.transfer(nonce + 10, 10)).expect("room");
    }
    let refusal = bench.add(&ALICE.transfer(200, 1000)).expect_err("the last of too many");
    assert_eq!(
        refusal.to_string(),
        "txpool is full: 64 transactions of the account wait for an earlier nonce"
    );
    bench.add(&ALICE.transfer(5, 10)).expect("an earlier one displaces the last");
    let (_, queued) = bench.nonces(ALICE);
    assert_eq!(queued.len() as u64, limit);
    assert_eq!((queued[0], queued[63]), (5, 10 + limit - 1));
}

#[test]
fn a_summary_is_a_line_of_txpool_inspect() {
    let bench = bench();
    let raw = ALICE.transfer(0, 10);
    bench.add(&raw).expect("valid");
    let summary = bench.pool.get(&hash(&raw)).expect("there").summary();
    assert_eq!(summary, "0x7777777777777777777777777777777777777777: 1 wei + 21000 gas × 10 wei");
}

#[test]
fn a_callback_may_use_the_pool_and_a_subscription_ends() {
    let mut bench = bench();
    bench.fund([1], RICH);
    let second = Key(1).transfer(0, 10);
    let pool = std::sync::Arc::clone(&bench.pool);
    let weak = std::sync::Arc::downgrade(&pool);
    let first = ALICE.transfer(0, 10);
    let trigger = hash(&first);
    let answer = second.clone();
    let subscription = pool.subscribe(move |events| {
        if events.contains(&MempoolEvent::Pending { hash: trigger }) {
            let pool = weak.upgrade().expect("alive");
            assert!(pool.contains(&trigger));
            pool.add_local(&answer, NOW).expect("valid");
        }
    });
    bench.add(&first).expect("valid");
    assert_eq!(
        bench.take_events(),
        [&first, &second].map(|raw| MempoolEvent::Pending { hash: hash(raw) })
    );
    drop(subscription);
    bench.add(&ALICE.transfer(1, 10)).expect("nobody panics");
}
