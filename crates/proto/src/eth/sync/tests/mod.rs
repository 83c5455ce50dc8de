//! Synchronisation against peers of every kind, in virtual time.

mod driver;
mod following;
mod liars;
mod properties;
mod ranges;

pub(super) use driver::{Kind, Sim, peer_id};
