//! The state of a genesis block in memory, for tests and for chains that are not kept.

use alloy_genesis::Genesis;
use alloy_primitives::{B256, U256};
use revm::database::{CacheDB, EmptyDB};
use revm::state::{AccountInfo, Bytecode};

/// The accounts of a genesis block. Changes of later blocks can be committed to it.
#[must_use]
pub fn genesis_state(genesis: &Genesis) -> CacheDB<EmptyDB> {
    let mut state = CacheDB::new(EmptyDB::default());
    for (address, account) in &genesis.alloc {
        let code = account.code.clone().filter(|code| !code.is_empty());
        let mut info = AccountInfo {
            balance: account.balance,
            nonce: account.nonce.unwrap_or(0),
            ..AccountInfo::default()
        };
        if let Some(code) = code {
            let code = Bytecode::new_raw(code);
            info.code_hash = code.hash_slow();
            info.code = Some(code);
        }
        state.insert_account_info(*address, info);
        for (slot, value) in account.storage.iter().flatten() {
            // Reading an empty state cannot fail.
            let _ = state.insert_account_storage(*address, number(*slot), number(*value));
        }
    }
    state
}

fn number(word: B256) -> U256 {
    U256::from_be_bytes(word.0)
}
