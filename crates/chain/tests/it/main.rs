//! The chain from outside: real chain files, a store that is dropped, a chain file that is bad.

mod chains;
mod common;
