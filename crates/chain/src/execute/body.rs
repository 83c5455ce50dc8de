//! The body of a block, decoded, and who signed its transactions.

use std::num::NonZeroUsize;
use std::thread;

use alloy_consensus::transaction::{Recovered, SignerRecoverable, TxEip4844};
use alloy_consensus::{EthereumTxEnvelope, Header, Transaction as _};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::Address;
use alloy_rlp::Decodable;

use super::{ExecutionError, TransactionError};
use crate::ChainSpec;
use crate::body::{BodyError, Part};

/// A signed transaction of any type as it stands in a block: without the blobs themselves.
pub type Transaction = EthereumTxEnvelope<TxEip4844>;

/// Signatures for which a thread of its own is worth it: recovering one takes about 30 µs, and
/// starting a thread about as long.
const SIGNATURES_PER_THREAD: usize = 16;

/// What a block holds beside its header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// Transactions, in the order of their execution.
    pub transactions: Vec<Transaction>,
    /// Headers of ommers (uncles).
    pub ommers: Vec<Header>,
    /// Withdrawals; `None` before Shanghai.
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// Bytes of its RLP, its list head not counted.
    pub payload_length: usize,
}

impl Body {
    /// Decodes `[transactions, ommers]` or `[transactions, ommers, withdrawals]`. The roots are
    /// not compared: that does [`body::check`](crate::body::check).
    ///
    /// # Errors
    /// See [`BodyError`].
    pub fn decode(body_rlp: &[u8]) -> Result<Self, BodyError> {
        let rlp = |part| move |source| BodyError::Rlp { part, source };
        let mut rest = body_rlp;
        let mut parts =
            alloy_rlp::Header::decode_bytes(&mut rest, true).map_err(rlp(Part::Body))?;
        if !rest.is_empty() {
            return Err(rlp(Part::Body)(alloy_rlp::Error::UnexpectedLength));
        }
        let payload_length = parts.len();
        let mut items =
            alloy_rlp::Header::decode_bytes(&mut parts, true).map_err(rlp(Part::Transactions))?;
        let mut transactions = Vec::new();
        while !items.is_empty() {
            let index = transactions.len();
            let transaction =
                Transaction::decode(&mut items).map_err(|_| BodyError::Transaction { index })?;
            transactions.push(transaction);
        }
        let mut items =
            alloy_rlp::Header::decode_bytes(&mut parts, true).map_err(rlp(Part::Ommers))?;
        let mut ommers = Vec::new();
        while !items.is_empty() {
            ommers.push(Header::decode(&mut items).map_err(rlp(Part::Ommers))?);
        }
        let withdrawals = if parts.is_empty() {
            None
        } else {
            let decoded = Vec::<Withdrawal>::decode(&mut parts).map_err(rlp(Part::Withdrawals))?;
            if !parts.is_empty() {
                return Err(rlp(Part::Body)(alloy_rlp::Error::UnexpectedLength));
            }
            Some(decoded)
        };
        Ok(Self { transactions, ommers, withdrawals, payload_length })
    }
}

/// A [`Body`] whose transactions have their senders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveredBody {
    /// Transactions with who signed them, in the order of their execution.
    pub transactions: Vec<Recovered<Transaction>>,
    /// Headers of ommers (uncles).
    pub ommers: Vec<Header>,
    /// Withdrawals; `None` before Shanghai.
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// Bytes of its RLP, its list head not counted.
    pub payload_length: usize,
}

/// Whoever may know who signed a transaction, so that it need not be found out again.
pub trait KnownSenders: Send + Sync {
    /// Who signed each of these, in their order, as far as it is known; the answer may be shorter
    /// than the question. What it says was recovered from a transaction with the same hash, whose
    /// signature has an `s` in the lower half (EIP-2).
    fn senders_of(&self, transactions: &[Transaction]) -> Vec<Option<Address>>;
}

impl RecoveredBody {
    /// Decodes the body of the block with this number, and finds out who signed its transactions.
    /// This needs no state: it can be done ahead of the execution.
    ///
    /// # Errors
    /// [`ExecutionError::Body`], or as [`recover_senders`].
    pub fn decode(spec: &ChainSpec, number: u64, body_rlp: &[u8]) -> Result<Self, ExecutionError> {
        Self::decode_knowing(spec, number, body_rlp, None)
    }

    /// The same, without recovering what somebody knows already.
    ///
    /// # Errors
    /// As [`RecoveredBody::decode`].
    pub fn decode_knowing(
        spec: &ChainSpec,
        number: u64,
        body_rlp: &[u8],
        known: Option<&dyn KnownSenders>,
    ) -> Result<Self, ExecutionError> {
        let Body { transactions, ommers, withdrawals, payload_length } = Body::decode(body_rlp)?;
        let known = known.map(|known| known.senders_of(&transactions)).unwrap_or_default();
        let missing = transactions.len() - known.iter().take(transactions.len()).flatten().count();
        let transactions = recover(spec, number, transactions, &known, threads_for(missing))?;
        Ok(Self { transactions, ommers, withdrawals, payload_length })
    }
}

/// Who signed the transactions of the block with this number, in their order. With many of them
/// the work is shared by as many threads as there are cores.
///
/// # Errors
/// [`ExecutionError::Transaction`] for the first one that nobody signed in a way that the fork
/// allows.
pub fn recover_senders(
    spec: &ChainSpec,
    number: u64,
    transactions: Vec<Transaction>,
) -> Result<Vec<Recovered<Transaction>>, ExecutionError> {
    let threads = threads_for(transactions.len());
    recover_senders_with(spec, number, transactions, threads)
}

/// How many threads are worth it for so many signatures.
fn threads_for(signatures: usize) -> NonZeroUsize {
    match signatures / SIGNATURES_PER_THREAD {
        0 | 1 => NonZeroUsize::MIN,
        worth => thread::available_parallelism()
            .unwrap_or(NonZeroUsize::MIN)
            .min(NonZeroUsize::new(worth).unwrap_or(NonZeroUsize::MIN)),
    }
}

/// The same with so many threads; one means this one.
///
/// # Errors
/// See [`recover_senders`].
pub fn recover_senders_with(
    spec: &ChainSpec,
    number: u64,
    transactions: Vec<Transaction>,
    threads: NonZeroUsize,
) -> Result<Vec<Recovered<Transaction>>, ExecutionError> {
    recover(spec, number, transactions, &[], threads)
}

/// Finds out who signed what is not known.
fn recover(
    spec: &ChainSpec,
    number: u64,
    transactions: Vec<Transaction>,
    known: &[Option<Address>],
    threads: NonZeroUsize,
) -> Result<Vec<Recovered<Transaction>>, ExecutionError> {
    let rules = SignatureRules::at(spec, number);
    let known = known.iter().copied().chain(core::iter::repeat(None));
    let work: Vec<(&Transaction, Option<Address>)> = transactions.iter().zip(known).collect();
    let one = |(transaction, known): &(&Transaction, Option<Address>)| match known {
        Some(sender) => rules.check_protection(transaction).map(|()| *sender),
        None => rules.sender(transaction),
    };
    let senders: Vec<Result<Address, TransactionError>> = if threads.get() == 1 {
        work.iter().map(one).collect()
    } else {
        let share = work.len().div_ceil(threads.get()).max(1);
        thread::scope(|scope| {
            let workers: Vec<_> = work
                .chunks(share)
                .map(|chunk| scope.spawn(move || chunk.iter().map(one).collect::<Vec<_>>()))
                .collect();
            // A worker that panicked has no senders: its transactions are then not signed.
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        })
    };
    let mut senders = senders.into_iter();
    transactions
        .into_iter()
        .enumerate()
        .map(|(index, transaction)| {
            let sender = senders.next().unwrap_or(Err(TransactionError::Signature));
            sender
                .map(|sender| Recovered::new_unchecked(transaction, sender))
                .map_err(|source| ExecutionError::Transaction { index, source })
        })
        .collect()
}

/// What a signature must be in one block.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignatureRules {
    /// `s` in the lower half (EIP-2).
    low_s: bool,
    /// The chain may be named (EIP-155).
    protected: bool,
}

impl SignatureRules {
    pub(super) fn at(spec: &ChainSpec, number: u64) -> Self {
        let active = |fork: Option<u64>| fork.is_some_and(|fork| fork <= number);
        let config = spec.config();
        Self { low_s: active(config.homestead_block), protected: active(config.eip155_block) }
    }

    /// Whether a transaction may name its chain, or must not.
    pub(super) fn check_protection(
        self,
        transaction: &Transaction,
    ) -> Result<(), TransactionError> {
        match transaction.chain_id() {
            Some(chain_id) if transaction.is_legacy() && !self.protected => {
                Err(TransactionError::ProtectedTooEarly { chain_id })
            }
            _ => Ok(()),
        }
    }

    fn sender(self, transaction: &Transaction) -> Result<Address, TransactionError> {
        self.check_protection(transaction)?;
        let recovered = if self.low_s {
            transaction.recover_signer()
        } else {
            transaction.recover_signer_unchecked()
        };
        recovered.map_err(|_| TransactionError::Signature)
    }
}
