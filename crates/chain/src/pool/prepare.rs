//! From bytes to a transaction with its sender: all that can be checked without the state.

use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_consensus::crypto::secp256k1::recover_signer;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_eips::eip2718::{Decodable2718, Eip2718Error, Encodable2718, Typed2718};
use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;

use super::config::MAX_TRANSACTION_BYTES;
use super::refusal::{Malformation, Refusal};
use super::rules::{self, BlockRules};
use super::transaction::{PooledTransaction, Transaction};

/// Below the first byte of a list, and therefore a type (EIP-2718).
const LAST_TYPE: u8 = 0x7f;

/// A transaction that passed everything that can be checked without the state: form, size, type,
/// gas, fees, signature.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) transaction: Arc<PooledTransaction>,
    /// Accounts whose authorizations (EIP-7702) it carries.
    pub(super) authorities: Box<[Address]>,
    /// The rules that it was checked against.
    pub(super) rules: BlockRules,
    /// It has no chain id.
    pub(super) unprotected: bool,
}

impl Prepared {
    /// The transaction.
    #[must_use]
    pub const fn transaction(&self) -> &Arc<PooledTransaction> {
        &self.transaction
    }
}

/// What costs nearly nothing, and comes before the hash: type and size.
pub(super) fn check_size(raw: &[u8], rules: &BlockRules) -> Result<(), Refusal> {
    let first = *raw.first().ok_or(Refusal::Malformed(Malformation::Empty))?;
    match first {
        0 => return Err(Refusal::Malformed(Malformation::UnknownType(0))),
        1..=rules::SET_CODE => rules.check_type(first)?,
        0x05..=LAST_TYPE => return Err(Refusal::Malformed(Malformation::UnknownType(first))),
        _ => {}
    }
    if raw.len() > MAX_TRANSACTION_BYTES {
        return Err(Refusal::Oversized { size: raw.len() });
    }
    Ok(())
}

/// Decodes the one transaction that `raw` is.
pub(super) fn decode(raw: &[u8]) -> Result<Transaction, Refusal> {
    let transaction = Transaction::decode_2718_exact(raw).map_err(|error| {
        Refusal::Malformed(match error {
            Eip2718Error::UnexpectedType(tx_type) => Malformation::UnknownType(tx_type),
            Eip2718Error::RlpError(error) => Malformation::Rlp(error),
            _ => Malformation::NotCanonical,
        })
    })?;
    // The bytes are passed on as they came, so they must be what everybody would write.
    if transaction.encode_2718_len() != raw.len() || transaction.encoded_2718() != raw {
        return Err(Refusal::Malformed(Malformation::NotCanonical));
    }
    Ok(transaction)
}

/// All checks, and the signatures; `hash` is that of `raw`.
pub(super) fn prepare(raw: &[u8], hash: B256, rules: BlockRules) -> Result<Prepared, Refusal> {
    let transaction = decode(raw)?;
    let intrinsic_gas = rules.check(&transaction)?;
    let sender = transaction.recover_signer().map_err(|_| Refusal::InvalidSender)?;
    let fee_cap = transaction.max_fee_per_gas();
    let cost = U256::from(transaction.gas_limit())
        .saturating_mul(U256::from(fee_cap))
        .saturating_add(transaction.value());
    Ok(Prepared {
        authorities: authorities(&transaction),
        rules,
        unprotected: transaction.chain_id().is_none(),
        transaction: Arc::new(PooledTransaction {
            // A copy: the bytes may be a slice of a message many times as large.
            raw: Bytes::copy_from_slice(raw),
            hash,
            sender,
            tx_type: transaction.ty(),
            nonce: transaction.nonce(),
            gas_limit: transaction.gas_limit(),
            intrinsic_gas,
            fee_cap,
            tip_cap: transaction.max_priority_fee_per_gas().unwrap_or(fee_cap),
            cost,
        }),
    })
}

/// The accounts that have signed the authorizations; one whose signature is none is skipped when
/// the transaction runs (EIP-7702), and here.
fn authorities(transaction: &Transaction) -> Box<[Address]> {
    let list = transaction.authorization_list().unwrap_or_default();
    let recovered = list.iter().filter_map(|authorization| {
        let signature = authorization.signature().ok()?;
        recover_signer(&signature, authorization.signature_hash()).ok()
    });
    let mut authorities: Vec<Address> = recovered.collect();
    authorities.sort_unstable();
    authorities.dedup();
    authorities.into_boxed_slice()
}
