//! What `mesh_status` answers: the mesh as the node sees it.

use chainmesh_identity::PeerId;
use chainmesh_net::mesh::{MemberReport, MeshReport, NodeType, SessionReport};
use serde::{Deserialize, Serialize};

use crate::rpc::RpcContext;

/// The mesh as a node sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshStatus {
    /// The node's ID.
    pub id: String,
    /// Its short ID.
    pub short: String,
    /// What it is in its groups.
    pub role: String,
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
    /// Everybody it knows.
    pub members: Vec<MemberStatus>,
    /// Its sessions.
    pub sessions: Vec<SessionStatus>,
    /// Who is linked to whom, as far as the node can see.
    pub links: Vec<(String, String)>,
    /// Its messages that wait for an acknowledgement or a reply.
    pub pending: usize,
    /// Counts since the start.
    pub counters: Counters,
    /// The node's certificate.
    pub certificate: Option<CertificateStatus>,
}

/// What is known of a member.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its ID.
    pub id: String,
    /// Its short ID.
    pub short: String,
    /// Links on the way to it; `None` when there is no way.
    pub hops: Option<u32>,
    /// The neighbour on the way; itself for a neighbour.
    pub via: Option<String>,
    /// Number of its status.
    pub status_seq: Option<u32>,
    /// Number of its topic list.
    pub topic_seq: Option<u32>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Front nodes behind it.
    pub front_nodes: usize,
    /// What it is, if it is a node of our own.
    pub role: Option<String>,
    /// The highest block it has, if it is a node of our own.
    pub height: Option<u64>,
    /// The topics it follows.
    pub topics: Vec<String>,
}

/// A session with a neighbour.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// Who is at the other end.
    pub peer: String,
    /// What sort of node it is: `own`, `fisco3` or `fisco2`.
    pub kind: String,
    /// The version of the packets.
    pub version: u16,
    /// Whether both have agreed on it.
    pub negotiated: bool,
    /// The topics it follows, if it is a node of 2.x: those are no members, and have no routes.
    pub topics: Vec<String>,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as in MeshCounters, which describes them")]
pub struct Counters {
    pub packets_in: u64,
    pub packets_out: u64,
    pub forwarded: u64,
    pub dropped_ttl: u64,
    pub dropped_no_way: u64,
    pub dropped_full: u64,
    pub dropped_limit: u64,
    pub looped: u64,
    pub unknown_type: u64,
    pub not_for_us: u64,
    pub messages_sent: u64,
    pub copies_sent: u64,
    pub resent: u64,
    pub delivered: u64,
    pub duplicates: u64,
}

/// A certificate and how long it is valid.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Whose it is.
    pub subject: String,
    /// Who has issued it.
    pub issuer: String,
    /// Its serial number.
    pub serial: String,
    /// When it ends, seconds since 1970.
    pub not_after: u64,
    /// The CAs that the node trusts.
    pub authorities: Vec<String>,
}

impl MeshStatus {
    pub(super) fn new(report: &MeshReport, context: &RpcContext) -> Self {
        let text = |id: &PeerId| id.to_string();
        let c = &report.counters;
        Self {
            id: text(&report.name),
            short: report.short.to_string(),
            role: role(report.role),
            height: report.height,
            groups: report.groups.clone(),
            topics: report.topics.clone(),
            router_seq: report.router_seq,
            status_seq: report.status_seq,
            topic_seq: report.topic_seq,
            members: report.members.iter().map(MemberStatus::new).collect(),
            sessions: report.sessions.iter().map(SessionStatus::new).collect(),
            links: report.links.iter().map(|(one, other)| (text(one), text(other))).collect(),
            pending: report.pending,
            counters: Counters {
                packets_in: c.packets_in,
                packets_out: c.packets_out,
                forwarded: c.forwarded,
                dropped_ttl: c.dropped_ttl,
                dropped_no_way: c.dropped_no_way,
                dropped_full: c.dropped_full,
                dropped_limit: c.dropped_limit,
                looped: c.looped,
                unknown_type: c.unknown_type,
                not_for_us: c.not_for_us,
                messages_sent: c.messages_sent,
                copies_sent: c.copies_sent,
                resent: c.resent,
                delivered: c.delivered,
                duplicates: c.duplicates,
            },
            certificate: context.reloader.as_ref().map(|reloader| {
                let (credentials, trust) =
                    (reloader.material().credentials(), reloader.material().trust());
                let certificate = credentials.certificate();
                let authorities = trust.authorities().iter();
                CertificateStatus {
                    subject: certificate.subject.clone(),
                    issuer: certificate.issuer.clone(),
                    serial: certificate.serial.clone(),
                    not_after: certificate.not_after,
                    authorities: authorities.map(|ca| ca.subject.clone()).collect(),
                }
            }),
        }
    }
}

impl MemberStatus {
    fn new(member: &MemberReport) -> Self {
        Self {
            id: member.name.to_string(),
            short: member.short.to_string(),
            hops: member.distance,
            via: member.next_hop.map(|id| id.to_string()),
            status_seq: member.status_seq,
            topic_seq: member.topic_seq,
            groups: member.groups.clone(),
            front_nodes: member.front_nodes,
            role: member.role.map(role),
            height: member.height,
            topics: member.topics.clone(),
        }
    }
}

impl SessionStatus {
    fn new(session: &SessionReport) -> Self {
        use chainmesh_proto::module::PeerKind;
        let kind = match session.kind {
            PeerKind::Own => "own",
            PeerKind::Fisco3 => "fisco3",
            PeerKind::Fisco2 => "fisco2",
        };
        Self {
            peer: session.peer.to_string(),
            kind: kind.into(),
            version: session.version as u16,
            negotiated: session.negotiated,
            topics: session.rc2_topics.clone(),
        }
    }
}

/// What a node is, in FISCO's words.
fn role(role: NodeType) -> String {
    match role {
        NodeType::CONSENSUS => "consensus".into(),
        NodeType::OBSERVER => "observer".into(),
        NodeType::FREE => "free".into(),
        NodeType::LIGHT => "light".into(),
        other => format!("{other:?}"),
    }
}
