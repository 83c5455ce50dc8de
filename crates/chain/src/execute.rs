//! Execution: a block on a state, a new block, and calls that change nothing.
//!
//! | function or type | does |
//! |---|---|
//! | [`execute_block`], [`execute_block_with_roots`] | runs a block and compares everything that its header says, except the state root |
//! | [`build_block`] | makes the next block from a [`TransactionSource`], unsealed and without a state root |
//! | [`call`], [`call_until`], [`estimate_gas`], [`create_access_list`] | what JSON-RPC asks of the EVM |
//! | [`RecoveredBody`], [`recover_senders`] | the body of a block, decoded, and who signed its transactions |
//! | [`verify_ommers`] | the rules for ommers, which need the blocks before |
//! | [`MemoryState`] | a state in memory, for tests |
//!
//! **The seam to the state.** Reading: any [`StateReader`], which is every `revm::DatabaseRef`:
//! `basic_ref` and `storage_ref` answer for the state *behind the parent block*, `code_by_hash_ref`
//! gives code, `block_hash_ref(number)` gives the hash of that ancestor of the block to be run (one
//! of the last 256).
//! Writing: [`Executed::changes`], a `BundleState`: for each account that the block touched its
//! `info` behind the block (`None`: the account is gone), the storage slots with their present
//! values, `status.was_destroyed()` when all older storage is to be dropped first, and the codes
//! that are new in `contracts`. Accounts whose `info` equals `original_info` and that have no
//! changed slot need not be written. Before Byzantium there is a question back: [`RootAfter`].
//!
//! The EVM is revm. There is no clock, no thread that outlives a call, and no file here.

mod body;
mod build;
mod call;
mod environment;
mod error;
mod estimate;
mod memory;
mod ommers;
mod run;
mod sign;
mod system;
mod verify;
mod watch;

pub use body::{
    Body, KnownSenders, RecoveredBody, Transaction, recover_senders, recover_senders_with,
};
pub use build::{
    BlockAttributes, BlockTemplate, Built, InOrder, MAX_BUILT_BODY, SkipReason, Skipped,
    TransactionSource, build_block,
};
pub use call::{
    CallError, CallOutcome, CallRequest, CallResult, DEFAULT_CALL_GAS_CAP, Fees, call, call_until,
    create_access_list, create_access_list_until,
};
pub use environment::{Environment, beneficiary_of, environment, spec_id};
pub use error::{ExecutionError, StateError, SystemContract, TransactionError};
pub use estimate::{EstimateError, estimate_gas};
pub use memory::MemoryState;
pub use ommers::{Ancestor, MAX_OMMER_DEPTH, MAX_OMMERS, OmmerError, verify_ommers};
pub use run::RootAfter;
pub use sign::{sign_hash, sign_transaction};
pub use verify::{Executed, execute_block, execute_block_with_roots};

/// A state that can be read: behind some block, and the same until it is dropped.
///
/// Every `revm::DatabaseRef` is one; so are references and `Arc`s of it.
pub trait StateReader: revm::DatabaseRef + core::fmt::Debug {}

impl<T: revm::DatabaseRef + core::fmt::Debug> StateReader for T {}
