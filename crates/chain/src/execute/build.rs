//! [`build_block`]: the next block, from transactions that somebody hands out.
//!
//! Where its header comes from is open: [`BlockAttributes::template`] makes one from what its
//! maker decides, and whoever has one already begins with a [`BlockTemplate`].

use alloy_consensus::Header;
use std::collections::{HashSet, VecDeque};

use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::proofs::{calculate_transaction_root, calculate_withdrawals_root};
use alloy_consensus::transaction::Recovered;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B64, B256, U256};
use alloy_rlp::Encodable;
use bytes::Bytes;
use revm::primitives::hardfork::SpecId;

use super::run::{Refused, Run};
use super::{Executed, ExecutionError, StateReader, Transaction, TransactionError};
use crate::{ChainSpec, Consensus, rules};

/// Most bytes of the transactions of a block that is made here. A message of devp2p has at most
/// 10 MiB, and from Osaka on a block at most 8 MiB (EIP-7934); this leaves room for the rest.
pub const MAX_BUILT_BODY: usize = (8 << 20) - (64 << 10);

/// What whoever makes a block decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockAttributes {
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Who is paid: `COINBASE`. Under clique the signer.
    pub beneficiary: Address,
    /// The beneficiary that the header names. Under clique a vote, or zero.
    pub header_beneficiary: Address,
    /// Gas limit of the block.
    pub gas_limit: u64,
    /// Extra data; under clique with room for the seal.
    pub extra_data: alloy_primitives::Bytes,
    /// Difficulty; 0 under proof of stake.
    pub difficulty: U256,
    /// Nonce; under clique which way the vote goes.
    pub nonce: B64,
    /// Mix hash; under proof of stake the random value, under clique 0.
    pub mix_hash: B256,
    /// Withdrawals; must be empty before Shanghai.
    pub withdrawals: Vec<Withdrawal>,
    /// Root of the parent beacon block; not looked at before Cancun.
    pub parent_beacon_block_root: B256,
}

/// A block before its transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockTemplate {
    /// The header, with all that does not follow from the transactions: parent, number, time, gas
    /// limit, base fee, difficulty, extra data, and the fields of the forks that are active (what
    /// they hold is replaced, but for `excess_blob_gas` and `parent_beacon_block_root`).
    pub header: Header,
    /// Who is paid: `COINBASE`. Under clique the signer.
    pub beneficiary: Address,
    /// Withdrawals; must be empty before Shanghai.
    pub withdrawals: Vec<Withdrawal>,
}

impl BlockAttributes {
    /// The child of `parent` with these attributes, before its transactions.
    #[must_use]
    pub fn template(
        self,
        spec: &ChainSpec,
        (parent, parent_hash): (&Header, B256),
    ) -> BlockTemplate {
        let (number, time) = (parent.number.saturating_add(1), self.timestamp);
        let cancun = spec.is_cancun(number, time);
        let excess = || {
            spec.blob_params(number, time).next_block_excess_blob_gas_osaka(
                parent.excess_blob_gas.unwrap_or(0),
                parent.blob_gas_used.unwrap_or(0),
                parent.base_fee_per_gas.unwrap_or(0),
            )
        };
        let header = Header {
            parent_hash,
            beneficiary: self.header_beneficiary,
            difficulty: self.difficulty,
            number,
            gas_limit: self.gas_limit,
            timestamp: time,
            extra_data: self.extra_data,
            mix_hash: self.mix_hash,
            nonce: self.nonce,
            base_fee_per_gas: rules::next_base_fee(spec, parent),
            withdrawals_root: spec.is_shanghai(number, time).then_some(B256::ZERO),
            blob_gas_used: cancun.then_some(0),
            excess_blob_gas: cancun.then(excess),
            parent_beacon_block_root: cancun.then_some(self.parent_beacon_block_root),
            requests_hash: spec.is_prague(number, time).then_some(B256::ZERO),
            ..Header::default()
        };
        BlockTemplate { header, beneficiary: self.beneficiary, withdrawals: self.withdrawals }
    }
}

/// Where the transactions of a new block come from, best first.
pub trait TransactionSource {
    /// The next one. Those of one sender come in the order of their nonces.
    fn next(&mut self) -> Option<Recovered<Transaction>>;

    /// The transaction handed out last did not get into the block. No later one of its sender is
    /// to be handed out for this block. Whether it is worth keeping, `skipped` says
    /// ([`SkipReason::is_invalid`]).
    fn skip_sender(&mut self, skipped: &Skipped);
}

/// A [`TransactionSource`] of a list: in its order, without those of senders that were skipped.
#[derive(Debug, Default)]
pub struct InOrder {
    transactions: VecDeque<Recovered<Transaction>>,
    skipped: HashSet<Address>,
}

impl InOrder {
    /// Hands out these.
    #[must_use]
    pub fn new(transactions: impl IntoIterator<Item = Recovered<Transaction>>) -> Self {
        Self { transactions: transactions.into_iter().collect(), skipped: HashSet::new() }
    }
}

impl TransactionSource for InOrder {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        loop {
            let next = self.transactions.pop_front()?;
            if !self.skipped.contains(&next.signer()) {
                return Some(next);
            }
        }
    }

    fn skip_sender(&mut self, skipped: &Skipped) {
        self.skipped.insert(skipped.sender);
    }
}

/// A transaction that was handed out and is not in the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its hash.
    pub hash: B256,
    /// Who signed it.
    pub sender: Address,
    /// Why.
    pub reason: SkipReason,
}

/// Why a transaction is not in a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// The body would become longer than [`MAX_BUILT_BODY`].
    #[error("the body has no room for its {length} bytes")]
    BodySize {
        /// Bytes of the transaction.
        length: usize,
    },
    /// It is not valid in this block; gas or blob gas that is not left counts, too.
    #[error(transparent)]
    Transaction(TransactionError),
}

impl SkipReason {
    /// Whether it is the transaction itself that is wrong. Otherwise the block is full, and it
    /// may be in the next one.
    #[must_use]
    pub const fn is_invalid(&self) -> bool {
        !matches!(
            self,
            Self::BodySize { .. }
                | Self::Transaction(
                    TransactionError::BlockGas { .. } | TransactionError::BlockBlobGas { .. }
                )
        )
    }
}

/// A block that was made: all but its state root and its seal.
#[derive(Debug, Clone)]
pub struct Built {
    /// The header. `state_root` is zero, and there is no seal.
    pub header: Header,
    /// `[transactions, ommers]`, with withdrawals from Shanghai on.
    pub body_rlp: Bytes,
    /// The transactions in the block, with who signed them.
    pub transactions: Vec<Recovered<Transaction>>,
    /// What it did, from which the state root is computed.
    pub executed: Executed,
    /// What was handed out and is not in the block.
    pub skipped: Vec<Skipped>,
}

/// Fills a block, on the state behind its parent: takes transactions in the order in which
/// `source` hands them out, until there is no gas left for the smallest one, none is handed out
/// any more, or `should_stop` says so (it is asked before each transaction). One that does not fit
/// or is not valid is skipped, and so are all later ones of its sender.
///
/// Before Byzantium receipts hold a state root for each transaction; such blocks are not made.
///
/// # Errors
/// See [`ExecutionError`]; never because of a transaction that is bad.
pub fn build_block<S: StateReader>(
    spec: &ChainSpec,
    consensus: Consensus,
    state: S,
    template: BlockTemplate,
    source: &mut dyn TransactionSource,
    mut should_stop: impl FnMut() -> bool,
) -> Result<Built, ExecutionError> {
    let BlockTemplate { mut header, beneficiary, withdrawals } = template;
    let mut run = Run::start(spec, consensus, state, &header, beneficiary, None)?;
    if !run.id.is_enabled_in(SpecId::BYZANTIUM) {
        return Err(ExecutionError::UnknownFork("Spurious Dragon or an earlier"));
    }
    let (mut transactions, mut skipped) = (Vec::new(), Vec::new());
    let mut length = 0_usize;
    while run.gas_left() >= LEAST_GAS && !should_stop() {
        let Some(transaction) = source.next() else { break };
        match take(&mut run, &transaction, length) {
            Ok(longer) => {
                length = longer;
                transactions.push(transaction);
            }
            Err(Skip::Reason(reason)) => {
                let (hash, sender) = (*transaction.inner().tx_hash(), transaction.signer());
                let one = Skipped { hash, sender, reason };
                source.skip_sender(&one);
                skipped.push(one);
            }
            Err(Skip::Failed(error)) => return Err(error),
        }
    }
    let withdrawals = header.withdrawals_root.map(|_| withdrawals.as_slice());
    let executed = Executed::from(run.finish(header.number, &[], withdrawals)?);
    header.state_root = B256::ZERO;
    header.ommers_hash = EMPTY_OMMER_ROOT_HASH;
    header.transactions_root = calculate_transaction_root(&transactions);
    header.withdrawals_root = withdrawals.map(calculate_withdrawals_root);
    header.receipts_root = executed.receipts_root;
    header.logs_bloom = executed.logs_bloom;
    header.gas_used = executed.gas_used;
    header.blob_gas_used = header.blob_gas_used.map(|_| executed.blob_gas_used);
    header.requests_hash = header.requests_hash.map(|_| executed.requests.requests_hash());
    let body_rlp = encode_body(&transactions, withdrawals);
    Ok(Built { header, body_rlp, transactions, executed, skipped })
}

/// Gas of a transaction that does nothing at all (yellow paper, G_transaction).
const LEAST_GAS: u64 = 21_000;

enum Skip {
    Reason(SkipReason),
    Failed(ExecutionError),
}

fn take<S: StateReader>(
    run: &mut Run<'_, S>,
    transaction: &Recovered<Transaction>,
    length: usize,
) -> Result<usize, Skip> {
    let own = transaction.inner().length();
    let longer = length.saturating_add(own);
    if longer > MAX_BUILT_BODY {
        return Err(Skip::Reason(SkipReason::BodySize { length: own }));
    }
    match run.transact(transaction) {
        Ok(()) => Ok(longer),
        Err(Refused::Transaction(error)) => Err(Skip::Reason(SkipReason::Transaction(error))),
        Err(Refused::Failed(error)) => Err(Skip::Failed(error)),
    }
}

fn encode_body(
    transactions: &[Recovered<Transaction>],
    withdrawals: Option<&[Withdrawal]>,
) -> Bytes {
    let mut payload = Vec::new();
    let transactions: Vec<&Transaction> = transactions.iter().map(Recovered::inner).collect();
    alloy_rlp::encode_list::<_, Transaction>(&transactions, &mut payload);
    payload.push(alloy_rlp::EMPTY_LIST_CODE);
    if let Some(withdrawals) = withdrawals {
        alloy_rlp::encode_list::<_, Withdrawal>(withdrawals, &mut payload);
    }
    let head = alloy_rlp::Header { list: true, payload_length: payload.len() };
    let mut body = Vec::with_capacity(head.length() + payload.len());
    head.encode(&mut body);
    body.extend_from_slice(&payload);
    body.into()
}
