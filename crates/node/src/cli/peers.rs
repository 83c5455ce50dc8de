//! `chainmesh peers`.

mod why;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use chainmesh_net::{Escaped, EscapedTo};
use clap::{Args, Subcommand};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::output;
use super::running::refusal;
use crate::ipc::client::IpcClient;
use crate::rpc::peers::{BannedPeer, ConnectedPeer, WantedPeer};
use crate::rpc::reach::Reachability;

const NOT_UNDERSTOOD: &str = "the node's answer cannot be understood; is it of another version?";

/// Show the peers of a running node, why one is not connected, and whom to keep or ban
///
/// Two tables: the peers that are connected, and those that are wanted and not connected, with the
/// reason and the time of the next try. HEAD is the last block that a peer has told this node of,
/// RTT the last round trip that was measured, SLOT what the peer is counted as, SCORE what it has
/// earned (below zero for what it did wrong, above for good conduct), and ROLE what it says that it is
/// on its chain.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  chainmesh peers --data-dir ./node
  chainmesh peers --data-dir ./node --why 203.0.113.7
  chainmesh peers --data-dir ./node --why 3c60d5fa
  chainmesh peers --data-dir ./node --bans
  chainmesh peers --data-dir ./node --json | jq '.connected[].name'
  chainmesh peers add --data-dir ./node 'enode://3c60…@203.0.113.7:30303'
  chainmesh peers ban --data-dir ./node 3c60d5fa… --for 3600"
)]
pub(super) struct PeersArgs {
    #[command(flatten)]
    show: Option<ShowArgs>,
    #[command(subcommand)]
    wish: Option<PeersCommand>,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The data directory of the running node
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Tell everything about one peer: its enode URL, the beginning of its ID, or its host
    #[arg(long, value_name = "PEER")]
    why: Option<String>,
    /// Show who is banned: nodes and IP addresses
    #[arg(long, conflicts_with = "why")]
    bans: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// What the operator wants; the node remembers it over restarts.
#[derive(Debug, Subcommand)]
enum PeersCommand {
    /// Be connected to a node, from now on
    Add(WishArgs),
    /// Forget a node, and end the session with it
    Remove(WishArgs),
    /// Be connected to a node whose slot is beside --max-peers
    Trust(WishArgs),
    /// Trust a node no more; its session goes on if there is a slot
    Untrust(WishArgs),
    /// Have nothing to do with a node, or with everybody at an IP address
    Ban(BanArgs),
    /// Lift a ban
    Unban(WishArgs),
}

#[derive(Debug, Args)]
struct WishArgs {
    /// The data directory of the running node
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Whom: an enode URL; where the address does not matter, an ID; for unban, an IP address, too
    peer: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct BanArgs {
    #[command(flatten)]
    wish: WishArgs,
    /// For so many seconds; without it until the ban is lifted
    #[arg(long = "for", value_name = "SECONDS")]
    span: Option<u64>,
    /// What for
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn run(args: &PeersArgs) -> anyhow::Result<()> {
    match (&args.wish, &args.show) {
        (Some(wish), _) => carry_out(wish),
        (None, Some(show)) => match &show.why {
            Some(peer) => why::run(&show.data_dir, peer, show.json),
            None if show.bans => show_bans(show),
            None => show_all(show),
        },
        (None, None) => anyhow::bail!("--data-dir DIR is missing"),
    }
}

fn carry_out(wish: &PeersCommand) -> anyhow::Result<()> {
    let (args, method, params) = match wish {
        PeersCommand::Add(args) => (args, "admin_addPeer", json!([args.peer])),
        PeersCommand::Trust(args) => (args, "admin_addTrustedPeer", json!([args.peer])),
        PeersCommand::Remove(args) => (args, "admin_removePeer", json!([args.peer])),
        PeersCommand::Untrust(args) => (args, "admin_removeTrustedPeer", json!([args.peer])),
        PeersCommand::Ban(BanArgs { wish, span, reason }) => {
            (wish, "admin_banPeer", json!([wish.peer, span, reason]))
        }
        PeersCommand::Unban(args) => (args, "admin_unbanPeer", json!([args.peer])),
    };
    let answer = super::runtime()?
        .block_on(async { IpcClient::connect(&args.data_dir).await?.call(method, params).await });
    let answer = answer.map_err(refusal)?;
    if args.json {
        return output::line(&answer.to_string());
    }
    let said = match wish {
        PeersCommand::Add(_) | PeersCommand::Trust(_) => {
            return why::show(&serde_json::from_value(answer).context(NOT_UNDERSTOOD)?);
        }
        PeersCommand::Remove(_) => "Removed.",
        PeersCommand::Untrust(_) => "Not trusted any more.",
        PeersCommand::Ban(_) => "Banned.",
        PeersCommand::Unban(_) if answer == json!(true) => "The ban is lifted.",
        PeersCommand::Unban(_) => "There was no such ban.",
    };
    output::line(said)
}

fn show_all(args: &ShowArgs) -> anyhow::Result<()> {
    let (connected, wanted, validator, reach) = super::runtime()?.block_on(async {
        let mut node = IpcClient::connect(&args.data_dir).await?;
        let connected = node.call("admin_peers", json!([])).await?;
        let wanted = node.call("chainmesh_wantedPeers", json!([])).await?;
        // A node without a clique chain has no answer to this.
        let validator = node.call("clique_validator", json!([])).await.unwrap_or_default();
        let reach = node.call("admin_nodeInfo", json!([])).await?["reach"].take();
        Ok::<_, anyhow::Error>((connected, wanted, validator, reach))
    })?;
    if args.json {
        let all = json!({
            "connected": connected,
            "wanted": wanted,
            "validator": validator,
            "reach": reach,
        });
        return output::line(&all.to_string());
    }
    let reach = serde_json::from_value::<Option<Reachability>>(reach).context(NOT_UNDERSTOOD)?;
    if let Some(reach) = reach {
        output::line(&reachable(&reach))?;
    }
    show(connected, wanted)?;
    match (validator["state"].as_str(), validator["text"].as_str()) {
        (Some(state), Some(text)) if state != "off" => {
            output::line(&format!("\nValidator: {}", Escaped(text)))
        }
        _ => Ok(()),
    }
}

/// Whether others can reach the node, and where they see it.
fn reachable(reach: &Reachability) -> String {
    let mut text = format!("Reachable from outside: {}", EscapedTo(&reach.text, 200));
    match (&reach.seen, &reach.advertised, reach.mismatch) {
        (Some(seen), Some(advertised), true) => {
            text = format!(
                "{text}\nOthers see this node at {}, and its record says {}: correct \
                 --external-ip, or leave it away.",
                Escaped(seen),
                Escaped(advertised)
            );
        }
        (Some(seen), ..) => text = format!("{text}; seen at {}", Escaped(seen)),
        _ => {}
    }
    text.push('\n');
    text
}

fn show_bans(args: &ShowArgs) -> anyhow::Result<()> {
    let answer = super::runtime()?.block_on(async {
        IpcClient::connect(&args.data_dir).await?.call("admin_bannedPeers", json!([])).await
    })?;
    if args.json {
        return output::line(&answer.to_string());
    }
    let bans: Vec<BannedPeer> = serde_json::from_value(answer).context(NOT_UNDERSTOOD)?;
    if bans.is_empty() {
        return output::line("Nobody is banned.");
    }
    let now = crate::unix_time();
    let mut table = table(&["WHO", "WHERE", "SINCE", "FOR ANOTHER", "REASON"]);
    for BannedPeer { id, enode, address, ban } in &bans {
        let place = enode.as_ref().and_then(|enode| Some(enode.rsplit_once('@')?.1));
        table.add_row([
            id.as_deref().map_or_else(|| "everybody".to_owned(), short),
            Escaped(address.as_deref().or(place).unwrap_or("-")).to_string(),
            format!("{} ago", span(now.saturating_sub(ban.since) as f64)),
            ban.until.map_or_else(
                || "until it is lifted".to_owned(),
                |until| span(until.saturating_sub(now) as f64),
            ),
            Escaped(&ban.reason).to_string(),
        ]);
    }
    output::line(&table.to_string())
}

fn show(connected: Value, wanted: Value) -> anyhow::Result<()> {
    let connected: Vec<ConnectedPeer> =
        serde_json::from_value(connected).context(NOT_UNDERSTOOD)?;
    let wanted: Vec<WantedPeer> = serde_json::from_value(wanted).context(NOT_UNDERSTOOD)?;
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
        "SLOT",
        "SCORE",
        "ADDRESS",
        "CLIENT",
        "ROLE",
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
            peer.slot.clone().unwrap_or_else(unknown),
            peer.score.to_string(),
            Escaped(&peer.network.remote_address).to_string(),
            Escaped(&peer.name).to_string(),
            role(peer),
            capabilities(&peer.caps),
            peer.rtt_millis.map_or_else(unknown, |rtt| format!("{rtt:.1} ms")),
            peer.head_number.map_or_else(unknown, |number| number.to_string()),
            output::bytes(peer.bytes_in),
            output::bytes(peer.bytes_out),
            peer.connected_seconds.map_or_else(unknown, span),
        ]);
    }
    for column in [3, 8, 9, 10, 11, 12] {
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

/// What a peer says that it is.
fn role(peer: &ConnectedPeer) -> String {
    match (&peer.role, peer.serves_light) {
        (Some(role), Some(true)) => format!("{role}, serves light"),
        (Some(role), _) => role.clone(),
        (None, _) => unknown(),
    }
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
