//! What has to hold after each step, whatever the seed does to the nodes.
//!
//! | rule | says |
//! |---|---|
//! | [`agreement`] | A sees B as connected if and only if B sees A so, within the idle timeout |
//! | [`one_session_per_peer`] | a node keeps one connection to each peer |
//! | [`max_peers`] | authenticated connections never exceed `max_peers` and the trusted ones |
//! | [`no_self_connection`] | no node keeps a connection to itself |
//! | [`no_orphans`] | driver and manager know the same connections |
//! | [`events_alternate`] | observers hear Connected and Disconnected in turns, with a reason |
//! | [`chain_of_parents`] | an honest node has a chain of valid blocks, each the child of the one below |
//! | [`heads_never_sink`] | an honest node's head never loses total difficulty, crashes included |

use core::time::Duration;
use std::collections::BTreeSet;

use alloy_primitives::U256;
use chainmesh_identity::PeerId;
use chainmesh_proto::peers::{ConnectionId, NodeKind};
use chainmesh_proto::time::Instant;

use crate::chain::{ChainDefect, Sank};
use crate::node::DISAGREEMENT;
use crate::{NodeIndex, World};

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// See [`agreement`].
    #[error("nodes {0:?} and {1:?} disagree for {2:?} whether they are connected")]
    Disagreement(NodeIndex, NodeIndex, Duration),
    /// See [`one_session_per_peer`].
    #[error("node {node:?} keeps several connections to {peer:?}: {conns:?}")]
    SeveralSessions {
        /// Who.
        node: NodeIndex,
        /// To whom.
        peer: PeerId,
        /// Which.
        conns: Vec<ConnectionId>,
    },
    /// See [`max_peers`].
    #[error("node {node:?} has {peers} peers, {allowed} are allowed")]
    TooManyPeers {
        /// Who.
        node: NodeIndex,
        /// Authenticated connections.
        peers: usize,
        /// `max_peers` and the trusted ones.
        allowed: usize,
    },
    /// See [`no_self_connection`].
    #[error("node {0:?} keeps a connection to itself")]
    SelfConnection(NodeIndex),
    /// See [`no_orphans`].
    #[error("node {node:?}: the driver has {driver:?}, the manager {manager:?}")]
    Orphans {
        /// Who.
        node: NodeIndex,
        /// Connections that the driver holds and that are not closing.
        driver: BTreeSet<ConnectionId>,
        /// Connections that the manager counts.
        manager: BTreeSet<ConnectionId>,
    },
    /// See [`events_alternate`].
    #[error("node {node:?} reported {peer:?} as {} twice", if *.connected { "connected" } else { "gone" })]
    Repeated {
        /// Who.
        node: NodeIndex,
        /// About whom.
        peer: PeerId,
        /// What.
        connected: bool,
    },
    /// A book or a manager holds more than it may ([`PeersWorld`](crate::PeersWorld)).
    #[error("node {node:?} has {records} records in its book, and {dials} dials under way")]
    BeyondLimits {
        /// Who.
        node: NodeIndex,
        /// In its book.
        records: usize,
        /// Dials to nobody that are under way.
        dials: usize,
    },
    /// See [`chain_of_parents`].
    #[error("block {number} of node {node:?} {defect}")]
    BrokenChain {
        /// Who has it.
        node: NodeIndex,
        /// Its place in the chain.
        number: u64,
        /// What is wrong.
        defect: ChainDefect,
    },
    /// See [`heads_never_sink`].
    #[error("the head of node {node:?} went from total difficulty {from} to {to}")]
    HeadSank {
        /// Whose.
        node: NodeIndex,
        /// Before.
        from: U256,
        /// After.
        to: U256,
    },
}

/// A rule: looks at the node that the last step touched, or at the whole world.
pub type Invariant = fn(&World, NodeIndex) -> Result<(), Violation>;

/// The rules that every world is checked against after every step.
pub const EVERY_STEP: &[Invariant] =
    &[agreement, events_alternate, chain_of_parents, heads_never_sink];

/// The rules about a node's connections: checked after every step in which its manager was told
/// something or decided something, or a connection came or went. Messages on a connection that
/// stands cannot break them.
pub const OF_CONNECTIONS: &[Invariant] =
    &[one_session_per_peer, max_peers, no_self_connection, no_orphans];

/// A sees B as connected if and only if B sees A so; for as long as it takes a node to notice that
/// its peer is silent, they may disagree.
///
/// # Errors
/// [`Violation::Disagreement`].
pub fn agreement(world: &World, _: NodeIndex) -> Result<(), Violation> {
    for ((a, b), since) in world.disagreements() {
        let lasts = world.now().saturating_since(since);
        if lasts > DISAGREEMENT {
            return Err(Violation::Disagreement(a, b, lasts));
        }
    }
    Ok(())
}

/// A node keeps one connection to each peer.
///
/// # Errors
/// [`Violation::SeveralSessions`].
pub fn one_session_per_peer(world: &World, node: NodeIndex) -> Result<(), Violation> {
    let kept: Vec<_> = world.kept(node).collect();
    let mut peers = BTreeSet::new();
    for (_, peer) in &kept {
        if !peers.insert(*peer) {
            let conns = kept.iter().filter(|(_, other)| other == peer).map(|(c, _)| *c).collect();
            return Err(Violation::SeveralSessions { node, peer: *peer, conns });
        }
    }
    Ok(())
}

/// Authenticated connections never exceed `max_peers` and the trusted ones.
///
/// # Errors
/// [`Violation::TooManyPeers`].
pub fn max_peers(world: &World, node: NodeIndex) -> Result<(), Violation> {
    let trusted = world.wanted(node).filter(|(_, kind)| *kind == NodeKind::Trusted).count();
    let allowed = world.max_peers(node) + trusted;
    let peers = world.kept(node).count();
    if peers > allowed { Err(Violation::TooManyPeers { node, peers, allowed }) } else { Ok(()) }
}

/// No node keeps a connection to itself.
///
/// # Errors
/// [`Violation::SelfConnection`].
pub fn no_self_connection(world: &World, node: NodeIndex) -> Result<(), Violation> {
    let own = world.id(node);
    if world.kept(node).any(|(_, peer)| peer == own) {
        return Err(Violation::SelfConnection(node));
    }
    Ok(())
}

/// Driver and manager know the same connections: nothing is counted that has no socket, and no
/// socket is held that nobody counts.
///
/// # Errors
/// [`Violation::Orphans`].
pub fn no_orphans(world: &World, node: NodeIndex) -> Result<(), Violation> {
    let Some(manager) = world.manager(node) else { return Ok(()) };
    let driver: BTreeSet<_> = world.held(node).collect();
    let sessions = manager.connected_peers().map(|(_, conn)| conn);
    let pending = manager.pending_connections().map(|(conn, _)| conn);
    let manager: BTreeSet<_> = sessions.chain(pending).collect();
    if driver == manager { Ok(()) } else { Err(Violation::Orphans { node, driver, manager }) }
}

/// Observers hear Connected and Disconnected in turns.
///
/// # Errors
/// [`Violation::Repeated`].
pub fn events_alternate(world: &World, node: NodeIndex) -> Result<(), Violation> {
    match world.repeated(node) {
        Some((peer, connected)) => Err(Violation::Repeated { node, peer, connected }),
        None => Ok(()),
    }
}

/// An honest node has a chain of valid blocks, each the child of the one below it. Each block is
/// looked at when it has become canonical.
///
/// # Errors
/// [`Violation::BrokenChain`].
pub fn chain_of_parents(world: &World, node: NodeIndex) -> Result<(), Violation> {
    match world.audited(node).and_then(|audit| audit.defect) {
        Some((number, defect)) => Err(Violation::BrokenChain { node, number, defect }),
        None => Ok(()),
    }
}

/// An honest node's head never loses total difficulty, crashes included.
///
/// # Errors
/// [`Violation::HeadSank`].
pub fn heads_never_sink(world: &World, node: NodeIndex) -> Result<(), Violation> {
    match world.audited(node).and_then(|audit| audit.sank) {
        Some(Sank { from, to }) => Err(Violation::HeadSank { node, from, to }),
        None => Ok(()),
    }
}

/// A rule was broken: when, what, and the seed that does it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, after {} ms: {violation}", .at.as_micros() / 1000)]
pub struct Broken {
    /// The world's seed.
    pub seed: u64,
    /// The world's time.
    pub at: Instant,
    /// What.
    pub violation: Violation,
}
