//! Applications on top of chainmesh, to read and to run. They use nothing but `chainmesh-net`.
//!
//! [`echo`] is a module of its own, in about a hundred lines. To see it run:
//! `cargo run -p chainmesh-examples --example echo`.

pub mod echo;
