//! Where JSON-RPC is served, and what to whom.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::{Hosts, Origins};

/// Where HTTP is served unless told otherwise: go-ethereum's port.
pub const DEFAULT_HTTP_ADDRESS: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8545));
/// Where WebSockets are served unless told otherwise: go-ethereum's port.
pub const DEFAULT_WS_ADDRESS: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8546));
/// Longest request, bytes (go-ethereum, `rpc.defaultBodyLimit`).
pub const DEFAULT_MAX_BODY: usize = 5 * 1024 * 1024;
/// Connections of a port at once (jsonrpsee's default; go-ethereum has no limit).
pub const DEFAULT_MAX_CONNECTIONS: usize = 100;
/// Subscriptions of a connection at once. Chosen: a wallet has a handful.
pub const DEFAULT_MAX_SUBSCRIPTIONS: u32 = 128;
/// How long a client may take for the head of a request, for its body, and for reading a piece of
/// the answer (go-ethereum, `rpc.DefaultHTTPTimeouts`).
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A group of methods: what stands in front of the `_` of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    /// This node: peers are added and removed.
    Admin,
    /// Topics of AMOP.
    Amop,
    /// What is ours alone.
    Chainmesh,
    /// The signers of a clique network; votes are proposed.
    Clique,
    /// Blocks as bytes.
    Debug,
    /// The chain.
    Eth,
    /// The mesh of a consortium.
    Mesh,
    /// The network.
    Net,
    /// What waits in the pool.
    Txpool,
    /// The client.
    Web3,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Admin,
        Self::Amop,
        Self::Chainmesh,
        Self::Clique,
        Self::Debug,
        Self::Eth,
        Self::Mesh,
        Self::Net,
        Self::Txpool,
        Self::Web3,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Amop => "amop",
            Self::Chainmesh => "chainmesh",
            Self::Clique => "clique",
            Self::Debug => "debug",
            Self::Eth => "eth",
            Self::Mesh => "mesh",
            Self::Net => "net",
            Self::Txpool => "txpool",
            Self::Web3 => "web3",
        }
    }
}

/// The name of no group of methods.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no API \"{}\"; these are: {}", chainmesh_net::Escaped(.0), Apis::all())]
pub struct ApiError(pub String);

/// The groups of methods that are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apis(BTreeSet<Api>);

impl Default for Apis {
    /// `eth`, `net` and `web3`, as go-ethereum: these read, and send what is signed already.
    fn default() -> Self {
        Self(BTreeSet::from([Api::Eth, Api::Net, Api::Web3]))
    }
}

impl Apis {
    /// All groups of methods.
    #[must_use]
    pub fn all() -> Self {
        Self(Api::ALL.into())
    }

    /// These groups.
    #[must_use]
    pub fn of(apis: &[Api]) -> Self {
        Self(apis.iter().copied().collect())
    }

    /// The groups with these names.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn of_names<S: AsRef<str>>(names: &[S]) -> Result<Self, ApiError> {
        let api = |name: &S| {
            let name = name.as_ref().trim();
            let found = Api::ALL.into_iter().find(|api| api.name() == name);
            found.ok_or_else(|| ApiError(name.to_owned()))
        };
        names.iter().map(api).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a method with this name is among them. `rpc_…` is everywhere.
    #[must_use]
    pub fn serve(&self, method: &str) -> bool {
        let namespace = method.split_once('_').map_or(method, |(namespace, _)| namespace);
        namespace == "rpc" || self.0.iter().any(|api| api.name() == namespace)
    }

    /// The groups, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = Api> + '_ {
        self.0.iter().copied()
    }
}

impl FromStr for Apis {
    type Err = ApiError;

    /// Names with commas between them.
    fn from_str(text: &str) -> Result<Self, ApiError> {
        let names: Vec<&str> = text.split(',').filter(|name| !name.trim().is_empty()).collect();
        Self::of_names(&names)
    }
}

impl fmt::Display for Apis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, api) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            f.write_str(api.name())?;
        }
        Ok(())
    }
}

/// What clients may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Longest request, bytes.
    pub max_body: usize,
    /// Connections of a port at once; one more is closed.
    pub max_connections: usize,
    /// Subscriptions of a connection at once.
    pub max_subscriptions: u32,
    /// How long a client may take for the head of a request, for its body, and for reading a piece
    /// of the answer.
    pub timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_body: DEFAULT_MAX_BODY,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            max_subscriptions: DEFAULT_MAX_SUBSCRIPTIONS,
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// Where JSON-RPC is served, and what to whom.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// Where HTTP is served; `None`: nowhere. Port 0 lets the system choose one.
    pub http: Option<SocketAddr>,
    /// Where WebSockets are served; `None`: nowhere. It may be the address of HTTP: then one port
    /// has both, also when the system chooses it.
    pub ws: Option<SocketAddr>,
    /// What is served over HTTP.
    pub http_apis: Apis,
    /// What is served over WebSockets.
    pub ws_apis: Apis,
    /// The names by which clients may call this machine.
    pub hosts: Hosts,
    /// The web sites whose pages may ask.
    pub origins: Origins,
    /// Whether it may be listened on an address that other machines can reach.
    pub allow_remote: bool,
    /// What clients may cost.
    pub limits: HttpLimits,
}
