//! To which SDK port `chainmesh sub` and `chainmesh pub` connect.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chainmesh_net::EscapedTo;
use chainmesh_sdk::{Client, ClientConfig, Face, NodeUrl, State, certificates};
use clap::Args;
use serde_json::json;

use super::output;
use super::running::refusal;
use crate::ipc::client::IpcClient;
use crate::rpc::amop::AmopStatus;

/// Characters of a message that are shown.
const SHOWN: usize = 4096;

/// To which node, and with which certificate.
#[derive(Debug, Args)]
pub(super) struct SdkPort {
    /// The SDK port of a node: wss://host:port or ws://host:port (3.x), channel://host:port (2.x);
    /// may be given several times, and the next one is taken when a node is lost
    #[arg(long, value_name = "URL")]
    node: Vec<NodeUrl>,
    /// The data directory of a node that runs here: it is asked for its ports and certificates
    #[arg(long, value_name = "DIR", conflicts_with = "node")]
    data_dir: Option<PathBuf>,
    /// The directory with ca.crt, and node.crt and node.key or sdk.crt and sdk.key, as chainmesh ca
    /// issue writes it
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
}

impl SdkPort {
    /// What a client is made from.
    pub(super) async fn config(&self) -> anyhow::Result<ClientConfig> {
        let (urls, found) = match &self.data_dir {
            Some(data_dir) => {
                let (url, found) = ask(data_dir).await?;
                (vec![url], found)
            }
            None if self.node.is_empty() => bail!(
                "which node? Give --data-dir DIR for one that runs here, or --node \
                 wss://host:port for the SDK port of any node; `chainmesh devnet --consortium \
                 --data-dir ./net` starts some, and then --data-dir ./net/node1 is one of them"
            ),
            None => (self.node.clone(), None),
        };
        let config = ClientConfig::new(urls);
        if !config.urls.iter().any(NodeUrl::is_tls) {
            return Ok(config);
        }
        let directory = self.cert_dir.as_ref().or(found.as_ref()).context(
            "the port speaks TLS, which needs a certificate of the consortium's CA: make one with \
             `chainmesh ca issue --name app --out ./app`, and give --cert-dir ./app",
        )?;
        Ok(config.with_certificates(certificates::load(directory)?))
    }
}

/// Asks a running node where its port is, and where certificates are.
async fn ask(data_dir: &std::path::Path) -> anyhow::Result<(NodeUrl, Option<PathBuf>)> {
    let mut node = IpcClient::connect(data_dir).await?;
    let answer = node.call("amop_topics", json!([])).await.map_err(refusal)?;
    let status: AmopStatus = serde_json::from_value(answer)
        .context("the node's answer cannot be understood; is it of another version?")?;
    let (face, address) = match (status.websocket, status.channel) {
        (Some(address), _) => (Face::WebSocket, address),
        (None, Some(address)) => (Face::Channel, address),
        (None, None) => bail!("this node has no ports for SDKs (chainmesh run --sdk-websocket)"),
    };
    let address: std::net::SocketAddr =
        address.parse().context("the node's answer cannot be understood")?;
    let mut host = address.ip();
    if host.is_unspecified() {
        host = if host.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
    }
    let url = NodeUrl::new(face, status.tls, host.to_string(), address.port());
    Ok((url, status.certificates.map(PathBuf::from)))
}

/// Says on stderr when the connection is lost and when it is there again, until the client is closed.
pub(super) async fn tell_state(client: &Client) {
    let mut state = client.state();
    drop(state.borrow_and_update());
    let mut lost = false;
    while state.changed().await.is_ok() {
        let now = state.borrow_and_update().clone();
        match now {
            // Only what is lost can come again.
            State::Connected { url } => {
                if std::mem::take(&mut lost) {
                    output::note(&format!("connected to {url} again"));
                }
            }
            State::Reconnecting { last, pause, .. } => {
                let word = if lost { "still not connected" } else { "the connection is lost" };
                let pause = output::duration(pause);
                output::note(&format!("{word}: {last}; trying again in {pause}"));
                lost = true;
            }
            _ => return,
        }
    }
}

/// A payload for people: as text where it is text, else in hex; cut, and in one line.
pub(super) fn text(payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok(text) => EscapedTo(text.trim_end_matches('\n'), SHOWN).to_string(),
        Err(_) => {
            let cut = payload.get(..SHOWN / 2).unwrap_or(payload);
            let more = if cut.len() < payload.len() { "…" } else { "" };
            format!("{}{more}", alloy_primitives::hex::encode_prefixed(cut))
        }
    }
}

/// The time of day, UTC.
pub(super) fn now() -> String {
    let seconds = crate::unix_time() % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
