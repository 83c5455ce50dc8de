//! Node statuses: which groups and front nodes each gateway serves, by number (`GatewayNodeManager`
//! of FISCO), and what our own nodes add to it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::mesh::{
    GroupNodeInfo, GroupType, Message, NodeExtension, NodeStatus, NodeType, PacketType,
    ProtocolInfo, module,
};

use super::config::MAX_FRONT_NODES;
use super::{AmopEvent, Mesh, MeshEvent, MeshFault, Output};
use crate::module::PeerKind;

/// Versions of the front service that we announce, those of FISCO 3.0 to 3.4.
const FRONT_VERSIONS: ProtocolInfo =
    ProtocolInfo { module: module::NODE_SERVICE, min_version: 0, max_version: 1 };

/// Announcements in a row with a smaller number after which a member is taken to have started anew.
const BEGAN_ANEW: u8 = 3;

/// What a member told of itself.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) seq: u32,
    pub(super) extension: Option<NodeExtension>,
    /// How often in a row a smaller number was told.
    below: u8,
    /// Group and front node, raw.
    fronts: Vec<(Bytes, Bytes)>,
    groups: BTreeSet<Bytes>,
}

impl Status {
    /// Its groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Bytes> {
        self.groups.iter()
    }

    /// Front nodes, all groups together.
    pub(super) const fn front_nodes(&self) -> usize {
        self.fronts.len()
    }
}

/// The statuses of all members, and ours.
#[derive(Debug)]
pub(super) struct Statuses {
    /// Number of ours; starts at 1.
    pub(super) seq: u32,
    members: BTreeMap<ShortId, Status>,
    /// Who announced a front node of a group.
    by_front: BTreeMap<(Bytes, Bytes), BTreeSet<ShortId>>,
}

impl Statuses {
    pub(super) const fn new() -> Self {
        Self { seq: 1, members: BTreeMap::new(), by_front: BTreeMap::new() }
    }

    pub(super) fn get(&self, member: &ShortId) -> Option<&Status> {
        self.members.get(member)
    }

    /// The gateways of a front node, smallest ID first, as FISCO tries them.
    pub(super) fn gateways(&self, group: &Bytes, front: &Bytes) -> Option<&BTreeSet<ShortId>> {
        self.by_front.get(&(group.clone(), front.clone()))
    }

    /// Whether a member is in a group; `None` while its status is not known.
    pub(super) fn is_in(&self, member: &ShortId, group: &Bytes) -> Option<bool> {
        self.members.get(member).map(|status| status.groups.contains(group))
    }

    /// Whether a member's number is smaller than the one known so often that it must have started
    /// anew, unnoticed because it was back before its loss had been told. (FISCO would wait until
    /// the number is above the old one.) Once or twice it may be an announcement that took longer.
    fn began_anew(&mut self, member: &ShortId, seq: u32) -> bool {
        let Some(status) = self.members.get_mut(member) else { return false };
        status.below = if seq < status.seq { status.below + 1 } else { 0 };
        status.below >= BEGAN_ANEW
    }

    pub(super) fn forget(&mut self, member: &ShortId) {
        let Some(status) = self.members.remove(member) else { return };
        for front in status.fronts {
            if let Some(gateways) = self.by_front.get_mut(&front) {
                gateways.remove(member);
                if gateways.is_empty() {
                    self.by_front.remove(&front);
                }
            }
        }
    }

    fn put(&mut self, member: ShortId, status: Status) {
        self.forget(&member);
        for front in &status.fronts {
            self.by_front.entry(front.clone()).or_default().insert(member);
        }
        self.members.insert(member, status);
    }
}

impl Mesh {
    /// Our status as it is sent.
    pub(super) fn own_status(&self) -> NodeStatus {
        let front = Bytes::from(const_hex::encode(&self.own.front));
        let role = self.config.role;
        let group_type = match role {
            NodeType::CONSENSUS => GroupType::CONSENSUS,
            NodeType::FREE => GroupType::OUTSIDE,
            _ => GroupType::OBSERVER,
        };
        let groups = self.groups.iter().map(|group| GroupNodeInfo {
            group: group.clone(),
            nodes: vec![front.clone()],
            group_type,
            protocols: vec![FRONT_VERSIONS],
            node_types: vec![role],
        });
        NodeStatus {
            uuid: self.own.long.as_bytes().clone(),
            seq: self.statuses.seq,
            groups: groups.collect(),
            extension: Some(NodeExtension { role, height: self.config.height }),
        }
    }

    /// Our role or height is another.
    pub(super) fn set_local(&mut self, role: NodeType, height: u64) {
        if (role, height) != (self.config.role, self.config.height) {
            (self.config.role, self.config.height) = (role, height);
            // Told with the next announcement: a chain that is being imported changes often.
            self.statuses.seq = self.statuses.seq.wrapping_add(1);
        }
    }

    /// Tells everybody the number of our status; one packet number for all, as FISCO.
    pub(super) fn announce_status(&mut self) {
        let seq = self.next_seq();
        let message = Message::SyncNodeSeq(self.statuses.seq);
        let payload = message.encode_payload();
        for member in self.router.reachable().collect::<Vec<_>>() {
            self.send_numbered(member, PacketType::SyncNodeSeq, seq, payload.clone());
        }
    }

    /// A member can be reached from now on: it need not wait for the next announcement.
    pub(super) fn greet(&mut self, member: ShortId) {
        self.send_control(member, &Message::SyncNodeSeq(self.statuses.seq));
        self.send_topic_seq(member);
    }

    pub(super) fn status_seq_came(&mut self, from: ShortId, seq: u32) {
        if self.router.distance(&from).is_none() {
            self.counters.unknown_source += 1;
            return;
        }
        if self.statuses.began_anew(&from, seq) {
            self.statuses.forget(&from);
        }
        // Asked again with every announcement until the answer comes.
        if self.statuses.get(&from).is_none_or(|known| seq > known.seq) {
            self.send_control(from, &Message::RequestNodeStatus);
        }
    }

    pub(super) fn status_asked(&mut self, from: ShortId) {
        let status = self.own_status();
        self.send_control(from, &Message::ResponseNodeStatus(status));
    }

    pub(super) fn status_came(
        &mut self,
        from: ShortId,
        status: &NodeStatus,
    ) -> Result<(), MeshFault> {
        if self.router.distance(&from).is_none() {
            self.counters.unknown_source += 1;
            return Ok(());
        }
        let (mut fronts, mut groups) = (Vec::new(), BTreeSet::new());
        for group in &status.groups {
            let id = Bytes::copy_from_slice(&group.group);
            for node in &group.nodes {
                // A name that is not hex names nobody whom we could send to.
                let Ok(front) = const_hex::decode(node) else { continue };
                fronts.push((id.clone(), Bytes::from(front)));
            }
            groups.insert(id);
        }
        if fronts.len() > MAX_FRONT_NODES {
            let (what, limit) = ("front nodes of a member", MAX_FRONT_NODES);
            return Err(MeshFault::TooLarge { what, size: fronts.len(), limit });
        }
        let (seq, extension) = (status.seq, status.extension);
        if self.statuses.get(&from).is_some_and(|known| seq <= known.seq) {
            return Ok(());
        }
        self.statuses.put(from, Status { seq, extension, below: 0, fronts, groups });
        let member = self.router.name(&from);
        self.outputs.push_back(Output::Event(MeshEvent::Status { member, seq }));
        Ok(())
    }

    /// A member cannot be reached any more: what it told does not hold when it comes back, perhaps
    /// with smaller numbers.
    pub(super) fn forget_member(&mut self, member: &ShortId) {
        self.statuses.forget(member);
        if self.topics.get(member).is_some() {
            self.topics.forget(member);
            self.amop(AmopEvent::Lost { node: *member });
        }
    }

    /// Whether a member is one of our own nodes: then it delivers a message once, however often it
    /// comes, and confirms broadcasts.
    pub(super) fn is_own_kind(&self, member: &ShortId) -> bool {
        let neighbour = self.by_peer.get(member).and_then(|id| self.sessions.get(id));
        neighbour.is_some_and(|session| session.kind == PeerKind::Own)
            || self.statuses.get(member).is_some_and(|status| status.extension.is_some())
    }
}
