//! The kit that judges chainmesh from outside: real processes, real sockets, faults on purpose.
//!
//! | module | holds |
//! |---|---|
//! | [`process`] | one node: started, stopped, killed, asked over its socket, measured in `/proc` |
//! | [`fleet`] | several nodes that know each other, over either transport, with proxies between them |
//! | [`proxy`] | a TCP proxy that delays, stalls, throttles, cuts, half-closes and corrupts |
//! | [`certs`] | a consortium's CA, agencies and nodes in a directory, good ones and bad ones |
//! | [`blocks`] | blocks that are there before a test begins |
//! | [`wait`] | waiting for a condition, with a deadline and without a fixed sleep |
//! | [`row`] | the fault matrix: each row's number is recorded, and then asserted |
//!
//! For tests only: everything here panics with words when something is not as it must be.

pub mod blocks;
pub mod certs;
pub mod fleet;
pub mod process;
pub mod proxy;
pub mod row;
pub mod wait;
