//! A header that says something else than what happened: refused, each field for its own reason.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256};
use chainmesh_chain::execute::ExecutionError;

use super::lab::{Fork, Lab, Wallet, blobs, contract, dynamic, genesis};

/// Logs its own address: PUSH1 0, PUSH1 0, PUSH1 0, LOG1
const LOGGER: [u8; 7] = [0x60, 0x00, 0x60, 0x00, 0x60, 0x00, 0xa1];

type Mutation = (&'static str, fn(&mut Header), fn(&ExecutionError) -> bool);

const MUTATIONS: [Mutation; 9] = [
    (
        "less gas used",
        |header| header.gas_used -= 1,
        |error| matches!(error, ExecutionError::GasUsed { found, expected } if *found == expected + 1),
    ),
    (
        "more gas used",
        |header| header.gas_used += 1,
        |error| matches!(error, ExecutionError::GasUsed { found, expected } if found + 1 == *expected),
    ),
    (
        "no gas used",
        |header| header.gas_used = 0,
        |error| matches!(error, ExecutionError::GasUsed { expected: 0, .. }),
    ),
    (
        "fewer blobs",
        |header| header.blob_gas_used = Some(131_072),
        |error| matches!(error, ExecutionError::BlobGasUsed { found: 262_144, expected: 131_072 }),
    ),
    (
        "more blobs",
        |header| header.blob_gas_used = Some(393_216),
        |error| matches!(error, ExecutionError::BlobGasUsed { found: 262_144, expected: 393_216 }),
    ),
    (
        "logs bloom",
        |header| header.logs_bloom.0[17] ^= 0x10,
        |error| matches!(error, ExecutionError::LogsBloom { found, expected } if found != expected),
    ),
    (
        "receipts root",
        |header| header.receipts_root.0[31] ^= 1,
        |error| matches!(error, ExecutionError::ReceiptsRoot { found, expected } if found != expected),
    ),
    (
        "requests hash",
        |header| header.requests_hash = Some(B256::ZERO),
        |error| matches!(error, ExecutionError::RequestsHash { expected: B256::ZERO, .. }),
    ),
    (
        "gas limit",
        |header| header.gas_limit = 120_000,
        |error| matches!(error, ExecutionError::Transaction { index: 1, .. }),
    ),
];

#[test]
fn each_field_of_execution_is_compared() {
    let mut genesis = genesis(Fork::Prague);
    let logger = Address::repeat_byte(0x11);
    contract(&mut genesis, logger, &LOGGER);
    let mut lab = Lab::new(genesis);
    let (one, two) = (Wallet(1), Wallet(2));
    let built = lab.build(vec![one.sign(dynamic(0, logger)), two.sign(blobs(0, 2))]);
    assert_eq!(built.skipped, []);
    lab.run(&built.header, &built.body_rlp).expect("the block as it was built");
    for (name, change, expected) in MUTATIONS {
        let mut header = built.header.clone();
        change(&mut header);
        match lab.run(&header, &built.body_rlp) {
            Err(error) => {
                assert!(expected(&error), "{name}: {error}");
                assert!(error.blames_block(), "{name}");
            }
            Ok(_) => panic!("{name}: taken"),
        }
    }
    lab.accept(&built);
}

#[test]
fn a_body_that_is_cut_off_is_refused() {
    let lab = Lab::at(Fork::Cancun);
    let built = lab.build(vec![Wallet(1).sign(dynamic(0, Address::ZERO))]);
    for cut in 0..built.body_rlp.len() {
        let error = lab.run(&built.header, &built.body_rlp[..cut]).expect_err("cut off");
        assert!(matches!(error, ExecutionError::Body(_)), "{cut}: {error}");
    }
}

#[test]
fn a_transaction_less_or_more_is_noticed() {
    let lab = Lab::at(Fork::Cancun);
    let (one, two) = (Wallet(1), Wallet(2));
    let both = vec![one.call(0, MAKER_OF_NOTHING), two.call(0, MAKER_OF_NOTHING)];
    let built = lab.build(both.clone());
    let (_, body) = lab.raw(&both[..1]);
    let error = lab.run(&built.header, &body).expect_err("one is missing");
    assert!(
        matches!(error, ExecutionError::GasUsed { found: 21_000, expected: 42_000 }),
        "{error}"
    );
    // Twice the same one: its nonce is used.
    let (_, body) = lab.raw(&[both[0].clone(), both[0].clone()]);
    let error = lab.run(&built.header, &body).expect_err("the same one twice");
    assert!(matches!(error, ExecutionError::Transaction { index: 1, .. }), "{error}");
}

const MAKER_OF_NOTHING: Address = Address::repeat_byte(0x99);

#[test]
fn a_fork_that_is_not_known_is_not_the_fault_of_the_block() {
    let mut genesis = genesis(Fork::Osaka);
    genesis.config.amsterdam_time = Some(super::lab::TIME + 1);
    let lab = Lab::new(genesis);
    let error = lab.force(&[]).expect_err("Amsterdam");
    assert!(matches!(error, ExecutionError::UnknownFork("Amsterdam")), "{error}");
    assert!(!error.blames_block());
}
