//! [`Refusal`]: why a transaction is not taken, in the words that tools look for.

use alloy_primitives::{Address, U256};

use super::config::MAX_TRANSACTION_BYTES;
use super::state::StateUnavailable;

/// Whose fault it is that a peer's transaction was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nobody's: a peer with another head, another price limit or a pool with more room may send
    /// it in good faith.
    Nobody,
    /// A node with the same head as ours would not have sent it: harmless once, suspicious when
    /// it is the rule.
    Doubtful,
    /// No node that works sends this, whatever its head: the bytes are no transaction, or one
    /// that is valid on no chain of this network.
    Peer,
}

/// Why a transaction is not taken. The texts begin with go-ethereum's, because wallets and tools
/// look for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is in the pool.
    #[error("already known")]
    AlreadyKnown,
    /// The bytes are no transaction in the form of EIP-2718.
    #[error("rlp: not a transaction: {0}")]
    Malformed(Malformation),
    /// More than 128 KiB.
    #[error("oversized data: transaction size {size}, limit {MAX_TRANSACTION_BYTES}")]
    Oversized {
        /// Bytes in EIP-2718 form.
        size: usize,
    },
    /// The next block may not contain this type yet.
    #[error("transaction type not supported: type {tx_type} rejected, {fork} is not active")]
    TypeNotSupported {
        /// EIP-2718 type.
        tx_type: u8,
        /// The fork that brings it.
        fork: &'static str,
    },
    /// A blob transaction: this pool does not hold blobs.
    #[error("transaction type not supported: this pool takes no blob transactions (type 3)")]
    BlobsNotSupported,
    /// The signature is not one, or has a high `s` (EIP-2).
    #[error("invalid sender")]
    InvalidSender,
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    WrongChainId {
        /// In the transaction.
        have: u64,
        /// Ours.
        want: u64,
    },
    /// No chain id (before EIP-155), from one of our own users.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// The nonce 2^64-1 can never be used (EIP-2681).
    #[error("nonce has max value")]
    NonceMax,
    /// The account has used this nonce.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// Next nonce of the account.
        next: u64,
        /// Of the transaction.
        nonce: u64,
    },
    /// Less gas than every transaction of this shape takes.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {minimum}")]
    IntrinsicGas {
        /// Gas limit of the transaction.
        gas: u64,
        /// Least gas limit.
        minimum: u64,
    },
    /// Less gas than its data costs at least (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {minimum}")]
    FloorDataGas {
        /// Gas limit of the transaction.
        gas: u64,
        /// Least gas limit.
        minimum: u64,
    },
    /// More gas than a block has.
    #[error("exceeds block gas limit: gas {gas}, limit {limit}")]
    ExceedsBlockGasLimit {
        /// Gas limit of the transaction.
        gas: u64,
        /// Of the block.
        limit: u64,
    },
    /// More gas than one transaction may have (EIP-7825, Osaka).
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasLimitTooHigh {
        /// Gas limit of the transaction.
        gas: u64,
        /// Most gas of a transaction.
        cap: u64,
    },
    /// The tip is above the fee that it is a part of (EIP-1559).
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee_cap}"
    )]
    TipAboveFeeCap {
        /// Wei per gas.
        tip: u128,
        /// Wei per gas.
        fee_cap: u128,
    },
    /// More code than a creation may have (EIP-3860, Shanghai).
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitcodeTooLarge {
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// A set-code transaction without authorizations (EIP-7702).
    #[error("EIP-7702 transaction with empty auth list")]
    NoAuthorizations,
    /// The sender has code that is no delegation (EIP-3607).
    #[error("sender not an eoa: address {0}")]
    SenderNotEoa(Address),
    /// It pays less than this node asks, or less than all of a full pool.
    #[error("transaction underpriced: gas tip cap {tip}, minimum needed {minimum}")]
    Underpriced {
        /// Wei per gas.
        tip: u128,
        /// Wei per gas.
        minimum: u128,
    },
    /// Another transaction has this nonce, and this one does not raise both prices by enough.
    #[error("replacement transaction underpriced: both fees must rise by {bump} %")]
    ReplacementUnderpriced {
        /// Per cent.
        bump: u8,
    },
    /// The account cannot pay for this transaction and for those before it in the pool.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}"
    )]
    InsufficientFunds {
        /// Wei.
        balance: U256,
        /// Cost of what the account has in the pool before this one, in wei.
        queued: U256,
        /// Gas limit times highest price, and value, in wei; all bits set when it does not fit.
        cost: U256,
    },
    /// A delegated account may have one transaction in the pool: its balance can change at any
    /// time (EIP-7702).
    #[error("in-flight transaction limit reached for delegated accounts")]
    DelegatedInFlight,
    /// A delegated account may not send a later nonce first (EIP-7702).
    #[error("gapped-nonce tx from delegated accounts")]
    DelegatedNonceGap,
    /// An authorization is of an account with several transactions in the pool (EIP-7702).
    #[error("authority already reserved")]
    AuthorityReserved,
    /// There is no room, and nothing that could give way to it.
    #[error("txpool is full")]
    Full,
    /// The account has as many waiting transactions as it may.
    #[error("txpool is full: {limit} transactions of the account wait for an earlier nonce")]
    AccountQueueFull {
        /// Most of them.
        limit: usize,
    },
    /// The state of the account could not be read: our disk, not the transaction.
    #[error("state unavailable: {0}")]
    State(#[from] StateUnavailable),
}

/// What is wrong with bytes that are no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformation {
    /// Nothing there.
    #[error("no bytes")]
    Empty,
    /// The first byte is no known type and no list.
    #[error("unknown type 0x{0:02x}")]
    UnknownType(u8),
    /// A field is missing, too long or of the wrong kind.
    #[error("{0}")]
    Rlp(alloy_rlp::Error),
    /// It decodes, but is not how this transaction is written.
    #[error("not in canonical form")]
    NotCanonical,
}

impl Refusal {
    /// Whose fault it is, when a peer has sent it.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Malformed(_)
            | Self::Oversized { .. }
            | Self::InvalidSender
            | Self::WrongChainId { .. }
            | Self::NonceMax
            | Self::TipAboveFeeCap { .. }
            | Self::NoAuthorizations => Blame::Peer,
            Self::IntrinsicGas { .. }
            | Self::FloorDataGas { .. }
            | Self::ExceedsBlockGasLimit { .. }
            | Self::GasLimitTooHigh { .. }
            | Self::InitcodeTooLarge { .. }
            | Self::SenderNotEoa(_)
            | Self::InsufficientFunds { .. } => Blame::Doubtful,
            Self::AlreadyKnown
            | Self::TypeNotSupported { .. }
            | Self::BlobsNotSupported
            | Self::Unprotected
            | Self::NonceTooLow { .. }
            | Self::Underpriced { .. }
            | Self::ReplacementUnderpriced { .. }
            | Self::DelegatedInFlight
            | Self::DelegatedNonceGap
            | Self::AuthorityReserved
            | Self::Full
            | Self::AccountQueueFull { .. }
            | Self::State(_) => Blame::Nobody,
        }
    }
}
