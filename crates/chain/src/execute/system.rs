//! What happens in a block beside its transactions: calls of the protocol's own contracts, the
//! DAO fork, rewards, withdrawals.

use alloy_consensus::constants::ETH_TO_WEI;
use alloy_consensus::{Header, ReceiptEnvelope};
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_eips::eip4788::{BEACON_ROOTS_ADDRESS, SYSTEM_ADDRESS};
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE};
use alloy_eips::eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE};
use alloy_eips::eip7685::Requests;
use alloy_evm::Evm;
use alloy_evm::block::calc;
use alloy_evm::eth::{dao_fork, eip6110};
use alloy_primitives::{Address, Bytes, U256};
use revm::context_interface::result::{ExecutionResult, ResultAndState};
use revm::database_interface::DatabaseCommitExt;
use revm::primitives::hardfork::SpecId;
use revm::state::{Account, AccountInfo, TransactionId};
use revm::{Database, DatabaseCommit};

use super::run::{Run, state_error};
use super::{ExecutionError, StateReader, SystemContract};
use crate::{ChainSpec, Consensus};

impl<S: StateReader> Run<'_, S> {
    /// What comes before the first transaction.
    pub(super) fn before_transactions(&mut self, header: &Header) -> Result<(), ExecutionError> {
        let config = self.spec.config();
        if config.dao_fork_support && config.dao_fork_block == Some(header.number) {
            self.dao_fork()?;
        }
        if header.number == 0 {
            return Ok(());
        }
        if self.id.is_enabled_in(SpecId::CANCUN) {
            let root = header.parent_beacon_block_root.ok_or(ExecutionError::HeaderField)?;
            // Whether there is such a contract, and what it answers, does not matter (EIP-4788).
            self.system_call(SystemContract::BeaconRoots, BEACON_ROOTS_ADDRESS, root.0.into())?;
        }
        if self.id.is_enabled_in(SpecId::PRAGUE) {
            let parent = header.parent_hash.0.into();
            // The same (EIP-2935).
            self.system_call(SystemContract::BlockHashes, HISTORY_STORAGE_ADDRESS, parent)?;
        }
        Ok(())
    }

    /// What comes behind the last transaction.
    pub(super) fn after_transactions(
        &mut self,
        number: u64,
        ommers: &[Header],
        withdrawals: Option<&[Withdrawal]>,
    ) -> Result<Requests, ExecutionError> {
        let requests = if self.id.is_enabled_in(SpecId::PRAGUE) {
            self.requests()?
        } else {
            Requests::default()
        };
        let mut paid: Vec<(Address, u128)> = Vec::new();
        if self.consensus == Consensus::UnsealedProofOfWork {
            rewards(self.spec, number, self.evm.block().beneficiary, ommers, &mut paid);
        }
        for withdrawal in withdrawals.unwrap_or_default() {
            paid.push((withdrawal.address, withdrawal.amount_wei().saturating_to()));
        }
        // One after the other: several may go to one account.
        for payment in paid {
            self.evm.db_mut().increment_balances([payment]).map_err(state_error)?;
        }
        Ok(requests)
    }

    fn requests(&mut self) -> Result<Requests, ExecutionError> {
        let mut requests = Requests::default();
        // go-ethereum: a genesis without that address has none that could make deposits.
        let contract = self.spec.config().deposit_contract_address.unwrap_or(Address::ZERO);
        let mut deposits = Vec::new();
        eip6110::accumulate_deposits_from_receipts(
            contract,
            self.receipts.iter().filter_map(ReceiptEnvelope::as_receipt),
            &mut deposits,
        )
        .map_err(|_| ExecutionError::DepositLog)?;
        if !deposits.is_empty() {
            requests.push_request_with_type(eip6110::DEPOSIT_REQUEST_TYPE, deposits);
        }
        let contracts = [
            (
                SystemContract::WithdrawalRequests,
                WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
                WITHDRAWAL_REQUEST_TYPE,
            ),
            (
                SystemContract::ConsolidationRequests,
                CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
                CONSOLIDATION_REQUEST_TYPE,
            ),
        ];
        for (contract, address, kind) in contracts {
            if !self.has_code(address)? {
                // Only proof of stake has somebody to make these requests to. Elsewhere a genesis
                // without the contracts is a network without requests.
                if self.consensus == Consensus::ProofOfStake {
                    return Err(ExecutionError::SystemContractMissing { contract, address });
                }
                continue;
            }
            let answer = self
                .system_call(contract, address, Bytes::new())?
                .ok_or(ExecutionError::SystemCall(contract))?;
            if !answer.is_empty() {
                requests.push_request_with_type(kind, answer);
            }
        }
        Ok(requests)
    }

    fn has_code(&mut self, address: Address) -> Result<bool, ExecutionError> {
        let account = self.evm.db_mut().basic(address).map_err(state_error)?;
        Ok(account.is_some_and(|account| !account.is_empty_code_hash()))
    }

    /// Calls a contract as the protocol; `None` when it reverted or ran out of its 30 million gas.
    fn system_call(
        &mut self,
        contract: SystemContract,
        address: Address,
        data: Bytes,
    ) -> Result<Option<Bytes>, ExecutionError> {
        let called = self.evm.transact_system_call(SYSTEM_ADDRESS, address, data);
        let ResultAndState { result, state } = called.map_err(|error| match error {
            revm::context_interface::result::EVMError::Database(error) => state_error(error),
            _ => ExecutionError::SystemCall(contract),
        })?;
        self.evm.db_mut().commit(state);
        Ok(match result {
            ExecutionResult::Success { output, .. } => Some(output.into_data()),
            _ => None,
        })
    }

    /// Moves what the DAO and its children own (EIP-779). All of these accounts exist from then
    /// on, also those that own nothing: accounts that are empty are cleared by a later fork.
    fn dao_fork(&mut self) -> Result<(), ExecutionError> {
        let db = self.evm.db_mut();
        let mut all = U256::ZERO;
        let mut changed = Vec::with_capacity(dao_fork::DAO_HARDFORK_ACCOUNTS.len() + 1);
        for address in dao_fork::DAO_HARDFORK_ACCOUNTS {
            let mut account = account(db.basic(address).map_err(state_error)?);
            let balance = core::mem::replace(&mut account.info.balance, U256::ZERO);
            all = all.saturating_add(balance);
            changed.push((address, account));
        }
        let address = dao_fork::DAO_HARDFORK_BENEFICIARY;
        let mut beneficiary = account(db.basic(address).map_err(state_error)?);
        beneficiary.info.balance = beneficiary.info.balance.saturating_add(all);
        changed.push((address, beneficiary));
        for (_, account) in &mut changed {
            account.mark_touch();
            // What is touched and empty would be cleared.
            if account.is_empty() {
                account.mark_created();
            }
        }
        db.commit_iter(&mut changed.into_iter());
        Ok(())
    }
}

fn account(info: Option<AccountInfo>) -> Account {
    info.map_or_else(|| Account::new_not_existing(TransactionId::ZERO), Account::from)
}

/// The reward of a block of proof of work: 5 ether, 3 from Byzantium on (EIP-649), 2 from
/// Constantinople on (EIP-1234); 1/32 of it more for each ommer, whose own maker gets 1/8 less for
/// each generation that it is late (yellow paper, 11.3).
fn rewards(
    spec: &ChainSpec,
    number: u64,
    beneficiary: Address,
    ommers: &[Header],
    paid: &mut Vec<(Address, u128)>,
) {
    let config = spec.config();
    let active = |fork: Option<u64>| fork.is_some_and(|fork| fork <= number);
    let base = if active(config.constantinople_block) {
        2 * ETH_TO_WEI
    } else if active(config.byzantium_block) {
        3 * ETH_TO_WEI
    } else {
        5 * ETH_TO_WEI
    };
    for ommer in ommers {
        // An ommer so late is refused by the rules for ommers; here it is paid nothing.
        if ommer.number < number && number - ommer.number < 8 {
            paid.push((ommer.beneficiary, calc::ommer_reward(base, number, ommer.number)));
        }
    }
    paid.push((beneficiary, calc::block_reward(base, ommers.len())));
}
