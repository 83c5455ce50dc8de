//! What the network decides, as state machines.
pub mod eth;
pub mod module;
pub mod peers;
pub mod time;
