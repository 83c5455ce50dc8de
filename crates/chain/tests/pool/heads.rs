//! New heads: what is mined, invalid, uncovered, or comes back.

use alloy_primitives::U256;
use bytes::Bytes;
use chainmesh_chain::pool::{
    AccountCode, DropReason, HeadUpdate, IncludedTransaction, MempoolConfig, MempoolEvent, Refusal,
};

use crate::common::{
    Bench, Fork, Key, hash, legacy, set_code, spec_with, transfer_cost, with_access_list,
};

const ALICE: Key = Key(0);
const BOB: Key = Key(1);
const RICH: u128 = 1_000_000_000_000;

fn bench() -> Bench {
    let mut bench = Bench::usual();
    bench.fund([0, 1], RICH);
    bench
}

fn dropped(raw: &[u8], reason: DropReason) -> MempoolEvent {
    MempoolEvent::Dropped { hash: hash(raw), reason }
}

#[test]
fn what_a_block_has_is_mined() {
    let mut bench = bench();
    let all: Vec<Bytes> = (0..3).map(|nonce| ALICE.transfer(nonce, 10)).collect();
    bench.add_all(&all);
    bench.take_events();
    let first: Vec<_> = bench.pool.best(0).take(2).collect();
    bench.mine(&first);
    let mined = [&all[0], &all[1]].map(|raw| MempoolEvent::Mined { hash: hash(raw), block: 2 });
    assert_eq!(bench.take_events(), mined);
    assert_eq!(bench.nonces(ALICE), (vec![2], vec![]));
    assert!(!bench.pool.wants(&hash(&all[0]), bench.now), "and nobody is asked for it");
    assert!(matches!(bench.add(&all[0]), Err(Refusal::NonceTooLow { next: 2, nonce: 0 })));
}

#[test]
fn another_transaction_with_its_nonce_was_mined() {
    let mut bench = bench();
    let raw = ALICE.transfer(0, 10);
    bench.add(&raw).expect("valid");
    bench.take_events();
    bench.account(ALICE).nonce = 1;
    bench.refresh();
    assert_eq!(bench.take_events(), [dropped(&raw, DropReason::NonceUsed)]);
    assert_eq!(bench.pool.status().bytes, 0);
}

#[test]
fn a_nonce_that_was_mined_elsewhere_ends_a_gap() {
    let mut bench = bench();
    bench.add(&ALICE.transfer(3, 10)).expect("valid");
    bench.account(ALICE).nonce = 3;
    bench.refresh();
    assert_eq!(bench.nonces(ALICE), (vec![3], vec![]));
}

#[test]
fn money_that_is_gone_sends_pending_ones_back() {
    let mut bench = bench();
    let all: Vec<Bytes> = [10, 10, 30, 10]
        .iter()
        .zip(0..)
        .map(|(price, nonce)| ALICE.transfer(nonce, *price))
        .collect();
    bench.add_all(&all);
    bench.take_events();
    // Enough for the first and half of the second; the third alone is too dear.
    bench.account(ALICE).balance = transfer_cost(15);
    bench.refresh();
    assert_eq!(bench.nonces(ALICE), (vec![0], vec![1, 3]));
    let events = bench.take_events();
    let is_too_dear = |event: &MempoolEvent| {
        let reason = DropReason::Invalid(Refusal::InsufficientFunds {
            balance: transfer_cost(15),
            queued: transfer_cost(10),
            cost: transfer_cost(30),
        });
        *event == dropped(&all[2], reason)
    };
    assert!(events.iter().any(is_too_dear), "{events:?}");
    for raw in [&all[1], &all[3]] {
        assert!(events.contains(&MempoolEvent::Queued { hash: hash(raw) }), "{events:?}");
    }
    assert_eq!(events.len(), 3);
}

#[test]
fn a_smaller_gas_limit_drops_what_does_not_fit() {
    let mut bench = bench();
    let mut large = legacy(0, 10);
    large.gas_limit = 1_000_000;
    let large = ALICE.sign(large.into());
    bench.add(&large).expect("valid");
    bench.add(&ALICE.transfer(1, 10)).expect("valid");
    bench.take_events();
    bench.head.gas_limit = 999_999;
    bench.refresh();
    let refusal = Refusal::ExceedsBlockGasLimit { gas: 1_000_000, limit: 999_999 };
    let events = bench.take_events();
    assert_eq!(events[0], dropped(&large, DropReason::Invalid(refusal)));
    assert_eq!(bench.nonces(ALICE), (vec![], vec![1]));
}

#[test]
fn a_fork_drops_what_is_not_valid_behind_it() {
    // EIP-7623: data costs more from Prague on.
    let spec = spec_with(Fork::Shanghai, |config| {
        config.prague_time = Some(crate::common::NOW + 10);
    });
    let mut bench = Bench::with_spec(MempoolConfig::default(), spec);
    bench.fund([0, 1], RICH);
    let data = |gas_limit| {
        let mut transaction = legacy(0, 10);
        transaction.input = vec![1; 1000].into();
        transaction.gas_limit = gas_limit;
        transaction
    };
    let cheap = ALICE.sign(data(21_000 + 16_000).into());
    let enough = BOB.sign(data(21_000 + 40_000).into());
    assert_eq!(bench.add_all(&[cheap.clone(), enough.clone()]), 2);
    // It was prepared before the fork, and comes in behind it.
    let late = bench.pool.prepare(&Key(1).sign(set_code(1, &[(ALICE, 0)]).into()));
    assert!(matches!(late, Err(Refusal::TypeNotSupported { tx_type: 4, .. })));
    bench.take_events();
    bench.head.timestamp = crate::common::NOW + 10;
    bench.refresh();
    let refusal = Refusal::FloorDataGas { gas: 37_000, minimum: 61_000 };
    assert_eq!(bench.take_events(), [dropped(&cheap, DropReason::Invalid(refusal))]);
    assert!(bench.is_pending(&enough));
}

#[test]
fn what_was_prepared_for_an_older_fork_is_checked_again() {
    let spec = spec_with(Fork::Berlin, |config| config.berlin_block = Some(2));
    let mut bench = Bench::with_spec(MempoolConfig::default(), spec);
    bench.fund([0], RICH);
    let prepared = bench.pool.prepare(&ALICE.sign(with_access_list(0, 10).into())).expect("Berlin");
    // A reorganisation to a shorter chain, on which the next block is before Berlin.
    bench.head.number = 0;
    bench.refresh();
    let origin = chainmesh_chain::pool::TransactionOrigin::Remote;
    let results = bench.pool.insert(vec![prepared], origin, bench.now);
    assert!(matches!(results[..], [Err(Refusal::TypeNotSupported { tx_type: 1, .. })]));
}

#[test]
fn a_reorganisation_gives_back_what_is_in_no_block() {
    let mut bench = bench();
    let all: Vec<Bytes> = (0..100).map(|nonce| ALICE.transfer(nonce, 10)).collect();
    bench.add_all(&all);
    let first: Vec<_> = bench.pool.best(0).take(2).collect();
    bench.mine(&first);
    assert_eq!(bench.pool.status().pending, 98);
    bench.take_events();
    // The block is gone, and the one in its place has the first of the two.
    bench.account(ALICE).nonce = 1;
    let (transaction, block) = (&first[0], bench.head.number);
    let included = IncludedTransaction {
        hash: transaction.hash(),
        sender: transaction.sender(),
        nonce: 0,
        block,
    };
    bench.new_head(vec![included], vec![all[1].clone()]);
    assert_eq!(bench.nonces(ALICE), ((1..100).collect(), vec![]), "none was lost for the gap");
    assert!(bench.take_events().contains(&MempoolEvent::Pending { hash: hash(&all[1]) }));
    assert_eq!(bench.pool.get(&hash(&all[1])).expect("back").raw(), &all[1]);
}

#[test]
fn what_comes_back_invalid_is_gone() {
    let mut bench = bench();
    let garbage = Bytes::from_static(b"\xc0");
    let blob = Bytes::from_static(b"\x03\xc0");
    bench.new_head(vec![], vec![garbage, blob, Key(9).transfer(0, 10)]);
    assert_eq!(bench.pool.status().pending, 0);
}

#[test]
fn an_account_with_many_pending_that_loses_its_money_keeps_the_limits() {
    let mut bench = bench();
    let all: Vec<Bytes> = (0..2000).map(|nonce| ALICE.transfer(nonce, 1)).collect();
    assert_eq!(bench.add_all(&all), 2000);
    bench.account(ALICE).balance = transfer_cost(1);
    bench.refresh();
    let status = bench.pool.status();
    assert_eq!((status.pending, status.queued), (1, bench.pool.config().account_queue));
    assert_eq!(bench.nonces(ALICE).1, (1..=64).collect::<Vec<_>>(), "the first of them stay");
}

#[test]
fn an_account_that_becomes_a_contract_or_is_delegated() {
    let mut bench = bench();
    bench.add_all(&[ALICE.transfer(0, 10), ALICE.transfer(1, 10), BOB.transfer(0, 10)]);
    bench.account(ALICE).code = AccountCode::Delegation;
    bench.account(BOB).code = AccountCode::Contract;
    bench.refresh();
    assert_eq!(bench.nonces(ALICE), (vec![0], vec![1]), "one at a time from now on");
    assert_eq!(bench.nonces(BOB), (vec![], vec![]));
    let first = bench.pool.best(0).next().expect("one");
    bench.mine(&[first]);
    assert_eq!(bench.nonces(ALICE), (vec![1], vec![]));
}

#[test]
fn only_changed_accounts_are_read() {
    struct Counting(crate::common::State, std::sync::Mutex<Vec<alloy_primitives::Address>>);
    impl chainmesh_chain::pool::PoolState for Counting {
        fn account(
            &self,
            address: &alloy_primitives::Address,
        ) -> Result<chainmesh_chain::pool::AccountState, chainmesh_chain::pool::StateUnavailable>
        {
            self.1.lock().expect("no panic").push(*address);
            Ok(self.0[address])
        }
    }
    let mut bench = bench();
    bench.add_all(&[ALICE.transfer(0, 10), BOB.transfer(0, 10)]);
    bench.account(ALICE).balance = U256::ZERO;
    let state = std::sync::Arc::new(Counting(bench.state.clone(), std::sync::Mutex::default()));
    bench.head.number += 1;
    let update = HeadUpdate {
        head: bench.head,
        state: state.clone(),
        included: vec![],
        changed: Some(vec![ALICE.address(), Key(7).address()]),
        reverted: vec![],
    };
    bench.pool.on_new_head(update, bench.now).expect("readable");
    assert_eq!(*state.1.lock().expect("no panic"), [ALICE.address()]);
    assert_eq!(bench.nonces(ALICE), (vec![], vec![]));
    assert_eq!(bench.nonces(BOB), (vec![0], vec![]));
}

#[test]
fn a_state_that_cannot_be_read_leaves_nothing_unjudged() {
    struct Broken;
    impl chainmesh_chain::pool::PoolState for Broken {
        fn account(
            &self,
            _: &alloy_primitives::Address,
        ) -> Result<chainmesh_chain::pool::AccountState, chainmesh_chain::pool::StateUnavailable>
        {
            Err(chainmesh_chain::pool::StateUnavailable { reason: "gone".into() })
        }
    }
    let bench = bench();
    bench.add_all(&[ALICE.transfer(0, 10), ALICE.transfer(1, 10)]);
    let update = HeadUpdate {
        head: bench.head,
        state: std::sync::Arc::new(Broken),
        included: vec![],
        changed: None,
        reverted: vec![],
    };
    bench.pool.on_new_head(update, bench.now).expect_err("unreadable");
    let status = bench.pool.status();
    assert_eq!((status.pending, status.queued, status.bytes), (0, 0, 0));
}
