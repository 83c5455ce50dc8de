//! Handshakes in memory: who is let in, who is not, and what both sides are told.

mod handshakes;
mod hashes;
mod lab;
mod pump;
mod refusals;
mod rotation;
