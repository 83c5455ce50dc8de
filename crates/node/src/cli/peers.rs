//! `chainmesh peers`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use chainmesh_net::Escaped;
use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::output;
use crate::ipc::client::IpcClient;
use crate::rpc::peers::{ConnectedPeer, WantedPeer};

/// Show the peers of a running node
///
/// Two tables: the peers that are connected, and those that are wanted and not connected, with the
/// reason and the time of the next try. HEAD is the last block that a peer has told this node of,
/// and RTT the last round trip that was measured.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh peers --data-dir ./node
  chainmesh peers --data-dir ./node --json | jq '.connected[].name'")]
pub(super) struct PeersArgs {
    /// The data directory of the running node
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PeersArgs) -> anyhow::Result<()> {
    let (connected, wanted, validator) = super::runtime()?.block_on(async {
        let mut node = IpcClient::connect(&args.data_dir).await?;
        let connected = node.call("admin_peers", json!([])).await?;
        let wanted = node.call("chainmesh_wantedPeers", json!([])).await?;
        // A node without a clique chain has no answer to this.
        let validator = node.call("clique_validator", json!([])).await.unwrap_or_default();
        Ok::<_, anyhow::Error>((connected, wanted, validator))
    })?;
    if args.json {
        let all = json!({"connected": connected, "wanted": wanted, "validator": validator});
        return output::line(&all.to_string());
    }
    show(connected, wanted)?;
    match (validator["state"].as_str(), validator["text"].as_str()) {
        (Some(state), Some(text)) if state != "off" => {
            output::line(&format!("\nValidator: {}", Escaped(text)))
        }
        _ => Ok(()),
    }
}

fn show(connected: Value, wanted: Value) -> anyhow::Result<()> {
    let answer = "the node's answer cannot be understood; is it of another version?";
    let connected: Vec<ConnectedPeer> = serde_json::from_value(connected).context(answer)?;
    let wanted: Vec<WantedPeer> = serde_json::from_value(wanted).context(answer)?;
    if connected.is_empty() {
        output::line("No peer is connected.")?;
    } else {
        output::line(&connected_table(&connected).to_string())?;
    }
    if !wanted.is_empty() {
        output::line("\nWanted and not connected:")?;
        output::line(&wanted_table(&wanted).to_string())?;
    }
    Ok(())
}

fn connected_table(peers: &[ConnectedPeer]) -> Table {
    let mut table = table(&[
        "PEER",
        "DIR",
        "ADDRESS",
        "CLIENT",
        "CAPABILITIES",
        "RTT",
        "HEAD",
        "IN",
        "OUT",
        "SINCE",
    ]);
    for peer in peers {
        table.add_row([
            short(&peer.public_key),
            if peer.network.inbound { "in" } else { "out" }.to_owned(),
            Escaped(&peer.network.remote_address).to_string(),
            Escaped(&peer.name).to_string(),
            capabilities(&peer.caps),
            peer.rtt_millis.map_or_else(unknown, |rtt| format!("{rtt:.1} ms")),
            peer.head_number.map_or_else(unknown, |number| number.to_string()),
            output::bytes(peer.bytes_in),
            output::bytes(peer.bytes_out),
            peer.connected_seconds.map_or_else(unknown, span),
        ]);
    }
    for column in 5..10 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn wanted_table(peers: &[WantedPeer]) -> Table {
    let mut table = table(&["PEER", "ADDRESS", "KIND", "STATE", "TRIES", "LAST ERROR", "NEXT TRY"]);
    for peer in peers {
        table.add_row([
            peer.public_key.as_deref().map_or_else(unknown, short),
            Escaped(&peer.address).to_string(),
            peer.kind.clone(),
            peer.state.clone(),
            peer.dials.to_string(),
            peer.last_error.clone().unwrap_or_else(unknown),
            peer.next_dial_seconds.map_or_else(unknown, |left| format!("in {}", span(left))),
        ]);
    }
    table
}

/// Columns with two spaces between them; a narrow terminal wraps the cells.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    let size = std::io::stdout().is_terminal().then(crossterm::terminal::size);
    if let Some(Ok((width, _))) = size {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table
}

/// Capabilities with the versions of each together: `eth/66-69 snap/1`.
fn capabilities(capabilities: &[String]) -> String {
    let mut groups: Vec<(&str, u64, u64)> = Vec::new();
    let mut others = Vec::new();
    for capability in capabilities {
        let parts = capability.rsplit_once('/');
        let parsed = parts.and_then(|(name, version)| Some((name, version.parse::<u64>().ok()?)));
        match (parsed, groups.last_mut()) {
            (Some((name, version)), Some((last, _, to)))
                if name == *last && to.checked_add(1) == Some(version) =>
            {
                *to = version;
            }
            (Some((name, version)), _) => groups.push((name, version, version)),
            (None, _) => others.push(capability.clone()),
        }
    }
    let group = |(name, from, to): (&str, u64, u64)| match from == to {
        true => format!("{name}/{from}"),
        false => format!("{name}/{from}-{to}"),
    };
    others.splice(0..0, groups.into_iter().map(group));
    Escaped(&others.join(" ")).to_string()
}

fn short(public_key: &str) -> String {
    let head: String = public_key.chars().take(8).collect();
    format!("{head}…")
}

fn span(seconds: f64) -> String {
    output::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn unknown() -> String {
    "-".into()
}

#[cfg(test)]
mod tests;
