//! Signing transactions: for whoever has the key, which the node itself never has.

use alloy_consensus::SignableTransaction;
use alloy_consensus::transaction::{EthereumTypedTransaction, TxEip4844};
use alloy_primitives::{B256, Signature};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};

use super::Transaction;

/// Signs a transaction.
#[must_use]
pub fn sign_transaction(
    transaction: impl Into<EthereumTypedTransaction<TxEip4844>>,
    key: &SecretKey,
) -> Transaction {
    let transaction = transaction.into();
    let signature = sign_hash(transaction.signature_hash(), key);
    transaction.into_envelope(signature)
}

/// Signs a hash, so that its signer can be recovered. `s` is the lower one of the two (EIP-2).
#[must_use]
pub fn sign_hash(hash: B256, key: &SecretKey) -> Signature {
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(hash.0), key);
    let (id, compact) = signature.serialize_compact();
    Signature::from_bytes_and_parity(&compact, id.to_u8() == 1)
}
