//! The `eth` module on sockets.

/// The chain that the `eth` module speaks about.
#[derive(Debug)]
pub struct EthChain;
