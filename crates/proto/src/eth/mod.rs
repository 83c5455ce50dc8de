//! The `eth` module: status, serving, and block synchronisation.
//!
//! | part | decides |
//! |---|---|
//! | [`status`] | whether two nodes are on the same chain |
//! | [`handler`] | what each message of a peer means, and which breaks a rule |
//! | [`serve`] | what is answered |
//! | [`sync`] | what is asked of whom, until this node has what its peers have |
//! | [`chain`] | the seam to whoever keeps the blocks |
//! | [`transactions`] | who is told of transactions, and whom they are asked of |
//! | [`propagation`] | who is sent a new block, and who is told of it |
//! | [`pool`] | the seam to whoever keeps the transactions |
pub mod chain;
pub mod handler;
pub mod known;
pub mod pool;
pub mod propagation;
pub mod serve;
pub mod status;
pub mod sync;
pub mod transactions;

#[cfg(test)]
pub(crate) mod testing;
