//! The chain from outside: real chain files, networks made here, stores that are killed or
//! damaged, chain files that are bad.

mod bodies;
mod chains;
mod clique;
mod common;
mod damage;
mod ethereum_tests;
mod execution;
mod files;
mod heads;
mod kill;
mod living;
mod pool_blocks;
mod producer;
mod rules;
mod states;
mod votes;
