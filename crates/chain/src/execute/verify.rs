//! [`execute_block`]: a block that came, run and compared with its header.

use alloy_consensus::proofs::calculate_receipt_root;
use alloy_consensus::{Header, ReceiptEnvelope};
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B256, Bloom};
use alloy_rlp::Encodable;
use revm::database::BundleState;

use super::run::{Ran, Refused, RootAfter, Run};
use super::{ExecutionError, RecoveredBody, StateReader};
use crate::{ChainSpec, Consensus};

/// Most bytes of a block from Osaka on: 10 MiB less 2 MiB for what is around it (EIP-7934).
const MAX_BLOCK_SIZE: usize = 8 << 20;

/// What a block did.
#[derive(Debug, Clone)]
pub struct Executed {
    /// What the state behind the block is, where it is another than before. The state root of
    /// the header has **not** been compared.
    pub changes: BundleState,
    /// One for each transaction.
    pub receipts: Vec<ReceiptEnvelope>,
    /// Root of the receipts.
    pub receipts_root: B256,
    /// Gas that all transactions used.
    pub gas_used: u64,
    /// Blob gas of all transactions; 0 before Cancun.
    pub blob_gas_used: u64,
    /// The blooms of all receipts.
    pub logs_bloom: Bloom,
    /// What the block asks of the consensus layer (EIP-7685); empty before Prague.
    pub requests: Requests,
}

impl From<Ran> for Executed {
    fn from(ran: Ran) -> Self {
        Self {
            receipts_root: calculate_receipt_root(&ran.receipts),
            changes: ran.changes,
            receipts: ran.receipts,
            gas_used: ran.gas_used,
            blob_gas_used: ran.blob_gas_used,
            logs_bloom: ran.logs_bloom,
            requests: ran.requests,
        }
    }
}

/// Runs a block on the state behind its parent, and compares what comes out with its header:
/// gas used, blob gas used, logs bloom, receipts root and requests hash. The state root is
/// compared by whoever applies [`Executed::changes`].
///
/// The header must have been checked against its parent ([`rules::verify`](crate::rules::verify)),
/// the roots of the body against the header ([`body::check`](crate::body::check)), and its ommers
/// with [`verify_ommers`](super::verify_ommers). `consensus` is how this block was agreed upon
/// ([`ChainSpec::consensus_after`] its parent), `beneficiary` is from
/// [`beneficiary_of`](super::beneficiary_of).
///
/// Before Byzantium receipts hold state roots, which cannot be known here: the receipts root is
/// then not compared, and the receipts have a status as later ones do. There is
/// [`execute_block_with_roots`].
///
/// # Errors
/// See [`ExecutionError`]; [`ExecutionError::blames_block`] tells a bad block from a bad disk.
pub fn execute_block<S: StateReader>(
    spec: &ChainSpec,
    consensus: Consensus,
    state: S,
    header: &Header,
    beneficiary: Address,
    body: &RecoveredBody,
) -> Result<Executed, ExecutionError> {
    run_block(Run::start(spec, consensus, state, header, beneficiary, None)?, header, body)
}

/// [`execute_block`] for blocks of before Byzantium as well: `root_after` says what the state root
/// is after changes to `state`. It is asked behind each transaction of such a block, and never for
/// later ones.
///
/// # Errors
/// As [`execute_block`].
pub fn execute_block_with_roots<S: StateReader>(
    spec: &ChainSpec,
    consensus: Consensus,
    state: S,
    header: &Header,
    beneficiary: Address,
    body: &RecoveredBody,
    root_after: RootAfter<'_>,
) -> Result<Executed, ExecutionError> {
    let run = Run::start(spec, consensus, state, header, beneficiary, Some(root_after))?;
    run_block(run, header, body)
}

fn run_block<S: StateReader>(
    mut run: Run<'_, S>,
    header: &Header,
    body: &RecoveredBody,
) -> Result<Executed, ExecutionError> {
    if run.spec.is_osaka(header.number, header.timestamp) {
        check_size(header, body.payload_length)?;
    }
    for (index, transaction) in body.transactions.iter().enumerate() {
        run.transact(transaction).map_err(|refused| match refused {
            Refused::Transaction(source) => ExecutionError::Transaction { index, source },
            Refused::Failed(error) => error,
        })?;
    }
    let ran = run.finish(header.number, &body.ommers, body.withdrawals.as_deref())?;
    let has_true_receipts = ran.has_true_receipts;
    let executed = Executed::from(ran);
    compare(header, &executed, has_true_receipts)?;
    Ok(executed)
}

/// The size of the whole block as on the wire.
fn check_size(header: &Header, body_length: usize) -> Result<(), ExecutionError> {
    let payload_length = header.length() + body_length;
    let found = payload_length + alloy_rlp::length_of_length(payload_length);
    let most = MAX_BLOCK_SIZE;
    if found > most { Err(ExecutionError::BlockSize { found, most }) } else { Ok(()) }
}

fn compare(
    header: &Header,
    executed: &Executed,
    has_true_receipts: bool,
) -> Result<(), ExecutionError> {
    let (found, expected) = (executed.gas_used, header.gas_used);
    if found != expected {
        return Err(ExecutionError::GasUsed { found, expected });
    }
    let (found, expected) = (executed.blob_gas_used, header.blob_gas_used.unwrap_or(0));
    if found != expected {
        return Err(ExecutionError::BlobGasUsed { found, expected });
    }
    if executed.logs_bloom != header.logs_bloom {
        let (found, expected) = (Box::new(executed.logs_bloom), Box::new(header.logs_bloom));
        return Err(ExecutionError::LogsBloom { found, expected });
    }
    let (found, expected) = (executed.receipts_root, header.receipts_root);
    if has_true_receipts && found != expected {
        return Err(ExecutionError::ReceiptsRoot { found, expected });
    }
    if let Some(expected) = header.requests_hash {
        let found = executed.requests.requests_hash();
        if found != expected {
            return Err(ExecutionError::RequestsHash { found, expected });
        }
    }
    Ok(())
}
