//! The flags of `chainmesh run` about JSON-RPC and metrics.

use std::net::SocketAddr;

use anyhow::bail;
use clap::Args;

use crate::config::{ConfigFile, ListenAddress, RpcSection};
use crate::http::Apis;

#[derive(Debug, Default, Args)]
pub(super) struct RpcArgs {
    /// Serve JSON-RPC over HTTP; without an address at 127.0.0.1:8545, port 0: any
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:8545")]
    http: Option<SocketAddr>,
    /// Serve JSON-RPC over WebSockets; without an address at 127.0.0.1:8546. With the address of
    /// --http one port has both
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:8546")]
    ws: Option<SocketAddr>,
    /// What is served over HTTP, of admin, amop, chainmesh, clique, debug, eth, mesh, net, txpool,
    /// web3 [default: eth,net,web3]
    #[arg(long, value_name = "LIST")]
    http_api: Option<Apis>,
    /// The same for WebSockets [default: eth,net,web3]
    #[arg(long, value_name = "LIST")]
    ws_api: Option<Apis>,
    /// Names by which clients may call this machine, beside its addresses; * for any
    /// [default: localhost]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    http_hosts: Option<Vec<String>>,
    /// Web sites whose pages may ask over HTTP and WebSockets, such as https://example.org; * for
    /// any [default: none]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    http_origins: Option<Vec<String>>,
    /// Serve numbers for Prometheus at /metrics, and /healthz and /readyz; without an address at
    /// 127.0.0.1:6060, port 0: any
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:6060")]
    metrics: Option<SocketAddr>,
}

impl RpcArgs {
    /// Where metrics are served; the flag goes before the file.
    pub(super) fn metrics(&self, file: &ConfigFile) -> Option<SocketAddr> {
        self.metrics.or(file.metrics.map(|ListenAddress(address)| address))
    }

    /// What is served, and where; a flag goes before the file.
    pub(super) fn section(&self, file: &ConfigFile) -> anyhow::Result<RpcSection> {
        let mut section = file.rpc.clone().unwrap_or_default();
        section.http = self.http.map(ListenAddress).or(section.http);
        section.ws = self.ws.map(ListenAddress).or(section.ws);
        section.http_api = self.http_api.clone().or(section.http_api);
        section.ws_api = self.ws_api.clone().or(section.ws_api);
        section.hosts = self.http_hosts.clone().or(section.hosts);
        section.origins = self.http_origins.clone().or(section.origins);
        let nowhere = RpcSection { gas_cap: section.gas_cap, ..RpcSection::default() };
        if section.http.is_none() && section.ws.is_none() && section != nowhere {
            bail!(
                "there is something about JSON-RPC, but no port: give --http or --ws, or [rpc] http \
                 or ws"
            );
        }
        Ok(section)
    }
}
