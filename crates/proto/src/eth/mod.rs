//! The `eth` module: status, serving, and block synchronisation.
pub mod chain;
