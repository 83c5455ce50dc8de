//! Blocks that are made: what gets in, what does not, and that each of them is valid.

use std::collections::BTreeMap;

use alloy_consensus::{TxEip1559, TxLegacy, TxReceipt};
use alloy_primitives::{Address, B256, U256};
use chainmesh_chain::body;
use chainmesh_chain::execute::{
    BlockTemplate, ExecutionError, InOrder, MAX_BUILT_BODY, SkipReason, Transaction,
    TransactionError, build_block, recover_senders,
};
use proptest::prelude::*;

use super::lab::{
    ALL_FORKS, ETHER, Fork, GWEI, Lab, MAKER, Wallet, blobs, contract, create, dynamic, genesis,
    legacy, with_list,
};

const SOMEBODY: Address = Address::repeat_byte(0x55);
const CONTRACT: Address = Address::repeat_byte(0x11);

#[test]
fn an_empty_block_is_valid_in_each_fork() {
    for fork in ALL_FORKS {
        let mut lab = Lab::at(fork);
        if fork < Fork::Byzantium {
            let template = lab.attributes().template(&lab.spec, (&lab.parent, lab.parent_hash));
            let none = &mut InOrder::default();
            let error = build_block(&lab.spec, lab.consensus, &lab.state, template, none, || false);
            assert!(matches!(error, Err(ExecutionError::UnknownFork(_))), "{fork:?}");
            continue;
        }
        let built = lab.grow(Vec::new());
        body::check(&built.header, &built.body_rlp).expect("roots");
        assert_eq!(built.header.gas_used, 0);
        assert_eq!(built.header.state_root, B256::ZERO);
    }
}

#[test]
fn a_block_is_filled_up_to_its_gas_limit() {
    let mut genesis = genesis(Fork::London);
    genesis.gas_limit = 100_000;
    let lab = Lab::new(genesis);
    let transfer = |wallet: u8, nonce, gas_limit| {
        Wallet(wallet).sign(TxLegacy { gas_limit, ..legacy(nonce, SOMEBODY) })
    };
    let built = lab.build(vec![
        transfer(1, 0, 21_000),
        // It might use 90,000, and 79,000 are left.
        transfer(2, 0, 90_000),
        transfer(3, 0, 79_000),
        transfer(4, 0, 21_000),
        transfer(2, 1, 21_000),
        transfer(1, 1, 37_000),
        transfer(5, 0, 21_000),
    ]);
    let senders: Vec<Address> = built.transactions.iter().map(|taken| taken.signer()).collect();
    assert_eq!(senders, [1, 3, 4, 1].map(|wallet| Wallet(wallet).address()));
    assert_eq!(built.header.gas_used, 84_000);
    let why: Vec<_> = built.skipped.iter().map(|skipped| skipped.reason.clone()).collect();
    let gas =
        |gas_limit, left| SkipReason::Transaction(TransactionError::BlockGas { gas_limit, left });
    // With 16,000 left nobody is asked any more.
    assert_eq!(why, [gas(90_000, 79_000)]);
    assert!(!why[0].is_invalid());
    lab.run(&built.header, &built.body_rlp).expect("valid");
}

#[test]
fn building_stops_when_it_is_told_to() {
    let lab = Lab::at(Fork::London);
    let transactions = (0..10).map(|nonce| Wallet(1).call(nonce, SOMEBODY)).collect();
    let recovered = recover_senders(&lab.spec, 1, transactions).expect("signed");
    for allowed in [0, 1, 7, 10, 50] {
        let template = lab.attributes().template(&lab.spec, (&lab.parent, lab.parent_hash));
        let mut source = InOrder::new(recovered.clone());
        let mut asked = 0;
        let stop = || {
            asked += 1;
            asked > allowed
        };
        let built = build_block(&lab.spec, lab.consensus, &lab.state, template, &mut source, stop)
            .expect("a block");
        assert_eq!(built.transactions.len(), allowed.min(10));
        lab.run(&built.header, &built.body_rlp).expect("valid");
    }
}

#[test]
fn a_block_is_not_longer_than_a_message() {
    let mut genesis = genesis(Fork::London);
    genesis.gas_limit = 1_000_000_000;
    let lab = Lab::new(genesis);
    // 128 KiB each, which is the most that a pool takes.
    let transactions = (0..70)
        .map(|nonce| {
            let input = vec![0; 128 << 10].into();
            let gas_limit = 1_000_000;
            Wallet(1).sign(TxLegacy { input, gas_limit, ..legacy(nonce, SOMEBODY) })
        })
        .collect();
    let built = lab.build(transactions);
    assert!(built.body_rlp.len() <= MAX_BUILT_BODY + 16);
    assert!(built.body_rlp.len() > MAX_BUILT_BODY - (129 << 10));
    assert_eq!(built.skipped.len(), 1);
    assert!(
        matches!(built.skipped[0].reason, SkipReason::BodySize { length } if length > 128 << 10)
    );
    assert!(!built.skipped[0].reason.is_invalid());
    lab.run(&built.header, &built.body_rlp).expect("valid");
}

/// EIP-7934
#[test]
fn a_block_of_osaka_has_8_mib_at_most() {
    let mut genesis = genesis(Fork::Osaka);
    genesis.gas_limit = 1_000_000_000;
    let lab = Lab::new(genesis);
    let length = |transactions: &[Transaction]| {
        let (header, body) = lab.raw(transactions);
        chainmesh_chain::block::encode(&alloy_rlp::encode(&header), &body).expect("block").len()
    };
    let most = 8 << 20;
    let mut transactions: Vec<Transaction> = (0..63)
        .map(|nonce| {
            let input = vec![0; 128 << 10].into();
            Wallet(1).sign(TxEip1559 { input, gas_limit: 2_000_000, ..dynamic(nonce, SOMEBODY) })
        })
        .collect();
    let last = |bytes| {
        let input = vec![0; bytes].into();
        Wallet(2).sign(TxEip1559 { input, gas_limit: 2_000_000, ..dynamic(0, SOMEBODY) })
    };
    transactions.push(last(100_000));
    let fits = 100_000 + most - length(&transactions);
    for (bytes, is_too_long) in [(fits, false), (fits + 1, true)] {
        transactions[63] = last(bytes);
        assert_eq!(length(&transactions), most + usize::from(is_too_long));
        let error = lab.force(&transactions).expect_err("its header is wrong anyway");
        match error {
            ExecutionError::BlockSize { found, most: limit } => {
                assert!(is_too_long);
                assert_eq!((found, limit), (most + 1, most));
            }
            error => assert!(!is_too_long, "{error}"),
        }
    }
}

/// What a template says about the outcome is replaced.
#[test]
fn a_template_may_come_from_elsewhere() {
    let lab = Lab::at(Fork::Prague);
    let own = lab.build(vec![Wallet(1).call(0, SOMEBODY)]);
    let mut header = own.header.clone();
    header.gas_used = 5;
    header.logs_bloom = alloy_primitives::Bloom::repeat_byte(1);
    header.ommers_hash = B256::ZERO;
    header.transactions_root = B256::ZERO;
    header.withdrawals_root = Some(B256::ZERO);
    header.state_root = B256::repeat_byte(3);
    let template = BlockTemplate { header, beneficiary: MAKER, withdrawals: Vec::new() };
    let recovered = recover_senders(&lab.spec, 1, vec![Wallet(1).call(0, SOMEBODY)]);
    let mut source = InOrder::new(recovered.expect("signed"));
    let built = build_block(&lab.spec, lab.consensus, &lab.state, template, &mut source, || false);
    assert_eq!(built.expect("a block").header, own.header);
}

#[derive(Debug, Clone)]
struct Wish {
    wallet: u8,
    /// How far from the nonce that is expected.
    skew: u8,
    kind: u8,
    gas_limit: u64,
    value: u128,
    data: Vec<u8>,
}

impl Wish {
    fn sign(&self, nonces: &mut BTreeMap<u8, u64>) -> Transaction {
        let next = nonces.entry(self.wallet).or_default();
        let nonce = match self.skew {
            0 => {
                *next += 1;
                *next - 1
            }
            1 => next.saturating_sub(1),
            more => *next + u64::from(more) - 1,
        };
        let wallet = Wallet(self.wallet);
        let (gas_limit, value) = (self.gas_limit, U256::from(self.value));
        let input = self.data.clone().into();
        match self.kind {
            0 => wallet.sign(TxLegacy { gas_limit, value, input, ..legacy(nonce, SOMEBODY) }),
            1 => wallet.sign(TxLegacy { gas_limit, input, ..create(nonce, Vec::new()) }),
            2 => wallet.sign(TxEip1559 { gas_limit, value, input, ..dynamic(nonce, CONTRACT) }),
            3 => wallet.sign(blobs(nonce, self.data.len() as u8 % 8)),
            _ => wallet.sign(with_list(nonce, CONTRACT)),
        }
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    let skew = prop_oneof![8 => Just(0_u8), 1 => 1_u8..4];
    let gas =
        prop_oneof![5 => 50_000_u64..200_000, 1 => 0_u64..30_000, 1 => 400_000_u64..2_000_000];
    let value = prop_oneof![5 => 0_u128..1_000, 1 => 0..1_500 * ETHER];
    let data = proptest::collection::vec(any::<u8>(), 0..40);
    (1_u8..6, skew, 0_u8..5, gas, value, data).prop_map(
        |(wallet, skew, kind, gas_limit, value, data)| Wish {
            wallet,
            skew,
            kind,
            gas_limit,
            value,
            data,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is handed out: a block comes out, it is valid, it has in it what was not skipped,
    /// in the order in which it came, and it keeps its limits.
    #[test]
    fn what_is_built_is_valid(wishes in proptest::collection::vec(wish(), 0..40)) {
        let mut genesis = genesis(Fork::Prague);
        genesis.gas_limit = 1_000_000;
        // Stores what it is called with, logs, and sends back: a bit of everything.
        contract(&mut genesis, CONTRACT, &[
            0x60, 0, 0x35, 0x60, 0, 0x55, 0x60, 0, 0x60, 0, 0xa0, 0x34, 0x60, 0x20, 0x35, 0x55,
        ]);
        let mut lab = Lab::new(genesis);
        for chunk in wishes.chunks(20) {
            let mut nonces: BTreeMap<u8, u64> =
                (1..6).map(|wallet| (wallet, lab.nonce(Wallet(wallet).address()))).collect();
            let transactions: Vec<Transaction> =
                chunk.iter().map(|wish| wish.sign(&mut nonces)).collect();
            let handed: Vec<B256> = transactions.iter().map(|one| *one.tx_hash()).collect();
            let built = lab.build(transactions);
            let mut rest = handed.iter();
            for taken in &built.transactions {
                prop_assert!(rest.any(|hash| hash == taken.inner().tx_hash()), "the order");
            }
            for skipped in &built.skipped {
                let taken = built.transactions.iter().any(|one| *one.inner().tx_hash() == skipped.hash);
                let twice = handed.iter().filter(|hash| **hash == skipped.hash).count() > 1;
                prop_assert!(!taken || twice);
            }
            prop_assert!(built.header.gas_used <= built.header.gas_limit);
            prop_assert!(built.header.blob_gas_used <= Some(9 * 131_072));
            let last = built.executed.receipts.last();
            let cumulative = last.map_or(0, TxReceipt::cumulative_gas_used);
            prop_assert_eq!(cumulative, built.header.gas_used);
            prop_assert!(body::check(&built.header, &built.body_rlp).is_ok());
            let before: U256 = lab.state.accounts().map(|(_, info, _)| info.balance).sum();
            lab.accept(&built);
            // Money is burnt, never made.
            let after: U256 = lab.state.accounts().map(|(_, info, _)| info.balance).sum();
            prop_assert!(after <= before);
            let base_fee = u128::from(built.header.base_fee_per_gas.unwrap_or(0));
            let burnt = base_fee * u128::from(built.header.gas_used)
                + u128::from(built.header.blob_gas_used.unwrap_or(0));
            prop_assert_eq!(before - after, U256::from(burnt), "fees are {} gwei", base_fee / GWEI);
        }
    }
}
