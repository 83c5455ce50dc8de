//! Why a block, or a transaction in it, is not valid.

use alloy_primitives::{Address, B256, Bloom};
use revm::context_interface::result::InvalidTransaction;

use super::OmmerError;
use crate::body::BodyError;

/// What the state behind the seam said when it could not be read.
pub type StateError = Box<dyn core::error::Error + Send + Sync>;

/// A contract that the protocol itself calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemContract {
    /// Roots of beacon blocks (EIP-4788).
    BeaconRoots,
    /// Hashes of the last 8,191 blocks (EIP-2935).
    BlockHashes,
    /// Withdrawals asked for by the execution layer (EIP-7002).
    WithdrawalRequests,
    /// Consolidations of validators (EIP-7251).
    ConsolidationRequests,
    /// Deposits of validators (EIP-6110).
    Deposits,
}

impl core::fmt::Display for SystemContract {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BeaconRoots => "beacon roots contract (EIP-4788)",
            Self::BlockHashes => "block hashes contract (EIP-2935)",
            Self::WithdrawalRequests => "withdrawal requests contract (EIP-7002)",
            Self::ConsolidationRequests => "consolidation requests contract (EIP-7251)",
            Self::Deposits => "deposit contract (EIP-6110)",
        })
    }
}

/// Why a transaction may not be where it is. Nobody pays for such a transaction, and no block
/// may hold it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Nobody signed it: the signature is no point of the curve, or `s` is in the upper half
    /// (EIP-2, from Homestead on).
    #[error("the signature is not valid")]
    Signature,
    /// It names its chain, and the fork that made this possible (EIP-155) is not active.
    #[error("it is signed for chain {chain_id}, and EIP-155 is not active")]
    ProtectedTooEarly {
        /// The chain that it names.
        chain_id: u64,
    },
    /// Its gas limit is more than what the transactions before it have left of the block's.
    #[error("it may use {gas_limit} gas, the block has {left} left")]
    BlockGas {
        /// Gas limit of the transaction.
        gas_limit: u64,
        /// What is left in the block.
        left: u64,
    },
    /// The blobs of the block are more than the fork allows (EIP-4844).
    #[error("it has blobs for {blob_gas} blob gas, the block has {left} left")]
    BlockBlobGas {
        /// Blob gas of the transaction.
        blob_gas: u64,
        /// What is left in the block.
        left: u64,
    },
    /// It breaks a rule of the EVM: type, chain id, nonce, balance, fees, intrinsic gas, size of
    /// init code, blobs, authorizations, or a sender that is a contract.
    #[error("{}", UsualWords(.0))]
    Invalid(#[from] InvalidTransaction),
}

/// A rule of the EVM that a transaction breaks, in the words that users of go-ethereum know and
/// that wallets look for.
pub(super) struct UsualWords<'a>(pub(super) &'a InvalidTransaction);

impl core::fmt::Display for UsualWords<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use InvalidTransaction as Invalid;
        match self.0 {
            Invalid::NonceTooLow { tx, state } => {
                write!(f, "nonce too low: next nonce {state}, tx nonce {tx}")
            }
            Invalid::NonceTooHigh { tx, state } => {
                write!(f, "nonce too high: next nonce {state}, tx nonce {tx}")
            }
            Invalid::NonceOverflowInTransaction => f.write_str("nonce has max value"),
            Invalid::LackOfFundForMaxFee { fee, balance } => {
                let want = fee;
                write!(f, "insufficient funds for gas * price + value: have {balance} want {want}")
            }
            Invalid::OverflowPaymentInTransaction => {
                f.write_str("insufficient funds for gas * price + value: the sum has over 256 bits")
            }
            Invalid::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
                write!(f, "intrinsic gas too low: have {gas_limit}, want {initial_gas}")
            }
            Invalid::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
                let (have, want) = (gas_limit, gas_floor);
                write!(f, "insufficient gas for floor data gas cost: have {have}, want {want}")
            }
            Invalid::CallerGasLimitMoreThanBlock => f.write_str("exceeds block gas limit"),
            Invalid::TxGasLimitGreaterThanCap { gas_limit, cap } => {
                write!(f, "transaction gas limit too high (cap: {cap}, tx: {gas_limit})")
            }
            Invalid::PriorityFeeGreaterThanMaxFee => {
                f.write_str("max priority fee per gas higher than max fee per gas")
            }
            Invalid::GasPriceLessThanBasefee => {
                f.write_str("max fee per gas less than block base fee")
            }
            Invalid::RejectCallerWithCode => f.write_str("sender not an eoa"),
            Invalid::CreateInitCodeSizeLimit => f.write_str("max initcode size exceeded"),
            Invalid::InvalidChainId => f.write_str("invalid chain id for signer"),
            Invalid::Eip2930NotSupported
            | Invalid::Eip1559NotSupported
            | Invalid::Eip4844NotSupported
            | Invalid::Eip7702NotSupported => f.write_str("transaction type not supported"),
            Invalid::EmptyBlobs => f.write_str("blob transaction missing blob hashes"),
            Invalid::BlobCreateTransaction => f.write_str("blob transaction of type create"),
            Invalid::BlobVersionNotSupported => f.write_str("blob hash has an invalid version"),
            Invalid::BlobGasPriceGreaterThanMax {
                block_blob_gas_price,
                tx_max_fee_per_blob_gas,
            } => {
                let (fee, most) = (block_blob_gas_price, tx_max_fee_per_blob_gas);
                write!(
                    f,
                    "max fee per blob gas less than block blob gas fee: maxFeePerBlobGas: {most}, \
                     blobGasFee: {fee}"
                )
            }
            Invalid::EmptyAuthorizationList => {
                f.write_str("EIP-7702 transaction with empty auth list")
            }
            other => write!(f, "{other}"),
        }
    }
}

/// Why a block could not be executed, or is not what its header says.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// The block is of a fork that this program cannot execute.
    #[error("the {0} fork cannot be executed")]
    UnknownFork(&'static str),
    /// The body cannot be decoded.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A transaction is not valid at its place.
    #[error("transaction {index} is not valid: {source}")]
    Transaction {
        /// Place in the block, from 0.
        index: usize,
        /// The rule that it breaks.
        source: TransactionError,
    },
    /// The block is longer than its fork allows (EIP-7934, from Osaka on).
    #[error("the block has {found} bytes, at most {most} are allowed")]
    BlockSize {
        /// Bytes of its RLP.
        found: usize,
        /// Most that are allowed.
        most: usize,
    },
    /// An ommer breaks a rule.
    #[error(transparent)]
    Ommers(#[from] OmmerError),
    /// The gas used is not what the header says.
    #[error("the transactions used {found} gas, the header says {expected}")]
    GasUsed {
        /// Used.
        found: u64,
        /// In the header.
        expected: u64,
    },
    /// The blob gas is not what the header says.
    #[error("the transactions have blobs for {found} blob gas, the header says {expected}")]
    BlobGasUsed {
        /// Used.
        found: u64,
        /// In the header; 0 when it says nothing.
        expected: u64,
    },
    /// The logs give another bloom filter than the header's.
    #[error("the logs bloom is {found}, the header says {expected}")]
    LogsBloom {
        /// Of the logs.
        found: Box<Bloom>,
        /// In the header.
        expected: Box<Bloom>,
    },
    /// The receipts have another root than the header's.
    #[error("the receipts have the root {found}, the header says {expected}")]
    ReceiptsRoot {
        /// Of the receipts.
        found: B256,
        /// In the header.
        expected: B256,
    },
    /// The requests have another hash than the header's (EIP-7685, from Prague on).
    #[error("the requests have the hash {found}, the header says {expected}")]
    RequestsHash {
        /// Of the requests.
        found: B256,
        /// In the header; 0 when it says nothing.
        expected: B256,
    },
    /// A contract that the protocol calls at the end of the block is not there.
    #[error("there is no code at {address}, where the {contract} must be")]
    SystemContractMissing {
        /// Which one.
        contract: SystemContract,
        /// Where it must be.
        address: Address,
    },
    /// A contract that the protocol calls at the end of the block failed.
    #[error("the call of the {0} failed")]
    SystemCall(SystemContract),
    /// A log of the deposit contract is none that it can write.
    #[error("a log of the deposit contract (EIP-6110) cannot be decoded")]
    DepositLog,
    /// The base fee, the blob fee or another field that the EVM needs is not in the header.
    #[error("the header lacks a field that the fork needs")]
    HeaderField,
    /// The EVM itself failed, at a place where no rule foresees it: a bug.
    #[error("the EVM failed")]
    Evm,
    /// The state could not be read. The block may be good.
    #[error("the state could not be read: {0}")]
    State(#[source] StateError),
}

impl ExecutionError {
    /// Whether the block is to blame, and whoever made or sent it; otherwise it is this node.
    #[must_use]
    pub const fn blames_block(&self) -> bool {
        !matches!(self, Self::State(_) | Self::Evm | Self::UnknownFork(_))
    }
}
