//! `chainmesh topics`.

use anyhow::Context as _;
use chainmesh_net::EscapedTo;
use clap::Args;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use super::mesh::short;
use super::output;
use super::running::{RunningNode, refusal};
use crate::rpc::amop::AmopStatus;

/// Characters of a topic that the table shows.
const SHOWN: usize = 48;
/// Nodes of a topic that the table names.
const NAMED: usize = 4;

/// Show who subscribes where: the topics of SDKs and nodes, as a running node sees them
///
/// HERE is the number of SDKs at this node that follow the topic, NODES are the other nodes with
/// subscribers of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh topics --data-dir ./n0
  chainmesh topics --data-dir ./n0 --json | jq -r '.topics[].topic'

chainmesh sub subscribes, chainmesh pub publishes.")]
pub(super) struct TopicsArgs {
    #[command(flatten)]
    node: RunningNode,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &TopicsArgs) -> anyhow::Result<()> {
    let answer = super::runtime()?.block_on(async {
        let mut node = args.node.connect().await?;
        node.call("amop_topics", json!([])).await
    });
    let answer = answer.map_err(refusal)?;
    if args.json {
        return output::line(&answer.to_string());
    }
    let status: AmopStatus = serde_json::from_value(answer)
        .context("the node's answer cannot be understood; is it of another version?")?;
    show(&status)
}

fn show(status: &AmopStatus) -> anyhow::Result<()> {
    let address = |at: &Option<String>| at.clone().unwrap_or_else(|| "-".to_owned());
    output::line(&format!("SDKs of 2.x  {}", address(&status.channel)))?;
    output::line(&format!("SDKs of 3.x  {}", address(&status.websocket)))?;
    let slow = status.sdks.iter().filter(|sdk| sdk.slow).count();
    output::line(&format!("connected    {} ({slow} slow)", status.sdks.len()))?;
    let c = &status.counters;
    output::line(&format!(
        "messages     {} published here, {} given to SDKs here, {} answered, {} failed, {} missed",
        c.published, c.pushed, c.delivered, c.failed, c.missed
    ))?;
    output::line("")?;
    if status.topics.is_empty() {
        return output::line("Nobody follows a topic.");
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(["TOPIC", "HERE", "NODES"]);
    for topic in &status.topics {
        let mut nodes: Vec<String> = topic.nodes.iter().take(NAMED).map(|id| short(id)).collect();
        if topic.nodes.len() > NAMED {
            nodes.push(format!("+{}", topic.nodes.len() - NAMED));
        }
        let name = EscapedTo(&topic.topic, SHOWN).to_string();
        table.add_row([name, topic.sdks.len().to_string(), nodes.join(" ")]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    output::line(&table.to_string())
}
