//! The read model: what RPC, metrics and `chainmesh mesh` show.

use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::mesh::{NodeType, Version};

use super::{Mesh, SessionId};
use crate::module::PeerKind;
use crate::text::shown;

/// The mesh as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshReport {
    /// This node.
    pub name: PeerId,
    /// Its short ID.
    pub short: ShortId,
    /// What it is in its groups.
    pub role: NodeType,
    /// The highest block it has.
    pub height: u64,
    /// Its groups.
    pub groups: Vec<String>,
    /// The topics it follows.
    pub topics: Vec<String>,
    /// Number of its router table.
    pub router_seq: u32,
    /// Number of its status.
    pub status_seq: u32,
    /// Number of its topic list.
    pub topic_seq: u32,
    /// Everybody it knows, by short ID.
    pub members: Vec<MemberReport>,
    /// Its sessions.
    pub sessions: Vec<SessionReport>,
    /// Who is linked to whom, each pair once and in order: its own links, those of its neighbours,
    /// and those that are two links away from a neighbour. More cannot be seen from router tables.
    pub links: Vec<(PeerId, PeerId)>,
    /// Messages of ours that wait for an acknowledgement or a reply.
    pub pending: usize,
    /// Counts since the start.
    pub counters: MeshCounters,
}

/// What is known of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReport {
    /// Who.
    pub name: PeerId,
    /// Its short ID.
    pub short: ShortId,
    /// Its long ID, as text; escaped, and cut to 4,096 characters.
    pub long: String,
    /// Links on the way to it; `None` when there is no way.
    pub distance: Option<u32>,
    /// The neighbour on the way; itself for a neighbour, `None` when there is no way.
    pub next_hop: Option<PeerId>,
    /// Number of its status; `None` while it is not known.
    pub status_seq: Option<u32>,
    /// Its groups, escaped.
    pub groups: Vec<String>,
    /// Front nodes behind it, all groups together.
    pub front_nodes: usize,
    /// What it is, if it is one of our own nodes.
    pub role: Option<NodeType>,
    /// The highest block it has, if it is one of our own nodes.
    pub height: Option<u64>,
    /// Number of its topic list; `None` while it is not known.
    pub topic_seq: Option<u32>,
    /// The topics it follows, escaped.
    pub topics: Vec<String>,
}

/// The way to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteReport {
    /// Who.
    pub member: PeerId,
    /// Links on the way to it, 1 to 9.
    pub distance: u32,
    /// The neighbour on the way; itself for a neighbour.
    pub next_hop: PeerId,
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionReport {
    /// The session.
    pub session: SessionId,
    /// Who is at the other end.
    pub peer: PeerId,
    /// What sort of node it is.
    pub kind: PeerKind,
    /// The version that is sent.
    pub version: Version,
    /// Whether its handshake came.
    pub negotiated: bool,
    /// Number of its router table, as far as told.
    pub router_seq: Option<u32>,
    /// The topics it follows, if it is a node of 2.x, escaped.
    pub rc2_topics: Vec<String>,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeshCounters {
    /// Packets that came.
    pub packets_in: u64,
    /// Packets that were sent, those passed on included.
    pub packets_out: u64,
    /// Packets that were passed on for others.
    pub forwarded: u64,
    /// Messages of applications among them, without their answers.
    pub forwarded_messages: u64,
    /// Packets for others that had no hops left.
    pub dropped_ttl: u64,
    /// Packets to which there was no way: no route, an ID that is not known in the form that the
    /// next session needs, or a session of V0 in between.
    pub dropped_no_way: u64,
    /// Packets that found no room in a queue.
    pub dropped_full: u64,
    /// Messages above a limit.
    pub dropped_limit: u64,
    /// Packets of ours that came back.
    pub looped: u64,
    /// Bad packets that a neighbour passed on in good faith.
    pub bad_routed: u64,
    /// Packets of a type that is not known.
    pub unknown_type: u64,
    /// Answers that nobody waits for.
    pub unknown_answer: u64,
    /// Announcements and answers from nodes to which there is no way.
    pub unknown_source: u64,
    /// Routes with a distance below 1 or an ID that is no long one.
    pub bad_routes: u64,
    /// Messages for a group, role or topic that this node does not have.
    pub not_for_us: u64,
    /// Second handshakes.
    pub renegotiated: u64,
    /// Messages of ours.
    pub messages_sent: u64,
    /// Copies of them on the wire, repetitions included.
    pub copies_sent: u64,
    /// Repetitions among them.
    pub resent: u64,
    /// Messages delivered here.
    pub delivered: u64,
    /// Messages that were delivered before, and were only acknowledged again.
    pub duplicates: u64,
    /// Replies of ours that nobody acknowledged.
    pub replies_lost: u64,
}

/// Longest text of a peer that is shown, characters.
const SHOWN: usize = 4096;

impl Mesh {
    /// The mesh as this node sees it.
    #[must_use]
    pub fn snapshot(&self) -> MeshReport {
        MeshReport {
            name: self.own.name,
            short: self.own.short,
            role: self.config.role,
            height: self.config.height,
            groups: self.config.groups.clone(),
            topics: self.topics.own.iter().cloned().collect(),
            router_seq: self.router.seq(),
            status_seq: self.statuses.seq,
            topic_seq: self.topics.seq,
            members: self.router.known().map(|member| self.member_report(member)).collect(),
            sessions: self.session_reports(),
            links: self.links(),
            pending: self.pending.len(),
            counters: self.counters,
        }
    }

    /// The ways to all who can be reached, without the rest of the report.
    #[must_use]
    pub fn routes(&self) -> Vec<RouteReport> {
        let route = |node: ShortId| {
            let next_hop = self.router.name(&self.router.next_hop(&node)?);
            let distance = self.router.distance(&node)?.into();
            Some(RouteReport { member: self.router.name(&node), distance, next_hop })
        };
        self.router.reachable().filter_map(route).collect()
    }

    /// Counts since the start, without the rest of the report.
    #[must_use]
    pub const fn counters(&self) -> MeshCounters {
        self.counters
    }

    fn name_or_own(&self, node: &ShortId) -> PeerId {
        if *node == self.own.short { self.own.name } else { self.router.name(node) }
    }

    fn member_report(&self, member: &ShortId) -> MemberReport {
        let status = self.statuses.get(member);
        let extension = status.and_then(|status| status.extension);
        let topics = self.topics.get(member);
        MemberReport {
            name: self.router.name(member),
            short: *member,
            long: self
                .router
                .long(member)
                .map(|long| shown(long.as_bytes(), SHOWN))
                .unwrap_or_default(),
            distance: self.router.distance(member).map(u32::from),
            next_hop: self.router.next_hop(member).map(|next| self.router.name(&next)),
            status_seq: status.map(|status| status.seq),
            groups: status
                .map(|status| status.groups().map(|group| shown(group, SHOWN)).collect())
                .unwrap_or_default(),
            front_nodes: status.map_or(0, super::status::Status::front_nodes),
            role: extension.map(|extension| extension.role),
            height: extension.map(|extension| extension.height),
            topic_seq: topics.map(|(seq, _)| *seq),
            topics: topics
                .map(|(_, topics)| topics.iter().map(|topic| shown(topic, SHOWN)).collect())
                .unwrap_or_default(),
        }
    }

    fn session_reports(&self) -> Vec<SessionReport> {
        let report = |(id, session): (&SessionId, &super::Session)| SessionReport {
            session: *id,
            peer: session.rc2.name.unwrap_or_else(|| self.router.name(&session.peer)),
            kind: session.kind,
            version: session.version,
            negotiated: session.negotiated,
            router_seq: session.router_seq,
            rc2_topics: session.rc2.topics.iter().map(|topic| shown(topic, SHOWN)).collect(),
        };
        self.sessions.iter().map(report).collect()
    }

    fn links(&self) -> Vec<(PeerId, PeerId)> {
        // Each link is seen from many sides: names only for what is left of them.
        let links = self.router.links().map(|(a, b)| (a.min(b), a.max(b)));
        let mut links: Vec<_> = links.collect();
        links.sort_unstable();
        links.dedup();
        let named = links.into_iter().map(|(a, b)| {
            let (a, b) = (self.name_or_own(&a), self.name_or_own(&b));
            (a.min(b), a.max(b))
        });
        let mut named: Vec<_> = named.collect();
        named.sort_unstable();
        named
    }
}
