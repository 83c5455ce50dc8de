use super::*;

fn parent(number: u64, difficulty: u64, timestamp: u64) -> Header {
    let difficulty = U256::from(difficulty);
    Header { number, difficulty, timestamp, ..Header::default() }
}

/// The first blocks of the Ethereum mainnet: genesis 17,179,869,184, block 1 17,171,480,576.
#[test]
fn mainnet_block_1() {
    let config = ChainConfig { homestead_block: Some(1_150_000), ..ChainConfig::default() };
    let genesis = parent(0, 17_179_869_184, 0);
    assert_eq!(ethash(&config, 1_438_269_988, &genesis), U256::from(17_171_480_576_u64));
}

#[test]
fn homestead_goes_at_most_99_steps_down() {
    let config = ChainConfig { homestead_block: Some(0), ..ChainConfig::default() };
    let before = parent(10, 2_048_000_000, 1_000);
    let after = |seconds: u64| ethash(&config, 1_000 + seconds, &before).to::<u64>();
    assert_eq!(after(9), 2_049_000_000);
    assert_eq!(after(10), 2_048_000_000);
    assert_eq!(after(35), 2_046_000_000);
    assert_eq!(after(1_000_000), 1_949_000_000);
}

/// EIP-100: a parent with ommers is worth one step more.
#[test]
fn byzantium_counts_ommers() {
    let config = ChainConfig { byzantium_block: Some(0), ..ChainConfig::default() };
    let mut before = parent(10, 2_048_000_000, 1_000);
    before.ommers_hash = EMPTY_OMMER_ROOT_HASH;
    assert_eq!(ethash(&config, 1_008, &before), U256::from(2_049_000_000_u64));
    assert_eq!(ethash(&config, 1_009, &before), U256::from(2_048_000_000_u64));
    before.ommers_hash = alloy_primitives::B256::repeat_byte(1);
    assert_eq!(ethash(&config, 1_008, &before), U256::from(2_050_000_000_u64));
}

#[test]
fn the_bomb_doubles_every_100000_blocks_and_is_put_off_by_forks() {
    let homestead = ChainConfig { homestead_block: Some(0), ..ChainConfig::default() };
    let bomb = |config: &ChainConfig, number: u64| {
        let before = parent(number - 1, 2_048_000_000, 0);
        ethash(config, 10, &before) - U256::from(2_048_000_000_u64)
    };
    assert_eq!(bomb(&homestead, 199_999), U256::ZERO);
    assert_eq!(bomb(&homestead, 200_000), U256::from(1));
    assert_eq!(bomb(&homestead, 1_150_000), U256::from(512));
    let byzantium = ChainConfig { byzantium_block: Some(0), ..homestead };
    assert_eq!(bomb(&byzantium, 3_199_999), U256::ZERO);
    assert_eq!(bomb(&byzantium, 4_370_000), U256::from(2_048));
    let london = ChainConfig { london_block: Some(0), ..byzantium };
    assert_eq!(bomb(&london, 9_900_000), U256::from(1));
}

#[test]
fn no_number_is_too_large() {
    let config = ChainConfig { homestead_block: Some(0), ..ChainConfig::default() };
    let mut last = parent(u64::MAX, 0, u64::MAX);
    last.difficulty = U256::MAX;
    assert_eq!(ethash(&config, 0, &last), U256::MAX);
}
