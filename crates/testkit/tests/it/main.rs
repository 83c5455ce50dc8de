//! The fault matrix on real processes: one test for each row and transport, with the row's number
//! in its name and the row's numbers asserted.
//!
//! Those that take longer than 15 s are ignored by `cargo test`; `crates/testkit/run` has them all.

mod certificates;
mod commits;
mod crash;
mod data_dir;
mod flood;
mod links;
mod partition;
mod signals;
