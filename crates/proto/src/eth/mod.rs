//! The `eth` module: status, serving, and block synchronisation.
//!
//! | part | decides |
//! |---|---|
//! | [`status`] | whether two nodes are on the same chain |
//! | [`handler`] | what each message of a peer means, and which breaks a rule |
//! | [`serve`] | what is answered |
//! | [`sync`] | what is asked of whom, until this node has what its peers have |
//! | [`chain`] | the seam to whoever keeps the blocks |
pub mod chain;
pub mod handler;
pub mod serve;
pub mod status;
pub mod sync;

#[cfg(test)]
mod testing;
