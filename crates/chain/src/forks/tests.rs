use alloy_eip2124::{ForkHash, ValidationError};
use alloy_genesis::Genesis;
use alloy_primitives::{B256, b256};

use super::*;

const MAINNET_GENESIS: B256 =
    b256!("0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");

fn mainnet() -> ChainConfig {
    ChainConfig {
        chain_id: 1,
        homestead_block: Some(1_150_000),
        dao_fork_block: Some(1_920_000),
        eip150_block: Some(2_463_000),
        eip155_block: Some(2_675_000),
        eip158_block: Some(2_675_000),
        byzantium_block: Some(4_370_000),
        constantinople_block: Some(7_280_000),
        petersburg_block: Some(7_280_000),
        istanbul_block: Some(9_069_000),
        muir_glacier_block: Some(9_200_000),
        berlin_block: Some(12_244_000),
        london_block: Some(12_965_000),
        arrow_glacier_block: Some(13_773_000),
        gray_glacier_block: Some(15_050_000),
        shanghai_time: Some(1_681_338_455),
        cancun_time: Some(1_710_338_135),
        prague_time: Some(1_746_612_311),
        ..ChainConfig::default()
    }
}

fn mainnet_filter(number: u64, timestamp: u64) -> ForkFilter {
    let head = Head { number, timestamp, ..Head::default() };
    ForkFilter::new(head, MAINNET_GENESIS, 0, forks(&mainnet()))
}

/// The table of EIP-2124, and its continuation in go-ethereum's `forkid_test.go`.
#[test]
fn mainnet_table() {
    let table: &[(u64, u64, u32, u64)] = &[
        (0, 0, 0xfc64_ec04, 1_150_000),
        (1_149_999, 0, 0xfc64_ec04, 1_150_000),
        (1_150_000, 0, 0x97c2_c34c, 1_920_000),
        (1_919_999, 0, 0x97c2_c34c, 1_920_000),
        (1_920_000, 0, 0x91d1_f948, 2_463_000),
        (2_462_999, 0, 0x91d1_f948, 2_463_000),
        (2_463_000, 0, 0x7a64_da13, 2_675_000),
        (2_674_999, 0, 0x7a64_da13, 2_675_000),
        (2_675_000, 0, 0x3edd_5b10, 4_370_000),
        (4_369_999, 0, 0x3edd_5b10, 4_370_000),
        (4_370_000, 0, 0xa00b_c324, 7_280_000),
        (7_279_999, 0, 0xa00b_c324, 7_280_000),
        (7_280_000, 0, 0x668d_b0af, 9_069_000),
        (9_068_999, 0, 0x668d_b0af, 9_069_000),
        (9_069_000, 0, 0x879d_6e30, 9_200_000),
        (9_199_999, 0, 0x879d_6e30, 9_200_000),
        (9_200_000, 0, 0xe029_e991, 12_244_000),
        (12_243_999, 0, 0xe029_e991, 12_244_000),
        (12_244_000, 0, 0x0eb4_40f6, 12_965_000),
        (12_964_999, 0, 0x0eb4_40f6, 12_965_000),
        (12_965_000, 0, 0xb715_077d, 13_773_000),
        (13_772_999, 0, 0xb715_077d, 13_773_000),
        (13_773_000, 0, 0x20c3_27fc, 15_050_000),
        (15_049_999, 0, 0x20c3_27fc, 15_050_000),
        (15_050_000, 0, 0xf0af_d0e3, 1_681_338_455),
        (20_000_000, 1_681_338_454, 0xf0af_d0e3, 1_681_338_455),
        (20_000_000, 1_681_338_455, 0xdce9_6c2d, 1_710_338_135),
        (30_000_000, 1_710_338_134, 0xdce9_6c2d, 1_710_338_135),
        (30_000_000, 1_710_338_135, 0x9f3d_2254, 1_746_612_311),
        (30_000_000, 1_746_612_310, 0x9f3d_2254, 1_746_612_311),
        (30_000_000, 1_746_612_311, 0xc376_cf8b, 0),
    ];
    for (number, timestamp, hash, next) in table {
        let expected = ForkId { hash: ForkHash(hash.to_be_bytes()), next: *next };
        assert_eq!(mainnet_filter(*number, *timestamp).current(), expected, "at block {number}");
    }
}

/// The examples of EIP-2124's validation rules.
#[test]
fn mainnet_validation() {
    let judge = |number, hash: u32, next| {
        mainnet_filter(number, 0).validate(ForkId { hash: ForkHash(hash.to_be_bytes()), next })
    };
    // The same, with no fork known, with one that is known, with one that is not yet.
    assert_eq!(judge(7_987_396, 0x668d_b0af, 0), Ok(()));
    assert_eq!(judge(7_987_396, 0x668d_b0af, 9_069_000), Ok(()));
    assert_eq!(judge(7_987_396, 0x668d_b0af, u64::MAX), Ok(()));
    // The other is behind, and knows the next fork.
    assert_eq!(judge(7_987_396, 0xa00b_c324, 7_280_000), Ok(()));
    // The other is ahead.
    assert_eq!(judge(7_279_999, 0x668d_b0af, 0), Ok(()));
    // The other has missed a fork, or has another one.
    assert!(matches!(judge(7_987_396, 0xa00b_c324, 0), Err(ValidationError::RemoteStale { .. })));
    assert!(matches!(
        judge(7_987_396, 0xafec_6b27, 0),
        Err(ValidationError::LocalIncompatibleOrStale { .. })
    ));
    // We have passed the fork that the other announces, and know nothing of it.
    assert!(matches!(
        judge(88_888_888, 0xf0af_d0e3, 88_888_888),
        Err(ValidationError::LocalIncompatibleOrStale { .. })
    ));
}

#[test]
fn each_field_counts() {
    let mut config = ChainConfig::default();
    let blocks: [&mut Option<u64>; 15] = [
        &mut config.homestead_block,
        &mut config.dao_fork_block,
        &mut config.eip150_block,
        &mut config.eip155_block,
        &mut config.eip158_block,
        &mut config.byzantium_block,
        &mut config.constantinople_block,
        &mut config.petersburg_block,
        &mut config.istanbul_block,
        &mut config.muir_glacier_block,
        &mut config.berlin_block,
        &mut config.london_block,
        &mut config.arrow_glacier_block,
        &mut config.gray_glacier_block,
        &mut config.merge_netsplit_block,
    ];
    for (number, field) in (1..).zip(blocks) {
        *field = Some(number);
    }
    let times: [&mut Option<u64>; 11] = [
        &mut config.shanghai_time,
        &mut config.cancun_time,
        &mut config.prague_time,
        &mut config.osaka_time,
        &mut config.bpo1_time,
        &mut config.bpo2_time,
        &mut config.bpo3_time,
        &mut config.bpo4_time,
        &mut config.bpo5_time,
        &mut config.amsterdam_time,
        &mut config.bogota_time,
    ];
    for (time, field) in (1_000..).zip(times) {
        *field = Some(time);
    }
    // None is forgotten: the configuration, as go-ethereum would read it, has no other such field.
    let json = serde_json::to_value(&config).expect("json");
    let named = json.as_object().expect("object").iter().filter(|(name, value)| {
        (name.ends_with("Block") || name.ends_with("Time")) && value.is_u64()
    });
    assert_eq!(forks(&config).len(), named.count());
    assert_eq!(forks(&config).len(), 26);
}

#[test]
fn forks_at_genesis_are_skipped_and_equal_ones_merged() {
    let config = ChainConfig {
        homestead_block: Some(0),
        london_block: Some(0),
        shanghai_time: Some(100),
        cancun_time: Some(200),
        prague_time: Some(200),
        ..ChainConfig::default()
    };
    let genesis = Genesis { config, timestamp: 100, ..Genesis::default() };
    let spec = ChainSpec::new(genesis).expect("spec");
    let start = fork_id(&spec, 0, 100);
    assert_eq!(start, ForkId { hash: ForkHash::from(spec.genesis_hash()), next: 200 });
    let end = fork_id(&spec, 1, 200);
    assert_eq!(end, ForkId { hash: start.hash + 200_u64, next: 0 });
}
