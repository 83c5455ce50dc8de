//! What a validator is handed, and in which order.

use alloy_primitives::Address;
use bytes::Bytes;
use chainmesh_chain::pool::PooledTransaction;

use crate::common::{Bench, Key, hash};

const RICH: u128 = 1_000_000_000_000;

fn bench() -> Bench {
    let mut bench = Bench::usual();
    bench.fund(0..4, RICH);
    bench
}

fn take(bench: &Bench, base_fee: u64) -> Vec<(Address, u64)> {
    bench.pool.best(base_fee).map(|tx| (tx.sender(), tx.nonce())).collect()
}

fn places(list: &[(u64, u64)]) -> Vec<(Address, u64)> {
    list.iter().map(|(key, nonce)| (Key(*key).address(), *nonce)).collect()
}

#[test]
fn best_tip_first_and_nonces_in_order() {
    let bench = bench();
    let all = [
        Key(0).transfer(0, 5),
        Key(0).transfer(1, 100),
        Key(1).transfer(0, 10),
        Key(1).transfer(1, 3),
        Key(2).transfer(0, 7),
        Key(2).transfer(5, 1000),
    ];
    assert_eq!(bench.add_all(&all), all.len());
    let expected = places(&[(1, 0), (2, 0), (0, 0), (0, 1), (1, 1)]);
    assert_eq!(take(&bench, 0), expected);
}

#[test]
fn of_the_same_tip_the_first_comes_first() {
    let bench = bench();
    for key in [2, 0, 3, 1] {
        bench.add(&Key(key).transfer(0, 10)).expect("valid");
    }
    assert_eq!(take(&bench, 0), places(&[(2, 0), (0, 0), (3, 0), (1, 0)]));
}

#[test]
fn the_base_fee_decides_what_a_tip_is_worth() {
    let bench = bench();
    let all = [
        Key(0).dynamic(0, 100, 2),
        Key(1).dynamic(0, 12, 12),
        Key(2).dynamic(0, 9, 9),
        Key(2).dynamic(1, 100, 50),
    ];
    assert_eq!(bench.add_all(&all), all.len());
    assert_eq!(take(&bench, 0), places(&[(1, 0), (2, 0), (2, 1), (0, 0)]));
    assert_eq!(take(&bench, 9), places(&[(1, 0), (0, 0), (2, 0), (2, 1)]));
    // Below the base fee: that account has to wait, with what is behind.
    assert_eq!(take(&bench, 11), places(&[(0, 0), (1, 0)]));
    assert_eq!(take(&bench, 101), []);
    let first = bench.pool.get(&hash(&all[0])).expect("there");
    assert_eq!(
        [0, 98, 99, 100, 101].map(|base| first.effective_tip(base)),
        [Some(2), Some(2), Some(1), Some(0), None]
    );
}

#[test]
fn a_sender_that_failed_is_skipped() {
    let bench = bench();
    let all: Vec<Bytes> = [(0, 0, 10), (0, 1, 10), (1, 0, 5), (1, 1, 5), (2, 0, 1)]
        .map(|(key, nonce, price)| Key(key).transfer(nonce, price))
        .to_vec();
    assert_eq!(bench.add_all(&all), all.len());
    let nonce_of =
        |tx: Option<std::sync::Arc<PooledTransaction>>| tx.map(|tx| (tx.sender(), tx.nonce()));
    let mut best = bench.pool.best(0);
    assert_eq!(nonce_of(best.next()), Some((Key(0).address(), 0)));
    best.skip_sender(&Key(0).address());
    assert_eq!(nonce_of(best.next()), Some((Key(1).address(), 0)));
    // Also one that has not been handed out yet.
    best.skip_sender(&Key(2).address());
    assert_eq!(nonce_of(best.next()), Some((Key(1).address(), 1)));
    assert_eq!(nonce_of(best.next()), None);
    best.skip_sender(&Key(1).address());
    assert_eq!(nonce_of(best.next()), None);
}

#[test]
fn an_iterator_does_not_see_what_happens_later() {
    let mut bench = bench();
    bench.add(&Key(0).transfer(0, 10)).expect("valid");
    let mut best = bench.pool.best(0);
    let transaction = best.next().expect("one");
    bench.mine(&[transaction]);
    bench.add(&Key(1).transfer(0, 10)).expect("valid");
    assert_eq!(best.next(), None);
    assert_eq!(take(&bench, 0), places(&[(1, 0)]));
}
