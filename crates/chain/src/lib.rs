//! The chain itself: genesis, block store, import and export, proof of authority.
//!
//! | module | holds |
//! |---|---|
//! | [`genesis`] | `genesis.json`, and the block that it makes |
//! | [`spec`] | what one network has agreed on: its genesis block and its rules |
//! | [`forks`] | the fork id of a network (EIP-2124) |
//! | [`rules`] | what a header must be, given its parent |
//! | [`clique`] | proof of authority: seals, signers, whose turn it is |
//! | [`body`], [`block`] | bodies against the roots of their headers; blocks as bytes |
//! | [`state`] | the accounts behind each block, and their root |
//! | [`Chain`] | the blocks on disk, and which of them are canonical |
//! | [`file`](mod@file) | `chain.rlp` in and out |
//! | [`producer`] | the next empty block of a validator |
//! | [`pool`] | [`Mempool`]: transactions that wait for a block |
//! | [`lock`] | one process per data directory |
//!
//! **What is not verified yet.** Nothing is executed: the state root, the receipts root, the
//! logs bloom, the gas that was used and the contents of requests are taken as the header states
//! them, and transactions are decoded but their signatures, nonces and balances are not looked
//! at. The seals of proof-of-work blocks are not checked
//! ([`spec::Consensus::UnsealedProofOfWork`]).

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
