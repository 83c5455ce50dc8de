//! `[rpc]`: JSON-RPC for wallets and programs.

use core::time::Duration;

use chainmesh_chain::execute::DEFAULT_CALL_GAS_CAP;
use serde::{Deserialize, Deserializer};

use super::ListenAddress;
use crate::http::{Apis, Hosts, HttpLimits, HttpOptions, Origins};

/// `[rpc]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RpcSection {
    /// Address and port for HTTP: `"127.0.0.1:8545"`. None if not given.
    pub http: Option<ListenAddress>,
    /// The same for WebSockets: `"127.0.0.1:8546"`, or that of HTTP.
    pub ws: Option<ListenAddress>,
    /// The groups of methods over HTTP; `["eth", "net", "web3"]` if not given.
    #[serde(deserialize_with = "apis")]
    pub http_api: Option<Apis>,
    /// The groups of methods over WebSockets; the same if not given.
    #[serde(deserialize_with = "apis")]
    pub ws_api: Option<Apis>,
    /// Names by which clients may call this machine, beside its addresses; `["localhost"]` if not
    /// given, `["*"]` for any.
    pub hosts: Option<Vec<String>>,
    /// Web sites whose pages may ask: `["https://example.org"]`. None if not given.
    pub origins: Option<Vec<String>>,
    /// Whether the addresses may be reachable from other machines.
    pub allow_remote: bool,
    /// Longest request, bytes.
    pub max_body: Option<usize>,
    /// Connections of each port at once, at most.
    pub max_connections: Option<usize>,
    /// Subscriptions of a connection at once, at most.
    pub max_subscriptions: Option<u32>,
    /// Seconds that a client may take for the head of a request, its body, or reading an answer.
    pub timeout: Option<u64>,
    /// Most gas of a call.
    pub gas_cap: Option<u64>,
}

fn apis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Apis>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    Apis::of_names(&names).map(Some).map_err(serde::de::Error::custom)
}

impl RpcSection {
    /// What the ports are made from.
    #[must_use]
    pub fn options(&self) -> HttpOptions {
        let defaults = HttpLimits::default();
        HttpOptions {
            http: self.http.map(|ListenAddress(address)| address),
            ws: self.ws.map(|ListenAddress(address)| address),
            http_apis: self.http_api.clone().unwrap_or_default(),
            ws_apis: self.ws_api.clone().unwrap_or_default(),
            hosts: self.hosts.as_ref().map(Hosts::new).unwrap_or_default(),
            origins: self.origins.as_ref().map(Origins::new).unwrap_or_default(),
            allow_remote: self.allow_remote,
            limits: HttpLimits {
                max_body: self.max_body.unwrap_or(defaults.max_body),
                max_connections: self.max_connections.unwrap_or(defaults.max_connections),
                max_subscriptions: self.max_subscriptions.unwrap_or(defaults.max_subscriptions),
                timeout: self.timeout.map_or(defaults.timeout, Duration::from_secs),
            },
        }
    }

    /// Most gas of a call.
    #[must_use]
    pub fn gas_cap(&self) -> u64 {
        self.gas_cap.unwrap_or(DEFAULT_CALL_GAS_CAP)
    }
}
