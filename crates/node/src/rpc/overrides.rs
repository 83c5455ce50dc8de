//! What a call may see otherwise than it is: accounts and the block.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use chainmesh_chain::StateView;
use chainmesh_chain::execute::Environment;
use revm::DatabaseRef as _;
use revm::bytecode::Bytecode;
use revm::database::CacheDB;
use serde::Deserialize;

use super::error::{RpcResult, internal, refused};
use super::params::Hex;

/// Accounts that are otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct StateOverrides(BTreeMap<Hex<Address>, AccountOverride>);

/// What is otherwise about an account.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AccountOverride {
    nonce: Option<Hex<u64>>,
    code: Option<Hex<Bytes>>,
    balance: Option<Hex<U256>>,
    /// All of its storage.
    state: Option<BTreeMap<Hex<B256>, Hex<B256>>>,
    /// Some of its storage.
    state_diff: Option<BTreeMap<Hex<B256>, Hex<B256>>>,
}

impl StateOverrides {
    /// Lays them over a state.
    pub(super) fn apply(self, state: &mut CacheDB<StateView>) -> RpcResult<()> {
        for (Hex(address), change) in self.0 {
            if change.state.is_some() && change.state_diff.is_some() {
                return Err(refused(format_args!(
                    "account {address} has both 'state' and 'stateDiff'"
                )));
            }
            let mut info = state.db.basic_ref(address).map_err(internal)?.unwrap_or_default();
            if let Some(Hex(nonce)) = change.nonce {
                info.nonce = nonce;
            }
            if let Some(Hex(balance)) = change.balance {
                info.balance = balance;
            }
            if let Some(Hex(code)) = change.code {
                let code = Bytecode::new_raw(code);
                info.code_hash = code.hash_slow();
                info.code = Some(code);
            }
            state.insert_account_info(address, info);
            let slot = |(Hex(slot), Hex(value)): (Hex<B256>, Hex<B256>)| {
                (U256::from_be_bytes(slot.0), U256::from_be_bytes(value.0))
            };
            if let Some(storage) = change.state {
                let storage = storage.into_iter().map(slot).collect();
                state.replace_account_storage(address, storage).map_err(internal)?;
            }
            for (slot, value) in change.state_diff.into_iter().flatten().map(slot) {
                state.insert_account_storage(address, slot, value).map_err(internal)?;
            }
        }
        Ok(())
    }
}

/// What is otherwise about the block.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BlockOverrides {
    number: Option<Hex<U256>>,
    difficulty: Option<Hex<U256>>,
    time: Option<Hex<u64>>,
    gas_limit: Option<Hex<u64>>,
    coinbase: Option<Hex<Address>>,
    random: Option<Hex<B256>>,
    base_fee: Option<Hex<u64>>,
}

impl BlockOverrides {
    /// Lays them over an environment.
    pub(super) fn apply(self, environment: &mut Environment) {
        let block = &mut environment.block_env;
        block.number = self.number.map_or(block.number, |Hex(number)| number);
        block.difficulty = self.difficulty.map_or(block.difficulty, |Hex(it)| it);
        block.timestamp = self.time.map_or(block.timestamp, |Hex(time)| U256::from(time));
        block.gas_limit = self.gas_limit.map_or(block.gas_limit, |Hex(limit)| limit);
        block.beneficiary = self.coinbase.map_or(block.beneficiary, |Hex(it)| it);
        block.prevrandao = self.random.map(|Hex(random)| random).or(block.prevrandao);
        block.basefee = self.base_fee.map_or(block.basefee, |Hex(fee)| fee);
    }
}
