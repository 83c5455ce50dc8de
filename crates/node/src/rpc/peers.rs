//! Peers as `admin_peers` and `chainmesh_wantedPeers` show them.

use chainmesh_net::{Banned, DisconnectReason, NodeKind, NodeRole, PeerStatus};
use chainmesh_proto::peers::{ClosedBy, Direction, Outcome, PeerState, Slot};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::story::BanReport;

/// A connected peer, in go-ethereum's shape; from `direction` on it is ours alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectedPeer {
    /// keccak256 of the public key, in hex without `0x`.
    pub id: String,
    /// Name and version of its software, as it says; escaped.
    pub name: String,
    /// Where it can be reached, or its address when it came to us.
    pub enode: String,
    /// Its capabilities, such as `eth/68`.
    pub caps: Vec<String>,
    /// The connection.
    pub network: PeerNetwork,
    /// Its protocols that we speak, by name.
    pub protocols: Map<String, Value>,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// What its slot is counted as: `inbound`, `outbound` or `trusted`.
    #[serde(default)]
    pub slot: Option<String>,
    /// Below zero for what it did wrong, above for good conduct; fades with time.
    #[serde(default)]
    pub score: i32,
    /// `full` or `light`, as it says by `role/1`; `null`: it does not say, and is taken for full.
    #[serde(default)]
    pub role: Option<String>,
    /// Whether it takes light nodes as peers, as it says.
    #[serde(default)]
    pub serves_light: Option<bool>,
    /// Where it is in its life.
    pub state: String,
    /// The public key in hex without `0x`, as in an enode URL.
    pub public_key: String,
    /// Number of its head block, when it is known.
    pub head_number: Option<u64>,
    /// Last measured round trip, milliseconds.
    pub rtt_millis: Option<f64>,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// For how many seconds it has been connected.
    pub connected_seconds: Option<f64>,
    /// How earlier attempts and sessions ended, oldest first.
    pub history: Vec<String>,
}

/// The connection of a peer, in go-ethereum's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerNetwork {
    /// Our end of the connection.
    pub local_address: String,
    /// Its address.
    pub remote_address: String,
    /// Whether it came to us.
    pub inbound: bool,
    /// Whether its slot is beside the others.
    pub trusted: bool,
    /// Whether it is configured.
    #[serde(rename = "static")]
    pub is_static: bool,
}

/// A peer that is wanted and not connected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedPeer {
    /// The public key in hex without `0x`, when it is known.
    pub public_key: Option<String>,
    /// Where it is dialled, `host:port`.
    pub address: String,
    /// `boot`, `static`, `trusted` or `dynamic`.
    pub kind: String,
    /// Where it is in its life.
    pub state: String,
    /// Dials so far.
    pub dials: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Its score, from sessions before.
    #[serde(default)]
    pub score: i32,
    /// How the last attempt ended.
    pub last_error: Option<String>,
    /// Seconds until the next dial.
    pub next_dial_seconds: Option<f64>,
    /// How the last attempts ended, oldest first.
    pub history: Vec<String>,
}

/// Somebody whom the operator keeps out. Times are Unix times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BannedPeer {
    /// The public key in hex without `0x`, for the ban of a node.
    pub id: Option<String>,
    /// Where the node was last known to listen.
    pub enode: Option<String>,
    /// The IP address, for the ban of one.
    pub address: Option<String>,
    /// Since when, until when, what for.
    #[serde(flatten)]
    pub ban: BanReport,
}

impl From<&Banned> for BannedPeer {
    fn from(banned: &Banned) -> Self {
        let (id, enode, address, ban) = match banned {
            Banned::Node(id, enode, ban) => (Some(id), enode.as_ref(), None, ban),
            Banned::Address(ip, ban) => (None, None, Some(ip), ban),
        };
        Self {
            id: id.map(ToString::to_string),
            enode: enode.map(ToString::to_string),
            address: address.map(ToString::to_string),
            ban: ban.into(),
        }
    }
}

impl ConnectedPeer {
    /// A connected peer; `None` for one that is not.
    pub(super) fn new(
        status: &PeerStatus,
        head_number: Option<u64>,
        role: Option<NodeRole>,
    ) -> Option<Self> {
        let info = &status.info;
        let (id, address) = (info.id?, info.address?);
        if info.state != PeerState::Connected {
            return None;
        }
        let target = info.target.as_ref();
        let enode = match target {
            Some(target) => format!("enode://{id}@{}:{}", target.host, target.port),
            None => format!("enode://{id}@{address}"),
        };
        let inbound = info.direction == Some(Direction::Inbound);
        let mut protocols = Map::new();
        let eth = |capability: &String| capability.strip_prefix("eth/")?.parse::<u64>().ok();
        if let Some(version) = info.capabilities.iter().filter_map(eth).max() {
            protocols.insert("eth".into(), json!({ "version": version }));
        }
        Some(Self {
            id: alloy_primitives::hex::encode(id.node_hash()),
            name: info.client.clone(),
            enode,
            caps: info.capabilities.clone(),
            network: PeerNetwork {
                local_address: status
                    .local_address
                    .map_or_else(String::new, |address| address.to_string()),
                remote_address: address.to_string(),
                inbound,
                trusted: info.kind == Some(NodeKind::Trusted),
                is_static: info.kind.is_some_and(NodeKind::is_configured),
            },
            protocols,
            direction: if inbound { "inbound" } else { "outbound" }.into(),
            slot: info.slot.map(|at| slot(at).into()),
            score: info.score,
            role: role.map(|role| role.name().into()),
            serves_light: role.map(NodeRole::serves_light),
            state: state(info.state).into(),
            public_key: id.to_string(),
            head_number,
            rtt_millis: status.round_trip.map(|rtt| rtt.as_secs_f64() * 1000.0),
            bytes_in: status.bytes_in,
            bytes_out: status.bytes_out,
            messages_in: status.messages_in,
            messages_out: status.messages_out,
            connected_seconds: status.connected_for.map(|since| since.as_secs_f64()),
            history: history(status),
        })
    }
}

impl WantedPeer {
    /// A peer that is wanted and not connected; `None` for others.
    pub(super) fn new(status: &PeerStatus) -> Option<Self> {
        let info = &status.info;
        if info.state == PeerState::Connected {
            return None;
        }
        let target = info.target.as_ref()?;
        let history = history(status);
        Some(Self {
            public_key: info.id.map(|id| id.to_string()),
            address: format!("{}:{}", target.host, target.port),
            kind: kind(info.kind).into(),
            state: state(info.state).into(),
            dials: info.dials,
            failures: info.failures,
            score: info.score,
            last_error: history.last().cloned(),
            next_dial_seconds: status.next_dial_in.map(|left| left.as_secs_f64()),
            history,
        })
    }
}

fn history(status: &PeerStatus) -> Vec<String> {
    status.info.history.iter().map(|attempt| outcome(&attempt.outcome)).collect()
}

pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        // The one that people meet first, and whose word for word meaning helps nobody.
        Outcome::Ended { reason: DisconnectReason::TooManyPeers, by: ClosedBy::Peer, .. } => {
            "the peer has no free slot (too many peers)".into()
        }
        other => other.to_string(),
    }
}

pub(super) const fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::OwnAddress => "own address",
        PeerState::Waiting => "waiting",
        PeerState::Queued => "queued",
        PeerState::Dialing => "dialing",
        PeerState::Handshaking => "handshaking",
        PeerState::Authenticated => "authenticated",
        PeerState::Connected => "connected",
    }
}

pub(super) const fn slot(slot: Slot) -> &'static str {
    match slot {
        Slot::Inbound => "inbound",
        Slot::Outbound => "outbound",
        Slot::Trusted => "trusted",
    }
}

pub(super) const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

pub(super) const fn kind(kind: Option<NodeKind>) -> &'static str {
    match kind {
        Some(NodeKind::Boot) => "boot",
        Some(NodeKind::Static) => "static",
        Some(NodeKind::Trusted) => "trusted",
        Some(NodeKind::Dynamic) | None => "dynamic",
    }
}
