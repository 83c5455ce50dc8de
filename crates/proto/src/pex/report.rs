//! What peer exchange has done.

use std::collections::BTreeMap;

use super::Ignored;

/// Counts since the start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PexCounters {
    /// Questions that we sent.
    pub asked: u64,
    /// Of those, how many were answered in time.
    pub answered: u64,
    /// Of those, how many were not.
    pub unanswered: u64,
    /// Questions of peers that we answered.
    pub answers: u64,
    /// Questions of peers that came too soon.
    pub refused: u64,
    /// Nodes that we told of.
    pub told: u64,
    /// Nodes that we were told of and took, as hearsay. One that was told twice counts twice.
    pub taken: u64,
    /// What was not taken, in nodes, by its reason.
    pub ignored: BTreeMap<Ignored, u64>,
    /// Sessions that we ended.
    pub breaches: u64,
}

/// Peer exchange as it is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PexReport {
    /// Peers that have the module.
    pub peers: usize,
    /// Nodes that it would be good to know; zero: nobody is asked.
    pub need: usize,
    /// Questions that wait for their answer.
    pub waiting: usize,
    /// Counts since the start.
    pub counters: PexCounters,
}
