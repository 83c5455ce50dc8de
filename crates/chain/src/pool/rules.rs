//! What every transaction of the next block must be, whatever the state: type, gas, fees.

use alloy_consensus::Transaction as _;
use alloy_eips::eip2718::Typed2718;
use alloy_eips::eip7623::{tokens_in_calldata, transaction_floor_cost};
use alloy_primitives::TxKind;

use super::head::PoolHead;
use super::refusal::Refusal;
use super::transaction::Transaction;
use crate::{ChainSpec, Consensus};

/// EIP-2718 types.
pub(super) const ACCESS_LIST: u8 = 1;
pub(super) const DYNAMIC_FEE: u8 = 2;
pub(super) const BLOB: u8 = 3;
pub(super) const SET_CODE: u8 = 4;

/// Gas of any transaction (yellow paper, `G_transaction`).
const TRANSACTION_GAS: u64 = 21_000;
/// Gas of a creation on top of it, from Homestead on (EIP-2).
const CREATE_GAS: u64 = 32_000;
/// Gas of a zero byte of data.
const ZERO_BYTE_GAS: u64 = 4;
/// Gas of any other byte of data (yellow paper), and from Istanbul on (EIP-2028).
const BYTE_GAS: u64 = 68;
const BYTE_GAS_ISTANBUL: u64 = 16;
/// Gas of an address and of a storage key in an access list (EIP-2930).
const ACCESS_ADDRESS_GAS: u64 = 2_400;
const ACCESS_KEY_GAS: u64 = 1_900;
/// Gas of each 32 bytes of code that creates, from Shanghai on (EIP-3860).
const INITCODE_WORD_GAS: u64 = 2;
/// Most bytes of code that creates, from Shanghai on (EIP-3860).
const MAX_INITCODE: usize = 49_152;
/// Gas of an authorization (EIP-7702, `PER_EMPTY_ACCOUNT_COST`).
const AUTHORIZATION_GAS: u64 = 25_000;
/// Most gas of a transaction from Osaka on (EIP-7825).
const MAX_TRANSACTION_GAS: u64 = 1 << 24;

/// The rules of the next block, as far as they concern single transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockRules {
    pub(super) chain_id: u64,
    pub(super) gas_limit: u64,
    homestead: bool,
    istanbul: bool,
    berlin: bool,
    london: bool,
    shanghai: bool,
    prague: bool,
    osaka: bool,
}

impl BlockRules {
    /// Of the block behind `head`, if it comes as soon as it may.
    pub(super) fn behind(spec: &ChainSpec, head: &PoolHead) -> Self {
        let config = spec.config();
        let number = head.number.saturating_add(1);
        let period = match spec.consensus() {
            Consensus::Clique { period, .. } => period.max(1),
            Consensus::ProofOfStake | Consensus::UnsealedProofOfWork => 1,
        };
        let timestamp = head.timestamp.saturating_add(period);
        Self {
            chain_id: config.chain_id,
            gas_limit: head.gas_limit,
            homestead: config.is_homestead_active_at_block(number),
            istanbul: config.is_istanbul_active_at_block(number),
            berlin: config.is_berlin_active_at_block(number),
            london: spec.is_london(number),
            shanghai: spec.is_shanghai(number, timestamp),
            prague: spec.is_prague(number, timestamp),
            osaka: spec.is_osaka(number, timestamp),
        }
    }

    /// Whether the two differ in more than the gas limit.
    pub(super) fn other_forks(&self, other: &Self) -> bool {
        Self { gas_limit: 0, ..*self } != Self { gas_limit: 0, ..*other }
    }

    /// Whether the next block may contain this type.
    pub(super) const fn check_type(&self, tx_type: u8) -> Result<(), Refusal> {
        let (active, fork) = match tx_type {
            ACCESS_LIST => (self.berlin, "Berlin"),
            DYNAMIC_FEE => (self.london, "London"),
            BLOB => return Err(Refusal::BlobsNotSupported),
            SET_CODE => (self.prague, "Prague"),
            _ => (true, ""),
        };
        if active { Ok(()) } else { Err(Refusal::TypeNotSupported { tx_type, fork }) }
    }

    /// Everything that needs neither the signature nor the state. Returns the intrinsic gas.
    pub(super) fn check(&self, transaction: &Transaction) -> Result<u64, Refusal> {
        self.check_type(transaction.ty())?;
        let gas = transaction.gas_limit();
        let size = transaction.input().len();
        let creates = transaction.kind() == TxKind::Create;
        if self.shanghai && creates && size > MAX_INITCODE {
            return Err(Refusal::InitcodeTooLarge { size, limit: MAX_INITCODE });
        }
        if self.osaka && gas > MAX_TRANSACTION_GAS {
            return Err(Refusal::GasLimitTooHigh { gas, cap: MAX_TRANSACTION_GAS });
        }
        if gas > self.gas_limit {
            return Err(Refusal::ExceedsBlockGasLimit { gas, limit: self.gas_limit });
        }
        let fee_cap = transaction.max_fee_per_gas();
        let tip = transaction.max_priority_fee_per_gas().unwrap_or(fee_cap);
        if tip > fee_cap {
            return Err(Refusal::TipAboveFeeCap { tip, fee_cap });
        }
        if let Some(have) = transaction.chain_id().filter(|id| *id != self.chain_id) {
            return Err(Refusal::WrongChainId { have, want: self.chain_id });
        }
        if transaction.nonce() == u64::MAX {
            return Err(Refusal::NonceMax);
        }
        if transaction.authorization_list().is_some_and(<[_]>::is_empty) {
            return Err(Refusal::NoAuthorizations);
        }
        let intrinsic = self.intrinsic_gas(transaction);
        if gas < intrinsic {
            return Err(Refusal::IntrinsicGas { gas, minimum: intrinsic });
        }
        if self.prague {
            let floor = transaction_floor_cost(tokens_in_calldata(transaction.input()));
            if gas < floor {
                return Err(Refusal::FloorDataGas { gas, minimum: floor });
            }
            return Ok(intrinsic.max(floor));
        }
        Ok(intrinsic)
    }

    /// What a transaction costs before its first step. Cannot overflow: all lists together have
    /// at most 128 KiB.
    fn intrinsic_gas(&self, transaction: &Transaction) -> u64 {
        let input = transaction.input();
        let length = input.len() as u64;
        let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
        let byte_gas = if self.istanbul { BYTE_GAS_ISTANBUL } else { BYTE_GAS };
        let mut gas = TRANSACTION_GAS + zeros * ZERO_BYTE_GAS + (length - zeros) * byte_gas;
        if transaction.kind() == TxKind::Create {
            if self.homestead {
                gas += CREATE_GAS;
            }
            if self.shanghai {
                gas += length.div_ceil(32) * INITCODE_WORD_GAS;
            }
        }
        if let Some(list) = transaction.access_list() {
            gas += list.len() as u64 * ACCESS_ADDRESS_GAS;
            gas += list.iter().map(|item| item.storage_keys.len() as u64).sum::<u64>()
                * ACCESS_KEY_GAS;
        }
        let authorizations = transaction.authorization_list().map_or(0, <[_]>::len) as u64;
        gas + authorizations * AUTHORIZATION_GAS
    }
}
