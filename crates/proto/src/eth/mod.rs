//! The `eth` module: status, serving, and block synchronisation.
//!
//! | part | decides |
//! |---|---|
//! | [`status`] | whether two nodes are on the same chain |
//! | [`handler`] | what each message of a peer means, and which breaks a rule |
//! | [`serve`] | what is answered |
//! | [`chain`] | the seam to whoever keeps the blocks |
pub mod chain;
pub mod handler;
pub mod serve;
pub mod status;

#[cfg(test)]
mod testing;
