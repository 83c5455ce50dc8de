//! How the network looks at one moment: what all screens show.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chainmesh_identity::PeerId;
use chainmesh_net::PeerStatus;
use chainmesh_proto::eth::chain::{ChainHead, ChainReader};
use chainmesh_proto::peers::{ConnectionId, PeerState};

use super::accounts;
use super::chatter::{Chatter, Pings};
use super::events::{Event, Events};
use super::mesh::{self, MeshView};
use super::network::{Member, Network, Role};
use super::traffic::Payments;
use crate::cli::output::short_hash;
use crate::node::Node;

/// Time over which blocks per second are measured.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// A node that misses more blocks than this is said to catch up: the last one may be on its way.
const ON_ITS_WAY: u64 = 1;

/// A node that misses more than this has fallen out of step.
const FAR_BEHIND: u64 = 3;

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    /// It has not been started.
    Waiting,
    /// It reads the chain file; the part that is done.
    Importing(f64),
    /// It gets blocks that others have; the part that it has.
    CatchingUp(f64),
    /// It has what there is.
    InStep,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Importing(_) => "importing",
            Self::CatchingUp(_) => "catching up",
            Self::InStep => "in step",
        }
    }

    /// The part of its work that is done, from 0 to 1.
    pub(super) const fn progress(self) -> f64 {
        match self {
            Self::Waiting => 0.0,
            Self::Importing(part) | Self::CatchingUp(part) => part,
            Self::InStep => 1.0,
        }
    }
}

/// One node at one moment.
#[derive(Debug, Clone)]
pub(super) struct NodeView {
    /// From 1.
    pub(super) number: usize,
    pub(super) role: Role,
    pub(super) state: State,
    pub(super) enode: Option<String>,
    /// Where its JSON-RPC is, over HTTP and WebSocket.
    pub(super) rpc: Option<SocketAddr>,
    pub(super) peers: usize,
    pub(super) head: ChainHead,
    /// Blocks since the start.
    pub(super) blocks: u64,
    pub(super) blocks_per_second: f64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Transactions that wait for a block.
    pub(super) pool: usize,
    /// In a consortium: how it sees the mesh.
    pub(super) mesh: Option<MeshView>,
    /// Blocks that others have and it has not.
    missing: u64,
}

impl NodeView {
    pub(super) const fn is_far_behind(&self) -> bool {
        self.missing > FAR_BEHIND
    }
}

/// What is only there in a consortium.
#[derive(Debug, Clone)]
pub(super) struct ConsortiumView {
    /// The command that shows it from inside.
    pub(super) hint: String,
    /// Messages from the first node to the last.
    pub(super) pings: Pings,
}

/// All nodes at one moment.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// Since the start.
    pub(super) elapsed: Duration,
    pub(super) nodes: Vec<NodeView>,
    /// The highest head of all.
    pub(super) best: ChainHead,
    /// Whether all nodes are on one chain, and miss at most the block that is on its way.
    pub(super) synced: bool,
    /// Where JSON-RPC is, and how to spend the money that there is.
    pub(super) hints: Vec<String>,
    /// What became of the payments of the network, where it makes some.
    pub(super) payments: Option<Payments>,
    /// In a consortium.
    pub(super) consortium: Option<ConsortiumView>,
    /// The last events, oldest first.
    pub(super) events: Vec<Event>,
    /// How many events there were since the start.
    pub(super) event_count: u64,
}

impl View {
    /// Whether all nodes have the same head.
    pub(super) fn heads_agree(&self) -> bool {
        self.nodes.iter().all(|node| node.head.hash == self.best.hash)
    }

    /// What is going on, in a few words.
    pub(super) fn phase(&self) -> String {
        let part = |of: fn(State) -> Option<f64>| {
            let parts = self.nodes.iter().filter_map(|node| of(node.state));
            parts.min_by(f64::total_cmp).map(|part| (part * 100.0).floor())
        };
        let importing = |state| match state {
            State::Importing(part) => Some(part),
            _ => None,
        };
        let catching_up = |state| match state {
            State::CatchingUp(part) => Some(part),
            _ => None,
        };
        if let Some(percent) = part(importing) {
            format!("importing {percent} %")
        } else if let Some(percent) = part(catching_up) {
            format!("catching up {percent} %")
        } else if self.synced {
            "in step".into()
        } else if self.nodes.iter().any(|node| node.state == State::Waiting) {
            "starting".into()
        } else if self.nodes.iter().any(|node| node.head.number == 0) {
            "waiting for the first block".into()
        } else {
            "the heads differ".into()
        }
    }

    /// The events that nobody has seen yet who has seen `seen` of them.
    pub(super) fn events_after(&self, seen: u64) -> &[Event] {
        let new = usize::try_from(self.event_count - seen).unwrap_or(usize::MAX);
        let from = self.events.len().saturating_sub(new);
        self.events.get(from..).unwrap_or_default()
    }
}

/// What has to be remembered of a node to tell how it changed.
#[derive(Debug, Default)]
struct Memory {
    first_head: Option<u64>,
    heads: VecDeque<(Instant, u64)>,
    /// Traffic of the connections that exist, and the sum of those that are gone.
    traffic: BTreeMap<ConnectionId, (u64, u64)>,
    gone: (u64, u64),
    /// Peers at the last look.
    connected: BTreeSet<PeerId>,
}

/// Looks at the network again and again.
#[derive(Debug)]
pub(super) struct Sampler {
    began: Instant,
    memories: Vec<Memory>,
    numbers: HashMap<PeerId, usize>,
    events: Events,
    told_synced: bool,
    payments: Option<Payments>,
}

impl Sampler {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            memories: Vec::new(),
            numbers: HashMap::new(),
            events: Events::default(),
            told_synced: false,
            payments: None,
        }
    }

    /// Tells an event.
    pub(super) fn tell(&mut self, text: String) {
        self.events.push(self.began.elapsed(), text);
    }

    /// How the network looks now.
    pub(super) async fn sample(&mut self, network: &Network) -> anyhow::Result<View> {
        let now = Instant::now();
        self.memories.resize_with(network.len(), Memory::default);
        let heads = network.members.iter().map(|member| member.chain.head());
        let best = heads.max_by_key(|head| (head.total_difficulty, head.number));
        let best = best.context("a network has at least one node")?;
        for (index, member) in network.members.iter().enumerate() {
            if let Some(node) = &member.node {
                self.numbers.insert(node.net.local_id, index + 1);
            }
        }
        let mut nodes = Vec::with_capacity(network.len());
        for (index, member) in network.members.iter().enumerate() {
            let peers = match &member.node {
                Some(node) => node.net.peers().await?,
                None => Vec::new(),
            };
            self.connection_events(index, &peers);
            let importing = (index == 0).then(|| network.import_progress()).flatten();
            let memory = &mut self.memories[index];
            nodes.push(view(index + 1, member, memory, (now, &peers, importing, best)));
        }
        network.chatter().map(Chatter::events).into_iter().flatten().for_each(|event| {
            self.tell(event);
        });
        for (node, member) in nodes.iter_mut().zip(&network.members) {
            let mesh = member.node.as_ref().and_then(|node| node.net.mesh());
            node.mesh = mesh.map(|mesh| MeshView::new(&mesh.report(), &self.numbers));
        }
        let consortium = network.consortium().map(|data_dir| ConsortiumView {
            hint: mesh::hint(data_dir),
            pings: network.chatter().map(Chatter::pings).unwrap_or_default(),
        });
        let synced = network.is_running() && in_step(network, &nodes, best).await?;
        self.sync_events(&nodes, best, synced);
        let (events, event_count) = self.events.snapshot();
        let elapsed = now - self.began;
        let payments = self.payments(network);
        let hints = hints(network, &nodes);
        Ok(View { elapsed, nodes, best, synced, hints, payments, consortium, events, event_count })
    }

    /// What became of the payments; those of the end stay when no more are made.
    fn payments(&mut self, network: &Network) -> Option<Payments> {
        let now = network.payments();
        self.payments = now.or(self.payments);
        self.payments
    }

    /// Connections that came and went since the last look. Both ends know of them; the word of the
    /// node with the greater number is taken.
    fn connection_events(&mut self, index: usize, peers: &[PeerStatus]) {
        let connected = peers.iter().filter(|peer| peer.info.state == PeerState::Connected);
        let now: BTreeSet<PeerId> = connected.filter_map(|peer| peer.info.id).collect();
        let before = core::mem::replace(&mut self.memories[index].connected, now.clone());
        let changes = now.difference(&before).map(|peer| (peer, "is connected to"));
        let changes = changes.chain(before.difference(&now).map(|peer| (peer, "has lost")));
        let number = index + 1;
        let mut texts = Vec::new();
        for (peer, what) in changes {
            match self.numbers.get(peer) {
                Some(other) if *other > number => {}
                Some(other) => texts.push(format!("node {number} {what} node {other}")),
                None => texts.push(format!("node {number} {what} {}", peer.short())),
            }
        }
        texts.into_iter().for_each(|text| self.tell(text));
    }

    fn sync_events(&mut self, nodes: &[NodeView], best: ChainHead, synced: bool) {
        if nodes.iter().any(NodeView::is_far_behind) {
            self.told_synced = false;
        }
        if synced && !self.told_synced {
            self.told_synced = true;
            let all = nodes.iter().map(|node| node.head).min_by_key(|head| head.number);
            let head = all.unwrap_or(best);
            let hash = short_hash(&head.hash);
            self.tell(format!("all nodes have block {} ({hash})", head.number));
        }
    }
}

/// What somebody needs who wants to send a transaction.
fn hints(network: &Network, nodes: &[NodeView]) -> Vec<String> {
    let ports: Vec<SocketAddr> = nodes.iter().filter_map(|node| node.rpc).collect();
    let (Some(first), Some(last)) = (ports.first(), ports.last()) else { return Vec::new() };
    let in_row = ports.windows(2).all(|two| two[1].port() == two[0].port().wrapping_add(1));
    let rest = match ports.len() {
        1 => String::new(),
        count if in_row => format!(", up to port {} (node {count})", last.port()),
        _ => String::from("; the log names the others"),
    };
    let rpc = format!("JSON-RPC at http://{first} (node 1){rest}");
    let money = network.members.first().and_then(|member| accounts::key_hint(&member.chain));
    core::iter::once(rpc).chain(money).collect()
}

fn view(
    number: usize,
    member: &Member,
    memory: &mut Memory,
    (now, peers, importing, best): (Instant, &[PeerStatus], Option<f64>, ChainHead),
) -> NodeView {
    let head = member.chain.head();
    let first = *memory.first_head.get_or_insert(head.number);
    let (bytes_in, bytes_out) = memory.traffic(peers);
    let missing = best.number.saturating_sub(head.number);
    let state = match (importing, &member.node) {
        (Some(part), _) => State::Importing(part),
        (None, None) => State::Waiting,
        (None, Some(_)) if missing > ON_ITS_WAY => {
            State::CatchingUp(head.number as f64 / best.number as f64)
        }
        (None, Some(_)) => State::InStep,
    };
    NodeView {
        number,
        role: member.role,
        state,
        enode: member.node.as_ref().map(|node| node.enode.to_string()),
        rpc: member.node.as_ref().and_then(|node| node.rpc.http),
        peers: member.node.as_ref().map_or(0, |node| node.net.peer_count()),
        head,
        blocks: head.number.saturating_sub(first),
        blocks_per_second: memory.rate(now, head.number),
        bytes_in,
        bytes_out,
        pool: member.node.as_ref().and_then(Node::pool).map_or(0, |pool| pool.status().pending),
        mesh: None,
        missing,
    }
}

impl Memory {
    /// Blocks per second over the last seconds.
    fn rate(&mut self, now: Instant, head: u64) -> f64 {
        self.heads.push_back((now, head));
        while self.heads.len() > 2
            && self.heads.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RATE_WINDOW)
        {
            self.heads.pop_front();
        }
        let Some((at, before)) = self.heads.front() else { return 0.0 };
        let seconds = now.duration_since(*at).as_secs_f64();
        if seconds > 0.0 { head.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }

    /// Bytes in and out since the start, of connections that are gone, too.
    fn traffic(&mut self, peers: &[PeerStatus]) -> (u64, u64) {
        let before = core::mem::take(&mut self.traffic);
        for peer in peers {
            if let Some(connection) = peer.info.connection {
                self.traffic.insert(connection, (peer.bytes_in, peer.bytes_out));
            }
        }
        for (connection, (bytes_in, bytes_out)) in before {
            if !self.traffic.contains_key(&connection) {
                self.gone.0 += bytes_in;
                self.gone.1 += bytes_out;
            }
        }
        let add = |sum: (u64, u64), one: &(u64, u64)| (sum.0 + one.0, sum.1 + one.1);
        self.traffic.values().fold(self.gone, add)
    }
}

/// Whether the heads of all nodes are on the chain of the best one, at its end.
async fn in_step(network: &Network, nodes: &[NodeView], best: ChainHead) -> anyhow::Result<bool> {
    // Where no blocks are made, none is on its way.
    let makes_blocks = nodes.iter().any(|node| node.role == Role::Validator);
    let allowed = if makes_blocks { ON_ITS_WAY } else { 0 };
    let near = nodes.iter().all(|node| node.missing <= allowed && node.head.number > 0);
    let holder = nodes.iter().position(|node| node.head == best);
    let Some(member) = holder.and_then(|index| network.members.get(index)) else {
        return Ok(false);
    };
    if !near {
        return Ok(false);
    }
    let (chain, heads) = (Arc::clone(&member.chain), nodes.iter().map(|node| node.head).collect());
    let look = move |heads: Vec<ChainHead>| {
        for head in heads {
            if chain.canonical_hash(head.number)? != Some(head.hash) {
                return Ok(false);
            }
        }
        Ok::<_, anyhow::Error>(true)
    };
    tokio::task::spawn_blocking(move || look(heads)).await?
}
