//! One test for each rule of a header: the same child, with one thing wrong.

use alloy_consensus::Header;
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_primitives::{B64, B256, U256};
use chainmesh_chain::rules::{self, ForkField, RuleError};
use chainmesh_chain::{ChainSpec, Consensus, Genesis, difficulty};

const NOW: u64 = 1_000_000;
const GAS_LIMIT: u64 = 30_000_000;

/// A network with all forks up to Prague, London at block 0.
fn prague() -> ChainSpec {
    let mut genesis = Genesis { gas_limit: GAS_LIMIT, timestamp: 1_000, ..Genesis::default() };
    let config = &mut genesis.config;
    config.london_block = Some(0);
    config.terminal_total_difficulty = Some(U256::ZERO);
    config.shanghai_time = Some(0);
    config.cancun_time = Some(0);
    config.prague_time = Some(0);
    ChainSpec::new(genesis).expect("spec")
}

/// A network before London.
fn early() -> ChainSpec {
    let mut genesis = Genesis { gas_limit: GAS_LIMIT, timestamp: 1_000, ..Genesis::default() };
    genesis.config.byzantium_block = Some(0);
    genesis.difficulty = U256::from(131_072);
    ChainSpec::new(genesis).expect("spec")
}

fn good(spec: &ChainSpec) -> Header {
    let parent = spec.genesis_header();
    Header {
        parent_hash: spec.genesis_hash(),
        number: 1,
        timestamp: parent.timestamp + 10,
        base_fee_per_gas: rules::next_base_fee(spec, parent),
        ..parent.clone()
    }
}

fn judge(spec: &ChainSpec, header: &Header) -> Result<(), RuleError> {
    let parent = (spec.genesis_header(), spec.genesis_hash());
    rules::verify(spec, spec.consensus(), header, parent, NOW)
}

fn broken(spec: &ChainSpec, change: impl FnOnce(&mut Header)) -> RuleError {
    let mut header = good(spec);
    change(&mut header);
    judge(spec, &header).expect_err("a rule is broken")
}

#[test]
fn good_children_pass() {
    for spec in [prague(), early()] {
        assert_eq!(judge(&spec, &good(&spec)), Ok(()));
    }
    assert_eq!(early().consensus(), Consensus::UnsealedProofOfWork);
    assert_eq!(prague().consensus(), Consensus::ProofOfStake);
}

#[test]
fn links() {
    let spec = prague();
    let found = B256::repeat_byte(1);
    assert_eq!(
        broken(&spec, |header| header.parent_hash = found),
        RuleError::ParentHash { found, expected: spec.genesis_hash() }
    );
    for found in [0, 2, u64::MAX] {
        assert_eq!(
            broken(&spec, |header| header.number = found),
            RuleError::Number { found, expected: 1 }
        );
    }
    assert_eq!(
        broken(&spec, |header| header.timestamp = 1_000),
        RuleError::Timestamp { found: 1_000, least: 1_001 }
    );
    let found = NOW + rules::ALLOWED_FUTURE_SECONDS + 1;
    assert_eq!(
        broken(&spec, |header| header.timestamp = found),
        RuleError::Future { found, now: NOW }
    );
}

#[test]
fn gas() {
    let spec = prague();
    let apart = GAS_LIMIT / 1024 - 1;
    let (least, most) = (GAS_LIMIT - apart, GAS_LIMIT + apart);
    for found in [least - 1, most + 1, 0, u64::MAX] {
        assert_eq!(
            broken(&spec, |header| header.gas_limit = found),
            RuleError::GasLimit { found, least, most }
        );
    }
    for limit in [least, most] {
        let mut header = good(&spec);
        header.gas_limit = limit;
        assert_eq!(judge(&spec, &header), Ok(()));
    }
    assert_eq!(
        broken(&spec, |header| header.gas_used = GAS_LIMIT + 1),
        RuleError::GasUsed { used: GAS_LIMIT + 1, limit: GAS_LIMIT }
    );
    let small = ChainSpec::new(Genesis { gas_limit: 5_002, ..early().genesis().clone() });
    let small = small.expect("spec");
    assert!(matches!(
        broken(&small, |header| header.gas_limit = 4_999),
        RuleError::GasLimit { least: 5_000, .. }
    ));
}

#[test]
fn fields_come_with_their_forks() {
    type Change = fn(&mut Header);
    let take: [(ForkField, Change); 6] = [
        (ForkField::BaseFee, |header| header.base_fee_per_gas = None),
        (ForkField::WithdrawalsRoot, |header| header.withdrawals_root = None),
        (ForkField::BlobGasUsed, |header| header.blob_gas_used = None),
        (ForkField::ExcessBlobGas, |header| header.excess_blob_gas = None),
        (ForkField::ParentBeaconBlockRoot, |header| header.parent_beacon_block_root = None),
        (ForkField::RequestsHash, |header| header.requests_hash = None),
    ];
    for (field, change) in take {
        assert_eq!(broken(&prague(), change), RuleError::FieldMissing(field));
    }
    let give: [(ForkField, Change); 6] = [
        (ForkField::BaseFee, |header| header.base_fee_per_gas = Some(7)),
        (ForkField::WithdrawalsRoot, |header| header.withdrawals_root = Some(B256::ZERO)),
        (ForkField::BlobGasUsed, |header| header.blob_gas_used = Some(0)),
        (ForkField::ExcessBlobGas, |header| header.excess_blob_gas = Some(0)),
        (ForkField::ParentBeaconBlockRoot, |header| {
            header.parent_beacon_block_root = Some(B256::ZERO);
        }),
        (ForkField::RequestsHash, |header| header.requests_hash = Some(B256::ZERO)),
    ];
    for (field, change) in give {
        assert_eq!(broken(&early(), change), RuleError::FieldUnexpected(field));
    }
    let amsterdam: [(ForkField, Change); 2] = [
        (ForkField::BlockAccessListHash, |header| {
            header.block_access_list_hash = Some(B256::ZERO);
        }),
        (ForkField::SlotNumber, |header| header.slot_number = Some(0)),
    ];
    for (field, change) in amsterdam {
        assert_eq!(broken(&prague(), change), RuleError::FieldUnexpected(field));
    }
}

#[test]
fn base_fee_and_blob_gas_follow_from_the_parent() {
    let spec = prague();
    assert_eq!(
        broken(&spec, |header| header.base_fee_per_gas = Some(875_000_001)),
        RuleError::BaseFee { found: 875_000_001, expected: 875_000_000 }
    );
    let most = 9 * DATA_GAS_PER_BLOB;
    for found in [1, DATA_GAS_PER_BLOB + 1, most + DATA_GAS_PER_BLOB] {
        assert_eq!(
            broken(&spec, |header| header.blob_gas_used = Some(found)),
            RuleError::BlobGasUsed { found, most }
        );
    }
    assert_eq!(
        broken(&spec, |header| header.excess_blob_gas = Some(1)),
        RuleError::ExcessBlobGas { found: 1, expected: 0 }
    );
}

/// EIP-1559: at most an eighth up or down, at least 1 wei up, and no overflow at the end.
#[test]
fn base_fee_moves_by_an_eighth() {
    let spec = prague();
    let after = |fee, used, limit| {
        let parent = Header {
            base_fee_per_gas: Some(fee),
            gas_used: used,
            gas_limit: limit,
            ..spec.genesis_header().clone()
        };
        rules::next_base_fee(&spec, &parent)
    };
    assert_eq!(after(1_000_000_000, 20_000_000, 20_000_000), Some(1_125_000_000));
    assert_eq!(after(1_000_000_000, 10_000_000, 20_000_000), Some(1_000_000_000));
    assert_eq!(after(1_000_000_000, 9_000_000, 20_000_000), Some(987_500_000));
    assert_eq!(after(1_000_000_000, 0, 20_000_000), Some(875_000_000));
    assert_eq!(after(0, 20_000_000, 20_000_000), Some(1));
    assert_eq!(after(7, 0, 20_000_000), Some(7));
    assert_eq!(after(u64::MAX, u64::MAX, u64::MAX), Some(u64::MAX));
    assert_eq!(after(u64::MAX, 0, 0), Some(u64::MAX));
    assert_eq!(rules::next_base_fee(&early(), early().genesis_header()), None);
}

#[test]
fn consensus() {
    let stake = prague();
    let (found, expected) = (U256::from(1), U256::ZERO);
    assert_eq!(
        broken(&stake, |header| header.difficulty = found),
        RuleError::Difficulty { found, expected }
    );
    let nonce = B64::repeat_byte(1);
    assert_eq!(broken(&stake, |header| header.nonce = nonce), RuleError::Nonce(nonce));
    assert_eq!(broken(&stake, |header| header.ommers_hash = B256::ZERO), RuleError::Ommers);
    let work = early();
    let (found, expected) = (U256::from(131_073), U256::from(131_072));
    assert_eq!(
        broken(&work, |header| header.difficulty = found),
        RuleError::Difficulty { found, expected }
    );
    for spec in [stake, work] {
        assert_eq!(
            broken(&spec, |header| header.extra_data = vec![0; 33].into()),
            RuleError::ExtraData { length: 33 }
        );
    }
}

/// EIP-3675: proof of stake begins behind the block that reaches the terminal total difficulty.
#[test]
fn the_merge_is_decided_by_total_difficulty() {
    let mut genesis = early().genesis().clone();
    genesis.config.terminal_total_difficulty = Some(U256::from(300_000));
    let spec = ChainSpec::new(genesis).expect("spec");
    assert_eq!(spec.consensus(), Consensus::UnsealedProofOfWork);
    let after = |total: u64| spec.consensus_after(U256::from(total));
    assert_eq!(after(299_999), Consensus::UnsealedProofOfWork);
    assert_eq!(after(300_000), Consensus::ProofOfStake);
    let parent = (spec.genesis_header(), spec.genesis_hash());
    let merged = Header { difficulty: U256::ZERO, ..good(&spec) };
    assert_eq!(rules::verify(&spec, Consensus::ProofOfStake, &merged, parent, NOW), Ok(()));
    assert!(rules::verify(&spec, spec.consensus(), &merged, parent, NOW).is_err());
}

/// EIP-779: ten blocks say `dao-hard-fork` on one side; on the other none says so where they part.
#[test]
fn the_sides_of_the_dao_fork_tell_themselves_apart() {
    let spec = |support, block| {
        let mut genesis = Genesis { gas_limit: GAS_LIMIT, timestamp: 1_000, ..Genesis::default() };
        genesis.config.dao_fork_support = support;
        genesis.config.dao_fork_block = block;
        genesis.difficulty = U256::from(131_072);
        ChainSpec::new(genesis).expect("spec")
    };
    let verdict = |spec: &ChainSpec, number: u64, text: &'static [u8]| {
        let parent = Header { number: number - 1, ..spec.genesis_header().clone() };
        let timestamp = parent.timestamp + 20;
        let header = Header {
            parent_hash: parent.hash_slow(),
            number,
            timestamp,
            difficulty: difficulty::ethash(spec.config(), timestamp, &parent),
            extra_data: text.into(),
            ..good(spec)
        };
        rules::verify(spec, spec.consensus(), &header, (&parent, header.parent_hash), NOW)
    };
    let (says_so, other) = (b"dao-hard-fork".as_slice(), b"else".as_slice());
    let for_it = spec(true, Some(5));
    for number in 5..15 {
        assert_eq!(verdict(&for_it, number, says_so), Ok(()), "{number}");
        assert_eq!(verdict(&for_it, number, other), Err(RuleError::DaoExtraData), "{number}");
    }
    let against_it = spec(false, Some(5));
    assert_eq!(verdict(&against_it, 5, says_so), Err(RuleError::DaoExtraData));
    for (spec, number) in [(&for_it, 4), (&for_it, 15), (&against_it, 4), (&against_it, 6)] {
        assert_eq!(verdict(spec, number, other), Ok(()), "{number}");
        assert_eq!(verdict(spec, number, says_so), Ok(()), "{number}");
    }
    assert_eq!(verdict(&spec(true, None), 5, other), Ok(()));
}
