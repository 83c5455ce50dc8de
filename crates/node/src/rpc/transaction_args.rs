//! The transaction that `eth_call` and its kin are given.

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use chainmesh_chain::execute::{CallRequest, Fees};
use serde::Deserialize;

use super::params::Hex;

/// A transaction as it stands in JSON, as go-ethereum reads it. What it does not know is ignored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TransactionArgs {
    from: Option<Hex<Address>>,
    to: Option<Hex<Address>>,
    gas: Option<Hex<u64>>,
    gas_price: Option<Hex<u128>>,
    max_fee_per_gas: Option<Hex<u128>>,
    max_priority_fee_per_gas: Option<Hex<u128>>,
    max_fee_per_blob_gas: Option<Hex<u128>>,
    value: Option<Hex<U256>>,
    data: Option<Hex<Bytes>>,
    input: Option<Hex<Bytes>>,
    access_list: Option<Vec<Access>>,
    blob_versioned_hashes: Option<Vec<Hex<B256>>>,
    authorization_list: Option<Vec<SignedAuthorization>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    address: Hex<Address>,
    #[serde(default)]
    storage_keys: Vec<Hex<B256>>,
}

/// What contradicts itself. The texts are go-ethereum's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ArgsError {
    #[error("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")]
    BothPrices,
}

impl TransactionArgs {
    pub(super) fn into_call(self) -> Result<CallRequest, ArgsError> {
        let number = |value: Option<Hex<u128>>| value.map(|Hex(value)| value);
        let price = number(self.gas_price);
        let (fee, tip) = (number(self.max_fee_per_gas), number(self.max_priority_fee_per_gas));
        let fees = match (price, fee, tip) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => return Err(ArgsError::BothPrices),
            (Some(price), None, None) => match price {
                0 => Fees::Free,
                price => Fees::GasPrice(price),
            },
            (None, None, None) => Fees::Free,
            (None, fee, tip) => match (fee.unwrap_or(0), tip.unwrap_or(0)) {
                (0, 0) => Fees::Free,
                (max_fee, max_priority_fee) => Fees::Dynamic { max_fee, max_priority_fee },
            },
        };
        let item = |access: Access| AccessListItem {
            address: access.address.0,
            storage_keys: access.storage_keys.into_iter().map(|Hex(key)| key).collect(),
        };
        let list = self.access_list.unwrap_or_default().into_iter().map(item);
        let hashes = self.blob_versioned_hashes.unwrap_or_default().into_iter();
        Ok(CallRequest {
            from: self.from.unwrap_or_default().0,
            to: self.to.map_or(TxKind::Create, |Hex(to)| TxKind::Call(to)),
            gas: self.gas.map(|Hex(gas)| gas),
            fees,
            value: self.value.unwrap_or_default().0,
            // `input` goes before `data`, its old name, also when they differ.
            data: self.input.or(self.data).unwrap_or_default().0,
            access_list: AccessList(list.collect()),
            authorizations: self.authorization_list.unwrap_or_default(),
            blob_hashes: hashes.map(|Hex(hash)| hash).collect(),
            max_fee_per_blob_gas: number(self.max_fee_per_blob_gas),
        })
    }
}
