//! Transactions that no block may hold: each for its own reason, in a block that comes and in one
//! that is made.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip4844, TxLegacy};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, Bytes, Signature, U256};
use chainmesh_chain::execute::{
    ExecutionError, SkipReason, Transaction, TransactionError, recover_senders_with,
};
use revm::context_interface::result::InvalidTransaction as Invalid;

use super::lab::{
    ALL_FORKS, CHAIN_ID, ETHER, Fork, GWEI, Lab, Wallet, blobs, contract, create, dynamic, genesis,
    legacy, set_code, with_list,
};

const SOMEBODY: Address = Address::repeat_byte(0x55);

/// The wallet whose transactions are bad, with nonce 0 in the state.
const BAD: Wallet = Wallet(2);

fn error_of(fork: Fork, transaction: &Transaction) -> Option<TransactionError> {
    let lab = Lab::at(fork);
    error_in(&lab, transaction)
}

/// Why this transaction cannot be the second one of a block, where it must be the same reason in
/// a block that comes and in one that is made; `None` when it can.
fn error_in(lab: &Lab, transaction: &Transaction) -> Option<TransactionError> {
    let good = Wallet(1).call(0, SOMEBODY);
    let both = [good, transaction.clone()];
    let came = match lab.force(&both) {
        Err(ExecutionError::Transaction { index, source }) => {
            assert_eq!(index, 1);
            Some(source)
        }
        // The header that it came with is wrong; the transaction is not.
        Err(ExecutionError::GasUsed { .. }) => None,
        other => panic!("{other:?}"),
    };
    if came != Some(TransactionError::Signature) && !is_protected_too_early(&came) && can_build(lab)
    {
        let built = lab.build(both.to_vec());
        let skipped = built.skipped.first().map(|skipped| skipped.reason.clone());
        assert_eq!(skipped, came.clone().map(SkipReason::Transaction));
        let expected = if came.is_some() { 1 } else { 2 };
        assert_eq!(built.transactions.len(), expected);
        lab.run(&built.header, &built.body_rlp).expect("what was built");
    }
    came
}

fn is_protected_too_early(error: &Option<TransactionError>) -> bool {
    matches!(error, Some(TransactionError::ProtectedTooEarly { .. }))
}

fn can_build(lab: &Lab) -> bool {
    lab.spec.config().byzantium_block.is_some()
}

fn refused(fork: Fork, transaction: &Transaction) -> TransactionError {
    error_of(fork, transaction).unwrap_or_else(|| panic!("{fork:?} takes {transaction:?}"))
}

fn invalid(fork: Fork, transaction: &Transaction) -> Invalid {
    match refused(fork, transaction) {
        TransactionError::Invalid(why) => why,
        other => panic!("{other}"),
    }
}

#[test]
fn a_legacy_transfer_is_taken_by_each_fork() {
    for fork in ALL_FORKS {
        assert_eq!(error_of(fork, &BAD.call(0, SOMEBODY)), None, "{fork:?}");
    }
}

#[test]
fn each_type_begins_with_its_fork() {
    let authorized = {
        let authorization =
            Authorization { chain_id: U256::from(CHAIN_ID), address: SOMEBODY, nonce: 0 };
        let signature = Wallet(3).sign_hash(authorization.signature_hash());
        let mut transaction = set_code(0, SOMEBODY);
        transaction.authorization_list = vec![authorization.into_signed(signature)];
        BAD.sign(transaction)
    };
    let types = [
        (BAD.sign(with_list(0, SOMEBODY)), Fork::Berlin, Invalid::Eip2930NotSupported),
        (BAD.sign(dynamic(0, SOMEBODY)), Fork::London, Invalid::Eip1559NotSupported),
        (BAD.sign(blobs(0, 1)), Fork::Cancun, Invalid::Eip4844NotSupported),
        (authorized, Fork::Prague, Invalid::Eip7702NotSupported),
    ];
    for (transaction, first, why) in types {
        for fork in ALL_FORKS {
            let expected = (fork < first).then(|| TransactionError::Invalid(why.clone()));
            assert_eq!(error_of(fork, &transaction), expected, "{fork:?}");
        }
    }
}

#[test]
fn a_signature_must_be_one() {
    let unsigned = legacy(0, SOMEBODY);
    let (zero, one) = (U256::ZERO, U256::from(1));
    for (r, s) in [(zero, one), (one, zero), (U256::MAX, one)] {
        let signature = Signature::new(r, s, false);
        let transaction = Transaction::from(unsigned.clone().into_signed(signature));
        assert_eq!(refused(Fork::London, &transaction), TransactionError::Signature, "{r} {s}");
    }
}

/// The mirror image of a signature is one, too, and would be a second name of the transaction.
#[test]
fn the_upper_half_of_s_is_refused_from_homestead_on() {
    let unsigned = legacy(0, SOMEBODY);
    let signature = BAD.sign_hash(unsigned.signature_hash());
    let order = U256::from_be_bytes(secp256k1::constants::CURVE_ORDER);
    let mirrored = Signature::new(signature.r(), order - signature.s(), !signature.v());
    let transaction = Transaction::from(unsigned.into_signed(mirrored));
    assert_eq!(error_of(Fork::Frontier, &transaction), None);
    for fork in &ALL_FORKS[1..] {
        assert_eq!(refused(*fork, &transaction), TransactionError::Signature, "{fork:?}");
    }
}

#[test]
fn the_chain_id_is_the_networks() {
    for fork in ALL_FORKS {
        let other = BAD.sign(TxLegacy { chain_id: Some(CHAIN_ID + 1), ..legacy(0, SOMEBODY) });
        let own = BAD.sign(TxLegacy { chain_id: Some(CHAIN_ID), ..legacy(0, SOMEBODY) });
        if fork < Fork::SpuriousDragon {
            let early = |chain_id| Some(TransactionError::ProtectedTooEarly { chain_id });
            assert_eq!(error_of(fork, &own), early(CHAIN_ID), "{fork:?}");
            assert_eq!(error_of(fork, &other), early(CHAIN_ID + 1), "{fork:?}");
        } else {
            assert_eq!(error_of(fork, &own), None, "{fork:?}");
            assert_eq!(invalid(fork, &other), Invalid::InvalidChainId, "{fork:?}");
        }
    }
    let other = BAD.sign(TxEip1559 { chain_id: CHAIN_ID + 1, ..dynamic(0, SOMEBODY) });
    assert_eq!(invalid(Fork::London, &other), Invalid::InvalidChainId);
}

#[test]
fn the_nonce_is_the_next_one() {
    for fork in ALL_FORKS {
        let why = invalid(fork, &BAD.call(1, SOMEBODY));
        assert_eq!(why, Invalid::NonceTooHigh { tx: 1, state: 0 }, "{fork:?}");
    }
    let mut lab = Lab::at(Fork::London);
    lab.state.insert(BAD.address(), 7, U256::from(ETHER), Bytes::new());
    let why = error_in(&lab, &BAD.call(6, SOMEBODY));
    assert_eq!(why, Some(Invalid::NonceTooLow { tx: 6, state: 7 }.into()));
    assert_eq!(error_in(&lab, &BAD.call(7, SOMEBODY)), None);
    // EIP-2681
    lab.state.insert(BAD.address(), u64::MAX, U256::from(ETHER), Bytes::new());
    let why = error_in(&lab, &BAD.call(u64::MAX, SOMEBODY));
    assert_eq!(why, Some(Invalid::NonceOverflowInTransaction.into()));
}

#[test]
fn the_balance_covers_value_and_gas() {
    for fork in ALL_FORKS {
        let mut lab = Lab::at(fork);
        let cost = U256::from(100 * GWEI) * U256::from(100_000) + U256::from(5);
        let transaction = BAD.sign(TxLegacy { value: U256::from(5), ..legacy(0, SOMEBODY) });
        lab.state.insert(BAD.address(), 0, cost, Bytes::new());
        assert_eq!(error_in(&lab, &transaction), None, "{fork:?}");
        let balance = cost - U256::from(1);
        lab.state.insert(BAD.address(), 0, balance, Bytes::new());
        let why = Invalid::LackOfFundForMaxFee { fee: Box::new(cost), balance: Box::new(balance) };
        assert_eq!(error_in(&lab, &transaction), Some(why.into()), "{fork:?}");
    }
    // The sum has more than 256 bits.
    let all = BAD.sign(TxLegacy { value: U256::MAX, ..legacy(0, SOMEBODY) });
    assert_eq!(invalid(Fork::London, &all), Invalid::OverflowPaymentInTransaction);
}

/// What has to be covered is the most that it may cost, not what it does cost.
#[test]
fn the_balance_covers_the_highest_fee() {
    let mut lab = Lab::at(Fork::London);
    let transaction = BAD.sign(dynamic(0, SOMEBODY));
    let most = U256::from(100 * GWEI) * U256::from(100_000);
    lab.state.insert(BAD.address(), 0, most - U256::from(1), Bytes::new());
    let why = error_in(&lab, &transaction).expect("too little");
    assert!(matches!(why, TransactionError::Invalid(Invalid::LackOfFundForMaxFee { .. })));
}

#[test]
fn the_gas_limit_covers_what_is_due_at_once() {
    let least = |transaction: TxLegacy, gas: u64, fork: Fork| {
        let enough = BAD.sign(TxLegacy { gas_limit: gas, ..transaction.clone() });
        assert_eq!(error_of(fork, &enough), None, "{fork:?} {gas}");
        let gas_limit = gas - 1;
        let why = invalid(fork, &BAD.sign(TxLegacy { gas_limit, ..transaction }));
        if fork >= Fork::Prague
            && why != (Invalid::CallGasCostMoreThanGasLimit { initial_gas: gas, gas_limit })
        {
            assert_eq!(why, Invalid::GasFloorMoreThanGasLimit { gas_floor: gas, gas_limit });
        } else {
            assert_eq!(why, Invalid::CallGasCostMoreThanGasLimit { initial_gas: gas, gas_limit });
        }
    };
    let with_data = TxLegacy { input: vec![1, 0].into(), ..legacy(0, SOMEBODY) };
    for fork in ALL_FORKS {
        // Yellow paper; EIP-2028; EIP-7623 for the last ones: 10 for each token, 4 in a byte.
        least(legacy(0, SOMEBODY), 21_000, fork);
        let data = match fork {
            _ if fork >= Fork::Prague => 50,
            _ if fork >= Fork::Istanbul => 20,
            _ => 72,
        };
        least(with_data.clone(), 21_000 + data, fork);
    }
    // A contract costs 32,000 more from Homestead on (EIP-2), and its init code from Shanghai on
    // (EIP-3860, 2 for each word).
    let new = create(0, vec![0x00]);
    least(new.clone(), 21_004, Fork::Frontier);
    least(new.clone(), 53_004, Fork::Homestead);
    least(new.clone(), 53_004, Fork::Paris);
    least(new, 53_006, Fork::Shanghai);
}

#[test]
fn the_gas_limit_fits_into_the_block() {
    for fork in [Fork::Frontier, Fork::Byzantium, Fork::London, Fork::Prague] {
        // The first transaction of the block used 21,000.
        let left = 30_000_000 - 21_000;
        let fits = BAD.sign(TxLegacy { gas_limit: left, ..legacy(0, SOMEBODY) });
        assert_eq!(error_of(fork, &fits), None, "{fork:?}");
        for gas_limit in [left + 1, 30_000_001, u64::MAX] {
            let transaction = BAD.sign(TxLegacy { gas_limit, ..legacy(0, SOMEBODY) });
            let why = refused(fork, &transaction);
            assert_eq!(why, TransactionError::BlockGas { gas_limit, left }, "{fork:?}");
        }
    }
}

/// EIP-7825
#[test]
fn no_transaction_has_more_than_2_to_the_24_gas_from_osaka_on() {
    let cap = 1 << 24;
    let most = BAD.sign(TxLegacy { gas_limit: cap, ..legacy(0, SOMEBODY) });
    assert_eq!(error_of(Fork::Osaka, &most), None);
    let gas_limit = cap + 1;
    let more = BAD.sign(TxLegacy { gas_limit, ..legacy(0, SOMEBODY) });
    assert_eq!(error_of(Fork::Prague, &more), None);
    let why = Invalid::TxGasLimitGreaterThanCap { gas_limit, cap };
    assert_eq!(invalid(Fork::Osaka, &more), why);
}

#[test]
fn fees_cover_the_base_fee() {
    let lab = Lab::at(Fork::London);
    // London is active in the genesis block, whose base fee is 1 gwei; it was empty.
    let base_fee = 875_000_000;
    assert_eq!(lab.raw(&[]).0.base_fee_per_gas, Some(base_fee));
    let base_fee = u128::from(base_fee);
    let fees = |max_fee_per_gas, max_priority_fee_per_gas| {
        BAD.sign(TxEip1559 { max_fee_per_gas, max_priority_fee_per_gas, ..dynamic(0, SOMEBODY) })
    };
    assert_eq!(error_in(&lab, &fees(base_fee, 0)), None);
    assert_eq!(error_in(&lab, &fees(base_fee, base_fee)), None);
    let too_low = Some(Invalid::GasPriceLessThanBasefee.into());
    assert_eq!(error_in(&lab, &fees(base_fee - 1, 0)), too_low);
    let gas_price = base_fee - 1;
    let legacy = BAD.sign(TxLegacy { gas_price, ..legacy(0, SOMEBODY) });
    assert_eq!(error_in(&lab, &legacy), too_low);
    let why = error_in(&lab, &fees(2 * base_fee, 2 * base_fee + 1));
    assert_eq!(why, Some(Invalid::PriorityFeeGreaterThanMaxFee.into()));
}

#[test]
fn blobs_have_their_own_rules() {
    let bad = |transaction: TxEip4844| invalid(Fork::Cancun, &BAD.sign(transaction));
    assert_eq!(bad(blobs(0, 0)), Invalid::EmptyBlobs);
    let mut other_version = blobs(0, 2);
    other_version.blob_versioned_hashes[1].0[0] = 2;
    assert_eq!(bad(other_version), Invalid::BlobVersionNotSupported);
    let why = bad(TxEip4844 { max_fee_per_blob_gas: 0, ..blobs(0, 1) });
    let expected =
        Invalid::BlobGasPriceGreaterThanMax { block_blob_gas_price: 1, tx_max_fee_per_blob_gas: 0 };
    assert_eq!(why, expected);
    // What is paid for blobs is covered, too.
    let max_fee_per_blob_gas = 8_000_000_000 * GWEI;
    let why = bad(TxEip4844 { max_fee_per_blob_gas, ..blobs(0, 1) });
    assert!(matches!(why, Invalid::LackOfFundForMaxFee { .. }), "{why}");
    // 6 in a block of Cancun, 9 from Prague on; 6 in a transaction from Osaka on (EIP-7594).
    for (fork, most) in [(Fork::Cancun, 6), (Fork::Prague, 9)] {
        assert_eq!(error_of(fork, &BAD.sign(blobs(0, most))), None, "{fork:?}");
        let why = refused(fork, &BAD.sign(blobs(0, most + 1)));
        let left = u64::from(most) * 131_072;
        assert_eq!(why, TransactionError::BlockBlobGas { blob_gas: left + 131_072, left });
    }
    assert_eq!(error_of(Fork::Osaka, &BAD.sign(blobs(0, 6))), None);
    let why = invalid(Fork::Osaka, &BAD.sign(blobs(0, 7)));
    assert_eq!(why, Invalid::TooManyBlobs { max: 6, have: 7 });
}

#[test]
fn the_blobs_of_a_block_are_counted_together() {
    let lab = Lab::at(Fork::Cancun);
    let transactions =
        [(1, 4), (2, 3), (3, 2)].map(|(wallet, count)| Wallet(wallet).sign(blobs(0, count)));
    let error = lab.force(&transactions).expect_err("nine");
    let (blob_gas, left) = (3 * 131_072, 2 * 131_072);
    let expected = TransactionError::BlockBlobGas { blob_gas, left };
    assert!(
        matches!(&error, ExecutionError::Transaction { index: 1, source } if *source == expected),
        "{error}"
    );
    // Who makes a block leaves that one out.
    let built = lab.build(transactions.to_vec());
    assert_eq!(built.transactions.len(), 2);
    assert_eq!(built.header.blob_gas_used, Some(6 * 131_072));
    assert_eq!(built.skipped[0].reason, SkipReason::Transaction(expected));
    assert!(!built.skipped[0].reason.is_invalid());
    lab.run(&built.header, &built.body_rlp).expect("what was built");
}

#[test]
fn authorizations_are_not_empty() {
    let why = invalid(Fork::Prague, &BAD.sign(set_code(0, SOMEBODY)));
    assert_eq!(why, Invalid::EmptyAuthorizationList);
}

/// EIP-3860
#[test]
fn init_code_is_limited_from_shanghai_on() {
    let most = 49_152;
    let fits = BAD.sign(create(0, vec![0; most]));
    let longer = BAD.sign(create(0, vec![0; most + 1]));
    assert_eq!(error_of(Fork::Paris, &longer), None);
    assert_eq!(error_of(Fork::Shanghai, &fits), None);
    assert_eq!(invalid(Fork::Shanghai, &longer), Invalid::CreateInitCodeSizeLimit);
}

/// EIP-3607; EIP-7702 makes an exception.
#[test]
fn a_contract_sends_no_transactions() {
    let mut with_code = genesis(Fork::Prague);
    contract(&mut with_code, BAD.address(), &[0x00]);
    let mut lab = Lab::new(with_code);
    lab.state.insert(BAD.address(), 0, U256::from(ETHER), vec![0x00].into());
    let transaction = BAD.call(0, SOMEBODY);
    assert_eq!(error_in(&lab, &transaction), Some(Invalid::RejectCallerWithCode.into()));
    let delegation = [&[0xef, 0x01, 0x00], SOMEBODY.as_slice()].concat();
    lab.state.insert(BAD.address(), 0, U256::from(ETHER), delegation.into());
    assert_eq!(error_in(&lab, &transaction), None);
}

#[test]
fn all_later_ones_of_a_sender_are_skipped() {
    let lab = Lab::at(Fork::London);
    let (one, two) = (Wallet(1), Wallet(2));
    let transactions = vec![
        one.call(0, SOMEBODY),
        two.call(1, SOMEBODY),
        one.call(1, SOMEBODY),
        // It would be valid now: two is not asked any more.
        two.call(0, SOMEBODY),
        one.call(2, SOMEBODY),
    ];
    let built = lab.build(transactions);
    let senders: Vec<_> = built.transactions.iter().map(|taken| taken.signer()).collect();
    assert_eq!(senders, [one.address(); 3]);
    assert_eq!(built.skipped.len(), 1);
    assert!(built.skipped[0].reason.is_invalid());
}

/// How many threads there are does not matter, and it is the first bad one that is named.
#[test]
fn senders_are_the_same_with_any_number_of_threads() {
    let lab = Lab::at(Fork::London);
    let wallets: Vec<Wallet> = (0..100_u8).map(|n| Wallet(n % 9 + 1)).collect();
    let mut transactions: Vec<Transaction> =
        wallets.iter().map(|wallet| wallet.sign(dynamic(0, SOMEBODY))).collect();
    let bad = legacy(0, SOMEBODY).into_signed(Signature::new(U256::ZERO, U256::ZERO, false));
    for threads in [1, 2, 3, 7, 64, 500] {
        let threads = std::num::NonZeroUsize::new(threads).expect("not zero");
        let recovered =
            recover_senders_with(&lab.spec, 1, transactions.clone(), threads).expect("signed");
        for (one, wallet) in recovered.iter().zip(&wallets) {
            assert_eq!(one.signer(), wallet.address());
        }
    }
    transactions[61] = bad.clone().into();
    transactions[93] = bad.into();
    for threads in [1, 2, 3, 7, 64, 500] {
        let threads = std::num::NonZeroUsize::new(threads).expect("not zero");
        let error = recover_senders_with(&lab.spec, 1, transactions.clone(), threads);
        let error = error.expect_err("two are not signed");
        assert!(matches!(error, ExecutionError::Transaction { index: 61, .. }), "{error}");
    }
}
