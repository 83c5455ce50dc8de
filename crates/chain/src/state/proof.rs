//! Merkle proofs (EIP-1186).

use alloy_primitives::{Address, B256, Bytes, U256};

use super::Account;
use super::node::Root;
use super::reader::{BlockState, found, slot_value};
use super::trie::{self, Value, hashed};
use crate::store::{StateTables, StoreError};

/// Proof of an account and of some of its storage slots, as `eth_getProof` gives it (EIP-1186).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The account; an empty one when there is none.
    pub account: Account,
    /// RLP of the nodes from the state root to the account, or to where it would be.
    pub account_proof: Vec<Bytes>,
    /// One for each slot that was asked for, in that order.
    pub storage: Vec<StorageProof>,
}

/// Proof of a storage slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot.
    pub slot: U256,
    /// Its value.
    pub value: U256,
    /// RLP of the nodes from the storage root to the slot, or to where it would be.
    pub proof: Vec<Bytes>,
}

impl<S: StateTables> BlockState<S> {
    /// Proof of an account and of some of its storage slots.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn proof(&self, address: Address, slots: &[U256]) -> Result<Proof, StoreError> {
        let key = hashed(address);
        let (value, account_proof) = self.walk(self.root, &key)?;
        let found = value.map(|value| found(&value, key)).transpose()?;
        let storage_root = found.map_or(Root::EMPTY, |found| found.storage);
        let prove = |slot: &U256| {
            let key = hashed(B256::from(*slot));
            let (value, proof) = self.walk(storage_root, &key)?;
            let value = value.map(|value| slot_value(&value, key)).transpose()?;
            Ok(StorageProof { slot: *slot, value: value.unwrap_or_default(), proof })
        };
        Ok(Proof {
            account: found.map(|found| found.account).unwrap_or_default(),
            account_proof,
            storage: slots.iter().map(prove).collect::<Result<_, StoreError>>()?,
        })
    }

    /// What stands at a key, and the nodes that lead there: those with an RLP shorter than 32
    /// bytes stand in their parents and are not listed.
    fn walk(&self, root: Root, key: &B256) -> Result<(Option<Value>, Vec<Bytes>), StoreError> {
        let mut proof = Vec::new();
        let value = trie::get(self, root, key, |link, node| {
            if link.rlp.as_hash().is_some() {
                let mut rlp = Vec::new();
                node.rlp(&mut rlp);
                proof.push(rlp.into());
            }
        })?;
        Ok((value, proof))
    }
}
