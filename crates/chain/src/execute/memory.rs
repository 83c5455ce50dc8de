//! [`MemoryState`]: a state in memory, for tests and for chains that are not kept.

use core::convert::Infallible;
use std::collections::BTreeMap;

use alloy_genesis::Genesis;
use alloy_primitives::{Address, B256, U256};
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use alloy_trie::{KECCAK_EMPTY, TrieAccount};
use revm::DatabaseRef;
use revm::database::BundleState;
use revm::state::{AccountInfo, Bytecode};

/// Accounts, codes and the hashes of blocks in memory. There is nothing clever about it: its root
/// is computed from all accounts each time.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    accounts: BTreeMap<Address, MemoryAccount>,
    codes: BTreeMap<B256, Bytecode>,
    block_hashes: BTreeMap<u64, B256>,
}

#[derive(Debug, Clone, Default)]
struct MemoryAccount {
    info: AccountInfo,
    storage: BTreeMap<U256, U256>,
}

impl MemoryState {
    /// The state of a genesis block.
    #[must_use]
    pub fn of_genesis(genesis: &Genesis) -> Self {
        let mut state = Self::default();
        for (address, account) in &genesis.alloc {
            let code = account.code.clone().unwrap_or_default();
            let slots = account.storage.iter().flatten();
            state.insert(*address, account.nonce.unwrap_or(0), account.balance, code);
            let storage = slots
                .map(|(slot, value)| (U256::from_be_bytes(slot.0), U256::from_be_bytes(value.0)))
                .filter(|(_, value)| !value.is_zero());
            if let Some(account) = state.accounts.get_mut(address) {
                account.storage = storage.collect();
            }
        }
        state
    }

    /// Puts an account there, without storage.
    pub fn insert(
        &mut self,
        address: Address,
        nonce: u64,
        balance: U256,
        code: alloy_primitives::Bytes,
    ) {
        let mut info = AccountInfo { nonce, balance, ..AccountInfo::default() };
        if !code.is_empty() {
            let code = Bytecode::new_raw(code);
            info.code_hash = code.hash_slow();
            self.codes.insert(info.code_hash, code);
        }
        info.code = None;
        self.accounts.insert(address, MemoryAccount { info, storage: BTreeMap::new() });
    }

    /// Takes over what a block has changed.
    pub fn apply(&mut self, changes: &BundleState) {
        for (hash, code) in &changes.contracts {
            self.codes.insert(*hash, code.clone());
        }
        for (address, change) in &changes.state {
            let Some(info) = &change.info else {
                self.accounts.remove(address);
                continue;
            };
            let account = self.accounts.entry(*address).or_default();
            if change.was_destroyed() {
                account.storage.clear();
            }
            account.info = AccountInfo { code: None, ..info.clone() };
            for (slot, values) in &change.storage {
                if values.present_value.is_zero() {
                    account.storage.remove(slot);
                } else {
                    account.storage.insert(*slot, values.present_value);
                }
            }
        }
    }

    /// Says what the hash of an earlier block is, for `BLOCKHASH`; zero for all others.
    pub fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// All accounts there are, with their storage.
    pub fn accounts(&self) -> impl Iterator<Item = (Address, &AccountInfo, &BTreeMap<U256, U256>)> {
        self.accounts.iter().map(|(address, account)| (*address, &account.info, &account.storage))
    }

    /// The code with this hash.
    #[must_use]
    pub fn code(&self, hash: B256) -> Option<&Bytecode> {
        self.codes.get(&hash)
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> B256 {
        let accounts = self.accounts.iter().map(|(address, account)| {
            let slots = account.storage.iter().map(|(slot, value)| (B256::from(*slot), *value));
            let account = TrieAccount {
                nonce: account.info.nonce,
                balance: account.info.balance,
                storage_root: storage_root_unhashed(slots),
                code_hash: account.info.code_hash,
            };
            (*address, account)
        });
        state_root_unhashed(accounts)
    }
}

impl DatabaseRef for MemoryState {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.accounts.get(&address).map(|account| account.info.clone()))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Infallible> {
        if hash == KECCAK_EMPTY {
            return Ok(Bytecode::default());
        }
        Ok(self.codes.get(&hash).cloned().unwrap_or_default())
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        let account = self.accounts.get(&address);
        let value = account.and_then(|account| account.storage.get(&slot));
        Ok(value.copied().unwrap_or_default())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        Ok(self.block_hashes.get(&number).copied().unwrap_or_default())
    }
}
