//! `[mesh]`: groups, role and limits.

use std::collections::BTreeMap;

use chainmesh_net::Bytes;
use chainmesh_net::mesh::{Limits, MeshOptions, ModuleId, NodeType, Rate};
use serde::Deserialize;

/// `[mesh]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MeshSection {
    /// The groups that the node takes part in; `["group0"]` if there are none here.
    pub groups: Vec<String>,
    /// What the node is in its groups.
    pub role: Option<RoleChoice>,
    /// Whether payloads above 1,024 bytes are packed.
    pub compression: bool,
    /// Members that are known at once, at most.
    pub max_members: Option<usize>,
    /// How much may be sent and received. Read again at run time.
    pub limits: LimitsSection,
}

/// What a node is in its groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleChoice {
    /// It takes part in consensus.
    Consensus,
    /// It follows the chain.
    Observer,
    /// It is outside the group.
    Free,
    /// A light node.
    Light,
}

/// `[mesh.limits]`. What is not named has no limit.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LimitsSection {
    /// For each neighbour.
    pub peer: RateSection,
    /// For each group that is not named in `groups`.
    pub group: RateSection,
    /// For groups by name.
    pub groups: BTreeMap<String, RateSection>,
    /// For modules by number.
    pub modules: BTreeMap<ModuleNumber, RateSection>,
    /// Modules that no limit holds up; FISCO's own exceptions if not given.
    pub exempt: Option<Vec<u16>>,
}

/// The number of a module, which is the key of a table, and so a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ModuleNumber(u16);

impl TryFrom<String> for ModuleNumber {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self).map_err(|_| "a module is a number from 0 to 65535")
    }
}

/// How much a second.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RateSection {
    /// Bytes of whole packets.
    pub bytes: Option<u64>,
    /// Messages.
    pub messages: Option<u64>,
}

impl From<RateSection> for Rate {
    fn from(section: RateSection) -> Self {
        Self { bytes: section.bytes, messages: section.messages }
    }
}

impl LimitsSection {
    /// The limits that the mesh keeps.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let mut limits =
            Limits { peer: self.peer.into(), group: self.group.into(), ..Limits::default() };
        let groups = self.groups.iter();
        limits.groups =
            groups.map(|(name, rate)| (Bytes::from(name.clone()), (*rate).into())).collect();
        let modules = self.modules.iter();
        limits.modules =
            modules.map(|(module, rate)| (ModuleId(module.0), (*rate).into())).collect();
        if let Some(exempt) = &self.exempt {
            limits.exempt = exempt.iter().copied().map(ModuleId).collect();
        }
        limits
    }
}

impl MeshSection {
    /// What the mesh is made from; a node without a role of its own has `role`.
    #[must_use]
    pub fn options(&self, role: NodeType) -> MeshOptions {
        let mut options = MeshOptions {
            role: self.role.map_or(role, RoleChoice::node_type),
            compression: self.compression,
            limits: self.limits.limits(),
            ..MeshOptions::default()
        };
        if !self.groups.is_empty() {
            options.groups.clone_from(&self.groups);
        }
        options.max_members = self.max_members.unwrap_or(options.max_members);
        options
    }
}

impl RoleChoice {
    const fn node_type(self) -> NodeType {
        match self {
            Self::Consensus => NodeType::CONSENSUS,
            Self::Observer => NodeType::OBSERVER,
            Self::Free => NodeType::FREE,
            Self::Light => NodeType::LIGHT,
        }
    }
}
