//! How a fleet comes into being: keys, addresses, a genesis, and what each node is told.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use chainmesh_chain::genesis::{DevNetwork, dev_clique};
use chainmesh_chain::{ChainSpec, clique};
use chainmesh_identity::{Enode, NodeKey, PeerId};

use super::{Fleet, Member};
use crate::blocks;
use crate::certs::{Consortium, DAY, NodeFiles};
use crate::process::{self, Process, Setup};
use crate::proxy::Proxy;
use crate::wait;

/// How the nodes of a fleet talk to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RLPx, as in Ethereum's open networks.
    Rlpx,
    /// TLS with certificates of a consortium's CA.
    Consortium,
}

impl Transport {
    /// For the table of results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rlpx => "RLPx",
            Self::Consortium => "TLS",
        }
    }
}

/// How a node is told of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeName {
    /// By its address: whoever is there, if its certificate is good.
    Address(SocketAddr),
    /// By its ID and its address: nobody else.
    Node(PeerId, SocketAddr),
}

impl NodeName {
    fn enode(&self) -> Option<Enode> {
        match self {
            Self::Address(_) => None,
            Self::Node(id, address) => Some(Enode::new(*id, address.ip(), address.port())),
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.enode()) {
            (_, Some(enode)) => enode.fmt(f),
            (Self::Address(address) | Self::Node(_, address), None) => address.fmt(f),
        }
    }
}

/// A fleet that is being described.
#[derive(Debug)]
pub struct FleetBuilder {
    transport: Transport,
    count: usize,
    sealing: bool,
    blocks: u64,
    proxied: BTreeSet<(usize, usize)>,
    missing: BTreeSet<(usize, usize)>,
}

/// Fleets of this process so far: each has addresses of its own.
static FLEETS: AtomicU32 = AtomicU32::new(0);

impl FleetBuilder {
    pub(super) fn new(transport: Transport, count: usize) -> Self {
        let (proxied, missing) = (BTreeSet::new(), BTreeSet::new());
        Self { transport, count, sealing: true, blocks: 0, proxied, missing }
    }

    /// Nobody makes blocks. (Otherwise node 0 seals one every second.)
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.sealing = false;
        self
    }

    /// All nodes have so many blocks when they start.
    #[must_use]
    pub const fn blocks(mut self, count: u64) -> Self {
        self.blocks = count;
        self
    }

    /// The link between these two leads through a proxy, and is dialled by `from` only.
    #[must_use]
    pub fn proxied(mut self, from: usize, to: usize) -> Self {
        self.proxied.insert((from, to));
        self
    }

    /// All links between a node of `left` and one of `right` lead through proxies.
    #[must_use]
    pub fn split(mut self, left: &[usize], right: &[usize]) -> Self {
        let pairs = left.iter().flat_map(|one| right.iter().map(|other| (*one, *other)));
        self.proxied.extend(pairs);
        self
    }

    /// There is no link between these two.
    #[must_use]
    pub fn unlinked(mut self, one: usize, other: usize) -> Self {
        self.missing.insert((one.min(other), one.max(other)));
        self
    }

    /// Makes all files and starts the proxies, and not the nodes.
    ///
    /// # Panics
    /// When something cannot be made.
    #[must_use]
    pub fn prepare(self) -> Fleet {
        let directory = tempfile::Builder::new().prefix("cm").tempdir().expect("a directory");
        let certified = self.certified(directory.path());
        let keys: Vec<NodeKey> = match &certified {
            Some((_, nodes)) => nodes.iter().map(|node| node.key.duplicate()).collect(),
            None => (0..self.count).map(key).collect(),
        };
        let addresses = addresses(self.count);
        let genesis = directory.path().join("genesis.json");
        write_genesis(&genesis, &keys[0]);
        let chain = (self.blocks > 0).then(|| {
            let path = directory.path().join("chain.rlp");
            let spec = ChainSpec::read(&genesis).expect("our own genesis file");
            let blocks = blocks::chain_file(&spec, &keys[0], self.blocks);
            fs::write(&path, blocks).expect("a chain file");
            path
        });
        let proxy = |(from, to): &(usize, usize)| {
            ((*from, *to), Proxy::start(addresses[*to]).expect("a proxy"))
        };
        let proxies: BTreeMap<(usize, usize), Proxy> = self.proxied.iter().map(proxy).collect();
        let nodes = keys.iter().enumerate().map(|(at, key)| {
            let name = format!("node{at}");
            let data_dir = directory.path().join(&name);
            fs::create_dir(&data_dir).expect("a data directory");
            let key_file = data_dir.join("p2p_key");
            fs::write(&key_file, key.to_hex().as_bytes()).expect("a key file");
            if let Some(chain) = &chain {
                import(&data_dir, &genesis, chain);
            }
            let mut arguments = vec!["--genesis".into(), text(&genesis)];
            if self.sealing && at == 0 {
                arguments.extend(["--validator-key".into(), text(&key_file)]);
            }
            let known: Vec<NodeName> = (0..self.count)
                .filter_map(|other| {
                    let address = self.way(at, other, &addresses, &proxies)?;
                    Some(match self.transport {
                        Transport::Rlpx => NodeName::Node(keys[other].peer_id(), address),
                        Transport::Consortium => NodeName::Address(address),
                    })
                })
                .collect();
            arguments.extend(match &certified {
                None => rlpx_arguments(addresses[at], &known),
                Some((_, files)) => tls_arguments(&data_dir, addresses[at], &known, &files[at]),
            });
            let process = Process::new(Setup { name, data_dir, arguments });
            Member { process, id: key.peer_id(), address: addresses[at] }
        });
        let nodes = nodes.collect();
        let missing = self.missing.iter().copied().collect();
        let (consortium, certificates) = certified.unzip();
        let certificates = certificates.unwrap_or_default();
        let transport = self.transport;
        Fleet { nodes, proxies, missing, transport, genesis, consortium, certificates, directory }
    }

    /// Starts all nodes at once, and waits until they are meshed, have the same chain, and none of
    /// them is about to dial anybody.
    ///
    /// # Panics
    /// When that does not happen within [`wait::PATIENCE`].
    #[must_use]
    pub fn start(self) -> Fleet {
        let mut fleet = self.prepare();
        fleet.start_all();
        fleet.recovered(wait::PATIENCE);
        // Two that dialled each other by address come to know it by another dial.
        let content = |member: &Member| member.process.wanted().is_empty();
        wait::until("nobody wants anybody", || fleet.nodes.iter().all(content));
        fleet
    }

    /// Certificates for all nodes, half of them from an agency.
    fn certified(&self, directory: &Path) -> Option<(Consortium, Vec<NodeFiles>)> {
        if self.transport == Transport::Rlpx {
            return None;
        }
        let mut consortium = Consortium::create(&directory.join("certificates"), 1);
        let nodes = (0..self.count).map(|at| {
            if at == self.count / 2 {
                consortium.agency("agency");
            }
            consortium.node(&format!("node{at}"))
        });
        let nodes = nodes.collect();
        Some((consortium, nodes))
    }

    /// Where `from` dials `to`; `None` if it does not.
    fn way(
        &self,
        from: usize,
        to: usize,
        addresses: &[SocketAddr],
        proxies: &BTreeMap<(usize, usize), Proxy>,
    ) -> Option<SocketAddr> {
        let missing = self.missing.contains(&(from.min(to), from.max(to)));
        if from == to || missing || proxies.contains_key(&(to, from)) {
            return None;
        }
        Some(proxies.get(&(from, to)).map_or(addresses[to], Proxy::address))
    }
}

/// Keys in a row; the tests are the same each time.
fn key(at: usize) -> NodeKey {
    let mut entropy = [0x5a; 32];
    entropy[0] = u8::try_from(at).expect("fewer than 256 nodes");
    NodeKey::from_entropy(entropy)
}

/// An address and a free port for each node. Every fleet has a network of its own out of
/// 127.0.0.0/8, all of which is this machine: no other test takes a port there, and no outbound
/// connection (from 127.0.0.1) does while a node is down.
fn addresses(count: usize) -> Vec<SocketAddr> {
    let fleet = FLEETS.fetch_add(1, Relaxed).wrapping_add(std::process::id().wrapping_mul(251));
    let [_, _, high, low] = fleet.to_be_bytes();
    let address = |at: usize| {
        let host = u8::try_from(at + 1).expect("fewer than 255 nodes");
        let ip = Ipv4Addr::new(127, (high % 254) + 1, low, host);
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        listener.local_addr().expect("an address")
    };
    (0..count).map(address).collect()
}

/// The genesis block is a day old, so that there is time for blocks before the first of today.
fn write_genesis(path: &Path, signer: &NodeKey) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let genesis = dev_clique(&DevNetwork {
        chain_id: 1337,
        period: 1,
        timestamp: now.as_secs() - DAY,
        signers: vec![clique::address(signer.public_key())],
        balances: Vec::new(),
    });
    let json = serde_json::to_vec_pretty(&genesis).expect("JSON");
    fs::write(path, json).expect("a genesis file");
}

/// See [`Fleet::outsider_who_knows`].
pub(super) fn outsider(fleet: &Fleet, files: &NodeFiles, known: &[NodeName]) -> Member {
    let name = files.directory.file_name().expect("a name").to_string_lossy().into_owned();
    let name = format!("outsider-{name}");
    let data_dir = fleet.directory().join(&name);
    fs::create_dir(&data_dir).expect("a data directory");
    let address = addresses(1)[0];
    let mut arguments = vec!["--genesis".into(), text(fleet.genesis())];
    arguments.extend(tls_arguments(&data_dir, address, known, files));
    Member { process: Process::new(Setup { name, data_dir, arguments }), id: files.id(), address }
}

fn import(data_dir: &Path, genesis: &Path, chain: &Path) {
    let (data_dir, genesis, chain) = (text(data_dir), text(genesis), text(chain));
    let arguments = ["import", "--data-dir", &data_dir, "--genesis", &genesis, &chain];
    let (output, _) = process::run(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn rlpx_arguments(address: SocketAddr, known: &[NodeName]) -> Vec<String> {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let mut arguments = vec!["--listen".into(), ip, "--port".into(), port];
    // Who is connected to whom is what a test decides.
    arguments.push("--no-discovery".into());
    for node in known {
        arguments.extend(["--bootnode".into(), node.to_string()]);
    }
    arguments
}

/// A configuration file beside the data directory, and the argument that names it.
fn tls_arguments(
    data_dir: &Path,
    address: SocketAddr,
    known: &[NodeName],
    files: &NodeFiles,
) -> Vec<String> {
    // A string of JSON is one of TOML, too.
    let quoted = |text: String| serde_json::to_string(&text).expect("JSON");
    let nodes = known.iter().map(|node| quoted(node.to_string()));
    // Who is connected to whom is what a test decides.
    let config = format!(
        "no-pex = true\n\n[p2p]\nsession = \"tls\"\nlisten = {}\nnodes = [{}]\n\n[cert]\ndir = {}\n",
        quoted(address.to_string()),
        nodes.collect::<Vec<_>>().join(", "),
        quoted(text(&files.directory)),
    );
    let path = data_dir.with_extension("toml");
    fs::write(&path, config).expect("a configuration file");
    vec!["--config".into(), text(&path)]
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}
