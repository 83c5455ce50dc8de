//! The chain itself: genesis, execution, blocks and states on disk, import and export, proof of
//! authority.
//!
//! | module | holds |
//! |---|---|
//! | [`genesis`] | `genesis.json`, and the block that it makes |
//! | [`spec`] | what one network has agreed on: its genesis block and its rules |
//! | [`forks`] | the fork id of a network (EIP-2124) |
//! | [`rules`] | what a header must be, given its parent |
//! | [`clique`] | proof of authority: seals, signers, whose turn it is |
//! | [`body`], [`block`] | bodies against the roots of their headers; blocks as bytes |
//! | [`execute`] | a block on a state, a new block, and calls |
//! | [`state`] | the accounts behind each block, and their root |
//! | [`Chain`] | the blocks on disk, and which of them are canonical |
//! | [`file`](mod@file) | `chain.rlp` in and out |
//! | [`producer`] | the next block of a validator |
//! | [`pool`] | [`Mempool`]: transactions that wait for a block |
//! | [`lock`] | one process per data directory |
//!
//! A block is stored when its header keeps the rules, its seal is good, and its transactions,
//! executed on the state behind its parent, give what the header says: gas, receipts, bloom,
//! requests and state root.
//!
//! **What is not verified yet.** The seals of proof-of-work blocks are not checked
//! ([`spec::Consensus::UnsealedProofOfWork`]). The roots of a body are checked by whoever receives
//! it ([`body::check`]), before the import.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod block;
pub mod body;
mod chain;
pub mod clique;
pub mod difficulty;
pub mod execute;
pub mod file;
pub mod forks;
pub mod genesis;
mod heads;
pub mod lock;
pub mod pool;
pub mod producer;
pub mod rules;
pub mod spec;
pub mod state;
mod store;

pub use alloy_genesis::Genesis;
pub use chain::{Chain, ChainError, ChainOptions, MAX_SIDE_CHAIN_DEPTH, TransactionPlace};
pub use heads::{NewHead, Subscription};
pub use lock::DataDirLock;
pub use pool::{Mempool, MempoolConfig, MempoolEvent, Refusal};
pub use producer::Producer;
pub use spec::{ChainSpec, Consensus};
pub use state::StateView;
pub use store::{DATABASE_FILE_NAME, Damage, StoreError};
