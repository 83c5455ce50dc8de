use std::fs;

use super::*;
use crate::{ChainSpec, Consensus};

const MINIMAL: &str =
    r#"{"config": {"chainId": 7}, "gasLimit": "0x1000000", "difficulty": "0x1", "alloc": {}}"#;

fn read_text(text: &str) -> Result<ChainSpec, GenesisError> {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("genesis.json");
    fs::write(&path, text).expect("write");
    let result = ChainSpec::read(&path);
    if let Err(error) = &result {
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()), "no path in: {text}");
    }
    result
}

#[test]
fn a_minimal_file_is_enough() {
    let spec = read_text(MINIMAL).expect("genesis");
    assert_eq!(spec.config().chain_id, 7);
    assert_eq!(spec.consensus(), Consensus::UnsealedProofOfWork);
    assert_eq!(spec.genesis_header().state_root, EMPTY_ROOT_HASH);
}

#[test]
fn a_gas_limit_of_zero_is_the_default() {
    let spec = read_text(&MINIMAL.replace("0x1000000", "0x0")).expect("genesis");
    assert_eq!(spec.genesis_header().gas_limit, DEFAULT_GENESIS_GAS_LIMIT);
}

#[test]
fn errors_name_the_file_and_what_is_wrong() {
    let dir = tempfile::tempdir().expect("directory");
    let missing = ChainSpec::read(&dir.path().join("nowhere.json"));
    assert!(matches!(missing, Err(GenesisError::Read { .. })), "{missing:?}");
    let json = read_text("{\n  \"config\": nonsense");
    assert!(
        matches!(&json, Err(GenesisError::Json { source, .. }) if source.line() == 2),
        "{json:?}"
    );
    let wrong_type = read_text(&MINIMAL.replace("{}", "[1]"));
    assert!(matches!(wrong_type, Err(GenesisError::Json { .. })), "{wrong_type:?}");
    for field in ["config", "gasLimit", "difficulty", "alloc"] {
        let error = read_text(&MINIMAL.replace(field, "unknown"));
        assert!(
            matches!(&error, Err(GenesisError::MissingField { field: found, .. }) if *found == field),
            "{error:?}"
        );
    }
}

#[test]
fn what_makes_no_chain_is_refused() {
    let spec = |text: &str| match read_text(text) {
        Err(GenesisError::Spec { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let with = |field: &str| MINIMAL.replace("\"alloc\"", &format!("{field}, \"alloc\""));
    assert_eq!(spec(&with(r#""number": "0x5""#)), SpecError::NotBlockZero(5));
    assert_eq!(
        spec(&with(r#""baseFeePerGas": "0x10000000000000000""#)),
        SpecError::BaseFeeTooLarge(1 << 64)
    );
    let clique = MINIMAL.replace("\"chainId\"", "\"clique\": {\"period\": 1}, \"chainId\"");
    assert_eq!(spec(&clique), SpecError::CliqueExtraData(0));
    let signers = |signers: &str| {
        let extra = format!("0x{}{signers}{}", "00".repeat(32), "00".repeat(65));
        clique.replace("\"alloc\"", &format!("\"extraData\": \"{extra}\", \"alloc\""))
    };
    assert_eq!(spec(&signers("")), SpecError::CliqueExtraData(97));
    assert_eq!(spec(&signers(&"11".repeat(19))), SpecError::CliqueExtraData(116));
    let descending = "22".repeat(20) + &"11".repeat(20);
    assert_eq!(spec(&signers(&descending)), SpecError::CliqueSignersUnsorted);
    assert_eq!(spec(&signers(&"11".repeat(40))), SpecError::CliqueSignersUnsorted);
    read_text(&signers(&"11".repeat(20))).expect("one signer");
}

#[test]
fn a_dev_network_survives_its_own_json() {
    let signers = vec![Address::repeat_byte(9), Address::repeat_byte(3), Address::repeat_byte(9)];
    let genesis = dev_clique(&DevNetwork {
        chain_id: 1515,
        period: 3,
        timestamp: 1_700_000_000,
        signers,
        balances: vec![(Address::repeat_byte(1), U256::from(10).pow(U256::from(24)))],
    });
    let spec = ChainSpec::new(genesis.clone()).expect("spec");
    assert_eq!(spec.consensus(), Consensus::Clique { period: 3, epoch: 30_000 });
    assert_eq!(
        clique::signers_in_extra_data(&spec.genesis_header().extra_data),
        Some(vec![Address::repeat_byte(3), Address::repeat_byte(9)])
    );
    let again = read_text(&serde_json::to_string_pretty(&genesis).expect("json")).expect("read");
    assert_eq!(again.genesis_hash(), spec.genesis_hash());
    assert_eq!(again.genesis(), &genesis);
}

#[test]
fn the_header_has_the_fields_of_its_forks() {
    let fields = |config: ChainConfig| {
        let header = header(&Genesis { config, ..Genesis::default() }).expect("header");
        [
            header.base_fee_per_gas.is_some(),
            header.withdrawals_root.is_some(),
            header.blob_gas_used.is_some() && header.excess_blob_gas.is_some(),
            header.parent_beacon_block_root.is_some(),
            header.requests_hash.is_some(),
        ]
    };
    let mut config = ChainConfig::default();
    assert_eq!(fields(config.clone()), [false; 5]);
    config.london_block = Some(1);
    config.shanghai_time = Some(1);
    assert_eq!(fields(config.clone()), [false; 5]);
    config.london_block = Some(0);
    assert_eq!(fields(config.clone()), [true, false, false, false, false]);
    config.shanghai_time = Some(0);
    assert_eq!(fields(config.clone()), [true, true, false, false, false]);
    config.cancun_time = Some(0);
    assert_eq!(fields(config.clone()), [true, true, true, true, false]);
    config.prague_time = Some(0);
    assert_eq!(fields(config.clone()), [true; 5]);
    config.amsterdam_time = Some(0);
    let unknown = header(&Genesis { config, ..Genesis::default() });
    assert_eq!(unknown, Err(SpecError::UnknownFork));
}
