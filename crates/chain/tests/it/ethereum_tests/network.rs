//! The networks that the tests name, and the genesis blocks of these.

use std::collections::BTreeMap;

use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B64, B256, Bytes, U64, U256};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenesisHeader {
    pub(super) hash: B256,
    coinbase: Address,
    difficulty: U256,
    extra_data: Bytes,
    gas_limit: U64,
    mix_hash: B256,
    nonce: B64,
    timestamp: U64,
    base_fee_per_gas: Option<U64>,
    blob_gas_used: Option<U64>,
    excess_blob_gas: Option<U64>,
}

#[derive(Deserialize)]
pub(super) struct Account {
    balance: U256,
    nonce: U64,
    code: Bytes,
    storage: BTreeMap<U256, U256>,
}

const FORKS: [&str; 14] = [
    "Frontier",
    "Homestead",
    "EIP150",
    "EIP158",
    "Byzantium",
    "ConstantinopleFix",
    "Istanbul",
    "Berlin",
    "London",
    "ArrowGlacier",
    "Paris",
    "Shanghai",
    "Cancun",
    "Prague",
];

/// The forks of a network; `None` for a name that is not known.
fn config(name: &str) -> Option<ChainConfig> {
    let (from, to) = match name {
        "FrontierToHomesteadAt5" => ("Frontier", Some(("Homestead", 5))),
        "HomesteadToEIP150At5" => ("Homestead", Some(("EIP150", 5))),
        "HomesteadToDaoAt5" => ("Homestead", None),
        "EIP158ToByzantiumAt5" => ("EIP158", Some(("Byzantium", 5))),
        "ByzantiumToConstantinopleFixAt5" => ("Byzantium", Some(("ConstantinopleFix", 5))),
        "BerlinToLondonAt5" => ("Berlin", Some(("London", 5))),
        "ArrowGlacierToParisAtDiffC0000" => ("ArrowGlacier", None),
        "ParisToShanghaiAtTime15k" => ("Paris", Some(("Shanghai", 15_000))),
        "ShanghaiToCancunAtTime15k" => ("Shanghai", Some(("Cancun", 15_000))),
        "Merge" => ("Paris", None),
        other => (other, None),
    };
    let place = |name: &str| FORKS.iter().position(|fork| *fork == name);
    let last = place(from)?;
    let at = |fork: &str| match to {
        _ if place(fork).is_some_and(|place| place <= last) => Some(0),
        Some((later, when)) if later == fork => Some(when),
        _ => None,
    };
    let mut config = ChainConfig {
        chain_id: 1,
        homestead_block: at("Homestead"),
        eip150_block: at("EIP150"),
        eip155_block: at("EIP158"),
        eip158_block: at("EIP158"),
        byzantium_block: at("Byzantium"),
        constantinople_block: at("ConstantinopleFix"),
        petersburg_block: at("ConstantinopleFix"),
        istanbul_block: at("Istanbul"),
        muir_glacier_block: at("Istanbul"),
        berlin_block: at("Berlin"),
        london_block: at("London"),
        arrow_glacier_block: at("ArrowGlacier"),
        terminal_total_difficulty: at("Paris").map(U256::from),
        shanghai_time: at("Shanghai"),
        cancun_time: at("Cancun"),
        prague_time: at("Prague"),
        ..ChainConfig::default()
    };
    match name {
        "HomesteadToDaoAt5" => {
            config.dao_fork_block = Some(5);
            config.dao_fork_support = true;
        }
        "ArrowGlacierToParisAtDiffC0000" => {
            config.terminal_total_difficulty = Some(U256::from(0xC_0000));
        }
        _ => {}
    }
    Some(config)
}

pub(super) fn genesis(
    name: &str,
    header: &GenesisHeader,
    pre: &BTreeMap<Address, Account>,
) -> Option<Genesis> {
    let alloc = pre.iter().map(|(address, account)| {
        let slots = account.storage.iter().filter(|(_, value)| !value.is_zero());
        let slots = slots.map(|(slot, value)| (B256::from(*slot), B256::from(*value)));
        let account = GenesisAccount::default()
            .with_balance(account.balance)
            .with_nonce(Some(account.nonce.to()))
            .with_code(Some(account.code.clone()))
            .with_storage(Some(slots.collect()));
        (*address, account)
    });
    Some(Genesis {
        config: config(name)?,
        nonce: u64::from_be_bytes(header.nonce.0),
        timestamp: header.timestamp.to(),
        extra_data: header.extra_data.clone(),
        gas_limit: header.gas_limit.to(),
        difficulty: header.difficulty,
        mix_hash: header.mix_hash,
        coinbase: header.coinbase,
        alloc: alloc.collect(),
        base_fee_per_gas: header.base_fee_per_gas.map(|fee| fee.to()),
        excess_blob_gas: header.excess_blob_gas.map(|gas| gas.to()),
        blob_gas_used: header.blob_gas_used.map(|gas| gas.to()),
        ..Genesis::default()
    })
}
