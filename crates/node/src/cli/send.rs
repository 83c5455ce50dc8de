//! `chainmesh send`.

use std::io::Read as _;
use std::time::Duration;

use alloy_primitives::hex;
use anyhow::{Context as _, bail};
use chainmesh_net::EscapedTo;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::output;
use super::running::{RunningNode, refusal};
use crate::ipc::MAX_REQUEST;

/// Longest message, bytes: in hex it has twice as many, and a request has a limit.
const MAX_MESSAGE: u64 = (MAX_REQUEST as u64 - 4096) / 2;

/// Characters of a reply that are shown.
const SHOWN: usize = 4096;

/// Time that the mesh needs at most until it knows that a message did not arrive: it tries several
/// ways.
const DELIVERY: Duration = Duration::from_secs(60);

/// Send a message to a node of the consortium, to all who follow a topic, or to everybody
///
/// A running node sends it. To one node it goes over whatever way there is, is acknowledged, and may
/// be replied to; when it does not arrive, the reason is printed. Messages for a topic are not
/// acknowledged.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("receiver").required(true).multiple(false),
    after_help = "\
Examples:
  chainmesh send --data-dir ./n0 --to 8e4f31ef \"good day\"
  chainmesh send --data-dir ./n0 --to 8e4f31ef --reply 5 \"what time is it?\"
  chainmesh send --data-dir ./n0 --topic news \"it rains\"
  date | chainmesh send --data-dir ./n0 --all

chainmesh mesh lists the nodes and their topics; chainmesh listen receives."
)]
pub(super) struct SendArgs {
    #[command(flatten)]
    node: RunningNode,
    /// The node: its ID, its short ID, or the first digits of one of them
    #[arg(long, value_name = "NODE", group = "receiver")]
    to: Option<String>,
    /// All nodes that follow this topic
    #[arg(long, group = "receiver")]
    topic: Option<String>,
    /// All nodes of the group
    #[arg(long, group = "receiver")]
    all: bool,
    /// What to send [default: what comes on stdin]
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// With --to: wait so long for a reply, and print it
    #[arg(long, value_name = "SECS", requires = "to",
          value_parser = clap::value_parser!(u16).range(1..=300))]
    reply: Option<u16>,
    /// The group, if the node is in several [default: the first one of the node]
    #[arg(long, conflicts_with = "topic")]
    group: Option<String>,
    /// Print JSON, with the reply in hex
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: SendArgs) -> anyhow::Result<()> {
    let payload = match &args.text {
        Some(text) => text.clone().into_bytes(),
        None => stdin()?,
    };
    if payload.len() as u64 > MAX_MESSAGE {
        bail!("a message that is sent in this way has at most {MAX_MESSAGE} bytes");
    }
    let payload = hex::encode_prefixed(payload);
    let (method, params) = match (&args.to, &args.topic) {
        (Some(to), _) => {
            let reply = args.reply;
            let params =
                json!({"to": to, "payload": payload, "group": args.group, "replyWithin": reply});
            ("mesh_send", params)
        }
        (None, Some(topic)) => ("mesh_multicast", json!({"topic": topic, "payload": payload})),
        (None, None) => ("mesh_broadcast", json!({"payload": payload, "group": args.group})),
    };
    let patience = DELIVERY + Duration::from_secs(args.reply.unwrap_or(0).into());
    let answer = super::runtime()?.block_on(async {
        let mut node = args.node.connect().await?;
        node.call_within(patience, method, params).await
    });
    let answer = answer.map_err(refusal).context("the message was not sent, or not delivered")?;
    if args.json {
        return output::line(&answer.to_string());
    }
    match args.to {
        Some(_) => delivered(&answer),
        None => output::line(&sent(&answer, args.topic.as_deref())),
    }
}

fn stdin() -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    // One byte above the limit is enough to see that it is too much.
    let read = std::io::stdin().lock().take(MAX_MESSAGE + 1).read_to_end(&mut text);
    read.context("cannot read stdin")?;
    Ok(text)
}

fn delivered(answer: &Value) -> anyhow::Result<()> {
    let short = |id: &Value| super::mesh::short(id.as_str().unwrap_or_default());
    let (to, gateway) = (short(&answer["to"]), short(&answer["gateway"]));
    let milliseconds = answer["milliseconds"].as_f64().unwrap_or_default();
    let by = if to == gateway { String::new() } else { format!(" through its gateway {gateway}") };
    output::note(&format!("delivered to {to}{by} in {milliseconds:.1} ms"));
    match answer["reply"].as_str() {
        Some(reply) => output::line(&text(reply)),
        None => Ok(()),
    }
}

fn sent(answer: &Value, topic: Option<&str>) -> String {
    let count = |name: &str| answer[name].as_u64().unwrap_or_default();
    let (members, copies, confirmed) = (count("members"), count("copies"), count("confirmed"));
    match (members, topic) {
        (0, Some(_)) => {
            "sent to nobody: no other node that can be reached follows the topic".into()
        }
        (0, None) => "sent to nobody: no other node of the group can be reached".into(),
        (_, Some(_)) => format!("sent to {} in {}", nodes(members), times(copies)),
        (_, None) => {
            format!("sent to {} in {}, confirmed by {confirmed}", nodes(members), times(copies))
        }
    }
}

fn nodes(count: u64) -> String {
    if count == 1 { "1 node".into() } else { format!("{count} nodes") }
}

fn times(copies: u64) -> String {
    if copies == 1 { "1 copy".into() } else { format!("{copies} copies") }
}

/// A payload for people: as text where it is text, else in hex.
pub(super) fn text(payload: &str) -> String {
    let bytes = hex::decode(payload).unwrap_or_default();
    match std::str::from_utf8(&bytes) {
        Ok(text) => EscapedTo(text.trim_end_matches('\n'), SHOWN).to_string(),
        Err(_) => EscapedTo(payload, SHOWN).to_string(),
    }
}
