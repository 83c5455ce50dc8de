//! What a mesh is told before it starts, and the numbers of FISCO BCOS that it keeps to.

use core::time::Duration;

use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_wire::mesh::{ModuleId, NodeType, VersionRange};

use super::Limits;

/// How often the number of the router table is told to neighbours (FISCO's `ServiceV2`, 3,000 ms).
pub const ROUTER_PERIOD: Duration = Duration::from_secs(3);
/// Changes of the router table within this time are told together; the first is told at once.
/// FISCO tells each one. Chosen: a tenth of what people notice, and a crowd that starts together
/// exchanges few tables.
pub const ROUTER_SPACING: Duration = Duration::from_millis(50);
/// A way that grew twice in a row leads in circles, mostly: it is not used for this time, in which
/// the last of the old news has gone round. Chosen: ten hops of [`ROUTER_SPACING`].
pub const ROUTER_HOLD: Duration = Duration::from_millis(500);
/// How often the number of the node status is told to everybody (`GatewayNodeManager`, 1,000 ms).
pub const STATUS_PERIOD: Duration = Duration::from_secs(1);
/// How often the number of the topic list is told to everybody (`TopicManager`, 2,000 ms).
pub const TOPIC_PERIOD: Duration = Duration::from_secs(2);
/// Changes of the topic list within this time are told together; the first is told at once. FISCO
/// tells them with the next period only. Chosen: as [`ROUTER_SPACING`], for a crowd of SDKs that
/// subscribes together.
pub const TOPIC_SPACING: Duration = ROUTER_SPACING;
/// How often the topic number is told to a 2.x neighbour: its heartbeat (`P2PSession`, 5,000 ms).
pub const RC2_PERIOD: Duration = Duration::from_secs(5);
/// How long a gateway has to acknowledge a unicast before the next one is tried (`Gateway.cpp`,
/// 10,000 ms).
pub const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a sender waits for the application's reply after the acknowledgement, if it does not
/// say otherwise. Chosen: as long as for the acknowledgement.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time without acknowledgement a message to one of our own nodes is sent again (they
/// deliver it once all the same). Chosen: by then the routes had one period to heal.
pub const RESEND_AFTER: Duration = ROUTER_PERIOD;
/// A node that cannot be reached is forgotten after this time. Chosen: long enough that all
/// neighbours have heard that it is gone.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Most members that are known at a time, if the configuration does not say otherwise. Chosen:
/// forty times the largest network that is asked for; about 1.5 KiB each with RSA keys.
pub const MAX_MEMBERS: usize = 4096;
/// Largest router table that is read, bytes after unpacking: [`MAX_MEMBERS`] with RSA-2048 keys take
/// 4.7 MB.
pub const MAX_TABLE_BYTES: usize = 8 * 1024 * 1024;
/// Largest node status that is read, bytes after unpacking. Chosen: 1,024 front nodes take 150 KiB.
pub const MAX_STATUS_BYTES: usize = 512 * 1024;
/// Largest topic list that is read, bytes after unpacking: our own nodes tell at most
/// [`MAX_NODE_TOPIC_BYTES`](crate::amop::MAX_NODE_TOPIC_BYTES), which JSON makes six times as long at
/// worst.
pub const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;
/// Most front nodes of one member, all groups together. Chosen: FISCO's Pro gateways serve some.
pub const MAX_FRONT_NODES: usize = 1024;
/// Most messages of our own that wait for an acknowledgement or a reply. Chosen: with
/// [`MAX_PENDING_BYTES`] a bound that memory can bear.
pub const MAX_PENDING: usize = 4096;
/// Most bytes of payload in messages of our own that wait for an acknowledgement. Chosen: two of
/// the largest packets.
pub const MAX_PENDING_BYTES: usize = 64 * 1024 * 1024;
/// Messages that are remembered for each source, so that a repetition is not delivered again.
/// Chosen: at 3,000 messages a second it reaches back over [`ACK_TIMEOUT`].
pub const RECENT_PER_SOURCE: usize = 32_768;
/// Messages that are remembered, all sources together: 48 MiB at most.
pub const RECENT_IN_ALL: usize = 1 << 20;

/// The module of `chainmesh send` and `chainmesh listen`. Chosen: none of FISCO's (1000 to 6000).
pub const MODULE_SEND: ModuleId = ModuleId(9000);
/// The group that a node is in when the configuration names none; FISCO's own default.
pub const DEFAULT_GROUP: &str = "group0";

/// What a mesh is told before it starts.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// This node.
    pub identity: CertificateIdentity,
    /// The packet versions it offers.
    pub versions: VersionRange,
    /// The groups in which it registers itself as a front node.
    pub groups: Vec<String>,
    /// What it is in its groups. Broadcasts for other kinds of nodes are not delivered here.
    pub role: NodeType,
    /// The highest block it has; only our own nodes read it.
    pub height: u64,
    /// Whether payloads above 1,024 bytes are packed where the version allows it. On by default in
    /// FISCO; off here, so that a payload is never copied. Packed payloads are always read.
    pub compression: bool,
    /// How much may be sent and received.
    pub limits: Limits,
    /// Most members that are known at a time.
    pub max_members: usize,
}

impl MeshConfig {
    /// A consensus node in [`DEFAULT_GROUP`], without limits.
    #[must_use]
    pub fn new(identity: CertificateIdentity) -> Self {
        Self {
            identity,
            versions: VersionRange::ALL,
            groups: vec![DEFAULT_GROUP.to_owned()],
            role: NodeType::CONSENSUS,
            height: 0,
            compression: false,
            limits: Limits::default(),
            max_members: MAX_MEMBERS,
        }
    }
}
