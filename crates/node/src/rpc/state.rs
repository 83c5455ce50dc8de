//! `eth_get…` of accounts: balance, nonce, code, storage, proofs.

use alloy_primitives::{Address, B256, U256, hex};
use chainmesh_chain::StateView;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use serde_json::{Value, json};

use super::blocks::{self, BlockId, BlockTag};
use super::error::{RpcResult, internal, limit_exceeded, refused};
use super::params::{Args, Hex};
use super::reading::read;
use super::shapes::quantity_u256;
use super::{RpcContext, quantity};

/// Slots of one proof, at most (each reads a path of the trie; go-ethereum v1.15 has the same).
const MAX_PROOF_SLOTS: usize = 1_024;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "eth_getBalance", 2, |context, args| {
        let (Hex(address), id) = (args.required()?, args.optional()?.unwrap_or_default());
        let account = state(context, id)?.account(address).map_err(internal)?;
        Ok(json!(quantity_u256(account.map_or(U256::ZERO, |account| account.balance))))
    })?;
    read(module, "eth_getTransactionCount", 2, |context, args| {
        let (Hex(address), id) = (args.required()?, args.optional()?.unwrap_or_default());
        if let (BlockId::Tag(BlockTag::Pending), Some(pool)) = (id, &context.pool) {
            return Ok(json!(quantity(pool.pending_nonce(&address).map_err(internal)?)));
        }
        let account = state(context, id)?.account(address).map_err(internal)?;
        Ok(json!(quantity(account.map_or(0, |account| account.nonce))))
    })?;
    read(module, "eth_getCode", 2, |context, args| {
        let (Hex(address), id) = (args.required()?, args.optional()?.unwrap_or_default());
        let state = state(context, id)?;
        Ok(match state.account(address).map_err(internal)? {
            Some(account) => json!(state.code(account.code_hash).map_err(internal)?),
            None => json!("0x"),
        })
    })?;
    read(module, "eth_getStorageAt", 3, |context, args| {
        let (Hex(address), key) = (args.required()?, args.required::<String>()?);
        let id = args.optional()?.unwrap_or_default();
        let why = |why| refused(format_args!("unable to decode storage key: {why}"));
        let slot = slot(&key).map_err(why)?.slot;
        let value = state(context, id)?.storage(address, slot).map_err(internal)?;
        Ok(json!(B256::from(value)))
    })?;
    read(module, "eth_getProof", 3, proof)?;
    Ok(())
}

/// The state behind the block that is meant.
pub(crate) fn state(context: &RpcContext, id: BlockId) -> RpcResult<StateView> {
    let chain = context.chain()?;
    let (hash, header) = blocks::header(chain, id)?;
    let missing = || refused(format_args!("missing trie node {} (path )", header.state_root));
    chain.state(&hash).map_err(internal)?.ok_or_else(missing)
}

/// A storage key, and how it is repeated in an answer.
struct Slot {
    slot: U256,
    shown: String,
}

/// Why a text is no storage key (go-ethereum, `decodeHash`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum SlotError {
    #[error("hex string invalid")]
    Hex,
    #[error("hex string too long, want at most 32 bytes")]
    TooLong,
}

fn slot(key: &str) -> Result<Slot, SlotError> {
    let digits = key.strip_prefix("0x").or_else(|| key.strip_prefix("0X")).unwrap_or(key);
    let digits = match digits.len() % 2 {
        0 => digits.to_owned(),
        _ => format!("0{digits}"),
    };
    if digits.len() > 64 {
        return Err(SlotError::TooLong);
    }
    let bytes = hex::decode(&digits).map_err(|_| SlotError::Hex)?;
    let slot = U256::from_be_slice(&bytes);
    // A key of 32 bytes is repeated as it is, another one as a number.
    let shown = match bytes.len() {
        32 => B256::from(slot).to_string(),
        _ => quantity_u256(slot),
    };
    Ok(Slot { slot, shown })
}

fn proof(context: &RpcContext, args: &mut Args) -> RpcResult<Value> {
    let (Hex::<Address>(address), keys) = (args.required()?, args.required::<Vec<String>>()?);
    let id = args.optional()?.unwrap_or_default();
    if keys.len() > MAX_PROOF_SLOTS {
        return Err(limit_exceeded(format_args!("too many slots (max {MAX_PROOF_SLOTS})")));
    }
    let keys: Vec<Slot> =
        keys.iter().map(|key| slot(key)).collect::<Result<_, _>>().map_err(refused)?;
    let slots: Vec<U256> = keys.iter().map(|key| key.slot).collect();
    let state = state(context, id)?;
    let proof = state.proof(address, &slots).map_err(internal)?;
    // go-ethereum shows no hashes of what is not there.
    let exists = state.account(address).map_err(internal)?.is_some();
    let hash = |hash: B256| if exists { hash } else { B256::ZERO };
    let of = |(slot, key): (&chainmesh_chain::state::StorageProof, &Slot)| json!({"key": key.shown, "value": quantity_u256(slot.value), "proof": slot.proof});
    Ok(json!({
        "address": address,
        "accountProof": proof.account_proof,
        "balance": quantity_u256(proof.account.balance),
        "codeHash": hash(proof.account.code_hash),
        "nonce": quantity(proof.account.nonce),
        "storageHash": hash(proof.account.storage_root),
        "storageProof": proof.storage.iter().zip(&keys).map(of).collect::<Vec<_>>(),
    }))
}
