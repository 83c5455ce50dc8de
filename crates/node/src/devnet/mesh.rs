//! The consortium of a development network: its CA, its certificates, who is linked to whom, and
//! how each node sees the mesh.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use chainmesh_identity::PeerId;
use chainmesh_identity::key_file::KEY_FILE_NAME;
use chainmesh_net::mesh::{MeshOptions, MeshReport, NodeType};

use super::network::Role;
use crate::cli::ca;
use crate::config::NodeAddress;
use crate::consortium::{Consortium, Membership};
use crate::node::{Node, NodeOptions};
use crate::sdk::SdkOptions;

/// Directory of the CA, in that of the network.
const AUTHORITY: &str = "ca";
/// Directory of a node's certificates, in that of the node.
const CERTIFICATES: &str = "cert";

/// The mesh as a node sees it.
#[derive(Debug, Clone)]
pub(super) struct MeshView {
    /// Other members that can be reached.
    pub(super) members: usize,
    /// Of these, those that there is a link to.
    pub(super) links: usize,
    /// The ways to the others.
    pub(super) routes: Vec<Route>,
    /// The topics it follows.
    pub(super) topics: Vec<String>,
    /// Messages of its own.
    pub(super) sent: u64,
    /// Messages that it was given.
    pub(super) delivered: u64,
    /// Packets that it passed on for others.
    pub(super) forwarded: u64,
}

/// The way to a member without a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    /// The member's number in the network; `None` for one from elsewhere.
    pub(super) to: Option<usize>,
    /// The number of the neighbour on the way.
    pub(super) via: Option<usize>,
    /// Links on the way.
    pub(super) hops: u32,
}

impl MeshView {
    pub(super) fn new(report: &MeshReport, numbers: &HashMap<PeerId, usize>) -> Self {
        let reached = report.members.iter().filter_map(|member| Some((member, member.distance?)));
        let mut view = Self {
            members: 0,
            links: 0,
            routes: Vec::new(),
            topics: report.topics.clone(),
            sent: report.counters.messages_sent,
            delivered: report.counters.delivered,
            forwarded: report.counters.forwarded,
        };
        for (member, hops) in reached {
            view.members += 1;
            if hops <= 1 {
                view.links += 1;
            } else {
                let number = |id: PeerId| numbers.get(&id).copied();
                let via = member.next_hop.and_then(number);
                view.routes.push(Route { to: number(member.name), via, hops });
            }
        }
        view.routes.sort();
        view
    }

    /// The ways, in a few letters: `4 via 2`.
    pub(super) fn routes_text(&self) -> String {
        let name = |number: Option<usize>| number.map_or_else(|| "?".into(), |n| n.to_string());
        match self.routes.as_slice() {
            [] => "-".into(),
            [route] => format!("{} via {}", name(route.to), name(route.via)),
            [route, rest @ ..] => {
                format!("{} via {} +{}", name(route.to), name(route.via), rest.len())
            }
        }
    }
}

/// Makes CA and certificates, for the keys that the nodes have.
pub(super) fn certify(data_dir: &Path, nodes: &[PathBuf]) -> anyhow::Result<()> {
    let numbered = nodes.iter().enumerate();
    let nodes: Vec<_> = numbered
        .map(|(index, node)| {
            (format!("node{}", index + 1), node.join(CERTIFICATES), node.join(KEY_FILE_NAME))
        })
        .collect();
    ca::provide(&data_dir.join(AUTHORITY), &nodes)
}

/// Makes a node that will be in the consortium, with links to these.
pub(super) fn join(
    options: &mut NodeOptions,
    role: Role,
    links: BTreeSet<NodeAddress>,
) -> anyhow::Result<()> {
    let directory = options.lock.data_dir().join(CERTIFICATES);
    let source = Membership { config: None, directory: Some(directory.clone()), nodes: links };
    options.consortium = Some(Consortium::load(source)?);
    let role = match role {
        Role::Validator => NodeType::CONSENSUS,
        Role::Source | Role::Full => NodeType::OBSERVER,
    };
    options.mesh = Some(MeshOptions { role, ..MeshOptions::default() });
    let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    options.sdk = Some(SdkOptions {
        channel: any,
        websocket: any,
        directory: Some(directory),
        ..SdkOptions::default()
    });
    Ok(())
}

/// Whether two nodes (from 1) of `count` are linked: all are, except the first and the last.
pub(super) const fn are_linked(one: usize, other: usize, count: usize) -> bool {
    count < 3 || !(one == 1 && other == count || one == count && other == 1)
}

/// Where SDKs connect, by node.
pub(super) fn ports(number: usize, node: &Node) -> Option<String> {
    let ports = node.sdk.as_ref()?;
    let (channel, websocket) = (ports.channel?, ports.websocket?);
    Some(format!("node {number}: SDKs of 2.x at {channel}, of 3.x at {websocket}"))
}

/// Where the commands are told that show and use the mesh.
pub(super) fn hint(data_dir: &Path) -> String {
    format!("chainmesh mesh --data-dir {}", data_dir.join("node1").display())
}
